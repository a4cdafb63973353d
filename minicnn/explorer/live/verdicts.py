"""What ``check`` and ``compare`` say of the network that the page shows."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from minicnn.explorer.live.steps import Tell, steps_of
from minicnn.explorer.passes import Pass
from minicnn.explorer.sessions import Session, randomise
from minicnn.network import Network
from minicnn.verify.comparison.compare import compare
from minicnn.verify.gradcheck.gradients import gradients

__all__ = ["check", "compare_layers"]


def check(session: Session, drawn: str, stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield how many layers are checked, then the verdict and what failed: ``minicnn check``."""
    net = randomise(session.net, drawn)

    def run(tell: Tell) -> None:
        def progress(layers: Iterable[Any]) -> Iterator[Any]:
            all_layers = list(layers)
            for done, layer in enumerate(all_layers):
                tell({"done": done, "of": len(all_layers)})
                yield layer

        report = gradients(net, session.x, directions=1, entries=0, progress=progress)
        failures = [
            {
                "layer": row.layer,
                "kind": row.kind,
                "what": row.what,
                "error": row.error,
                "tolerance": row.tolerance,
            }
            for row in report.failures
        ]
        tell({"ok": report.ok, "verdict": report.verdict(), "failures": failures})

    yield from steps_of(run, stop)


def compare_layers(session: Session, second: Network | None, drawn: str, stop: threading.Event) -> dict[str, Any]:
    """Return every layer's difference between the network and another, beside what rounding explains.

    Parameters
    ----------
    session : Session
    second : Network, the other one; None for the network as it is shown, with what is drawn anew or faulty
    drawn : str
    stop : event

    """
    other = randomise(session.net, drawn) if second is None else second
    run = Pass(other, session.x, stop)
    arrays = {name: run.value(name)[None] for name in run.graph.nodes}
    comparison = compare(session.net, {"input": session.x, **arrays}, session.x, gradient=False)
    values = [
        {"name": v.name, "kind": v.kind, "error": v.error, "tolerance": v.tolerance, "ok": v.ok}
        for v in comparison.values
    ]
    first = comparison.first
    return {
        "with": other.name,
        "verdict": comparison.verdict(),
        "values": values,
        "first": None if first is None else first.name,
    }
