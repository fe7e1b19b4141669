"""When two values are one to a join that merges them."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict, defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from gitflowrun.artifacts.reference import ArtifactRef
from gitflowrun.artifacts.same_value import are_equal, may_be_equal, may_be_same
from gitflowrun.limits import MERGE_PLAIN, READ_PLAIN
from gitflowrun.names import Digest, TaskName

_SHARED: list[Any] = [1]
_OTHER_NAN = math.inf - math.inf
_LARGE = b"b" * 9000


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": _SHARED, "b": _SHARED}, {"a": [1], "b": [1]}),
        ({"a": 1, "b": 2.0}, {"b": 2.0, "a": 1}),
        ([{"x": {"k": _SHARED, "l": (_SHARED,)}}], [{"x": {"l": ([1],), "k": [1]}}]),
        ([math.nan, {3, math.nan}], [_OTHER_NAN, {_OTHER_NAN, 3}]),
        ({"s": {"a", "b", (1, 2)}, "t": 1}, {"t": 1, "s": {(1, 2), "b", "a"}}),
        (Counter("ab"), Counter("ba")),
        (defaultdict(int, a=1, b=2), defaultdict(int, b=2, a=1)),
        (SimpleNamespace(a=1, b=2), SimpleNamespace(b=2, a=1)),
        ({"a": _LARGE, "b": _LARGE[1:]}, {"b": _LARGE[1:], "a": _LARGE}),
    ],
)
def test_order_of_keys_and_sharing_do_not_count(first: Any, second: Any) -> None:
    """Values that are equal part by part are equal."""
    assert are_equal(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1], [1.0]), ([1], [True]), ([0.0], [-0.0]), ({1: 2}, {True: 2}), ({1: 2}, {1.0: 2}),
        ([1, "a"], ["a", 1]), ([(1,)], [[1]]), ([{1}], [frozenset({1})]), (["a"], [b"a"]),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)), ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": _LARGE, "b": _LARGE[1:]}, {"b": _LARGE, "a": _LARGE[1:]}), ([[1]], [[1], [1]]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    ],
)  # fmt: skip
def test_all_else_is_exact(first: Any, second: Any) -> None:
    """Types, signs of zeros, and the order of sequences count, though `==` may not see them."""
    assert not are_equal(first, second)


class _Odd:
    """A class whose objects can't be compared."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        raise ValueError("neither equal nor not")

    __hash__ = None  # type: ignore[assignment]


def test_of_values_that_can_not_be_compared_nothing_is_known() -> None:
    """Those that are written alike are equal; of others that refuse, or can't be written, nobody says so."""
    assert are_equal(_Odd(1), _Odd(1))
    assert not are_equal(_Odd(1), _Odd(2))
    lock = threading.Lock()
    assert not are_equal(lock, lock)


def test_what_is_met_in_many_places_is_looked_at_once() -> None:
    """A value of few objects that is astronomically large when written out is compared at once."""

    def grown() -> list[Any]:
        value: list[Any] = []
        for _ in range(55):
            value = [value, value]
        return value

    assert are_equal({"a": grown(), "b": 1}, {"b": 1, "a": grown()})


def test_which_values_are_loaded_to_be_compared() -> None:
    """Plain values of one type up to a limit, and pickles; others of different bytes differ."""

    def ref(codec: str, size: int = 10, type_: str = "builtins.dict") -> ArtifactRef:
        return ArtifactRef(Digest(bytes(32)), size, codec, type_, (), TaskName("start", "1"))

    for codecs, size, may_be in (
        (("plain/1", "plain/1"), READ_PLAIN, True), (("plain/1", "plain/1"), READ_PLAIN + 1, False),
        (("plain/1", "pickle/5"), READ_PLAIN + 1, True), (("pickle/5", "cloudpickle/1"), READ_PLAIN + 1, True),
        (("npy/1", "npy/1"), 10, False), (("plain/1", "npy/1"), 10, False), (("pickle/5", "npy/1"), 10, False),
    ):  # fmt: skip
        assert may_be_same(ref(codecs[0]), ref(codecs[1], size)) is may_be
        assert not may_be_same(ref(codecs[0]), ref(codecs[1], size, "builtins.list"))
    assert may_be_equal(ref("plain/1"), ref("plain/1", MERGE_PLAIN))
    assert may_be_equal(ref("pickle/5"), ref("pickle/5", MERGE_PLAIN + 1))
    assert not may_be_equal(ref("plain/1"), ref("plain/1", MERGE_PLAIN + 1))
    assert not may_be_equal(ref("plain/1"), ref("plain/1", type_="builtins.list"))
    assert not may_be_equal(ref("plain/1"), ref("pickle/5"))
    assert not may_be_equal(ref("npy/1"), ref("npy/1"))
