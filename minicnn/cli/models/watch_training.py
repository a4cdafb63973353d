"""What is seen while ``minicnn train`` runs: lines, a bar, the metrics, curves and the page of them."""

from __future__ import annotations

import csv
import io
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli.loop.printing import PROGRESS_SECONDS, complain, print_json
from minicnn.cli.parsing.loudness import is_quiet

if TYPE_CHECKING:
    import numpy as np

    from minicnn.training import Dataset, Epoch
    from minicnn.training.run import Run
    from minicnn.training.step import StepResult

__all__ = ["Progress", "Watch"]

PAGE_SHARE = 0.05  # of the time, that writing the page may take
MEMORY = 0.95  # of the loss that is shown from step to step


class Watch:
    """Prints and writes what a run measured; ``epoch`` and ``step`` are for ``training.fit`` to call.

    Parameters
    ----------
    arguments : Namespace, of the command
    train : Dataset
    name : str, of the network
    is_drawn : bool, whether its scores come from weights that were drawn and never trained
    image : array of shape (H, W, C), whose feature maps an animation shows

    """

    def __init__(self, arguments: Namespace, train: Dataset, name: str, is_drawn: bool, image: np.ndarray) -> None:
        self.folder, self.prints, self.name = Path(arguments.output), not arguments.json, name
        self.num_classes = len(train.labels)
        self.history: Sequence[Epoch] = ()
        self._form = arguments.json
        self._is_drawn = is_drawn and self.num_classes > 1
        self.first_loss: float | None = None
        self._animated: str | None = arguments.animate
        self._image = image
        self._write_events: Callable[[Run], None] | None = None
        if arguments.tensorboard is not None:
            from minicnn.training.tensorboard import write_events

            self._write_events = write_events(arguments.tensorboard)
        self._progress = Progress(len(train))
        self._is_started = False
        self._page = (0.0, 0.0)  # when it was written, and how long that took

    def epoch(self, run: Run) -> None:
        """Take notice of where a run starts, or of an epoch that is done."""
        from minicnn.report.files import write_atomically

        done, planned = len(run.history), run.recipe.epochs
        is_start, self._is_started = not self._is_started, True
        self._progress.start_epoch(done + 1, planned)
        if is_start:
            # not before: the folder of another run is refused, and keeps its recipe
            write_atomically(self.folder / "recipe.toml", run.recipe.to_toml().encode(), "train")
            if self._is_drawn and run.trainer.steps:
                self.first_loss, self._is_drawn = run.first_loss, False  # it was said when it was new
        elif self.prints:
            print(_format(run.history[-1], planned), flush=True)
        elif self._form == "jsonl":
            print_json(asdict(run.history[-1]), "jsonl")
        self.history = run.history
        if self._write_events is not None:
            self._write_events(run)
        if self._animated is not None:
            self._draw_frame(run, is_start)
        if done:
            write_atomically(self.folder / "metrics.csv", _metrics(run.history), "train")
            self._write_page(run)
        if not is_start and self.prints and run.is_done() and done < planned:
            print(f"stopped early: no lower validation loss for {run.recipe.patience} epochs")

    def step(self, batch: int, result: StepResult) -> None:
        """Take notice of a step."""
        if self._is_drawn:
            self._check_first_loss(result.loss)
            self._is_drawn = False
        self._progress.move(result)

    def close(self) -> None:
        """Clear the bar."""
        self._progress.close()

    def _check_first_loss(self, loss: float) -> None:
        from minicnn.training.first_loss import explain_first_loss

        self.first_loss = loss
        if self.prints:
            print(self._say_first_loss(), flush=True)
        if warning := explain_first_loss(loss, self.num_classes):
            complain(warning)

    def _say_first_loss(self) -> str:
        return f"first loss {self.first_loss:.2f} (ln {self.num_classes} = {log(self.num_classes):.2f})"

    def _draw_frame(self, run: Run, is_start: bool) -> None:
        """Draw the layer as it is now, and at the end make the animation."""
        from PIL.Image import fromarray

        from minicnn.figures.training.animation import FRAMES, write_animation, write_frame

        done, is_new = len(run.history), run.trainer.steps == 0
        if is_new:
            for old in [*self.folder.glob("frames/epoch-*.png"), self.folder / "layer.gif"]:
                old.unlink(missing_ok=True)
        # where a run goes on within an epoch, the network is no epoch's
        if is_new or (not is_start and (done % -(-run.recipe.epochs // FRAMES) == 0 or run.is_done())):
            image = fromarray(self._image.squeeze(axis=2) if self._image.shape[2] == 1 else self._image)
            write_frame(self.folder, run.net, done, self._animated or None, image)
        if run.is_done() and not is_start:
            write_animation(self.folder)

    def _write_page(self, run: Run) -> None:
        """Write the page, at the end or when it costs little."""
        from minicnn.figures.training.curves import write_training

        now, (last, seconds) = time.monotonic(), self._page
        if run.is_done() or seconds <= PAGE_SHARE * (now - last):
            notes = [] if self.first_loss is None else [f"{self._say_first_loss()}.".capitalize()]
            write_training(self.folder, run.history, run.recipe, self.name, notes)
            self._page = now, time.monotonic() - now


class Progress:
    """Progress on stderr: a bar for a person to see, else a line every ten seconds.

    Parameters
    ----------
    images : int, of an epoch

    """

    def __init__(self, images: int) -> None:
        self.images = images
        self._bar: Any = None
        self._last = time.monotonic()
        self._start: float | None = None  # when the first step was done: what it compiled says nothing of others
        self._seen = self._done = 0  # images since then, and of the epoch
        self._epoch = self._epochs = 1
        self._loss = self._accuracy = 0.0

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Begin an epoch of so many."""
        self._epoch, self._epochs, self._done = epoch, epochs, 0
        self.close()

    def close(self) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def move(self, result: StepResult) -> None:
        """Count the images of a step."""
        share = 1.0 if self._start is None else 1 - MEMORY
        self._loss += share * (result.loss - self._loss)
        self._accuracy += share * (result.correct / result.images - self._accuracy)
        self._done += result.images
        if self._start is None:
            self._start = time.monotonic()
        else:
            self._seen += result.images
        if is_quiet():
            return
        if sys.stderr.isatty():
            self._move_bar(result.images)
        elif (now := time.monotonic()) - self._last >= PROGRESS_SECONDS:
            self._last = now
            done = f"epoch {self._epoch}/{self._epochs}, {self._done} of {self.images} images"
            complain(f"{done}: {', '.join([*self._measured(), *self._foretold()])}")

    def _move_bar(self, images: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            words = f"epoch {self._epoch}/{self._epochs}"
            self._bar = tqdm(total=self.images, desc=words, unit="image", leave=False, dynamic_ncols=True)
        # the bar has its own images a second
        self._bar.set_postfix_str(", ".join([*self._measured(), *self._foretold()[1:]]), refresh=False)
        self._bar.update(images)

    def _measured(self) -> list[str]:
        return [f"loss {self._loss:.3f}", f"accuracy {self._accuracy:.1%}"]

    def _foretold(self) -> list[str]:
        """Return images a second, and how long all epochs will take from now, once two steps have told."""
        if not self._seen or self._start is None:
            return []
        speed = self._seen / max(time.monotonic() - self._start, 1e-9)
        seconds = round((self.images * (self._epochs - self._epoch + 1) - self._done) / speed)
        shown = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
        return [f"{shown} images/s", f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"]


def _metrics(history: list[Epoch]) -> bytes:
    """Return the epochs as lines of a CSV, whole, since a run that was killed may have lost the last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(history[0])])
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue().encode()


def _format(epoch: Epoch, epochs: int) -> str:
    measured = ""
    if epoch.validation_loss is not None:
        measured = f"   validation {epoch.validation_loss:.4f} {epoch.validation_accuracy:7.2%}"
    return (
        f"epoch {epoch.epoch:3}/{epochs}   loss {epoch.loss:.4f} {epoch.accuracy:7.2%}{measured}   "
        f"rate {epoch.learning_rate:.2g}   {epoch.seconds:.1f} s"
    )
