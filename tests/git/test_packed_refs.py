"""Many new refs are one new version of `packed-refs`, which nobody who makes refs at that moment loses one to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RefConflict
from gitflowrun.git.maintenance import sweep_locks
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from tests.helpers.refs import NAME, create_ref, delete_ref, opened
from tests.helpers.repos import GitRepo

MANY = range(1, 21)


def creations(oid: Oid, flow: str = "F") -> list[RefUpdate]:
    """Twenty new refs."""
    return [RefUpdate(f"refs/runs/{flow}/{number}", oid, None) for number in MANY]


def loose(repo: GitRepo) -> list[str]:
    """The files below refs/runs."""
    top = repo.path / ".git/refs/runs"
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def names(repo: GitRepo) -> set[str]:
    """The refs of runs, as git sees them."""
    return {*repo.git("for-each-ref", "--format=%(refname)", "refs/runs").splitlines()}


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen when all has been looked at, and before the new file is there."""
    real = Refs._locked

    def locked(*args: Any) -> AbstractContextManager[None]:
        happens()
        return real(*args)

    monkeypatch.setattr(Refs, "_locked", locked)


def test_many_new_refs_are_one_file(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """Git sees them beside what was packed, finds nothing wrong, moves and deletes them; nothing else is left."""
    repo.git("tag", "-a", "-m", "x", "v1", str(commits[1]))
    repo.git("pack-refs", "--all")
    before = repo.git("show-ref", "--dereference").splitlines()
    for flow in ("G", "F"):
        repository.refs.transaction(creations(commits[0], flow))
    assert loose(repo) == []
    after = repo.git("show-ref", "--dereference").splitlines()
    assert [line for line in after if "refs/runs" not in line] == before
    assert len(names(repo)) == 2 * len(MANY)
    repo.fsck()
    repo.git("update-ref", NAME, str(commits[1]), str(commits[0]))
    delete_ref(repository.refs, "refs/runs/F/2", commits[0])
    packed = (repo.path / ".git/packed-refs").read_bytes()
    repo.git("pack-refs", "--all")
    rows = (repo.path / ".git/packed-refs").read_bytes().splitlines()
    assert packed.splitlines()[0] == rows[0]
    assert rows[1:] == sorted(rows[1:], key=lambda row: row[41:]) or b"^" in packed
    assert repository.refs.get(NAME) == commits[1]
    assert [*(repository.state_dir / "stale-locks").iterdir()] == []
    assert not [*(repo.path / ".git").glob("packed-refs?*")]


def test_the_file_is_synced_before_it_is_published(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its directory afterwards: two syncs for any number of refs."""
    seen: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        place = Path(f"/proc/self/fd/{fd}").readlink().name
        assert os.fstat(fd).st_size
        seen.append((place.partition("-")[0], len(names(repo))))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    repository.refs.transaction(creations(commits[0]))
    assert seen == [("packed", 0), (".git", len(MANY))]


@pytest.mark.parametrize(
    "case", ["tag", "packed lock", "ref lock", "old file", "link", "empty directory"]
)
def test_the_unusual_is_left_to_git(
    repo: GitRepo, repository: Repository, commits: list[Oid], case: str
) -> None:
    """Targets that are no commits, locks of others and files of an old git: the refs are made all the same."""
    repo.git("tag", "-a", "-m", "x", "v1", str(commits[1]))
    repo.git("pack-refs", "--all")
    packed = repo.path / ".git/packed-refs"
    updates = creations(commits[0])
    if case == "tag":
        updates.append(RefUpdate("refs/runs/F/99", Oid.from_hex(repo.git("rev-parse", "v1")), None))
    elif case == "packed lock":
        packed.with_name("packed-refs.lock").touch()
    elif case == "ref lock":
        lock = repo.path / ".git" / f"{NAME}.lock"
        lock.parent.mkdir(parents=True)
        lock.touch()
    elif case == "old file":
        packed.write_bytes(b"".join(packed.read_bytes().splitlines(keepends=True)[1:]))
    elif case == "link":
        packed.rename(packed.with_name("elsewhere"))
        packed.symlink_to("elsewhere")
    else:
        (repo.path / ".git" / NAME).mkdir(parents=True)
    opened(repository, stale_after=0.1).transaction(updates)
    assert len(loose(repo)) == (0 if case == "ref lock" else len(updates))  # it is moved away
    assert names(repo) == {update.name for update in updates}
    assert repo.git("rev-parse", "v1^{}") == str(commits[1])
    assert not [*(repository.state_dir / "stale-locks").glob("packed-refs-*")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "name", [NAME, "refs/runs/F", "refs/runs/F/7/x", "refs/runs/F/7/x/y", "refs/runs"]
)
def test_no_name_is_taken_from_anybody(
    repo: GitRepo, repository: Repository, commits: list[Oid], name: str, packed: bool
) -> None:
    """One ref that is there, or above or below a new one, is a conflict, and none of the new ones is made."""
    repo.git("update-ref", name, str(commits[1]))
    if packed:
        repo.git("pack-refs", "--all")
    with pytest.raises(RefConflict):
        repository.refs.transaction(creations(commits[0]))
    updates = creations(commits[0], "G")
    with pytest.raises(RefConflict):
        repository.refs.transaction([*updates, RefUpdate("refs/runs/G/1/x", commits[0], None)])
    assert names(repo) == {name}
    assert repo.git("rev-parse", name) == str(commits[1])


@pytest.mark.parametrize("ends", ["made", "given up", "directory"])
def test_who_began_before_has_the_name(
    repo: GitRepo,
    repository: Repository,
    commits: list[Oid],
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    """A writer that has seen no such ref, and makes it, keeps it, and none of ours stays; if it gives up, all do."""
    path = repo.path / ".git" / NAME
    lock = path.with_name("1.lock")

    def begin() -> None:
        if ends == "directory":
            (path / "x").parent.mkdir(parents=True)
            (path / "x").write_text(f"{commits[1]}\n")
            return
        path.parent.mkdir(parents=True)
        lock.write_text(f"{commits[1]}\n")
        threading.Timer(0.1, lambda: lock.rename(path) if ends == "made" else lock.unlink()).start()

    meanwhile(monkeypatch, begin)
    began = time.monotonic()
    if ends == "given up":
        repository.refs.transaction(creations(commits[0]))
        assert len(names(repo)) == len(MANY)
        assert time.monotonic() - began < 20
        return
    with pytest.raises(RefConflict, match="F/1 was made by somebody else"):
        repository.refs.transaction(creations(commits[0]))
    assert time.monotonic() - began < 20
    here = f"{NAME}/x" if ends == "directory" else NAME
    assert repo.git("rev-parse", here) == str(commits[1])
    assert names(repo) - {NAME} == {here} - {NAME}


def test_nobody_elses_packed_refs_are_lost(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refs that somebody packs or deletes at the same moment are packed, or deleted."""
    create_ref(repository.refs, "refs/runs/H/1", commits[1])
    create_ref(repository.refs, "refs/runs/H/2", commits[1])
    repo.git("pack-refs", "--all")

    def others() -> None:
        repo.git("update-ref", "-d", "refs/runs/H/1")
        repo.git("update-ref", "refs/runs/H/3", str(commits[2]))
        repo.git("pack-refs", "--all")

    meanwhile(monkeypatch, others)
    repository.refs.transaction(creations(commits[0]))
    others_ = {"refs/runs/H/2", "refs/runs/H/3"}
    assert names(repo) == others_ | {update.name for update in creations(commits[0])}


def test_a_file_of_who_was_killed_is_removed(repository: Repository, commits: list[Oid]) -> None:
    """What was being written goes with the old locks."""
    repository.refs.transaction(creations(commits[0]))
    left = repository.state_dir / "stale-locks" / "packed-refs-1-1.lock"
    left.touch()
    os.utime(left, (time.time() - 999, time.time() - 999))
    sweep_locks(repository.common_dir, repository.state_dir / "stale-locks", "refs/runs/", age=60)
    assert not left.exists()
