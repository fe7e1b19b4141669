"""Whether two payloads of plain/1 hold equal values: their bytes tell apart what `==` does not.

The order of a dict's keys, and which lists, dicts and other mutable objects within the value are one object, are
part of a payload and not of what `==` looks at. All else counts as it is stored: types are exact, `1`, `1.0` and
`True` differ, so do `0.0` and `-0.0`; a NaN is equal to any other. No code is run, and no class imported.

Each part gets a number, equal parts the same one: what is met in many places is looked at once.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.codecs import plain_encode
from gitflowrun.artifacts.codecs.classes import DATACLASS
from gitflowrun.artifacts.codecs.payload import collector_paused, split

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

_COUNTER, _DEFAULTDICT = 24, 25
# Where in what is stored of a value its keys and values begin, whose order is of no account.
_PAIRS_FROM = {_COUNTER: 0, _DEFAULTDICT: 1, DATACLASS: 2}
_SETS = frozenset({plain_encode.SET, plain_encode.FROZENSET})
_EXACT = frozenset({int, str, bytes, bool})
_BUFFERS = frozenset({plain_encode.BUFFER, plain_encode.VIEW})


def are_same(first: bytes, second: bytes) -> bool:
    """Whether two payloads that `encode_plain` has written hold equal values."""
    numbers: dict[Hashable, int] = {}
    with collector_paused(len(first) + len(second)):
        return (
            _Reader(memoryview(first), numbers).read()
            == _Reader(memoryview(second), numbers).read()
        )


class _Reader:
    """Numbers the parts of one value.

    Args:
        payload: What `encode_plain` has written.
        numbers: Those that parts have got already, of this value or another.
    """

    def __init__(self, payload: memoryview, numbers: dict[Hashable, int]) -> None:
        self._head, self._buffers, _ = split(payload)
        self._numbers = numbers
        self._table: list[tuple[int]] = []

    def read(self) -> int:
        """The number of the whole value."""
        return self._packed(self._head)

    def _packed(self, data: bytes | memoryview) -> int:
        return self._number(self._unpacked(data))

    def _unpacked(self, data: bytes | memoryview) -> Any:
        return msgpack.unpack_extended(data, self._extension)

    def _number(self, node: Any) -> int:
        cls = type(node)
        key: Hashable
        if cls is tuple:  # an extension value, which has its number
            return int(node[0])
        if cls is list:
            kinds = set(map(type, node))
            are_exact = (
                len(kinds) == 1 and kinds <= _EXACT
            )  # long lists of numbers are looked at once
            key = (list, *kinds, *node) if are_exact else (list, *map(self._number, node))
        elif cls is dict:
            key = (dict, self._pairs(node.items()))
        elif cls is float:
            key = (float, None if math.isnan(node) else struct.pack("d", node))
        else:
            key = (cls, node)
        return self._numbers.setdefault(key, len(self._numbers))

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> frozenset[tuple[int, int]]:
        return frozenset((self._number(key), self._number(value)) for key, value in pairs)

    def _extension(self, code: int, data: bytes) -> tuple[int]:
        """The number of an extension value, in a tuple: msgpack itself makes none."""
        if code == plain_encode.REF:
            return self._table[int.from_bytes(data, "big")]
        if code in _BUFFERS:
            return (self._number(bytes(self._buffers[int.from_bytes(data, "big")])),)
        parts = self._unpacked(data)
        if code == plain_encode.SHARED:
            self._table = []
            for entry in parts[:-1]:
                self._table.append((self._packed(entry),))
            return (self._packed(parts[-1]),)
        return (self._numbers.setdefault((code, self._content(code, parts)), len(self._numbers)),)

    def _content(self, code: int, parts: Any) -> Hashable:
        if code in _SETS:
            return frozenset(map(self._number, parts))
        if code in _PAIRS_FROM:
            start = _PAIRS_FROM[code]
            pairs = zip(parts[start::2], parts[start + 1 :: 2], strict=True)
            return (*map(self._number, parts[:start]), self._pairs(pairs))
        if code == plain_encode.EMBEDDED and isinstance(parts[1], int):
            codec, begin, count = parts
            parts = [codec, b"".join(self._buffers[begin : begin + count])]
        return self._number(parts)
