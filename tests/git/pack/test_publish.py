"""The publishing protocol."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.owner import Owner
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.limits import KEEP_GRACE
from gitflowrun.settings import Durability
from tests.helpers.packs import blob, loose_objects, noise, objects_dir, pack_store, publish
from tests.helpers.repos import GitRepo


def _dead_owner() -> Owner:
    done = subprocess.run(
        [sys.executable, "-c", "from gitflowrun.git.owner import Owner; print(Owner.process().encode())"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    owner = Owner.decode(done.stdout.strip())
    assert owner
    return owner


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_pack_is_kept_until_it_is_released(repo: GitRepo) -> None:
    """Between `write` and `release` no gc takes the objects, though nothing refers to them."""
    store = pack_store(repo)
    pack = store.write([blob(b"precious")])
    repo.git("repack", "-adq")
    repo.git("gc", "-q", "--prune=now")
    assert repo.git("cat-file", "blob", str(pack.oids[0])) == "precious"
    store.release([pack.name])
    repo.git("gc", "-q", "--prune=now")
    assert repo.git("cat-file", "-e", str(pack.oids[0]), check=False) == ""
    assert pack.oids[0] not in PackReader(objects_dir(repo))


def test_nothing_loose_and_nothing_temporary_remains(repo: GitRepo) -> None:
    """A published pack leaves two read-only files in objects/pack and an empty incoming/."""
    before = len(loose_objects(repo))
    publish(repo, "refs/runs/F/1", [b"a", b"b"])
    assert len(loose_objects(repo)) == before
    store = pack_store(repo)
    assert list(store.incoming.iterdir()) == []
    assert {path.suffix for path in store.pack_dir.iterdir()} == {".idx", ".pack"}
    assert {path.stat().st_mode & 0o777 for path in store.pack_dir.iterdir()} == {0o444}
    repo.fsck()


def test_packs_are_as_private_as_their_directory(repo: GitRepo) -> None:
    """In a repository that only its owner may enter, packs are readable only by the owner."""
    store = pack_store(repo)
    store.pack_dir.chmod(0o700)
    pack = store.write([blob(b"x")])
    assert (store.pack_dir / f"{pack.name}.pack").stat().st_mode & 0o777 == 0o400
    assert store.incoming.stat().st_mode & 0o777 == 0o700


def test_an_empty_pack_is_a_mistake_of_the_caller(repo: GitRepo) -> None:
    """There are no packs without objects."""
    with pytest.raises(ValueError, match="at least one object"):
        pack_store(repo).write([])


def test_two_writers_of_the_same_objects_do_not_share_a_keep(repo: GitRepo) -> None:
    """The first release must not expose the pack of the second writer."""
    store = pack_store(repo)
    first, second = (store.write([blob(b"same")]) for _ in range(2))
    store.release([first.name])
    repo.git("repack", "-adq")
    assert repo.git("cat-file", "blob", str(second.oids[0])) == "same"
    repo.fsck()


def test_release_is_idempotent(repo: GitRepo) -> None:
    """Releasing twice, or a pack that a repack has folded since, is no error."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    store.release([pack.name, pack.name])
    store.release([pack.name, "pack-" + "0" * 40])


def test_the_protocol_keeps_its_order(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both files are durable before the keep appears, the keep before the pack, the pack before its index."""
    order: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(fd: int) -> None:
        order.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().suffix)
        real_fsync(fd)

    def rename(self: Path, target: Path) -> Path:
        order.append("rename " + self.suffix)
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    pack_store(repo).write([blob(b"x")])
    assert order == [
        "fsync .pack", "fsync .idx", "rename .keep", "rename .pack", "rename .idx", "fsync ",
    ]  # fmt: skip
    order.clear()
    pack_store(repo, Durability.FAST).write([blob(b"x")])
    assert order == ["rename .keep", "rename .pack", "rename .idx"]


@pytest.mark.parametrize("moment", ["rename .keep", "rename .idx"])
def test_the_place_of_temporary_files_may_be_deleted_at_any_time(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whoever deletes `.git/gitflowrun` while a pack is written does not lose the pack."""
    store = pack_store(repo)
    real_rename, deletions = Path.rename, iter([1])

    def rename(self: Path, target: Path) -> Path:
        if f"rename {self.suffix}" == moment and next(deletions, None):
            shutil.rmtree(store.incoming.parent)
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    pack = store.write([blob(b"x")])
    assert PackReader(objects_dir(repo)).blob(pack.oids[0]) == b"x"
    assert len(list(store.pack_dir.glob("*.keep"))) == 1
    repo.fsck()


def test_the_keep_of_a_living_owner_is_not_stale(repo: GitRepo) -> None:
    """However old it is, a keep whose owner lives stays."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    _age(store.pack_dir / f"{pack.name}.keep", 1e7)
    assert store.stale_keeps(0) == []
    assert store.sweep(0) == []


@pytest.mark.parametrize("seconds", [10, 2 * KEEP_GRACE])
def test_the_keep_of_a_dead_owner_has_a_time_of_grace(repo: GitRepo, seconds: float) -> None:
    """The scheduler may publish a dead task's pack: only later is it given up."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    keep = store.pack_dir / f"{pack.name}.keep"
    keep.chmod(0o600)
    keep.write_text(f"gitflowrun {_dead_owner().encode()} 2024-01-01T00:00:00Z\n")
    _age(keep, seconds)
    stale = seconds > KEEP_GRACE
    assert store.stale_keeps() == ([pack.name] if stale else [])
    store.sweep()
    assert keep.exists() is not stale
    assert keep.with_suffix(".pack").exists()


def test_keeps_of_other_boots_and_hosts(repo: GitRepo) -> None:
    """An owner of an earlier boot is dead at once; one on another host only after a week."""
    store = pack_store(repo)
    me = Owner.process()
    for host, boot, seconds, stale in [
        (me.host, "00000000", 0, True),
        ("elsewhere", me.boot, 86_400, False),
        ("elsewhere", me.boot, 8 * 86_400, True),
    ]:
        keep = store.pack_dir / f"pack-{noise(20, len(host + boot)).hex()}.keep"
        keep.write_text(f"gitflowrun {Owner(host, boot, me.processes).encode()} then\n")
        _age(keep, seconds)
        assert store.stale_keeps() == ([keep.stem] if stale else [])
        keep.unlink()


@pytest.mark.parametrize("text", ["", "kept by me\n", "gitflowrun\n", "gitflowrun nonsense\n"])
def test_keeps_of_others_are_never_touched(repo: GitRepo, text: str) -> None:
    """A `.keep` that the user or another tool made is theirs."""
    store = pack_store(repo)
    keep = store.pack_dir / f"pack-{'1' * 40}.keep"
    keep.write_text(text)
    _age(keep, 1e8)
    assert store.sweep(0) == []
    assert keep.exists()


def test_sweep_removes_what_the_dead_left_in_incoming(repo: GitRepo) -> None:
    """Temporary files of dead processes go; those of living ones, and files of others, stay."""
    store = pack_store(repo)
    store.write([blob(b"x")])
    mine = store.incoming / f"{Owner.process().encode()}~pack-{'1' * 40}.pack"
    dead = store.incoming / f"{_dead_owner().encode()}~pack-{'2' * 40}.pack"
    other = store.incoming / "notes.txt"
    for path in (mine, dead, other):
        path.write_bytes(b"half")
    assert store.sweep() == [dead]
    assert sorted(store.incoming.iterdir()) == sorted([mine, other])


def test_sweep_removes_a_pack_that_never_got_its_index(repo: GitRepo) -> None:
    """A crash between the two renames leaves a pack git does not see; it goes with its keep."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    keep = store.pack_dir / f"{pack.name}.keep"
    keep.with_suffix(".idx").unlink()
    repo.fsck()
    keep.chmod(0o600)
    keep.write_text(f"gitflowrun {_dead_owner().encode()} then\n")
    _age(keep, 2 * KEEP_GRACE)
    assert store.sweep() == [keep.with_suffix(".pack"), keep]
    assert list(store.pack_dir.glob(f"{pack.name}*")) == []


def test_incoming_on_another_file_system_has_a_stand_in(repo: GitRepo) -> None:
    """Where a rename could not reach objects/pack, temporary files lie where git leaves them alone."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == repo.path.stat().st_dev:
        pytest.skip("one file system only")
    store = PackStore(
        objects_dir(repo), elsewhere / f"test-{os.getpid()}", durability=Durability.SAFE
    )
    try:
        store.write([blob(b"x")])
        repo.git("gc", "-q", "--prune=now")
        repo.fsck()
    finally:
        store.incoming.rmdir()


def test_objects_on_a_mount_of_the_same_file_system(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renames into it fail though the device is the same: temporary files then lie within it."""
    store = pack_store(repo)
    rename = Path.rename

    def across_mounts(path: Path, target: Path) -> Path:
        if store.incoming in path.parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", across_mounts)
    pack = store.write([blob(b"x")])
    assert (store.pack_dir / f"{pack.name}.idx").exists()
    assert not list(store.incoming.iterdir())
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()


def test_a_bare_repository_takes_packs(tmp_path: Path, repo: GitRepo) -> None:
    """Only the object directory matters."""
    repo.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    bare = GitRepo(tmp_path / "bare.git")
    store = PackStore(bare.path / "objects", bare.path / "in", durability=Durability.SAFE)
    pack = store.write([PackObject(ObjectType.TREE, b"")])
    assert bare.git("cat-file", "-t", str(pack.oids[0])) == "tree"


def test_errors_name_the_file_and_say_what_to_do(repo: GitRepo, tmp_path: Path) -> None:
    """What the system refuses becomes one error of ours."""
    (tmp_path / "file").write_text("")
    store = PackStore(objects_dir(repo), tmp_path / "file" / "incoming", durability=Durability.SAFE)
    with pytest.raises(RepositoryError, match=r"cannot write .*incoming: Not a directory"):
        store.write([blob(b"x")])


def test_forked_children_write_through_the_same_store(repo: GitRepo) -> None:
    """A store made before a fork works in the child and in the parent."""
    store = pack_store(repo)
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                store.write([blob(noise(1 << 20, number)), blob(noise(1 << 20, number + 10))])
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    store.write([blob(b"parent")])
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    assert len(list(store.pack_dir.glob("*.idx"))) == 5
    repo.fsck()


def test_a_link_beside_a_pack_is_not_written_through(repo: GitRepo, tmp_path: Path) -> None:
    """Who shares the repository sees the name of a pack that is being written, and may put a link beside it."""
    mine = tmp_path / "mine"
    mine.write_text("mine")
    store = pack_store(repo)
    written = store.write([blob(b"x" * 100)])
    place = store.receiving_directory()
    (place / "pack").mkdir()
    for suffix in (".pack", ".idx"):
        (store.pack_dir / f"{written.name}{suffix}").rename(place / f"pack/pack-1{suffix}")
    (place / "pack/pack-1.keep").symlink_to(mine)
    (adopted,) = store.adopt(place)
    assert mine.read_text() == "mine"
    assert not (store.pack_dir / f"{adopted}.keep").is_symlink()


def test_sweep_removes_no_pack_elsewhere(repo: GitRepo, tmp_path: Path) -> None:
    """What a dead owner was about to replace are packs of this repository, whatever a prepared one says."""
    mine = tmp_path / "mine.pack"
    mine.touch()
    store = pack_store(repo)
    place = store.incoming / f"{_dead_owner().encode()}~pack-1"
    place.mkdir(parents=True)
    away = os.path.relpath(mine.with_suffix(""), store.pack_dir)
    (place / "replaced").write_text(f"{away}\n{mine.with_suffix('')}\n")
    assert store.sweep() == [place]
    assert mine.exists()
