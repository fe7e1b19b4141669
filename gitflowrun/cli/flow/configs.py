"""The configs of a flow on the command line: the options that give them, and the values that a command works with.

`run` and the commands that describe a flow read them from what is given. What goes on from another run has that
run's: `resume` all of them, `run --clone` those that are not given anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitflowrun.errors import (
    CorruptRecord,
    MissingObject,
    NotFound,
    UntrustedArtifact,
    UsageError,
)
from gitflowrun.flow.config.declaration import declaration_of
from gitflowrun.flow.members import configs_of, uses_configs
from gitflowrun.runtime.ipc.request import RERUN, RunKind
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.artifacts.artifacts import ArtifactReader
    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.flow import FlowSpec
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun

    Pairs = Sequence[tuple[str, str]]
    Surroundings = Callable[[], tuple[Callable[[], Repository], str]]


@frozen
class RunConfigs:
    """The configs that a command works with.

    Attributes:
        packed: They by attribute, as they travel to other processes.
        sources: Where they come from, by name.
        origin: The id of the run that some of them are of; None where there is none.
    """

    packed: Mapping[str, bytes] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    origin: str | None = None


def config_options(flow_cls: type[FlowSpec]) -> list[click.Parameter]:
    """The options of a flow's command line that give configs; none where it has none."""
    declared = [declaration_of(it) for it in configs_of(flow_cls).values()]
    if not declared:
        return []
    listed = ", ".join(f"{it.name} ({it.help})" if it.help else it.name for it in declared)
    kinds = (
        ("--config", "NAME PATH", "Read a config from this file."),
        (
            "--config-value",
            "NAME TEXT",
            "Take this text as a config: JSON, or what its parser reads.",
        ),
    )
    return [
        click.Option(
            [option], nargs=2, type=str, multiple=True, metavar=metavar, allow_from_autoenv=False,
            help=f"{sentence} May be given several times, and not with resume. Configs: {listed}.",
        )
        for option, metavar, sentence in kinds
    ]  # fmt: skip


def named_origin(words: Sequence[str]) -> tuple[RunKind, str | None]:
    """How a run begins and from which run it takes what is not given, as the words behind `run` say it."""
    for position, word in enumerate(words):
        option, equals, run = word.partition("=")
        if option in {"--clone", RERUN}:
            following = words[position + 1] if position + 1 < len(words) else None
            kind = RunKind.CLONE if option == "--clone" else RunKind.RERUN
            return kind, run if equals else following
    return RunKind.RUN, None


def configure(
    flow_cls: type[FlowSpec],
    files: Pairs,
    values: Pairs,
    kind: RunKind,
    origin: str | None,
    surroundings: Surroundings,
    step: str | None = None,
) -> RunConfigs:
    """Find the configs of a command and make them known to the flow's class.

    Args:
        flow_cls: The flow.
        files: Name and path of each config that is given as a file.
        values: Name and text of each config that is given as text.
        kind: How the run begins, if there will be one.
        origin: The run to start from as it was typed; None for the newest one that can be resumed.
        surroundings: Finds the repository of the flow's runs, and who runs: asked where there is something to find.
        step: The step of a task that is to be spun.

    Raises:
        UsageError: configs are given that can't be, or what is given is no config: all that is wrong.
        ConfigError: a declaration is wrong, or an expression of configs fails.
        NotFound: there is no such run.
    """
    if not uses_configs(flow_cls):
        return RunConfigs()
    from gitflowrun.flow.config.configure import GivenConfigs, resolve_configs
    from gitflowrun.flow.config.known import apply_configs, pack_configs

    given = GivenConfigs(dict(files), dict(values))
    if kind.goes_on and (given.files or given.values):
        raise UsageError(
            f"`{kind.value}` goes on with the configs of the run that it begins with: none can be given",
            hint="`run --clone RUN` starts anew with the parameters of a run and with other configs",
        )
    repository, user = surroundings()
    stored = None
    if kind is not RunKind.RUN:
        stored = _origin(flow_cls.__name__, repository(), kind, origin, step)
    found = resolve_configs(
        flow_cls,
        given,
        origin=_stored_configs(flow_cls, stored) if stored else None,
        origin_name=f"run {stored.id}" if stored else "",
        username=user,
        logger=lambda *words, **_options: click.echo(" ".join(map(str, words)), err=True),
    )
    apply_configs(flow_cls, found.values)
    return RunConfigs(pack_configs(found.values), found.sources, str(stored.id) if stored else None)


def _origin(
    flow: str, repository: Repository, kind: RunKind, address: str | None, step: str | None
) -> StoredRun:
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Trust
    from gitflowrun.runtime.launch.program import typed_command
    from gitflowrun.runtime.scheduler.resume import find_origin

    runs, trust = RunStore(repository), Trust(repository)
    if kind is RunKind.SPIN:
        from gitflowrun.runtime.scheduler.spin import find_run

        return find_run(runs, trust, flow, typed_command(), address, step or "")
    return find_origin(runs, trust, flow, typed_command(), address)


def _stored_configs(flow_cls: type[FlowSpec], origin: StoredRun) -> dict[str, Any]:
    """The configs that a run has stored, by attribute, of those that the flow has now."""
    from gitflowrun.artifacts.artifacts import ArtifactReader
    from gitflowrun.runtime.scheduler.resume import parameters_task

    task = parameters_task(origin)
    reader = ArtifactReader(origin.objects)
    values: dict[str, Any] = {}
    for attribute, config in configs_of(flow_cls).items():
        ref = task.record.artifacts.get(attribute)
        if ref is None:
            continue
        try:
            values[attribute] = _loaded(reader, ref, is_plain=declaration_of(config).plain)
        except (CorruptRecord, MissingObject, UntrustedArtifact, NotFound) as error:
            message = f"{task.pathspec}/{attribute} can't be taken over as the config {declaration_of(config).name!r}"
            raise type(error)(
                f"{message}: {error.message}",
                hint=error.hint or "start a new run: `run` reads the configs anew",
            ) from error
    return values


def _loaded(reader: ArtifactReader, ref: ArtifactRef, *, is_plain: bool) -> Any:
    """A stored config, which may be a stranger's.

    Raises:
        CorruptRecord: it is none, or damaged.
        UntrustedArtifact: it is something that runs code when it is loaded.
        MissingObject: it is not here.
    """
    from gitflowrun.flow.config.known import LARGEST

    if ref.size > LARGEST:
        raise CorruptRecord(f"it takes more than {LARGEST >> 20} MiB")
    value = reader.load(ref, trusted=False)
    if not (value is None or isinstance(value, dict) or is_plain):
        raise CorruptRecord(f"it is of type {type(value).__name__}, not a map")
    return value
