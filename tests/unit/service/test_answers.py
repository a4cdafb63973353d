"""What is answered is what the library gives: to the bit alone, and to rounding together."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.batch.answers import Picture, map_size
from minicnn.explain import localise, predict, saliency
from minicnn.layers import Conv2d, Flatten, Linear, ReLU
from minicnn.service.answers import answer
from minicnn.service.questions import Question

UNIT = np.finfo(np.float32).eps / 2


def picture(data):
    return Image.open(io.BytesIO(data))


def numbers(map):
    return np.frombuffer(base64.b64decode(map["base64"]), map["dtype"]).reshape(map["shape"])


@pytest.mark.parametrize("crops", ["one", "ten", "whole"])
def test_predict_gives_the_library_s_bits(serve, net, png, crops):
    served = serve()
    for seed in range(3):
        data = png(30 + seed, 50, seed)
        given = served.ask(f"/predict?crops={crops}&top=3", data)
        assert given.status == 200 and given.headers["batch-size"] == "1"
        expected = predict(net, picture(data), crops=crops, top=3)
        assert given.data["predictions"] == [each._asdict() for each in expected]


def test_a_photograph_of_a_file_and_the_same_bytes_are_one_picture(serve, net, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=turned)
    given = serve().ask("/predict", (tmp_path / "turned.jpg").read_bytes())
    assert given.data["predictions"] == [each._asdict() for each in predict(net, tmp_path / "turned.jpg")]


@pytest.mark.parametrize("query", ["", "rule=guided", "target=3&crops=one", "rule=deconvnet&crops=whole"])
def test_saliency_gives_the_library_s_bits(serve, net, seven, query):
    given = serve().ask(f"/saliency?{query}", seven).data
    settings = dict(part.split("=") for part in query.split("&") if part)
    settings["target"] = int(settings["target"]) if "target" in settings else None
    expected = saliency(net, picture(seven), **settings)
    assert [given[name] for name in ("target", "label", "score", "probability", "rule", "crops")] == [
        getattr(expected, name) for name in ("target", "label", "score", "probability", "rule", "crops")
    ]
    np.testing.assert_array_equal(numbers(given["map"]), expected.placed.at(map_size((280, 280))))
    assert given["size"] == [280, 280] and given["map"]["shape"] == [256, 256]


def test_pictures_are_maps_and_masks(serve, net, seven):
    served = serve()
    given = served.ask("/saliency", seven, Accept="image/png")
    assert given.headers["content-type"] == "image/png"
    map = saliency(net, picture(seven)).placed.at((256, 256))
    expected = np.round(map * (255 / float(map.max())))
    np.testing.assert_array_equal(np.asarray(picture(given.data)), expected)
    given = served.ask("/localise?format=png&target=7", seven, Accept="application/json")
    (detection,) = localise(net, picture(seven), [7])
    np.testing.assert_array_equal(np.asarray(picture(given.data)) > 0, detection.mask)


def test_localise_gives_the_library_s_boxes(serve, net, seven):
    given = serve().ask("/localise?top=2&method=paper", seven).data["detections"]
    expected = localise(net, picture(seven), 2, method="paper")
    assert [each["box"] for each in given] == [list(each.box) for each in expected]
    assert [each["score"] for each in given] == [each.score for each in expected]
    assert given[0]["confidence"] is None and given[0]["localised"]


def small_net():
    """A net of which the terms of every sum can be counted, with weights that are not negative."""
    rng = np.random.default_rng(3)
    weight, last = np.float32(rng.random((4, 1, 3, 3))), np.float32(rng.random((5, 4 * 26 * 26)))
    layers = [
        Conv2d(1, 4, 3, weight=weight, bias=np.zeros(4, np.float32)),
        ReLU(),
        Flatten(),
        Linear(4 * 26 * 26, 5, weight=last, bias=np.zeros(5, np.float32)),
    ]
    return minicnn.Network(
        layers,
        input_shape=(1, 28, 28),
        preprocess=minicnn.Preprocess((28, 28), channels="L", mean=(0.0,), std=(1.0,)),
        labels=list("abcde"),
    )


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_scores_of_a_batch_are_the_library_s_to_the_rounding_of_their_sums(device):
    """No value is negative, so that n additions of either order are off by at most n u of the sum itself."""
    import json

    net = small_net().to(device)
    x = np.random.default_rng(4).random((8, 1, 28, 28), np.float32)
    pictures = [Picture(each[None], net.preprocess.views((28, 28))) for each in x]
    terms = (9 + 1) + (4 * 26 * 26 + 1)  # of a convolution's sum, then of a score's
    for each, reply in zip(x, answer(net, Question("predict", 5), pictures), strict=True):
        expected = net(each[None])[0]
        for prediction in json.loads(reply.body)["predictions"]:
            score = float(expected[prediction["target"]])
            # both may be off, each in its own way
            assert abs(prediction["score"] - score) <= 2 * terms * UNIT * score


def test_each_picture_of_a_batch_gets_its_own_answer(net, png):
    import json

    views = [net.preprocess.batch(picture(png(40, 40, seed)), "one") for seed in range(5)]
    pictures = [Picture(*each) for each in views]
    for task in ("predict", "saliency"):
        question = Question(task, top=10)
        together = [json.loads(reply.body) for reply in answer(net, question, pictures)]
        alone = [json.loads(answer(net, question, [each])[0].body) for each in pictures]
        for one, other in zip(together, alone, strict=True):
            if task == "predict":
                one, other = ({p["target"]: p["score"] for p in r["predictions"]} for r in (one, other))
                assert one.keys() == other.keys()
                # neighbours differ by more than whole scores, roundings by millionths
                np.testing.assert_allclose([one[c] for c in other], list(other.values()), atol=1e-4)
            else:
                assert one["target"] == other["target"]
                expected = numbers(other["map"])
                np.testing.assert_allclose(numbers(one["map"]), expected, atol=1e-4 * expected.max())
