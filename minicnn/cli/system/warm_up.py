"""``minicnn warm-up``: the kernels compiled ahead of their first use."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minicnn.cli import common

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Compile the kernels into the cache's folder."""
    from minicnn.kernels import on

    on("cpu")  # says what is not installed
    from minicnn.kernels.cpu.runtime import cache, jit

    seconds = jit.warm_up()
    record = {"kernels": len(jit.compiled_names()), "seconds": round(seconds, 2), "folder": str(cache.folder())}
    common.print_result(record, _format_kernels, arguments.json)
    return 0


def _format_kernels(record: dict[str, Any]) -> str:
    return f"{record['kernels']} kernels ready in {record['folder']} ({record['seconds']} s)"
