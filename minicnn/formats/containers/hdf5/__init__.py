"""HDF5 files as Keras writes them: groups, attributes and arrays, mapped, nothing executed.

Read is what the HDF5 library writes unless told otherwise: object headers of versions 1 and 2, groups as symbol
tables or as links in their header, arrays that lie in one piece, attributes of numbers and of text.  Refused are
arrays in chunks (and so compressed ones) and links to other files.

They are read here and not by h5py because the library beneath it was not made for hostile files: among a thousand
files with a few damaged bytes, one kept it in a loop without end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import shown
from minicnn.formats.containers.hdf5.headers import ATTRIBUTE, LAYOUT, Source, links, messages
from minicnn.formats.containers.hdf5.values import array_of, attribute_of

__all__ = ["SIGNATURE", "Group", "read"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DEEPEST = 24  # groups in groups


class Group(NamedTuple):
    """A group: attributes and members, which are groups and arrays, by name."""

    attributes: dict[str, Any]
    members: dict[str, Any]


def read(data: memoryview, path: str | Path) -> Group:
    """Read all of an HDF5 file.

    Parameters
    ----------
    data : memoryview of the whole file
    path : what to call it in errors

    Returns
    -------
    root : Group
        Arrays can't be written to and lie where the file has them.  Attributes are str, list of str or array;
        those of another kind are left out.

    Raises
    ------
    WeightsError
        If it is damaged or no HDF5 file, if arrays overlap or are stored in chunks, or a link leads out of it.

    """
    if bytes(data[:8]) != SIGNATURE:
        raise WeightsError(f"{path}: expected an HDF5 file, found {files.described(bytes(data[:512]))}")
    source = Source(data, path)
    version = source.number(8, 1)
    sizes_at, root_at = (13, 64) if version < 2 else (9, 36)
    root_at += 4 if version == 1 else 0
    if version > 3 or source.number(sizes_at, 1) != 8 or source.number(sizes_at + 1, 1) != 8:
        raise source.fault(8, f"version {version}, or addresses of other than 8 bytes, are not read")
    root = _object(source, source.number(root_at, 8), "/", 0)
    if not isinstance(root, Group):
        raise source.fault(root_at, "the root is an array; expected a group")
    return root


def _object(source: Source, at: int, name: str, depth: int) -> Any:
    """Return the group or the array whose header is at byte ``at``."""
    if depth > DEEPEST:
        raise source.fault(at, f"groups lie more than {DEEPEST} deep")
    found = messages(source, at)
    attributes = dict(attribute_of(source, m) for m in found if m.kind == ATTRIBUTE and not m.shared)
    attributes = {key: value for key, value in attributes.items() if value is not None}
    if any(message.kind == LAYOUT for message in found):
        return array_of(source, found, attributes, name)
    members = {
        label: _object(source, address, f"{name}{shown(label)}/", depth + 1)
        for label, address in links(source, found)
    }
    return Group(attributes, members)
