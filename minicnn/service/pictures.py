"""Bytes that a client sent as a network's input: what they may be, and how large."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from minicnn.batch.answers import Picture
from minicnn.errors import MinicnnError
from minicnn.explain.prediction import get_preprocess
from minicnn.images import load_image
from minicnn.images.kinds import HEAD, other_kind
from minicnn.network import Network
from minicnn.service.questions import Question
from minicnn.service.refusals import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["KINDS", "decode", "open_picture"]

# of all that Pillow reads: decoders that are attacked all day, and mended; none that is written in Python
KINDS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF")


def open_picture(data: bytes, most: int) -> Image:
    """Return a picture of which the header is read and nothing is decoded.

    Parameters
    ----------
    data : bytes
    most : int, pixels

    Raises
    ------
    Refusal
        If it is none of `KINDS`, damaged, or larger.

    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise Refusal("kind", "no picture was sent; send its bytes as the body of the request")
    Image.init()
    bombs = Image.DecompressionBombError, Image.DecompressionBombWarning
    try:
        picture = Image.open(BytesIO(data), formats=[kind for kind in KINDS if kind in Image.OPEN])
    except bombs:
        raise Refusal(
            "pixels", f"the picture has more pixels than the limit of {most:,}; reduce it first"
        ) from None
    except UnidentifiedImageError:
        known = other_kind(data[:HEAD])
        what = f"is {known}" if known else "is no PNG, JPEG, WebP, GIF, BMP or TIFF"
        raise Refusal("kind", f"what was sent {what}") from None
    except Exception as error:  # Pillow raises anything on damaged headers
        raise Refusal("picture", f"the picture can't be read ({str(error)[:200]}); is it whole?") from None
    width, height = picture.size
    if width * height > most:
        raise Refusal(
            "pixels", f"{width} x {height} pixels are more than the limit of {most:,}; reduce the picture first"
        )
    return picture


def decode(net: Network, data: bytes, question: Question, most: int) -> Picture:
    """Return a picture as the network takes it, as ``minicnn.explain`` does of a file that holds the same bytes.

    Raises
    ------
    Refusal
        If it can't be read.

    """
    try:
        picture = open_picture(data, most)
        if question.task == "localise":
            pixels = np.asarray(load_image(picture))
            return Picture(np.empty((0, *pixels.shape)), [], pixels)
        return Picture(*get_preprocess(net).batch(picture, question.crops))
    except MinicnnError as error:
        raise Refusal("picture", str(error)) from None
    except MemoryError:
        raise Refusal("memory", "the memory is too small to decode this picture now") from None
