"""Class models: the objective climbs, the answer is stationary, the options do what they say."""

import numpy as np
import pytest

import minicnn
from minicnn import Network
from minicnn.errors import MinicnnError
from minicnn.explain import Ascent, class_model, maximise
from minicnn.layers import Conv2d, Flatten, Linear, ReLU


@pytest.fixture(scope="module")
def digits():
    return minicnn.load("digits")


def linear_net():
    net = Network([Flatten(), Linear(3 * 4 * 4, 5)], input_shape=(3, 4, 4))
    return net


def test_a_linear_score_s_optimum_is_known_in_closed_form():
    """S_c = w . I + b, so that S_c - lambda ||I||^2 is largest at I = w / (2 lambda)."""
    net = linear_net()
    expected = net["1"].weight[2].reshape(3, 4, 4) / (2 * 0.1)
    found = class_model(net, 2, settings=Ascent(steps=600, step=0.05, l2=0.1))
    np.testing.assert_allclose(found.x, expected, atol=2e-3 * np.abs(expected).max())
    assert found.image is None and found.label is None and found.stopped == "steps done"


def test_on_the_ball_the_optimum_is_the_weight_s_direction():
    net = linear_net()
    w = net["1"].weight[2].reshape(3, 4, 4)
    found = maximise(net, None, 2, "l2_ball", settings=Ascent(steps=300, radius=2.5))
    np.testing.assert_allclose(found.x, 2.5 * w / np.linalg.norm(w), atol=0.02)
    assert np.linalg.norm(found.x) == pytest.approx(2.5, rel=1e-5)


@pytest.mark.parametrize("target", range(10))
def test_class_models_of_digits_are_seen_as_their_class(digits, target):
    found = class_model(digits, target)
    assert found.probability > 0.99 and found.label == str(target)
    assert len(found.scores) == len(found.gradient_norms) == 201 and found.stopped == "steps done"
    assert found.scores[-1] > found.scores[0] + 10
    # near the top the penalty's pull, 2 lambda ||I||, balances the gradient
    assert 2 * found.settings.l2 * np.linalg.norm(found.x) == pytest.approx(found.gradient_norms[-1], rel=0.2)
    assert found.scores[-1] == pytest.approx(float(digits(found.x[None])[0, target]), rel=1e-5)
    assert found.image.shape == (28, 28, 3) and found.image.std() > 10


def test_options_do_what_they_say(digits):
    def roughness(x):
        return np.abs(np.diff(x[0], axis=0)).mean() / np.abs(x).mean()

    plain = class_model(digits, 3, settings=Ascent(steps=60))
    for settings in (
        Ascent(steps=60, blur=0.7),
        Ascent(steps=60, total_variation=0.2),
        Ascent(steps=60, levels=3),
    ):
        found = class_model(digits, 3, settings=settings)
        assert roughness(found.x) < 0.9 * roughness(plain.x) and found.probability > 0.9
    clipped = class_model(digits, 3, settings=Ascent(steps=60, clip=True)).x
    assert clipped.min() >= -0.4243 and clipped.max() <= 2.8216 < plain.x.max()
    jittered = [class_model(digits, 3, settings=Ascent(steps=30, jitter=2), seed=seed).x for seed in (0, 0, 1)]
    np.testing.assert_array_equal(jittered[0], jittered[1])
    assert np.abs(jittered[0] - jittered[2]).max() > 0.1


def test_coarse_levels_use_the_adjoint_of_enlarging():
    from minicnn.explain import ascent

    up = ascent._enlargements((7, 10), 4)
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal((1, 2, 2, 3)), rng.standard_normal((1, 2, 7, 10))
    left = (ascent._enlarged(small, up) * large).sum()
    assert left == pytest.approx((small * ascent._small_gradient(large, up)).sum(), rel=1e-6)
    np.testing.assert_allclose(ascent._enlarged(np.ones((1, 1, 2, 3)), up), 1, rtol=1e-6)


def test_units_of_other_layers(digits):
    found = maximise(digits, "conv_layers.3", (5, 7, 7), settings=Ascent(steps=40))
    again = digits.forward(found.x[None], upto="conv_layers.3")[0, 5, 7, 7]
    assert found.scores[-1] == pytest.approx(float(again), rel=1e-5) and found.scores[-1] > found.scores[0] + 1
    whole = maximise(digits, "conv_layers.3", 5, settings=Ascent(steps=10))
    assert whole.scores[-1] == pytest.approx(
        float(digits.forward(whole.x[None], upto="conv_layers.3")[0, 5].sum()), rel=1e-4
    )


def test_lambda_s_default_follows_the_image_s_size():
    assert Ascent().resolved((1, 28, 28)).l2 == pytest.approx(0.05)
    assert Ascent().resolved((3, 224, 224)).l2 == pytest.approx(1.4 / np.sqrt(3 * 224 * 224))
    assert Ascent(l2=0.0).resolved((1, 28, 28)).l2 == 0


def dead_net():
    layers = [Conv2d(1, 2, 1), ReLU(), Flatten(), Linear(32, 3)]
    net = Network(layers, input_shape=(1, 4, 4))
    state = dict(net.state_dict())
    state["0.weight"], state["0.bias"] = np.ones((2, 1, 1, 1), np.float32), np.full(2, -0.05, np.float32)
    net.load_state_dict(state)
    return net


def test_a_dead_start_is_said_not_papered_over():
    with pytest.raises(MinicnnError, match=r"vanishes at the zero image.*restarts"):
        class_model(dead_net(), 0, settings=Ascent(steps=5))
    assert class_model(dead_net(), 0, settings=Ascent(steps=5, restarts=2)).gradient_norms[0] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: class_model(net, 10), "0 to 9"),
        (lambda net: class_model(net, "ten"), "no class 'ten'"),
        (lambda net: maximise(net, "conv_layers.3", (99, 0, 0)), "outside"),
        (lambda net: maximise(net, "conv9", 0), "no layer 'conv9'"),
        (lambda net: maximise(net, None, 0, "l1"), "'l2_penalty' or 'l2_ball'"),
        (lambda net: class_model(net, 0, settings=Ascent(steps=0)), "steps"),
        (lambda net: class_model(net, 0, settings=Ascent(step=-1.0)), "step"),
        (lambda net: class_model(net, 0, settings=Ascent(jitter=1.5)), "jitter"),
        (lambda net: class_model(net, 0, settings=Ascent(l2=np.nan)), "l2"),
        (lambda net: class_model(Network(net.layers), 0), "input_shape"),
        (lambda net: class_model(linear_net(), 0, settings=Ascent(clip=True)), "clip"),
    ],
)
def test_wrong_words_are_named(digits, call, message):
    with pytest.raises(MinicnnError, match=message):
        call(digits)
