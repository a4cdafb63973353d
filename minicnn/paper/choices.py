"""What the paper says, where it is silent, and what minicnn does there: one table, shown wherever it is needed."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.explain import Ascent
from minicnn.explain.gradient_ascent import LAMBDA, STEP
from minicnn.explain.localise import MaskSettings

__all__ = ["CHOICES", "HEADER", "SILENT", "Choice", "rows"]

SILENT = "silent"
HEADER = ("section", "matter", "the paper says", "minicnn does")


class Choice(NamedTuple):
    """One matter: the section that it belongs to, what the paper says ("silent" if nothing), and what we do."""

    section: str
    matter: str
    paper: str
    here: str


SAME = "the same"
ASCENT, CUT = Ascent(), MaskSettings()  # the numbers below are the defaults themselves


def _compare(ours: float, papers: float) -> str:
    """Say where ours is, or that it is the same."""
    return SAME if ours == papers else f"at {ours:.0%}"


CHOICES = (
    Choice("2 class model", "what is maximised", "the unnormalised score S_c less lambda ||I||^2", SAME),
    Choice("2 class model", "start", "the zero image, as the data are zero-centred", SAME),
    Choice(
        "2 class model",
        "what is shown",
        "the result with the training set's mean image added",
        "the same, its contrast stretched; the caption says from where to where",
    ),
    Choice(
        "2 class model",
        "lambda",
        SILENT,
        f"{LAMBDA} / sqrt(C H W) / u^2, where inputs vary by u; contrast follows neither",
    ),
    Choice(
        "2 class model",
        "step",
        SILENT,
        f"along the gradient, {STEP:g} u (root mean square) at first, falling evenly to 0",
    ),
    Choice("2 class model", "number of steps", SILENT, f"{ASCENT.steps}"),
    Choice(
        "2 class model",
        "jitter, blur, total variation, clipping, coarse to fine",
        "not in it: they were invented later",
        "off unless asked for",
    ),
    Choice(
        "2 class model",
        "a ball instead of the penalty, random starts",
        "not in it: they are older (Le et al. 2012, Erhan et al. 2009)",
        "off unless asked for",
    ),
    Choice("2 class model", "a gradient of zero at the start", SILENT, "an error that says so; no noise is added"),
    Choice("3.1 saliency", "the map", "|w|, the largest over the colour channels, w = dS_c/dI", SAME),
    Choice(
        "3.1 saliency",
        "which class",
        "the one that scores best",
        "the most probable, mean over the views; any other on request",
    ),
    Choice("3.1 saliency", "views", "the mean over ten crops: corners and centre, each mirrored too", SAME),
    Choice(
        "3.1 saliency",
        "pixels that fewer crops see",
        SILENT,
        "the mean over the crops that see the pixel; 0 where none does",
    ),
    Choice(
        "3.1 saliency", "size of the picture before cropping", SILENT, "the short side that the net was made for"
    ),
    Choice(
        "3.1 saliency",
        "from a crop's pixels to the picture's",
        SILENT,
        "the mean is taken on the resized picture, and brought to the original's pixels bilinearly",
    ),
    Choice(
        "3.2 localisation", "foreground seeds", "above the map's 95 % quantile", _compare(CUT.foreground, 0.95)
    ),
    Choice("3.2 localisation", "background seeds", "below its 30 % quantile", _compare(CUT.background, 0.30)),
    Choice(
        "3.2 localisation",
        "smoothing of the map",
        SILENT,
        f"Gaussian, sigma {CUT.smoothing:g} of the longer side ({CUT.foreground_smoothing:g} for object seeds)",
    ),
    Choice(
        "3.2 localisation",
        "colour models",
        "Gaussian mixtures",
        f"the same, full covariances in L*a*b*, no variance below {CUT.variance_floor:g}",
    ),
    Choice(
        "3.2 localisation",
        "number of components",
        SILENT,
        f"object {CUT.components}, background {CUT.background_components}",
    ),
    Choice("3.2 localisation", "the cut", "Boykov and Jolly 2001", "the same, on the 8-connected grid"),
    Choice("3.2 localisation", "weight of the boundary, gamma", SILENT, f"{CUT.gamma:g}"),
    Choice("3.2 localisation", "working size of the cut", SILENT, f"longer side {CUT.working_size} pixels"),
    Choice(
        "3.2 localisation",
        "whether seeds are hard constraints",
        SILENT,
        "they train the colour models and clamp nothing; scribbles of a user do clamp",
    ),
    Choice("3.2 localisation", "the box", "of the largest connected component of the foreground", SAME),
    Choice(
        "3.2 localisation",
        "classes",
        "each of the five that score best",
        "of the five most probable, over the views",
    ),
    Choice("4 deconvnet", "ReLU backward", "R_n = R_{n+1} where R_{n+1} > 0", SAME),
    Choice("4 deconvnet", "convolution and max-pool backward", "as the gradient", SAME),
    Choice(
        "4 deconvnet", "local response normalisation backward", SILENT, "differentiated exactly, all rules alike"
    ),
    Choice("4 deconvnet", "the derivative of ReLU at 0", "1(X > 0), so 0", SAME),
    Choice("5 network", "kernel sizes and strides", "as AlexNet", "AlexNet's, with the widths of the paper"),
)


def rows() -> list[tuple[str, ...]]:
    """Return the rows of the table under ``HEADER``.

    Examples
    --------
    >>> rows()[1][:2], rows()[1][3]
    (('2 class model', 'start'), 'the same')

    """
    return [tuple(choice) for choice in CHOICES]
