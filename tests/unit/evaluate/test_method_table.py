"""The table of methods: boxes and levels by brute force, baselines, resuming, what is left out, its files."""

import csv
import html
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.insertion_deletion import evaluate_insertion_deletion
from minicnn.evaluate.iou import box_iou
from minicnn.evaluate.method_table import TableSettings, evaluate_methods, parts, result
from minicnn.evaluate.method_table.baselines import BASELINES, edge_maps, random_maps
from minicnn.evaluate.method_table.boxes import LEVELS, cross_validate_level, threshold_ious
from minicnn.evaluate.method_table.measures import MEASURES
from minicnn.evaluate.pointing_game import evaluate_pointing
from minicnn.explain.methods import METHODS
from minicnn.figures.evaluation.method_table import markdown, write_method_table
from minicnn.io import catalogue

SEVEN = catalogue.folder("images") / "seven.png"
BOX = ((80, 60, 200, 220),)
FEW = TableSettings(curve_steps=2, random_pictures=2, costly_pictures=1, noisy_copies=1, truth_pictures=0)
MEASURE = {measure.name: measure for measure in MEASURES}


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


@pytest.fixture
def sevens(tmp_path):
    """Three times the same seven, in files of their own."""
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path in paths:
        path.write_bytes(SEVEN.read_bytes())
    return [Example(path, (7,), BOX, group=path.name) for path in paths]


def test_boxes_are_those_of_scipys_largest_part():
    rng = np.random.default_rng(0)
    map = scipy.ndimage.gaussian_filter(rng.random((40, 30)), 2)
    truth = [(3, 4, 20, 30), (15, 20, 30, 40)]
    for level, iou in zip(LEVELS, threshold_ious(map, truth), strict=True):
        above = map > map.min() + level * (map.max() - map.min())
        labels, _ = scipy.ndimage.label(above, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        rows, columns = scipy.ndimage.find_objects(labels)[int(sizes.argmax())]
        box = (columns.start, rows.start, columns.stop, rows.stop)
        assert iou == pytest.approx(max(box_iou(box, b) for b in truth), abs=1e-4)
    assert threshold_ious(np.ones((5, 5)), truth) == [0.0] * len(LEVELS)


def test_a_level_is_chosen_without_the_pictures_that_it_is_for():
    rng = np.random.default_rng(1)
    ious, groups = rng.random((12, len(LEVELS))), np.arange(12) // 2
    chosen = cross_validate_level(ious, groups, folds=6, seed=0)
    for n in range(12):
        others = [k for k in range(12) if groups[k] != groups[n]]
        hits = [(np.mean([ious[k, level] >= 0.5 for k in others]), level) for level in range(len(LEVELS))]
        best = {level for share, level in hits if share == max(hits)[0]}
        mean = {level: np.mean([ious[k, level] for k in others]) for level in best}
        assert chosen.hits[n] == (ious[n, max(mean, key=mean.get)] >= 0.5)
    assert len(chosen.levels) == 6


def test_edges_are_scipys(net):
    x = np.random.default_rng(3).random((2, 3, 9, 7))
    for view, map in zip(x, edge_maps(net, x, 0).map, strict=True):
        rows, columns = (scipy.ndimage.sobel(view.mean(axis=0), axis, mode="nearest") for axis in (0, 1))
        np.testing.assert_allclose(map, np.hypot(rows, columns), atol=1e-9)


def test_random_maps_are_of_the_input_alone(net):
    x = np.random.default_rng(4).random((2, 1, 5, 5))
    first, second = random_maps(net, x, 0).map
    assert (first != second).any()
    np.testing.assert_array_equal(random_maps(net, x[1:], 3).map[0], second)


def test_rows_are_the_methods_that_there_are(net, sevens, monkeypatch):
    monkeypatch.setitem(
        METHODS, "mine", METHODS["gradient"].__class__("mine", edge_maps, METHODS["gradient"].reference)
    )
    table = evaluate_methods(net, sevens[:1], ["mine", "gradient"], settings=FEW)
    assert list(table.methods) == ["mine", "gradient", *BASELINES]
    mine, edges = (table.estimates[name] for name in ("mine", "edge detector"))
    assert {n: e.value for n, e in mine.items() if n != "CPU seconds"} == {
        n: e.value for n, e in edges.items() if n != "CPU seconds"
    }


def test_figures_are_those_of_the_measures_by_themselves(net, sevens):
    off = replace(sevens[1], boxes=((0, 0, 9, 9),))
    pair = [sevens[0], off]
    table = evaluate_methods(net, pair, ["gradient", "guided"], settings=FEW)
    pointing = evaluate_pointing(net, pair, ["gradient", "guided"])
    curves = evaluate_insertion_deletion(net, pair, ["gradient", "guided"], steps=2)
    for name in ("gradient", "guided"):
        assert table.estimates[name]["pointing"] == pointing.estimates[name]["box"]
        for measure in ("insertion", "deletion"):
            own, other = table.estimates[name][measure], curves.estimates[name][measure]
            assert own.value == pytest.approx(other.value, abs=1e-5)


def test_measurements_are_kept_and_not_made_twice(net, sevens, tmp_path, monkeypatch):
    first = evaluate_methods(net, sevens[:2], ["gradient"], settings=FEW, keep=tmp_path)
    left = []

    def progress(tasks):
        left.extend(tasks)
        return tasks

    monkeypatch.setattr(parts, "average_views", None)  # would fail if it were called
    again = evaluate_methods(net, sevens[:2], ["gradient"], settings=FEW, keep=tmp_path, progress=progress)
    assert left == [] and again.record() == first.record()
    monkeypatch.undo()
    evaluate_methods(net, sevens, ["gradient", "guided"], settings=FEW, keep=tmp_path, progress=progress)
    photographs = [(t.method.name, t.item.group) for t in left if t.part.name == "photographs"]
    assert sorted(photographs) == sorted(
        [(name, "2.png") for name in ("gradient", *BASELINES)] + [("guided", f"{n}.png") for n in range(3)]
    )


def test_a_broken_picture_costs_that_picture(net, sevens, tmp_path):
    sevens[1].image.write_bytes(b"no picture")
    missing = Example(tmp_path / "missing.png", (7,), BOX, group="missing")
    table = evaluate_methods(net, [*sevens, missing], ["gradient"], settings=FEW)
    assert set(table.measured.failed) == {str(sevens[1].image), str(missing.image)}
    assert len(table.values("gradient", MEASURE["pointing"])) == 2
    with pytest.raises(MinicnnError, match=r"no picture could be measured; .*missing\.png"):
        evaluate_methods(net, [missing], ["gradient"], settings=FEW)


def test_a_method_that_refuses_costs_that_method(net, sevens, monkeypatch):
    def refuse(net, x, target, *, progress=iter):
        raise MinicnnError("not for this net")

    monkeypatch.setitem(
        METHODS, "picky", METHODS["gradient"].__class__("picky", refuse, METHODS["gradient"].reference)
    )
    table = evaluate_methods(net, sevens[:2], ["gradient", "picky"], settings=FEW)
    assert table.measured.unavailable["picky, photographs"] == "not for this net" and not table.measured.failed
    assert table.estimates["picky"] == {} and len(table.estimates["gradient"]) > 6
    assert "-" in markdown(table.record())[-1] or markdown(table.record())


def fake_table(values):
    """A table of the curves' areas of some methods on as many pictures."""
    rows = {name: {str(n): {"insertion": v} for n, v in enumerate(own)} for name, own in values.items()}
    measured = result.Measured(
        {"photographs": rows, "curves": rows, "grids": {}, "randomised nets": {}, "known truth": {}}, {}, {}, {}
    )
    groups = {part: {} for part in measured.rows}
    table = result.MethodTable("net", 9, measured, groups, dict.fromkeys(values), {"folds": 2, "seed": 0})
    return table


def test_verdicts_say_where_a_method_is_no_better(monkeypatch):
    monkeypatch.setattr(result, "RANKED", (MEASURE["insertion"],))
    monkeypatch.setattr(result, "MEASURES", (MEASURE["insertion"],))
    base = np.linspace(0.1, 0.5, 9)
    noise = np.array([1, -1, 1, -1, 1, -1, 1, -1, 0]) * 0.1
    table = fake_table({"good": base + 0.1, "alike": base + noise, "bad": base - 0.1, "edge detector": base})
    assert table.compare("good", "edge detector") == {"insertion": "better"}
    assert table.verdict("alike") == ["no better than an edge detector in any of 1 measures"]
    assert table.verdict("bad") == ["no better than an edge detector in any of 1 measures, worse in insertion"]
    assert table.ranks == {"good": 1, "alike": 2.5, "bad": 4, "edge detector": 2.5}


def test_files_hold_the_record(net, sevens, tmp_path):
    table = evaluate_methods(net, sevens[:2], ["gradient"], settings=FEW)
    record = json.loads(json.dumps(table.record()))
    paths = write_method_table(tmp_path, record)
    assert json.loads(paths["record"].read_text())["methods"][0]["name"] == record["methods"][0]["name"]
    with open(paths["table"], newline="") as file:
        rows = {(row["map"], row["measure"]): row for row in csv.DictReader(file)}
    for name, own in table.estimates.items():
        for measure, estimate in own.items():
            assert float(rows[name, measure]["value"]) == pytest.approx(estimate.value, abs=1e-5)
    page = paths["page"].read_text()
    assert "rgba(0, 158, 115, 0.45)" in page and "<script" not in page and "<img" not in page
    # the documentation's table and the page's are the same, which shows baselines in brackets
    lines = [line for line in markdown(record) if line.startswith("| gradient") or line.startswith("| (edge")]
    assert len(lines) == 3 and all(
        html.escape(cell.replace(" [", "\n[")) in page for line in lines for cell in line.strip("| ").split(" | ")
    )


def test_the_command_measures_writes_and_goes_on(sevens, tmp_path, capsys):
    lines = ["image,class_indices,xmin,ymin,xmax,ymax", *(f"{e.image.name},7,80,60,200,220" for e in sevens)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ["evaluate", "methods", str(tmp_path), "--net", "digits", "-o", str(tmp_path / "out"), "--limit", "2"]
    words += ["--methods", "gradient,grad-cam", "--steps", "2", "--truth-pictures", "0", "--copies", "1"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert "grad-cam" in first and "edge detector" in first and first.count("wrote") == 1
    page = (tmp_path / "out" / "methods.html").read_text()
    assert "methods.png" in page and (tmp_path / "out" / "methods.png").is_file()
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert "earlier measurements are kept" in err and "nothing is left" in err
    assert record["measured"] == 2 and record["net"] == "digits" and len(record["methods"]) == 5
    assert main([*words[:-1], "1", "--images", "3", "--kept", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 2  # of three
    assert main([*words, "--methods", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("minicnn: method: expected one of gradient")
