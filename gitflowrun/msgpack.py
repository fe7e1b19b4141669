"""The one module that uses the msgpack library: every option pinned, every length checked before anything else.

Three pairs of functions. `pack` and `unpack` are for records, which may be anybody's; `pack_message` and
`unpack_message` for what processes of one run tell one another; `pack_exact` and `unpack_extended` for the
codec of Python's values, which adds types of its own as extension values. What the fields of a record are is
said in tables (`schema`).

msgpack's defaults turn 10 MB of hostile input into 700 MB of memory, let a repeated key win over an earlier
one and return extension objects. Here `scan` walks the structure first and allocates nothing; what passes
costs memory in proportion to its nodes and bytes, which are limited. Most records have fewer bytes than the
nodes they may have: there the library's parser takes the place of `scan`, which skips in C and allocates
nothing either. Whatever the bytes, the outcome is a value or `CorruptRecord`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import msgpack

from gitflowrun.errors import CorruptRecord, UnserializableArtifact
from gitflowrun.limits import RECORD_SIZE, SKIPPED_IN_C
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Buffer = bytes | bytearray | memoryview
Extension: TypeAlias = msgpack.ExtType
"""An extension value: a code from 0 to 127, and bytes."""


@frozen
class Limits:
    """How much a packed value may hold.

    Attributes:
        total: Bytes altogether.
        depth: Containers within containers.
        nodes: Values altogether, keys included.
        text: Bytes of one text.
        binary: Bytes of one binary or extension value.
        extensions: Whether extension values are allowed at all.
    """

    total: int
    depth: int
    nodes: int
    text: int
    binary: int
    extensions: bool = False


# Records are read from anybody's repository: a quarter of a million of the costliest nodes take 30 MB.
RECORD = Limits(
    total=RECORD_SIZE, depth=64, nodes=250_000, text=RECORD_SIZE, binary=RECORD_SIZE
)  # fmt: skip
# Messages pass between processes of one run and may carry payloads.
MESSAGE = Limits(total=2 << 30, depth=64, nodes=8_000_000, text=1 << 30, binary=2 << 30)


def pack(value: Any, limits: Limits = MESSAGE, *, is_flat: bool = False) -> bytes:
    """Pack maps, lists, text, binary, numbers, booleans and None; what is packed can be unpacked.

    Tuples become lists and subclasses their base, as records mean them. Text that came from
    undecodable file names or variables (lone surrogates) is kept.

    Args:
        value: What is packed.
        limits: What it may hold.
        is_flat: Whether it is known to nest no deeper than that, and to hold nothing else.

    Raises:
        UnserializableArtifact: `value` holds something else, or more than `limits` allow; the
            message says what and where.
    """
    try:
        packed = _pack(value)
        if not (is_flat and _is_short(len(packed), limits)) and not _is_sound(packed, limits):
            scan(packed, limits)
    except CorruptRecord as error:
        raise UnserializableArtifact(f"a record can't hold this: {error}") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        culprit = _find_culprit(value)
        raise UnserializableArtifact(
            f"a record can't hold {culprit or error}", hint="records hold plain msgpack values"
        ) from error
    return packed


def _is_sound(packed: bytes, limits: Limits) -> bool:
    """Whether a packed value is too short to hold more than `limits` allow, nests no deeper, and has no extensions."""
    if not _is_short(len(packed), limits) or (b"\xff" in packed and _has_timestamp(packed)):
        return False
    try:
        value = msgpack.unpackb(packed, raw=True, strict_map_key=False, ext_hook=_no_extension)
    except ValueError:
        return False
    return _heads(packed) <= limits.depth or _is_shallow(value, limits.depth)


def _has_timestamp(packed: bytes) -> bool:
    """Whether there may be one of msgpack's own extension values, about which the library asks no hook."""
    return b"\xd6\xff" in packed or b"\xd7\xff" in packed or b"\xc7\x0c\xff" in packed


def _is_short(size: int, limits: Limits) -> bool:
    """Whether a value of so many bytes can't hold more than `limits` allow, but for its depth."""
    return 0 < size <= min(SKIPPED_IN_C, limits.total, limits.nodes, limits.text, limits.binary)


def _heads(data: Buffer) -> int:
    """How many bytes look like the beginning of a container: not fewer than there are containers."""
    return len(bytes(data).translate(None, _NO_HEADS))


def _pack(value: Any) -> bytes:
    try:
        packed = msgpack.packb(value, use_bin_type=True)
    except UnicodeEncodeError:
        packed = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    assert isinstance(packed, bytes)
    return packed


def _find_culprit(value: Any, path: str = "", depth: int = 0) -> str | None:
    """What in `value` can't be packed, and where; looked for only once packing has failed."""
    if isinstance(value, dict):
        children = [(f"{path}[{key!r}]", item) for key, item in value.items()]
        children += [(f"a key of {path or 'the map'}", key) for key in value]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        try:
            _pack(value)
        except (TypeError, ValueError, OverflowError) as error:
            from gitflowrun.printing import bounded_repr  # of use for an error alone

            where = f" at {path}" if path else ""
            return f"{type(value).__qualname__} {bounded_repr(value, 60)}{where} ({error})"
        return None
    if depth >= RECORD.depth:
        return f"values nested deeper than {RECORD.depth} levels"
    for where, child in children:
        found = _find_culprit(child, where, depth + 1)
        if found:
            return found
    return None


def unpack(data: Buffer, limits: Limits = RECORD) -> Any:
    """The value that `pack` turned into `data`.

    Raises:
        CorruptRecord: `data` is not exactly one value within `limits`, or a map repeats a key.
    """
    if not _is_harmless(data, limits):
        scan(data, limits)
        return _unpack(data, limits, _unique_map)
    try:
        value = _unpack(data, limits, _unique_map)
    except CorruptRecord:
        scan(data, limits)  # which may say better what is wrong
        raise
    if _heads(data) > limits.depth and not _is_shallow(value, limits.depth):
        raise CorruptRecord(_too_deep(limits))
    return value


def _is_harmless(data: Buffer, limits: Limits) -> bool:
    """Whether `data` is one whole value that is too short to hold more than `limits` allow, but for its depth."""
    size = len(data)
    if not _is_short(size, limits):
        return False
    parser = msgpack.Unpacker(max_buffer_size=size)
    parser.feed(data)
    try:
        parser.skip()
    except (ValueError, msgpack.UnpackException):
        return False
    whole: bool = parser.tell() == size
    return whole


def _is_shallow(value: Any, depth: int) -> bool:
    """Whether a value nests no deeper, found level by level."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        if not level:
            break
        level = [
            item
            for outer in level
            for item in (outer.values() if type(outer) is dict else outer)
            if type(item) in _CONTAINERS
        ]
    return not level


_CONTAINERS = frozenset({dict, list})
_NO_HEADS = bytes(sorted({*range(256)} - {*range(0x80, 0xA0), *range(0xDC, 0xE0)}))


def _too_deep(limits: Limits) -> str:
    return f"msgpack data nests deeper than {limits.depth} levels"


def _no_extension(code: int, data: bytes) -> Any:  # noqa: ARG001  (the library's signature)
    msg = "an extension value, which records never hold"
    raise ValueError(msg)


def pack_message(value: Any) -> bytes:
    """Pack a message to another process of the same run, without looking at it once more.

    Raises:
        UnserializableArtifact: `value` holds something else than `pack` takes.
    """
    try:
        return _pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnserializableArtifact(f"a message can't hold {error}") from error


def pack_message_around(values: Sequence[Any], place: int) -> list[bytes]:
    """The same of a short list in pieces, of which one is the `bytes` at `place`, which are not copied."""
    data = values[place]
    head = bytes((_SHORT_ARRAY | len(values),)) + b"".join(map(pack_message, values[:place]))
    length = _BYTES + len(data).to_bytes(4, "big")
    return [head + length, data, b"".join(map(pack_message, values[place + 1 :]))]


def unpack_message(data: Buffer) -> Any:
    """The value that `pack_message` turned into `data`.

    The sender is a process of this run and could do worse than to use up memory, so the structure is not
    walked first; the outcome is a value or CorruptRecord all the same.
    """
    return _unpack(data, MESSAGE)


def _unpack(
    data: Buffer,
    limits: Limits,
    make_map: Callable[[list[tuple[Any, Any]]], dict[Any, Any]] | None = None,
) -> Any:
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            unicode_errors="surrogatepass",
            strict_map_key=True,
            object_pairs_hook=make_map,
            ext_hook=_no_extension,
            max_str_len=limits.text,
            max_bin_len=limits.binary,
            max_array_len=limits.nodes,
            max_map_len=limits.nodes,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise CorruptRecord(f"malformed msgpack: {error}") from error


def pack_exact(value: Any, extend: Callable[[Any], Extension]) -> memoryview:
    """Pack a value of which no part may be taken for something similar, such as a tuple for a list.

    Args:
        value: The value.
        extend: Makes an extension value of what has exactly none of msgpack's types; TypeError if it can't.

    Returns:
        The packer's own memory: a copy of a large value would be half of what packing takes.

    Raises:
        ValueError: it is too deep, or too large.
        OverflowError: likewise.
    """
    packer = msgpack.Packer(
        default=extend, strict_types=True, autoreset=False, unicode_errors="surrogatepass"
    )
    packer.pack(value)
    return memoryview(packer.getbuffer())


def array_header(count: int) -> bytes:
    """How an array of so many values begins; the values, packed one by one, follow it."""
    header: bytes = msgpack.Packer().pack_array_header(count)
    return header


def unpack_extended(
    data: Buffer,
    extension: Callable[[int, bytes], Any],
    make_map: Callable[[list[tuple[Any, Any]]], dict[Any, Any]] | None = None,
) -> Any:
    """The value that `pack_exact` turned into `data`, which only `scan` can have found to be small enough.

    Args:
        data: The packed value.
        extension: Makes a value of an extension value's code and bytes. What it raises is passed on.
        make_map: Makes a map of its pairs, where that takes more care than the library's. Likewise.

    Raises:
        ValueError: `data` is no packed value.
    """
    return msgpack.unpackb(
        data,
        raw=False,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        ext_hook=extension,
        object_pairs_hook=make_map,
    )


def _unique_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The map of `pairs`; a repeated key is an error: which of its values would be right?"""
    result = dict(pairs)
    if len(result) != len(pairs):
        msg = "a map repeats a key"
        raise ValueError(msg)
    return result


_ARRAY, _MAP, _TEXT, _BINARY, _EXT = range(1, 6)
_RESERVED = 0x80  # codes from here on are msgpack's own, such as the one of times


def _tables() -> tuple[bytes, dict[int, tuple[int, int]]]:
    """Sizes of scalars by first byte; kind and width of the length field of all other values."""
    sizes = bytearray(256)
    sizes[0x00:0x80] = b"\1" * 0x80
    sizes[0xE0:0x100] = b"\1" * 0x20
    for first, size in {
        0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9,
        0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9,
    }.items():  # fmt: skip
        sizes[first] = size
    for length in range(32):
        sizes[0xA0 + length] = 1 + length
    variable = {0x80 + n: (_MAP, 0) for n in range(16)} | {0x90 + n: (_ARRAY, 0) for n in range(16)}
    for kind, firsts in {
        _BINARY: {0xC4: 1, 0xC5: 2, 0xC6: 4},
        _TEXT: {0xD9: 1, 0xDA: 2, 0xDB: 4},
        _ARRAY: {0xDC: 2, 0xDD: 4},
        _MAP: {0xDE: 2, 0xDF: 4},
        _EXT: {0xC7: 1, 0xC8: 2, 0xC9: 4},
    }.items():
        variable |= {first: (kind, width) for first, width in firsts.items()}
    # fixext: a length of 1, 2, 4, 8 or 16 without a length field
    variable |= {0xD4 + n: (_EXT, -(1 << n)) for n in range(5)}
    return bytes(sizes), variable


_SIZES, _VARIABLE = _tables()
_EMPTY = frozenset({0x80, 0x90})  # containers
_SHORT_ARRAY, _BYTES = 0x90, b"\xc6"  # what begins an array of up to 15 values, and bytes

# What values take in memory, with their place in a container, in bytes.
_SLOT, _NUMBER, _OBJECT = 8, 40, 72
_SMALL_MAP, _PAIR = 112, 100
_SHORT_TEXT = 16  # bytes of a text that is not looked at: two for each will do
_WIDE, _NOT_LATIN = re.compile(rb"[\xf0-\xf7]"), re.compile(rb"[\xc4-\xff]")


def _costs() -> list[int]:
    """The memory of scalars by first byte; of those that Python has anyway, that of their place."""
    costs = [_NUMBER] * 256
    for first in (*range(0x80), 0xC0, 0xC2, 0xC3):
        costs[first] = _SLOT
    for length in range(32):
        costs[0xA0 + length] = _OBJECT + 2 * length
    return costs


_COSTS = _costs()


def _text_memory(data: Buffer, start: int, length: int) -> int:
    """What the characters of a text take: the widest decides for all."""
    if length < _SHORT_TEXT:
        return 2 * length
    if _WIDE.search(data, start, start + length):
        return 4 * length
    return 2 * length if _NOT_LATIN.search(data, start, start + length) else length


@frozen
class Extent:
    """What a packed value takes once it is unpacked.

    Attributes:
        memory: Bytes of memory, at most. What is made of extension values comes on top.
        longest_map: Pairs of its largest map.
    """

    memory: int
    longest_map: int


def scan(data: Buffer, limits: Limits) -> Extent:  # noqa: C901, PLR0912  (one hot loop, kept in one piece)
    """Check that `data` is one whole value within `limits`, before anything is allocated for it.

    A container that announces more values than bytes are left is refused at once: that is what
    makes decoders reserve gigabytes.

    Raises:
        CorruptRecord: it is not.
    """
    end = len(data)
    if end > limits.total:
        raise CorruptRecord(f"{end} bytes of msgpack are more than the {limits.total} allowed")
    position = nodes = pending = 0  # pending: values announced by the enclosing containers
    memory = longest = 0
    left = 1  # values to come in the innermost container
    outer: list[int] = []
    while True:
        while not left:
            if not outer:
                _check_end(position, end)
                return Extent(memory, longest)
            left = outer.pop()
            pending -= left
        if position >= end:
            raise CorruptRecord("msgpack data is cut short")
        left -= 1
        first = data[position]
        size = _SIZES[first]
        if size:
            position += size
            memory += _COSTS[first]
            continue
        if first in _EMPTY and len(outer) < limits.depth:  # there may be millions
            position += 1
            memory += _OBJECT
            continue
        kind, length, position = _head(data, position, first)
        if kind <= _MAP:
            count = length * kind  # a map announces twice its length
            nodes += count
            memory += _OBJECT
            if kind == _MAP:
                longest = max(longest, length)
                memory += max(_SMALL_MAP, _PAIR * length)
            pending += left
            outer.append(left)
            left = count
            if len(outer) > limits.depth:
                raise CorruptRecord(_too_deep(limits))
            if count + pending > end - position or nodes > limits.nodes:
                raise CorruptRecord("msgpack data announces more values than it may hold")
            continue
        if kind == _EXT and not (limits.extensions and data[position - 1] < _RESERVED):
            raise CorruptRecord("msgpack data holds an extension value, which it never does")
        if length > (limits.text if kind == _TEXT else limits.binary):
            raise CorruptRecord(f"msgpack data holds a value of {length} bytes, more than allowed")
        memory += _OBJECT + (_text_memory(data, position, length) if kind == _TEXT else length)
        position += length


def _check_end(position: int, end: int) -> None:
    if position > end:
        raise CorruptRecord("msgpack data is cut short")
    if position < end:
        raise CorruptRecord(f"{end - position} bytes after the end of msgpack data")


def _head(data: Buffer, position: int, first: int) -> tuple[int, int, int]:
    """Kind and length of the variable value at `position`, and where its content begins."""
    try:
        kind, width = _VARIABLE[first]
    except KeyError:
        raise CorruptRecord(f"byte 0x{first:02x} begins no msgpack value") from None
    if kind <= _MAP and not width:
        return kind, first & 0x0F, position + 1
    if width < 0:
        return kind, -width, position + 2
    content = position + 1 + width
    length = int.from_bytes(data[position + 1 : content], "big")
    return kind, length, content + (kind == _EXT)
