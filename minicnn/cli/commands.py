"""What each command does: one function a command, which returns the exit status."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn._utils.json import nan_to_none
from minicnn.cli import tables
from minicnn.errors import MinicnnError

__all__ = [
    "check",
    "class_model",
    "compare",
    "complain",
    "convert",
    "deconvnet",
    "demo",
    "devices",
    "diagnose",
    "evaluate",
    "inspect",
    "localise",
    "predict",
    "reproduce",
    "saliency",
    "validity",
    "warm_up",
]


def demo(arguments: Namespace) -> int:
    """Predict and explain the shipped images."""
    from minicnn.paper.demo import demo

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
    """Write saliency figures, or maps of later work."""
    from minicnn.cli import attribution
    from minicnn.explain import saliency
    from minicnn.figures.explanation import write_explanation
    from minicnn.report.files import distinct_names, make_folder

    net, origin = _network_and_origin(arguments)
    make_folder(arguments.output)
    if arguments.method != "gradient" or attribution.typed(arguments):
        one = attribution.attributed(arguments, net, origin, _with_progress)
        return _each(arguments, one, attribution.text)
    names = distinct_names(arguments.images, Path(arguments.output), "saliency")

    def one(path: str) -> dict[str, Any]:
        crops = arguments.crops or "ten"
        found = saliency(net, path, arguments.target, crops, arguments.rule, arguments.of)
        return write_explanation(names[path], path, found, origin, arguments.of)

    return _each(arguments, one, tables.saliencies)


def localise(arguments: Namespace) -> int:
    """Find objects."""
    from dataclasses import replace

    from minicnn.explain import localise
    from minicnn.explain.localise import method_named, seeds_of
    from minicnn.figures.localisation import write_detection
    from minicnn.report.files import distinct_names, make_folder

    net, origin = _network_and_origin(arguments)
    make_folder(arguments.output)
    typed = {name: getattr(arguments, name) for name in ("foreground", "background", "gamma")}
    method = method_named(arguments.method)
    settings = replace(method.settings, **{name: value for name, value in typed.items() if value is not None})
    targets = arguments.top if arguments.target is None else [arguments.target]
    names = distinct_names(arguments.images, Path(arguments.output), "localisation")

    def one(path: str) -> dict[str, Any]:
        detections = []
        how = {"crops": arguments.crops, "rule": arguments.rule, "settings": settings}
        for d in localise(net, path, targets, **how, method=arguments.method):
            figure = (
                names[path] if len(detections) == 0 else names[path].with_suffix(f".{len(detections) + 1}.png")
            )
            seeds = seeds_of(d.saliency.map, settings)
            detections.append(write_detection(figure, path, d, seeds, origin, settings))
        return {"image": path, "net": net.name, "detections": detections}

    return _each(arguments, one, tables.detections)


def deconvnet(arguments: Namespace) -> int:
    """Show what a feature map answers to."""
    from minicnn.cli.units import feature_map, rules_table

    net, origin = _network_and_origin(arguments)
    if arguments.table:
        return _each(arguments, rules_table(arguments, net, origin), tables.rules)
    found = feature_map(arguments, net, origin, _with_progress, complain)
    _print(arguments, found, tables.reconstructions)
    return 0


def class_model(arguments: Namespace) -> int:
    """Draw class models, or what other units like best."""
    from minicnn.cli.units import class_or_unit

    net, origin = _network_and_origin(arguments)
    show = class_or_unit(arguments, net, origin, _with_progress, complain)
    return _each(arguments, show, tables.class_models, over=arguments.targets)


def evaluate(arguments: Namespace) -> int:
    """Measure maps and boxes: one function a measure, in ``minicnn.cli.evaluate``."""
    from minicnn.cli import evaluate, faithfulness, sanity

    measures = {"sanity": sanity.sanity, "pointing": faithfulness.pointing, "curves": faithfulness.curves}
    measure = measures.get(arguments.measure) or getattr(evaluate, arguments.measure)
    net, origin = _network_and_origin(arguments)
    found, show = measure(arguments, net, origin, _with_progress)
    _print(arguments, found, show)
    return 0


def inspect(arguments: Namespace) -> int:
    """Describe a weight file, or say where a figure comes from; 1 if ``--verify`` finds another map."""
    if Path(arguments.source).suffix.lower() == ".png":
        from minicnn.cli import figure

        found = figure.inspected(arguments)
        _print(arguments, found, figure.text)
        return 0 if found.get("verdict", {"match": True})["match"] else 1
    if arguments.verify:
        raise MinicnnError(f"--verify: expected a figure that minicnn wrote, a .png file, got {arguments.source}")
    from minicnn.io.inspect import format_description, inspect

    _print(arguments, inspect(arguments.source, arguments.architecture, arguments.weights), format_description)
    return 0


def convert(arguments: Namespace) -> int:
    """Write a network in another format; with ``--check``, 1 if a peer disagrees."""
    from minicnn.io.convert import all_agree, compare_files
    from minicnn.io.load import load, resolve, save

    net = _preprocessed(load(arguments.source, arguments.weights, arguments.architecture), arguments)
    save(net, arguments.destination)
    found = {"source": str(arguments.source), "destination": arguments.destination, "checks": []}
    if arguments.check:
        files = (resolve(arguments.source), Path(arguments.destination))
        found["checks"] = compare_files(net, files, arguments.architecture, arguments.weights)
    _print(arguments, found, tables.conversion)
    return 0 if all_agree(found["checks"]) else 1


def reproduce(arguments: Namespace) -> int:
    """Run every experiment of the paper; 1 if one could not be done."""
    from minicnn.cli.reproduce import reproduced, text

    net, origin = _network_and_origin(arguments)
    found = reproduced(arguments, net, origin, _with_progress)
    _print(arguments, found, text)
    return 1 if any(result["failed"] for result in found["experiments"].values()) else 0


def validity(arguments: Namespace) -> int:
    """Say how far a class score is exactly linear."""
    from dataclasses import asdict

    from minicnn.cli.verify import validities
    from minicnn.verify import validity

    net = _loaded(arguments)

    def one(path: str) -> dict[str, Any]:
        return {"image": path, "net": net.name, **asdict(validity(net, path, arguments.target))}

    return _each(arguments, one, validities)


def check(arguments: Namespace) -> int:
    """Hold gradients against the forward pass; 1 if one is wrong."""
    from minicnn.cli.verify import checked

    net = _loaded(arguments)
    report = checked(arguments, net, lambda layers: _with_progress(layers, "layer"))
    _print(arguments, report.record() if arguments.json else report, lambda report: report.text())
    return 0 if report.ok else 1


def compare(arguments: Namespace) -> int:
    """Hold a network against another program; 1 if they diverge."""
    from minicnn.cli.compare import compared

    net = _loaded(arguments)
    found = compared(arguments, net.to(arguments.device))
    _print(arguments, found.record() if arguments.json else found, lambda found: found.text())
    return 0 if found.ok else 1


def diagnose(arguments: Namespace) -> int:
    """Find the wrong convention; 1 if there is a fault that no known change heals."""
    from minicnn.io.load import save
    from minicnn.verify import diagnose

    net = _loaded(arguments)
    given = (arguments.reference, arguments.image, arguments.label)
    found = diagnose(net, *given, progress=lambda items: _with_progress(items, "change"))
    if arguments.save is not None and found.changes and found.healed:
        save(found.net, arguments.save)
    elif arguments.save is not None:
        print(f"nothing was healed, so that {arguments.save} was not written", file=sys.stderr)
    _print(arguments, found.record() if arguments.json else found, lambda found: found.text())
    return 0 if found.sound or found.healed else 1


# how they get their network, run and print


def warm_up(arguments: Namespace) -> int:
    """Compile the kernels ahead of their first use."""
    from minicnn.kernels import on

    on("cpu")  # says what is not installed
    from minicnn.kernels.cpu.runtime import cache, jit

    seconds = jit.warm_up()
    found = {"kernels": len(jit.compiled_names()), "seconds": round(seconds, 2), "folder": str(cache.folder())}
    _print(arguments, found, lambda f: f"{f['kernels']} kernels ready in {f['folder']} ({f['seconds']} s)")
    return 0


def devices(arguments: Namespace) -> int:
    """Say where the engine can compute here, and why not elsewhere."""
    from minicnn.cli.devices import devices, lines

    _print(arguments, devices(), lines)
    return 0


def _loaded(arguments: Namespace):
    from minicnn.io.load import load

    return _preprocessed(load(arguments.net, arguments.weights, arguments.architecture), arguments)


def _network(arguments: Namespace):
    return _loaded(arguments).to(arguments.device)


def _network_and_origin(arguments: Namespace):
    """Return the network, and which one it is, for the figures' records."""
    from minicnn.io.digest import digest_network

    net = _network(arguments)
    more = {"weights": arguments.weights, "architecture": arguments.architecture}
    return net, digest_network(net, arguments.net, **more)


def _preprocessed(net, arguments: Namespace):
    from minicnn.cli.preprocessing import apply

    return apply(net, arguments)


def _each(arguments: Namespace, one: Callable[[str], dict], show: Callable, over: list[str] | None = None) -> int:
    """Do ``one`` for every image; a bad one is complained about and left out, and the status says so."""
    found, names = [], arguments.images if over is None else over
    for name in _with_progress(names, "image") if over is None else names:
        try:
            found.append(one(name))
        except MinicnnError as error:
            complain(error)
    _print(arguments, found, show)
    return 0 if len(found) == len(names) else 1


def _with_progress(items: Any, unit: str) -> Any:
    """Show a bar for many items, where there is a person to see it."""
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, unit=unit, leave=False)


def _shown(path: Path) -> None:
    print(f"wrote {path}", file=sys.stderr)


def complain(error: Exception | str) -> None:
    """Say what went wrong, in one line on stderr."""
    print(f"minicnn: {' '.join(str(error).split())}", file=sys.stderr)


def _print(arguments: Namespace, found: Any, show: Callable[[Any], str]) -> None:
    if found:
        print(json.dumps(nan_to_none(found), indent=2, ensure_ascii=False) if arguments.json else show(found))
