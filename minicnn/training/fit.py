"""Training, as it is called."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from minicnn._utils.types import PathLike
from minicnn.network import Network
from minicnn.report.files import make_folder
from minicnn.training.data.background import count_processors
from minicnn.training.data.dataset import Dataset
from minicnn.training.recipe import Recipe
from minicnn.training.run import Data, Epoch, Run, Training
from minicnn.training.step import StepResult

__all__ = ["fit"]


def fit(
    net: Network,
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    validation: Dataset | None = None,
    epochs: int | None = None,
    seed: int = 0,
    checkpoint: PathLike | None = None,
    resume: bool = True,
    workers: int | None = None,
    on_epoch: Callable[[Epoch], Any] | None = None,
    on_step: Callable[[int, StepResult], Any] | None = None,
    watch: Callable[[Run], Any] | None = None,
    keep_every: int = 0,
) -> Training:
    """Train a network.

    The same network, data, recipe and seed give the same bits on the same kind of machine, at any number of
    threads and workers, and whether or not the run was interrupted.

    Parameters
    ----------
    net : Network
        Stays as it is; it trains on its own device.
    dataset : Dataset
    recipe : Recipe, optional
    validation : Dataset, optional
        Measured after each epoch; decides which epoch is the best.
    epochs : int, optional
        Instead of the recipe's.
    seed : int
        Of the order of images, their augmentation and dropout.
    checkpoint : path of a folder, optional
        Where ``last.npz``, which a run goes on from, and ``best.npz``, a network, are written: after each epoch
        (of short epochs, after so many that writing takes a tenth of the time), each minute, and when interrupted.
    resume : bool
        Whether to go on from a checkpoint of the same run that lies there.
    workers : int, optional
        Threads that read and change images meanwhile; as many as processors unless given, 0 for none.
    on_epoch : function of an Epoch, optional
    on_step : function of (batches done in this epoch, StepResult), optional
    watch : function of a Run, optional
        Called before the first epoch, with what it goes on from, and after each: ``run.history``,
        ``run.best_epoch``, ``run.net``, the network as it is now.
    keep_every : int
        Keep the network of each n-th epoch beside the checkpoint, ``epoch-0010.npz``; 0 for none.

    Returns
    -------
    training : Training

    Raises
    ------
    MinicnnError
        If the network has no preprocessing, data and network do not fit, the loss is not finite, or the checkpoint
        is of another run or can't be written.
    KeyboardInterrupt
        After Ctrl-C, once the step is done and the checkpoint is written.

    References
    ----------
    The paper, section 1: SGD with momentum and weight decay, dropout, and the augmentations of Krizhevsky et al.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Preprocess, layers
    >>> rng = np.random.default_rng(0)
    >>> bright = rng.integers(0, 2, 40)
    >>> pixels = np.uint8(rng.integers(0, 100, (40, 4, 4)) + 100 * bright[:, None, None])
    >>> grey = Preprocess((4, 4), channels="L", mean=(0.4,), std=(0.3,))
    >>> net = Network([layers.Flatten(), layers.Linear(16, 2)], input_shape=(1, 4, 4), preprocess=grey)
    >>> training = fit(net, Dataset(pixels, bright), epochs=5, workers=0)
    >>> len(training.history), training.history[-1].accuracy
    (5, 1.0)

    """
    recipe = recipe or Recipe()
    recipe = recipe if epochs is None else recipe.with_settings({"epochs": epochs})
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        make_folder(folder)  # a folder that can't be written to is refused before the first step
    workers = count_processors() if workers is None else workers
    run = Run(net, Data(dataset, validation, workers), recipe, seed, folder, keep_every)
    if resume:
        run.resume()
    if watch is not None:
        watch(run)
    with _signals_after_the_step() as stop:
        while not run.is_done():
            epoch = run.epoch(stop, on_step)
            if on_epoch is not None:
                on_epoch(epoch)
            if watch is not None:
                watch(run)
    return run.result()


@contextmanager
def _signals_after_the_step() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back; the function given says whether one came, which is delivered at the end."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            deliver()  # a second one does not wait

    def deliver() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[-1:]:
            signal.raise_signal(number)

    before: dict[int, Any] = {}
    # only the main thread may take signals, and what would end the process at once is left as it is
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        deliver()
