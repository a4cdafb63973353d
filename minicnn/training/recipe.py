"""A recipe: everything that decides how a network is trained, in one file that people read and write (TOML)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from minicnn._utils.missing import missing_file
from minicnn._utils.suggest import did_you_mean
from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError

__all__ = ["Augment", "Loss", "Optimiser", "Recipe", "Schedule", "read_recipe"]


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise MinicnnError(f"recipe: {name}: expected one of {', '.join(choices)}, got {value!r}")


def _within(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # type: ignore[operator]  # a number by then
        raise MinicnnError(f"recipe: {name}: expected a number from {low:g} to {high:g}, got {value!r}")


@dataclass(frozen=True)
class Optimiser:
    """How gradients move parameters; see ``minicnn.training.optimiser``.

    Parameters
    ----------
    name : "sgd" or "adamw"
    learning_rate : float, the schedule's peak
    momentum : float, of sgd
    nesterov : bool, of sgd
    betas : (float, float), of adamw: of the mean and of the squares
    eps : float, of adamw
    weight_decay : float, not for biases and normalisations
    decoupled : bool
        Whether the decay shrinks the weights themselves (Loshchilov, Hutter 2019) or, as in 2012, is part of the
        gradient.

    """

    name: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = True

    def __post_init__(self) -> None:
        """Refuse settings that are out of their range."""
        _choice("optimiser.name", self.name, ("sgd", "adamw"))
        _within("optimiser.learning_rate", self.learning_rate, 0, 1e3)
        _within("optimiser.momentum", self.momentum, 0, 0.9999)
        _within("optimiser.weight_decay", self.weight_decay, 0, 1e3)
        _within("optimiser.eps", self.eps, 1e-20, 1)
        for beta in self.betas:
            _within("optimiser.betas", beta, 0, 0.999999)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate goes; see ``minicnn.training.schedule``.

    Parameters
    ----------
    name : "constant", "step", "cosine" or "one_cycle"
    warm_up : float, epochs
    milestones : tuple of floats, epochs, of step
    gamma : float, of step
    final : float, of cosine and one_cycle: the last learning rate as a fraction of the peak

    """

    name: str = "cosine"
    warm_up: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that are out of their range."""
        _choice("schedule.name", self.name, ("constant", "step", "cosine", "one_cycle"))
        _within("schedule.warm_up", self.warm_up, 0, 1e6)
        _within("schedule.gamma", self.gamma, 0, 1)
        _within("schedule.final", self.final, 0, 1)
        if self.name == "one_cycle" and not self.warm_up:
            raise MinicnnError(
                "recipe: schedule.warm_up: one_cycle rises for so many epochs; expected more than 0"
            )


@dataclass(frozen=True)
class Augment:
    """How images are changed before they are learnt; see ``minicnn.training.data.augment``; 0 and false: never.

    Parameters
    ----------
    crop : int
        Pixels: how far a random crop may lie off the centre.
    mirror : bool
        Whether half of the images are mirrored left to right.
    colour : float
        Deviation of AlexNet's jitter along the principal colours; 0.1 there.
    zero_out : float
        Probability that a random rectangle is set to the mean colour, the input's zero (paper, section 2).
    cutout : int
        Side of a square that is, always.
    rotate, shift, scale : float
        Small affine maps: at most so many degrees, so many pixels, so large a fraction.
    elastic : float
        Deviation, in pixels, of the smooth random field by which each pixel is moved.
    mixup : float
        alpha of the Beta distribution that pairs of images are mixed by.

    """

    crop: int = 0
    mirror: bool = False
    colour: float = 0.0
    zero_out: float = 0.0
    cutout: int = 0
    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    elastic: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that are out of their range."""
        highest = {"zero_out": 1.0, "rotate": 180.0, "scale": 0.9}
        for each in fields(self):
            if each.name != "mirror":
                _within(f"augment.{each.name}", getattr(self, each.name), 0, highest.get(each.name, 1e4))


@dataclass(frozen=True)
class Loss:
    """What is minimised; see ``minicnn.training.loss``.

    Parameters
    ----------
    label_smoothing : float
    class_weights : "none", "balanced", a number for each class, or {label: number}
        How much an image of each class counts in what is learnt (not in what is measured): alike, in inverse
        proportion to how many of its class are learnt, or as given; classes that a table leaves out count 1.

    """

    label_smoothing: float = 0.0
    class_weights: str | tuple[float, ...] | dict[str, float] = "none"

    def __post_init__(self) -> None:
        """Refuse settings that are out of their range."""
        _within("loss.label_smoothing", self.label_smoothing, 0, 0.999)
        if isinstance(self.class_weights, str):
            _choice("loss.class_weights", self.class_weights, ("none", "balanced"))
            return
        table = self.class_weights
        values = table.values() if isinstance(table, dict) else table if isinstance(table, tuple) else [table]
        for value in values:
            _within("loss.class_weights", value, 0, 1e9)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, but for the network, the data and the seed.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Images of a pass; normalisations take their statistics of so many.
    accumulate : int
        Passes whose gradients are averaged for a step.
    clip_norm : float
        Longest that all gradients together may be; 0 for no limit.
    average : float
        Decay of the exponential moving average of the weights, which then is what is measured; 0 for none.
    patience : int
        Epochs without a lower validation loss after which training stops; 0 for never.
    freeze : tuple of str
        Names of layers, or beginnings of names, whose parameters stay; their normalisations keep their statistics.
    optimiser, schedule, augment, loss : the sections

    Raises
    ------
    MinicnnError
        If a number is out of its range.

    Examples
    --------
    >>> recipe = Recipe(epochs=3, optimiser=Optimiser("adamw", learning_rate=1e-3))
    >>> recipe.with_settings({"batch_size": 32, "schedule.name": "constant"}).batch_size
    32
    >>> print(Recipe(epochs=2).to_toml().splitlines()[0])
    epochs = 2

    """

    epochs: int = 20
    batch_size: int = 64
    accumulate: int = 1
    clip_norm: float = 0.0
    average: float = 0.0
    patience: int = 0
    freeze: tuple[str, ...] = ()
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)

    def __post_init__(self) -> None:
        """Refuse settings that are out of their range."""
        for name, least in {"epochs": 1, "batch_size": 1, "accumulate": 1, "patience": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise MinicnnError(f"recipe: {name}: expected a whole number >= {least}, got {value!r}")
        _within("clip_norm", self.clip_norm, 0, 1e9)
        _within("average", self.average, 0, 0.999999)
        if self.schedule.warm_up >= self.epochs:
            raise MinicnnError(
                f"recipe: schedule.warm_up: expected fewer epochs than the {self.epochs} there are, "
                f"got {self.schedule.warm_up:g}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, sections as dictionaries."""
        return {
            each.name: vars(value) if is_dataclass(value := getattr(self, each.name)) else value
            for each in fields(self)
        }

    def to_toml(self) -> str:
        """Return the text that ``read_recipe`` reads: every setting, the defaults too."""
        values = self.to_dict()
        lines = [f"{name} = {_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
        for name, section in values.items():
            if isinstance(section, dict):
                lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Return the recipe of plain values, as a file holds them; what is not named has its default."""
        sections = {each.name: type(getattr(cls(), each.name)) for each in fields(cls)}
        plain: dict[str, Any] = {}
        for name, value in _known(values, cls, where).items():
            if is_dataclass(sections[name]):
                if not isinstance(value, Mapping):
                    raise MinicnnError(f"{where}: {name}: expected a section [{name}], got {value!r}")
                plain[name] = sections[name](**_known(value, sections[name], f"{where}: [{name}]"))
            else:
                plain[name] = value
        return cls(**plain)

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """Return the recipe with other values for some settings, by name: "epochs", "optimiser.momentum"."""
        values = {name: dict(v) if isinstance(v, dict) else v for name, v in self.to_dict().items()}
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            place = values.get(section) if section else values
            if not isinstance(place, dict) or key not in place:
                known = [f"{s}.{k}" for s, v in values.items() if isinstance(v, dict) for k in v]
                raise MinicnnError(f"recipe: no setting {name!r}; {did_you_mean(name, [*known, *values])}")
            place[key] = value
        return self.from_dict(values)


def read_recipe(path: PathLike) -> Recipe:
    """Read a recipe from a TOML file.

    Raises
    ------
    MinicnnError
        If there is no such file, it is no TOML, or a setting is unknown or out of its range.

    """
    try:
        toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise MinicnnError(f"{path}: Python 3.10 reads no TOML; pip install 'minicnn-engine[train]'") from None
    try:
        values = toml.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MinicnnError(missing_file(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or 'no text'})") from None
    except toml.TOMLDecodeError as error:
        raise MinicnnError(f"{path}: is no TOML ({error}); expected settings such as epochs = 20") from None
    return Recipe.from_dict(values, str(path))


def _known(values: Mapping[str, Any], cls: type, where: str) -> dict[str, Any]:
    names = [each.name for each in fields(cls)]
    for name in values:
        if name not in names:
            raise MinicnnError(f"{where}: unknown setting {name!r}; {did_you_mean(str(name), names)}")
    # TOML's lists are tuples here, so that a recipe can't be changed
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml(key)} = {_toml(item)}' for key, item in value.items())} }}"
    return repr(value)
