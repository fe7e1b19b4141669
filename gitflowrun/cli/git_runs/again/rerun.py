"""`git runs rerun` and `git runs resume`: a run's flow is started again, by its own program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gitflowrun.cli.git_runs.again.start_flow import report_program, run_program
from gitflowrun.cli.output.tables import as_json
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.environment import clean_environment
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.checkout import temporary_work_tree
from gitflowrun.porcelain.rerun import check_trusted, program_of
from gitflowrun.runs.runs import RunStore
from gitflowrun.runtime.ipc.request import RERUN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gitflowrun.runs.read import StoredRun


def rerun(*, same_code: bool, as_json_: bool, address: str, words: Sequence[str]) -> int:
    """Run the flow of RUN again with its parameters, but for those that are given."""
    repo = Repository.discover()
    run = RunStore(repo).find(address)
    check_trusted(run)
    found = _ours(run, words, ("--same-code", "--json"))
    same_code, as_json_ = same_code or "--same-code" in found, as_json_ or "--json" in found
    words = [word for word in words if word not in found]
    command = ["run", RERUN, run.pathspec, *words]
    if not same_code:
        _tell_code(run)
        return _start(run, _top(repo), command, os.environ, as_json_=as_json_)
    script = run.info.script
    if run.repo.objects.entry(run.code_tree, *map(os.fsencode, script.split("/"))) is None:
        raise NotFound(
            f"the code of {run.pathspec} has no file {script!r}, which it ran",
            hint=f"without --same-code today's is run: git runs rerun {run.pathspec}",
        )
    with temporary_work_tree(run) as top:
        for name, reason in run.left_out().items():
            sys.stderr.write(
                printable(f"not in the code of {run.pathspec}: {name} ({reason})") + "\n"
            )
        return _start(run, top, command, clean_environment(), as_json_=as_json_)


def resume(*, step: str | None, as_json_: bool, address: str, words: Sequence[str]) -> int:
    """Run again what failed in RUN and what follows it, with today's code, and reuse what is finished."""
    repo = Repository.discover()
    run = RunStore(repo).find(address)
    check_trusted(run)
    if found := _ours(run, words, ("--step", "--json")):
        raise UsageError(
            f"what follows RUN are options of its flow, and {found[0]} is none of them",
            hint=f"write it before RUN: git runs resume {found[0]} {run.pathspec}",
        )
    command = ["resume", *([step] if step else []), "--origin-run-id", run.pathspec, *words]
    return _start(run, _top(repo), command, os.environ, as_json_=as_json_)


def _ours(run: StoredRun, words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Our own options among those of the flow, but for what the flow itself calls so."""
    return [it for it in names if it in words and it.removeprefix("--") not in run.info.parameters]


def _tell_code(run: StoredRun) -> None:
    """Say so where today's code is not that of the run: another commit, or changes that were not committed."""
    today, then = run.repo.head().commit, run.state.code_commit
    if today and then and (today != then or run.state.dirty):
        changed = " with uncommitted changes" if run.state.dirty else ""
        words = f"by today's code, {today.short}; {run.pathspec} ran {then.short}{changed}"
        sys.stderr.write(printable(f"{words}, which --same-code runs") + "\n")


def _top(repo: Repository) -> Path:
    """Today's work tree. Raises UsageError: there is none here."""
    if repo.work_tree is None:
        raise UsageError(
            "there is no work tree here, so no code of today",
            hint="`git runs rerun --same-code RUN` runs the code of RUN; or go to a work tree",
        )
    return repo.work_tree


def _start(
    run: StoredRun, top: Path, command: Sequence[str], env: Mapping[str, str], *, as_json_: bool
) -> int:
    program = program_of(run, top)
    if not as_json_:
        return run_program(program, command, env)
    code, found = report_program(run, program, command, env)
    sys.stdout.write(as_json(found) + "\n")
    return code
