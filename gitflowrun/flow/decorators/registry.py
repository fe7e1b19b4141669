"""All decorators by name: those of the package, and those that a program has defined.

Their modules are imported when a name is used: a flow with `@retry` loads one of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import FlowDecorator, StepDecorator
from gitflowrun.names import what_there_is

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "gitflowrun.flow.decorators"
STEP_DECORATORS = {
    "batch": "clusters",
    "card": "card",
    "catch": "catch",
    "conda": "packages",
    "environment": "environment",
    "isolation": "resources",
    "kubernetes": "clusters",
    "parallel": "parallel",
    "pypi": "packages",
    "pytorch_parallel": "parallel",
    "resources": "resources",
    "retry": "retry",
    "secrets": "secrets",
    "timeout": "timeout",
    "uv": "packages",
}
"""The decorators of steps: name to module."""
FLOW_DECORATORS = {
    "conda_base": "packages",
    "exit_hook": "exit_hook",
    "project": "project",
    "pypi_base": "packages",
    "schedule": "triggers",
    "trigger": "triggers",
    "trigger_on_finish": "triggers",
}
"""The decorators of flows: name to module."""


def step_decorator(name: str) -> type[StepDecorator]:
    """The class of a decorator of steps.

    Raises:
        DecoratorError: there is none of that name.
    """
    found: type[StepDecorator] = _find(name, STEP_DECORATORS, StepDecorator)
    return found


def flow_decorator(name: str) -> type[FlowDecorator]:
    """The class of a decorator of flows.

    Raises:
        DecoratorError: there is none of that name.
    """
    found: type[FlowDecorator] = _find(name, FLOW_DECORATORS, FlowDecorator)
    return found


def _find(name: str, modules: dict[str, str], base: Any) -> Any:
    if name in modules:
        importlib.import_module(f"{_PACKAGE}.{modules[name]}")
    found = {kind.name: kind for kind in all_below(base) if kind.name != base.name}
    if name in found:
        return found[name]
    names = sorted({*modules, *found})
    of = "steps" if base is StepDecorator else "flows"
    raise DecoratorError(
        f"there is no decorator {name!r} for {of}",
        hint=what_there_is(name, names, "there are"),
    )


def all_below(base: type) -> Iterator[Any]:
    """All classes that derive from one."""
    kinds: list[Any] = base.__subclasses__()
    for kind in kinds:
        yield kind
        yield from all_below(kind)
