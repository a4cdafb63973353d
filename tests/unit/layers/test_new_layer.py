"""A layer that is nobody's but this file's: what a class with forward and backward is enough for."""

from dataclasses import KW_ONLY, dataclass

import numpy as np
import pytest

from minicnn import Network, verify
from minicnn.errors import WeightsError
from minicnn.formats import native
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Keep, Kind, Layer, Linear, MaxPool2d, ReLU, Residual
from minicnn.rules import GRADIENT


@dataclass(frozen=True, eq=False, repr=False)
class ChannelScale(Layer):
    """y_c = weight_c x_c, by NumPy alone, whatever the device."""

    channels: int
    _: KW_ONLY
    weight: np.ndarray | None = None

    kind = Kind.LINEAR

    def parameter_shapes(self):
        return {"weight": (self.channels,)}

    def _draw(self, name, shape, rng):
        return rng.uniform(0.5, 2, shape).astype(np.float32)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return x * self.weight[:, None, None], x if keep == Keep.INPUTS else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        gradients = {"weight": (saved * dy).sum(axis=(0, 2, 3))} if weights else {}
        return dy * self.weight[:, None, None], gradients


def network(**kwargs):
    block = Residual([ChannelScale(4), Conv2d(4, 4, 1)])
    layers = [Conv2d(3, 4, 3), ("scale", ChannelScale(4)), ReLU(), block, MaxPool2d(2), Flatten(), Linear(36, 5)]
    return Network(layers, input_shape=(3, 8, 8), **kwargs)


def test_its_gradients_are_checked():
    """Its kind tells the check how: nothing has to be registered."""
    report = verify.gradients(network(), np.random.default_rng(0).normal(size=(2, 3, 8, 8)))
    assert report.ok, report.text()
    checked = {(row.layer, row.what) for row in report.rows}
    assert checked >= {("scale", "input"), ("scale", "weight"), ("3.body.0", "weight")}


def test_it_runs_on_a_fast_device_and_is_neither_merged_nor_replayed():
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    net = network()
    fast, x = net.to("cpu"), np.random.default_rng(1).standard_normal((1, 3, 8, 8), dtype="f4")
    for _ in range(3):
        np.testing.assert_allclose(fast(x), net(x), rtol=0, atol=1e-5)
        np.testing.assert_allclose(fast.input_gradient(x, 2), net.input_gradient(x, 2), rtol=0, atol=1e-5)


def test_it_is_in_summaries_and_state_dictionaries():
    net = network()
    assert net.state_dict()["scale.weight"].shape == net.state_dict()["3.body.0.weight"].shape == (4,)
    assert "ChannelScale" in net.summary() and repr(net["scale"]) == "ChannelScale(channels=4)"
    net.load_state_dict({name: array.astype(np.float64) for name, array in net.state_dict().items()})
    assert net["3.body.0"].weight.dtype == np.float64


def test_a_file_of_ours_holds_it_for_those_who_have_its_class(tmp_path):
    net, x = network(), np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    native.write(tmp_path / "net.npz", net)
    with pytest.raises(WeightsError, match="its author's own class ChannelScale"):
        native.read(tmp_path / "net.npz")
    assert np.array_equal(native.read(tmp_path / "net.npz", own=[ChannelScale])(x), net(x))


class DoubledConv2d(Conv2d):
    """A convolution whose output is doubled: not what its parameters alone say."""

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, saved = super().forward(x, kernels, keep, rng)
        return 2 * y, saved


def test_a_normalisation_is_not_folded_into_a_subclass():
    net = Network([DoubledConv2d(2, 3, 1), BatchNorm2d(3)], (2, 4, 4))
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
    np.testing.assert_array_equal(net.fold_batch_norm()(x), net(x))
