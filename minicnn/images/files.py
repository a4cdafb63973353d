"""Image files of every common kind as RGB pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ImageError

__all__ = ["MAX_PIXELS", "load_image"]

MAX_PIXELS = 100_000_000


def load_image(source: Any, max_pixels: int = MAX_PIXELS):
    """Picture in RGB, upright, as people see it.

    EXIF orientation is applied, palettes are resolved, transparency lies over white, 16 bits a channel are scaled
    to 8, grey and CMYK become RGB; of an animation the first frame counts.

    Parameters
    ----------
    source : path, PIL.Image, or uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)
    max_pixels : int
        Larger pictures are refused before they are decoded.

    Returns
    -------
    picture : PIL.Image of mode RGB

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, too large or no image, or the array is of another kind.

    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        return _rgb(_from_array(source))
    if isinstance(source, Image.Image):
        _check_size("the picture", source.size, max_pixels)
        return _rgb(source)
    if not isinstance(source, str | Path):
        raise ImageError(f"expected a path, a PIL.Image or a uint8 array, got {type(source).__name__}")
    return _rgb(_decoded(Path(source), max_pixels))


def _from_array(array: np.ndarray):
    from PIL import Image

    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise ImageError(
            f"expected a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4), got {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _decoded(path: Path, max_pixels: int):
    from PIL import Image, UnidentifiedImageError

    if not path.exists():
        raise ImageError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name the image files in it")
    try:
        with warnings.catch_warnings():
            # our own limit is checked below, before anything is decoded
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                _check_size(path, picture.size, max_pixels)
                picture.load()
                return picture.copy()
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: larger than the limit of {max_pixels:,} pixels; reduce it first") from None
    except UnidentifiedImageError:
        what = "is empty" if path.stat().st_size == 0 else "is not an image that Pillow can read"
        raise ImageError(f"{path}: {what}; expected a PNG, JPEG or other image file") from None
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror or error}); is the file whole?") from None
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        raise ImageError(f"{path}: damaged ({error}); is the file whole?") from None


def _check_size(what: Any, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{what}: {width} x {height} pixels leave nothing to see")
    if width * height > max_pixels:
        raise ImageError(
            f"{what}: {width} x {height} pixels are more than the limit of {max_pixels:,}; reduce it first"
        )


def _rgb(picture):
    """Upright, opaque, 8 bits a channel, RGB."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def _eight_bits(picture):
    """Scale grey of 16 bits to 8: 0..65535 to 0..255; brighter values, of wider modes, are scaled to their top."""
    from PIL import Image

    values = np.asarray(picture, np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=65535.0, neginf=0.0)
    top = 255.0 if picture.mode == "F" and values.max() <= 255 else max(65535.0, values.max())
    return Image.fromarray(np.rint(np.clip(values, 0, top) * (255 / top)).astype(np.uint8))
