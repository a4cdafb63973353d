"""``minicnn inspect figure.png``: where a figure comes from, and with ``--verify`` whether that is so."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

__all__ = ["inspected", "text"]

WIDTH, LONGEST = 18, 2000


def inspected(arguments: Namespace) -> dict[str, Any]:
    """Return a figure's record; with ``--verify``, what came of computing it again under "verdict"."""
    from minicnn.figures.provenance import read

    found = {"figure": arguments.source, **read(arguments.source)}
    if arguments.verify:
        from minicnn.figures.recompute import verify
        from minicnn.io.load import load

        net = arguments.net and load(arguments.net, arguments.weights, arguments.architecture)
        verdict = verify(arguments.source, net or None, arguments.image, arguments.device)
        found["verdict"] = verdict._asdict()
    return found


def text(found: dict[str, Any]) -> str:
    """Return a record as text for people: one line a fact."""
    lines = [f"{_plain(name) + ':':<{WIDTH}}{_plain(value)}" for name, value in _facts(found)]
    if "verdict" in found:
        answer = "match" if found["verdict"]["match"] else "DIFFERS"
        lines += [f"{'verdict:':<{WIDTH}}{answer}", *(f"  {line}" for line in found["verdict"]["sentences"])]
    return "\n".join(lines)


def _facts(found: dict[str, Any]):
    """Yield (name, value) pairs: dictionaries opened, of each map its shape and digest."""
    for name, value in found.items():
        if name in ("verdict", "pixels") or value is None:
            continue
        if name == "arrays":
            yield from ((key, f"{a.get('shape')}, sha256 {a.get('sha256')}") for key, a in value.items())
        elif name == "images":
            yield from (("image", f"{image.get('name')}, sha256 {image.get('sha256')}") for image in value)
        elif isinstance(value, dict):
            yield from ((name, f"{key} {_plain(inner)}") for key, inner in value.items())
        else:
            yield name, value


def _plain(value: Any) -> str:
    """Return one line of printable text; other people's figures may hold anything."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items())[:LONGEST]
    shown = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else "?" for c in shown[:LONGEST])
