"""Refs are created, moved and deleted by one writer that never overwrites what it did not expect."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import MissingObject, RefConflict, RepositoryError, UsageError
from gitflowrun.git import ref_update
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack import writer
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.limits import FEW_REFS
from gitflowrun.names import RefName
from tests.helpers.flows import eventually
from tests.helpers.refs import NAME, create_ref, delete_ref, git_children, opened, update_ref
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
    with pytest.raises(MissingObject) as caught:
        create_ref(repository.refs, NAME, Oid(b"\1" * 20))
    assert "atal: " not in str(caught.value)
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
    with pytest.raises(RepositoryError, match=r"small.*No space left on device") as full:
        create_ref(repository.refs, NAME, oid)
    assert full.value.hint == "free some space and try again"
    assert repository.refs.rows("refs/") == []
    (small_disk / "filler").unlink()
    create_ref(repository.refs, NAME, oid)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RepositoryError, match=r"small.*Read-only file system") as read_only:
        create_ref(repository.refs, "refs/runs/F/2", oid)
    assert read_only.value.hint == "recording runs needs a repository that you may write to"
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
        with pytest.raises(RepositoryError, match=rf"can't write {NAME}.*: Input/output error"):
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


def test_the_places_of_a_transaction(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a test may let a process die: each is passed, in the order of the protocol."""
    passed: list[str] = []
    monkeypatch.setattr(ref_update, "reached", passed.append)
    create_ref(repository.refs, NAME, commits[0])
    assert passed == ["ref.claimed", "ref.locked", "ref.moved", "ref.durable"]
    passed.clear()
    repository.refs.transaction([RefUpdate(f"refs/runs/G/{n}", commits[0], None) for n in range(9)])
    assert passed == ["packed.written", "packed.locked", "packed.replaced"]


def test_few_refs_are_files(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to eight are made and synced one by one; a ref more, and all become lines of one file."""
    monkeypatch.setattr(writer, "sync_file_system", lambda _: pytest.fail("it takes longer"))
    for flow, count in (("F", FEW_REFS), ("G", FEW_REFS + 1)):
        updates = [RefUpdate(f"refs/runs/{flow}/{n}", commits[0], None) for n in range(count)]
        repository.refs.transaction(updates)
    assert len([*(repo.path / ".git/refs/runs").rglob("[0-9]")]) == FEW_REFS


def test_among_many_new_refs_one_that_must_exist(
    repository: Repository, commits: list[Oid]
) -> None:
    """It is a conflict where it does not, and nothing is made of the others."""
    updates = [RefUpdate(f"refs/runs/F/{n}", commits[0], None) for n in range(20)]
    updates[7] = RefUpdate("refs/runs/F/7", commits[0], commits[1])
    with pytest.raises(RefConflict, match="F/7 was deleted"):
        repository.refs.transaction(updates)
    assert repository.refs.rows("refs/runs/") == []


def test_many_refs_where_there_are_no_links(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is a file of its own there; that of somebody else is respected all the same."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    lock = repo.path / ".git/packed-refs.lock"
    for flow in "FG":
        updates = [RefUpdate(f"refs/runs/{flow}/{n}", commits[0], None) for n in range(20)]
        repository.refs.transaction(updates)
        assert len([*(repo.path / ".git/refs/runs").rglob("[0-9]")]) == 10 * (flow == "G")
        assert lock.exists() is (flow == "G")
        lock.touch()


def test_what_can_not_be_taken_back_hides_no_reason(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of the transaction, not of the second failure."""

    def refuse(*_: object) -> None:
        raise ref_update._Refused("commit: disk on fire")

    monkeypatch.setattr(ref_update._UpdateRef, "run", refuse)
    with pytest.raises(RepositoryError, match="commit: disk on fire"):
        create_ref(repository.refs, NAME, commits[0])


@pytest.mark.parametrize(
    ("message", "blocks", "free", "files", "is_full"),
    [
        ("it can't", 0, 1, 1, True),
        ("it can't", 1, 0, 1, True),
        ("it can't", 0, 0, 0, True),
        ("it can't", 1, 0, 0, False),
        ("it can't", 1, 1, 1, False),
        ("couldn't write 'x.lock'", 7, 9, 9, True),
        ("unable to write new value", 9, 7, 9, True),
        ("couldn't write 'x.lock'", 8, 8, 9, False),
        ("couldn't write 'x.lock'", 8, 0, 0, False),
    ],
)
def test_a_full_disk_is_known_where_git_does_not_say_it(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch,
    message: str, blocks: int, free: int, files: int, is_full: bool,
) -> None:  # fmt: skip
    """By its free blocks, and its free files where the file system counts them; what could not be written is gone."""
    disk = SimpleNamespace(f_bavail=blocks, f_favail=free, f_files=files)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    error = repository.refs._unwritable([RefUpdate(NAME, commits[0], None)], message)
    assert error.message.endswith(f"{message}: No space left on device" if is_full else message)
    assert ("free some space" in str(error.hint)) is is_full


def test_the_pauses_of_who_waits_grow(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a millisecond, each twice as long as the last one."""
    lock = repository.common_dir / f"{NAME}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    pauses: list[float] = []

    def jittered(seconds: float) -> float:
        pauses.append(seconds)
        if len(pauses) == 4:
            lock.unlink()
        return 0.0

    monkeypatch.setattr(ref_update, "jittered", jittered)
    create_ref(opened(repository, patience=20), NAME, commits[0])
    assert pauses == [0.001, 0.002, 0.004, 0.008]


def test_the_journal_of_a_writer(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has each lock with its file's number and time while git holds it, then nothing, and goes with the writer."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    journal = refs._update_ref._journal
    (path,) = (repository.state_dir / "ref-locks").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    seen = []

    def look() -> None:
        rows = []
        for name in (NAME, "packed-refs"):
            lock = (repository.common_dir / f"{name}.lock").stat()
            rows.append(f"{name} - {lock.st_ino} {lock.st_mtime_ns}\n")
        assert path.read_text() == "".join(rows)
        (pid,) = git_children()
        links = {str(it.readlink()) for it in Path(f"/proc/{pid}/fd").iterdir() if it.is_symlink()}
        assert str(path) in links
        seen.append(rows)

    refs._update_ref.run([RefUpdate(NAME, None, commits[0])], look)
    assert (len(seen), path.read_bytes()) == (1, b"")
    with pytest.raises(RefConflict):
        refs.transaction(
            [RefUpdate("refs/runs/F", commits[0], None), RefUpdate(NAME, commits[0], None)]
        )
    refs.transaction([RefUpdate(f"refs/runs/M/{n}", commits[0], None) for n in range(9)])
    assert path.read_bytes() == b""
    with pytest.raises(KeyboardInterrupt):
        refs._update_ref.run([RefUpdate(NAME, commits[0], None)], _interrupt)
    assert journal.inherited
    refs._update_ref._pipes()
    os.kill(eventually(git_children)[0], 9)  # it may not have its name yet
    with pytest.raises(ref_update._Refused, match=r"^$"):
        refs._update_ref.run([RefUpdate(NAME, commits[0], None)], lambda: None)
    assert journal.inherited == ()
    create_ref(refs, NAME, commits[0])
    assert not journal.is_lost
    refs.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        assert journal.is_lost
    assert _open_below(repository.state_dir) == []


def _interrupt() -> None:
    raise KeyboardInterrupt


def _open_below(place: Path) -> list[str]:
    links = [it for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]
    return [text for it in links if (text := str(it.readlink())).startswith(f"{place}/")]


def test_a_journal_that_was_deleted_is_made_anew(
    repository: Repository, commits: list[Oid]
) -> None:
    """Between two changes, with a git that knows of it, or in the middle of one; nothing of it stays open."""
    refs = repository.refs
    journals = repository.state_dir / "ref-locks"
    create_ref(refs, NAME, commits[0])
    before = git_children()
    shutil.rmtree(journals)
    update_ref(refs, NAME, commits[1], commits[0])
    assert (len([*journals.iterdir()]), git_children() != before) == (1, True)
    assert len(_open_below(repository.state_dir)) == 1
    update = RefUpdate(NAME, commits[2], commits[1])
    refs._update_ref.run([update], lambda: shutil.rmtree(journals))
    assert refs.get(NAME) == commits[2]


def test_without_a_journal_refs_move_as_well(repository: Repository, commits: list[Oid]) -> None:
    """Where none can be made, locks of ours are told as those of others are."""
    repository.state("x")
    (repository.state_dir / "ref-locks").write_text("")
    create_ref(repository.refs, NAME, commits[0])
    assert repository.refs.get(NAME) == commits[0]


def test_a_lock_of_who_was_killed_is_taken_away_at_once(
    repository: Repository, commits: list[Oid]
) -> None:
    """By the next writer that meets it, long before it counts as left behind."""
    refs = opened(repository, stale_after=60)
    create_ref(refs, "refs/runs/F/2", commits[0])
    journal = refs._update_ref._journal
    journal.claim(f"{NAME} {commits[1]}\n")
    (repository.common_dir / f"{NAME}.lock").write_text(f"{commits[1]}\n")
    journal._let_go()
    began = time.monotonic()
    create_ref(refs, NAME, commits[0])
    assert time.monotonic() - began < 10


def test_who_shares_a_repository_may_go_on(repository: Repository, commits: list[Oid]) -> None:
    """What one member of a group writes, the others may write: packed refs and the journal."""
    repository.state("x")
    repository.state_dir.chmod(0o2770)
    repository.refs.transaction([RefUpdate(f"refs/runs/M/{n}", commits[0], None) for n in range(9)])
    create_ref(repository.refs, NAME, commits[0])
    (journal,) = (repository.state_dir / "ref-locks").iterdir()
    for path in (repository.common_dir / "packed-refs", journal):
        assert stat.S_IMODE(path.stat().st_mode) & 0o660 == 0o660
