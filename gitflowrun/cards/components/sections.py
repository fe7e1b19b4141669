"""Components that card types are made of: pages, sections, titles, and the plain forms of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.cards.components.component import MetaflowCardComponent, component_id, render_safely

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DefaultComponent(MetaflowCardComponent):
    """A part that may have a title and a subtitle.

    Args:
        title: What is above it.
        subtitle: What is below that.
    """

    type: str | None = None

    def __init__(self, title: str | None = None, subtitle: str | None = None) -> None:
        self._title = title
        self._subtitle = subtitle

    def render(self) -> dict[str, Any]:
        """It as plain data of JSON."""
        found: dict[str, Any] = {"type": self.type}
        named = {"title": self._title, "subtitle": self._subtitle, "id": self.component_id}
        return {**found, **{name: it for name, it in named.items() if it}, **self._more()}

    def _more(self) -> Mapping[str, Any]:
        """What its mapping has besides type, titles and id."""
        return {}


def rendered(parts: Sequence[Any]) -> list[Any]:
    """Parts as plain data: those that are components are rendered."""
    return [render_safely(it) if isinstance(it, MetaflowCardComponent) else it for it in parts]


class PageComponent(DefaultComponent):
    """A page of a card, with parts one after the other."""

    type = "page"

    def __init__(
        self,
        title: str | None = None,
        subtitle: str | None = None,
        contents: Sequence[Any] = (),
    ) -> None:
        super().__init__(title, subtitle)
        self._contents = contents

    def _more(self) -> dict[str, Any]:
        return {"contents": rendered(self._contents)}


class SectionComponent(DefaultComponent):
    """Parts that belong together, beside one another where `columns` says so."""

    type = "section"

    def __init__(
        self,
        title: str | None = None,
        subtitle: str | None = None,
        columns: int | None = None,
        contents: Sequence[Any] = (),
    ) -> None:
        super().__init__(title, subtitle)
        self._columns = columns
        self._contents = contents

    def _more(self) -> dict[str, Any]:
        columns = {} if self._columns is None else {"columns": self._columns}
        return {"contents": rendered(self._contents)} | columns


class _Words(DefaultComponent):
    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self._text = text

    def _more(self) -> dict[str, Any]:
        return {"text": self._text}


class TitleComponent(_Words):
    """A title."""

    type = "title"


class SubTitleComponent(_Words):
    """A subtitle."""

    type = "subtitle"


class TextComponent(_Words):
    """A text."""

    type = "text"


class MarkdownComponent(_Words):
    """A text in Markdown."""

    type = "markdown"

    def _more(self) -> dict[str, Any]:
        return {"source": self._text}


class _Data(DefaultComponent):
    def __init__(self, data: Any = None) -> None:
        super().__init__()
        self._data = data

    def _more(self) -> dict[str, Any]:
        return {"data": self._data}


class LogComponent(_Data):
    """A message."""

    type = "log"


class HTMLComponent(_Data):
    """HTML, without what runs."""

    type = "html"


class PythonCodeComponent(_Data):
    """Python code."""

    type = "pythonCode"


class ErrorComponent(MetaflowCardComponent):
    """A message of an error."""

    def __init__(self, headline: str, error_message: str) -> None:
        self._headline = headline
        self._message = error_message

    def render(self) -> dict[str, Any]:
        """It as plain data of JSON."""
        return {
            "type": "log",
            "data": f"{self._headline}\n\n{self._message}",
            "id": component_id(self),
        }


class SerializationErrorComponent(ErrorComponent):
    """The message that a component can't be shown."""

    def __init__(self, component_name: str, error_message: str) -> None:
        super().__init__(f"{component_name} can't be rendered", error_message)


class ImageComponent(DefaultComponent):
    """A picture, as a `data:` text."""

    type = "image"

    def __init__(
        self,
        src: str | None = None,
        label: str | None = None,
        title: str | None = None,
        subtitle: str | None = None,
    ) -> None:
        super().__init__(title, subtitle)
        self._src = src
        self._label = label

    def _more(self) -> dict[str, Any]:
        return {"src": self._src, "label": self._label}


class TableComponent(DefaultComponent):
    """A table of plain data."""

    type = "table"

    def __init__(
        self,
        title: str | None = None,
        subtitle: str | None = None,
        headers: Sequence[str] = (),
        data: Sequence[Sequence[Any]] = ((),),
        vertical: bool = False,
    ) -> None:
        super().__init__(title, subtitle)
        self._headers = headers
        self._rows = data
        self._vertical = vertical

    def _more(self) -> dict[str, Any]:
        return {
            "columns": list(self._headers),
            "data": [rendered(row) for row in self._rows],
            "vertical": self._vertical,
        }


class ArtifactsComponent(DefaultComponent):
    """Rows of values: each has a `name`, a `type` and, as `data`, its text."""

    type = "artifacts"

    def __init__(
        self, title: str | None = None, subtitle: str | None = None, data: Any = ()
    ) -> None:
        super().__init__(title, subtitle)
        self._data = data

    def _more(self) -> dict[str, Any]:
        return {"data": list(self._data.values() if isinstance(self._data, dict) else self._data)}


class DagComponent(DefaultComponent):
    """The graph of a flow: `steps` by name, each with `next`, and the first and the last step."""

    type = "dag"

    def __init__(
        self, title: str | None = None, subtitle: str | None = None, data: Any = None
    ) -> None:
        super().__init__(title, subtitle)
        self._data = data

    def _more(self) -> dict[str, Any]:
        return {"data": self._data or {}}
