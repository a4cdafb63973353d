"""Reading PyTorch files: every layout that torch.save writes, and every way in which a file can lie."""

import io
import os
import pickle
import struct
import sys
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from minicnn.errors import WeightsError
from minicnn.formats import pytorch
from minicnn.formats.containers import unpickler
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

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

LAYOUTS = [{}, {"_use_new_zipfile_serialization": False}]
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=["zip", "legacy"])


def saved(value, **layout):
    """Return the bytes that torch.save writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # legacy files warn that they can't note a model's source
        torch.save(value, file, **layout)
    return file.getvalue()


def read(path, value, **layout):
    path.write_bytes(saved(value, **layout))
    return pytorch.read(path)


def archived(program, storages=(), compression=zipfile.ZIP_STORED):
    """Return a zip file around a pickle program of our own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        for index, storage in enumerate(storages):
            archive.writestr(f"archive/data/{index}", storage)
    return file.getvalue()


def legacy(program, keys=(), storages=b""):
    head = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*head, program, pickle.dumps(list(keys), 2), storages])


def text(word):
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def number(value):
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def tensor(size, stride, offset=0, numel=4, key="0", kind="Float"):
    """Return a dictionary of one tensor as a pickle program."""
    pid = (
        b"("
        + text("storage")
        + f"ctorch\n{kind}Storage\n".encode()
        + text(key)
        + text("cpu")
        + number(numel)
        + b"tQ"
    )
    shape = b"(" + b"".join(map(number, size)) + b"t(" + b"".join(map(number, stride)) + b"t"
    return b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + number(offset) + shape + b"\x89NtRs."


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5))


def arrays_of(state):
    return {name: value.detach().numpy() for name, value in state.items()}


# what honest files hold


@layouts
def test_state_dictionary(tmp_path, layout):
    state = model().state_dict()
    assert same(read(tmp_path / "net.pth", state, **layout), arrays_of(state))


@layouts
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_pickle_protocols(tmp_path, layout, protocol):
    state = {**model().state_dict(), "half": torch.ones(2).half()}
    assert same(read(tmp_path / "net.pth", state, pickle_protocol=protocol, **layout), arrays_of(state))


@layouts
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
)
def test_element_types(tmp_path, layout, dtype):
    values = torch.tensor([[0, 1, 2], [3, 100, 127]]).to(getattr(torch, dtype))
    actual = read(tmp_path / "net.pth", {"w": values, "empty": values[:, :0], "scalar": values[1, 1]}, **layout)
    assert same(actual, {"w": values.numpy(), "empty": values[:, :0].numpy(), "scalar": values[1, 1].numpy()})


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_types_without_a_storage_class_of_their_own(tmp_path, dtype):
    values = torch.arange(6).to(getattr(torch, dtype)).reshape(2, 3)
    assert same(read(tmp_path / "net.pth", {"w": values.T}), {"w": values.numpy().T})


@layouts
def test_bfloat16_becomes_float32_without_loss(tmp_path, layout):
    values = torch.tensor([0.0, -0.0, 1.5, -3e38, 1e-40, float("inf"), float("nan")]).bfloat16()
    actual = read(tmp_path / "net.pth", {"w": values}, **layout)
    assert same(actual, {"w": values.float().numpy()})


@layouts
def test_views_keep_offsets_strides_and_storage(tmp_path, layout):
    base = torch.arange(24.0).reshape(4, 6)
    state = {"base": base, "view": base[1:3, 1::2], "turned": base.T, "cell": base[3, 5]}
    state |= {"expanded": base[:1, 2:3].expand(5, 7), "long": base.as_strided((1, 4), (99, 6), 3)}
    actual = read(tmp_path / "net.pth", state, **layout)
    assert same(actual, arrays_of(state))
    assert np.shares_memory(actual["base"], actual["view"]) and actual["turned"].strides == (4, 24)


@layouts
def test_tied_tensors_share_memory(tmp_path, layout):
    weight = nn.Parameter(torch.randn(3, 4))
    actual = read(tmp_path / "net.pth", {"encoder": weight, "decoder": weight}, **layout)
    assert np.shares_memory(actual["encoder"], actual["decoder"])
    assert same(actual, arrays_of({"encoder": weight, "decoder": weight}))


@layouts
@pytest.mark.parametrize("key", ["state_dict", "model", "net", "model_state_dict"])
def test_the_model_inside_a_checkpoint(tmp_path, layout, key):
    net = model()
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(1, 2, 4, 4)).sum().backward()
    optimiser.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [3, 5]).state_dict()
    rest = {
        "epoch": 3,
        "best": torch.tensor(0.7),
        "when": 1e9,
        "tags": {"a", "b"},
        "raw": b"\xff\x00",
        "none": b"",
    }
    rest |= {
        "device": torch.device("cuda", 1),
        "size": torch.Size([1, 2]),
        "dtype": torch.float32,
        "nested": [[(1,)]],
    }
    checkpoint = {**rest, "optimizer": optimiser.state_dict(), "schedule": schedule, key: net.state_dict()}
    assert same(read(tmp_path / "net.pth", checkpoint, **layout), arrays_of(net.state_dict()))
    assert same(read(tmp_path / "net.pth", {"model": checkpoint}, **layout), arrays_of(net.state_dict()))


def test_nested_dictionaries_are_flattened(tmp_path):
    one, two = torch.ones(1), torch.zeros(2)
    actual = read(tmp_path / "net.pth", {"head": {"w": one, 0: {"b": two}}, "epoch": 3, "body": two})
    assert same(actual, arrays_of({"head.w": one, "head.0.b": two, "body": two}))


def test_a_prefix_that_all_names_share_is_removed(tmp_path):
    state = model().state_dict()
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    assert same(read(tmp_path / "net.pth", wrapped), arrays_of(state))
    assert list(read(tmp_path / "net.pth", {**wrapped, "w": torch.ones(1)}))[-1] == "w"


def test_big_endian_archives(tmp_path):
    file = io.BytesIO(archived(tensor((2, 2), (2, 1)), [np.arange(4, dtype=">f4").tobytes()]))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    (tmp_path / "net.pth").write_bytes(file.getvalue())
    assert same(pytorch.read(tmp_path / "net.pth"), {"w": np.arange(4, dtype=np.float32).reshape(2, 2)})


def test_compressed_archives(tmp_path):
    (tmp_path / "net.pth").write_bytes(archived(tensor((4,), (1,)), [bytes(16)], zipfile.ZIP_DEFLATED))
    assert same(pytorch.read(tmp_path / "net.pth"), {"w": np.zeros(4, np.float32)})


def test_archives_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        data = saved(model().state_dict())
    finally:
        torch.serialization.set_crc32_options(True)
    (tmp_path / "net.pth").write_bytes(data)
    assert same(pytorch.read(tmp_path / "net.pth", check=True), arrays_of(model().state_dict()))


def test_storage_views_of_old_legacy_files(tmp_path):
    program = tensor((2,), (1,), numel=6).replace(number(6) + b"t", number(6) + b"(" + text("v") + b"K\x03K\x02tt")
    path = tmp_path / "net.pth"
    path.write_bytes(legacy(program, ["0"], struct.pack("<q6f", 6, *range(6))))
    assert same(pytorch.read(path), {"w": np.array([3, 4], np.float32)})
    outside = tensor((3,), (1,), numel=6).replace(number(6) + b"t", number(6) + b"(" + text("v") + b"K\x03K\x02tt")
    assert_refused(
        pytorch.read, path, legacy(outside, ["0"], struct.pack("<q6f", 6, *range(6))), "'w'", "ends at 5"
    )


def test_python_2_wrote_an_ordered_dictionary_as_pairs_and_names_as_bytes(tmp_path):
    body = tensor((4,), (1,)).removesuffix(b"s.").removeprefix(b"}").replace(text("w"), b"U\x01w")
    program = b"ccollections\nOrderedDict\n(]](" + body + b"eatR."  # OrderedDict([["w", tensor]])
    (tmp_path / "net.pth").write_bytes(archived(program, [bytes(16)]))
    assert same(pytorch.read(tmp_path / "net.pth"), {"w": np.zeros(4, np.float32)})


# what is refused

DANGEROUS = [
    (os.system, "posix.system" if os.name == "posix" else "nt.system"),
    (eval, "builtin"),
    (getattr, "builtin"),
    (__import__, "builtin"),
    (torch.load, "torch.serialization.load"),
    (np.load, "numpy"),
]


class Call:
    """An object whose pickle calls `function(argument)` when Python reads it."""

    def __init__(self, function, argument):
        self.made = function, (argument,)

    def __reduce__(self):
        return self.made


def test_os_system_is_named_and_never_run(tmp_path):
    marker = tmp_path / "ran"
    attack = {"w": Call(os.system, f"touch {marker}")}
    for data in (saved(attack), saved(attack, **LAYOUTS[1]), archived(pickle.dumps(attack, 0))):
        name = "posix.system" if os.name == "posix" else "nt.system"
        assert_refused(
            pytorch.read, tmp_path / "net.pth", data, f"refused to run {name}, named at byte", "tensors"
        )
    assert not marker.exists()
    pickle.loads(pickle.dumps(attack))
    assert marker.exists()  # the attack works on Python's own reader


@layouts
@pytest.mark.parametrize(("function", "name"), DANGEROUS)
def test_functions_are_refused_by_name(tmp_path, layout, function, name):
    data = saved({"w": Call(function, "x")}, **layout)
    assert_refused(pytorch.read, tmp_path / "net.pth", data, "refused to run", name)


def test_naming_a_module_does_not_import_it(tmp_path):
    program = b"cthis\nzen\n(tR."
    assert_refused(pytorch.read, tmp_path / "net.pth", archived(program), "this.zen", "byte 0 of data.pkl")
    assert "this" not in sys.modules


@pytest.mark.parametrize("how", [b"c{}\n{}\n(tR.", b"(i{}\n{}\n.", b"(c{}\n{}\no.", b"c{}\n{}\n)\x81."])
def test_every_way_to_call_is_closed(tmp_path, how):
    program = how.replace(b"{}", b"os", 1).replace(b"{}", b"system", 1)
    assert_refused(pytorch.read, tmp_path / "net.pth", archived(program), "refused to", "os.system")


@pytest.mark.parametrize(
    "program",
    [
        b"\x8c\x02os\x8c\x06system\x93(tR.",  # a name from the stack
        b"\x82\x01.",  # a name from a registry of extensions
        b"Ppersistent\n.",
        b"K\x01Q.",
        b"N)R.",
        b"]\x8c\x06append\x85R.",
        b"ctorch\nFloatStorage\n)R.",
        b"ctorch\nSize\nK\x01R.",
        b"]}b.",  # attributes of a list
        b"}](u.",
        b"c" + 2500 * b"a" + b"\n" + 2500 * b"b" + b"\n.",  # a name that is copied each time
    ],
)
def test_odd_programs_are_refused(tmp_path, program):
    assert_refused(
        pytorch.read, tmp_path / "net.pth", archived(program), "data.pkl" if program[-2:] != b"N." else ""
    )


@layouts
def test_a_whole_model_is_refused_with_the_remedy(tmp_path, layout):
    data = saved(nn.Linear(2, 2), **layout)
    words = "torch.nn.modules.linear.Linear", "save model.state_dict() instead"
    assert_refused(pytorch.read, tmp_path / "net.pth", data, *words)


def test_torchscript_is_refused_with_the_remedy(tmp_path):
    file = io.BytesIO(archived(b"}."))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/constants.pkl", b").")
    assert_refused(pytorch.read, tmp_path / "net.pt", file.getvalue(), "TorchScript", "state_dict()")


@layouts
@pytest.mark.parametrize("value", [torch.ones(2), [torch.ones(2)], 3, {}, {"epoch": 3}, {"w": {"b": 3.0}}])
def test_files_without_named_tensors_are_refused(tmp_path, layout, value):
    assert_refused(pytorch.read, tmp_path / "net.pth", saved(value, **layout), "expected a")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    assert_one_sentence_for_what_is_no_such_file(pytorch.read, tmp_path, "net.pth", "a PyTorch file")
    assert_refused(pytorch.read, path, pickle.dumps({"w": 1}, 2), "not one of torch.save")
    assert_refused(pytorch.read, path, bytes(257) + b"ustar" + bytes(250), "a tar archive")
    assert_refused(pytorch.read, path, b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file")
    assert_refused(pytorch.read, path, b"PK\x05\x06" + bytes(18), "an empty zip archive")
    file = io.BytesIO()
    np.savez(file, w=np.ones(2))
    assert_refused(pytorch.read, path, file.getvalue(), "0 members data.pkl")


# sizes that lie


@pytest.mark.parametrize(
    ("size", "stride", "offset", "numel", "word"),
    [
        ((5,), (1,), 0, 4, "element 4 is wanted"),
        ((2, 2), (3, 1), 0, 4, "element 4 is wanted"),
        ((4,), (1,), 1, 4, "element 4 is wanted"),
        ((), (), 4, 4, "element 4 is wanted"),
        ((1 << 60,), (1,), 0, 4, "is wanted"),
        ((1 << 60,), (0,), 0, 4, "no vast repetition"),
        ((1 << 40, 1 << 40), (0, 0), 0, 4, "no vast repetition"),
        ((0, 1 << 62), (1, 1), 0, 4, "no vast repetition"),
        ((1 << 62, 1 << 62), (1 << 62, 1 << 62), 0, 4, "is wanted"),
        ((1 << 64,), (0,), 0, 4, "vast"),
        ((-1,), (1,), 0, 4, "negative"),
        ((4,), (-1,), 3, 4, "negative"),
        ((4,), (1,), -1, 4, "negative"),
        ((2, 2), (1,), 0, 4, "2 sizes and 1 strides"),
        ((1,) * 33, (1,) * 33, 0, 4, "33 sizes"),
        ((4,), (1,), 0, 5, "has 16 bytes; expected 20"),
        ((4,), (1,), 0, 1 << 60, "has 16 bytes"),
        ((4,), (1,), 0, -4, "not the name of a storage"),
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, size, stride, offset, numel, word):
    program = tensor(size, stride, offset, numel)
    assert_refused(pytorch.read, tmp_path / "net.pth", archived(program, [bytes(16)]), word)
    if "16 bytes" not in word:
        assert_refused(
            pytorch.read, tmp_path / "old.pth", legacy(program, ["0"], struct.pack("<q4f", 4, *[0] * 4)), word
        )


def test_legacy_storages_that_lie_are_refused(tmp_path):
    path, program = tmp_path / "net.pth", tensor((4,), (1,))
    assert_refused(
        pytorch.read, path, legacy(program, ["0"], struct.pack("<q4f", 1 << 60, *[0] * 4)), "4 elements"
    )
    assert_refused(pytorch.read, path, legacy(program, ["0"], struct.pack("<q4f", -4, *[0] * 4)), "4 elements")
    assert_refused(pytorch.read, path, legacy(program, ["0"], struct.pack("<q3f", 4, *[0] * 3)), "cut short")
    assert_refused(pytorch.read, path, legacy(program, [], b""), "named and not in the file")
    assert_refused(pytorch.read, path, legacy(program, ["1"], b""), "does not agree")
    assert_refused(pytorch.read, path, legacy(tensor((4,), (1,), numel=1 << 60), ["0"], bytes(24)), "elements")


def test_missing_and_doubled_members_are_refused(tmp_path):
    path, program = tmp_path / "net.pth", tensor((4,), (1,))
    assert_refused(pytorch.read, path, archived(program), "has no member 'archive/data/0'")
    file = io.BytesIO(archived(program, [bytes(16)]))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", bytes(16))
    assert_refused(pytorch.read, path, file.getvalue(), "two members")


@pytest.mark.parametrize(
    ("program", "word"),
    [
        (b"(" * 300_000 + b"t" * 300_000 + b".", "more than 500000 operations"),
        (b"]" * 10_000 + b"a" * 9_999 + b".", "holds a list"),
        (b")" + b"\x85" * 10_000 + b".", "holds a tuple"),
        (b"}" + (text("a") + b"}") * 10_000 + b"s" * 10_000 + b".", "letters"),
        (b"}q\x00" + text("a") + b"h\x00s.", "letters"),  # a dictionary inside itself
        (b"}q\x00" + text("") + b"h\x00s.", "more than 200000 entries"),
        (b"\x8f" * 200_000 + b".", "more than 500000 operations"),
        (b"\x8b\xff\xff\xff\x7f" + bytes(99), "an integer of 2147483647 bytes"),
        (b"\x8d" + b"\xff" * 8 + bytes(99), "ends early"),
        (b"X\xff\xff\xff\xff" + bytes(99), "ends early"),
        (b"T\xff\xff\xff\xff" + bytes(99), "ends early"),
        (b"I" + b"9" * 4000 + b"\n.", "an integer of 4000 digits"),
        (b"N" + b"".join(b"p%d\n" % (i * (2**61 - 1)) for i in range(9)) + b".", "as a key"),  # all of one hash
        (b"V" + b"9" * 5000 + b"\n.", "without an end"),
        (b"X\x02\x00\x00\x00\xff\xff.", "damaged program"),
    ],
)
def test_programs_that_would_fill_memory_or_the_stack_are_refused(tmp_path, program, word):
    assert_refused(pytorch.read, tmp_path / "net.pth", archived(program), word)


def test_a_pyramid_of_shared_dictionaries_is_refused(tmp_path):
    level = tensor((4,), (1,)).removesuffix(b".")
    for index in range(40):  # each holds the one below twice: 2^40 names
        level += (
            f"p{index}\n".encode()
            + b"}("
            + text("a")
            + f"g{index}\n".encode()
            + text("b")
            + f"g{index}\nu".encode()
        )
    assert_refused(
        pytorch.read, tmp_path / "net.pth", archived(level + b".", [bytes(16)]), "more than 200000 entries"
    )


def test_a_list_passed_many_times_is_paid_for_each_time():
    program = b"](" + b"N" * 10_000 + b"eq\x000" + b"ctorch\nSize\nh\x00\x85R0" * 1000 + b"N."
    with pytest.raises(WeightsError, match="more than 500000 operations"):
        unpickler.run(program, "net.pth", "data.pkl")


# damage


@pytest.fixture(params=LAYOUTS, ids=["zip", "legacy"])
def small(request):
    torch.manual_seed(0)
    state = {
        "w": torch.randn(3, 2),
        "half": torch.randn(3).half(),
        "count": torch.tensor(7),
        "on": torch.tensor([True]),
    }
    return saved(state, **request.param)


def test_truncation(tmp_path, small):
    assert_truncation_is_refused(pytorch.read, tmp_path / "net.pth", small, 9)


def test_bit_flips_in_an_archive_are_seen(tmp_path):
    data = saved({"w": torch.randn(3, 2), "on": torch.tensor([True])})
    assert_bit_flips_are_seen(pytorch.read, tmp_path / "net.pth", data, 23)


def test_bit_flips_in_a_legacy_file_are_refused_or_read(tmp_path):
    data = saved({"w": torch.randn(3, 2), "on": torch.tensor([True])}, **LAYOUTS[1])
    for bit in range(0, 8 * len(data), 11):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        attempt(pytorch.read, tmp_path / "net.pth", bytes(flipped))


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edited_files(tmp_path, small, edits):
    attempt(pytorch.read, tmp_path / "net.pth", edited(small, edits))


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edited_programs_under_right_checksums(tmp_path, edits):
    attempt(pytorch.read, tmp_path / "net.pth", archived(edited(tensor((2, 2), (2, 1)), edits), [bytes(16)]))


# writing


def test_torch_reads_what_is_written(tmp_path):
    rng = np.random.default_rng(0)
    types = [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, bool]
    arrays = {f"layer.{np.dtype(t).name}": (100 * rng.standard_normal((2, 3, 4))).astype(t) for t in types}
    arrays |= {"turned": arrays["layer.float32"].T, "scalar": np.array(3.0), "none": np.zeros((0, 3), np.float32)}
    arrays |= {"swapped": arrays["layer.float64"].astype(">f8"), "größe": np.ones(1)}
    pytorch.write(tmp_path / "net.pth", arrays)
    for mmap in (False, True):
        state = torch.load(tmp_path / "net.pth", weights_only=True, mmap=mmap)
        assert list(state) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(state[name].numpy(), array, strict=name != "swapped")
    actual = pytorch.read(tmp_path / "net.pth")
    assert all(np.array_equal(actual[name], array) for name, array in arrays.items())


def test_writing_is_deterministic_and_whole_or_not_at_all(tmp_path):
    arrays = arrays_of(model().state_dict())
    pytorch.write(tmp_path / "a.pth", arrays)
    pytorch.write(tmp_path / "b.pth", arrays)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    before = (tmp_path / "a.pth").read_bytes()
    for bad in ({"w": np.array([None])}, {"w": np.ones(2, complex)}, {"w\n": np.ones(2)}, {3: np.ones(2)}):
        with pytest.raises(WeightsError):
            pytorch.write(tmp_path / "a.pth", bad)
    assert (tmp_path / "a.pth").read_bytes() == before
    for name in "ab":
        (tmp_path / f"{name}.pth").unlink()
    assert_nothing_left_behind(lambda path: pytorch.write(path, arrays), tmp_path, "net.pth")


def test_a_network_can_be_saved_over_the_file_it_is_mapped_from(tmp_path):
    path = tmp_path / "net.pth"
    pytorch.write(path, {"w": np.arange(5.0)})
    pytorch.write(path, {"v": pytorch.read(path)["w"]})
    assert same(pytorch.read(path), {"v": np.arange(5.0)})
