"""Steps see what they should, and leave behind what they set."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
import textwrap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitflowrun.errors import FlowError
from gitflowrun.flow import FlowSpec, Parameter, current, step
from gitflowrun.flow.execute import execute_step
from gitflowrun.flow.task_state import ArtifactSource
from gitflowrun.names import TaskName
from tests.flow.memory import MemoryRun, StepFailedError, run_flow

if TYPE_CHECKING:
    from collections.abc import Callable


class Linear(FlowSpec):
    """Three steps in a row."""

    RATE = 2
    amount = Parameter("amount", default=3)

    @step
    def start(self) -> None:
        """Set."""
        self.total = self.amount * self.RATE
        self.untouched = [1, 2]
        self.only_read = [3, 4]
        self.changed = [5]
        self._private = "p"
        self.next(self.middle)

    @step
    def middle(self) -> None:
        """Read and change."""
        self.seen = self.only_read[0]
        self.changed.append(6)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Finish."""
        self.result = (self.total, self.changed, self._private)


def failed(flow_cls: type[FlowSpec], **given: object) -> StepFailedError:
    """How a flow fails."""
    with pytest.raises(StepFailedError) as caught:
        run_flow(flow_cls, **given)
    return caught.value


def test_artifacts_pass_from_step_to_step() -> None:
    """What a step sets is there in the next ones; parameters and constants are there in all."""
    run = run_flow(Linear, amount=5)
    assert run.value("end", "result") == (10, [5, 6], "p")
    assert {"total", "amount", "RATE", "_private"} <= run.names("end")
    assert run.value("end", "amount") == 5


def test_what_a_step_does_not_touch_is_handed_on_by_reference() -> None:
    """Untouched artifacts are not loaded; artifacts merely read are not stored again; changed ones are."""
    run = run_flow(Linear)
    assert "untouched" not in run.loads
    assert "middle/2/changed" in run.encoded
    assert not {"middle/2/only_read", "middle/2/untouched"} & set(run.encoded)
    start, middle = run.records["start"][0].artifacts, run.records["middle"][0].artifacts
    assert start["only_read"] is middle["only_read"]
    assert set(run.outcomes["middle"][0].loaded) == {"only_read", "changed"}


def test_an_immutable_value_that_was_read_needs_no_second_look() -> None:
    """Numbers and texts that are read stay references."""
    outcome = run_flow(Linear).outcomes["end"][0]
    assert {"total", "_private"} <= set(outcome.inherited)
    assert not {"total", "_private"} & {*outcome.loaded, *outcome.values}


_NAMES = ["a", "b", "c"]
_VALUES = [
    1, 2.5, None, True, "", "short", "a long text", b"", b"bytes", (1, 2), ("x", b"y"), [1], [1, [2]], {"k": "v"}, {3},
]  # fmt: skip


class Shuffling(FlowSpec):
    """Its second step moves values about as it is told."""

    moves: ClassVar[list[tuple[str, str, Any]]] = []

    @step
    def start(self) -> None:
        """Set."""
        for index, name in enumerate(_NAMES):
            setattr(self, name, copy.deepcopy(self.moves[index][2]))
        self.next(self.move)

    @step
    def move(self) -> None:
        """Assign one name what another has, or something new; swap; only read; change in place; delete."""
        shuffle(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Read."""
        self.found = {name: getattr(self, name, "absent") for name in _NAMES}


def shuffle(flow: Any) -> None:
    """What the step does, to a flow or to any object."""
    for source, target, value in Shuffling.moves[len(_NAMES) :]:
        try:
            if value == "swap":
                first, second = getattr(flow, source), getattr(flow, target)
                setattr(flow, source, second)
                setattr(flow, target, first)
            elif value == "assign":
                setattr(flow, target, getattr(flow, source))
            elif value == "read":
                getattr(flow, source)
            elif value == "change" and isinstance(getattr(flow, source), list):
                getattr(flow, source).append("more")
            elif value == "delete":
                delattr(flow, source)
            elif value != "change":
                setattr(flow, target, value[0])
        except AttributeError:
            pass


@example(["short", "a long text", 1], [("a", "b", "swap")])
@example([b"", b"bytes", 1], [("b", "b", "read"), ("a", "a", "read"), ("a", "b", "assign")])
@given(
    st.lists(st.sampled_from(_VALUES), min_size=3, max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(_NAMES),
            st.sampled_from(_NAMES),
            st.sampled_from(["swap", "assign", "read", "change", "delete"])
            | st.tuples(st.sampled_from(_VALUES).map(copy.deepcopy)),
        ),
        max_size=6,
    ),
)
def test_whatever_a_step_assigns_is_there_in_the_next(
    values: list[Any], moves: list[tuple[str, str, Any]]
) -> None:
    """Also what it has read under another name, into a name that it has read as well."""
    Shuffling.moves = [("", "", copy.deepcopy(it)) for it in values] + copy.deepcopy(moves)
    plain = SimpleNamespace(**dict(zip(_NAMES, copy.deepcopy(values), strict=True)))
    found = run_flow(Shuffling).value("end", "found")
    Shuffling.moves = [("", "", copy.deepcopy(it)) for it in values] + copy.deepcopy(moves)
    shuffle(plain)
    assert found == {name: getattr(plain, name, "absent") for name in _NAMES}


def test_reading_an_absent_artifact_names_flow_and_step() -> None:
    """An AttributeError says which flow and step lack which name."""

    class Absent(FlowSpec):
        @step
        def start(self) -> None:
            self.present = hasattr(self, "nothing")
            self.next(self.end)

        @step
        def end(self) -> None:
            assert self.nothing

    error = failed(Absent).outcome.error
    assert isinstance(error, AttributeError)
    assert "flow 'Absent' has no attribute 'nothing' in step 'end'" in str(error)


def test_a_property_that_fails_says_why() -> None:
    """An AttributeError within a property is that of the property, not one that says there is no such property."""

    class Failing(FlowSpec):
        @property
        def score(self) -> Any:
            return "".threshhold  # type: ignore[attr-defined]

        @functools.cached_property
        def depends(self) -> Any:
            return self.not_made_yet

        @step
        def start(self) -> None:
            self.found = [hasattr(self, name) for name in ("score", "depends")]
            self.said = []
            for name in ("score", "depends"):
                try:
                    getattr(self, name)
                except AttributeError as error:
                    self.said.append(str(error))
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    values = run_flow(Failing).outcomes["start"][0].values
    assert values["found"] == [False, False]
    assert values["said"] == [
        "'str' object has no attribute 'threshhold'",
        "flow 'Failing' has no attribute 'not_made_yet' in step 'start'",
    ]


def test_a_deleted_artifact_is_gone() -> None:
    """After `del self.x` the name is absent, here and afterwards, whether it was loaded or not."""

    class Deleting(FlowSpec):
        @step
        def start(self) -> None:
            self.loaded, self.unloaded, self.kept = [1], [2], [3]
            self.fresh = 1
            del self.fresh
            self.next(self.middle)

        @step
        def middle(self) -> None:
            assert self.loaded
            del self.loaded
            del self.unloaded
            with pytest.raises(AttributeError, match="it was deleted there"):
                assert self.loaded
            with pytest.raises(AttributeError):
                del self.never
            self.next(self.end)

        @step
        def end(self) -> None:
            self.there = [name for name in ("loaded", "unloaded", "kept") if hasattr(self, name)]

    run = run_flow(Deleting)
    assert run.value("end", "there") == ["kept"]
    assert run.names("middle") == {"kept"}


def test_an_artifact_may_be_deleted_and_set_again() -> None:
    """Setting a deleted name makes a new artifact."""

    class Again(FlowSpec):
        @step
        def start(self) -> None:
            self.x = [1]
            self.next(self.end)

        @step
        def end(self) -> None:
            del self.x
            self.x = [2]

    assert run_flow(Again).value("end", "x") == [2]


def test_functions_are_artifacts() -> None:
    """What can store a function decides whether it can be: none is dropped in silence."""

    class Functions(FlowSpec):
        @step
        def start(self) -> None:
            self.metric: Callable[..., str] = textwrap.dedent
            self.measure = len
            self.next(self.end)

        @step
        def end(self) -> None:
            self.seen = (self.metric("  a"), self.measure("abc"))

    assert run_flow(Functions).value("end", "seen") == ("a", 3)


@pytest.mark.parametrize(
    "code",
    [
        "flow.amount = 1", "flow.amount += 1", "setattr(flow, 'amount', 1)", "del flow.amount",
        "flow.RATE = 1", "flow.RATE *= 2", "del flow.RATE", "flow.index = 1", "flow.input = 1",
        "flow.amount, flow.x = 1, 2",
    ],
)  # fmt: skip
def test_parameters_and_constants_are_read_only(code: str) -> None:
    """Assigning or deleting one in a step is an AttributeError, however it is written."""

    class Fixed(FlowSpec):
        RATE = 2
        amount = Parameter("amount", default=3)

        @step
        def start(self) -> None:
            with pytest.raises(AttributeError):
                exec(code, {"flow": self})
            self.same = (self.amount, self.RATE)
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert run_flow(Fixed).value("end", "same") == (3, 2)


def test_read_only_values_come_from_the_run_not_from_the_class() -> None:
    """A task reads the constant its run recorded, though the class has another value by now."""

    class Moved(FlowSpec):
        RATE = 2

        @step
        def start(self) -> None:
            self.seen = self.RATE
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = MemoryRun(Moved)
    Moved.RATE = 99
    assert run.run().value("end", "seen") == 2


def test_a_changed_constant_is_never_stored() -> None:
    """Changing a constant or a parameter in place changes it in that task alone."""

    class Mutating(FlowSpec):
        TABLE: dict[str, int] = {"a": 1}  # noqa: RUF012

        @step
        def start(self) -> None:
            self.TABLE["b"] = 2
            self.here = dict(self.TABLE)
            self.next(self.end)

        @step
        def end(self) -> None:
            self.there = dict(self.TABLE)

    run = run_flow(Mutating)
    assert (run.value("end", "here"), run.value("end", "there")) == ({"a": 1, "b": 2}, {"a": 1})
    assert Mutating.TABLE == {"a": 1}


def test_the_class_itself_keeps_its_attributes() -> None:
    """Running a flow leaves constants and parameters readable, and assignable, on class and objects."""
    run_flow(Linear)
    flow = Linear(use_cli=False)
    assert (Linear.RATE, flow.RATE) == (2, 2)
    assert isinstance(Linear.amount, Parameter)
    flow.RATE = 5
    assert flow.RATE == 5
    del flow.RATE
    assert flow.RATE == 2
    with pytest.raises(AttributeError):
        del flow.RATE


def test_an_artifact_whose_class_is_gone_is_not_taken_for_absent() -> None:
    """An AttributeError while loading is an error of its own: `hasattr` must not say no."""
    run = MemoryRun(Linear)
    run.execute("start", [])
    record = run.records["start"][0]

    def load(_name: str, _ref: object) -> object:
        msg = "module has no attribute 'Gone'"
        raise AttributeError(msg)

    parent = ArtifactSource(record.name, lambda: record, load)
    task = TaskName("middle", "9")
    outcome = execute_step(Linear, task, [parent], run.source(run.parameters))
    assert isinstance(outcome.error, FlowError)
    assert "artifact 'only_read' of task start/1 can't be loaded" in str(outcome.error)


def test_pickling_a_flow_or_an_input_is_refused() -> None:
    """Neither `self` nor an input of a join can be stored as an artifact."""
    with pytest.raises(FlowError, match="can't be pickled"):
        pickle.dumps(Linear(use_cli=False))


def test_current_describes_the_running_task_and_nothing_else() -> None:
    """Every field is set in a step, and stays what it is; outside of one all are None but the place for files."""

    class Facts(FlowSpec):
        amount = Parameter("amount", default=3)
        RATE = 1

        @step
        def start(self) -> None:
            names = (
                "is_running_flow", "flow_name", "run_id", "step_name", "task_id", "retry_count",
                "origin_run_id", "pathspec", "namespace", "username", "tags", "tempdir",
                "parameter_names",
            )  # fmt: skip
            self.facts = {name: getattr(current, name) for name in names}
            self.contained = ("run_id" in current, "origin_run_id" in current, "card" in current)
            self.got = (current.get("step_name"), current.get("nothing", 7))
            with pytest.raises(AttributeError, match="run_id can't be assigned"):
                current.run_id = "2"
            self.graph_steps = list(current.graph["steps"])
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = run_flow(Facts)
    assert run.value("start", "facts") == {
        "is_running_flow": True, "flow_name": "Facts", "run_id": "1", "step_name": "start",
        "task_id": "1", "retry_count": 0, "origin_run_id": None, "pathspec": "Facts/1/start/1",
        "namespace": "user:ada", "username": "ada", "tags": {"a tag"}, "tempdir": ".",
        "parameter_names": ["amount"],
    }  # fmt: skip
    assert run.value("start", "contained") == (True, False, False)
    assert run.value("start", "got") == ("start", 7)
    assert run.value("start", "graph_steps") == ["start", "end"]
    assert not current.is_running_flow
    assert repr(current) == "<current (no task is running)>"
    assert (current.run_id, current.pathspec, current.task, current.run) == (None,) * 4
    assert (current.graph_info, current.tempdir) == (None, ".")
    assert "graph" not in current
    with pytest.raises(RuntimeError):
        assert current.graph


def test_extensions_may_add_to_current() -> None:
    """`_update_env` adds attributes, until the task ends."""

    class Extended(FlowSpec):
        @step
        def start(self) -> None:
            current._update_env({"project_name": "p"})
            self.project: Any = current.project_name
            self.next(self.end)

        @step
        def end(self) -> None:
            self.later = "project_name" in current

    run = run_flow(Extended)
    assert (run.value("end", "project"), run.value("end", "later")) == ("p", False)


def test_an_unknown_step_is_an_error_of_the_caller() -> None:
    """Asking for a step the flow has not got is refused."""
    with pytest.raises(FlowError, match="has no step 'nope'"):
        MemoryRun(Linear).execute("nope", [])


def test_names_that_flows_use_may_be_artifacts() -> None:
    """`self.name` is the flow's name until it is assigned; then it is an artifact like any other."""

    class Named(FlowSpec):
        @step
        def start(self) -> None:
            self.first = (self.name, self.script_name)
            self.name = "Ada"
            self.next(self.end)

        @step
        def end(self) -> None:
            self.last = self.name

    run = run_flow(Named)
    assert run.value("start", "first") == ("Named", "test_execute.py")
    assert run.value("end", "last") == "Ada"


def test_running_a_step_imports_neither_click_nor_pygit2() -> None:
    """The rooms a task needs stay light."""
    import subprocess

    code = (
        "import sys, gitflowrun.flow.execute, gitflowrun.flow.lint, gitflowrun.flow.parameter_values\n"
        "heavy = {'click', 'pygit2', 'numpy', 'pandas', 'msgpack', 'asyncio', 'ssl'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=__file__.rsplit("/tests/", 1)[0])


@pytest.mark.parametrize("name", ["a/b", "", "\0", "x" * 201, "ä " * 34, "f\udcff"])
def test_names_that_no_file_can_have_are_no_artifacts(name: str) -> None:
    """`setattr` may make odd names; what can't be a file's name is refused."""

    class Odd(FlowSpec):
        @step
        def start(self) -> None:
            setattr(self, "model 0.1", 1)
            self.__hidden__ = 2
            self.next(self.end)

        @step
        def end(self) -> None:
            assert self.__hidden__ == 2
            setattr(self, name, 1)

    run = MemoryRun(Odd)
    assert set(run.execute("start", []).values) == {"model 0.1", "__hidden__"}
    with pytest.raises(StepFailedError, match="can't name an artifact\nhint: ") as caught:
        run.execute("end", run.records["start"])
    assert str(caught.value).count("\n") == 3
    assert "Traceback" not in str(caught.value)


def test_cached_properties_are_no_artifacts() -> None:
    """What a cached property keeps on the object belongs to the class's code."""

    class Caching(FlowSpec):
        @functools.cached_property
        def connection(self) -> object:
            return object()

        @step
        def start(self) -> None:
            assert self.connection is self.connection
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    assert run_flow(Caching).names("start") == set()
