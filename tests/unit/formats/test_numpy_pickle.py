"""Dictionaries of arrays that ``pickle`` or ``numpy.save`` pickled, read by a machine that can't run code."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats import numpy_pickle
from tests.helpers.weight_faults import (
    EDITS,
    assert_refused,
    assert_truncation_is_refused,
    attempt,
    edited,
    same,
)

CODES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


def arrays():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 3, 5, 5)).astype(np.float32)  # long enough to stay in the file
    return {
        "conv.weight": weight,
        "turned": weight.T,
        "swapped": weight.astype(">f8"),
        "cell": np.array(7, np.int64),
        "none": np.zeros((0, 3), np.float32),
        **{f"of {code}": (10 * weight[0, 0]).astype(code) for code in CODES},
    }


def saved(value, protocol=None):
    """A .npy file of one object, as numpy.save writes it, or as it would with another protocol."""
    holder = np.empty((), object)
    holder[()] = value
    file = io.BytesIO()
    np.save(file, holder, allow_pickle=True)
    if protocol is None:
        return file.getvalue()
    start = 10 + int.from_bytes(file.getvalue()[8:10], "little")
    return file.getvalue()[:start] + pickle.dumps(holder, protocol)


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_what_numpy_saves(tmp_path, protocol):
    path = tmp_path / "a.npy"
    path.write_bytes(saved(arrays(), protocol))
    actual = numpy_pickle.read(path)
    assert same(actual, {name: a.astype(a.dtype.newbyteorder("=")) for name, a in arrays().items()})
    assert not any(a.flags.writeable for a in actual.values())


@pytest.mark.parametrize("protocol", range(6))
def test_what_pickle_dumps(tmp_path, protocol):
    """Protocol 0 writes numbers as escaped text, which is refused; all later ones are read."""
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(arrays(), protocol))
    if protocol == 0:
        assert_refused(numpy_pickle.read, path, path.read_bytes(), "a.pkl")
    else:
        assert same(numpy_pickle.read(path), {n: a.astype(a.dtype.newbyteorder("=")) for n, a in arrays().items()})


def test_lists_of_arrays_are_numbered(tmp_path):
    weight, bias = np.ones((2, 3), np.float32), np.zeros(2)
    path = tmp_path / "a.pkl"
    path.write_bytes(
        pickle.dumps({"conv1": [weight, bias], "fire2/squeeze": (bias, {"more": [weight]}), "n": [3]})
    )
    assert same(
        numpy_pickle.read(path),
        {"conv1.0": weight, "conv1.1": bias, "fire2/squeeze.0": bias, "fire2/squeeze.1.more.0": weight},
    )


def test_a_list_that_holds_itself_is_refused(tmp_path):
    endless = []
    endless.append(endless)
    assert_refused(numpy_pickle.read, tmp_path / "a.pkl", pickle.dumps({"a": endless}, 2), "letters")
    endless.extend([endless] * 50)
    assert_refused(numpy_pickle.read, tmp_path / "a.pkl", pickle.dumps({"a": endless}, 2), "entries")


def test_names_of_the_module_before_numpy_2(tmp_path):
    data = saved(arrays(), 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "a.npy").write_bytes(data)
    np.testing.assert_array_equal(numpy_pickle.read(tmp_path / "a.npy")["conv.weight"], arrays()["conv.weight"])


def test_python_2_keeps_numbers_in_strings(tmp_path):
    """Its pickle has BINSTRING where Python 3 has bytes."""
    data = saved({"a": np.arange(2048, dtype=np.float32)}, 3)
    size = (4 * 2048).to_bytes(4, "little")
    assert data.count(b"B" + size) == 1
    (tmp_path / "a.npy").write_bytes(data.replace(b"B" + size, b"T" + size))
    assert same(numpy_pickle.read(tmp_path / "a.npy"), {"a": np.arange(2048, dtype=np.float32)})


def test_checkpoints_nested_names_and_prefixes(tmp_path):
    one, two = np.ones(3), np.zeros((2, 2), np.float32)
    (tmp_path / "a.npy").write_bytes(
        saved({"epoch": 3, "state_dict": {"module.conv": {"weight": two, "bias": one, "text": "x"}}})
    )
    assert same(numpy_pickle.read(tmp_path / "a.npy"), {"conv.weight": two, "conv.bias": one})


def test_a_network_of_the_zoo(tmp_path):
    net = minicnn.load("digits")
    np.save(tmp_path / "digits.npy", net.state_dict(), allow_pickle=True)
    actual = minicnn.load(tmp_path / "digits.npy", architecture="digits")
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(actual(x), net(x))


class Call:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Call(), ["refused", "print"]),
        ({"a": Call()}, ["refused", "print"]),
        ({"a": np.array([Call()], object)}, ["a", "O8", "numbers"]),
        ([np.zeros(3)], ["list", "dictionary"]),
        ({"a": 3}, ["no arrays"]),
        ({"a": np.array(["x"], object)}, ["a", "O8", "numbers"]),
        ({"a": np.array(["x"])}, ["a", "U1", "numbers"]),
        ({"a": np.zeros(3, complex)}, ["a", "c16", "numbers"]),
    ],
)
def test_other_objects_are_refused_and_never_run(tmp_path, capsys, value, words):
    assert_refused(numpy_pickle.read, tmp_path / "a.npy", saved(value), *words)
    assert capsys.readouterr().out == ""


def test_arrays_that_lie_about_their_size(tmp_path):
    data = saved({"a": np.zeros(3, np.float32)}, 2)
    assert data.count(b"K\x03\x85") == 1
    for length in (b"K\x04\x85", b"K\x02\x85"):
        assert_refused(numpy_pickle.read, tmp_path / "a.npy", data.replace(b"K\x03\x85", length), "bytes")


class Shared:
    """An array whose numbers are the very bytes that other arrays have too."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __reduce__(self):
        rebuild, arguments, _ = np.zeros(0).__reduce__()
        return rebuild, arguments, (1, (len(self.numbers) // 4,), np.dtype(">f4"), False, self.numbers)


def test_arrays_that_share_their_bytes(tmp_path):
    """One array may have many names; many arrays of the same bytes would be a bomb, once copied."""
    numbers = np.arange(1 << 12, dtype=np.float32)
    (tmp_path / "a.npy").write_bytes(saved(dict.fromkeys("abcd", numbers)))
    assert same(numpy_pickle.read(tmp_path / "a.npy"), dict.fromkeys("abcd", numbers))
    raw = numbers.astype(">f4").tobytes()
    (tmp_path / "b.npy").write_bytes(saved({"a": Shared(raw)}, 4))
    assert same(numpy_pickle.read(tmp_path / "b.npy"), {"a": numbers})
    assert_refused(
        numpy_pickle.read,
        tmp_path / "c.npy",
        saved({name: Shared(raw) for name in "abcd"}, 4),
        "claim 65536 bytes",
    )


def test_one_array_is_no_dictionary(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    with pytest.raises(WeightsError, match="holds one array"):
        minicnn.load(tmp_path / "a.npy", architecture="digits")


def test_truncation(tmp_path):
    assert_truncation_is_refused(numpy_pickle.read, tmp_path / "a.npy", saved({"a": np.arange(9.0)}), 1)


def test_a_pickle_is_refused_like_a_npy_file(tmp_path, capsys):
    assert_refused(numpy_pickle.read, tmp_path / "a.pkl", pickle.dumps({"a": Call()}, 4), "refused", "print")
    assert_refused(numpy_pickle.read, tmp_path / "a.pkl", pickle.dumps([np.zeros(3)]), "list", "dictionary")
    assert_truncation_is_refused(numpy_pickle.read, tmp_path / "a.pkl", pickle.dumps({"a": np.arange(9.0)}), 1)
    assert capsys.readouterr().out == ""


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_of_a_pickle_gives_arrays_or_a_weights_error(tmp_path, edits):
    attempt(numpy_pickle.read, tmp_path / "a.pkl", edited(pickle.dumps(arrays(), 4), edits))


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_gives_arrays_or_a_weights_error(tmp_path, edits):
    attempt(numpy_pickle.read, tmp_path / "a.npy", edited(saved(arrays(), 4), edits))
