"""``minicnn devices``: where the engine can compute here, and why not elsewhere."""

from __future__ import annotations

from typing import Any

from minicnn.errors import DeviceError

__all__ = ["devices", "lines"]


def devices() -> list[dict[str, Any]]:
    """Return a record of every device: name, whether it can be used, what it is or why it can't."""
    from minicnn.kernels import DEVICES, on

    records = []
    for name in DEVICES:
        try:
            on(name)
        except DeviceError as error:
            records.append({"device": name, "usable": False, "about": str(error)})
        else:
            records.append({"device": name, "usable": True, "about": _about(name)})
    return records


def _about(name: str) -> str:
    if name == "reference":
        return "plain NumPy, the specification"
    if name == "cpu":
        import os

        return f"Numba and BLAS on {os.cpu_count()} cores"
    from minicnn.kernels.cuda_availability import gpus

    found = [
        f"{g.name}, compute capability {'.'.join(map(str, g.compute_capability))}, {g.memory / 2**30:.0f} GiB"
        for g in gpus()
    ]
    return f"Numba CUDA on {found[0]}" if found else "Numba's CUDA simulator: for tests, very slow"


def lines(records: list[dict[str, Any]]) -> str:
    """Return one line a device."""
    return "\n".join(f"{r['device']:<10} {'yes' if r['usable'] else 'no ':<4} {r['about']}" for r in records)
