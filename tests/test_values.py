"""Classes of values behave as frozen dataclasses do, at less cost."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.values import field, field_names, frozen, lazy, mutable, replace


@frozen
class Point:
    """Two numbers and a word."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    note: str = ""

    @property
    def sum(self) -> int:
        """Both."""
        return self.x + self.y


@frozen
class Place(Point):
    """A point with a name and visitors."""

    visitors: dict[str, int] = field(default_factory=dict)
    name: str = "here"


@frozen
class Even:
    """A number that must be even."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


@mutable
class Counter:
    """A number that may be changed."""

    count: int = 0
    seen: list[str] = field(default_factory=list)


@frozen(eq=False)
class Handle:
    """Something that equals itself alone."""

    number: int


@frozen(slots=False)
class Lazy:
    """Something with a computed attribute."""

    number: int

    @cached_property
    def square(self) -> int:
        """Its square."""
        return self.number**2


@frozen
class Empty:
    """No fields."""


class Nothing:
    """No class of values."""


def _many(make: Callable[[], Any]) -> list[Any]:
    """More instances than a class has before it gets an `__init__` of its own."""
    return [make() for _ in range(20)]


def test_fields_are_set_by_place_and_by_name() -> None:
    """The first instance and the twentieth take arguments alike."""
    for value in _many(lambda: Point(1, note="n")):
        assert (value.x, value.y, value.note, value.sum) == (1, 2, "n", 3)
    assert Point.kind == "point"
    assert field_names(Point) == field_names(Point(1)) == ("x", "y", "note")
    assert field_names(Nothing) == field_names(Nothing()) == field_names(Empty()) == ()


def test_threads_that_make_the_first_instances() -> None:
    """A thread that is in the middle of making one while another makes the class its own `__init__` goes on."""

    @frozen
    class Pair:
        left: int
        right: int = 2

    first: Any = Pair.__init__
    made = [Pair(number) for number in range(20)]
    late = object.__new__(Pair)
    first(late, 19)
    assert late == made[-1]


def test_a_made_default_is_made_for_each() -> None:
    """No two instances share one; where a value is given, nothing is made."""
    made = _many(lambda: Place(1))
    assert all(value.visitors == {} for value in made)
    assert len({id(value.visitors) for value in made}) == len(made)
    given = {"a": 1}
    assert all(value.visitors is given for value in _many(lambda: Place(1, visitors=given)))


def test_equality_is_of_class_and_content() -> None:
    """A subclass with the same fields is another value; hashes follow."""
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    others: list[object] = [(1, 2, ""), Place(1), None]
    assert all(Point(1) != other for other in others)
    assert hash(Point(1)) == hash(Point(1))
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert repr(Empty()) == "Empty()"


def test_a_mutable_class_equals_itself_alone() -> None:
    """Its fields may be assigned."""
    counter = Counter()
    counter.count += 1
    assert counter.count == 1
    assert counter != Counter(1)
    assert len({counter, counter}) == 1
    assert copy.copy(counter).count == 1


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_copies(copied: Callable[[Any], Any]) -> None:
    """Copies and unpickled values are equal to the first, and frozen."""
    for value in (Point(1), Place(1, visitors={"a": 1}), Even(2)):
        again = copied(value)
        assert again == value
        assert type(again) is type(value)
    with pytest.raises(AttributeError, match="immutable"):
        copied(Point(1)).x = 3


def test_replace() -> None:
    """A copy with some fields changed goes through `__init__` and knows its fields."""
    place = Place(1, visitors={"a": 1})
    assert replace(place, x=5) == Place(5, visitors={"a": 1})
    assert place.x == 1
    with pytest.raises(ValueError, match="odd"):
        replace(Even(2), number=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        replace(place, z=1)


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, "n", 4), {}, r"takes from 2 to 4 positional arguments but 5 were given"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
        ((1,), {"x": 1}, "multiple values for argument 'x'"),
        ((), {"y": 1}, "missing 1 required positional argument: 'x'"),
    ],
)
def test_wrong_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str) -> None:
    """The error is Python's, for the first instance as for later ones."""

    @frozen
    class New:
        x: int
        y: int = 2
        note: str = ""

    for _ in range(2):
        with pytest.raises(TypeError, match=complaint) as caught:
            New(*args, **kwargs)
        assert "New.__init__()" in str(caught.value)
    assert New(1) == New(1, 2, "")


@pytest.mark.parametrize("default", [[], {}, set()])
def test_mutable_defaults_are_refused(default: Any) -> None:
    """One object for all instances is never what was meant."""
    with pytest.raises(ValueError, match="field\\(default_factory"):
        frozen(type("Bad", (), {"__annotations__": {"a": "object"}, "a": default}))


def test_a_lazy_property_is_computed_once() -> None:
    """It is kept in its instance, may be set there, and has its method's documentation."""

    class Counted:
        def __init__(self) -> None:
            self.calls = 0

        @lazy
        def number(self) -> int:
            """How often."""
            self.calls += 1
            return self.calls

    one, other = Counted(), Counted()
    assert (one.number, one.number, other.number) == (1, 1, 1)
    vars(one)["number"] = 5
    assert one.number == 5
    assert Counted.number.__doc__ == "How often."


def test_names_and_documentation_are_kept() -> None:
    """The class made again is found where the first one was."""
    assert (Point.__module__, Point.__qualname__) == (__name__, "Point")
    assert Point.__doc__ == "Two numbers and a word."
    assert Point.__match_args__ == ("x", "y", "note")
    match Point(3):
        case Point(x, y):
            assert (x, y) == (3, 2)


CONTENTS = st.none() | st.integers(-2, 2) | st.text("ab", max_size=2) | st.tuples(st.booleans())


@st.composite
def _classes(draw: st.DrawFn) -> tuple[type, type, int]:
    """The same class made by `frozen` and by `dataclass`, and how many fields it has."""
    count, defaults = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    names = [f"f{number}" for number in range(count)]
    body = {name: draw(CONTENTS) for name in names[max(0, count - defaults) :]}
    annotations = dict.fromkeys(names, "object")
    ours, theirs = (
        type("Same", (), {"__annotations__": annotations, "__module__": __name__, **body})
        for _ in range(2)
    )
    return frozen(ours), dataclasses.dataclass(frozen=True, slots=True)(theirs), count


@given(_classes(), st.data())
def test_values_are_as_dataclasses(classes: tuple[type, type, int], data: st.DataObject) -> None:
    """For any fields, defaults and arguments: the same values, errors, text and equality."""
    ours, theirs, count = classes
    keys = st.sampled_from([f"f{number}" for number in range(count + 1)])
    arguments = st.tuples(
        st.lists(CONTENTS, max_size=count + 1), st.dictionaries(keys, CONTENTS, max_size=3)
    )
    pairs = []
    for args, kwargs in data.draw(st.lists(arguments, min_size=1, max_size=12)):
        try:
            expected = theirs(*args, **kwargs)
        except TypeError as refusal:
            with pytest.raises(TypeError, match=re.escape(str(refusal))):
                ours(*args, **kwargs)
            continue
        made = ours(*args, **kwargs)
        assert repr(made) == repr(expected)
        pairs.append((made, expected))
    for (one, first), (two, second) in itertools.product(pairs, pairs):
        assert (one == two) == (first == second)
        assert hash(one) == hash(two) or first != second
