"""Batches that a device's memory is too small for are split; a single image that does not fit says so."""

from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn import explain
from minicnn.errors import DeviceMemoryError
from minicnn.explain.saliency import choose_top, saliencies
from minicnn.io import catalogue
from minicnn.layers import Keep, sequence
from minicnn.network.batching import split_on_out_of_memory

SEVEN = catalogue.folder("images") / "seven.png"


@pytest.fixture
def memory(monkeypatch):
    """Let a device hold so many images, forward or on tapes, at a time; return what it was asked for."""
    asked, held, forward = [], [], sequence.forward

    class Saved(list):
        """What a pass keeps: it takes memory until it is let go."""

        def __del__(self):
            held.remove(self.images)

    def limit_to(images):
        def limited(layers, x, kernels, keep=Keep.NOTHING, rng=None):
            asked.append(len(x))
            if sum(held) + len(x) > images:
                raise DeviceMemoryError("the GPU's memory is full")
            y, saved = forward(layers, x, kernels, keep, rng)
            if keep is Keep.NOTHING:
                return y, saved
            saved = Saved(saved)
            saved.images = len(x)
            held.append(len(x))
            return y, saved

        monkeypatch.setattr(sequence, "forward", limited)
        return asked

    return limit_to


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


def test_a_batch_is_split_and_gives_the_same(net, memory):
    x = np.random.default_rng(0).standard_normal((7, 1, 28, 28)).astype(np.float32)
    classes = np.arange(7)
    wanted = net(x), net.input_gradient(x, classes), net.input_gradient(x, 3), net.loss_gradient(x, classes)
    asked = memory(2)
    # sums over other batches, in another order: roundings of float32
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(net(x), wanted[0], **close)
    assert asked == [7, 3, 1, 2, 4, 2, 2]
    np.testing.assert_allclose(net.input_gradient(x, classes), wanted[1], **close)
    np.testing.assert_allclose(net.input_gradient(x, 3), wanted[2], **close)
    loss, gradients = net.loss_gradient(x, classes)
    assert loss == pytest.approx(wanted[3][0], rel=1e-6) and gradients.keys() == wanted[3][1].keys()
    for name, gradient in gradients.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, wanted[3][1][name], **close, err_msg=name)


def test_ten_crops_go_one_by_one(memory):
    net = minicnn.load("digits")
    net.preprocess = replace(net.preprocess, resize=32, mirror=True)
    wanted = saliencies(net, SEVEN, choose_top(2))
    asked = memory(3)
    maps = saliencies(net, SEVEN, choose_top(2))
    assert len(asked) == 4 + 10 + 2 * 10  # four tapes are one too many; then the scores; then ten tapes a class
    for limited, expected in zip(maps, wanted, strict=True):
        assert limited.target == expected.target and limited.map.tobytes() == expected.map.tobytes()


def test_one_image_that_does_not_fit_says_so(net, memory):
    memory(0)
    for run in (net, lambda x: net.input_gradient(x, 1), lambda x: net.loss_gradient(x, np.zeros(len(x), int))):
        with pytest.raises(DeviceMemoryError, match="memory is full"):
            run(np.zeros((3, 1, 28, 28), np.float32))
    with pytest.raises(DeviceMemoryError, match="memory is full"):
        explain.saliency(net, SEVEN)


def test_what_stands_beside_a_batch_is_split_with_it():
    def run(x, beside):
        if len(x) > 1:
            raise DeviceMemoryError("full")
        return x[0], beside

    assert split_on_out_of_memory(run, np.arange(3), np.array([5, 6, 7])) == [
        (1, (0, [5])),
        (1, (1, [6])),
        (1, (2, [7])),
    ]
    assert [beside for _, (_, beside) in split_on_out_of_memory(run, np.arange(2), np.asarray(4))] == [4, 4]
