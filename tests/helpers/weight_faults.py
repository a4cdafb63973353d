"""Damage to weight files: every reader must answer with a WeightsError or with arrays, whatever the bytes."""

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.errors import WeightsError

EDITS = st.lists(  # where (a fraction of the file), how many bytes go, what comes instead
    st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4
)


def edited(data, edits):
    for where, gone, new in edits:
        at = int(where * len(data))
        data = data[:at] + new + data[at + gone :]
    return data


def attempt(read, path, data):
    """Return what `read` makes of `data`: arrays, or None if it refused with one printable sentence."""
    path.write_bytes(data)
    try:
        arrays = read(path)
    except WeightsError as error:
        assert str(path) in str(error) and str(error).replace(str(path), "").isprintable()
        return None
    for array in arrays.values():
        assert isinstance(array, np.ndarray) and not array.flags.writeable
        if array.size:  # the furthest elements lie inside the file
            array[(0,) * array.ndim], array[(-1,) * array.ndim]
    return arrays


def same(first, second):
    """Whether two dictionaries hold the same names in the same order, and the same bits."""
    return list(first) == list(second) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(first.values(), second.values(), strict=True)
    )


def assert_truncation_is_refused(read, path, data, step):
    for length in range(0, len(data), step):
        assert attempt(read, path, data[:length]) is None, f"read {length} of {len(data)} bytes"


def assert_bit_flips_are_seen(read, path, data, step):
    """Assert that flipping any one bit gives a refusal or, where the bit has no meaning, the very same arrays."""
    whole = attempt(read, path, data)
    refused = 0
    for bit in range(0, 8 * len(data), step):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        actual = attempt(read, path, bytes(flipped))
        refused += actual is None
        assert actual is None or same(actual, whole), f"bit {bit % 8} of byte {bit // 8} changed the arrays"
    assert refused > len(data) * 8 // step // 4


def assert_refused(read, path, data, *words):
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read(path)
    for word in (path.name, *words):
        assert word in str(caught.value)


def assert_one_sentence_for_what_is_no_such_file(read, folder, name, kind):
    """Assert what a missing file, a folder, an empty file and a text give."""
    with pytest.raises(WeightsError, match=rf"{name}: no such file; check the path"):
        read(folder / name)
    with pytest.raises(WeightsError, match=rf"expected {kind}, found a folder"):
        read(folder)
    with pytest.raises(WeightsError, match="no name of a file"):
        read("a\0b")
    assert_refused(read, folder / name, b"", f"expected {kind}, found 0 bytes")
    assert_refused(read, folder / name, b"<!DOCTYPE html>\n<html>", "<!DOCTYPE html>")


def assert_nothing_left_behind(write, folder, name):
    """Assert that a write into a place that can't be written is one sentence, and leaves no part of a file."""
    (folder / "file").write_bytes(b"x")
    (folder / "taken").mkdir()
    for path in (folder / "none" / name, folder / "file" / name, folder / "taken", folder / "a\0b"):
        with pytest.raises(WeightsError, match=r"can't be written|no name of a file"):
            write(path)
    with full_disc(), pytest.raises(WeightsError, match="can't be written"):
        write(folder / name)
    assert sorted(p.name for p in folder.rglob("*")) == ["file", "taken"]


@contextmanager
def full_disc(room=100):
    """Let no file grow beyond `room` bytes, as on a disc that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
