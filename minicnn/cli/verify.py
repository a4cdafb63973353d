"""``minicnn check``: the gradients of a network, held against its forward pass."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError

__all__ = ["checked"]


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
