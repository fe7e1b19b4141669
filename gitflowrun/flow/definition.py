"""The completion of a flow class by what was given when its program was started.

What stands in the source is not all of a flow: `--with` adds decorators to its steps, and decorators look at the flow
before it runs. This is done in the process of the command line, and again in each process that runs tasks, which is
made before the command line is read or without one; so it depends on nothing but the class and what was given.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import initial_attributes
from gitflowrun.flow.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def complete(
    flow_cls: type[Any], specs: Iterable[str] = (), options: Mapping[str, Any] | None = None
) -> None:
    """Complete a flow class. Its graph must be sound. Doing it again in one process changes nothing.

    Args:
        flow_cls: The flow.
        specs: Decorators, described as text, for all steps that have none of the same name.
        options: What the options of the flow's decorators were given, by the options' names.

    Raises:
        FlowError: a decorator can't be, or can't be there.
    """
    found = attached(flow_cls)
    found.add(specs, steps_of(flow_cls))
    if found.flow or found.steps:
        _initialise(flow_cls, dict(options or {}))


def _initialise(flow_cls: Any, options: dict[str, Any]) -> None:
    found, graph = attached(flow_cls), FlowGraph.of(flow_cls)
    flow = flow_cls.__new__(flow_cls)
    vars(flow).update(initial_attributes(flow_cls))
    flow_decorators = [it for it in found.flow if it not in found.initialised]
    of_steps = [
        (step, it, decorators)
        for step, decorators in found.steps.items()
        for it in decorators
        if it not in found.initialised
    ]
    for decorator in (*flow_decorators, *(it for _, it, _ in of_steps)):
        decorator.init()
    for it in flow_decorators:
        it.flow_init(flow, graph, None, None, None, _log, _log, options)
    for step, made, decorators in of_steps:
        made.step_init(flow, graph, step, decorators, None, None, _log)
    for step, made, _ in of_steps:
        made.package_init(flow, step, None)
    found.initialised += [*flow_decorators, *(made for _, made, _ in of_steps)]


def _log(*words: object, **_options: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")
