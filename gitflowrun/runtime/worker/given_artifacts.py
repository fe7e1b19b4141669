"""The values that a user puts in the place of what a spun task would inherit: `ARTIFACTS` of a module of theirs.

The module is executed in the task's own process, so its values may be anything, and none is stored on the way. Of a
join the keys are the pathspecs of its inputs, `12/train/3`, each with the values for that input.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import FlowError
from gitflowrun.flow.failure import explained
from gitflowrun.flow.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.names import TaskName
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.messages import Parent

_NAME = "ARTIFACTS"
_LISTED = 10
Values = Mapping[str, Any]


def load_artifacts(path: str, flow_cls: type, step: str) -> Values:
    """What a module gives to a task that is no join.

    Args:
        path: The module's file.
        flow_cls: The flow.
        step: The task's step.

    Raises:
        FlowError: the module fails, or has no such thing.
    """
    return _checked(_read(path), f"{_NAME} of {path}", flow_cls, step)


def load_artifacts_of_inputs(
    path: str, flow_cls: type, step: str, origin: RunIdentity, parents: Sequence[Parent]
) -> list[Values]:
    """What a module gives to each input of a join, in their order.

    Args:
        path: The module's file.
        flow_cls: The flow.
        step: The join.
        origin: The run of the inputs.
        parents: The inputs.

    Raises:
        FlowError: the module fails, has no such thing, or names what is no input.
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
        given[places[key]] = _checked(_mapping(values, what), what, flow_cls, step)
    return given


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


def _checked(values: Values, what: str, flow_cls: type, step: str) -> Values:
    for name in values:
        if not isinstance(name, str) or not name.isidentifier():
            raise FlowError(
                f"{what} has the key {name!r}, which can't name an artifact of step {step!r}"
            )
        if name in steps_of(flow_cls):
            raise FlowError(f"{what} has the key {name!r}, which is a step of the flow")
    return values
