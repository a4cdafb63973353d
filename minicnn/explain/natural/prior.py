"""What photographs have in common, and pictures written in coordinates in which photographs are white noise.

A picture is p = sigmoid(offset + gain R F z).  z holds Fourier coefficients; F scales them as in photographs, with
amplitudes that fall as frequency^-1.2, and transforms back; R mixes luminance and two colour axes into red, green
and blue with the covariance of photographs.  Where z is white noise of variance 1, p has the second moments of
photographs.  The numbers below were fitted to 80 of them by ``benchmarks/fit_photograph_prior.py``.

Fourier coordinates and decorrelated colours: Olah, Mordvintsev, Schubert 2017, "Feature visualization";
Mordvintsev et al. 2018, "Differentiable image parameterizations".  The spectrum of photographs: Field 1987.
"""

from __future__ import annotations

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images import Preprocess
from minicnn.images.input_range import input_limits
from minicnn.network import Network

__all__ = ["COLOUR_COVARIANCE", "EXPONENT", "Canvas"]

EXPONENT = 1.2
# of red, green and blue from 0 to 1, within a photograph
COLOUR_COVARIANCE = ((0.0581, 0.0522, 0.0466), (0.0522, 0.0550, 0.0511), (0.0466, 0.0511, 0.0546))
EDGE = 0.05  # the mean picture is kept that far from black and white, where the sigmoid is flat


class Canvas:
    """Pictures of one size, in coordinates in which photographs are white noise, as inputs of a network.

    Parameters
    ----------
    net : Network with an ``input_shape`` and a ``preprocess``

    Attributes
    ----------
    shape : (C, H, W)
    coefficients_shape : (C, H, W // 2 + 1), of the complex coefficients z; axis 0 is luminance, then the colours

    Raises
    ------
    MinicnnError
        If nothing says what shape the input has, or what black and white are.

    Examples
    --------
    >>> import minicnn
    >>> canvas = Canvas(minicnn.load("digits"))
    >>> canvas.coefficients_shape
    (1, 28, 15)
    >>> grey = np.zeros(canvas.coefficients_shape, np.complex64)
    >>> x, _ = canvas.to_input(canvas.to_plane(grey))  # the network's own mean, which is the zero image
    >>> bool(np.abs(x).max() < 1e-6)
    True

    """

    def __init__(self, net: Network):
        if net.input_shape is None or net.preprocess is None:
            raise MinicnnError(
                f"{net.name}: style 'natural' needs an input_shape, and a preprocess that says what black and "
                "white are; style 'paper' does without the latter"
            )
        self.shape = net.input_shape
        channels, height, width = self.shape
        self.coefficients_shape = channels, height, width // 2 + 1
        self._black, self._white = input_limits(net.preprocess)
        self._axes = _colour_axes(net.preprocess)
        self._spectrum, self._count, self._octave = _spectrum(height, width)
        # where the zero image lies between black and white, and a slope of 1 there
        mean = np.clip(-self._black / (self._white - self._black), EDGE, 1 - EDGE)
        self._offset, self._gain = np.log(mean / (1 - mean)), 1 / (mean * (1 - mean))

    # coordinates -> plane -> network's input

    def to_plane(self, z: np.ndarray) -> np.ndarray:
        """Return R F z, float32 of shape (C, H, W): a picture's difference from the mean, before the sigmoid."""
        plane = np.fft.irfft2(z * self._spectrum, self.shape[1:]).astype(np.float32)
        return np.einsum("dc,chw->dhw", self._axes, plane)

    def to_plane_adjoint(self, dplane: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to z, up to a constant, from that with respect to the plane.

        Of the coefficients that ``rfft2`` leaves out each is another's conjugate, and so is its gradient.
        """
        return np.asarray(np.fft.rfft2(np.einsum("dc,dhw->chw", self._axes, dplane)) * self._spectrum)

    def to_input(self, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return black + (white - black) sigmoid(offset + gain plane), and its derivative, both (C, H, W)."""
        share = 1 / (1 + np.exp(-(self._offset + self._gain * plane)))
        height = self._white - self._black
        return self._black + height * share, height * self._gain * share * (1 - share)

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return the input (C, H, W), float32, that is nearest to x and has a picture of 256 levels."""
        height = self._white - self._black
        levels = np.rint(255 * (x - self._black) / height)
        return np.asarray(self._black + height * np.clip(levels, 0, 255) / 255, np.float32)

    # the photographs' power

    def norm(self, z: np.ndarray) -> float:
        """Return the root mean square of coefficients z, 1 for white noise of variance 1."""
        return float(np.sqrt((np.abs(z) ** 2 * self._count).sum() / np.prod(self.shape)))

    def limit(self, z: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Return z with each octave's root mean square, axis by axis, brought down to at most ``radii`` (C,)."""
        octaves = int(self._octave.max()) + 1
        sizes = np.bincount(self._octave.ravel(), self._count.ravel(), octaves)
        power = [np.bincount(self._octave.ravel(), (np.abs(a) ** 2 * self._count).ravel(), octaves) for a in z]
        rms = np.sqrt(np.array(power) / np.maximum(sizes, 1))
        factor = np.minimum(1, radii[:, None] / np.maximum(rms, np.finfo(np.float32).tiny))
        return np.asarray(z * factor[:, self._octave])


def _colour_axes(preprocess: Preprocess) -> np.ndarray:
    """Matrix (C, C) whose columns are luminance and the colour axes, in the network's order of channels."""
    covariance = np.array(COLOUR_COVARIANCE)
    if preprocess.channels not in ("L", "RGB", "BGR"):
        raise MinicnnError(
            f"style 'natural': knows photographs in grey and in colour, not {preprocess.channels!r}; take 'paper'"
        )
    if preprocess.channels == "L":
        # the deviation of the mean of red, green and blue
        return np.array([[np.sqrt(covariance.mean())]], np.float32)
    values, vectors = np.linalg.eigh(covariance)
    # the largest first, each with a fixed sign
    axes = (vectors * np.sqrt(values) * np.sign(vectors[0]))[:, ::-1]
    return np.ascontiguousarray(axes[::-1] if preprocess.channels == "BGR" else axes, np.float32)


def _spectrum(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitudes of the coefficients, how many of the whole transform each stands for, and their octaves."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    # all but the first column, and the last of an even width, stand for their mirror images too
    count = np.full(frequency.shape, 2.0)
    count[:, 0] = 1
    if width % 2 == 0:
        count[:, -1] = 1
    # the mean of the picture has no frequency, and gets the amplitude of the lowest
    cycles = np.maximum(frequency * max(height, width), 1)
    amplitude = cycles**-EXPONENT
    # so that white noise of variance 1 becomes a plane of variance 1; irfft2 divides by H W
    amplitude *= height * width / np.sqrt((amplitude**2 * count).sum())
    octave = np.where(frequency > 0, np.floor(np.log2(cycles)) + 1, 0).astype(int)
    return amplitude.astype(np.float32), count, octave
