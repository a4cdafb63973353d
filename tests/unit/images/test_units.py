"""Means, deviations and scales that do not belong together."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.errors import MinicnnError, WeightsError
from minicnn.images import Preprocess
from minicnn.images.units import units_that_differ, unlikely_numbers

CAFFE, TORCH, STD = (123.68, 116.78, 103.94), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": TORCH, "std": STD, "scale": 1}, "likely are scale 1/255, or a mean of 123.7"),
        ({"std": (58.4, 57.1, 57.4)}, "a std of 58.4 is of values of 0..255"),
        ({"std": STD, "scale": 1}, "a std of 0.229 is of values of 0..1"),
        # other programs take the mean before they scale
        ({"mean": (102,) * 3}, "scale 1, or a mean of 0.4"),
        ({"scale": 1 / 127.5, "mean": (127.5,) * 3}, "scale 1, or a mean of 1"),
        ({"scale": 0.017, "mean": (103.94, 116.78, 123.68)}, "scale 1, or a mean of 2.103"),
        ({"mean": TORCH, "scale": 1}, "likely are scale 1/255, or a mean of 123.7"),
        ({"mean": CAFFE, "std": STD, "scale": 1}, "a std of 58.4, or scale 1/255 with a mean of 0.485"),
        ({"mean": TORCH, "std": (58.4, 57.1, 57.4)}, "a std of 0.229, or scale 1 with a mean of 123.7"),
        ({"mean": TORCH, "std": (4.37, 4.46, 4.44)}, "likely is 1/std, 0.2242"),
        ({"mean": CAFFE, "std": (0.0171, 0.0175, 0.0174), "scale": 1}, "likely is 1/std, 57.14"),
    ],
)
def test_numbers_of_two_units_are_doubted(fields, words):
    # of one set of numbers that is said once in a process
    doubt = units_that_differ(
        SimpleNamespace(**{"channels": "RGB", "scale": 1 / 255, "mean": (0,) * 3, "std": (1,) * 3} | fields)
    )
    assert words in doubt


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": (-0.485, -0.456, -0.406)}, "a mean of -0.485 is added"),
        ({"scale": -1 / 255}, "scale -1/255 makes what is light dark: likely is 1/255"),
        ({"scale": 255}, "makes 0..65025"),
        ({"scale": 1, "mean": (104, 117, 123)}, "likely is BGR"),
    ],
)
def test_numbers_that_are_typed_are_doubted_too(fields, words):
    assert words in unlikely_numbers(Preprocess((8, 8), **fields))


def test_a_mean_that_leaves_a_constant_is_warned_of_once():
    with pytest.warns(
        UserWarning, match=r"a mean of 123\.68 is of values of 0\.\.255, and scale 1/255 .* scale 1,"
    ):
        preprocess = Preprocess((8, 8), mean=CAFFE)
    assert replace(preprocess, size=(9, 9)).size == (9, 9)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["scale", "mean", "std"])
def test_numbers_that_leave_no_input_are_refused(name, value):
    if (name, value) == ("mean", 0):
        pytest.skip("a mean of 0 is right")
    with pytest.raises(MinicnnError, match=f"Preprocess: {name}: expected .* got .*{value}"):
        Preprocess((8, 8), **{name: value if name == "scale" else (0.5, value, 0.5)})


def test_a_negative_deviation_is_refused():
    with pytest.raises(MinicnnError, match=r"std: expected 3 numbers .* divided by, got \(-1, 1, 1\)"):
        Preprocess((8, 8), std=(-1, 1, 1))
    with pytest.raises(WeightsError, match="std: expected 1 numbers"):
        Preprocess.from_dict({"size": [8, 8], "channels": "L", "mean": [0], "std": [-0.3]})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scale": 1},
        {"scale": 1, "mean": CAFFE},
        {"scale": 1, "mean": CAFFE[::-1], "channels": "BGR"},
        {"mean": TORCH, "std": STD},
        {"mean": (0.5,) * 3, "std": (0.5,) * 3},
        {"scale": 1, "mean": (127.5,) * 3, "std": (127.5,) * 3},
        {"scale": 1 / 127.5, "mean": (1,) * 3},
        {"scale": 0.017, "mean": (2.1, 1.99, 1.77)},  # MobileNet of Caffe
        {"channels": "L", "mean": (0.1307,), "std": (0.3081,)},
    ],
)
def test_numbers_that_networks_use_are_not(fields):
    assert unlikely_numbers(Preprocess((8, 8), **fields)) is None  # and Preprocess has not warned
