"""What `git status` says of a work tree, as values: HEAD, the changes, and what git could not look at."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.git.command import Completed, Git

_COMMAND = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames", "--untracked-files=all"
)  # fmt: skip
# The quarantine lives for a moment: neither compress nor sync. A split index would put files beside the
# user's own; `safecrlf` would refuse files that the user's next `git add` refuses, too, but we only look.
QUICK = (
    "-c", "core.looseCompression=0", "-c", "core.fsync=none", "-c", "core.fsyncObjectFiles=false",
    "-c", "core.splitIndex=false", "-c", "core.safecrlf=false",
    # Larger files are not mapped but read piece by piece. That takes twice the time: each is hashed in two ways.
    "-c", "core.bigFileThreshold=64m", "-c", "core.compression=0",
    "-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=16m",
)  # fmt: skip
_SHORT_READ = "failed to read"
# How git tells that a file is no longer what it was a moment ago.
_CHANGED = (
    _SHORT_READ,
    "short read",
    "file changed before we could read",
    "unstable object source",
)
_UNREADABLE = re.compile(r"^warning: could not open directory '(.*)/?': ", re.MULTILINE)
_NAME_AT = {b"1": 8, b"u": 10}
_MODE_AT = {b"1": 5, b"u": 6}
_ORDINARY = b"1"
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
        in_head: Mode and id in HEAD, as git writes them; empty where it has no such file. Not of those unmerged.
        in_index: The same of the index.
    """

    path: bytes
    untracked: bool = False
    unmerged: bool = False
    in_work_tree: bool = False
    gone: bool = False
    submodule_dirty: bool = False
    in_head: bytes = b""
    in_index: bytes = b""


@frozen
class WorkTreeStatus:
    """HEAD and all changes; why submodules were not looked at; the directories that git can't open."""

    head: Oid | None
    branch: str | None
    changes: tuple[Change, ...]
    trouble: str | None = None
    unreadable: tuple[bytes, ...] = ()


def read_status(git: Git, env: Mapping[str, str], options: Sequence[str] = ()) -> WorkTreeStatus:
    """What `git status` says. A submodule that git can't enter is no reason to fail.

    Args:
        git: Runs git.
        env: Variables that say which index and object directory to look at.
        options: Options of git itself.

    Raises:
        RepositoryError: git fails.
    """
    command = (*QUICK, *options, *_COMMAND)
    done = git.attempt(*command, "--ignore-submodules=none", env=env)
    if changed_meanwhile(done):
        raise Unstable(f"git status: {done.message}")
    if done.code < 0:
        raise git.failure(command, done)
    if done.code == 0:
        return replace(parse_status(done.out), unreadable=_unreadable(done.err))
    again = git.run(*command, "--ignore-submodules=all", env=env)
    return parse_status(again, f"submodules can't be read: {done.message}")


class Unstable(RepositoryError):
    """Somebody writes a file that git compares: it was killed by a mapping that shrank, or read less than there was."""


def _unreadable(err: str) -> tuple[bytes, ...]:
    """The directories that git has passed over with a warning."""
    return tuple(os.fsencode(path) for path in _UNREADABLE.findall(err))


def parse_status(out: bytes, trouble: str | None = None) -> WorkTreeStatus:
    """The values in the output of `git status --porcelain=v2 -z --branch --no-renames`."""
    head: Oid | None = None
    branch: str | None = None
    changes = []
    for line in out.split(b"\0"):
        kind = line[:1]
        if line.startswith(b"# branch.oid ") and not line.endswith(b"(initial)"):
            head = Oid.from_hex(line.split(b" ")[2])
        elif line.startswith(b"# branch.head ") and not line.endswith(b" (detached)"):
            branch = os.fsdecode(line.split(b" ", 2)[2])
        elif kind == b"?":
            changes.append(Change(line[2:], untracked=True))
        elif kind in _NAME_AT:
            changes.append(_change(line))
    return WorkTreeStatus(head, branch, tuple(changes), trouble)


def _change(line: bytes) -> Change:
    kind = line[:1]
    fields = line.split(b" ", _NAME_AT[kind])
    states, submodule, path = fields[1], fields[2], fields[-1]
    unmerged = kind == b"u"
    in_head, in_index = (
        b"%s %s" % (fields[at], fields[at + 3])
        if kind == _ORDINARY and fields[at] != _ABSENT
        else b""
        for at in (3, 4)
    )
    return Change(
        path,
        unmerged=unmerged,
        in_work_tree=unmerged or states[1:2] != b".",
        gone=fields[_MODE_AT[kind]] == _ABSENT,
        submodule_dirty=submodule[:1] == b"S" and submodule[2:] != b"..",
        in_head=in_head,
        in_index=in_index,
    )


def changed_meanwhile(done: Completed) -> bool:
    """Whether git failed because a file changed while it was read: became shorter, which ends who has it mapped."""
    return done.code == -signal.SIGBUS or any(sign in done.err for sign in _CHANGED)
