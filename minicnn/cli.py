"""The command ``minicnn``: parse, call, print; what it prints for programs is ``--json``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from minicnn.errors import MinicnnError

__all__ = ["main"]

DEFAULT_NET = "efficientnet-lite0"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if all went well, 1 if something failed, 2 for wrong use.

    Errors are one sentence on stderr.  argparse itself exits with 2.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (MinicnnError, OSError) as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        print("minicnn: interrupted", file=sys.stderr)
        return 1


# what each command does


def _demo(arguments: argparse.Namespace) -> int:
    from minicnn.demo import demo

    found = demo(Path(arguments.output), device=_device(arguments), crops=arguments.crops, done=_shown)
    _print(arguments, found, _prediction_table)
    print(f"{len(found)} figures and their page: {Path(arguments.output) / 'index.html'}", file=sys.stderr)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from minicnn.explain import predict

    net = _network(arguments)

    def one(path: str) -> dict[str, Any]:
        best = predict(net, path, crops=arguments.crops, top=arguments.top)
        return {"image": path, "net": net.name, "predictions": [p._asdict() for p in best]}

    return _each(arguments, one, _prediction_table)


def _saliency(arguments: argparse.Namespace) -> int:
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

    return _each(arguments, one, _saliency_table)


def _inspect(arguments: argparse.Namespace) -> int:
    from minicnn.inspection import inspect, text

    _print(arguments, inspect(arguments.source, arguments.architecture), text)
    return 0


# how they run and print


def _network(arguments: argparse.Namespace):
    from minicnn.loading import load

    net = load(arguments.net, architecture=arguments.architecture)
    return net if _device(arguments) is None else net.to(arguments.device)


def _device(arguments: argparse.Namespace) -> str | None:
    return None if arguments.device == "auto" else arguments.device


def _each(arguments: argparse.Namespace, one: Callable[[str], dict], show: Callable) -> int:
    """Do ``one`` for every image; a bad one is complained about and left out, and the status says so."""
    found = []
    for path in _with_progress(arguments.images):
        try:
            found.append(one(path))
        except MinicnnError as error:
            _complain(error)
    _print(arguments, found, show)
    return 0 if len(found) == len(arguments.images) else 1


def _with_progress(paths: list[str]) -> Iterable[str]:
    if len(paths) < 2 or not sys.stderr.isatty():
        return paths
    from tqdm import tqdm

    return tqdm(paths, unit="image", leave=False)


def _shown(path: Path) -> None:
    print(f"wrote {path}", file=sys.stderr)


def _complain(error: Exception) -> None:
    print(f"minicnn: {' '.join(str(error).split())}", file=sys.stderr)


def _print(arguments: argparse.Namespace, found: Any, show: Callable[[Any], str]) -> None:
    if found:
        print(json.dumps(found, indent=2, ensure_ascii=False) if arguments.json else show(found))


def _prediction_table(found: list[dict]) -> str:
    lines = []
    for record in found:
        lines.append(f"{record['image']}  ({record['net']})")
        lines += [f"  {p['probability']:7.2%}  {p['score']:8.3f}  {_name(p)}" for p in record["predictions"]]
    return "\n".join(lines)


def _saliency_table(found: list[dict]) -> str:
    return "\n".join(
        f"{r['image']}: {_name(r)}, score {r['score']:.3f}, probability {r['probability']:.2%} -> {r['figure']}"
        for r in found
    )


def _name(record: dict) -> str:
    return f"class {record['target']}" if record["label"] is None else record["label"]


def _distinct_names(images: list[str], folder: Path) -> dict[str, Path]:
    """Return a figure's path for each image; the second of one name gets a number."""
    names: dict[str, Path] = {}
    for image in images:
        stem = Path(image).stem or "image"
        taken = sum(Path(other).stem == Path(image).stem for other in names)
        names.setdefault(image, folder / f"{stem}{f'-{taken + 1}' if taken else ''}.saliency.png")
    return names


# the grammar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minicnn",
        description="What a convolutional network sees: classes, saliency maps, and the gradients behind them.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo", help="predict and explain the shipped photographs; write figures and a page"
    )
    demo.add_argument(
        "-o", "--output", default="minicnn-demo", metavar="DIR", help="folder (default: %(default)s)"
    )
    _add_crops(demo, "ten")
    _add_device(demo)
    demo.set_defaults(run=_demo)

    predict = commands.add_parser("predict", help="print the classes that a network sees in images")
    _add_images(predict)
    predict.add_argument("--top", type=int, default=5, metavar="N", help="how many classes (default: %(default)s)")
    _add_crops(predict, "one")
    predict.set_defaults(run=_predict)

    saliency = commands.add_parser(
        "saliency", help="write saliency maps: photograph, map and overlay in one figure"
    )
    _add_images(saliency)
    saliency.add_argument("-o", "--output", default=".", metavar="DIR", help="folder (default: here)")
    saliency.add_argument("--target", metavar="CLASS", help="label or number (default: the top-scoring class)")
    saliency.add_argument("--rule", default="gradient", choices=("gradient", "deconvnet", "guided"))
    saliency.add_argument("--of", default="score", choices=("score", "probability"), help="what is differentiated")
    _add_crops(saliency, "ten")
    saliency.set_defaults(run=_saliency)

    inspect = commands.add_parser("inspect", help="say what a weight file is and holds")
    inspect.add_argument("source", metavar="FILE", help="a file, or the name of a network")
    inspect.add_argument("--architecture", metavar="NAME", help="what a state dictionary belongs to")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)
    return parser


class _Version(argparse.Action):
    """Prints the version without importing anything else."""

    def __call__(self, parser, *_):
        from minicnn import __version__

        print(f"minicnn {__version__}")
        parser.exit()


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument(
        "--net", default=DEFAULT_NET, metavar="NAME", help="a name or a weight file (default: %(default)s)"
    )
    parser.add_argument("--architecture", metavar="NAME", help="what a state dictionary belongs to")
    _add_device(parser)


def _add_crops(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--crops",
        default=default,
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: %(default)s)",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="where to compute (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


if __name__ == "__main__":
    sys.exit(main())
