"""A class's probability is one number, whoever is asked, as long as the views are the same."""

import csv
import json
import shutil

import numpy as np
import pytest

import minicnn
from minicnn import batch
from minicnn.cli import main
from minicnn.explain import predict, saliency
from minicnn.io import catalogue
from minicnn.service.answers import answer
from minicnn.service.pictures import decode
from minicnn.service.questions import Question

NET, CLASS, VIEWS = "squeezenet1_1", "koala", {"one": 1, "ten": 10}
PICTURE = catalogue.folder("images") / "koala.jpg"
ROUNDING = 1e-5  # several views at once are other sums than one by one


@pytest.fixture(scope="module")
def net():
    return minicnn.load(NET).to("reference")


@pytest.fixture
def typed(capsys):
    def run(*words):
        assert main([*words, "--net", NET, "--device", "reference", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def served(net, task, crops):
    question = Question(task, crops=crops)
    picture = decode(net, PICTURE.read_bytes(), question, 1 << 24)
    record = json.loads(answer(net, question, [picture])[0].body)
    (first, *_) = record.get("predictions") or record.get("detections") or [record]
    return first["label"], first["probability"], first["view_count"]


def written(rows):
    return [
        row for file in rows.glob("answers*/*.jsonl") for row in map(json.loads, file.read_text().splitlines())
    ]


@pytest.mark.parametrize("crops", VIEWS)
def test_the_probability_of_a_class_is_the_same_everywhere(net, typed, tmp_path, crops):
    (best,) = predict(net, PICTURE, crops=crops, top=1)
    assert best.label == CLASS and best.view_count == VIEWS[crops]
    given = {}
    mapped = saliency(net, PICTURE, crops=crops)
    given["saliency, library"] = mapped.label, mapped.probability, mapped.view_count
    record = typed("predict", str(PICTURE), "--crops", crops)[0]
    given["predict"] = record["predictions"][0]["label"], record["predictions"][0]["probability"], record["views"]
    record = typed("saliency", str(PICTURE), "--crops", crops, "-o", str(tmp_path / "maps"))[0]
    given["saliency"] = record["label"], record["probability"], record["views"]
    for task in ("predict", "saliency"):
        given[f"{task}, service"] = served(net, task, crops)
        batch.run(PICTURE, task, tmp_path / task, net, workers=0, crops=crops, answers="jsonl")
        (row,) = written(tmp_path / task)
        number = row["probabilities"][0] if task == "predict" else row["probability"]
        given[f"{task}, batch"] = (row["labels"][0] if task == "predict" else row["label"]), number, VIEWS[crops]
    folder = tmp_path / "photos" / CLASS
    folder.mkdir(parents=True)
    shutil.copy(PICTURE, folder)
    out = tmp_path / "measured"
    typed("evaluate", "classification", str(folder.parent), "--crops", crops, "-o", str(out))
    rows = [row for path in out.glob("answers-*.csv") for row in csv.DictReader(path.read_text().splitlines())]
    (row,) = [row for row in rows if row["crops"] == crops]
    given["evaluate"] = row["predicted_label"], float(row["probability"]), int(row["views"])
    for who, (label, probability, views) in given.items():
        assert (label, views) == (CLASS, VIEWS[crops]), who
        np.testing.assert_allclose(probability, best.probability, rtol=ROUNDING, err_msg=who)


def test_the_probability_of_what_is_localised_is_that_of_its_views(net, typed, tmp_path):
    (expected,) = predict(net, PICTURE, crops="ten", top=1)
    (record,) = typed("localise", str(PICTURE), "-o", str(tmp_path))[0]["detections"]
    given = {
        "localise": (record["label"], record["probability"], record["views"]),
        "service": served(net, "localise", "one"),
    }
    for who, (label, probability, views) in given.items():
        assert (label, views) == (CLASS, 10), who
        np.testing.assert_allclose(probability, expected.probability, rtol=ROUNDING, err_msg=who)
