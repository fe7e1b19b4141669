"""The calls of a flow's mutators, in two stages: before the options of the command are read, and afterwards.

1. `pre_mutate` of the flow's mutators, those of its bases first, and on one class the lowest first; then of those
   that these have added.
2. `pre_mutate` of the mutators of each step, the lowest first.
3. `mutate` of the flow's mutators, then of the steps', in the same order, when `--with` has added what it adds.

A flow class is changed once in a process, and in every process of a run in the same way: a mutator may depend on the
class, on its configs, and on nothing else.
"""

from __future__ import annotations

from typing import Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.config.expression import evaluated
from gitflowrun.flow.config.known import visible_configs
from gitflowrun.flow.decorators.attached import AttachedDecorators, attached
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.steps import steps_of
from gitflowrun.flow.user_decorators.mutable import Mutation
from gitflowrun.flow.user_decorators.mutable_flow import MutableFlow
from gitflowrun.flow.user_decorators.user_decorator import (
    copied,
    declared,
    failed,
    full_name,
    initialise,
)

_EARLY, _LATE = "pre_mutate", "mutate"


def evaluate(flow_cls: type[Any]) -> None:
    """Look up what decorators and mutators are given of the flow's configs, which are known.

    Raises:
        ConfigError: an expression can't be evaluated.
    """
    found, configs = attached(flow_cls), visible_configs(flow_cls)
    ours: list[Any] = [found.flow, *found.steps.values()]
    for decorators in ours:
        for it in decorators:
            it.evaluate(configs)
    users: list[Any] = [found.flow_mutators, *found.wrappers.values(), *found.mutators.values()]
    for how in (declared(it) for kept in users for it in kept):
        how.args = tuple(evaluated(list(how.args), configs))
        how.kwargs = dict(evaluated(how.kwargs, configs))


def pre_mutate(flow_cls: type[Any]) -> None:
    """Call what mutators do before the options of the command are read.

    Raises:
        DecoratorError: a mutator fails.
    """
    found = attached(flow_cls)
    flow = f"flow {flow_cls.__name__!r}"
    for it in found.flow_mutators:
        initialise(it, flow)
    for it in found.flow_mutators:  # which those that are called may add to
        _call(flow_cls, it, _EARLY, flow)
    for step, mutators in _of_steps(flow_cls, found):
        place = f"step {step!r} of flow {flow_cls.__name__!r}"
        for it in mutators:
            initialise(it, place)
        called: list[Any] = []
        while waiting := [it for it in found.mutators[step] if it not in called]:
            called.append(waiting[0])
            _call(flow_cls, waiting[0], _EARLY, place, step)
    _renew(flow_cls, found)


def mutate(flow_cls: type[Any]) -> None:
    """Call what mutators do when the command line has been read.

    Raises:
        DecoratorError: a mutator fails.
    """
    found = attached(flow_cls)
    for it in list(found.flow_mutators):
        _call(flow_cls, it, _LATE, f"flow {flow_cls.__name__!r}")
    for step, _ in _of_steps(flow_cls, found):
        for mutator in list(found.mutators[step]):
            _call(flow_cls, mutator, _LATE, f"step {step!r} of flow {flow_cls.__name__!r}", step)
    _renew(flow_cls, found)


def try_decorators(flow_cls: type[Any]) -> None:
    """Call `init` of the decorators that users have written, so that its errors refuse the flow before a run begins.

    Raises:
        DecoratorError: one fails.
    """
    for step, wrappers in attached(flow_cls).wrappers.items():
        for it in wrappers:
            initialise(copied(it), f"step {step!r}")


def _of_steps(flow_cls: type[Any], found: AttachedDecorators) -> list[tuple[str, list[Any]]]:
    return [(it, list(found.mutators[it])) for it in steps_of(flow_cls) if found.mutators.get(it)]


def _call(
    flow_cls: type[Any], mutator: Any, method: str, place: str, step: str | None = None
) -> None:
    how = declared(mutator)
    chain = (*how.inserted_by, full_name(mutator))
    flow = MutableFlow(Mutation(flow_cls, method == _EARLY, chain, how.statically_defined))
    argument = flow if step is None else getattr(flow, step)
    try:
        returned = getattr(mutator, method)(argument)
    except Exception as error:
        raise failed(error, mutator, place, method) from error
    if type(returned).__name__ == "generator":
        unused = DecoratorError("it is a generator: it has a `yield`, so nothing in it was run")
        raise failed(unused, mutator, place, method)


def _renew(flow_cls: type[Any], found: AttachedDecorators) -> None:
    """Read the graph anew, which knows parameters and decorators, where these have changed."""
    if found.is_changed:
        found.is_changed = False
        FlowGraph.forget(flow_cls)
