"""Zip archives of arrays: members are listed, bounded, checked and mapped, and written aligned in the file.

An archive is never extracted: a member's name is a key, not a path, so names such as ``../x`` do no harm.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import atomic_write, check_name, escape

__all__ = ["ALIGNMENT", "Member", "list_members", "read_member", "write"]

ALIGNMENT = 64  # of every member's first byte in files we write: a cache line
_DIRECTORY_LIMIT = 4 << 20  # bytes: 25,000 members with names of 100 letters
_LOCAL = struct.Struct("<4s5H3L2H")
_END_SIZE, _END64_BEFORE = 22, 56 + 20  # the end record; the 64-bit one and its locator stand before it
_ZIP64 = 20  # bytes of the extra field that holds 64-bit sizes
_DEFLATE_LIMIT = 1032  # no deflate stream grows by more
_STEP = 1 << 20  # bytes unpacked at a time
_GROWTH_LIMIT, _GROWTH_FREE = 20, 64 << 20  # compressed members may fill this many times the file, or these bytes
_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, EOFError, LookupError)


class Member(NamedTuple):
    """A member of an archive: where its bytes are, how many it has once unpacked, and their CRC-32."""

    name: str
    header: int
    start: int
    stop: int
    size: int
    crc: int
    deflated: bool


def list_members(data: mmap.mmap, path: PathLike) -> dict[str, Member]:
    """Return the members of a zip archive by name, in the order of its directory.

    Every local header is checked against the directory; names are unique and no two members overlap, so all
    stored members together are no longer than the file.

    Raises
    ------
    WeightsError
        If the archive is damaged or cut short, or a member is encrypted, or compressed so that it would fill
        more than 64 MiB and 20 times the file.

    """
    try:
        with zipfile.ZipFile(_Directory(data)) as archive:
            infos = archive.infolist()
            # behind the end record there is nothing but the archive's comment
            _check_count(data, len(data) - _END_SIZE - len(archive.comment), len(infos))
    except (*_DAMAGE, struct.error) as error:
        raise WeightsError(
            f"{path}: damaged or cut-short zip archive of {len(data)} bytes ({escape(str(error))}); "
            "fetch or copy the file again"
        ) from None
    members = {}
    for info in infos:
        if info.filename in members:
            raise WeightsError(
                f"{path}: two members have the name {escape(info.filename)!r}; expected unique names"
            )
        members[info.filename] = _read_entry(data, path, info)
    _check_extents(path, list(members.values()), len(data))
    return members


def _check_count(data: mmap.mmap, end: int, listed: int) -> None:
    """Compare the length of the directory with the number at the end: damaged entries can swallow others."""
    count = int.from_bytes(data[end + 10 : end + 12], "little")
    if count == 0xFFFF:
        # 0xFFFF stands for a count that only the 64-bit end record can hold
        at = end - _END64_BEFORE
        count = int.from_bytes(data[at + 32 : at + 40], "little")
    if count != listed or not listed:
        raise zipfile.BadZipFile(f"its directory lists {listed} members, its end {count}")


class _Directory:
    """The file as ``zipfile`` sees it: no more of it than a fair directory takes can be read."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.left = data, 0, _DIRECTORY_LIMIT

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, len(self.data))[whence]
        if self.at < 0:
            raise OSError(f"points to byte {self.at}")
        return self.at

    def read(self, count: int = -1) -> bytes:
        rest = max(0, len(self.data) - self.at)
        count = rest if count < 0 else min(count, rest)
        self.left -= count
        if self.left < 0:
            raise OSError(f"its directory takes more than {_DIRECTORY_LIMIT} bytes")
        self.at += count
        return self.data[self.at - count : self.at]


def _read_entry(data: mmap.mmap, path: PathLike, info: zipfile.ZipInfo) -> Member:
    where = f"{path}: member {escape(info.filename)!r}"
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WeightsError(
            f"{where} is encrypted or of compression {info.compress_type}; expected stored or deflated"
        )
    at = info.header_offset
    if not 0 <= at <= len(data) - _LOCAL.size:
        raise WeightsError(f"{where} should begin at byte {at} of {len(data)}; the file is cut short or damaged")
    signature, *_, name_length, extra_length = _LOCAL.unpack_from(data, at)
    # behind the local header: the name, and an extra field whose length the directory does not tell
    name_at = at + _LOCAL.size
    start = name_at + name_length + extra_length
    stop = start + info.compress_size
    # bit 11: the name is UTF-8, else in code page 437
    name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    if signature != b"PK\x03\x04" or data[name_at : name_at + name_length] != name:
        raise WeightsError(
            f"{where}: the header at byte {at} does not agree with the directory; the file is damaged"
        )
    if stop > len(data):
        raise WeightsError(f"{where} ends at byte {stop} of {len(data)}; the file is cut short or damaged")
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    # sizes that can't be are refused before anything is unpacked
    limit = _DEFLATE_LIMIT * info.compress_size if deflated else info.compress_size
    if info.file_size > limit or (not deflated and info.file_size != limit):
        raise WeightsError(
            f"{where} claims {info.file_size} bytes and its {info.compress_size} can't hold as many"
        )
    return Member(info.filename, at, start, stop, info.file_size, info.CRC, deflated)


def _check_extents(path: PathLike, members: list[Member], length: int) -> None:
    # in the order of their headers members overlap only if neighbours do
    ordered = sorted(members, key=lambda member: member.header)
    for first, second in pairwise(ordered):
        if second.header < first.stop:
            raise WeightsError(f"{path}: members {escape(first.name)!r} and {escape(second.name)!r} overlap")
    unpacked = sum(member.size for member in members if member.deflated)
    if unpacked > max(_GROWTH_FREE, _GROWTH_LIMIT * length):
        raise WeightsError(
            f"{path}: {length} bytes claim to unpack to {unpacked}; expected at most {_GROWTH_LIMIT} times the "
            "file, save it uncompressed if it is what it says"
        )


def read_member(data: mmap.mmap, path: PathLike, member: Member, check: bool) -> memoryview:
    """Return the bytes of a member: mapped if stored, unpacked if deflated; ``check`` compares their CRC-32.

    Raises
    ------
    WeightsError
        If the bytes do not match their checksum, or do not unpack to the size that the directory claims.

    """
    view = memoryview(data)[member.start : member.stop]
    if member.deflated:
        view = _inflate(path, view, member)
    if check and zlib.crc32(view) != member.crc:
        raise WeightsError(
            f"{path}: member {escape(member.name)!r} does not match its checksum; the file is damaged, "
            "fetch or copy it again"
        )
    return view


def _inflate(path: PathLike, view: memoryview, member: Member) -> memoryview:
    # minus: a raw deflate stream, without zlib's header
    content, stream = bytearray(), zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(0, len(view), 1 << 16):
            packed: bytes | memoryview = view[at : at + (1 << 16)]
            pending = True
            # ends one step after the claimed size: what unpacks to more costs a step of memory, not all of it
            while pending and not stream.eof and len(content) <= member.size:
                part = stream.decompress(packed, _STEP)
                content += part
                packed = stream.unconsumed_tail
                pending = bool(packed) or len(part) == _STEP  # a full step may leave output in the decompressor
    except zlib.error as error:
        raise WeightsError(
            f"{path}: member {escape(member.name)!r} is damaged: it does not unpack ({error})"
        ) from None
    if len(content) != member.size or not stream.eof:
        raise WeightsError(
            f"{path}: member {escape(member.name)!r} does not unpack to the {member.size} bytes that the "
            "directory claims; the file is damaged"
        )
    return memoryview(content)


def write(path: PathLike, members: Iterable[tuple[str, Sequence[bytes | memoryview]]]) -> None:
    """Write an uncompressed zip archive: the same members give the same bytes, whatever the day and the machine.

    Parameters
    ----------
    path : str or Path
    members : iterable of (str, list of bytes or memoryview)
        Names and contents in order; each one's first byte is aligned to 64 bytes in the file. They are asked for
        one at a time, so a generator needs no second copy of the arrays.

    Raises
    ------
    WeightsError
        If a name is unfit or used twice, or the file can't be written; nothing is left behind.

    """
    used: set[str] = set()
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, buffers in members:
            check_name(path, name, used)
            used.add(name)
            # zipfile writes the header first and must know now whether sizes take 64 bits
            large = sum(len(buffer) for buffer in buffers) >= 1 << 30
            with archive.open(_make_info(name, file.tell(), large), "w", force_zip64=large) as member:
                for buffer in buffers:
                    member.write(buffer)


def _make_info(name: str, at: int, large: bool) -> zipfile.ZipInfo:
    # date, system and mode are fixed, so that the bytes depend on the content alone
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16
    # local header, name, 64-bit sizes, and the head of the extra field that pads up to the alignment
    start = at + _LOCAL.size + len(name.encode()) + (_ZIP64 if large else 0) + 4
    info.extra = struct.pack("<HH", 0x4246, -start % ALIGNMENT) + bytes(-start % ALIGNMENT)
    return info
