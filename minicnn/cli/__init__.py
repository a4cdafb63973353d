"""The command ``minicnn``: a folder for each group of commands, and one module a command.

Each module has ``configure(parser)`` and ``run(arguments)``.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from minicnn.cli.parsing.drawing import drawing_of
from minicnn.cli.parsing.loudness import loudness
from minicnn.cli.parsing.parser import Overview, Parser
from minicnn.errors import MinicnnError

__all__ = ["COMMANDS", "build_parser", "main"]

# What each does, in the groups and order of --help.  The module of "warm-up" is minicnn.cli.system.warm_up; it is
# imported when the command is typed, so that the others do not slow it down.
COMMANDS = {
    "Explain": {
        "demo": "predict and explain the shipped images; write figures and a page",
        "predict": "print the classes that a network sees in images",
        "saliency": "write saliency maps: photograph, map and overlay in one figure",
        "localise": "find objects: box, confidence, map and mask in one figure",
        "deconvnet": "show what activates a feature map: its strongest images, patches and reconstructions",
        "filters": "draw the filters of a layer and, of an image, its feature maps",
        "batch": "predict, explain or localise any number of images into files; a rerun goes on where it was left",
        "class-model": "draw the image that maximises a class score, or a unit of any layer",
        "explore": "open a page that shows every number of a network, forwards and backwards",
    },
    "Evaluate": {
        "evaluate": "measure classes, maps, masks and boxes on labelled pictures",
        "reproduce": "run every experiment of the paper on a folder of images, and write a page",
    },
    "Verify": {
        "check": "hold every gradient of a network against its forward pass, to rounding error",
        "compare": "hold a network against another program, layer by layer",
        "diagnose": "find the convention that makes a network answer wrongly",
        "validity": "say how far along its gradient a class score is exactly linear, in grey levels",
    },
    "Models": {
        "classes": "list the classes of a network, or search them for a word",
        "train": "train a network on a data set, and go on where it was left",
        "inspect": "say what a weight file is and holds, or where a figure comes from",
        "convert": "write a network in another format",
    },
    "System": {
        "serve": "answer pictures over HTTP: classes, maps and boxes, from one network that is kept ready",
        "warm-up": "compile the fast kernels now, for images and containers",
        "devices": "say where the engine can compute here, and why not elsewhere",
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all went well, 1 if something failed, 2 for wrong use.

    Errors are one sentence on stderr.  argparse itself exits with 2.  Stopped by Ctrl-C or SIGTERM it returns 130
    or 143; what was printed until then is valid.

    Parameters
    ----------
    argv : sequence of str, optional
        What was typed after ``minicnn``; ``sys.argv`` unless given.

    Examples
    --------
    >>> main(["inspect", "nowhere.npz"])  # says on stderr that there is no such file
    1

    """
    words = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    if list(words) in ([], ["help"]):
        build_parser(()).print_help()
        return 0
    # "minicnn help train", as other programs have it
    words = [*words[1:], "--help"] if words[0] == "help" else words
    arguments = build_parser(words).parse_args(words)
    from minicnn.cli.common import UsageError, complain
    from minicnn.cli.loop.signals import raising_stopped

    try:
        with warnings.catch_warnings(), loudness(arguments), raising_stopped(), drawing_of(arguments):
            warnings.simplefilter("ignore" if "quiet" in arguments else "always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: complain(message)
            status: int = _module(arguments.command).run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # whoever read our output, such as head, has gone; Python must not complain when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UsageError as error:
        complain(error)
        return 2
    except OSError as error:
        # of a stream, which has no name, the system says no more than what happened
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and not error.filename
        complain(
            f"the output can't be written ({error.strerror}); what was printed until then is cut"
            if full
            else error
        )
    except MinicnnError as error:
        complain(error)
    except MemoryError as error:
        complain(f"the computer's memory is full ({error}); give fewer or smaller images at a time")
    except KeyboardInterrupt as stop:
        complain(str(stop) or "stopped by Ctrl-C")
        # as shells say that a signal ended it: 130 for Ctrl-C, 143 for SIGTERM
        return 128 + getattr(stop, "number", signal.SIGINT)
    return 1


def _open_closed_streams() -> None:
    """Let what is printed into a stream that the caller has closed, as ``>&-`` does, go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def build_parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Parameters
    ----------
    words : sequence of str, optional
        What was typed: only commands named in it get their options, since each is a module to import.  All
        commands get theirs unless given.

    Returns
    -------
    parser : argparse.ArgumentParser
        What it parses has ``command``, a name of `COMMANDS`.

    Examples
    --------
    >>> build_parser().parse_args(["predict", "photo.jpg", "--top", "3"]).top
    3

    """
    parser = Overview(
        prog="minicnn",
        description="What a convolutional network sees: classes, saliency maps, and the gradients behind them.",
    )
    parser.groups = COMMANDS
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    # commands are made by the same class as the parser of their names, but one that lists no groups
    commands = parser.add_subparsers(
        prog="minicnn", metavar="COMMAND", dest="command", required=True, parser_class=Parser
    )
    for name, purpose in [line for group in COMMANDS.values() for line in group.items()]:
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if words is None or name in words:
            _module(name).configure(command)
    return parser


def _module(command: str) -> ModuleType:
    group = next(group for group, commands in COMMANDS.items() if command in commands)
    return import_module(f"minicnn.cli.{group.lower()}.{command.replace('-', '_')}")


def _complete() -> None:
    """Answer a shell that asks how a line goes on, and exit; nothing where argcomplete is not installed."""
    try:
        import argcomplete
    except ImportError:
        return
    # options that --help leaves out are completed
    argcomplete.autocomplete(build_parser(), print_suppressed=True)


class _Version(argparse.Action):
    """Prints the version without importing anything else."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from minicnn import __version__

        print(f"minicnn {__version__}")
        parser.exit()
