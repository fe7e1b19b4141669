"""Components of values: tables, whose cells may be components, and artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import ARTIFACT_TEXT, ARTIFACT_TEXT_WHOLE, TABLE_ROWS_OF_FRAME
from gitflowrun.cards.components.component import (
    CannotBeShown,
    MetaflowCardComponent,
    UserComponent,
    cell,
    render_safely,
)
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Sequence


class Table(UserComponent):
    """A table.

    Args:
        data: Its rows, whose cells are values or components.
        headers: The heads of its columns.
        disable_updates: Whether its components stay as they are while the task runs.
    """

    REALTIME_UPDATABLE = True

    def __init__(
        self,
        data: Sequence[Sequence[Any]] | None = None,
        headers: Sequence[str] | None = None,
        disable_updates: bool = False,
    ) -> None:
        self._data: Any = [[]] if data is None else data
        self._headers: Any = [] if headers is None else headers
        if disable_updates:
            self.REALTIME_UPDATABLE = False

    @classmethod
    def from_dataframe(cls, dataframe: Any = None, truncate: bool = True) -> Table:
        """The table of a data frame of pandas or polars.

        Args:
            dataframe: The frame.
            truncate: Whether to show its first rows alone.
        """
        columns = getattr(dataframe, "columns", None)
        if columns is None or not hasattr(dataframe, "head"):
            return cls(headers=[f"Object type {type(dataframe).__name__} not supported"])
        head = dataframe.head(TABLE_ROWS_OF_FRAME) if truncate else dataframe
        if hasattr(head, "itertuples"):
            rows = [list(map(_frame_cell, row)) for row in head.itertuples(name=None)]
            names = [it for it in head.index.names if it is not None]
            return cls(rows, [str(names[0]) if len(names) == 1 else "", *map(str, columns)])
        return cls([list(map(_frame_cell, row)) for row in head.rows()], list(map(str, columns)))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: its components are updated, each by itself."""

    def _content(self) -> dict[str, Any]:
        if not isinstance(self._headers, list | tuple):
            raise CannotBeShown("the headers of a table are a list of texts")
        if not isinstance(self._data, list | tuple) or not all(
            isinstance(row, list | tuple) for row in self._data
        ):
            raise CannotBeShown("a Table takes a list of rows, each of which is a list of cells")
        return {
            "type": "table",
            "columns": [str(it) for it in self._headers],
            "data": [[_cell(it) for it in row] for row in self._data],
            "vertical": False,
        }


def _cell(value: Any) -> Any:
    if not isinstance(value, MetaflowCardComponent):
        return value if isinstance(value, list | dict) and _is_json(value) else cell(value)
    found = render_safely(value)
    if isinstance(found, dict) and found.get("type") == "vegaChart":
        return value.in_table() if hasattr(value, "in_table") else found
    return found


def _is_json(value: Any) -> bool:
    import json

    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return not (isinstance(value, dict) and "type" in value)  # it would be taken for a component


def _frame_cell(value: Any) -> Any:
    if hasattr(value, "isoformat") and value == value:  # noqa: PLR0124  (pandas' NaT is not)
        return value.isoformat()
    return cell(value)


class Artifact(UserComponent):
    """A value, as Python shows it.

    Args:
        artifact: The value.
        name: What it is called.
        compressed: Whether long values are cut.
    """

    REALTIME_UPDATABLE = True

    def __init__(self, artifact: Any, name: str | None = None, compressed: bool = True) -> None:
        self._artifact = artifact
        self._name = None if name is None else str(name)
        self._compressed = compressed

    def update(self, artifact: Any) -> None:
        """Show another value."""
        self._artifact = artifact

    def _content(self) -> dict[str, Any]:
        size = ARTIFACT_TEXT if self._compressed else ARTIFACT_TEXT_WHOLE
        row = {
            "type": _type_name(type(self._artifact)),
            "data": bounded_repr(self._artifact, size),
            "large_object": False,
            "supported_type": False,
            "only_repr": True,
            "name": self._name,
        }
        return {"type": "artifacts", "data": [row]}


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
