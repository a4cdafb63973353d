"""Image files of every common kind as RGB pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn._utils.missing import missing_file
from minicnn._utils.types import ImageLike
from minicnn.errors import ImageError
from minicnn.images.kinds import HEAD, other_kind
from minicnn.images.planes import is_numpy_file, read_array, show_planes
from minicnn.images.reduced import reducing_factor

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.Image import Transpose

    from minicnn.images.views import Size

__all__ = ["MAX_PIXELS", "Read", "load_image", "load_reduced"]

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
SIDEWAYS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")  # which exchange height and width


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
    return _read(source, max_pixels, alpha).picture


class Read(NamedTuple):
    """A picture, and the (height, width) that `load_image` gives it; its own is smaller if it was reduced."""

    picture: Picture
    size: Size


def load_reduced(source: ImageLike, least: int, alpha: bool = False) -> Read:
    """Return `load_image` of a picture that is going to be resized, no side to more than ``least`` pixels.

    Only a picture of more than 2^24 pixels is another one than `load_image` returns: it is brought to a half, a
    quarter or an eighth, until it has no more or a side would have fewer than twice ``least``.  Each pixel is then
    the mean of a block; of a JPEG file, libjpeg leaves out the high frequencies.
    """
    return _read(source, MAX_PIXELS, alpha, least)


def _read(source: ImageLike, max_pixels: int, alpha: bool, least: int | None = None) -> Read:
    from PIL import Image

    if not isinstance(source, str | Path | np.ndarray | Image.Image):
        raise ImageError(f"expected a path, a PIL.Image or a uint8 array, got {type(source).__name__}")
    if not isinstance(source, str | Path):
        with _raising_image_error("the picture", max_pixels):
            picture = _from_array(source, max_pixels) if isinstance(source, np.ndarray) else source
            return _to_rgb("the picture", picture, max_pixels, alpha, least)
    path = Path(source)
    if not path.exists():
        raise ImageError(missing_file(source))
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name the image files in it")
    if is_numpy_file(path):
        array = read_array(path)
        is_picture = array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1] in (3, 4))
        if is_picture:
            return _read(array, max_pixels, alpha, least)
        shown = show_planes(array)
        return Read(shown, shown.size[::-1])
    with _raising_image_error(path, max_pixels), _open(path, max_pixels) as picture:
        full = picture.size
        read = _to_rgb(path, picture, max_pixels, alpha, least)
    if read.size[0] * read.size[1] < full[0] * full[1]:
        warnings.warn(
            f"{path}: {full[0]} x {full[1]} pixels are read at half that size; positions and boxes are those of "
            f"the smaller picture, {read.size[1]} x {read.size[0]}",
            stacklevel=3,
        )
    return read


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


def _to_rgb(what: Any, picture: Picture, max_pixels: int, alpha: bool, least: int | None) -> Read:
    """Return the picture upright, in RGB of 8 bits a channel: opaque, or with its transparency."""
    width, height = picture.size
    # a picture that the caller opened is not to change
    is_jpeg = isinstance(what, Path) and picture.format in ("JPEG", "MPO")
    # a JPEG that is too large is decoded at half its size
    half = 2 if is_jpeg and 1 < width * height / max_pixels <= JPEG_FACTOR else 1
    size = -(-width // half), -(-height // half)
    # the size is known from the header, before load decodes the pixels
    _check_size(what, size, max_pixels)
    if picture.format == "EPS":
        raise ImageError(f"{what}: PostScript is a program, which is not run; convert it to a PNG first")
    factor = 1 if least is None else reducing_factor(size, least)
    if half * factor > 1 and is_jpeg:
        # libjpeg leaves out the high frequencies of each block of 8 x 8 pixels
        picture.draft(None, (width // (half * factor), height // (half * factor)))
        factor = half * factor // round(width / picture.width)
    picture.load()
    # Pillow turns a TIFF as it loads it
    size = size if is_jpeg else picture.size
    transposition = _transposition(picture)
    result = _convert(picture, "RGBA" if alpha else "RGB", factor)
    if transposition is not None:
        result = result.transpose(transposition)
    # it inherits what the file says of itself, and would be turned again wherever it is loaded again
    result.info.clear()
    is_turned = transposition is not None and transposition.name in SIDEWAYS
    return Read(result, size if is_turned else size[::-1])


def _convert(picture: Picture, mode: str, factor: int) -> Picture:
    """Return a picture in RGB or RGBA, reduced by a whole factor; strip by strip, for a large one takes memory."""
    from PIL import Image

    is_opaque = mode == "RGBA" or not picture.has_transparency_data
    if picture.mode == mode and is_opaque and factor == 1:
        # a copy of a large photograph would take as much memory again; Pillow makes one before it draws
        result = picture._new(picture.im)
        result.readonly = 1
        return result
    top = _brightest(picture) if picture.mode.startswith(("I", "F")) else None
    width, height = picture.size
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    step = max(1, (1 << 20) // width // factor) * factor
    for y in range(0, height, step):
        strip = picture.crop((0, y, width, min(y + step, height)))
        # convert would clip what is above 255 instead of scaling it
        strip = strip if top is None else _to_8_bits(strip, top)
        if not is_opaque:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        strip = strip.convert(mode)
        result.paste(strip if factor == 1 else strip.reduce(factor), (0, y // factor))
    return result


def _transposition(picture: Picture) -> Transpose | None:
    """Return what brings a picture upright, where it has a readable EXIF orientation that is another."""
    from PIL import Image

    try:
        name = ORIENTATIONS.get(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return None
    return None if name is None else Image.Transpose[name]


def _brightest(picture: Picture) -> float:
    """Return the value that becomes 255: 65535 or, of wider modes, the largest if that is above.

    Floating point is taken as 0..255 unless a value is above.
    """
    width, height = picture.size
    step = max(1, (1 << 20) // width)
    strips = (picture.crop((0, y, width, min(y + step, height))) for y in range(0, height, step))
    largest = max(float(_finite(np.asarray(strip)).max()) for strip in strips)
    return 255.0 if picture.mode == "F" and largest <= 255 else max(65535.0, largest)


def _to_8_bits(picture: Picture, top: float) -> Picture:
    """Scale grey of more than 8 bits from 0..top to 0..255."""
    from PIL import Image

    values = np.rint(np.clip(_finite(np.asarray(picture)), 0, top) * (255 / top))
    return Image.fromarray(values.astype(np.uint8))


def _finite(values: np.ndarray) -> np.ndarray:
    """Return values as float64: NaN is black, infinities are the ends of 16 bits, so that the top stays finite."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
