"""The completion of a flow class by what was given when its program was started.

What stands in the source is not all of a flow: `--with` adds decorators to its steps, and decorators look at the flow
before it runs. This is done in the process of the command line, and again in each process that runs tasks, which is
made before the command line is read or without one; so it depends on nothing but the class and what was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError, MetaflowException
from gitflowrun.flow.current import task_facts
from gitflowrun.flow.decorators.attached import attached, being_initialised
from gitflowrun.flow.decorators.base import AbsentPart
from gitflowrun.flow.failure import message_of, users_line_of
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import initial_attributes, uses_configs
from gitflowrun.flow.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitflowrun.flow.decorators.attached import AttachedDecorators
    from gitflowrun.flow.decorators.base import Decorator, StepDecorator


def _silent(*_words: object, **_options: object) -> None:
    """Say nothing: the program has said it, and its tasks need not."""


def begin(flow_cls: type[Any]) -> None:
    """Do the first stage of the completion: what must be known before the options of a command are read.

    Mutators may add parameters to the flow, which are options. Configs must be known. Doing it again changes nothing.

    Raises:
        FlowError: a mutator fails, or a decorator can't be there.
    """
    found = attached(flow_cls)
    if (found.has_mutators or found.wrappers) and not found.is_early_done:
        from gitflowrun.flow.user_decorators.mutation import (  # few flows have any
            evaluate,
            pre_mutate,
        )

        found.is_early_done = True
        if uses_configs(flow_cls):
            evaluate(flow_cls)
        pre_mutate(flow_cls)


def define(flow_cls: type[Any], specs: Iterable[str] = ()) -> None:
    """Do the second stage: give the flow's steps all decorators that they are to have. Again, nothing changes.

    Args:
        flow_cls: The flow.
        specs: Decorators, described as text, for all steps that have none of the same name.

    Raises:
        FlowError: as for `begin`; or there is no such decorator.
    """
    begin(flow_cls)
    found = attached(flow_cls)
    gangs = found.gangs()
    found.add(specs, steps_of(flow_cls))
    if found.gangs() != gangs:
        FlowGraph.forget(flow_cls)
    if found.has_mutators and not found.is_late_done:
        from gitflowrun.flow.user_decorators.mutation import evaluate, mutate

        found.is_late_done = True
        mutate(flow_cls)
        if uses_configs(flow_cls):
            evaluate(flow_cls)


def complete(
    flow_cls: type[Any],
    specs: Iterable[str] = (),
    options: dict[str, Any] | None = None,
    user: str = "",
    log: Callable[..., None] = _silent,
    configs: Mapping[str, Any] | None = None,
    only: str | None = None,
) -> None:
    """Complete a flow class. Its graph must be sound. Doing it again in one process changes nothing.

    What was not done yet of `begin` and `define` is done; then decorators look at the flow.

    Args:
        flow_cls: The flow.
        specs: Decorators, described as text, for all steps that have none of the same name.
        options: What the options of the flow's decorators were given, by the options' names. Decorators may replace
            texts by what these mean.
        user: Who runs the flow.
        log: Called with what decorators have to say.
        configs: The flow's configs as plain data, by attribute; None where they are applied already.
        only: The only step that runs, whose decorators stay; none stay at all where it is empty.

    Raises:
        ConfigError: an expression of configs can't be evaluated.
        FlowError: a decorator can't be, or can't be there.
    """
    if configs is not None and uses_configs(flow_cls):
        from gitflowrun.flow.config.known import apply_configs  # few flows have any

        apply_configs(flow_cls, configs)
    define(flow_cls, specs)
    found = attached(flow_cls)
    if only is not None:
        found.narrow(only)
    if found.flow or found.steps:
        with task_facts({"flow_name": flow_cls.__name__, "username": user}):
            _initialise(flow_cls, {} if options is None else options, log)


def facts_of(flow_cls: type[Any]) -> dict[str, Any]:
    """What the decorators of a complete flow class add to `current`."""
    return {name: value for it in attached(flow_cls).flow for name, value in it.facts().items()}


def system_tags_of(flow_cls: type[Any]) -> tuple[str, ...]:
    """The tags that the decorators of a complete flow class give to its runs."""
    return tuple(dict.fromkeys(tag for it in attached(flow_cls).flow for tag in it.system_tags()))


def metadata_of(flow_cls: type[Any]) -> dict[str, str]:
    """What the decorators of a complete flow class note about its runs."""
    return {name: text for it in attached(flow_cls).flow for name, text in it.metadata().items()}


def notices_of(flow_cls: type[Any]) -> tuple[str, ...]:
    """What the decorators of a flow class have to tell the user, each sentence once."""
    found = attached(flow_cls)
    everything = (*found.flow, *(it for decorators in found.steps.values() for it in decorators))
    return tuple(dict.fromkeys(text for it in everything if (text := it.notice())))


def option_declarations(flow_cls: type[Any]) -> dict[str, Mapping[str, Any]]:
    """The options that the decorators of a flow class add to its command line, by name: click's arguments.

    Raises:
        FlowError: as for `begin`: mutators may add such decorators. Those that depend on configs add them too late
            for their options.
    """
    if not uses_configs(flow_cls):
        begin(flow_cls)
    return {name: it for made in attached(flow_cls).flow for name, it in made.options.items()}


def try_decorators(flow_cls: type[Any]) -> None:
    """Find mistakes in decorators that users have written before a run begins: each is made and thrown away.

    Raises:
        DecoratorError: one can't be made with its arguments.
    """
    if attached(flow_cls).wrappers:
        from gitflowrun.flow.user_decorators import mutation  # few flows have any

        mutation.try_decorators(flow_cls)


def _initialise(flow_cls: Any, options: dict[str, Any], log: Callable[..., None]) -> None:
    found = attached(flow_cls)
    flow = flow_cls.__new__(flow_cls)
    vars(flow).update(initial_attributes(flow_cls))
    parts = AbsentPart("environment"), AbsentPart("datastore", flow_name=flow_cls.__name__)
    flow_decorators = [it for it in found.flow if it not in found.initialised]
    of_steps = _not_initialised(found)
    _prepare(flow_cls, [*flow_decorators, *(it for _, it, _ in of_steps)])
    # By the names that they were declared by, and by those of click.
    declared = [name for made in flow_decorators for name in made.options if "-" in name]
    options.update({it: options[at] for it in declared if (at := it.replace("-", "_")) in options})
    graph, provider = FlowGraph.of(flow_cls), AbsentPart("metadata provider")
    for it in flow_decorators:
        _call(it, "flow_init", flow, graph, *parts, provider, log, log, options)
    found.initialised += flow_decorators
    while of_steps:
        found.initialised += [made for _, made, _ in of_steps]
        with being_initialised(found):
            for step, made, decorators in of_steps:
                _call(made, "step_init", flow, graph, step, decorators, *parts, log)
        for step, made, _ in of_steps:
            _call(made, "package_init", flow, step, parts[0])
        of_steps = _not_initialised(found)  # those that these have attached
        _prepare(flow_cls, [it for _, it, _ in of_steps])


def _not_initialised(
    found: AttachedDecorators,
) -> list[tuple[str, StepDecorator, list[StepDecorator]]]:
    return [
        (step, it, decorators)
        for step, decorators in found.steps.items()
        for it in decorators
        if it not in found.initialised
    ]


def _prepare(flow_cls: Any, every: Sequence[Decorator]) -> None:
    """Evaluate what decorators have of configs, and call their `init`."""
    if any(decorator.pending for decorator in every):
        from gitflowrun.flow.config.known import visible_configs

        configs = visible_configs(flow_cls)
        for decorator in every:
            decorator.evaluate(configs)
    for decorator in every:
        _call(decorator, "init")


def _call(decorator: Decorator, hook: str, *arguments: Any) -> None:
    """Call a hook; what one of the user's raises is their mistake, and told with its line."""
    try:
        getattr(decorator, hook)(*arguments)
    except MetaflowException:
        raise
    except Exception as error:
        if type(decorator).__module__.startswith("gitflowrun."):
            raise
        source, line = users_line_of(error) or (None, None)
        raise DecoratorError(
            f"@{decorator.name}.{hook} failed: {type(error).__name__}: {message_of(error)}",
            line=line,
            source=source,
        ) from error
