"""The named fields of a layer in a file, which remember which of them a reader has asked for.

A reader that passes over a field may give another network than the file's, without a word.  So when a reader has
built a layer, it looks at what is left: a field that nobody asked for is refused by its name, unless it stands in
the format's table of harmless ones.  A new operator needs no line for what it reads.
"""

from __future__ import annotations

from collections.abc import Container, ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any

from minicnn.formats.containers.files import escape

__all__ = ["Fields", "describe_unread"]


class Fields(Mapping[str, Any]):
    """A mapping that counts a field as read once it was asked for: by ``[]``, ``get`` or ``in``.

    ``values`` and ``items`` look at all fields and read none.

    Examples
    --------
    >>> fields = Fields({"stride": 2, "ceil_mode": False, "engine": "CAFFE"})
    >>> fields.get("stride", 1), fields.get("pad", 0)
    (2, 0)
    >>> fields.unread(harmless={"engine"})
    ['ceil_mode']

    """

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()):
        self._values = dict(values)
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """Return the value of a field, which counts as read, whether it is there or not."""
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names, in order."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self._values)

    def values(self) -> ValuesView[Any]:
        """Return the values; none of them counts as read."""
        return self._values.values()

    def items(self) -> ItemsView[str, Any]:
        """Return names and values; none of them counts as read."""
        return self._values.items()

    def replace(self, **values: Any) -> Fields:
        """Return the fields with other values; what is read of the copy counts as read of the original too."""
        copy = Fields(self._values | values)
        copy._read = self._read
        return copy

    def unread(self, harmless: Container[str] = ()) -> list[str]:
        """Return the names of the fields that nobody has asked for and that are not ``harmless``."""
        return [name for name in self._values if name not in self._read and name not in harmless]


def describe_unread(names: Iterable[str]) -> str:
    """Return what an error says of fields that a reader does not know.

    Examples
    --------
    >>> print(describe_unread(["ceil_mode"]))
    its field 'ceil_mode' is not known here, and may change the answer; take it out of the file if it does not

    """
    listed = ", ".join(repr(escape(name)) for name in list(names)[:4])
    return (
        f"its field {listed} is not known here, and may change the answer; take it out of the file if it does not"
    )
