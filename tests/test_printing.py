"""Values as text: Python's own words within limits, whatever a value consists of."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, UserList, deque
from pprint import pformat
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.limits import PRINT_SIZE
from gitflowrun.printing import bounded_repr, pretty, shown, within

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    ATOMS,
    lambda parts: (
        st.lists(parts)
        | st.lists(parts).map(tuple)
        | st.dictionaries(st.text(), parts)
        | st.dictionaries(st.text(), parts).map(OrderedDict)
        | st.sets(st.integers()) | st.frozensets(st.integers())
    ),
    max_leaves=20,
)  # fmt: skip


@dataclasses.dataclass
class Box:
    """A class whose `__repr__` asks its fields."""

    content: Any


def doubled(value: Any, make: Any, levels: int = 60) -> Any:
    """A value that is twice in the next one, and so on: 2^60 parts of sixty objects."""
    for _ in range(levels):
        value = make(value)
    return value


@given(VALUES)
def test_small_values_are_shown_as_python_shows_them(value: Any) -> None:
    """Whole, by `repr`, and containers laid out by `pprint`."""
    assert shown(value) == (repr(value), True)
    if isinstance(value, (list, tuple, dict)):
        assert pretty(value, 40) == (pformat(value, width=40, compact=True, sort_dicts=False), True)


@given(VALUES, st.integers(0, 50))
def test_a_text_is_the_beginning_of_pythons(value: Any, size: int) -> None:
    """What is cut is cut after so many characters, and says so."""
    text, is_whole = shown(value, size)
    assert is_whole == (len(repr(value)) <= size)
    assert len(text) <= size + 1
    if not is_whole and not isinstance(value, OrderedDict):
        assert text.endswith("…")


@pytest.mark.parametrize(
    "make",
    [
        lambda it: [it, it],
        lambda it: (it, it),
        lambda it: {1: it, 2: it},
        lambda it: deque([it, it]),
        lambda it: OrderedDict(a=it, b=it),
        lambda it: SimpleNamespace(a=it, b=it),
        lambda it: [Box(it), Box(it)],
        lambda it: (Box((it, it)),),
    ],
    ids=["list", "tuple", "dict", "deque", "ordered", "namespace", "objects", "object"],
)
@pytest.mark.sample(2)
def test_values_that_double_end(make: Any) -> None:
    """Sixty objects whose text has 10^18 characters are shown as far as the limit goes."""
    value = doubled(0, make)
    for text, is_whole in (shown(value, 1_000), pretty([value], 80)):
        assert not is_whole
        assert len(text) <= PRINT_SIZE + 2
    assert len(bounded_repr(value, 60)) <= 61


def test_values_within_themselves_and_deep_ones() -> None:
    """Circles are shown as Python does, and what is too deep for it as far as it can be shown."""
    circle: list[Any] = [1]
    circle.append(circle)
    assert bounded_repr(circle) == "[1, [...]]"
    assert bounded_repr([circle, doubled(0, lambda it: [it, it])], 20).startswith("[[1, [...]], [[")
    deep = doubled(0, lambda it: [it], 100_000)
    text, is_whole = shown(deep)
    assert not is_whole
    assert text.startswith("[[[[")


def test_long_values_are_cut_before_they_are_written() -> None:
    """Numbers, texts and lists."""
    assert bounded_repr(1 << 1_000_000, 10) == hex(1 << 1_000_000)[:10] + "…"
    assert bounded_repr("x" * 1_000_000, 10) == "'xxxxxxxxx…"
    assert shown(list(range(300_000)))[0] == repr(list(range(300_000)))
    text = pretty(list(range(300_000)), 40)[0]
    assert text.replace("\n", "") == repr(list(range(300_000)))
    assert max(map(len, text.split("\n"))) < 60
    assert bounded_repr(Counter(range(300_000)), 30).startswith("Counter({0: 1, 1: 1, 2: 1, ")


def test_a_repr_that_does_not_end_is_ended() -> None:
    """The clock ends it, and the others are shown; one that fails says how."""

    class Endless(UserList[Any]):
        def __repr__(self) -> str:
            while True:
                pass

    class Broken:
        def __repr__(self) -> str:
            raise ValueError(self)

        __str__ = __repr__

    with within(0.05):
        assert "Endless: TimeoutError: it takes too long" in bounded_repr(Endless())
    assert bounded_repr(Broken()).endswith("Broken: ValueError: no text>")
