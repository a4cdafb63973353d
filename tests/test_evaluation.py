"""The ILSVRC protocol: figures follow from boxes, baselines are what they say, runs go on where they stopped."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import catalogue
from minicnn.cli import main
from minicnn.errors import ImageError, MinicnnError
from minicnn.explain import evaluate_localisation, evaluation, localise
from minicnn.explain.dataset import read_dataset, read_mask
from minicnn.explain.intervals import interval
from minicnn.explain.overlap import box_iou, mask_iou
from minicnn.images import load_image

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
    return evaluate_localisation(net, folder)


def test_figures_follow_from_what_localise_finds(net, folder, done):
    examples = read_dataset(folder)
    for example, row in zip(examples, done.rows, strict=True):
        (found,) = localise(net, example.image, [example.classes[0]])
        assert row["iou"] == box_iou(found.box, example.boxes[0]) and tuple(row["box"]) == found.box
        assert row["mask_iou"] == mask_iou(found.mask, read_mask(example))
    ious = [row["iou"] for row in done.rows]
    assert done.figures["paper"]["IoU >= 0.5"].value == np.mean(np.array(ious) >= 0.5)
    assert done.figures["paper"]["box IoU"].value == np.mean(ious)
    assert [row["top1"] for row in done.rows] == [True, True, False]
    assert done.classification["top-1 error"].value == 1 / 3
    assert done.figures["paper"]["top-1 error"].value >= 2 / 3 > 0.5 >= 0  # the second box, the third class


def test_baselines_are_what_they_say(done, folder):
    with Image.open(SEVEN) as picture:
        width, height = picture.size
    whole = next(found for name, found in done.figures.items() if name.startswith("whole"))
    boxes = [example.boxes[0] for example in read_dataset(folder)]
    expected = [(b[2] - b[0]) * (b[3] - b[1]) / (width * height) for b in boxes]
    assert whole["box IoU"].value == pytest.approx(np.mean(expected))
    labels = list(done.figures)
    assert labels[0] == "paper" and [name.split(",")[0] for name in labels[1:]] == [
        "thresholded map",
        "centre box",
        "whole picture",
    ]
    for found in done.figures.values():
        for figure in found.values():
            assert 0 <= figure.low <= figure.value <= figure.high <= 1


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
    by_group = interval(values, groups)
    alone = interval(values[::100], np.arange(20))
    apart = interval(values, np.arange(2000))
    assert (by_group.low, by_group.high) == pytest.approx((alone.low, alone.high)) and alone.value != alone.low
    assert by_group == interval(values, groups)
    assert apart.high - apart.low < 0.3 * (by_group.high - by_group.low)
    # the standard error of a mean, known: 1.96 sd / sqrt(n); the bootstrap's own error is some 5 %
    normal = np.random.default_rng(1).standard_normal(400)
    found = interval(normal, np.arange(400))
    assert found.high - found.low == pytest.approx(2 * 1.96 * normal.std() / 20, rel=0.1)


def test_a_run_goes_on_where_it_stopped(net, folder, done, tmp_path, monkeypatch):
    measured = evaluation._measured
    seen = []

    def stops(net, example, method):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(example.image.name)
        return measured(net, example, method)

    monkeypatch.setattr(evaluation, "_measured", stops)
    with pytest.raises(KeyboardInterrupt):
        evaluate_localisation(net, folder, keep=tmp_path)
    (kept,) = tmp_path.iterdir()
    with open(kept, "a") as file:
        file.write('\n{"number": 1, "row": {"im')  # cut off while writing
    monkeypatch.setattr(evaluation, "_measured", lambda *a: (seen.append(a[1].image.name), measured(*a))[1])
    found = evaluate_localisation(net, folder, keep=tmp_path)
    assert seen == ["0.png", "1.png", "2.png"]
    assert found.figures == done.figures
    again = evaluate_localisation(net, folder, keep=tmp_path)
    assert len(seen) == 3 and again.figures == done.figures
    other = replace(evaluation.method_named("paper"), crops="one")
    evaluate_localisation(net, folder, other, keep=tmp_path)
    assert len(seen) == 6


def test_the_command_writes_table_and_sheet(folder, tmp_path, capsys):
    words = ["evaluate", "localisation", str(folder), "--net", "digits", "-o", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["images"] == 3 and record["groups"] == 2 and "not comparable" in record["caution"]
    with open(record["table"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png"] and float(rows[1]["iou"]) < 0.5
    with Image.open(record["sheet"]) as sheet:
        assert sheet.width > 300
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
        evaluate_localisation(net, tmp_path)


def test_no_pictures_and_unknown_methods(net, folder):
    with pytest.raises(MinicnnError, match="got none"):
        evaluate_localisation(net, [])
    with pytest.raises(MinicnnError, match="expected one of paper"):
        evaluate_localisation(net, folder, "best")
