"""Payloads of plain values, arrays, texts and bytes, changed as an attacker or a bad disk would; the same for a seed.

    python -m tests.security.fuzz_values SEED COUNT PLACE

decodes COUNT of them without trust and prints what they came to, as JSON. PLACE is a file that holds the number of
the one at hand: where this process ends early, `payload(SEED, number)` is what ended it.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import struct
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from gitflowrun.artifacts.codecs import Encoded, decode, encode
from gitflowrun.artifacts.codecs.payload import join, split
from gitflowrun.artifacts.summary import preview_of
from tests.helpers.values import Values
from tests.security.children import limit, outcome_of

SECONDS = 3.0  # of CPU that one payload may take: a hundred times what any of them needs
CODECS = ("plain/1", "npy/1", "str/1", "bytes/1", "file/1")
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0xC1, 0xC9, 0xD4, 0xDD, 0xDF)
_NUMBERS = (0, 1, -1, 2, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1)  # fmt: skip
_SWAPPED: tuple[Any, ...] = (
    -0.0,
    float("inf"),
    float("nan"),
    "",
    "é\U0001f600",
    b"",
    None,
    True,
    [],
    {},
    [[]],
)
_CODES = (*range(35), 40, 41, 42, *range(50, 56), *range(60, 66), 70, 127)
_WORDS = ("<f8", "|O", "<M8[s]", "<U1", "plain/1", "arrow/1", "Europe/Berlin", "UTC", "int", "1e9")
_IN_HEADERS = (b"(", b")", b"[", b"]", b"'", b",", b"True", b"0", b"9" * 19, b"'<f8'", b"'|O'",
               b"('a', '<i4')", b"\\x41", b"{", b"'shape'", b"-1", b" ")  # fmt: skip


@lru_cache(maxsize=1)
def corpus() -> list[tuple[str, bytes]]:
    """Payloads of all kinds of values, none of them long."""
    shared: list[Any] = [1]
    for _ in range(12):
        shared = [shared, shared]
    fields = np.dtype([("a", "<i2"), ("b", "<f8", (2, 3)), ("c", [("x", "<U3")])])
    values: list[Any] = [Values(seed).value() for seed in range(400)]
    values += [shared, np.zeros(3, fields), [np.zeros((2, 2), fields), fields], "text é\U0001f600"]
    values += [b"bytes", np.arange(9.0), np.array("2020-01-01", "M8[us]"), np.zeros((0, 3), "<c8")]
    values += [{n: {n} for n in range(300)}, [bytes(5000), bytearray(6000), np.zeros(900)]]
    made = [encode(value) for value in values]
    return [(it.codec, it.payload()) for it in made if it.codec in CODECS and it.size < 40_000]


def payload(seed: int, number: int) -> tuple[str, bytes]:
    """The codec and the bytes of one payload."""
    rng = random.Random(f"{seed} {number}")
    codec, raw = rng.choice(corpus())
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        change = rng.choice(_CHANGES if codec == "plain/1" else _OF_BYTES)
        raw = change(rng, raw)
    if rng.random() < 0.01:
        codec = rng.choice(CODECS)
    return codec, raw


def _flip(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(changed))
        changed[place] = rng.choice((changed[place] ^ 1 << rng.randrange(8), rng.choice(_EDGES)))
    return bytes(changed)


def _splice(rng: random.Random, raw: bytes) -> bytes:
    """A part is left out, doubled, or taken from another payload."""
    start, end = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    other = rng.choice(corpus())[1]
    first, last = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    middle = rng.choice((b"", raw[start:end] * 2, other[first:last]))
    return raw[:start] + middle + raw[end:]


def _length(rng: random.Random, raw: bytes) -> bytes:
    """What may be a length is another one."""
    size = rng.choice((1, 2, 4, 8))
    if len(raw) < size:
        return raw
    place = rng.randrange(len(raw) - size + 1)
    number = rng.choice(_NUMBERS) + rng.choice((0, 0, -1, 1))
    form = rng.choice("<>")
    end = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    return raw[:place] + struct.pack(form + end, number % (1 << 8 * size)) + raw[place + size :]


def _header(rng: random.Random, raw: bytes) -> bytes:
    """A word of an npy header is another one, with the length set right."""
    if raw[:6] != b"\x93NUMPY" or len(raw) < 10:
        return _flip(rng, raw)
    end = 10 + int.from_bytes(raw[8:10], "little")
    text = bytearray(raw[10:end])
    for _ in range(rng.choice((1, 2, 5))):
        place = rng.randrange(len(text) + 1)
        text[place : place + rng.randrange(6)] = rng.choice(_IN_HEADERS)
    return raw[:8] + len(text).to_bytes(2, "little") + bytes(text) + raw[end:]


def _restructured(rng: random.Random, raw: bytes) -> bytes:
    """One part of the value is changed, left out, doubled, or taken from another payload."""
    try:
        head, buffers, _ = split(memoryview(raw))
        tree = _unpacked(bytes(head))
        changed = _changed(rng, tree, rng.choice((1, 2, 4)))
        return b"".join(join(_packed(changed), buffers))
    except Exception:  # noqa: BLE001  (it is no msgpack any more)
        return _flip(rng, raw)


class _Ext(list[Any]):
    """An extension value of which the content is known: its code, and the content."""


def _unpacked(raw: bytes) -> Any:
    def extension(code: int, data: bytes) -> Any:
        with contextlib.suppress(Exception):
            return _Ext([code, _unpacked(data)])
        return _Ext([code, data])

    return msgpack.unpackb(
        raw, raw=False, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=extension,
        object_pairs_hook=_Map,
    )  # fmt: skip


class _Map(list[Any]):
    """The pairs of a map."""


def _packed(tree: Any) -> bytes:
    packer = msgpack.Packer(unicode_errors="surrogatepass")
    if isinstance(tree, _Ext):
        code, content = tree
        data = content if isinstance(content, bytes) else _packed(content)
        return bytes(packer.pack(msgpack.ExtType(code, data)))
    if isinstance(tree, _Map):
        parts = [_packed(part) for pair in tree for part in pair]
        return bytes(packer.pack_map_header(len(tree))) + b"".join(parts)
    if isinstance(tree, list):
        return bytes(packer.pack_array_header(len(tree))) + b"".join(map(_packed, tree))
    return bytes(packer.pack(tree))


def _changed(rng: random.Random, tree: Any, times: int) -> Any:
    places: list[tuple[list[Any], int]] = []
    whole = [tree]
    _collect(whole, places)
    for _ in range(times):
        parent, place = rng.choice(places)
        if place < len(parent):
            _change(rng, parent, place)
    return whole[0] if whole else None


def _collect(parent: list[Any], places: list[tuple[list[Any], int]]) -> None:
    for place, part in enumerate(parent):
        if isinstance(part, tuple):  # a pair of a map
            part = parent[place] = list(part)  # noqa: PLW2901
        places.append((parent, place))
        if isinstance(part, list):
            _collect(part, places)


def _change(rng: random.Random, parent: list[Any], place: int) -> None:
    kept = isinstance(parent, _Ext)
    action = rng.randrange(7)
    if kept and place == 0:
        parent[0] = rng.choice(_CODES)
    elif action == 0 and not kept and not isinstance(parent, _Map):
        del parent[place]
    elif action == 1 and not kept and not isinstance(parent, _Map):
        parent[place:place] = [parent[place]] * rng.choice((1, 3, 40))
    elif action == 2:
        parent[place] = _Ext([rng.choice(_CODES), parent[place]])
    elif action == 3:
        parent[place] = _Ext([rng.choice((51, 52, 54)), rng.randrange(6).to_bytes(4, "big")])
    elif action == 4:
        parent[place] = rng.choice((*_NUMBERS, *_SWAPPED, *_WORDS))
    elif action == 5:
        codec, other = rng.choice(corpus())
        parent[place] = _unpacked(other) if codec == "plain/1" and len(other) < 2000 else other
    else:
        parent[place] = [parent[place], parent[place]]


_OF_BYTES = (_flip, _splice, _length, _header, _header)
_CHANGES = (_flip, _splice, _length, *[_restructured] * 5)


def use(codec: str, raw: bytes) -> None:
    """Do with what was decoded what reading verbs do."""
    found = decode(codec, memoryview(raw), trusted=False, writable=False)
    made = Encoded(codec, "?", (memoryview(raw),))
    preview_of(found, made)
    with contextlib.suppress(Exception):  # it may hold what nothing can be made of again
        encode(found).payload()


def main() -> None:
    """Decode many."""
    seed, count, place = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    corpus()
    limit(120 + count // 20)
    outcomes: Counter[str] = Counter()
    slowest, found = 0.0, []
    with place.open("r+b", buffering=0) as file:
        for number in range(count):
            file.seek(0)
            file.write(b"%12d" % number)
            codec, raw = payload(seed, number)
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            start = time.process_time()
            outcome = outcome_of(codec, raw)
            if outcome == "value":
                use(codec, raw)
            slowest = max(slowest, time.process_time() - start)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("escaped"):
                found.append([number, outcome])
    found_all = {"outcomes": outcomes, "slowest": slowest, "found": found}
    sys.stdout.write(json.dumps(found_all) + "\n")


if __name__ == "__main__":
    main()
