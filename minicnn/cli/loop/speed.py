"""How fast a long run goes and how long it will take: a line that is written over, or one every ten seconds."""

from __future__ import annotations

import sys
import time

from minicnn._utils.counted import counted
from minicnn.cli.loop.printing import PROGRESS_SECONDS, complain

__all__ = ["Speed"]


class Speed:
    """Tells on stderr of images that are done: to a person at once, to a file every ten seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._first: int | None = None
        self._is_shown = False

    def __call__(self, seen: int, total: int, broken: int) -> None:
        """Tell that so many of the images are done, so many of these broken."""
        now = time.monotonic()
        if self._first is None:
            # what an earlier run has done says nothing of this one's speed
            self._first, self._start = seen, now
        rate = (seen - self._first) / max(now - self._start, 1e-9)
        left = (
            f"{rate:.1f} a second, {_clock((total - seen) / rate)} left" if rate else "none done yet by this run"
        )
        text = f"{seen} of {counted(total, 'image')}, {broken} broken, {left}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\rminicnn: {text}\x1b[K")
            sys.stderr.flush()
            self._is_shown = True
        elif now - self._last >= PROGRESS_SECONDS:
            complain(text)
            self._last = now

    def close(self) -> None:
        """Take the line away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
