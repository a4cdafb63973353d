"""The caching allocator: memory is used again, but only once nobody can see it any more."""

import gc
import threading

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels.cpu.runtime import allocator

SHAPE = (3, 50, 1000)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def no_free_blocks(monkeypatch):
    monkeypatch.setattr(allocator.shared, "free_blocks", [])


@pytest.mark.parametrize("dtype", [np.float32, bool, np.uint8])
@pytest.mark.parametrize("shape", [SHAPE, (), (0, 7), (1 << 20,)])
def test_an_array_like_any_other(shape, dtype):
    a = allocator.empty(shape, dtype)
    assert a.shape == shape and a.dtype == dtype
    assert a.flags.c_contiguous and a.flags.aligned and a.flags.writeable
    a[...] = 1
    assert a.sum() == a.size


def test_memory_is_not_free_until_the_last_view_is_gone():
    a = allocator.empty(SHAPE)
    at, view = address(a), a[1:].reshape(-1)[5:]
    del a
    other = allocator.empty(SHAPE)
    assert address(other) != at
    del view
    assert address(allocator.empty(SHAPE)) == at


def test_large_arrays_begin_at_a_cache_line():
    kept = [allocator.empty((40_000 + n,)) for n in range(5)]
    assert all(address(a) % allocator.CACHE_LINE == 0 for a in kept)


def test_memory_much_too_large_is_left_for_others():
    a = allocator.empty((200_000,))
    at = address(a)
    del a
    assert address(allocator.empty((40_000,))) != at
    assert address(allocator.empty((120_000,))) == at


def test_the_free_list_has_a_limit(monkeypatch):
    monkeypatch.setattr(allocator, "MAX_FREE_BYTES", 1_000_000)
    kept = [allocator.empty((100_000,)) for _ in range(5)]
    kept.clear()
    gc.collect()
    assert 1 <= len(allocator.shared.free_blocks) <= 2


def test_what_has_been_free_longest_goes_first(monkeypatch):
    """Memory of an earlier shape must not keep that of the present one off the free list."""
    monkeypatch.setattr(allocator, "MAX_FREE_BYTES", 1_000_000)
    first = [allocator.empty((110_000,)) for _ in range(2)]
    first.clear()
    for _ in range(2):
        a = allocator.empty((200_000,))
        at = address(a)
        del a
    assert address(allocator.empty((200_000,))) == at
    assert not any(block.size == 440_000 for block in allocator.shared.free_blocks)


def test_threads_never_share_memory():
    """Each thread marks its array, lets others run, and must find its mark."""
    wrong = []

    def work(mark):
        for _ in range(300):
            a = allocator.empty((40_000,))
            a[:] = mark
            b = allocator.empty((40_000,))
            b[:] = -mark
            if (a != mark).any() or (b != -mark).any():
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_free_memory_is_given_back():
    held = allocator.empty((allocator.MIN_POOLED_BYTES,))
    del held
    assert allocator.shared.free_blocks
    allocator.empty_cache()
    assert not allocator.shared.free_blocks
