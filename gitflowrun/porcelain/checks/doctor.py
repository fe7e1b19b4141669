"""What crashes and power cuts have left in a repository, and how it is mended: `git runs doctor`.

Each kind of finding is looked for by a function of its own, and mended by one that does what the finding says and no
more. Only what is ours is touched; of git's own files those alone that hold nothing, as a power cut leaves them, or
locks that nobody has held for an hour: each is named first. A run under way is left in peace: what somebody alive has
is no finding.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RefConflict, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.maintenance import fold_lock
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import gc_is_running
from gitflowrun.git.permissions import open_file
from gitflowrun.git.ref_locks import file_identity, lock_holder, recover_locks, remove_old_lock
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import LOCK_ABANDONED, LOCK_STALE
from gitflowrun.porcelain import hooks
from gitflowrun.porcelain.checkout import (
    abandoned_work_trees,
    half_made_entries,
    remove_abandoned,
    remove_half_made,
)
from gitflowrun.porcelain.checks.fsck import RunsCheck
from gitflowrun.porcelain.deletion.free import free, has_unfinished
from gitflowrun.porcelain.transfer.damaged import giving_up
from gitflowrun.porcelain.transfer.empty_refs import lost_tip
from gitflowrun.runs import layout
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.lookup.listing import cure_of
from gitflowrun.runs.maintenance import pack_grace
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gitflowrun.git.repository import Repository

_ID_SIZE = 2 * Oid.SIZE
_STALE_LOCKS = "stale-locks"
_TEMPORARY = re.compile(r".+\.(?:[0-9a-f]{8}|new)")


class AilmentKind(str, Enum):
    """What kind of thing is wrong."""

    LOCK = "lock"
    KEEP = "kept pack"
    INCOMING = "temporary file"
    REF = "empty ref"
    OBJECT = "empty object"
    TAG = "git tags"
    NUMBER = "last number"
    HOOK = "hook"
    SPACE = "unfinished gc"
    WORK_TREE = "work tree"
    COPY = "copy of a remote's ref"
    RUN = "damaged run"


@frozen
class Ailment:
    """Something that is wrong.

    Attributes:
        kind: What kind of thing.
        where: The file, the ref or the run.
        what: What is wrong with it.
        fix: What mends it: what `mend` does, or what people can do.
        can_be_mended: Whether `mend` does something.
        mended: Whether it was mended just now.
    """

    kind: AilmentKind
    where: str
    what: str
    fix: str
    can_be_mended: bool = True
    mended: bool = False


def examine(repo: Repository) -> list[Ailment]:
    """All that is wrong. Locks of refs that killed processes of ours have left are mended by looking."""
    return [finding for look, _ in _CHECKS for finding in look(repo)]


def mend(repo: Repository) -> list[Ailment]:
    """All that is wrong, mended where that can be done; what could not be says why."""
    return [_mended(repo, it, mender) for look, mender in _CHECKS for it in [*look(repo)]]


def _mended(
    repo: Repository, finding: Ailment, mender: Callable[[Repository, Ailment], None]
) -> Ailment:
    if finding.mended or not finding.can_be_mended:
        return finding
    try:
        reached("doctor.found")
        mender(repo, finding)
        reached("doctor.mended")
    except (GitflowrunError, OSError) as error:
        why = error.message if isinstance(error, GitflowrunError) else error.strerror or str(error)
        return replace(finding, fix=f"it could not be mended: {why}", can_be_mended=False)
    return replace(finding, mended=True)


# ---- locks of refs ----


def _killed_writers(repo: Repository) -> Iterator[Ailment]:
    for path in recover_locks(repo.common_dir, repo.state_dir / _STALE_LOCKS):
        what = "a process of ours that was killed had left it"
        yield Ailment(AilmentKind.LOCK, str(path), what, "was moved away", mended=True)


def _locks(repo: Repository) -> Iterator[Ailment]:
    """Locks of our refs that nobody has touched for longer than git holds one; then those that are git's."""
    for top in (repo.common_dir / prefix for prefix in layout.OURS):
        # What a link leads to is not ours.
        for folder, _, names in os.walk(top) if str(top) == os.path.realpath(top) else ():
            for path in (Path(folder, name) for name in names if name.endswith(".lock")):
                if _age(path) > LOCK_STALE and not _is_somebodys(repo, path):
                    what = f"nobody has touched it for {_age(path):,.0f} s: its owner was killed"
                    yield Ailment(AilmentKind.LOCK, str(path), what, "is moved away")
    packed = repo.common_dir / "packed-refs.lock"
    is_free = not (gc_is_running(repo.common_dir) or _is_somebodys(repo, packed))
    if is_free and (age := _age(packed)) > LOCK_STALE:
        what = f"nobody has touched it for {age:,.0f} s, and git packs and deletes no refs as long as it is there"
        # Only after an hour: whoever works here from another machine or container is not seen.
        is_old = age > LOCK_ABANDONED
        fix = (
            "is moved away"
            if is_old
            else "is moved away after an hour; if no git is at work here, delete it"
        )
        yield Ailment(AilmentKind.LOCK, str(packed), what, fix, can_be_mended=is_old)
    half = packed.with_suffix(".new")
    if _age(half) > LOCK_STALE and not packed.exists():
        what = "a git that was killed has left it, and git packs no refs as long as it is there"
        yield Ailment(AilmentKind.LOCK, str(half), what, "is removed")


def _is_somebodys(repo: Repository, path: Path) -> bool:
    """Whether somebody lives who may hold a lock, and may be suspended."""
    return bool(lock_holder(path, file_identity(path), repo.state_dir / _STALE_LOCKS))


def _unlock(repo: Repository, finding: Ailment) -> None:
    path = Path(finding.where)
    if path.suffix == ".lock" and _is_somebodys(repo, path):
        return
    if path.stem == "packed-refs":
        path.with_suffix(".new").unlink(missing_ok=True)
    if path.suffix == ".lock":
        remove_old_lock(path, repo.state_dir / _STALE_LOCKS, LOCK_STALE)


def _age(path: Path) -> float:
    """Seconds since something touched a file; negative where there is none."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return -1.0


# ---- packs ----


def _packs(repo: Repository) -> Iterator[Ailment]:
    for path in repo.packs.stale(pack_grace(repo)):
        if path.suffix == ".keep":
            what = "its owner died without releasing the pack, which git's repack leaves alone as long as it is there"
            yield Ailment(AilmentKind.KEEP, str(path), what, "is removed; the pack stays")
        else:
            what = "the process that wrote it was killed"
            yield Ailment(AilmentKind.INCOMING, str(path), what, "is removed")


def _sweep(repo: Repository, _: Ailment) -> None:
    repo.packs.sweep(pack_grace(repo))


# ---- files of ours ----


def _half_written(repo: Repository) -> Iterator[Ailment]:
    """What was to take the place of a small file of ours: the key of a clone, a hook."""
    places = [(repo.common_dir, "gitflowrun-"), (repo.state_dir, "")]
    places += [(hook.path.parent, f".{hook.path.name}.") for hook in hooks.state(repo)]
    for folder, start in places:
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208  (names alone)
        for name in sorted(names):
            path = folder / name
            is_one = name.startswith(start) and _TEMPORARY.fullmatch(name)
            if is_one and path.is_file() and _age(path) > LOCK_STALE:
                what = "the process that wrote it was killed"
                yield Ailment(AilmentKind.INCOMING, str(path), what, "is removed")


def _remove_half_written(_: Repository, finding: Ailment) -> None:
    Path(finding.where).unlink(missing_ok=True)


def _work_trees(repo: Repository) -> Iterator[Ailment]:
    for path in abandoned_work_trees(repo):
        what = "a `git runs rerun --same-code` that was killed had left it"
        yield Ailment(AilmentKind.WORK_TREE, str(path), what, "is removed")


def _remove_work_tree(repo: Repository, finding: Ailment) -> None:
    remove_abandoned(repo, Path(finding.where))


def _half_made(repo: Repository) -> Iterator[Ailment]:
    for path in half_made_entries(repo):
        what = "a `git worktree add` that was killed had left it; git's gc and fsck fail at it"
        yield Ailment(AilmentKind.WORK_TREE, str(path), what, "is removed; there is no work tree")


def _remove_half_made(_: Repository, finding: Ailment) -> None:
    remove_half_made(Path(finding.where))


def _space(repo: Repository) -> Iterator[Ailment]:
    if has_unfinished(repo) and (lock := fold_lock(repo)) is not None:  # nobody is at it
        os.close(lock)
        what = "freeing the space of removed runs was interrupted, or had to wait"
        yield Ailment(AilmentKind.SPACE, str(repo.state_dir), what, "is finished")


def _free(repo: Repository, _: Ailment) -> None:
    if waits := free(repo, {}).waits:
        raise RepositoryError(waits)


# ---- what a power cut leaves ----


def _refs(repo: Repository) -> Iterator[Ailment]:
    """Files below `refs/` that hold nothing: git's own gc and clone fail at them. Runs before tags, which need them."""
    refs = [
        str(Path(folder, name).relative_to(repo.common_dir))
        for folder, _, names in os.walk(repo.common_dir / "refs")
        for name in names
        if not name.endswith(".lock") and _holds_nothing(Path(folder, name))
    ]
    for ref in sorted(refs, key=lambda it: layout.parse_tag_ref(it) is not None):
        tip = lost_tip(repo, ref)
        which = "the run it is of" if layout.parse_tag_ref(ref) else "its newest commit here"
        fix = f"is set to {tip}, {which}" if tip else "is removed"
        if tip is None and _run_holds_nothing(repo, ref):
            fix = "names its run again once that is mended"
        what = "it holds nothing, as a power cut leaves it; git's gc and clone fail at it"
        yield Ailment(AilmentKind.REF, ref, what, fix)


def _run_holds_nothing(repo: Repository, ref: str) -> bool:
    """Whether a ref is that of a tag, and the ref of the run that has it holds nothing either."""
    tag = layout.parse_tag_ref(ref)
    return tag is not None and _holds_nothing(repo.common_dir / layout.run_ref(tag[0], tag[2]))


def _restore_ref(repo: Repository, finding: Ailment) -> None:
    tip = lost_tip(repo, finding.where)
    if tip and repo.objects.exists(tip):
        repo.refs.drop_damaged(finding.where, tip)
        return
    if tip is None and _run_holds_nothing(repo, finding.where):
        raise RepositoryError("the run that it names has to be mended first")
    repo.refs.drop_damaged(finding.where)
    packed = repo.refs.get(finding.where)  # where git packed it, maybe an older state
    if tip and tip != packed:
        repo.refs.transaction([RefUpdate(finding.where, tip, packed)])


def _objects(repo: Repository) -> Iterator[Ailment]:
    for folder in sorted(repo.objects_dir.glob("[0-9a-f][0-9a-f]")):
        for entry in os.scandir(folder):
            path = Path(entry.path)
            if len(entry.name) == _ID_SIZE - 2 and _holds_nothing(path):
                what = "it holds nothing, as a power cut leaves it, and stands in the way of the object"
                fix = "is removed; `git fsck` says whether the object is missed"
                yield Ailment(AilmentKind.OBJECT, str(path), what, fix)


def _holds_nothing(path: Path) -> bool:
    """Whether a file is empty, or full of zeros."""
    try:
        with open_file(path, "a file of git's") as file:
            return not file.read(_ID_SIZE).strip(b"\0")
    except (OSError, RepositoryError):
        return False


def _remove_object(_: Repository, finding: Ailment) -> None:
    path = Path(finding.where)
    if _holds_nothing(path):
        path.unlink(missing_ok=True)


# ---- tags, numbers, hooks ----


def _tags(repo: Repository) -> Iterator[Ailment]:
    for update in Tags(repo).mirror_updates():
        if update.new is None:
            yield Ailment(
                AilmentKind.TAG, update.name, "no run has that tag any more", "is removed"
            )
        else:
            what = "the git tag of a run's tag is missing" if update.old is None else "it is moved"
            yield Ailment(AilmentKind.TAG, update.name, what, f"is set to {update.new}")


def _mirror(repo: Repository, finding: Ailment) -> None:
    tags = Tags(repo)
    tags.mirror()
    if finding.where in {update.name for update in tags.mirror_updates()}:
        raise RefConflict("another tag has the name of a directory that it would lie in")


def _number(repo: Repository) -> Iterator[Ailment]:
    ids = RunIds(repo)
    if trouble := ids.trouble():
        yield Ailment(
            AilmentKind.NUMBER, str(ids.path), trouble, "is set to the highest number in use"
        )


def _set_number(repo: Repository, _: Ailment) -> None:
    RunIds(repo).mend()


def _hooks(repo: Repository) -> Iterator[Ailment]:
    for hook in hooks.state(repo):
        if hook.installed is hooks.Installed.OUTDATED:
            what = "it is of another release"
            yield Ailment(
                AilmentKind.HOOK, str(hook.path), what, "is replaced; lines of yours stay"
            )


def _update_hook(repo: Repository, finding: Ailment) -> None:
    hooks.update(repo, Path(finding.where))


# ---- runs ----


def _runs(repo: Repository) -> Iterator[Ailment]:
    told = set[str]()
    for fault in RunsCheck(repo).all():
        copy, _, path = fault.where.partition(":")
        is_copy = copy.startswith(layout.REMOTES)
        where = fault.run or (copy if is_copy else fault.where)
        if where in told:
            continue
        told.add(where)
        if is_copy:
            what = f"{path}: {fault.why}" if path else fault.why
            fix = "is removed, for git's gc and clone fail at it; the next fetch brings what the remote has"
            yield Ailment(AilmentKind.COPY, where, what, fix)
            continue
        fix = (
            f"`git runs fsck {fault.run}` says all of it, {cure_of(fault.run)}"
            if fault.run
            else f"`git runs fsck` says all of it, {_cure(repo, copy, told)}"
        )
        what = f"{fault.where}: {fault.why}" if fault.where != where else fault.why
        yield Ailment(AilmentKind.RUN, where, what, fix, can_be_mended=False)


def _cure(repo: Repository, ref: str, damaged: Collection[str]) -> str:
    """What to do about a ref in which something is wrong, and which is not that of a run here.

    What belongs to a run that may come back, from a remote or a backup, is given up last or not at all. Of `damaged`
    runs something was found before.
    """
    words = giving_up(repo, ref, is_id=ref not in repo.refs.damaged or bool(repo.refs.rows(ref)))
    if ref.startswith(layout.TRASH):
        return (
            "`git runs fetch` mends it where a remote has its run in that state, a backup of .git may; "
            f"where nothing has it any more, `{words}` gives it up for good"
        )
    tag = layout.parse_tag_ref(ref)
    if tag is None or not tag[0].isidentifier():
        return f"`{words}` gives it up"
    if f"{tag[0]}/{tag[2]}" in damaged:
        return f"it is mended with its run: {cure_of(f'{tag[0]}/{tag[2]}')}"
    with contextlib.suppress(RepositoryError):
        uid = repo.refs.get(ref)
        run = next((it for it in RunStore(repo).summaries() if it.uid == uid), None)
        if run and run.flow == tag[0] and run.id != tag[2]:
            end = "-- " if tag[1].startswith("-") else ""
            again = f"git runs tag {run.pathspec} {end}{shlex.quote(tag[1])}"
            return f"its run is {run.pathspec}: `{again}` gives it the tag, then `{words}` removes this one"
    return f"`{words}` gives it up"


def _forget(repo: Repository, finding: Ailment) -> None:
    """Remove a copy; nobody can mend a run of ours from here."""
    refs = repo.refs
    if finding.where in refs.damaged:
        refs.drop_damaged(finding.where)
    if held := refs.get(finding.where):
        refs.transaction([RefUpdate(finding.where, None, held)])


def _nothing(_: Repository, __: Ailment) -> None:
    """Nobody can mend it from here."""


# In the order in which they are mended: refs that hold nothing are no refs of damaged runs afterwards.
_CHECKS: tuple[
    tuple[Callable[[Repository], Iterator[Ailment]], Callable[[Repository, Ailment], None]], ...
] = (
    (_killed_writers, _nothing),
    (_locks, _unlock),
    (_packs, _sweep),
    (_objects, _remove_object),
    (_refs, _restore_ref),
    (_tags, _mirror),
    (_number, _set_number),
    (_half_written, _remove_half_written),
    (_work_trees, _remove_work_tree),
    (_half_made, _remove_half_made),
    (_space, _free),
    (_hooks, _update_hook),
    (_runs, _forget),
)
