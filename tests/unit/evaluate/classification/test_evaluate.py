"""The evaluation of a classifier: answers as ``predict`` gives them, kept, continued; classes matched by name."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.evaluate import evaluate_classification
from minicnn.explain import predict
from minicnn.layers import Flatten, Linear
from minicnn.training import Dataset

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 24, 40, 3), np.uint8)
CLASSES = np.arange(12) % 3


def small_net(labels=("cat", "dog", "owl")):
    preprocess = minicnn.Preprocess((16, 16), resize=20)
    return minicnn.Network([Flatten(), Linear(768, 3)], (3, 16, 16), preprocess, list(labels), seed=0)


@pytest.fixture
def folders(tmp_path):
    for n, (pixels, k) in enumerate(zip(PIXELS, CLASSES, strict=True)):
        path = tmp_path / "photos" / ("cat", "dog", "owl")[k] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize("crops", ["one", "ten", "whole"])
def test_answers_are_those_of_predict(folders, crops):
    net = small_net()
    result = evaluate_classification(net, folders, crops=crops)
    assert list(result.measures) == (["one", "ten"] if crops == "ten" else [crops])
    for kind, answers in result.answers.items():
        for answer in answers:
            classes = predict(net, answer.image, crops=kind, top=3)
            assert answer.predicted == classes[0].target and answer.views == classes[0].view_count
            assert classes[answer.rank - 1].target == answer.target
            assert answer.target_probability == pytest.approx(classes[answer.rank - 1].probability, rel=1e-5)
        measures = result.measures[kind]
        assert measures.top1.value == np.mean([a.rank == 1 for a in answers])
        assert measures.loss.value == pytest.approx(np.mean([a.loss for a in answers]))
        assert np.trace(measures.confusion) == sum(a.rank == 1 for a in answers)


def test_classes_are_matched_by_name_and_not_by_order(folders):
    one = evaluate_classification(small_net(), folders)
    net = small_net(("owl", "cat", "dog"))
    targets = {Path(a.image).parent.name: a.target for a in evaluate_classification(net, folders).answers["one"]}
    assert targets == {"owl": 0, "cat": 1, "dog": 2} and one.labels == ["cat", "dog", "owl"]
    with pytest.raises(MinicnnError, match="no class is named 'cat'"):
        evaluate_classification(small_net(("a", "b", "owl")), folders)
    with pytest.raises(MinicnnError, match="named \\('cat'\\), not numbered, and the network has no labels"):
        net = small_net()
        evaluate_classification(minicnn.Network(net.named_layers, net.input_shape, net.preprocess), folders)
    with pytest.raises(MinicnnError, match="'1' is class 0, as another one is"):
        evaluate_classification(small_net(("1", "2", "3")), Dataset(PIXELS, CLASSES))


def test_a_run_goes_on_where_it_was_cut_off(folders, tmp_path):
    class StopError(Exception):
        pass

    def stop_after_five(numbers):
        for n in numbers:
            if n == 5:
                raise StopError
            yield n

    whole = evaluate_classification(small_net(), folders)
    with pytest.raises(StopError):
        evaluate_classification(small_net(), folders, keep=tmp_path, progress=stop_after_five)
    (path,) = tmp_path.glob("answers-*.csv")
    assert len(path.read_text().splitlines()) == 6
    path.write_text(path.read_text()[:-9])  # as if it had been killed in the midst of a line
    left = []
    result = evaluate_classification(small_net(), folders, keep=tmp_path, progress=lambda n: left.extend(n) or n)
    assert len(left) == 8 and result.path == path
    assert (
        result.answers["one"][:4] == whole.answers["one"][:4]
        and result.measures["one"].top1 == whole.measures["one"].top1
    )
    with open(path, newline="") as file:
        assert [int(row["number"]) for row in csv.DictReader(file)] == list(range(12))
    # another network's answers are another file
    evaluate_classification(small_net(("owl", "cat", "dog")), folders, keep=tmp_path)
    assert len(list(tmp_path.glob("answers-*.csv"))) == 2


def test_the_command_names_what_is_broken_and_writes_everything(folders, tmp_path, capsys):
    (folders / "cat" / "broken.png").write_bytes(b"no picture")
    net, out = tmp_path / "net.npz", tmp_path / "out"
    minicnn.save(small_net(), net)
    command = ["evaluate", "classification", str(folders), "--net", str(net), "-o", str(out), "--crops", "ten"]
    assert main([*command, "--json"]) == 1
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    (skipped,) = record["skipped"]
    assert "broken.png" in captured.err and (out / skipped["image"]).resolve() == folders / "cat/broken.png"
    assert record["images"] == 12 and record["ten"]["views"] == [10, 10]
    for kind in ("answers", "confusion", "reliability", "mistakes", "page"):
        assert Path(record[kind]).is_file()
    with open(out / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["class", "cat", "dog", "owl"]
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 12
    page = Path(record["page"]).read_text()
    assert "broken.png" in page and "taken for" in page
    # the same command continues: nothing but the broken one is left
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "12 of 13 images are kept" in captured.err and "top-1 accuracy" in captured.out


def test_of_many_classes_the_most_confused_are_drawn(tmp_path):
    from minicnn.figures.evaluation.classification import write_confusion

    preprocess = minicnn.Preprocess((4, 4), channels="L", mean=(0.0,), std=(1.0,))
    net = minicnn.Network([Flatten(), Linear(16, 60)], (1, 4, 4), preprocess, seed=0)
    images = RNG.integers(0, 256, (300, 4, 4), np.uint8)
    result = evaluate_classification(net, Dataset(images, np.arange(300) % 60))
    write_confusion(tmp_path / "confusion.png", result, {"name": "net"})
    with Image.open(tmp_path / "confusion.png") as figure:
        assert figure.width < 1400
    assert "the 20 classes of lowest F1" in result.text()


def test_ten_views_that_are_one_are_shown_once(folders):
    result = evaluate_classification(small_net(), folders, crops="ten")
    assert result.summary()[0] == ["", "one view", "ten views"]
    one = dataclasses.replace(result.measures["ten"], views=(1, 1))
    header, rows = dataclasses.replace(result, measures={**result.measures, "ten": one}).summary()
    assert header == ["", "one view"] and {len(row) for row in rows} == {2}
