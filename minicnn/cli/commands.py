"""What each command does: one function a command, which returns the exit status."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from minicnn.cli import tables
from minicnn.errors import MinicnnError

__all__ = ["complain", "convert", "demo", "inspect", "predict", "saliency"]


def demo(arguments: Namespace) -> int:
    """Predict and explain the shipped images."""
    from minicnn.demo import demo

    page = Path(arguments.output) / "index.html"
    found = demo(page.parent, device=arguments.device, crops=arguments.crops, done=_shown)
    _print(arguments, found, tables.predictions)
    print(f"{len(found)} figures and their page: {page}", file=sys.stderr)
    return 0


def predict(arguments: Namespace) -> int:
    """Print classes."""
    from minicnn.explain import predict

    net = _network(arguments)

    def one(path: str) -> dict[str, Any]:
        best = predict(net, path, crops=arguments.crops, top=arguments.top)
        return {"image": path, "net": net.name, "predictions": [p._asdict() for p in best]}

    return _each(arguments, one, tables.predictions)


def saliency(arguments: Namespace) -> int:
    """Write saliency figures."""
    from minicnn.explain import saliency
    from minicnn.report.explanation import explanation_record, write_explanation
    from minicnn.report.files import make_folder

    net = _network(arguments)
    make_folder(arguments.output)
    names = _distinct_names(arguments.images, Path(arguments.output))

    def one(path: str) -> dict[str, Any]:
        found = saliency(net, path, arguments.target, arguments.crops, arguments.rule, arguments.of)
        record = explanation_record(found, path, net.name, arguments.of)
        write_explanation(names[path], path, found.map, record)
        return {**record, "figure": str(names[path])}

    return _each(arguments, one, tables.saliencies)


def inspect(arguments: Namespace) -> int:
    """Describe a weight file."""
    from minicnn.inspection import inspect, text

    _print(arguments, inspect(arguments.source, arguments.architecture, arguments.weights), text)
    return 0


def convert(arguments: Namespace) -> int:
    """Write a network in another format; with ``--check``, 1 if a peer disagrees."""
    from minicnn.conversion import agree, check
    from minicnn.loading import load, resolve, save

    net = _preprocessed(load(arguments.source, arguments.weights, arguments.architecture), arguments)
    save(net, arguments.destination)
    found = {"source": str(arguments.source), "destination": arguments.destination, "checks": []}
    if arguments.check:
        files = (resolve(arguments.source), Path(arguments.destination))
        found["checks"] = check(net, files, arguments.architecture, arguments.weights)
    _print(arguments, found, tables.conversion)
    return 0 if agree(found["checks"]) else 1


# how they get their network, run and print


def _network(arguments: Namespace):
    from minicnn.loading import load

    net = _preprocessed(load(arguments.net, arguments.weights, arguments.architecture), arguments)
    return net.to(arguments.device)


def _preprocessed(net, arguments: Namespace):
    from minicnn.cli.preprocessing import apply

    return apply(net, arguments)


def _each(arguments: Namespace, one: Callable[[str], dict], show: Callable) -> int:
    """Do ``one`` for every image; a bad one is complained about and left out, and the status says so."""
    found = []
    for path in _with_progress(arguments.images):
        try:
            found.append(one(path))
        except MinicnnError as error:
            complain(error)
    _print(arguments, found, show)
    return 0 if len(found) == len(arguments.images) else 1


def _with_progress(paths: list[str]) -> Iterable[str]:
    if len(paths) < 2 or not sys.stderr.isatty():
        return paths
    try:
        from tqdm import tqdm
    except ImportError:
        return paths
    return tqdm(paths, unit="image", leave=False)


def _shown(path: Path) -> None:
    print(f"wrote {path}", file=sys.stderr)


def complain(error: Exception) -> None:
    """Say what went wrong, in one line on stderr."""
    print(f"minicnn: {' '.join(str(error).split())}", file=sys.stderr)


def _print(arguments: Namespace, found: Any, show: Callable[[Any], str]) -> None:
    if found:
        print(json.dumps(found, indent=2, ensure_ascii=False) if arguments.json else show(found))


def _distinct_names(images: list[str], folder: Path) -> dict[str, Path]:
    """Return a figure's path for each image; the second of one name gets a number."""
    names: dict[str, Path] = {}
    for image in images:
        stem = Path(image).stem or "image"
        taken = sum(Path(other).stem == Path(image).stem for other in names)
        names.setdefault(image, folder / f"{stem}{f'-{taken + 1}' if taken else ''}.saliency.png")
    return names
