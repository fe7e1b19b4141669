"""Components that unfold: JSON, YAML and events in the order of their times."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
from typing import Any, ClassVar

from gitflowrun.cards.components.component import (
    MetaflowCardComponent,
    UserComponent,
    cell,
    render_safely,
)
from gitflowrun.cards.components.images import Image
from gitflowrun.cards.components.measures import ValueBox
from gitflowrun.cards.components.texts import Markdown
from gitflowrun.cards.components.values_shown import Artifact
from gitflowrun.printing import bounded_repr


class _Viewer(UserComponent):
    REALTIME_UPDATABLE = True
    type: str
    _name: ClassVar[str]

    def __init__(
        self,
        data: Any,
        collapsible: bool = True,
        max_height: str | None = None,
        show_copy_button: bool = True,
        title: str | None = None,
    ) -> None:
        self._data = data
        self._collapsible = collapsible
        self._max_height = max_height
        self._show_copy_button = show_copy_button
        self._title = title

    def update(self, data: Any) -> None:
        """Show other data."""
        self._data = data

    def _text(self) -> str:
        raise NotImplementedError

    def _content(self) -> dict[str, Any]:
        found = {
            "type": self.type,
            f"{self._name.lower()}_string": self._text(),
            "collapsible": bool(self._collapsible),
            "show_copy_button": bool(self._show_copy_button),
            "title": str(self._title or self._name),
        }
        return found | ({"max_height": str(self._max_height)} if self._max_height else {})


class JSONViewer(_Viewer):
    """Data as JSON.

    Args:
        data: The data, or JSON as text; what is no JSON is shown as text.
        collapsible: Whether it can be folded.
        max_height: What CSS takes as a height, beyond which it scrolls.
        show_copy_button: Whether there is a button to copy it.
        title: What is above it.
    """

    type = "jsonViewer"
    _name = "JSON"

    def _text(self) -> str:
        data = self._data
        if isinstance(data, str):
            with contextlib.suppress(ValueError, RecursionError):
                data = json.loads(data)
        return json.dumps(_readable(data), indent=2, ensure_ascii=False)


def _readable(value: Any, depth: int = 100) -> Any:
    """A value as JSON: what is none is shown as text."""
    if depth <= 0:
        return "…"
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else bounded_repr(key, 200): _readable(it, depth - 1)
            for key, it in value.items()
        }
    if isinstance(value, list | tuple):
        return [_readable(it, depth - 1) for it in value]
    return cell(value)


class YAMLViewer(_Viewer):
    """Data as YAML.

    Args:
        data: The data, or YAML as text.
        collapsible: Whether it can be folded.
        max_height: What CSS takes as a height, beyond which it scrolls.
        show_copy_button: Whether there is a button to copy it.
        title: What is above it.
    """

    type = "yamlViewer"
    _name = "YAML"

    def _text(self) -> str:
        if isinstance(self._data, str):
            return self._data
        data = _readable(self._data)
        try:
            yaml: Any = importlib.import_module("yaml")
        except ImportError:  # JSON is YAML as well
            return json.dumps(data, indent=2, ensure_ascii=False)
        found: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        return found


class EventsTimeline(UserComponent):
    """Events, the newest first.

    Args:
        title: What is above it.
        max_events: How many of the newest are shown.
    """

    REALTIME_UPDATABLE = True
    type = "eventsTimeline"
    VALID_THEMES: ClassVar[set[str]] = {
        "default", "primary", "secondary", "success", "warning", "error", "info", "tool_call",
        "ai_response",
    }  # fmt: skip
    _PAYLOADS = (Artifact, Image, JSONViewer, Markdown, ValueBox, YAMLViewer)

    def __init__(self, title: str | None = None, max_events: int = 100) -> None:
        self._title = title
        self._max_events = max_events
        self._events: list[dict[str, Any]] = []
        self._payloads: list[dict[str, MetaflowCardComponent]] = []
        self._total = 0
        self._first: float | None = None
        self._last: float | None = None
        self._finished = False

    def update(
        self,
        event_data: dict[str, Any],
        style_theme: str | None = None,
        priority: str | None = None,
        payloads: dict[str, MetaflowCardComponent] | None = None,
        finished: bool | None = None,
    ) -> None:
        """Add an event.

        Args:
            event_data: What is said of it, by name; a `timestamp` in seconds since 1970 if it was not now.
            style_theme: One of `VALID_THEMES`.
            priority: How important it is.
            payloads: Components that are shown with it.
            finished: Whether it is the last one.

        Raises:
            TypeError: one of them is of another type.
        """
        if not isinstance(event_data, dict):
            msg = f"an event is a dict, not {type(event_data).__name__}"
            raise TypeError(msg)
        given = {} if payloads is None else payloads
        for name, item in given.items():
            if not isinstance(item, self._PAYLOADS):
                names = ", ".join(it.__name__ for it in self._PAYLOADS)
                msg = f"Payload {name!r} must be one of: {names}. Got {type(item).__name__}"
                raise TypeError(msg)
        now = time.time()
        event: dict[str, Any] = {
            "metadata": {**event_data, "timestamp": event_data.get("timestamp", now)},
            "event_id": f"event_{self._total}",
            "received_at": now,
        }
        more = {"style_theme": style_theme, "priority": priority}
        event |= {name: value for name, value in more.items() if value}
        self._total += 1
        self._first = now if self._first is None else self._first
        self._last = now
        self._finished = self._finished if finished is None else bool(finished)
        self._events.insert(0, event)
        self._payloads.insert(0, dict(given))
        most = max(self._max_events, 0)
        del self._events[most:], self._payloads[most:]

    def get_stats(self) -> dict[str, Any]:
        """How many events there were, and when."""
        found: dict[str, Any] = {
            "total_events": self._total,
            "displayed_events": len(self._events),
            "last_update": self._last,
            "first_event": self._first,
            "finished": self._finished,
        }
        if self._total > 1 and self._first is not None and self._last is not None:
            seconds = self._last - self._first
            found["total_runtime_seconds"] = round(seconds, 1)
            if seconds > 0:
                found["events_per_minute"] = round(self._total / seconds * 60, 1)
        return found

    def _content(self) -> dict[str, Any]:
        shown = []
        for event, payloads in zip(self._events, self._payloads, strict=True):
            metadata = {str(name): _event_value(it) for name, it in event["metadata"].items()}
            rendered = {str(name): render_safely(it) for name, it in payloads.items()}
            shown.append({**event, "metadata": metadata, "payloads": rendered})
        config = {"show_stats": True, "show_relative_time": True, "max_events": self._max_events}
        found = {"type": "eventsTimeline", "events": shown, "config": config}
        title = {"title": str(self._title)} if self._title else {}
        return found | title | {"stats": self.get_stats()}


def _event_value(value: Any) -> Any:
    if isinstance(value, MetaflowCardComponent):
        return render_safely(value)
    return _readable(value)
