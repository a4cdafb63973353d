"""The ILSVRC protocol: figures follow from boxes, baselines are what they say, runs go on where they stopped."""

import csv
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate import checkpoint, localisation
from minicnn.evaluate.confidence import bootstrap_mean
from minicnn.evaluate.dataset import Example, read_dataset, read_mask
from minicnn.evaluate.iou import box_iou, mask_iou
from minicnn.explain import evaluate_localisation, localise
from minicnn.explain.localisation import seeded_cut
from minicnn.explain.localise import get_localisation_method
from minicnn.figures import provenance, verification
from minicnn.images import PlacedMaps, load_image
from minicnn.io import catalogue
from minicnn.io.digest import digest_network

SEVEN = catalogue.folder("images") / "seven.png"
HEAD = "image,mask,class_indices,xmin,ymin,xmax,ymax,object"


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures of a seven: with its box, with a box where it is not, and called a two."""
    folder = tmp_path_factory.mktemp("labelled")
    grey = np.asarray(load_image(SEVEN).convert("L"))
    ink = np.abs(grey.astype(int) - int(grey[0, 0])) > 60
    rows, columns = np.nonzero(ink)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    Image.fromarray(ink).save(folder / "mask.png")
    corner = np.zeros_like(ink)
    corner[:3, :3] = True
    Image.fromarray(corner).save(folder / "corner.png")
    for n, dark in enumerate((0, 4, 8)):
        Image.fromarray(np.clip(grey.astype(int) - dark, 0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    lines = [
        f"0.png,mask.png,7,{','.join(map(str, box))},first",
        "1.png,corner.png,7,0,0,3,3,second",
        f"2.png,mask.png,2,{','.join(map(str, box))},first",
    ]
    (folder / "labels.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def done(net, folder):
    return evaluate_localisation(net, folder, "paper")


def test_figures_follow_from_what_localise_finds(net, folder, done):
    examples = read_dataset(folder)
    for example, row in zip(examples, done.rows, strict=True):
        (detection,) = localise(net, example.image, [example.classes[0]], method="paper")
        assert row["iou"] == box_iou(detection.box, example.boxes[0]) and tuple(row["box"]) == detection.box
        assert row["mask_iou"] == mask_iou(detection.mask, read_mask(example))
    ious = [row["iou"] for row in done.rows]
    assert done.estimates["paper"]["IoU >= 0.5"].value == np.mean(np.array(ious) >= 0.5)
    assert done.estimates["paper"]["box IoU"].value == np.mean(ious)
    assert [row["top1"] for row in done.rows] == [True, True, False]
    assert done.classification["top-1 error"].value == 1 / 3
    assert done.estimates["paper"]["top-1 error"].value >= 2 / 3 > 0.5 >= 0  # the second box, the third class


def test_baselines_are_what_they_say(done, folder):
    with Image.open(SEVEN) as picture:
        width, height = picture.size
    whole = next(own for name, own in done.estimates.items() if name.startswith("whole"))
    boxes = [example.boxes[0] for example in read_dataset(folder)]
    expected = [(b[2] - b[0]) * (b[3] - b[1]) / (width * height) for b in boxes]
    assert whole["box IoU"].value == pytest.approx(np.mean(expected))
    labels = list(done.estimates)
    assert labels[0] == "paper" and [name.split(",")[0] for name in labels[1:]] == [
        "thresholded map",
        "centre box",
        "whole picture",
    ]
    for estimates in done.estimates.values():
        for figure in estimates.values():
            assert 0 <= figure.low <= figure.value <= figure.high <= 1


WIDTH, HEIGHT = 40, 20
LEFT, RIGHT = (0, 0, 20, 20), (20, 0, 40, 20)


@pytest.mark.parametrize(
    # what the net finds most probable first, what is right, what each class's map marks, what must come of it
    ("order", "right", "boxes", "marked", "expected"),
    [
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT], {3: LEFT}, (True, True, 1.0, True, True)),
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT], {3: RIGHT}, (True, True, 0.0, False, False)),
        ([3, 4, 5, 6, 7, 8], (4,), [LEFT], {4: LEFT}, (False, True, 1.0, False, True)),
        ([3, 4, 5, 6, 7, 8], (7,), [LEFT], {7: LEFT}, (False, True, 1.0, False, True)),
        ([3, 4, 5, 6, 7, 8], (8,), [LEFT], {8: LEFT}, (False, False, 1.0, False, False)),
        # one of several classes is enough, of those in the top five; figures are of the most probable of them
        ([3, 4, 5, 6, 7, 8], (5, 4), [LEFT], {4: RIGHT, 5: LEFT}, (False, True, 0.0, False, True)),
        ([3, 4, 5, 6, 7, 8], (4, 8), [LEFT], {4: RIGHT, 8: LEFT}, (False, True, 0.0, False, False)),
        ([3, 4, 5, 6, 7, 8], (3, 4), [LEFT], {3: RIGHT, 4: LEFT}, (True, True, 0.0, False, True)),
        # one of several boxes is enough
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT, RIGHT], {3: RIGHT}, (True, True, 1.0, True, True)),
        # half is enough, less is not
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT], {3: (0, 0, 10, 20)}, (True, True, 0.5, True, True)),
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT], {3: (0, 0, 9, 20)}, (True, True, 0.45, False, False)),
        ([3, 4, 5, 6, 7, 8], (3,), [LEFT], {3: None}, (True, True, 0.0, False, False)),
    ],
)
def test_the_protocol(monkeypatch, net, order, right, boxes, marked, expected):
    probability = np.zeros(10)
    probability[order] = np.arange(len(order), 0, -1) / 100

    def map_of(box):
        map = np.zeros((HEIGHT, WIDTH), np.float32)
        if box is not None:
            map[box[1] : box[3], box[0] : box[2]] = 1
        return map

    def saliencies(net, picture, choose, settings):
        return [
            SimpleNamespace(
                target=c,
                placed=PlacedMaps.of_whole(map_of(marked[c]), (HEIGHT, WIDTH)),
                **dict(label=None, score=0.0, probability=0.0, view_count=10),
            )
            for c in choose(probability)
        ]

    monkeypatch.setattr(seeded_cut, "saliencies", saliencies)
    monkeypatch.setattr(seeded_cut, "object_mask", lambda picture, map, settings: map > 0)
    monkeypatch.setattr(seeded_cut, "smooth_map", lambda map, settings: map)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    monkeypatch.setattr(localisation, "load_image", lambda path: picture)
    row = localisation._measure(
        net, Example(Path("a.png"), right, tuple(boxes), None, "a"), get_localisation_method("paper")
    )
    assert tuple(row[name] for name in ("top1", "top5", "iou", "located1", "located5")) == expected
    assert row["whole picture"] == [(0.5, None)] and row["mask_iou"] is None
    # a centre box of share s is 40 s by 20 s pixels; half of it is in a box that is half of the picture
    for share, (iou, _) in zip(localisation.SHARES, row["centre box"], strict=True):
        width, height = WIDTH - 2 * round(WIDTH * (1 - share) / 2), HEIGHT - 2 * round(HEIGHT * (1 - share) / 2)
        assert iou == pytest.approx(width / 2 * height / (400 + width / 2 * height))


def test_the_thresholded_map_is_boxed_above_each_quantile():
    map = np.zeros((40, 40), np.float32)
    map[5:15, 5:25] = 1  # an eighth of the picture
    map[30:34, 30:34] = 1  # a hundredth: not the largest piece
    pairs = localisation._threshold(map, [(5, 5, 25, 15)], map > 0)
    for quantile, (iou, shared) in zip(localisation.QUANTILES, pairs, strict=True):
        expected = (1.0, 200 / 216) if quantile < 1 - 216 / 1600 else (0.0, 0.0)
        assert (iou, shared) == pytest.approx(expected)


def test_one_object_has_no_interval():
    estimate = bootstrap_mean(np.array([0.0, 1.0]), np.array([0, 0]))
    assert (
        estimate.value == 0.5 and np.isnan(estimate.low) and np.isnan(estimate.high) and estimate.text() == "0.500"
    )


def test_what_an_earlier_version_or_another_device_kept_is_not_taken(net, monkeypatch):
    settings = asdict(get_localisation_method("paper"))
    keys = {checkpoint.digest(net, [], settings)}
    monkeypatch.setattr(minicnn, "__version__", "0.0.0")
    keys.add(checkpoint.digest(net, [], settings))
    monkeypatch.setattr(checkpoint, "digest_network", lambda net: digest_network(net) | {"device": "elsewhere"})
    keys.add(checkpoint.digest(net, [], settings))
    assert len(keys) == 3


def test_overlaps():
    assert box_iou((0, 0, 4, 2), (2, 0, 6, 2)) == 4 / 12
    assert box_iou((0, 0, 2, 2), (2, 2, 4, 4)) == 0
    assert box_iou((1, 2, 3, 4), (1, 2, 3, 4)) == 1
    a, b = np.eye(4, dtype=bool), np.ones((4, 4), bool)
    assert mask_iou(a, b) == 1 / 4 and mask_iou(a & False, b & False) == 0


def test_intervals_are_by_groups():
    # one hundred copies of one picture tell no more than one
    values = np.repeat(np.random.default_rng(0).random(20), 100)
    groups = np.repeat(np.arange(20), 100)
    by_group = bootstrap_mean(values, groups)
    alone = bootstrap_mean(values[::100], np.arange(20))
    independent = bootstrap_mean(values, np.arange(2000))
    assert (by_group.low, by_group.high) == pytest.approx((alone.low, alone.high)) and alone.value != alone.low
    assert by_group == bootstrap_mean(values, groups)
    assert independent.high - independent.low < 0.3 * (by_group.high - by_group.low)
    # the standard error of a mean, known: 1.96 sd / sqrt(n); the bootstrap's own error is some 5 %
    normal = np.random.default_rng(1).standard_normal(400)
    estimate = bootstrap_mean(normal, np.arange(400))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * normal.std() / 20, rel=0.1)


def test_a_run_goes_on_where_it_stopped(net, folder, done, tmp_path, monkeypatch):
    measured = localisation._measure
    seen = []

    def stops(net, example, method, draw):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(example.image.name)
        return measured(net, example, method, draw)

    monkeypatch.setattr(localisation, "_measure", stops)
    with pytest.raises(KeyboardInterrupt):
        evaluate_localisation(net, folder, "paper", keep=tmp_path)
    (kept,) = tmp_path.iterdir()
    with open(kept, "a") as file:
        file.write('\n{"number": "1", "row": {"im')  # cut off while writing
    monkeypatch.setattr(localisation, "_measure", lambda *a: (seen.append(a[1].image.name), measured(*a))[1])
    evaluation = evaluate_localisation(net, folder, "paper", keep=tmp_path)
    assert seen == ["0.png", "1.png", "2.png"]
    assert evaluation.estimates == done.estimates
    again = evaluate_localisation(net, folder, "paper", keep=tmp_path)
    assert len(seen) == 3 and again.estimates == done.estimates
    other = replace(localisation.get_localisation_method("paper"), crops="one")
    evaluate_localisation(net, folder, other, keep=tmp_path)
    assert len(seen) == 6


def test_the_command_writes_table_and_sheet(folder, tmp_path, capsys):
    words = [
        "evaluate",
        "localisation",
        str(folder),
        "--method",
        "paper",
        "--net",
        "digits",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["images"] == 3 and record["groups"] == 2 and "not comparable" in record["caution"]
    with open(record["table"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png"] and float(rows[1]["iou"]) < 0.5
    with Image.open(record["sheet"]) as sheet:
        assert sheet.width > 300
    kept = provenance.read(record["sheet"])
    assert kept["settings"]["method"] == "paper" and kept["settings"]["searched"] == 3
    names = {image["name"] for image in kept["images"]}
    assert names == {os.path.relpath(folder / f"{n}.png", tmp_path / "out") for n in range(3)}
    assert kept["result"]["ious"][:3] == sorted(kept["result"]["ious"][:3])
    with pytest.raises(MinicnnError, match="kind 'worst-best' is not computed again"):
        verification.verify_figure(record["sheet"])
    assert main([*words, "--images", "1"]) == 0
    text = capsys.readouterr().out
    assert "whole picture" in text and "not comparable" in text and "1 pictures of 1 objects" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.png,,7,0,0,1000,3,a", "leaves the picture"),
        ("0.png,,12,0,0,3,3,a", "class 12"),
        ("none.png,,7,0,0,3,3,a", "none.png"),
        ("0.png,small.png,7,0,0,3,3,a", "a mask of"),
    ],
)
def test_labels_that_do_not_fit_are_said(net, folder, tmp_path, line, message):
    (tmp_path / "labels.csv").write_text(f"{HEAD}\n{line}\n")
    (tmp_path / "0.png").write_bytes((folder / "0.png").read_bytes())
    Image.new("1", (2, 2), 1).save(tmp_path / "small.png")
    with pytest.raises((ImageError, MinicnnError), match=message):
        evaluate_localisation(net, tmp_path, "paper")


def test_no_pictures_and_unknown_methods(net, folder):
    with pytest.raises(MinicnnError, match="got none"):
        evaluate_localisation(net, [])
    with pytest.raises(MinicnnError, match="expected one of consensus, paper"):
        evaluate_localisation(net, folder, "best")


def test_confidences_are_held_against_what_was_right(net, folder, monkeypatch):
    answer = localisation._answer

    def sure(*arguments):
        answers, seconds = answer(*arguments)
        return [a._replace(confidence=0.9 if a.saliency.target == 7 else 0.2) for a in answers], seconds

    monkeypatch.setattr(localisation, "_answer", sure)
    evaluation = evaluate_localisation(net, folder, "paper")
    hits = np.array([row["iou"] >= 0.5 for row in evaluation.rows])
    confidences = np.array([0.9, 0.9, 0.2])
    assert evaluation.calibration.brier == pytest.approx(np.mean((confidences - hits) ** 2))
    assert evaluation.calibration.bins == [
        (1, 0.2, float(hits[2])),
        (1, 0.9, float(hits[0])),
        (1, 0.9, float(hits[1])),
    ]
    assert "Brier score" in evaluation.text() and evaluation.record()["calibration"]["bins"]
    monkeypatch.setattr(localisation, "_answer", answer)
    assert evaluate_localisation(net, folder, "paper").calibration is None
