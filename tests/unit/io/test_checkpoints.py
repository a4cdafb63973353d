"""Checkpoints as trainers write them: whatever wraps the weights or lies beside them, the network is the same."""

import argparse
import collections
import dataclasses
import datetime
import enum
import pathlib
import warnings

import numpy as np
import pytest

import minicnn
from minicnn import zoo
from minicnn.errors import WeightsError
from minicnn.formats import safetensors
from minicnn.io.inspect import inspect
from minicnn.verify.conversion import all_agree, compare_files

torch = pytest.importorskip("torch")

NET = zoo.build("digits", seed=3)
STATE = NET.state_dict()
TENSORS = {name: torch.from_numpy(np.array(a)) for name, a in STATE.items()}
OTHER = {name: tensor + 1 for name, tensor in TENSORS.items()}
X = np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)


class Mode(enum.Enum):
    TRAIN = 1


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    root: pathlib.Path = pathlib.Path("runs")


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop them
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


def prefixed(prefix, tensors=TENSORS):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def load(path, value, architecture="digits", **options):
    torch.save(value, path)
    return minicnn.load(path, architecture=architecture, **options)


def optimiser():
    parameters = [torch.nn.Parameter(t.clone()) for t in TENSORS.values()]
    rule = torch.optim.Adam(parameters)
    torch.stack([p.sum() for p in parameters]).sum().backward()
    rule.step()
    return rule.state_dict()


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "net.", "backbone.", "_orig_mod.module.", "module._orig_mod.model.", "student.encoder."],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_a_prefix_that_all_names_share(tmp_path, prefix, suffix):
    path = tmp_path / f"net{suffix}"
    arrays = {prefix + name: np.array(a) for name, a in STATE.items()}
    if suffix == ".pth":
        torch.save({name: torch.from_numpy(a) for name, a in arrays.items()}, path)
    else:
        safetensors.write(path, arrays) if suffix == ".safetensors" else np.savez(path, **arrays)
    np.testing.assert_array_equal(minicnn.load(path, architecture="digits")(X), NET(X))
    assert len(inspect(path)["arrays"]) == len(STATE)


BESIDE = {
    "Namespace": argparse.Namespace(lr=0.1, mode=Mode.TRAIN, dir=pathlib.PurePosixPath("/x")),
    "NumPy scalar": np.float64(71.2),
    "NumPy array": np.eye(3),
    "defaultdict": collections.defaultdict(list, {"loss": [1.0, 2.0]}),
    "datetime": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    "path": pathlib.PurePosixPath("/runs"),
    "enum": Mode.TRAIN,
    "dataclass": Settings(),
    "keys of other kinds": {(1, 2): "a", Mode.TRAIN: {frozenset([1])}},
    "function": print,
    "type": torch.float8_e4m3fn,
    "complex": torch.ones(2, dtype=torch.complex64),
    "random state": torch.get_rng_state(),
    "criterion": {"weight": torch.ones(10)},
}


@pytest.mark.parametrize("protocol", [1, 2, 4])
@pytest.mark.parametrize("kind", BESIDE)
def test_what_lies_beside_the_weights_is_skipped(tmp_path, kind, protocol):
    path = tmp_path / "net.pth"
    torch.save({"extra": BESIDE[kind], "state_dict": TENSORS, "epoch": 3}, path, pickle_protocol=protocol)
    np.testing.assert_array_equal(minicnn.load(path, architecture="digits")(X), NET(X))


@pytest.mark.parametrize(
    "value",
    [
        {"model_state_dict": TENSORS, "optimizer_state_dict": optimiser(), "loss": torch.tensor(0.3)},
        {"state_dict": prefixed("model."), "optimizer_states": [optimiser()], "loops": {"a": {"state_dict": {}}}},
        {"model": {"state_dict": prefixed("module.")}, "opt": optimiser()},
        {"generator": TENSORS},
        {"params_ema": TENSORS},
        {"backbone": TENSORS, "step": 3},
        {"trainer": {"runs": {"best": TENSORS}}},
        {"meta": {"CLASSES": ["a"]}, "state_dict": prefixed("backbone.")},
        {name: torch.nn.Parameter(t) for name, t in TENSORS.items()},
        {name: t.T.contiguous().T if t.ndim == 2 else t for name, t in TENSORS.items()},
        [TENSORS],
        (prefixed("module."), 12),
        {name.replace(".", "._orig_mod.", 1): t for name, t in TENSORS.items()},
        {
            name.replace(".", "._checkpoint_wrapped_module._fsdp_wrapped_module.", 1): t
            for name, t in TENSORS.items()
        },
        {"state_dict": {**prefixed("model."), **prefixed("backbone.")}},  # one module under two names
    ],
)
def test_wrappers(tmp_path, value):
    np.testing.assert_array_equal(load(tmp_path / "net.pth", value)(X), NET(X))


def test_half_precision(tmp_path):
    for dtype in (torch.float16, torch.bfloat16):
        actual = load(tmp_path / "net.pth", {name: t.to(dtype) for name, t in TENSORS.items()})
        np.testing.assert_allclose(actual(X), NET(X), atol=0.02 * np.abs(NET(X)).max())


@pytest.mark.parametrize(
    ("value", "entry", "first"),
    [
        ({"state_dict": TENSORS, "state_dict_ema": OTHER}, "state_dict_ema", "state_dict"),
        ({"model": TENSORS, "model_ema": prefixed("module.", OTHER)}, "model_ema", "model"),
        (
            {"state_dict": {**prefixed("model."), **prefixed("model_ema.module.", OTHER)}},
            "model_ema.module",
            "model",
        ),
        ({"student": prefixed("module."), "teacher": {"state_dict": OTHER}}, "teacher", None),
        ({"online_net": TENSORS, "target_net": OTHER, "args": {"lr": 1}}, "target_net", None),
        ({"state_dict": {**prefixed("student."), **prefixed("teacher.", OTHER)}}, "teacher", None),
        (
            {"state_dict": {**prefixed("module.encoder_q.", OTHER), **prefixed("module.encoder_k.")}},
            "encoder_q",
            None,
        ),
    ],
)
def test_an_entry_is_chosen_by_name_and_never_silently(tmp_path, value, entry, first):
    expected = NET(X) if first else None
    if first:
        with pytest.warns(UserWarning, match=r"it also holds .*ema.*, which entry= \(--entry\) chooses"):
            np.testing.assert_array_equal(load(tmp_path / "net.pth", value)(X), expected)
    else:
        with pytest.raises(WeightsError, match=r"holds these weights several times: \w+.*, \w+.*--entry"):
            load(tmp_path / "net.pth", value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actual = load(tmp_path / "net.pth", value, entry=entry).state_dict()
    for name, tensor in OTHER.items():
        np.testing.assert_array_equal(actual[name], tensor)


@pytest.mark.parametrize("value", [{"state_dict": TENSORS, "state_dict_ema": OTHER}, TENSORS])
def test_an_entry_that_is_not_there_is_refused_with_those_that_are(tmp_path, value):
    with pytest.raises(WeightsError, match=r"has no entry 'ema'; it has \w+"):
        load(tmp_path / "net.pth", value, entry="ema")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {**TENSORS, "args": argparse.Namespace()},
            "'args' refused to build an object of class argparse.Namespace",
        ),
        ({"state_dict": {**TENSORS, "fc": np.ones(3)}}, "'fc' holds NumPy arrays among its tensors"),
        ({"model": torch.nn.Linear(2, 2)}, "'model' refused to build an object of class torch.nn.modules.linear"),
        ({**TENSORS, "w": quantised()}, "'w' holds quantised"),
        ({**TENSORS, "w": torch.ones(3).to(torch.float8_e4m3fn)}, "'w' holds float8"),
        ({**TENSORS, "w": torch.eye(3).to_sparse()}, "'w' holds a sparse"),
        ({**TENSORS, "w": torch.empty(3, device="meta")}, "'w' holds a tensor of the meta device"),
        ({**TENSORS, "w": torch.ones(2, dtype=torch.complex64)}, "'w' holds complex"),
        ({**TENSORS, (1, 2): torch.ones(2)}, "a tuple as a key"),
        (optimiser(), "holds the state of an optimiser"),
    ],
)
def test_what_was_not_built_is_refused_among_the_weights(tmp_path, value, words):
    with pytest.raises(WeightsError, match=words):
        load(tmp_path / "net.pth", value)


def renamed(old, new, size=10):
    state = {name.replace(old, new) if name.startswith(old) else name: t for name, t in TENSORS.items()}
    return {n: t[:size] if n.startswith(new) else t for n, t in state.items()}


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (renamed("fc_layers.2", "fc_layers.2", 4), 4),
        (renamed("fc_layers.2", "fc_layers.2.1", 4), 4),  # Sequential(Dropout, Linear)
        (renamed("fc_layers.2", "last_linear", 7), 7),
        ({**prefixed("backbone.", renamed("fc_layers.2", "x")), **{}}, 10),
    ],
)
def test_heads_for_other_classes(tmp_path, value, classes):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        actual = load(tmp_path / "net.pth", value)
    np.testing.assert_allclose(actual(X), NET(X)[:, :classes], atol=1e-6)
    # a layer of another name is named
    assert bool(said) == (not any("fc_layers.2.weight" in name for name in value))


def test_a_head_of_its_own_beside_the_backbone(tmp_path):
    state = prefixed("backbone.", renamed("fc_layers.2", "gone"))
    head = {name.replace("backbone.gone", "head.fc"): state.pop(name) for name in list(state) if "gone" in name}
    with pytest.warns(UserWarning, match=r"'head\.fc' is read as its last layer, fc_layers\.2"):
        actual = load(tmp_path / "net.pth", {"state_dict": {**state, **head}})
    np.testing.assert_array_equal(actual(X), NET(X))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({**renamed("fc_layers.2", "fc_layers.2.0"), "fc_layers.2.3.weight": torch.ones(4, 10)}, "one last layer"),
        ({**prefixed("0."), "1.weight": torch.ones(4, 10)}, "beside the network '0.'"),
        (
            {"model." * (i % 2) + name: t for i, (name, t) in enumerate(TENSORS.items())},
            "expected one prefix for all",
        ),
        ({**TENSORS, "more.weight": torch.ones(2, 2)}, "left over more.weight"),
        ({n: t for n, t in TENSORS.items() if n != "conv_layers.3.bias"}, "missing conv_layers.3.bias"),
    ],
)
def test_layers_that_may_belong_to_it_are_refused_by_name(tmp_path, value, words):
    with pytest.raises(WeightsError, match=words):
        load(tmp_path / "net.pth", value)


def test_a_normalisation_before_the_head_is_not_passed_over(tmp_path):
    state = {name.replace("fc_layers.2", "fc.1"): tensor for name, tensor in prefixed("backbone.").items()}
    # of the values that many of a network have, and so no copies of another layer
    between = {f"fc.0.{n}": torch.full((256,), float(n != "running_mean")) for n in ("weight", "running_mean")}
    for prefix in ("backbone.", ""):
        head = {n.replace("backbone.fc.1", f"{prefix}fc.1"): t for n, t in state.items()}
        value = head | {f"{prefix}{n}": t for n, t in between.items()}
        assert "backbone.fc_layers.0.weight" in value
        with pytest.raises(WeightsError, match=r"found 'fc\.1' with fc\.0\.weight, fc\.0\.running_mean beside it"):
            load(tmp_path / "net.pth", value)


def test_auxiliary_heads_and_losses_are_named_and_left_out(tmp_path):
    value = {**prefixed("net."), "net.aux1.fc.weight": torch.ones(2, 2), "criterion.weight": torch.ones(10)}
    with pytest.warns(UserWarning, match=r"left out, .*: aux1\.fc, criterion$"):
        actual = load(tmp_path / "net.pth", value)
    np.testing.assert_array_equal(actual(X), NET(X))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_other_numbers_of_channels(tmp_path, channels):
    weight = TENSORS["conv_layers.0.weight"].repeat(1, channels, 1, 1)
    actual = load(tmp_path / "net.pth", {**TENSORS, "conv_layers.0.weight": weight})
    assert actual.input_shape == (channels, 28, 28) and actual.preprocess is None
    x = np.concatenate([X, np.zeros((1, channels - 1, 28, 28), np.float32)], axis=1)
    np.testing.assert_allclose(actual(x), NET(X), rtol=1e-5)


def test_a_conversion_is_checked_where_torch_refuses_the_settings(tmp_path):
    path = tmp_path / "net.pth"
    net = load(path, {"state_dict": prefixed("model."), "args": argparse.Namespace()})
    torch_row, ours = compare_files(net, [path], architecture="digits")
    assert torch_row["skipped"] and not ours["skipped"] and all_agree([torch_row, ours])
    # what torch would read is another entry
    net = load(path, {"state_dict": TENSORS, "state_dict_ema": OTHER}, entry="state_dict_ema")
    assert all_agree(compare_files(net, [path], architecture="digits", entry="state_dict_ema"))
