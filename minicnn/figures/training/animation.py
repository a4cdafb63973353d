"""An animation of a layer while a network learns: a frame an epoch of its filters and one image's feature maps."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn import explain
from minicnn._utils.types import ImageLike, PathLike
from minicnn.errors import MinicnnError
from minicnn.explain.features.filters import layers_with_filters
from minicnn.figures.features.filters import draw_sheet
from minicnn.network import Network
from minicnn.report import save_png
from minicnn.report.files import make_folder, write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FRAMES", "write_animation", "write_frame"]

FRAMES = 60  # of an animation, at most
CHANNELS = 32  # that are drawn, the first ones
SIDE = 800  # pixels of a frame, at most
COLOURS = 128
SECONDS = 12.0  # that it lasts
SLOWEST, LAST = 500, 2000  # milliseconds of a frame, and of the last


def write_frame(
    folder: PathLike, net: Network, epoch: int, layer: str | None = None, image: ImageLike | None = None
) -> Path:
    """Write ``frames/epoch-0007.png``: a layer's filters, if it has some, and its maps of an image.

    Parameters
    ----------
    folder : str or Path
    net : Network, as it is after so many epochs
    epoch : int
    layer : str, optional
        The first one that has filters, unless given.
    image : optional

    Returns
    -------
    path : Path

    Raises
    ------
    MinicnnError
        If the network has no such layer, the layer nothing to draw, or the file can't be written.

    """
    known = layers_with_filters(net)
    filters = explain.filters(net, layer) if layer is None or layer in known or image is None else None
    shown = layer if filters is None else filters.layer
    assert shown is not None  # without a layer there are filters, or an error
    maps = None if image is None else explain.feature_maps(net, image, shown)
    count = len((filters or maps)[1])  # type: ignore[index]  # one of them is there
    words = f"after {epoch} epochs" if epoch != 1 else "after 1 epoch"
    which = f", the first {CHANNELS} of {count} channels" if count > CHANNELS else ""
    channels = list(range(min(count, CHANNELS)))
    sheet = draw_sheet(filters, maps, channels, f"{shown} {words}", f"{net.name}{which}", image)
    make_folder(Path(folder) / "frames")
    path = Path(folder) / "frames" / f"epoch-{epoch:04}.png"
    save_png(sheet, path)
    return path


def write_animation(folder: PathLike) -> Path:
    """Write ``layer.gif`` of the frames that ``write_frame`` wrote: at most 60, of at most 800 pixels.

    Raises
    ------
    MinicnnError
        If there are none, or the file can't be written.

    """
    paths = sorted((Path(folder) / "frames").glob("epoch-*.png"))
    if not paths:
        raise MinicnnError(f"{folder}: has no frames; expected frames/epoch-0001.png and more")
    frames = [_read(path) for path in paths[:: -(-len(paths) // FRAMES)]]
    duration = min(SLOWEST, round(1000 * SECONDS / len(frames)))
    durations = [duration] * (len(frames) - 1) + [LAST]
    data = BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    path = Path(folder) / "layer.gif"
    write_atomically(path, data.getvalue(), "write_animation")
    return path


def _read(path: Path) -> Image:
    from PIL import Image

    with Image.open(path) as file:
        frame = file.convert("RGB")
    frame.thumbnail((SIDE, SIDE))
    return frame.quantize(COLOURS, dither=Image.Dither.NONE)
