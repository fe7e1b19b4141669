"""`current`: which flow, run, step and task this code runs in. It is told (`execution`), it finds nothing out.

Outside a running task everything is None (`is_running_flow` is False), so that library code may ask freely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow import door

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Current", "current"]

_FACTS = (
    "flow_name", "run_id", "step_name", "task_id", "retry_count", "origin_run_id", "namespace",
    "username", "tags", "tempdir", "parameter_names",
)  # fmt: skip


class Current:
    """What the running task is. One object serves a process, which runs one task at a time.

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
    """

    flow_name: str | None
    run_id: str | None
    step_name: str | None
    task_id: str | None
    retry_count: int | None
    origin_run_id: str | None
    namespace: str | None
    username: str | None
    tags: set[str] | None
    tempdir: str | None
    parameter_names: list[str] | None
    _graph: Callable[[], dict[str, Any]] | None

    def __init__(self) -> None:
        self._set(None)

    @property
    def is_running_flow(self) -> bool:
        """Whether this code runs in a task."""
        return self.step_name is not None

    @property
    def pathspec(self) -> str | None:
        """`Flow/run/step/task`."""
        if self.step_name is None:
            return None
        return f"{self.flow_name}/{self.run_id}/{self.step_name}/{self.task_id}"

    @property
    def task(self) -> Any:
        """The running task as a client object."""
        return None if self.step_name is None else door.open_client("Task", str(self.pathspec))

    @property
    def run(self) -> Any:
        """The run as a client object."""
        if self.step_name is None:
            return None
        return door.open_client("Run", f"{self.flow_name}/{self.run_id}")

    @property
    def graph(self) -> dict[str, Any]:
        """The flow's graph as plain data.

        Raises:
            RuntimeError: no task is running here.
        """
        if self._graph is None:
            msg = "current.graph is known in a running task only"
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

    def __repr__(self) -> str:
        return f"<current {self.pathspec or '(no task is running)'}>"

    def _update_env(self, env: Mapping[str, Any]) -> None:
        """Add attributes; the hook of extensions."""
        self.__dict__.update(env)

    def _set(
        self, facts: Mapping[str, Any] | None, graph: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """Become the task with these facts; nothing at all when None."""
        known = facts or {}
        # One assignment: another thread sees the old task or the new one, never a mixture.
        self.__dict__ = {**{name: known.get(name) for name in _FACTS}, "_graph": graph}


current = Current()
