"""`git runs checkout`: the code of a run in a new directory, and what to do there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.errors import warn_of_settings
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.checkout import CheckedOut, check_out
from gitflowrun.porcelain.overview import is_trusted
from gitflowrun.porcelain.rerun import typed_words
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.runs.read import StoredRun

_NAMED = 3
"""How many files are named that are not in the code."""


def check_out_run(
    *, plain: bool, as_json_: bool, address: str, place: Path | None, paths: Sequence[str]
) -> None:
    """Write the code of RUN to the new directory DIR."""
    repo = Repository.discover()
    run = RunStore(repo).find(address)
    warn_of_settings(repo)
    made = check_out(run, place or Path(f"{run.flow}-{run.id}"), paths, plain=plain)
    start = _start(run) if is_trusted(run) and not paths else ""
    found = {
        "run": made.run, "directory": made.place, "files": made.files, "commit": made.commit,
        "work_tree": made.commit is not None, "command": start or None, "left_out": made.left_out,
    }  # fmt: skip
    show(repo, found, lambda _: _lines(run, made, start), json=as_json_)


def _lines(run: StoredRun, made: CheckedOut, start: str) -> Iterator[str]:
    kind = "a plain directory"
    if made.commit is not None:
        dirty = run.info.git.get("dirty_count")
        changed = (
            f" with {counted(dirty, 'changed file')}" if isinstance(dirty, int) and dirty else ""
        )
        kind = f"a work tree at {made.commit.short}{changed}"
    elif made.why_plain:
        kind += f", for {printable(made.why_plain)}"
    yield printable(f"The code of {made.run} is in {_shown(made.place)}: {kind}.")
    if made.left_out:
        names = [f"{name} ({reason})" for name, reason in list(made.left_out.items())[:_NAMED]]
        more = ["..."] * (len(made.left_out) > _NAMED)
        yield printable(f"Not in it, but in the run: {', '.join([*names, *more])}.")
    yield printable(f"cd {shlex.quote(_shown(made.place / _directory(run.info.environment)))}")
    if start:
        yield printable(start)


def _shown(place: Path) -> str:
    """A directory as one types it from here."""
    path = os.path.relpath(place)
    return str(place) if path.startswith("../..") else path


def _directory(environment: Mapping[str, Any]) -> str:
    """Where the run's command was typed, below the top of its code."""
    directory = environment.get("directory")
    is_below = isinstance(directory, str) and not os.path.normpath(directory).startswith(
        ("..", "/")
    )
    return str(directory) if is_below else "."


def _start(run: StoredRun) -> str:
    """The command that started the run, if it says so."""
    words, argv = typed_words(run.info.environment), run.info.environment.get("argv")
    if not words or not isinstance(argv, list | tuple):
        return ""
    return shlex.join([*words, *map(str, argv[1:])])
