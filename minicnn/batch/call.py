"""A batch, as programs call it: what ``minicnn batch`` does, in one function."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from minicnn._utils.types import PathLike
from minicnn.batch.cluster import choose_workers
from minicnn.batch.inputs import list_inputs
from minicnn.batch.job import Job
from minicnn.batch.manifest import recorded_task
from minicnn.batch.rows import has_pyarrow
from minicnn.batch.runner import Summary, run_batch
from minicnn.network import Network

__all__ = ["MANY", "choose_answers", "run"]

MANY = 10_000  # images that a batch is meant for, by which "auto" chooses the device


def choose_answers(out: PathLike) -> str:
    """Return how rows are written unless it is said: as a folder has them, else as Parquet if pyarrow is there.

    Parameters
    ----------
    out : path of a folder, which need not be there

    Returns
    -------
    answers : "parquet", "jsonl" or "csv"

    Examples
    --------
    >>> choose_answers("nowhere") in ("parquet", "jsonl")
    True

    """
    return str(recorded_task(out).get("answers") or ("parquet" if has_pyarrow() else "jsonl"))


def run(
    source: PathLike | Iterable[PathLike],
    do: str,
    out: PathLike,
    net: Network | PathLike = "efficientnet-lite0",
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    **settings: Any,
) -> Summary:
    """Answer a folder of images into another one, shard by shard; what an earlier run has done is done.

    Parameters
    ----------
    source : image, folder, pattern, tar file or table, or several of them
        See ``list_inputs``.
    do : "predict", "saliency", "localise" or "features"
    out : path of a folder, made if there is none
    net : Network, or what ``minicnn.load`` takes
    workers : int, optional
        Processes of one thread each, 0 for none but this one; one a usable core unless given.
    scheduler : str, optional
        Dask's, such as "tcp://10.0.0.1:8786", whose workers see the same folders, instead of processes here.
    **settings
        Further fields of a ``Job``: top, target, crops, layer, method, answers, maps, shard_size, batch_size.
        Without ``answers``, rows are Parquet where pyarrow is installed, else JSON lines.

    Returns
    -------
    summary : Summary
        ``done``, ``failed`` and ``pending`` count the images; ``broken.csv`` names those that failed.

    Raises
    ------
    MinicnnError
        As ``run_batch``; or if the source holds no image, or the scheduler is not there.

    Examples
    --------
    >>> import tempfile
    >>> from minicnn import batch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = batch.run("notebooks/images/seven.png", "predict", folder, net="digits", workers=0)
    >>> summary.done, summary.failed, summary.pending
    (1, 0, 0)

    """
    from minicnn.io.load import load

    job = Job(do, **{"answers": choose_answers(out), **settings})
    words = [source] if isinstance(source, str | os.PathLike) else source
    images = list_inputs([os.fspath(word) for word in words], os.fspath(out))
    network = net if isinstance(net, Network) else load(net).to("auto", images=MANY)
    with choose_workers(scheduler, workers) as chosen:
        return run_batch(network, images, out, job, workers=chosen)
