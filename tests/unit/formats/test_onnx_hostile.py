"""ONNX files made to do harm: paths out of the folder, claims beyond the file, cycles, depth, mutations."""

import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from minicnn.errors import WeightsError
from minicnn.formats.containers.protobuf import encode_integer, encode_message, encode_text
from minicnn.formats.onnx import read, write
from minicnn.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU6,
    Residual,
)
from minicnn.network import Network
from tests.conformance.onnx_graphs import expected, load_model, model, run_net
from tests.helpers.weight_faults import EDITS, edited


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


# data beside the model


def external(folder, location, **entries):
    """A convolution whose weight lies in another file."""
    proto = model([("Conv", "x w", "y", {})], (3, 4, 4), {"w": normal(2, 3, 1, 1)})
    tensor = proto.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "inside").mkdir(exist_ok=True)
    for place in (folder, folder / "inside"):
        (place / "weights.bin").write_bytes(b"\0" * 64 + raw)
    (folder / "inside" / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "inside" / "model.onnx"


@pytest.mark.parametrize("entries", ({"offset": 64}, {"offset": 64, "length": 24}))
def test_external_data(entries, tmp_path):
    path = external(tmp_path, "weights.bin", **entries)
    weight = read(path).layers[0].weight
    np.testing.assert_array_equal(weight, normal(2, 3, 1, 1))
    assert not weight.flags.owndata, "mapped, not copied"


def test_external_data_as_onnx_saves_it(tmp_path):
    proto = model([("Conv", "x w", "a", {}), ("Relu", "a", "y", {})], (3, 4, 4), {"w": normal(2, 3, 1, 1)})
    x = normal(2, 3, 4, 4)
    reference = expected(proto.SerializeToString(), x)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    np.testing.assert_allclose(run_net(read(tmp_path / "m.onnx"), x), reference, atol=1e-5)


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin",
        "/etc/hostname",
        "a/../../weights.bin",
        "a/../weights.bin",
        "..\\weights.bin",
        "C:\\w",
        "x\0y",
    ],
)
def test_no_path_out_of_the_folder(location, tmp_path):
    with pytest.raises(WeightsError, match="outside of the model's folder"):
        read(external(tmp_path, location, offset=64))


def test_no_link_out_of_the_folder(tmp_path):
    path = external(tmp_path, "link.bin", offset=64)
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(WeightsError, match="outside of the model's folder"):
        read(path)
    (path.parent / "folder").symlink_to(tmp_path)
    with pytest.raises(WeightsError, match="outside of the model's folder"):
        read(external(tmp_path, "folder/weights.bin", offset=64))


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"offset": 65}, "end at byte 89 of a file of 88 bytes"),
        ({"offset": -8}, "end at byte"),
        ({"offset": 0, "length": -1}, "end at byte"),
        ({"offset": 64, "length": 20}, "has 20 bytes of data"),
        ({"offset": "x"}, "no whole numbers"),
        ({"offset": "9" * 5000}, "no whole numbers"),
        ({"location": "gone.bin"}, "no such file"),
        ({"location": ""}, "found a folder"),
    ],
)
def test_external_data_that_do_not_fit(entries, message, tmp_path):
    given = {"location": "weights.bin"} | entries
    with pytest.raises(WeightsError, match=message):
        read(external(tmp_path, **given))


# claims beyond the file


CLAIMS = {
    "initialiser of 2^60": ([("Relu", "x", "y", {})], {}, 1 << 60),
    "constant of 2^60": (
        [("ConstantOfShape", "s", "w", {}), ("Add", "x w", "y", {})],
        {"s": [1 << 30, 1 << 30]},
        None,
    ),
    "expand": ([("Expand", "one s", "w", {}), ("Mul", "x w", "y", {})], {"s": [1 << 40, 3, 1, 1]}, None),
    "range": ([("Range", "zero big step", "w", {}), ("Mul", "x w", "y", {})], {"big": 1 << 60}, None),
    "pad": ([("Pad", "x pads", "y", {})], {"pads": [0, 0, 1 << 40, 0, 0, 0, 0, 0]}, None),
    "kernel": (
        [("MaxPool", "x", "y", {"kernel_shape": [1 << 40, 1], "pads": [1 << 39, 0, 1 << 39, 0]})],
        {},
        None,
    ),
    "reshape": ([("Reshape", "x s", "y", {})], {"s": [-1, 1 << 40, 3]}, None),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_cost_nothing(name, tmp_path):
    nodes, constants, dims = CLAIMS[name]
    arrays = {"one": np.float32(1), "zero": np.array(0), "step": np.array(1)}
    proto = model(nodes, (3, 4, 4), arrays | {k: np.array(v) for k, v in constants.items()})
    if dims:
        proto.graph.initializer.append(onnx.TensorProto(name="w", dims=[dims], data_type=1, raw_data=b"1234"))
        proto.graph.node.insert(0, helper.make_node("Add", ["x", "w"], ["z"]))
        proto.graph.node[1].input[0] = "z"
    with pytest.raises(WeightsError):
        measured(lambda: load_model(proto, tmp_path))


def measured(action, megabytes=4.0):
    """Run an action that may take so much memory."""
    tracemalloc.start()
    try:
        return action()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < megabytes * 2**20


def test_doubling_constants(tmp_path):
    nodes = [("Concat", f"c{i} c{i}", f"c{i + 1}", {"axis": 0}) for i in range(60)] + [
        ("Reshape", "x c60", "y", {})
    ]
    with pytest.raises(WeightsError, match="may unfold to"):
        measured(lambda: load_model(model(nodes, (3, 4, 4), {"c0": np.array([1])}), tmp_path))


def test_one_weight_turned_a_thousand_times(tmp_path):
    nodes, last = [], "x"
    for i in range(1000):
        nodes.append(("MatMul", f"{last} w", f"v{i}", {}))
        last = f"v{i}"
    with pytest.raises(WeightsError, match="may unfold to"):
        measured(lambda: load_model(model(nodes, (200,), {"w": normal(200, 200)}, output=last), tmp_path))


# graphs


def test_cycle(tmp_path):
    with pytest.raises(WeightsError, match=r"reads 'b', which no node before it gives"):
        load_model(
            model([("Add", "x b", "a", {}), ("Relu", "a", "b", {}), ("Relu", "b", "y", {})], (3, 4, 4)), tmp_path
        )


def test_value_given_twice(tmp_path):
    with pytest.raises(WeightsError, match="gives a value that there is already"):
        load_model(model([("Relu", "x", "y", {}), ("Tanh", "y", "y", {})], (3, 4, 4)), tmp_path)


def test_deep_nesting(tmp_path):
    """Sums within sums, all opened before any is closed: a list, in which nothing lies deep."""
    nodes = [("Relu", "x" if i == 0 else f"v{i - 1}", f"v{i}", {}) for i in range(2000)]
    nodes.append(("Identity", "v1999", "s1999", {}))
    nodes += [("Add", f"v{i} s{i + 1}", f"s{i}", {}) for i in range(1998, -1, -1)]
    net = load_model(model(nodes, (3, 4, 4), output="s0"), tmp_path)
    x = np.ones((1, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(net(x), 2000 * x)


def test_deep_subgraphs(tmp_path):
    """An If in a branch of an If, and so on: deeper than protobuf itself would read."""
    end = [*encode_text(1, "x"), *encode_text(2, "z"), *encode_text(4, "Relu")]
    for _ in range(2000):
        graph = [*encode_message(1, end), *encode_message(12, encode_text(1, "z"))]
        branch = [
            *encode_text(1, "then_branch"),
            *encode_message(6, graph),
            *encode_integer(20, 5),
        ]
        end = [
            b"".join(
                [
                    *encode_text(1, "c"),
                    *encode_text(2, "z"),
                    *encode_text(4, "If"),
                    *encode_message(5, branch),
                ]
            )
        ]
    proto = model([("Relu", "z", "y", {})], (3, 4, 4), {"c": np.array(True)})
    chunks = [*encode_message(1, end), proto.graph.SerializeToString()]
    (tmp_path / "deep.onnx").write_bytes(
        b"".join(
            [
                *encode_message(7, chunks),
                *encode_message(8, encode_integer(2, 17)),
                *encode_integer(1, 8),
            ]
        )
    )
    with pytest.raises(WeightsError, match="no such branch"):
        measured(lambda: read(tmp_path / "deep.onnx"))


def test_many_crossing_sums(tmp_path):
    nodes = [("Relu", "x" if i == 0 else f"v{i - 1}", f"v{i}", {}) for i in range(3000)]
    nodes += [("Add", f"{f's{i - 1}' if i else 'v2999'} v{2999 - i}", f"s{i}", {}) for i in range(3000)]
    net = load_model(model(nodes, (3, 4, 4), output="s2999"), tmp_path)
    x = np.ones((1, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(net(x), 3001 * x)
    np.testing.assert_array_equal(net.input_gradient(x, x), 3001 * x)


# damage


def written(folder):
    chain = [
        ("conv", Conv2d(3, 4, 3)),
        ("mixed", Concat([BatchNorm2d(4)], [Residual([PReLU(4)])])),
        ("pool", MaxPool2d(2, ceil_mode=True)),
        ("rows", Flatten()),
        ("fc", Linear(32, 2)),
        ("end", ReLU6()),
    ]
    write(folder / "net.onnx", Network(chain, (3, 6, 6), labels=["a", "b"]))
    return (folder / "net.onnx").read_bytes()


def folding():
    nodes = [
        ("Shape", "x", "s", {}),
        ("Gather", "s zero", "n", {"axis": 0}),
        ("Unsqueeze", "n axis", "n1", {}),
        ("Concat", "n1 minus", "target", {"axis": 0}),
        ("Pad", "x pads", "p", {}),
        ("Clip", "p low high", "c", {}),
        ("Slice", "pads axis minus", "cut", {}),
        ("ConstantOfShape", "axis", "w", {}),
        ("Mul", "c w", "d", {}),
        ("Reshape", "d target", "y", {}),
    ]
    constants = {"zero": np.array(0), "axis": np.array([1]), "minus": np.array([-1]), "low": np.float32(0)}
    constants |= {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "high": np.float32(6)}
    return model(nodes, (3, 4, 4), constants).SerializeToString()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    typed = model([("Conv", "x w", "y", {})], (3, 4, 4))
    typed.graph.initializer.append(helper.make_tensor("w", 1, (2, 3, 1, 1), normal(6)))
    return [written(tmp_path_factory.mktemp("seed")), folding(), typed.SerializeToString()]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), edits=EDITS)
def test_mutations(which, edits, seeds, tmp_path):
    path = tmp_path / "mutated.onnx"
    path.write_bytes(edited(seeds[which], edits))
    try:
        net = read(path)
    except WeightsError as error:
        assert str(path) in str(error) and str(error).replace(str(path), "").isprintable()
    else:
        assert all(np.isfinite(a).shape == a.shape for a in net.state_dict().values())  # every value can be read


@pytest.mark.parametrize("which", range(3))
def test_truncation(which, seeds, tmp_path):
    path = tmp_path / "cut.onnx"
    for end in range(0, len(seeds[which]), 7):
        path.write_bytes(seeds[which][:end])
        with pytest.raises(WeightsError):
            read(path)
