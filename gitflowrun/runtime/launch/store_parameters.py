"""Evaluates and stores the parameters of a run before the run has a number.

1. Deploy-time functions, parsers and types make the values; a clone or a resumed run evaluates what neither the user
   nor its origin gives. Whatever fails here leaves no run behind.
2. Values and the flow's constants are encoded. Small ones travel to the scheduler with the message; large ones and
   the content of included files are written as a kept pack, piece by piece, as a task writes its artifacts.

3. Secret values are stored nowhere: `***` stands for them, and they travel with the message.

The scheduler makes the run's `_parameters` task of the result: no process is started for it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.config_value import ConfigValue, plain
from gitflowrun.errors import UnserializableArtifact
from gitflowrun.masking import SHOWN
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.records import parameter_text
from gitflowrun.runtime.ipc.messages import InheritedParameters, SecretValue, StoredParameters
from gitflowrun.runtime.launch.program import spelled, typed_command
from gitflowrun.settings import user_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from gitflowrun.artifacts.artifacts import Saved
    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.parameter import Parameter
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.ipc.request import RunRequest
    from gitflowrun.runtime.launch.secret_values import HiddenValues


def store_parameters(
    flow_cls: type[FlowSpec],
    repository: Repository,
    request: RunRequest,
    origin: InheritedParameters | None = None,
    ask: Callable[[str], str | None] = lambda _prompt: None,
) -> StoredParameters:
    """Evaluate a flow's parameters and store them with its constants, as far as the origin has none.

    Args:
        flow_cls: The flow.
        repository: Where large values are written to.
        request: What the user asked for and gave.
        origin: What the run has from its origin; the user's values win.
        ask: Asks the user for a secret, with this prompt; None when nobody can be asked.

    Raises:
        UsageError: a parameter is missing or not of its type, or a secret is another one than the origin had.
        ParameterError: the function that computes one fails.
        UnserializableArtifact: a value can't be stored.
        RepositoryError: nothing can be written.
    """
    from gitflowrun.flow.definition import metadata_of, notices_of

    started = time.time()
    chosen = _choose(flow_cls, repository, request, origin, ask)
    parameters, inherited = chosen.parameters, chosen.inherited
    shown = {
        name: SHOWN if name in chosen.secret else value
        for name, value in chosen.values.items()
        if name not in inherited
    }
    encoded = {name: _encode_parameter(parameters[name], it) for name, it in shown.items()}
    hidden = None
    if chosen.secret:
        hidden = _hide(flow_cls.__name__, repository, chosen)
        given = {
            name: it for name, it in encoded.items() if not parameters[name].is_public(shown[name])
        }
        hidden.refuse_copies(given, request.tags)
    saved = _save(repository, {**_fixed(flow_cls, inherited), **encoded})
    values = {**(hidden.values if hidden else {}), **_variables(flow_cls)}
    return StoredParameters(
        {parameters[name].name: parameter_text(value) for name, value in shown.items()},
        saved.refs,
        inherited,
        saved.inline,
        saved.packs,
        started,
        time.time(),
        values,
        hidden.hashes if hidden else {},
        (*(hidden.notices if hidden else ()), *notices_of(flow_cls)),
        metadata_of(flow_cls),
    )


def _fixed(flow_cls: type[FlowSpec], inherited: Container[str]) -> dict[str, Encoded]:
    """The constants and configs of a flow that its run does not have from its origin."""
    from gitflowrun.flow.config.declaration import known_configs
    from gitflowrun.flow.members import constants

    found = {
        name: _encode(f"constant {name!r}", it)
        for name, it in constants(flow_cls).items()
        if name not in inherited
    }
    for name, it in known_configs(flow_cls).items():
        if name not in inherited:
            found[name] = _encode(f"config {name!r}", plain(it))
    return found


def _variables(flow_cls: type[FlowSpec]) -> dict[str, SecretValue]:
    """The variables of `@secrets`, as secrets of the run."""
    if "gitflowrun.flow.decorators.secrets" not in sys.modules:
        return {}
    from gitflowrun.artifacts import codecs
    from gitflowrun.flow.decorators.secrets import fetch_secrets
    from gitflowrun.runtime.worker.task_secrets import variables_of

    found = {}
    for step, variables in fetch_secrets(flow_cls).items():
        made = codecs.encode(variables)
        texts = tuple(value.encode(errors="surrogatepass") for value in variables.values())
        found[variables_of(step)] = SecretValue(made.codec, made.payload(), texts)
    return found


@frozen
class _Chosen:
    """The values of a run's parameters.

    Attributes:
        parameters: The parameters by attribute.
        values: The value of each; None for those that are inherited.
        inherited: Attributes of which the run has what its origin has stored.
        secret: Attributes whose values are secret.
        before: The keyed hashes of those that were it in the origin.
        computed: Attributes whose values came of a function.
    """

    parameters: Mapping[str, Parameter]
    values: Mapping[str, Any]
    inherited: tuple[str, ...]
    secret: tuple[str, ...]
    before: Mapping[str, str]
    computed: frozenset[str]


def _choose(
    flow_cls: type[FlowSpec],
    repository: Repository,
    request: RunRequest,
    origin: InheritedParameters | None,
    ask: Callable[[str], str | None],
) -> _Chosen:
    """The values of the parameters: given, inherited, or else evaluated."""
    from gitflowrun.flow.members import configs_by_name, parameters_of
    from gitflowrun.flow.parameter_values import resolve

    parameters, given = parameters_of(flow_cls), request.parameters
    stored = origin or InheritedParameters("", ())
    before = {name: it for name, it in stored.secrets.items() if name in parameters}
    is_resumed = request.kind.goes_on
    # The tasks that a resumed run takes over refer to what was stored; of a clone nothing does.
    secret = {name for name, it in parameters.items() if it.is_secret}
    anew = set() if is_resumed else {*given, *before, *secret}
    inherited = tuple(name for name in stored.names if name not in anew)
    known = {name: None for name in inherited if name in parameters and name not in before}
    run = f"{flow_cls.__name__}/{stored.origin}" if origin else f"a run of {flow_cls.__name__}"
    values = resolve(
        flow_cls,
        {**known, **given},
        username=user_name(repository.settings, os.environ),
        logger=_log,
        hint=_hint(request, origin.origin) if origin else None,
        ask=lambda parameter: ask(_prompt(parameter, run)),
        configs=ConfigValue(configs_by_name(flow_cls)),
        again=before,
    )
    hidden = set(before) & (set(parameters) if is_resumed else secret) | {
        name
        for name in secret.difference(inherited)
        if not parameters[name].is_public(values[name])
    }
    computed = {
        name
        for name, it in parameters.items()
        if it.deploy_time and name not in given and not any(map(os.environ.get, it.envvars))
    }
    in_order = tuple(name for name in values if name in hidden)
    return _Chosen(parameters, values, inherited, in_order, before, frozenset(computed))


def _prompt(parameter: Parameter, run: str) -> str:
    return f"Value of the secret parameter {parameter.name!r} of {run}: "


def _hide(flow: str, repository: Repository, chosen: _Chosen) -> HiddenValues:
    from gitflowrun.runtime.launch.secret_values import KeyedHashes, hide  # few flows have secrets

    parameters, values = chosen.parameters, chosen.values
    encoded = {name: _encode_parameter(parameters[name], values[name]) for name in chosen.secret}
    hashes = KeyedHashes(repository, flow)
    return hide(hashes, parameters, values, encoded, chosen.before, chosen.computed)


def _hint(request: RunRequest, origin: str) -> Callable[[Parameter], str] | None:
    """How to give a parameter that a resumed run lacks: `resume` has no options for parameters."""
    if not request.kind.goes_on:
        return None
    typed = typed_command()
    again, anew = spelled(typed, *request.argv[1:]), spelled(typed, "run", "--clone", origin)

    def hint(parameter: Parameter) -> str:
        return (
            f"`{parameter.envvars[0]}=VALUE {again}` gives it one; "
            f"`{anew} --{parameter.name} VALUE` starts anew"
        )

    return hint


def _encode_parameter(parameter: Parameter, value: Any) -> Encoded:
    return _encode(f"parameter {parameter.name!r}", value)


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
