"""`current`: the flow, run, step and task in which code is running, as Metaflow's object of that name.

Outside of a running task every attribute but `tempdir` is None and `is_running_flow` is False, so that a library may
read them anywhere. `task_facts` sets them while a step or a parameter's function runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.cards.current_card import CardComponentCollector
    from gitflowrun.client import Run, Task
    from gitflowrun.client.trigger import Trigger


class Parallel(NamedTuple):
    """Where a task is in its gang.

    Attributes:
        main_ip: The address of the first node.
        num_nodes: How many nodes there are.
        node_index: Which of them the task is, from 0.
        control_task_id: The id of the first node's task.
    """

    main_ip: str
    num_nodes: int
    node_index: int
    control_task_id: str


class Current:
    """The running task. A process has one such object (`current`), for it runs one task at a time.

    Attributes:
        flow_name: The flow's name.
        run_id: The run's id, as text.
        step_name: The step's name.
        task_id: The task's id, as text.
        retry_count: 0 in the first attempt.
        origin_run_id: The run that this one was resumed or cloned from.
        namespace: The namespace the run was started in.
        username: Who started the run.
        tags: The user tags the run was started with.
        tempdir: A directory for temporary files.
        parameter_names: The attribute names of the flow's parameters.
        trigger: What has started the run (`--trigger`).
        project_name: The project, of a flow with `@project`.
        branch_name: The branch of the project.
        is_user_branch: Whether that is the user's own.
        is_production: Whether that is the project's production.
        project_flow_name: Project, branch and flow, joined by dots.
        parallel: Where the task is in its gang; None where it is in none.
        is_parallel: Whether the task is a node of a gang.
        card: What the step puts on its cards; not there in a step without `@card`.
    """

    flow_name: str | None = None
    run_id: str | None = None
    step_name: str | None = None
    task_id: str | None = None
    retry_count: int | None = None
    origin_run_id: str | None = None
    namespace: str | None = None
    username: str | None = None
    tags: set[str] | None = None
    tempdir: str = os.environ.get("METAFLOW_TEMPDIR", ".")
    parameter_names: list[str] | None = None
    trigger: Trigger | None = None
    project_name: str | None = None
    branch_name: str | None = None
    is_user_branch: bool | None = None
    is_production: bool | None = None
    project_flow_name: str | None = None
    parallel: Parallel | None = None
    is_parallel: bool = False
    _graph: Callable[[], dict[str, Any]] | None = None
    if TYPE_CHECKING:
        card: CardComponentCollector
    else:

        def __getattr__(self, name: str) -> Any:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name == "card":
                msg = "current.card is there in a step that has @card, and while it runs"
            raise AttributeError(msg)

    @property
    def is_running_flow(self) -> bool:
        """Whether this code runs in a task."""
        return self.step_name is not None

    @property
    def pathspec(self) -> str | None:
        """The task's pathspec, `Flow/run/step/task`; None outside of a task."""
        if self.step_name is None:
            return None
        return f"{self.flow_name}/{self.run_id}/{self.step_name}/{self.task_id}"

    @property
    def task(self) -> Task | None:
        """The running task as a client object, whatever the namespace in use; None outside of a task."""
        if self.pathspec is None:
            return None
        from gitflowrun.client import Task

        return Task(self.pathspec, _namespace_check=False)

    @property
    def run(self) -> Run | None:
        """The run as a client object, whatever the namespace in use; None outside of a task."""
        if self.step_name is None:
            return None
        from gitflowrun.client import Run

        return Run(f"{self.flow_name}/{self.run_id}", _namespace_check=False)

    @property
    def graph(self) -> dict[str, Any]:
        """The flow's graph as plain data.

        Raises:
            RuntimeError: no task is running here.
        """
        if self._graph is None:
            msg = "current.graph is there in a running task only"
            raise RuntimeError(msg)
        return self._graph()

    @property
    def graph_info(self) -> dict[str, Any] | None:
        """The flow's graph as plain data; None outside a task."""
        return None if self._graph is None else self._graph()

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute named `key`, or `default` when there is none."""
        try:
            return getattr(self, key)
        except (AttributeError, RuntimeError):
            return default

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(type(self), name):
            msg = f"current.{name} can't be assigned: it says what runs"
            raise AttributeError(msg)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<current {self.pathspec or '(no task is running)'}>"

    def _update_env(self, env: Mapping[str, Any]) -> None:
        """Add attributes; the hook of extensions."""
        self.__dict__.update(env)


current = Current()


class task_facts:  # noqa: N801  (used as a function; a generator costs each fork copies of contextlib's pages)
    """While it lasts, `current` has these attributes.

    Args:
        facts: The attributes by name; those of `Current` that are left out are None.
        graph: Makes the flow's graph as plain data.
    """

    __slots__ = ("_before", "_facts")

    def __init__(
        self, facts: Mapping[str, Any], graph: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        self._facts = {**facts, "_graph": graph}

    def __enter__(self) -> None:
        self._before = current.__dict__
        # One assignment: another thread sees the old task or the new one, never a mixture.
        _set_facts(self._facts)

    def __exit__(self, *_: object) -> None:
        _set_facts(self._before)


def _set_facts(facts: dict[str, Any]) -> None:
    object.__setattr__(current, "__dict__", facts)
