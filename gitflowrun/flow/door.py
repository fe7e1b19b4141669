"""The two doors that lead out of this room against the layers, and the bolt on them. Nothing else may.

A flow file ends with `MyFlow()`, and that call *is* the command line: so the lowest class a user writes opens
the highest room of the package. Imports point downwards all the same, because the room is looked up by name
when the door is opened. The second door leads to the sibling `client`, for `current.run` and `current.task`.

While a step runs the first door is bolted: a flow class that a step instantiates is just an object.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["bolted", "initial_attributes", "open_cli", "open_client"]

_bolts = 0
_initial: dict[type, dict[str, Any]] = {}


def open_cli(flow: object) -> None:
    """Hand the flow of a script to the command line, which ends the process; do nothing inside a task."""
    if _bolts:
        return
    _initial[type(flow)] = dict(vars(flow))
    importlib.import_module("gitflowrun.cli.flow.start").main(type(flow))


def initial_attributes(flow_cls: type) -> dict[str, Any]:
    """What a flow's own `__init__` had set when it opened the door: every task begins with it."""
    return dict(_initial.get(flow_cls, {}))


@contextmanager
def bolted() -> Iterator[None]:
    """Keep the command line shut while a step runs."""
    global _bolts  # noqa: PLW0603  (a bolt is a fact about the process)
    _bolts += 1
    try:
        yield
    finally:
        _bolts -= 1


def open_client(kind: str, pathspec: str) -> Any:
    """The client's object of class `kind`, whatever the namespace in use."""
    cls = getattr(importlib.import_module("gitflowrun.client"), kind)
    return cls(pathspec, _namespace_check=False)
