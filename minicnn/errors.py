"""What can go wrong for a user, by kind: every message says what, where, what was expected and what to do.

All of them are a ``MinicnnError``, which is a ValueError.

Examples
--------
>>> import minicnn
>>> try:
...     minicnn.load("digits").input_gradient([1, 2, 3], target=0)
... except minicnn.errors.MinicnnError as error:
...     print(error)
input x: expected a NumPy array, got list

"""

__all__ = ["DeviceError", "DeviceMemoryError", "ImageError", "MinicnnError", "ShapeError", "WeightsError"]


class MinicnnError(ValueError):
    """Bad input to minicnn: the base of every error raised on purpose."""


class WeightsError(MinicnnError):
    """A weight file that is missing, damaged, hostile, of an unknown kind, or that does not fit the network."""


class ShapeError(MinicnnError):
    """An array of the wrong shape, dtype or content, or geometry that leaves no output."""


class DeviceError(MinicnnError):
    """A device that does not exist or can't be used here."""


class DeviceMemoryError(DeviceError):
    """A device whose memory is too small for what was asked of it at once."""


class ImageError(MinicnnError):
    """An image file that is missing, damaged, too large or not an image."""
