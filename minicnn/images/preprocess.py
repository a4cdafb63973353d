"""How a picture becomes a network's input, and how an input becomes a picture again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import ImageError, MinicnnError, ShapeError, WeightsError
from minicnn.images.files import MAX_PIXELS, load_image, load_reduced
from minicnn.images.planes import as_planes, is_numpy_file, read_array, resize_planes
from minicnn.images.settings import check_settings
from minicnn.images.units import units_that_differ
from minicnn.images.views import Size, View

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Preprocess"]

COLOURS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # of so many channels; others are no picture's
CROPS = ("one", "ten", "whole", "pair", "all")


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop, channel order and values: x = (scale v - mean) / std for a pixel value v of 0..255.

    Parameters
    ----------
    size : (H, W) of the network's input
    resize : int or (H, W), optional
        Length of the picture's short side before cropping, the aspect kept; or the size to which the whole picture
        is warped before cropping, (256, 256) in Caffe's ImageNet; None warps it to ``size``.
    interpolation : "nearest", "bilinear", "bicubic" or "lanczos", as Pillow does them, antialiased
    channels : "RGB", "BGR" or "L" (grey), each with an "A" behind it where the transparency is a channel too; or
        how many channels an array has that is no picture: images are then NumPy arrays, or files (.npy), of any
        numbers
    scale : float
        What values of 0..255 are multiplied with.
    mean : floats, one for each channel, or an array of shape (C, H, W): a mean image
    std : floats above 0, one for each channel
    invert : bool or "auto"
        255 - v instead of v; "auto" where the picture's border is lighter than middle grey (dark strokes on
        light paper, for nets trained on light strokes).
    mirror : bool
        Whether a mirrored picture still shows its class; if not, no view is mirrored (digits).

    Sequences become tuples, a mean image becomes float32.  Numbers are at most 1e9, ``scale`` and ``std`` at
    least 1e-9 in size, so that no input overflows.

    Raises
    ------
    MinicnnError
        If an argument is out of its range.

    Warns
    -----
    UserWarning
        If the mean or std is not of the values that ``scale`` makes, 0..255 or 0..1: the input is all but
        constant, or far too large.

    See Also
    --------
    minicnn.images.average_views : from maps of views back to the picture
    torchvision.transforms : Resize, CenterCrop, TenCrop and Normalize do the same there

    Examples
    --------
    >>> import numpy as np
    >>> preprocess = Preprocess((2, 2), scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> x = preprocess(np.full((4, 4, 3), 255, np.uint8))
    >>> x.shape, x[0, :, 0, 0].tolist()
    ((1, 3, 2, 2), [1.0, 1.0, 1.0])
    >>> preprocess.to_image(x[0])[0, 0].tolist()
    [255, 255, 255]

    """

    size: Size
    resize: int | Size | None = None
    interpolation: str = "bilinear"
    channels: str | int = "RGB"
    scale: float = 1 / 255
    mean: Any = (0.0, 0.0, 0.0)
    std: Any = (1.0, 1.0, 1.0)
    invert: bool | str = False
    mirror: bool = True

    def __post_init__(self) -> None:
        """Refuse arguments that are out of their range, and keep plain numbers."""
        check_settings(self)
        self._freeze()
        if doubt := units_that_differ(self):
            _warn_once(doubt)

    @property
    def depth(self) -> int:
        """How many channels an input has."""
        return len(self.channels) if isinstance(self.channels, str) else self.channels

    def _freeze(self) -> None:
        """Store plain Python numbers, which JSON can write, and a read-only copy of the mean image."""
        # a copy, so that nobody changes the array of a frozen object from outside
        mean: Any = np.array(self.mean, np.float32)
        if mean.ndim == 3:
            mean.flags.writeable = False
        else:
            mean = tuple(float(v) for v in self.mean)
        values = {
            "size": tuple(int(n) for n in self.size),
            "resize": _to_ints(self.resize),
            "scale": float(self.scale),
            "mean": mean,
            "std": tuple(float(v) for v in self.std),
        }
        for name, value in values.items():
            # the way around frozen=True, which __post_init__ has to take
            object.__setattr__(self, name, value)

    # from the picture to the input

    def __call__(self, image: ImageLike, view: View | None = None) -> np.ndarray:
        """Return the input (1, C, H, W), float32, for one view of an image; the centre unless given.

        ``image`` is a path, a PIL.Image or a uint8 array; raises ImageError if it can't be read, ShapeError if
        the view is of a picture of another size.
        """
        picture, size = self._load(image, view)
        view = self.views(size, "one")[0] if view is None else view
        if view.image_size != size:
            raise ShapeError(f"preprocess: a view of {view.image_size} pixels, a picture of {size}")
        return self._crop(self._resize(picture, view.resized), view)[None]

    def batch(self, image: ImageLike, crops: str = "ten") -> tuple[np.ndarray, list[View]]:
        """Return the inputs (V, C, H, W), float32, and the V views that they show.

        Arguments and errors are those of ``views`` and ``__call__``.
        """
        picture, size = self._load(image)
        views = self.views(size, crops)
        # views that are cut from one size share one resized picture
        resized = {size: self._resize(picture, size) for size in {view.resized for view in views}}
        return np.stack([self._crop(resized[view.resized], view) for view in views]), views

    def views(self, image_size: Size, crops: str = "one") -> list[View]:
        """Return the views of a picture of (height, width).

        Parameters
        ----------
        image_size : (height, width) of the original picture
        crops : "one", "ten", "whole", "pair" or "all"
            The centre; the four corners and the centre, each followed by its mirror image (paper, section 3);
            the whole picture warped to the input; that and its mirror image; or ten and these two.  Crops
            that coincide are one view: without a ``resize`` "ten" leaves the whole picture and its mirror image.

        Raises
        ------
        MinicnnError
            If ``crops`` is none of these.
        ImageError
            If the picture has no pixels, or would have more than the limit for pictures once resized.

        """
        if crops not in CROPS:
            raise MinicnnError(f"crops: expected 'all', 'pair', 'one', 'ten' or 'whole', got {crops!r}")
        if crops == "all":
            # without ``resize`` the two sets share views, each of which is kept once
            return list(dict.fromkeys([*self.views(image_size, "ten"), *self.views(image_size, "pair")]))
        if len(image_size) != 2 or min(image_size) < 1:
            raise ImageError(f"views: expected a picture's (height, width), got {tuple(image_size)}")
        (picture_height, picture_width), (height, width) = image_size, self.size
        resized = (height, width)
        # whole and pair warp the picture to the input's size, whatever its aspect
        if crops not in ("whole", "pair") and self.resize is not None:
            resized = _resized(image_size, self.resize)
        bottom, right = resized[0] - height, resized[1] - width
        centre = round(bottom / 2), round(right / 2)
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)] if crops == "ten" else []
        # corners fall together where the resized picture is no higher or no wider than the crop
        origins = list(dict.fromkeys([*corners, centre]))
        flips = (False, True) if crops in ("ten", "pair") and self.mirror else (False,)
        return [
            View((picture_height, picture_width), resized, top, left, (height, width), flip)
            for top, left in origins
            for flip in flips
        ]

    def _load(self, image: ImageLike, view: View | None = None) -> tuple[Picture | np.ndarray, Size]:
        """Return a picture, or an array (H, W, C) where the image is one that is no picture, and its size."""
        array = read_array(image) if is_numpy_file(image) else image
        is_array = isinstance(array, np.ndarray)
        if isinstance(array, np.ndarray) and (isinstance(self.channels, int) or array.dtype != np.uint8):
            planes = as_planes(array, self.depth, "the array" if array is image else image)
            return planes, planes.shape[:2]
        if isinstance(self.channels, int):
            raise ImageError(
                f"{'the picture' if is_array or not isinstance(image, str | Path) else image}: the network takes "
                f"{self.depth} channels; give a NumPy file (.npy) of H x W x {self.depth} numbers"
            )
        alpha = self.channels.endswith("A")
        if self.interpolation == "nearest":
            picture = load_image(array, alpha=alpha)
            return picture, picture.size[::-1]
        resize = self.resize if isinstance(self.resize, tuple) else (self.resize or 0,)
        return load_reduced(array, max(*self.size, *resize, *(view.resized if view else ())), alpha)

    def _resize(self, picture: Picture | np.ndarray, size: Size) -> Picture | np.ndarray:
        from PIL import Image, ImageOps

        if isinstance(picture, np.ndarray):
            return resize_planes(picture, size, self.interpolation)
        grey = picture.convert(str(self.channels)) if self.channels in ("L", "LA") else picture
        if self.invert is True or (self.invert == "auto" and _has_light_border(grey)):
            grey = ImageOps.invert(grey)
        return grey.resize(size[::-1], Image.Resampling[self.interpolation.upper()])

    def _crop(self, resized: Picture | np.ndarray, view: View) -> np.ndarray:
        """Return one view of a resized picture as an input (C, H, W)."""
        pixels = self._cut(resized, view)
        # mirrored left to right
        return self.normalise(pixels[:, ::-1] if view.mirrored else pixels)

    @staticmethod
    def _cut(resized: Picture | np.ndarray, view: View) -> np.ndarray:
        """Return the pixels (H, W, C) that a view shows."""
        pixels = np.asarray(resized)[view.rows, view.columns]
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def pixels(self, image: ImageLike) -> np.ndarray:
        """Return the pixels (H, W, C) that the centre view shows: what ``normalise`` makes an input of.

        Errors are those of ``__call__``.
        """
        picture, size = self._load(image)
        view = self.views(size, "one")[0]
        return np.ascontiguousarray(self._cut(self._resize(picture, view.resized), view))

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """Return the input (C, H, W), float32, of pixels (H, W, C) of its size: (scale v - mean) / std.

        Examples
        --------
        >>> preprocess = Preprocess((1, 2), channels="L", mean=(0.5,), std=(1.0,))
        >>> preprocess.normalise(np.array([[[0.0], [255.0]]])).tolist()
        [[[-0.5, 0.5]]]

        """
        planes = self._swap(np.asarray(pixels, np.float32).transpose(2, 0, 1))
        mean, std = self._planes(self.mean), self._planes(self.std)
        return np.ascontiguousarray((planes * np.float32(self.scale) - mean) / std)

    def zero_pixel(self) -> np.ndarray:
        """Return the pixel (C,), float32, that becomes 0; the mean colour, of a mean image too.

        Examples
        --------
        >>> Preprocess((1, 1), channels="BGR", scale=1.0, mean=(104, 117, 123)).zero_pixel().tolist()
        [123.0, 117.0, 104.0]

        """
        mean = self._planes(self.mean).mean(axis=(1, 2))
        return np.asarray(self._swap(mean) / np.float32(self.scale), np.float32)

    def _swap(self, planes: np.ndarray) -> np.ndarray:
        """Return the planes of RGB in the network's order, and the other way round."""
        return planes[[2, 1, 0, 3][: self.depth]] if self.channels in ("BGR", "BGRA") else planes

    def _planes(self, values: Any) -> np.ndarray:
        values = np.asarray(values, np.float32)
        # one value for each channel broadcasts over its plane; a mean image is of that shape already
        return values if values.ndim == 3 else values[:, None, None]

    # from the input back to a picture

    def to_image(self, x: np.ndarray) -> np.ndarray:
        """Return the picture that an input shows: v = (std x + mean) / scale, clipped and rounded to 0..255.

        What turns a class model, the optimised input, into a picture: the mean is added (paper, section 2).  The
        values are shown as the network sees them: an ``invert`` is not undone.

        Parameters
        ----------
        x : array of shape (C, H, W)

        Returns
        -------
        picture : uint8 array of shape (H, W, 3)

        Raises
        ------
        ShapeError
            If x is not of that shape, or, with a mean image, not of the input's; or if it holds NaN.

        """
        depth = self.depth
        fixed = isinstance(self.mean, np.ndarray)
        if np.ndim(x) != 3 or len(x) != depth or (fixed and np.shape(x) != self.mean.shape):
            height, width = self.size if fixed else "HW"
            raise ShapeError(f"to_image: expected shape ({depth}, {height}, {width}), got {np.shape(x)}")
        if np.isnan(x).any():
            raise ShapeError("to_image: x holds NaN, which is no colour; was the step that made it too long?")
        values = (np.asarray(x, np.float64) * self._planes(self.std) + self._planes(self.mean)) / self.scale
        # three planes are colours, fewer are grey; transparency is not shown
        values = self._swap(values)[: 3 if depth >= 3 else 1]
        pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
        # a single grey plane serves as all three channels
        return np.ascontiguousarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0))

    # to a file and back

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON; MinicnnError for a mean image, which is too large."""
        if isinstance(self.mean, np.ndarray):
            raise MinicnnError("preprocess: a mean image can't be written as text; use its mean for each channel")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Preprocess:
        """Return the Preprocess that ``to_dict`` described; WeightsError if it describes none."""
        names = [f.name for f in fields(cls)]
        if not isinstance(description, Mapping) or "size" not in description:
            raise WeightsError(
                f"not a description of preprocessing: expected fields, size among them, got {description!r:.80}"
            )
        unknown = [name for name in description if name not in names]
        if unknown:
            raise WeightsError(f"not a description of preprocessing: unknown field {unknown[0]!r:.80}")
        try:
            return cls(**description)
        except MinicnnError as error:
            raise WeightsError(f"not a description of preprocessing: {str(error)[:300]}") from None


@cache
def _warn_once(doubt: str) -> None:
    """Warn where a Preprocess is made; not of each copy of another size that is made of it."""
    # above this function: __post_init__, __init__ and the caller
    warnings.warn(f"Preprocess: {doubt}", stacklevel=4)


def _has_light_border(grey: Picture) -> bool:
    """Return whether the outer twentieth of a picture is lighter than middle grey on average."""
    values = np.asarray(grey.convert("L"))
    height, width = (max(1, n // 20) for n in values.shape)
    border = (values[:height], values[-height:], values[:, :width], values[:, -width:])
    return np.concatenate([part.ravel() for part in border]).mean() > 128


def _resized(image_size: Size, resize: int | Size) -> Size:
    """Return ``resize``, or the size with that short side; the long one is rounded down, as torchvision does."""
    if isinstance(resize, tuple):
        return resize
    short = min(image_size)
    height, width = (resize if n == short else resize * n // short for n in image_size)
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"a picture of {image_size[1]} x {image_size[0]} pixels is too long to be resized to a short side of "
            f"{resize}; use crops='whole'"
        )
    return height, width


def _to_ints(resize: Any) -> Any:
    if isinstance(resize, tuple | list):
        return tuple(map(int, resize))
    return None if resize is None else int(resize)
