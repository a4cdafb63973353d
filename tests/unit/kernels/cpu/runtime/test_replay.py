"""Passes that are repeated: the same bits as plain ones, whatever is given, and whatever happened in between."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn import Network, zoo
from minicnn.errors import MinicnnError
from minicnn.kernels.cpu.runtime import replay
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Keep,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Permute,
    ReLU,
    ReLU6,
    Residual,
    Softmax,
    Tanh,
    ZeroPad2d,
)

RULES = ("gradient", "deconvnet", "guided")


def every_layer():
    """Make a network of all kinds of steps; ``smooth`` ends in what has no rule but the gradient."""
    inner = [Conv2d(12, 12, 3, padding=1), ReLU6(), Conv2d(12, 12, 1)]
    parts = [Conv2d(12, 20, 1)], [], [MaxPool2d(3, 1, 1), Conv2d(12, 4, 5, padding=2), ReLU()]
    rows = 36 * 8 * 8
    return [
        *(Conv2d(3, 12, 5, 2, 2), ReLU(), LocalResponseNorm(5), Residual(inner), ReLU()),
        *(Conv2d(12, 12, 3, 1, 1, groups=12), ReLU6(), Concat(*parts), MaxPool2d(3, 2), AvgPool2d(2, 1)),
        *(ZeroPad2d(1), ConvTranspose2d(36, 36, 2, 2), MaxPool2d(2), Permute((1, 2, 0)), Flatten()),
        *(Linear(rows, 40), ReLU(), Linear(40, 10), Softmax()),
    ]


def smooth():
    """Make a small network of what has no rule but the gradient."""
    return [
        Conv2d(3, 8, 3),
        Tanh(),
        Conv2d(8, 8, 3),
        LeakyReLU(),
        GlobalAvgPool2d(),
        Flatten(),
        Linear(8, 10),
    ]


def images(count, seed, shape=(3, 32, 32)):
    return np.random.default_rng(seed).standard_normal((count, *shape), dtype=np.float32)


def agree(net, x, target, rule="gradient", layer=None):
    """Whether a network's results are those of one that has run nothing yet, bit for bit."""
    fresh = net.to("cpu")
    assert net(x).tobytes() == fresh(x).tobytes()
    found = net.input_gradient(x, target, rule, layer)
    assert found.any()
    assert found.tobytes() == fresh.input_gradient(x, target, rule, layer).tobytes()
    return True


def noted(net):
    """Count the passes that are noted."""
    return sum(not isinstance(known, str) for known in net._runner._passes._known.values())


@pytest.mark.parametrize("rule", RULES)
def test_every_layer_and_rule(rule):
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(4):
        for count in (1, 3):
            assert agree(net, images(count, seed), seed, rule)
    assert noted(net) == 4


def test_what_has_no_rule_but_the_gradient():
    net = Network(smooth(), device="cpu")
    for seed in range(4):
        assert agree(net, images(2, seed, (3, 9, 12)), seed)
    assert noted(net) == 2


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1", "efficientnet-lite0", "alexnet", "resnet18"])
def test_nets_of_the_zoo(name):
    net = zoo.build(name).fold_batch_norm().to("cpu")
    for seed in range(3):
        assert agree(net, images(1, seed, net.input_shape), seed)
    assert noted(net) == 2


def test_a_layer_between():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(3):
        cotangent = images(1, seed + 9, (36, 7, 7))
        assert agree(net, images(1, seed), cotangent, layer="8"), "a cotangent is an input like another"


def test_weights_that_are_written_to_count():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    x = images(1, 0)
    before = [net(x).copy() for _ in range(3)][-1]
    for name, array in net.state_dict().items():
        array *= 1.5
        assert agree(net, x, 3), name
    assert (net(x) != before).any()


@pytest.mark.parametrize("bias", [0, 1])
def test_a_bias_that_was_zero_counts(bias):
    """A convolution that has nothing to finish is written without that pass; later it may have."""
    net = Network([Conv2d(3, 4, 3, stride=2), Flatten(), Linear(900, 5)], (3, 32, 32), device="cpu")
    net.state_dict()["0.bias"][:] = bias
    for seed in range(3):
        assert agree(net, images(1, seed), 2)
    net.state_dict()["0.bias"][:] = 1 - bias
    assert agree(net, images(1, 3), 2)


def test_statistics_that_are_written_to_count():
    net = Network([Conv2d(3, 16, 3), BatchNorm2d(16), ReLU(), Flatten(), Linear(16 * 900, 5)], device="cpu")
    x = images(1, 0)
    for _ in range(3):
        net.state_dict()["1.running_var"][:] *= 2
        assert agree(net, x, 1)


class Square(Layer):
    """A user's layer, which computes by itself."""

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return x * x, x

    def backward(self, dy, saved, kernels, rule=None, weights=False):
        return 2 * saved * dy, {}


class Louder(ReLU):
    """Another, which is nearly one of ours."""

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, saved = super().forward(x, kernels, keep, rng)
        return 3 * y, saved


@pytest.mark.parametrize("theirs", [Square, Louder])
@pytest.mark.parametrize("inside", [False, True])
def test_layers_from_elsewhere_are_not_repeated(theirs, inside):
    between = Residual([Conv2d(4, 4, 1), theirs()]) if inside else theirs()
    net = Network([Conv2d(3, 4, 3), between, Flatten(), Linear(4 * 36, 3)], (3, 8, 8), device="cpu")
    for seed in range(5):
        x = images(1, seed, (3, 8, 8))
        assert agree(net, x, 1)
        np.testing.assert_allclose(net(x), net.to("reference")(x), rtol=0, atol=1e-4)  # nor merged with others
    assert noted(net) == 0


@pytest.mark.parametrize("layers", [every_layer, smooth])
def test_all_that_a_list_holds_is_counted_but_weights(layers):
    net = Network(layers(), device="cpu")
    for seed in range(3):
        net.input_gradient(images(1, seed), 1)
    (kept,) = net._runner._passes._known.values()
    weights = [array for array in net.state_dict().values()]

    def arrays(value):
        if isinstance(value, tuple | list):
            return [array for one in value for array in arrays(one)]
        return [value] if isinstance(value, np.ndarray) and value.nbytes > 1000 else []

    held, blocks = arrays(list(kept._lists.values())), {}
    for array in held:
        while isinstance(array.base, np.ndarray):
            array = array.base
        array = array if array.base is None else array.base.block.memory
        if not any(array is weight for weight in weights):
            assert array.dtype == np.uint8, "the memory of a block"
            blocks[id(array)] = array.nbytes
    assert held and 0 < sum(blocks.values()) <= kept.memory.size + 64 * len(blocks)


def test_other_weights_count():
    net, other = (Network(every_layer(), (3, 32, 32), device="cpu", seed=seed) for seed in (0, 1))
    x = images(1, 0)
    for _ in range(3):
        net(x)
    net.load_state_dict(other.state_dict())
    assert net(x).tobytes() == other(x).tobytes()
    assert agree(net, x, 3)


def test_results_belong_to_the_caller():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    found = [(net(images(1, seed)), net.input_gradient(images(1, seed), 3)) for seed in range(4)]
    kept = [(y.copy(), dx.copy()) for y, dx in found]
    for seed in range(4, 8):
        y, dx = net(images(1, seed)), net.input_gradient(images(1, seed), 3)
        y[:], dx[:] = 7, 7
    for (y, dx), (same_y, same_dx) in zip(found, kept, strict=True):
        np.testing.assert_array_equal(y, same_y)
        np.testing.assert_array_equal(dx, same_dx)


def test_inputs_of_any_layout_and_left_as_they_were():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(4):
        x = images(1, seed, (32, 32, 3)).transpose(0, 3, 1, 2)
        x.flags.writeable = False
        assert agree(net, x, seed)


def test_a_copy_and_its_own_weights():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(3):
        agree(net, images(1, seed), 1)
    other = copy.copy(net)
    assert agree(other, images(1, 3), 1)
    other.load_state_dict({name: 2 * array for name, array in net.state_dict().items()})
    for seed in range(3):
        assert agree(other, images(1, seed), 1)
        assert agree(net, images(1, seed), 1)


def test_after_an_error_all_goes_on():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(6):
        if seed % 2:
            with pytest.raises(MinicnnError):
                net.input_gradient(images(1, seed), 77)
        else:
            assert agree(net, images(1, seed), 1)


def test_an_error_while_a_pass_is_noted(monkeypatch):
    net, x = Network(every_layer(), (3, 32, 32), device="cpu"), images(1, 0)
    net(x)

    def interrupted(x):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replay.cpu, "flatten", interrupted)
        with pytest.raises(KeyboardInterrupt):
            net(x)
    for seed in range(3):
        assert agree(net, images(1, seed), 1)


def test_a_batch_goes_by_halves_where_a_kernel_finds_no_room():
    net, x = Network(every_layer(), (3, 32, 32), device="cpu"), images(4, 0)
    expected = np.concatenate([net.to("cpu")(x[:2]), net.to("cpu")(x[2:])])
    for _ in range(2):
        net(x)

    def full():
        raise MemoryError

    (kept,) = net._runner._passes._known.values()
    given, calls, found = kept._lists["forward"]
    kept._lists["forward"] = given, [*calls[:3], (full, ()), *calls[3:]], found
    assert net(x).tobytes() == expected.tobytes()


def test_any_number_of_threads():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    most = num_threads()
    try:
        for count in (1, most, 1, most):
            set_num_threads(count)
            for seed in range(3):
                assert agree(net, images(1, seed), 1)
    finally:
        set_num_threads(None)


def test_many_threads_with_one_network():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    expected = [net.to("cpu").input_gradient(images(1, seed), 1).tobytes() for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: net.input_gradient(images(1, seed % 8), 1).tobytes(), range(32)))
    assert found == expected * 4


@pytest.mark.parametrize("large", [1000, 60_000])
def test_long_passes_are_left_alone(monkeypatch, large):
    """Notes end in the middle of a pass where it becomes long."""
    monkeypatch.setattr(replay, "LARGE", large)
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(4):
        assert agree(net, images(1, seed), 1)
    assert noted(net) == 0


@pytest.mark.parametrize("limit", ["MOST", "ALL"])
def test_no_more_is_kept_than_may(monkeypatch, limit):
    monkeypatch.setattr(replay, limit, {"MOST": 3, "ALL": 1 << 20}[limit])
    net = Network(smooth(), device="cpu")
    for _ in range(3):
        for size in range(9, 40, 3):
            assert agree(net, images(1, size, (3, size, size)), 1)
            assert len(net._runner._passes._known) <= (3 if limit == "MOST" else replay.MOST)
            assert sum(map(replay._size, net._runner._passes._known.values())) <= replay.ALL
