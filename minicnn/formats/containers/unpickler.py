"""Pickle programs of weight files, run by an interpreter that knows tensors and containers and nothing else.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names. This one
imports nothing and knows the names that its caller lists, by default those of ``pickle_types``; what a program
makes with any other, such as a trainer's settings beside the weights, is not built: an ``Opaque`` stands for it,
which readers refuse among weights. It loops and never recurses, so nesting costs no stack; the length of a
program, its number of operations and the size of an integer are bounded, so no program takes more than a few
seconds or about 100 MiB (beyond the arrays in it, which are views of the file).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from typing import Any

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.pickle_program import MAX_BYTES, MAX_LINE_BYTES, MAX_OPERATIONS, Program
from minicnn.formats.containers.pickle_types import (
    KNOWN,
    Dtype,
    Opaque,
    Storage,
    are_counts,
    check_key,
    make_default_dict,
    make_set,
    to_key,
)

__all__ = ["MAX_BYTES", "MAX_OPERATIONS", "run"]


def run(
    data: mmap.mmap | bytes,
    path: PathLike,
    label: str,
    at: int = 0,
    known: Mapping[tuple[str, str], Any] = KNOWN,
    limit: int = MAX_BYTES,
) -> tuple[Any, int, dict[str, Storage]]:
    """Run the pickle program in ``data`` that begins at byte ``at``.

    Parameters
    ----------
    data : mmap or bytes
    path : str or Path
        The file, for errors.
    label : str
        What the program is called in errors: "data.pkl".
    at : int
    known : mapping of (str, str) to object
        What a module and a name stand for: a ``Dtype``, or a function to call.
    limit : int
        Bytes that the program may have.

    Returns
    -------
    value : object
        What the program builds: None, bool, int, float, str, bytes, tuple, list, dict, set, and what is known
        by name; for all else an ``Opaque``. An OrderedDict, Counter or defaultdict is a dict, a torch.Size or
        torch.device a tuple. Long bytes are a memoryview of the file.
    stop : int
        The byte after the program.
    storages : dict of str to Storage
        Every storage that was named, whole.

    Raises
    ------
    WeightsError
        If the program is damaged or over-long.

    """
    machine = _Machine(known, data, f"{path}: ", label, at, limit)
    return machine.run(), machine.at, machine.storages


class _Machine(Program):
    """The stack machine: a stack, a metastack of those below the marks, and a memo of numbered objects."""

    def __init__(self, known: Mapping[tuple[str, str], Any], *program: Any):
        super().__init__(*program)
        self.known, self.callable = known, tuple(value for value in known.values() if callable(value))
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        while True:
            self.start = self.at
            code = self.take(1)
            self.spend(1)
            try:
                if code == b".":
                    return self.stack.pop()
                if code not in _OPERATIONS:
                    raise self.error(f"unknown operation 0x{code.hex()}")
                _OPERATIONS[code](self)
            except WeightsError:
                raise
            # whatever a bad operand makes Python raise means that the program is damaged
            except (LookupError, TypeError, ValueError, OverflowError, AttributeError, struct.error) as error:
                raise self.error(f"damaged program ({escape(str(error))})") from None

    # the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_mark(self) -> None:
        self.metastack.append(self.stack)
        self.stack = []

    def pop_marked(self) -> list[Any]:
        """Return what was pushed since the last mark, and go back to the stack below it."""
        items, self.stack = self.stack, self.metastack.pop()
        return items

    def pop_items(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the stack is too short")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop(self) -> None:
        # on an empty stack POP takes the mark away, as in Python's own machine
        self.stack.pop() if self.stack else self.pop_marked()

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"expected a {kind.__name__}, found {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    # what is put into an opaque object is dropped

    def extend_list(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Opaque:
            self.top(list).extend(items)

    def add_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Opaque:
            self.top(set).update(map(to_key, items))

    def set_pairs(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Opaque:
            self.top(dict).update(_pairs(items))

    def build(self) -> None:
        """Drop the attributes that honest files set, those of an OrderedDict; a record takes its own."""
        state = self.stack.pop()
        if hasattr(self.stack[-1], "build"):
            self.stack[-1].build(self.spend, state)
        elif type(self.stack[-1]) is not Opaque:
            self.top(dict)

    # names and calls

    def push_name(self, module: str, name: str) -> None:
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name that is no text")
        # each name is a copy
        if len(module) + len(name) > MAX_LINE_BYTES:
            raise TypeError(f"a name of {len(module) + len(name)} letters")
        place = f"named at byte {self.start} of {self.label}"
        self.push(self.known.get((module, name)) or Opaque(f"{module}.{name}", place))

    def call(self, makes_object: bool = False) -> None:
        function, arguments = self.pop_items(2)
        opaque = next((value for value in (function, *arguments) if type(value) is Opaque), None)
        if type(arguments) is tuple and opaque is not None and function is not make_default_dict:
            built = makes_object and opaque is function
            self.push(Opaque(opaque.name, opaque.place, built or opaque.built))
            return
        if function not in self.callable or type(arguments) is not tuple:
            raise TypeError(f"a call of {type(function).__name__} with {type(arguments).__name__}")
        self.push(function(self.spend, *arguments))

    def call_marked(self) -> None:
        """Call the first of the marked items with the others, as Python 2 makes objects."""
        function, *arguments = self.pop_marked()
        self.stack += [function, tuple(arguments)]
        self.call(makes_object=True)

    def call_with_names(self) -> None:
        """Make an object with arguments by name, which only an opaque one has."""
        self.top(dict)
        self.stack.pop()
        self.top(tuple)
        if type(self.stack[-2]) is not Opaque:
            raise TypeError("an object with arguments by name")
        self.call(makes_object=True)

    def push_storage(self) -> None:
        """Push the storage that a persistent id names: ("storage", type, key, location, numel[, view])."""
        kind, dtype, *rest = self.stack.pop()
        # the class of a whole model, or a storage of a type that is not listed
        if type(dtype) is Opaque and kind in ("module", "storage"):
            self.push(Opaque(dtype.name, dtype.place, kind == "module"))
            return
        name, _location, numel, *view = rest
        if kind != "storage" or type(dtype) is not Dtype or type(name) is not str or not are_counts([numel]):
            raise TypeError("not the name of a storage")
        # the whole storage is recorded and its view pushed: all views of it share its bytes
        whole = Storage(dtype.name, name, numel, 0, numel)
        if self.storages.setdefault(name, whole) != whole:
            raise TypeError(f"storage {escape(name)!r} is described twice, and differently")
        # legacy files may end the id with (the view's key, its first element, their number), or None
        _view, first, count = (view and view[0]) or (None, 0, numel)
        if not are_counts([first, count]) or first + count > numel:
            raise TypeError(f"a view of storage {escape(name)!r} that reaches beyond its {numel} elements")
        self.push(Storage(dtype.name, name, numel, first, count))


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {to_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)}


def _instantiate(machine: _Machine, module: str, name: str, arguments: list[Any]) -> None:
    machine.push_name(module, name)
    machine.push(tuple(arguments))
    machine.call(makes_object=True)


_OPERATIONS: dict[bytes, Callable[[_Machine], Any]] = {
    # the frame: protocol number, length of a frame
    b"\x80": lambda m: m.take(1),
    b"\x95": lambda m: m.take(8),
    # constants
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.read_signed(4)),
    b"K": lambda m: m.push(m.read_unsigned(1)),
    b"M": lambda m: m.push(m.read_unsigned(2)),
    b"\x8a": lambda m: m.push(m.read_long(1)),
    b"\x8b": lambda m: m.push(m.read_long(4)),
    b"I": lambda m: m.push(m.read_old_integer()),
    b"L": lambda m: m.push(m.read_old_integer()),
    b"F": lambda m: m.push(float(m.read_line())),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    # text and bytes; Python 2's strings are bytes that are taken as text
    b"V": lambda m: m.push(m.read_old_text()),
    b"\x8c": lambda m: m.push(m.read_text(1)),
    b"X": lambda m: m.push(m.read_text(4)),
    b"\x8d": lambda m: m.push(m.read_text(8)),
    b"S": lambda m: m.push(m.read_old_string()),
    b"U": lambda m: m.push(m.take(m.read_unsigned(1)).decode("latin1")),
    b"T": lambda m: m.push(m.read_counted(m.read_signed(4))),
    b"C": lambda m: m.push(m.take(m.read_unsigned(1))),
    b"B": lambda m: m.push(m.take_long(m.read_unsigned(4))),
    b"\x8e": lambda m: m.push(m.take_long(m.read_unsigned(8))),
    b"\x96": lambda m: m.push(m.take_long(m.read_unsigned(8))),
    # containers
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.push(tuple(m.pop_items(1))),
    b"\x86": lambda m: m.push(tuple(m.pop_items(2))),
    b"\x87": lambda m: m.push(tuple(m.pop_items(3))),
    b"t": lambda m: m.push(tuple(m.pop_marked())),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.pop_marked()),
    b"a": lambda m: m.extend_list(m.pop_items(1)),
    b"e": lambda m: m.extend_list(m.pop_marked()),
    b"}": lambda m: m.push({}),
    b"d": lambda m: m.push(_pairs(m.pop_marked())),
    b"s": lambda m: m.set_pairs(m.pop_items(2)),
    b"u": lambda m: m.set_pairs(m.pop_marked()),
    b"\x8f": lambda m: m.push(make_set(m.spend)),
    b"\x90": lambda m: m.add_items(m.pop_marked()),
    b"\x91": lambda m: m.push(make_set(m.spend, m.pop_marked())),
    # the stack and the memory
    b"(": lambda m: m.push_mark(),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.pop_marked(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"p": lambda m: m.memo.update({check_key(int(m.read_line())): m.stack[-1]}),
    b"q": lambda m: m.memo.update({m.read_unsigned(1): m.stack[-1]}),
    b"r": lambda m: m.memo.update({m.read_unsigned(4): m.stack[-1]}),
    b"\x94": lambda m: m.memo.update({len(m.memo): m.stack[-1]}),
    b"g": lambda m: m.push(m.memo[int(m.read_line())]),
    b"h": lambda m: m.push(m.memo[m.read_unsigned(1)]),
    b"j": lambda m: m.push(m.memo[m.read_unsigned(4)]),
    # names, calls, storages
    b"c": lambda m: m.push_name(m.read_line(), m.read_line()),
    b"\x93": lambda m: m.push_name(*m.pop_items(2)),
    b"i": lambda m: _instantiate(m, m.read_line(), m.read_line(), m.pop_marked()),
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.call(makes_object=True),
    b"\x92": lambda m: m.call_with_names(),
    b"o": lambda m: m.call_marked(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.push_storage(),
}
