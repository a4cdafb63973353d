"""What check, compare and diagnose share: a report of random values, of an image, or of each of several."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minicnn.cli import common
from minicnn.cli.loop.sources import HELP, Sources, read_sources

__all__ = ["add_images", "print_reports", "read_images"]


def add_images(parser: ArgumentParser, default: str) -> None:
    """Add the images, none or several."""
    parser.add_argument("images", nargs="*", default=[], metavar="IMAGE", help=f"{HELP} (default: {default})")


def read_images(words: Sequence[str], files: Mapping[str, str | None]) -> Sources:
    """Return the images that were typed; UsageError if there are several and a file of one result is asked for."""
    sources = read_sources(words)
    for option, file in files.items():
        if file is not None and sources.total > 1:
            raise common.UsageError(f"{option}: expected one image, got {sources.total}")
    return sources


def print_reports(
    sources: Sources,
    report_of: Callable[[str | None], Any],
    is_well: Callable[[Any], bool],
    format_text: Callable[[Any], str],
    form: Any,
) -> int:
    """Print a report, or that of each image as soon as it is there; return 1 if one is not well or failed."""
    wrong = False

    def describe(path: str | None) -> dict[str, Any]:
        nonlocal wrong
        report = report_of(path)
        wrong = wrong or not is_well(report)
        return report.record() if form else {"text": format_text(report).splitlines()}

    if sources.total < 2:
        if sources.failures:
            sources.check_any()
        common.print_result(describe(sources.paths[0] if sources.files else None), _format, form)
        return 1 if wrong else 0
    status = common.run_for_each(
        sources.paths,
        lambda path: {"image": path, **describe(path)},
        _format_each,
        form,
        failures=sources.failures,
    )
    return 1 if wrong else status


def _format(record: Mapping[str, Any]) -> str:
    return "\n".join(record["text"])


def _format_each(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{record['image']}\n{_format(record)}\n" for record in records)
