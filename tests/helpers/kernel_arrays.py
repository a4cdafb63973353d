"""Random arrays for the tests of the kernels, and how two results are compared."""

import numpy as np

LAYOUTS = ("contiguous", "transposed", "channels_last", "reversed", "strided")


def assert_close(actual, expected, tolerance, what):
    """Same shape; infinities and NaN in the same places; numbers within ``tolerance`` of the largest one.

    Arguments here are of order one, so that an answer below a tenth is what a cancellation left of larger terms:
    it is measured against a tenth.
    """
    expected = np.asarray(expected)
    assert np.shape(actual) == expected.shape, f"{what}: shape {np.shape(actual)}, expected {expected.shape}"
    finite = expected[np.isfinite(expected)]
    largest = np.abs(finite).max(initial=0.1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest, err_msg=what)


class Arrays:
    """Random read-only arrays in the layout that the setting names."""

    def __init__(self, setting, dtype):
        self.rng = np.random.default_rng(setting["seed"])
        self.layout, self.values, self.dtype = setting["layout"], setting.get("values", "normal"), dtype

    def input(self, *shape):
        """Values of the kind that the setting names."""
        return self._finish(VALUES[self.values](self.rng, shape))

    def normal(self, *shape):
        return self._finish(self.rng.standard_normal(shape))

    def positive(self, *shape):
        return self._finish(self.rng.uniform(0.1, 2, shape))

    def like(self, y):
        return self.normal(*np.shape(y))

    def _finish(self, values):
        array = in_layout(values.astype(np.float32).astype(self.dtype), self.layout)
        array.flags.writeable = False
        return array


def in_layout(values, layout):
    """A view equal to ``values`` whose memory is laid out in another way."""
    if layout == "transposed":
        return values.T.copy().T
    if layout == "channels_last" and values.ndim > 1:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    if layout == "reversed":
        return np.flip(np.flip(values).copy())
    if layout == "strided":
        every_second = (slice(None, None, 2),) * values.ndim
        strided = np.full([2 * n for n in values.shape], np.nan, values.dtype)
        strided[every_second] = values
        return strided[every_second]
    return values


def _with_specials(rng, shape):
    values = rng.integers(-2, 3, shape).astype(float)
    kind = rng.random(shape)
    values[kind < 0.25] = -np.inf
    values[kind > 0.95] = np.nan
    return values


def _distinct(rng, shape):
    """Values in a shuffled row from -8 to 8, all a step apart and none at a kink (0 or 6)."""
    size = int(np.prod(shape))
    return (rng.permutation(size) + 0.25 - size / 2).reshape(shape) * (5 * np.pi / size)


VALUES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 3, shape),
    "kinks": lambda rng, shape: rng.integers(-2, 9, shape),
    "specials": _with_specials,
    "distinct": _distinct,
}
