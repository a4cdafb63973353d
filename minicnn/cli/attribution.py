"""``minicnn saliency --method NAME``: a map of later work, for comparison."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn.cli import tables
from minicnn.errors import MinicnnError

__all__ = ["attributed", "text", "typed"]

OPTIONS = ("layer", "samples", "noise", "seed", "steps", "baseline", "window", "stride")


def attributed(
    arguments: Namespace, net: Any, origin: dict[str, Any], progress: Callable
) -> Callable[[str], dict[str, Any]]:
    """Return the function that explains one image by the method that was typed, and writes its figure.

    Raises
    ------
    MinicnnError
        If what was typed is not the method's.

    """
    from minicnn.explain import attribution
    from minicnn.figures.attribution import write_attribution
    from minicnn.report.files import distinct_names

    names = distinct_names(arguments.images, Path(arguments.output), arguments.method)
    settings = typed(arguments)
    if arguments.of != "score":
        raise MinicnnError(f"--of {arguments.of}: is the gradient's; {arguments.method} explains the score")
    if arguments.rule != "gradient":
        settings["rule"] = arguments.rule

    def one(path: str) -> dict[str, Any]:
        how = {"method": arguments.method, "crops": arguments.crops or "one", **settings}
        found = attribution(net, path, arguments.target, progress=lambda n: progress(n, "step"), **how)
        return write_attribution(names[path], path, found, origin)

    return one


def typed(arguments: Namespace) -> dict[str, Any]:
    """Return the methods' parameters that were typed."""
    given = {name: getattr(arguments, name) for name in OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def text(found: list[dict[str, Any]]) -> str:
    """Return one line an image, and for integrated gradients what they miss of the score's change."""
    lines = []
    for record in found:
        lines.append(tables.saliencies([record]))
        if "completeness error" in record:
            error, change = record["completeness error"], record["score change"]
            lines.append(f"  attributions add up to the score's change of {change:.4g} but for {error:.2g}")
    return "\n".join(lines)
