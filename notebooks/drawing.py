"""Pictures of the course: images in a row, and small arrays with their numbers."""

import matplotlib.pyplot as plt
import numpy as np


def show(*pictures, height=2.6, limit=None):
    """Show grey images (H, W) or colour images (H, W, 3) in a row, each an (image, caption) pair.

    What has values below 0 is drawn from blue through white, which is 0, to red; ``limit`` is the value of full
    red, the largest by default.
    """
    widths = [np.shape(image)[1] / np.shape(image)[0] for image, _ in pictures]
    _, axes = plt.subplots(
        *(1, len(pictures)),
        figsize=(height * sum(widths) + 0.3 * len(pictures), height + 0.4),
        width_ratios=widths,
        squeeze=False,
    )
    for axis, (image, caption) in zip(axes[0], pictures, strict=True):
        most = limit or np.abs(image).max()
        signed = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if np.min(image) < 0 else {"cmap": "gray"}
        axis.imshow(image, interpolation="nearest", **signed)
        axis.set_title(caption, fontsize=9)
        axis.axis("off")
    plt.show()


def show_numbers(*arrays, decimals=None, cell=0.34):
    """Show small arrays (H, W) in a row, their numbers on colours, each an (array, caption) pair."""
    arrays = [(np.atleast_2d(array), caption) for array, caption in arrays]
    columns = [array.shape[1] for array, _ in arrays]
    rows = max(len(array) for array, _ in arrays)
    width = cell * (sum(columns) + 2.5 * len(arrays)) * (1 if decimals is None else 1.3)
    _, axes = plt.subplots(
        *(1, len(arrays)), figsize=(width, cell * rows + 0.5), width_ratios=columns, squeeze=False
    )
    for axis, (array, caption) in zip(axes[0], arrays, strict=True):
        most = max(np.abs(array).max(), 1e-9)
        axis.imshow(
            array, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most
        )  # pale, so that black is read on all of it
        for (row, column), value in np.ndenumerate(array):
            text = f"{value:g}" if decimals is None else f"{value:.{decimals}f}".rstrip("0").rstrip(".")
            axis.text(
                column,
                row,
                text.replace("-0", "0") if text == "-0" else text,
                ha="center",
                va="center",
                fontsize=8,
            )
        axis.set_title(caption, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    plt.show()
