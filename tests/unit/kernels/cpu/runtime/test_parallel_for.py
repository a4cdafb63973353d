"""The loop over a kernel's parts: each is done once, on any number of threads, and failures are raised."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from numba import float32, int64

from minicnn import zoo
from minicnn.errors import DeviceError, DeviceMemoryError
from minicnn.kernels.cpu.conv import dispatch
from minicnn.kernels.cpu.runtime import allocator, thread_pool
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for

TOO_MUCH = 1 << 58  # numbers, more than any machine can allocate


@inner
def _add(part, x, pair, out):
    factor, size = pair
    buffer = np.empty(size if part == len(out) - 1 else 1, np.float32)
    buffer[0] = factor * x[part]
    out[part] += buffer[0]


@kernel(reads(1), float32, int64, writes(1))
def _add_all(x, factor, size, out):
    parallel_for(_add, len(out), (x, (factor, size), out))


@pytest.fixture(params=(1, 2, 3))
def some_threads(request):
    """Use that many threads, where Numba has them."""
    try:
        thread_pool.set_num_threads(request.param)
    except DeviceError:
        pytest.skip("Numba started with fewer threads")
    yield request.param
    thread_pool.set_num_threads(None)


@pytest.mark.parametrize("count", (0, 1, 2, 5, 64, 1000))
def test_every_part_is_done_once(some_threads, count):
    x, out = np.arange(count, dtype=np.float32), np.ones(count, np.float32)
    _add_all(x, np.float32(2), 1, out)
    np.testing.assert_array_equal(out, 1 + 2 * x)


def test_a_part_that_runs_out_of_memory_raises(some_threads):
    out = np.zeros(7, np.float32)
    with pytest.raises(DeviceMemoryError, match=r"memory is full: the kernel .*_add_all could not allocate"):
        _add_all(out, np.float32(1), TOO_MUCH, out)


def test_an_array_that_cannot_be_allocated_raises():
    with pytest.raises(DeviceMemoryError, match="MB were needed for one more array; give fewer or smaller"):
        allocator.empty((TOO_MUCH,))


def test_a_batch_that_runs_out_of_memory_is_split(monkeypatch):
    net = zoo.build("digits").to("cpu")
    x = np.random.default_rng(0).standard_normal((5, *net.input_shape)).astype(np.float32)
    whole, refused, empty = net.input_gradient(x, 3), [], dispatch.empty

    def refusing(shape, *dtype):
        if shape[0] > 3:
            refused.append(shape)
            raise allocator.out_of_memory_error("so it is said")
        return empty(shape, *dtype)

    monkeypatch.setattr(dispatch, "empty", refusing)
    np.testing.assert_allclose(net.input_gradient(x, 3), whole, rtol=0, atol=1e-5 * np.abs(whole).max())
    assert refused
