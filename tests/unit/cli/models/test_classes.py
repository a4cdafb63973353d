"""Classes on the command line: listed, searched, offered; their probability and the views that it is a mean of."""

import json

import pytest

from tests.unit.cli.test_cli import COFFEE, SEVEN, complaint, run  # noqa: F401  # a fixture


def test_classes_are_listed_and_searched(run):  # noqa: F811
    status, out, _ = run("classes", "--net", "digits")
    assert status == 0 and out.splitlines() == [f"{c}  {c}" for c in range(10)]
    # a word that stands by itself comes before one that is part of another
    status, out, _ = run("classes", "Cat")
    assert status == 0 and out.splitlines()[0] == "282  tiger cat" and "145  king penguin" not in out
    assert out.splitlines()[-1].endswith("catamaran")
    assert json.loads(run("classes", "tiger", "cat", "--json")[1]) == [{"target": 282, "label": "tiger cat"}]


def test_classes_that_are_not_there(run, tmp_path):  # noqa: F811
    assert "no label contains 'espreso'; did you mean 'espresso'?" in complaint(run("classes", "espreso"))
    import minicnn

    net = minicnn.load("digits")
    net.labels = None
    minicnn.save(net, tmp_path / "d.npz")
    assert "--labels FILE" in complaint(run("classes", "--net", "d.npz"))


@pytest.mark.parametrize("words", [("saliency",), ("saliency", "--method", "occlusion"), ("localise",)])
def test_a_word_in_labels_is_answered_with_them_before_the_net_runs(run, monkeypatch, words):  # noqa: F811
    monkeypatch.setattr("minicnn.network.Network.forward", lambda *_: pytest.fail("the net ran"))
    monkeypatch.setattr("minicnn.network.Network.trace", lambda *_: pytest.fail("the net ran"))
    status, out, err = run(*words, COFFEE, "--target", "cat")
    assert status and not out
    assert "no class 'cat'; did you mean 'tiger cat' (282), 'Persian cat' (283)" in err


@pytest.mark.parametrize(("crops", "views"), [("one", 1), ("ten", 10)])
def test_commands_agree_on_a_probability_and_say_of_how_many_views_it_is(run, crops, views):  # noqa: F811
    said = f"({views} view{'s' * (views > 1)})"
    records = [json.loads(run("predict", COFFEE, "--crops", crops, "--json")[1])[0]]
    records[0] |= records[0]["predictions"][0]
    for words in (("saliency",), ("saliency", "--method", "grad-cam"), ("localise", "--method", "paper")):
        status, out, _ = run(*words, COFFEE, "--crops", crops, "-o", f"{len(records)}", "--json")
        (record,) = json.loads(out)
        assert status == 0
        records.append(record["detections"][0] if "detections" in record else record)
    assert {record["views"] for record in records} == {views}
    assert len({(record["label"], round(record["probability"], 6)) for record in records}) == 1
    assert said in run("saliency", COFFEE, "--crops", crops, "-o", "text")[1]
    assert f"efficientnet-lite0, {said[1:]}" in run("predict", COFFEE, "--crops", crops)[1]


def test_nets_that_see_no_mirror_image_have_fewer_views(run):  # noqa: F811
    assert json.loads(run("predict", SEVEN, "--net", "digits", "--crops", "ten", "--json")[1])[0]["views"] == 1
