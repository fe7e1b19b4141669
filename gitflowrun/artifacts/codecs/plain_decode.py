"""The reader of plain/1, which makes the value of a payload that `plain_encode` wrote.

Whatever the bytes, the outcome is a value, `CorruptRecord`, or the refusal to import a module for a class: no
module is imported for an untrusted value.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.codecs import classes, plain_encode
from gitflowrun.artifacts.codecs import numpy as numpy_codec
from gitflowrun.artifacts.codecs.payload import collector_paused, split
from gitflowrun.artifacts.codecs.plain_types import BY_CODE
from gitflowrun.artifacts.codecs.registry import decode_embedded
from gitflowrun.errors import CorruptRecord, UntrustedArtifact
from gitflowrun.limits import MAX_DEPTH, MAX_UNTRUSTED_PARTS
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.artifacts.codecs.payload import Buffer, Loading

_UNSHARED = (tuple, frozenset, slice)
_LIMITS = msgpack.Limits(
    total=1 << 40, depth=MAX_DEPTH, nodes=1 << 40, text=1 << 32, binary=1 << 32,
    extensions=True,
)  # fmt: skip
_MALFORMED = (
    ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError,
)  # fmt: skip


def decode_plain(payload: memoryview, loading: Loading) -> Any:
    """The value in a payload.

    Raises:
        CorruptRecord: there is none.
        UntrustedArtifact: a class would have to be imported for a value that isn't trusted.
        NotFound: a class or a time zone doesn't exist here.
    """
    head, buffers, _ = split(payload)
    with collector_paused(len(head)):
        try:
            return _Reader(payload, buffers, loading).read(head)
        except _MALFORMED as error:
            raise CorruptRecord(f"malformed value: {error}") from error


class _Reader:
    """Rebuilds one value."""

    def __init__(self, payload: memoryview, buffers: list[memoryview], loading: Loading) -> None:
        self._payload = payload
        self._buffers = buffers
        self._loading = loading
        self._table: list[Any] = []
        self._depth = loading.depth
        self._nodes = 0
        self._special: dict[int, Callable[[Any], Any]] = {
            plain_encode.TUPLE: tuple,
            plain_encode.SET: self._set,
            plain_encode.FROZENSET: lambda items: frozenset(self._set(items)),
            plain_encode.BYTEARRAY: self._bytearray,
            plain_encode.ARRAY: partial(_array, writable=loading.writable),
            plain_encode.SCALAR: lambda parts: _array(parts, writable=True)[()],
            plain_encode.DTYPE: numpy_codec.parse_dtype,
            plain_encode.EMBEDDED: self._embedded,
            plain_encode.SHARED: self._shared,
        }

    def read(self, data: Buffer) -> Any:
        """One packed value."""
        if not self._loading.trusted:
            self._nodes += msgpack.scan(data, _LIMITS)
            if self._nodes > MAX_UNTRUSTED_PARTS:
                raise UntrustedArtifact(
                    f"a value of more than {MAX_UNTRUSTED_PARTS:,} parts could fill the memory, "
                    "and its run isn't trusted",
                    hint="if you trust where it came from: git runs trust <run or remote>",
                )
        return msgpack.unpack_extended(data, self._extension)

    def _extension(self, code: int, data: bytes) -> Any:
        if code == plain_encode.REF:
            return self._table[int.from_bytes(data, "big")]
        if code in {plain_encode.BUFFER, plain_encode.VIEW}:
            buffer = self._buffers[int.from_bytes(data, "big")]
            return bytes(buffer) if code == plain_encode.BUFFER else buffer
        self._depth += 1
        if self._depth > MAX_DEPTH + 1:  # SHARED and EMBEDDED wrap
            raise CorruptRecord("a value nests too deep")
        parts = self.read(data)
        if code in BY_CODE:
            value = BY_CODE[code].make(parts)
        elif code in classes.KINDS:
            value = classes.KINDS[code].build(parts, trusted=self._loading.trusted)
        elif code in self._special:
            value = self._special[code](parts)
        else:
            raise CorruptRecord(
                f"a value of unknown kind {code}", hint="install a newer gitflowrun"
            )
        self._depth -= 1
        return value

    def _set(self, items: list[Any]) -> set[Any]:
        result = set(items)
        if len(result) != len(items):
            raise CorruptRecord("a set repeats an element")
        return result

    def _bytearray(self, buffer: Buffer) -> bytearray:
        if isinstance(buffer, int):
            raise CorruptRecord("malformed bytearray")
        return bytearray(buffer)

    def _shared(self, entries: list[bytes]) -> Any:
        for entry in entries[:-1]:
            value = self.read(entry)
            # The writer shares what can change. A few tuples of one another would take for ever to hash.
            if not self._loading.trusted and (
                isinstance(value, _UNSHARED) or classes.is_frozen(type(value))
            ):
                raise CorruptRecord("a value that can't change is shared")
            self._table.append(value)
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


def _array(parts: list[Any], *, writable: bool) -> Any:
    *layout, buffer = parts
    return numpy_codec.build(numpy_codec.Layout.from_list(layout), buffer, writable=writable)
