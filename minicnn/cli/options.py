"""Options that several commands have."""

from __future__ import annotations

import argparse

__all__ = ["architecture", "at_least", "crops", "device", "images", "json", "net", "place", "preprocessing"]

DEFAULT_NET = "efficientnet-lite0"


def images(command: argparse.ArgumentParser, computes: bool = True, what: str = "image files") -> None:
    """Add image files, and what all commands on images have."""
    command.add_argument("images", nargs="+", metavar="IMAGE", help=what)
    net(command)
    if computes:
        device(command)
    json(command)


def at_least(least: int):
    """Return the type of an option that takes whole numbers from ``least`` on."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {least}, got {text!r}")
        return int(text)

    return whole


def place(text: str) -> tuple[int, int]:
    """Return ROW,COLUMN as two whole numbers."""
    row, _, column = text.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise argparse.ArgumentTypeError(f"expected ROW,COLUMN, such as 7,12, got {text!r}")
    return int(row), int(column)


def net(command: argparse.ArgumentParser) -> None:
    """Add which network, and how an image becomes its input."""
    command.add_argument(
        "--net", default=DEFAULT_NET, metavar="NAME", help="a name or a weight file (default: %(default)s)"
    )
    architecture(command)
    preprocessing(command)


def architecture(command: argparse.ArgumentParser) -> None:
    """Add what files that hold weights alone need beside them."""
    command.add_argument("--architecture", metavar="NAME", help="what a state dictionary belongs to")
    command.add_argument("--weights", metavar="FILE", help="the second file of formats that have two")


def preprocessing(command: argparse.ArgumentParser) -> None:
    """Add what replaces the network's own preprocessing."""
    group = command.add_argument_group(
        "preprocessing", "replaces what the network says, or fills in what it does not"
    )
    group.add_argument(
        "--resize", metavar="N", help="short side in pixels before cropping; 'none' to warp instead"
    )
    group.add_argument("--interpolation", choices=("nearest", "bilinear", "bicubic", "lanczos"))
    group.add_argument("--channels", choices=("RGB", "BGR", "L"))
    group.add_argument("--scale", metavar="S", help="factor for values of 0..255, such as 1 or 1/255")
    group.add_argument(
        "--mean",
        metavar="M,M,M",
        help="subtracted after scaling: one number a channel, or the file of a mean image (.binaryproto, .npy)",
    )
    group.add_argument("--std", metavar="S,S,S", help="divided by, one number a channel")
    group.add_argument("--labels", metavar="FILE", help="text file with one class name a line")


def crops(command: argparse.ArgumentParser, default: str) -> None:
    """Add which views of an image."""
    command.add_argument(
        "--crops",
        default=default,
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: %(default)s)",
    )


def device(command: argparse.ArgumentParser) -> None:
    """Add where to compute."""
    command.add_argument("--device", default="auto", help="where to compute (default: %(default)s)")


def json(command: argparse.ArgumentParser) -> None:
    """Add plain values for programs."""
    command.add_argument("--json", action="store_true", help="print JSON")
