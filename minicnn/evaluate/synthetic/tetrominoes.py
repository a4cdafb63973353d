"""Tetrominoes in noise: pictures of two classes of which one knows the pixels that matter (Clark et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images.gaussian_blur import gaussian_blur

__all__ = ["BACKGROUNDS", "SCENARIOS", "Pictures", "draw_pictures"]

SIDE = 8
T = np.array([[1, 0], [1, 1], [1, 0]], float)
L = np.array([[1, 0], [1, 0], [1, 1]], float)
CORNERS = ((1, 1), (4, 5))  # row and column of the T and of the L, where they have a fixed place
CORRELATION = 3.0  # pixels, of the blur that makes a background's pixels alike
BACKGROUNDS = ("white", "correlated")
# share of the pattern in a picture, in white and in correlated noise; chosen so that the net learns each scenario
SCENARIOS = {
    "linear": (0.2, 0.02),
    "multiplicative": (0.8, 0.3),
    "translations and rotations": (0.65, 0.3),
    "xor": (0.35, 0.1),
}


class Pictures(NamedTuple):
    """Pictures, their classes and the pixels that say which.

    Attributes
    ----------
    x : float32 array of shape (N, 1, 8, 8), of standard deviation 1
    labels : int array of shape (N,), 0 or 1
    truth : bool array of shape (N, 8, 8)

    """

    x: np.ndarray
    labels: np.ndarray
    truth: np.ndarray


def draw_pictures(scenario: str, background: str, count: int, seed: int) -> Pictures:
    """Pictures of a scenario.

    - linear: x = a p + (1 - a) n, the pattern p a T at one place in class 0, an L at another in class 1;
    - multiplicative: x = (1 - a p) n, the same patterns;
    - translations and rotations: as linear, at any place, turned by any quarter turns;
    - xor: both patterns in each picture, with one sign in class 0 and opposite signs in class 1.

    p and the noise n are divided by their norms over all pictures.  "Correlated" noise is white noise blurred by
    3 pixels.  The truth is where patterns can be; where they move, where they are: that a place is empty says as
    much of the class as that the other is not.

    Parameters
    ----------
    scenario : a name of ``SCENARIOS``
    background : "white" or "correlated"
    count : int, even; half of the pictures are of each class
    seed : int

    Returns
    -------
    pictures : Pictures, the classes in turn

    Raises
    ------
    MinicnnError
        If there is no such scenario or background.

    References
    ----------
    .. [1] Clark, Wilming, Haufe 2023, "XAI-TRIS: non-linear benchmarks to quantify ML explanation performance",
       section 3; the 8 x 8 variant, whose shares of the pattern are set anew here.

    Examples
    --------
    >>> pictures = draw_pictures("linear", "white", 4, seed=0)
    >>> pictures.x.shape, pictures.labels.tolist(), int(pictures.truth[0].sum())
    ((4, 1, 8, 8), [0, 1, 0, 1], 8)

    """
    if scenario not in SCENARIOS or background not in BACKGROUNDS:
        raise MinicnnError(
            f"tetrominoes: expected one of {', '.join(SCENARIOS)}, and {' or '.join(BACKGROUNDS)} noise, got "
            f"{scenario!r:.40} and {background!r:.40}"
        )
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    patterns = _draw_patterns(scenario, labels, rng)
    noise = rng.standard_normal((count, SIDE, SIDE))
    if background == "correlated":
        noise = gaussian_blur(noise, CORRELATION)
    share = SCENARIOS[scenario][BACKGROUNDS.index(background)]
    if scenario == "multiplicative":
        x = (1 - share * patterns) * noise
    else:
        x = share * patterns / np.linalg.norm(patterns) + (1 - share) * noise / np.linalg.norm(noise)
    # where patterns have a fixed place the truth of each picture is all places, of both classes
    truth = patterns != 0
    if scenario != "translations and rotations":
        truth = np.broadcast_to(truth.any(axis=0), truth.shape)
    return Pictures((x / x.std()).astype(np.float32)[:, None], labels, truth)


def _draw_patterns(scenario: str, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the patterns (N, 8, 8) without noise."""
    patterns = np.zeros((len(labels), SIDE, SIDE))
    for n, (picture, label) in enumerate(zip(patterns, labels, strict=True)):
        if scenario == "xor":
            # within a class the two pictures of a pair have opposite signs, so that neither pattern alone tells
            sign = 1 if n // 2 % 2 else -1
            _paste(picture, sign * T, CORNERS[0])
            _paste(picture, sign * (-L if label else L), CORNERS[1])
        elif scenario == "translations and rotations":
            shape = np.rot90((T, L)[label], int(rng.integers(4)))
            corner = [int(rng.integers(SIDE - n + 1)) for n in shape.shape]
            _paste(picture, shape, corner)
        else:
            _paste(picture, (T, L)[label], CORNERS[label])
    return patterns


def _paste(picture: np.ndarray, shape: np.ndarray, corner: Sequence[int]) -> None:
    top, left = corner
    picture[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
