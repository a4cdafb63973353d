"""How much commands say on stderr: with ``-q`` errors alone, with ``-v`` what they do and how long it takes."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["is_quiet", "loudness", "mention"]

_LEVEL: ContextVar[int] = ContextVar("loudness", default=0)


@contextmanager
def loudness(arguments: Namespace) -> Iterator[None]:
    """Be as loud as was asked for, as long as the context lasts."""
    start, token = time.perf_counter(), _LEVEL.set(("verbose" in arguments) - ("quiet" in arguments))
    try:
        yield
        mention(f"{time.perf_counter() - start:.2f} s")
    except Exception:
        if _LEVEL.get() > 0:
            import traceback

            traceback.print_exc()
        raise
    finally:
        _LEVEL.reset(token)


def is_quiet() -> bool:
    """Return whether nothing but errors is to be said: no warnings, no progress."""
    return _LEVEL.get() < 0


def mention(text: str) -> None:
    """Say what is being done, where that was asked for."""
    if _LEVEL.get() > 0:
        print(f"minicnn: {text}", file=sys.stderr)
