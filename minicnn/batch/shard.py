"""A shard: the images of one file of answers, worked on by one process, written beside and renamed."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.batch.answers import Answer, Picture, answer
from minicnn.batch.inputs import Input, modified, read_bytes
from minicnn.batch.job import Job
from minicnn.batch.rows import encode_rows, readable
from minicnn.errors import DeviceError, ImageError, MinicnnError
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import get_preprocess
from minicnn.images import load_image
from minicnn.network import Network

__all__ = ["Done", "Output", "Shard", "is_any_readable", "run_shard"]


Digest = tuple[int, str, int]  # bytes, SHA-256, time of the file's last change in nanoseconds
TRIES = 3  # of an image whose file is replaced while it is read


class Shard(NamedTuple):
    """Images that are answered in one file.

    Attributes
    ----------
    number : int, of the shard
    first : int, number of its first image
    images : list of Input
    left_out : frozenset of ints, which of them are not tried, since they killed a worker

    """

    number: int
    first: int
    images: list[Input]
    left_out: frozenset[int] = frozenset()


class Output(NamedTuple):
    """A file that was written: its name below the folder, its bytes and their SHA-256."""

    name: str
    size: int
    sha256: str


class Done(NamedTuple):
    """What became of a shard.

    Attributes
    ----------
    number : int
    digests : list of (bytes, SHA-256, time of change in ns) of the images, None of those that could not be read
    reasons : list of str or None, why an image has no answer
    outputs : list of Output

    """

    number: int
    digests: list[Digest | None]
    reasons: list[str | None]
    outputs: list[Output]


class _Read(NamedTuple):
    digest: Digest | None
    picture: Picture | None
    reason: str | None


def run_shard(
    folder: str, job: Job, device: str, shard: Shard, threads: int | None = None, writes: bool = True
) -> Done:
    """Answer a shard's images and write its files; in any process that sees the folder.

    Parameters
    ----------
    folder : str, holds ``net.npz``
    job : Job
    device : str
    shard : Shard
    threads : int, optional, of the kernels in this process
    writes : bool, whether to write the files

    Raises
    ------
    MinicnnError
        If a file can't be written or the device fails; a broken image is a reason in the result.

    """
    # layers that are folded away can't be asked for
    net = _load(folder, device, threads, job.task in ("predict", "saliency"))
    read: list[_Read] = []
    answers: list[Answer | str | None] = [None] * len(shard.images)
    waiting: list[int] = []

    def flush() -> None:
        pictures = [read[i].picture for i in waiting]
        for i, result in zip(waiting, _answer(net, [p for p in pictures if p is not None], job), strict=True):
            answers[i] = result
            read[i] = read[i]._replace(picture=None)  # its pixels are no longer needed
        waiting.clear()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, one in enumerate(_read_ahead(net, shard, job)):
            read.append(one)
            if one.picture is None:
                continue
            if waiting and _shape(read[waiting[0]]) != _shape(one):
                flush()
            waiting.append(i)
            if len(waiting) == job.batch_size:
                flush()
        if waiting:
            flush()
    reasons = [one.reason or (a if isinstance(a, str) else None) for one, a in zip(read, answers, strict=True)]
    good = {i: a for i, a in enumerate(answers) if isinstance(a, Answer)}
    outputs = _write(Path(folder), job, shard, good) if writes else []
    return Done(shard.number, [one.digest for one in read], reasons, outputs)


def is_any_readable(folder: str, job: Job, device: str, shard: Shard) -> bool:
    """Return whether an image of a shard, all of which were broken, can be read now."""
    net = _load(folder, device, 1)
    return any(_read(net, image, job).reason is None for image in shard.images)


def _load(folder: str, device: str, threads: int | None, folds: bool = False) -> Network:
    path = os.path.join(folder, "net.npz")
    there = os.stat(path)
    # a cluster's worker lives on while a folder is removed and made again for another network
    return _load_once(path, (there.st_ino, there.st_mtime_ns), device, threads, folds)


@lru_cache(maxsize=1)
def _load_once(path: str, version: tuple[int, int], device: str, threads: int | None, folds: bool) -> Network:
    from minicnn.io.load import load

    if threads is not None and device in ("cpu", "auto"):
        from minicnn.kernels.cpu.runtime.thread_pool import set_num_threads

        set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command has said them
        net = load(path)
        return as_classifier((net.fold_batch_norm() if folds else net).to(device))


def _shape(one: _Read) -> tuple[int, ...]:
    assert one.picture is not None
    return one.picture.x.shape


def _read_ahead(net: Network, shard: Shard, job: Job) -> Iterator[_Read]:
    """Yield the images, read by another thread while this one computes, a few ahead."""
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for i, image in enumerate(shard.images):
            is_out = i in shard.left_out
            waiting.append(pool.submit(_leave_out) if is_out else pool.submit(_read, net, image, job))
            if len(waiting) > 2 * job.batch_size:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _leave_out() -> _Read:
    return _Read(None, None, "ends the process that works on it")


def _read(net: Network, image: Input, job: Job) -> _Read:
    """Read and decode; what goes wrong is this image's reason."""
    for _ in range(TRIES):
        read = _read_once(net, image, job)
        # the digest is of the bytes that were decoded
        if read.digest is None or read.digest[2] == modified(image.path):
            break
    return read


def _read_once(net: Network, image: Input, job: Job) -> _Read:
    digest = None
    try:
        changed, data = read_bytes(image)
        digest = (len(data), hashlib.sha256(data).hexdigest(), changed)
        if image.size < 0:
            return _Read(digest, _decode(net, image.path, job), None)
        # a member is decoded as a file is, by the same checks
        with tempfile.NamedTemporaryFile(suffix=Path(image.name).suffix) as file:
            file.write(data)
            file.flush()
            try:
                return _Read(digest, _decode(net, file.name, job), None)
            except ImageError as error:
                return _Read(digest, None, _reason(str(error).replace(file.name, image.name), image))
    except OSError as error:
        return _Read(digest, None, f"can't be read ({error.strerror or error})")
    except (MinicnnError, MemoryError) as error:
        return _Read(digest, None, _reason(str(error), image))
    except Exception as error:  # one image that nobody foresaw must not cost all others
        return _Read(digest, None, f"an unforeseen {type(error).__name__} ({error}); please report it")


def _reason(text: str, image: Input) -> str:
    return readable(text.removeprefix(f"{image.name}: "))


def _decode(net: Network, path: str, job: Job) -> Picture:
    if job.task == "localise":
        pixels = np.asarray(load_image(path))
        return Picture(np.empty((0, *pixels.shape)), [], pixels)
    return Picture(*get_preprocess(net).batch(path, job.crops))


def _answer(net: Network, pictures: list[Picture], job: Job) -> list[Answer | str]:
    """Return the pictures' answers; if together they fail, each by itself, so that only the broken ones do."""
    try:
        return list(answer(net, pictures, job))
    except Exception as error:
        if isinstance(error, DeviceError) and len(pictures) == 1:
            raise
        if len(pictures) == 1:
            known = isinstance(error, MinicnnError | MemoryError)
            return [str(error) if known else f"an unforeseen {type(error).__name__} ({error}); please report it"]
        return [result for picture in pictures for result in _answer(net, [picture], job)]


def _write(folder: Path, job: Job, shard: Shard, good: dict[int, Answer]) -> list[Output]:
    """Write the rows and the maps of the answers."""
    rows, outputs = [], []
    maps = {i: a.map for i, a in good.items() if a.map is not None and job.maps != "none"}
    for i, given in good.items():
        row: dict[str, Any] = {"image": readable(shard.images[i].name), **given.row}
        if i in maps:
            row["map"] = _map_name(job, shard, i)
        rows.append(row)
    outputs.append(_put(folder, f"answers/part-{shard.number:06}.{job.answers}", encode_rows(rows, job.answers)))
    if maps and job.maps == "npz":
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"{shard.first + i:08}": _compact(map) for i, map in maps.items()}
        np.savez_compressed(buffer, **arrays)
        outputs.append(_put(folder, f"maps/part-{shard.number:06}.npz", buffer.getvalue()))
    elif maps:
        outputs += [_put(folder, _map_name(job, shard, i), _png(map)) for i, map in maps.items()]
    return outputs


def _map_name(job: Job, shard: Shard, i: int) -> str:
    """Return the file of a map, and in an .npz its name there."""
    number = f"{shard.first + i:08}"
    return f"maps/part-{shard.number:06}.npz:{number}" if job.maps == "npz" else f"maps/{number[:5]}/{number}.png"


def _compact(map: np.ndarray) -> np.ndarray:
    return map if map.dtype == bool else map.astype(np.float32)


def _png(map: np.ndarray) -> bytes:
    """Return a map as grey PNG, its largest value white; a mask in black and white."""
    from PIL import Image

    peak = map.max() if map.size else 0
    grey = np.uint8(np.round(map * (255 / peak))) if peak and map.dtype != bool else np.uint8(map) * 255
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def _put(folder: Path, name: str, data: bytes) -> Output:
    """Write a file beside, have it on the disk, and rename it; MinicnnError where it can't be."""
    path = folder / name
    # a name of its own: a worker that was taken for lost may still be writing the same file
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise MinicnnError(
            f"batch: can't write {path} ({error.strerror or error}); once it can be, the same command goes on"
        ) from None
    return Output(name, len(data), hashlib.sha256(data).hexdigest())


def _sync_folder(folder: Path) -> None:
    """Have a rename on the disk, where the system can open folders."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
