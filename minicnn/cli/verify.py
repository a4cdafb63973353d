"""``minicnn check`` and ``minicnn validity``: gradients against the forward pass, and how far they reach."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError

__all__ = ["checked", "validities"]


def checked(arguments: Namespace, net: Any, progress: Callable) -> Any:
    """Return the report of a network's check, its page written where ``--html`` asks for one."""
    from minicnn.verify import gradients

    report = gradients(
        net,
        _input(arguments, net),
        device=arguments.device,
        seed=arguments.seed,
        directions=arguments.directions,
        progress=progress,
    )
    if arguments.html:
        _write_page(arguments.html, report)
    return report


def _input(arguments: Namespace, net: Any) -> np.ndarray:
    if arguments.image is not None:
        if net.preprocess is None:
            raise MinicnnError(f"check: {net.name} does not say how an image becomes its input; give no image")
        return net.preprocess(arguments.image)
    if net.input_shape is None:
        raise MinicnnError(f"check: {net.name} has no input shape; give an image")
    return np.random.default_rng(arguments.seed).standard_normal((1, *net.input_shape))


def _write_page(path: str, report: Any) -> None:
    from minicnn.report import Section, write_page

    write_page(
        path,
        f"Gradients of {report.subject}",
        [Section(report.verdict(), tuple(report.notes())), Section("Worst of each layer", table=report.table())],
    )


def validities(found: list[dict[str, Any]]) -> str:
    """Return one block an image: class, radius, closure, and the linear model beyond the first kink."""
    return "\n".join(line for record in found for line in _validity(record))


def _validity(r: dict[str, Any]) -> list[str]:
    name = f"class {r['target']}" if r["label"] is None else r["label"]
    where = "nowhere" if r["layer"] is None else f"{r['layer']} {r['unit']}"
    return [
        f"{r['image']}  ({r['net']}): {name}, score {r['score']:.6g} = w.I0 + b, b = {r['bias']:.6g}",
        f"  closure w.I0 + b - S(I0): {r['closure']:.2g}",
        f"  exactly linear for {r['uphill']:.3g} grey levels along the gradient, {r['downhill']:.3g} against it",
        f"  first kink: {where}; {r['kinks']:,} units have one, {r['ties']:,} lie on theirs already",
        *([f"  first kink of the others: {r['beyond_ties']:.3g} grey levels"] if r["ties"] else []),
        *(
            f"  at {t:g} grey levels: score {score:.4f}, linear model {model:.4f}"
            for t, score, model in r["along"]
        ),
    ]
