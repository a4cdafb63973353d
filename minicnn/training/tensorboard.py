"""What a run measured, as TensorBoard's event files."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from importlib import import_module

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.training.run import Run

__all__ = ["write_events"]


def write_events(folder: PathLike) -> Callable[[Run], None]:
    """Return a ``watch`` for ``training.fit`` that writes loss, accuracy and learning rate of each epoch.

    Parameters
    ----------
    folder : str or Path
        For ``tensorboard --logdir``; made if it is not there.

    Raises
    ------
    MinicnnError
        If tensorboardX is not installed, or the folder can't be written.

    """
    try:
        writer = import_module("tensorboardX").SummaryWriter(str(folder))
    except ImportError:
        raise MinicnnError("tensorboardX is not installed; pip install 'minicnn-engine[tensorboard]'") from None
    except OSError as error:
        raise MinicnnError(f"{folder}: can't be written ({error.strerror or error})") from None
    # a run that is interrupted keeps its epochs too; closing twice does nothing
    atexit.register(writer.close)
    written: int | None = None

    def watch(run: Run) -> None:
        nonlocal written
        # when a run goes on, what it did before is in the files of before
        before, written = len(run.history) if written is None else written, len(run.history)
        for epoch in run.history[before:]:
            values = {
                "loss/training": epoch.loss,
                "loss/validation": epoch.validation_loss,
                "accuracy/training": epoch.accuracy,
                "accuracy/validation": epoch.validation_accuracy,
                "learning_rate": epoch.learning_rate,
            }
            for name, value in values.items():
                if value is not None:
                    writer.add_scalar(name, value, epoch.epoch)
        # a flush alone leaves what still waits for the writer's thread
        writer.close() if run.is_done() else writer.flush()

    return watch
