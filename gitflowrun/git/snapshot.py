"""The snapshot of a work tree: a git tree of what is there now, and what `git status` says about it.

Never touches the index, the work tree, HEAD or loose objects.

1. The index is copied (times kept: git's check for racily clean entries needs them). Everything below works
   on the copy, and new objects go to a quarantine directory that sees the repository's objects as alternates.
2. `git status` on the copy tells what differs from HEAD and from the index; `git ls-files -v` what it
   does not look at (assume-unchanged, skip-worktree). Nothing at all: the tree is HEAD's own.
3. `git update-index` takes every changed and every untracked file into the copy, as `git add` would: with
   the user's filters and line endings. Untracked files that are too big or look like secrets
   (`settings.SECRET_PATTERNS`) stay out, and
   what git can't read stays out as well: noted, never a failure.
4. `git write-tree`. The new objects are read from the quarantine and returned: the caller writes them
   into the pack that also gets the commit. Objects that so far lie loose in the repository (a `git add`
   wrote them) come along: git does not fsync them, and our ref must not outlive them in a power cut.

Left out, because no tree can hold them: repositories embedded in the work tree, and uncommitted changes
inside submodules. Ignored files are left out in silence, with one exception: the program that is run. Where
git ignores it, or where it lies elsewhere, the snapshot is not the whole answer to "which code was that?".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack.reader import PackReader, quarantine
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.limits import SNAPSHOT_ABANDONED
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.git.command import Git
    from gitflowrun.git.repository import Repository

_COMMAND = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames", "--untracked-files=all"
)  # fmt: skip
_NAME_AT = {b"1": 8, b"u": 10}
_MODE_AT = {b"1": 5, b"u": 6}
_ABSENT = b"000000"


@frozen
class Change:
    """A path at which work tree, index and HEAD are not all the same.

    Attributes:
        path: The path from the top of the work tree. An untracked directory that is a repository of its
            own ends in a slash.
        untracked: It is not in the index.
        unmerged: The index holds several versions of it.
        in_work_tree: The work tree differs from the index (or there is a conflict).
        gone: It is in the index and not in the work tree.
        submodule_dirty: It is a submodule with changes that it has not committed.
    """

    path: bytes
    untracked: bool = False
    unmerged: bool = False
    in_work_tree: bool = False
    gone: bool = False
    submodule_dirty: bool = False


@frozen
class Status:
    """HEAD and all changes; `trouble` says why submodules were not looked at."""

    head: Oid | None
    branch: str | None
    changes: tuple[Change, ...]
    trouble: str | None = None


def read_status(git: Git, env: Mapping[str, str]) -> Status:
    """What `git status` says. A submodule that git can't enter is no reason to fail.

    Args:
        git: Runs git.
        env: Variables that say which index and object directory to look at.

    Raises:
        RepositoryError: git fails.
    """
    done = git.attempt(*_COMMAND, "--ignore-submodules=none", env=env)
    if done.code == 0:
        return parse_status(done.out)
    out = git.run(*_COMMAND, "--ignore-submodules=all", env=env)
    return parse_status(out, f"submodules can't be read: {done.message}")


def parse_status(out: bytes, trouble: str | None = None) -> Status:
    """The values in the output of `git status --porcelain=v2 -z --branch --no-renames`."""
    head: Oid | None = None
    branch: str | None = None
    changes = []
    for line in out.split(b"\0"):
        kind = line[:1]
        if line.startswith(b"# branch.oid ") and not line.endswith(b"(initial)"):
            head = Oid.from_hex(line.split(b" ")[2])
        elif line.startswith(b"# branch.head ") and not line.endswith(b" (detached)"):
            branch = line.split(b" ", 2)[2].decode(errors="replace")
        elif kind == b"?":
            changes.append(Change(line[2:], untracked=True))
        elif kind in _NAME_AT:
            changes.append(_change(line))
    return Status(head, branch, tuple(changes), trouble)


def _change(line: bytes) -> Change:
    kind = line[:1]
    fields = line.split(b" ", _NAME_AT[kind])
    states, submodule, path = fields[1], fields[2], fields[-1]
    unmerged = kind == b"u"
    return Change(
        path,
        unmerged=unmerged,
        in_work_tree=unmerged or states[1:2] != b".",
        gone=fields[_MODE_AT[kind]] == _ABSENT,
        submodule_dirty=submodule[:1] == b"S" and submodule[2:] != b"..",
    )


_EMPTY_TREE = hash_object(ObjectType.TREE, b"")
# What makes git fail for every file alike; then the snapshot fails, instead of leaving all of them out.
_NO_PLACE = (
    "No space left", "Disk quota", "Read-only file system", "Input/output error", "unable to write",
    "unable to create temporary", "insufficient permission for adding",
)  # fmt: skip


# The quarantine lives for a moment: neither compress nor sync. A split index would put files beside the
# user's own; `safecrlf` would refuse files that the user's next `git add` refuses, too, but we only look.
_QUICK = (
    "-c", "core.looseCompression=0", "-c", "core.fsync=none", "-c", "core.fsyncObjectFiles=false",
    "-c", "core.splitIndex=false", "-c", "core.safecrlf=false",
)  # fmt: skip


@frozen
class LeftOut:
    """Something of the work tree that the snapshot does not hold, and why."""

    path: str
    size: int
    reason: str


@frozen
class Snapshot:
    """The work tree as it was.

    Attributes:
        tree: Its tree.
        head: The commit that was checked out; None before the first one.
        branch: The branch that was checked out; None when HEAD was detached.
        dirty: The paths at which the tree differs from HEAD's. Bytes that are not UTF-8 are escaped.
        left_out: What is not in the tree.
        objects: The objects of the tree that the repository does not hold safely yet.
    """

    tree: Oid
    head: Oid | None
    branch: str | None
    dirty: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    objects: tuple[PackObject, ...]


def take_snapshot(repository: Repository, program: Path | None = None) -> Snapshot:
    """The work tree of `repository` as a tree; of a bare repository, the empty tree.

    Args:
        repository: The repository.
        program: The file that is run: noted as left out whenever the tree does not hold it.

    Raises:
        RepositoryError: git can't do it, or there is no place for new objects.
    """
    if repository.work_tree is None:
        head = repository.head()
        empty = PackObject(ObjectType.TREE, b"", _EMPTY_TREE)
        left_out = _elsewhere(program, None)
        return Snapshot(_EMPTY_TREE, head.commit, head.branch, (), left_out, (empty,))
    try:
        parent = repository.state("snapshots")
        _remove_abandoned(parent)
        with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as place:
            return _SnapshotBuilder(repository, repository.work_tree, Path(place)).take(program)
    except OSError as error:
        where = f": {os.fsdecode(error.filename)}" if error.filename else ""
        raise RepositoryError(
            f"can't take a snapshot of the work tree: {error.strerror}{where}",
            hint="recording runs needs a repository that you may write to, and space on its disk",
        ) from error


def _remove_abandoned(parent: Path) -> None:
    for old in parent.iterdir():  # a killed process left it
        with contextlib.suppress(FileNotFoundError):  # another process has just ended with its own
            if time.time() - old.lstat().st_mtime > SNAPSHOT_ABANDONED:
                shutil.rmtree(old, ignore_errors=True)


class _SnapshotBuilder:
    """Takes one snapshot.

    Args:
        repository: The repository.
        work_tree: The top of its work tree.
        place: A directory for the copy of the index and the quarantine of new objects.
    """

    def __init__(self, repository: Repository, work_tree: Path, place: Path) -> None:
        self.repository = repository
        self.git = repository.git
        self.root = os.fsencode(work_tree)
        self.index = place / "index"
        self.quarantine = place / "objects"
        self.left_out: list[LeftOut] = []
        self.env = quarantine(self.quarantine, repository.objects_dir)
        self.env["GIT_INDEX_FILE"] = str(self.index)

    def take(self, program: Path | None) -> Snapshot:
        self.quarantine.mkdir()
        with contextlib.suppress(FileNotFoundError):  # before the first `git add`
            shutil.copy2(self.repository.git_dir / "index", self.index)  # 1
        status = read_status(self.git, self.env)  # 2
        if status.trouble:
            self.left_out.append(LeftOut(".gitmodules", 0, status.trouble))
        hidden = self._hidden_edits()
        head_tree = self.repository.objects.commit(status.head).tree if status.head else None
        self._look_for(program, status, head_tree)
        if head_tree and not status.changes and not hidden:
            return Snapshot(head_tree, status.head, status.branch, (), tuple(self.left_out), ())
        self._update(status, hidden)  # 3
        tree = Oid.from_hex(self._write("write-tree", "--missing-ok").strip())  # 4
        dirty, oids = self._compare(head_tree, tree)
        return Snapshot(
            tree, status.head, status.branch, dirty, tuple(self.left_out), self._collect(oids)
        )

    def _look_for(self, program: Path | None, status: Status, head_tree: Oid | None) -> None:
        """Note the program if nothing else will say that the tree does not hold it."""
        work_tree = Path(os.fsdecode(self.root))
        self.left_out += _elsewhere(program, work_tree)
        file = _real_file(program)
        if file is None or not file.is_relative_to(work_tree):
            return
        names = [os.fsencode(name) for name in file.relative_to(work_tree).parts]
        paths = {b"/".join(names[:count]) for count in range(1, len(names) + 1)}
        changes = [change for change in status.changes if change.path.rstrip(b"/") in paths]
        if changes:
            is_there = any(change.untracked or not change.gone for change in changes)
        else:
            is_there = head_tree is not None and self._holds(head_tree, names)
        if not is_there:
            self._leave(b"/".join(names), "git ignores it", file.stat().st_size)

    def _holds(self, tree: Oid, names: list[bytes]) -> bool:
        """Whether a tree has a file, or a submodule that the file is in."""
        find = self.repository.objects.entry
        found = [find(tree, *names[:count]) for count in range(1, len(names) + 1)]
        return any(entry is not None and not entry.is_tree for entry in found)

    def _hidden_edits(self) -> list[bytes]:
        """Files that exist though the index says not to look at them."""
        out = b"\0" + self.git.run("ls-files", "-v", "-z", env=self.env)
        if out.count(b"\0H ") + out.count(b"\0M ") == out.count(b"\0") - 1:
            return []  # the usual case, found without looking at each of many thousand rows
        rows = [row for row in out.split(b"\0") if row and row[:1] not in b"HM"]
        found = []
        for option, tags in (("--no-assume-unchanged", b"hs"), ("--no-skip-worktree", b"Ss")):
            paths = [row[2:] for row in rows if row[:1] in tags]
            paths = [path for path in paths if os.path.lexists(self._at(path))]
            if paths:
                self._write("update-index", option, "-z", "--stdin", stdin=_lines(paths))
            found += paths
        return list(dict.fromkeys(found))

    def _update(self, status: Status, hidden: list[bytes]) -> None:
        gone = [change.path for change in status.changes if change.in_work_tree and change.gone]
        if gone:  # first: what comes may need the place
            self._remove(gone)
        paths = list(hidden)
        for change in status.changes:
            if change.submodule_dirty:
                self._leave(change.path, "the submodule has uncommitted changes")
            if change.untracked:
                if self._wanted(change.path):
                    paths.append(change.path)
            elif change.in_work_tree and not change.gone and self._readable(change):
                paths.append(change.path)
        self._add(paths, {change.path for change in status.changes if change.unmerged})

    def _wanted(self, path: bytes) -> bool:
        """Whether an untracked file belongs into the snapshot."""
        settings = self.repository.settings
        if path.endswith(b"/"):
            self._leave(path, "a git repository of its own")
            return False
        try:
            status = os.lstat(self._at(path))
        except OSError:
            return False  # gone since we asked git
        pattern = _secret(_text(path), settings.snapshot_exclude)
        if pattern:
            self._leave(path, f"may be a secret ({pattern})", status.st_size)
            return False
        if stat.S_ISREG(status.st_mode) and status.st_size > settings.snapshot_max_file_size:
            limit = settings.snapshot_max_file_size
            self._leave(path, f"untracked and larger than {limit} bytes", status.st_size)
            return False
        if not (stat.S_ISLNK(status.st_mode) or os.access(self._at(path), os.R_OK)):
            self._leave(path, "can't be read", status.st_size)
            return False
        return True

    def _readable(self, change: Change) -> bool:
        place = self._at(change.path)
        if os.path.isfile(place) and not os.access(place, os.R_OK):  # noqa: PTH113  (bytes)
            self._leave_tracked(change.path, "can't be read", unmerged=change.unmerged)
            return False
        return True

    def _add(self, paths: Sequence[bytes], unmerged: set[bytes]) -> None:
        """Take files into the index; halve the list around a file that git can't take."""
        if not paths:
            return
        command = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        done = self.git.attempt(*_QUICK, *command, stdin=_lines(paths), env=self.env)
        if done.code == 0:
            return
        if any(sign in done.err for sign in _NO_PLACE):
            raise RepositoryError(f"can't take a snapshot of the work tree: {done.message}")
        if len(paths) == 1:
            self._leave_tracked(paths[0], done.message, unmerged=paths[0] in unmerged)
            return
        middle = len(paths) // 2
        self._add(paths[:middle], unmerged)
        self._add(paths[middle:], unmerged)

    def _leave_tracked(self, path: bytes, reason: str, *, unmerged: bool) -> None:
        self._leave(path, reason)
        if unmerged:  # an index with conflicts makes no tree
            self._remove([path])

    def _remove(self, paths: Sequence[bytes]) -> None:
        self._write("update-index", "--force-remove", "-z", "--stdin", stdin=_lines(paths))

    def _leave(self, path: bytes, reason: str, size: int = 0) -> None:
        self.left_out.append(LeftOut(_text(path), size, reason))

    def _compare(self, old: Oid | None, new: Oid) -> tuple[tuple[str, ...], set[Oid]]:
        """The changed paths, and the ids of all objects that `new` has and `old` has not at that place."""
        base = old or _EMPTY_TREE
        if base == new:
            return (), (set() if old else {new})
        out = self._write(
            "diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", str(base), str(new)
        )
        cells = out.split(b"\0")
        paths, oids = [], {new}
        for header, path in zip(cells[:-1:2], cells[1::2], strict=True):
            old_mode, new_mode, _, oid, _ = header[1:].split(b" ")
            if new_mode not in {b"000000", b"160000"}:
                oids.add(Oid.from_hex(oid))
            if {old_mode, new_mode} - {b"000000", b"040000"}:
                paths.append(_text(path))
        return tuple(paths), oids

    def _collect(self, oids: set[Oid]) -> tuple[PackObject, ...]:
        """The objects in quarantine, and copies of those that lie loose in the repository."""
        fresh, stored = PackReader(self.quarantine), self.repository.objects
        new = fresh.homes(sorted(oids))
        loose = [
            oid
            for oid, home in stored.homes(sorted(oids - new.keys())).items()
            if home.suffix != ".pack"
        ]
        found = [PackObject(*fresh.read(oid), oid) for oid in new]
        found += [PackObject(*stored.read(oid), oid) for oid in loose]
        if _EMPTY_TREE in oids and _EMPTY_TREE not in (*new, *loose):
            # git needs no object for it, but other readers do
            found.append(PackObject(ObjectType.TREE, b"", _EMPTY_TREE))
        return tuple(found)

    def _write(self, *args: str, stdin: bytes | None = None) -> bytes:
        return self.git.run(*_QUICK, *args, stdin=stdin, env=self.env)

    def _at(self, path: bytes) -> bytes:
        return os.path.join(self.root, path)  # noqa: PTH118  (bytes)


def _real_file(program: Path | None) -> Path | None:
    """The file that a program is, if it is one: `-c` and `<stdin>` are none."""
    with contextlib.suppress(OSError):
        if program is not None and program.is_file():
            return program.resolve()
    return None


def _elsewhere(program: Path | None, work_tree: Path | None) -> tuple[LeftOut, ...]:
    """The note that the program lies outside of the work tree; none if it does not."""
    file = _real_file(program)
    if file is None or (work_tree is not None and file.is_relative_to(work_tree)):
        return ()
    return (LeftOut(str(program), file.stat().st_size, "it lies outside of the work tree"),)


def _secret(path: str, patterns: Iterable[str]) -> str | None:
    """The pattern that says a file may be a secret; patterns with a slash see the whole path."""
    lower = path.lower()
    name = lower.rpartition("/")[2]
    for pattern in patterns:
        subject = lower if "/" in pattern else name
        if fnmatchcase(subject, pattern.lower()):
            return pattern
    return None


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)


def _text(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
