"""A task's request for a card becomes the card.

Types of cards may be anybody's classes: whatever one does wrong is told on a card of errors, or in a line of the log,
and never raised. What stops a card that takes too long, and what it prints, is up to whoever calls this.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
import traceback
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.cards.card_types import card_type
from gitflowrun.cards.components.component import CannotBeShown, plain
from gitflowrun.cards.metaflow_card import MetaflowCard
from gitflowrun.errors import GitflowrunError
from gitflowrun.settings import format_size
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.cards.card_files import CardRequest
    from gitflowrun.client.task import Task


@frozen
class RenderedCard:
    """A card, or why there is none.

    Attributes:
        html: The page; with an error that of a card of errors, None where none was asked for.
        data: What the user has given to the card and its components, as JSON; None where its type does not use it.
        error: What went wrong, in one line.
    """

    html: str | None
    data: str | None = None
    error: str | None = None


def render_card(request: CardRequest, task: Task, *, live: bool = False) -> RenderedCard:
    """Render the card that a task has asked for.

    Args:
        request: What it is made of.
        task: The task.
        live: Whether the task still runs: then it is the page that its type has for that.

    Returns:
        The card. Where its type is unknown, raises, returns no text or too much of it, the card says so if the request
        has `save_errors`.
    """
    try:
        card = _made(request, task)
        html = _html(card, request, task, live=live)
    except GitflowrunError as error:
        return _error_card(request, task, str(error), error.message)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (any class, and what ends programs, of which it is none)
        told = _words(error)
        text = f"{_introduction(request)}\nStack trace :  {_traceback(error)}"
        return _error_card(request, task, text, told)
    return RenderedCard(html, _data(card, request, task))


def error_card(task: Task | None, message: str) -> str:
    """The page that says why a card could not be rendered."""
    from gitflowrun.cards.built_in_types import ErrorCard

    return (
        ErrorCard()
        .render(task, stack_trace=message)
        .replace(MetaflowCard.RELOAD_POLICY_TOKEN, "final")
    )


def render_updates(request: CardRequest, task: Task) -> dict[str, Any] | None:
    """What an open page of a running task's card is given anew; None where its type takes nothing.

    Returns:
        `data`, what the type's `refresh` returns; `reload_token`, which changes when the page is to be loaded anew;
        `created_on`, seconds since 1970; and of types whose pages are ours `html`, the components by their ids.
    """
    from gitflowrun.cards.built_in_types import BlankCard, DefaultCard
    from gitflowrun.cards.page.page_html import updates_html

    try:
        card = _made(request, task)
        found = _refreshed(card, request, task)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  (as above; the next one may be right)
        return None
    if found is not None and isinstance(card, DefaultCard | BlankCard):
        found["html"] = updates_html(dict(request.updatable))
    return found


def _made(request: CardRequest, task: Task) -> Any:
    """An instance of the type, with those of the arguments that it takes."""
    kind = card_type(request.type)
    allowed = getattr(kind, "ALLOW_USER_COMPONENTS", False)
    components = list(request.components) if allowed else []
    graph = dict(task._run.now().info.graph)  # noqa: SLF001  (the client's objects are made of it)
    given: dict[str, Any] = {
        "components": [{"type": "section", "contents": components}] if components else [],
        "graph": graph.get("steps"),
        "graph_info": graph,
        "flow": None,
    }
    if request.options:
        given["options"] = dict(request.options)
    card = kind(**_accepted(kind, given))
    card.runtime_data = _runtime_data(request)
    return card


def _accepted(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a class takes by name."""
    parameters = inspect.signature(kind).parameters.values()
    if any(it.kind is it.VAR_KEYWORD for it in parameters):
        return dict(given)
    names = {it.name for it in parameters}
    return {name: value for name, value in given.items() if name in names}


def _runtime_data(request: CardRequest) -> dict[str, Any]:
    """What types are given while the task runs, by Metaflow's names."""
    # A part of pages as it is: what users call their components is not to be in there.
    ids = hashlib.sha256(json.dumps(list(request.updatable)).encode()).hexdigest()[:16]
    return {
        "user": request.data,
        "components": dict(request.updatable),
        "component_update_ts": f"{len(request.components)}-{ids}",
        "mode": "render",
    }


def _html(card: Any, request: CardRequest, task: Task, *, live: bool) -> str:
    data = _runtime_data(request)
    now = {**data, "mode": "render_runtime"}
    html = _live_page(card, request, task, now) if live else card.render(task)
    if not isinstance(html, str):
        kind = type(html).__name__
        msg = f"the render method of the card {request.type!r} must return text, not {kind}"
        raise TypeError(msg)
    if MetaflowCard.RELOAD_POLICY_TOKEN in html:
        html = html.replace(MetaflowCard.RELOAD_POLICY_TOKEN, _token(card, request, task))
    html = html.encode(errors="replace").decode()  # halves of surrogates can't be written
    if (size := len(html.encode())) > CARD_SIZE:
        msg = f"the card is too large: {format_size(size)} of {format_size(CARD_SIZE)}"
        raise ValueError(msg)
    return html


def _live_page(card: Any, request: CardRequest, task: Task, data: Mapping[str, Any]) -> Any:
    """What the type shows while the task runs; of one that has nothing for that, when it will show something."""
    try:
        return card.render_runtime(task, data)
    except NotImplementedError:
        from gitflowrun.cards.page.page_html import write_page

        text = f"Cards of the type {request.type} are shown when their task has ended."
        title = {"type": "title", "text": task.pathspec}
        return write_page([title, {"type": "text", "text": text}], task.pathspec, live=True)


def _token(card: Any, request: CardRequest, task: Task) -> str:
    policy = getattr(card, "RELOAD_POLICY", MetaflowCard.RELOAD_POLICY_NEVER)
    if policy == MetaflowCard.RELOAD_POLICY_ALWAYS:
        return "final" if task.finished else f"render-{time.time_ns()}"
    if policy == MetaflowCard.RELOAD_POLICY_ONCHANGE:
        return (
            "final"
            if task.finished
            else str(card.reload_content_token(task, _runtime_data(request)))
        )
    return "never"


def _refreshed(card: Any, request: CardRequest, task: Task) -> dict[str, Any] | None:
    """What `refresh` of a type returns, with the text by which an open page knows whether it is up to date."""
    if not getattr(card, "RUNTIME_UPDATABLE", False):
        return None
    data = {**_runtime_data(request), "mode": "refresh"}
    if task.finished:
        data["render_seq"] = "final"
    return {
        "reload_token": _token(card, request, task),
        "data": card.refresh(task, data),
        "created_on": time.time(),
    }


def _data(card: Any, request: CardRequest, task: Task) -> str | None:
    try:
        found = _refreshed(card, request, task)
        text = None if found is None else json.dumps(plain(found))
    except KeyboardInterrupt:
        raise
    except (CannotBeShown, BaseException):  # noqa: BLE001  (any class: the page is what counts)
        return None
    return text if text is None or len(text) <= CARD_SIZE else None


def _introduction(request: CardRequest) -> str:
    options = dict(request.options) or None
    return f"Card of type {request.type} is unable to be rendered with arguments {options}."


def _error_card(request: CardRequest, task: Task, text: str, told: str) -> RenderedCard:
    line = " ".join(f"{_named(request)} can't be rendered: {told}".split())
    html = error_card(task, text) if request.save_errors else None
    return RenderedCard(html, None, line[:1000])


def _named(request: CardRequest) -> str:
    which = f" with the id {request.id!r}" if request.id else ""
    return f"the card of the type {request.type!r}{which}"


def _words(error: BaseException) -> str:
    """What an exception is and says, which becomes one line."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  (anybody's class)
        said = ""
    name = type(error).__qualname__
    return f"{name}: {said}" if said else name


def _traceback(error: BaseException) -> str:
    """Where in the type's code it went wrong: without the frames that are ours."""
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001  (its `__str__`)
        return type(error).__name__
