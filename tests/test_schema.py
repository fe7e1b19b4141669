"""Tables of fields write values as msgpack's types and read them strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord
from gitflowrun.msgpack import pack, unpack
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.schema import (
    ANY,
    BINARY,
    COUNT,
    DIGEST,
    FLAG,
    FLOW_NAME,
    INTEGER,
    MAP,
    REAL,
    RUN_ID,
    TASK_NAME,
    TEXT,
    TEXT_MAP,
    TEXTS,
    ArraySchema,
    Kind,
    MapSchema,
    many,
    map_of,
    one_of,
    optional,
)
from gitflowrun.values import field, frozen


@frozen
class Pair:
    """A number and a word, or none."""

    number: int
    word: str | None = None


@frozen
class Book:
    """A record with fields of all kinds of kinds."""

    title: str
    pages: int
    pairs: tuple[Pair, ...] = ()
    by_name: Mapping[str, Pair] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def _check(book: Book) -> None:
    if book.pages < len(book.pairs):
        raise CorruptRecord("more pairs than pages")


PAIR = ArraySchema(Pair, "pair", INTEGER, optional(TEXT))
BOOK = MapSchema(
    Book,
    "book",
    {"title": TEXT, "pages": COUNT, "pairs": many(PAIR), "by_name": map_of(PAIR)},
    keys={"pages": "page_count"},
    version=3,
    check=_check,
)
NUMBERS: MapSchema[Pair] = MapSchema(Pair, "numbers", {"number": INTEGER, "word": optional(TEXT)})

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["schema", "title", "page_count", "pairs", "by_name", "x"]), inner
        )
    ),
    max_leaves=10,
)
WORDS = st.text(max_size=3)
PAIRS = st.builds(Pair, st.integers(-5, 5), st.none() | WORDS)
BOOKS = st.builds(
    Book,
    WORDS,
    st.integers(3, 9),
    st.lists(PAIRS, max_size=3).map(tuple),
    st.dictionaries(WORDS, PAIRS, max_size=3),
    st.dictionaries(WORDS.map("new ".__add__), st.integers(0, 9), max_size=2),
)


@pytest.mark.parametrize(
    ("kind", "packed", "value"),
    [
        (ANY, [1, None], [1, None]),
        (TEXT, "a", "a"),
        (INTEGER, -3, -3),
        (COUNT, 0, 0),
        (REAL, 1.5, 1.5),
        (REAL, 2, 2.0),
        (FLAG, True, True),
        (BINARY, b"a", b"a"),
        (MAP, {"a": 1}, {"a": 1}),
        (TEXTS, ["a", "b"], ("a", "b")),
        (TEXT_MAP, {"a": "b"}, {"a": "b"}),
        (DIGEST, bytes(32), Digest(bytes(32))),
        (FLOW_NAME, "MyFlow", "MyFlow"),
        (RUN_ID, "12", RunId("12")),
        (TASK_NAME, "start/1", TaskName("start", "1")),
        (one_of("a", "b"), "b", "b"),
        (optional(COUNT), None, None),
        (optional(TEXTS), ["a"], ("a",)),
        (many(COUNT), [1, 2], (1, 2)),
        (many(TASK_NAME), ["a/1"], (TaskName("a", "1"),)),
        (map_of(COUNT), {"a": 1}, {"a": 1}),
        (map_of(TEXTS), {"b": ["x"], "a": []}, {"a": (), "b": ("x",)}),
        (PAIR, [1, "a"], Pair(1, "a")),
        (NUMBERS, {"number": 1, "word": None}, Pair(1)),
    ],
)
def test_kinds(kind: Kind[Any], packed: Any, value: Any) -> None:
    """Each kind reads what it writes, as a value of the right type."""
    loaded = kind.load(packed)
    assert loaded == value
    assert type(loaded) is type(value)
    dumped = kind.dump(value) if kind.dump else value
    assert dumped == packed
    assert unpack(pack(dumped)) == packed


@pytest.mark.parametrize(
    ("kind", "packed"),
    [
        (TEXT, b"a"),
        (INTEGER, True),
        (INTEGER, 1.0),
        (COUNT, -1),
        (COUNT, False),
        (REAL, math.nan),
        (REAL, math.inf),
        (REAL, "1"),
        (REAL, True),
        (FLAG, 1),
        (FLAG, "no"),
        (FLAG, None),
        (BINARY, "a"),
        (MAP, [1]),
        (MAP, {b"a": 1}),
        (TEXTS, "ab"),
        (TEXTS, ["a", 1]),
        (TEXT_MAP, {"a": 1}),
        (DIGEST, b"short"),
        (FLOW_NAME, "no flow"),
        (RUN_ID, "../1"),
        (TASK_NAME, "start"),
        (one_of("a", "b"), "c"),
        (one_of("a", "b"), 1),
        (one_of("a", "b"), ["a"]),
        (optional(COUNT), "a"),
        (many(COUNT), {"a": 1}),
        (many(COUNT), [1, -1]),
        (map_of(COUNT), {"a": "b"}),
    ],
)
def test_another_kind_of_thing_is_no_value(kind: Kind[Any], packed: Any) -> None:
    """Nothing is guessed: within a record it makes the record malformed, and the message names it."""
    schema = ArraySchema(Pair, "pair", kind, ANY)
    with pytest.raises(CorruptRecord, match="malformed pair record"):
        schema.load([packed, None])


def test_maps_are_written_in_order() -> None:
    """Equal maps have equal bytes, in whatever order they were made."""
    one, two = map_of(PAIR), {"b": Pair(1), "a": Pair(2)}
    assert one.dump is not None
    assert pack(one.dump(two)) == pack(one.dump(dict(reversed(two.items()))))


def test_a_record_has_a_version_and_its_own_keys() -> None:
    """A map of a newer version is refused with a hint; one without is no such record."""
    book = Book("t", 3, (Pair(1),), {"a": Pair(2, "w")})
    packed = BOOK.dump(book)
    assert packed == {
        "schema": 3,
        "title": "t",
        "page_count": 3,
        "pairs": [[1, None]],
        "by_name": {"a": [2, "w"]},
    }
    assert BOOK.load(packed) == book
    assert BOOK.load({**packed, "schema": 1}) == book
    with pytest.raises(CorruptRecord, match="schema 4; this release reads up to 3") as caught:
        BOOK.load({**packed, "schema": 4})
    assert "newer gitflowrun" in str(caught.value.hint)
    wrong: list[object] = [None, [], {}, {"schema": "3"}]
    for data in wrong:
        with pytest.raises(CorruptRecord, match="this is no book record"):
            BOOK.load(data)


def test_what_is_unknown_is_kept() -> None:
    """Fields of a newer release survive, but can't take the place of known ones."""
    packed = {**BOOK.dump(Book("t", 3)), "new": [1, {"a": b"b"}]}
    book = BOOK.load(packed)
    assert book.extra == {"new": [1, {"a": b"b"}]}
    assert BOOK.dump(book) == packed
    assert BOOK.dump(Book("t", 3, extra={"title": "x", "schema": 9}))["title"] == "t"
    assert BOOK.dump(Book("t", 3, extra={"title": "x", "schema": 9}))["schema"] == 3


def test_unknown_fields_of_a_class_that_keeps_none_are_dropped() -> None:
    """Such a map is read all the same."""
    assert NUMBERS.load({"number": 1, "word": None, "new": 2}) == Pair(1)


def test_fields_must_fit_together() -> None:
    """What is right alone may be wrong together."""
    with pytest.raises(CorruptRecord, match="more pairs than pages"):
        BOOK.load(BOOK.dump(Book("t", 1, (Pair(1), Pair(2)))))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"title": None}, "malformed book record: expected text, found None"),
        ({"page_count": -1}, "a whole number, 0 or more"),
        ({"pairs": [[1]]}, "malformed pair record"),
        ({"pairs": [[1, "a", 2]]}, "malformed pair record"),
        ({"pairs": [3]}, "malformed pair record: expected an array"),
        ({"by_name": {"a": [None, None]}}, "malformed pair record"),
    ],
)
def test_messages_name_what_is_wrong(change: dict[str, Any], complaint: str) -> None:
    """The innermost record, and what was found instead."""
    packed = BOOK.dump(Book("t", 3))
    with pytest.raises(CorruptRecord, match=complaint):
        BOOK.load({**packed, **change})
    del packed["title"]
    with pytest.raises(CorruptRecord, match="no field 'title'"):
        BOOK.load(packed)


@given(BOOKS)
def test_every_value_comes_back(book: Book) -> None:
    """Through bytes and back."""
    assert BOOK.load(unpack(pack(BOOK.dump(book)))) == book


@given(PLAIN)
def test_any_data_is_a_value_or_corrupt(data: Any) -> None:
    """Whatever msgpack holds: a value that is written as it was read, or CorruptRecord."""
    schemas: tuple[Kind[Any], ...] = (BOOK, PAIR, NUMBERS)
    for schema in schemas:
        try:
            value = schema.load(data)
        except CorruptRecord:
            continue
        assert schema.dump is not None
        assert schema.load(schema.dump(value)) == value


@given(BOOKS, st.sampled_from(["schema", "title", "page_count", "pairs", "by_name"]), PLAIN)
def test_a_changed_field_is_a_value_or_corrupt(book: Book, key: str, data: Any) -> None:
    """Records with one field changed are the ones that come closest."""
    try:
        value = BOOK.load({**BOOK.dump(book), key: data})
    except CorruptRecord:
        return
    assert isinstance(value, Book)
