"""`git runs show`: a run, a step, a task or an artifact as text or JSON.

`porcelain.overview` collects the facts; here they are laid out.
"""

from __future__ import annotations

import os
import shlex
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.preview import Preview
from gitflowrun.cli.errors import GIT, UNREADABLE, Damage
from gitflowrun.cli.git_runs.run_words import expand_queries
from gitflowrun.cli.output.tables import (
    Cell,
    Column,
    apart,
    facts,
    pairs,
    prose,
    section,
    show,
    table,
)
from gitflowrun.cli.output.text import ago, counted, printable, stamp
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.repository import Repository
from gitflowrun.limits import MAX_PREVIEW, NAMES_IN_A_HINT
from gitflowrun.names import SpinId, TaskName
from gitflowrun.porcelain import overview
from gitflowrun.porcelain.parts import artifact_at, artifact_ref
from gitflowrun.runs.commit_message import Status, duration
from gitflowrun.runs.live import observe
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from gitflowrun.settings import format_size
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.runs.lookup.resolve import Address
    from gitflowrun.runs.read import StoredRun

    _Lines = Callable[[Any, Screen], Iterator[str]]

_SHORT = 7
_FILES = 3
_INDENT = "  "
_WORD = (
    f"This run is not trusted: what is shown of values above {MAX_PREVIEW} bytes is its own word."
)


def run_lines(top: Path | None, run: overview.RunOverview, screen: Screen) -> Iterator[str]:
    """A run: facts, parameters, steps, failures, what it ended up with; `top` is the work tree."""
    style = screen.style
    yield style.yellow(f"run {printable(run.pathspec)}")
    yield from _run_facts(top, run, screen)
    parameters = [(name, printable(text)) for name, text in run.parameters.items()]
    yield from section("Parameters", pairs(parameters, _INDENT), screen)
    yield from _given(run.given, screen)
    yield from section("Steps", _step_table(run, screen), screen)
    yield from section("Cache", pairs(_cache_of_steps(run.steps), _INDENT), screen)
    for failure in run.failures:
        error = _told(failure.error, screen)
        yield from section(f"Failed: {printable(failure.task)}", error, screen)
    failed = sum(step.failed for step in run.steps)
    if failed > len(run.failures):
        yield from section(
            "Failed", [f"{_INDENT}and {failed - len(run.failures):,} more tasks"], screen
        )
    for task in run.unreadable:
        error = _told(task.error, screen)
        yield from section(f"Unreadable: {printable(task.task)}", error, screen)
    yield from section("Artifacts", _artifact_table(run.artifacts, screen), screen)


def _told(error: str, screen: Screen) -> list[str]:
    lines = prose(printable(error), screen, len(_INDENT))
    return [_INDENT + screen.style.red(line) for line in lines]


def _run_facts(top: Path | None, run: overview.RunOverview, screen: Screen) -> Iterator[str]:
    status = run.status.value
    took = ""
    if run.finished is not None and run.status is not Status.DAMAGED:
        took = f" in {duration(run.finished - run.started)}"
    python = run.versions.get("python", "")
    packages = f", {counted(run.packages, 'package')}" if run.packages else ""
    return facts(
        ("Status", screen.style.status(status, status + took)),
        _again(top, run),
        ("Started", _time(run.started, screen)),
        ("User", printable(f"{run.user} on {run.host}" if run.host else run.user)),
        ("Tags", screen.style.cyan(", ".join(map(printable, run.tags)))),
        ("Origin", printable(run.origin or "")),
        ("Code", _code(run.code)),
        ("Changed", some_files(run.code.dirty, run.code.dirty_count)),
        ("Left out", some_files(run.code.left_out, run.code.left_out_count)),
        ("Differs", _other_code(run.code.other_code)),
        ("Script", printable(run.code.script)),
        ("Configs", _configs(run.configs)),
        ("Given by", printable(run.given_by or "")),
        ("Python", printable(f"{python} on {run.platform}{packages}" if python else "")),
        ("Uid", str(run.uid)),
        ("Commit", str(run.commit)),
        ("Signed by", _signed_by(run)),
        ("Note", "\n".join(map(printable, (run.note or "").split("\n")))),
    )


def _configs(sources: Mapping[str, str]) -> str:
    """Where the configs come from, a line each."""
    return "\n".join(printable(f"{name}: {source}") for name, source in sources.items())


def _signed_by(run: overview.RunOverview) -> str:
    if run.signed_by is None:
        return ""
    return printable(f"{run.signed_by} (not checked: git runs verify {run.pathspec})")


def _again(top: Path | None, run: overview.RunOverview) -> tuple[str, str]:
    """What continues a run that stopped, or spins a task once more."""
    run_id = run.pathspec.partition("/")[2]
    if not SpinId.matches(run_id):
        return "Go on with", _command(top, run, "resume", run_id)
    origin = (run.origin or "").partition(" ")[2]
    if not origin or not run.failures:
        return "", ""
    return "Try again with", _command(top, run, "spin", f"{origin}/{run.failures[0].task}")


def _command(top: Path | None, run: overview.RunOverview, *words: str) -> str:
    """A command of the flow of a run that stopped, as it was started, from here; nothing for others."""
    code = run.code
    script = PurePath(code.script)
    is_here = code.script and not script.is_absolute() and ".." not in script.parts
    if run.status.value not in {"failed", "interrupted"} or not (code.command or is_here):
        return ""
    from gitflowrun.runtime.launch.program import spelled

    command = printable(spelled(code.command or ("python", code.script), *words))
    if top is None or code.directory is None:
        return command
    place = os.path.relpath(top / code.directory)
    return command if place == "." else printable(f"cd {shlex.quote(place)} && ") + command


def step_lines(step: overview.StepDetails, screen: Screen) -> Iterator[str]:
    """A step: its tasks in a table."""
    yield screen.style.yellow(f"step {printable(step.pathspec)}")
    columns = [
        Column("TASK"), Column("STATUS"), Column("ATTEMPTS", right=True, leaves=4),
        Column("TOOK", right=True, leaves=1), Column("CPU", right=True, leaves=2),
        Column("MEMORY", right=True, leaves=3), Column("FOREACH", shrinks=True), Column("ERROR", shrinks=True),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = [
        [
            Cell(task.pathspec.rpartition("/")[2], screen.style.yellow),
            _task_status(task, screen),
            str(_tries(task)) if _tries(task) > 1 else "",
            "" if task.seconds is None else duration(task.seconds),
            duration(task.cpu) if task.cpu else "",
            format_size(task.max_rss) if task.max_rss else "",
            ", ".join(task.foreach),
            task.error or "",
        ]
        for task in step.tasks
    ]
    yield from table(columns, rows, screen)
    if step.more:
        yield screen.style.dim(
            f"and {step.more:,} more: `git runs show {printable(step.pathspec)}/TASK` shows one"
        )


def task_lines(task: overview.TaskOverview, screen: Screen) -> Iterator[str]:
    """A task: facts and artifacts."""
    yield screen.style.yellow(f"task {printable(task.pathspec)}")
    status = _task_status(task, screen)
    words = status.paint(status.text) if status.paint else status.text
    took = f" in {duration(task.seconds)}" if task.seconds is not None else ""
    number, is_over = _tries(task), _is_over(task)
    attempts = ""
    if number > 1:
        attempts = f", {counted(number, 'attempt')}" if is_over else f", attempt {number - 1}"
    usage = [f"{duration(task.cpu)} CPU"] if task.cpu else []
    usage += [f"{format_size(task.max_rss)} memory"] if task.max_rss else []
    yield from facts(
        ("Status", f"{words}{took}{attempts}"),
        ("Started", "" if task.started is None else _time(task.started, screen)),
        ("Used", ", ".join(usage)),
        ("Runs on", printable(task.host)),
        ("Ran on", printable(task.tries[-1].where) if task.tries else ""),
        ("Lost", "\n".join(printable(why) for it in task.tries for why in it.lost)),
        ("Exit code", str(task.exit_code) if task.exit_code else ""),
        ("Error", screen.style.red(printable(task.error or ""))),
        ("Foreach", printable(", ".join(task.foreach))),
        ("After", printable(" ".join(task.parents))),
        ("Then", printable(" ".join(task.goes_to))),
        ("Origin", printable(task.origin or "")),
        ("Cache", printable(_cached(task.cache))),
        ("Differs", _other_code(task.other_code)),
        ("Not kept", _named(task.not_kept)),
        ("Cards", "\n".join(printable(card.path) for card in task.cards)),
    )
    if task.attempts > is_over:
        yield from section("Attempts", _attempt_table(task, screen), screen)
    yield from _given(task.given, screen)
    yield from section("Artifacts", _artifact_table(task.artifacts, screen), screen)


def _given(values: Mapping[str, str], screen: Screen) -> Iterator[str]:
    """The values that a spun task had in the place of inherited ones."""
    rows = [(name, printable(text)) for name, text in values.items()]
    return section("Given", pairs(rows, _INDENT), screen)


def _named(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - NAMES_IN_A_HINT
    shown = printable(", ".join(names[:NAMES_IN_A_HINT]))
    return f"{shown} and {more:,} more" if more > 0 else shown


def _is_over(task: overview.TaskOverview) -> bool:
    return task.status in {"done", "failed"}


def _tries(task: overview.TaskOverview) -> int:
    """How many attempts there were, one that runs included."""
    return task.attempts + (not _is_over(task))


def _attempt_table(task: overview.TaskOverview, screen: Screen) -> Iterator[str]:
    """The attempts that have ended, and how to read what the first of them wrote."""
    columns = [
        Column("ATTEMPT", right=True), Column("STATUS"), Column("STARTED", leaves=3),
        Column("TOOK", right=True, leaves=1), Column("CPU", right=True, leaves=4),
        Column("MEMORY", right=True, leaves=5), Column("EXIT", right=True, leaves=2),
        Column("RAN ON", leaves=6), Column("ERROR", shrinks=True),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = []
    for it in task.tries:
        word = "done" if it.ok else "failed"
        rows.append([
            str(it.number), Cell(word, partial(screen.style.status, word)), stamp(it.started), duration(it.seconds),
            duration(it.cpu) if it.cpu else "", format_size(it.max_rss) if it.max_rss else "",
            str(it.exit_code) if it.exit_code else "", it.where, it.error or "",
        ])  # fmt: skip
    yield from table(columns, rows, screen, _INDENT)
    if task.attempts > len(task.tries):
        yield screen.style.dim(f"{_INDENT}and {task.attempts - len(task.tries):,} more")
    first = task.tries[0].number
    words = f"git runs logs --attempt {first} {shlex.quote(printable(task.pathspec))}"
    yield screen.style.dim(f"{_INDENT}`{words}` prints what attempt {first} wrote")


def artifact_lines(row: overview.ArtifactRow, screen: Screen) -> Iterator[str]:
    """An artifact: what is known without loading it."""
    yield screen.style.yellow(f"artifact {printable(row.name)}")
    yield from facts(
        ("Type", printable(row.type)),
        ("Size", f"{format_size(row.size)} ({row.size:,} bytes)"),
        ("Codec", printable(row.codec)),
        ("Made by", printable(row.task)),
        ("BLAKE3", str(row.blake3)),
        ("Picture", printable(row.picture or "")),
        *((name, printable(text)) for name, text in row.facts.items()),
        ("Value", "\n".join(map(printable, (row.preview or "").split("\n")))),
    )


def _artifact_table(rows: Sequence[overview.ArtifactRow], screen: Screen) -> Iterator[str]:
    """Artifacts by name, type, size, the beginning of their digest and, of small ones, value."""
    columns = [
        Column("NAME", shrinks=True), Column("TYPE", shrinks=True, leaves=2), Column("SIZE", right=True, leaves=1),
        Column("BLAKE3", leaves=4), Column("MADE BY", leaves=3), Column("VALUE", shrinks=True),
    ]  # fmt: skip
    cells = [
        [
            row.name, short_type(row.type), format_size(row.size), str(row.blake3)[:_SHORT], row.task,
            shown(row) or "",
        ]
        for row in rows
    ]  # fmt: skip
    return table(columns, cells, screen, _INDENT)


def shown(row: overview.ArtifactRow) -> str | None:
    """What is known of a value in one line, facts first, for the text may be long; None when that is nothing."""
    if row.preview is None:
        return None
    return Preview(row.preview, facts=row.facts).short


def short_type(name: str) -> str:
    """A type's name as Python programmers say it: `dict`, `numpy.ndarray`."""
    return name.removeprefix("builtins.")


def _step_table(run: overview.RunOverview, screen: Screen) -> Iterator[str]:
    columns = [
        Column("STEP"), Column("TASKS", right=True), Column("TOOK", right=True), Column("NOTE"),
        Column("DECORATORS", shrinks=True),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = []
    unfinished = "running" if run.status is Status.RUNNING else "unfinished"
    for step in run.steps:
        notes = [f"{step.failed} failed"] if step.failed else []
        notes += [f"{step.unfinished} {unfinished}"] if step.unfinished else []
        notes += [_retries(step.retries)] if step.retries else []
        notes += [f"{step.adopted} reused"] if step.adopted else []
        notes += [f"{step.not_counted:,} not looked at"] if step.not_counted else []
        took = "" if step.seconds is None else duration(step.seconds)
        paint = screen.style.red if step.failed else None
        marks = " ".join(f"@{printable(name)}" for name in step.decorators)
        rows.append([step.name, str(step.tasks), took, Cell(", ".join(notes), paint), marks])
    return table(columns, rows, screen, _INDENT)


def _cache_of_steps(steps: Sequence[overview.StepOverview]) -> list[tuple[str, str]]:
    """Of each step, from which runs its tasks were taken, and why others were executed."""
    rows = []
    for step in steps:
        told = [(count, f"taken from {run}") for run, count in step.taken.items()]
        told += [(count, f"executed: {why}") for why, count in step.executed.items()]
        words = [f"{count:,} {text}" if step.tasks > 1 else text for count, text in told]
        if words:
            rows.append((printable(step.name), printable("; ".join(words))))
    return rows


def _cached(cache: overview.CacheRow | None) -> str:
    """What the step cache has done about a task."""
    if cache is None:
        return ""
    if cache.taken_from is not None:
        return f"taken from {cache.taken_from}"
    words = [f"executed: {cache.executed}"] if cache.executed else []
    words += [f"no other run can have it: {cache.unfit}"] if cache.unfit else []
    return "; ".join(words)


def _retries(count: int) -> str:
    return "1 retry" if count == 1 else f"{count:,} retries"


def _task_status(task: overview.TaskOverview, screen: Screen) -> Cell:
    word = task.status
    reused = " (reused)" if task.origin else ""
    return Cell(word + reused, lambda text: screen.style.status(word, text))


def _time(when: float, screen: Screen) -> str:
    return stamp(when) + (f" ({ago(when, screen.now)})" if screen.person else "")


def _code(code: overview.CodeState) -> str:
    if code.commit is None:
        return "no commit yet"
    where = f" on {printable(code.branch)}" if code.branch else ""
    return f"{printable(code.commit)}{where}"


def some_files(names: Sequence[str], count: int) -> str:
    """The first of many files, and how many more there are."""
    if not count:
        return ""
    more = f" and {count - _FILES:,} more" if count > _FILES else ""
    return f"{counted(count, 'file')}: {', '.join(map(printable, names[:_FILES]))}{more}"


def _other_code(files: Mapping[str, str]) -> str:
    """The files whose code ran and differs from the snapshot, a line each."""
    return "\n".join(printable(f"{path}: {reason}") for path, reason in files.items())


def print_addresses(*, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Show what is recorded of runs, steps, tasks or artifacts; of the newest run without ADDRESS."""
    repo = Repository.discover()
    store = RunStore(repo)
    damage = Damage(GIT)
    found = []
    words = list(addresses or ("@latest",))
    expanded = store.expand(expand_queries(repo, words))
    is_one = len(words) == 1 and expanded == words  # a range is several, however many lie in it
    for address in expanded:
        try:
            found.append(_gathered(repo, store.resolve(address, spins=True)))
        except (CorruptRecord, RepositoryError) as error:
            if is_one:
                raise
            damage.tell(error)  # the others are shown
    values = [value for value, _ in found]
    value = values[0] if is_one else values

    def blocks(screen: Screen) -> Iterator[str]:
        return apart(lines(value, screen) for value, lines in found)

    show(repo, value, blocks, json=as_json_, page=True)
    if any(getattr(value, "unreadable", None) for value in values):
        return UNREADABLE
    return damage.exit_code


def print_runs(template: str | None, addresses: tuple[str, ...], *, nul: bool) -> int:
    """Write runs as a template says, in the order in which they are named; the newest run without ADDRESS."""
    from gitflowrun.cli.git_runs.look.run_table import print_formatted
    from gitflowrun.runs.query.select import RunQuery, select_table

    repo = Repository.discover()
    store = RunStore(repo)
    names = [
        run.pathspec for run in store.find_all(expand_queries(repo, addresses or ("@latest",)))
    ]
    table = select_table(repo, RunQuery(), facts=True)
    places = {name: place for place, name in enumerate(table.column("name"))}
    chosen = table.take([places[name] for name in names if name in places])
    print_formatted(repo, chosen, template, nul=nul)
    return 0


def _gathered(repo: Repository, address: Address) -> tuple[Any, _Lines]:
    """What an address names, and what lays it out."""
    if address.step is None:
        run, top = address.run, repo.work_tree
        value = overview.run_overview(run, Tags(repo).of(run))
        return value, _whose_word(run, value.artifacts, partial(run_lines, top))
    run = observe(address.run)
    if _is_short(run, address):
        task, name = artifact_at(replace(address, run=run))
        row = overview.make_row(run, name, artifact_ref(task, name))
        return row, _whose_word(run, [row], artifact_lines)
    if address.task is None:
        return overview.step_overview(run, address.step), step_lines
    task = run.task(TaskName(address.step, address.task))
    if address.artifact is None:
        found = overview.task_overview(task)
        return found, _whose_word(run, found.artifacts, task_lines)
    row = overview.make_row(run, address.artifact, artifact_ref(task, address.artifact))
    return row, _whose_word(run, [row], artifact_lines)


def _is_short(run: StoredRun, address: Address) -> bool:
    """Whether an address names an artifact without its step, or without its task: nothing else is called so."""
    if address.step is None or address.artifact is not None:
        return False
    if not run.has_step(address.step):
        return address.task is None
    if address.task is None:
        return False
    tasks = run.tasks(address.step)
    return len(tasks) == 1 and address.task not in tasks


def _whose_word(run: StoredRun, rows: Sequence[overview.ArtifactRow], lines: _Lines) -> _Lines:
    """`lines`, and below them, where it is so, that what stands there of values is a stranger's word."""
    is_noted = any(row.size > MAX_PREVIEW and row.preview is not None for row in rows)
    if not is_noted or overview.is_trusted(run):
        return lines
    return lambda value, screen: chain(lines(value, screen), ("", *prose(_WORD, screen)))
