"""`MetaflowCard`: the base class of the types of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.client.task import Task


class MetaflowCard:
    """A type of cards: makes a page of a task.

    Args:
        options: What `@card(options=...)` says; left out where it says nothing.
        components: The user's components as they were rendered, where the type allows them.
        graph: The steps of the flow by name, as plain data.
        flow: Not known where cards are rendered: None.

    Attributes:
        type: The name of the type, for `@card(type=...)`.
        ALLOW_USER_COMPONENTS: Whether `current.card` can add components to it.
        RUNTIME_UPDATABLE: Whether it shows something while its task runs.
        RELOAD_POLICY: When an open page of a running task is loaded anew: `never`, `always` or `onchange`, which is
            when `reload_content_token` says something else.
        RELOAD_POLICY_TOKEN: What stands in a page for that token.
        runtime_data: What the user has given to `current.card.refresh`, with the components that can be updated.
        scope: What it is about.
        IS_EDITABLE: Metaflow's older name of ALLOW_USER_COMPONENTS.
    """

    RELOAD_POLICY_NEVER = "never"
    RELOAD_POLICY_ALWAYS = "always"
    RELOAD_POLICY_ONCHANGE = "onchange"
    RELOAD_POLICY_TOKEN = "[METAFLOW_RELOAD_TOKEN]"  # noqa: S105  (no secret)

    type: str | None = None
    ALLOW_USER_COMPONENTS = False
    IS_EDITABLE = False
    RUNTIME_UPDATABLE = False
    RELOAD_POLICY = RELOAD_POLICY_NEVER
    scope = "task"
    runtime_data: Mapping[str, Any] | None = None

    def __init__(
        self,
        options: Mapping[str, Any] = {},
        components: Sequence[Any] = (),
        graph: Mapping[str, Any] | None = None,
        flow: Any = None,
    ) -> None:
        pass

    def _get_mustache(self) -> Any:
        """What renders templates of Mustache: `render(template, data)`."""
        from gitflowrun.cards import mustache

        return mustache

    def render(self, task: Task) -> str:
        """The page of a task that has ended, as HTML."""
        raise NotImplementedError

    def render_runtime(self, task: Task, data: Mapping[str, Any]) -> str:
        """The page of a task that runs, as HTML.

        Args:
            task: The task, as far as it is.
            data: What `current.card.refresh` was given, as `user`, and what can be updated, as `components`.
        """
        raise NotImplementedError

    def refresh(self, task: Task, data: Mapping[str, Any]) -> Any:
        """What an open page of the card is given anew, as plain data; arguments as those of `render_runtime`."""
        raise NotImplementedError

    def reload_content_token(self, task: Task, data: Mapping[str, Any]) -> str:  # noqa: ARG002
        """A text that changes when an open page must be loaded anew; arguments as those of `render_runtime`."""
        return "content-token"
