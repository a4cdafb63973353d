"""Parsers of the command line: help in groups, with examples; one sentence, with near names, for wrong use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import takewhile
from typing import Any, NoReturn, TypeAlias

from minicnn.cli.parsing.examples import EXAMPLES

__all__ = ["Help", "Overview", "Parser", "fold", "format_folded"]

NUMBERS = {"int": "a whole number", "float": "a number"}
Section: TypeAlias = tuple[str, "str | None", Sequence[argparse.Action]]  # title, description, what is listed


class Help(argparse.RawDescriptionHelpFormatter):
    """Help whose examples stand line by line."""


class Parser(argparse.ArgumentParser):
    """A parser of one command, with its examples; wrong use is one sentence and exit status 2."""

    _mixes = False  # while options and files are told apart
    _typed: Sequence[str] = ()

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Help)
        super().__init__(**settings)
        self.epilog = _format_examples(EXAMPLES.get(self._name(), ()))
        # of the command that was typed, whose options those that nobody knows are compared with
        self.set_defaults(parser=self)
        loudness = self.add_mutually_exclusive_group()
        for option, purpose in (
            ("verbose", "say on stderr what is loaded and how long it takes, and where an error arises"),
            ("quiet", "say nothing on stderr but errors"),
        ):
            loudness.add_argument(
                f"-{option[0]}", f"--{option}", action="store_true", default=argparse.SUPPRESS, help=purpose
            )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what was typed; exit with 2 where something is not known."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parsed.parser.error(f"unexpected {unknown[0]!r}")
        return parsed

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what was typed, options and files in any order, and what is left over."""
        args = self._typed = list(sys.argv[1:] if args is None else args)
        typed = takewhile(lambda word: word != "--" and (self._subparsers is None or word[:1] == "-"), args)
        for name in (word.partition("=")[0] for word in typed if word[:2] == "--" and " " not in word):
            if not any(option.startswith(name) for option in self._option_string_actions):
                near = _nearest(name, self._option_string_actions)
                place = "; options come after the command" if self._subparsers is not None and not near else ""
                self.error(f"unexpected {name!r}{near}{place}")
        # which calls this function for each of its two passes, and takes no commands; after "--" nothing is mixed
        if self._mixes or self._subparsers is not None or "--" in args:
            return super().parse_known_args(args, namespace)
        self._mixes = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixes = False

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one sentence that says where the options are listed, or how to name a file "-a.jpg"."""
        command = f"{self._name()}: " if self._name() else ""
        # argparse speaks to programmers
        for kind, words in NUMBERS.items():
            message = message.replace(f"invalid {kind} value: ", f"expected {words}, got ")
        file = next((word for word in self._typed if word[:1] == "-" and os.path.isfile(word)), None)
        hint = f"see {self.prog} --help" if file is None else f"the file {file!r} is meant? Write './{file}'"
        self.exit(2, f"minicnn: {command}{message} ({hint})\n")

    def format_help(self) -> str:
        """Return what is needed as usage, the options in their groups, and examples."""
        formatter = self._get_formatter()
        choices = [group for group in self._mutually_exclusive_groups if group.required]
        chosen = [action for group in choices for action in group._group_actions]
        needed = [a for a in self._actions if not a.option_strings or a.required or a in chosen]
        # all others stand for themselves below
        formatter.add_usage(self.usage, [argparse.Action([], "option", "*", metavar="OPTION"), *needed], choices)
        formatter.add_text(self.description)
        for section in self._sections():
            _add_section(formatter, section)
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _sections(self) -> Iterator[Section]:
        for group in self._action_groups:
            yield group.title or "", group.description, group._group_actions

    def _name(self) -> str:
        return self.prog.removeprefix("minicnn").strip()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            near = _nearest(str(value), choices) or f"; choose from {', '.join(choices)}"
            # what stands for itself is called what it is: a command, a measure
            what = "" if action.option_strings else f"{action.metavar or 'value'} ".lower()
            named = action if action.option_strings else None
            raise argparse.ArgumentError(named, f"there is no {what}{value!r}{near}")


class Overview(Parser):
    """The parser above all commands, which lists them in ``groups``: {title: {name: purpose}}."""

    groups: Mapping[str, Mapping[str, str]] = {}

    def _sections(self) -> Iterator[Section]:
        for title, commands in self.groups.items():
            yield title, None, [argparse.Action([], n, metavar=n, help=text) for n, text in commands.items()]
        yield "options", None, [action for action in self._actions if action.option_strings]


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return the clause that names the nearest of the known words, "" if none is near."""
    from minicnn._utils.suggest import did_you_mean

    clause = did_you_mean(word, known)
    return f"; {clause}" if clause.startswith("did") else ""


def _format_examples(examples: Sequence[tuple[str, str]]) -> str | None:
    """Return examples as a shell takes them, each below a comment that says what it does."""
    if not examples:
        return None
    return "examples:\n" + "\n".join(f"  # {purpose}\n  minicnn {line}" for line, purpose in examples)


# options that are listed only if asked for


def fold(parser: Any, group: Any) -> None:
    """Leave the options of a group out of ``--help``: ``--help-TITLE`` lists them."""
    # help and usage leave out what is suppressed, and a section without text
    section: Section = (f"{group.title}: {group.description}", None, [copy(a) for a in group._group_actions])
    for action in group._group_actions:
        action.help = argparse.SUPPRESS
    group.description = None
    names = ", ".join(action.option_strings[0] for action in group._group_actions)
    parser.add_argument(
        f"--help-{group.title}", action=_ListGroup, nargs=0, const=section, help=f"explain {names}"
    )


def format_folded(parser: argparse.ArgumentParser) -> str:
    """Return the options that ``--help`` leaves out."""
    sections = [action.const for action in parser._actions if isinstance(action, _ListGroup)]
    return "".join(_format_section(parser._get_formatter(), section) for section in sections)


class _ListGroup(argparse.Action):
    """Prints the section ``const``."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and exit."""
        assert self.const is not None
        print(_format_section(parser._get_formatter(), self.const).rstrip())
        parser.exit()


def _format_section(formatter: argparse.HelpFormatter, section: Section) -> str:
    _add_section(formatter, section)
    return formatter.format_help()


def _add_section(formatter: argparse.HelpFormatter, section: Section) -> None:
    title, description, actions = section
    formatter.start_section(title)
    formatter.add_text(description)
    formatter.add_arguments(actions)
    formatter.end_section()
