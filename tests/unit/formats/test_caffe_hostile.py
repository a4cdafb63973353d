"""Caffe files that are damaged, do not fit each other, or mean harm; and what the text reader understands."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.errors import WeightsError
from minicnn.formats.caffe import read, read_mean, text
from tests.helpers.caffe_files import blob, model, write
from tests.helpers.weight_faults import EDITS, edited
from tests.unit.formats.test_caffe import (
    ALEXNET,
    ALEXNET_WEIGHTS,
    TRAIN_VAL,
    TRAIN_WEIGHTS,
    header,
    layer,
    normal,
)

CONV = layer("conv", "Convolution", "data", params="convolution_param { num_output: 2 kernel_size: 3 }")
WEIGHTS = {"conv": [normal(2, 3, 3, 3), normal(2)]}


# the text


def test_text(tmp_path):
    (tmp_path / "a.prototxt").write_text(
        """ # everything that the format allows
        name: 'it''s' "\\"one\\" \\\\ string" ; whole: -12, hex: 0x1F real: -1.5e-3 short: .5 f: 2.5f word: MAX
        list: [1, 2 , 3] list: 4 message { inner: true } message: { inner: false } message < inner: 1 >
        infinite: inf negative: -inf""",
        encoding="utf-8",
    )
    fields = text.read(tmp_path / "a.prototxt")
    assert fields.text("name") == 'its"one" \\ string' and fields.text("word") == "MAX"
    assert (fields.integer("whole"), fields.integer("hex"), fields.integer("absent", 7)) == (-12, 31, 7)
    assert (fields.real("real"), fields.real("short"), fields.real("f"), fields.real("whole")) == (
        -1.5e-3,
        0.5,
        2.5,
        -12,
    )
    assert fields.real("infinite") == np.inf and fields.real("negative") == -np.inf
    assert fields.integers("list") == [1, 2, 3, 4]
    assert [m.boolean("inner", False) for m in fields.messages("message")] == [True, False, True]
    assert (
        fields.choice("word", ("AVE", "MAX")) == fields.choice("word", ("MAX",)) == "MAX"
        and "absent" not in fields
    )


@pytest.mark.parametrize(
    "content, message",
    [
        ("name: 'open", "line 1: .* is no text of protocol buffers"),
        ("\n\nlayer { name: 'x'", "line 3: expected a name, got 'the end of the file'"),
        ("layer { } }", "expected a name, got '}'"),
        ("a: 1\nb 2", "line 2: expected open, got '2'"),
        ("a: 12abc", "is no text"),
        ("a: " + "9" * 100, "is no text"),
        ("a {" * 50, "messages more than 16 deep"),
        ("a: 1 " * 80_000, "too long"),
        ("\xff\xfe", "no text|found"),
        ("", "found 0 bytes"),
        ("a: 1" + " " * (1 << 20), "expected a .prototxt file of at most"),
    ],
)
def test_text_that_is_none(content, message, tmp_path):
    (tmp_path / "a.prototxt").write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError, match=message):
        text.read(tmp_path / "a.prototxt")


# what does not fit


@pytest.mark.parametrize(
    "description, message",
    [
        (header(3, 8, 8) + layer("s", "Embed", "data"), r"line 2: layer 's' \(Embed\): no layer does this"),
        (header(3, 8, 8) + layer("s", "SPP", "data"), "SPP"),
        (
            header(3, 8, 8) + CONV.replace("num_output: 2", "num_output: 4"),
            r"a blob of shape \(2, 3, 3, 3\), expected",
        ),
        (header(3, 8, 8) + CONV.replace('"conv"', '"other"'), "the weights hold 0 blobs, expected 2"),
        (header(4, 8, 8) + CONV, r"expected \(2, 4, 3, 3\)"),
        (header(3, 2, 2) + CONV, "does not fit into an input"),
        (header(3, 8, 8) + CONV.replace('bottom: "data"', 'bottom: "date"'), "0 inputs"),
        (header(3, 8, 8) + CONV + layer("r", "ReLU", "gone"), "reads 'gone', which no layer before it writes"),
        (
            header(3, 8, 8) + layer("a", "ReLU", "b") + layer("b", "ReLU", "a") + CONV,
            "which no layer before it writes",
        ),
        (header(3, 8, 8) + CONV + layer("r", "ReLU", "data"), r"2 outputs \(conv, r\)"),
        (
            header(3, 8, 8)
            + layer("e", "Eltwise", "data data", params="eltwise_param { operation: MAX coeff: 1 coeff: 2 }"),
            "coeff",
        ),
        (
            header(3, 8, 8) + layer("e", "Eltwise", "data data", params="eltwise_param { coeff: 0 coeff: 2 }"),
            "coeff",
        ),
        (
            header(3, 8, 8) + layer("e", "Eltwise", "data data", params="eltwise_param { coeff: 1 }"),
            "1 coefficients for 2 inputs",
        ),
        (
            header(3, 8, 8)
            + layer("n", "LRN", "data", params="lrn_param { norm_region: WITHIN_CHANNEL local_size: 4 }"),
            "local_size 4",
        ),
        (header(3, 8, 8) + layer("n", "LRN", "data", params="lrn_param { local_size: 4 }"), "odd"),
        (
            header(3, 8, 8) + layer("p", "Pooling", "data", params="pooling_param { pool: STOCHASTIC }"),
            "stochastic",
        ),
        (
            header(3, 8, 8) + layer("p", "Pooling", "data", params="pooling_param { kernel_size: 'x' }"),
            "whole numbers",
        ),
        (
            header(3, 8, 8) + layer("p", "Pooling", "data", params="pooling_param { pool: 7 }"),
            "expected one of MAX",
        ),
        (header(3, 8, 8) + layer("p", "Power", "data", params="power_param { power: 0 }"), "power 0"),
        (header(1 << 30, 1 << 30, 1 << 30) + CONV, "has dimensions"),
        (header(3, 8, 8), "no layers"),
        ("input: 'data' input: 'more' input_dim: 1 " + CONV, "2 inputs with 1 shapes"),
        (TRAIN_VAL.replace("crop_size: 6", ""), "use the net's deploy.prototxt"),
    ],
)
def test_refusals_name_the_line_and_the_layer(description, message, tmp_path):
    paths = write(tmp_path, description, WEIGHTS)
    with pytest.raises(WeightsError, match=message) as caught:
        read(*paths)
    assert str(paths[0]) in str(caught.value)


def test_files_that_are_none(tmp_path):
    paths = write(tmp_path, header(3, 8, 8) + CONV, WEIGHTS)
    with pytest.raises(WeightsError, match="no layers with weights"):
        paths[1].write_bytes(model({}))
        read(*paths)
    with pytest.raises(WeightsError, match=r"expected a \.caffemodel"):
        paths[1].write_bytes(b"PK\x03\x04 and so on")
        read(*paths)
    with pytest.raises(WeightsError, match="no such file"):
        read(tmp_path / "gone.prototxt", paths[1])
    with pytest.raises(WeightsError, match=r"found bytes that begin|no text"):
        read(paths[1], paths[1])


def test_blobs_that_claim_more_than_they_hold(tmp_path):
    for shape in ([1 << 60], [-1, -4], [1 << 40, 1 << 40], [2] * 40):
        made = blob(normal(4))
        made.shape.dim[:] = shape
        (tmp_path / "mean.binaryproto").write_bytes(made.SerializeToString())
        with pytest.raises(WeightsError, match="with 4 values"):
            read_mean(tmp_path / "mean.binaryproto")


# damage


SEEDS = [(ALEXNET[2], ALEXNET_WEIGHTS), (ALEXNET[1], ALEXNET_WEIGHTS), (ALEXNET[0], ALEXNET_WEIGHTS)]
SEEDS.append((TRAIN_VAL, TRAIN_WEIGHTS))


def attempt(paths):
    try:
        net = read(*paths)
    except WeightsError as error:
        plain = str(error)
        for path in paths:
            plain = plain.replace(str(path), "")
        assert plain != str(error) and plain.isprintable()
    else:
        net.state_dict()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), edits=EDITS)
def test_mutated_descriptions(which, edits, tmp_path):
    paths = write(tmp_path, "", SEEDS[which][1])
    paths[0].write_bytes(edited(SEEDS[which][0].encode(), edits))
    attempt(paths)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), version=st.integers(0, 2), edits=EDITS)
def test_mutated_weights(which, version, edits, tmp_path):
    paths = write(tmp_path, *SEEDS[which], version)
    paths[1].write_bytes(edited(paths[1].read_bytes(), edits))
    attempt(paths)


def test_truncation(tmp_path):
    paths = write(tmp_path, *SEEDS[0])
    whole = [path.read_bytes() for path in paths]
    for which, data in enumerate(whole):
        for end in range(0, len(data) - 1, 23):
            paths[which].write_bytes(data[:end])
            attempt(paths)
        paths[which].write_bytes(data)


@pytest.mark.parametrize(("mean", "factor"), [(np.nan, 1), (1, np.nan), (1, 1e-45), (1e38, 1e-3)])
def test_statistics_that_are_not_finite(tmp_path, mean, factor):
    """Found by the fuzzer: the quotient overflows, and NumPy warned."""
    arrays = [np.full(3, mean, np.float32), np.ones(3, np.float32), np.float32([factor])]
    files = write(tmp_path, header(3, 4, 4) + layer("norm", "BatchNorm", "data"), {"norm": arrays})
    with pytest.raises(WeightsError, match=r"'norm'.*not finite"):
        read(*files)
