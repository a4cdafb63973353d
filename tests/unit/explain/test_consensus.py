"""The method "consensus": maps at several scales, what looks like the object, cuts, and the box they agree on."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.errors import MinicnnError
from minicnn.explain import localise
from minicnn.explain.grad_cam import last_convolution, layers_after
from minicnn.explain.localisation import consensus as consensus_module
from minicnn.explain.localisation.appearance import object_posterior
from minicnn.explain.localisation.candidates import Candidate, agree, cut_candidates
from minicnn.explain.localisation.class_maps import ClassMapper, merge_scales
from minicnn.explain.localisation.confidence import LEAST_CONFIDENCE, box_confidence
from minicnn.explain.localisation.consensus import ConsensusSettings, locate
from minicnn.explain.localise import configure_method, configure_settings
from minicnn.io import catalogue
from minicnn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU
from minicnn.network import Network
from minicnn.zoo import build

IMAGES = catalogue.folder("images")
RED, GREEN = (210, 40, 30), (60, 150, 70)


def colour_net():
    """A net whose class 0 is red and whose class 1 is green: global means of two feature maps."""
    red = np.array([[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5]], np.float32)[..., None, None]
    layers = [
        ("conv", Conv2d(3, 2, 1)),
        ("relu", ReLU()),
        ("pool", GlobalAvgPool2d()),
        ("flat", Flatten()),
        ("full", Linear(2, 2)),
    ]
    net = Network(layers, input_shape=(3, 64, 64), preprocess=minicnn.Preprocess((64, 64)))
    parameters = {
        "conv.weight": red,
        "conv.bias": np.zeros(2, np.float32),
        "full.weight": np.eye(2, dtype=np.float32),
        "full.bias": np.zeros(2, np.float32),
    }
    net.load_state_dict(parameters)
    return net


def picture_of(*discs, size=(160, 120)):
    """Grey ground with noise, and discs (x, y, radius, colour)."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    pixels = np.full((height, width, 3), 120.0) + np.random.default_rng(0).normal(0, 6, (height, width, 3))
    for cx, cy, radius, colour in discs:
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def box_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


@pytest.mark.parametrize(("x", "y", "radius"), [(50, 40, 8), (110, 80, 25), (80, 60, 55)])
def test_objects_of_any_size_are_boxed_and_the_class_decides_which(x, y, radius):
    other = (160 - x if abs(x - 80) > 10 else 150, 100, 12, GREEN)
    picture = picture_of((x, y, radius, RED), other)
    (red,) = localise(colour_net(), picture, [0])
    assert box_iou(red.box, (x - radius, y - radius, x + radius, y + radius)) > 0.75
    (green,) = localise(colour_net(), picture, [1])
    assert box_iou(green.box, (other[0] - 12, 88, other[0] + 12, 112)) > 0.5 > box_iou(green.box, red.box)
    assert red.method == "consensus" and red.mask.shape == (120, 160) and not red.thresholded
    rows, columns = np.nonzero(red.mask)
    assert red.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == red.instances[0]


def test_several_objects_of_one_class_are_instances():
    picture = picture_of((40, 60, 20, RED), (120, 60, 18, RED))
    (red,) = localise(colour_net(), picture, [0])
    assert len(red.instances) == 2
    truth = (20, 40, 60, 80), (102, 42, 138, 78)
    assert min(box_iou(box, true) for box, true in zip(sorted(red.instances), truth, strict=True)) > 0.7


def test_the_answer_is_the_same_bits_each_time():
    first, second = (localise(colour_net(), picture_of((70, 50, 20, RED)), [0])[0] for _ in range(2))
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.saliency.map, second.saliency.map)
    assert first.candidates == second.candidates and first.confidence == second.confidence


def test_a_class_that_is_nowhere_is_said():
    net = colour_net()
    dead = {name: np.zeros_like(array) for name, array in net.state_dict().items()}
    net.load_state_dict(dead)
    with pytest.raises(MinicnnError, match="the saliency map is constant"):
        localise(net, picture_of((70, 50, 20, RED)), [0])


def test_without_a_cut_the_threshold_stands_in_and_is_said(monkeypatch):
    monkeypatch.setattr(consensus_module, "cut_candidates", lambda *_: [])
    (red,) = localise(colour_net(), picture_of((70, 50, 20, RED)), [0])
    assert red.thresholded and red.agreement == 0 and not red.localised
    assert red.confidence == box_confidence(0.0) < LEAST_CONFIDENCE
    assert box_iou(red.box, (50, 30, 90, 70)) > 0.5


def test_maps_are_the_place_s_share_in_the_score():
    """The shares of all places add up to the score, where the net ends in a mean and a product without bias."""
    net = colour_net()
    picture = picture_of((30, 30, 20, RED), size=(64, 64))
    mapper = ClassMapper(net, (1.0,), 0)
    maps = mapper(picture, (0, 0, 64, 64), [0])
    x, _ = net.preprocess.batch(picture, "pair")
    # float32 sums of 4,096 places
    assert maps.classes[0][0].sum() == pytest.approx(net(x)[:, 0].mean(), rel=1e-4)
    activation = net.forward(x, upto=last_convolution(net, (3, 64, 64)))
    mean = (activation[0] + activation[1][..., ::-1]) / 2
    np.testing.assert_allclose(maps.features, mean, atol=1e-6)


def test_scales_are_kept_where_the_net_takes_them_and_one_where_it_does_not():
    settings = ConsensusSettings()
    assert ClassMapper(colour_net(), settings.scales, settings.features).scales == settings.scales
    digits = minicnn.load("digits")
    assert ClassMapper(digits, settings.scales, settings.features).scales == (1.0,)
    (seven,) = localise(digits, IMAGES / "seven.png", 1)
    assert seven.target == 7 and seven.mask[100:200, 100:200].any()


def test_a_mean_image_serves_pictures_of_any_size():
    net = colour_net()
    flat = replace(net.preprocess, mean=(0.1, 0.2, 0.3))
    image = replace(net.preprocess, mean=np.broadcast_to(np.float32([0.1, 0.2, 0.3])[:, None, None], (3, 64, 64)))
    picture, boxes = picture_of((70, 50, 20, RED)), []
    for preprocess in (flat, image):
        net.preprocess = preprocess
        boxes.append(locate(net, picture, [0], ConsensusSettings())[0].box)
    assert boxes[0] == boxes[1]


def test_scales_count_alike_whatever_their_values():
    small, large = np.array([[0.0, 1.0]]), np.array([[0.0, 100.0]])
    np.testing.assert_allclose(merge_scales([small, large], (1, 2)), [[0.0, 1.0]])
    assert not merge_scales([np.zeros((2, 2))], (4, 4)).any()


def test_what_looks_like_the_marked_place_is_the_object():
    features = np.zeros((5, 6, 6))
    features[0, :, :3] = features[1, :, 3:] = 1.0
    features += 0.05 * np.random.default_rng(1).standard_normal(features.shape)
    map = np.full((6, 6), 0.15)
    map[2, 1] = 1.0
    posterior = object_posterior(map, features)
    assert posterior[:, :3].min() > posterior[:, 3:].max() and 0 < posterior.min() < posterior.max() < 1
    # features that say nothing leave the map's order
    flat = object_posterior(map, np.ones((5, 6, 6)))
    assert flat.argmax() == 2 * 6 + 1 and np.isfinite(flat).all()


def test_colours_carry_the_cut_to_the_object_s_edge():
    picture = picture_of((80, 60, 30, RED))
    y, x = np.mgrid[:120, :160]
    blurred = np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / (2 * 25.0**2))
    candidates = cut_candidates(picture, (0, 0, 160, 120), blurred)
    best, agreement = agree(candidates)
    assert box_iou(best.box, (50, 30, 110, 90)) > 0.9 and 0 < agreement <= 1
    # a part's boxes are in the picture's coordinates
    part = cut_candidates(picture, (20, 10, 140, 110), blurred[10:110, 20:140])
    assert box_iou(agree(part)[0].box, (50, 30, 110, 90)) > 0.9


def test_agreement_is_the_mean_overlap_by_brute_force():
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 50, (9, 2))
    boxes = [tuple(row) for row in np.concatenate([low, low + rng.uniform(5, 50, (9, 2))], axis=1).tolist()]
    best, agreement = agree([Candidate(np.ones((1, 1), bool), (0, 0, 100, 100), box) for box in boxes])
    means = [np.mean([box_iou(a, b) for b in boxes]) for a in boxes]
    assert best.box == boxes[int(np.argmax(means))] and agreement == pytest.approx(max(means))


@pytest.mark.parametrize(
    "wrong",
    [{"margin": 0.5}, {"features": 7}, {"levels": (1.0,)}, {"levels": ()}, {"scales": ()}, {"working_size": 2}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(MinicnnError, match="expected"):
        ConsensusSettings(**wrong)


def test_settings_of_another_method_are_refused_and_choose_the_paper_s_where_no_method_is_named():
    with pytest.raises(MinicnnError, match="'consensus' has no gamma"):
        configure_settings("consensus", {"gamma": 2.0})
    for given in ({"rule": "guided"}, {"crops": "one"}):
        with pytest.raises(MinicnnError, match="'consensus' has no such"):
            configure_method("consensus", given)
    (guided,) = localise(minicnn.load("digits"), IMAGES / "seven.png", 1, rule="guided")
    assert guided.method == "paper" and guided.saliency.rule == "guided"
    with pytest.raises(MinicnnError, match="settings"):
        localise(minicnn.load("digits"), IMAGES / "seven.png", 1, method="paper", settings=ConsensusSettings())


def test_nets_with_blocks_are_cut_behind_the_last_one_and_nets_without_maps_are_refused():
    net = build("resnet18")
    assert layers_after(net.named_layers, "layer4.1.relu")[0][0] == "avgpool"
    (detection,) = localise(net.to("cpu"), picture_of((70, 50, 20, RED)), 1)
    assert detection.method == "consensus" and detection.mask.any()
    flat = Network([Flatten(), Linear(48, 3)], input_shape=(3, 4, 4), preprocess=minicnn.Preprocess((4, 4)))
    with pytest.raises(MinicnnError, match="the method 'paper' needs none"):
        localise(flat, picture_of((70, 50, 20, RED)), 1)
