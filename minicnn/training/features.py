"""Features: what frozen layers make of an image, computed once and kept, since no epoch changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np

import minicnn
from minicnn.formats.containers import files
from minicnn.io.digest import canonical_json, digest_network
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.training.data.loader import Loader
from minicnn.training.frozen import cut_below_training
from minicnn.training.recipe import Augment, Recipe

__all__ = ["change_each_epoch", "find_features", "say_what_is_kept"]

BATCH = 32  # images whose features are computed together, whatever the recipe's batches are
IN_MEMORY, ON_DISK = 1 << 31, 1 << 34  # bytes of features that are kept


def change_each_epoch(recipe: Recipe) -> bool:
    """Return whether augmentation changes images, and so their features."""
    return recipe.augment != Augment()


def say_what_is_kept(net: Network, recipe: Recipe) -> str:
    """Return a sentence on whether features are computed once, and if not, why; "" where no layer is frozen.

    Examples
    --------
    >>> import minicnn
    >>> print(say_what_is_kept(minicnn.load("digits"), Recipe(freeze=("conv_layers.",))))
    features of each image, up to flatten, are computed once and kept

    """
    cut = cut_below_training(net, recipe)
    if cut is None:
        return ""
    how = "in each epoch, since augmentation changes them" if change_each_epoch(recipe) else "once and kept"
    return f"features of each image, up to {cut.trunk.names[-1]}, are computed {how}"


def find_features(
    trunk: Network, loader: Loader, path: Path | None, stop: Callable[[], bool]
) -> np.ndarray | None:
    """Return the output of the frozen layers for each image: what is kept, or else computed and kept.

    Parameters
    ----------
    trunk : Network, the frozen layers
    loader : Loader
    path : Path, optional
        Of a file, which is mapped and not read: memory need not hold it.  Its name is given digests of network and
        images, and others of the same stem are removed.
    stop : function, whether to stop between two batches with KeyboardInterrupt

    Returns
    -------
    features : array of shape (N, ...), or None where they are too large to be kept

    Raises
    ------
    MinicnnError
        If an image can't be read, or the file can't be written.

    """
    shape = (len(loader.dataset), *sequence.output_shape(trunk.named_layers, trunk.input_shape or ()))
    dtype = np.result_type(np.float32, *sequence.state_dict(trunk.named_layers).values())
    if prod(shape) * dtype.itemsize > (IN_MEMORY if path is None else ON_DISK):
        return None
    if path is None:
        return np.concatenate(list(_computed(trunk, loader, stop)))
    kept = path.with_name(f"{path.name}.{_digest(trunk, loader)}.npy")
    if not kept.exists():
        for old in path.parent.glob(f"{path.name}.*.npy"):
            with suppress(OSError):
                old.unlink()
        with files.atomic_write(kept) as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": dtype.str, "fortran_order": False, "shape": shape}
            )
            for part in _computed(trunk, loader, stop):
                file.write(np.ascontiguousarray(part, dtype).data)
    return np.load(kept, mmap_mode="r")


def _computed(trunk: Network, loader: Loader, stop: Callable[[], bool]) -> Iterator[np.ndarray]:
    for x, _ in loader.in_order(BATCH):
        if stop():
            raise KeyboardInterrupt
        yield trunk(x)


def _digest(trunk: Network, loader: Loader) -> str:
    """Return a digest of all that features follow from."""
    origin = digest_network(trunk)
    of_net = [origin[name] for name in ("sha256", "preprocess", "device")]
    return hashlib.sha256(canonical_json([minicnn.__version__, of_net, loader.dataset.digest()])).hexdigest()[:16]
