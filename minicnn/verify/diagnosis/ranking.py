"""In which order changes are tried, alone and in pairs, and which of them are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from minicnn.verify.diagnosis.changes import INPUT, Change

__all__ = ["merge", "pair_variants", "pairs", "prioritise"]

MANY = 300  # changes beyond which those of single layers are tried last
FEW = 80  # changes of which every pair is tried; of more, as many that are made everywhere ...
BEST = 40  # ... and the best of the others


def prioritise(changes: list[Change]) -> list[list[Change]]:
    """Return the changes in the order to try them: what a program does everywhere first, where there are many."""
    if len(changes) <= MANY:
        return [changes]
    return [[c for c in changes if _is_everywhere(c)], [c for c in changes if not _is_everywhere(c)]]


def _is_everywhere(change: Change) -> bool:
    in_whole = change.layers == (INPUT,) or change.convention in ("class order", "flattening")
    return len(change.layers) > 1 or in_whole


def pairs(ranked: list[Change]) -> list[tuple[Change, Change]]:
    """Return the pairs to try, those of the best single changes first: all of few; else of what is everywhere."""
    if len(ranked) > FEW:
        everywhere = [change for change in ranked if _is_everywhere(change)]
        chosen = {id(change) for change in [*everywhere[:FEW], *ranked[:BEST]]}
        ranked = [change for change in ranked if id(change) in chosen]
    # pairs by the sum of their ranks: two promising changes before one of them with a poor one
    ranks = sorted(combinations(range(len(ranked)), 2), key=sum)
    both = [(ranked[i], ranked[j]) for i, j in ranks]
    return [(a, b) for a, b in both if a.convention != b.convention or not set(a.layers) & set(b.layers)]


def pair_variants(pair: tuple[Change, Change], changes: list[Change]) -> list[tuple[Change, Change]]:
    """Return the pair, and those that are the same in one layer instead of all, or in all."""
    first, second = ([c for c in changes if _is_same(c, own)] for own in pair)
    others = [(a, b) for a in first for b in second if (a, b) != pair]
    names = {name for change in pair for name in change.layers}
    return [pair, *((a, b) for a, b in others if names & set(a.layers) and names & set(b.layers))]


def _is_same(a: Change, b: Change) -> bool:
    """Return whether two changes are the same, in whatever layers."""
    return (a.convention, a.what) == (b.convention, b.what)


def merge(changes: Iterable[Change]) -> list[Change]:
    """Return the changes with those that are the same in different layers as one."""
    merged: list[Change] = []
    for change in changes:
        same = [other for other in merged if _is_same(other, change)]
        if same and not set(same[0].layers) & set(change.layers):
            merged[merged.index(same[0])] = replace(change, layers=(*same[0].layers, *change.layers))
        else:
            merged.append(change)
    return merged
