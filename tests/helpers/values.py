"""Random trees of values, the same ones for the same seed in every process, and what makes two of them equal.

    python -m tests.helpers.values COUNT SHUFFLE

prints the digests of the values with seeds 0 to COUNT. SHUFFLE decides in which order sets are filled, and how
equal strings and tuples come about: nothing that may show in a digest.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import pathlib
import random
import struct
import sys
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.digest import digest_parts

__all__ = ["Colour", "Pair", "Point", "Values", "same"]


class Colour(enum.Enum):
    """An enum."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    """A dataclass that can be hashed."""

    x: Any
    y: Any


class Pair(NamedTuple):
    """A named tuple."""

    left: Any
    right: Any


class Values:
    """A source of random values.

    Args:
        seed: Decides what the values are.
        shuffle: Decides how they come about.
    """

    def __init__(self, seed: int, shuffle: int = 0) -> None:
        self._rng = random.Random(seed)
        self._shuffle = random.Random(shuffle * 1_000_003 + seed)

    def value(self, depth: int = 4) -> Any:
        """Any value."""
        rng = self._rng
        if depth and rng.random() < 0.6:
            return self._container(depth - 1)
        return self._array() if rng.random() < 0.15 else self.hashable(0)

    def hashable(self, depth: int = 1) -> Any:
        """A value that may be a key."""
        rng = self._rng
        makers: list[Any] = [
            lambda: None,
            lambda: rng.random() < 0.5,
            lambda: rng.getrandbits(rng.choice([4, 30, 64, 65, 200])) * rng.choice([1, -1]),
            lambda: struct.unpack("<d", rng.randbytes(8))[0],
            self._text,
            lambda: rng.randbytes(rng.choice([0, 3, 100, 5000])),
            lambda: complex(rng.random(), -rng.random()),
            lambda: dt.date.fromordinal(rng.randrange(1, 3_000_000)),
            self._datetime,
            lambda: dt.timedelta(rng.randrange(-1000, 1000), rng.random() * 1e5),
            lambda: decimal.Decimal(rng.randrange(-(10**9), 10**9)).scaleb(rng.randrange(-9, 9)),
            lambda: fractions.Fraction(rng.randrange(-99, 99), rng.randrange(1, 99)),
            lambda: uuid.UUID(int=rng.getrandbits(128)),
            lambda: pathlib.PurePosixPath(self._text() or "x"),
            lambda: range(rng.randrange(9), rng.randrange(99), rng.randrange(1, 5)),
            lambda: rng.choice(list(Colour)),
            lambda: np.float32(rng.random()),
            lambda: np.datetime64(rng.randrange(10**9), "s"),
        ]
        if depth:
            makers += [
                lambda: tuple(self.hashable(depth - 1) for _ in range(rng.randrange(4))),
                lambda: frozenset(self._elements(depth - 1)),
                lambda: Point(self.hashable(depth - 1), self.hashable(depth - 1)),
                lambda: Pair(self.hashable(depth - 1), self.hashable(depth - 1)),
            ]
        return rng.choice(makers)()

    def _container(self, depth: int) -> Any:
        rng = self._rng
        size = rng.randrange(6)
        items = [self.value(depth) for _ in range(size)]
        keys = [self.hashable() for _ in range(size)]
        makers: list[Any] = [
            lambda: items,
            lambda: tuple(items),
            lambda: dict(zip(keys, items, strict=True)),
            lambda: OrderedDict(zip(keys, items, strict=True)),
            lambda: defaultdict(list, zip(keys, items, strict=True)),
            lambda: Counter(dict.fromkeys(keys, 3)),
            lambda: deque(items, 9),
            lambda: set(self._elements(1)),
            lambda: Point(items, depth),
            lambda: Pair(items, items),
            lambda: [items, {"again": items}, tuple(items)],
            lambda: bytearray(rng.randbytes(rng.choice([0, 10, 6000]))),
        ]
        return rng.choice(makers)()

    def _elements(self, depth: int) -> list[Any]:
        # Of equal elements (0 and False) a set keeps the first: that is not to be left to the shuffle.
        elements = list(dict.fromkeys(self.hashable(depth) for _ in range(self._rng.randrange(8))))
        self._shuffle.shuffle(elements)
        return elements

    def _text(self) -> str:
        text = "".join(self._rng.choices("aé\U0001f600\0 z/", k=self._rng.randrange(9)))
        return "".join(text) if self._shuffle.random() < 0.5 else sys.intern(text)

    def _datetime(self) -> dt.datetime:
        zones = [
            None,
            dt.timezone.utc,
            zoneinfo.ZoneInfo("Europe/Berlin"),
            zoneinfo.ZoneInfo("UTC"),
        ]
        start = dt.datetime(2020, 10, 25, tzinfo=self._rng.choice(zones))
        return (start + dt.timedelta(seconds=self._rng.randrange(10**8))).replace(
            fold=self._rng.randrange(2)
        )

    def _array(self) -> Any:
        rng = self._rng
        names: list[Any] = ["f8", ">i4", "?", "M8[ns]", "U3", "c8", [("a", "i2"), ("b", "f8")]]
        dtype = np.dtype(rng.choice(names))
        shape = tuple(rng.randrange(5) for _ in range(rng.randrange(4)))
        if rng.random() < 0.3:
            shape = (rng.choice([700, 3000]), 2)
        raw = np.frombuffer(rng.randbytes(int(np.prod(shape)) * dtype.itemsize), "u1")
        if dtype.kind in "bU":  # not every byte is a truth value, nor four bytes a character
            raw = raw & 1 if dtype.kind == "b" else np.zeros_like(raw)
        array: Any = raw.view(dtype).reshape(shape)
        form = rng.randrange(3)
        if form == 1:
            return np.asfortranarray(array)
        # A copy or the view itself: equal arrays.
        return array.copy() if self._shuffle.random() < 0.5 else array


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal in type, bits, order and dtype, all the way down."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        one, two = list(one.items()), list(two.items())
    elif isinstance(one, Point):
        one, two = (one.x, one.y), (two.x, two.y)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(_bits(one) == _bits(two))


def _bits(value: Any) -> Any:
    """What tells two values of a type apart where `==` does not, or says too much: no NaN equals itself."""
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return array.dtype, array.shape, array.tobytes()
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, set | frozenset):
        return _digest(value)
    return repr(value)


def _digest(value: Any) -> str:
    made = encode(value)
    return f"{made.codec} {digest_parts(made.parts)}"


def main() -> None:
    """Print digests."""
    count, shuffle = map(int, sys.argv[1:])
    for seed in range(count):
        sys.stdout.write(_digest(Values(seed, shuffle).value()) + "\n")


if __name__ == "__main__":
    main()
