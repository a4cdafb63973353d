"""Where results lie: one file an input, never one over another, and never over what was there before."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from minicnn.cli.loop.sources import Source
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn._utils.types import PathLike

__all__ = ["add_overwrite", "claim", "claim_folder", "figure_paths", "refuse_existing"]


Key = TypeVar("Key")


def add_overwrite(parser: ArgumentParser) -> None:
    """Add whether files that are there already may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")


def figure_paths(sources: Sequence[Source], folder: PathLike, kind: str) -> dict[str, Path]:
    """Return each input's figure, ``folder/<place>/<stem>.<kind>.png``, by the input's path.

    The place is that below the folder which was typed.  Inputs of one place and stem are told apart by the folders
    that they lie in, and by their suffixes where they lie in one.

    Raises
    ------
    MinicnnError
        If two inputs would still have one figure.

    Examples
    --------
    >>> sources = [Source("photos/2024/cat.jpg", "2024/cat.jpg"), Source("dog.jpg", "dog.jpg")]
    >>> [path.as_posix() for path in figure_paths(sources, "out", "saliency").values()]
    ['out/2024/cat.saliency.png', 'out/dog.saliency.png']
    >>> sources = [Source("a/cat.jpg", "cat.jpg"), Source("b/cat.jpg", "cat.jpg")]
    >>> [path.as_posix() for path in figure_paths(sources, "out", "saliency").values()]
    ['out/a/cat.saliency.png', 'out/b/cat.saliency.png']

    """
    alike = defaultdict(list)
    for source in sources:
        alike[_without_suffix(source.place)].append(source)
    stems = {}
    for place, group in alike.items():
        stems.update({group[0].path: place} if len(group) == 1 else _distinguish([s.path for s in group]))
    figures = {path: Path(folder) / f"{stem}.{kind}.png" for path, stem in stems.items()}
    inputs: dict[Path, str] = {}
    for path, figure in figures.items():
        if (other := inputs.setdefault(figure, path)) != path:
            raise MinicnnError(f"{other} and {path}: both would be drawn as {figure}; give them to two commands")
    return {source.path: figures[source.path] for source in sources}


def _without_suffix(place: str) -> str:
    head, name = os.path.split(place)
    return os.path.join(head, Path(name).stem or "image")


def _distinguish(paths: Sequence[str]) -> dict[str, str]:
    """Return each path from the folder that holds all of them, without its suffix if it is told apart without."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    places = {path: os.path.relpath(os.path.abspath(path), root) for path in paths}
    stems = [_without_suffix(place) for place in places.values()]
    return {
        path: place if stems.count(stem) > 1 else stem
        for (path, place), stem in zip(places.items(), stems, strict=True)
    }


def claim(
    folder: PathLike,
    figures: Mapping[Key, Path],
    overwrite: bool,
    planned: Callable[[Iterable[Path]], Iterable[Path]] = list,
) -> dict[Key, Path]:
    """Return the figures under names that no earlier run has used, their folders made before the work.

    All are of one number: ``cat.saliency.png``, then ``cat.saliency-2.png``, and so on; unless ``overwrite``.

    Parameters
    ----------
    folder : where they lie
    figures : what is drawn: where
    overwrite : whether what is there may be replaced
    planned : all files that go with figures

    Raises
    ------
    ImageError
        If a folder can't be made or written to.

    Examples
    --------
    >>> claim("notebooks", {"coffee": Path("notebooks/saliency.png")}, overwrite=False)["coffee"].name
    'saliency-2.png'

    """
    from minicnn.report.files import make_folder

    number, claimed = 1, dict(figures)
    while not overwrite and any(os.path.lexists(file) for file in _with_vectors(planned(claimed.values()))):
        number += 1
        claimed = {key: path.with_stem(f"{path.stem}-{number}") for key, path in figures.items()}
    for place in dict.fromkeys([Path(folder), *(path.parent for path in claimed.values())]):
        make_folder(place)
    return claimed


def _with_vectors(files: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and what ``--vector`` writes beside those that are figures."""
    from minicnn.report.drawing import current

    vector = current().vector
    for file in files:
        yield file
        if vector and file.suffix == ".png":
            yield file.with_suffix(f".{vector}")


def refuse_existing(files: Iterable[PathLike], overwrite: bool) -> None:
    """Raise MinicnnError if a file is there already and may not be replaced."""
    there = [] if overwrite else [str(file) for file in files if os.path.lexists(file)]
    if there:
        others = f", as do {len(there) - 1} more of its figures" if len(there) > 1 else ""
        raise MinicnnError(
            f"{there[0]}: exists already{others}; --overwrite replaces what is there, --out names another folder"
        )


def claim_folder(folder: PathLike, name: str, run: Mapping[str, Any], overwrite: bool) -> None:
    """Make a folder for the results of a run that can be continued, or go on in it if they are of the same run.

    Parameters
    ----------
    folder : made if it is missing
    name : of the results; what makes them is kept as ``<name>-run.json``
    run : what makes results others: values for JSON
    overwrite : whether those of another run may be replaced

    Raises
    ------
    ImageError
        If the folder can't be made or written to.
    MinicnnError
        If it holds results of another run, which may not be replaced.

    """
    from minicnn.report.files import make_folder, write_atomically

    make_folder(folder)
    path, text = Path(folder) / f"{name}-run.json", json.dumps(run, indent=1, sort_keys=True)
    try:
        earlier = json.loads(path.read_bytes())
    except (OSError, ValueError):
        earlier = None
    if isinstance(earlier, dict) and not overwrite:
        others = [key for key in {**earlier, **run} if earlier.get(key) != json.loads(text).get(key)]
        if others:
            raise MinicnnError(
                f"{folder}: holds the results of another run, which differs in {', '.join(others)}; --overwrite "
                "replaces them, --out names another folder"
            )
    write_atomically(path, text.encode(), "claim_folder")
