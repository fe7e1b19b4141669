"""The code of a run as files: in a new directory for people, in a temporary work tree for a run of that code.

For people it is a linked work tree of git's where that can be, so that `git status` says there what was changed when
the run began, and `git diff`, `git log` and a new run of the flow go on from it:

1. Look at all names of the code's tree, and at the directory: nothing is made where something is refused. It is
   locked, for what the first of two commands has written there must not be taken for what the second one has.
2. Have `git worktree add --no-checkout --detach` make the directory, at the commit below the run's code.
3. Write the files, as `client.code` writes a tree of anybody's: no path leaves the directory, none is git's own, and
   no filter of an attribute in that code runs.
4. Fill the work tree's index from the commit, so that what differs is shown as changed.

What a killed `git worktree add` has left of its entry, ours or the user's, is removed first, and by `git runs doctor
--fix`: git's own gc fails at it, and `git worktree prune` leaves it.

No hook runs, for there is nothing that git checks out. Where the commit is not here (a run that was fetched without its
branch), where git can't make a work tree, where only some paths are wanted, or where the user wants that, it is a plain
directory. What fails takes away what it has made, and nothing else.

The work tree for a run is made by git's own checkout, filters and all, for the run is trusted and its files shall be
what they were. It lies in `.git/gitflowrun/rerun` beside a lock; those of processes that died are removed by who makes
the next one, and by `git runs doctor --fix`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.client.code import code_files, materialise
from gitflowrun.errors import GitflowrunError, NotFound, RepositoryError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import gits_at_work
from gitflowrun.git.permissions import add_lines, lock_file, open_file
from gitflowrun.git.repository import Repository
from gitflowrun.limits import LOCK_STALE
from gitflowrun.runs.locks import FileLock, LockState
from gitflowrun.runs.trust import Trust
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.runs.read import StoredRun

_RERUN = "rerun"
_FREE = "name one that is not there: nothing is overwritten"
_SMALL = 8192
"""Bytes that are read of a file of git's which holds one path or one commit."""
_UNBORN = "refs/heads/code-of-run-{}"
_SPECIAL = frozenset("\\*?[!# ")
"""What means something in a pattern of `info/exclude`, at some place."""
_FIRST_FILES = frozenset(
    {"gitdir", "commondir", "HEAD", "locked", "refs", "logs", "config.worktree"}
)
"""What git writes of a work tree's entry before there is anything in it to lose."""


@frozen
class CheckedOut:
    """Where the code of a run was written to.

    Attributes:
        run: The run.
        place: The directory.
        files: How many files and links were written.
        commit: The commit that its work tree is at; None of a plain directory.
        why_plain: Why it is a plain directory; empty where that was asked for, or it is none.
        is_ignored: Whether `.git/info/exclude` names it, as it lies within the user's own work tree.
        left_out: What ran and is not in the run's code, and why.
    """

    run: str
    place: Path
    files: int
    commit: Oid | None
    why_plain: str
    is_ignored: bool
    left_out: dict[str, str]


def check_out(
    run: StoredRun, place: Path, paths: Sequence[str] = (), *, plain: bool = False
) -> CheckedOut:
    """Write the code of a run into a new directory.

    Args:
        run: The run, anybody's.
        place: The directory, which must not be there, or be empty.
        paths: The files and directories that are wanted, from the top of the code; all where there are none.
        plain: Whether to make a plain directory in any case.

    Raises:
        UsageError: the directory is there, or can't be made.
        NotFound: the code has no such path.
        UntrustedArtifact: the run is not trusted, and its code has files or links that could do harm here.
        RepositoryError: it can't be written.
    """
    repo, place = run.repo, place.absolute()
    for entry in half_made_entries(repo):
        remove_half_made(entry)
    trusted = Trust(repo).trusts_run(run)
    wanted = [os.path.normpath(path).strip("/") for path in paths]
    _check_paths(run, wanted, trusted=trusted)  # 1
    commit, why_plain = (None, "") if plain or paths else _commit_of(run)
    try:
        with _claimed(place) as was_there:
            if commit is not None and (why_plain := _why_no_work_tree(repo, place, commit)):  # 2
                commit = None
            with _removed_if_it_fails(repo, place, was_there=was_there):
                count = materialise(  # 3
                    repo.objects, run.code_tree, place, trusted=trusted, paths=frozenset(wanted)
                )
                if commit is not None:
                    Repository.discover(place).git.run("read-tree", "HEAD")  # 4
                is_ignored = _ignore(repo, place)
    except OSError as error:
        raise UsageError(
            f"the code of {run.pathspec} can't be written to {str(place)!r}: {error.strerror or error}",
            hint="name a directory on a disk with free space that you may write to",
        ) from error
    left_out = dict(run.left_out())
    return CheckedOut(run.pathspec, place, count, commit, why_plain, is_ignored, left_out)


def _check_paths(run: StoredRun, wanted: Sequence[str], *, trusted: bool) -> None:
    """See that the whole tree can be written, and that the paths are in it. Raises as `check_out` does."""
    missing = {path for path in wanted if path != "."}
    for item in code_files(run.objects, run.code_tree, trusted=trusted):
        missing.discard(item.path)
    if missing:
        path = min(missing)
        raise NotFound(
            f"the code of {run.pathspec} has no {path!r}",
            hint=f"paths begin at its top: `git ls-tree -r --name-only runs/{run.pathspec}:code` lists them",
        )


@contextlib.contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Have an empty directory to oneself, which is made where it is not there; gives whether it was.

    Raises:
        UsageError: something else is there, or somebody else has just claimed it.
        OSError: it can't be made.
    """
    was_there = _check_place(place)
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _lock(descriptor, place):
            raise UsageError(f"somebody else is just writing to {str(place)!r}", hint=_FREE)
        try:
            yield was_there
        except BaseException:
            if not was_there:
                with contextlib.suppress(OSError):  # there is something in it
                    place.rmdir()
            raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int, place: Path) -> bool:
    """Lock a directory, open as it is there; whether that was free, and whoever had it has left nothing there."""
    try:
        lock_file(descriptor, place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except RepositoryError:
        pass  # a network file system without such locks
    return _check_place(place) and os.path.samestat(os.fstat(descriptor), place.stat())


@contextlib.contextmanager
def _removed_if_it_fails(repo: Repository, place: Path, *, was_there: bool) -> Iterator[None]:
    """Remove what is written within the context if that fails, unless others write to the same place."""
    try:
        yield
    except FileExistsError as error:
        raise UsageError(
            f"something else was written to {str(place)!r} meanwhile: {error}",
            hint=f"nothing was removed there; {_FREE}",
        ) from error
    except BaseException:
        _remove(repo, place)
        if was_there:
            place.mkdir(exist_ok=True)
        raise


def _check_place(place: Path) -> bool:
    """Whether a directory is there, which is empty. Raises UsageError: something else is there."""
    try:
        if not os.path.lexists(place):
            return False
        if place.is_symlink() or not place.is_dir():
            raise UsageError(f"{str(place)!r} is there, and is no directory", hint=_FREE)
        if any(place.iterdir()):
            raise UsageError(f"the directory {str(place)!r} is there, and not empty", hint=_FREE)
    except OSError as error:
        raise UsageError(
            f"{str(place)!r} can't be looked at: {error.strerror or error}", hint=_FREE
        ) from error
    return True


def _commit_of(run: StoredRun) -> tuple[Oid | None, str]:
    """The commit below the code of a run; where there is none here, why."""
    text = run.info.git.get("commit")
    try:
        commit = Oid.from_hex(text) if text else None
    except ValueError:
        commit = None
    if commit is None:
        return None, "the run was made before the first commit"
    try:
        run.repo.git.run("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}")
    except RepositoryError:
        return None, f"its commit {commit.short} is not in this repository"
    return commit, ""


def _add_work_tree(repo: Repository, place: Path, commit: Oid) -> None:
    """Make a linked work tree without files. Raises RepositoryError."""
    repo.git.run("worktree", "add", "--no-checkout", "--detach", str(place), str(commit))


def _why_no_work_tree(repo: Repository, place: Path, commit: Oid) -> str:
    """Make a linked work tree without files; where git can't, as in a repository that may only be read, why not."""
    try:
        _add_work_tree(repo, place, commit)
    except RepositoryError as error:
        # Git takes away what it has made, unless it was killed; anything else is somebody's.
        if [path.name for path in place.glob("*")] == [".git"]:
            _remove(repo, place)
        place.mkdir(exist_ok=True)
        return f"git makes no work tree: {error.message.strip().splitlines()[-1]}"
    return ""


def _remove(repo: Repository, place: Path) -> None:
    with contextlib.suppress(GitflowrunError):
        repo.git.attempt("worktree", "remove", "--force", "--force", str(place))
    shutil.rmtree(place, ignore_errors=True)


def _ignore(repo: Repository, place: Path) -> bool:
    """Have git not list a directory among new files of the work tree that it lies in; whether it does so."""
    place = place.resolve()
    if repo.work_tree is None or not place.is_relative_to(repo.work_tree):
        return False
    path = place.relative_to(repo.work_tree).as_posix()
    pattern = "".join(f"\\{it}" if it in _SPECIAL else it for it in path)
    exclude = repo.common_dir / "info" / "exclude"
    try:
        add_lines(exclude, [os.fsencode(f"/{pattern}/")], repo.shared_mode)
    except RepositoryError:  # then git lists it
        return False
    return True


@contextlib.contextmanager
def temporary_work_tree(run: StoredRun) -> Iterator[Path]:
    """A work tree with the code of a run, which is trusted, for as long as the context lasts.

    A run that is started there is recorded in this repository, with that code as its own.

    Args:
        run: The run.

    Raises:
        RepositoryError: it can't be made.
    """
    repo = run.repo
    top = repo.state(_RERUN)
    for left in abandoned_work_trees(repo):
        remove_abandoned(repo, left)
    place = top / f"{run.id}-{secrets.token_hex(4)}"
    lock = FileLock(top / f"{place.name}.lock")
    lock.acquire()
    try:
        commit, _ = _commit_of(run)
        _add_work_tree(repo, place, commit or run.identity.uid)
        there = Repository.discover(place)
        if commit is None:  # a work tree needs some commit: the run's code has none
            there.git.run("symbolic-ref", "HEAD", _UNBORN.format(run.id))
        there.git.run("-c", "core.sparseCheckout=false", "read-tree", "--reset", "-u", str(run.code_tree))  # fmt: skip
        yield place
    finally:
        _remove(repo, place)
        _forget(repo, place)
        lock.release(remove=True)


def abandoned_work_trees(repo: Repository) -> list[Path]:
    """The temporary work trees of processes that died."""
    top = repo.state_dir / _RERUN
    with contextlib.suppress(OSError):
        return [
            path.with_suffix("")
            for path in sorted(top.glob("*.lock"))
            if FileLock(path).state() is LockState.FREE
        ]
    return []


def remove_abandoned(repo: Repository, place: Path) -> None:
    """Remove the temporary work tree of a process that died; not where somebody has it after all."""
    lock = FileLock(place.with_suffix(".lock"))
    if lock.try_acquire():
        try:
            _remove(repo, place)
            _forget(repo, place)
        finally:
            lock.release(remove=True)


def _forget(repo: Repository, place: Path) -> None:
    """Remove what a `git worktree add` that was killed has left of its entry: git lists none without `commondir`.

    Until then git's own gc and fsck fail at it. The name is ours alone, as no other work tree has it.
    """
    entry = repo.common_dir / "worktrees" / place.name
    if not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)


def half_made_entries(repo: Repository) -> list[Path]:
    """The entries in `.git/worktrees` that a `git worktree add` has left which was killed before it had written them.

    Git writes them within milliseconds, and nothing else beforehand: what nobody has touched for `LOCK_STALE` seconds
    is left over, unless a git lives that may be suspended. An entry that has an index is somebody's work tree, whatever
    else it lacks.
    """
    top = repo.common_dir / "worktrees"
    with contextlib.suppress(OSError):
        found = [path for path in sorted(top.iterdir()) if _is_half_made(path)]
        users = {path.lstat().st_uid for path in found}
        if not any(git for user in users for git in gits_at_work(repo.common_dir, user=user)):
            return found
    return []


def _is_half_made(entry: Path) -> bool:
    if entry.is_symlink() or not entry.is_dir():
        return False
    files = list(entry.iterdir())
    is_written = all(_says_something(entry / name) for name in ("gitdir", "commondir", "HEAD"))
    if is_written or not {path.name for path in files} <= _FIRST_FILES:
        return False
    return time.time() - max(path.lstat().st_mtime for path in (entry, *files)) > LOCK_STALE


def _says_something(path: Path) -> bool:
    """Whether a small file of git's is there, and neither empty nor a commit of zeros."""
    try:
        with open_file(path, "a file of git's") as file:
            return bool(file.read(_SMALL).strip(b"0\0\n"))
    except (OSError, RepositoryError):
        return False


def remove_half_made(entry: Path) -> None:
    """Remove such an entry, and the directory that was to be its work tree where that has nothing but git's link."""
    if not _is_half_made(entry):
        return
    link = _link_to(entry)
    shutil.rmtree(entry, ignore_errors=True)
    if link is not None:
        link.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody has just written there
            link.parent.rmdir()


def _link_to(entry: Path) -> Path | None:
    """The `.git` file that leads to an entry, where it stands alone in its directory."""
    with contextlib.suppress(OSError, RepositoryError):
        with open_file(entry / "gitdir", "a file of git's") as file:
            link = Path(os.fsdecode(file.read(_SMALL).strip()))
        with open_file(link, "a file of git's") as file:
            leads_there = file.read(_SMALL).strip() == b"gitdir: " + os.fsencode(entry)
        if leads_there and [*link.parent.iterdir()] == [link]:
            return link
    return None
