"""What users call things: names of ours, of the class's own attributes, of mixins."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from gitflowrun import Config, ConfigValue, Parameter
from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.codecs.unstorable import innermost
from gitflowrun.errors import FlowError, UnserializableArtifact
from gitflowrun.flow import FlowSpec, flowspec, members, step, task_state
from gitflowrun.flow import execute as execute_module
from gitflowrun.flow.execute import StepOutcome
from gitflowrun.flow.failure import explained
from gitflowrun.flow.parameter_values import check_parameters
from gitflowrun.flow.task_state import ArtifactSource, Inputs, LoadedValues, TaskState
from gitflowrun.names import TaskName
from gitflowrun.values import field_names
from tests.flow.memory import StepFailedError, run_flow


def _names_of_ours() -> set[str]:
    """Every name that a class or a module of the flow language has, and those of older versions."""
    modules = (execute_module, flowspec, members, task_state)
    classes = (FlowSpec, Inputs)
    values = (ArtifactSource, LoadedValues, StepOutcome, TaskState)
    names = {name for module in modules for name in vars(module)}
    names |= {name for cls in classes for name in dir(cls)}
    names |= {name for cls in values for name in field_names(cls)}
    names |= {
        "_state",
        "_task_state",
        "_is_flow_base",
        "_exception",
        "_success",
        "_task_ok",
        "_flow_machinery",
    }
    return {name for name in names if not name.startswith("__")}


def test_what_has_a_name_already() -> None:
    """What keeps steps from having an artifact of a name, as decorators that make one must know."""

    class Taken(FlowSpec):
        size = 3
        rate = Parameter("rate", default=1)
        config = Config("config", default_value={})
        _default = None

        @step
        def start(self) -> None: ...
        def helper(self) -> None: ...
        @property
        def fixed(self) -> int: ...  # type: ignore[empty-body]
        @functools.cached_property
        def computed(self) -> int: ...  # type: ignore[empty-body]

    taken = {
        "size": "a constant", "rate": "a parameter", "config": "a config", "_default": "", "start": "a step",
        "helper": "a method", "fixed": "a property", "computed": "a cached property", "other": "", "name": "",
        "index": "the position of a task in its foreach",
    }  # fmt: skip
    assert {name: members.taken_by(Taken, name) for name in taken} == taken
    members.prepare_members(Taken)
    assert {name: members.taken_by(Taken, name) for name in taken} == taken


_FIXED = {"foreach_stack", "index", "input", "merge_artifacts", "next"}
_OURS = sorted(_names_of_ours())


class Assigning(FlowSpec):
    """Assigns to every name of ours that may be assigned."""

    @step
    def start(self) -> None:
        """Assign."""
        for name in _OURS:
            if name not in _FIXED:
                setattr(self, name, f"my {name}")
        self.next(self.end)

    @step
    def end(self) -> None:
        """Look."""
        self.seen = {name: getattr(self, name) for name in _OURS if name not in _FIXED}


def test_every_name_of_ours_may_be_an_artifact() -> None:
    """Whatever a step calls its artifacts, later steps see them."""
    run = run_flow(Assigning)
    assert run.value("end", "seen") == {name: f"my {name}" for name in _OURS if name not in _FIXED}


@pytest.mark.parametrize("name", sorted(_FIXED))
def test_what_steps_need_cannot_be_assigned(name: str) -> None:
    """The few names that steps need are refused, with the name and the reason."""

    class Fixed(FlowSpec):
        @step
        def start(self) -> None:
            vars(self)[name] = 1
            if isinstance(getattr(type(self), name), property):
                setattr(self, name, 1)
            self.x = 1

    with pytest.raises(StepFailedError, match=rf"self\.{name} .*can't be assigned"):
        run_flow(Fixed)


def _mixing(**members: Any) -> type[FlowSpec]:
    """A flow with one step and a mixin of these members."""

    def start(self: FlowSpec) -> None:
        pass

    mixin = type("Mixin", (), members)
    return type("Mixing", (mixin, FlowSpec), {"start": step(start)})


@pytest.mark.parametrize("name", sorted(_FIXED))
@pytest.mark.parametrize("value", ["data.csv", None, dict])
def test_data_under_the_names_that_steps_need_are_refused(name: str, value: object) -> None:
    """A constant, nested class or slot would be what each task sees instead: it is refused by name."""
    assert set(members.NEEDED) == _FIXED
    with pytest.raises(FlowError, match=rf"Mixin\.{name} hides self\.{name}"):
        check_parameters(_mixing(**{name: value}))
    with pytest.raises(FlowError, match=rf"hides self\.{name}"):
        check_parameters(type("Slotted", (FlowSpec,), {"__slots__": (name,)}))
    with pytest.raises(FlowError, match=rf"Behind\.{name} hides"):
        check_parameters(type("Mixed", (FlowSpec, type("Behind", (), {name: value})), {}))


def test_code_may_override_what_steps_need() -> None:
    """A property or method of the user's is what steps see: they wrote it."""

    class Upper(FlowSpec):
        @property
        def input(self) -> Any:
            item = super().input
            return item and item.upper()

        @step
        def start(self) -> None:
            self.items = ["a", "b"]
            self.next(self.body, foreach="items")

        @step
        def body(self) -> None:
            self.got = self.input
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.all = [each.got for each in inputs]
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    check_parameters(Upper)
    assert run_flow(Upper).value("end", "all") == ["A", "B"]


class Hiding:
    """A mixin with names of ours for things of its own."""

    __gitflowrun_task__ = None

    def _task_state(self) -> str:
        return "mine"

    def __iter__(self) -> Any:
        return iter("mine")

    def __str__(self) -> str:
        raise ValueError

    def __len__(self) -> int:
        return 0

    _steps = _graph = _foreach_stack = _transition = _current_step = "mine"
    _is_flow_base = True


def test_a_mixin_may_define_names_of_ours() -> None:
    """What a mixin defines is what users see, and the run goes on as ever."""

    class Mixed(Hiding, FlowSpec):
        @step
        def start(self) -> None:
            self.items = [1, 2]
            self.next(self.body, foreach="items")

        @step
        def body(self) -> None:
            self.got = (self.index, self.input, self.foreach_stack())
            self.__dict__ = {"got": self.got}
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.all = [each.got for each in inputs]
            self.mine = (self._task_state(), list(self), self._steps, self._transition)
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    run = run_flow(Mixed)
    assert run.value("end", "all") == [(0, 1, [(0, 2, 1)]), (1, 2, [(1, 2, 2)])]
    assert run.value("end", "mine") == ("mine", list("mine"), "mine", "mine")


class Over(FlowSpec):
    """Has one attribute of each kind."""

    def method(self) -> int:
        """A method."""
        return 1

    class Nested:
        """A class."""

    @staticmethod
    def static() -> int:
        """A static method."""
        return 1

    @classmethod
    def of_class(cls) -> int:
        """A class method."""
        return 1

    @functools.cached_property
    def cached(self) -> list[int]:
        """A cached property."""
        return [1]

    @property
    def prop(self) -> int:
        """A property."""
        return 1

    part = functools.partialmethod(method)
    name_of_attribute = "method"

    @step
    def start(self) -> None:
        """Nothing."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("method", "a method"), ("Nested", "a class"), ("static", "a static method"), ("end", "a step"),
        ("of_class", "a class method"), ("cached", "a cached property"), ("part", "an attribute"),
        ("__doc__", "an attribute"),
    ],
)  # fmt: skip
def test_assigning_over_what_the_class_has_is_refused(name: str, kind: str) -> None:
    """An artifact that no later step could see is refused by name."""

    class Assigned(Over):
        @step
        def end(self) -> None:
            assert self.cached == [1]
            setattr(self, name, 2)
            self.kept = 3

    with pytest.raises(
        StepFailedError, match=rf"self\.{name} can't be assigned: '{name}' is {kind}"
    ) as caught:
        run_flow(Assigned)
    assert set(caught.value.outcome.values) == {"_exception", "kept"}
    assert "Traceback" not in str(caught.value)


def test_the_refusal_names_the_line() -> None:
    """Where the step itself assigns, file and line are told."""

    class Line(Over):
        @step
        def end(self) -> None:
            self.method = 1  # type: ignore[assignment,method-assign]

    with pytest.raises(
        StepFailedError, match=r"test_members\.py:\d+: self\.method can't be assigned"
    ):
        run_flow(Line)


def test_private_class_attributes_are_defaults() -> None:
    """A step may assign to `_x` of the class; later steps see what it assigned, the class keeps its own."""

    class Defaults(FlowSpec):
        _model: Any = None
        __secret = 1

        @step
        def start(self) -> None:
            self.before = (self._model, self.__secret)
            self._model = "trained"
            self.__secret = 2
            self.next(self.end)

        @step
        def end(self) -> None:
            self.after = (self._model, self.__secret, type(self)._model)
            del self._model
            self.deleted = self._model

    run = run_flow(Defaults)
    assert run.value("end", "before") == (None, 1)
    assert run.value("end", "after") == ("trained", 2, None)
    assert run.value("end", "deleted") is None


def test_slots_are_refused() -> None:
    """An attribute in a slot would be lost: said, with the slot's name."""

    class Slotted(FlowSpec):
        __slots__ = ("model",)

        @step
        def start(self) -> None:
            self.model = 1

    with pytest.raises(StepFailedError, match="has the slot 'model'"):
        run_flow(Slotted)


def test_the_object_has_only_what_the_step_made() -> None:
    """`vars(self)` holds attributes of the user's alone."""

    class Own(FlowSpec):
        @step
        def start(self) -> None:
            self.a = 1
            self.b = dict(vars(self))

    assert run_flow(Own).value("start", "b") == {"a": 1}


def test_the_inputs_of_a_join_are_no_artifact() -> None:
    """Neither all inputs nor one can be stored, and the message says what to do."""

    class Joins(FlowSpec):
        whole = True

        @step
        def start(self) -> None:
            self.next(self.a, self.b)

        @step
        def a(self) -> None:
            self.next(self.join)

        @step
        def b(self) -> None:
            self.next(self.join)

        @step
        def join(self, inputs: Any) -> None:
            self.kept = inputs if self.whole else inputs.a
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    class One(Joins):
        whole = False

    for flow_cls, message in (
        (Joins, "the inputs of a join"),
        (One, "<flow One step a> can't be pickled"),
    ):
        with pytest.raises(Exception, match=message):
            run_flow(flow_cls)


def test_inputs_say_themselves_why_they_can_not_be_stored() -> None:
    """The error speaks of the inputs, and of nothing within them."""
    source = ArtifactSource(TaskName("a", "1"), lambda: pytest.fail("read"), lambda *_: None)
    inputs = Inputs(FlowSpec, (source,), LoadedValues(), of_foreach=False)
    with pytest.raises(UnserializableArtifact) as caught:
        codecs.encode(inputs)
    path, error = innermost(inputs, caught.value)
    assert path == ""
    assert "the inputs of a join can't be stored" in error.message


def test_what_a_config_refuses_is_told_by_the_users_frames() -> None:
    """Where within the package it was refused helps nobody."""
    with pytest.raises(TypeError) as caught:
        ConfigValue({"a": 1})["b"] = 2
    assert "config_value.py" not in explained(caught.value)
    assert __file__ in explained(caught.value)
