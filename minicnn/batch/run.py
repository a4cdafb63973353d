"""A batch, as it is called: shards go to worker processes, and what is done is noted at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
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
from minicnn.batch.workers import Workers, open_workers
from minicnn.errors import MinicnnError
from minicnn.io.digest import digest_network
from minicnn.network import Network
from minicnn.report.files import make_folder, write_atomically

__all__ = ["Summary", "run_batch"]

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

    """

    images: int
    answered: int
    broken: int
    worked_on: int
    folder: str


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
    on_shard : function of (images done, of how many, broken), optional, called after each shard

    Returns
    -------
    summary : Summary

    Raises
    ------
    MinicnnError
        If the folder holds another batch, another run writes there, a file can't be written, or too many images
        are broken.  What was done until then is kept, and a rerun goes on from there.

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
        manifest.reopen_files()
        if changed:
            manifest.reopen_changed()
        _write_network(net, folder)
        how, tell = (str(folder), job, net.device), _Progress(manifest, total, fail_rate, on_shard)
        counts = manifest.count()
        if counts["open"] or counts["broken"]:
            workers = usable_cores() if workers is None else workers
            with open_workers(workers) as pool:
                _retry(manifest, pool, how)
                _run_shards(manifest, pool, how, 1 if workers else None, tell)
        _write_broken(manifest, folder)
        counts = manifest.count()
    finally:
        manifest.close()
    return Summary(total, counts["done"], counts["broken"], tell.worked_on, str(folder))


class _Progress:
    """What is told after each shard, and when too much is broken to go on."""

    def __init__(
        self, manifest: Manifest, total: int, fail_rate: float, on_shard: Callable[[int, int, int], Any] | None
    ) -> None:
        self.manifest, self.total, self.fail_rate, self.on_shard = manifest, total, fail_rate, on_shard
        self.worked_on = 0

    def __call__(self, shard: Shard) -> None:
        self.worked_on += len(shard.images)
        counts = self.manifest.count()
        seen = counts["done"] + counts["broken"]
        if self.on_shard is not None:
            self.on_shard(seen, self.total, counts["broken"])
        if seen >= min(ENOUGH, self.total) and counts["broken"] > self.fail_rate * seen:
            raise MinicnnError(
                f"batch: {counts['broken']} of {seen} images are broken, more than the share of "
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
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                shard = running.pop(future)
                try:
                    manifest.finish(shard, future.result())
                except BrokenProcessPool:
                    lost.append(shard)
                    continue
                except CancelledError:
                    raise MinicnnError(
                        "batch: the scheduler is lost; once it is there again, the same command goes on"
                    ) from None
                tell(shard)
            if lost:
                # a dead worker takes its pool along, with what the others had in hand
                lost += running.values()
                running.clear()
                for shard in sorted(lost):
                    manifest.finish(shard, _run_alone(workers, how, threads, shard))
                    tell(shard)
    except BaseException:
        _write_broken(manifest, Path(how[0]))
        raise


def _retry(manifest: Manifest, workers: Workers, how: tuple[str, Job, str]) -> None:
    """Open the shards again in which an image that was broken can be read now."""
    asked = [(shard.number, workers.submit(is_any_readable, *how, shard)) for shard in manifest.broken_shards()]
    manifest.reopen(number for number, future in asked if future.result())


def _run_alone(workers: Workers, how: tuple[str, Job, str], threads: int | None, shard: Shard) -> Done:
    """Do a shard with nothing beside it; if it kills its worker, find the images that do, and leave these out."""
    for number in range(len(shard.images) + 1):
        try:
            return workers.restart().submit(run_shard, *how, shard, threads).result()
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
            workers.restart().submit(run_shard, *how, shard._replace(left_out=others), threads, False).result()
        except BrokenProcessPool:
            killers.add(i)
    return frozenset(killers)


def _write_network(net: Network, folder: Path) -> None:
    """Write the network once, in the format that workers map into memory without reading it all."""
    from minicnn.io.load import save

    if not (folder / "net.npz").exists():
        save(net, folder / "net.npz")


def _write_broken(manifest: Manifest, folder: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", "reason"])
    writer.writerows(manifest.broken())
    write_atomically(folder / "broken.csv", text.getvalue().encode(), "batch")
