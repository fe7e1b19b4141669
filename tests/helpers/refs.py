"""What tests of refs do with one ref, and what they look at."""

from __future__ import annotations

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
