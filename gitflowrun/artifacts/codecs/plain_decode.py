"""The reader of plain/1, which makes the value of a payload that `plain_encode` wrote.

Whatever the bytes, the outcome is a value, an error of ours, or one that `registry.decode` makes `CorruptRecord` of.

A payload of a run that isn't trusted may have been made to hurt whoever reads it: 4 KB that never end, or fill the
memory. It is read with one budget for all of it, and in no other form than the writer gives:

- What it will take in memory is added up before it is unpacked, and what is made of it before that is made.
- Tuples, dates and the like, of which each takes time, may not be more than its size allows.
- A buffer is used once. What is shared can change, is part of the whole, and stands beside it, not within it.
- Keys with equal hashes, of which a dict compares each with all others, are counted; integers have an end.
- No class is imported, and no value is made that takes a library but numpy.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.codecs import classes, plain_encode
from gitflowrun.artifacts.codecs import numpy as numpy_codec
from gitflowrun.artifacts.codecs.payload import collector_paused, needs_trust, split
from gitflowrun.artifacts.codecs.plain_types import BY_CODE
from gitflowrun.artifacts.codecs.registry import check_safe, decode_embedded
from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import (
    COLLISIONS_A_KEY,
    FEW_KEYS,
    MAX_DEPTH,
    MAX_SHARED_CHAIN,
    OUT_OF_BAND,
    STRANGERS_DECIMAL,
    STRANGERS_INTEGER,
    STRANGERS_MEMORY,
    STRANGERS_PART,
    STRANGERS_PARTS,
    STRANGERS_RATIO,
)
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gitflowrun.artifacts.codecs.payload import Buffer, Loading


def decode_plain(payload: memoryview, loading: Loading) -> Any:
    """The value in a payload.

    Raises:
        CorruptRecord: there is none.
        UntrustedArtifact: it needs more than a value of a run that isn't trusted gets.
        NotFound: a class or a time zone doesn't exist here.
    """
    head, buffers, _ = split(payload) if loading.trusted else split(payload, _most_buffers(payload))
    reader = _Reader if loading.trusted else _StrangersReader
    with collector_paused(len(head)):
        return reader(payload, buffers, loading).read(head)


def _most_buffers(payload: memoryview) -> int:
    return 10_000 + payload.nbytes // OUT_OF_BAND


class _Reader:
    """Rebuilds one value.

    Args:
        payload: All of it.
        buffers: Those in it.
        loading: How it is being loaded.
    """

    def __init__(self, payload: memoryview, buffers: list[memoryview], loading: Loading) -> None:
        self._payload = payload
        self._buffers = buffers
        self._loading = loading
        self._table: list[Any] = []
        self._depth = loading.depth
        self._special: dict[int, Callable[[Any], Any]] = {
            plain_encode.TUPLE: tuple,
            plain_encode.SET: set,
            plain_encode.FROZENSET: frozenset,
            plain_encode.BYTEARRAY: _bytearray,
            plain_encode.ARRAY: partial(_array, writable=loading.writable),
            plain_encode.SCALAR: _scalar,
            plain_encode.DTYPE: numpy_codec.parse_dtype,
            plain_encode.EMBEDDED: self._embedded,
            plain_encode.SHARED: self._shared,
        }

    def read(self, data: Buffer) -> Any:
        """One packed value."""
        return msgpack.unpack_extended(data, self._extension)

    def _extension(self, code: int, data: bytes) -> Any:
        if code == plain_encode.REF:
            return self._refer(int.from_bytes(data, "big"))
        if code in {plain_encode.BUFFER, plain_encode.VIEW}:
            buffer = self._buffer(int.from_bytes(data, "big"))
            return bytes(buffer) if code == plain_encode.BUFFER else buffer
        self._depth += 1
        if self._depth > MAX_DEPTH + 1:  # SHARED and EMBEDDED wrap
            raise CorruptRecord("a value nests too deep")
        value = self._make(code, self._parts(code, data))
        self._depth -= 1
        return value

    def _parts(self, _code: int, data: bytes) -> Any:
        return self.read(data)

    def _make(self, code: int, parts: Any) -> Any:
        if code in BY_CODE:
            return BY_CODE[code].make(parts)
        if code in classes.KINDS:
            return classes.KINDS[code].build(parts, trusted=self._loading.trusted)
        if code in self._special:
            return self._special[code](parts)
        raise CorruptRecord(f"a value of unknown kind {code}", hint="install a newer gitflowrun")

    def _refer(self, number: int) -> Any:
        return self._table[number]

    def _buffer(self, number: int) -> memoryview:
        return self._buffers[number]

    def _shared(self, entries: list[bytes]) -> Any:
        for entry in entries[:-1]:
            self._table.append(self.read(entry))
        return self.read(entries[-1])

    def _embedded(self, parts: list[Any]) -> Any:
        codec, payload, *count = parts
        if count:
            payload = self._region(payload, *count)
        return decode_embedded(codec, payload, replace(self._loading, depth=self._depth))

    def _region(self, first: int, count: int) -> memoryview:
        """The payload of an embedded value: some buffers that lie one behind the other."""
        sizes = [buffer.nbytes for buffer in self._buffers]
        start = self._payload.nbytes - sum(sizes[first:])
        return self._payload[start : start + sum(sizes[first : first + count])]


def _bytearray(buffer: Any) -> bytearray:
    if type(buffer) not in {bytes, memoryview}:
        raise CorruptRecord("malformed bytearray")
    return bytearray(buffer)


def _array(parts: list[Any], *, writable: bool) -> Any:
    *layout, buffer = parts
    return numpy_codec.build(numpy_codec.Layout.from_list(layout), buffer, writable=writable)


def _scalar(parts: list[Any]) -> Any:
    return _array(parts, writable=True)[()]


_LIMITS = msgpack.Limits(
    total=1 << 40, depth=MAX_DEPTH, nodes=1 << 40, text=1 << 32, binary=1 << 32,
    extensions=True,
)  # fmt: skip
_SMALL = 64  # bytes from which on a part is looked at before it is unpacked
_EXTENSIONS = frozenset({0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)})  # what they begin with
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_OF_TIMES = frozenset({"timedelta", "timezone", "ZoneInfo"})
_TIMES = frozenset({"datetime", "zoneinfo"})
_INTEGER, _SLICE, _ZONE, _DECIMAL = 5, 7, 15, 16
_ORDERED, _COUNTER, _DEFAULTDICT, _DEQUE, _NAMESPACE = range(23, 28)
_SETS = frozenset({plain_encode.SET, plain_encode.FROZENSET})
_OF_LISTS = frozenset(
    {*_SETS, *classes.KINDS, plain_encode.TUPLE, plain_encode.ARRAY, plain_encode.SCALAR}
)
# Where among the parts of a value its keys are.
_KEYS = {
    **dict.fromkeys(_SETS, slice(None)),
    **dict.fromkeys((_ORDERED, _COUNTER), slice(0, None, 2)),
    _DEFAULTDICT: slice(1, None, 2),
}
# What is larger than the list of its parts: containers with a table of hashes, objects with one of attributes.
_LARGER = frozenset({*_KEYS, _DEQUE, _NAMESPACE, *classes.KINDS})
_SLOT, _OBJECT, _ENTRY = 8, 72, 125  # bytes of memory
_FIELD = 96  # the same for each character of a dtype of fields
_DTYPE_PARTS = (
    3  # the time that a dtype takes, in parts; its fields take half as many as they have characters
)
_ZONE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*){0,3}\Z")


class _StrangersReader(_Reader):
    """Rebuilds a value that may be anybody's. Takes what `_Reader` takes."""

    def __init__(self, payload: memoryview, buffers: list[memoryview], loading: Loading) -> None:
        super().__init__(payload, buffers, loading)
        self._memory = STRANGERS_MEMORY + STRANGERS_RATIO * payload.nbytes
        self._left = STRANGERS_PARTS + payload.nbytes // STRANGERS_PART
        self._used: set[int] = set()
        self._ranks: list[int] = []
        self._rank = 0
        self._zones: dict[str, Any] = {}
        self._checks: dict[int, Callable[[Any], None]] = {
            plain_encode.TUPLE: self._check_tuple,
            plain_encode.ARRAY: self._check_array,
            plain_encode.SCALAR: self._check_scalar,
            plain_encode.DTYPE: self._check_dtype,
        }

    def read(self, data: Buffer) -> Any:
        """One packed value."""
        extent = msgpack.scan(data, _LIMITS)
        self._spend(extent.memory)
        has_many_keys = extent.longest_map > FEW_KEYS
        return msgpack.unpack_extended(
            data, self._extension, _checked_map if has_many_keys else None
        )

    def _spend(self, memory: int) -> None:
        self._memory -= memory
        if self._memory < 0:
            raise needs_trust("a value that takes many times the size in which it is stored")

    def _count(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise needs_trust("a value of very many parts")

    def _parts(self, code: int, data: bytes) -> Any:
        self._count(1)
        if data[:1] and data[0] in _EXTENSIONS and code != plain_encode.BYTEARRAY:
            raise CorruptRecord("a value of nothing but another")
        if len(data) > _SMALL:
            return self.read(data)
        parts = msgpack.unpack_extended(data, self._extension)
        if type(parts) is list and _ATOMS.issuperset(map(type, parts)):
            self._spend(_OBJECT * (len(parts) + 1))
        else:
            self._spend(msgpack.scan(data, _LIMITS).memory + _OBJECT)
        return parts

    def _make(self, code: int, parts: Any) -> Any:
        if code in BY_CODE:
            self._check_standard(code, parts)
        elif code in _OF_LISTS and type(parts) is not list:
            raise CorruptRecord("malformed parts of a value")
        if code in _LARGER:
            self._spend(_ENTRY * len(parts))
        if code in _KEYS:
            _check_hashes(parts[_KEYS[code]])
        if code == _ZONE:
            return self._zone(parts)
        check = self._checks.get(code)
        if check is not None:
            check(parts)
        made = super()._make(code, parts)
        if code in _SETS and len(made) != len(parts):
            raise CorruptRecord("a set repeats an element")
        return made

    def _check_standard(self, code: int, parts: Any) -> None:
        """Refuse what no writer has taken a value of a standard type apart into."""
        kind = BY_CODE[code]
        if not kind.is_standard:
            raise needs_trust(f"the value holds a {kind.module}.{kind.name}, which a library makes")
        size = len(parts) if type(parts) in {bytes, str} else 0
        if size > {_INTEGER: STRANGERS_INTEGER, _DECIMAL: STRANGERS_DECIMAL}.get(code, size):
            raise needs_trust(f"a number of {size} digits or bytes")
        if not kind.mutable and code != _SLICE and type(parts) is list:
            for cls in map(type, parts):
                is_of_times = cls.__name__ in _OF_TIMES and cls.__module__ in _TIMES
                if cls not in _ATOMS and not is_of_times:
                    raise needs_trust(f"a {kind.name} is made of a {cls.__name__}")

    def _zone(self, key: Any) -> Any:
        """A time zone. Its name becomes a path below the system's time zones, and never one out of them."""
        if type(key) is not str or not _ZONE_KEY.match(key):
            raise CorruptRecord(f"{str(key)[:60]!r} is no name of a time zone")
        if key not in self._zones:
            self._zones[key] = super()._make(_ZONE, key)
        return self._zones[key]

    def _check_scalar(self, parts: list[Any]) -> None:
        if parts[2]:
            raise CorruptRecord("a scalar that is an array")
        self._check_array(parts)

    def _check_tuple(self, parts: list[Any]) -> None:
        self._spend(_SLOT * len(parts))

    def _check_array(self, parts: list[Any]) -> None:
        *layout, buffer = parts
        if type(buffer) not in {bytes, memoryview}:
            raise CorruptRecord("an array without a buffer")
        checked = numpy_codec.Layout.from_list(layout)
        self._spend_on_dtype(checked.descr)
        numpy_codec.check_strangers(checked)
        self._spend(2 * _OBJECT + (len(buffer) if self._loading.writable else 0))

    def _check_dtype(self, text: Any) -> None:
        if type(text) is not str:
            raise CorruptRecord("malformed dtype")
        self._spend_on_dtype(text)
        numpy_codec.check_strangers_dtype(text)

    def _spend_on_dtype(self, text: str) -> None:
        self._count(_DTYPE_PARTS + (len(text) // 2 if text.startswith("[") else 0))
        if len(text) > _SMALL:
            self._spend(_FIELD * len(text))

    def _refer(self, number: int) -> Any:
        value = super()._refer(number)
        self._rank = max(self._rank, self._ranks[number] + 1)
        if self._rank > MAX_SHARED_CHAIN:
            raise needs_trust("a long chain of objects that are shared")
        return value

    def _buffer(self, number: int) -> memoryview:
        if number in self._used:
            raise CorruptRecord("a buffer is used twice")
        self._used.add(number)
        buffer = super()._buffer(number)
        self._spend(buffer.nbytes)
        return buffer

    def _shared(self, entries: list[bytes]) -> Any:
        if self._depth > 1 or self._table:
            raise CorruptRecord("shared values within another")
        self._count(len(entries))
        for entry in entries[:-1]:
            self._rank = 0
            value = self.read(entry)
            # Tuples of one another would take for ever to hash; what can change has no hash, or that of its place.
            if getattr(type(value), "__hash__", None) not in (None, object.__hash__):
                raise needs_trust(f"a {type(value).__name__}, which has a hash, is shared")
            self._table.append(value)
            self._ranks.append(self._rank)
        self._rank = 0
        return self.read(entries[-1])

    def _embedded(self, parts: list[Any]) -> Any:
        codec = parts[0]
        check_safe(codec if type(codec) is str else "")
        raise CorruptRecord(f"a {codec} within another value, where none is written")


def _checked_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    _check_hashes([key for key, _ in pairs])
    return dict(pairs)


def _check_hashes(keys: Collection[Any]) -> None:
    """Refuse keys that a dict would compare with one another for ever: few values share a hash by chance."""
    if len(keys) <= FEW_KEYS:
        return
    counts = Counter(map(hash, keys))
    pairs = sum(count * (count - 1) // 2 for count in counts.values())
    if pairs > COLLISIONS_A_KEY * len(keys):
        raise needs_trust("a set or dict of which too many keys have one hash")
