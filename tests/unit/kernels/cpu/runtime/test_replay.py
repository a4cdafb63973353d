"""Replayed passes: the same bits as without a capture, whatever is given, and whatever happened in between."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn import Network, zoo
from minicnn.errors import MinicnnError
from minicnn.kernels.cpu.runtime import replay
from minicnn.kernels.cpu.runtime.allocator import empty, shared
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
    gradient = net.input_gradient(x, target, rule, layer)
    assert gradient.any()
    assert gradient.tobytes() == fresh.input_gradient(x, target, rule, layer).tobytes()
    return True


def captured(net):
    """Count the passes that are captured."""
    return sum(isinstance(cached, replay.CapturedPass) for cached in net._executor._passes._passes.values())


@pytest.mark.parametrize("rule", RULES)
def test_every_layer_and_rule(rule):
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(4):
        for count in (1, 3):
            assert agree(net, images(count, seed), seed, rule)
    assert captured(net) == 4


def test_what_has_no_rule_but_the_gradient():
    net = Network(smooth(), device="cpu")
    for seed in range(4):
        assert agree(net, images(2, seed, (3, 9, 12)), seed)
    assert captured(net) == 2


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1", "efficientnet-lite0", "alexnet", "resnet18"])
def test_nets_of_the_zoo(name):
    net = zoo.build(name).fold_batch_norm().to("cpu")
    for seed in range(3):
        assert agree(net, images(1, seed, net.input_shape), seed)
    assert captured(net) == 2


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
def test_layers_from_elsewhere_are_not_replayed(theirs, inside):
    between = Residual([Conv2d(4, 4, 1), theirs()]) if inside else theirs()
    net = Network([Conv2d(3, 4, 3), between, Flatten(), Linear(4 * 36, 3)], (3, 8, 8), device="cpu")
    for seed in range(5):
        x = images(1, seed, (3, 8, 8))
        assert agree(net, x, 1)
        np.testing.assert_allclose(net(x), net.to("reference")(x), rtol=0, atol=1e-4)  # nor merged with others
    assert captured(net) == 0


@pytest.mark.parametrize("layers", [every_layer, smooth])
def test_all_memory_of_a_recording_is_counted_but_that_of_weights(layers):
    net = Network(layers(), device="cpu")
    for seed in range(3):
        net.input_gradient(images(1, seed), 1)
    (cached,) = net._executor._passes._passes.values()
    weights = [array for array in net.state_dict().values()]

    def arrays(value):
        if isinstance(value, tuple | list):
            return [array for item in value for array in arrays(item)]
        return [value] if isinstance(value, np.ndarray) and value.nbytes > 1000 else []

    held, blocks = arrays(list(cached._recordings.values())), {}
    for array in held:
        while isinstance(array.base, np.ndarray):
            array = array.base
        array = array if array.base is None else array.base.block.memory
        if not any(array is weight for weight in weights):
            assert array.dtype == np.uint8, "the memory of a block"
            blocks[id(array)] = array.nbytes
    assert held and 0 < sum(blocks.values()) <= cached.memory.size + 64 * len(blocks)


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
    results = [(net(images(1, seed)), net.input_gradient(images(1, seed), 3)) for seed in range(4)]
    copies = [(y.copy(), dx.copy()) for y, dx in results]
    for seed in range(4, 8):
        y, dx = net(images(1, seed)), net.input_gradient(images(1, seed), 3)
        y[:], dx[:] = 7, 7
    for (y, dx), (same_y, same_dx) in zip(results, copies, strict=True):
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


def test_an_error_while_a_pass_is_captured(monkeypatch):
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


def test_a_batch_is_split_where_a_kernel_runs_out_of_memory():
    net, x = Network(every_layer(), (3, 32, 32), device="cpu"), images(4, 0)
    expected = np.concatenate([net.to("cpu")(x[:2]), net.to("cpu")(x[2:])])
    for _ in range(2):
        net(x)

    def full():
        raise MemoryError

    (cached,) = net._executor._passes._passes.values()
    recording = cached._recordings["forward"]
    calls = [*recording.calls[:3], (full, ()), *recording.calls[3:]]
    cached._recordings["forward"] = recording._replace(calls=calls)
    assert net(x).tobytes() == expected.tobytes()


def test_any_number_of_threads():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    all_threads = num_threads()
    try:
        for count in (1, all_threads, 1, all_threads):
            set_num_threads(count)
            for seed in range(3):
                assert agree(net, images(1, seed), 1)
    finally:
        set_num_threads(None)


def test_many_threads_with_one_network():
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    expected = [net.to("cpu").input_gradient(images(1, seed), 1).tobytes() for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        gradients = list(pool.map(lambda seed: net.input_gradient(images(1, seed % 8), 1).tobytes(), range(32)))
    assert gradients == expected * 4


@pytest.mark.parametrize("large", [1000, 60_000])
def test_large_passes_are_not_captured(monkeypatch, large):
    """A capture is given up in the middle of a pass where its memory exceeds the limit."""
    monkeypatch.setattr(replay, "MAX_PASS_BYTES", large)
    net = Network(every_layer(), (3, 32, 32), device="cpu")
    for seed in range(4):
        assert agree(net, images(1, seed), 1)
    assert captured(net) == 0


def test_a_pass_takes_the_same_memory_whatever_ran_before():
    sizes = []
    for before in (0, 1 << 16):
        shared.free_blocks.clear()
        blocks = [empty((before,)) for _ in range(40)]
        del blocks  # free for what comes next, and several times as large as the pass's arrays
        net = Network(every_layer(), (3, 32, 32), device="cpu")
        for seed in range(2):
            net(images(8, seed))
        (cached,) = net._executor._passes._passes.values()
        sizes.append(cached.memory.size)
    assert sizes[0] == sizes[1] > 0


@pytest.mark.parametrize("limit", ["MAX_PASSES", "MAX_BYTES"])
def test_no_more_passes_are_kept_than_allowed(monkeypatch, limit):
    monkeypatch.setattr(replay, limit, {"MAX_PASSES": 3, "MAX_BYTES": 1 << 20}[limit])
    net = Network(smooth(), device="cpu")
    for _ in range(3):
        for size in range(9, 40, 3):
            assert agree(net, images(1, size, (3, size, size)), 1)
            assert len(net._executor._passes._passes) <= (3 if limit == "MAX_PASSES" else replay.MAX_PASSES)
            assert sum(map(replay._size, net._executor._passes._passes.values())) <= replay.MAX_BYTES
