"""Image files of every common kind as RGB pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn._utils.missing import missing_file
from minicnn._utils.types import ImageLike
from minicnn.errors import ImageError
from minicnn.images.kinds import HEAD, other_kind
from minicnn.images.planes import is_numpy_file, read_array, show_planes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["MAX_PIXELS", "load_image"]

MAX_PIXELS = 100_000_000  # a picture of 300 MB once decoded; more is a mistake or an attack
JPEG_FACTOR = 4  # times as many a JPEG may have, which is decoded at half its size: phones take 200 million

ORIENTATION_TAG = 0x0112
# EXIF orientation -> the transposition that brings the picture upright; 1 is upright already
ORIENTATIONS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def load_image(source: ImageLike, max_pixels: int = MAX_PIXELS, alpha: bool = False) -> Picture:
    """Picture in RGB, upright, as people see it.

    EXIF orientation is applied, palettes are resolved, transparency lies over white, 16 bits a channel are scaled
    to 8, grey and CMYK become RGB; of an animation the first frame counts.  An EXIF block that is damaged is
    ignored; PostScript is refused, since Pillow would have a program run it.  A JPEG of up to four times
    ``max_pixels`` is decoded at half its size.  The answer shares the
    pixels of a picture that is all this already, until one of the two is drawn on.

    Parameters
    ----------
    source : path, PIL.Image, or uint8 array of shape (H, W), (H, W, 3) or (H, W, 4)
    max_pixels : int
        Larger pictures are refused before they are decoded; Pillow's own limit of twice
        ``PIL.Image.MAX_IMAGE_PIXELS`` stays in force above it.
    alpha : bool
        Keep the transparency, as a fourth channel, instead of laying it over white.

    Returns
    -------
    picture : PIL.Image of mode RGB, or RGBA

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, too large or no image, or the array is of another kind.

    Warns
    -----
    UserWarning
        If a JPEG was decoded at a smaller size: positions and boxes are those of the smaller picture.

    See Also
    --------
    minicnn.Preprocess : from a picture to a network's input
    minicnn.images.list_images : the image files of a folder

    Examples
    --------
    >>> picture = load_image(np.array([[0, 128, 255]], np.uint8))
    >>> picture.mode, picture.size
    ('RGB', (3, 1))
    >>> np.asarray(picture)[0].tolist()
    [[0, 0, 0], [128, 128, 128], [255, 255, 255]]

    """
    from PIL import Image

    if not isinstance(source, str | Path | np.ndarray | Image.Image):
        raise ImageError(f"expected a path, a PIL.Image or a uint8 array, got {type(source).__name__}")
    if not isinstance(source, str | Path):
        with _raising_image_error("the picture", max_pixels):
            picture = _from_array(source, max_pixels) if isinstance(source, np.ndarray) else source
            return _to_rgb("the picture", picture, max_pixels, alpha)
    path = Path(source)
    if not path.exists():
        raise ImageError(missing_file(source))
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name the image files in it")
    if is_numpy_file(path):
        array = read_array(path)
        is_picture = array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1] in (3, 4))
        return load_image(array, max_pixels, alpha) if is_picture else show_planes(array)
    with _raising_image_error(path, max_pixels), _open(path, max_pixels) as picture:
        full, is_reduced = picture.size, _reduce(picture, max_pixels)
        upright = _to_rgb(path, picture, max_pixels, alpha)
    if is_reduced:
        warnings.warn(
            f"{path}: {full[0]} x {full[1]} pixels are read at half that size; positions and boxes are those of "
            f"the smaller picture, {upright.width} x {upright.height}",
            stacklevel=2,
        )
    return upright


def _open(path: Path, max_pixels: int) -> Picture:
    """Open a picture, of which nothing is decoded yet."""
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        # Pillow's own limit can't be raised for one call; a JPEG that is decoded at a smaller size is no bomb
        with open(path, "rb") as file:
            if file.read(3) != b"\xff\xd8\xff":
                raise
        return JpegImageFile(path)


def _reduce(picture: Picture, max_pixels: int) -> bool:
    """Have a JPEG that is too large decoded at half its size; return whether it is one."""
    width, height = picture.size
    if picture.format not in ("JPEG", "MPO") or not 1 < width * height / max_pixels <= JPEG_FACTOR:
        return False
    # libjpeg leaves out the high frequencies of each block of 8 x 8 pixels
    picture.draft(None, (width // 2, height // 2))
    return True


@contextmanager
def _raising_image_error(what: Any, max_pixels: int) -> Iterator[None]:
    """Turn whatever Pillow raises on a damaged picture into one ImageError, and silence what it warns of."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # our own limit is checked before anything is decoded
            warnings.simplefilter("ignore")
            yield
    # our own errors say already what is wrong
    except ImageError:
        raise
    except Image.DecompressionBombError:
        # Pillow's own limit can't be raised for one call
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise ImageError(f"{what}: larger than the limit of {limit:,} pixels; reduce it first") from None
    except UnidentifiedImageError:
        raise ImageError(f"{what}: {_describe_fault(what)}") from None
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{what}: can't be read ({reason}); is the file whole?") from None


def _describe_fault(path: Path) -> str:
    """Return why a file is no image that Pillow reads."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if kind := other_kind(head):
        return f"is {kind}"
    fault = "is not an image that Pillow can read" if head else "is empty"
    return f"{fault}; expected a PNG, JPEG or other image file"


def _from_array(array: np.ndarray, max_pixels: int) -> Picture:
    from PIL import Image

    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise ImageError(
            f"expected a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4), got {array.dtype} {array.shape}"
        )
    # an array's shape is (H, W, ...), a size is (width, height)
    _check_size("the array", array.shape[1::-1], max_pixels)
    return Image.fromarray(np.ascontiguousarray(array))


def _check_size(what: Any, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{what}: {width} x {height} pixels leave nothing to see")
    if width * height > max_pixels:
        raise ImageError(
            f"{what}: {width} x {height} pixels are more than the limit of {max_pixels:,}; reduce it first"
        )


def _to_rgb(what: Any, picture: Picture, max_pixels: int, alpha: bool) -> Picture:
    """Return the picture upright, in RGB of 8 bits a channel: opaque, or with its transparency."""
    # the size is known from the header, before load decodes the pixels
    _check_size(what, picture.size, max_pixels)
    if picture.format == "EPS":
        raise ImageError(f"{what}: PostScript is a program, which is not run; convert it to a PNG first")
    picture.load()
    picture = _transpose_by_exif(picture)
    # convert would clip what is above 255 instead of scaling it
    if picture.mode.startswith(("I", "F")):
        picture = _to_8_bits(picture)
    if picture.has_transparency_data and not alpha:
        picture = _over_white(picture)
    mode = "RGBA" if alpha else "RGB"
    if picture.mode == mode:
        # a copy of a large photograph would take as much memory again; Pillow makes one before it draws
        upright = picture._new(picture.im)
        upright.readonly = 1
    else:
        upright = picture.convert(mode)
    # it inherits what the file says of itself, and would be turned again wherever it is loaded again
    upright.info.clear()
    return upright


def _strips(picture: Picture) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of rows, so that what is computed of a large picture takes no memory beside the answer."""
    step = max(1, (1 << 20) // picture.width)
    for top in range(0, picture.height, step):
        yield 0, top, picture.width, min(top + step, picture.height)


def _over_white(picture: Picture) -> Picture:
    """Return a picture with transparency over white, in RGB."""
    from PIL import Image

    result = Image.new("RGB", picture.size)
    for box in _strips(picture):
        layer = picture.crop(box).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        result.paste(Image.alpha_composite(white, layer).convert("RGB"), box)
    return result


def _transpose_by_exif(picture: Picture) -> Picture:
    """Apply the EXIF orientation, where there is a readable one."""
    from PIL import Image

    try:
        transposition = ORIENTATIONS.get(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        transposition = None
    return picture if transposition is None else picture.transpose(Image.Transpose[transposition])


def _to_8_bits(picture: Picture) -> Picture:
    """Scale grey of 16 bits to 8: 0..65535 to 0..255; brighter values, of wider modes, are scaled to their top.

    Floating point is taken as 0..255 unless a value is above.
    """
    from PIL import Image

    values, boxes = np.asarray(picture), list(_strips(picture))
    largest = max(_finite(values[box[1] : box[3]]).max() for box in boxes)
    top = 255.0 if picture.mode == "F" and largest <= 255 else max(65535.0, largest)
    result = np.empty(values.shape, np.uint8)
    for _, start, _, end in boxes:
        result[start:end] = np.rint(np.clip(_finite(values[start:end]), 0, top) * (255 / top))
    return Image.fromarray(result)


def _finite(values: np.ndarray) -> np.ndarray:
    """Return values as float64: NaN is black, infinities are the ends of 16 bits, so that the top stays finite."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
