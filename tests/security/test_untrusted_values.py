"""Payloads that a stranger made to hurt whoever looks at them: refused, soon, in little memory."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import pytest

from gitflowrun.artifacts.codecs import decode, encode, plain_encode, registry
from gitflowrun.artifacts.codecs.payload import join
from gitflowrun.errors import ClassChanged, CorruptRecord, NotFound, UntrustedArtifact
from tests.security.children import decode_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRIME = (1 << 61) - 1  # what hashes of numbers are the remainder of
ZONES = ["Europe/Berlin", "Europe/Paris", "Asia/Tokyo", "Africa/Cairo", "Asia/Kolkata",
         "Europe/Rome", "Europe/Madrid", "Europe/London", "Asia/Dubai", "Asia/Seoul"]  # fmt: skip


def pack(value: Any) -> bytes:
    """A value as msgpack."""
    packed: bytes = msgpack.packb(value)
    return packed


def ext(code: int, value: Any) -> msgpack.ExtType:
    """An extension value that holds another."""
    return msgpack.ExtType(code, pack(value))


def number(code: int, place: int) -> msgpack.ExtType:
    """A reference to a buffer, or to a shared object."""
    return msgpack.ExtType(code, place.to_bytes(4, "big"))


def big(value: int) -> msgpack.ExtType:
    """An integer of any size."""
    return ext(5, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def framed(head: Any, buffers: list[bytes]) -> bytes:
    """A payload with buffers."""
    return b"".join(join(pack(head), buffers))


def many(count: int, item: bytes) -> bytes:
    """A list of equal items."""
    return b"\xdd" + struct.pack(">I", count) + item * count


def _nested(levels: int, wrap: Callable[[bytes], bytes]) -> bytes:
    payload = pack([0] * 100)
    for _ in range(levels):
        payload = wrap(payload)
    return payload


def _embedded(inner: bytes) -> bytes:
    return framed([ext(plain_encode.EMBEDDED, ["plain/1", 0, 1])] * 2, [inner])


def _fields(count: int) -> str:
    return "[" + ",".join(f"('{place}', '<i1')" for place in range(count)) + "]"


def _npy(header: str) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\2\0" + len(text).to_bytes(4, "little") + text


def _chain(code: int, parts: Callable[[Any], list[Any]], count: int) -> bytes:
    """Objects each of which is part of the next one."""
    table = [pack(ext(code, parts(None)))]
    table += [pack(ext(code, parts(number(plain_encode.REF, place)))) for place in range(count)]
    return pack(ext(plain_encode.SHARED, [*table, pack(number(plain_encode.REF, count))]))


def _dropped_zones() -> bytes:
    pairs = b"".join(b"\1" + pack(ext(15, ZONES[place % len(ZONES)])) for place in range(30_000))
    return b"\xdf" + struct.pack(">I", 30_000) + pairs


_ARRAY, _SET, _TUPLE = plain_encode.ARRAY, plain_encode.SET, plain_encode.TUPLE
_MB = 1 << 20
BOMBS_OF_FILES = {
    "times of no length": _npy("{'descr': '<M8[7s/0]', 'fortran_order': False, 'shape': (1,), }"),
    "fields of objects": _npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }"),
    "fields within fields": _npy(
        "{'descr': " + "[('a'," * 500 + "'<f8'" + ")]" * 500 + ", 'fortran_order': False, 'shape': (), }"
    ),
    "dimensions": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "0," * 99_999 + ")}"),
}  # fmt: skip


def _repeated() -> dict[str, bytes]:
    """Parts that are used again and again."""
    return {
        "a buffer": framed([number(plain_encode.BUFFER, 0)] * 2000, [bytes(_MB)]),
        "a buffer of arrays": framed(
            [ext(_ARRAY, ["<f8", False, [1 << 17], number(plain_encode.VIEW, 1)])] * 2000,
            [bytes(4097), bytes(_MB)],
        ),
        "a buffer of bytearrays": framed([ext(30, number(plain_encode.VIEW, 0))] * 2000, [bytes(_MB)]),
        "a list in tuples": pack(ext(plain_encode.SHARED, [
            pack([0] * 200_000), pack([ext(_TUPLE, number(plain_encode.REF, 0))] * 2000),
        ])),
        "a bytearray in others": pack(ext(plain_encode.SHARED, [
            pack(ext(30, bytes(_MB))), pack([ext(30, number(plain_encode.REF, 0))] * 2000),
        ])),
        "embedded values that double": _nested(60, _embedded),
        "tables of shared objects within one another": _nested(
            60, lambda inner: pack(ext(plain_encode.SHARED, [inner, pack([1])]))
        ),
        "a long value within tuples": _nested(60, lambda inner: pack([0])[:1] + pack(
            msgpack.ExtType(_TUPLE, b"\x91" + (inner if len(inner) > _MB else pack(bytes(4 * _MB))))
        )),
    }  # fmt: skip


def _of_many_objects() -> dict[str, bytes]:
    """More objects than bytes."""
    return {
        "empty lists": many(1 << 20, b"\x90"),
        "empty dicts": many(1 << 20, b"\x80"),
        "buffers of nothing": pack(ext(0x46, [pack(1), [0] * 1_000_000, {}, b""])),  # as `join` frames them
        "shared objects": pack(ext(plain_encode.SHARED, [b"\x90"] * 350_000)),
        "rows of nothing": pack(ext(_ARRAY, ["<i8", False, [1 << 40, 0], b""])),
        "a dtype of thousands of fields": pack([ext(33, _fields(4000))] * 20),
    }  # fmt: skip


def _slow() -> dict[str, bytes]:
    """More time than bytes."""
    return {
        "integers of one hash": pack(ext(_SET, [big((n + 1024) * PRIME) for n in range(20_000)])),
        "keys of one hash": b"\xdf" + struct.pack(">I", 20_000) + b"".join(
            pack(big((n + 1024) * PRIME)) + b"\0" for n in range(20_000)
        ),
        "fractions of one hash": pack(
            ext(_SET, [ext(17, [big((3 * n + 7) * PRIME * 3 + 1), 3]) for n in range(20_000)])
        ),
        "many sets of one hash each": many(200, pack(
            ext(_SET, [ext(17, [big((3 * n + 7) * PRIME * 3 + 1), 3]) for n in range(250)])
        )),
        "small arrays of fields": many(23_000, pack(
            ext(_ARRAY, ["[('a', '<i8')]", False, [1], bytes(8)])
        )),
        "a fraction of long integers": pack(
            ext(17, [big(3 ** 1_000_000), big(7 ** 550_000)])
        ),
        "a range of long integers": pack(ext(6, [0, big(3 ** 1_000_000), big(7 ** 250_000)])),
        "an npy header of a million tuples": _npy(
            "{'descr':[" + "()," * 340_000 + "],'fortran_order':False,'shape':()}"
        ),
        "a dtype of a million numbers": pack(ext(33, "[" + "0," * 1_000_000 + "]")),
        "time zones that are forgotten": _dropped_zones(),
    }  # fmt: skip


def _like_others() -> dict[str, bytes]:
    """What is much like some of the others, and as dear."""
    return {
        "small dicts": many(300_000, b"\x81\1\2"),
        "empty tuples": many(350_000, b"\xd4\1\x90"),
        "one wide character": pack([("a" * 30 * _MB) + "\U0001f600"]),
        "tuples of one hash": pack(
            ext(_SET, [ext(_TUPLE, [big((n + 1024) * PRIME), 1]) for n in range(20_000)])
        ),
        "decimals of one hash": pack(ext(_SET, [ext(16, str(n * PRIME)) for n in range(1, 20_001)])),
        "counted keys of one hash": pack(
            ext(24, [part for n in range(20_000) for part in (big((n + 1024) * PRIME), 1)])
        ),
    }  # fmt: skip


def _deadly() -> dict[str, bytes]:
    """What ends the process."""
    return {
        "times that divide by zero": pack(ext(33, "<M8[7s/0]")),
        "an array of times of no length": pack(ext(_ARRAY, ["<M8[0s]", False, [1], bytes(8)])),
        "a chain of deques": _chain(26, lambda part: [None, part], 60_000),
        "a chain of defaultdicts": _chain(25, lambda part: ["list", 1, part], 60_000),
        "what nests too deep": b"\x91" * 100_000 + b"\x90",
    }  # fmt: skip


def _of_libraries() -> dict[str, bytes]:
    """What only its library can read."""
    return {
        "a Timestamp": pack(ext(60, [0, "ns", None, 0])),
        "a Timestamp of a file": pack(ext(60, [0, "ns", "dateutil//etc/passwd", 0])),
        "NA": pack(ext(63, None)),
        "a zone of pytz": pack(ext(64, ["UTC"])),
        "an Arrow file": pack(ext(plain_encode.EMBEDDED, ["arrow/1", b"ARROW1"])),
        "a user's codec": pack(ext(plain_encode.EMBEDDED, ["mesh/1", b""])),
    }  # fmt: skip


def _never_written() -> dict[str, bytes]:
    """What no writer writes."""
    return {
        "an element that is huge": pack(ext(33, "<U500000000")),
        "an extended number": pack(ext(_ARRAY, ["<f16", False, [1], b"\xff" * 16])),
        "a dtype of objects": pack(ext(33, "|O")),
        "dimensions that are fractions": pack(ext(_ARRAY, ["<f8", False, [1.0], bytes(8)])),
        "a time of msgpack's": b"\x91\xd6\xff\0\0\0\0",
        "a Decimal of a list": pack(ext(16, [0, [1, 2], 3])),
        "a path to a zone": pack(ext(15, "../../etc/passwd")),
        "a file beside the zones": pack(ext(15, "zone1970.tab")),
        "attributes without names": pack(ext(41, ["tests.helpers.values", "Point", 1, 2])),
    }  # fmt: skip


def bombs(*, are_all: bool) -> Iterator[tuple[str, str, bytes]]:
    """Codec, name and payload of each: made when they are wanted, for that takes seconds."""
    makers = [_repeated, _of_many_objects, _slow, _deadly, _of_libraries, _never_written]
    for make in (*makers, *[_like_others] * are_all):
        yield from (("plain/1", name, payload) for name, payload in make().items())
    yield from (("npy/1", name, payload) for name, payload in BOMBS_OF_FILES.items())


@pytest.mark.parametrize("are_all", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_bombs(*, are_all: bool) -> None:
    """Each is refused; of memory it takes a constant and a small multiple of its bytes. All are read in one process."""
    payloads = [*bombs(are_all=are_all)]
    answers = decode_all((codec, payload) for codec, _, payload in payloads)
    assert len(answers) == len(payloads), f"{payloads[len(answers) - 1][1]}: {answers[-1]}"
    taken = {
        name: answer
        for (_, name, payload), answer in zip(payloads, answers, strict=True)
        if answer.outcome not in {"CorruptRecord", "UntrustedArtifact", "NotFound"}
        or answer.grown > 64 + 3 * len(payload) / _MB
    }
    assert taken == {}


@pytest.mark.parametrize("codec", ["arrow/1", "safetensors/1", "pickle/5", "cloudpickle/1", "x/1"])
def test_no_library_is_imported_for_a_stranger(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever needs trust is refused before anything is imported for it, or looked at."""
    monkeypatch.setattr(registry, "_function", _never)
    monkeypatch.setattr(registry, "user_codecs", _never)
    with pytest.raises(UntrustedArtifact, match="isn't trusted"):
        decode(codec, b"", trusted=False)


def _never(*_: object) -> Any:
    raise AssertionError


def test_what_is_shared_counts_once() -> None:
    """A list of the same list twice, forty times, is stored in little and loads from anywhere."""
    value: list[Any] = []
    for _ in range(40):
        value = [value, value]
    payload = encode(value).payload()
    assert len(payload) < 1000
    found = decode("plain/1", payload, trusted=False)
    assert found[0] is found[1]
    assert encode(found).payload() == payload


def test_equal_bytes_in_two_places_load_from_anywhere() -> None:
    """The writer gives each place a buffer of its own."""
    data = bytes(5000)
    assert decode("plain/1", encode([data, data]).payload(), trusted=False) == [data, data]


def test_keys_that_share_a_hash_by_chance_load_from_anywhere() -> None:
    """-1 and -2 have one hash in Python, and so have tuples of them."""
    grid = {(x, y, z): x for x in range(-9, 9) for y in range(-9, 9) for z in range(-3, 3)}
    assert decode("plain/1", encode([grid]).payload(), trusted=False) == [grid]


class _Panic(BaseException):
    """As libraries of Rust raise."""


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (_Panic("unreachable"), CorruptRecord),
        (AssertionError(), CorruptRecord),
        (ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow.ipc"), NotFound),
        (MemoryError(), UntrustedArtifact),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
    ],
    ids=repr,
)
def test_whatever_a_decoder_raises(
    raised: BaseException, expected: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the boundary come our own errors, Ctrl-C, and the end that a signal's handler has asked for."""

    def fail(*_: object) -> Any:
        raise raised

    monkeypatch.setattr(registry, "_call", fail)
    with pytest.raises(expected) as caught:
        decode("plain/1", b"\1", trusted=False)
    if expected is NotFound:
        assert getattr(caught.value, "hint", "") == "pip install 'gitflowrun[pandas]'"


def test_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array names the extra that it needs, alone and within a value."""
    arrays, alone = encode([np.zeros(1)]).payload(), encode(np.zeros(1)).payload()
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        monkeypatch.setitem(sys.modules, name, None)
    for codec, payload in (("plain/1", arrays), ("npy/1", alone)):
        with pytest.raises(NotFound, match="not installed") as refused:
            decode(codec, payload, trusted=False)
        assert refused.value.hint == "pip install 'gitflowrun[numpy]'"


@pytest.mark.parametrize(
    "content",
    [
        [None, "Made", "A B"], [None, "Made", {"A": 1, "_missing_": 2}], [None, "x"], [None], [None, True],
        [None, 1, 2],
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Enum", "Flag", "IntEnum"])
def test_no_class_is_made_and_none_is_asked(name: str, content: list[Any]) -> None:
    """Of an enum a stranger names members, or a combination of flags by its number; nothing is called otherwise."""
    with pytest.raises((CorruptRecord, ClassChanged)):
        decode("plain/1", pack(ext(40, ["enum", name, *content])), trusted=False)
