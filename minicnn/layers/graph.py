"""Which layer reads what: lists of named layers checked, cut at a layer, cleared of what nothing reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.errors import MinicnnError
from minicnn.layers.base import Layer, NamedLayers

__all__ = [
    "INPUT",
    "before_softmax",
    "find",
    "follows_alone",
    "is_passed_by_all",
    "name_layers",
    "needed_for",
    "read_by",
    "rename_inputs",
    "truncate_at",
    "unroll",
]

INPUT = "input"  # what a list is applied to, among the names that ``inputs`` may hold


def name_layers(layers: Sequence[Any], prefix: str = "") -> NamedLayers:
    """Layers, or (name, layer) pairs, as pairs; a layer without a name is called by its place in the list.

    Parameters
    ----------
    layers : list or tuple of layers, of (name, layer) pairs, or of (name, layer, inputs) triples
        The inputs are a name, or a tuple of names, of layers further up the list; "input" is what the list is
        applied to.  A layer without any reads the layer before it.
    prefix : str
        What the names of unnamed layers begin with.

    Raises
    ------
    MinicnnError
        If it is no list, what it holds are no layers, two have the same name, or one reads what does not stand
        before it.

    Examples
    --------
    >>> from minicnn.layers import Add, Flatten, ReLU
    >>> name_layers([ReLU(), ("flatten", Flatten())])
    [('0', ReLU()), ('flatten', Flatten())]
    >>> name_layers([("a", ReLU()), ("b", ReLU(), "input"), ("sum", Add(), ("a", "b"))])[-1]
    ('sum', Add(inputs=('a', 'b')))

    """
    if not isinstance(layers, list | tuple):
        raise MinicnnError(f"expected a list of layers, got {type(layers).__name__}")
    named = [
        _pair(item) if isinstance(item, tuple) else _pair((f"{prefix}{i}", item)) for i, item in enumerate(layers)
    ]
    repeated = sorted(name for name, times in Counter(name for name, _ in named).items() if times > 1)
    if repeated:
        raise MinicnnError(f"layer names must differ, found twice: {', '.join(repeated)}")
    _check_inputs(named)
    return named


def _pair(item: tuple[Any, ...]) -> tuple[str, Layer]:
    """Return (name, layer), the layer with its inputs as a tuple."""
    name, layer, *rest = item if len(item) in (2, 3) else (None, None)
    inputs = rest[0] if rest else getattr(layer, "inputs", ())
    inputs = (inputs,) if isinstance(inputs, str) else inputs
    # a tuple may be anything; what names no layer is refused here, where the mistake can be shown
    is_named = isinstance(name, str) and isinstance(layer, Layer) and isinstance(inputs, tuple | list)
    if not is_named or not all(isinstance(value, str) for value in inputs):
        raise MinicnnError(f"expected layers, (name, layer) pairs or (name, layer, inputs) triples, got {item!r}")
    return name, layer.reading(*inputs)


def _check_inputs(layers: NamedLayers) -> None:
    before: dict[str, None] = {INPUT: None}
    for name, layer in layers:
        missing = [value for value in layer.inputs if value not in before]
        if missing:
            known = ", ".join(before)
            raise MinicnnError(f"layer {name!r} reads {missing[0]!r}, which is not among those before it: {known}")
        _check_count(name, layer)
        before[name] = None
    if any(INPUT in layer.inputs for _, layer in layers) and any(name == INPUT for name, _ in layers):
        raise MinicnnError(f"a layer is called {INPUT!r}, which is what the network's own input is called")


def _check_count(name: str, layer: Layer) -> None:
    """Raise MinicnnError unless a layer has as many inputs as it takes."""
    count, takes_one = len(layer.inputs), layer.input_count == 1
    least, most = (0, 1) if takes_one else (2, layer.input_count or max(count, 3))
    if not least <= count <= most:
        takes = {1: "one input", 2: "two inputs"}.get(most, "two inputs or more")
        raise MinicnnError(f"layer {name!r}: {type(layer).__name__} takes {takes}, got {layer.inputs!r}")


def read_by(layers: NamedLayers) -> list[tuple[str, ...]]:
    """Names of what each layer reads: its ``inputs``, or the layer before it.

    Examples
    --------
    >>> from minicnn.layers import Add, ReLU
    >>> read_by(name_layers([("a", ReLU()), ("b", ReLU()), ("sum", Add(), ("a", "b"))]))
    [('input',), ('a',), ('a', 'b')]

    """
    before = [INPUT, *(name for name, _ in layers)]
    return [layer.inputs or (previous,) for (_, layer), previous in zip(layers, before, strict=False)]


def needed_for(layers: NamedLayers, end: str) -> NamedLayers:
    """Return the layers that the one called ``end`` depends on, and itself; none for "input".

    Examples
    --------
    >>> from minicnn.layers import ReLU
    >>> layers = name_layers([("a", ReLU()), ("b", ReLU(), "input"), ("c", ReLU(), "a")])
    >>> [name for name, _ in needed_for(layers, "c")]
    ['a', 'c']

    """
    names, kept = {end}, []
    for (name, layer), inputs in zip(reversed(layers), reversed(read_by(layers)), strict=True):
        if name in names:
            kept.append((name, layer))
            # what it reads stands further up; and who reads the layer before it still finds it there
            names.remove(name)
            names.update(inputs)
    return kept[::-1]


def follows_alone(layers: NamedLayers) -> list[bool]:
    """Whether each layer reads the one before it alone, which nothing else reads: only then may the two be merged.

    Examples
    --------
    >>> from minicnn.layers import Add, ReLU
    >>> follows_alone(name_layers([("a", ReLU()), ("b", ReLU()), ("c", ReLU()), ("sum", Add(), ("a", "c"))]))
    [True, False, True, False]

    """
    reads = read_by(layers)
    readers = Counter(value for inputs in reads for value in inputs)
    before = [INPUT, *(name for name, _ in layers)]
    return [i == (value,) and readers[value] == 1 for i, value in zip(reads, before, strict=False)]


def is_passed_by_all(layers: NamedLayers) -> list[bool]:
    """Whether all paths to the end lead through each layer: what follows reads nothing further up.

    Examples
    --------
    >>> from minicnn.layers import Add, ReLU
    >>> is_passed_by_all(name_layers([("a", ReLU()), ("b", ReLU()), ("sum", Add(), ("a", "b"))]))
    [True, False, True]

    """
    place = {name: i for i, (name, _) in enumerate(layers)} | {INPUT: -1}
    passed: list[bool] = []
    furthest = len(layers)
    for inputs in reversed(read_by(layers)):
        passed.append(furthest >= len(layers) - 1 - len(passed))
        furthest = min(furthest, *(place[value] for value in inputs))
    return passed[::-1]


def rename_inputs(layers: NamedLayers, names: Mapping[str, str]) -> NamedLayers:
    """Return the layers, reading what ``names`` says in the place of what they read."""
    return [(name, layer.reading(*(names.get(value, value) for value in layer.inputs))) for name, layer in layers]


def before_softmax(layers: NamedLayers) -> NamedLayers:
    """Return the layers that the scores depend on: without a softmax or sigmoid at the end."""
    if not layers:
        return []
    name, last = layers[-1]
    return needed_for(layers, read_by(layers)[-1][0] if last.is_posterior else name)


def truncate_at(layers: NamedLayers, path: str) -> NamedLayers:
    """Return the layers that the one at ``path`` depends on, and itself; the branch of a block it is in unrolled.

    Raises
    ------
    MinicnnError
        If there is no such layer.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, ReLU, Residual
    >>> layers = name_layers([Conv2d(3, 3, 1), Residual([Conv2d(3, 3, 1), ReLU()])])
    >>> [name for name, _ in truncate_at(layers, "1.body.0")]
    ['0', '1.body.0']

    """
    if any(name == path for name, _ in layers):
        return needed_for(layers, path)
    for i, (name, block) in enumerate(layers):
        # the layers before the block, then of the block only the branch that the path leads into, up to there
        if path.startswith(f"{name}."):
            rest = path[len(name) + 1 :]
            for branch in block.branches():
                if any(rest == n or rest.startswith(f"{n}.") for n, _ in branch):
                    inside = unroll(truncate_at(branch, rest), name, block, read_by(layers)[i][0])
                    return needed_for(layers[:i] + inside, path)
    raise MinicnnError(f"no layer {path!r}; the layers are {', '.join(name for name, _ in layers)}")


def unroll(branch: NamedLayers, name: str, block: Layer, value: str) -> NamedLayers:
    """Return a branch of a block as it stands outside of it, under dotted names; the block reads ``value``."""

    def outside(inner: str) -> str:
        return value if inner == INPUT else f"{name}.{inner}"

    layers = [(f"{name}.{inner}", layer.reading(*map(outside, layer.inputs))) for inner, layer in branch]
    # the first one reads what the block does
    return [
        (n, layer if i or layer.inputs else layer.reading(*block.inputs)) for i, (n, layer) in enumerate(layers)
    ]


def find(layers: NamedLayers, path: str) -> Layer:
    """Return the layer at ``path``, in a block too; MinicnnError if there is none."""
    return truncate_at(layers, path)[-1][1]
