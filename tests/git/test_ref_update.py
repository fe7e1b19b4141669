"""Refs are created, moved and deleted by one writer that never overwrites what it did not expect."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import MissingObject, RefConflict, RepositoryError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack import writer
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.names import RefName
from tests.helpers.refs import NAME, create_ref, delete_ref, update_ref
from tests.helpers.repos import GitRepo


def test_create_and_get(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """A created ref is there, for us and for git."""
    create_ref(repository.refs, NAME, commits[0])
    assert repository.refs.get(NAME) == commits[0]
    assert repo.git("rev-parse", "runs/F/1") == str(commits[0])
    assert repository.refs.get("refs/runs/F/2") is None


@pytest.mark.parametrize("packed", [False, True])
def test_create_never_overwrites(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """Creating a ref that exists, loose or packed, is a conflict that names it and changes nothing."""
    create_ref(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict, match=NAME):
        create_ref(repository.refs, NAME, commits[1])
    assert repository.refs.get(NAME) == commits[0]


@pytest.mark.parametrize("packed", [False, True])
def test_update_compares(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """A ref moves only from the value its mover has seen."""
    create_ref(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    update_ref(repository.refs, NAME, commits[1], commits[0])
    assert repository.refs.get(NAME) == commits[1]
    with pytest.raises(RefConflict, match=r"moved to .* by somebody else") as moved:
        update_ref(repository.refs, NAME, commits[2], commits[0])
    with pytest.raises(RefConflict, match="was deleted by somebody else") as deleted:
        update_ref(repository.refs, "refs/runs/F/2", commits[2], commits[0])
    assert repository.refs.get(NAME) == commits[1]
    for conflict, name in ((moved, NAME), (deleted, "refs/runs/F/2")):
        command = str(conflict.value.hint).split("`")[1]
        repo.git(*command.split()[1:])
        assert repository.refs.get(name) == commits[0]


@pytest.mark.parametrize("packed", [False, True])
def test_delete_compares(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool
) -> None:
    """A ref is deleted only at the value its deleter has seen; others stay."""
    create_ref(repository.refs, NAME, commits[0])
    create_ref(repository.refs, "refs/runs/F/2", commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict):
        delete_ref(repository.refs, NAME, commits[1])
    delete_ref(repository.refs, NAME, commits[0])
    assert [row[0] for row in repository.refs.rows("refs/runs/")] == ["refs/runs/F/2"]
    with pytest.raises(RefConflict, match="was deleted by somebody else"):
        delete_ref(repository.refs, NAME, commits[0])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["refs/runs/F", "refs/runs/F/1/x", "refs/runs/F/1/x/y"])
def test_directories_and_files_do_not_meet(
    repo: GitRepo, repository: Repository, commits: list[Oid], packed: bool, name: str
) -> None:
    """A ref can't be created above or below another one, loose or packed."""
    create_ref(repository.refs, NAME, commits[0])
    if packed:
        repo.git("pack-refs", "--all", "--prune")
    with pytest.raises(RefConflict, match=name):
        create_ref(repository.refs, name, commits[0])
    assert [row[0] for row in repository.refs.rows("refs/runs/")] == [NAME]


def test_target_must_exist(repository: Repository) -> None:
    """No ref is published that points to nothing."""
    with pytest.raises(MissingObject):
        create_ref(repository.refs, NAME, Oid(b"\1" * 20))
    assert repository.refs.get(NAME) is None


@pytest.mark.parametrize(
    "name",
    [
        "refs/runs/a..b",
        "refs/runs/x.lock",
        "refs/runs/a\nb",
        "runs/F/1",
        "refs/runs/F/",
        "refs/@{x",
    ],
)
def test_bad_names_are_refused(repository: Repository, commits: list[Oid], name: str) -> None:
    """Names that git would refuse, or read as several words, are refused before it sees them."""
    with pytest.raises(UsageError):
        create_ref(repository.refs, name, commits[0])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12))
def test_names_are_refused_as_git_refuses_them(text: str) -> None:
    """What `RefName` lets pass, git does too."""
    try:
        name = RefName(f"refs/runs/{text}")
    except UsageError:
        return
    subprocess.run(["git", "check-ref-format", name], check=True)


def test_transaction_is_all_or_nothing(repository: Repository, commits: list[Oid]) -> None:
    """One conflict keeps every ref of a transaction from changing, with and without deletions."""
    refs = repository.refs
    create_ref(refs, "refs/runs/F/2", commits[0])
    creates = [RefUpdate(f"refs/runs/F/{number}", commits[1], None) for number in (1, 2, 3)]
    with pytest.raises(RefConflict, match="refs/runs/F/2"):
        refs.transaction(creates)
    mixed = [creates[0], RefUpdate("refs/runs/F/2", None, commits[1])]
    with pytest.raises(RefConflict, match="refs/runs/F/2"):
        refs.transaction(mixed)
    assert refs.rows("refs/runs/") == [("refs/runs/F/2", str(commits[0]))]


def test_mixed_transaction(repository: Repository, commits: list[Oid]) -> None:
    """Creating, moving and deleting go together."""
    refs = repository.refs
    refs.transaction([RefUpdate(f"refs/runs/F/{n}", commits[0], None) for n in (1, 2)])
    refs.transaction(
        [
            RefUpdate("refs/runs/F/1", None, commits[0]),
            RefUpdate("refs/runs/F/2", commits[1], commits[0]),
            RefUpdate("refs/runs/F/3", commits[2], None),
        ]
    )
    assert refs.rows("refs/runs/") == [
        ("refs/runs/F/2", str(commits[1])), ("refs/runs/F/3", str(commits[2]))
    ]  # fmt: skip
    refs.transaction([])


def test_many_refs_at_once(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Hundreds of refs in one transaction do not run out of file descriptors."""
    updates = [RefUpdate(f"refs/runs/F/{number}", commits[0], None) for number in range(1, 301)]
    repository.refs.transaction(updates)
    assert len(repository.refs.rows("refs/runs/")) == 300
    with pytest.raises(RefConflict):
        repository.refs.transaction([*updates, RefUpdate("refs/runs/F/301", commits[0], None)])
    assert repository.refs.get("refs/runs/F/301") is None
    repo.fsck()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until there is no place left."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(file, b"x" * 512):
            pass
    except OSError:
        os.close(file)


def test_full_and_read_only_disks(small_disk: Path, repo: GitRepo) -> None:
    """Errors name the repository and the cause; nothing is published; the next try succeeds."""
    subprocess.run(["git", "init", "-q", "--bare", "--template=", str(small_disk)], check=True)
    alternates = small_disk / "objects" / "info" / "alternates"
    alternates.write_text(str(repo.path / ".git" / "objects"))
    repository = Repository.discover(small_disk)
    oid = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    fill(small_disk / "filler")
    with pytest.raises(RepositoryError, match=r"small.*No space left on device"):
        create_ref(repository.refs, NAME, oid)
    assert repository.refs.rows("refs/") == []
    (small_disk / "filler").unlink()
    create_ref(repository.refs, NAME, oid)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RepositoryError, match=r"small.*Read-only file system"):
        create_ref(repository.refs, "refs/runs/F/2", oid)
    with pytest.raises(RepositoryError, match=r"small.*Read-only file system"):
        delete_ref(repository.refs, NAME, oid)
    assert repository.refs.get(NAME) == oid


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is fsynced from now on, by the last part of its path."""
    paths: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{fd}").readlink()).rpartition(".git/")[2])
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_what_is_synced(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref before it is published, its directory afterwards, and the directory of a directory that is new."""
    paths = synced(monkeypatch)
    create_ref(repository.refs, NAME, commits[0])
    assert paths[0] == f"{NAME}.lock"
    assert sorted(paths[1:]) == ["refs", "refs/runs", "refs/runs/F"]
    paths.clear()
    update_ref(repository.refs, NAME, commits[1], commits[0])
    assert paths == [f"{NAME}.lock", "refs/runs/F"]
    repo.git("pack-refs", "--all", "--prune")
    paths.clear()
    delete_ref(repository.refs, NAME, commits[1])
    assert paths[0] == "packed-refs.new"
    assert {path.rpartition("/")[2] for path in paths[1:]} >= {".git"}


def test_a_ref_that_somebody_else_has_moved_is_synced(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory is, or the nearest that is there; a disk that fails is told; `fast` syncs nothing."""
    create_ref(repository.refs, NAME, commits[0])
    paths = synced(monkeypatch)
    refs = Repository.discover(repo.path).refs
    refs.sync(NAME)
    assert paths == ["refs/runs/F"]
    repo.git("pack-refs", "--all", "--prune")
    refs.sync(NAME)
    assert paths[1] in {"refs/runs/F", "refs/runs", "refs"}

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RepositoryError, match=rf"can't write {NAME}.*Input/output error"):
        refs.sync(NAME)
    repo.git("config", "runs.durability", "fast")
    Repository.discover(repo.path).refs.sync(NAME)


def test_many_refs_are_synced_at_once(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system is synced once, when all locks are written and none is a ref yet; or each, where it can't be."""
    seen: list[tuple[int, int]] = []

    def sync(able: bool) -> Callable[[Path], bool]:
        def of(_: Path) -> bool:
            names = [path.name for path in (repo.path / ".git/refs/runs").rglob("*")]
            locked = sum(name.endswith(".lock") for name in names)
            seen.append((locked, sum(name.isdigit() for name in names)))
            return able

        return of

    names = [f"refs/runs/F/{n}" for n in range(20)]
    repository.refs.transaction([RefUpdate(name, commits[0], None) for name in names])
    paths = synced(monkeypatch)
    for old, new, able in ((0, 1, True), (1, 2, False)):
        monkeypatch.setattr(writer, "sync_file_system", sync(able))
        updates = [RefUpdate(name, commits[new], commits[old]) for name in names]
        repository.refs.transaction(updates)
    assert seen == [(20, 0), (20, 20)]
    locks = [path for path in paths if path.endswith(".lock")]
    assert sorted(locks) == sorted(f"{name}.lock" for name in names)


def test_fast_syncs_nothing(
    repo: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runs.durability = fast` leaves the time of writing to the system."""
    repo.git("config", "runs.durability", "fast")
    paths = synced(monkeypatch)
    create_ref(Repository.discover(repo.path).refs, NAME, commits[0])
    assert paths == []


def test_a_disk_that_fails_is_told(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref that can't be synced is not published; the error names the repository and the cause."""

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(RepositoryError, match=rf"can't write {NAME}.*Input/output error"):
            create_ref(repository.refs, NAME, commits[0])
    assert repository.refs.get(NAME) is None


def test_what_git_can_not_finish_is_taken_back(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a transaction that the disk ends in the middle nothing stays, and the reason is git's."""
    refs = repository.refs
    refs.transaction([RefUpdate("refs/runs/F/1", commits[0], None)])
    in_the_way = repo.path / ".git/refs/runs-trash/2/F/1/file"

    def block(_: object) -> None:
        in_the_way.parent.mkdir(parents=True, exist_ok=True)
        in_the_way.touch()

    updates = [
        RefUpdate("refs/runs-trash/1/F/1", commits[0], None),
        RefUpdate("refs/runs-trash/2/F/1", commits[0], None),
        RefUpdate("refs/runs/F/1", None, commits[0]),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(refs, "_sync_locks", block)
        with pytest.raises(RepositoryError, match="can't write 3 refs"):
            refs.transaction(updates)
    seen = repo.git("for-each-ref", "refs/runs", "refs/runs-trash", "--format=%(refname)")
    assert seen == "refs/runs/F/1"
    in_the_way.unlink()
    refs.transaction(updates)


def test_a_resident_git_that_has_missed_a_version_is_asked_anew(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """Refs packed twice in a second may look unchanged to a git that stays; no run fails of that."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    repo.git("pack-refs", "--all", "--prune")
    packed = repo.path / ".git/packed-refs"
    time.sleep(1 - time.time() % 1)
    old, new = (str(it).encode() for it in commits[:2])
    os.utime(packed)
    create_ref(refs, "refs/runs/F/2", commits[0])  # git has read it now
    with packed.open("r+b") as file:  # as large, and by chance as the same file
        file.write(
            packed.read_bytes().replace(old + b" " + NAME.encode(), new + b" " + NAME.encode())
        )
    update_ref(refs, NAME, commits[2], commits[1])
    assert refs.get(NAME) == commits[2]
