"""Folds beside git's own housekeeping, damage, kills and disks that fail: no object goes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import (
    fold,
    fold_lock,
    start_fold,
)
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.repository import Repository
from tests.git.maintenance.small_packs import (
    foldable,
    folded,
    many,
    open_files,
    pack_files,
    refuse_times,
    watch_git,
)
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo


@pytest.mark.parametrize("damage", ["chain", "kind", "cut", "table"])
def test_beside_a_multi_pack_index_that_cannot_be_read_nothing_is_folded(
    repo: GitRepo, damage: str
) -> None:
    """A chain of them, a newer version, a damaged one: which packs it names is not known."""
    many(repo, 3)
    repo.git("multi-pack-index", "write")
    many(repo, 3, size=400)
    multi = objects_dir(repo) / "pack" / "multi-pack-index"
    data = multi.read_bytes()
    multi.unlink()
    if damage == "chain":
        (multi.parent / "multi-pack-index.d").mkdir()
    else:
        broken = {"kind": b"MIDX\x02" + data[5:], "cut": data[:100], "table": data[:20]}
        multi.write_bytes(broken[damage])
    before = pack_files(repo)
    assert not fold(open_repo(repo))
    assert pack_files(repo) == before


def _gc(repo: GitRepo, pid: int) -> Path:
    return repo.write(".git/gc.pid", f"{pid} {os.uname().nodename}")


def _maintenance(repo: GitRepo, _pid: int) -> Path:
    return repo.write(".git/objects/maintenance.lock", "")


@pytest.mark.parametrize("begin", [_gc, _maintenance])
def test_beside_gits_own_housekeeping(repo: GitRepo, begin: Callable[[GitRepo, int], Path]) -> None:
    """No fold begins, and one that began before deletes nothing; the next one takes what was left."""
    many(repo, 5)
    opened = open_repo(repo)
    begun = begin(repo, os.getpid())
    assert not fold(opened)
    begun.unlink()
    folding = start_fold(opened)
    assert folding
    begin(repo, os.getpid())
    folding.finish()
    assert len(foldable(opened)) == 6
    begun.unlink()
    many(repo, 3, size=600)
    assert folded(opened) == (9, 1)
    repo.fsck()


def test_housekeeping_that_was_killed_does_not_stop_us(repo: GitRepo) -> None:
    """A dead process's gc.pid, and a lock that is hours old, are believed by nobody."""
    many(repo, 5)
    child = subprocess.Popen(["true"])
    child.wait()
    _gc(repo, child.pid)
    os.utime(_maintenance(repo, 0), (time.time() - 7 * 3600,) * 2)
    assert folded(open_repo(repo)) == (5, 1)


def _instead(monkeypatch: pytest.MonkeyPatch, repo: Repository, *command: str) -> None:
    assert repo.settings  # which git is asked for only once
    monkeypatch.setattr(type(repo.git), "command", lambda _git, _args: list(command))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("false",), "status 1"),
        (("sh", "-c", "echo fatal: no room >&2; exit 128"), "no room"),
        (("sh", "-c", "echo a; echo b"), "status 0"),
        (("no-such-program",), "not installed"),
    ],
)
def test_a_git_that_fails_costs_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    """All packs stay, no temporary file does, and the next fold may begin."""
    many(repo, 5)
    before = pack_files(repo)
    opened = open_repo(repo)
    with monkeypatch.context() as patch:
        _instead(patch, opened, *command)
        with pytest.raises(RepositoryError, match=words):
            fold(opened)
    assert pack_files(repo) == before
    assert list(opened.packs.incoming.iterdir()) == []
    assert folded(opened) == (5, 1)


def test_a_fold_that_takes_too_long_is_given_up(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then git is killed, and nothing is changed."""
    many(repo, 5)
    opened = open_repo(repo)
    monkeypatch.setattr(maintenance, "FOLD_SECONDS", 0.1)
    _instead(monkeypatch, opened, "sleep", "600")
    begun = time.monotonic()
    with pytest.raises(RepositoryError, match="not done after"):
        fold(opened)
    assert time.monotonic() - begun < 300
    assert len(pack_files(repo)) == 5


def test_a_pack_that_lacks_an_object_replaces_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever git says: an index that lacks an id is not published."""
    many(repo, 5)
    before = pack_files(repo)
    opened = open_repo(repo)
    command = opened.git.command
    monkeypatch.setattr(
        type(opened.git),
        "command",
        lambda _git, args: ["sh", "-c", 'head -n -1 | "$@"', "sh", *command(args)],
    )
    with pytest.raises(RepositoryError, match="left out objects"):
        fold(opened)
    assert pack_files(repo) == before
    assert list(opened.packs.incoming.iterdir()) == []


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_an_input_that_vanishes(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, is_elsewhere: bool
) -> None:
    """Somebody took it after it was chosen: git finds its objects in another pack, or the fold fails."""
    many(repo, 5)
    victim = pack_files(repo)[2]
    if is_elsewhere:
        copy = victim.with_name(f"pack-{'1' * 40}.pack")
        for suffix in (".pack", ".idx", ".keep"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(victim.with_suffix(suffix), copy.with_suffix(suffix))
        copy.with_suffix(".keep").write_bytes(b"")
    opened = open_repo(repo)
    start = opened.git.start

    def vanish(_git: object, *args: str, **options: Any) -> Any:
        victim.with_suffix(".idx").unlink()
        victim.unlink()
        return start(*args, **options)

    monkeypatch.setattr(type(opened.git), "start", vanish)
    if is_elsewhere:
        assert folded(opened) == (5, 1)
        assert len(pack_files(repo)) == 2
    else:
        with pytest.raises(RepositoryError, match="pack-objects"):
            fold(opened)
        assert len(pack_files(repo)) == 4
    assert list(opened.packs.incoming.iterdir()) == []


def test_everything_is_durable_before_an_input_goes(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are fsynced, then named, the index last; then the directory; then inputs go, the index first."""
    repo.git("config", "runs.durability", "fast")
    many(repo, 2)
    order: list[str] = []
    real_fsync, real_rename, real_unlink = os.fsync, Path.rename, Path.unlink

    def fsync(fd: int) -> None:
        order.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().suffix)
        real_fsync(fd)

    def rename(path: Path, target: Path) -> Path:
        order.append("rename " + path.suffix)
        return real_rename(path, target)

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        order.append("unlink " + path.suffix)
        real_unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert fold(open_repo(repo))
    assert [step for step in order if not step.endswith(".rev")] == [
        "fsync .pack", "fsync .idx", "rename .pack", "rename .idx", "fsync ",
        "unlink .idx", "unlink .pack", "unlink .idx", "unlink .pack",
    ]  # fmt: skip


def test_a_fold_where_times_can_not_be_set(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that sets them itself sets them to now; git is apart, and holds the lock as long as it writes."""
    many(repo, 3)
    repository = open_repo(repo)
    inherited, apart = watch_git(repository, monkeypatch)
    refuse_times(monkeypatch)
    folding = start_fold(repository)
    assert folding is not None
    assert inherited == [(folding._lock,)]
    assert apart == [str(folding._place)]
    folding.finish()
    assert len(pack_files(repo)) == 1


def test_the_places_of_a_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test may let a process die: each is passed, in the order of the protocol; nothing is left open."""
    passed: list[str] = []
    monkeypatch.setattr(maintenance, "reached", passed.append)
    many(repo, 3)
    repository = open_repo(repo)
    assert fold(repository)
    names = ("written", "checked", "visible", "durable")
    assert passed[:4] == [f"fold.{name}" for name in names]
    assert {*passed[4:]} == {"fold.deleting"}
    assert open_files(repository.state_dir) == []
    assert [*repository.packs.incoming.iterdir()] == []


def test_a_disk_that_fails_a_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where; the lock is free and all packs are there."""
    many(repo, 3)
    repository = open_repo(repo)
    before = pack_files(repo)

    def fails(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "sync_file", fails)
        with pytest.raises(
            RepositoryError, match=r"cannot fold packs: .*/objects/pack: Input/output error"
        ):
            fold(repository)
    assert pack_files(repo) == before
    assert open_files(repository.state_dir) == []
    assert fold(repository)


def test_a_fold_that_can_not_begin(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its place nor its lock stays."""
    many(repo, 3)
    repository = open_repo(repo)

    def fails(*_: object, **__: object) -> None:
        raise RepositoryError("git can't be started")

    monkeypatch.setattr(maintenance.Folding, "_start", fails)
    with pytest.raises(RepositoryError, match="can't be started"):
        start_fold(repository)
    assert [*repository.packs.incoming.iterdir()] == []
    assert open_files(repository.state_dir) == []


def test_the_lock_of_folds(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process holds it; who does not get it keeps nothing open, and where it can't be made that is told."""
    repository = open_repo(repo)
    first = fold_lock(repository)
    assert first is not None
    assert fold_lock(repository) is None
    path = repository.state_dir / "fold.lock"
    assert len(open_files(path)) == 1
    os.close(first)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(RepositoryError, match=r"cannot lock .*fold\.lock: "):
            fold_lock(repository)
    assert open_files(path) == []
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryError, match=r"cannot lock .*fold\.lock: "):
        fold_lock(repository)


@pytest.mark.parametrize(
    ("code", "out", "err", "message"),
    [
        (1, b"12\n", b"fatal: no\n", "no"), (0, b"", b"", "status 0"), (0, b"12\n34\n", b"", "status 0"),
        (128, b"", b"", "status 128"), (0, b"12\n", b"warning\n", None),
    ],
)  # fmt: skip
def test_what_git_says_of_a_pack_it_has_written(
    code: int, out: bytes, err: bytes, message: str | None
) -> None:
    """One digest, and success; anything else is an error."""
    if message is None:
        assert maintenance._digest(code, out, err) == "12"
        return
    with pytest.raises(RepositoryError, match=f"^git pack-objects: {message}$"):
        maintenance._digest(code, out, err)


def test_packs_that_are_no_input(repo: GitRepo) -> None:
    """Those that are gone, or whose index only git reads."""
    many(repo, 1)
    repository = open_repo(repo)
    directory = repository.packs.pack_dir
    (pack,) = maintenance._Listing.read(directory).small()
    found = maintenance._input(directory, pack)
    assert found is not None
    assert (found.pack, found.count) == (pack, 1)
    index = directory / f"{pack.name}.idx"
    index.chmod(0o600)
    index.write_bytes(b"junk" * 300)
    assert maintenance._input(directory, pack) is None
    index.unlink()
    assert maintenance._input(directory, pack) is None
    others = many(repo, 2, size=400)
    listing = maintenance._Listing.read(directory)
    home = PackReader(repository.objects_dir).home(others[0])
    assert home is not None
    home.unlink()  # somebody's repack has just taken it
    assert len([*listing.small()]) == 1
