"""Outputs of every shape: one score, independent classes, maps, sequences; each explained as a class score is."""

import numpy as np
import pytest

from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import class_model, localise, predict, saliency
from minicnn.explain.class_model import Ascent
from minicnn.explain.outputs.classifier import as_classifier, describe_outputs
from minicnn.explain.prediction import mean_probabilities
from minicnn.io.load import save
from minicnn.layers import (
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    Permute,
    ReLU,
    Reshape,
    Scale,
    Sigmoid,
    Softmax,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*(one score is|values are) taken:UserWarning")
SIZE = (12, 16)
PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def network(*end, labels=None, maps=4):
    layers = [Conv2d(3, maps, 3, padding=1), ReLU(), *end]
    return Network(layers, (3, *SIZE), Preprocess(SIZE), labels, seed=3)


def scores(classes, *end):
    return (GlobalAvgPool2d(), Flatten(), Linear(4, classes), *end)


STEPS = (Conv2d(4, 5, (12, 1)), Reshape((5, 16)), Permute((1, 0)))
NETS = {
    "one score": network(*scores(1)),
    "one score, sigmoid": network(*scores(1, Sigmoid()), labels=["cat"]),
    "two labels for one score": network(*scores(1, Sigmoid()), labels=["dog", "cat"]),
    "independent classes": network(*scores(3, Sigmoid())),
    "maps": network(Conv2d(4, 3, 3, stride=2)),
    "maps, softmax": network(Conv2d(4, 3, 1), Softmax(), labels=["sky", "cat", "road"]),
    "maps, channels last": network(Conv2d(4, 3, 1), Softmax(), Permute((1, 2, 0))),
    "one map": network(Conv2d(4, 1, 1), Sigmoid()),
    "steps": network(*STEPS),
    "rows": network(Conv2d(4, 5, (12, 1)), Reshape((5, 16)), labels=list("abcde")),
    "ten thousand classes": network(*scores(10_000)),
}


@pytest.mark.parametrize("kind", NETS)
def test_every_shape_of_output_is_explained_as_a_class_score_is(kind):
    net = NETS[kind]
    first, second = predict(net, PICTURE, top=2)
    assert first.probability >= second.probability > 0
    map = saliency(net, PICTURE, second.target, crops="one")
    assert map.map.shape == PICTURE.shape[:2] and map.map.any()
    assert (map.score, map.probability) == pytest.approx((second.score, second.probability))
    # the gradient is that of the score: finite differences along it, in float64
    exact, x = as_classifier(net), net.preprocess(PICTURE).astype(np.float64)
    w = exact.input_gradient(x, second.target)
    step = 1e-6 * w / np.abs(w).max()
    rise = (exact(x + step) - exact(x - step))[0, second.target]
    assert rise == pytest.approx(2 * float((w * step).sum()), rel=1e-4)


@pytest.mark.parametrize("kind", ["one score, sigmoid", "independent classes", "maps, softmax", "steps"])
def test_class_models_and_boxes_know_these_shapes(kind):
    model = class_model(NETS[kind], 1, settings=Ascent(steps=20, l2=0.0))
    assert model.scores[-1] > model.scores[0] and 0 < model.probability < 1
    assert localise(NETS[kind], PICTURE, [1], method="paper")[0].target == 1


def test_a_score_and_its_negation_are_both_explained():
    net = NETS["two labels for one score"]
    score = float(net(net.preprocess(PICTURE))[0, 0])
    cat, dog = (saliency(net, PICTURE, name, crops="one") for name in ("cat", "dog"))
    assert (cat.score, dog.score) == pytest.approx((score, -score))
    assert cat.probability == pytest.approx(1 / (1 + np.exp(-score))) == pytest.approx(1 - dog.probability)
    np.testing.assert_array_equal(cat.gradient, -dog.gradient)
    assert predict(NETS["one score, sigmoid"], PICTURE)[0].label in ("cat", "not cat")


def test_a_score_that_is_no_logit_for_sure_is_doubted():
    with pytest.warns(UserWarning, match="taken as the logit of a positive class; of a regressor"):
        as_classifier(NETS["one score"])


def test_a_sequence_without_names_says_how_it_is_taken():
    with pytest.warns(UserWarning, match="its 80 values are taken as 16 steps of 5 classes"):
        as_classifier(NETS["steps"])


def test_independent_classes_have_probabilities_of_their_own():
    net = NETS["independent classes"]
    x = net.preprocess(PICTURE)
    expected = net.forward(x, upto=net.names[-1])[0]
    assert {p.target: p.probability for p in predict(net, PICTURE)} == pytest.approx(dict(enumerate(expected)))
    # and the gradient of a probability knows no other class
    dp = net.input_gradient(x, 1, of="probability")
    np.testing.assert_allclose(
        dp, expected[1] * (1 - expected[1]) * net.input_gradient(x, 1), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize(
    ("region", "rows", "columns"),
    [
        ((0, 0), [0], [0]),
        ((31, 23), [11], [15]),
        ((0, 0, 32, 24), range(12), range(16)),
        ((4, 6, 9, 10), [3, 4], [2, 3]),  # cells are 2 x 2 pixels; those count whose centres are inside
    ],
)
def test_a_region_of_the_picture_is_scored_by_the_mean_over_its_cells(region, rows, columns):
    net = NETS["maps, softmax"]
    maps = net(net.preprocess(PICTURE))[0]
    seen = saliency(net, PICTURE, "cat", "whole", region=region)
    assert seen.score == pytest.approx(float(maps[1][np.ix_(rows, columns)].mean()), rel=1e-5)
    # a convolution of 3 x 3 sees one cell further
    where = np.argwhere(seen.map > 0)
    assert where.min() >= 0 and len(where) <= 4 * (len(rows) + 4) * (len(columns) + 4)


@pytest.mark.parametrize(
    ("kind", "region", "crops", "message"),
    [
        ("maps", (40, 3), "whole", "is not inside of what the network sees"),
        ("maps", (0, 0, 0, 3), "whole", "is not inside"),
        ("maps", (1, 2, 3), "whole", "expected X,Y or XMIN,YMIN,XMAX,YMAX"),
        ("maps", (0, 0), "ten", "2 views show different places"),
        ("independent classes", (0, 0), "whole", "gives no maps"),
        ("steps", (0, 0), "whole", "gives no maps"),
    ],
)
def test_regions_that_can_not_be_are_refused(kind, region, crops, message):
    with pytest.raises(MinicnnError, match=message):
        saliency(NETS[kind], PICTURE, 1, crops, region=region)


def test_a_region_of_maps_whose_size_is_open_asks_for_the_size():
    with pytest.raises(MinicnnError, match=r"leaves the size of its input open, .*--input-size H,W"):
        as_classifier(Network([Conv2d(3, 4, 3)]), np.ones((2, 2), bool))


def test_labels_tell_which_axis_the_classes_are_on():
    assert describe_outputs(NETS["steps"]) == (5, (16,), True)
    assert describe_outputs(NETS["rows"]) == (5, (16,), False)
    with pytest.raises(MinicnnError, match=r"4 labels do not fit scores of shape \(16, 5\)"):
        network(*STEPS, labels=list("abcd"))


@pytest.mark.parametrize("kind", ["one score, sigmoid", "maps", "steps", "ten thousand classes"])
@pytest.mark.parametrize(
    "words",
    [
        ("predict",),
        ("saliency", "--target", "1"),
        ("saliency", "--method", "grad-cam"),
        ("validity",),
    ],
)
def test_commands_answer(kind, words, tmp_path, capsys):
    from PIL import Image

    save(NETS[kind], tmp_path / "net.npz")
    Image.fromarray(PICTURE).save(tmp_path / "p.png")
    command, *rest = words
    out = ["-o", str(tmp_path)] if command == "saliency" else []
    rest += ["--region", "3,4"] if command == "saliency" and kind == "maps" else []
    assert main([command, str(tmp_path / "p.png"), "--net", str(tmp_path / "net.npz"), *rest, *out]) == 0
    if command == "saliency":
        name = "grad-cam" if "--method" in rest else "saliency"
        assert main(["inspect", "--verify", str(tmp_path / f"p.{name}.png")]) == 0
    assert "100.00%" not in capsys.readouterr().out


def test_scores_that_are_probabilities_get_no_softmax_again():
    net = Network([Linear(4, 3), Softmax(), Scale((), bias=False, weight=np.ones((), np.float32))], (4,), seed=0)
    p = net(np.float32([[1, -2, 3, 0.5], [0, 1, 0, 2]]))
    np.testing.assert_array_equal(mean_probabilities(net, p), p.mean(axis=0))
    equal = np.float32([[0.5, 0.5, 0.5]])
    plain = Network([Linear(4, 3)], (4,), seed=0)
    np.testing.assert_allclose(mean_probabilities(plain, equal), [1 / 3] * 3)
