"""Pointing game and curves: distances and probabilities again by brute force, figures from rows."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError, ShapeError
from minicnn.evaluate import pointing_game
from minicnn.evaluate.insertion_deletion import (
    area_under_curve,
    evaluate_insertion_deletion,
    insertion_deletion_curves,
)
from minicnn.evaluate.pointing_game import evaluate_pointing, hits_box, hits_mask, random_hit_probability
from minicnn.explain.attribution import input_maps
from minicnn.figures import provenance
from minicnn.images import load_image
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.io import catalogue

SEVEN = catalogue.folder("images") / "seven.png"


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sevens of two objects, with their box and mask, and one whose box is where it is not."""
    folder = tmp_path_factory.mktemp("pointed")
    grey = np.asarray(load_image(SEVEN).convert("L"))
    ink = np.abs(grey.astype(int) - int(grey[0, 0])) > 60
    rows, columns = np.nonzero(ink)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    Image.fromarray(ink).save(folder / "mask.png")
    for n in range(3):
        Image.fromarray(np.clip(grey.astype(int) - 4 * n, 0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    where = ",".join(map(str, box))
    lines = [f"0.png,mask.png,7,{where},a", f"1.png,mask.png,7,{where},b", "2.png,,7,0,0,2,2,a"]
    (folder / "labels.csv").write_text("image,mask,class_indices,xmin,ymin,xmax,ymax,object\n" + "\n".join(lines))
    return folder


def nearest(point, pixels):
    rows, columns = np.nonzero(pixels)
    return min(np.sqrt((r - point[0]) ** 2.0 + (c - point[1]) ** 2.0) for r, c in zip(rows, columns, strict=True))


@pytest.mark.parametrize("tolerance", [0, 1, 2.5, 5])
def test_hits_are_distances_to_pixels(tolerance):
    boxes = [(3, 2, 7, 4), (10, 8, 11, 12)]
    pixels = np.zeros((14, 16), bool)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = True
    hit = np.zeros(pixels.shape, bool)
    for point in np.ndindex(pixels.shape):
        hit[point] = nearest(point, pixels) <= tolerance
        assert hits_box(point, boxes, tolerance) == hits_mask(point, pixels, tolerance) == hit[point]
    assert random_hit_probability(pixels.shape, boxes, tolerance) == hit.mean()


def test_a_mask_without_pixels_is_never_hit():
    assert not hits_mask((0, 0), np.zeros((3, 3), bool), 10)


def test_points_are_the_maps_maxima(net, folder):
    comparison = evaluate_pointing(net, folder, ("gradient", "guided"), tolerance=0, smoothing=0)
    for row in comparison.rows:
        map = minicnn.explain.saliency(net, folder / row["image"], 7, "whole", "guided").map
        assert tuple(row["points"]["guided"]) == np.unravel_index(map.argmax(), map.shape)
        assert row["target"] == 7
    boxes = [row["box"]["guided"] for row in comparison.rows]
    assert comparison.estimates["guided"]["box"].value == np.mean(boxes) and boxes == [True, True, False]
    assert comparison.groups == 2 and "mask" not in comparison.estimates["guided"]  # the third picture has none
    assert comparison.estimates["random point"]["box"].value < 1 and list(comparison.estimates)[-2] == "centre"


def test_smoothing_is_of_the_longer_side(net, folder):
    map = minicnn.explain.saliency(net, folder / "0.png", 7, "whole").map
    smooth = gaussian_blur(map, 0.1 * max(map.shape))
    comparison = evaluate_pointing(net, folder, ("gradient",), smoothing=0.1)
    assert tuple(comparison.rows[0]["points"]["gradient"]) == np.unravel_index(smooth.argmax(), smooth.shape)


def test_a_flat_map_points_nowhere():
    assert pointing_game._argmax(np.zeros((3, 4), np.float32), 0.0, (3, 4)) is None
    assert pointing_game._argmax(np.eye(3, dtype=np.float32), 0.0, (3, 3)) == [0, 0]
    # of a large picture, whose map is smaller, the middle of the pixel
    assert pointing_game._argmax(np.eye(3, dtype=np.float32), 0.0, (30, 60)) == [5, 10]


def test_curves_are_probabilities_of_inputs_made_one_by_one(net):
    x = net.preprocess(SEVEN)
    map = input_maps(net, x, 7, "gradient", {}).map[0]
    curves = insertion_deletion_curves(net, x, 7, map, steps=5, batch=2)
    order, blurred = np.argsort(-map.ravel(), kind="stable"), gaussian_blur(x, 5 * 28 / 224)
    for k in range(6):
        pixels = [np.unravel_index(n, map.shape) for n in order[: round(784 * k / 5)]]
        less, more = x.copy(), blurred.copy()
        for r, c in pixels:
            less[0, :, r, c], more[0, :, r, c] = 0, x[0, :, r, c]
        for curve, made in ((curves.deletion, less), (curves.insertion, more)):
            e = np.exp(net(made)[0].astype(np.float64))
            assert curve[k] == pytest.approx(e[7] / e.sum(), rel=1e-4)  # float32 scores
    assert curves.insertion[-1] == pytest.approx(curves.deletion[0])


def test_area_is_that_of_trapezia():
    assert area_under_curve(np.array([1.0, 0.0])) == 0.5 and area_under_curve(np.array([1.0, 1, 0, 0])) == 0.5
    values = np.random.default_rng(0).random(9)
    assert area_under_curve(values) == pytest.approx(sum((values[k] + values[k + 1]) / 2 / 8 for k in range(8)))


def test_a_map_of_the_object_is_better_than_none(net, folder):
    comparison = evaluate_insertion_deletion(net, folder, ("gradient", "integrated-gradients"), steps=16)
    figures = comparison.estimates
    assert figures["integrated-gradients"]["deletion"].value < figures["random order"]["deletion"].value
    assert figures["integrated-gradients"]["insertion"].value > figures["random order"]["insertion"].value
    for row in comparison.rows:
        for name, (deletion, insertion) in row["curves"].items():
            assert row["deletion"][name] == pytest.approx(area_under_curve(np.array(deletion)), abs=1e-5)
            assert row["insertion"][name] == pytest.approx(area_under_curve(np.array(insertion)), abs=1e-5)


@pytest.mark.parametrize("how", [{"steps": 0}, {"batch": 0}])
def test_curves_refuse_what_cannot_be(net, how):
    x = net.preprocess(SEVEN)
    with pytest.raises(MinicnnError, match="curves: expected"):
        insertion_deletion_curves(net, x, 7, x[0, 0], **how)
    with pytest.raises(ShapeError, match="a map"):
        insertion_deletion_curves(net, x, 7, x[0])


@pytest.mark.parametrize("how", [{"tolerance": -1}, {"smoothing": 1}, {"tolerance": np.nan}])
def test_pointing_refuses_what_cannot_be(net, folder, how):
    with pytest.raises(MinicnnError, match="pointing: expected"):
        evaluate_pointing(net, folder, **how)
    with pytest.raises(MinicnnError, match="at least one picture"):
        evaluate_pointing(net, [])


def test_unknown_classes_and_methods_are_named(net, folder, tmp_path):
    (tmp_path / "labels.csv").write_text("image,class_indices,xmin,ymin,xmax,ymax\n0.png,10,0,0,2,2\n")
    (tmp_path / "0.png").write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(MinicnnError, match="class 10, but digits has 10"):
        evaluate_insertion_deletion(net, tmp_path, ("gradient",))
    with pytest.raises(MinicnnError, match="expected one of"):
        evaluate_insertion_deletion(net, folder, ("lime",))


@pytest.mark.parametrize("measure", ["pointing", "curves"])
def test_commands_write_table_and_figure_and_go_on(measure, folder, tmp_path, capsys):
    typed = [
        "evaluate",
        measure,
        str(folder),
        "--net",
        "digits",
        "-o",
        str(tmp_path),
        "--methods",
        "gradient,guided",
    ]
    assert main(typed) == 0
    said = capsys.readouterr().out
    assert "3 pictures of 2 objects" in said and "not comparable" in said
    with open(tmp_path / f"{measure}.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["map"] for line in lines} >= {"gradient", "guided"} and lines[0]["image"] == "0.png"
    record = provenance.read(tmp_path / f"{measure}.png")
    assert record["kind"] == measure and len(record["images"]) == 3 and "gradient" in record["result"]["figures"]
    kept = next(tmp_path.glob("*.jsonl")).read_text()
    assert main([*typed, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["images"] == 3 and set(record["figures"]) >= {"gradient", "guided"}
    assert next(tmp_path.glob("*.jsonl")).read_text() == kept  # nothing was measured twice
