"""What a network answers to each image, and the CSV that holds it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from minicnn.errors import ImageError
from minicnn.report.files import write_atomically

__all__ = ["Answer", "AnswerFile", "open_answers"]

FIELDS = (
    "number",
    "image",
    "crops",
    "views",
    "class",
    "label",
    "predicted",
    "predicted_label",
    "probability",
    "class_probability",
    "rank",
    "loss",
)


class Answer(NamedTuple):
    """What a network says of an image.

    Attributes
    ----------
    number : int, of the image in its data set
    image : str, its name
    crops : "one", "ten" or "whole", and ``views``, int, over how many views probabilities are means
    target, predicted : ints, the right class and the most probable one
    probability, target_probability : floats, of the two
    rank : int, of the right class: 1 where it is the most probable

    """

    number: int
    image: str
    crops: str
    views: int
    target: int
    predicted: int
    probability: float
    target_probability: float
    rank: int

    @property
    def loss(self) -> float:
        """The negative logarithm of the right class's probability."""
        return -math.log(max(self.target_probability, 5e-324))


class AnswerFile:
    """Answers in a CSV, each a line as soon as it is there.

    Attributes
    ----------
    answers : list of Answer, those that the file holds

    """

    def __init__(self, answers: list[Answer], file: TextIO | None, labels: Sequence[str] | None) -> None:
        self.answers, self._file, self._labels = answers, file, labels

    def append(self, answers: Sequence[Answer]) -> None:
        """Add the answers to an image."""
        self.answers += answers
        if self._file is not None:
            # at once, so that a run that is cut off leaves all of them or none
            self._file.write("".join(_line(_cells(answer, self._labels)) for answer in answers))
            self._file.flush()


@contextmanager
def open_answers(path: Path | None, labels: Sequence[str] | None) -> Iterator[AnswerFile]:
    """Yield the answers of a file, to which more can be added; None: of no file.

    Raises
    ------
    ImageError
        If it can't be written.

    """
    if path is None:
        yield AnswerFile([], None, labels)
        return
    answers = _read(path)
    lines = [_line(FIELDS), *(_line(_cells(answer, labels)) for answer in answers)]
    # anew, without a line that was cut off
    write_atomically(path, "".join(lines).encode("utf-8", "surrogateescape"), "open_answers")
    try:
        with open(path, "a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield AnswerFile(answers, file, labels)
    except OSError as error:
        raise ImageError(f"{path}: can't be written ({error.strerror or error})") from error


def _cells(answer: Answer, labels: Sequence[str] | None) -> list[object]:
    number, image, crops, views, target, predicted, probability, target_probability, rank = answer
    own, other = ("", "") if labels is None else (labels[target], labels[predicted])
    values = (probability, target_probability, rank, f"{answer.loss:.6g}")
    return [number, image, crops, views, target, own, predicted, other, *values]


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _read(path: Path) -> list[Answer]:
    """Return the answers that a file holds whole."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        text = file.read()
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))[1:]
    return [answer for row in rows if (answer := _parse(row)) is not None]


def _parse(row: Sequence[str]) -> Answer | None:
    try:
        number, image, crops, views, target, _, predicted, _, probability, target_probability, rank, _ = row
        numbers = int(views), int(target), int(predicted), float(probability), float(target_probability), int(rank)
        return Answer(int(number), image, crops, *numbers)
    except ValueError:
        return None
