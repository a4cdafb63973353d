"""Our .npz container against NumPy's, and against damage, lies and bombs."""

import io
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from minicnn.errors import WeightsError
from minicnn.formats.containers import files, npz
from tests.helpers.weight_faults import (
    EDITS,
    assert_bit_flips_are_seen,
    assert_nothing_left_behind,
    assert_one_sentence_for_what_is_no_such_file,
    assert_refused,
    assert_truncation_is_refused,
    attempt,
    edited,
    same,
)

TEXT = {"network.json": '{"größe": "中"}\n'}
NUMBERS = (
    npst.boolean_dtypes()
    | npst.integer_dtypes()
    | npst.unsigned_integer_dtypes()
    | npst.floating_dtypes(sizes=(16, 32, 64))
)
ARRAYS = npst.arrays(NUMBERS, npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))


def arrays_of(path):
    return npz.read(path)[0]


def little():
    rng = np.random.default_rng(0)
    return {"conv.weight": rng.standard_normal((2, 1, 3)).astype(np.float32), "on": np.array([True, False])}


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(header, data=b"", version=1):
    header = header.encode("latin1")
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(header))
        + header
        + data
    )


def saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


# round trips


@given(arrays=st.dictionaries(st.text("abc.é 0", min_size=1, max_size=9), ARRAYS, max_size=4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_here_and_by_numpy(tmp_path, arrays):
    path = tmp_path / "net.npz"
    npz.write(path, arrays, TEXT)
    actual, text = npz.read(path)
    native = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    assert same(actual, native) and text == TEXT
    with np.load(path) as peer:
        assert peer.files == [*TEXT, *arrays]
        assert all(np.array_equal(peer[n], a, equal_nan=a.dtype.kind == "f") for n, a in arrays.items())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_of_numpy(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {f"a/{t}": (100 * rng.standard_normal((3, 4))).astype(t) for t in "?bBhHiIlLefdFD"}
    arrays |= {
        "big": arrays["a/f"].astype(">f4"),
        "turned": arrays["a/d"].T,
        "scalar": np.array(3),
        "none": np.ones((0, 2)),
    }
    arrays |= {
        "words": np.array(["a", "βγ"]),
        "bytes": np.array([b"x", b"yz"]),
        "zeros": np.zeros((1 << 20) + 5, np.int8),
    }
    save(tmp_path / "net.npz", **arrays)
    actual = arrays_of(tmp_path / "net.npz")
    assert list(actual) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(actual[name], array)
        assert actual[name].dtype == array.dtype.newbyteorder("=") and not actual[name].flags.writeable


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, np.array(5)])
def test_npy(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(npz.read_npy(tmp_path / "a.npy"), array, strict=True)
    assert_refused(npz.read_npy, tmp_path / "a.npy", saved(array)[:-1], "bytes")


def test_arrays_are_mapped_at_multiples_of_64_bytes(tmp_path):
    arrays = {f"layer{n}": np.full(n, n, np.uint8) for n in range(1, 99, 7)}
    npz.write(tmp_path / "net.npz", arrays, TEXT)
    data = (tmp_path / "net.npz").read_bytes()
    for name, array in arrays_of(tmp_path / "net.npz").items():
        assert array.ctypes.data % 64 == 0  # a mapping begins at a page
        at = data.index(arrays[name].tobytes() + (b"PK" if name != "layer99" else b""))
        assert at % 64 == 0


def test_the_same_content_gives_the_same_bytes(tmp_path):
    npz.write(tmp_path / "a.npz", little(), TEXT)
    turned = {name: np.asfortranarray(a).astype(a.dtype.newbyteorder(">")) for name, a in little().items()}
    npz.write(tmp_path / "b.npz", turned, TEXT)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert zlib.crc32((tmp_path / "a.npz").read_bytes()) == 3500964570  # the bytes of a known file, on any machine


def test_a_file_can_be_written_over_itself(tmp_path):
    path = tmp_path / "net.npz"
    npz.write(path, little())
    npz.write(path, {"again": arrays_of(path)["conv.weight"]})
    assert same(arrays_of(path), {"again": little()["conv.weight"]})


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "net.npz"
    npz.write(path, little(), TEXT)
    before = path.read_bytes()
    bad = [
        {"a": np.array([None])},
        {"a": np.array(["text"])},
        {"a\n": np.ones(1)},
        {"": np.ones(1)},
        {7: np.ones(1)},
    ]
    for arrays in bad:
        with pytest.raises(WeightsError):
            npz.write(path, {"ok": np.ones(1), **arrays})
    for text in ({"a.npy": "x"}, {"a": "\ud800"}, {"": "x"}, {"a\0": "x"}):
        with pytest.raises(WeightsError):
            npz.write(path, little(), text)
    assert path.read_bytes() == before
    path.unlink()
    assert_nothing_left_behind(lambda path: npz.write(path, little()), tmp_path, "net.npz")


# checksums


def test_large_files_are_checked_when_asked_to(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    npz.write(path, little(), TEXT)
    data = bytearray(path.read_bytes())
    data[data.index(little()["conv.weight"].tobytes())] ^= 1
    path.write_bytes(data)
    for check in (None, True):
        with pytest.raises(WeightsError, match=r"conv\.weight\.npy' does not match its checksum"):
            npz.read(path, check=check)
    assert not same(npz.read(path, check=False)[0], little())
    monkeypatch.setattr(files, "CHECK_LIMIT", len(data) - 1)
    assert not same(npz.read(path)[0], little())
    with pytest.raises(WeightsError, match="checksum"):
        npz.read(path, check=True)


# lies, bombs and pickles


class Call:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_pickled_arrays_are_refused_and_never_run(tmp_path):
    marker = tmp_path / "ran"
    attack = saved(np.array([Call(marker)], dtype=object), allow_pickle=True)
    assert_refused(arrays_of, tmp_path / "net.npz", zipped({"a.npy": attack}), "|O", "pickles", "a.npy")
    assert_refused(npz.read_npy, tmp_path / "a.npy", attack, "pickles")
    assert_refused(npz.read_npy, tmp_path / "a.npy", pickle.dumps(Call(marker)), "a pickle")
    assert not marker.exists()
    np.load(io.BytesIO(attack), allow_pickle=True)
    assert marker.exists()  # the attack works where pickles are allowed


HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    ("descr", "fortran", "shape", "word"),
    [
        ("'<f4'", "False", "(5,)", "takes 20 bytes and 16 follow"),
        ("'<f4'", "False", "(3,)", "takes 12 bytes and 16 follow"),
        ("'<f4'", "True", f"({1 << 60},)", "16 follow"),
        ("'<f4'", "False", f"({1 << 61}, {1 << 61})", "16 follow"),
        ("'<f4'", "False", f"({1 << 62},)", "lengths"),
        ("'<f4'", "False", f"({'9' * 4000},)", ""),
        ("'<f4'", "False", "(-4,)", "lengths"),
        ("'<f4'", "False", "(True, 4)", "lengths"),
        ("'<f4'", "False", "(4.0,)", "lengths"),
        ("'<f4'", "False", "[4]", "no shape"),
        ("'<f4'", "False", "4", "no shape"),
        ("'<f4'", "False", "(" + "1," * 33 + "4)", "no shape"),
        ("'<f4'", "0", "(4,)", "no shape"),
        ("'<f3'", "False", "(4,)", "expected numbers"),
        ("'<f1'", "False", "(16,)", "expected numbers"),
        ("'O'", "False", "(2,)", "expected numbers"),
        ("'<M8[s]'", "False", "(2,)", "expected numbers"),
        ("'<U0'", "False", f"({1 << 60},)", "expected numbers"),
        ("[('a', '<f4')]", "False", "(4,)", "expected numbers"),
        ("'<f4'", "False", "(4,), 'more': 1", "dictionary"),
        ("'<f4'", "False", "(4,) + (1,)", "dictionary"),
        ("'<f4'", "__import__('os').system('exit')", "(4,)", "dictionary"),
        ("'<f4'", "False", "(" * 3000 + ")" * 3000, "dictionary"),
        ("'<f4'", "False", "-" * 9000 + "1", ""),
        ("'<f4'", "False", "(4,)" + " " * 20_000, "a header of"),
        ("'<f4'", "'\\d'", "(4,)", "dictionary"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, descr, fortran, shape, word):
    data = npy(HEADER.format(descr, fortran, shape), bytes(16))
    assert_refused(arrays_of, tmp_path / "net.npz", zipped({"a.npy": data}), word, "a.npy")


@pytest.mark.parametrize("shape", [f"(0, {1 << 61})", f"({1 << 61}, 0, {1 << 61})"])
def test_vast_empty_shapes_are_refused(tmp_path, shape):
    data = npy(HEADER.format("'<f4'", "False", shape))
    assert_refused(arrays_of, tmp_path / "net.npz", zipped({"a.npy": data}), "no array can have the shape")


@pytest.mark.parametrize(
    "data", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{}", b"\x93NUMPY\x04\x00", b"x" * 99]
)
def test_members_that_are_no_arrays_are_refused(tmp_path, data):
    assert_refused(arrays_of, tmp_path / "net.npz", zipped({"a.npy": data}), "a.npy")


def test_newer_headers_are_read(tmp_path):
    for version in (2, 3):
        data = npy(HEADER.format("'<f4'", "False", "(4,)"), bytes(16), version)
        assert same(
            attempt(arrays_of, tmp_path / "net.npz", zipped({"a.npy": data})), {"a": np.zeros(4, np.float32)}
        )


def test_bombs_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    bomb = zipped({"a.npy": saved(np.zeros(80 << 20, np.uint8))}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert_refused(arrays_of, path, bomb, "claim to unpack")
    honest = bytearray(zipped({"a.npy": saved(np.zeros(1000, np.uint8))}, zipfile.ZIP_DEFLATED))
    directory = honest.index(b"PK\x01\x02")
    for size, word in [(1 << 30, "can't hold"), (1127, "does not unpack"), (1129, "does not unpack")]:
        honest[directory + 24 : directory + 28] = struct.pack("<I", size)
        assert_refused(arrays_of, path, bytes(honest), word)
    assert_refused(arrays_of, path, zipped({"a.npy": saved(np.zeros(9))}, zipfile.ZIP_LZMA), "compression 14")


def test_overlapping_members_are_refused(tmp_path):
    inner = zipped({"b.npy": saved(np.zeros(3))})
    inner = inner[: inner.index(b"PK\x01\x02")]  # a local header and its data, inside the data of another member
    data = bytearray(zipped({"a.txt": inner, "b.npy": saved(np.zeros(3))}))
    last = data.rindex(b"PK\x01\x02")
    data[last + 42 : last + 46] = struct.pack("<I", data.index(inner))
    assert_refused(arrays_of, tmp_path / "net.npz", bytes(data), "overlap")


def test_a_vast_directory_is_refused(tmp_path):
    data = zipped({f"{n:0200}": b"" for n in range(20_000)})
    assert_refused(arrays_of, tmp_path / "net.npz", data, "directory takes more than")


def test_other_members_must_be_text(tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(zipped({"../../etc/passwd": "harmless: a name is a key", "/a.npy": saved(np.ones(1))}))
    arrays, text = npz.read(path)
    assert list(arrays) == ["/a"] and text == {"../../etc/passwd": "harmless: a name is a key"}
    assert_refused(arrays_of, path, zipped({"a": b"\xff\xfe"}), "neither an array nor UTF-8")
    assert_refused(arrays_of, path, zipped({"a": bytes((16 << 20) + 1)}), "16777217 bytes")


def test_what_is_no_npz_file(tmp_path):
    assert_one_sentence_for_what_is_no_such_file(npz.read, tmp_path, "net.npz", "an .npz file")
    assert_refused(npz.read, tmp_path / "net.npz", saved(np.ones(3)), "found a .npy file")
    assert_refused(npz.read, tmp_path / "net.npz", zipped({"a.npy": saved(np.ones(1))})[:40], "cut-short")


# damage


@pytest.fixture(params=["ours", "compressed"])
def small(request, tmp_path):
    if request.param == "ours":
        npz.write(tmp_path / "net.npz", little(), TEXT)
    else:
        np.savez_compressed(tmp_path / "net.npz", **little())
    return (tmp_path / "net.npz").read_bytes()


def test_truncation(tmp_path, small):
    assert_truncation_is_refused(arrays_of, tmp_path / "net.npz", small, 3)


def test_bit_flips_are_seen(tmp_path, small):
    assert_bit_flips_are_seen(arrays_of, tmp_path / "net.npz", small, 11)


def test_bit_flips_in_texts_are_seen(tmp_path):
    path = tmp_path / "net.npz"
    npz.write(path, {}, TEXT)
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if attempt(arrays_of, path, bytes(flipped)) is not None:
            assert npz.read(path) == ({}, TEXT)


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edited_files(tmp_path, small, edits):
    attempt(arrays_of, tmp_path / "net.npz", edited(small, edits))


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edited_members_under_right_checksums(tmp_path, edits):
    member = saved(np.arange(4.0))
    attempt(arrays_of, tmp_path / "net.npz", zipped({"a.npy": edited(member, edits)}, zipfile.ZIP_DEFLATED))
