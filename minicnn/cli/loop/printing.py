"""What commands print: records as text or JSON, whole and at once, in any locale; progress and complaints."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TextIO

from minicnn._utils.counted import counted
from minicnn._utils.json import nan_to_none
from minicnn.cli.loop.signals import held_back
from minicnn.cli.parsing.loudness import is_quiet

__all__ = ["Printer", "complain", "print_json", "print_result", "printable", "with_progress"]

Record = dict[str, Any]
PROGRESS_SECONDS = 10.0

_speaking: list[threading.Event] = []  # the ends of the loops that run, each inside of the one before


class Printer:
    """Prints records one by one, as text, as a JSON array or as JSON lines.

    Parameters
    ----------
    format_text : function of a list of records
    form : "json", "jsonl" or nothing, for text

    """

    def __init__(self, format_text: Callable[[list[Record]], str], form: Any) -> None:
        self.format_text, self.form, self.count = format_text, form, 0

    def print(self, record: Record) -> None:
        """Print a record; a signal waits until it is out."""
        if self.form == "jsonl":
            text = _to_json(record)
        elif self.form:
            # an array as json.dumps writes it, of which all but the end is there at any time
            text = (",\n" if self.count else "[\n") + textwrap.indent(_to_json(record, 2), "  ")
        else:
            text = self.format_text([printable(record)])
        with held_back():
            _write(text, "" if self.form == "json" else "\n")
            self.count += 1

    def close(self) -> None:
        """End a JSON array."""
        if self.form == "json":
            _write("\n]" if self.count else "[]")


def print_result(record: Any, format_text: Callable[[Any], str], form: Any) -> None:
    """Print a result as JSON for programs or as text for people; nothing where there is none."""
    if not record:
        return
    if form:
        print_json(record, form)
    else:
        _write(format_text(printable(record)))


def print_json(record: Any, form: Any = "json") -> None:
    """Print a result for programs: over several lines, or as one for "jsonl"."""
    _write(_to_json(record, None if form == "jsonl" else 2))


def printable(value: Any) -> Any:
    r"""Return a value in whose texts nothing breaks a line, moves a cursor or is half a character.

    Examples
    --------
    >>> print(printable({"image": "two\nlines.png"})["image"])
    two\nlines.png

    """
    if isinstance(value, dict):
        return {key: printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    return "".join(map(_escape, value)) if isinstance(value, str) and not value.isprintable() else value


def _escape(letter: str) -> str:
    if letter.isprintable() or letter == "\xa0":
        return letter
    # a byte of a file's name that is no text, as Python keeps it
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape", "backslashreplace").decode()


def complain(error: Exception | Warning | str) -> None:
    """Say what went wrong, in one line on stderr."""
    _write(f"minicnn: {' '.join(str(error).split())}", file=sys.stderr)


def with_progress(items: Iterable[Any], unit: str) -> Iterable[Any]:
    """Show progress over items: a bar for a person to see, else a line every ten seconds, on stderr."""
    if is_quiet() or not isinstance(items, Sized) or not len(items):
        return items
    if len(items) < 2 or not _has_width(sys.stderr):
        return _report(items, len(items), unit)
    try:
        from tqdm import tqdm
    except ImportError:
        return _report(items, len(items), unit)
    return tqdm(items, unit=unit, leave=False)


def _has_width(stream: TextIO) -> bool:
    """Return whether a stream is a terminal; one of no columns, as ``script`` without one has, shows no bar."""
    try:
        return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:
        return False


def _report(items: Iterable[Any], count: int, unit: str) -> Iterator[Any]:
    """Yield items, and say every ten seconds how many are done, even while one of them takes longer."""
    done, ended = 0, threading.Event()

    def speak() -> None:
        start = time.monotonic()
        while not ended.wait(PROGRESS_SECONDS):
            # of loops in loops the innermost speaks
            if _speaking[-1:] == [ended]:
                complain(f"{done} of {counted(count, unit)} in {time.monotonic() - start:.0f} s")

    _speaking.append(ended)
    threading.Thread(target=speak, daemon=True).start()
    try:
        for item in items:
            yield item
            done += 1
    finally:
        ended.set()
        _speaking.remove(ended)


def _to_json(record: Any, indent: int | None = None) -> str:
    text = json.dumps(nan_to_none(record), indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        # bytes of a file's name that are no text, or a locale without these letters: JSON has escapes for both
        text = json.dumps(nan_to_none(record), indent=indent)
    return text


def _write(text: str, end: str = "\n", file: TextIO | None = None) -> None:
    """Write and flush; what the locale can't say is escaped."""
    stream = sys.stdout if file is None else file
    encoding = stream.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    if "tqdm" in sys.modules and sys.stderr.isatty():
        from tqdm import tqdm

        # above a bar, if one is shown
        tqdm.write(text, stream, end)
    else:
        stream.write(text + end)
    stream.flush()
