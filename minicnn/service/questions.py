"""What a client asks of a picture: the parameters, in one table that the OpenAPI description is made of too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError
from minicnn.explain.prediction import class_index
from minicnn.network import Network
from minicnn.service.refusals import Refusal

__all__ = ["PARAMETERS", "TASKS", "Parameter", "Question", "choose_format", "parse"]

TASKS = {
    "predict": "The most probable classes of a picture.",
    "saliency": "The saliency map of a class.",
    "localise": "Box, mask and confidence of a class.",
}
FORMATS = ("json", "png")


class Parameter(NamedTuple):
    """A parameter of a request.

    Attributes
    ----------
    tasks : those that have it
    about : str
    default : str or int, None for none
    choices : of a word; none for any text or a number

    """

    tasks: Sequence[str]
    about: str
    default: str | int | None = None
    choices: Sequence[str] = ()


PARAMETERS: dict[str, list[Parameter]] = {
    "top": [
        Parameter(["predict"], "How many classes.", 5),
        Parameter(["localise"], "So many of the most probable classes.", 1),
    ],
    "target": [
        Parameter(["saliency", "localise"], "A class, by label or number; the most probable one unless given.")
    ],
    "crops": [
        Parameter(["predict"], "Views of the picture.", "one", ("one", "ten", "whole")),
        Parameter(["saliency"], "Views of the picture.", "ten", ("one", "ten", "whole")),
    ],
    "rule": [
        Parameter(["saliency"], "What a rectifier does backward.", "gradient", ("gradient", "deconvnet", "guided"))
    ],
    "method": [
        Parameter(["localise"], "From the class to the mask.", "consensus", ("consensus", "paper", "smooth"))
    ],
    "format": [
        Parameter(["predict"], "What is answered.", None, ("json",)),
        Parameter(["saliency", "localise"], "What is answered, whatever the Accept header says.", None, FORMATS),
    ],
}


class Question(NamedTuple):
    """What is asked of a picture; unlike ones are never computed together."""

    task: str
    top: int = 1
    target: int | None = None
    crops: str = "one"
    rule: str = "gradient"
    method: str = "consensus"
    format: str = "json"


def parse(net: Network, classes: int, task: str, query: Iterable[tuple[str, str]], accept: str = "") -> Question:
    """Return what is asked for.

    Parameters
    ----------
    net : Network with one score a class
    classes : int, how many it has
    task : str, of `TASKS`
    query : (name, value) of each parameter
    accept : str, the header

    Raises
    ------
    Refusal
        If a parameter is unknown, given twice or of a wrong value, or no such format is written.

    Examples
    --------
    >>> import minicnn
    >>> parse(minicnn.load("digits"), 10, "predict", [("top", "2")])[:2]
    ('predict', 2)

    """
    known = {name: each for name, all in PARAMETERS.items() for each in all if task in each.tasks}
    values: dict[str, Any] = {n: p.default for n, p in known.items() if p.default is not None}
    given: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            hint = did_you_mean(name[:40], list(known))
            raise Refusal("parameter", f"{task}: there is no parameter {name[:40]!r}; {hint}")
        if name in given:
            raise Refusal("parameter", f"{task}: {name} is given twice")
        given[name] = value
    if "top" in given and "target" in given:
        raise Refusal("parameter", f"{task}: give top or target, not both")
    for name, value in given.items():
        values[name] = _value(net, name, value, known[name], classes)
    values["format"] = choose_format(task, given.get("format"), accept)
    return Question(task, **values)


def choose_format(task: str, asked: str | None, accept: str) -> str:
    """Return "json" or "png": what the parameter says, or the header; JSON where it takes both.

    Examples
    --------
    >>> choose_format("saliency", None, "image/png, */*;q=0.1"), choose_format("saliency", None, "*/*")
    ('png', 'json')

    """
    if asked is not None:
        return asked
    kinds = _accepted(accept)
    best = {"json": _quality(kinds, "application/json"), "png": _quality(kinds, "image/png")}
    if task == "predict":
        del best["png"]
    form = max(best, key=lambda name: best[name])
    if best[form] <= 0:
        raise Refusal(
            "format", f"{task}: answers are {' or '.join(best)}; the Accept header asks for none of these"
        )
    return form


def _accepted(accept: str) -> dict[str, float]:
    """Return the media types of an Accept header with their weights."""
    kinds = {}
    for part in accept[:1000].split(",") if accept.strip() else ["*/*"]:
        kind, _, rest = part.partition(";")
        weight = rest.strip().lower().removeprefix("q=") if "q=" in rest.lower() else "1"
        try:
            kinds[kind.strip().lower()] = float(weight)
        except ValueError:
            kinds[kind.strip().lower()] = 1.0
    return kinds


def _quality(kinds: dict[str, float], kind: str) -> float:
    """Return the weight of a kind, by the most exact entry that it fits."""
    for fitting in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if fitting in kinds:
            return kinds[fitting]
    return 0.0


def _value(net: Network, name: str, text: str, parameter: Parameter, classes: int) -> Any:
    if name == "target":
        try:
            return class_index(net, text[:200], classes)
        except MinicnnError as error:
            raise Refusal("parameter", str(error)) from None
    if name == "top":
        is_number = text.isascii() and text.isdigit() and len(text) < 10
        if not is_number or not 1 <= int(text) <= classes:
            raise Refusal("parameter", f"top: expected a number of classes from 1 to {classes}, got {text[:40]!r}")
        return int(text)
    if text not in parameter.choices:
        raise Refusal("parameter", f"{name}: expected {' or '.join(parameter.choices)}, got {text[:40]!r}")
    return text
