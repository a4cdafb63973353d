"""Later maps against torch's own gradients, occlusion against covering each window in turn."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain import (
    attribution,
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    occlusion,
)
from minicnn.explain.attribution import input_maps
from minicnn.explain.grad_cam import class_activation, last_convolution
from minicnn.explain.methods import METHODS, complete_settings
from minicnn.figures import provenance
from minicnn.figures.attribution import write_attribution
from minicnn.figures.verification import verify_figure
from minicnn.io import catalogue
from minicnn.io.digest import digest_network
from minicnn.layers import (
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from tests.helpers.torch_lite0 import Lite0, digits, load_weights

IMAGES = catalogue.folder("images")
TOLERANCE = 1e-9  # of the largest value; float64 leaves about 1e-12 after some twenty layers


def double(name):
    net = minicnn.load(name)
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    return net


def small():
    layers = [
        ("a", Conv2d(2, 4, 3, padding=1)),
        ReLU(),
        MaxPool2d(2),
        ("block", Sequential([("b", Conv2d(4, 5, 3, padding=1)), ("r", ReLU())])),
        ("skip", Residual([("c", Conv2d(5, 5, 3, padding=1)), ("s", ReLU())])),
        Flatten(),
        ("full", Linear(80, 3)),
    ]
    net = minicnn.Network(layers, input_shape=(2, 8, 8), seed=1)
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    return net


def small_in_torch(net):
    """The same net in torch: (x -> the first activations, those -> scores), for the end of ``block``."""
    p = {k: torch.from_numpy(v.copy()) for k, v in net.state_dict().items()}

    def front(x):
        y = F.max_pool2d(F.relu(F.conv2d(x, p["a.weight"], p["a.bias"], padding=1)), 2)
        return F.relu(F.conv2d(y, p["block.b.weight"], p["block.b.bias"], padding=1))

    def back(y):
        y = y + F.relu(F.conv2d(y, p["skip.c.weight"], p["skip.c.bias"], padding=1))
        return F.linear(y.flatten(1), p["full.weight"], p["full.bias"])

    return front, back


def case(name):
    """Return (net in float64, front, back of its torch net, layer between them, inputs, class)."""
    rng = np.random.default_rng(3)
    if name == "small":
        net = small()
        return (net, *small_in_torch(net), "block", rng.standard_normal((2, 2, 8, 8)), 1)
    net = double(name)
    if name == "digits":
        torch_net = load_weights(digits().double(), net)
        x = net.preprocess(IMAGES / "seven.png").astype(np.float64)
        back = torch.nn.Sequential(torch_net.conv_layers[8], torch_net.flatten, torch_net.fc_layers)
        return net, torch_net.conv_layers[:8], back, "conv_layers.7", x, 7
    torch_net = load_weights(Lite0().double(), net)

    def front(x):
        x = F.relu6(torch_net._bn0(torch_net._conv_stem(x)))
        for block in torch_net._blocks:
            x = block(x)
        return F.relu6(torch_net._bn1(torch_net._conv_head(x)))

    x = net.preprocess(IMAGES / "coffee.png").astype(np.float64)
    return net, front, lambda y: torch_net._fc(y.mean((2, 3))), "_conv_head_relu", x, 967


NETS = ("small", "digits", "efficientnet-lite0")


def close(actual, expected):
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def torch_gradient(front, back, x, target):
    x = torch.from_numpy(x).requires_grad_()
    (dx,) = torch.autograd.grad(back(front(x))[:, target].sum(), x)
    return dx.numpy()


@pytest.mark.parametrize("name", NETS)
def test_gradient_times_input_equals_torch(name):
    net, front, back, _, x, target = case(name)
    close(gradient_times_input(net, x, target), x * torch_gradient(front, back, x, target))


@pytest.mark.parametrize("name", NETS)
def test_integrated_gradients_equal_torch_and_report_what_they_miss(name):
    net, front, back, _, x, target = case(name)
    steps, baseline = 6, -0.25
    points = [baseline + (x - baseline) * (k + 0.5) / steps for k in range(steps)]
    mean = np.mean([torch_gradient(front, back, p, target) for p in points], axis=0)
    integral = integrated_gradients(net, x, target, steps=steps, baseline=baseline)
    close(integral.attribution, (x - baseline) * mean)
    with torch.no_grad():
        ends = [back(front(torch.from_numpy(p)))[:, target].numpy() for p in (x, np.full_like(x, baseline))]
    close(integral.change, ends[0] - ends[1])
    close(integral.error, ((x - baseline) * mean).sum(axis=(1, 2, 3)) - (ends[0] - ends[1]))


def test_completeness_error_falls_with_the_steps():
    net, *_, x, target = case("digits")
    errors = [np.abs(integrated_gradients(net, x, target, steps=n).error[0]) for n in (2, 16, 256)]
    change = integrated_gradients(net, x, target, steps=1).change[0]
    assert errors[2] < errors[0] / 5 and errors[2] < 1e-3 * abs(change)


def test_integrated_gradients_of_a_linear_net_are_exact():
    net = minicnn.Network([Flatten(), Linear(12, 2)], input_shape=(3, 2, 2))
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 2))
    integral = integrated_gradients(net, x, 1, steps=1, baseline=x[:1] + 1)
    # rounding of 12 terms in float64, and of nothing else
    np.testing.assert_allclose(integral.error, 0, atol=1e-13)
    np.testing.assert_allclose(integral.attribution[0].sum(), integral.change[0], rtol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_grad_cam_equals_torch(name):
    net, front, back, layer, x, target = case(name)
    maps = front(torch.from_numpy(x)).detach().requires_grad_()
    (dy,) = torch.autograd.grad(back(maps)[:, target].sum(), maps)
    expected = (dy.mean((2, 3), keepdim=True) * maps).sum(1).detach()
    close(class_activation(net, x, target, layer), expected)
    large = F.interpolate(F.relu(expected)[:, None].float(), x.shape[2:], mode="bilinear", align_corners=False)
    cam = grad_cam(net, x, target, layer=layer)
    # Pillow interpolates float32 in fixed steps of its own
    np.testing.assert_allclose(cam, large[:, 0], rtol=0, atol=1e-5 * float(large.max()))
    assert cam.dtype == np.float32


def test_grad_cam_reads_the_last_convolution_with_what_belongs_to_it():
    assert last_convolution(minicnn.load("digits"), (1, 28, 28)) == "conv_layers.7"
    assert last_convolution(minicnn.load("efficientnet-lite0"), (3, 224, 224)) == "_conv_head_relu"
    assert last_convolution(small(), (2, 8, 8)) == "skip"
    net = minicnn.zoo.build("squeezenet1_1")
    shape = net.forward(np.zeros((1, 3, 224, 224), np.float32), upto=last_convolution(net, (3, 224, 224))).shape
    assert len(shape) == 4 and shape[2] > 1


def test_grad_cam_inside_of_blocks():
    net, *_, x, target = case("small")
    close(class_activation(net, x, target, "block.r"), class_activation(net, x, target, "block"))
    with pytest.raises(MinicnnError, match="name 'skip' itself"):
        grad_cam(net, x, target, layer="skip.c")
    with pytest.raises(MinicnnError, match="no layer 'nowhere'"):
        grad_cam(net, x, target, layer="nowhere")
    with pytest.raises(ShapeError, match="expected maps"):
        grad_cam(net, x, target, layer="full")
    flat = minicnn.Network([Flatten(), Linear(12, 2)], input_shape=(3, 2, 2))
    with pytest.raises(MinicnnError, match="no convolution"):
        grad_cam(flat, np.zeros((1, 3, 2, 2)), 0)


@pytest.mark.parametrize(("window", "stride", "batch"), [(3, 2, 4), (8, 5, 1), (2, 2, 100), (5, 1, 7)])
def test_occlusion_equals_covering_each_window(window, stride, batch):
    net, *_, x, target = case("small")
    fall = occlusion(net, x, target, window=window, stride=stride, fill=0.5, batch=batch)
    for v, view in enumerate(x):
        for pixel in ((0, 0), (7, 7), (3, 4), (6, 1)):
            falls = []
            starts = sorted({*range(0, 9 - window, stride), 8 - window})
            for top in starts:
                for left in starts:
                    if top <= pixel[0] < top + window and left <= pixel[1] < left + window:
                        covered = view.copy()
                        covered[:, top : top + window, left : left + window] = 0.5
                        falls.append(net(view[None])[0, target] - net(covered[None])[0, target])
            np.testing.assert_allclose(fall[v][pixel], np.mean(falls), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [{"window": 9}, {"window": 3, "stride": 4}, {"stride": 0}, {"batch": 0}])
def test_occlusion_refuses_sizes_out_of_range(sizes):
    net, *_, x, target = case("small")
    with pytest.raises(MinicnnError, match="occlusion: expected"):
        occlusion(net, x, target, **sizes)


def test_no_method_holds_all_samples_at_once(monkeypatch):
    """Whatever the number of samples, no forward pass sees more than one batch of them."""
    net, *_, x, target = case("small")
    net.preprocess = minicnn.Preprocess(size=(8, 8), mean=(0.0,), std=(1.0,), channels="L")
    sizes, run = [], minicnn.Network._program
    monkeypatch.setattr(minicnn.Network, "_program", lambda self, x, *a: sizes.append(len(x)) or run(self, x, *a))
    smooth_gradient = input_maps(
        net, x, target, "smoothgrad", complete_settings(net, "smoothgrad", x.shape[1:], {"samples": 9})
    )
    integrated_gradients(net, x, target, steps=9)
    occlusion(net, x, target, window=2, stride=1, batch=3)
    assert max(sizes) == 3 and smooth_gradient.map.shape == (2, 8, 8)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_an_image(method):
    net = minicnn.load("digits")
    explained = attribution(net, IMAGES / "seven.png", method=method)
    with Image.open(IMAGES / "seven.png") as picture:
        size = picture.size
    assert explained.map.shape == explained.signed.shape == size[::-1] and explained.map.dtype == np.float32
    assert explained.label == "7" and explained.probability > 0.99 and explained.method == method
    assert np.isfinite(explained.map).all() and explained.map.min() >= 0 < explained.map.max()
    again = attribution(net, IMAGES / "seven.png", 7, method, **explained.settings)
    np.testing.assert_array_equal(explained.map, again.map)


def test_rules_are_the_papers_maps_and_integrated_gradients_say_what_they_miss():
    net = minicnn.load("digits")
    for rule in ("gradient", "deconvnet", "guided"):
        expected = minicnn.explain.saliency(net, IMAGES / "seven.png", rule=rule, crops="one").map
        np.testing.assert_array_equal(attribution(net, IMAGES / "seven.png", method=rule).map, expected)
    explained = attribution(net, IMAGES / "seven.png", method="integrated-gradients")
    assert 0 <= explained.facts["completeness error"] < 0.05 * explained.facts["score change"]


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lime", {}, "expected one of"),
        ("grad-cam", {"steps": 3}, "takes layer"),
        ("gradient", {"rule": "guided"}, "takes none"),
        ("integrated-gradients", {"baseline": "white"}, "black"),
        ("integrated-gradients", {"steps": 0}, "at least one step"),
        ("smoothgrad", {"samples": 0}, "samples >= 1"),
    ],
)
def test_what_a_method_does_not_take_is_refused(method, settings, message):
    with pytest.raises(MinicnnError, match=message):
        attribution(minicnn.load("digits"), IMAGES / "seven.png", method=method, **settings)


def test_a_baseline_must_fit():
    net, *_, x, target = case("small")
    with pytest.raises(ShapeError, match="baseline"):
        integrated_gradients(net, x, target, baseline=np.zeros(7))


@pytest.mark.parametrize("method", [m.name for m in METHODS.values() if m.rule is None])
def test_figures_are_written_and_verified(method, tmp_path, capsys):
    image = str(IMAGES / "seven.png")
    typed = ["saliency", image, "--net", "digits", "-o", str(tmp_path), "--device", "reference", "--json"]
    assert main([*typed, "--method", method, "--crops", "ten"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    figure = tmp_path / f"seven.{method}.png"
    assert printed["figure"] == str(figure) and printed["method"] == method and printed["label"] == "7"
    record = provenance.read(figure)
    assert record["kind"] == "attribution" and record["settings"]["method"] == method
    verdict = verify_figure(figure)
    assert verdict.match and verdict.difference == 0


def test_verify_sees_another_map_and_another_completeness_error(tmp_path, capsys):
    image = str(IMAGES / "seven.png")
    assert (
        main(["saliency", image, "--net", "digits", "-o", str(tmp_path), "--method", "integrated-gradients"]) == 0
    )
    assert "add up to the score's change" in capsys.readouterr().out
    figure = tmp_path / "seven.integrated-gradients.png"
    record = provenance.read(figure)
    with Image.open(figure) as picture:
        pixels = picture.convert("RGB")
    for change in (
        {"settings": {**record["settings"], "baseline": "mean"}},
        {"result": {**record["result"], "score change": 0}},
    ):
        minicnn.report.save_png(pixels, figure, provenance.metadata({**record, **change}, pixels, figure))
        assert not verify_figure(figure).match


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 10**7}, "follows at most"),
        ({"samples": 10**7}, "follows at most"),
        ({"stages": [0] * 20000}, "follows at most"),
        ({"stride": 0}, "no parameter 'stride'"),
        ({"steps": "many"}, "can't be computed"),
        ({"method": "occlusion", "stride": 1, "window": 1}, "no parameter"),
    ],
)
def test_verify_follows_no_endless_record(settings, message, tmp_path):
    image = str(IMAGES / "seven.png")
    assert (
        main(["saliency", image, "--net", "digits", "-o", str(tmp_path), "--method", "integrated-gradients"]) == 0
    )
    figure = tmp_path / "seven.integrated-gradients.png"
    record = provenance.read(figure)
    with Image.open(figure) as picture:
        pixels = picture.convert("RGB")
    changed = {**record, "settings": {**record["settings"], **settings}}
    minicnn.report.save_png(pixels, figure, provenance.metadata(changed, pixels, figure))
    with pytest.raises(MinicnnError, match=message):
        verify_figure(figure)


def test_what_is_typed_must_belong_to_the_method(tmp_path, capsys):
    image = str(IMAGES / "seven.png")
    typed = ["saliency", image, "--net", "digits", "-o", str(tmp_path)]
    assert main([*typed, "--layer", "conv_layers.4"]) == 1
    assert "gradient: has no parameter 'layer'" in capsys.readouterr().err
    assert main([*typed, "--method", "grad-cam", "--rule", "guided"]) == 1
    assert "grad-cam: has no parameter 'rule'" in capsys.readouterr().err
    assert main([*typed, "--method", "grad-cam", "--of", "probability"]) == 2
    assert "--of probability" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", METHODS)
def test_a_score_that_nothing_moves_gives_a_map_of_zeros_and_a_figure(method, tmp_path):
    """The last layer's weights are zero, so that every gradient and every fall is."""
    net = minicnn.load("digits")
    zeros = {name: np.zeros_like(a) for name, a in net.state_dict().items() if name.startswith("fc_layers.2")}
    net.load_state_dict({**net.state_dict(), **zeros})
    explained = attribution(net, np.full((9, 1), 128, np.uint8), 3, method, "whole")
    assert explained.map.shape == (9, 1) and not explained.map.any() and not explained.signed.any()
    assert set(explained.facts.values()) <= {0.0}
    write_attribution(tmp_path / "figure.png", np.full((9, 1, 3), 128, np.uint8), explained, digest_network(net))
    assert provenance.read(tmp_path / "figure.png")["arrays"]["map"]["scale"] == 0
