"""What tests of refs do with one ref, and what they look at."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository

NAME = "refs/runs/F/1"


def create_ref(refs: Refs, name: str, oid: Oid) -> None:
    """Create a ref."""
    refs.transaction([RefUpdate(name, oid, None)])


def update_ref(refs: Refs, name: str, new: Oid, old: Oid) -> None:
    """Move a ref."""
    refs.transaction([RefUpdate(name, new, old)])


def delete_ref(refs: Refs, name: str, old: Oid) -> None:
    """Delete a ref."""
    refs.transaction([RefUpdate(name, None, old)])


def opened(repository: Repository, *, patience: float = 30, stale_after: float = 10) -> Refs:
    """The refs of a repository, with other times of waiting."""
    stale_locks = repository.state_dir / "stale-locks"
    return Refs(
        repository.git,
        repository.common_dir,
        stale_locks,
        patience=patience,
        stale_after=stale_after,
    )


def git_children() -> list[int]:
    """The git processes that this process has started since `forget_git_children`, and that are there."""
    return [pid for pid in _all_git_children() if pid not in _forgotten]


def forget_git_children() -> None:
    """Leave out what tests before have left to the garbage collection, whenever that is."""
    _forgotten.clear()
    _forgotten.update(_all_git_children())


_forgotten: set[int] = set()


def _all_git_children() -> list[int]:
    lists = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for children in lists for pid in children.read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() == "git\n"]


@contextlib.contextmanager
def waiting_git(
    path: Path, *options: str, deletes: str = "", env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A git of the user's that may hold locks of refs, and waits for its input, as one that is suspended.

    Args:
        path: Where it works.
        options: Options of git.
        deletes: A ref that it is about to delete, of which it holds the lock.
        env: Variables of its own.
    """
    steps = f"start\ndelete {deletes}\nprepare\n" if deletes else "start\n"
    git = subprocess.Popen(
        ["git", *options, "update-ref", "--stdin"], cwd=path, env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert git.stdin is not None
    assert git.stdout is not None
    with git:
        git.stdin.write(steps.encode())
        git.stdin.flush()
        answers = [git.stdout.readline() for _ in range(2 if deletes else 1)]
        assert answers == [b"start: ok\n", b"prepare: ok\n"][: len(answers)]
        yield git
