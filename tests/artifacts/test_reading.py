"""Reading a value changes nothing, whatever its properties and its library keep of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.artifacts import reading
from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.artifacts.codecs.payload import Encoded
from gitflowrun.artifacts.same_value import are_equal, is_same, may_be_same

if TYPE_CHECKING:
    from collections.abc import Callable


class Table:
    """An object whose properties keep what they compute, in each of the usual ways."""

    def __init__(self) -> None:
        self.rows = [1, 2, 3]
        self._largest: int | None = None
        self._cache: dict[str, Any] = {}

    @cached_property
    def total(self) -> int:
        """Kept under its own name."""
        return sum(self.rows)

    @property
    def largest(self) -> int:
        """Kept in an attribute that is None before."""
        if self._largest is None:
            self._largest = max(self.rows)
        return self._largest

    @property
    def smallest(self) -> int:
        """Kept in an attribute that is not there before."""
        if not hasattr(self, "_Table__smallest"):
            self.__smallest = min(self.rows)
        return self.__smallest

    @property
    def mean(self) -> float:
        """Kept in a dict of results; reads another property first."""
        return float(self._cache.setdefault("mean", self.total / len(self.rows)))


class Slotted:
    """An object that refers to others by slots."""

    __slots__ = ("table", "unset")

    def __init__(self) -> None:
        self.table = Table()


class Compact:
    """An object whose properties keep what they compute in slots."""

    __slots__ = ("_largest", "rows", "total")

    def __init__(self) -> None:
        self.rows = [1, 2]
        self._largest: int | None = None

    @property
    def largest(self) -> int:
        """Kept in a slot that is None before."""
        if self._largest is None:
            self._largest = max(self.rows)
        return self._largest

    def __getattr__(self, name: str) -> int:
        """Fill an empty slot, as attrs does for cached properties."""
        if name != "total":
            raise AttributeError(name)
        self.total = sum(self.rows)
        return self.total


class Bag(dict[str, int]):
    """A dict without attributes of its own."""

    @cached_property
    def total(self) -> int:
        """Kept as the only attribute."""
        return sum(self.values())


@dataclass
class Numbers:
    """A plain value with a property that keeps its result."""

    values: list[int] = field(default_factory=lambda: [4, 5])

    @cached_property
    def total(self) -> int:
        """Kept under its own name."""
        return sum(self.values)


def _is_unchanged(value: Any, use: Callable[[Any], object]) -> bool:
    """Whether a value that is stored, loaded and used counts as the one that was stored."""
    made = encode(value)
    payload = bytearray(made.payload())
    loaded = decode(made.codec, bytearray(payload), trusted=True)
    use(loaded)
    now, stored = encode(loaded), Encoded(made.codec, made.type, (memoryview(payload),))
    return now.payload() == payload or (may_be_same(now, stored) and is_same(now, stored))


@pytest.mark.parametrize(
    "use",
    [
        lambda table: table.total,
        lambda table: table.largest,
        lambda table: table.smallest,
        lambda table: table.mean,
        lambda table: (table.mean, table.smallest, table.largest),
    ],
    ids=["same_name", "was_none", "not_there", "dict", "several"],
)
def test_results_that_properties_keep_are_no_change(use: Callable[[Any], object]) -> None:
    """Whichever property was read, at the top of a value or within it, the value is what it was."""
    assert _is_unchanged(Table(), use)
    assert _is_unchanged([{"t": (Table(), 1)}], lambda value: use(value[0]["t"][0]))
    assert _is_unchanged(Slotted(), lambda value: use(value.table))


def test_results_in_slots_are_no_change() -> None:
    """A slot that a property fills, or that is filled when it is missed, is a result; set by hand it is a change."""
    assert _is_unchanged(Compact(), lambda value: (value.largest, value.total))
    assert _is_unchanged([Compact()], lambda value: value[0].total)
    assert not _is_unchanged(Compact(), lambda value: setattr(value, "_largest", 9))
    assert not _is_unchanged(Compact(), lambda value: setattr(value, "total", 9))
    assert not _is_unchanged(Compact(), lambda value: (value.total, value.rows.append(3)))


def test_an_object_that_has_itself_is_looked_at_once() -> None:
    """Values may go round in circles."""
    table: Any = Table()
    table.me = [table]
    assert _is_unchanged(table, lambda value: value.me[0].total)
    assert not _is_unchanged(table, lambda value: (value.total, value.me.append(1)))


class Rounded:
    """Equal to others of about its value, as its class says, which may say anything."""

    def __init__(self, value: float, answer: Any = None) -> None:
        self.value, self.answer = value, answer

    def __eq__(self, other: object) -> Any:
        if self.answer is not None:
            return self.answer
        return isinstance(other, Rounded) and round(self.value) == round(other.value)

    __hash__ = None  # type: ignore[assignment]


def test_classes_say_what_is_equal() -> None:
    """If they say so plainly; else the bytes decide, and what can't be told is not equal."""
    assert are_equal(Rounded(1.1), Rounded(0.9))
    assert not are_equal(Rounded(1.1), Rounded(2.9))
    assert not are_equal(Rounded(1.1, "yes"), Rounded(0.9))
    assert are_equal(Rounded(1.1, "yes"), Rounded(1.1, "yes"))
    assert not are_equal(Rounded(1.1, lambda: 0), Rounded(1.1))
    assert not are_equal(lambda: (yield), 1)


def test_a_result_may_be_the_only_attribute() -> None:
    """An object that had none before it was read is what it was, too."""
    assert _is_unchanged(Bag(a=1), lambda value: value.total)


def test_plain_values_keep_results_too() -> None:
    """Instances of dataclasses are stored without a pickle, and have properties all the same."""
    assert _is_unchanged(Numbers(), lambda value: value.total)
    assert _is_unchanged({"n": [Numbers()]}, lambda value: value["n"][0].total)
    assert not _is_unchanged(Numbers(), lambda value: (value.total, value.values.append(1)))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: setattr(table, "total", 99),
        lambda table: setattr(table, "_largest", 99),
        lambda table: table._cache.update(mean=99.0),
        lambda table: table._cache.update(other=1.0),
        lambda table: (table.total, table.rows.append(0)),
        lambda table: (table.rows.append(4), table.total),
        lambda table: (table.mean, table.__dict__.update(note="x")),
        lambda table: setattr(table, "_note", "x"),
    ],
    ids=["set", "set_private", "in_cache", "no_property", "after", "before", "public", "private"],
)
def test_changes_are_seen_beside_what_was_read(change: Callable[[Any], object]) -> None:
    """What reading does not give is a change: a result set by hand, a row added before or after."""
    assert not _is_unchanged(Table(), change)


def test_models_that_only_predicted_are_what_they_were() -> None:
    """Trees that count questions, addresses of stop words, sorted matrices, views of graphs: all of it is reading."""
    np = pytest.importorskip("numpy")
    neighbors = pytest.importorskip("sklearn.neighbors")
    text = pytest.importorskip("sklearn.feature_extraction.text")
    points, words = np.arange(60.0).reshape(20, 3) % 7, ["the cat sat", "a dog ran"]
    for kind in ("kd_tree", "ball_tree"):
        model = neighbors.KNeighborsRegressor(algorithm=kind).fit(points, points[:, 0])
        assert _is_unchanged(model, lambda model: model.predict(points))
    vectors = text.TfidfVectorizer(stop_words=["the", "a"]).fit(words)
    assert _is_unchanged(vectors, lambda vectors: vectors.transform(words))
    assert not _is_unchanged(vectors, lambda vectors: vectors.idf_.__setitem__(0, 9.0))


def test_values_of_scipy_that_were_only_read_are_what_they_were() -> None:
    """Its trees hold addresses, its matrices are put in order while they are read; an element changed is seen."""
    np = pytest.importorskip("numpy")
    sparse = pytest.importorskip("scipy.sparse")
    spatial = pytest.importorskip("scipy.spatial")
    tree = spatial.KDTree(np.arange(60.0).reshape(20, 3) % 7)
    assert encode(tree).payload() == encode(spatial.KDTree(tree.data)).payload()
    assert _is_unchanged(tree, lambda tree: tree.query([0, 0, 0]))
    assert (decode("pickle/5", encode(tree).payload(), trusted=True).query([1, 1, 1])[0]) > 0
    matrix = sparse.coo_matrix(([1.0, 2.0, 3.0], ([2, 0, 1], [0, 1, 2])))
    assert _is_unchanged(matrix, lambda matrix: matrix.sum_duplicates())
    assert not _is_unchanged(matrix, lambda matrix: matrix.data.__setitem__(0, 5.0))
    places = np.arange(200_000)[::-1]
    model = Table()
    model.rows = sparse.coo_matrix((places * 1.0, (places, places)))
    assert _is_unchanged(model, lambda model: model.rows.sum_duplicates())


def test_which_property_may_have_filled_an_attribute() -> None:
    """One of its name, or without the underscores before it; a slot may be filled by itself, nothing else is."""
    names = ("total", "_largest", "_Table__smallest", "_cache", "rows", "other")
    found = ["total", "largest", "smallest", None, None, None]
    assert [reading._property(Table, name) for name in names] == found
    slots = ("total", "_largest", "rows", "other")
    assert [reading._property(Compact, name) for name in slots] == [
        "total",
        "largest",
        "rows",
        None,
    ]
