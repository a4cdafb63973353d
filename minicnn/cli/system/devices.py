"""``minicnn devices``: where the engine can compute here, and why not elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minicnn.cli import common
from minicnn.errors import DeviceError

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Print a line a device: name, whether it can be used, what it is or why it can't."""
    from minicnn.kernels import DEVICES, describe, on

    records: list[dict[str, Any]] = []
    for name in DEVICES:
        try:
            on(name)
        except DeviceError as error:
            records.append({"device": name, "usable": False, "about": str(error)})
        else:
            records.append({"device": name, "usable": True, "about": describe(name)})
    common.print_result(records, format_devices, arguments.json)
    return 0


def format_devices(records: list[dict[str, Any]]) -> str:
    """Return one line a device."""
    return "\n".join(f"{r['device']:<10} {'yes' if r['usable'] else 'no ':<4} {r['about']}" for r in records)
