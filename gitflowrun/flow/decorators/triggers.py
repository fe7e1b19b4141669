"""`@schedule`, `@trigger` and `@trigger_on_finish`: when a deployed flow would start.

They are recorded. For trying a flow out, `--trigger FLOW/RUN` says which runs have started it: `current.trigger` and
`Run.trigger` tell of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.client.trigger import TRIGGERS, Trigger
from gitflowrun.errors import DecoratorError, NotFound
from gitflowrun.flow.current import current, task_facts
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import FlowDecorator
from gitflowrun.flow.decorators.declare import FlowDeclaration
from gitflowrun.flow.foreach import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar


class ScheduleDecorator(FlowDecorator):
    """Say when a deployed flow would run. It is recorded.

    Args:
        cron: A time in the form of crontab(5).
        weekly: Whether once a week.
        daily: Whether once a day.
        hourly: Whether once an hour.
        timezone: The time zone of the times.
    """

    name = "schedule"
    defaults: ClassVar[Mapping[str, Any]] = {
        "cron": None, "weekly": False, "daily": True, "hourly": False, "timezone": None,
    }  # fmt: skip


class TriggerDecorator(FlowDecorator):
    """Say which events would start a deployed flow. It is recorded.

    Args:
        event: One event, by name or as a map with `name` and `parameters`.
        events: Several.
        options: Metaflow's options.
    """

    name = "trigger"
    defaults: ClassVar[Mapping[str, Any]] = {"event": None, "events": [], "options": {}}
    _flow_cls: type | None = None

    def flow_init(self, flow: Any, *_: Any) -> None:
        """Refuse one without an event, or with two kinds. Raises DecoratorError."""
        _one_of(self, "event", "events")
        self._flow_cls = type(flow)

    def recorded_attributes(self) -> dict[str, Any]:
        """The attributes; names that functions make are made for the flow's project and branch."""
        decorators = () if self._flow_cls is None else attached(self._flow_cls).flow
        with task_facts({name: value for it in decorators for name, value in it.facts().items()}):
            named = {name: _named(self.attributes[name]) for name in ("event", "events")}
        return {**super().recorded_attributes(), **named}


class TriggerOnFinishDecorator(FlowDecorator):
    """Say which flows would start this one when they have finished. `--trigger` tries it out.

    Args:
        flow: One flow, by name or as a map with `name`, `project` and `branch`.
        flows: Several.
        options: Metaflow's options.
    """

    name = "trigger_on_finish"
    defaults: ClassVar[Mapping[str, Any]] = {"flow": None, "flows": [], "options": {}}
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "trigger": {
            "multiple": True, "metavar": "FLOW/RUN",
            "help": "Say that this run has started the flow. May be given several times.",
        },
    }  # fmt: skip
    _trigger: Trigger | None = None

    def flow_init(
        self,
        flow: Any,
        graph: Any,
        environment: Any,
        flow_datastore: Any,
        metadata: Any,
        logger: Any,
        echo: Any,
        options: Mapping[str, Any],
    ) -> None:
        """Look up the runs that are said to have started it."""
        _one_of(self, "flow", "flows")
        given = options.get("trigger") or ()
        # In the flow's program they are what was typed; tasks get what that has found.
        events = [_event_of(it) if isinstance(it, str) else dict(it) for it in given]
        if isinstance(options, dict) and events:
            options["trigger"] = events
        self._trigger = Trigger(events) if events else None

    def facts(self) -> Mapping[str, Any]:
        """What has started the run."""
        return {} if self._trigger is None else {"trigger": self._trigger}

    def metadata(self) -> Mapping[str, str]:
        """The same, for whoever reads the run."""
        return {} if self._trigger is None else {TRIGGERS: self._trigger.dump()}


def _named(event: Any) -> Any:
    """An event whose name a function makes, as `namespaced_event_name` does."""
    if isinstance(event, list | tuple):
        return [_named(one) for one in event]
    if isinstance(event, dict) and callable(event.get("name")):
        return {**event, "name": event["name"]()}
    return event() if callable(event) else event


def _event_of(pathspec: str) -> dict[str, Any]:
    """The end of a run, as the event that has started another one.

    Raises:
        DecoratorError: there is no such run, or it has not come to its end.
    """
    from gitflowrun.client import Run

    hint = "write --trigger FLOW/RUN with the id of a run that is done"
    try:
        run = Run(pathspec, _namespace_check=False)
        end = run.end_task if run.successful else None
    except NotFound as error:
        raise DecoratorError(f"--trigger {pathspec}: {error.message}", hint=hint) from None
    if end is None or run.finished_at is None:
        raise DecoratorError(f"--trigger {pathspec}: the run has not come to its end", hint=hint)
    flow = run.pathspec.partition("/")[0]
    return {
        "name": f"metaflow.{flow}.end",
        "id": end.pathspec,
        "time": run.finished_at.timestamp(),
        "type": "run",
    }


def _one_of(decorator: FlowDecorator, one: str, several: str) -> None:
    """Refuse a decorator to which both or neither of two attributes were given, or something else than names."""
    given = bool(decorator.attributes[one]) + bool(decorator.attributes[several])
    if given != 1:
        raise DecoratorError(
            f"@{decorator.name} has {'both' if given else 'neither'} {one} {'and' if given else 'nor'} {several}",
            hint=f"write one of them: @{decorator.name}({one}=...)",
        )
    single, listed = decorator.attributes[one], decorator.attributes[several]
    if not isinstance(listed, list | tuple) and not callable(listed):
        raise DecoratorError(
            f"@{decorator.name}: {several} is {brief(repr(listed))}", hint="write a list of names"
        )
    for it in [single] if single else [] if callable(listed) else listed:
        name = it.get("name") if isinstance(it, dict) else it
        if not (name and isinstance(name, str)) and not callable(name):
            raise DecoratorError(
                f"@{decorator.name}: {brief(repr(it))} names no {one}",
                hint='write its name, or a map that has it: {"name": "..."}',
            )


schedule = FlowDeclaration(ScheduleDecorator)
trigger = FlowDeclaration(TriggerDecorator)
trigger_on_finish = FlowDeclaration(TriggerOnFinishDecorator)


def namespaced_event_name(name: str) -> Callable[..., str]:
    """Have the name of an event follow the project and branch that a flow is deployed to.

    Args:
        name: The event's name.

    Returns:
        A function that makes `project.branch.name` of it in a flow with `@project`, and `name` in others:
        for `@trigger(event=...)`.
    """

    def named(*_context: object) -> str:
        parts = (current.project_name, current.branch_name, name)
        return ".".join(part for part in parts if part)

    return named
