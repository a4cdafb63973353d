"""What people and data sets call a network's classes: labels, synonyms, WordNet ids, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from minicnn._utils.suggest import did_you_mean
from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_list import read_class_list
from minicnn.evaluate.datasets.text import read_text
from minicnn.io import catalogue
from minicnn.network import Network

__all__ = ["ClassNames", "Classes", "read_classes"]

Classes: TypeAlias = "ClassNames | Mapping[str, int | tuple[int, ...]]"
Answer: TypeAlias = tuple[int, ...]  # classes of which any one is right
Tier: TypeAlias = dict[str, list[Answer]]  # what a name may mean; more than one: it is ambiguous

ILSVRC = "imagenet-classes.txt"
WORDNET_ID = re.compile(r"n\d{8}\b")


class ClassNames:
    """Classes by name: a label, one of its synonyms, all of them with commas between, a WordNet id, a number.

    Case, underscores, hyphens and spaces do not count, unless two names differ by nothing else.  A label comes
    before a first name, and that before a synonym: "cardigan" is the jacket, though a dog is called Cardigan too.

    Parameters
    ----------
    lines : sequence of str
        The classes in order, as "label", "label, synonym" or "n01440764 label, synonym".
    more : sequence of str, likewise
        Further names of the same classes.

    Examples
    --------
    >>> names = ClassNames(["n02012849 crane", "n02123045 tabby, tabby cat", "n03126707 crane"])
    >>> names["Tabby_Cat"], names["n02012849"], names["2"]
    ((1,), (0,), (2,))
    >>> names["crane"]
    Traceback (most recent call last):
    minicnn.errors.MinicnnError: 'crane' is the name of classes 0, 2; write the number or the WordNet id instead

    """

    def __init__(self, lines: Sequence[str], more: Sequence[str] = ()) -> None:
        self._labels = [_split_id(line)[1] for line in lines]
        # how many numbers there are; without labels nobody knows
        self._count: int | None = len(lines) or None
        # a name means what the first tier that has it says
        self._tiers = [*_label_tiers(lines), *_synset_tiers(lines), *_synset_tiers(more)]

    @classmethod
    def of_network(cls, net: Network) -> ClassNames:
        """Return the names of a network's classes: its labels, with all names of ILSVRC-2012's if it has those."""
        labels = net.labels or []
        lines = read_lines(catalogue.folder("weights") / ILSVRC)
        # some networks have a class "background" before the thousand
        for shift in (0, 1):
            if len(labels) == len(lines) + shift and _are_the_same(labels[shift:], lines):
                return cls(labels, ["background", *lines] if shift else lines)
        return cls(labels)

    @classmethod
    def of_mapping(cls, mapping: Mapping[str, int | Answer]) -> ClassNames:
        """Return names that mean what a mapping says, and no others."""
        names = cls([])
        names._labels, names._count = list(mapping), 0
        answers = {name: (n,) if isinstance(n, int) else tuple(n) for name, n in mapping.items()}
        names._tiers = [{name: [answer] for name, answer in answers.items()}, {}]
        for name, answer in answers.items():
            _add(names._tiers[1], _normalise(name), answer)
        return names

    def __getitem__(self, name: str) -> Answer:
        """Return the classes that a name means, any one of which is right.

        Raises
        ------
        MinicnnError
            If it is the name of no class, or of several.

        """
        # names with commas between are a synset's; they mean the class that all of them can mean
        words = [name.strip()] if self._find(name.strip()) else [w.strip() for w in name.split(",")]
        meanings = [self._find(word) for word in words]
        common = [m for m in meanings[0] if all(m in others for others in meanings)]
        if len(common) == 1:
            return common[0]
        if common:
            listed = ", ".join(" or ".join(map(str, answer)) for answer in common)
            raise MinicnnError(
                f"{name[:60]!r} is the name of classes {listed}; write the number or the WordNet id instead"
            )
        raise MinicnnError(self._explain(name.strip()))

    def _find(self, word: str) -> list[Answer]:
        """Return what a word may mean, [] if it is no name."""
        for tier in self._tiers:
            if meanings := tier.get(word) or tier.get(_normalise(word)):
                return meanings
        # isdecimal lets digits of other scripts pass; isascii keeps them out
        is_number = word.isascii() and word.isdecimal() and len(word) < 8
        return [(int(word),)] if is_number and (self._count is None or int(word) < self._count) else []

    def _explain(self, name: str) -> str:
        shown = name[:60]
        if not self._labels:
            return (
                f"classes are named ({shown!r}), not numbered, and the network has no labels; give them in order, "
                "one a line, with --labels FILE or --classes FILE"
            )
        if name.isascii() and name.isdecimal() and self._count:
            return f"no class {shown}; expected 0 to {self._count - 1}"
        if WORDNET_ID.fullmatch(name):
            return f"no class has the WordNet id {shown}; is it one of the classes that the network knows?"
        # whoever writes "labrador" means none of the words that are spelt like it
        longer = [label for label in self._labels if name and _normalise(name) in _normalise(label).split()]
        hint = (
            f"did you mean {' or '.join(map(repr, longer[:3]))}?" if longer else did_you_mean(shown, self._labels)
        )
        return f"no class is named {shown!r}; {hint}"


def read_classes(path: PathLike, known: ClassNames | None = None) -> ClassNames:
    """Read the names of classes from a text file.

    Parameters
    ----------
    path : of a file of one of two kinds
        A list of classes as `read_class_list` reads it: "tabby", "tabby, tabby cat" or, as ILSVRC's lists have
        it, "n02123045 tabby, tabby cat".  Or what a data set's names mean, "kangaroo = wallaby": behind the
        equals sign stand labels, WordNet ids or numbers, any one of which is right, with semicolons between.
    known : names that may stand behind an equals sign; numbers alone unless given

    Raises
    ------
    MinicnnError
        If the file can't be read, a name stands on two lines of a translation, or one behind "=" is unknown.

    """
    lines = read_lines(path)
    if not any("=" in line for line in lines) or lines[0][0] in "{[":
        return ClassNames(read_class_list(path))
    known, mapping = known or ClassNames([]), {}
    for line in lines:
        name, _, meaning = (part.strip() for part in line.partition("="))
        if not name or not meaning or name in mapping:
            raise MinicnnError(
                f"{path}: expected lines like 'kangaroo = wallaby', each name once, got {line!r:.80}"
            )
        mapping[name] = tuple(dict.fromkeys(n for word in meaning.split(";") for n in known[word]))
    return ClassNames.of_mapping(mapping)


def read_lines(path: PathLike) -> list[str]:
    """Return the lines of a text file that are not empty."""
    return [line.strip() for line in read_text(Path(path)).splitlines() if line.strip()]


def _label_tiers(lines: Iterable[str]) -> list[Tier]:
    """Return what names mean as labels: as written, and whatever their case."""
    written: Tier = {}
    whole: Tier = {}
    for number, (_, text) in enumerate(map(_split_id, lines)):
        _add(written, text, (number,))
        _add(whole, _normalise(text), (number,))
    return [written, whole]


def _synset_tiers(lines: Iterable[str]) -> list[Tier]:
    """Return what names mean as those of synsets: WordNet ids, all names, first names, others."""
    tiers: list[Tier] = [{} for _ in range(4)]
    ids, whole, first, others = tiers
    for number, (wordnet_id, text) in enumerate(map(_split_id, lines)):
        names = [_normalise(name) for name in text.split(",")]
        if wordnet_id:
            _add(ids, wordnet_id, (number,))
        # a synset of one name may share it with others: two begin with "maillot", one of them has no other name
        if len(names) > 1:
            _add(whole, _normalise(text), (number,))
        _add(first, names[0], (number,))
        for name in names[1:]:
            _add(others, name, (number,))
    return tiers


def _add(tier: Tier, name: str, answer: Answer) -> None:
    if answer not in (meanings := tier.setdefault(name, [])):
        meanings.append(answer)


def _split_id(line: str) -> tuple[str, str]:
    """Return the WordNet id at the head of a line, or "", and the rest; of a lone id, the id as the rest too."""
    match = WORDNET_ID.match(line)
    return (match[0], line[match.end() :].strip() or match[0]) if match else ("", line)


def _normalise(name: str) -> str:
    """Return a name in small letters, with single spaces for all that parts words."""
    return " ".join(re.split(r"[\s_]+|(?<=\w)-(?=\w)", name.casefold())).strip()


def _are_the_same(labels: Sequence[str], lines: Sequence[str]) -> bool:
    """Return whether labels are these classes in this order; spellings differ, so half of them decide."""
    matches = 0
    for label, line in zip(labels, lines, strict=True):
        names = {_normalise(name) for name in _split_id(line)[1].split(",")}
        matches += not names.isdisjoint(_normalise(name) for name in _split_id(label)[1].split(","))
    return matches > len(lines) / 2
