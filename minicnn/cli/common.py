"""What several commands have: options, and the network that they name."""

from __future__ import annotations

import argparse
import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minicnn.cli.loop import sources
from minicnn.cli.loop.each import run_for_each
from minicnn.cli.loop.printing import complain, print_json, print_result, with_progress
from minicnn.cli.parsing.loudness import mention
from minicnn.cli.parsing.own_layers import import_layers
from minicnn.cli.parsing.parser import fold
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = [
    "UsageError",
    "add_crops",
    "add_device",
    "add_image_options",
    "add_json",
    "add_limit",
    "add_loading",
    "add_network",
    "add_network_options",
    "add_output",
    "add_preprocessing",
    "add_seed",
    "check_classes",
    "check_unit",
    "class_name",
    "complain",
    "ends",
    "integer_from",
    "load_network",
    "load_with_origin",
    "option_adder",
    "print_json",
    "print_result",
    "run_for_each",
    "with_progress",
    "wrong_use",
]

Record = dict[str, Any]

DEFAULT_NET = "efficientnet-lite0"
FILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".html", ".csv", ".json", ".jsonl", ".npz", ".onnx")


# options


def add_image_options(parser: argparse.ArgumentParser, help: str = sources.HELP, has_device: bool = True) -> None:
    """Add image files, and what all commands on images have."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=help)
    add_network_options(parser)
    if has_device:
        add_device(parser)
    add_json(parser)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--net``, and how an image becomes the network's input."""
    parser.add_argument(
        "--net", default=DEFAULT_NET, metavar="NAME", help="a name or a weight file (default: %(default)s)"
    )
    add_loading(parser)
    add_preprocessing(parser)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the network as a word of its own, for commands that are about one network."""
    parser.add_argument("net", metavar="NET", help="a name or a weight file")


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Add what ``minicnn.load`` takes beside a file: ``loading``, name to value."""
    add = option_adder(parser, "loading")
    add("--architecture", metavar="NAME", help="what a state dictionary belongs to")
    add("--weights", metavar="FILE", help="the second file of formats that have two")
    add("--entry", metavar="NAME", help="which network of a checkpoint that holds several, such as model_ema")
    add(
        "--head",
        type=lambda text: text.split(","),
        metavar="MODULES",
        help="modules of a new head in a state dictionary, in their order, such as linear,relu,dropout,linear",
    )
    add("--output", metavar="NAME", help="which output of a file that has several")
    add(
        "--layers",
        type=import_layers,
        metavar="MODULE:CLASS",
        help="layers of your own that the file holds, MODULE:ONE,TWO; that module is run",
    )
    parser.add_argument(
        "--input",
        dest="loading",
        action=_StoreInput,
        metavar="NAME",
        help="which input of a file that has several is the image; NAME=VALUE for one that is always the same",
    )
    add(
        "--input-size",
        type=_parse_size,
        metavar="N",
        help="side of the input in pixels, or H,W, if it is open (default: 224, or the least above that fits)",
    )


def ends(loading: dict[str, Any]) -> dict[str, Any]:
    """Return of what was typed for ``minicnn.load`` which input and output of a file are meant."""
    return {name: value for name, value in loading.items() if name in ("input", "output")}


def _parse_size(text: str) -> tuple[int, int]:
    sides = text.replace("x", ",").split(",")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"expected pixels, such as 224 or 240,320, got {text!r}")
    return int(sides[0]), int(sides[-1])


class _StoreInput(argparse.Action):
    """Stores each NAME or NAME=VALUE in the dictionary "input" of ``dest``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store the name, and None for the image."""
        name, is_given, text = values.partition("=")
        try:
            value = float(text) if is_given else None
        except ValueError:
            parser.error(f"argument --input: expected NAME or NAME=VALUE with a number, got {values!r}")
        loading = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**loading, "input": {**loading.get("input", {}), name: value}})


def add_preprocessing(parser: argparse.ArgumentParser) -> None:
    """Add what replaces the network's own preprocessing and labels: ``preprocessing``, name to text."""
    group = parser.add_argument_group(
        "preprocessing", "replaces what the network says, or fills in what it does not"
    )
    add = option_adder(group, "preprocessing")
    add(
        "--resize",
        metavar="N",
        help="short side in pixels before cropping, or H,W to warp the picture to; 'none' to warp it to the input",
    )
    add("--interpolation", choices=("nearest", "bilinear", "bicubic", "lanczos"))
    add("--channels", type=str.upper, choices=("RGB", "BGR", "L"))
    add("--scale", metavar="S", help="factor for values of 0..255, such as 1 or 1/255")
    add(
        "--mean",
        metavar="M,M,M",
        help="subtracted after scaling: one number a channel, or the file of a mean image (.binaryproto, .npy)",
    )
    add("--std", metavar="S,S,S", help="divided by, one number a channel")
    add("--labels", metavar="FILE", help="class names: one a line, CSV, or JSON, in the order of their numbers")
    fold(parser, group)


def add_output(parser: argparse.ArgumentParser, folder: str = ".") -> None:
    """Add the folder that figures are written to."""
    shown = "here" if folder == "." else "%(default)s"
    parser.add_argument(
        "-o",
        "--out",
        dest="output",
        default=folder,
        type=_parse_folder,
        metavar="DIR",
        help=f"folder (default: {shown})",
    )


def _parse_folder(text: str) -> str:
    """Return a folder's name, but not one like a file's, unless there is such a folder."""
    if os.path.splitext(text)[1].lower() in FILE_SUFFIXES and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"expected a folder, and {text!r} is called like a file")
    return text


def add_crops(parser: argparse.ArgumentParser, default: str) -> None:
    """Add which views of an image."""
    parser.add_argument(
        "--crops",
        default=default,
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: %(default)s)",
    )


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add how many images of a data set to use."""
    parser.add_argument(
        "--images", type=integer_from(1), metavar="N", help="the first N images only (default: all)"
    )


def add_seed(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the seed of what is drawn at random."""
    parser.add_argument(
        "--seed", type=integer_from(0), default=0, metavar="N", help=f"{help} (default: %(default)s)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where to compute."""
    parser.add_argument("--device", default="auto", help="where to compute (default: %(default)s)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add results for programs: "json" or "jsonl" as ``json``."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_const", const="json", help="print JSON")
    forms.add_argument(
        "--jsonl", dest="json", action="store_const", const="jsonl", help="print JSON, a line for each result"
    )


def integer_from(minimum: int, word: str | None = None) -> Callable[[str], int | str]:
    """Return the type of an option that takes whole numbers from ``minimum`` on, and perhaps a word."""
    expected = f"a whole number >= {minimum}" + (f" or {word!r}" if word else "")

    def parse(text: str) -> int | str:
        if text == word:
            return text
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return int(text)

    return parse


def option_adder(parser: Any, dest: str) -> Callable[..., None]:
    """Return ``parser.add_argument`` for options whose values go, by name, into one dictionary ``dest``.

    What was not typed is not in the dictionary.
    """
    return functools.partial(parser.add_argument, dest=dest, action=_StoreByName, default={})


class _StoreByName(argparse.Action):
    """Stores an option's value under its name in the dictionary ``dest``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store the value; ``const`` for an option that takes none."""
        name = self.option_strings[0].lstrip("-").replace("-", "_")
        value = self.const if self.nargs == 0 else values
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: value})


# the network


def load_network(
    source: str,
    loading: Mapping[str, Any] | None = None,
    preprocessing: Mapping[str, str] | None = None,
    device: str | None = None,
) -> Network:
    """Load the network that was named, with the preprocessing and labels that were typed.

    Parameters
    ----------
    source : name of the catalogue, or path
    loading : other arguments of ``minicnn.load``, as `add_loading` collects them
    preprocessing : as `add_preprocessing` collects it
    device : where to compute; where ``load`` leaves the network unless given

    """
    return _load(source, loading or {}, preprocessing or {}, device)[0]


def load_with_origin(
    source: str, loading: Mapping[str, Any], preprocessing: Mapping[str, str], device: str
) -> tuple[Network, Record]:
    """Load a network as `load_network` does; return with it which one it is, for the figures' records."""
    from minicnn.io.digest import digest_network

    net, loading = _load(source, loading, preprocessing, device)
    return net, digest_network(net, source, **loading)


def _load(
    source: str, loading: Mapping[str, Any], preprocessing: Mapping[str, str], device: str | None
) -> tuple[Network, Mapping[str, Any]]:
    """Return the network, and what it was loaded with: a size too where images are meant and the file has none."""
    from minicnn.cli.parsing.preprocessing import apply_preprocessing
    from minicnn.io.input_size import with_usual_size
    from minicnn.io.load import load

    loading = dict(loading)
    net = load(source, **loading)
    if net.input_shape is None and net.preprocess is None and preprocessing.keys() - {"labels"}:
        net = with_usual_size(net)
        assert net.input_shape is not None
        height, width = loading["input_size"] = net.input_shape[1:]
        size = f"leaves the size of its input open; {height} x {width} is taken"
        warnings.warn(f"{net.name}: {size}; --input-size H,W says another", stacklevel=2)
    net = apply_preprocessing(net, preprocessing)
    net = net if device is None else net.to(device)
    mention(f"{source}: {net!r}, {net.preprocess!r}")
    return net, loading


# wrong use


class UsageError(MinicnnError):
    """Something that was typed can't be meant, whatever the inputs hold: exit status 2."""


@contextmanager
def wrong_use() -> Iterator[None]:
    """Raise as UsageError what is raised inside."""
    try:
        yield
    except MinicnnError as error:
        raise UsageError(str(error)) from None


def check_classes(net: Network, targets: Iterable[str]) -> list[int] | None:
    """Return the classes that were typed; None if the network does not say how many it has.

    Raises
    ------
    UsageError
        If there is no such class; once, before any input is read.

    """
    from minicnn.explain.outputs.classifier import as_classifier, describe_outputs
    from minicnn.explain.prediction import class_index

    with warnings.catch_warnings():
        # each input's turn says what there is to say
        warnings.simplefilter("ignore")
        net = as_classifier(net)
    outputs = describe_outputs(net)
    if outputs is None:
        return None
    with wrong_use():
        return [class_index(net, target, outputs.classes) for target in targets]


def check_unit(net: Network, layer: str, channel: int | None) -> None:
    """Raise UsageError if there is no such layer, or its maps have no such channel, before any input is read."""
    from minicnn.layers.sequence import output_shape, truncate_at

    with wrong_use():
        layers = truncate_at(net.named_layers, layer)
    if net.input_shape is None or channel is None:
        return
    (channels, *_) = output_shape(layers, net.input_shape)
    if not 0 <= channel < channels:
        raise UsageError(f"channel {channel} is out of range; {layer!r} has channels 0 to {channels - 1}")


def class_name(record: Record) -> str:
    """Return a class's label, or its number where the network has no labels."""
    return f"class {record['target']}" if record["label"] is None else record["label"]
