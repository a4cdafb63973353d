"""Means, deviations and scales that do not belong together."""

from dataclasses import replace

import pytest

from minicnn.images import Preprocess
from minicnn.images.units import unlikely_units

CAFFE, TORCH, STD = (123.68, 116.78, 103.94), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": TORCH, "std": STD, "scale": 1}, "likely are scale 1/255, or a mean of 123.7"),
        ({"std": (58.4, 57.1, 57.4)}, "a std of 58.4 is of values of 0..255"),
        ({"std": STD, "scale": 1}, "a std of 0.229 is of values of 0..1"),
        ({"scale": 255}, "makes 0..65025"),
        ({"scale": 1, "mean": (104, 117, 123)}, "likely is BGR"),
    ],
)
def test_numbers_of_two_units_are_doubted(fields, words):
    assert words in unlikely_units(Preprocess((8, 8), **fields))


def test_a_mean_that_leaves_a_constant_is_warned_of_once():
    with pytest.warns(
        UserWarning, match=r"a mean of 123\.68 is of values of 0\.\.255, and scale 1/255 .* scale 1,"
    ):
        preprocess = Preprocess((8, 8), mean=CAFFE)
    assert replace(preprocess, size=(9, 9)).size == (9, 9)


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
    assert unlikely_units(Preprocess((8, 8), **fields)) is None
