"""The loop over many inputs: what is done is out at once; what is broken costs itself alone, and is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minicnn._utils.counted import counted
from minicnn.cli.loop.printing import Printer, complain, printable, with_progress
from minicnn.cli.loop.signals import Stopped
from minicnn.cli.loop.sources import Failure
from minicnn.errors import DeviceError, DeviceMemoryError, MinicnnError

__all__ = ["counting", "list_failures", "run_for_each"]

Record = dict[str, Any]


def run_for_each(
    items: Sequence[str],
    describe: Callable[[str], Record],
    format_text: Callable[[list[Record]], str],
    form: Any,
    unit: str = "image",
    failures: Sequence[Failure] = (),
) -> int:
    """Describe every item and print its record at once; broken ones are named at the end, with the reason.

    Parameters
    ----------
    items : what is to be done, as it was typed
    describe : function of an item; what it raises is that item's failure
    format_text : function of a list of records
    form : "json", "jsonl" or nothing, for text
    unit : what an item is
    failures : what failed before

    Returns
    -------
    status : 1 if something failed, else 0

    Raises
    ------
    Stopped
        At Ctrl-C and SIGTERM, after the output was ended as it should be; the text says how many were done.
    DeviceError
        If the device fails, which no other item would change.

    """
    printer, failed = Printer(format_text, form), list(failures)
    count = len(items) + len(failed)
    try:
        for item in with_progress(items, unit):
            try:
                record = describe(item)
            except Exception as error:
                if isinstance(error, DeviceError) and not isinstance(error, DeviceMemoryError):
                    raise
                failed.append(Failure(item, _explain(error)))
            else:
                printer.print(record)
    except Stopped as stop:
        printer.close()
        list_failures(failed, count, unit)
        raise Stopped(stop.number, f"{stop}: {printer.count} of {counted(count, unit)} done") from None
    except DeviceError:
        printer.close()
        list_failures(failed, count, unit)
        raise
    printer.close()
    return list_failures(failed, count, unit)


def _explain(error: Exception) -> str:
    if isinstance(error, MinicnnError | OSError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"the computer's memory is full ({error}); give a smaller one"
    # one input that nobody foresaw must not cost all others
    return f"an unforeseen {type(error).__name__} ({error}), which is minicnn's fault; please report it"


def list_failures(failures: Sequence[Failure], count: int = 1, unit: str = "image") -> int:
    """Name on stderr what failed and why, and of several how many; return 1 if something failed, else 0."""
    if count > 1 and failures:
        complain(f"{len(failures)} of {counted(count, unit)} failed:")
    for item, reason in failures:
        name = printable(item)
        reason = reason.replace(item, name) if item else reason
        complain(reason if f"{name}:" in reason or not name else f"{name}: {reason}")
    return 1 if failures else 0


@contextmanager
def counting(items: Sequence[str], unit: str = "image") -> Iterator[Iterable[str]]:
    """Yield items with progress, for one result of all of them; stopped, say how many were seen."""
    seen = 0

    def follow() -> Iterator[str]:
        nonlocal seen
        for item in with_progress(items, unit):
            yield item
            seen += 1

    try:
        yield follow()
    except Stopped as stop:
        raise Stopped(
            stop.number, f"{stop}: {seen} of {counted(len(items), unit)} seen, nothing is drawn"
        ) from None
