"""``minicnn reproduce DATA``: every experiment of the paper, and one page."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

__all__ = ["reproduced", "text"]


def reproduced(arguments: Namespace, net: Any, origin: dict[str, Any], with_progress: Callable) -> dict[str, Any]:
    """Run what is missing; say on stderr what is being done where there is no bar."""
    from minicnn.evaluate.dataset import read_classes
    from minicnn.paper.reproduce import reproduce

    def progress(items, word):
        items = list(items)
        print(f"{word}: {len(items)}", file=sys.stderr)
        return with_progress(items, word)

    classes = None if arguments.classes is None else read_classes(arguments.classes)
    options = {"origin": origin, "classes": classes, "progress": progress}
    return reproduce(net, arguments.data, arguments.output, arguments.images, arguments.steps, **options)


def text(found: dict[str, Any]) -> str:
    """Return one line an experiment, and the page."""
    lines = [
        f"{name + ':':<16}" + (result["failed"] or f"{result['seconds']:8.1f} s  {len(result['figures'])} figures")
        for name, result in found["experiments"].items()
    ]
    return "\n".join([*lines, f"page: {found['page']}"])
