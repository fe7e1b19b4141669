"""What `git status` says of the work tree, as values. What to do about it is `snapshot`'s business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.git.objects import Oid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.command import Git

__all__ = ["Change", "Status", "parse_status", "read_status"]

_COMMAND = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames", "--untracked-files=all"
)  # fmt: skip
_NAME_AT = {b"1": 8, b"u": 10}
_MODE_AT = {b"1": 5, b"u": 6}
_ABSENT = b"000000"


@dataclass(frozen=True, slots=True)
class Change:
    """A path at which work tree, index and HEAD are not all the same.

    Attributes:
        path: The path from the top of the work tree. An untracked directory that is a repository of its
            own ends in a slash.
        untracked: The index does not know it.
        unmerged: The index holds several versions of it.
        in_work_tree: The work tree differs from the index (or there is a conflict).
        gone: The index knows it, the work tree does not have it.
        submodule_dirty: It is a submodule with changes that it has not committed.
    """

    path: bytes
    untracked: bool = False
    unmerged: bool = False
    in_work_tree: bool = False
    gone: bool = False
    submodule_dirty: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """HEAD and all changes; `trouble` says why submodules were not looked at."""

    head: Oid | None
    branch: str | None
    changes: tuple[Change, ...]
    trouble: str | None = None


def read_status(git: Git, env: Mapping[str, str]) -> Status:
    """Ask git. A submodule that git can't enter is no reason to fail.

    Raises:
        RepositoryError: git can't say.
    """
    done = git.attempt(*_COMMAND, "--ignore-submodules=none", env=env)
    if done.code == 0:
        return parse_status(done.out)
    out = git.run(*_COMMAND, "--ignore-submodules=all", env=env)
    return parse_status(out, f"submodules can't be read: {done.words}")


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
