"""Numbers of things in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, unit: str) -> str:
    """Return how many of something, with its plural.

    Examples
    --------
    >>> counted(1, "image"), counted(3, "class")
    ('1 image', '3 classes')

    """
    return f"{count} {unit}" + ("" if count == 1 else "es" if unit.endswith("s") else "s")
