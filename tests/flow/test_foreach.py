"""A foreach: what can be iterated over, what its tasks see, what nesting does."""

from __future__ import annotations

import collections
import enum
import functools
import linecache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import InvalidNext
from gitflowrun.flow import FlowSpec, JSONType, Parameter, step
from gitflowrun.flow.foreach import brief, item_at, needs_list
from gitflowrun.limits import MOST_SPLITS
from tests.flow.memory import MemoryRun, StepFailedError, run_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKE: dict[str, Any] = {}


class Each(FlowSpec):
    """Iterates over whatever `MAKE['items']` makes."""

    @step
    def start(self) -> None:
        """Split."""
        self.items = MAKE["items"]()
        self.next(self.body, foreach="items")

    @step
    def body(self) -> None:
        """See an item."""
        self.got: Any = (self.index, self.input, self.foreach_stack())
        self.next(self.after)

    @step
    def after(self) -> None:
        """See it again."""
        self.again: Any = (self.index, self.input)
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Collect."""
        self.got = [entry.got for entry in inputs]
        self.again = [entry.again for entry in inputs]
        self.views = [(entry.index, entry.input) for entry in inputs]
        self.last = inputs.after.index
        self.outside = (self.index, self.input, self.foreach_stack())
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class Countdown:
    """An iterable that is no sequence."""

    def __iter__(self) -> Iterator[int]:
        return iter([3, 2, 1])


class Letters:
    """A sequence in all but name."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> str:
        return "xy"[index]


def each(items: Any) -> MemoryRun:
    """Run `Each` over what the function `items` makes."""
    MAKE["items"] = items
    return run_flow(Each)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (lambda: [10, 20], [10, 20]),
        (lambda: (1, None), [1, None]),
        (lambda: "ab", ["a", "b"]),
        (lambda: b"ab", [97, 98]),
        (lambda: range(3), [0, 1, 2]),
        (lambda: {"k": 1, "l": 2}, ["k", "l"]),
        (lambda: {0: "zero", 1: "one"}, [0, 1]),
        (lambda: {"only"}, ["only"]),
        (lambda: (n * n for n in range(3)), [0, 1, 4]),
        ({"k": 1}.items, [("k", 1)]),
        ({"k": 1}.keys, ["k"]),
        (lambda: zip("ab", "cd", strict=True), [("a", "c"), ("b", "d")]),
        (lambda: collections.deque([1, 2]), [1, 2]),
        (lambda: [[1, 2], [3]], [[1, 2], [3]]),
        (Countdown, [3, 2, 1]),
        (Letters, ["x", "y"]),
    ],
)
def test_items_are_what_iteration_yields(items: Any, expected: list[Any]) -> None:
    """Each task gets its item, in order, in every step of the loop, and the join sees them in order."""
    run = each(items)
    total = len(expected)
    pairs = list(enumerate(expected))
    assert run.value("join", "got") == [(i, item, [(i, total, item)]) for i, item in pairs]
    assert run.value("join", "again") == pairs
    assert run.value("join", "views") == pairs
    assert run.value("join", "outside") == (None, None, [])
    assert run.value("join", "last") == total - 1  # as with Metaflow


def test_a_set_gives_each_item_once_under_its_own_label() -> None:
    """The order of a set may change in storage; label and item of a task still agree."""
    run = each(lambda: {f"item {n}" for n in range(20)})
    items = [item for _, item in run.value("join", "again")]
    assert sorted(items) == sorted(f"item {n}" for n in range(20))
    assert [record.frames[0].value for record in run.records["body"]] == items


def test_numpy_and_pandas_values_can_be_iterated_over() -> None:
    """An array gives its rows, a Series its values whatever its labels, a frame its column names."""
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert [int(row.sum()) for _, row in each(lambda: numpy.eye(2)).value("join", "again")] == [
        1,
        1,
    ]
    series = each(lambda: pandas.Series([7, 8], index=[5, 6])).value("join", "again")
    assert series == [(0, 7), (1, 8)]
    frame = each(lambda: pandas.DataFrame({"a": [1], "b": [2]})).value("join", "again")
    assert frame == [(0, "a"), (1, "b")]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (list, "has no items"),
        (lambda: iter(()), "has no items"),
        (lambda: 3, "'int' object is not iterable"),
        (lambda: None, "'NoneType' object is not iterable"),
        (lambda: range(101), "has more than 100 items"),
        (lambda: iter(int, 1), "has more than 100 items"),
    ],
    ids=["list", "iterator", "number", "none", "long", "endless"],
)
def test_items_that_cannot_be(items: Any, message: str) -> None:
    """Nothing, too much, an endless iterator and what can't be iterated are refused with the line."""
    with pytest.raises(StepFailedError) as caught:
        each(items)
    error = caught.value.outcome.error
    assert isinstance(error, InvalidNext)
    assert message in error.message
    assert "self.items in step 'start'" in error.message
    assert error.source == __file__
    assert "self.next(self.body" in linecache.getline(__file__, error.line or 0)
    if "more than" in message:
        assert "--max-num-splits" in (error.hint or "")


def test_no_foreach_has_more_tasks_than_a_directory_of_a_run_can_list() -> None:
    """However high the maximum is, it is refused before the tasks run, and the hint does not say to raise it."""
    MAKE["items"] = lambda: range(MOST_SPLITS + 1)
    with pytest.raises(StepFailedError) as caught:
        MemoryRun(Each, max_num_splits=10**9).execute("start", [])
    assert isinstance(caught.value.outcome.error, InvalidNext)
    assert f"has more than {MOST_SPLITS} items" in caught.value.outcome.error.message
    assert "several items" in (caught.value.outcome.error.hint or "")


def test_the_maximum_can_be_raised() -> None:
    """1,200 items run when the maximum allows them."""
    MAKE["items"] = lambda: range(1200)
    run = MemoryRun(Each, max_num_splits=1200)
    outcome = run.execute("start", [])
    assert len(outcome.split_values) == 1200
    assert outcome.transition is not None
    assert outcome.transition.num_splits == 1200


def test_an_attribute_that_is_not_there_is_refused() -> None:
    """A misspelt foreach attribute names the nearest one."""

    class Typo(FlowSpec):
        @step
        def start(self) -> None:
            self.itmes = [1]
            self.next(self.body, foreach="items")

        @step
        def body(self) -> None:
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            del inputs
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    with pytest.raises(StepFailedError, match=r"no such attribute\nhint: did you mean self\.itmes"):
        run_flow(Typo)


def test_a_parameter_can_be_iterated_over() -> None:
    """A JSON list given as a parameter splits like any attribute, also across a join."""

    class Grid(FlowSpec):
        grid = Parameter("grid", type=JSONType, default="[1, 2]")

        @step
        def start(self) -> None:
            self.next(self.body, foreach="grid")

        @step
        def body(self) -> None:
            self.square = self.input**2
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.squares = [entry.square for entry in inputs]
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert run_flow(Grid).value("end", "squares") == [1, 4]
    assert run_flow(Grid, grid=[3]).value("end", "squares") == [9]


class Nested(FlowSpec):
    """A foreach in a foreach over attributes of the same name, which the body reassigns."""

    @step
    def start(self) -> None:
        """Split."""
        self.items: Any = ["a", "b"]
        self.next(self.outer, foreach="items")

    @step
    def outer(self) -> None:
        """Split again, over the same name."""
        self.outer_stack = self.foreach_stack()
        self.items = [1, 2]
        self.next(self.inner, foreach="items")

    @step
    def inner(self) -> None:
        """See both levels, then clobber the name."""
        self.stack = self.foreach_stack()
        self.label = str(self)
        self.items = "clobbered"
        self.next(self.deep)

    @step
    def deep(self) -> None:
        """See both levels still."""
        self.still = self.foreach_stack()
        self.next(self.inner_join)

    @step
    def inner_join(self, inputs: Any) -> None:
        """Join the inner level; the outer one is still there."""
        self.stacks = [entry.stack for entry in inputs]
        self.labels = [entry.label for entry in inputs]
        assert [entry.stack for entry in inputs] == [entry.still for entry in inputs]
        self.here = (self.index, self.input, self.foreach_stack())
        self.next(self.between)

    @step
    def between(self) -> None:
        """Still in the outer level."""
        self.there = (self.index, self.input)
        self.next(self.outer_join)

    @step
    def outer_join(self, inputs: Any) -> None:
        """Join the outer level."""
        self.all = [(e.stacks, e.labels, e.here, e.there) for e in inputs]
        self.merge_artifacts(inputs, exclude=["stacks", "labels", "here", "there", "outer_stack"])
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


class OfTheClass(FlowSpec):
    """Iterates over what no step has assigned."""

    _low = (5, 6)

    class Colour(enum.Enum):
        """What a class iterates over."""

        RED = 1
        BLUE = 2

    @property
    def once(self) -> Iterator[int]:
        """Items that are computed, and can be used once."""
        return (number for number in (1, 2))

    @functools.cached_property
    def cached(self) -> list[int]:
        """Items that are computed once a process."""
        return [3]

    @step
    def start(self) -> None:
        """Split."""
        self.next(self.one, foreach="once")

    @step
    def one(self) -> None:
        """Split."""
        self.next(self.two, foreach="cached")

    @step
    def two(self) -> None:
        """Split."""
        self.next(self.three, foreach="_low")

    @step
    def three(self) -> None:
        """Split."""
        self.next(self.inner, foreach="Colour")

    @step
    def inner(self) -> None:
        """See the items."""
        self.got: Any = [[it[2] for it in self.foreach_stack()] + [self.input.value]]
        self.next(self.after_three)

    @step
    def after_three(self, inputs: Any) -> None:
        """Collect."""
        self.got = [row for entry in inputs for row in entry.got]
        self.next(self.after_two)

    @step
    def after_two(self, inputs: Any) -> None:
        """Collect."""
        self.got = [row for entry in inputs for row in entry.got]
        self.next(self.after_one)

    @step
    def after_one(self, inputs: Any) -> None:
        """Collect."""
        self.got = [row for entry in inputs for row in entry.got]
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Collect."""
        self.got = [row for entry in inputs for row in entry.got]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_what_the_class_has_can_be_iterated_over() -> None:
    """Properties, cached ones too, defaults, and classes such as those of enum: tasks see what was counted."""
    got = run_flow(OfTheClass).value("end", "got")
    assert [row[:3] + row[4:] for row in got] == [
        [once, 3, low, colour] for once in (1, 2) for low in (5, 6) for colour in (1, 2)
    ]


def test_nested_loops_keep_their_items_apart() -> None:
    """Every level's item stays the same in all steps, whatever happens to the attributes."""
    run = run_flow(Nested)
    for index, letter in enumerate("ab"):
        stacks, labels, here, there = run.value("end", "all")[index]
        outer = (index, 2, letter)
        assert stacks == [[outer, (0, 2, 1)], [outer, (1, 2, 2)]]
        assert labels == [
            f"<flow Nested step inner[{index},0] (input: 1)>",
            f"<flow Nested step inner[{index},1] (input: 2)>",
        ]
        assert here == (index, letter, [outer])
        assert there == (index, letter)


def test_hidden_items_end_with_their_loop() -> None:
    """The private artifacts that keep items do not outlive the foreach."""
    run = run_flow(Nested)
    for name in ("outer_join", "end"):
        assert not [key for key in run.names(name) if key.startswith("_foreach_items")]


def test_ordinary_loops_keep_no_hidden_items() -> None:
    """Where the attribute itself holds the items, nothing is added to the tasks' artifacts."""
    run = each(lambda: [1, 2, 3])
    for name in ("start", "body", "after"):
        assert not [key for key in run.names(name) if key.startswith("_")]


def test_a_join_inside_a_loop_still_has_the_loops_attribute() -> None:
    """As with Metaflow, the attribute that an enclosing foreach iterates over passes through joins."""

    class Branches(FlowSpec):
        @step
        def start(self) -> None:
            self.letters = "ab"
            self.next(self.fork, foreach="letters")

        @step
        def fork(self) -> None:
            self.next(self.left, self.right)

        @step
        def left(self) -> None:
            self.next(self.meet)

        @step
        def right(self) -> None:
            self.next(self.meet)

        @step
        def meet(self, inputs: Any) -> None:
            self.seen: Any = (self.letters, self.input, [entry.input for entry in inputs])
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.seen = [entry.seen for entry in inputs]
            self.gone = hasattr(self, "letters")
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = run_flow(Branches)
    assert run.value("end", "seen") == [("ab", "a", ["a", "a"]), ("ab", "b", ["b", "b"])]
    assert run.value("end", "gone") is False


def test_a_join_loads_the_items_of_its_inputs_once() -> None:
    """Asking every input for its item does not load the items again and again."""
    run = each(lambda: range(30))
    before = run.loads.count("items")
    run.execute("join", run.records["after"])
    assert run.loads.count("items") == before + 1


def test_labels_are_short_however_large_the_item() -> None:
    """A label has at most 30 characters and is made without rendering the whole item."""

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    huge = [list(range(10**6))] * 1000
    assert brief(huge) == str([list(range(20))])[:29] + brief(huge)[29:]
    assert len(brief(huge)) == 30
    assert brief("x" * 10**6) == "x" * 30
    assert brief(Rude()) == "<Rude>"
    explodes: list[Any] = []
    for _ in range(100):
        explodes = [explodes, explodes]
    assert brief(explodes) == "[" * 30
    itself: list[Any] = [1]
    itself.append(itself)
    assert brief(itself) == str(itself)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=50,
    )
)
def test_labels_begin_like_the_items_text(value: Any) -> None:
    """The label of plain values is the beginning of `str(value)`, up to the choice of quotes."""
    quotes = str.maketrans({'"': "'", "\\": None})
    cut = brief(value).translate(quotes)
    assert str(value).translate(quotes).startswith(cut[:15])


@given(st.lists(st.integers(), min_size=1), st.data())
def test_an_item_is_found_again(items: list[int], data: st.DataObject) -> None:
    """`item_at` agrees with iteration for every kind of collection."""
    index = data.draw(st.integers(0, len(items) - 1))
    for kind in (list, tuple, collections.deque, dict.fromkeys):
        collection: Any = kind(items)
        ordered = list(collection)
        at = index % len(ordered)
        assert item_at(ordered if needs_list(collection) else collection, at) == ordered[at]
