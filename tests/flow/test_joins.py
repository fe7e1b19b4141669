"""Joins: how inputs are reached, what passes through, how artifacts are merged."""

from __future__ import annotations

import collections.abc
import gc
import math
import pickle
from typing import Any

import pytest

from gitflowrun.errors import FlowError, MergeError
from gitflowrun.flow import FlowSpec, Parameter, step
from gitflowrun.flow.task_state import Inputs
from gitflowrun.runs.records import ForeachLevel, TaskRecord
from tests.flow.memory import MemoryRun, run_flow

CHECKS: list[Any] = []


class Diamond(FlowSpec):
    """Two branches and a join that does what the last of `CHECKS` does."""

    RATE = 3
    amount = Parameter("amount", default=1)

    @step
    def start(self) -> None:
        """Split."""
        self.common = [1, 2]
        self.touched = 0
        self.both = "start"
        self._private = "p"
        self.next(self.left, self.right)

    @step
    def left(self) -> None:
        """One branch."""
        self.both = "left"
        self.only_left = 1
        self.touched = 1
        self.next(self.join)

    @step
    def right(self) -> None:
        """The other branch."""
        self.both = "right"
        self.touched = 1
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Check something."""
        CHECKS[-1](self, inputs)
        self.next(self.end)

    def helper(self) -> str:
        """Available on inputs too."""
        return f"{self.both}!"

    @step
    def end(self) -> None:
        """Finish."""


def joined(check: Any) -> MemoryRun:
    """Run `Diamond` with a function in its join."""
    CHECKS.append(check)
    return run_flow(Diamond)


def test_inputs_are_a_sequence_and_have_the_steps_names() -> None:
    """Inputs are iterated in the order of the split, indexed, counted, sliced, and reached by step name."""

    def check(_flow: Any, inputs: Any) -> None:
        assert [entry.both for entry in inputs] == ["left", "right"]
        assert (inputs[0].both, inputs[-1].both, len(inputs)) == ("left", "right", 2)
        assert [entry.both for entry in inputs[1:]] == ["right"]
        assert inputs.left.only_left == 1
        assert inputs.left.helper() == "left!"
        assert "left" in dir(inputs)
        assert (str(inputs.left), str(inputs)) == (
            "<flow Diamond step left>", "<inputs left, right: 2>",
        )  # fmt: skip
        assert (inputs.left.RATE, inputs.left.amount) == (3, 1)
        with pytest.raises(IndexError):
            assert inputs[2]
        with pytest.raises(AttributeError, match="no input from a step 'lift'; it has left"):
            assert inputs.lift
        with pytest.raises(AttributeError, match="no attribute 'only_left' in step 'right'"):
            assert inputs.right.only_left
        with pytest.raises(AttributeError, match="read-only"):
            inputs.left.amount = 2
        with pytest.raises(FlowError, match="can't be pickled"):
            pickle.dumps(inputs.left)
        assert isinstance(inputs, collections.abc.Sequence)

    joined(check)


def test_an_input_may_be_changed_for_the_time_of_the_join() -> None:
    """What is assigned to an input is seen there, and nowhere else."""

    def check(flow: Any, inputs: Any) -> None:
        inputs.left.both = "changed"
        assert inputs[0].both == "changed"
        flow.kept = inputs.left.both

    run = joined(check)
    assert run.value("end", "kept") == "changed"
    assert run.value("left", "both") == "left"


def test_only_what_the_join_says_passes_through() -> None:
    """Artifacts stop at a join; parameters and constants do not; the message says so."""

    def check(flow: Any, _inputs: Any) -> None:
        assert (flow.amount, flow.RATE) == (1, 3)
        with pytest.raises(
            AttributeError, match="pass through a join only when assigned or merged"
        ):
            assert flow.common

    assert joined(check).names("end") == {"amount", "RATE"}


def test_merging_takes_what_agrees_without_loading_it() -> None:
    """Equal contents are passed on by reference, private and one-sided ones included."""

    def check(flow: Any, inputs: Any) -> None:
        flow.both = "joined"
        flow.merge_artifacts(inputs)
        assert flow.common == [1, 2]

    run = joined(check)
    join = run.records["join"][0].artifacts
    assert join["touched"] is run.records["left"][0].artifacts["touched"]
    assert run.loads == ["common"]
    assert not any(name.startswith("join/") and not name.endswith("/both") for name in run.encoded)
    assert run.value("end", "both") == "joined"
    assert run.names("end") == {
        "amount", "RATE", "both", "common", "_private", "touched", "only_left",
    }  # fmt: skip


def test_merging_is_all_or_nothing() -> None:
    """A conflict names the artifacts in question and sets none."""

    def check(flow: Any, inputs: Any) -> None:
        with pytest.raises(MergeError, match="'both': the inputs have different values") as caught:
            flow.merge_artifacts(inputs)
        assert caught.value.artifact_names == ["both"]
        assert not hasattr(flow, "common")

    assert joined(check).names("end") == {"amount", "RATE"}


def test_include_and_exclude_choose() -> None:
    """`exclude` leaves names out, artifacts or not; `include` takes those alone, wherever they are."""

    def excluding(flow: Any, inputs: Any) -> None:
        flow.merge_artifacts(inputs, exclude=["both", "never heard of", "touched"])
        assert (hasattr(flow, "touched"), flow.only_left) == (False, 1)

    def including(flow: Any, inputs: Any) -> None:
        flow.merge_artifacts(inputs, include=["only_left", "amount", "_private"])
        flow.merge_artifacts(inputs, include=["only_left"])
        assert not hasattr(flow, "common")
        assert flow._private == "p"

    joined(excluding)
    joined(including)


@pytest.mark.parametrize(
    ("options", "names", "message"),
    [
        ({"include": ["common", "nope"]}, ["nope"], "no input has such an artifact"),
        ({"include": ["both"]}, ["both"], "different values"),
        ({"include": ["both", "nope"]}, ["both"], "different values"),
    ],
)
def test_names_that_cannot_be_merged(
    options: dict[str, list[str]], names: list[str], message: str
) -> None:
    """Missing and conflicting names are listed in the error."""

    def check(flow: Any, inputs: Any) -> None:
        with pytest.raises(MergeError, match=message) as caught:
            flow.merge_artifacts(inputs, **options)
        assert caught.value.artifact_names == names
        assert not hasattr(flow, "common")

    joined(check)


def test_merging_is_used_rightly() -> None:
    """Both lists, a text for a list, things that are no inputs, and steps that are no joins are refused."""

    def check(flow: Any, inputs: Any) -> None:
        with pytest.raises(FlowError, match="both exclude and include"):
            flow.merge_artifacts(inputs, exclude=["a"], include=["b"])
        with pytest.raises(FlowError, match="`include` is text"):
            flow.merge_artifacts(inputs, include="both")
        with pytest.raises(FlowError, match="no input of a join"):
            flow.merge_artifacts([1])

    joined(check)
    with pytest.raises(FlowError, match="in joins only"):
        Diamond(use_cli=False).merge_artifacts([])


def test_a_selection_of_inputs_can_be_merged() -> None:
    """Inputs that are left out of the list do not conflict."""

    def check(flow: Any, inputs: Any) -> None:
        flow.merge_artifacts([inputs.left])
        assert flow.both == "left"

    joined(check)


def test_what_was_merged_before_is_the_join_s() -> None:
    """A later call neither replaces it nor disputes about it; what was deleted since is merged again."""

    def check(flow: Any, inputs: Any) -> None:
        flow.merge_artifacts([inputs.left], include=["both"])
        flow.merge_artifacts([inputs.right], include=["both", "touched"])
        assert flow.both == "left"
        flow.merge_artifacts(inputs, include=["both"])
        del flow.both
        flow.merge_artifacts([inputs.right])
        assert flow.both == "right"
        assert flow.touched == 1

    joined(check)


def test_the_same_bytes_of_another_type_are_a_conflict() -> None:
    """Contents are equal only when the codec is: `b"1"` is not `"1"`."""

    class Typed(FlowSpec):
        @step
        def start(self) -> None:
            self.next(self.left, self.right)

        @step
        def left(self) -> None:
            self.x: Any = "1"
            self.next(self.join)

        @step
        def right(self) -> None:
            self.x = b"1"
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.merge_artifacts(inputs)
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = MemoryRun(Typed)
    run.execute("start", [])
    start = run.records["start"]
    run.execute("left", start)
    run.execute("right", start)
    left, right = run.records["left"][0], run.records["right"][0]
    ref, other = left.artifacts["x"], right.artifacts["x"]
    same = type(other)(
        ref.digest, ref.size, "raw-bytes/1", "builtins.bytes", ref.chunks, right.name
    )
    right = TaskRecord(right.name, right.run, artifacts={"x": same})
    with pytest.raises(AssertionError, match="'x': the inputs have different values"):
        run.execute("join", [left, right])


class Equal(FlowSpec):
    """Two branches that make equal values of different bytes."""

    @step
    def start(self) -> None:
        """Split."""
        self.next(self.left, self.right)

    @step
    def left(self) -> None:
        """One list under two keys."""
        shared = [1]
        self.same: Any = {"a": shared, "b": shared, "c": math.nan}
        self.other: Any = {"a": 1}
        self.next(self.join)

    @step
    def right(self) -> None:
        """Two lists, the keys in another order."""
        self.same = {"c": math.nan, "b": [1], "a": [1]}
        self.other = {"a": True}
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Merge what is said to be the same."""
        with pytest.raises(MergeError, match="'other'"):
            self.merge_artifacts(inputs)
        self.merge_artifacts(inputs, include=["same"])
        assert list(self.same) == ["a", "b", "c"]
        assert self.same["a"] is self.same["b"]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_equal_values_of_different_bytes_are_merged() -> None:
    """The first input's is taken where only the order of keys, or what is one object, differs; types count."""
    run = run_flow(Equal)
    assert run.records["join"][0].artifacts["same"] is run.records["left"][0].artifacts["same"]


class Model:
    """Equal to whatever has its name."""

    def __init__(self, name: str, weights: list[int]) -> None:
        self.name = name
        self.weights = weights

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Trained(FlowSpec):
    """Two branches that make objects which their class calls equal, and others that are the same."""

    @step
    def start(self) -> None:
        """Split."""
        self.next(self.left, self.right)

    @step
    def left(self) -> None:
        """One model."""
        self.model = Model("m", [1])
        self.same = Model("m", [3])
        self.next(self.join)

    @step
    def right(self) -> None:
        """Another."""
        self.model = Model("m", [2])
        self.same = Model("m", [3])
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Merge what is said to be the same."""
        with pytest.raises(MergeError, match="can't merge 'model'"):
            self.merge_artifacts(inputs)
        self.merge_artifacts(inputs, exclude=["model"])
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_what_a_class_calls_equal_may_be_a_dispute() -> None:
    """One of two objects would be lost if they were taken for one."""
    assert run_flow(Trained).value("end", "same").weights == [3]


class Branches(FlowSpec):
    """Two branches within a foreach."""

    @step
    def start(self) -> None:
        """Split: the items are one list."""
        self.items = [[1]] * 2
        self.next(self.body, foreach="items")

    @step
    def body(self) -> None:
        """Split."""
        self.next(self.left, self.right)

    @step
    def left(self) -> None:
        """One branch."""
        self.next(self.join)

    @step
    def right(self) -> None:
        """The other branch."""
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Change the item of one of three objects."""
        inputs.left.input.append(2)
        self.found = [self.input, inputs.left.input, inputs.right.input]
        self.next(self.last)

    @step
    def last(self, inputs: Any) -> None:
        """The inputs are two whose items were one object."""
        self.found = inputs[0].found
        first, second = inputs
        first.input.append(3)
        self.items = [first.input, second.input]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_each_input_has_an_item_of_its_own() -> None:
    """Though the items are loaded once: what a step changes in one is not changed in the others."""
    run = run_flow(Branches)
    assert run.value("end", "found") == [[1], [1, 2], [1]]
    assert run.value("end", "items") == [[1, 3], [1]]


def test_what_is_taken_from_an_input_is_offered_by_reference() -> None:
    """`self.model = best.model` hands on the stored payload, under whatever name."""

    def check(flow: Any, inputs: Any) -> None:
        flow.renamed = inputs.left.common
        flow.changed = inputs.right.common
        flow.changed.append(3)

    run = joined(check)
    outcome = run.outcomes["join"][0]
    assert set(outcome.loaded) == {"renamed", "changed"}
    assert (
        run.records["join"][0].artifacts["renamed"] is run.records["start"][0].artifacts["common"]
    )
    assert run.value("end", "changed") == [1, 2, 3]


class Big:
    """A value whose copies in memory can be counted."""

    alive = 0

    def __init__(self) -> None:
        Big.alive += 1

    def __setstate__(self, state: object) -> None:
        Big.alive += 1

    def __getstate__(self) -> object:
        return {"x": 1}

    def __del__(self) -> None:
        Big.alive -= 1


def test_a_join_over_many_inputs_holds_one_at_a_time() -> None:
    """What was loaded of one foreach input is gone when the step goes on to the next."""

    class Many(FlowSpec):
        @step
        def start(self) -> None:
            self.items = range(20)
            self.next(self.body, foreach="items")

        @step
        def body(self) -> None:
            self.big = Big()
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.most = 0
            for entry in inputs:
                assert entry.big is entry.big
                self.most = max(self.most, Big.alive)
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = MemoryRun(Many)
    run.execute("start", [])
    for index in range(20):
        frame = ForeachLevel("body", "items", 20, index, str(index))
        run.execute("body", run.records["start"], (frame,))
    run.outcomes.clear()
    gc.collect()
    run.execute("join", run.records["body"])
    assert run.value("join", "most") <= 2


def test_every_public_name_of_inputs_is_left_to_steps() -> None:
    """Steps may be called `count` or anything else; only names with an underscore are taken."""
    assert [name for name in vars(Inputs) if not name.startswith("_")] == []
    with pytest.raises(AttributeError):
        assert Inputs.__new__(Inputs)._sources


class Shared(FlowSpec):
    """Items with one object within all of them."""

    @step
    def start(self) -> None:
        """Split."""
        part = [1]
        self.items = [(part, 0), (part, 1), (part, 2)]
        self.next(self.body, foreach="items")

    @step
    def body(self) -> None:
        """Nothing."""
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Change what lies in two of the items."""
        first, second, third = inputs
        for entry in (first, third):
            entry.input[0].append(2)
        self.found = [entry.input for entry in (first, second, third)]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""


def test_items_of_inputs_share_no_part() -> None:
    """As in the tasks of the foreach, each of which has loaded its own."""
    found = run_flow(Shared).value("end", "found")
    assert found == [([1, 2], 0), ([1], 1), ([1, 2], 2)]
