"""What has come back of runs that were removed for good, and frees it.

A remote may have a run that was purged here in a later state than any that was here. A fetch, and a push that looks at
namesakes, copies such a state to tell whose it is. Then this clone knows it by that state as well, and keeps nothing of
it; but nothing can be freed while a run is at work here, or a gc of git's, and whoever frees may be killed.

So what is to be freed is told by what is here, and not by who has just brought it: each copy of a remote's ref whose
line begins with a run of the list of those that are gone, while that run is neither here nor in the trash. Such a copy
stays until its objects can be freed with it; each fetch tries, and so does `git runs gc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import Oid
from gitflowrun.porcelain.deletion.copies import uids_of_states
from gitflowrun.porcelain.deletion.free import Freed, free
from gitflowrun.porcelain.deletion.trash import RemovedRun, RemovedRuns, Trash
from gitflowrun.runs import layout
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository


@frozen
class LeftOver:
    """What became of states of runs that are gone for good.

    Attributes:
        freed: What was freed; why not all of it could be now.
        gone: The copies of remotes' refs that are gone with it.
        stays: Those that stay until it can be.
    """

    freed: Freed = Freed()
    gone: frozenset[str] = frozenset()
    stays: frozenset[str] = frozenset()


def left_over(repo: Repository) -> dict[str, tuple[Oid, Oid]]:
    """The copies of remotes' refs that hold states of runs which are gone for good: what each holds, and the uid.

    Raises:
        RepositoryError: the list of removed runs can't be read.
    """
    listed = {it.uid for it in RemovedRuns(repo).read()}
    copies = repo.refs.below(layout.REMOTES) if listed else {}
    held = {*repo.refs.below(layout.RUNS).values(), *repo.refs.below(layout.TRASH).values()}
    states = uids_of_states(repo, {*copies.values()} - held)
    gone = {uid for uid in states.values() if str(uid) in listed}
    if gone:
        gone -= {row.uid for row in RunStore(repo).summaries()}
        gone -= {run.uid for run in Trash(repo).runs()}
    return {
        name: (Oid.from_hex(oid), states[oid])
        for name, oid in copies.items()
        if states.get(oid) in gone
    }


def free_left_over(repo: Repository) -> LeftOver:
    """Free what has come back of runs that are gone for good, and know them by these states from now on.

    Raises:
        RepositoryError: the list of removed runs can't be read.
    """
    found = left_over(repo)
    if not found:
        return LeftOver()
    refs = {name: oid for name, (oid, _) in found.items()}
    removed = RemovedRuns(repo)
    listed = removed.read()
    known = {it.commit for it in listed}
    states = [
        RemovedRun(str(uid), str(oid), name.removeprefix(layout.REMOTES))
        for name, (oid, uid) in found.items()
        if str(oid) not in known
    ]
    try:
        if states:  # a remote may have any number: where there is no space, they come again, and are freed again
            removed.add(listed, states)
        freed = free(repo, refs, {uid for _, uid in found.values()})
    except GitflowrunError as error:
        freed = Freed(waits=error.message)
    except OSError as error:
        freed = Freed(waits=error.strerror or "a system call failed")
    stays = repo.refs.below(layout.REMOTES).keys() & refs.keys()
    return LeftOver(freed, frozenset(refs.keys() - stays), frozenset(stays))
