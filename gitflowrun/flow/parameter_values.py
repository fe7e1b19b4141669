"""The values of a run's parameters: checks of the declarations, then command line, environment and defaults.

How a text becomes a value is said in `parameter` (`Parameter.convert`). A value is what was given, else what the
environment says, else the default; a deploy-time function (a default that is a function) is called only when it comes
to that, once.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import (
    ParameterError,
    ParameterFieldFailed,
    ParameterFieldTypeMismatch,
    UsageError,
)
from gitflowrun.flow.current import task_facts
from gitflowrun.flow.definition import facts_of
from gitflowrun.flow.members import check_names, parameters_of
from gitflowrun.flow.parameter import SCALARS, Parameter
from gitflowrun.names import did_you_mean
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from gitflowrun.flow.flowspec import FlowSpec

    Ask = Callable[[Parameter], str | None]

_RESERVED = (
    "clone", "decospecs", "help", "max-log-size", "max-num-splits", "max-workers", "namespace", "obj",
    "params", "run-id", "run-id-file", "runner-attribute-file", "tag", "tags", "task-id",
    "user-namespace", "with",
)  # fmt: skip
RESERVED_PARAMETERS = frozenset(_RESERVED) | {name.replace("-", "_") for name in _RESERVED}
_NAME = re.compile(r"[^\W\d_][\w-]*\Z")
_NOTHING: Any = object()


@frozen
class ParameterContext:
    """The argument of a deploy-time function, Metaflow's class of that name.

    Attributes:
        flow_name: The flow.
        user_name: Who runs it.
        parameter_name: The parameter it computes.
        logger: Prints a line for the user.
        ds_type: The kind of datastore, in Metaflow's words.
        configs: The flow's configs by name; None for a function that computes a config.
    """

    flow_name: str
    user_name: str
    parameter_name: str
    logger: Callable[..., None]
    ds_type: str = "local"
    configs: Mapping[str, Any] | None = None


def check_parameters(flow_cls: type[FlowSpec]) -> None:
    """Check the declarations of a flow's parameters, and that neither they nor constants hide what steps need.

    Raises:
        FlowError: a constant or another attribute hides it.
        ParameterError: a name that can't be, is reserved or taken, a type that can't be, a default that is
            not of the parameter's type.
    """
    check_names(flow_cls)
    names: dict[str, str] = {}
    for attribute, parameter in parameters_of(flow_cls).items():
        _check_name(parameter)
        other = names.setdefault(parameter.name.lower(), attribute)
        if other != attribute:
            raise ParameterError(
                f"the parameters {other!r} and {attribute!r} have the same name {parameter.name!r} "
                "(upper and lower case count as the same)",
                hint="give one of them another name",
            )
        parameter.check()


def resolve(
    flow_cls: type[FlowSpec],
    given: Mapping[str, object],
    *,
    username: str = "",
    environ: Mapping[str, str] | None = None,
    logger: Callable[..., None] = lambda *_lines, **_options: None,
    hint: Callable[[Parameter], str] | None = None,
    ask: Ask = lambda _parameter: None,
    configs: Mapping[str, Any] | None = None,
    again: Container[str] = (),
) -> dict[str, Any]:
    """The value of every parameter of a run, by attribute.

    Args:
        flow_cls: The flow.
        given: Attribute name to value, of the parameters that were given; taken as they are.
        username: Who runs, for deploy-time functions.
        environ: The environment; that of this process when None.
        logger: Prints a line for the user, in deploy-time functions.
        hint: How to give a parameter that has no value; by its option when None.
        ask: Asks the user for the text of a secret parameter; None when nobody can be asked.
        configs: The flow's configs by name, for deploy-time functions.
        again: Attributes whose values the run's origin had as secrets: they are needed, and defaults don't count.

    Returns:
        A value for each parameter; None for one that is not required and has no default.

    Raises:
        UsageError: an unknown or missing parameter, or a bad value in the environment.
        ParameterError: a declaration or a deploy-time function is wrong.
    """
    check_parameters(flow_cls)
    parameters = parameters_of(flow_cls)
    unknown = [name for name in given if name not in parameters]
    if unknown:
        raise UsageError(
            f"flow {flow_cls.__name__!r} has no parameter {unknown[0]!r}",
            hint=did_you_mean(unknown[0], parameters, "`run --help` lists the parameters"),
        )
    environment = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for attribute, parameter in parameters.items():
        if attribute in given:
            values[attribute] = given[attribute]
            continue
        value = _found(flow_cls, parameter, environment, username, logger, configs)
        is_needed = parameter.required or attribute in again
        if value is _NOTHING and is_needed and (parameter.is_secret or attribute in again):
            answer = ask(parameter)
            value = parameter.convert(answer) if answer else _NOTHING
        if value is _NOTHING and is_needed:
            raise UsageError(
                f"parameter {parameter.name!r} must be given", hint=(hint or _option)(parameter)
            )
        values[attribute] = parameter.called_back(
            parameter.static_default() if value is _NOTHING else value
        )
    return values


def _check_name(parameter: Parameter) -> None:
    name = parameter.name
    if not isinstance(name, str) or not _NAME.match(name):
        raise ParameterError(
            f"{name!r} can't name a parameter",
            hint="use letters, digits, - and _, and begin with a letter",
        )
    if name in RESERVED_PARAMETERS:
        raise ParameterError(
            f"parameter {name!r}: the name is reserved for an option of `run`",
            hint="give the parameter another name; the attribute may keep its own",
        )


def _option(parameter: Parameter) -> str:
    add = f"add --{parameter.name} VALUE"
    return f"set {parameter.envvars[0]}, or {add}" if parameter.is_secret else add


def _found(
    flow_cls: type[FlowSpec],
    parameter: Parameter,
    environ: Mapping[str, str],
    username: str,
    logger: Callable[..., None],
    configs: Mapping[str, Any] | None,
) -> Any:
    """The value of a parameter that was not given, as the environment or a function has it."""
    for variable in parameter.envvars:
        if environ.get(variable):  # an empty one counts as none, as for click
            try:
                return parameter.convert(environ[variable])
            except UsageError as error:
                raise UsageError(
                    f"{error.message} (from the environment variable {variable})", hint=error.hint
                ) from None
    if parameter.deploy_time:
        context = ParameterContext(
            flow_cls.__name__, username, parameter.name, logger, configs=configs
        )
        what = f"parameter {parameter.name!r}"
        value = call_deploy_time(what, parameter.default, context, facts_of(flow_cls))
        return _checked(parameter, value)
    return _NOTHING


def call_deploy_time(
    what: str,
    function: Callable[..., Any],
    context: ParameterContext,
    facts: Mapping[str, Any] | None = None,
) -> Any:
    """What a function returns that computes something when a run starts.

    Args:
        what: What it computes, in messages.
        function: The function.
        context: Its argument.
        facts: What `current` has besides the names of flow and user.

    Raises:
        ParameterError: it fails.
    """
    # Metaflow's own functions take a second argument: whether the flow is deployed.
    arguments = (context, False) if _takes_two(function) else (context,)
    facts = {**(facts or {}), "flow_name": context.flow_name, "username": context.user_name}
    with task_facts(facts):
        try:
            return function(*arguments)
        except Exception as error:
            # The first frame is our own call.
            trace = error.__traceback__.tb_next if error.__traceback__ else None
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            raise ParameterFieldFailed(
                f"the function that computes {what} failed: {type(error).__name__}: {error}",
                hint="it is called with one argument, a ParameterContext, when a run starts",
                line=trace.tb_lineno if trace else None,
                source=trace.tb_frame.f_code.co_filename if trace else None,
            ) from error


def _takes_two(function: Callable[..., Any]) -> bool:
    import inspect

    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _checked(parameter: Parameter, value: Any) -> Any:
    # JSON may come as text or as the value itself, and a custom type judges for itself.
    expected = parameter.type
    if parameter.is_scalar and expected in SCALARS and type(value) is not expected:
        raise ParameterFieldTypeMismatch(
            f"the function that computes parameter {parameter.name!r} returned {type(value).__name__}, "
            f"not {expected.__name__}",
            hint=f"return {expected.__name__}, or declare type={type(value).__name__}",
        )
    return parameter.convert(value)
