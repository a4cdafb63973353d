"""The manifest: what there is to do, what is done, and what was written, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from minicnn._utils.types import PathLike
from minicnn.batch.inputs import Input, modified
from minicnn.batch.rows import readable
from minicnn.batch.shard import Done, Output, Shard
from minicnn.errors import MinicnnError

__all__ = ["Manifest", "recorded_task"]

TABLES = """
create table if not exists job (name text primary key, value text);
create table if not exists inputs (
    number integer primary key, shard integer, path blob, name blob, place integer, length integer,
    state text default 'open', bytes integer, sha256 text, modified integer, reason text);
create table if not exists outputs (shard integer, name text primary key, bytes integer, sha256 text);
create unique index if not exists by_name on inputs (name);
create index if not exists by_shard on inputs (shard);
create index if not exists by_state on inputs (state);
create index if not exists outputs_by_shard on outputs (shard);
"""


class Manifest:
    """What there is to do and what is done.  A shard's images and files change state together, or not at all.

    One process at a time holds it.

    Parameters
    ----------
    folder : Path, where ``manifest.sqlite`` lies or is made

    Raises
    ------
    MinicnnError
        If another run holds it, or it can't be read or written.

    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "manifest.sqlite"
        try:
            self._base = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            # held until the connection ends, with the process if need be
            self._base.execute("pragma locking_mode = exclusive")
            self._base.execute("pragma synchronous = full")
            self._base.execute("begin exclusive")
            for line in TABLES.split(";"):
                self._base.execute(line)
            self._base.execute("commit")
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error)
            why = "another run is writing there; wait for it, or name another folder" if busy else str(error)
            raise MinicnnError(f"batch: {folder}: {why}") from None
        except sqlite3.DatabaseError as error:
            raise MinicnnError(f"batch: {self.path}: is no manifest of a batch ({error})") from None

    def close(self) -> None:
        """Let another run have it."""
        self._base.close()

    def begin(self, job: dict[str, Any]) -> None:
        """Note the job, or raise MinicnnError if the folder holds another one's answers."""
        text = {name: json.dumps(value, sort_keys=True) for name, value in job.items()}
        there = dict(self._base.execute("select name, value from job"))
        for name, value in job.items():
            if there and there.get(name) != text[name]:
                raise MinicnnError(
                    f"batch: {self.path.parent}: holds a batch {_difference(name, there.get(name), value)}; "
                    "name another folder"
                )
        with self._whole():
            self._base.executemany("insert or replace into job values (?, ?)", text.items())

    def add(self, images: Iterable[Input], shard_size: int) -> int:
        """Note the images that are not recorded yet, behind the others; return how many there are in all."""
        start, last = self._one("select count(*), coalesce(max(shard), -1) from inputs")
        number = start
        with self._whole():
            for image in images:
                # a later run's images begin a shard of their own, so that those before keep their files
                shard = last + 1 + (number - start) // shard_size
                number += self._base.execute(
                    "insert or ignore into inputs (number, shard, path, name, place, length) "
                    "values (?, ?, ?, ?, ?, ?)",
                    (number, shard, os.fsencode(image.path), os.fsencode(image.name), image.offset, image.size),
                ).rowcount
        return number

    def reopen_files(self) -> None:
        """Open again the shards whose files have changed or gone."""
        self.reopen(
            shard
            for shard, *file in self._base.execute("select shard, name, bytes, sha256 from outputs")
            if not _is_there(self.path.parent, Output(*file))
        )

    def reopen_changed(self) -> None:
        """Open again the shards with images whose files have changed or gone."""
        self.reopen(
            shard
            for shard, path, recorded in self._base.execute("select shard, path, modified from inputs")
            if modified(os.fsdecode(path)) != recorded
        )

    def reopen(self, shards: Iterable[int]) -> None:
        """Open shards again."""
        numbers = [(shard,) for shard in set(shards)]
        with self._whole():
            self._base.executemany("update inputs set state = 'open' where shard = ?", numbers)

    def broken_shards(self) -> Iterator[Shard]:
        """Yield the shards that have broken images, with these alone."""
        query = "select distinct shard from inputs where state = 'broken' order by 1"
        for (number,) in self._base.execute(query).fetchall():
            yield self.shard(number, "broken")

    def open_shards(self) -> list[int]:
        """Return the numbers of the shards that are to be done."""
        return [
            s for (s,) in self._base.execute("select distinct shard from inputs where state = 'open' order by 1")
        ]

    def shard(self, number: int, state: str = "open") -> Shard:
        """Return a shard, with its images of a state."""
        rows = self._base.execute(
            "select number, name, path, place, length from inputs where shard = ? and state = ? order by number",
            (number, state),
        ).fetchall()
        images = [Input(os.fsdecode(name), os.fsdecode(path), place, size) for _, name, path, place, size in rows]
        return Shard(number, rows[0][0], images)

    def finish(self, shard: Shard, done: Done) -> None:
        """Note what became of a shard, whole or not at all; files of an earlier try that are none now go."""
        inputs = []
        for i, (digest, reason) in enumerate(zip(done.digests, done.reasons, strict=True)):
            state = "broken" if reason else "done"
            inputs.append((state, *(digest or (None, None, None)), reason, shard.first + i))
        before = {
            name for (name,) in self._base.execute("select name from outputs where shard = ?", (shard.number,))
        }
        with self._whole():
            self._base.executemany(
                "update inputs set state = ?, bytes = ?, sha256 = ?, modified = ?, reason = ? where number = ?",
                inputs,
            )
            self._base.execute("delete from outputs where shard = ?", (shard.number,))
            self._base.executemany(
                "insert into outputs values (?, ?, ?, ?)", [(shard.number, *file) for file in done.outputs]
            )
        for name in before - {file.name for file in done.outputs}:
            with suppress(OSError):
                (self.path.parent / name).unlink()

    def is_recorded(self, name: str) -> bool:
        """Return whether a file that belongs to no shard is there, as it was written."""
        query = "select name, bytes, sha256 from outputs where name = ?"
        row = self._base.execute(query, (name,)).fetchone()
        return row is not None and _is_there(self.path.parent, Output(*row))

    def note(self, name: str) -> None:
        """Note a file that belongs to no shard."""
        path = self.path.parent / name
        with open(path, "rb") as data:
            row = (-1, name, path.stat().st_size, _digest(data))
        with self._whole():
            self._base.execute("insert or replace into outputs values (?, ?, ?, ?)", row)

    def count(self) -> dict[str, int]:
        """Return how many images are "open", "done" and "broken"."""
        return {"open": 0, "done": 0, "broken": 0} | dict(
            self._base.execute("select state, count(*) from inputs group by state")
        )

    def broken(self) -> Iterator[tuple[str, str]]:
        """Yield (name, reason) of the images that could not be answered, in their order."""
        query = "select name, reason from inputs where state = 'broken' order by number"
        for name, reason in self._base.execute(query):
            yield readable(os.fsdecode(name)), reason

    def _one(self, query: str) -> Any:
        return self._base.execute(query).fetchone()

    def _whole(self) -> _Whole:
        return _Whole(self._base, self.path)


class _Whole:
    """A transaction; what fails in it changes nothing."""

    def __init__(self, base: sqlite3.Connection, path: Path) -> None:
        self.base, self.path = base, path

    def __enter__(self) -> None:
        self.base.execute("begin")

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        try:
            self.base.execute("rollback" if kind else "commit")
        except sqlite3.Error as failed:
            raise _unwritten(self.path, failed) from None
        if isinstance(error, sqlite3.Error):
            raise _unwritten(self.path, error) from None


def _unwritten(path: Path, error: sqlite3.Error) -> MinicnnError:
    return MinicnnError(f"batch: can't write {path} ({error}); once it can be, the same command goes on")


def _is_there(folder: Path, file: Output) -> bool:
    """Return whether a file holds the bytes that were written."""
    path = folder / file.name
    try:
        if path.stat().st_size != file.size:
            return False
        with open(path, "rb") as data:
            return _digest(data) == file.sha256
    except OSError:
        return False


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def _difference(name: str, recorded: str | None, value: dict[str, Any]) -> str:
    """Say in which settings the recorded job differs."""
    before = json.loads(recorded or "{}")
    differing = [key for key in value if before.get(key) != value[key]]
    if name == "network" and differing != ["device"]:
        return "of another network, or other preprocessing"
    pairs = [f"{key} {_shown(before.get(key))} (not {_shown(value[key])})" for key in differing]
    return f"with {', '.join(pairs)}"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def recorded_task(folder: PathLike) -> dict[str, Any]:
    """Return the fields of the job whose answers a folder holds; none where it holds none, or can't say."""
    path = Path(folder) / "manifest.sqlite"
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as base:
            row = base.execute("select value from job where name = 'task'").fetchone()
        return dict(json.loads(row[0])) if row else {}
    except (sqlite3.Error, ValueError, TypeError):
        return {}  # who opens it to write says what is wrong
