"""Workers on other machines: Dask's scheduler as an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from minicnn.errors import MinicnnError

__all__ = ["choose_workers", "open_cluster"]

SECONDS = 10  # until a scheduler must have answered


@contextmanager
def open_cluster(address: str) -> Iterator[Executor]:
    """Yield the workers of a Dask scheduler.

    A shard whose worker is lost is given to another one, by Dask.  A scheduler that is lost ends the run, and a
    rerun goes on by the manifest.

    Parameters
    ----------
    address : str, such as "tcp://10.0.0.1:8786"

    Raises
    ------
    MinicnnError
        If Dask is not installed, or nothing answers there.

    """
    try:
        from distributed import Client
    except ImportError:
        raise MinicnnError("--scheduler needs Dask; pip install 'minicnn-engine[scale]'") from None
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MinicnnError(
            f"scheduler: nothing answers at {address} ({error}); is dask scheduler running?"
        ) from None
    try:
        yield _Cluster(client)
    finally:
        client.close(timeout=SECONDS)


@contextmanager
def choose_workers(scheduler: str | None, processes: int | None) -> Iterator[int | Executor | None]:
    """Yield the workers of Dask's scheduler, or, without one, how many processes of this machine are asked for."""
    if scheduler is None:
        yield processes
    else:
        with open_cluster(scheduler) as executor:
            yield executor


class _Cluster(Executor):
    """Dask's workers, however many there are by now."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # not pure, or a shard that is done again would be answered from memory
        self._executor = client.get_executor(pure=False)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = self._executor.submit(function, *arguments, **named)
        return future

    def width(self) -> int:
        """Return how many tasks keep all busy: one in hand and one that waits, for each thread of a worker."""
        return 2 * sum(self._client.nthreads().values())
