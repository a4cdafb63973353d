"""Every experiment of the paper on a net and a folder of images, as one page; what is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import minicnn
from minicnn._utils.counted import counted
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.dataset import Example, Skip, read_dataset
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.evaluate.datasets.class_names import Classes, ClassNames
from minicnn.evaluate.datasets.labels import has_annotations
from minicnn.images import list_images, load_image
from minicnn.io.digest import digest_image, digest_network
from minicnn.network import Network
from minicnn.paper import choices
from minicnn.paper.experiments import EXPERIMENTS, Task
from minicnn.report import Section, write_page
from minicnn.report.files import make_folder, write_atomically

__all__ = ["read_examples", "reproduce"]

SHOWN = 50  # reasons why images are left out

Follow: TypeAlias = Callable[[Iterable[Any], str], Iterable[Any]]  # wraps what takes long, with a word for it


def reproduce(
    net: Network,
    data: str | Path,
    output: str | Path,
    images: int | None = None,
    steps: int = 200,
    origin: dict[str, Any] | None = None,
    classes: Classes | None = None,
    progress: Follow = lambda items, _: items,
) -> dict[str, Any]:
    """Run the experiments and write ``index.html``.

    Each experiment's result is written beside its figures once it is whole; started again after an interruption,
    or with other settings, only what is missing or was made from something else is computed.

    Parameters
    ----------
    net : Network with a ``preprocess``, an ``input_shape`` and scores
    data : folder of images, or with ``labels.csv`` or annotations a folder for ``read_dataset``
    output : folder, made if it is missing
    images : int, optional
        How many images to use, the first by name; all unless given.
    steps : int, of each class model
    origin : dict, optional
        Which network, as ``minicnn.io.digest.digest_network`` says it.
    classes : what annotations call the classes, if the network's labels don't tell; see ``read_dataset``
    progress : wraps what takes long, with a word for what it yields

    Returns
    -------
    record : dict
        "page", "net", "images", "skipped": the images and annotations that are left out, each with the reason,
        and "experiments": {name: {"seconds", "figures", "tables", "failed"}}, where under "failed" stands why an
        experiment could not be done, or None.

    Raises
    ------
    ImageError
        If there are no images, none can be read, or the folder can't be written.
    MinicnnError
        If ``images`` or ``steps`` is less than 1.

    See Also
    --------
    minicnn.figures.verification.verify_figure : whether a figure of the page is what its record says

    """
    for name, value in (("images", images), ("steps", steps)):
        if value is not None and value < 1:
            raise MinicnnError(f"{name}: expected at least 1, got {value}")
    output = Path(output)
    skipped: list[Skipped] = []
    names = ClassNames.of_network(net) if classes is None else classes
    examples, unlabelled = read_examples(data, names, skipped.append)
    examples = examples[:images]
    paths = list(dict.fromkeys(e.image for e in examples)) or list_images(data)[:images]
    make_folder(output)
    paths = _readable(paths, progress, skipped)
    examples = [example for example in examples if example.image in paths]
    origin = origin or digest_network(net)
    task = Task(net, origin, paths, output, examples, unlabelled, steps, progress=progress)
    key = _key(task)
    results = {name: _run_once(name, task, key) for name in EXPERIMENTS}
    sections = [Section(**section) for result in results.values() for section in result["sections"]]
    sections = [_locate_figures(section, output) for section in sections]
    page = output / "index.html"
    write_page(
        page,
        "Deep inside convolutional networks",
        [_introduction(task, results, skipped), *sections, _table_of_choices()],
    )
    left_out = [picture._asdict() for picture in skipped]
    counts = {"images": len(paths), "skipped": left_out}
    return {"page": str(page), "net": origin["name"], **counts, "experiments": _summarise(results)}


def _readable(
    paths: list[Path], progress: Callable[[Iterable[Any], str], Iterable[Any]], skipped: list[Skipped]
) -> list[Path]:
    """Return the images that can be read; a broken one costs itself, not the experiments that would meet it."""
    readable = []
    for path in progress(paths, "image"):
        try:
            load_image(path)
        except ImageError as error:
            skipped.append(Skipped(str(path), str(error)))
        else:
            readable.append(path)
    if not readable:
        raise ImageError(f"none of {len(paths)} images can be read; the first: {skipped[-len(paths)].reason}")
    return readable


def read_examples(data: str | Path, classes: Classes, skip: Skip) -> tuple[list[Example], str]:
    """Read images whose objects are known; return them, and why there are none; ``skip`` gets what is left out."""
    try:
        if not has_annotations(data):
            return [], "The images came without boxes"
        return read_dataset(data, classes=classes, skip=skip), ""
    except MinicnnError as error:
        return [], f"The images have annotations that can't be used ({error})"


def _locate_figures(section: Section, folder: Path) -> Section:
    """Return a section with its figures' paths from where the program runs."""
    return replace(section, figures=[(folder / str(name), alt, caption) for name, alt, caption in section.figures])


def _key(task: Task) -> dict[str, Any]:
    """Return everything that results depend on."""
    return {
        "minicnn": minicnn.__version__,
        "net": {name: task.origin[name] for name in ("sha256", "device", "preprocess")},
        "images": [digest_image(path) for path in task.images],
        "truth": [[list(e.classes), [list(box) for box in e.boxes], e.group] for e in task.examples],
        "steps": task.steps,
        "shown": task.shown,
    }


def _run_once(name: str, task: Task, key: dict[str, Any]) -> dict[str, Any]:
    """Return an experiment's result: the one on disk if it was made from the same, else a new one."""
    path = task.folder / f"{name}.json"
    earlier = _read(path)
    if earlier.get("key") == key and all((task.folder / file).is_file() for file in _figure_names(earlier)):
        return earlier
    start = time.monotonic()
    try:
        sections = [asdict(section) for section in EXPERIMENTS[name](task)]
    except MinicnnError as error:  # such as a rule that a net's rectifiers do not have: the others still run
        section = asdict(Section(name, (f"This could not be done: {error}.",)))
        return {"seconds": 0.0, "sections": [section], "failed": str(error)}
    result = {"key": key, "seconds": round(time.monotonic() - start, 2), "sections": sections}
    text = json.dumps(result, indent=1)
    write_atomically(path, text.encode(), "reproduce")
    return json.loads(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) and isinstance(result.get("sections"), list) else {}


def _figure_names(result: dict[str, Any]) -> list[str]:
    return [figure[0] for section in result["sections"] for figure in section["figures"]]


def _introduction(task: Task, results: dict[str, Any], skipped: Sequence[Skipped]) -> Section:
    net, version, seconds = task.origin, minicnn.__version__, sum(result["seconds"] for result in results.values())
    return Section(
        "What this is",
        (
            "The experiments of Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks (2013), run on "
            f"{net['name']} and {counted(len(task.images), 'image')} in {seconds:.0f} s by minicnn {version}. The "
            "paper's own net was never released and its images are not these: figures here are not the paper's.",
            "Every figure holds what made it; minicnn inspect FIGURE --verify computes it again and compares.",
            *([f"{len(skipped)} images or annotations are left out:"] if skipped else []),
            # without the folders above, which are no business of a page's readers
            *(p.reason.replace(f"{Path(p.image).parent}/", "") for p in skipped[:SHOWN]),
        ),
        table=(
            ("what", "value"),
            [
                ("net", f"{net['name']}, sha256 {net['sha256']}"),
                ("device", net["device"]),
                ("first and last image", f"{task.images[0].name}, {task.images[-1].name}"),
            ],
        ),
    )


def _table_of_choices() -> Section:
    silent = sum(choice.paper == choices.SILENT for choice in choices.CHOICES)
    return Section(
        "The paper says, the paper is silent, we chose",
        (f"{len(choices.CHOICES)} matters; on {silent} of them the paper is silent.",),
        table=(choices.HEADER, choices.rows()),
    )


def _summarise(results: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "seconds": result["seconds"],
            "figures": _figure_names(result),
            "tables": [section["table"] for section in result["sections"]],
            "failed": result.get("failed"),
        }
        for name, result in results.items()
    }
