"""Lists of class names as people keep them: one a line, numbered, CSV, JSON, or Python's dictionaries.

All of them become one list in the order of the classes' numbers, and numbers count from 0.  Nothing in a file is
executed: what is written in Python is read as a literal.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_items import read_items
from minicnn.evaluate.datasets.text import read_text

__all__ = ["read_class_list"]

MAX_CLASSES, MAX_DEPTH, LIMIT = 1_000_000, 20, 16 << 20  # LIMIT in bytes
_WRAPPERS = ("id2label", "idx_to_class", "names", "labels", "classes", "class_names", "label2id", "class_to_idx")
# columns of CSV and fields of JSON, in small letters without spaces, underscores and hyphens
_NUMBER = (
    "id",
    "index",
    "idx",
    "classid",
    "classindex",
    "classidx",
    "labelid",
    "target",
    "number",
    "class",
    "label",
)
_NAME = ("name", "classname", "labelname", "displayname", "label", "class", "category", "description", "title")
# a number, what parts it from the name, the name; and the other way round
_NUMBERED = (
    re.compile(r"(?P<number>\d{1,7})\s*(?:[:=,;\t]|[.)](?=\s)|\s)\s*(?P<name>\S.*)", re.ASCII),
    re.compile(r"(?P<name>.*\S)\s*[:=,;\t]\s*(?P<number>\d{1,7})", re.ASCII),
)

Entry: TypeAlias = tuple[int | None, str]  # a class's number, None where only the order tells, and its name


def read_class_list(path: PathLike) -> list[str]:
    r"""Return the names of classes in the order of their numbers.

    Parameters
    ----------
    path : of a file of one of these kinds
        One name a line, blank lines aside, as "tench" or "n01440764 tench, Tinca tinca"; each line perhaps with
        its number before it, "0: tench".  CSV with a header.  JSON or a Python literal: a list of names, a
        dictionary from numbers to names or from names to numbers, or ``imagenet_class_index.json``; also as the
        "id2label", "names", "classes" and so on of a larger dictionary, or the "categories" of COCO.  JSON lines,
        the "names" of a YAML file, TensorFlow's label map (.pbtxt).

    Returns
    -------
    names : list of str
        "class 3" for a number that the file leaves out.

    Raises
    ------
    MinicnnError
        If the file can't be read, or two of its names have one number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.json")
    ...     _ = path.write_text('{"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}')
    ...     read_class_list(path)
    ['n01440764 tench', 'n01443537 goldfish']

    """
    path = Path(path)
    text = read_text(path, LIMIT).strip()
    items = read_items(text)
    if items is not None:
        entries = list(_find_entries(items, path))
    elif text[:1] in ("{", "["):
        entries = list(_find_entries(_parse_literal(text, path), path))
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        entries = _read_columns(lines) or _read_lines(lines)
    return _in_order(entries, path)


def _in_order(entries: list[Entry], path: Path) -> list[str]:
    """Return the names in the order of their numbers."""
    if not entries:
        raise MinicnnError(f"{path}: names no classes; expected one a line, or a list or dictionary in JSON")
    if any(number is None for number, _ in entries):
        return [name for _, name in entries]
    names: dict[int, str] = {}
    for number, name in entries:
        assert number is not None
        if not 0 <= number < MAX_CLASSES:
            raise MinicnnError(f"{path}: class {number}; expected numbers from 0 on")
        if names.setdefault(number, name) != name:
            raise MinicnnError(f"{path}: class {number} is both {names[number]!r:.60} and {name!r:.60}")
    return [names.get(number, f"class {number}") for number in range(max(names) + 1)]


# lines


def _read_lines(lines: list[str]) -> list[Entry]:
    """Return a name a line, without the numbers beside them if each line has its own."""
    for pattern in _NUMBERED:
        matches = [match for line in lines if (match := pattern.fullmatch(line))]
        numbers = [int(match["number"]) for match in matches]
        # from 0 or 1 on without a gap: other numbers may be part of the names
        first = min(numbers, default=0)
        if len(matches) == len(lines) and first < 2 and sorted(numbers) == [*range(first, first + len(lines))]:
            return [(n, _unquote(match["name"])) for n, match in zip(numbers, matches, strict=True)]
    # as copied out of a program's list
    unquoted = [_unquote(line) for line in lines]
    quoted = all(line != name for line, name in zip(lines, unquoted, strict=True))
    return [(None, line) for line in (unquoted if quoted else lines)]


def _read_columns(lines: list[str]) -> list[Entry]:
    """Return the rows of a table whose first line names its columns; [] if there is no such line."""
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return []
    words = [_fold(cell) for cell in header]
    name = next((words.index(word) for word in _NAME if word in words), None)
    if name is None or (len(words) < 2 and not (rows and words[0] in ("name", "label", "class", "classname"))):
        return []
    number = next((words.index(word) for word in _NUMBER if word in words and words.index(word) != name), None)
    cells = [[cell.strip() for cell in row] + [""] * len(words) for row in rows]
    numbered = number is not None and all(_is_number(row[number]) for row in cells)
    return [(int(row[number]) if numbered and number is not None else None, row[name]) for row in cells]


# JSON and Python


def _parse_literal(text: str, path: Path) -> Any:
    """Return a value written in JSON or as a Python literal."""
    depth = deepest = 0
    for character in re.findall(r"[\[{(\]})]", text):
        depth += 1 if character in "[{(" else -1
        deepest = max(deepest, depth)
    try:
        # both parsers recurse, Python's without a limit of its own
        if deepest > MAX_DEPTH:
            raise ValueError("its brackets are nested too deeply for a list of names")
        return json.loads(text)
    except ValueError as json_error:
        try:
            return ast.literal_eval(text if deepest <= MAX_DEPTH else "")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise MinicnnError(f"{path}: neither JSON nor a Python literal ({json_error})") from None


def _find_entries(value: Any, path: Path) -> Iterable[Entry]:
    """Return the classes that a parsed file names."""
    if isinstance(value, list | tuple):
        return [_as_entry(item, path) for item in value]
    if isinstance(value, Mapping):
        if "categories" in value:
            return _find_entries(value["categories"], path)
        wrapped = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), Mapping | list)), None)
        if wrapped is not None:
            return _find_entries(wrapped, path)
        if all(_is_number(key) for key in value):
            return [(int(key), _as_name(name, path)) for key, name in value.items()]
        if all(_is_number(number) for number in value.values()):
            return [(int(number), str(name)) for name, number in value.items()]
    raise MinicnnError(
        f"{path}: expected a list of names, or a dictionary from numbers to names or from names to numbers"
    )


def _as_entry(item: Any, path: Path) -> Entry:
    """Return an item of a list: a name, or a dictionary with a number and a name."""
    if isinstance(item, Mapping):
        fields = {_fold(str(key)): value for key, value in item.items()}
        key = next((key for key in _NAME if isinstance(fields.get(key), str)), None)
        number = next((fields[k] for k in _NUMBER if k != key and _is_number(fields.get(k))), None)
        return None if number is None else int(number), _as_name(fields.get(key or ""), path)
    return None, _as_name(item, path)


def _as_name(value: Any, path: Path) -> str:
    """Return a name; of several, such as a WordNet id and a label, all."""
    if isinstance(value, list | tuple) and value and all(isinstance(part, str) for part in value):
        # behind a WordNet id stands the label; other lists are synonyms
        is_id = re.fullmatch(r"n\d{2,8}", value[0]) is not None
        return " ".join([value[0], ", ".join(value[1:])]).strip() if is_id else ", ".join(value)
    if isinstance(value, Mapping):
        return _as_entry(value, path)[1]
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    raise MinicnnError(f"{path}: expected the name of a class, got {value!r:.80}")


def _is_number(value: Any) -> bool:
    """Return whether a value is a whole number, perhaps in digits."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 8
    return isinstance(value, int) and not isinstance(value, bool)


def _fold(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).lower()


def _unquote(name: str) -> str:
    """Return a name without quotes around it and a comma behind."""
    match = re.fullmatch(r"""(['"])(.*)\1,?""", name)
    return match[2] if match else name
