"""A Ctrl-C while modules are imported, which takes effect at once."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["leave", "leave_early"]


def leave(number: int, _: FrameType | None) -> None:
    """Say so and exit: an exception could be lost in a callback of the import system, and the command go on."""
    os.write(2, b"minicnn: stopped by Ctrl-C\n")
    os._exit(128 + number)


def leave_early() -> None:
    """Have `leave` handle Ctrl-C from now on, unless whoever started the command ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
