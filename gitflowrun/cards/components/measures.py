"""Components of numbers: charts, progress and values in large figures."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from gitflowrun.cards.components.component import CannotBeShown, UserComponent, cell

_MOST = {"title": 200, "subtitle": 300, "change_indicator": 200}
_VALUE = 100


class VegaChart(UserComponent):
    """A chart of Vega-Lite, or of Vega.

    Args:
        spec: Its specification.
        show_controls: Whether it has a menu to save it as a picture.
    """

    REALTIME_UPDATABLE = True
    type = "vegaChart"

    def __init__(self, spec: dict[str, Any], show_controls: bool = False) -> None:
        self._spec = spec
        self._show_controls = show_controls

    @classmethod
    def from_altair_chart(cls, altair_chart: Any) -> VegaChart:
        """The chart of Altair.

        Raises:
            ValueError: it is none.
        """
        module = type(altair_chart).__module__.partition(".")[0]
        if module != "altair" or not hasattr(altair_chart, "to_dict"):
            msg = f"{type(altair_chart).__name__} is not an altair chart"
            raise ValueError(msg)
        return cls(spec=altair_chart.to_dict())

    def update(self, spec: dict[str, Any] | None = None) -> None:
        """Show another specification."""
        if spec is not None:
            self._spec = spec

    def _content(self, *, fill: bool = True) -> dict[str, Any]:
        if not isinstance(self._spec, dict):
            kind = type(self._spec).__name__
            raise CannotBeShown(f"VegaChart takes a specification, a dict, not a {kind}")
        spec = copy.copy(self._spec)
        if fill and "width" not in spec and _is_of_one_view(spec):
            spec["width"] = "container"
        found: dict[str, Any] = {"type": "vegaChart", "spec": spec}
        return found if self._show_controls else {**found, "options": {"actions": False}}

    def in_table(self) -> dict[str, Any]:
        """It as a cell of a table, whose width is its own."""
        from gitflowrun.cards.components.component import plain

        return {"id": self._identified()} | dict(plain(self._content(fill=False)))


def _is_of_one_view(spec: dict[str, Any]) -> bool:
    """Whether a chart can be as wide as what it is in: one of Vega-Lite, without charts beside one another."""
    many = {"hconcat", "vconcat", "concat", "facet", "repeat"}
    return "/schema/vega/" not in str(spec.get("$schema")) and not many & spec.keys()


class ProgressBar(UserComponent):
    """A progress bar.

    Args:
        max: What is to be reached.
        label: What is beside it.
        value: How far it is.
        unit: What is counted.
        metadata: What else is to be said.
    """

    REALTIME_UPDATABLE = True
    type = "progressBar"

    def __init__(
        self,
        max: int = 100,  # noqa: A002  (Metaflow's name)
        label: str | None = None,
        value: int = 0,
        unit: str | None = None,
        metadata: str | None = None,
    ) -> None:
        self._max = max
        self._label = label
        self._value = value
        self._unit = unit
        self._metadata = metadata

    def update(self, new_value: int, metadata: str | None = None) -> None:
        """Show how far it is now."""
        self._value = new_value
        if metadata is not None:
            self._metadata = metadata

    def _content(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "progressBar", "max": self._max, "value": self._value}
        more = {"label": self._label, "unit": self._unit, "details": self._metadata}
        return found | {name: cell(value) for name, value in more.items() if value}


class ValueBox(UserComponent):
    """A value in large figures.

    Args:
        title: What it is.
        value: The value.
        subtitle: What is below it.
        theme: One of `VALID_THEMES`.
        change_indicator: How it has changed, as `+5%`.

    Raises:
        TypeError, ValueError: one of them is of another type, empty or too long.
    """

    REALTIME_UPDATABLE = True
    type = "valueBox"
    VALID_THEMES: ClassVar[set[str]] = {
        "default", "success", "warning", "danger", "bg-gradient-indigo-purple",
    }  # fmt: skip

    def __init__(
        self,
        title: str | None = None,
        value: str | float = "",
        subtitle: str | None = None,
        theme: str | None = None,
        change_indicator: str | None = None,
    ) -> None:
        if value is None:
            raise ValueError("Value is required and cannot be None")
        self._shown: dict[str, Any] = {}
        self._set(
            title=title, value=value, subtitle=subtitle, theme=theme,
            change_indicator=change_indicator,
        )  # fmt: skip

    def update(
        self,
        title: str | None = None,
        value: str | float | None = None,
        subtitle: str | None = None,
        theme: str | None = None,
        change_indicator: str | None = None,
    ) -> None:
        """Show other contents where they are given."""
        self._set(
            title=title, value=value, subtitle=subtitle, theme=theme,
            change_indicator=change_indicator,
        )  # fmt: skip

    def _set(self, **given: Any) -> None:
        for name, value in given.items():
            if value is not None:
                _check(name, value)
        self._shown |= {name: value for name, value in given.items() if value is not None}

    def _content(self) -> dict[str, Any]:
        return {"type": "valueBox"} | {name: cell(value) for name, value in self._shown.items()}


def _check(name: str, value: Any) -> None:
    word = name.replace("_", " ").capitalize()
    if name == "value":
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            msg = f"Value must be str, int, or float, got {type(value).__name__}"
            if not _is_number(value):
                raise TypeError(msg)
        if isinstance(value, str) and not value.strip():
            raise ValueError("String value cannot be empty or whitespace only")
        if isinstance(value, str) and len(value) > _VALUE:
            raise ValueError(
                f"String value must be {_VALUE} characters or less, got {len(value)} characters"
            )
        return
    if not isinstance(value, str):
        raise TypeError(f"{word} must be a string, got {type(value).__name__}")
    if len(value) > _MOST.get(name, len(value)):
        raise ValueError(
            f"{word} must be {_MOST[name]} characters or less, got {len(value)} characters"
        )


def _is_number(value: Any) -> bool:
    """Whether it is a number of a library, or a flag."""
    return isinstance(value, bool) or type(value).__module__.partition(".")[0] == "numpy"
