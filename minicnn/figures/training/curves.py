"""Curves of a training, ``curves.png``, and the page that holds them, ``training.html``."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn._utils.counted import counted
from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.report import Section, contact_sheet, save_png, write_page
from minicnn.report.chart import chart
from minicnn.training.recipe import Recipe
from minicnn.training.run import Epoch, find_best_epoch

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_curves", "round_up", "say_best", "write_training"]


def draw_curves(history: Sequence[Epoch], name: str = "network") -> Image:
    """Draw loss, accuracy and learning rate over the epochs, below each other.

    Parameters
    ----------
    history : sequence of at least one Epoch, as ``Training.history``
    name : str, of the network

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    MinicnnError
        If there is no epoch.

    Examples
    --------
    >>> draw_curves([Epoch(1, 2.3, 0.1, 2.2, 0.2, 0.1, 5.0), Epoch(2, 1.9, 0.3, 1.8, 0.4, 0.1, 5.0)]).mode
    'RGB'

    """
    charts = _draw_charts(history)
    rows = [[(picture, title)] for title, picture in charts.items()]
    width = max(picture.width for picture in charts.values())
    return contact_sheet(rows, (), f"Training of {name}", say_best(history), cell=width)


def write_training(
    folder: PathLike,
    history: Sequence[Epoch],
    recipe: Recipe | None = None,
    name: str = "network",
    notes: Sequence[str] = (),
) -> None:
    """Write ``curves.png`` and ``training.html``: the curves, all epochs and the recipe.

    Parameters
    ----------
    folder : str or Path, that exists
    history : sequence of at least one Epoch, as ``Training.history``
    recipe : Recipe, optional
    name : str, of the network
    notes : sentences that the page begins with

    Raises
    ------
    MinicnnError
        If there is no epoch, or a file can't be written.

    """
    folder = Path(folder)
    save_png(draw_curves(history, name), folder / "curves.png")
    planned = len(history) if recipe is None else recipe.epochs
    words = f"{len(history)} of {counted(planned, 'epoch')}"
    figures = [
        (picture, f"Curve of {title} over {counted(len(history), 'epoch')}", title)
        for title, picture in _draw_charts(history).items()
    ]
    sections = [
        Section("Result", (f"{words}. {say_best(history)}", *notes)),
        Section("Curves", figures=figures, links=[("all in one picture", "curves.png")]),
        Section("Epochs", table=_tabulate(history)),
    ]
    animation = folder / "layer.gif"
    if animation.is_file():
        words = "one frame an epoch: filters, and an image's feature maps"
        sections.insert(2, Section("A layer while it learns", figures=[(animation, f"Animation, {words}", words)]))
    if recipe is not None:
        sections.append(Section("Recipe", table=(("setting", "value"), list(_settings(recipe)))))
    write_page(folder / "training.html", f"Training of {name}", sections)


def say_best(history: Sequence[Epoch]) -> str:
    """Return which epoch was the best and what it measured, in a sentence.

    Examples
    --------
    >>> say_best([Epoch(1, 2.3, 0.1, 2.2, 0.2, 0.1, 5.0)])
    'The best epoch is 1, of the lowest validation loss: 2.2000, accuracy 20.00%.'
    >>> say_best([Epoch(1, 2.3, 0.1, None, None, 0.1, 5.0)])
    'After epoch 1: loss 2.3000, accuracy 10.00% of the images as they were learnt.'

    """
    best = history[find_best_epoch(history) - 1]
    if best.validation_accuracy is None:
        return (
            f"After epoch {best.epoch}: loss {best.loss:.4f}, accuracy {best.accuracy:.2%} of the images as they "
            "were learnt."
        )
    return (
        f"The best epoch is {best.epoch}, of the lowest validation loss: {best.validation_loss:.4f}, accuracy "
        f"{best.validation_accuracy:.2%}."
    )


def _draw_charts(history: Sequence[Epoch]) -> dict[str, Image]:
    """Return a chart of each of loss, accuracy and learning rate."""
    if not history:
        raise MinicnnError("draw_curves: expected at least one epoch, got none")
    best = find_best_epoch(history)
    # a chart has two points at least
    epochs = list(history) if len(history) > 1 else [history[0], history[0]]
    marks = {f"epoch {best}, the best": (best - 1) / (len(epochs) - 1)} if _is_validated(history) else {}
    charts = {}
    for title, learnt, held_out in (
        ("loss", [e.loss for e in epochs], [e.validation_loss for e in epochs]),
        ("accuracy", [e.accuracy for e in epochs], [e.validation_accuracy for e in epochs]),
        ("learning rate", [e.learning_rate for e in epochs], []),
    ):
        kept = [value for value in held_out if value is not None]
        curves = {"training" if held_out else title: learnt} | ({"validation": kept} if kept else {})
        values = [value for curve in curves.values() for value in curve]
        low, high = 0.0, round_up(max(values))
        if title == "accuracy":
            low, high = next(place for place in (0.95, 0.9, 0.75, 0.5, 0.0) if place <= min(values)), 1.0
        charts[title] = chart(curves, "epoch 1", f"epoch {len(history)}", low, high, marks=marks)
    return charts


def _is_validated(history: Sequence[Epoch]) -> bool:
    return history[-1].validation_loss is not None


def _tabulate(history: Sequence[Epoch]) -> tuple[list[str], list[list[str]]]:
    header = ["epoch", "loss", "accuracy", "validation loss", "validation accuracy", "learning rate", "seconds"]
    rows = []
    for e in history:
        held_out = ["" if e.validation_loss is None else f"{e.validation_loss:.4f}"]
        held_out += ["" if e.validation_accuracy is None else f"{e.validation_accuracy:.2%}"]
        learnt = [str(e.epoch), f"{e.loss:.4f}", f"{e.accuracy:.2%}"]
        rows.append([*learnt, *held_out, f"{e.learning_rate:.3g}", f"{e.seconds:.1f}"])
    if _is_validated(history):
        return header, rows
    return [*header[:3], *header[5:]], [[*row[:3], *row[5:]] for row in rows]


def _settings(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the lines of a recipe's file as names, with their section before them, and values."""
    rows, section = [], ""
    for line in recipe.to_toml().splitlines():
        if line.startswith("["):
            section = f"{line[1:-1]}."
        elif line:
            name, _, value = line.partition(" = ")
            rows.append((section + name, value))
    return rows


def round_up(value: float) -> float:
    """Return the end of an axis: 1, 2, 2.5 or 5 times a power of ten.

    Examples
    --------
    >>> round_up(2.31), round_up(0.05), round_up(0.0)
    (2.5, 0.05, 1.0)

    """
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9)))
