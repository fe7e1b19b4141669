"""Evaluates and stores the parameters of a run before the run has a number.

1. Deploy-time functions, parsers and types make the values; a clone evaluates what neither the user nor its origin
   gives. Whatever fails here leaves no run behind.
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
from gitflowrun.runtime.ipc.messages import StoredParameters
from gitflowrun.settings import user_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gitflowrun.artifacts.artifacts import Saved
    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.flow import FlowSpec
    from gitflowrun.git.repository import Repository


def store_parameters(
    flow_cls: type[FlowSpec],
    repository: Repository,
    given: Mapping[str, object],
    origin: Collection[str] = (),
) -> StoredParameters:
    """Evaluate a flow's parameters and store them with its constants.

    Args:
        flow_cls: The flow.
        repository: Where large values are written to.
        given: What the user gave, by attribute.
        origin: Attributes that the origin of a clone has a value for.

    Raises:
        UsageError: a parameter is missing or not of its type.
        ParameterError: the function that computes one fails.
        UnserializableArtifact: a value can't be stored.
        RepositoryError: nothing can be written.
    """
    from gitflowrun.flow.members import constants, parameters_of
    from gitflowrun.flow.parameter_values import resolve

    started = time.time()
    parameters = parameters_of(flow_cls)
    inherited = tuple(name for name in parameters if name in origin and name not in given)
    user = user_name(repository.settings, os.environ)
    known = {**dict.fromkeys(inherited), **given}
    values = resolve(flow_cls, known, username=user, logger=_log)
    for name in inherited:
        del values[name]
    encoded = {name: _encode(f"constant {name!r}", it) for name, it in constants(flow_cls).items()}
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
