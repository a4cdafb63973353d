"""State dictionaries whose weights are kept as what they are computed of, and quantised ones."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import minicnn
from minicnn.errors import WeightsError
from minicnn.io.reparametrised import fold

OLD, NEW = nn.utils, nn.utils.parametrizations


def changed(apply):
    """Return a convolution that ``apply`` changed, and that has seen a few images since."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, (2, 3))
    apply(layer)
    for _ in range(3):
        layer(torch.randn(2, 3, 5, 5))
    return layer.eval()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    "apply",
    [
        OLD.weight_norm,
        lambda m: OLD.weight_norm(m, dim=None),
        NEW.weight_norm,
        lambda m: NEW.weight_norm(m, dim=1),
        OLD.spectral_norm,
        NEW.spectral_norm,
        lambda m: prune.l1_unstructured(m, "weight", amount=0.5),
        lambda m: prune.l1_unstructured(m, "bias", amount=0.5),
    ],
    ids="norm|of all|new norm|new of axis 1|spectral|new spectral|pruned|pruned bias".split("|"),
)
def test_the_weight_is_what_torch_computes(apply):
    layer = changed(apply)
    layer(torch.zeros(1, 3, 5, 5))  # in eval mode the weight is computed once more
    arrays = fold("net.pth", {f"0.{name}": tensor.numpy() for name, tensor in layer.state_dict().items()})
    assert arrays.keys() == {"0.weight", "0.bias"}
    for name in ("weight", "bias"):
        np.testing.assert_allclose(arrays[f"0.{name}"], getattr(layer, name).detach(), rtol=1e-5, atol=1e-7)


def test_transposed_convolutions_have_their_outputs_second():
    layer = NEW.spectral_norm(nn.ConvTranspose2d(3, 5, 2)).eval()
    arrays = fold("net.pth", {name: tensor.numpy() for name, tensor in layer.state_dict().items()})
    np.testing.assert_allclose(arrays["weight"], layer.weight.detach(), rtol=1e-5)


def test_a_checkpoint_with_normalised_weights_is_read(tmp_path):
    state = {
        name: torch.from_numpy(np.array(array)) for name, array in minicnn.load("digits").state_dict().items()
    }
    name = next(n for n, a in state.items() if a.ndim == 4)
    v = state.pop(name)
    length = v.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    torch.save({**state, f"{name}_g": length, f"{name}_v": 7 * v}, tmp_path / "net.pth")
    net = minicnn.load(tmp_path / "net.pth", architecture="digits")
    np.testing.assert_allclose(net.state_dict()[name], v, rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a.qweight": np.zeros((4, 4), np.int32), "a.qzeros": np.zeros((4, 1))},
            r"quantised \(GPTQ or AWQ: 'a.qweight'",
        ),
        ({"a.weight": np.zeros((4, 4), np.int8), "a.SCB": np.ones(4)}, r"quantised \(bitsandbytes: 'a.SCB'"),
        (
            {"a.weight": np.zeros((8, 1), np.uint8), "a.weight.quant_state.bitsandbytes__nf4": np.zeros(3)},
            "bitsandbytes",
        ),
        ({"a.weight_fake_quant.scale": np.ones(1)}, r"quantised \(torch.ao: 'a.weight_fake_quant.scale'"),
        (
            {"a.weight": np.zeros((4, 4), np.int8), "a.bias": np.ones(4)},
            "'a.weight' and others are whole numbers, int8",
        ),
    ],
)
def test_quantised_weights_are_called_so(tmp_path, arrays, message):
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(WeightsError, match=message):
        minicnn.load(tmp_path / "net.npz", architecture="squeezenet1_1")
