"""The values that a user puts in the place of what a spun task would inherit: `ARTIFACTS` of a module of theirs.

The module is executed in the task's own process, so its values may be anything, and none is stored on the way. Of a
join the keys are the pathspecs of its inputs, `12/train/3`, each with the values for that input.

Secret parameters are refused: what hides a secret was made of the parameters' own values before the task began, so one
from here would be recorded as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError
from gitflowrun.flow.failure import explained
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.members import parameters_of
from gitflowrun.flow.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.parameter import Parameter
    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.messages import Parent
    from gitflowrun.runtime.worker.task_secrets import Secrets

_NAME = "ARTIFACTS"
_LISTED = 10
_TOLD = 1_000
_READ, _SHOWN = 4_000, 200
"""Characters of a value in which secrets are looked for, and that are told."""
Values = Mapping[str, Any]


def load_artifacts(path: str, flow_cls: type[FlowSpec], step: str, secrets: Secrets) -> Values:
    """What a module gives to a task that is no join.

    Args:
        path: The module's file.
        flow_cls: The flow.
        step: The task's step.
        secrets: The secrets of the spun task's run.

    Raises:
        FlowError: the module fails, or has no such thing; or it gives a secret parameter.
    """
    values, what = _read(path), f"{_NAME} of {path}"
    _check(values, what, flow_cls, step, secrets)
    return values


def load_artifacts_of_inputs(
    path: str,
    flow_cls: type[FlowSpec],
    step: str,
    origin: RunIdentity,
    parents: Sequence[Parent],
    secrets: Secrets,
) -> list[Values]:
    """What a module gives to each input of a join, in their order.

    Args:
        path: The module's file.
        flow_cls: The flow.
        step: The join.
        origin: The run of the inputs.
        parents: The inputs.
        secrets: The secrets of the spun task's run.

    Raises:
        FlowError: the module fails, has no such thing, or names what is no input; or it gives a secret parameter.
    """
    found = _read(path)
    places = {key: index for index, it in enumerate(parents) for key in _keys(origin, it.name)}
    given: list[Values] = [{} for _ in parents]
    for key, values in found.items():
        if key not in places:
            names = [f"{origin.id}/{it.name}" for it in parents[:_LISTED]]
            more = ["..."] * (len(parents) > _LISTED)
            raise FlowError(
                f"{_NAME} of {path} has the key {key!r}, which is no input of join {step!r}",
                hint=f"its keys are pathspecs of inputs: {', '.join([*names, *more])}",
            )
        what = f"{_NAME}[{key!r}] of {path}"
        given[places[key]] = _mapping(values, what)
        _check(given[places[key]], what, flow_cls, step, secrets)
    return given


def told(given: Iterable[tuple[str, Values]], secrets: Secrets) -> dict[str, str]:
    """Given values as the task's record has them: texts, cut where they are long, of so many values.

    Args:
        given: What stands in front of their names, and the values.
        secrets: The secrets of the spun task's run, which no text may show.
    """
    every = ((f"{front}{name}", value) for front, values in given for name, value in values.items())
    found = {name: _cut(secrets.text(brief(value, _READ))) for name, value in islice(every, _TOLD)}
    if more := sum(1 for _ in every):
        found["..."] = f"and {more:,} more"
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _keys(origin: RunIdentity, task: TaskName) -> tuple[str, str, str]:
    return f"{origin.id}/{task}", f"{origin.pathspec}/{task}", str(task)


def _read(path: str) -> Values:
    """What a module calls so. It can be imported by its name afterwards, which pickles of its classes need."""
    name = Path(path).stem
    loader = SourceFileLoader(name, path)
    spec = spec_from_loader(name, loader)
    assert spec is not None  # for there is a loader
    module = module_from_spec(spec)
    sys.modules.setdefault(name, module)
    try:
        loader.exec_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        own = error.__traceback__
        text = explained(error.with_traceback(own.tb_next if own else None))
        raise FlowError(f"the artifacts module {path} failed:\n{text}".rstrip()) from None
    if _NAME not in vars(module):
        raise FlowError(
            f"the artifacts module {path} has no {_NAME}",
            hint=f'it defines a dictionary: {_NAME} = {{"name": value}}',
        )
    return _mapping(vars(module)[_NAME], f"{_NAME} of {path}")


def _mapping(values: Any, what: str) -> Values:
    if not isinstance(values, Mapping):
        raise FlowError(
            f"{what} is {type(values).__name__}, not a dictionary",
            hint="its keys are names of artifacts; of a join, pathspecs of inputs",
        )
    return values


def _check(
    values: Values, what: str, flow_cls: type[FlowSpec], step: str, secrets: Secrets
) -> None:
    """See that each key can name an artifact, and that none is a secret parameter. Raises FlowError."""
    parameters = parameters_of(flow_cls)
    for name in values:
        if not isinstance(name, str) or not name.isidentifier():
            raise FlowError(
                f"{what} has the key {name!r}, which can't name an artifact of step {step!r}"
            )
        if name in steps_of(flow_cls):
            raise FlowError(f"{what} has the key {name!r}, which is a step of the flow")
        parameter = parameters.get(name)
        if parameter is not None and (parameter.is_secret or name in secrets):
            raise _refused(what, parameter, name in secrets)


def _refused(what: str, parameter: Parameter, is_hidden: bool) -> FlowError:
    """The error that a secret parameter is given; whether the run keeps its value secret tells how to give it."""
    variable = parameter.envvars[0]
    hint = (
        f"`spin` takes its value from {variable}, or asks for it on a terminal"
        if is_hidden
        else f"`run` with {variable} makes a run that has a secret there, and `spin` asks for it again; "
        f"declare {parameter.attribute} with secret=False if it is none"
    )
    return FlowError(
        f"{what} has the key {parameter.attribute!r}, which is a secret parameter: its value would be recorded",
        hint=hint,
    )
