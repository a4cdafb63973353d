"""Recorded calls of an operation, replayed, compute of changed inputs what the operation computes of them."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.runtime.allocator import Memory
from minicnn.kernels.cpu.runtime.recorder import capture, record_call, record_result, replay
from tests.helpers.kernel_cases import calls_of
from tests.helpers.kernel_settings import SETTINGS, drawn

EXAMPLES = 6  # of each operation: with and without a bias, by several algorithms


def arrays(value):
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays(item)]
    return [value] if isinstance(value, np.ndarray) else []


def writable(value):
    """Copy arrays, which then may be changed."""
    if type(value) in (tuple, list):
        return type(value)(map(writable, value))
    return value.copy() if isinstance(value, np.ndarray) else value


def change(values):
    """Give float32 arrays other values in place."""
    for array in arrays(values):
        if array.dtype == np.float32:
            array[...] = 1.5 * array[..., ::-1]


def replays(operation, args, kwargs):
    """Whether an operation records any call, and whether these compute what it would of other values."""
    args, calls, memory = writable(args), [], Memory(small=0)
    with capture(calls, memory):
        result = operation(*args, **kwargs)
    change([args, tuple(kwargs.values())])
    replay(calls)
    expected = arrays(operation(*args, **kwargs))
    same = [np.array_equal(a, b, equal_nan=a.dtype != bool) for a, b in zip(arrays(result), expected, strict=True)]
    return bool(calls), all(same)


@pytest.mark.parametrize("forward", SETTINGS)
def test_operations_are_marked_capturable_if_they_record_all_that_they_do(forward):
    """One that is forgotten would be called again as a whole: no mistake, but slower, and nobody would notice."""
    cases: dict[str, list] = {}
    for setting in drawn(forward, EXAMPLES):
        for name, call in calls_of(forward, setting, np.float32).items():
            if not name.endswith(("_weight_grad", "_bias_grad")):  # passes that are captured have none
                kwargs = {key: writable(value) for key, value in call.kwargs.items()}
                cases.setdefault(name, []).append(replays(getattr(cpu, name), call.args, kwargs))
    assert cases
    for name, outcomes in cases.items():
        records, complete = (any(recorded for recorded, _ in outcomes), all(same for _, same in outcomes))
        assert getattr(getattr(cpu, name), "capturable", False) == (records and complete), name


def test_references_operations_are_not_marked():
    assert not any(hasattr(getattr(reference, name), "capturable") for name in reference.__all__)


def test_calls_are_only_made_outside_of_a_capture():
    x = np.zeros(3)
    record_call(x.fill, 2)
    assert record_result(np.add, x, 1).tolist() == [3, 3, 3]


def test_a_capture_beyond_its_memory_is_given_up():
    calls, x = [], np.ones(100, np.float32)
    with capture(calls, Memory(small=0, limit=1000)):
        kept = [record_result(np.add, x, 1) for _ in range(2)]
        assert len(calls) == 2
        kept += [record_result(np.add, x, 1) for _ in range(4)]
    assert calls == [] and len(kept) == 6


def test_views_are_not_recorded():
    calls, x = [], np.arange(6, dtype=np.float32)
    with capture(calls, Memory(small=0)):
        y = record_result(np.reshape, x, (2, 3))
    assert calls == [] and np.shares_memory(x, y)
