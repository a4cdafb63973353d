"""``minicnn devices``: where the engine can compute here, and why not elsewhere."""

from __future__ import annotations

from typing import Any

from minicnn.errors import DeviceError

__all__ = ["devices", "lines"]


def devices() -> list[dict[str, Any]]:
    """Return a record of every device: name, whether it can be used, what it is or why it can't."""
    from minicnn.kernels import DEVICES, describe, on

    records = []
    for name in DEVICES:
        try:
            on(name)
        except DeviceError as error:
            records.append({"device": name, "usable": False, "about": str(error)})
        else:
            records.append({"device": name, "usable": True, "about": describe(name)})
    return records


def lines(records: list[dict[str, Any]]) -> str:
    """Return one line a device."""
    return "\n".join(f"{r['device']:<10} {'yes' if r['usable'] else 'no ':<4} {r['about']}" for r in records)
