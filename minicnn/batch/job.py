"""What is done with every image: one record, which decides every byte of the answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError

__all__ = ["FORMATS", "MAPS", "TASKS", "Job"]

TASKS = ("predict", "saliency", "localise", "features")
FORMATS = ("parquet", "jsonl", "csv")
MAPS = ("npz", "png", "none")


@dataclass(frozen=True)
class Job:
    """What is done with every image.

    Parameters
    ----------
    task : "predict", "saliency", "localise" or "features"
    top : int, how many classes of each image; of "saliency" and "localise" it is the most probable one
    target : int, optional, the class of "saliency" and "localise" instead
    crops : "one", "ten" or "whole", the views of each image
    layer : str, optional, whose activations are the features; the last before the scores unless given
    method : str, of "localise"
    answers : "parquet", "jsonl" or "csv", how rows are written
    maps : "npz", "png" or "none", how maps and masks are written
    shard_size : int, images of a file of answers
    batch_size : int, images that go through the network at once, where they are of one shape

    Raises
    ------
    MinicnnError
        If a value is none of these.

    Examples
    --------
    >>> Job("features").answers
    'jsonl'

    """

    task: str = "predict"
    top: int = 5
    target: int | None = None
    crops: str = "one"
    layer: str | None = None
    method: str = "consensus"
    answers: str = "jsonl"
    maps: str = "npz"
    shard_size: int = 256
    batch_size: int = 8

    def __post_init__(self) -> None:
        """Refuse values that are none."""
        for name, value, choices in (
            ("task", self.task, TASKS),
            ("answers", self.answers, FORMATS),
            ("maps", self.maps, MAPS),
            ("crops", self.crops, ("one", "ten", "whole")),
        ):
            if value not in choices:
                raise MinicnnError(
                    f"batch: {name}: expected one of {', '.join(choices)}; {did_you_mean(str(value), choices)}"
                )
        for name in ("top", "shard_size", "batch_size"):
            if getattr(self, name) < 1:
                raise MinicnnError(f"batch: {name}: expected at least 1, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)
