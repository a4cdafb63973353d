"""Degenerate input, a row a case, through the functions and the commands: a clear statement, never NaN."""

import json
import re
import warnings

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import (
    Ascent,
    class_model,
    deconvnet,
    localise,
    maximise,
    predict,
    saliency,
    segment,
    top_images,
)
from minicnn.explain.localise import object_mask
from minicnn.explain.rules_table import rules_by_layer
from minicnn.figures import verification
from minicnn.io import catalogue
from minicnn.layers import Conv2d, Flatten, Linear, ReLU
from minicnn.report import colour_map, normalise, overlay

SEVEN = catalogue.folder("images") / "seven.png"
NOISE = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
PICTURES = {
    "black": np.zeros((30, 40, 3), np.uint8),
    "grey": np.full((30, 40, 3), 127, np.uint8),
    "white": np.full((28, 28, 3), 255, np.uint8),
    "one pixel": NOISE[:1, :1],
    "two pixels": NOISE[:2, :1],
    "one pixel wide": NOISE[:300, :1],
    "one pixel high": NOISE[:1, :300],
    "one pixel wide, one colour": np.full((300, 1, 3), 60, np.uint8),
    "one pixel high, one colour": np.full((1, 28, 3), 60, np.uint8),
    "half black, half white": np.repeat(np.array([0, 255], np.uint8), 600).reshape(30, 40, 1).repeat(3, 2),
}
ONE_COLOUR = {name for name, p in PICTURES.items() if (p == p[0, 0]).all()}
CONSTANT_MAP = "the saliency map is constant"
WARNINGS = (
    "segment: all pixels of the image have the same colour",
    "the cut found no object",
    "vanishes",
    "is not active",
)


def colour_net():
    """Three channels of 8 x 8, cropped from a picture whose short side is 9."""
    layers = [Conv2d(3, 6, 3, padding=1), ReLU(), Flatten(), Linear(6 * 64, 5)]
    return Network(layers, input_shape=(3, 8, 8), preprocess=Preprocess(size=(8, 8), resize=9), name="colour")


def dead_net(bias=-1.0):
    """Every rectifier is shut, so that no score depends on the image: S = 0.25 for each class."""
    net = colour_net()
    state = {name: np.zeros_like(array) for name, array in net.state_dict().items()}
    net.load_state_dict(
        state | {"0.bias": np.full(6, bias, np.float32), "3.weight": net["3"].weight, "3.bias": np.full(5, 0.25)}
    )
    return net


NETS = {"digits": lambda: minicnn.load("digits"), "colour": colour_net}
LAYERS = {"digits": "conv_layers.4", "colour": "1"}


def call_or_message(call):
    """What a call gives, or the sentence that it refuses with; what it warns of has to be a sentence too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except MinicnnError as error:
            result = str(error)
    for warning in caught:
        assert warning.category is UserWarning and any(words in str(warning.message) for words in WARNINGS)
    return result, [str(warning.message) for warning in caught]


def finite(*arrays):
    return all(np.isfinite(a).all() for a in arrays)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("picture", PICTURES)
class TestPictures:
    @pytest.mark.parametrize("crops", ["one", "ten", "whole"])
    @pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
    def test_saliency(self, net, picture, crops, rule):
        result, _ = call_or_message(lambda: saliency(NETS[net](), PICTURES[picture], crops=crops, rule=rule))
        assert result.map.shape == PICTURES[picture].shape[:2] and result.map.max() >= 0
        assert finite(result.map, result.gradient, result.score) and 0 < result.probability <= 1
        shown = overlay(PICTURES[picture], normalise(result.map))
        assert shown.shape == PICTURES[picture].shape

    @pytest.mark.parametrize("method", ["paper", "smooth"])
    def test_localise(self, net, picture, method):
        result, messages = call_or_message(lambda: localise(NETS[net](), PICTURES[picture], 1, method=method))
        if isinstance(result, str):
            assert result.startswith(CONSTANT_MAP) and picture in ("one pixel", "two pixels")
            return
        (result,) = result
        (xmin, ymin, xmax, ymax), (height, width) = result.box, PICTURES[picture].shape[:2]
        assert 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height and result.mask.any()
        assert (picture in ONE_COLOUR) == any("same colour" in message for message in messages)

    def test_deconvnet(self, net, picture):
        result, _ = call_or_message(lambda: deconvnet(NETS[net](), PICTURES[picture], LAYERS[net], 0))
        assert finite(result.x, result.value, result.box) and result.patch.size > 0

    def test_rules_and_classes_and_stimuli(self, net, picture):
        for layer in rules_by_layer(NETS[net](), PICTURES[picture]):
            assert finite(*layer.pictures.values(), layer.deviation)
        assert sum(p.probability for p in predict(NETS[net](), PICTURES[picture], top=99)) == pytest.approx(1)
        ((_, value, seen),) = top_images(NETS[net](), [PICTURES[picture]], LAYERS[net], 0)
        assert np.isfinite(value) and seen.size > 0


PROGRESS = re.compile(r"minicnn: (image|class model|map|cut|activation): \d+")
COMMANDS = {
    "saliency": ["saliency"],
    "localise": ["localise"],
    "localise smooth": ["localise", "--method", "smooth"],
    "deconvnet": ["deconvnet", "--layer", "conv_layers.4", "--channel", "0"],
    "table": ["deconvnet", "--table"],
    "predict": ["predict"],
}


def run_command(words, folder, capsys):
    """Status, plain values and lines of stderr of a command; no number may be missing."""
    status = main([*words, "--json", *([] if words[0] == "predict" else ["-o", str(folder / "out")])])
    out, err = capsys.readouterr()
    output = json.loads(out or "null", parse_constant=lambda name: pytest.fail(f"{name} in the output"))
    assert not [key for key in missing(output) if key not in ("label", "probability", "failed")]
    lines = [line for line in err.splitlines() if not PROGRESS.fullmatch(line)]
    assert all(line.startswith("minicnn: ") and len(line) < 400 for line in lines)
    return status, output, lines


def missing(output):
    if isinstance(output, dict):
        return [k for key, value in output.items() for k in ([key] if value is None else missing(value))]
    return [k for value in output for k in missing(value)] if isinstance(output, list) else []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("picture", PICTURES)
def test_commands(command, picture, tmp_path, capsys):
    path = tmp_path / "picture.png"
    Image.fromarray(PICTURES[picture]).save(path)
    head, *options = COMMANDS[command]
    status, output, messages = run_command([head, str(path), *options, "--net", "digits"], tmp_path, capsys)
    if status == 0:
        assert output and len(messages) <= 2
        figures = list((tmp_path / "out").glob("*.png"))
        assert len(figures) == (command != "predict")
        assert all(
            call_or_message(lambda figure=figure: verification.verify_figure(figure))[0].match
            for figure in figures
        )
        return
    assert head == "localise" and picture in ("one pixel", "two pixels") and not output
    assert len(messages) == 1 and CONSTANT_MAP in messages[0]


def test_class_models_beside_degenerate_pictures(tmp_path, capsys):
    for name, picture in PICTURES.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    words = ["class-model", "3", "--net", "digits", "--steps", "2", "--stimuli", str(tmp_path), "--top", "20"]
    status, (output,), messages = run_command(words, tmp_path, capsys)
    assert status == 0 and not messages and len(output["stimuli"]["values"]) == len(PICTURES)


# a target whose gradient vanishes


@pytest.mark.parametrize("of", ["score", "probability"])
def test_a_vanishing_gradient_gives_a_map_of_zeros_and_says_so(of):
    with pytest.warns(UserWarning, match=f"gradient of the {of} of class 2 vanishes.*zero everywhere"):
        result = saliency(dead_net(), NOISE, target=2, of=of)
    assert not result.map.any() and not normalise(result.map).any() and result.score == pytest.approx(0.25)
    assert len(np.unique(colour_map(normalise(result.map)).reshape(-1, 3), axis=0)) == 1
    with pytest.raises(MinicnnError, match=CONSTANT_MAP):
        object_mask(NOISE, result.map)


def test_a_saturated_probability_says_so():
    """The paper's score still has a gradient where the posterior is 1 to the last bit and has none."""
    net = colour_net()
    state = {name: array.copy() for name, array in net.state_dict().items()}
    state["3.bias"][1] = 1e4
    net.load_state_dict(state)
    assert saliency(net, NOISE, of="score").map.max() > 0
    with pytest.warns(UserWarning, match="gradient of the probability of class 1 vanishes"):
        assert not saliency(net, NOISE, of="probability").map.any()


@pytest.mark.parametrize("method", ["paper", "smooth"])
def test_localise_says_that_a_gradient_vanishes(method):
    with pytest.raises(MinicnnError, match=f"{CONSTANT_MAP}.*gradient vanish"):
        localise(dead_net(), NOISE, [2], method=method)


def test_class_models_say_that_a_gradient_vanishes():
    for call in (
        lambda **how: class_model(dead_net(-1.0), 0, **how),
        lambda **how: maximise(dead_net(), "1", 3, **how),
    ):
        for settings in (Ascent(steps=3), Ascent(steps=3, jitter=2, blur=1, levels=2, clip=True)):
            with pytest.raises(MinicnnError, match="vanishes at the zero image"):
                call(settings=settings)


def test_deconvnet_says_that_nothing_is_active():
    for rule in ("gradient", "deconvnet", "guided"):
        with pytest.warns(
            UserWarning, match="channel 3 of 1 is not active: its activation is 0, .*zero everywhere"
        ):
            result = deconvnet(dead_net(), NOISE, "1", 3, rule=rule)
        assert not result.x.any() and result.value == 0 and result.position == (0, 0)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["saliency", "IMAGE"], 0, "vanishes at this image"),
        (["saliency", "IMAGE", "--of", "probability"], 0, "vanishes at this image"),
        (["localise", "IMAGE"], 1, CONSTANT_MAP),
        (["localise", "IMAGE", "--method", "smooth"], 1, CONSTANT_MAP),
        (["class-model", "2"], 1, "vanishes at the zero image"),
        (["class-model", "2", "--layer", "1"], 1, "vanishes at the zero image"),
        (["class-model", "2", "--constraint", "l2_ball"], 1, "vanishes at the zero image"),
        (["deconvnet", "IMAGE", "--layer", "1", "--channel", "3"], 0, "is not active"),
        (["deconvnet", "IMAGE", "--layer", "1"], 0, "is not active"),
        (["deconvnet", "IMAGE", "--table"], 0, None),
        (["predict", "IMAGE"], 0, None),
    ],
)
def test_commands_say_that_a_gradient_vanishes(words, status, message, tmp_path, capsys):
    minicnn.save(dead_net(), tmp_path / "dead.npz")
    Image.fromarray(NOISE).save(tmp_path / "noise.png")
    words = [str(tmp_path / "noise.png") if word == "IMAGE" else word for word in words]
    output_status, output, messages = run_command([*words, "--net", str(tmp_path / "dead.npz")], tmp_path, capsys)
    assert output_status == status and bool(output) == (status == 0)
    assert len(messages) == (message is not None) and (message is None or message in messages[0])
    assert len(list((tmp_path / "out").glob("*.png"))) == (status == 0 and words[0] != "predict")


# seeds, and colours that are all equal

NONE = np.zeros((20, 30), bool)
CORNER = NONE.copy()
CORNER[:3, :3] = True


@pytest.mark.parametrize(
    ("foreground", "background", "message"),
    [
        (NONE, CORNER, "foreground marks no pixel"),
        (CORNER, NONE, "background marks no pixel"),
        (NONE, NONE, "foreground marks no pixel"),
        (CORNER, CORNER, "9 pixels are seeds of both"),
        (~NONE, CORNER, "9 pixels are seeds of both"),
        (NONE * 0.0, CORNER * 1.0, "foreground marks no pixel"),
        (CORNER * np.nan, CORNER * 1.0, "between 0 and 1"),
    ],
)
def test_seeds_that_overlap_or_are_empty(foreground, background, message):
    with pytest.raises(MinicnnError, match=message):
        segment(NOISE[:20, :30], foreground, background)


@pytest.mark.parametrize(
    ("quantiles", "message"),
    [
        (("1", "0"), None),
        (("0.5", "0.5"), None),
        (("0", "0"), None),
        (("1", "1"), None),
        (("0.2", "0.9"), "0.9 and 0.2"),
    ],
)
def test_quantiles_that_leave_few_seeds_or_overlap(quantiles, message, tmp_path, capsys):
    words = ["localise", str(SEVEN), "--net", "digits", "--foreground", quantiles[0], "--background", quantiles[1]]
    status, output, messages = run_command(words, tmp_path, capsys)
    assert status == (2 if message else 0) and bool(output) == (message is None)
    assert len(messages) <= 1 and all((message or "the cut found no object") in line for line in messages)


def test_reproduce_over_degenerate_pictures(tmp_path, capsys):
    for name, picture in PICTURES.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    _, output, messages = run_command(
        ["reproduce", str(tmp_path), "--net", "digits", "--steps", "2"], tmp_path, capsys
    )
    assert all(any(words in line for words in WARNINGS) for line in messages)
    assert set(output["experiments"]) >= {"saliency", "localisation", "deconvnet"}
    for name, experiment in output["experiments"].items():
        assert name == "evaluation" or experiment["figures"], name


@pytest.mark.parametrize("solver", ["numba", "scipy", "numpy"])
def test_all_equal_colours(solver):
    if solver != "numpy":
        pytest.importorskip(solver)
    picture = np.full((20, 30, 3), 200, np.uint8)
    with pytest.warns(UserWarning, match="same colour, so only seeds and prior tell"):
        mask = segment(picture, CORNER, np.roll(CORNER, 10, axis=1), solver=solver)
    np.testing.assert_array_equal(mask, CORNER)


@pytest.mark.parametrize("fill", [0.0, 2.5, np.nan, np.inf])
def test_a_map_that_marks_nothing(fill):
    with pytest.raises(MinicnnError, match=CONSTANT_MAP):
        object_mask(NOISE[:20, :30], np.full((20, 30), fill, np.float32))


# numbers that are none


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_weights_that_are_no_numbers_are_said(wrong, tmp_path, capsys):
    net = colour_net()
    net.load_state_dict(net.state_dict() | {"3.bias": np.full(5, wrong, np.float32)})
    for call in (
        lambda: saliency(net, NOISE),
        lambda: predict(net, NOISE),
        lambda: localise(net, NOISE, 1),
        lambda: class_model(net, 0),
    ):
        with pytest.raises(MinicnnError, match=r"score is -?(inf|nan)"):
            call()
    minicnn.save(net, tmp_path / "wrong.npz")
    for words in (
        ["saliency", str(SEVEN)],
        ["localise", str(SEVEN)],
        ["class-model", "1"],
        ["predict", str(SEVEN)],
    ):
        status, output, messages = run_command([*words, "--net", str(tmp_path / "wrong.npz")], tmp_path, capsys)
        assert status == 1 and not output and len(messages) == 1
