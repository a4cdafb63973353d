"""What can be typed after ``minicnn evaluate``."""

from __future__ import annotations

import argparse

from minicnn.cli import options

__all__ = ["measures"]


def measures(command: argparse.ArgumentParser) -> None:
    """Add the measures of ``minicnn evaluate``."""
    found = command.add_subparsers(title="measures", metavar="MEASURE", dest="measure", required=True)
    localisation = found.add_parser(
        "localisation", help="the ILSVRC protocol: classes, boxes and masks, with baselines and intervals"
    )
    localisation.add_argument("data", metavar="DATA", help="a folder with labels.csv or annotations/*.xml")
    options.net(localisation)
    localisation.add_argument(
        "-o", "--output", default="minicnn-localisation", metavar="DIR", help="folder (default: %(default)s)"
    )
    localisation.add_argument("--method", default="paper", metavar="NAME", help="default: %(default)s")
    localisation.add_argument(
        "--convention",
        choices=("exclusive", "voc"),
        help="boxes from 0, maxima outside, or from 1, maxima inside (default: exclusive for CSV, voc for XML)",
    )
    localisation.add_argument("--classes", metavar="FILE", help="for XML: the classes' names in order, one a line")
    localisation.add_argument(
        "--images", type=options.at_least(1), metavar="N", help="the first N images only (default: all)"
    )
    localisation.add_argument(
        "--seed", type=options.at_least(0), default=0, metavar="N", help="of the intervals (default: %(default)s)"
    )
    options.device(localisation)
    options.json(localisation)
    _pointing(found.add_parser("pointing", help="whether maps are largest on the object, with a tolerance"))
    _curves(found.add_parser("curves", help="how fast the class comes and goes with each map's pixels"))
    _sanity(found.add_parser("sanity", help="whether maps depend on what the net has learnt: parameters, labels"))


def _pointing(command: argparse.ArgumentParser) -> None:
    _compared(command, "minicnn-pointing")
    command.add_argument(
        "--tolerance", type=float, default=15, metavar="N", help="pixels beside the object (default: %(default)s)"
    )
    command.add_argument(
        "--smoothing",
        type=float,
        default=0.02,
        metavar="S",
        help="blur of the maps, in parts of the longer side (default: %(default)s)",
    )
    options.crops(command, "whole")


def _curves(command: argparse.ArgumentParser) -> None:
    _compared(command, "minicnn-curves")
    command.add_argument(
        "--steps", type=options.at_least(1), default=32, metavar="N", help="of each curve (default: %(default)s)"
    )


def _compared(command: argparse.ArgumentParser, folder: str) -> None:
    command.add_argument("data", metavar="DATA", help="a folder with labels.csv or annotations/*.xml")
    options.net(command)
    command.add_argument("-o", "--output", default=folder, metavar="DIR", help="folder (default: %(default)s)")
    command.add_argument(
        "--methods",
        metavar="NAME,NAME",
        help="of 'minicnn saliency' and the rules deconvnet and guided (default: those that are quick)",
    )
    command.add_argument(
        "--convention", choices=("exclusive", "voc"), help="of the boxes, as for 'evaluate localisation'"
    )
    command.add_argument("--classes", metavar="FILE", help="for XML: the classes' names in order, one a line")
    command.add_argument(
        "--images", type=options.at_least(1), metavar="N", help="the first N images only (default: all)"
    )
    command.add_argument(
        "--seed", type=options.at_least(0), default=0, metavar="N", help="of what is drawn (default: %(default)s)"
    )
    options.device(command)
    options.json(command)


def _sanity(command: argparse.ArgumentParser) -> None:
    command.add_argument("net", metavar="NET", help="a name or a weight file")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    options.architecture(command)
    options.preprocessing(command)
    command.add_argument(
        "-o", "--output", default="minicnn-sanity", metavar="DIR", help="folder (default: %(default)s)"
    )
    command.add_argument(
        "--methods",
        metavar="NAME,NAME",
        help="of 'minicnn saliency' and the rules deconvnet and guided (default: those that are quick)",
    )
    command.add_argument(
        "--seed", type=options.at_least(0), default=0, metavar="N", help="of what is drawn (default: %(default)s)"
    )
    options.device(command)
    options.json(command)
