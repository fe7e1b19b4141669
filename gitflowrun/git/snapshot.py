"""The snapshot of a work tree: a git tree of what is there now, and what `git status` says about it.

Never touches the index, the work tree, HEAD or loose objects.

1. The index is copied (times kept: git's check for racily clean entries needs them). Everything below works
   on the copy, and new objects go to a quarantine directory that sees the repository's objects as alternates.
2. `git status` on the copy tells what differs from HEAD and from the index; `git ls-files -v` what it
   does not look at (assume-unchanged, skip-worktree). Nothing at all: the tree is HEAD's own.
3. `git update-index` takes every changed and every untracked file into the copy, as `git add` would: with
   the user's filters and line endings. Untracked files that are too big or whose names promise a secret
   (`git.secret_files`) stay out, and what git can't read stays out as well: noted, never a failure.
   Where few files have changed, an index that holds nothing but them takes the place of the copy: reading and
   writing one of all files takes as long as looking at all of them.
4. `git write-tree`; or, where the index holds only what has changed, HEAD's tree with these in it. The new
   objects are read from the quarantine and returned: the caller writes them into the pack that also gets the
   commit. Objects that so far lie loose in the repository (a `git add` wrote them) come along: git does not
   fsync them, and our ref must not outlive them in a power cut. Where one of the new objects, which are all
   looked at here, is an untracked file with a private key in it, that leaves the index, and 4 is done again.

Left out, because no tree can hold them: repositories embedded in the work tree, and uncommitted changes
inside submodules. Ignored files are left out in silence, with one exception: the program that is run. Where
git ignores it, or where it lies elsewhere, the snapshot is not the whole answer to "which code was that?".
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry
from gitflowrun.git.odb import read_to_file
from gitflowrun.git.pack.reader import PackReader, quarantine
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.git.permissions import held_entries, hint_of, set_times
from gitflowrun.git.secret_files import holds_private_key, is_included, why_secret_name
from gitflowrun.git.status import (
    QUICK,
    Change,
    Unstable,
    WorkTreeStatus,
    changed_meanwhile,
    read_status,
)
from gitflowrun.git.tree_edit import EMPTY_TREE, edit_tree
from gitflowrun.limits import (
    OWN_FILE,
    SNAPSHOT_ABANDONED,
    SNAPSHOT_FEW_CHANGES,
    SNAPSHOT_IN_MEMORY,
    SNAPSHOT_TRIES,
    WRITE_TRIES,
)
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO

    from gitflowrun.git.command import Argument, Completed
    from gitflowrun.git.repository import Repository

_REQUIRED = re.compile(r"filter\..+\.required\Z")
_LATER = 10**15  # nanoseconds
# How git begins what it says of an index that it can't use.
_BAD_INDEX = ("index file", "bad index", "unknown index entry")
# What makes git fail for every file alike; then the snapshot fails, instead of leaving all of them out.
_NO_PLACE = (
    "No space left", "Disk quota", "Read-only file system", "Input/output error", "unable to write",
    "unable to create temporary", "insufficient permission for adding",
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
        found: Those that HEAD's tree has not, and packs of the repository have: maybe for no ref.
        freed: `Repository.freed_stamp` before it was taken.
        program: The file that is run, as `take_snapshot` was told it.
    """

    tree: Oid
    head: Oid | None
    branch: str | None
    dirty: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    objects: tuple[PackObject, ...]
    found: tuple[Oid, ...] = ()
    freed: str = ""
    program: Path | None = None


def take_snapshot(repository: Repository, program: Path | None = None) -> Snapshot:
    """The work tree of `repository` as a tree; of a bare repository, the empty tree.

    Args:
        repository: The repository.
        program: The file that is run: noted as left out whenever the tree does not hold it.

    Raises:
        RepositoryError: git can't do it, or there is no place for new objects.
    """
    if repository.work_tree is None:
        head, empty = repository.head(), PackObject(ObjectType.TREE, b"", EMPTY_TREE)
        rest = (), _elsewhere(program, None), (empty,)
        return Snapshot(EMPTY_TREE, head.commit, head.branch, *rest)
    try:
        for freed in (repository.freed_stamp() for _ in range(WRITE_TRIES)):
            if snapshot := _take(repository, repository.work_tree, program):
                return replace(snapshot, freed=freed, program=program)
    except OSError as error:
        where = f": {os.fsdecode(error.filename2 or error.filename)}" if error.filename else ""
        raise RepositoryError(
            f"can't take a snapshot of the work tree: {error.strerror}{where}",
            hint=hint_of(error, "recording runs needs a repository that you may write to"),
        ) from error
    raise RepositoryError(
        f"can't take a snapshot of the work tree: somebody deletes {repository.state_dir} again and again",
        hint="it may be deleted at any time, but not all the time",
    )


def _take(repository: Repository, work_tree: Path, program: Path | None) -> Snapshot | None:
    """One snapshot; None when what it was made in was deleted, which git says in words of its own, or not at all."""
    parent = repository.state("snapshots")
    try:
        _remove_abandoned(parent)
        place = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
    except FileNotFoundError:
        return None
    with place:
        builder = _SnapshotBuilder(repository, work_tree, Path(place.name))
        try:
            snapshot = builder.take(program)
        except (GitflowrunError, OSError) as error:
            if not builder.is_whole:
                return None
            if isinstance(error, RepositoryError):
                raise builder.explained(error) from error
            raise
        return snapshot if builder.is_whole else None


def _remove_abandoned(parent: Path) -> None:
    for old in held_entries(parent):  # a killed process left it
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
        self.found: tuple[Oid, ...] = ()
        self.env = quarantine(self.quarantine, repository.objects_dir)
        self.env["GIT_INDEX_FILE"] = str(self.index)
        self.options: tuple[str, ...] = ()
        self.unstable = b""
        """Files that somebody is writing, and all as young as the index: git must not look at their content."""
        self.broken: dict[str, str] = {}
        """Filters that can't be run, and why."""
        self._made = 0  # the inode of the quarantine
        self._has_index = False

    @property
    def is_whole(self) -> bool:
        """Whether its files are those that it has made: nobody has deleted their directory."""
        try:
            return self.quarantine.stat().st_ino == self._made and (
                self.index.exists() or not self._has_index
            )
        except FileNotFoundError:
            return False

    def explained(self, error: RepositoryError) -> RepositoryError:
        """An error of git, about the user's index where git speaks of our copy."""
        if not any(sign in error.message for sign in _BAD_INDEX):
            return error
        own = self.repository.git_dir / "index"
        again = f"rm {shlex.quote(str(own))} && git reset"
        return RepositoryError(
            f"the index {own} can't be read: {error.message.replace(str(self.index), str(own))}",
            hint=f"if `git status` fails as well: `{again}` makes a new one; what was staged is in the files still",
        )

    def take(self, program: Path | None) -> Snapshot:
        self.quarantine.mkdir()
        self._made = self.quarantine.stat().st_ino
        with contextlib.suppress(FileNotFoundError):  # before the first `git add`
            self._copy_index()  # 1
        reached("snapshot.begun")
        status = self._status()  # 2
        if self._has_index and not self.index.exists():  # before another one is made in its place
            raise FileNotFoundError(self.index)
        unseen = self._unseen()
        hidden = self._hidden_edits(unseen) if unseen else []
        head_tree = self.repository.objects.commit(status.head).tree if status.head else None
        self._look_for(program, status, head_tree)
        if head_tree and not status.changes and not hidden:
            return Snapshot(head_tree, status.head, status.branch, (), tuple(self.left_out), ())
        only_changed = head_tree if not unseen and self._is_simple(status) else None
        if only_changed:
            self._keep_changed_only(status)
        self._update(status, hidden)  # 3
        self._has_index |= self.index.exists()
        while True:
            if only_changed:
                tree, dirty, objects = self._edit(only_changed, status)  # 4
            else:
                tree = Oid.from_hex(self._write("write-tree", "--missing-ok").strip())
                dirty, oids = self._compare(head_tree, tree)
                objects = self._collect(oids, {})
            if not self._leave_private_keys(status, objects):
                break
        reached("snapshot.made")
        left_out = tuple(self.left_out)
        return Snapshot(tree, status.head, status.branch, dirty, left_out, objects, self.found)

    def _copy_index(self) -> None:
        own = self.repository.git_dir / "index"
        times = own.stat()  # before: times that are too old have git look at more files
        shutil.copyfile(own, self.index)
        self._has_index = True
        if not set_times(self.index, times.st_atime_ns, times.st_mtime_ns):
            # git would take all files that are younger than the index was for older than it.
            second = int(times.st_mtime)
            self._forget_times({path for path in self._tracked() if self._is_young(path, second)})

    def _leave_private_keys(self, status: WorkTreeStatus, objects: Iterable[PackObject]) -> bool:
        """Take the untracked files that are private keys from the index again; whether there were any."""
        keys = set()
        for item in objects:
            if item.kind is ObjectType.BLOB and holds_private_key(item.data):
                keys.add(item.oid)
            if item.release:
                item.release(len(item.data))
        if not keys:
            return False
        included = self.repository.settings.snapshot_include
        untracked = {change.path for change in status.changes if change.untracked}
        found = [
            path
            for path, cell in self._staged().items()
            if path in untracked
            and _entry(path, cell).oid in keys
            and not is_included(_text(path), included)
        ]
        for path in found:
            self._leave(path, "may be a secret (it holds a private key)", self._size(path))
        if found:
            self._remove(found)
        return bool(found)

    def _size(self, path: bytes) -> int:
        try:
            return os.lstat(self._at(path)).st_size
        except OSError:
            return 0

    def _is_simple(self, status: WorkTreeStatus) -> bool:
        """Whether all that the tree and HEAD's differ in is among a few changes that are known in full."""
        return not (
            len(status.changes) > SNAPSHOT_FEW_CHANGES
            or status.trouble
            or any(change.unmerged for change in status.changes)
            # Then git looks for other spellings of a name in the index.
            or self.repository.config.get("core.ignorecase", "false") != "false"
        )

    def _keep_changed_only(self, status: WorkTreeStatus) -> None:
        """Put an index of the tracked files that have changed in the place of the copy."""
        self.index.unlink(missing_ok=True)
        rows = [b"%s\t%s" % (it.in_index, it.path) for it in status.changes if it.in_index]
        self._has_index = bool(rows)
        if rows:
            self._write("update-index", "-z", "--index-info", stdin=_lines(rows))

    def _edit(
        self, head_tree: Oid, status: WorkTreeStatus
    ) -> tuple[Oid, tuple[str, ...], tuple[PackObject, ...]]:
        """HEAD's tree with what the index of changed files holds; the changed paths, and the new objects."""
        now = self._staged()
        # Backwards: what `git rm --cached` took out of the index comes once more, at the end, as untracked.
        before = {change.path: change.in_head for change in reversed(status.changes)}
        changed = sorted(path for path in before if now.get(path, b"") != before[path])
        files = {path: _entry(path, now[path]) if path in now else None for path in changed}
        tree, made = edit_tree(self.repository.objects, head_tree, files)
        oids = {file.oid for file in files.values() if file and file.mode != Mode.GITLINK}
        return tree, tuple(map(_text, changed)), self._collect(oids, made)

    def _status(self) -> WorkTreeStatus:
        """What differs, without what belongs to git; what git can't look at is noted."""
        try:
            status = read_status(self.git, self.env)
        except Unstable:
            # Later each of them is taken as it is at one instant, like others that git does not look at.
            self.unstable = _lines(self._touched())
            self._write("update-index", "--assume-unchanged", "-z", "--stdin", stdin=self.unstable)
            status = read_status(self.git, self.env)
        except RepositoryError:
            # A filter that is required and can't be run makes git give up everything.
            if not self._without_broken_filters():
                raise
            status = read_status(self.git, self.env, self.options)
        if status.trouble:
            self.left_out.append(LeftOut(".gitmodules", 0, status.trouble))
        for path in status.unreadable:
            self._leave(path, "the directory can't be read")
        hidden = self._git_directories(status)
        kept = [it for it in status.changes if not it.path.startswith(hidden)] if hidden else None
        return status if kept is None else replace(status, changes=tuple(kept))

    def _git_directories(self, status: WorkTreeStatus) -> tuple[bytes, ...]:
        """The directories in the work tree, with a slash, that are our git directory or another bare repository."""
        work_tree = Path(os.fsdecode(self.root))
        ours = {self.repository.git_dir, self.repository.common_dir}
        found = {
            os.fsencode(directory.relative_to(work_tree)) + b"/"
            for directory in ours
            if directory.is_relative_to(work_tree)
            and directory.parts[len(work_tree.parts) :] != (".git",)
        }
        for change in status.changes:
            parent, _, name = change.path.rpartition(b"/")
            if change.untracked and name == b"HEAD" and parent and parent + b"/" not in found:
                place = Path(os.fsdecode(self._at(parent)))
                if (place / "objects").is_dir() and (place / "refs").is_dir():
                    found.add(parent + b"/")
                    self._leave(parent + b"/", "a git repository of its own")
        return tuple(found)

    def _without_broken_filters(self) -> bool:
        """From now on do without the filters that can't be run; whether there are any.

        git asks them for the files that were touched. These stay as they are in the index, and are noted.
        """
        required = [key for key, value in self.git.config.items() if _is_required(key, value)]
        if not required:
            return False
        for path, name in self._filters(self._tracked()).items():
            if f"filter.{name}.required" not in required or not os.path.isfile(self._at(path)):  # noqa: PTH113  (bytes)
                continue
            clean = self.git.attempt("hash-object", "--", os.fsdecode(path), env=self.env)
            if clean.code:
                self.broken[name] = f"its filter {name!r} can't be run: {clean.message}"
                self.options += (
                    "-c", f"filter.{name}.required=false", "-c", f"filter.{name}.process=", "-c",
                    f"filter.{name}.clean=",
                )  # fmt: skip
            required.remove(f"filter.{name}.required")
        if self.broken:
            self._leave_filtered(self._touched())
        return bool(self.broken)

    def _touched(self) -> list[bytes]:
        """The files that may differ from the index, by their times and sizes alone."""
        before = self.index.stat()
        self._rejuvenate()
        try:
            command = ("diff-files", "--name-only", "--no-renames", "--ignore-submodules=all", "-z")
            touched = self.git.run(*command, env=self.env).split(b"\0")[:-1]
        finally:
            set_times(self.index, before.st_atime_ns, before.st_mtime_ns)
        young = (path for path in self._tracked() if self._is_young(path, int(before.st_mtime)))
        return list(dict.fromkeys([*touched, *young]))

    def _rejuvenate(self) -> None:
        """Make the index younger than any file: of one as young as the index git looks at the content."""
        found = self.index.stat()
        set_times(self.index, found.st_atime_ns, time.time_ns() + _LATER)

    def _is_young(self, path: bytes, second: int) -> bool:
        try:
            return int(os.lstat(self._at(path)).st_mtime) >= second
        except OSError:
            return False

    def _tracked(self) -> list[bytes]:
        return self.git.run("ls-files", "-z", env=self.env).split(b"\0")[:-1]

    def _rows(self) -> list[bytes]:
        return self.git.run("ls-files", "--stage", "-z", env=self.env).split(b"\0")[:-1]

    def _staged(self) -> dict[bytes, bytes]:
        """Mode and id of each file in the index, which has no conflicts."""
        rows = (row.partition(b"\t") for row in self._rows())
        return {path: row[: -len(b" 0")] for row, _, path in rows}

    def _leave_filtered(self, paths: Sequence[bytes]) -> set[bytes]:
        """Note those of some files whose filter can't be run, and return them."""
        filters = self._filters(paths) if self.broken else {}
        found = {path: self.broken[name] for path, name in filters.items() if name in self.broken}
        noted = {it.path for it in self.left_out}
        for path, reason in found.items():
            if _text(path) not in noted:
                self._leave(path, reason)
        return set(found)

    def _filters(self, paths: Sequence[bytes]) -> dict[bytes, str]:
        """The filter of each path that has one."""
        if not paths:
            return {}
        command = ("check-attr", "-z", "--stdin", "filter")
        cells = self.git.run(*command, stdin=_lines(paths), env=self.env).split(b"\0")
        return dict(zip(cells[0:-1:3], map(os.fsdecode, cells[2::3]), strict=True))

    def _look_for(
        self, program: Path | None, status: WorkTreeStatus, head_tree: Oid | None
    ) -> None:
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

    def _unseen(self) -> list[bytes]:
        """The tracked files that the index says not to look at, each behind a letter that says why."""
        out = b"\0" + self.git.run("ls-files", "-v", "-z", env=self.env)
        if out.count(b"\0H ") + out.count(b"\0M ") == out.count(b"\0") - 1:
            return []  # the usual case, found without looking at each of many thousand rows
        return [row for row in out.split(b"\0") if row and row[:1] not in b"HM"]

    def _hidden_edits(self, rows: Sequence[bytes]) -> list[bytes]:
        """Files that the index says not to look at, edited or not; git looks at them from now on.

        Not those that a sparse checkout (skip-worktree) has not brought here: they were not deleted.
        """
        found = []
        assumed = {row[2:] for row in rows if row[:1] == b"h"}
        for option, tags in (("--no-assume-unchanged", b"hs"), ("--no-skip-worktree", b"Ss")):
            paths = [row[2:] for row in rows if row[:1] in tags]
            paths = [path for path in paths if path in assumed or os.path.lexists(self._at(path))]
            if paths:
                self._write("update-index", option, "-z", "--stdin", stdin=_lines(paths))
            found += paths
        if self.unstable:
            self._forget_times(set(found))
        return list(dict.fromkeys(found))

    def _forget_times(self, paths: set[bytes]) -> None:
        """Have git look at the content of files that it would take for unchanged."""
        rows = [row for row in self._rows() if row.partition(b"\t")[2] in paths]
        self._write("update-index", "-z", "--index-info", stdin=_lines(rows))

    def _update(self, status: WorkTreeStatus, hidden: list[bytes]) -> None:
        absent = [change for change in status.changes if change.in_work_tree and change.gone]
        gone = [it.path for it in absent if self._is_gone(it.path, unmerged=it.unmerged)]
        here = {path for path in hidden if os.path.lexists(self._at(path))}
        gone += [path for path in sorted({*hidden} - here) if self._is_gone(path, unmerged=False)]
        if gone:  # first: what comes may need the place
            self._remove(gone)
        paths = [path for path in hidden if path in here]
        for change in status.changes:
            if change.submodule_dirty:
                self._leave(change.path, "the submodule has uncommitted changes")
            if change.untracked:
                if self._wanted(change.path):
                    paths.append(change.path)
            elif change.in_work_tree and not change.gone and self._readable(change):
                paths.append(change.path)
        left = self._leave_filtered(paths)
        paths = [path for path in paths if path not in left]
        self._add(paths, {change.path for change in status.changes if change.unmerged})

    def _wanted(self, path: bytes) -> bool:
        """Whether an untracked file belongs into the snapshot."""
        settings = self.repository.settings
        if path.endswith(b"/"):
            self._leave(path, "a git repository of its own")
            return False
        try:
            status = os.lstat(self._at(path))
        except OSError as error:
            if isinstance(error, PermissionError):  # git has its name from the directory
                self._leave(path, "can't be read")
            return False  # or it is gone since we asked git
        pattern = why_secret_name(_text(path), settings.snapshot_exclude, settings.snapshot_include)
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

    def _is_gone(self, path: bytes, *, unmerged: bool) -> bool:
        """Whether a file that git does not see is not there: it may lie where we may not look."""
        try:
            os.lstat(self._at(path))
        except PermissionError:
            self._leave_tracked(path, "can't be read", unmerged=unmerged)
            return False
        except OSError:
            pass
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
        done = self._attempt(*command, stdin=_lines(paths))
        if done.code == 0:
            return
        if any(sign in done.err for sign in _NO_PLACE):
            raise RepositoryError(f"can't take a snapshot of the work tree: {done.message}")
        if len(paths) == 1:
            if not (changed_meanwhile(done) and self._add_copy(paths[0])):
                self._leave_tracked(paths[0], done.message, unmerged=paths[0] in unmerged)
            return
        middle = len(paths) // 2
        self._add(paths[:middle], unmerged)
        self._add(paths[middle:], unmerged)

    def _add_copy(self, path: bytes) -> bool:
        """Take a file that somebody is writing as it is at one instant; whether that went well."""
        copy = self.index.with_name("copy")
        copy.unlink(missing_ok=True)
        try:
            mode = os.lstat(self._at(path)).st_mode
            shutil.copyfile(os.fsdecode(self._at(path)), copy, follow_symlinks=False)
            copied = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # or it has become a link
            return False
        with open(copied, "rb") as file:  # noqa: PTH123  (a descriptor)
            stored = self._attempt("hash-object", "-w", "--stdin", b"--path=" + path, stdin=file)
        kind = b"100755" if mode & stat.S_IXUSR else b"100644"
        entry = b"%s %s\t%s\0" % (kind, stored.out.strip(), path)
        add = ("update-index", "--add", "-z", "--index-info")
        return not stored.code and self._attempt(*add, stdin=entry).code == 0

    def _attempt(self, *args: Argument, stdin: bytes | IO[bytes] | None = None) -> Completed:
        if self.unstable:
            self._rejuvenate()
        done = self.git.attempt(*QUICK, *self.options, *args, stdin=stdin, env=self.env)
        if done.code < 0:  # killed: git could not remove its lock
            self.index.with_name("index.lock").unlink(missing_ok=True)
        return done

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
        base = old or EMPTY_TREE
        if base == new:
            return (), (set() if old else {new})
        out = self._write("diff-tree", "-t", "-z", "--raw", "--no-renames", str(base), str(new))
        cells = out.split(b"\0")
        paths, oids = [], {new}
        for header, path in zip(cells[:-1:2], cells[1::2], strict=True):
            old_mode, new_mode, _, oid, _ = header[1:].split(b" ")
            if new_mode not in {b"000000", b"160000"}:
                oids.add(Oid.from_hex(oid))
            if {old_mode, new_mode} - {b"000000", b"040000"}:
                paths.append(_text(path))
        return tuple(paths), oids

    def _collect(self, oids: set[Oid], trees: Mapping[Oid, PackObject]) -> tuple[PackObject, ...]:
        """The objects in quarantine and of `trees`, and copies of those that lie loose in the repository.

        Those that are in packs of the repository are noted in `found`.
        """
        fresh, stored = PackReader(self.quarantine), self.repository.objects
        new = fresh.homes(sorted(oids))
        there = stored.homes(sorted({*oids, *trees} - new.keys()))
        self.found = tuple(oid for oid, home in there.items() if home.suffix == ".pack")
        loose = [oid for oid, home in there.items() if home.suffix != ".pack"]
        if sum(home.stat().st_size for home in {*new.values()}) <= SNAPSHOT_IN_MEMORY:
            found = [PackObject(*fresh.read(oid, OWN_FILE), oid) for oid in new]
        else:
            place = self.index.with_name("contents")
            found = read_to_file(self.git, list(new), place, QUICK, self.env)
        found += [PackObject(*stored.read(oid, OWN_FILE), oid) for oid in loose]
        found += [tree for oid, tree in trees.items() if oid not in there]
        if EMPTY_TREE in oids and EMPTY_TREE not in (*new, *loose):
            # git needs no object for it, but other readers do
            found.append(PackObject(ObjectType.TREE, b"", EMPTY_TREE))
        return tuple(found)

    def _write(self, *args: str, stdin: bytes | None = None) -> bytes:
        for _ in range(SNAPSHOT_TRIES):
            done = self._attempt(*args, stdin=stdin)
            if done.code == 0:
                return done.out
            if not changed_meanwhile(done):
                break
        raise self.git.failure(args, done)

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


def _entry(path: bytes, cell: bytes) -> TreeEntry:
    """A file as a tree has it, of mode and id as git writes them."""
    mode, _, oid = cell.partition(b" ")
    return TreeEntry(int(mode, 8), path.rpartition(b"/")[2], Oid.from_hex(oid))


def _is_required(key: str, value: str) -> bool:
    """Whether a key of git config says that the content of some files is nothing without their filter."""
    return bool(_REQUIRED.match(key)) and value.lower() in {"true", "yes", "on", "1"}


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)


def _text(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
