"""Names of classes as other programs' settings keep them: YAML, TensorFlow's label maps, JSON lines."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

__all__ = ["read_items"]

_ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"""(\w+)\s*:\s*(?:(?P<quote>["'])(?P<text>.*?)(?<!\\)(?P=quote)|(?P<number>\d{1,7}))""")
_NAMES = re.compile(r"(names|classes|labels)\s*:\s*(?P<row>\[.*\])?\s*(#.*)?")
_BULLET = re.compile(r"\s*-\s+(?P<name>\S.*)")
_KEYED = re.compile(r"\s+(?P<number>\d{1,7})\s*:\s*(?P<name>\S.*)")


def read_items(text: str) -> list[Any] | dict[str, Any] | None:
    r"""Return the list or dictionary of names that a text of one of these kinds holds, None for another text.

    Examples
    --------
    >>> read_items("nc: 2\nnames:\n  0: person\n  1: 'traffic light'")
    {'0': 'person', '1': 'traffic light'}
    >>> read_items("item { id: 1 name: '/m/01g317' display_name: 'Person' }")
    [{'id': 1, 'name': 'Person'}]

    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return _label_map(text) or _json_lines(lines) or _yaml(lines)


def _label_map(text: str) -> list[Any] | None:
    if not re.match(r"(\s*#[^\n]*\n)*\s*item\s*\{", text):
        return None
    items = []
    for body in _ITEM.findall(text):
        fields = {m[1]: m["text"] if m["number"] is None else int(m["number"]) for m in _FIELD.finditer(body)}
        # the other one may be a code, such as /m/01g317
        items.append({"id": fields.get("id"), "name": fields.get("display_name") or fields.get("name") or ""})
    return items


def _json_lines(lines: list[str]) -> list[Any] | None:
    if len(lines) < 2 or not all(line.startswith("{") and line.endswith("}") for line in lines):
        return None
    try:
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None


def _yaml(lines: list[str]) -> list[Any] | dict[str, Any] | None:
    """Return what stands under "names:", or a list that is all of the file."""
    if lines and all(map(_BULLET.fullmatch, lines)):
        return _block(lines)
    at = next((i for i, line in enumerate(lines) if _NAMES.fullmatch(line)), None)
    # a list of labels may have such a name by itself: other lines of settings, or what belongs to it, are wanted
    if at is None:
        return None
    row = _NAMES.fullmatch(lines[at])
    if row is not None and row["row"]:
        quote = "'" if "'" in row["row"] else '"'
        return [
            name.strip() for name in next(csv.reader([row["row"][1:-1]], quotechar=quote, skipinitialspace=True))
        ]
    return _block(lines[at + 1 :])


def _block(lines: list[str]) -> list[Any] | dict[str, Any] | None:
    """Return the entries that stand at the beginning of some lines, None if there are none."""
    pattern = next((p for p in (_BULLET, _KEYED) if lines and p.fullmatch(lines[0])), None)
    if pattern is None:
        return None
    matches = []
    for line in lines:
        match = pattern.fullmatch(line)
        if match is None:
            break
        matches.append(match)
    names = [re.sub(r"""^(['"])(.*)\1$""", r"\2", match["name"]) for match in matches]
    if pattern is _BULLET:
        return list(names)
    return {match["number"]: name for match, name in zip(matches, names, strict=True)}
