"""HDF5 files: the groups, attributes and arrays that h5py reads, and WeightsErrors from damaged ones."""

import io
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import WeightsError
from minicnn.formats.containers import hdf5
from tests.helpers.weight_faults import EDITS, edited

RNG = np.random.default_rng(0)


def written(fill, **options):
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as root:
        fill(root)
    return file.getvalue()


def read(data):
    return hdf5.read(memoryview(data), "a file")


def assert_equal(ours, theirs):
    """Assert that a group of ours holds what h5py's does."""
    assert set(ours.attributes) == set(theirs.attrs) and set(ours.members) == set(theirs)
    for key, value in theirs.attrs.items():
        actual = ours.attributes[key]
        if isinstance(actual, str):
            assert actual == (value.decode() if isinstance(value, bytes) else value)
        elif isinstance(actual, list):
            assert actual == [v.decode() if isinstance(v, bytes) else v for v in value]
        else:
            np.testing.assert_array_equal(actual, value)
    for key, member in theirs.items():
        if isinstance(member, h5py.Group):
            assert_equal(ours.members[key], member)
        else:
            assert ours.members[key].dtype == member.dtype.newbyteorder("=")
            np.testing.assert_array_equal(ours.members[key], member[()])


def assert_reads(data):
    with h5py.File(io.BytesIO(data)) as theirs:
        assert_equal(read(data), theirs)


def small(root):
    root.attrs["text"] = "a name of any length"
    root.attrs["accents"] = "tête-à-tête"
    root.attrs["bytes"] = np.bytes_(b"fixed")
    root.attrs["texts"] = ["one", "", "three"]
    root.attrs["fixed texts"] = np.array([b"a", b"bcd"])
    root.attrs["number"] = 3
    root.attrs["numbers"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u2", "u8", ">f4", ">i2"):
        root[f"arrays/{kind}"] = np.arange(1, 7).reshape(2, 3).astype(kind)
    root["arrays/scalar"] = np.float32(2.5)
    root["arrays/empty"] = np.zeros((0, 3), np.float32)
    root["deep/er/still"] = RNG.standard_normal((3, 3, 2, 4)).astype(np.float32)
    root.create_group("nothing")


def tracked(root):
    """Groups as Keras 3 makes them: members in the order in which they came."""
    for layer in ("second", "first"):
        group = root.create_group(f"layers/{layer}/vars", track_order=True)
        group.attrs["name"] = layer
        for i in range(8):
            group[str(i)] = RNG.standard_normal((2, i)).astype(np.float32)


def test_reads_groups_with_an_order():
    assert_reads(written(tracked))
    assert_reads(written(tracked, track_order=True))


@pytest.mark.parametrize("options", [{}, {"libver": "earliest"}])
def test_reads_what_h5py_reads(options):
    assert_reads(written(small, **options))


def test_reads_headers_and_groups_of_the_new_kind():
    def few(root):
        root.attrs["text"] = "new"
        for i in range(4):
            root[f"group/array{i}"] = np.full((2, 2), i, np.float32)
        root["group"].attrs["names"] = ["a", "b"]

    assert_reads(written(few, libver="latest"))


def test_reads_groups_of_many_members_and_headers_that_are_continued():
    def many(root):
        for i in range(700):
            root[f"group {i}/array"] = np.float32(i)
        for i in range(60):
            root.attrs[f"attribute {i}"] = f"value {i}" * i

    assert_reads(written(many))


def test_an_array_in_the_header_itself():
    def compact(root):
        space = h5py.h5s.create_simple((2, 3))
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        array = h5py.h5d.create(root.id, b"array", h5py.h5t.IEEE_F32LE, space, properties)
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype=np.float32).reshape(2, 3))

    assert_reads(written(compact))


def test_bfloat16_as_keras_keeps_it():
    def fill(root):
        root["array"] = np.array([0x3F80, 0xC040], np.uint16)
        root["array"].attrs["dtype"] = "bfloat16"

    np.testing.assert_array_equal(read(written(fill)).members["array"], np.float32([1, -3]))


def test_arrays_lie_in_the_file_and_are_not_copied():
    data = written(lambda root: root.create_dataset("array", data=np.zeros(1 << 20, np.float32)))
    tracemalloc.start()
    array = read(data).members["array"]
    assert tracemalloc.get_traced_memory()[1] < 1 << 18 and not array.flags.writeable
    tracemalloc.stop()


def cycle(root):
    root["group/again"] = root


def two_names(root):
    root["array"] = np.zeros(3)
    root["again"] = root["array"]


def deep(root):
    root.create_group("/".join("g" * 40))


def never_written(root):
    root.create_dataset("array", (1 << 20, 1 << 20), np.float32)


def many_attributes(root):
    for i in range(20):
        root.attrs[f"{i}"] = i


REFUSED = {
    "chunks": (lambda root: root.create_dataset("a", data=np.zeros(9), chunks=(3,)), {}, "in chunks.*h5repack"),
    "compression": (lambda root: root.create_dataset("a", data=np.zeros(9), compression="gzip"), {}, "in chunks"),
    "text": (lambda root: root.create_dataset("a", data="text"), {}, "expected an array of numbers"),
    "complex": (lambda root: root.create_dataset("a", data=np.zeros(2, complex)), {}, "expected an array of num"),
    "a soft link": (lambda root: root.__setitem__("a", h5py.SoftLink("/b")), {}, "soft link"),
    "a link to another file": (
        lambda root: root.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/")),
        {},
        "not read|leads elsewhere|expected",
    ),
    "a link to another file, new": (
        lambda root: root.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/")),
        {"libver": "latest"},
        "leads elsewhere",
    ),
    "a cycle": (cycle, {}, "second time"),
    "a cycle, new": (cycle, {"libver": "latest"}, "second time"),
    "two names for one array": (two_names, {}, "second time"),
    "depth": (deep, {}, "deep"),
    "4 TB that were never written": (never_written, {}, "never written"),
    "an index of members": (
        lambda root: [root.create_group(f"{i}") for i in range(20)],
        {"libver": "latest"},
        "in an index",
    ),
    "an index of attributes": (many_attributes, {"libver": "latest"}, "in an index"),
    "a root elsewhere": (small, {"userblock_size": 512}, "expected an HDF5 file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_sentence(case):
    fill, options, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message) as caught:
        read(written(fill, **options))
    assert str(caught.value).startswith("a file") and str(caught.value).isprintable()


def test_claims_beyond_the_file():
    data = bytearray(written(lambda root: root.create_dataset("a", data=np.arange(1000.0))))
    size, huge = (8000).to_bytes(8, "little"), (1 << 60).to_bytes(8, "little")
    rows = (1000).to_bytes(8, "little")
    assert data.count(size) == 1
    with pytest.raises(WeightsError, match="can't hold"):
        read(bytes(data).replace(rows, huge))
    with pytest.raises(WeightsError, match="together they are more than the file"):
        read(bytes(data).replace(size, huge).replace(rows, (1 << 57).to_bytes(8, "little")))


@pytest.fixture(scope="module")
def whole():
    return [written(small), written(tracked)]


def test_truncation_is_refused(whole):
    data = whole[0]
    for length in range(0, len(data), 41):
        with pytest.raises(WeightsError):
            read(data[:length])


@settings(max_examples=600, derandomize=True, deadline=None)
@given(edits=EDITS, which=st.integers(0, 1))
def test_any_edit_gives_values_or_a_weights_error(whole, edits, which):
    try:
        read(edited(whole[which], edits))
    except WeightsError as error:
        assert str(error).isprintable()


@settings(max_examples=600, derandomize=True, deadline=None)
@given(
    where=st.floats(0, 1),
    value=st.sampled_from([0, 1, 2, 8, 255, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]),
    which=st.integers(0, 1),
)
def test_any_number_in_any_place(whole, where, value, which):
    data = bytearray(whole[which])
    at = int(where * (len(data) - 4)) & ~3
    data[at : at + 4] = value.to_bytes(4, "little")
    try:
        read(bytes(data))
    except WeightsError as error:
        assert str(error).isprintable()
