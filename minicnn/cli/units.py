"""``minicnn class-model`` and ``minicnn deconvnet``: what a class or a unit likes best, and what it answers to."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from minicnn.errors import ImageError, MinicnnError
from minicnn.explain import Ascent, class_model, deconvnet, maximise, top_activations
from minicnn.explain.deconvnet import strongest_channel
from minicnn.explain.prediction import class_index
from minicnn.explain.rules_table import kinds_of_layers, rules_by_layer
from minicnn.explain.top_images import top_images
from minicnn.figures.explanation import write_class_model
from minicnn.figures.reconstruction import write_reconstructions
from minicnn.figures.rules import write_rules
from minicnn.images import images_of
from minicnn.network import Network
from minicnn.report.files import distinct_names, make_folder

__all__ = ["class_or_unit", "feature_map", "rules_table"]

Progress = Callable[[Any, str], Any]


def class_or_unit(
    arguments: Namespace, net: Network, origin: Mapping[str, Any], progress: Progress, complain: Callable
) -> Callable[[str], dict[str, Any]]:
    """Return the function that draws one class, or one unit, by what was typed, and returns its record."""
    if net.preprocess is None:
        raise ImageError(f"{net.name}: has no preprocessing that would turn its input into a picture; see --mean")
    make_folder(arguments.output)
    typed = {f.name: getattr(arguments, f.name, None) for f in fields(Ascent)}
    settings = Ascent(**{name: value for name, value in typed.items() if value is not None})
    images = [] if arguments.stimuli is None else images_of(arguments.stimuli)
    how = {"settings": settings, "seed": arguments.seed, "progress": lambda steps: progress(steps, "step")}

    def one(typed: str) -> dict[str, Any]:
        asked = _unit(arguments, net, typed)
        found = class_model(net, typed, **how) if asked is None else maximise(net, *asked.values(), **how)
        layer, unit = (None, found.target) if asked is None else (asked["layer"], asked["unit"])
        search = (net, progress(images, "image"), layer, unit, arguments.top, complain)
        stimuli = top_images(*search) if images else []
        kind = ".ball" if arguments.constraint == "l2_ball" else ""
        path = Path(arguments.output) / f"{_name(layer, unit)}{kind}.png"
        return write_class_model(path, found, origin, arguments.seed, asked, stimuli, len(images))

    return one


def _unit(arguments: Namespace, net: Network, typed: str) -> dict[str, Any] | None:
    """Return what ``maximise`` is told, or None for a class model of the paper's."""
    ball = arguments.constraint == "l2_ball"
    if arguments.layer is None:
        if not ball:
            return None
        classes = net.summary_rows()[-1]["output_shape"][-1]
        return {"layer": None, "unit": class_index(net, typed, classes), "constraint": arguments.constraint}
    parts = typed.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) not in (1, 3):
        raise MinicnnError(f"{typed!r}: with --layer, expected CHANNEL or CHANNEL,ROW,COLUMN, such as 5 or 5,7,7")
    unit = tuple(int(part) for part in parts)
    return {
        "layer": arguments.layer,
        "unit": unit if len(unit) > 1 else unit[0],
        "constraint": arguments.constraint,
    }


def _name(layer: str | None, unit: Any) -> str:
    """Return the stem of a figure's file; letters that a folder's path would take otherwise become "_"."""
    place = "-".join(str(part) for part in (unit if isinstance(unit, tuple) else (unit,)))
    return f"class-{place}" if layer is None else f"{_plain(layer)}-{place}"


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)


def feature_map(
    arguments: Namespace, net: Network, origin: Mapping[str, Any], progress: Progress, complain: Callable
) -> dict[str, Any]:
    """Write the contact sheet of a feature map over images and folders of them, and return its record."""
    make_folder(arguments.output)
    images = [p for name in arguments.images for p in (images_of(name) if Path(name).is_dir() else [name])]
    layer, channel = arguments.layer, arguments.channel
    channel = strongest_channel(net, images[0], layer) if channel is None else channel
    search = (layer, channel, arguments.top, complain, arguments.position)
    best = top_activations(net, progress(images, "image"), *search)
    found = [(path, deconvnet(net, path, layer, channel, arguments.position, arguments.rule)) for path, _ in best]
    path = Path(arguments.output) / f"{_plain(layer)}-{channel}.{arguments.rule}.png"
    return write_reconstructions(path, found, origin, len(images))


def rules_table(arguments: Namespace, net: Network, origin: Mapping[str, Any]) -> Callable[[str], dict[str, Any]]:
    """Return the function that writes section 4's table for one image, and returns its record."""
    make_folder(arguments.output)
    names = distinct_names(arguments.images, Path(arguments.output), "rules")

    def one(image: str) -> dict[str, Any]:
        return write_rules(names[image], image, kinds_of_layers(rules_by_layer(net, image)), origin)

    return one
