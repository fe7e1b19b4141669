"""The types of cards of this package: `default`, `blank`, `error`, `taskspec_card` and `default_json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.components.component import MetaflowCardComponent, plain
from gitflowrun.cards.components.sections import rendered
from gitflowrun.cards.metaflow_card import MetaflowCard
from gitflowrun.cards.page.page_html import TOKEN, write_page
from gitflowrun.cards.task_facts import task_sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.client.task import Task


class _PageCard(MetaflowCard):
    """A type whose pages are written here, and take new contents of components while they are open."""

    ALLOW_USER_COMPONENTS = True
    IS_EDITABLE = True
    RUNTIME_UPDATABLE = True
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ONCHANGE

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        components: Sequence[Any] = (),
        graph: Mapping[str, Any] | None = None,
        graph_info: Mapping[str, Any] | None = None,
        flow: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(options or {}, components, graph, flow)
        self._options = options or {}
        self._components = rendered(components)
        self._graph_info = graph_info

    def render(self, task: Task) -> str:
        """The page of a task."""
        return write_page(self._shown(task), task.pathspec)

    def render_runtime(self, task: Task, data: Mapping[str, Any]) -> str:  # noqa: ARG002
        """The page of a task that runs."""
        return write_page(self._shown(task), task.pathspec, live=True)

    def refresh(self, task: Task, data: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """The components that can be updated, by their ids."""
        return data["components"]

    def reload_content_token(self, task: Task, data: Mapping[str, Any]) -> str:
        """It changes when the task ends, and when components are added or taken away."""
        return "final" if task.finished else f"runtime-{data.get('component_update_ts')}"

    def _shown(self, task: Task) -> list[Any]:
        """What the page shows, as plain data."""
        raise NotImplementedError


class TaskInfoComponent(MetaflowCardComponent):
    """All that the default card shows, for types of cards that show more: `components`, a title and a page.

    Args:
        task: The task.
        page_title: What is above the page.
        components: What is shown first, as plain data.
    """

    def __init__(
        self,
        task: Task,
        page_title: str = "Task Info",
        only_repr: bool = True,  # noqa: ARG002  (as those below, of Metaflow's)
        graph: Any = None,  # noqa: ARG002
        components: Sequence[Any] = (),
        runtime: bool = False,  # noqa: ARG002
        flow: Any = None,  # noqa: ARG002
        max_artifact_size: int | None = None,  # noqa: ARG002
    ) -> None:
        self._task = task
        self._title = page_title
        self._components = components

    def render(self) -> dict[str, Any]:
        """It as plain data of JSON, with what Metaflow says about the page as `metadata`."""
        contents = [*rendered(self._components), *task_sections(self._task)]
        title = {"type": "title", "text": self._task.pathspec}
        page = {"type": "page", "title": self._title, "contents": contents}
        metadata = {"version": 1, "pathspec": self._task.pathspec}
        return {"metadata": metadata, "components": [title, page]}


class DefaultCard(_PageCard):
    """The user's components, and what is known of the task: times, code, parameters, artifacts and the graph."""

    type = "default"

    def _shown(self, task: Task) -> list[Any]:
        shown: list[Any] = TaskInfoComponent(task, components=self._components).render()[
            "components"
        ]
        return shown


class BlankCard(_PageCard):
    """The user's components alone, below the title that `options={"title": ...}` gives."""

    type = "blank"

    def _shown(self, task: Task) -> list[Any]:  # noqa: ARG002
        title = str(self._options.get("title") or "")
        return [{"type": "page", "title": title, "contents": self._components}]


class ErrorCard(MetaflowCard):
    """What stands in the place of a card that could not be rendered."""

    type = "error"
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ONCHANGE

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        components: Sequence[Any] = (),
        graph: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        super().__init__(options or {}, components, graph)

    def render(self, task: Task | None, stack_trace: str | None = None) -> str:
        """The page.

        Args:
            task: The task whose card it is.
            stack_trace: What went wrong.
        """
        pathspec = "" if task is None else task.pathspec
        text = "No stack trace available" if stack_trace is None else stack_trace
        message = {"type": "log", "data": text}
        section = {
            "type": "section",
            "title": "Card Render Failed With Error",
            "contents": [message],
        }
        page = {"type": "page", "title": "Error Card", "contents": [section]}
        return write_page([{"type": "title", "text": pathspec}, page], pathspec or "Error Card")

    def reload_content_token(self, task: Task, data: Mapping[str, Any]) -> str:
        """It changes when the task ends."""
        return "final" if task.finished else f"runtime-{data.get('component_update_ts')}"


class TaskSpecCard(MetaflowCard):
    """The task's pathspec, and nothing else."""

    type = "taskspec_card"

    def render(self, task: Task) -> str:
        """The pathspec."""
        return str(task.pathspec)


class DefaultCardJSON(MetaflowCard):
    """What the default card shows, as JSON."""

    type = "default_json"

    def render(self, task: Task) -> str:
        """The JSON, within a page that shows it as text."""
        return json.dumps(plain(TaskInfoComponent(task).render()), indent=2)


assert TOKEN == MetaflowCard.RELOAD_POLICY_TOKEN
TYPES: dict[str, type[MetaflowCard]] = {
    it.type: it for it in (DefaultCard, BlankCard, ErrorCard, TaskSpecCard, DefaultCardJSON)
}
