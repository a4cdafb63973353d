"""The bytes of a pickle program, read one operand after the other; lengths and numbers in it are bounded."""

from __future__ import annotations

import mmap

from minicnn.errors import WeightsError

__all__ = ["MAX_BYTES", "MAX_LINE_BYTES", "MAX_OPERATIONS", "Program"]

MAX_OPERATIONS = 500_000  # in one program; a tensor takes about 40: 12,000 tensors
MAX_BYTES = 16 << 20
_MAX_INT_BYTES = 255  # bytes; PyTorch's own magic number has 10
MAX_LINE_BYTES = 4096
_MAX_STRING_BYTES = 4096  # bytes that Python 2 calls a string are an array's numbers if they are more


class Program:
    """A program, the byte ``at`` that is read next, and how many operations are ``left`` to it."""

    def __init__(self, data: mmap.mmap | bytes, path: str, label: str, at: int, limit: int):
        self.data, self.path, self.label, self.at, self.start = data, path, label, at, at
        self.end = min(len(data), at + limit)
        self.left = MAX_OPERATIONS

    def error(self, what: str) -> WeightsError:
        """Return an error that names the byte where the operation begins."""
        return WeightsError(
            f"{self.path}{what} at byte {self.start} of {self.label}; expected the program of a state dictionary, "
            "fetch or copy the file again"
        )

    def spend(self, count: int) -> None:
        """Pay for so many operations."""
        self.left -= count
        if self.left < 0:
            raise self.error(f"more than {MAX_OPERATIONS} operations")

    def take(self, count: int) -> bytes:
        """Take the next bytes."""
        if not 0 <= count <= self.end - self.at:
            raise self.error(f"the program ends early: {count} bytes wanted, {self.end - self.at} left,")
        self.at += count
        return self.data[self.at - count : self.at]

    def take_long(self, count: int) -> bytes | memoryview:
        """Take bytes; many of them stay in the file."""
        if count <= _MAX_STRING_BYTES:
            return self.take(count)
        if count > self.end - self.at:
            raise self.error(f"the program ends early: {count} bytes wanted, {self.end - self.at} left,")
        self.at += count
        return memoryview(self.data)[self.at - count : self.at]

    def read_counted(self, count: int) -> str | memoryview:
        """Take a string of Python 2: text, unless it is so long that it must be numbers."""
        raw = self.take_long(count)
        return raw.decode("latin1") if isinstance(raw, bytes) else raw

    def read_unsigned(self, width: int) -> int:
        """Take a whole number of so many bytes."""
        return int.from_bytes(self.take(width), "little")

    def read_signed(self, width: int) -> int:
        """Take a whole number in two's complement."""
        return int.from_bytes(self.take(width), "little", signed=True)

    def read_raw_line(self) -> bytes:
        """Take the bytes up to the end of a line."""
        stop = self.data.find(b"\n", self.at, min(self.end, self.at + MAX_LINE_BYTES))
        if stop < 0:
            raise self.error("a line without an end")
        return self.take(stop + 1 - self.at)[:-1]

    def read_line(self) -> str:
        """Take a line of text."""
        return self.read_raw_line().decode("utf-8")

    def read_text(self, width: int) -> str:
        """Take text, before which stands its length, a number of ``width`` bytes."""
        return self.take(self.read_unsigned(width)).decode("utf-8")

    def read_long(self, width: int) -> int:
        """Take a whole number of any length, before which stands its length."""
        count = self.read_unsigned(width)
        if count > _MAX_INT_BYTES:
            raise self.error(f"an integer of {count} bytes")
        return self.read_signed(count)

    def read_old_integer(self) -> int | bool:
        """Take a line that is a whole number or a truth value."""
        line = self.read_line().removesuffix("L")
        if len(line) > 2 * _MAX_INT_BYTES:
            raise self.error(f"an integer of {len(line)} digits")
        # protocols 0 and 1 write False and True as the integers 00 and 01
        return {"00": False, "01": True}[line] if line in ("00", "01") else int(line)

    def read_old_text(self) -> str:
        """Take a line of text with escapes of Unicode."""
        return self.read_raw_line().decode("raw_unicode_escape").encode().decode()  # half surrogates don't encode

    def read_old_string(self) -> str:
        """Take a line of text in quotes."""
        line = self.read_line()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"" or "\\" in line:
            raise self.error("a quoted text with escapes")
        return line[1:-1]
