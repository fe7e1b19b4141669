"""Removing runs: to the trash and back, out of it when it is old, and for good.

Each verb names its runs, looks whether they can go, and reports what it did; who asks a person first asks
`objections`. How refs move is in `trash`, how space is freed in `free`.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

from gitflowrun.cards.created_cards import remove_created_cards
from gitflowrun.errors import GitflowrunError, NotFound, RefConflict, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.command import BOUNDED
from gitflowrun.git.odb import History
from gitflowrun.limits import FREEING_LOOKS, REMOVAL_LOOK
from gitflowrun.porcelain.deletion.copies import Copies, RemoteCopy, RemoteRemoval, remove_there
from gitflowrun.porcelain.deletion.free import Freed, check_free, exclusive_size, free
from gitflowrun.porcelain.deletion.left_over import free_left_over
from gitflowrun.porcelain.deletion.trash import (
    RemovedRun,
    RemovedRuns,
    Trash,
    TrashedRun,
    told_left,
)
from gitflowrun.porcelain.notes import remove_notes
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.live import remove_live_state
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.lookup.ranges import expand
from gitflowrun.runs.maintenance import tidy
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.spins.store import NO_SPINS, ExpiredSpins, expired_spins, spins_of
from gitflowrun.runs.tags import Tags
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.runs.read import StoredRun


@frozen
class Removal:
    """What moving runs to the trash did.

    Attributes:
        runs: `Flow/id` of the runs.
        objects: How many objects only they reach.
        size: The bytes of these on disk, which are freed when the runs leave the trash.
        exact: Whether these are: else at most so many.
        copies: Which remotes had them, and have them still.
        removed_there: What became of those that were to be removed there.
        unreached: Remotes that could not be asked whether they have them, too.
    """

    runs: tuple[str, ...]
    objects: int
    size: int
    exact: bool
    copies: tuple[RemoteCopy, ...]
    removed_there: tuple[RemoteRemoval, ...] = ()
    unreached: tuple[str, ...] = ()


@frozen
class Purge:
    """What removing runs for good did.

    Attributes:
        runs: `Flow/id` of the runs.
        freed: What became of their objects.
        copies: Which remotes had them: they still have.
        reached_by: Other refs, from which a run's commits can still be reached.
        spins: The ids of spun tasks that went as well.
    """

    runs: tuple[str, ...]
    freed: Freed
    copies: tuple[RemoteCopy, ...] = ()
    reached_by: tuple[str, ...] = ()
    spins: tuple[str, ...] = ()


def objections(repo: Repository, runs: Sequence[StoredRun]) -> list[str]:
    """Why a person might want to keep runs: they run, have tags, are on a remote, or others stem from them."""
    tags = Tags(repo).all()
    copies = Copies(repo).of({run.identity.uid for run in runs})
    leaving = {run.pathspec for run in runs}
    heirs: dict[str, list[str]] = {}
    for row in RunStore(repo).summaries():
        if row.state.origin and row.pathspec not in leaving:
            heirs.setdefault(row.state.origin.rpartition(" ")[2], []).append(row.pathspec)
    found = []
    for run in runs:
        uid = run.identity.uid
        names = sorted({copy.remote for copy in copies if copy.uid == uid})
        own, stem = tags.get((run.flow, run.id)), heirs.get(str(uid))
        reasons = (
            "is running" if run.status is Status.RUNNING else "",
            f"is tagged {', '.join(own)}" if own else "",
            f"is also on {', '.join(names)}" if names else "",
            f"is the origin of {', '.join(stem)}" if stem else "",
        )
        found += [f"{run.pathspec} {reason}" for reason in reasons if reason]
    return found


def remove(repo: Repository, runs: Sequence[StoredRun], *, spare_tagged: bool = False) -> Removal:
    """Move runs to the trash.

    Args:
        repo: The repository.
        runs: The runs.
        spare_tagged: Whether those stay that somebody tags meanwhile.

    Raises:
        RefConflict: one of them has just changed.
        RepositoryError: the repository can't be written to.
    """
    uids = {run.identity.uid for run in runs}
    copies = Copies(repo).of(uids)
    refs: dict[str, Oid] = {layout.run_ref(run.flow, run.id): run.commit for run in runs}
    tags = Tags(repo).all()
    for run in runs:
        for tag in tags.get((run.flow, run.id), ()):
            uid = run.identity.uid
            refs[layout.tag_ref(run.flow, tag, run.id)] = uid
            refs[layout.tag_mirror(run.flow, tag, run.id, uid)] = uid
    refs |= {copy.tracking: copy.oid for copy in copies}
    trash = Trash(repo)
    trash.empty_logs(refs)
    try:
        objects, size, exact = exclusive_size(repo, refs, REMOVAL_LOOK)
    except RepositoryError:  # something is missing somewhere: that must not keep a run here
        objects, size, exact = 0, 0, False
    moved = trash.put(runs, spare_tagged=spare_tagged)
    names = tuple(run.pathspec for run in moved)
    copies = [copy for copy in copies if copy.uid in {run.identity.uid for run in moved}]
    return Removal(names, objects, size, exact and len(moved) == len(runs), tuple(copies))


def remove_everywhere(
    repo: Repository,
    runs: Sequence[StoredRun],
    trashed: Sequence[TrashedRun] = (),
    *,
    spare_tagged: bool = False,
) -> Removal:
    """As `remove`, and from all remotes that have them; a server may refuse that.

    Args:
        repo: The repository.
        runs: The runs.
        trashed: Runs that are in the trash already, which go from remotes only.
        spare_tagged: Whether those stay that somebody tags meanwhile.

    Raises:
        RefConflict: one of them has just changed; nothing was removed anywhere.
        RepositoryError: the repository can't be written to.
    """
    done = Removal((), 0, 0, exact=True, copies=())
    if runs:
        done = remove(repo, runs, spare_tagged=spare_tagged)
    copies = [*done.copies, *Copies(repo).of({run.uid for run in trashed})]
    tips = {run.commit: run.identity for run in runs if run.pathspec in done.runs}
    tips |= {run.tip: RunIdentity(run.flow, run.id, run.uid) for run in trashed}
    found, unreached = remove_there(repo, copies, _states(repo, tips))
    gone = {it.copy.tracking for it in found if not it.reason}
    kept = tuple(copy for copy in copies if copy.tracking not in gone)
    return replace(done, copies=kept, removed_there=tuple(found), unreached=tuple(unreached))


def _states(repo: Repository, tips: Mapping[Oid, RunIdentity]) -> dict[Oid, RunIdentity]:
    """All commits of runs: a remote may have any of them, for a run is pushed and fetched while it works, too."""
    found = {**tips, **{run.uid: run for run in tips.values()}}
    parts = [[*tips]]
    for part in parts:
        try:
            history = History(repo.git, part)
        except (
            GitflowrunError
        ):  # of what is damaged no more than that is known; the others are asked for alone
            parts += [[tip] for tip in part] if len(part) > 1 else []
        else:
            found |= {state: tips[tip] for tip in part for state in history.line(tip)}
    return found


def collect(repo: Repository, expire: float, spins: float = math.inf) -> Purge:
    """Remove what has been in the trash for `expire` seconds, and what was spun so long ago, free it, and tidy up.

    What somebody restores meanwhile stays. An age of no seconds takes all, by whatever clock it was removed.

    Args:
        repo: The repository.
        expire: For how many seconds runs stay in the trash.
        spins: For how many seconds spun tasks stay.

    Raises:
        RefConflict: the trash has changed each time.
        RepositoryError: space can't be freed now; the trash is as it was.
    """
    for attempt in range(1, FREEING_LOOKS + 1):
        runs = [run for run in Trash(repo).runs() if expire <= 0 or _is_older(repo, run, expire)]
        try:
            found = purge(repo, (), runs, _expired(repo, spins))
            break
        except RefConflict:
            if attempt == FREEING_LOOKS:
                raise
    more = free_left_over(repo).freed
    tidy(repo)
    return replace(found, freed=found.freed.and_also(more))


def _expired(repo: Repository, seconds: float) -> ExpiredSpins:
    """What was spun so long ago; nothing where no space can be freed now: nobody has asked for these."""
    found = expired_spins(repo, seconds) if math.isfinite(seconds) else NO_SPINS
    if found.refs:
        try:
            check_free(repo)
        except RepositoryError:
            return NO_SPINS
    return found


def _is_older(repo: Repository, run: TrashedRun, seconds: float) -> bool:
    """Whether a run was removed so long ago; by a clock that was behind it was removed before it was made."""
    now = time.time()
    if run.when > now - seconds:
        return False
    made = 0.0
    with contextlib.suppress(GitflowrunError):  # what can't be read goes by what the trash says
        made = float(repo.objects.commit(run.tip).committer.seconds)
    return made <= now - seconds or made > now


def _just_moved(repo: Repository, runs: Sequence[StoredRun]) -> list[TrashedRun]:
    """Runs that were just moved to the trash, as they are there. Raises RepositoryError: one can't be read."""
    here = {run.identity.uid for run in runs}
    found = [it for it in Trash(repo).runs() if it.uid in here]
    if here - {it.uid for it in found}:  # git has passed over a ref that it could not read
        words = " ".join(run.pathspec for run in runs)
        raise RepositoryError(
            f"what was just moved to the trash can't be read there: {words}",
            hint=f"`git runs purge {words}` goes on",
        )
    return found


def purge(
    repo: Repository,
    runs: Sequence[StoredRun],
    trashed: Sequence[TrashedRun],
    spins: ExpiredSpins = NO_SPINS,
) -> Purge:
    """Remove runs for good, and their objects: what is here, what is in the trash, and what was spun of them.

    Args:
        repo: The repository.
        runs: Runs that are here.
        trashed: Those in the trash.
        spins: Other spun tasks, which go in the same way.

    Raises:
        RefConflict: one of them has just changed.
        RepositoryError: space can't be freed, and nothing was removed; or git failed later, and `collect` goes on; or
            notes could not be removed.
    """
    if runs or trashed or spins.refs:
        check_free(repo)
    here = {run.identity.uid for run in runs}
    uids = here | {run.uid for run in trashed}
    copies = Copies(repo).of(uids)
    if runs:  # in one way: whatever kills us, they are in the trash
        Trash(repo).put(runs)
    reached("purge.trashed")
    leaving = [*trashed, *_just_moved(repo, runs)]
    still = {uid for uid in uids if uid in _uids_here(repo)}
    refs = {name: oid for run in leaving for name, oid in run.refs().items()}
    refs |= {copy.tracking: copy.oid for copy in copies if copy.uid not in still}
    gone = [run for run in leaving if run.uid not in still]
    _list_removed(repo, gone, [copy for copy in copies if copy.uid not in still])
    if leaving:
        RunIds(repo).mend()  # of numbers that came from elsewhere, refs alone tell till now
    reached("purge.listed")
    spins = spins.and_also(spins_of(repo, uids - still))
    Trash(repo).empty_logs(refs)
    try:
        freed = free(repo, {**refs, **spins.refs}, {*(uids - still), *spins.uids})
    except RepositoryError as error:
        # Where not even that succeeds, as on a full disk, they are in the trash.
        with contextlib.suppress(GitflowrunError):
            _put_back(repo, here)
        if isinstance(error, RefConflict):
            raise _changed_meanwhile(repo, leaving) or error from error
        raise
    _remove_notes(repo, sorted(uids - still))
    reached("purge.freed")
    for run in gone:
        _forget(repo, run.uid, run.id)
    for uid, spin in zip(spins.uids, spins.ids, strict=True):
        _forget(repo, uid, spin)
    others = _reached_by(repo, [run.uid for run in gone])
    names = tuple(dict.fromkeys(run.pathspec for run in leaving))
    kept = tuple(it for it in copies if it.uid not in still)
    return Purge(names, freed, kept, others, tuple(map(str, spins.ids)))


def _list_removed(
    repo: Repository, gone: Sequence[TrashedRun], copies: Sequence[RemoteCopy]
) -> None:
    """Have no fetch bring runs here again: they and their copies as they were, and each of their states."""
    lines = [RemovedRun(str(run.uid), str(run.tip), run.pathspec) for run in gone]
    states = _states(repo, {it.tip: RunIdentity(it.flow, it.id, it.uid) for it in gone})
    RemovedRuns(repo).add(
        [*lines, *map(_removed, copies)],
        (RemovedRun(str(run.uid), str(it), f"{run.flow}/{run.id}") for it, run in states.items()),
    )


def find_runs(repo: Repository, words: Iterable[str]) -> tuple[list[StoredRun], list[TrashedRun]]:
    """The runs that words name, and, where there is none here, all that the trash has of such a run.

    A range (`10..20`) takes in what is here and what is in the trash.

    Raises:
        NotFound: there is none, neither here nor there.
        InvalidPathspec: a word is no address of a run, or an ambiguous one.
    """
    runs, trash = {}, Trash(repo)
    trashed: set[Oid] = set()
    for word in expand(repo, words, lambda: [*RunStore(repo).names(), *trash.names()]):
        try:
            run = RunStore(repo).find(word)
            runs[run.pathspec] = run
        except NotFound as error:
            try:
                trashed.add(trash.find(word).uid)
            except NotFound:
                raise error from None
    return list(runs.values()), [it for it in trash.runs() if it.uid in trashed]


def _changed_meanwhile(repo: Repository, runs: Sequence[TrashedRun]) -> RefConflict | None:
    """The error that runs have left the trash while they were about to be purged; None where all are there still."""
    left, here = {(it.uid, it.removed) for it in Trash(repo).runs()}, _uids_here(repo)
    gone = [run for run in runs if (run.uid, run.removed) not in left]
    if not gone:
        return None
    with contextlib.suppress(GitflowrunError):  # else the next fetch does it
        RemovedRuns(repo).drop(run.uid for run in runs if run.uid in here)
    return told_left(gone[0], "purged", is_here=gone[0].uid in here)


def _put_back(repo: Repository, uids: set[Oid]) -> None:
    """Restore runs that could not be freed: nothing of them is gone while they are in the trash."""
    trash = Trash(repo)
    if back := [run for run in trash.runs() if run.uid in uids]:
        RemovedRuns(repo).drop(uids)
        trash.restore(back)


def _remove_notes(repo: Repository, uids: Sequence[Oid]) -> None:
    """Remove the notes on runs that are gone. Raises RepositoryError: they stay, and nothing names them any more."""
    try:
        remove_notes(repo, uids)
    except GitflowrunError as error:
        raise RepositoryError(
            f"the runs are gone, but not the notes on them: {error.message}",
            hint=f"`git notes --ref={layout.NOTES} prune` removes these",
        ) from error


def _uids_here(repo: Repository) -> set[Oid]:
    return {row.uid for row in RunStore(repo).summaries()}


def _removed(copy: RemoteCopy) -> RemovedRun:
    return RemovedRun(str(copy.uid), str(copy.oid), copy.tracking.removeprefix(layout.REMOTES))


def _forget(repo: Repository, uid: Oid, run: RunId) -> None:
    """Remove what the state directory has of a run that is gone."""
    remove_live_state(repo, uid)
    remove_created_cards(repo, uid)
    lock = Locks(repo.state_dir).run(run)
    if lock.path.exists() and lock.try_acquire():
        lock.release(remove=True)


def _reached_by(repo: Repository, uids: Sequence[Oid]) -> tuple[str, ...]:
    """The refs from which commits of these runs can be reached."""
    found: dict[str, None] = {}
    for uid in uids:
        done = repo.git.attempt(
            "for-each-ref", "--format=%(refname)", f"--contains={uid}", env=BOUNDED
        )
        if not done.code:
            found.update(dict.fromkeys(done.out.decode(errors="replace").splitlines()))
    return tuple(found)
