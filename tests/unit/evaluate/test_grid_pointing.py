"""Grid pointing game: shares added pixel by pixel, grids of photographs that the net sees rightly."""

import numpy as np
import pytest

import minicnn
from minicnn import Network, Preprocess
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.grid_pointing import Grid, choose_grids, make_grid_input, share_in_cell
from minicnn.io import catalogue
from minicnn.layers import Conv2d, GlobalAvgPool2d
from minicnn.report import save_png

SEVEN = catalogue.folder("images") / "seven.png"


@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
def test_shares_are_sums_over_pixels(size):
    map = np.random.default_rng(0).random(size).astype(np.float32)
    sums = [0.0] * 4
    for row, column in np.ndindex(size):
        sums[2 * (2 * row // size[0]) + 2 * column // size[1]] += map[row, column]
    for cell in range(4):
        assert share_in_cell(map, cell) == pytest.approx(sums[cell] / sum(sums))
    assert share_in_cell(np.zeros(size), 0) == 0


def colour_net():
    """Net whose scores are the means of red, green, blue and grey, for inputs of any size."""
    weight = np.concatenate([np.eye(3), np.full((1, 3), 0.3)]).astype(np.float32)[:, :, None, None]
    layers = [Conv2d(3, 4, 1, bias=False, weight=weight), GlobalAvgPool2d()]
    preprocess = Preprocess(size=(6, 6), resize=None, scale=1 / 255, mean=(0,) * 3, std=(1,) * 3)
    return Network(layers, (3, 6, 6), preprocess)


@pytest.fixture
def colours(tmp_path):
    """One picture each of red, green, blue and grey, and one that can't be read."""
    examples = []
    for c, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90))):
        save_png(np.full((6, 6, 3), colour, np.uint8), tmp_path / f"{c}.png")
        # a grey picture's largest score is not "grey": the net sees it wrongly
        examples.append(Example(tmp_path / f"{c}.png", (c,), ((0, 0, 6, 6),)))
    return [*examples, Example(tmp_path / "missing.png", (3,), ((0, 0, 6, 6),))]


def test_grids_are_of_four_classes_that_the_net_sees(colours):
    net = colour_net()
    assert choose_grids(net, colours, 3) == []  # three classes are seen
    white = Example(colours[3].image, (0,), colours[3].boxes)  # 0 is the first of equal scores
    assert choose_grids(net, [*colours, white], 3) == []
    net.layers[0].weight[3] = 0.4
    (grid,) = choose_grids(net, colours, 3)
    assert {p.name for p in grid.images} == {f"{c}.png" for c in range(4)}
    assert grid.images[grid.cell].name == f"{grid.target}.png"


def test_a_grid_has_each_photograph_at_its_own_size(colours):
    net, images = colour_net(), tuple(e.image for e in colours[:4])
    large, x = make_grid_input(net, Grid(images, 2, 2))
    assert x.shape == (1, 3, 12, 12) and large.input_shape == (3, 12, 12)
    assert large.preprocess(colours[0].image).shape == (1, 3, 12, 12)
    for cell, image in enumerate(images):
        top, left = 6 * (cell // 2), 6 * (cell % 2)
        np.testing.assert_array_equal(x[0, :, top : top + 6, left : left + 6], net.preprocess(image)[0])


def test_a_net_of_one_size_gets_photographs_of_half_the_size():
    net = minicnn.load("digits")
    same, x = make_grid_input(net, Grid((SEVEN,) * 4, 7, 0))
    whole = net.preprocess(SEVEN)[0, 0]
    means = [[whole[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() for c in range(14)] for r in range(14)]
    assert same is net and x.shape == (1, 1, 28, 28)
    for rows in (slice(0, 14), slice(14, 28)):
        for columns in (slice(0, 14), slice(14, 28)):
            np.testing.assert_allclose(x[0, 0, rows, columns], means, rtol=1e-5, atol=1e-6)
