"""Ctrl-C and SIGTERM as one exception, which never cuts a record in two."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from minicnn._utils.early import leave

__all__ = ["Stopped", "held_back", "raising_stopped"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
NOBODYS = (signal.SIG_DFL, signal.default_int_handler, leave)


class Stopped(KeyboardInterrupt):
    """Somebody stopped the command; ``number`` is the signal's, and the text says what was done until then."""

    DEFAULT = signal.SIGINT

    def __init__(self, number: int = DEFAULT, text: str | None = None) -> None:
        super().__init__(text or f"stopped by {NAMES[signal.Signals(number)]}")
        self.number = number


def _raise(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


@contextmanager
def raising_stopped() -> Iterator[None]:
    """Raise `Stopped` at Ctrl-C and SIGTERM, where nobody else handles or ignores them."""
    with _handling(_raise, lambda current: current in NOBODYS):
        yield


@contextmanager
def held_back() -> Iterator[None]:
    """Raise `Stopped` after the block and not inside of it; a second signal breaks it off."""
    numbers: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        if numbers:
            _raise(number, frame)
        numbers.append(number)

    with _handling(keep, lambda current: current is _raise):
        yield
    if numbers:
        raise Stopped(numbers[0])


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None], replaces: Callable[[Any], bool]) -> Iterator[None]:
    before = {}
    try:
        # only the main thread may set them, and only it receives them
        with suppress(ValueError):
            for number in SIGNALS:
                if replaces(signal.getsignal(number)):
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
