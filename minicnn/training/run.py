"""A run: epochs of steps, and where it goes on after it was left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats import native
from minicnn.io.digest import digest_network
from minicnn.layers import sequence
from minicnn.network import Network
from minicnn.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from minicnn.training.data.dataset import Dataset
from minicnn.training.data.loader import Batch, Loader, generator
from minicnn.training.features import change_each_epoch, find_features
from minicnn.training.frozen import cut_below_training
from minicnn.training.measure import Measured, measure_batches
from minicnn.training.recipe import Recipe
from minicnn.training.schedule import learning_rate
from minicnn.training.step import NotFiniteError, StepResult, Trainer

__all__ = ["Data", "Epoch", "Run", "Training", "find_best_epoch"]

LAST, BEST = "last.npz", "best.npz"
SAVE_EVERY = 60.0  # seconds, within a long epoch
SAVE_SHARE = 0.1  # of the time, that checkpoints of short epochs may take
SHOWN = 8  # images that an error names
DROPOUT = 1 << 40  # parts dropout's generators from those of images


@dataclass(frozen=True)
class Epoch:
    """What an epoch measured.

    Attributes
    ----------
    epoch : int, from 1
    loss, accuracy : float, of the images as they were learnt, each before the step that learnt it
    validation_loss, validation_accuracy : float, None without validation
    learning_rate : float, of the last step
    seconds : float

    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


class Training(NamedTuple):
    """What training gave.

    Attributes
    ----------
    net : Network, trained: as the best epoch left it, where there was validation, or else the last
    history : list of Epoch
    best_epoch : int, from 1: of the lowest validation loss, or the last

    """

    net: Network
    history: list[Epoch]
    best_epoch: int


class Data(NamedTuple):
    """What a run learns from and is measured on.

    Attributes
    ----------
    train : Dataset
    validation : Dataset, or None
    workers : int, threads that make batches

    """

    train: Dataset
    validation: Dataset | None
    workers: int


@dataclass(frozen=True)
class _Totals:
    """Sums over the images of an epoch so far, and the seconds that it took."""

    loss: float = 0.0
    correct: int = 0
    images: int = 0
    seconds: float = 0.0

    def plus(self, result: StepResult, seconds: float) -> _Totals:
        loss = self.loss + result.loss * result.images
        return _Totals(loss, self.correct + result.correct, self.images + result.images, self.seconds + seconds)


class Run:
    """A run; ``epoch`` does one, and returns what it measured.

    Parameters
    ----------
    net : Network
    data : Data
    recipe : Recipe
    seed : int
    folder : Path, optional
        Where checkpoints are written.
    keep_every : int
        Keep the network of each n-th epoch there; 0 for none.

    Attributes
    ----------
    first_loss : float, of the first batch before the first step; None before it

    """

    def __init__(
        self, net: Network, data: Data, recipe: Recipe, seed: int, folder: Path | None, keep_every: int = 0
    ) -> None:
        self.recipe, self.seed, self.folder, self._net = recipe, seed, folder, net
        cut = cut_below_training(net, recipe)
        self.trainer = Trainer(net, recipe) if cut is None else Trainer(cut.tail, cut.recipe)
        self._trunk = None if cut is None else cut.trunk
        self.keep_every = keep_every
        self.history: list[Epoch] = []
        self.first_loss: float | None = None
        keeps = self._trunk is None or change_each_epoch(recipe)
        self._loader = Loader(data.train, net, recipe, seed, data.workers, keep_images=keeps)
        self._validation: Loader | None = None
        if data.validation is not None:
            held_out = data.validation.with_labels(data.train.labels)
            self._validation = Loader(held_out, net, recipe, seed, data.workers, self._trunk is None)
        self._best, self._is_best_new = self.trainer.net_arrays(), False
        self._saved = self._save_seconds = 0.0  # when a checkpoint was written, and how long that took
        self._batch, self._totals = 0, _Totals()
        self._described = json.loads(json.dumps(_describe(net, data, recipe, seed)))

    # epochs

    @property
    def best_epoch(self) -> int:
        """Number, from 1, of the epoch of the lowest validation loss, or of the last."""
        return find_best_epoch(self.history)

    def is_done(self) -> bool:
        """Return whether all epochs are, or none has been better for as long as the recipe's patience."""
        waited = len(self.history) - self.best_epoch
        return len(self.history) >= self.recipe.epochs or 0 < self.recipe.patience <= waited

    def epoch(self, stop: Callable[[], bool], on_step: Callable[[int, StepResult], Any] | None) -> Epoch:
        """Do what is left of the next epoch; where ``stop`` says so, keep all and raise KeyboardInterrupt."""
        self._find_features(stop)
        number, start_of_epoch = len(self.history), time.monotonic()
        batches = self._loader.epoch(number, self._batch)
        rate = 0.0
        while together := list(islice(batches, self.recipe.accumulate)):
            start = time.perf_counter()
            rate, result = self._step(number, together)
            if self.trainer.steps == 1:
                self.first_loss = result.loss
            self._batch += len(together)
            self._totals = self._totals.plus(result, time.perf_counter() - start)
            if on_step is not None:
                on_step(self._batch, result)
            if stop():
                self._save()
                raise KeyboardInterrupt
            if time.monotonic() - max(self._saved, start_of_epoch) > SAVE_EVERY:
                self._save()
        return self._finish(number, rate)

    def _step(self, epoch: int, together: list[Batch]) -> tuple[float, StepResult]:
        """Make a step from batches of an epoch; return its learning rate and what it measured."""
        at = epoch + self._batch / self._loader.batches_per_epoch()
        rate = learning_rate(self.recipe.schedule, self.recipe.optimiser.learning_rate, at, self.recipe.epochs)
        rngs = [generator(self.seed, epoch, DROPOUT + self._batch + i) for i in range(len(together))]
        if self._trunk is not None and self._loader.features is None:
            together = [batch._replace(x=self._trunk(batch.x)) for batch in together]
        try:
            return rate, self.trainer.step(together, rate, rngs)
        except NotFiniteError as error:
            raise MinicnnError(
                f"{error}; its images are {self._name(error.numbers)}; try a smaller learning rate, a longer "
                "warm_up or clip_norm = 1"
            ) from None

    def _name(self, numbers: np.ndarray) -> str:
        """Name the first images of a batch; all of them in a file, where there is a folder."""
        names = [self._loader.dataset.name(int(i)) for i in numbers]
        listed = ", ".join(names[:SHOWN])
        if len(names) <= SHOWN:
            return listed
        where = ""
        if self.folder is not None:
            path = self.folder / "not_finite.txt"
            path.write_text("\n".join(names) + "\n", encoding="utf-8", errors="surrogateescape")
            where = f", listed in {path}"
        return f"{listed} and {len(names) - SHOWN} more{where}"

    def _find_features(self, stop: Callable[[], bool]) -> None:
        """Let the loaders hand out what the frozen layers make of each image, where that is always the same."""
        loaders = {"validation.features": self._validation}
        if not change_each_epoch(self.recipe):
            loaders["train.features"] = self._loader
        for name, loader in loaders.items():
            if self._trunk is not None and loader is not None and loader.features is None:
                path = None if self.folder is None else self.folder / name
                loader.features = find_features(self._trunk, loader, path, stop)

    def _measure(self, loader: Loader) -> Measured:
        """Measure the network as it is now."""
        net = self.trainer.net
        return measure_batches(net if self._trunk is None or loader.features is not None else self.net, loader)

    @property
    def net(self) -> Network:
        """The network with the parameters as they are now, or with their averages."""
        return self._net_of(self.trainer.net_arrays())

    def _net_of(self, arrays: Mapping[str, np.ndarray]) -> Network:
        return self._net.with_layers(sequence.with_state_dict(self._net.named_layers, arrays))

    def _finish(self, number: int, rate: float) -> Epoch:
        """Measure the epoch that is done, and keep where the run is."""
        totals, start = self._totals, time.perf_counter()
        measured = None if self._validation is None else self._measure(self._validation)
        epoch = Epoch(
            number + 1,
            totals.loss / totals.images,
            totals.correct / totals.images,
            None if measured is None else measured.loss,
            None if measured is None else measured.accuracy,
            rate,
            round(totals.seconds + time.perf_counter() - start, 3),
        )
        self.history.append(epoch)
        self._batch, self._totals = 0, _Totals()
        if self.best_epoch == epoch.epoch:
            self._best, self._is_best_new = self.trainer.net_arrays(), True
        if self.folder is not None and self.keep_every and epoch.epoch % self.keep_every == 0:
            # before the checkpoint, or a kill between the two would lose it
            native.write(self.folder / f"epoch-{epoch.epoch:04}.npz", self.net)
        if self.is_done() or self._save_seconds <= SAVE_SHARE * (time.monotonic() - self._saved):
            self._save()
        return epoch

    def result(self) -> Training:
        """Return the network of the best epoch and what all epochs measured."""
        return Training(self._net_of(self._best), list(self.history), self.best_epoch)

    # where it goes on

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if it has one of this run; return whether it has."""
        kept = None if self.folder is None else read_checkpoint(self.folder / LAST, self._described)
        if kept is None:
            return False
        self.trainer.restore(kept.arrays, kept.steps)
        self._best = {name: kept.arrays[f"best {name}"] for name in self._best}
        self.history = [Epoch(**epoch) for epoch in kept.history]
        self._batch, self._totals = kept.batch, _Totals(**kept.totals)
        self.first_loss = kept.first_loss
        return True

    def _save(self) -> None:
        """Write the best network, where it is new, and the checkpoint."""
        if self.folder is None:
            return
        start = time.monotonic()
        if self._is_best_new:
            native.write(self.folder / BEST, self.result().net)
            self._is_best_new = False
        best = {f"best {name}": array for name, array in self._best.items()}
        where = Checkpoint(
            arrays=self.trainer.arrays() | best,
            batch=self._batch,
            steps=self.trainer.steps,
            history=[asdict(epoch) for epoch in self.history],
            totals=asdict(self._totals),
            run=self._described,
            first_loss=self.first_loss,
        )
        write_checkpoint(self.folder / LAST, where)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - start


def find_best_epoch(history: Sequence[Epoch]) -> int:
    """Return the number of the epoch of the lowest validation loss, the first of equal ones; or of the last.

    Examples
    --------
    >>> find_best_epoch([Epoch(n, 1.0, 0.5, loss, 0.5, 0.1, 1.0) for n, loss in ((1, 0.9), (2, 0.8), (3, 0.8))])
    2

    """
    losses = [(epoch.validation_loss, epoch.epoch) for epoch in history if epoch.validation_loss is not None]
    return min(losses)[1] if losses else len(history)


def _describe(net: Network, data: Data, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Say what must be the same for a run to go on from a checkpoint."""
    return {
        "network": digest_network(net)["sha256"],
        "data": data.train.digest(),
        "validation": data.validation and data.validation.digest(),
        "recipe": recipe.to_dict(),
        "seed": seed,
        "device": net.device,
    }
