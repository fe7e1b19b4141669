"""Mutators: when they are called, what they see and change, and what they are refused."""

# mypy: disable-error-code="untyped-decorator"
# ruff: noqa: ARG001, ARG002  (decorators and mutators are called with all of their arguments)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun import (
    FlowMutator,
    FlowSpec,
    IncludeFile,
    Parameter,
    StepMutator,
    UserStepDecorator,
    environment,
    package_sources,
    package_suffixes,
    project,
    retry,
    step,
    user_step_decorator,
)
from gitflowrun.decorators import MutableFlow, MutableStep, StepDecorator
from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.definition import begin, complete, define
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import parameters_of
from tests.flow.memory import run_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

called: list[Any] = []


@pytest.fixture(autouse=True)
def _quiet() -> None:
    called.clear()


@user_step_decorator
def marked(step_name: str, flow: Any, inputs: Any, attributes: dict[str, Any]) -> Iterator[None]:
    """Note that it was there."""
    flow.marks = [*getattr(flow, "marks", []), attributes.get("by", "source")]
    yield


class Named(FlowMutator):
    """Note when it is called."""

    def init(self, name: str) -> None:
        """Take a name."""
        self.label = name

    def pre_mutate(self, mutable_flow: MutableFlow) -> None:
        """Note it."""
        called.append(f"pre {self.label}")

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Note it."""
        called.append(f"late {self.label}")


class NamedStep(StepMutator):
    """Likewise."""

    def init(self, name: str) -> None:
        """Take a name."""
        self.label = name

    def pre_mutate(self, mutable_step: MutableStep) -> None:
        """Note it."""
        called.append(f"pre {self.label}")

    def mutate(self, mutable_step: MutableStep) -> None:
        """Note it and what is there."""
        called.append((f"late {self.label}", mutable_step.has_decorator("resources")))


def of_flow(
    pre: Callable[[MutableFlow], object] | None = None,
    late: Callable[[MutableFlow], object] | None = None,
) -> type[FlowSpec]:
    """A flow with a mutator that does this."""

    class Changes(FlowMutator):
        def pre_mutate(self, mutable_flow: MutableFlow) -> None:
            if pre is not None:
                pre(mutable_flow)

        def mutate(self, mutable_flow: MutableFlow) -> None:
            if late is not None:
                late(mutable_flow)

    @Changes
    class Flow(FlowSpec):
        CONSTANT = 5
        alpha = Parameter("alpha", default=1)
        be_ta = Parameter("beta", default=2)

        @marked
        @retry(times=2)
        @step
        def start(self) -> None:
            self.seen = [getattr(self, it, None) for it in ("alpha", "be_ta", "added", "CONSTANT")]
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

        def helper(self) -> None:
            """Be no step."""

    return Flow


def of_step(
    late: Callable[[MutableStep], object] | None = None,
    pre: Callable[[MutableStep], object] | None = None,
) -> type[FlowSpec]:
    """The same with a mutator of the step `start`."""

    def both(change: Callable[[MutableStep], object] | None) -> Callable[[MutableFlow], object]:
        return lambda flow: None if change is None else change(flow.start)

    return of_flow(both(pre), both(late))


def names_of(flow_cls: type[FlowSpec], name: str = "start") -> list[str]:
    """The decorators of a step as `_graph_info` has them."""
    rows = FlowGraph.of(flow_cls).to_map()["steps"][name]["decorators"]
    return [row["name"].rpartition(".")[2] for row in rows]


def refused(flow_cls: type[FlowSpec]) -> DecoratorError:
    """Why a flow can't be completed."""
    with pytest.raises(DecoratorError) as caught:
        complete(flow_cls)
    assert caught.value.line
    assert (caught.value.source or "").endswith(".py")
    return caught.value


def test_order() -> None:
    """Those of the flow first, bases in front, the lowest first; then those of steps; `mutate` behind `--with`."""

    @Named("base")
    class Base(FlowSpec):
        @NamedStep("high")
        @NamedStep("low")
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    @Named("top")
    @Named("near")
    class Derived(Base):
        pass

    begin(Derived)
    early = ["pre base", "pre near", "pre top", "pre low", "pre high"]
    assert called == early
    complete(Derived, ["resources"])
    complete(Derived, ["resources"])
    late = ["late base", "late near", "late top", ("late low", True), ("late high", True)]
    assert called == [*early, *late]
    called.clear()
    complete(Base)
    assert called[0] == "pre base"
    assert "pre near" not in called


def test_what_a_step_mutator_sees() -> None:
    """Name, flow, decorators of all kinds with short and full name, positional and keyword arguments."""

    def look(it: MutableStep) -> None:
        called.extend(it.decorator_specs)
        called.append((it.name, isinstance(it.flow, MutableFlow)))
        called.append([it.has_decorator(name) for name in ("retry", "marked", "timeout")])
        called.append(it.get_decorator_specs(f"{__name__}.marked"))

    complete(of_step(look))
    of_retry = {"times": 2, "minutes_between_retries": 2}
    as_spec: Any = ("marked", f"{__name__}.marked", [], {})
    assert called == [
        ("retry", "gitflowrun.flow.decorators.retry.RetryDecorator", [], of_retry),
        as_spec,
        ("start", True),
        [True, True, False],
        [as_spec],
    ]


def test_what_a_flow_mutator_sees() -> None:
    """Parameters, steps, decorators, and all of these as attributes."""

    def look(flow: MutableFlow) -> None:
        called.append([name for name, _ in flow.parameters])
        called.append([(name, type(it)) for name, it in flow.steps])
        called.append((flow.alpha.default, flow.end.name, flow.CONSTANT, list(flow.configs)))
        called.append([it[0] for it in flow.decorator_specs])

    complete(of_flow(look))
    assert called == [
        ["alpha", "be_ta"],
        [("start", MutableStep), ("end", MutableStep)],
        (1, "end", 5, []),
        ["Changes"],
    ]
    assert "did you mean alpha?" in refused(of_flow(lambda flow: flow.alhpa)).message


@pytest.mark.parametrize(
    "add",
    [
        lambda it: it.add_decorator("environment", deco_kwargs={"vars": {"A": "1"}}),
        lambda it: it.add_decorator('environment:vars={"A": "1"}'),
        lambda it: it.add_decorator(environment, deco_kwargs={"vars": {"A": "1"}}),
    ],
    ids=["name", "text", "itself"],
)
def test_adding_a_decorator_in_each_form(add: Any) -> None:
    """By name with attributes, as text, as what stands behind an @: the decorator is returned, and recorded."""
    flow_cls = of_step(lambda it: called.append(add(it)))
    complete(flow_cls)
    assert called[0].name == "environment"
    row = FlowGraph.of(flow_cls).to_map()["steps"]["start"]["decorators"][1]
    assert row["name"] == "environment"
    assert row["attributes"] == {"vars": {"A": "1"}}
    assert row["inserted_by"] == [f"{__name__}.Changes"]
    assert [it.name for it in FlowGraph.of(flow_cls)["start"].decorators] == [
        "retry",
        "environment",
    ]


@pytest.mark.parametrize("stage", ["pre", "late"])
def test_adding_a_decorator_of_a_user(stage: str) -> None:
    """As itself, by name and by full name; it is around those of the source, and it can be there already."""

    def add(it: MutableStep) -> None:
        called.append(it.add_decorator(marked, deco_kwargs={"by": "left out"}))
        override = it.OVERRIDE
        called.append(it.add_decorator("marked:by=text", duplicates=override).attributes)
        called.append(it.flow.end.add_decorator(f"{__name__}.marked", deco_kwargs={"by": "end"}))

    flow_cls = of_step(**{stage: add})
    complete(flow_cls)
    assert called[:2] == [None, {"_args": [], "by": "text"}]
    run = run_flow(flow_cls)
    assert run.value("start", "marks") == ["text"]
    assert run.value("end", "marks") == ["text", "end"]


def test_a_class_that_derives_from_step_decorator_can_be_added() -> None:
    """One of a package is added by its class or its name."""

    class Audited(StepDecorator):
        name = "audited"
        defaults = {"level": 1}  # noqa: RUF012

        def task_post_step(self, step_name: str, flow: Any, *_: Any) -> None:
            flow.level = self.attributes["level"]

    flow_cls = of_step(lambda it: it.add_decorator(Audited, deco_kwargs={"level": 3}))
    complete(flow_cls)
    assert run_flow(flow_cls).value("end", "level") == 3
    flow_cls = of_step(lambda it: it.add_decorator("audited:level=4"))
    complete(flow_cls)
    assert run_flow(flow_cls).value("end", "level") == 4


def test_duplicates() -> None:
    """What is there stays, is replaced, or is a mistake."""

    def add(it: MutableStep) -> None:
        called.append(it.add_decorator("retry:times=3"))
        called.append(it.get_decorator_specs("retry")[0][3]["times"])
        called.append(it.add_decorator("retry:times=4", duplicates=it.OVERRIDE).attributes["times"])
        called.append([spec[3]["times"] for spec in it.get_decorator_specs("retry")])
        it.add_decorator("retry", duplicates=it.ERROR)

    error = refused(of_step(add))
    assert called == [None, 2, 4, [4]]
    assert "step 'start' has @retry already" in error.message
    assert error.message.startswith("Changes.mutate of flow 'Flow'")


def test_removing_decorators() -> None:
    """By name, full name, or arguments; whether there was one is told."""

    def remove(it: MutableStep) -> None:
        called.append(it.remove_decorator("timeout"))
        called.append(it.remove_decorator("retry", [], {"times": 3}))
        called.append(it.remove_decorator("retry:times=3"))
        called.append(it.remove_decorator("retry", deco_kwargs={"times": 2}))
        called.append(it.remove_decorator("marked", ["x"]))
        called.append(it.remove_decorator(*it.get_decorator_specs("marked")[0][1:]))
        called.append(list(it.decorator_specs))

    flow_cls = of_step(remove)
    complete(flow_cls)
    assert called == [False, False, False, True, False, True, []]
    assert names_of(flow_cls) == []
    assert not run_flow(flow_cls).names("end") & {"marks"}


def test_the_class_itself_and_other_flows_stay_as_they_are() -> None:
    """A derived flow's mutator changes the decorators of inherited steps for that flow alone."""
    base = of_flow()

    class Strips(FlowMutator):
        def pre_mutate(self, mutable_flow: MutableFlow) -> None:
            for _, it in mutable_flow.steps:
                it.remove_decorator("retry")
            mutable_flow.remove_parameter("beta")
            mutable_flow.add_parameter("added", Parameter("added", default=9))

    derived: Any = Strips()(type("Derived", (base,), {}))
    complete(derived)
    complete(base)
    assert names_of(derived) == ["marked"]
    assert names_of(base) == ["retry", "marked"]
    assert list(parameters_of(base)) == ["alpha", "be_ta"]
    assert sorted(parameters_of(derived)) == ["added", "alpha"]
    assert run_flow(derived).value("end", "seen") == [1, None, 9, 5]
    assert run_flow(base).value("end", "seen") == [1, 2, None, 5]


@pytest.mark.parametrize("prepared", [False, True], ids=["new", "prepared"])
def test_parameters(prepared: bool) -> None:
    """They are added, replaced and removed, also in a process that has prepared the class for its tasks before."""

    def change(flow: MutableFlow) -> None:
        flow.add_parameter("added", Parameter("added", default=7))
        flow.add_parameter("alpha", Parameter("alpha", default="new"), overwrite=True)
        flow.add_parameter("CONSTANT", Parameter("constant", default=6), overwrite=True)
        called.append([flow.remove_parameter(name) for name in ("beta", "beta", "be_ta")])

    flow_cls = of_flow(change)
    if prepared:
        from gitflowrun.flow.execute import prepare

        prepare(flow_cls)
    complete(flow_cls)
    assert called == [[True, False, False]]
    assert run_flow(flow_cls).value("end", "seen") == ["new", None, 7, 6]
    assert run_flow(flow_cls, added=8).value("end", "seen")[2] == 8
    assert FlowGraph.of(flow_cls).parameter_names == ("CONSTANT", "alpha", "added")


def test_the_name_of_a_removed_parameter_is_free() -> None:
    """A step may assign to it: it is an artifact."""
    base = of_flow()

    class Drops(FlowMutator):
        def pre_mutate(self, mutable_flow: MutableFlow) -> None:
            mutable_flow.remove_parameter("beta")

    @Drops
    class Derived(base):  # type: ignore[valid-type, misc]
        @step
        def start(self) -> None:
            self.was_there = hasattr(self, "be_ta")
            self.be_ta = "artifact"
            self.next(self.end)

        @step
        def end(self) -> None:
            self.found = (self.was_there, self.be_ta)

    complete(Derived)
    assert run_flow(Derived).value("end", "found") == (False, "artifact")


def test_decorators_of_the_flow() -> None:
    """They are added and removed, and a mutator that is added is called behind those that are there."""

    def change(flow: MutableFlow) -> None:
        called.append(flow.add_decorator(project, deco_kwargs={"name": "first"}).name)
        called.append(flow.remove_decorator("project:name=first"))
        called.append(flow.add_decorator("project:name=second").attributes["name"])
        called.append(flow.add_decorator(Named, deco_args=["added"]).label)

    flow_cls = of_flow(change)
    complete(flow_cls)
    assert called == ["project", True, "second", "added", "pre added", "late added"]
    rows = FlowGraph.of(flow_cls).to_map()["decorators"]
    by = f"{__name__}.Changes"
    assert [(row["name"], row["inserted_by"]) for row in rows] == [
        ("project", [by]),
        ("Changes", None),
        ("Named", [by]),
    ]
    assert rows[2]["attributes"] == {"_args": ["added"]}


def test_mutators_of_steps_add_and_remove_each_other() -> None:
    """In `pre_mutate`: what is added is called, what is removed is not."""

    class Adds(StepMutator):
        def pre_mutate(self, mutable_step: MutableStep) -> None:
            mutable_step.add_decorator(NamedStep, deco_args=["added"])
            called.append(mutable_step.remove_decorator("Gone"))

    class Gone(StepMutator):
        def pre_mutate(self, mutable_step: MutableStep) -> None:
            called.append("not called")

    class Flow(FlowSpec):
        @Gone
        @Adds
        @step
        def start(self) -> None:
            self.next(self.end)

        @step
        def end(self) -> None:
            pass

    complete(Flow)
    assert called == [True, "pre added", ("late added", False)]
    assert names_of(Flow) == ["Adds", "NamedStep"]


def test_users_decorators_by_an_option() -> None:
    """`--with` adds one to all steps that have none of its kind, by short and by full name."""
    flow_cls = of_flow()
    complete(flow_cls, ["marked:by=option", f"{__name__}.marked"])
    run = run_flow(flow_cls)
    assert run.value("end", "marks") == ["source", "option"]
    row = FlowGraph.of(flow_cls).to_map()["steps"]["end"]["decorators"][0]
    assert (row["name"], row["statically_defined"]) == (f"{__name__}.marked", False)
    with pytest.raises(DecoratorError, match="is a mutator, which no option can add"):
        complete(of_flow(), ["NamedStep"])
    with pytest.raises(DecoratorError, match="can't be imported"):
        define(of_flow(), ["no.such.module"])


@pytest.mark.parametrize("text", ["raise ValueError('not here')", "def f(:", "1 / 0"])
def test_the_module_of_a_decorator_that_can_not_be_imported(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises is told, and which module."""
    (tmp_path / "broken_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DecoratorError, match="module of decorator 'broken_module"):
        define(of_flow(), ["broken_module.x"])


def test_package_mutators() -> None:
    """They are Metaflow's, are recorded, and change nothing."""

    @package_suffixes([".txt"])
    @package_sources("../src", suffixes=".py,json")
    class Flow(FlowSpec):
        @step
        def start(self) -> None:
            pass

    complete(Flow)
    rows = FlowGraph.of(Flow).to_map()["decorators"]
    assert [row["name"] for row in rows] == ["package_sources", "package_suffixes"]
    assert "suffixes is 5" in refused(package_suffixes(5)(type("G", (Flow,), {}))).message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda it: it.add_decorator("foo"), "there is no decorator 'foo' for steps"),
        (lambda it: it.add_decorator("retry", deco_kwargs={"tims": 1}), "no attribute 'tims'"),
        (lambda it: it.add_decorator(retry, deco_args=[3]), "takes no positional arguments"),
        (lambda it: it.add_decorator("retry:times=1", None, {"times": 2}), "in the text"),
        (lambda it: it.add_decorator("retry", duplicates=9), "duplicates is 9"),
        (lambda it: it.add_decorator("project:name=a"), "there is no decorator 'project'"),
        (lambda it: it.add_decorator(project), "'project' is no decorator of steps"),
        (lambda it: it.add_decorator(Named), "is no decorator of steps"),
        (lambda it: it.add_decorator(5), "5 is no decorator"),
        (lambda it: it.add_decorator(int), "is no decorator of steps"),
        (lambda it: it.add_decorator(UserStepDecorator), "is there to derive from"),
        (lambda it: it.add_decorator(NamedStep, ["x"]), "mutate can't add the mutator NamedStep"),
        (lambda _: 1 / 0, "failed: ZeroDivisionError: division by zero"),
    ],
    ids=range(13),
)
def test_what_a_mutator_of_a_step_is_refused(change: Any, expected: str) -> None:
    """The error names mutator and flow, and the line of the user's."""
    message = refused(of_step(change)).message
    assert expected in message
    assert message.startswith("Changes.mutate of flow 'Flow'")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda it: it.add_decorator("retry"), "there is no decorator 'retry' for flows"),
        (lambda it: it.add_parameter("x", 5), "5 is none"),
        (lambda it: it.add_parameter("a b", Parameter("a")), "'a b' can't name the attribute"),
        (lambda it: it.add_parameter("alpha", Parameter("a")), "has 'alpha' already"),
        (
            lambda it: it.add_parameter("start", Parameter("a"), overwrite=True),
            "has an attribute 'start'",
        ),
        (
            lambda it: it.add_parameter("helper", Parameter("a"), overwrite=True),
            "has an attribute 'helper'",
        ),
        (
            lambda it: it.add_parameter("input", Parameter("a"), overwrite=True),
            "has an attribute 'input'",
        ),
        (lambda it: it.remove_decorator("Changes"), "the mutator Changes can't be removed"),
    ],
    ids=range(8),
)
def test_what_a_mutator_of_a_flow_is_refused(change: Any, expected: str) -> None:
    """Likewise."""
    assert expected in refused(of_flow(change)).message


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.add_parameter("x", IncludeFile("x")),
        lambda it: it.remove_parameter("beta"),
        lambda it: it.add_decorator("project:name=a"),
        lambda it: it.add_decorator(Named, ["late"]),
        lambda it: it.remove_decorator("project"),
    ],
    ids=range(5),
)
def test_what_is_too_late_in_mutate(change: Any) -> None:
    """Parameters and decorators of the flow can be changed in `pre_mutate` alone."""
    error = refused(of_flow(lambda it: it.add_decorator("project:name=a"), change))
    assert "mutate can't" in error.message
    assert error.hint == "do it in pre_mutate"


@pytest.mark.parametrize("method", ["init", "pre_mutate", "mutate"])
@pytest.mark.parametrize("base", [StepMutator, FlowMutator])
def test_a_mutator_that_fails(method: str, base: Any) -> None:
    """The error names the mutator, its method, and where it is; a generator, in which nothing runs, is one as well."""

    def fails(_self: Any, *_: Any) -> None:
        msg = "no luck"
        raise ValueError(msg)

    def never_runs(_self: Any, *_: Any) -> Any:
        yield

    for body, expected in ((fails, "failed: ValueError: no luck"), (never_runs, "a generator")):
        if method == "init" and body is never_runs:
            continue
        mark = type("Broken", (base,), {method: body, "__module__": __name__})

        class Flow(FlowSpec):
            @step
            def start(self) -> None:
                pass

        if base is StepMutator:
            mark(vars(Flow)["start"])
        else:
            mark(Flow)
        where = "step 'start' of flow 'Flow'" if base is StepMutator else "flow 'Flow'"
        message = refused(Flow).message
        assert message.startswith(f"Broken.{method} of {where}")
        assert expected in message


def test_a_flow_without_mutators_loads_nothing_of_them() -> None:
    """Its decorators are those of its source."""

    class Plain(FlowSpec):
        @step
        def start(self) -> None:
            pass

    complete(Plain)
    found = attached(Plain)
    assert not found.has_mutators
    assert not found.wrappers
