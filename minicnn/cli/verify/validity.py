"""``minicnn validity IMAGE...``: how far along its gradient a class score is exactly linear."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minicnn.cli import common
from minicnn.cli.loop.sources import read_sources

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser, has_device=False)
    parser.add_argument("--target", metavar="CLASS", help="label or number (default: the top-scoring class)")


def run(arguments: Namespace) -> int:
    """Print how far each image's class score is exactly linear."""
    from dataclasses import asdict

    from minicnn.verify import validity

    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)

    if arguments.target is not None:
        common.check_classes(net, [arguments.target])

    def describe(path: str) -> dict[str, Any]:
        return {"image": path, "net": net.name, **asdict(validity(net, path, arguments.target))}

    sources = read_sources(arguments.images)
    return common.run_for_each(
        sources.paths, describe, format_validities, arguments.json, failures=sources.failures
    )


def format_validities(records: list[dict[str, Any]]) -> str:
    """Return one block an image: class, radius, closure, and the linear model beyond the first kink."""
    return "\n".join(line for record in records for line in _format_validity(record))


def _format_validity(r: dict[str, Any]) -> list[str]:
    where = "nowhere" if r["layer"] is None else f"{r['layer']} {r['unit']}"
    name = common.class_name(r)
    return [
        f"{r['image']}  ({r['net']}): {name} (1 view), score {r['score']:.6g} = w.I0 + b, b = {r['bias']:.6g}",
        f"  closure w.I0 + b - S(I0): {r['closure']:.2g}",
        f"  exactly linear for {r['uphill']:.3g} grey levels along the gradient, {r['downhill']:.3g} against it",
        f"  first kink: {where}; {r['kinks']:,} units have one, {r['ties']:,} lie on theirs already",
        *([f"  first kink of the others: {r['beyond_ties']:.3g} grey levels"] if r["ties"] else []),
        *(
            f"  at {t:g} grey levels: score {score:.4f}, linear model {model:.4f}"
            for t, score, model in r["along"]
        ),
    ]
