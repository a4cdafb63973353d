"""Figure "class-model": the image that maximises a class score or a unit, and the history of the ascent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn import explain
from minicnn._utils.counted import counted
from minicnn._utils.types import PathLike
from minicnn.errors import ImageError
from minicnn.explain.class_model import STYLES, ClassModel
from minicnn.explain.natural.ascent import NaturalAscent
from minicnn.explain.top_images import TopImage, top_images
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name
from minicnn.network import Network
from minicnn.report import contact_sheet, panels
from minicnn.report.curve import curve
from minicnn.report.layout import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["format_shown", "recompute", "write_class_model"]


def write_class_model(
    path: PathLike,
    model: ClassModel,
    origin: Mapping[str, Any],
    seed: int,
    unit: Mapping[str, Any] | None = None,
    strongest: Sequence[TopImage] = (),
    searched: int = 0,
) -> dict[str, Any]:
    """Write a class model and the history of its ascent as a PNG file; return what it is as plain values.

    Parameters
    ----------
    path : Path of the file
    model : ClassModel with an image; of a network without preprocessing it shows the input's own values
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    seed : int
    unit : what ``maximise`` was given, {"layer", "unit", "constraint"}; None for a class
    strongest : images that activate the unit most, to show beneath, the strongest first
    searched : int, how many images those were chosen from

    Raises
    ------
    ImageError
        If there is no image, or the file can't be written; nothing is left behind.

    """
    if model.image is None:
        raise ImageError(f"{origin['name']}: takes inputs of {model.x.shape}, which are no picture; take model.x")
    settings = asdict(model.settings) | {"seed": seed, "style": model.style} | dict(unit or {})
    numbers = {"score": model.scores[-1], "probability": model.probability, "stopped": model.stopped}
    images, values = [image.image for image in strongest], [image.value for image in strongest]
    figure = _draw(model, origin["name"], unit, strongest, searched)
    result = numbers | ({"values": values, "searched": searched} if strongest else {})
    # a unit has no class: the settings say which it is
    class_of = None if unit else model
    record = provenance.make_record("class-model", origin, images, class_of, settings, {"x": model.x}, **result)
    provenance.save(figure, path, record)
    stimuli = {"images": [str(image) for image in images], "values": values, "searched": searched}
    return {
        "target": model.target,
        "label": model.label,
        "net": origin["name"],
        **dict(unit or {}),
        **numbers,
        "shown": None if model.shown is None else {"black": model.shown[0], "white": model.shown[1]},
        "settings": settings,
        "figure": str(path),
        "scores": model.scores,
        "gradient_norms": model.gradient_norms,
        **({"stimuli": stimuli} if strongest else {}),
    }


def _draw(
    model: ClassModel,
    net_name: str,
    unit: Mapping[str, Any] | None,
    strongest: Sequence[TopImage],
    searched: int,
) -> Image:
    assert model.image is not None
    # each pixel becomes side x side of them, as small inputs would blur if they were resized
    side = max(1, 360 // max(model.image.shape[:2]))
    quantity = "score" if unit is None else "value"
    ascent: list[tuple[Picture, str]] = [
        (model.image.repeat(side, 0).repeat(side, 1), format_shown(model)),
        (curve(model.scores, name=quantity), f"{quantity}, step by step"),
        (curve(model.gradient_norms, name="norm of its gradient"), "norm of its gradient, step by step"),
    ]
    title, subtitle = _format_title(model, unit), _format_subtitle(model, net_name, unit)
    if not strongest:
        return panels(ascent, title, subtitle)
    pictures: list[tuple[Picture, str]] = [
        (image.view, f"{image.value:.4g}: {Path(str(image.image)).name}") for image in strongest
    ]
    rows = [pictures[i : i + 3] for i in range(0, len(pictures), 3)]
    heading = f"Top stimuli: of {counted(searched, 'image')}, those of largest {quantity}"
    return contact_sheet([ascent, *rows], ("", heading), title, subtitle, cell=260)


def format_shown(model: ClassModel) -> str:
    """Return how the picture is shown, for a caption."""
    if model.shown is None:
        return "as the network sees it"
    black, white = model.shown
    depth = len(model.x)
    part = "" if depth in (1, 3) else f", channel 1 of {depth}" if depth == 2 else f", channels 1 to 3 of {depth}"
    if model.in_input_units:
        return f"contrast stretched: input {black:.3g} to {white:.3g} shown as 0 to 255{part}"
    return f"mean added, contrast stretched: {black:.0f} to {white:.0f} shown as 0 to 255{part}"


def _format_title(model: ClassModel, unit: Mapping[str, Any] | None) -> str:
    if unit is not None:
        return f"{unit['layer'] or 'scores'}, unit {unit['unit']}: {model.scores[-1]:.4g}"
    return f"{class_name(model)}: score {model.scores[-1]:.1f}, probability {model.probability:.1%}"


def _format_subtitle(model: ClassModel, net_name: str, unit: Mapping[str, Any] | None) -> str:
    kind, settings = "class model" if unit is None else "unit", model.settings
    if isinstance(settings, NaturalAscent):
        return f"{net_name}, {kind}, natural style (later than the paper), {model.stopped}"
    is_ball = unit is not None and unit["constraint"] == "l2_ball"
    constraint = f"in the ball of radius {settings.radius:.3g}" if is_ball else f"lambda {settings.l2:.3g}"
    later = [
        name.replace("_", " ") + ("" if value is True else f" {value:g}")
        for name, value in settings.non_paper_settings().items()
    ]
    return (
        f"{net_name}, {kind}, {constraint}, {model.stopped}"
        f"{'; later than the paper: ' if later else ''}{', '.join(later)}"
    )


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Maximise the score or unit that a record describes, and measure the images beneath once more."""
    settings = dict(record["settings"])
    # what is left once these are taken out are the fields of ``Ascent``
    seed, unit, layer = settings.pop("seed"), settings.pop("unit", None), settings.pop("layer", None)
    constraint, style = settings.pop("constraint", "l2_penalty"), settings.pop("style", "paper")
    ascent: dict[str, Any] = {"style": style, "settings": STYLES[style](**settings), "seed": seed}
    if unit is None:
        model = explain.class_model(net, record["class"]["target"], **ascent)
        unit = model.target
        facts: dict[str, Any] = {"label": model.label, "score": model.scores[-1], "probability": model.probability}
    else:
        # JSON has made a list of the tuple
        unit = unit if isinstance(unit, int) else tuple(unit)
        model = explain.maximise(net, layer, unit, constraint, **ascent)
        facts = {"score": model.scores[-1]}
    if images:
        facts["values"] = [image.value for image in top_images(net, images, layer, unit, len(images))]
    return Recomputed({"x": model.x}, facts)
