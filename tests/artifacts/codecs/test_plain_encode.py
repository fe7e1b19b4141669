"""Many records, which plain/1 does not look at one by one, are stored as if it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.codecs import decode, encode

_ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_KEYS = st.text() | st.integers() | st.booleans()


def _containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(parts, min_size=8, max_size=9)
    return many | st.lists(parts, max_size=3) | st.dictionaries(_KEYS, parts, max_size=10)


_RECORDS = st.lists(
    st.recursive(_ATOMS | st.binary(max_size=4) | st.tuples(_ATOMS), _containers, max_leaves=12),
    min_size=8,
    max_size=12,
)


def _all_containers(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _all_containers(part)


def _same(found: Any, expected: Any) -> bool:
    """Equal in type, too: `True == 1`."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return _same(list(found.items()), list(expected.items()))
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(found == expected)


@given(_RECORDS)
def test_who_else_refers_to_records_makes_no_difference(value: list[Any]) -> None:
    """Whether records are told apart all at once or one by one, the payload is the same."""
    alone = encode(value)
    referred_to = list(_all_containers(value))
    watched = encode(value)
    assert len(referred_to) >= 1
    assert watched.payload() == alone.payload()
    assert _same(decode(alone.codec, alone.payload(), trusted=False), value)


@given(_RECORDS, st.data())
def test_a_record_met_twice_is_one_object_when_loaded(
    value: list[Any], data: st.DataObject
) -> None:
    """Wherever among the records it is."""
    containers = list(_all_containers(value))
    chosen = data.draw(st.sampled_from(containers))
    both = [value, chosen]
    loaded = decode("plain/1", encode(both).payload(), trusted=False)
    place = next(number for number, each in enumerate(containers) if each is chosen)
    assert list(_all_containers(loaded[0]))[place] is loaded[1]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Holds records and may be met in many places."""

    records: Any


@pytest.mark.parametrize("wrap", [tuple, Frozen, lambda it: (it, 1)])
def test_records_in_a_value_that_is_met_twice_are_shared(wrap: Any) -> None:
    """A tuple and a frozen dataclass are written twice, what is in them is not."""
    twice = wrap([{"id": number} for number in range(20)])
    loaded = decode("plain/1", encode([twice, twice]).payload(), trusted=True)
    first, second = (_records(each) for each in loaded)
    assert all(map(lambda one, other: one is other, first, second))


def _records(value: Any) -> Any:
    if isinstance(value, Frozen):
        return value.records
    return value[0] if isinstance(value[0], list) else value


def test_many_records_share_one_form_whatever_is_among_them() -> None:
    """Bytes and tuples among thousands of records change nothing for the others."""
    records: list[Any] = [{"id": number, "tags": ["a", number]} for number in range(10_000)]
    records[5_000]["raw"] = b"bytes are written otherwise"
    records[9_999]["pair"] = (1, 2)
    loaded = decode("plain/1", encode(records).payload(), trusted=False)
    assert _same(loaded, records)


@pytest.mark.parametrize(("depth", "codec"), [(60, "plain/1"), (70, "pickle/5")])
def test_records_nest_as_deep_as_other_values(depth: int, codec: str) -> None:
    """The limit is one, however values are looked at."""
    records = []
    for number in range(10):
        deep: Any = number
        for _ in range(depth):
            deep = [deep]
        records.append(deep)
    found = encode(records)
    assert found.codec == codec
    assert decode(codec, found.payload(), trusted=True) == records
