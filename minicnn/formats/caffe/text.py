"""Protocol buffers as text: what .prototxt files are written in."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape

__all__ = ["Fields", "read"]

MAX_BYTES, MAX_TOKENS, MAX_DEPTH = 1 << 20, 200_000, 16

_TOKEN = re.compile(
    r"""(?P<gap>[\s,;]+|\#[^\n]*)
    |(?P<open>[{<])|(?P<close>[}>])|(?P<colon>:)|(?P<begin>\[)|(?P<end>\])
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]{1,16}|(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][-+]?\d{1,5})?)(?![\w.])
        |[-+]?\d{1,40}\.?\d{0,40}[fF](?![\w.])|[-+](?:inf|nan)(?!\w))
    |(?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Fields:
    """One message: its fields by name, each a list of numbers, strings, or messages.

    Enumerated values and truth values are words, kept as strings.  A field counts as read once it was asked for,
    see ``formats.fields``.

    Parameters
    ----------
    where : str
        The file, and the line on which the message begins, for errors.

    """

    def __init__(self, where: str):
        self.where = where
        self._values: dict[str, list[Any]] = {}
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        """Return whether the field is there."""
        self._read.add(name)
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        """Return the names of the fields, in order."""
        return iter(self._values)

    def add(self, name: str, value: object) -> None:
        """Add a value to a field."""
        self._values.setdefault(name, []).append(value)

    def values(self, name: str) -> list[Any]:
        """Return the values of a field, of whatever kind."""
        self._read.add(name)
        return self._values.get(name, [])

    def unread(self, harmless: Container[str], deep: bool = True) -> list[str]:
        """Return the fields that nobody has asked for, as ``message.field``; ``harmless`` ones are left out.

        Those of the messages in it are among them, unless ``deep`` is False.
        """
        names = []
        for name in (name for name in self._values if name not in harmless):
            inner = [value for value in self._values[name] if isinstance(value, Fields) and deep]
            # a message that nobody asked for changes nothing if all that it says is harmless
            if inner:
                names += [f"{name}.{below}" for message in inner for below in message.unread(harmless)]
            elif name not in self._read:
                names.append(name)
        return names

    def error(self, what: str) -> WeightsError:
        """Return an error that names the file and the line."""
        return WeightsError(f"{self.where}: {what}")

    def _all(self, name: str, kinds: type | tuple[type, ...], expected: str) -> list[Any]:
        values = self.values(name)
        for value in values:
            if not isinstance(value, kinds):
                raise self.error(f"{escape(name)}: expected {expected}, got {_describe_value(value)}")
        return values

    def _last(self, name: str, kinds: type | tuple[type, ...], expected: str, default: object) -> Any:
        values = self._all(name, kinds, expected)
        if len(values) > 1:
            raise self.error(f"{escape(name)}: given {len(values)} times, expected once")
        return values[0] if values else default

    def text(self, name: str, default: str = "") -> str:
        """Return a string or a word."""
        return self._last(name, str, "text", default)

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number."""
        return self._last(name, int, "a whole number", default)

    def real(self, name: str, default: float = 0.0) -> float:
        """Return a number."""
        return float(self._last(name, (int, float), "a number", default))

    def boolean(self, name: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._last(name, (str, int), "true or false", default)
        if value not in ("true", "false", "t", "f", True, False):
            raise self.error(f"{name}: expected true or false, got {_describe_value(value)}")
        return value in ("true", "t", True)

    def choice(self, name: str, choices: tuple[str, ...], default: str = "") -> str:
        """Return one of the words of an enumeration, given as the word or as its number; by default the first."""
        value = self._last(name, (str, int), "a word", default or choices[0])
        if isinstance(value, int) and 0 <= value < len(choices):
            return choices[value]
        if value not in choices:
            raise self.error(f"{name}: expected one of {', '.join(choices)}, got {_describe_value(value)}")
        return value

    def texts(self, name: str) -> list[str]:
        """Return all strings of a field."""
        return self._all(name, str, "text")

    def integers(self, name: str) -> list[int]:
        """Return all whole numbers of a field."""
        return self._all(name, int, "whole numbers")

    def reals(self, name: str) -> list[float]:
        """Return all numbers of a field."""
        return [float(v) for v in self._all(name, (int, float), "numbers")]

    def message(self, name: str) -> Fields:
        """Return the inner message, an empty one where there is none."""
        return self._last(name, Fields, "a message in braces", None) or Fields(self.where)

    def messages(self, name: str) -> list[Fields]:
        """Return all inner messages of a field."""
        return self._all(name, Fields, "a message in braces")


def _describe_value(value: object) -> str:
    return "a message" if isinstance(value, Fields) else escape(repr(value))


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def read(path: PathLike) -> Fields:
    """Read a .prototxt file.

    Raises
    ------
    WeightsError
        If the file is missing, too large for a description, or no text of protocol buffers; the line is named.

    """
    data = files.map_file(path, "a .prototxt file")
    if len(data) > MAX_BYTES:
        raise WeightsError(f"{path}: {len(data):,} bytes; expected a .prototxt file of at most {MAX_BYTES:,}")
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise WeightsError(f"{path}: expected a .prototxt file, found {files.guess_file_type(data)}") from None
    return _Parser(path, text).message(None, 0)


def _tokenize(path: PathLike, text: str) -> Iterator[_Token]:
    at, line, count = 0, 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        count += 1
        if match is None or count > MAX_TOKENS:
            what = (
                f"{escape(text[at : at + 20])!r} is no text of protocol buffers" if match is None else "too long"
            )
            raise WeightsError(f"{path}: line {line}: {what}")
        if match.lastgroup != "gap":
            yield _Token(str(match.lastgroup), match.group(), line)
        line += match.group().count("\n")
        at = match.end()
    yield _Token("stop", "the end of the file", line)


class _Parser:
    """Tokens to messages, one token ahead."""

    def __init__(self, path: PathLike, text: str):
        self.path = path
        self._rest = _tokenize(path, text)
        self._next = next(self._rest)

    def _take(self, *kinds: str) -> _Token | None:
        """Return the next token and go on if it is of one of these kinds."""
        if self._next.kind not in kinds:
            return None
        token = self._next
        self._next = next(self._rest, token)
        return token

    def _need(self, *kinds: str) -> _Token:
        token = self._take(*kinds)
        if token is None:
            expected = " or ".join(kinds).replace("word", "a name")
            raise WeightsError(
                f"{self.path}: line {self._next.line}: expected {expected}, got {escape(self._next.text)!r}"
            )
        return token

    def message(self, end: str | None, depth: int) -> Fields:
        """Return the fields up to the closing brace, or up to the end of the file."""
        fields = Fields(f"{self.path}: line {self._next.line}")
        if depth > MAX_DEPTH:
            raise fields.error(f"messages more than {MAX_DEPTH} deep")
        # the outermost message ends with the file, inner ones with a brace
        while not self._take("close" if end else "stop"):
            name = self._need("word").text
            self._values(fields, name, self._take("colon") is not None, depth)
        return fields

    def _values(self, fields: Fields, name: str, colon: bool, depth: int) -> None:
        # name: [value, value], name: value, or name { fields }
        if self._take("begin"):
            while not self._take("end"):
                fields.add(name, self._value(depth))
        elif colon:
            fields.add(name, self._value(depth))
        else:
            self._need("open")
            fields.add(name, self.message("close", depth + 1))

    def _value(self, depth: int) -> object:
        token = self._need("open", "string", "number", "word")
        if token.kind == "open":
            return self.message("close", depth + 1)
        if token.kind == "number":
            return _parse_number(token.text)
        if token.kind == "word":
            return float(token.text) if token.text in ("inf", "nan") else token.text
        # strings side by side are one
        parts = [token]
        while part := self._take("string"):
            parts.append(part)
        return "".join(re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), part.text[1:-1]) for part in parts)


def _parse_number(text: str) -> int | float:
    if "x" in text.lower():
        return int(text, 16)
    # an f may end a number, and ends "inf"
    text = text.rstrip("fF") if "inf" not in text else text
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
