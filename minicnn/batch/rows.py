"""Rows of answers as JSON lines, CSV or Parquet: the same rows always give the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from minicnn._utils.json import nan_to_none
from minicnn.errors import MinicnnError

__all__ = ["encode_rows", "has_pyarrow", "import_pyarrow", "readable"]

Row = dict[str, Any]


def encode_rows(rows: Sequence[Row], form: str) -> bytes:
    r"""Return rows as "jsonl", "csv" or "parquet".

    Examples
    --------
    >>> encode_rows([{"image": "a.png", "class": 3}], "csv")
    b'image,class\r\na.png,3\r\n'

    """
    if form == "jsonl":
        return "".join(json.dumps(nan_to_none(row), ensure_ascii=False) + "\n" for row in rows).encode()
    return _encode_csv(rows) if form == "csv" else _encode_parquet(rows)


def readable(name: str) -> str:
    r"""Return a file's name as text: bytes of it that are none are escaped.

    Examples
    --------
    >>> print(readable("a\udcff.png"))
    a\xff.png

    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def has_pyarrow() -> bool:
    """Return whether pyarrow is installed, without loading it."""
    return find_spec("pyarrow") is not None


def import_pyarrow() -> None:
    """Raise MinicnnError unless pyarrow is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MinicnnError("Parquet needs pyarrow; pip install 'minicnn-engine[batch]'") from None


def _encode_csv(rows: Sequence[Row]) -> bytes:
    flat = [_flatten(row) for row in rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)))
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()


def _flatten(row: Row) -> Row:
    """Return a row in which each number of a list has a column."""
    flat: Row = {}
    for name, value in row.items():
        flat.update({f"{name}_{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value})
    return flat


def _encode_parquet(rows: Sequence[Row]) -> bytes:
    import_pyarrow()
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()
