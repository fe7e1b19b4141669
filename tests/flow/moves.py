"""What the steps of generated flows do with their artifacts, written as data, and the values that they do it with.

It needs nothing of this package: the same moves are made by a flow in memory, by one in a process of its own, by a
plain object, and by a flow of Metaflow's.
"""

from __future__ import annotations

import copy
import enum
import functools
import gc
import json
import os
from array import array
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

__all__ = ["HOWS", "VALUES", "Failed", "Moves", "act", "shown"]


class Thing:
    """Equal to what has the same content; keeps what a property has computed."""

    def __init__(self, name: str, items: list[Any]) -> None:
        self.name = name
        self.items = items

    @functools.cached_property
    def size(self) -> int:
        """A cached number."""
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and (self.name, self.items) == (other.name, other.items)

    __hash__ = None  # type: ignore[assignment]


class Named:
    """Equal to whatever has its name, as models and rows of a database may be."""

    def __init__(self, name: str, weight: Any) -> None:
        self.name = name
        self.weight = weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Color(enum.Enum):
    """Members are one object each."""

    RED = 1
    BLUE = 2


class Text(str):
    """A text with attributes."""

    __slots__ = ("__dict__",)


VALUES = [
    "1", "True", "1.0", "0", "False", "0.0", "-0.0", "float('nan')", "None", "2 ** 70", "1j", "''", "b''", "'a'",
    "'a text ' * 9", "b'some bytes'", "b'x' * 5000", "()", "(1,)", "(True,)", "(1.0,)", "(0.0, [1])", "[]", "[1]",
    "[True]", "[0.0]", "[-0.0]", "[float('nan')]", "[1, [2]]", "[[]] * 2", "[[], []]", "[[1, 2]] * 3", "{}",
    "{'k': [1]}", "{1: 'a'}", "{True: 'a'}", "{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", "{3}", "{'x', 'y'}",
    "frozenset({1})", "bytearray(b'ab')", "bytearray()", "np.arange(3)", "np.arange(3.0)", "np.zeros(0)",
    "np.array([[1, 2], [3, 4]])", "np.arange(4).reshape(2, 2).T", "np.arange(500)", "np.float64(1.0)", "np.int64(1)",
    "np.array(['a', [1]], dtype=object)", "np.arange(6)[::2]", "Thing('a', [1])", "Thing('a', [True])",
    "Thing('a', [np.arange(3)])", "[Thing('a', [1])] * 2", "Named('a', 1)", "Named('a', 2)", "Named('b', [1])",
    "Named('a', np.arange(300.0))", "{'m': np.arange(4)}", "[np.arange(3)] * 2", "[np.arange(3), np.arange(3)]",
    "deque([1])", "deque([True])", "deque([0.0])", "deque([-0.0])", "OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)",
    "Counter('aab')", "Decimal('1.0')", "Decimal('1.00')", "datetime(2020, 1, 1)", "Color.RED", "Text('a')", "range(3)",
    "datetime(2020, 1, 1, tzinfo=timezone.utc)", "array('i', [1, 2])", "[bytearray(b'a')] * 2", "Text",
    "{Named('a', 1)}", "Color", "[None]", "[b'', '']", "(b'',)", "('',)",
]  # fmt: skip
"""Values, as code that makes each anew."""

_NAMESPACE = {
    "np": np,
    "timezone": timezone,
    **{
        it.__name__: it
        for it in (
            array, Color, Counter, datetime, Decimal, deque, Named, OrderedDict, Text, Thing,
        )
    },
}  # fmt: skip


def made(code: str) -> Any:
    """A value of its code."""
    return eval(code, _NAMESPACE)


def shown(value: Any, *, loosely: bool = False) -> str:
    """A value as text that differs where values do: by type and sign, by order and by what is one object within it.

    The last two don't count `loosely`.
    """
    return _shown(value, None if loosely else {})


def _shown(value: Any, seen: _Seen | None) -> str:
    kind = type(value).__name__
    if value is None or isinstance(value, _ATOMS):
        return f"{kind}:{value!r}"
    if isinstance(value, np.generic):
        return f"{kind}:{value.item()!r}"
    if isinstance(value, str):
        return f"{kind}:{str(value)!r}{sorted(getattr(value, '__dict__', {}).items())}"
    if seen is not None and not isinstance(value, (tuple, frozenset)):
        if id(value) in seen:
            return f"#{seen[id(value)][0]}"
        seen[id(value)] = len(seen), value  # and keep it, or its id would be another's
    return f"{kind}:{_shown_parts(value, seen)}"


def _shown_parts(value: Any, seen: _Seen | None) -> str:
    if isinstance(value, np.ndarray):
        items = [_shown(it, seen) for it in value.flat] if value.dtype == object else value.tolist()
        return f"{value.dtype}:{value.shape}:{items}"
    if isinstance(value, dict):
        pairs = [_shown(key, seen) + "=" + _shown(it, seen) for key, it in value.items()]
        is_sorted = seen is None and not isinstance(value, OrderedDict)
        return str(sorted(pairs) if is_sorted else pairs)
    if isinstance(value, (set, frozenset)):
        return str(sorted(_shown(it, None) for it in value))
    if isinstance(value, (list, tuple, deque, bytearray, array)):
        return str([_shown(it, seen) for it in value])
    attributes = {key: it for key, it in vars(value).items() if key != "size"}  # which it computes
    return _shown(attributes, seen)


_Seen = dict[int, tuple[int, Any]]
_ATOMS = (type, range, enum.Enum, bool, int, float, complex, bytes, Decimal, datetime)
_TURNED = {
    "int:1": "True", "bool:True": "1.0", "float:1.0": "1", "float:0.0": "-0.0", "float:-0.0": "0.0", "str:''[]": "b''",
    "bytes:b''": "''",
}  # fmt: skip


def change(value: Any, how: str) -> None:
    """Change a value in place, or not: what is undone, or asked of a cache, leaves it as it was."""
    _CHANGES[how](value)


def _nested(value: Any) -> None:
    for it in _parts(value):
        _add(it)


def _undo(value: Any) -> None:
    if isinstance(value, (list, deque, bytearray)):
        value.append(1)
        value.pop()


def _cache(value: Any) -> None:
    for it in [value, *_parts(value)]:
        getattr(it, "size", None)


def _reorder(value: Any) -> None:
    if isinstance(value, dict):
        for key in list(value)[:1]:
            value[key] = value.pop(key)


def _share(value: Any) -> None:
    if isinstance(value, list) and len(value) > 1:
        value[1] = value[0]


def _unshare(value: Any) -> None:
    if isinstance(value, list) and len(value) > 1:
        value[1] = copy.deepcopy(value[1])


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, deque)) or (
        isinstance(value, np.ndarray) and value.dtype == object
    ):
        return list(value)
    return [] if isinstance(value, type) else list(getattr(value, "__dict__", {}).values())


def _retype(value: Any) -> None:
    """Put what is equal and of another type, or sign, in the place of each item."""
    if isinstance(value, Thing):
        _retype(value.items)
    elif isinstance(value, (list, deque, dict)):
        for key, it in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if shown(it) in _TURNED:
                value[key] = made(_TURNED[shown(it)])


def _add(value: Any) -> None:
    if isinstance(value, (list, deque, bytearray, array)):
        value.append(7)
    elif isinstance(value, dict):
        value["added"] = 1
    elif isinstance(value, set):
        value.add(7)
    elif isinstance(value, np.ndarray):
        if value.size and value.dtype != object:
            value.flat[0] += 1
    elif isinstance(value, Thing):
        value.items.append(7)
    elif isinstance(value, Named):
        value.weight = [value.weight]
    elif isinstance(value, Text):
        value.__dict__["more"] = 1


_CHANGES = {
    "add": _add, "nested": _nested, "undo": _undo, "cache": _cache, "retype": _retype, "reorder": _reorder,
    "share": _share, "unshare": _unshare,
}  # fmt: skip
HOWS = list(_CHANGES)
"""How a value is changed in place."""


class Moves:
    """What the steps are to do: moves by the name of the step. A move is a list, its name first."""

    script: ClassVar[dict[str, list[Any]]] = {}

    @classmethod
    def load(cls) -> dict[str, list[Any]]:
        """Those of this process, else those of the file that the environment names."""
        if not cls.script and "MOVES" in os.environ:
            cls.script = json.loads(Path(os.environ["MOVES"]).read_text())
        return cls.script


class Failed(Exception):
    """What a step is told to raise."""


def act(flow: Any, step: str, inputs: Any = None, attempt: int = 0) -> None:
    """Make the moves of a step. What it sees goes to the end of `log`, a text of its own."""
    flow.log = ""
    actor = _Actor(flow, inputs)
    actor.attempt = attempt
    try:
        actor.make(Moves.load().get(step, []))
    finally:
        flow.log = "\n".join(actor.log)


class _Actor:
    attempt = 0

    def __init__(self, flow: Any, inputs: Any) -> None:
        self.flow = flow
        self.inputs = inputs
        self.held = None if inputs is None else list(inputs)
        self.is_changed = False  # one of the inputs
        self.log: list[str] = []

    def make(self, moves: list[Any]) -> None:
        for name, *rest in moves:
            try:
                getattr(self, f"do_{name}")(*rest)
            except Failed:
                raise
            except Exception as error:  # noqa: BLE001  (it is seen, and the next move follows)
                self.log.append(f"{name}: {_kind(error)}")

    def do_set(self, name: str, code: str) -> None:
        setattr(self.flow, name, made(code))

    def do_let(self, name: str, source: str) -> None:
        setattr(self.flow, name, getattr(self.flow, source))

    def do_swap(self, first: str, second: str) -> None:
        one, two = getattr(self.flow, first), getattr(self.flow, second)
        setattr(self.flow, first, two)
        setattr(self.flow, second, one)

    def do_read(self, name: str) -> None:
        self.log.append(f"{name}={shown(getattr(self.flow, name))}")

    def do_has(self, name: str) -> None:
        self.log.append(f"{name}? {hasattr(self.flow, name)}")

    def do_change(self, name: str, how: str) -> None:
        change(getattr(self.flow, name), how)

    def do_wrap(self, name: str, source: str) -> None:
        value = getattr(self.flow, source)
        setattr(self.flow, name, [value, value])

    def do_pick(self, name: str, source: str) -> None:
        setattr(self.flow, name, _parts(getattr(self.flow, source))[0])

    def do_put(self, name: str, source: str) -> None:
        value = getattr(self.flow, source)
        if value is not getattr(self.flow, name):
            getattr(self.flow, name).append(value)

    def do_del(self, name: str) -> None:
        delattr(self.flow, name)

    def do_renew(self, name: str) -> None:
        """Delete, and set again to the very object."""
        value = getattr(self.flow, name)
        delattr(self.flow, name)
        setattr(self.flow, name, value)

    def do_copy(self, name: str, source: str) -> None:
        setattr(self.flow, name, copy.deepcopy(getattr(self.flow, source)))

    def do_reuse(self, name: str, code: str) -> None:
        """Let a value go away, and make another that may be where it was."""
        value = getattr(self.flow, name)
        where = id(value)
        del value
        delattr(self.flow, name)
        gc.collect(0)
        kept = []
        for _ in range(20):
            value = made(code)
            if id(value) == where:
                break
            kept.append(value)
        setattr(self.flow, name, value)

    def do_input(self, name: str) -> None:
        setattr(self.flow, name, self.flow.input)

    def do_change_input(self, how: str) -> None:
        change(self.flow.input, how)

    def do_param(self, name: str, param: str) -> None:
        setattr(self.flow, name, getattr(self.flow, param))

    def do_change_param(self, param: str, how: str) -> None:
        change(getattr(self.flow, param), how)
        self.log.append(shown(getattr(self.flow, param)))

    def do_set_param(self, param: str) -> None:
        setattr(self.flow, param, 1)

    def do_only(self, rest: int, moves: list[Any]) -> None:
        if self.flow.index % 2 == rest:
            self.make(moves)

    def do_try(self, moves: list[Any]) -> None:
        with suppress(Failed):
            self.make(moves)
            raise Failed

    def do_fail(self, attempts: int) -> None:
        if self.attempt < attempts:
            raise Failed

    def do_forget(self) -> None:
        """Hold no input any more: those of a foreach go away, and come back as they were stored."""
        if not self.is_changed:
            self.held = None

    def _of(self, index: int) -> Any:
        inputs = self.inputs if self.held is None else self.held
        return inputs[index % len(inputs)]

    def do_take(self, name: str, index: int, source: str) -> None:
        setattr(self.flow, name, getattr(self._of(index), source))

    def do_take_and_change(self, name: str, index: int, source: str, how: str) -> None:
        value = getattr(self._of(index), source)
        self.is_changed = True
        change(value, how)
        setattr(self.flow, name, value)

    def do_change_of(self, index: int, source: str, how: str) -> None:
        if self.held is not None:  # else it may be loaded anew
            self.is_changed = True
            change(getattr(self._of(index), source), how)

    def do_set_of(self, index: int, source: str, code: str) -> None:
        if self.held is not None:
            self.is_changed = True
            setattr(self._of(index), source, made(code))

    def do_peek(self, index: int, source: str) -> None:
        self.log.append(f"{index}.{source}={shown(getattr(self._of(index), source))}")

    def do_take_input(self, name: str, index: int) -> None:
        setattr(self.flow, name, self._of(index).input)

    def do_collect(self, name: str, source: str) -> None:
        setattr(self.flow, name, [getattr(it, source) for it in self.inputs])

    def do_merge(self, which: str, names: list[str], some: list[int]) -> None:
        """Merge all inputs, or some."""
        chosen = [self._of(it) for it in some] if some else self.inputs
        self.flow.merge_artifacts(chosen, **({which: names} if names else {}))


def _kind(error: Exception) -> str:
    names = getattr(error, "artifact_names", None)
    return type(error).__name__ + (f" {sorted(names)}" if names else "")
