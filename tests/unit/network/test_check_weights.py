"""NaN and infinity in weights are found by name and place, whatever the array looks like."""

import numpy as np
import pytest

from minicnn import Network
from minicnn.errors import ShapeError, WeightsError
from minicnn.layers import Conv2d, Flatten, Linear, ReLU
from minicnn.network.check_weights import BLOCK, check_weights, describe_nonfinite
from minicnn.verify import compare, diagnose, gradients


def layouts():
    rng = np.random.default_rng(0)
    for dtype in (np.float16, np.float32, np.float64, np.complex64):
        yield rng.standard_normal((4, 3, 5, 2)).astype(dtype)
    yield rng.standard_normal((6, 5)).T
    yield rng.standard_normal((6, 4)).astype(">f4")[:, ::2]
    yield np.frombuffer(b"\0" + rng.standard_normal(3 * BLOCK + 7).astype("f4").tobytes(), "u1")[1:].view("f4")
    yield rng.standard_normal((3, 4)).astype("f4") * np.float32(1e38)  # its squares are infinite
    yield np.array(1.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", list(layouts()), ids=lambda a: f"{a.dtype}{a.shape}")
def test_one_value_of_any_array(array, value):
    assert describe_nonfinite({"w": array}) is None
    for index in {0, array.size // 2, array.size - 1}:
        wrong = array.copy() if array.flags.c_contiguous else np.array(array, order="K")
        place = np.unravel_index(index, wrong.shape)
        wrong[place] = value
        what = "NaN" if np.isnan(value) else "infinity"
        expected = f"weight w holds {what} at {[int(i) for i in place]} (1 value)"
        assert describe_nonfinite({"v": array, "w": wrong}).startswith(expected)


def test_the_first_of_several_and_none_in_whole_numbers():
    arrays = {
        "n": np.array([1, 2]),
        "a": np.array([1.0, np.nan, np.inf]),
        "b": np.array([np.nan]),
        "e": np.zeros(0),
    }
    with pytest.raises(WeightsError, match=r"^f: weight a holds NaN at \[1\] \(2 values\), as 1 other does;"):
        check_weights(arrays, "f")


def broken():
    net = Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 3)], input_shape=(1, 4, 4))
    net.state_dict()["0.weight"][1, 0, 2, 1] = np.nan
    return net


@pytest.mark.parametrize(
    "check",
    [
        lambda net, x: gradients(net, x),
        lambda net, x: compare(net, lambda x: net(x)),
        lambda net, x: diagnose(net, lambda x: net(x)),
        lambda net, x: net(np.full_like(x, np.nan)),
    ],
    ids=["gradients", "compare", "diagnose", "an input that came out of it"],
)
def test_checks_say_weights_and_not_input(check):
    with pytest.raises(WeightsError, match=r"weight 0\.weight holds NaN at \[1, 0, 2, 1\] \(1 value\)"):
        check(broken(), np.ones((1, 1, 4, 4), np.float32))


def test_an_input_that_holds_it_by_itself():
    net = Network([ReLU()])
    with pytest.raises(ShapeError, match="input x: holds nan"):
        net(np.full((1, 2), np.nan))
