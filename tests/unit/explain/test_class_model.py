"""Class models: the objective climbs, the answer is stationary, the options do what they say."""

import json
import weakref

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import minicnn
from minicnn import Network
from minicnn.cli import main
from minicnn.errors import ImageError, MinicnnError
from minicnn.explain import Ascent, class_model, maximise
from minicnn.explain.top_images import top_images
from minicnn.figures import verification
from minicnn.images import list_images
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
    model = class_model(net, 2, settings=Ascent(steps=600, step=0.05, l2=0.1))
    np.testing.assert_allclose(model.x, expected, atol=2e-3 * np.abs(expected).max())
    assert (
        model.image.shape == (4, 4, 3)
        and model.in_input_units
        and model.label is None
        and model.stopped == "steps done"
    )


def test_on_the_ball_the_optimum_is_the_weight_s_direction():
    net = linear_net()
    w = net["1"].weight[2].reshape(3, 4, 4)
    model = maximise(net, None, 2, "l2_ball", settings=Ascent(steps=300, radius=2.5))
    np.testing.assert_allclose(model.x, 2.5 * w / np.linalg.norm(w), atol=0.02)
    assert np.linalg.norm(model.x) == pytest.approx(2.5, rel=1e-5)


@pytest.mark.parametrize("target", range(10))
def test_class_models_of_digits_are_seen_as_their_class(digits, target):
    model = class_model(digits, target)
    assert model.probability > 0.99 and model.label == str(target)
    assert len(model.scores) == len(model.gradient_norms) == 201 and model.stopped == "steps done"
    assert model.scores[-1] > model.scores[0] + 10
    # near the top the penalty's pull, 2 lambda ||I||, balances the gradient
    assert 2 * model.settings.l2 * np.linalg.norm(model.x) == pytest.approx(model.gradient_norms[-1], rel=0.2)
    assert model.scores[-1] == pytest.approx(float(digits(model.x[None])[0, target]), rel=1e-5)
    assert model.image.shape == (28, 28, 3) and model.image.std() > 10


def test_options_do_what_they_say(digits):
    def roughness(x):
        return np.abs(np.diff(x[0], axis=0)).mean() / np.abs(x).mean()

    unregularised = class_model(digits, 3, settings=Ascent(steps=60))
    for settings in (
        Ascent(steps=60, blur=0.7),
        Ascent(steps=60, total_variation=0.2),
        Ascent(steps=60, levels=3),
    ):
        model = class_model(digits, 3, settings=settings)
        assert roughness(model.x) < 0.9 * roughness(unregularised.x) and model.probability > 0.9
    clipped = class_model(digits, 3, settings=Ascent(steps=60, clip=True)).x
    assert clipped.min() >= -0.4243 and clipped.max() <= 2.8216 < unregularised.x.max()
    jittered = [class_model(digits, 3, settings=Ascent(steps=30, jitter=2), seed=seed).x for seed in (0, 0, 1)]
    np.testing.assert_array_equal(jittered[0], jittered[1])
    assert np.abs(jittered[0] - jittered[2]).max() > 0.1


def test_coarse_levels_use_the_adjoint_of_enlarging():
    from minicnn.explain import gradient_ascent

    up = gradient_ascent._enlargement((7, 10), 4)
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal((1, 2, 2, 3)), rng.standard_normal((1, 2, 7, 10))
    left = (gradient_ascent._enlarge(small, up) * large).sum()
    assert left == pytest.approx((small * gradient_ascent._enlarge_input_grad(large, up)).sum(), rel=1e-6)
    np.testing.assert_allclose(gradient_ascent._enlarge(np.ones((1, 1, 2, 3)), up), 1, rtol=1e-6)


def test_units_of_other_layers(digits):
    model = maximise(digits, "conv_layers.3", (5, 7, 7), settings=Ascent(steps=40))
    again = digits.forward(model.x[None], upto="conv_layers.3")[0, 5, 7, 7]
    assert model.scores[-1] == pytest.approx(float(again), rel=1e-5) and model.scores[-1] > model.scores[0] + 1
    whole = maximise(digits, "conv_layers.3", 5, settings=Ascent(steps=10))
    assert whole.scores[-1] == pytest.approx(
        float(digits.forward(whole.x[None], upto="conv_layers.3")[0, 5].sum()), rel=1e-4
    )


def test_what_is_later_than_the_paper_is_named():
    assert Ascent(steps=7, l2=0.1, restarts=2, radius=3.0).non_paper_settings() == {}
    everything = Ascent(clip=True, jitter=3, blur=0.5, total_variation=0.1, levels=2).non_paper_settings()
    assert everything == {"clip": True, "jitter": 3, "blur": 0.5, "total_variation": 0.1, "levels": 2}


def test_lambda_s_default_follows_the_size_of_the_image():
    assert Ascent().in_units((1, 28, 28), 1.0).l2 == pytest.approx(0.05)
    assert Ascent().in_units((3, 224, 224), 1.0).l2 == pytest.approx(1.4 / np.sqrt(3 * 224 * 224))
    assert Ascent(l2=0.0).in_units((1, 28, 28), 1.0).l2 == 0


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


def overflowing_net():
    net = linear_net()
    net.load_state_dict({name: np.full_like(a, 1e38) for name, a in net.state_dict().items()} | {"1.bias": INF})
    return net


INF = np.full(5, np.inf, np.float32)


def pictures(folder, count=12):
    """Noise, with one file that is no image among it."""
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(folder / f"{i:02}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("unit", [5, (5, 7, 7)])
def test_top_images_are_those_of_largest_value(digits, tmp_path, unit):
    paths, left_out = list_images(pictures(tmp_path)), []
    top = top_images(digits, iter(paths), "conv_layers.3", unit, 4, left_out.append)
    values = {}
    for path in paths[:-1]:
        y = digits.forward(digits.preprocess(path), upto="conv_layers.3")[0]
        values[path] = float(y[5].sum() if unit == 5 else y[unit])
    best = sorted(values, key=values.get, reverse=True)[:4]
    assert [s.image for s in top] == best and len(left_out) == 1 and "bad.png" in str(left_out[0])
    np.testing.assert_allclose([s.value for s in top], [values[p] for p in best], rtol=1e-6)
    np.testing.assert_array_equal(top[0].view[..., 0], np.asarray(Image.open(best[0])))
    with pytest.raises(ImageError, match=r"bad\.png"):
        top_images(digits, paths, "conv_layers.3", unit)


def test_top_images_are_found_with_few_images_held(digits):
    """At no moment are more pictures alive than are shown, and a few on the way."""
    drawn = []

    def stream():
        rng = np.random.default_rng(0)
        for _ in range(60):
            picture = Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8))
            drawn.append(weakref.ref(picture))
            assert sum(ref() is not None for ref in drawn) < 8
            yield picture

    assert len(top_images(digits, stream(), None, 3, 4)) == 4
    with pytest.raises(MinicnnError, match="at least 1"):
        top_images(digits, [], None, 3, 0)
    with pytest.raises(MinicnnError, match="no images"):
        top_images(digits, [], None, 3)


def drawn(capsys, *words):
    status = main(["class-model", *words, "--net", "digits", "--steps", "4", "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out or "[]"), err


def test_the_command_draws_units_beside_their_top_images(digits, tmp_path, capsys):
    folder = pictures(tmp_path)
    words = ["--layer", "conv_layers.3", "--stimuli", str(folder), "--top", "3", "-o", str(tmp_path / "out")]
    status, (first, second), err = drawn(capsys, "5", "5,7,7", *words)
    assert status == 1 and "bad.png" in err
    assert (first["unit"], second["unit"]) == (5, [5, 7, 7]) and first["layer"] == "conv_layers.3"
    expected = maximise(digits, "conv_layers.3", (5, 7, 7), settings=Ascent(steps=4))
    assert second["scores"] == expected.scores and second["gradient_norms"] == expected.gradient_norms
    best = top_images(digits, list_images(folder)[:-1], "conv_layers.3", 5, 3)
    assert first["stimuli"]["values"] == [s.value for s in best] and first["stimuli"]["searched"] == 13
    assert first["stimuli"]["images"] == [str(s.image) for s in best]
    verdict = verification.verify_figure(first["figure"])
    assert verdict.match and any("not computed again: that these 3" in s for s in verdict.sentences)
    assert main(["class-model", "3", "--net", "digits", "--steps", "2", "-o", str(tmp_path)]) == 0
    assert "3: score" in capsys.readouterr().out


def test_top_images_values_are_verified(tmp_path, capsys):
    folder = pictures(tmp_path, 3)
    _, (record,), _ = drawn(capsys, "3", "--stimuli", str(folder), "-o", str(tmp_path / "out"))
    with Image.open(record["figure"]) as figure:
        kept = json.loads(figure.text["minicnn"])
        kept["result"]["values"][1] += 0.5
        info = PngInfo()
        info.add_text("minicnn", json.dumps(kept))
        figure.save(tmp_path / "false.png", pnginfo=info)
    verdict = verification.verify_figure(tmp_path / "false.png")
    assert not verdict.match and "values: " in verdict.sentences[-1] and verdict.difference == 0


def test_the_command_s_ball_is_le_et_al_s(digits, tmp_path, capsys):
    words = ["--constraint", "l2_ball", "--radius", "1", "-o", str(tmp_path)]
    _, (record,), _ = drawn(capsys, "3", *words)
    expected = maximise(digits, None, 3, "l2_ball", settings=Ascent(steps=4, radius=1.0))
    assert record["scores"] == expected.scores and record["figure"].endswith("class-3.ball.png")
    assert np.linalg.norm(expected.x) == pytest.approx(1, rel=1e-5)
    assert verification.verify_figure(record["figure"]).match


@pytest.mark.parametrize(
    ("words", "expected", "message"),
    [
        (["5,7", "--layer", "conv_layers.3"], 2, "CHANNEL,ROW,COLUMN"),
        (["five", "--layer", "conv_layers.3"], 2, "CHANNEL,ROW,COLUMN"),
        (["64", "--layer", "conv_layers.3"], 2, "out of range"),
        (["5", "--layer", "conv9"], 2, "no layer 'conv9'"),
        (["11", "--constraint", "l2_ball"], 2, "0 to 9"),
        (["3", "--stimuli", "nowhere"], 1, "no such file"),
    ],
)
def test_the_command_names_wrong_words(words, expected, message, tmp_path, capsys):
    status, printed, err = drawn(capsys, *words, "-o", str(tmp_path))
    assert status == expected and printed == [] and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: class_model(net, 10), "0 to 9"),
        (lambda net: class_model(net, "ten"), "no class 'ten'"),
        (lambda net: maximise(net, "conv_layers.3", (99, 0, 0)), "outside"),
        (lambda net: maximise(net, "conv_layers.3", -1), "outside"),
        (lambda net: maximise(net, "conv_layers.3", (1, 2, 3, 4)), "whole numbers"),
        (lambda net: maximise(net, None, 1.5), "whole numbers"),
        (lambda net: maximise(net, None, (1, 0, 0)), "whole numbers"),
        (lambda net: class_model(overflowing_net(), 0), "at step 0 the score is inf"),
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
