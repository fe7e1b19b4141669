"""The writer of plain/1, which holds Python's own values as msgpack with extension types.

What it holds: None, bool, int of any size, float to the bit, str, bytes, bytearray, list, tuple, dict in its
order, set and frozenset in a canonical order, the types of `plain_types`, enum members, dataclass instances
and named tuples by their class's name, numpy arrays and scalars; and, embedded, every value that has a codec
of its own (frames, tensors).

A mutable object met twice is written once and referred to, so the loaded value shares as the stored one did.
Immutable ones are written each time: whether `(1, 2)` is one object or two is up to the compiler and must not
change the digest. Cycles are left to pickle.

Values that msgpack holds exactly as they are, *trees*, are recognised many at a time without looking at each:
dicts and lists that nobody else refers to, so that no sharing is lost, of None, bool, int, float and str.
Records as JSON has them are of this kind, and there may be millions.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from gitflowrun import msgpack
from gitflowrun.artifacts.codecs import classes
from gitflowrun.artifacts.codecs import numpy as numpy_codec
from gitflowrun.artifacts.codecs.payload import Buffer, Unencodable, flat, join
from gitflowrun.artifacts.codecs.plain_types import int_bytes, kind_of
from gitflowrun.artifacts.codecs.registry import encode_embedded
from gitflowrun.limits import MAX_COPIES, MAX_DEPTH, OUT_OF_BAND
from gitflowrun.msgpack import Extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

# Extension codes; `plain_types` has 4 to 29 and 60 to 69, `classes` 40 to 42, `payload` 70. A code is never given a
# second meaning.
TUPLE, SET, FROZENSET = 1, 2, 3
BIG_INT = 5
BYTEARRAY, ARRAY, SCALAR, DTYPE = 30, 31, 32, 33
EMBEDDED, BUFFER, VIEW, SHARED, REF = 50, 51, 52, 53, 54

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_BARE = _ATOMS - {bytes}  # what msgpack holds exactly
_IN_TREES = _BARE | {dict, list}
_WORTH = 8  # values from which it pays to look at all at once
_BATCH = 4096
_PLACEHOLDER = Extension(REF, b"")


def encode_plain(value: Any) -> tuple[memoryview, ...]:
    """The parts of a value's payload.

    Raises:
        Unencodable: the value holds something that has no exact form here.
    """
    first = _Writer(frozenset())
    head = first.write(value)
    if not first.shared:
        return join(head, first.buffers)
    # The first one lives on meanwhile: the ids of what it took apart must not be given out again.
    second = _Writer(frozenset(first.shared))
    head = second.write(value)
    return join(head, second.buffers)


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values, some at a time."""
    waiting = iter(values)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _are_trees(values: list[Any], levels: int) -> bool:
    """Whether all of `values` are trees.

    Args:
        values: A list that refers to each of them, besides the container that they are from. That one must
            be mutable: a tuple may be met twice, and each of its parts with it.
        levels: How deep they may nest.
    """
    level = values
    for _ in range(levels):
        if not set(map(type, level)) <= _IN_TREES:
            return False
        containers = [value for value in level if type(value) is dict or type(value) is list]
        if not containers:
            return True
        if not _are_unshared(containers):
            return False
        dicts = [value for value in containers if type(value) is dict]
        if not set(map(type, chain.from_iterable(dicts))) <= _BARE:
            return False
        lists = [value for value in containers if type(value) is list]
        level = list(chain(chain.from_iterable(map(dict.values, dicts)), *lists))
    return False


def _are_unshared(containers: list[Any]) -> bool:
    """Whether nobody refers to any of them but its own container and the two lists of `_are_trees`."""
    return set(map(sys.getrefcount, containers)) == {_UNSHARED}


def _references_of_unshared() -> int:
    """The references counted for a container of which `_are_unshared` is to be true: it differs by Python."""
    parent: list[list[Any]] = [[]]
    level = list(parent)
    containers = [value for value in level if type(value) is list]
    (count,) = map(sys.getrefcount, containers)
    return count


_UNSHARED = _references_of_unshared()


def _packed(lowered: Any) -> memoryview:
    """What `_Writer` lowered, in the packer's own memory."""
    try:
        return msgpack.pack_exact(lowered, _big_int)
    except (ValueError, OverflowError) as error:
        raise Unencodable(f"msgpack refuses it: {error}") from error


def _big_int(value: Any) -> Any:
    """Integers beyond 64 bits, the one kind of atom that msgpack can't hold."""
    assert type(value) is int
    return _extension(BIG_INT, int_bytes(value))


class _Way(NamedTuple):
    """How values of one type are lowered, and whether sharing one can be observed."""

    lower: Callable[[_Writer, Any], Any]
    mutable: bool


class _Writer:
    """One pass over a value.

    The first pass learns which mutable objects are met twice. If there are any, a second one writes
    each of them to a table, in the order in which they are completed, and a reference wherever it is
    met.
    """

    def __init__(self, sharing: frozenset[int]) -> None:
        self.buffers: list[Buffer] = []
        self.shared: set[int] = set()
        self._sharing = sharing
        self._table: list[bytes] = []
        self._refs: dict[int, Any] = {}
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._keep: list[Any] = []  # ids are told apart only while their objects live
        self._copies = 0
        self._depth = 0
        self._in_set = 0

    def write(self, value: Any) -> memoryview:
        root = _packed(self._lower(value))
        if not self._table:
            return root
        return _packed(_extension(SHARED, [*self._table, bytes(root)]))

    def _lower(self, value: Any) -> Any:
        """The value in msgpack's types; what msgpack would not keep exactly, as an extension."""
        cls: Any = type(value)
        if cls in _ATOMS:
            return self._buffer(value, BUFFER) if cls is bytes else value
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unencodable(f"values nested deeper than {MAX_DEPTH} levels")
        way = _way(cls)
        lowered = self._once(value, way.lower) if way.mutable else way.lower(self, value)
        self._depth -= 1
        return lowered

    def _once(self, value: Any, lower: Callable[[_Writer, Any], Any]) -> Any:
        """A mutable object: lowered where it is met first, referred to where it is met again."""
        key = id(value)
        if key in self._refs:
            return self._refs[key]
        if key in self._open:
            raise Unencodable("a value that contains itself")
        if self._in_set:
            raise Unencodable("a set of objects that are told apart by identity")
        if key in self._seen:
            self.shared.add(key)
            return _PLACEHOLDER  # the second pass knows better
        self._seen.add(key)
        self._open.add(key)
        lowered = lower(self, value)
        self._open.remove(key)
        if key in self._sharing:
            ref = Extension(REF, len(self._table).to_bytes(4, "big"))
            self._table.append(bytes(_packed(lowered)))
            lowered = self._refs[key] = ref
        return lowered

    def _list(self, items: list[Any]) -> list[Any]:
        kinds = set(map(type, items))
        return list(self._many(items)) if self._may_be_trees(items, kinds) else self._items(items)

    def _items(self, items: Any) -> list[Any]:
        kinds = set(map(type, items))
        if kinds <= _BARE:
            return items if type(items) is list else list(items)
        return [self._lower(item) for item in items]

    def _mapping(self, value: dict[Any, Any]) -> dict[Any, Any]:
        keys, kinds = set(map(type, value)), set(map(type, value.values()))
        if keys | kinds <= _BARE:
            return value
        if keys <= _BARE and self._may_be_trees(value, kinds):
            return dict(zip(value, self._many(value.values()), strict=True))
        result = {self._key(key): self._lower(item) for key, item in value.items()}
        if len(result) != len(value):
            raise Unencodable("a dict whose keys differ by identity only")
        return result

    def _may_be_trees(self, container: Sized, kinds: set[type]) -> bool:
        """Whether it pays to look at many values of a mutable container at once."""
        many = len(container) >= _WORTH and not self._in_set
        return many and kinds <= _IN_TREES and not kinds <= _BARE

    def _many(self, values: Iterable[Any]) -> Iterator[Any]:
        levels = MAX_DEPTH - self._depth
        for batch in _batches(values):
            yield from batch if _are_trees(batch, levels) else map(self._lower, batch)

    def _key(self, key: Any) -> Any:
        lowered = self._lower(key)
        if type(lowered) is not Extension and type(key) not in _ATOMS:
            raise Unencodable("a dict key that could be no key when loaded")
        return lowered

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        self._count_copies(value)
        return _extension(TUPLE, self._items(value))

    def _frozenset(self, value: frozenset[Any]) -> Any:
        self._count_copies(value)
        return self._sorted(FROZENSET, value)

    def _count_copies(self, value: Any) -> None:
        if id(value) in self._seen:
            self._copies += len(value) + 1
            if self._copies > MAX_COPIES:
                raise Unencodable("a value of which millions of parts are one object")
        self._seen.add(id(value))

    def _sorted(self, code: int, value: Any) -> Any:
        """A set: sorting what is packed is an order that depends on nothing but the elements."""
        self._in_set += 1
        items = sorted(bytes(_packed(self._lower(item))) for item in value)
        self._in_set -= 1
        return Extension(code, b"".join([msgpack.array_header(len(items)), *items]))

    def _exploded(self, code: int, parts: Any) -> Any:
        if type(parts) is list:
            self._keep.append(parts)
            parts = self._items(parts)
        elif type(parts) is dict:
            parts = self._mapping(parts)
        return _extension(code, parts)

    def _buffer(self, buffer: Buffer, code: int = VIEW) -> Any:
        """Bytes that are large go on uncopied; not so within sets, whose order is not yet known.

        Read back, a BUFFER is a bytes object and a VIEW what an array or the like is built upon.
        """
        view = flat(buffer)
        if view.nbytes < OUT_OF_BAND or self._in_set:
            return bytes(view)
        self.buffers.append(view)
        return Extension(code, (len(self.buffers) - 1).to_bytes(4, "big"))

    def _array(self, value: Any) -> Any:
        layout, data = numpy_codec.explode(value)
        return _extension(ARRAY, [*layout.to_list(), self._buffer(data)])

    def _scalar(self, value: Any) -> Any:
        layout, data = numpy_codec.explode_scalar(value)
        return _extension(SCALAR, [*layout.to_list(), bytes(data)])

    def _embedded(self, value: Any) -> Any:
        """A value that has a codec of its own, such as a data frame."""
        encoded = encode_embedded(value)
        if encoded.size < OUT_OF_BAND:
            return _extension(EMBEDDED, [encoded.codec, encoded.payload()])
        first = len(self.buffers)
        self.buffers.extend(encoded.parts)
        return _extension(EMBEDDED, [encoded.codec, first, len(encoded.parts)])

    WAYS: ClassVar[dict[type, _Way]] = {
        list: _Way(_list, mutable=True),
        dict: _Way(_mapping, mutable=True),
        set: _Way(lambda self, value: self._sorted(SET, value), mutable=True),
        tuple: _Way(_tuple, mutable=False),
        frozenset: _Way(_frozenset, mutable=False),
        bytearray: _Way(
            lambda self, value: _extension(BYTEARRAY, self._buffer(value)), mutable=True
        ),
    }
    WAYS_OF_NUMPY: ClassVar[dict[str, _Way]] = {
        "array": _Way(_array, mutable=True),
        "scalar": _Way(_scalar, mutable=False),
        "dtype": _Way(
            lambda _, value: _extension(DTYPE, numpy_codec.describe(value)), mutable=False
        ),
    }
    EMBEDDED_WAY: ClassVar[_Way] = _Way(_embedded, mutable=True)

    @staticmethod
    def exploding(code: int, explode: Callable[[Any], Any], *, mutable: bool) -> _Way:
        """The way of values that are taken apart into simpler ones."""
        return _Way(lambda self, value: self._exploded(code, explode(value)), mutable)


@lru_cache(maxsize=1024)
def _way(cls: type) -> _Way:
    """How values of exactly this type are lowered, and whether they are mutable."""
    if cls in _Writer.WAYS:
        return _Writer.WAYS[cls]
    kind = kind_of(cls)
    if kind is not None:
        return _Writer.exploding(kind.code, kind.explode, mutable=kind.mutable)
    form = numpy_codec.form_of(cls)
    if form is not None:
        return _Writer.WAYS_OF_NUMPY[form]
    for code, classes_kind in classes.KINDS.items():
        if classes_kind.includes(cls):
            mutable = code == classes.DATACLASS and not classes.is_frozen(cls)
            return _Writer.exploding(code, classes_kind.explode, mutable=mutable)
    return _Writer.EMBEDDED_WAY


def _extension(code: int, parts: Any) -> Any:
    return Extension(code, bytes(_packed(parts)))
