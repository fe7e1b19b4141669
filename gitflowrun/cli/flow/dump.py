"""The command `dump`: artifacts of tasks, printed or written as one pickle."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.artifacts.codecs import is_file
from gitflowrun.cli.errors import FLOW, Damage
from gitflowrun.cli.flow.context import FlowContext, described
from gitflowrun.cli.output.terminal import is_terminal
from gitflowrun.cli.output.text import counted, printable, terminal_safe
from gitflowrun.client import DataArtifact  # noqa: TC001  (`make` needs the class to be loaded)
from gitflowrun.client.base import Scope, make
from gitflowrun.client.metaflow_names import private_names
from gitflowrun.client.repository import Source
from gitflowrun.errors import GitflowrunError, NotFound, UntrustedArtifact
from gitflowrun.limits import PRINT_SECONDS
from gitflowrun.names import Pathspec
from gitflowrun.printing import bounded_repr, within

if TYPE_CHECKING:
    from collections.abc import Collection

    from gitflowrun.runs.read import StoredTask


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> frozenset[str]:
    return frozenset(filter(None, (value or "").split(",")))


@click.command(name="dump")
@click.option("--private/--no-private", default=False, help="Also what begins with an underscore.")
@click.option(
    "--max-value-size", type=click.IntRange(min=0), default=1000, show_default=True, metavar="BYTES",
    help="Do not print larger values.",
)  # fmt: skip
@click.option("--include", callback=_names, metavar="NAME,...", help="Only these artifacts.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a pickle of {run/step/task: {name: value}} to this file instead, of any size.",
)  # fmt: skip
@click.argument("path", metavar="RUN/STEP[/TASK]")
@click.pass_obj
def dump_command(
    flow: FlowContext,
    /,
    private: bool,
    max_value_size: int,
    include: frozenset[str],
    file: Path | None,
    path: str,
) -> int:
    """Print the artifacts of a task, or of all tasks of a step."""
    tasks = _tasks(flow, path)
    scope = Scope(Source(flow.repository).spec, None, checked=False)
    wanted = {task: _artifacts(task, scope, include, private=private) for task in tasks}
    damage = Damage(FLOW)
    if file is not None:
        _write(file, wanted, damage)
        flow.say(f"Artifacts of {counted(len(tasks), 'task')} written to {file}")
        return damage.exit_code
    for task, artifacts in wanted.items():
        flow.say(f"Dumping output of {described(task)}")
        for artifact in artifacts:
            _print(artifact, max_value_size, damage)
    return damage.exit_code


def _tasks(flow: FlowContext, path: str) -> list[StoredTask]:
    """The tasks that `path` names. Nothing is there to be dumped of a run that is not there: no error."""
    try:
        return flow.tasks_at(path)
    except NotFound as error:
        hint = f" ({error.hint})" if error.hint else ""
        click.echo(printable(f"{error.message}{hint}"), err=True)
        return []


def _artifacts(
    task: StoredTask, scope: Scope, include: Collection[str], *, private: bool
) -> list[DataArtifact]:
    names = set(task.record.artifacts)
    if include:
        names = {name for name in include if name in names or name in private_names(task.record)}
    elif private:
        names.update(private_names(task.record))
    else:
        names = {name for name in names if not name.startswith("_")}
    where = (task.run.flow, str(task.run.id), task.name.step, task.name.task)
    return [make(Pathspec(*where, name), scope) for name in sorted(names)]


def _write(file: Path, wanted: dict[StoredTask, list[DataArtifact]], damage: Damage) -> None:
    """Write what can be loaded, and tell what can't: the file lacks it."""
    values: dict[str, dict[str, Any]] = {}
    for task, artifacts in wanted.items():
        found = values[f"{task.run.id}/{task.name}"] = {}
        for artifact in artifacts:
            try:
                found[artifact.id] = _plain(artifact.data)
            except GitflowrunError as error:
                damage.tell(error)
    with file.open("wb") as stream:
        pickle.dump(values, stream, protocol=pickle.HIGHEST_PROTOCOL)


def _plain(value: Any) -> Any:
    """The value as whoever loads the pickle knows it: of a stored file its bytes."""
    return value.read() if is_file(value) else value


def _print(artifact: DataArtifact, limit: int, damage: Damage) -> None:
    try:
        kind, text = artifact.type.removeprefix("builtins."), _text(artifact, limit)
    except GitflowrunError as error:
        damage.tell(error)
        return
    line = f"{artifact.id} [size: {artifact.size} type: <class '{kind}'>] = {text}"
    if is_terminal(sys.stdout):
        line = "\n".join(map(terminal_safe, line.split("\n")))
    click.echo(line)


def _text(artifact: DataArtifact, limit: int) -> str:
    if artifact.size > limit or limit == 0:
        return "< artifact too large >"
    try:
        value = artifact.data
        if isinstance(value, str):
            return value
        with within(PRINT_SECONDS):
            return bounded_repr(value)
    except UntrustedArtifact:
        return "< not loaded: its run is not trusted, see `git runs trust` >"
    except NotFound as error:  # what made it is not here, or is another by now
        return f"< not loaded: {printable(error.message.removeprefix(f'{artifact.pathspec}: '))} >"
