"""Types that annotations share.

Arrays are annotated ``np.ndarray``; their shapes stand in the docstrings, in letters: N images, C channels, H x W
pixels, K filters or classes, P x Q pixels of an output, R x S taps of a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageLike", "Padding", "Pair", "PathLike", "Progress", "Shape"]

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = int | tuple[int, int]  # a size in pixels, or (vertical, horizontal)
Padding: TypeAlias = Pair | tuple[tuple[int, int], tuple[int, int]]  # or ((top, bottom), (left, right))
PathLike: TypeAlias = str | Path
ImageLike: TypeAlias = Union[str, Path, np.ndarray, "Image"]  # a file, H x W (x 3) pixels, or a picture
Progress: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]  # wraps what is looped over, as tqdm does
