"""Figure "class-models": the class models of several classes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minicnn import explain
from minicnn._utils.types import PathLike
from minicnn.explain.class_model import STYLES, ClassModel
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed, class_name
from minicnn.network import Network
from minicnn.report import contact_sheet

__all__ = ["recompute", "write_class_models"]


def write_class_models(path: PathLike, models: Sequence[ClassModel], origin: Mapping[str, Any]) -> None:
    """Write class models, five a row, as a PNG file.

    Parameters
    ----------
    path : Path of the file
    models : ClassModel of one seed, 0, one style and the same settings; with images
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    pictures: list[tuple[Any, str]] = [
        (model.image, f"{class_name(model)}: {model.probability:.4f}") for model in models
    ]
    rows = [pictures[i : i + 5] for i in range(0, len(pictures), 5)]
    how = (
        "contrast stretched, each by its own range"
        if models[0].shown
        else "natural style, as the network sees them"
    )
    sheet = contact_sheet(rows, title="Class models", subtitle=how, cell=200)
    settings = asdict(models[0].settings)
    settings |= {"seed": 0, "style": models[0].style, "targets": [model.target for model in models]}
    arrays, facts = _name_arrays(models), {"probabilities": [model.probability for model in models]}
    record = provenance.make_record("class-models", origin, [], None, settings, arrays, **facts)
    provenance.save(sheet, path, record)


def recompute(net: Network, _: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the class models that a record describes."""
    settings = dict(record["settings"])
    # the rest are the fields of the style's settings
    seed, targets, style = settings.pop("seed"), settings.pop("targets"), settings.pop("style", "paper")
    ascent: dict[str, Any] = {"style": style, "settings": STYLES[style](**settings), "seed": seed}
    models = [explain.class_model(net, target, **ascent) for target in targets]
    return Recomputed(_name_arrays(models), {"probabilities": [model.probability for model in models]})


def _name_arrays(models: Sequence[ClassModel]) -> dict[str, Any]:
    return {f"class {model.target}": model.x for model in models}
