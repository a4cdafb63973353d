"""A batch, as it is called: shards go to worker processes, and what is done is noted at once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from minicnn._utils.types import PathLike
from minicnn.batch.answers import feature_layer
from minicnn.batch.cores import usable_cores
from minicnn.batch.inputs import Input
from minicnn.batch.job import Job
from minicnn.batch.manifest import Manifest
from minicnn.batch.shard import Done, Shard, is_any_readable, run_shard
from minicnn.batch.workers import Workers, open_workers, result_of
from minicnn.errors import MinicnnError
from minicnn.images.folder import SUFFIXES
from minicnn.io.digest import digest_network
from minicnn.network import Network
from minicnn.report.files import make_folder, write_atomically

__all__ = ["Summary", "run_batch"]

SILENCE = 10.0  # seconds after which it is told that nothing new is done
ENOUGH = 100  # images after which the share of broken ones says something


class Summary(NamedTuple):
    """What a batch came to.

    Attributes
    ----------
    images : int
    answered : int
    broken : int
    worked_on : int, images that this run did; the others were done before
    folder : str
    done, failed, pending : int
        Images that are answered, that are broken, and that are neither yet.

    """

    images: int
    answered: int
    broken: int
    worked_on: int
    folder: str

    @property
    def done(self) -> int:
        """How many images are answered."""
        return self.answered

    @property
    def failed(self) -> int:
        """How many are broken."""
        return self.broken

    @property
    def pending(self) -> int:
        """How many are neither answered nor broken."""
        return self.images - self.answered - self.broken


def run_batch(
    net: Network,
    images: Iterable[Input],
    folder: PathLike,
    job: Job | None = None,
    *,
    workers: int | Executor | None = None,
    changed: bool = False,
    fail_rate: float = 1.0,
    on_shard: Callable[[int, int, int], Any] | None = None,
) -> Summary:
    """Answer images into a folder, shard by shard; what an earlier run has done is done.

    The folder gets ``answers/part-NNNNNN`` (rows), ``maps/`` (of saliency and localise), ``broken.csv`` (image,
    reason), ``net.npz`` and ``manifest.sqlite``.  The same network, images and job give the same bytes of answers
    and maps, however many processes there are and however often the run was broken off.

    Parameters
    ----------
    net : Network with a ``preprocess``
    images : Input, as ``list_inputs`` yields them
    folder : path, made if there is none
    job : Job, optional
    workers : int or concurrent.futures.Executor, optional
        Processes of one thread each, 0 for none but this one; one a usable core unless given.  Or what runs the
        shards instead, such as Dask's ``client.get_executor()``; its workers see the same folder.
    changed : bool
        Whether to look for images that have changed since they were answered, and answer them again.
    fail_rate : float
        Stop once more than this share of the images is broken.
    on_shard : function of (images done, of how many, broken), optional
        Called at the start, after each shard, and every ten seconds.

    Returns
    -------
    summary : Summary

    Raises
    ------
    MinicnnError
        If there are no images, the folder holds another batch, another run writes there, a file can't be written,
        or too many images are broken.  What was done until then is kept, and a rerun goes on from there.

    Examples
    --------
    >>> import tempfile, minicnn
    >>> from minicnn.batch import list_inputs
    >>> with tempfile.TemporaryDirectory() as out:
    ...     images = list_inputs(["notebooks/images/seven.png", "README.md"])
    ...     run_batch(minicnn.load("digits"), images, out, workers=0)[:3]
    (2, 1, 1)

    """
    job, folder = job or Job(), Path(folder)
    if job.task == "features":
        feature_layer(net, job.layer)
    make_folder(folder)
    manifest = Manifest(folder)
    try:
        origin = digest_network(net)
        how_made = {name: origin[name] for name in ("sha256", "preprocess", "device")}
        manifest.begin({"task": job.to_dict(), "network": how_made})
        total = manifest.add(images, job.shard_size)
        if not total:
            raise MinicnnError(
                f"batch: the source holds no images ({', '.join(SUFFIXES)}); {folder} stays without answers"
            )
        manifest.reopen_files()
        if changed:
            manifest.reopen_changed()
        how, counts, worked_on = (str(folder), job, net.device), manifest.count(), 0
        if counts["open"] or counts["broken"]:
            _remove_partial(folder)
            _write_network(net, manifest, folder)
            workers = usable_cores() if workers is None else workers
            with open_workers(workers) as pool:
                _retry(manifest, pool, how)
                tell = _Progress(manifest.count(), fail_rate, on_shard)
                _run_shards(manifest, pool, how, 1 if workers else None, tell)
                worked_on = tell.worked_on
        _write_broken(manifest, folder)
        counts = manifest.count()
    finally:
        manifest.close()
    return Summary(total, counts["done"], counts["broken"], worked_on, str(folder))


class _Progress:
    """What is told after each shard, and when too much is broken to go on."""

    def __init__(
        self, counts: dict[str, int], fail_rate: float, on_shard: Callable[[int, int, int], Any] | None
    ) -> None:
        # counted here, since to count a million rows after each shard takes longer than the shard
        self.total, self.seen, self.broken = (
            sum(counts.values()),
            counts["done"] + counts["broken"],
            counts["broken"],
        )
        self.fail_rate, self.on_shard, self.worked_on = fail_rate, on_shard, 0
        self.show()

    def show(self) -> None:
        if self.on_shard is not None:
            self.on_shard(self.seen, self.total, self.broken)

    def __call__(self, done: Done) -> None:
        self.worked_on += len(done.reasons)
        self.seen += len(done.reasons)
        self.broken += sum(reason is not None for reason in done.reasons)
        self.show()
        if self.seen >= min(ENOUGH, self.total) and self.broken > self.fail_rate * self.seen:
            raise MinicnnError(
                f"batch: {self.broken} of {self.seen} images are broken, more than the share of "
                f"{self.fail_rate:g} that was allowed; broken.csv says why"
            )


def _run_shards(
    manifest: Manifest, workers: Workers, how: tuple[str, Job, str], threads: int | None, tell: _Progress
) -> None:
    """Have all open shards done, a few in the hands of the workers at any time."""
    waiting = iter(manifest.open_shards())
    running: dict[Future[Done], Shard] = {}
    try:
        while True:
            for number in islice(waiting, workers.width - len(running)):
                shard = manifest.shard(number)
                running[workers.submit(run_shard, *how, shard, threads)] = shard
            if not running:
                return
            lost = []
            finished = wait(running, SILENCE, FIRST_COMPLETED).done
            if not finished:
                tell.show()
            for future in finished:
                shard = running.pop(future)
                try:
                    done = result_of(future)
                except BrokenProcessPool:
                    lost.append(shard)
                    continue
                manifest.finish(shard, done)
                tell(done)
            if lost:
                # a dead worker takes its pool along, with what the others had in hand
                wait(running)
                lost += running.values()
                running.clear()
                for shard in sorted(lost):
                    done = _run_alone(workers, how, threads, shard)
                    manifest.finish(shard, done)
                    tell(done)
    except BaseException:
        with suppress(MinicnnError):  # what stopped it says more than that the disk has no room for this either
            _write_broken(manifest, Path(how[0]))
        raise


def _retry(manifest: Manifest, workers: Workers, how: tuple[str, Job, str]) -> None:
    """Open the shards again in which an image that was broken can be read now."""
    shards = manifest.broken_shards()
    while some := list(islice(shards, workers.width)):
        asked = [(shard, workers.submit(is_any_readable, *how, shard)) for shard in some]
        manifest.reopen([shard.number for shard, future in asked if _is_readable(future, workers, how, shard)])


def _is_readable(future: Future[bool], workers: Workers, how: tuple[str, Job, str], shard: Shard) -> bool:
    try:
        return result_of(future)
    except BrokenProcessPool:
        # another shard's image may have ended the worker: asked again, with nothing beside it
        with suppress(BrokenProcessPool):
            return result_of(workers.restart().submit(is_any_readable, *how, shard))
        workers.restart()
        return False


def _run_alone(workers: Workers, how: tuple[str, Job, str], threads: int | None, shard: Shard) -> Done:
    """Do a shard with nothing beside it; if it kills its worker, find the images that do, and leave these out."""
    for number in range(len(shard.images) + 1):
        try:
            return result_of(workers.restart().submit(run_shard, *how, shard, threads))
        except BrokenProcessPool:
            if number == 0:
                shard = shard._replace(left_out=_killers(workers, how, threads, shard))
                if shard.left_out:
                    continue
            raise MinicnnError(
                f"batch: the worker processes die in shard {shard.number} ({shard.images[0].name} and after); is "
                "the memory full? fewer processes or a smaller batch size need less"
            ) from None
    raise AssertionError("a shard without images")


def _killers(workers: Workers, how: tuple[str, Job, str], threads: int | None, shard: Shard) -> frozenset[int]:
    """Return which images of a shard kill a worker by themselves."""
    killers = set()
    for i in range(len(shard.images)):
        others = frozenset(range(len(shard.images))) - {i}
        try:
            alone = shard._replace(left_out=others)
            result_of(workers.restart().submit(run_shard, *how, alone, threads, False))
        except BrokenProcessPool:
            killers.add(i)
    return frozenset(killers)


def _remove_partial(folder: Path) -> None:
    """Remove what killed workers were writing."""
    for below, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".part"):
                with suppress(OSError):
                    os.unlink(os.path.join(below, name))


def _write_network(net: Network, manifest: Manifest, folder: Path) -> None:
    """Write the network once, in the format that workers map into memory without reading it all."""
    from minicnn.io.load import save

    if not manifest.is_recorded("net.npz"):
        save(net, folder / "net.npz")
        manifest.note("net.npz")


def _write_broken(manifest: Manifest, folder: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", "reason"])
    writer.writerows(manifest.broken())
    write_atomically(folder / "broken.csv", text.getvalue().encode(), "batch")
