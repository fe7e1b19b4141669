"""Classes of values: what `frozen` and `mutable` classes promise, of their first instances and of later ones."""

from __future__ import annotations

import pickle

import pytest

from gitflowrun.values import field, field_names, frozen, mutable, replace

MANY = 30  # more instances than are made before `__init__` is compiled


@frozen(order=True)
class Point:
    """A value with every kind of default."""

    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


@frozen
class Checked:
    """A value that looks at itself."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("empty")


@mutable
class Counter:
    """A value that changes."""

    count: int = 0


def test_instances_are_values() -> None:
    """Equal fields make equal, ordered, hashable and picklable instances, the first like the thirtieth."""
    for number in range(MANY):
        point = Point(number, y=2)
        assert (point.x, point.y, point.tags) == (number, 2, [])
        assert point == Point(number, 2, [])
        assert point != Point(number, 3)
        assert point < Point(number + 1)
        assert pickle.loads(pickle.dumps(point)) == point
        assert hash(Checked(1, number + 1)) == hash(Checked(1, number + 1))


def test_defaults_are_made_anew() -> None:
    """No two instances share what a factory makes."""
    points = [Point(1) for _ in range(MANY)]
    points[0].tags.append("a")
    assert [point.tags for point in points[1:]] == [[]] * (MANY - 1)


@pytest.mark.parametrize("before", [0, MANY])
def test_wrong_arguments_are_refused(before: int) -> None:
    """Missing, doubled, unknown and surplus arguments raise what a function would raise."""

    @frozen
    class Pair:
        left: int
        right: int = 1

    for _ in range(before):
        Pair(1)
    for arguments, options, words in (
        ((), {}, "missing 1 required positional argument: 'left'"),
        ((1,), {"left": 2}, "multiple values for argument 'left'"),
        ((1, 2, 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"other": 1}, "unexpected keyword argument 'other'"),
    ):
        with pytest.raises(TypeError, match=words):
            Pair(*arguments, **options)


def test_post_init_is_called() -> None:
    """A class may check its instances, whichever they are."""
    for _ in range(MANY):
        assert Checked(1, 2).high == 2
        with pytest.raises(ValueError, match="empty"):
            Checked(2, 1)


def test_frozen_means_frozen() -> None:
    """Fields of frozen values can't be assigned or deleted; those of mutable ones can, and have no hash."""
    with pytest.raises(AttributeError, match="immutable"):
        Point(1).x = 2  # type: ignore[misc]
    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)


def test_replace_changes_some_fields() -> None:
    """A copy differs in what was named; a name that is no field is refused."""
    assert replace(Point(1, 2), y=3) == Point(1, 3)
    assert field_names(Point) == ("x", "y", "tags")
    with pytest.raises(TypeError, match="unexpected keyword"):
        replace(Point(1), z=1)
