"""What `moving_flows` do, with a plain object per task: each attribute goes on as a pickle of its own.

By that, two names of one object end with the step. What flows do otherwise than Python's own attributes (joins,
`merge_artifacts`, parameters) is written down here, without a thought of what is loaded when, and by which reference it
is passed on.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs import PLAIN, encode
from tests.flow.moves import Failed, act, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FIXED", "Model", "Place", "Script"]

Script = dict[str, list[Any]]
"""Moves by the name of a step."""
Place = tuple[str, tuple[int, ...], int]
"""A task: its step, the indices of its foreach levels, how often the step has run before."""
_Values = dict[str, bytes]
_Levels = tuple[tuple[bytes, int], ...]

FIXED = {"text": "a text", "table": {"k": [1]}}
"""The parameters."""


class UnhandledInMergeArtifactsException(Exception):
    """As the one of flows."""

    def __init__(self, names: Iterable[str]) -> None:
        self.artifact_names = list(names)


class MissingInMergeArtifactsException(UnhandledInMergeArtifactsException):
    """As the one of flows."""


class Plain:
    """A task's object."""

    __slots__ = ("__dict__", "__fixed", "__indices", "__items", "__stored")

    def __init__(self, values: _Values, levels: _Levels, stored: _Values | None = None) -> None:
        vars(self).update({name: pickle.loads(it) for name, it in values.items()})
        self.__fixed = pickle.loads(pickle.dumps(FIXED))
        self.__indices = [index for _, index in levels]
        self.__items = [pickle.loads(it)[index] for it, index in levels]
        self.__stored = stored or {}

    @property
    def index(self) -> Any:
        """As in flows."""
        return self.__indices[-1] if self.__indices else None

    @property
    def input(self) -> Any:
        """As in flows."""
        return self.__items[-1] if self.__items else None

    @property
    def text(self) -> Any:
        """A parameter."""
        return self.__fixed["text"]

    @property
    def table(self) -> Any:
        """A parameter."""
        return self.__fixed["table"]

    def merge_artifacts(
        self, inputs: Iterable[Plain], include: Any = (), exclude: Any = ()
    ) -> None:
        """All or nothing of what the inputs agree about, and is not there yet."""
        found: dict[str, list[bytes]] = {}
        for it in inputs:
            for name, value in it.__stored.items():
                is_wanted = name in include if include else name not in exclude
                if is_wanted and not hasattr(self, name):
                    found.setdefault(name, []).append(value)
        differing = [name for name, values in found.items() if len(set(map(_compared, values))) > 1]
        if differing:
            raise UnhandledInMergeArtifactsException(differing)
        missing = {name for name in include if name not in found and not hasattr(self, name)}
        if missing:
            raise MissingInMergeArtifactsException(missing)
        for name, values in found.items():
            setattr(self, name, pickle.loads(values[0]))


def _compared(stored: bytes) -> str:
    """A value as a join compares it: of plain ones neither order nor what is one object counts."""
    value = pickle.loads(stored)
    return shown(value, loosely=encode(value).codec == PLAIN)


@dataclass
class Model:
    """A run of plain objects: the pickles of every artifact of every task."""

    shape: str
    tasks: dict[Place, _Values] = field(default_factory=dict)

    def run(self) -> Model:
        """Run the flow of the shape."""
        getattr(self, f"_{self.shape.lower()}")(self._task("start", {}))
        return self

    def _task(self, step: str, parent: _Values, levels: _Levels = (), attempt: int = 0) -> _Values:
        flow = Plain(parent, levels)
        turn = vars(flow)["turn"] if step == "again" else 0
        error = None
        try:
            act(flow, f"again{turn}" if step == "again" else step, attempt=attempt)
        except Failed as failed:
            error = failed
            if step == "two":
                return self._task(step, parent, levels, attempt + 1)
        self._go_on(vars(flow), step, is_failed=error is not None)
        return self._stored(flow, (step, tuple(index for _, index in levels), turn))

    def _join(
        self, step: str, parents: list[_Values], of: tuple[_Levels, ...], levels: _Levels = ()
    ) -> _Values:
        flow = Plain({}, levels)
        inputs = [Plain(it, its, stored=it) for it, its in zip(parents, of, strict=True)]
        act(flow, step, inputs)
        return self._stored(flow, (step, tuple(index for _, index in levels), 0))

    def _stored(self, flow: Plain, place: Place) -> _Values:
        self.tasks[place] = {name: pickle.dumps(it) for name, it in vars(flow).items()}
        return self.tasks[place]

    def _go_on(self, values: dict[str, Any], step: str, *, is_failed: bool) -> None:
        """What flows assign beside their moves."""
        if self.shape == "Caught" and step == "one":
            values["failure"] = is_failed
        if self.shape == "Switch" and step == "start":
            values["turn"] = 0
        if step == "again":
            values["turn"] += 1
            values["way"] = "go" if values["turn"] < 3 else "on"
        if step == "fork":
            values["way"] = "one" if "a" in values else "two"

    def _after(self, steps: str, values: _Values, levels: _Levels = ()) -> _Values:
        for step in steps.split():
            values = self._task(step, values, levels)
        return values

    def _line(self, values: _Values) -> None:
        self._after("one two end", values)

    _caught = _line

    def _split(self, values: _Values) -> None:
        both = [self._after(step, values) for step in ("one", "two")]
        self._after("end", self._join("join", both, ((), ())))

    def _switch(self, values: _Values) -> None:
        values = self._after("again again again fork", values)
        self._after(f"{pickle.loads(values['way'])} end", values)

    def _each(self, values: _Values) -> None:
        levels = _items(values, "xs")
        every = [self._after("one two", values, it) for it in levels]
        self._after("end", self._join("join", every, levels))

    def _branched(self, values: _Values) -> None:
        levels, every = _items(values, "xs"), []
        for it in levels:
            body = self._after("body", values, it)
            both = [self._after(step, body, it) for step in ("one", "two")]
            every.append(self._join("inner", both, (it, it), it))
        self._after("end", self._join("join", every, levels))

    def _nested(self, values: _Values) -> None:
        levels, every = _items(values, "xs"), []
        for it in levels:
            one = self._after("one", values, it)
            inner = tuple((*it, *level) for level in _items(one, "ys"))
            each = [self._after("two", one, within) for within in inner]
            every.append(self._join("inner", each, inner, it))
        self._after("end", self._join("join", every, levels))


def _items(values: _Values, name: str) -> tuple[_Levels, ...]:
    return tuple(((values[name], index),) for index in range(len(pickle.loads(values[name]))))
