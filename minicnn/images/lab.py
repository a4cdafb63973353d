"""sRGB, what cameras and files have, and CIE L*a*b*, whose distances are near to those that people see."""

from __future__ import annotations

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["lab_to_rgb", "rgb_to_lab"]

# IEC 61966-2-1: chromaticities (x, y) of the three primaries and of the white D65.
PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
WHITE = (0.3127, 0.3290)
KNEE = 6 / 29  # where the cube root goes over into a line


def rgb_to_lab(image: np.ndarray) -> np.ndarray:
    """Convert sRGB to CIE L*a*b* under the white D65, two degree observer.

    L = 116 f(Y / Yn) - 16,  a = 500 (f(X / Xn) - f(Y / Yn)),  b = 200 (f(Y / Yn) - f(Z / Zn)),
    f(t) = t^(1/3) for t > (6/29)^3, else t / (3 (6/29)^2) + 4/29.

    Parameters
    ----------
    image : array of shape (..., 3), uint8, sRGB

    Returns
    -------
    lab : array of shape (..., 3), float64; L in [0, 100], a and b about -110 to 110; grey has a = b = 0

    Raises
    ------
    ShapeError
        If the last axis is not 3 or the dtype is not uint8.

    See Also
    --------
    lab_to_rgb : the inverse
    skimage.color.rgb2lab : the same in scikit-image

    References
    ----------
    CIE 15:2004; IEC 61966-2-1 for the transfer curve and the primaries.

    Examples
    --------
    >>> rgb_to_lab(np.array([[255, 255, 255], [255, 0, 0]], np.uint8)).round(1).tolist()
    [[100.0, 0.0, 0.0], [53.2, 80.1, 67.2]]

    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim == 0 or image.shape[-1] != 3:
        raise ShapeError(
            f"rgb_to_lab: expected uint8 of shape (..., 3), got {image.dtype} of shape {image.shape}; "
            "use np.asarray(picture.convert('RGB'))"
        )
    linear = _linear_light()
    # A channel has 256 values: the matrix product is looked up in tables, not computed for each pixel.
    tables = _xyz_over_white().T[:, None, :] * linear[:, None]
    xyz = tables[0][image[..., 0]] + tables[1][image[..., 1]] + tables[2][image[..., 2]]
    # f is the cube root, and below the knee the line that continues it with the same slope
    f = np.where(xyz > KNEE**3, np.cbrt(xyz), xyz / (3 * KNEE**2) + 4 / 29)
    lab = np.empty(image.shape)
    lab[..., 0] = 116 * f[..., 1] - 16
    lab[..., 1] = 500 * (f[..., 0] - f[..., 1])
    lab[..., 2] = 200 * (f[..., 1] - f[..., 2])
    return lab


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIE L*a*b* to sRGB, the inverse of ``rgb_to_lab``.

    Parameters
    ----------
    lab : array of shape (..., 3)

    Returns
    -------
    rgb : array of shape (..., 3), float64
        In 0..1 where sRGB can show the colour, outside that range where it can't; not clipped, not rounded.

    Examples
    --------
    >>> lab_to_rgb(np.array([53.2408, 80.0925, 67.2032])).round(3).tolist()
    [1.0, 0.0, 0.0]

    """
    lightness, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    # the three equations of L*, a*, b* solved for f(X / Xn), f(Y / Yn), f(Z / Zn)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))
    linear = xyz @ np.linalg.inv(_xyz_over_white()).T
    # both branches are computed everywhere: the maximum keeps the power of negative light from being NaN
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved)


def _linear_light() -> np.ndarray:
    """Linear light (256,) in [0, 1] of each byte: the inverse of sRGB's transfer curve."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _xyz_over_white() -> np.ndarray:
    """Matrix (3, 3) from linear RGB to (X / Xn, Y / Yn, Z / Zn): rows sum to 1, so white is (1, 1, 1)."""
    x, y = np.array(PRIMARIES).T
    white_x, white_y = WHITE
    white = np.array([white_x / white_y, 1, (1 - white_x - white_y) / white_y])
    # chromaticities fix each primary up to its brightness; those are chosen so that R = G = B = 1 gives the white
    primaries = np.stack([x, y, 1 - x - y])
    return primaries * np.linalg.solve(primaries, white) / white[:, None]
