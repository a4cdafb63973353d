"""HDF5 files as Keras writes them: groups, attributes and arrays, mapped, nothing executed.

Read is what the HDF5 library writes unless told otherwise: object headers of versions 1 and 2, groups as symbol
tables or as links in their header, arrays that lie in one piece, attributes of numbers and of text.  Refused are
arrays in chunks (and so compressed ones) and links to other files.

They are read here and not by h5py because the library beneath it was not made for hostile files: among a thousand
files with a few damaged bytes, one kept it in a loop without end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.hdf5.headers import ATTRIBUTE, LAYOUT, Source, read_links, read_messages
from minicnn.formats.containers.hdf5.values import read_array, read_attribute

__all__ = ["SIGNATURE", "Group", "read"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 24  # groups in groups


class Group(NamedTuple):
    """A group: attributes and members, which are groups and arrays, by name."""

    attributes: dict[str, Any]
    members: dict[str, Any]


def read(data: memoryview, path: PathLike) -> Group:
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
        raise WeightsError(f"{path}: expected an HDF5 file, found {files.guess_file_type(bytes(data[:512]))}")
    source = Source(data, path)
    # the superblock's version says where the widths of addresses and the root's address stand
    version = source.read_uint(8, 1)
    sizes_at, root_at = (13, 64) if version < 2 else (9, 36)
    root_at += 4 if version == 1 else 0
    if version > 3 or source.read_uint(sizes_at, 1) != 8 or source.read_uint(sizes_at + 1, 1) != 8:
        raise source.error(8, f"version {version}, or addresses of other than 8 bytes, are not read")
    root = _read_object(source, source.read_uint(root_at, 8), "/", 0)
    if not isinstance(root, Group):
        raise source.error(root_at, "the root is an array; expected a group")
    return root


def _read_object(source: Source, at: int, name: str, depth: int) -> Any:
    """Return the group or the array whose header is at byte ``at``."""
    if depth > MAX_DEPTH:
        raise source.error(at, f"groups lie more than {MAX_DEPTH} deep")
    messages = read_messages(source, at)
    attributes = dict(read_attribute(source, m) for m in messages if m.kind == ATTRIBUTE and not m.shared)
    attributes = {key: value for key, value in attributes.items() if value is not None}
    # a header with a layout is an array's, any other a group's
    if any(message.kind == LAYOUT for message in messages):
        return read_array(source, messages, attributes, name)
    members = {
        label: _read_object(source, address, f"{name}{escape(label)}/", depth + 1)
        for label, address in read_links(source, messages)
    }
    return Group(attributes, members)
