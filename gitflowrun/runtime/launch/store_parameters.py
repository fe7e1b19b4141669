"""Evaluates and stores the parameters of a run before the run has a number.

1. Deploy-time functions, parsers and types make the values; a clone or a resumed run evaluates what neither the user
   nor its origin gives. Whatever fails here leaves no run behind.
2. Values and the flow's constants are encoded. Small ones travel to the scheduler with the message; large ones and
   the content of included files are written as a kept pack, piece by piece, as a task writes its artifacts.

The scheduler makes the run's `_parameters` task of the result: no process is started for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gitflowrun import limits
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runtime.ipc.messages import InheritedParameters, StoredParameters
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.launch.program import spelled, typed_command
from gitflowrun.settings import user_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.artifacts.artifacts import Saved
    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.parameter import Parameter
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.ipc.request import RunRequest


def store_parameters(
    flow_cls: type[FlowSpec],
    repository: Repository,
    request: RunRequest,
    origin: InheritedParameters | None = None,
) -> StoredParameters:
    """Evaluate a flow's parameters and store them with its constants, as far as the origin has none.

    Args:
        flow_cls: The flow.
        repository: Where large values are written to.
        request: What the user asked for and gave.
        origin: What the run has from its origin; the user's values win.

    Raises:
        UsageError: a parameter is missing or not of its type.
        ParameterError: the function that computes one fails.
        UnserializableArtifact: a value can't be stored.
        RepositoryError: nothing can be written.
    """
    from gitflowrun.flow.members import constants, parameters_of
    from gitflowrun.flow.parameter_values import resolve

    started = time.time()
    parameters, given = parameters_of(flow_cls), request.parameters
    inherited = tuple(name for name in origin.names if name not in given) if origin else ()
    user = user_name(repository.settings, os.environ)
    known = {**{name: None for name in inherited if name in parameters}, **given}
    hint = _hint(request, origin.origin) if origin else None
    values = resolve(flow_cls, known, username=user, logger=_log, hint=hint)
    values = {name: value for name, value in values.items() if name not in inherited}
    encoded = {
        name: _encode(f"constant {name!r}", it)
        for name, it in constants(flow_cls).items()
        if name not in inherited
    }
    encoded |= {
        name: _encode(f"parameter {parameters[name].name!r}", it) for name, it in values.items()
    }
    saved = _save(repository, encoded)
    return StoredParameters(
        {parameters[name].name: _text(value) for name, value in values.items()},
        saved.refs,
        inherited,
        saved.inline,
        saved.packs,
        started,
        time.time(),
    )


def _hint(request: RunRequest, origin: str) -> Callable[[Parameter], str] | None:
    """How to give a parameter that a resumed run lacks: `resume` has no options for parameters."""
    if request.kind is not RunKind.RESUME:
        return None
    typed = typed_command()
    again, anew = spelled(typed, *request.argv[1:]), spelled(typed, "run", "--clone", origin)

    def hint(parameter: Parameter) -> str:
        return (
            f"`{parameter.envvars[0]}=VALUE {again}` gives it one; "
            f"`{anew} --{parameter.name} VALUE` starts anew"
        )

    return hint


def _encode(what: str, value: Any) -> Encoded:
    from gitflowrun.artifacts import codecs

    # Where nobody has imported it, no value is one: few flows have files.
    includefile = sys.modules.get("gitflowrun.flow.includefile")
    try:
        if includefile is not None and isinstance(value, includefile.FileContent):
            included: Encoded = value.encoded()
            return included
        return codecs.encode(value)
    except UnserializableArtifact as error:
        raise UnserializableArtifact(
            f"{what} can't be stored: {error.message}", hint=error.hint
        ) from error


def _save(repository: Repository, values: Mapping[str, Encoded]) -> Saved:
    from gitflowrun.artifacts.artifacts import ArtifactWriter, Saved
    from gitflowrun.limits import INLINE_LIMIT

    if not values:
        return Saved({})
    producer = TaskName(PARAMETERS_STEP, "0")
    if sum(value.size for value in values.values()) <= INLINE_LIMIT:
        return ArtifactWriter(None).save(values, producer)  # what writes packs need not be imported
    from gitflowrun.artifacts.dedup import DedupIndex

    index = DedupIndex(repository.state_dir, repository.objects)
    return ArtifactWriter(repository.packs, index).save(values, producer)


def _log(*words: object, **_options: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")


def _text(value: object) -> str:
    """A parameter's value as people read it."""
    text = str(value)
    if isinstance(value, list | dict | bool) or value is None:
        import json

        with contextlib.suppress(TypeError, ValueError):
            text = json.dumps(value, ensure_ascii=False)
    return text[: limits.PARAMETER_TEXT]
