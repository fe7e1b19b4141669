"""`git runs rm`, `restore`, `gc` and `purge`: what they ask before, and what they say they did."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import REFUSED
from gitflowrun.cli.output.streams import wait_until_ready
from gitflowrun.cli.output.tables import Column, show, table
from gitflowrun.cli.output.text import ago, counted, printable
from gitflowrun.errors import GitflowrunError
from gitflowrun.git.repository import Repository
from gitflowrun.limits import NAMES_IN_A_HINT
from gitflowrun.porcelain.deletion.removal import (
    Purge,
    Removal,
    collect,
    find_runs,
    objections,
    purge,
    remove,
    remove_everywhere,
)
from gitflowrun.porcelain.deletion.trash import RestoredRun, Trash, TrashedRun
from gitflowrun.runs.query.sets import choose
from gitflowrun.runs.runs import RunStore
from gitflowrun.settings import format_size, parse_age

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.cli.output.terminal import Screen
    from gitflowrun.porcelain.deletion.copies import RemoteCopy
    from gitflowrun.runs.query.sets import ChosenRuns, RunSet
    from gitflowrun.runs.read import StoredRun

_COLUMNS = (
    Column("RUN"),
    Column("REMOVED", shrinks=True),
    Column("TAGS", shrinks=True),
    Column("WAS", shrinks=True),
)


def remove_runs(*, force: bool, there: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Move runs to the trash; with `there`, remove them also from remotes."""
    repo = Repository.discover()
    trashed: Sequence[TrashedRun] = ()
    if there:
        runs, trashed = find_runs(repo, addresses)
    else:
        runs = RunStore(repo).find_all(addresses)
    if not force and not _agrees(repo, runs, "rm --remote" if there else "rm", trashed):
        return REFUSED
    done = remove_everywhere(repo, runs, trashed) if there else remove(repo, runs)
    show(repo, done, lambda _: _removed(repo, done), json=as_json_)
    if there and not (done.removed_there or done.copies or done.unreached):
        sys.stderr.write("No remote has them.\n")
    return _exit_code(done, there=there)


def _exit_code(done: Removal, *, there: bool) -> int:
    """Of what was to be removed from remotes, too: 1 if one has some of it still, as far as anybody knows."""
    is_left = done.copies or done.unreached or any(it.reason for it in done.removed_there)
    return REFUSED if there and is_left else 0


def remove_set(wanted: RunSet, *, force: bool, there: bool, as_json_: bool) -> int:
    """Move the runs of a set to the trash, or say which these are."""
    repo = Repository.discover()
    chosen = choose(repo, wanted)
    names = [run.pathspec for run in chosen.runs]
    _tell_kept(chosen.tagged, "tagged")
    _tell_kept(chosen.running, "running")
    if force and names:
        runs = RunStore(repo).find_all(names)
        remover = remove_everywhere if there else remove
        done = remover(repo, runs, spare_tagged=chosen.spares_tagged)
        _tell_kept([name for name in names if name not in done.runs], "tagged by now")
        lines = _removed(repo, done) if done.runs else iter(["No run was removed."])
        show(repo, done, lambda _: lines, json=as_json_)
        return _exit_code(done, there=there)
    told = {"would_remove": names, "tagged": chosen.tagged, "running": chosen.running}
    show(repo, told, lambda _: _would_remove(chosen), json=as_json_, page=True)
    return 0


def _tell_kept(left: Sequence[str], why: str) -> None:
    if left:
        some = f"{', '.join(left[:NAMES_IN_A_HINT])}{' …' * (len(left) > NAMES_IN_A_HINT)}"
        are = "is" if len(left) == 1 else "are"
        kept = f"{counted(len(left), 'run')} kept that {are} {why}: {some}"
        sys.stderr.write(f"{printable(kept)}\n")


def _would_remove(chosen: ChosenRuns) -> Iterator[str]:
    for run in chosen.runs:
        tags = f" ({', '.join(run.tags)})" if run.tags else ""
        yield printable(f"would remove {run.subject}{tags}")
    if chosen.runs:
        yield f"{counted(len(chosen.runs), 'run')}; --force removes them"
    else:
        yield "No run matches."


def restore_runs(*, as_json_: bool, addresses: tuple[str, ...]) -> None:
    """Put runs back."""
    repo = Repository.discover()
    trash = Trash(repo)
    done = trash.restore(trash.find_all(addresses))
    show(repo, done, lambda _: map(_restored, done), json=as_json_)


def list_trash(*, as_json_: bool, flow: str | None = None) -> None:
    """List the runs in the trash, those that were removed last first."""
    repo = Repository.discover()
    runs = [run for run in Trash(repo).runs() if flow in (None, run.flow)]
    show(repo, runs, lambda screen: _table(runs, screen), json=as_json_, page=True)


def collect_garbage(*, prune: str | None, as_json_: bool) -> None:
    """Remove for good what is old enough."""
    repo = Repository.discover()
    settings = repo.settings
    ages = (
        (settings.trash_expire, settings.spin_expire) if prune is None else [parse_age(prune)] * 2
    )
    done = collect(repo, *ages)
    left = len(Trash(repo).runs())
    show(repo, done, lambda _: _collected(done, left), json=as_json_)


def purge_runs(*, force: bool, as_json_: bool, addresses: tuple[str, ...]) -> int:
    """Remove runs and their objects for good."""
    repo = Repository.discover()
    runs, trashed = find_runs(repo, addresses)
    if not force and not _agrees(repo, runs, "purge"):
        return REFUSED
    done = purge(repo, runs, trashed)
    show(repo, done, lambda _: _purged(done), json=as_json_)
    return 0


def _agrees(
    repo: Repository, runs: Sequence[StoredRun], command: str, trashed: Sequence[TrashedRun] = ()
) -> bool:
    """Whether whoever is there wants runs removed although there is something to be said against it.

    Raises:
        GitflowrunError: nobody is there to be asked.
    """
    against = objections(repo, runs)
    against += [f"{run.pathspec} is in the trash, and would go from remotes" for run in trashed]
    if not against:
        return True
    names = " ".join([*(run.pathspec for run in runs), *(run.pathspec for run in trashed)])
    if not _is_terminal():
        raise GitflowrunError(
            "; ".join(against), hint=f"`git runs {command} --force {names}` removes it all the same"
        )
    for line in against:
        sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.write(f"Remove {printable(names)} all the same? [y/N] ")
    sys.stderr.flush()
    # A terminal, which others may have made non-blocking.
    wait_until_ready(sys.stdin.fileno(), to_write=False)
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    sys.stderr.write("Nothing was removed.\n")
    return False


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _removed(repo: Repository, done: Removal) -> Iterator[str]:
    yield from _told_there(done)
    if done.runs:
        yield from _told_moved(repo, done)
    told = {it.copy.tracking for it in done.removed_there}
    yield from _told_copies([copy for copy in done.copies if copy.tracking not in told])


def _told_moved(repo: Repository, done: Removal) -> Iterator[str]:
    yield f"moved to the trash: {printable(', '.join(done.runs))}"
    days = repo.settings.trash_expire / 86_400
    within = f" within {days:g} days" if days < 36_500 else ""  # noqa: PLR2004  (a century)
    names = " ".join(done.runs) if len(done.runs) <= NAMES_IN_A_HINT else "RUN..."
    yield f"`git runs restore {names}` puts {_them(done.runs)} back{within}"
    most = "" if done.exact else "at most "
    if done.objects or done.exact:
        size = f"{format_size(done.size)} ({counted(done.objects, 'object')})"
        yield f"`git runs gc --prune=now` empties the trash, which will free {most}{size}"


def _told_there(done: Removal) -> Iterator[str]:
    for remote in done.unreached:
        yield printable(f"{remote} can't be reached, so nobody knows whether it has them")
    for it in done.removed_there:
        name, remote = it.copy.ref.removeprefix("refs/runs/"), it.copy.remote
        if it.reason:
            yield printable(f"{remote} keeps {name}: {it.reason}")
        elif it.was_there:
            yield printable(f"removed from {remote}: {name}")
        else:
            yield printable(f"{remote} lists no {name}")


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _restored(it: RestoredRun) -> str:
    if it.was_here:
        return f"{printable(it.pathspec)} is here already; its entry in the trash is gone"
    name = "" if it.pathspec == it.run.pathspec else f", for {it.run.pathspec} is another run now"
    return f"restored {printable(it.pathspec)}{printable(name)}"


def _table(runs: Sequence[TrashedRun], screen: Screen) -> Iterator[str]:
    if not runs:
        return iter(["The trash is empty. `git runs rm RUN` moves a run there."])
    now = time.time()
    rows = [
        (run.pathspec, ago(run.when, now), ", ".join(run.tags), run.subject.partition(": ")[2])
        for run in runs
    ]
    return table(_COLUMNS, rows, screen)


def _collected(done: Purge, left: int) -> Iterator[str]:
    if done.runs:
        yield f"left the trash: {printable(', '.join(done.runs))}"
    if done.spins:
        yield f"removed: {counted(len(done.spins), 'spun task')}"
    yield from _told_freed(done)
    if left:
        yield f"{counted(left, 'run')} in the trash; `git runs gc --prune=now` empties it"


def _purged(done: Purge) -> Iterator[str]:
    yield f"removed for good: {printable(', '.join(done.runs))}"
    if done.spins:
        yield f"with {printable(', '.join(done.spins))}, spun of {_them(done.runs)}"
    yield from _told_freed(done)
    if done.reached_by:
        names = ", ".join(done.reached_by)
        yield f"not gone: {printable(names)} still reaches commits of {_them(done.runs)}"
    yield from _told_copies(done.copies)


def _told_freed(done: Purge) -> Iterator[str]:
    freed = done.freed
    yield f"freed {format_size(freed.size)} ({counted(freed.objects, 'object')})"
    if freed.shared:
        yield f"{counted(freed.shared, 'object')} stay, as something else reaches them"
    if freed.kept:
        yield (
            f"{counted(freed.kept, 'object')} stay, as they lie in a pack with a .keep file or in another repository, "
            "or were just used"
        )
    if freed.waits:
        yield f"not all is freed: {freed.waits}; `git runs gc` frees the rest when it has ended"


def _told_copies(copies: Sequence[RemoteCopy]) -> Iterator[str]:
    for copy in copies:
        name = copy.ref.removeprefix("refs/runs/")
        remote = copy.remote if copy.command else "a remote that is not configured any more"
        command = copy.command or f"git push URL --delete {copy.ref}"
        yield f"{printable(remote)} still has {printable(name)}: `{printable(command)}` removes it there"
