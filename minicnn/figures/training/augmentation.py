"""What augmentation makes of images: what a recipe asks for, and each kind by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicnn.report import contact_sheet
from minicnn.training import Augment, Recipe
from minicnn.training.data.augment import augment, mix, principal_colours
from minicnn.training.data.loader import Loader, generator

if TYPE_CHECKING:
    from PIL.Image import Image

    from minicnn.network import Network
    from minicnn.training import Dataset

__all__ = ["draw_augmentation"]

Draw: TypeAlias = Callable[[int], np.ndarray]  # of an epoch


def draw_augmentation(
    net: Network, dataset: Dataset, recipe: Recipe, seed: int = 0, images: int = 3, draws: int = 8
) -> Image:
    """Draw the first images as the first epochs learn them, and below each kind of augmentation by itself.

    Parameters
    ----------
    net : Network, which says at what size images are learnt
    dataset : Dataset
    recipe : Recipe
    seed : int, of the training
    images : int, how many of the data set
    draws : int, epochs

    Returns
    -------
    PIL.Image.Image
        A row for each of the images, the original first, then epochs from 1 on; and a row for each kind, as it is
        published, at a strength that is the same share of an image of any size.

    """
    loader = Loader(dataset, net, recipe, seed, 0)
    shown = [loader.resized(i) for i in range(min(images, len(dataset)))]
    rows = [
        (f"the recipe, {Path(dataset.name(i)).name}", image, _learnt(loader, i)) for i, image in enumerate(shown)
    ]
    rows += [(heading, shown[0], draw) for heading, draw in _kinds(shown, loader.fill, seed)]
    cells = [
        [(_bytes(image), "original"), *((_bytes(draw(e)), f"epoch {e + 1}") for e in range(draws))]
        for _, image, draw in rows
    ]
    return contact_sheet(cells, [heading for heading, _, _ in rows], "Augmentation", cell=112)


def _learnt(loader: Loader, i: int) -> Draw:
    return lambda epoch: loader.augmented(epoch, i)


def _kinds(images: Sequence[np.ndarray], fill: np.ndarray, seed: int) -> Iterator[tuple[str, Draw]]:
    """Yield each kind of augmentation by itself, as it changes the first of some images."""
    side = min(images[0].shape[:2])
    # the papers' images have sides of 32 and 28
    kinds = {
        "random crop (crop)": Augment(crop=side // 8),
        "mirror (mirror)": Augment(mirror=True),
        "principal colours, five times AlexNet's strength (colour)": Augment(colour=0.5),
        "zeroing-out (zero_out)": Augment(zero_out=1.0),
        "cutout (cutout)": Augment(cutout=side // 2),
        "small affine maps (rotate, shift, scale)": Augment(rotate=15.0, shift=side / 14, scale=0.15),
        "pulled like rubber (elastic)": Augment(elastic=side / 28),
    }
    colours = principal_colours(images)
    for heading, settings in kinds.items():
        yield heading, _changed(images[0], settings, fill, colours, seed)
    if len(images) > 1:
        yield "mixup of the first two images (mixup)", _mixed(images, seed)


def _changed(image: np.ndarray, settings: Augment, fill: np.ndarray, colours: np.ndarray, seed: int) -> Draw:
    return lambda epoch: augment(image, generator(seed, epoch, 0), settings, fill, colours)


def _mixed(images: Sequence[np.ndarray], seed: int) -> Draw:
    pair = np.stack(images[:2]).astype(np.float32)
    return lambda epoch: mix(pair, np.eye(2), generator(seed, epoch, 0), 1.0)[0][0]


def _bytes(image: np.ndarray) -> np.ndarray:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
