"""The publishing protocol."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.owner import Owner
from gitflowrun.git.pack import publish as publish_module
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.limits import FOREIGN_KEEP_GRACE, KEEP_GRACE, WRITE_TRIES
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


@pytest.mark.parametrize("gone", [{".pack"}, {".idx"}, {".pack", ".idx"}])
def test_no_index_alone_is_published(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, gone: set[str]
) -> None:
    """Whoever deletes `.git/gitflowrun` does so file by file: where one is gone, the pack is written again."""
    store, times = pack_store(repo), iter([1])

    def delete(name: str) -> None:
        if name == "publish.written" and next(times, None):
            for suffix in gone:
                for path in store.incoming.glob(f"*{suffix}"):
                    path.unlink()

    monkeypatch.setattr(publish_module, "reached", delete)
    pack = store.write([blob(b"x")])
    assert PackReader(objects_dir(repo)).blob(pack.oids[0]) == b"x"
    assert len(list(store.pack_dir.glob("*.idx"))) == len(list(store.pack_dir.glob("*.pack"))) == 1
    repo.fsck()


def test_what_an_index_alone_speaks_of_is_not_here(repo: GitRepo) -> None:
    """As with git: who has such an object stores it again."""
    pack = pack_store(repo).write([blob(b"x")])
    (objects_dir(repo) / "pack" / f"{pack.name}.pack").unlink()
    assert pack.oids[0] not in PackReader(objects_dir(repo))


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
    (tmp_path / "incoming").write_text("")
    other = PackStore(objects_dir(repo), tmp_path / "incoming", durability=Durability.SAFE)
    for write in (lambda: other.write([blob(b"x")]), lambda: other.temporary_directory("x")):
        with pytest.raises(RepositoryError, match="incoming is a file where gitflowrun keeps a"):
            write()
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


@pytest.mark.parametrize("verb", ["release", "sweep"])
def test_a_keep_that_can_not_be_removed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It is named, with what can be done."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    keep = store.pack_dir / f"{pack.name}.keep"
    keep.chmod(0o600)
    keep.write_text(f"gitflowrun {_dead_owner().encode()} x\n")
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == keep:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RepositoryError, match=rf"cannot write {keep}: Read-only") as caught:
        store.release([pack.name]) if verb == "release" else store.sweep(0)
    assert caught.value.hint == "the repository is on a read-only file system"


@pytest.mark.parametrize(
    ("verb", "breaks"),
    [
        ("publish", "sync_file"), ("publish", "sync_directory"), ("temporary_directory", "mkdir"),
        ("receiving_directory", "mkdir"), ("write", "stat"),
    ],
)  # fmt: skip
def test_a_disk_that_fails_wherever_packs_are_made(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, verb: str, breaks: str
) -> None:
    """The error says what could not be written, and what to do; that nothing can be removed either is no other."""
    store = pack_store(repo)
    name = f"pack-{'a' * 40}"
    written = _packed_by_git(repo, store.temporary_directory(name))
    store.receiving_directory().rmdir()

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    owner: Any = publish_module if breaks.startswith("sync") else Path
    verbs: dict[str, Callable[[], object]] = {
        "publish": lambda: store.publish(written, name),
        "temporary_directory": lambda: store.temporary_directory(f"pack-{'b' * 40}"),
        "receiving_directory": store.receiving_directory,
        "write": lambda: store.write([blob(b"x")]),
    }
    monkeypatch.setattr(owner, breaks, fails)
    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(RepositoryError, match=r"cannot write .*: Input/output error") as caught:
        verbs[verb]()
    assert caught.value.hint == "the disk reports errors; check it before anything else"


def test_what_goes_while_it_is_looked_at(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sweep has removed it: it is not stale."""
    store = pack_store(repo)
    gone = store.incoming / f"{_dead_owner().encode()}~pack-{'1' * 40}.pack"
    monkeypatch.setattr(publish_module, "_listed", lambda *_: [gone])
    assert store.stale() == []


def test_directories_that_can_not_be_listed(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in them is taken for what the dead have left."""
    store = pack_store(repo)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "glob", fails)
    assert (store.stale_keeps(), store.sweep()) == ([], [])


def test_sweep_goes_on_where_git_still_writes(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git whose starter was killed: what it has written since then goes with the next sweep."""
    store = pack_store(repo)
    places = [store.incoming / f"{_dead_owner().encode()}~pack-{digit}" for digit in "12"]
    for place in places:
        place.mkdir(parents=True)
    rmdir = os.rmdir

    def busy(path: str, **options: Any) -> None:
        if str(path).endswith("~pack-1"):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        rmdir(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", busy)
        store.sweep()
    assert [*store.incoming.iterdir()] == places[:1]
    store.sweep()
    assert [*store.incoming.iterdir()] == []


def _packed_by_git(repo: GitRepo, place: Path) -> Path:
    """A pack that git has written of all that HEAD leads to; its path without suffix."""
    oids = repo.git("rev-list", "--objects", "HEAD").encode()
    (place / "pack").mkdir(exist_ok=True)
    name = repo.git("pack-objects", "-q", str(place / "pack" / "pack"), stdin=oids + b"\n")
    return place / "pack" / f"pack-{name}"


def _synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The suffixes of the files, and the names of the directories, that are synced from now on."""
    seen: list[str] = []

    def note(path: Path) -> None:
        seen.append(path.suffix or path.name)

    monkeypatch.setattr(publish_module, "sync_file", note)
    monkeypatch.setattr(publish_module, "sync_directory", note)
    return seen


@pytest.mark.parametrize("durability", Durability)
def test_what_git_has_packed_is_published(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    """Durable whatever the setting says, under its own name, kept until it is released."""
    store = pack_store(repo, durability)
    name = f"pack-{'a' * 40}"
    place = store.temporary_directory(name, ["pack-x", "pack-y"])
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert (place / "replaced").read_text() == "pack-x\npack-y\n"
    written, seen = _packed_by_git(repo, place), _synced(monkeypatch)
    files = sorted(path.suffix for path in written.parent.iterdir())
    store.publish(written, name)
    assert seen[:-1][: len(files)] == sorted(files, key=publish_module._SUFFIXES.index)
    assert seen[-1] == "pack"
    made = {path.suffix for path in store.pack_dir.glob(f"{name}.*")}
    assert made == {*files, ".keep"}
    store.release([name])
    assert not (store.pack_dir / f"{name}.keep").exists()
    repo.fsck()


@pytest.mark.parametrize("durability", Durability)
def test_what_need_not_be_durable_is_published(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    """It is synced as the setting says."""
    store = pack_store(repo, durability)
    name = f"pack-{'a' * 40}"
    written = _packed_by_git(repo, store.temporary_directory(name))
    seen = _synced(monkeypatch)
    store.publish(written, name, durable=False)
    is_safe = durability is Durability.SAFE
    assert ({".pack", ".idx", "pack"} <= {*seen}, bool(seen)) == (is_safe, is_safe)
    repo.fsck()


@pytest.mark.parametrize("durability", Durability)
def test_what_git_has_received_is_adopted(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    """Under names of ours, kept; where nothing came, what another fetch has brought is made durable."""
    store = pack_store(repo, durability)
    place = store.receiving_directory()
    assert (place.parent.parent, stat.S_IMODE(place.stat().st_mode)) == (objects_dir(repo), 0o700)
    seen = _synced(monkeypatch)
    assert store.adopt(place) == []
    assert seen == (["pack"] if durability is Durability.SAFE else [])
    git_name = _packed_by_git(repo, place).name
    (name,) = store.adopt(place)
    assert name != git_name
    assert {path.suffix for path in store.pack_dir.glob(f"{name}.*")} >= {".pack", ".idx", ".keep"}
    assert store.stale(0) == []


@pytest.mark.parametrize("verb", ["publish", "adopt", "write"])
def test_of_what_can_not_be_published_nothing_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The disk is full in the middle: no file of it is left where packs lie, and those adopted before are released."""
    store = pack_store(repo)
    name = f"pack-{'a' * 40}"
    place = store.receiving_directory() if verb == "adopt" else store.temporary_directory(name)
    written = _packed_by_git(repo, place)
    if verb == "adopt":
        store.adopt(place)
        for keep in store.pack_dir.glob("*.keep"):
            keep.unlink()
        repo.commit("more")
        written = _packed_by_git(repo, place)
    there = {*store.pack_dir.iterdir()}
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target.suffix == ".idx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    verbs: dict[str, Callable[[], object]] = {
        "publish": lambda: store.publish(written, name),
        "adopt": lambda: store.adopt(place),
        "write": lambda: store.write([blob(b"x")]),
    }
    with pytest.raises(RepositoryError, match="No space left") as caught:
        verbs[verb]()
    assert caught.value.hint == "free some space and try again; nothing was published"
    assert {*store.pack_dir.iterdir()} == there


def test_the_places_of_publishing(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test may let a process die: each is passed, in the order of the protocol."""
    passed: list[str] = []
    monkeypatch.setattr(publish_module, "reached", passed.append)
    store = pack_store(repo)
    store.release([store.write([blob(b"x")]).name])
    names = ("written", "synced", "kept", "renamed", "visible", "durable", "released")
    assert passed == [f"publish.{name}" for name in names]


def test_a_shared_repository_gets_packs_that_all_may_read(repo: GitRepo) -> None:
    """Nobody may write them; of the `.keep` everybody of the group may."""
    store = PackStore(
        objects_dir(repo), repo.path / ".git/in", durability=Durability.FAST, shared=0o2770
    )
    pack = store.write([blob(b"x")])
    for suffix in (".pack", ".idx"):
        path = store.pack_dir / f"{pack.name}{suffix}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert (store.pack_dir / f"{pack.name}.keep").stat().st_mode & 0o060 == 0o060


def test_a_keep_that_a_power_cut_has_emptied(repo: GitRepo) -> None:
    """It is ours by the pack's name, which is no checksum, once it is old; a git's own pack keeps its `.keep`."""
    store = pack_store(repo)
    pack = store.write([blob(b"x")])
    repo.git("repack", "-q", "-d")
    (theirs,) = (path.stem for path in store.pack_dir.glob("*.idx") if path.stem != pack.name)
    for name in (pack.name, theirs):
        keep = store.pack_dir / f"{name}.keep"
        keep.unlink(missing_ok=True)
        keep.write_bytes(b"\0" * 9)
    assert store.stale_keeps() == []
    for name in (pack.name, theirs):
        _age(store.pack_dir / f"{name}.keep", KEEP_GRACE + 60)
    assert store.stale_keeps() == [pack.name]
    (store.pack_dir / f"{pack.name}.keep").write_bytes(b"\0mine")
    _age(store.pack_dir / f"{pack.name}.keep", KEEP_GRACE + 60)
    assert store.stale_keeps() == []


def test_how_long_the_keeps_of_the_dead_are_left(repo: GitRepo) -> None:
    """Those of this boot for as long as is asked for; of hosts that nobody can ask, a week at least."""
    store = pack_store(repo)
    dead = _dead_owner()
    for owner, ages in (
        (dead, ((50, False), (150, True))),
        (Owner("elsewhere", dead.boot, dead.processes), ((150, False), (FOREIGN_KEEP_GRACE + 60, True))),
    ):  # fmt: skip
        keep = store.pack_dir / f"pack-{'3' * 40}.keep"
        keep.write_text(f"gitflowrun {owner.encode()} then\n")
        for age, is_stale in ages:
            _age(keep, age)
            assert store.stale_keeps(100) == ([keep.stem] if is_stale else [])


def test_sweep_removes_whole_directories_and_what_they_stand_for(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead owner's place goes with what it holds, and packs that have lost their index; a link goes alone."""
    store = pack_store(repo)
    other = repo.path / "elsewhere"
    (other / "x").mkdir(parents=True)
    lost, kept, whole = (store.write([blob(b"%d" % number)]).name for number in range(3))
    store.release([lost, whole])
    for name in (lost, kept):
        (store.pack_dir / f"{name}.idx").unlink()
    dead = _dead_owner().encode()
    place = store.incoming / f"{dead}~pack-{'4' * 40}"
    place.mkdir()
    (place / "replaced").write_text(f"{lost}\n{kept}\n{whole}\n")
    link = store.incoming / f"{dead}~pack-{'5' * 40}"
    link.symlink_to(other)
    assert store.sweep() == [store.pack_dir / f"{lost}.pack", place, link]
    assert (place.exists(), link.is_symlink(), (other / "x").exists()) == (False, False, True)
    assert (store.pack_dir / f"{kept}.pack").exists()
    assert (store.pack_dir / f"{whole}.pack").exists()

    def written_to(where: Path, **named: Any) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(where), named)

    place.mkdir()
    with (
        monkeypatch.context() as patched
    ):  # by whom its starter has left alone: the next one gets it
        patched.setattr(os, "rmdir", written_to)
        assert store.sweep() == [place]
    assert place.exists()
    assert store.sweep() == [place]
    assert not place.exists()


def test_a_pack_holds_something(repo: GitRepo) -> None:
    """Nobody is given an empty one."""
    with pytest.raises(ValueError, match="at least one object"):
        pack_store(repo).write([])


@pytest.mark.parametrize("times", [1, 99])
def test_a_directory_that_is_deleted_meanwhile_is_made_again(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """`.git/gitflowrun` may be deleted at any time, though not all the time."""
    store = pack_store(repo)
    temporary, seen = PackStore._temporary, []

    def deleted(self: PackStore, name: str) -> Path:
        place = temporary(self, name)
        seen.append(name)
        if len(seen) <= times:
            shutil.rmtree(self.incoming)
        return place

    monkeypatch.setattr(PackStore, "_temporary", deleted)
    if times == 1:
        assert store.write([blob(b"x")]).oids
        return
    with pytest.raises(RepositoryError, match="No such file"):
        store.write([blob(b"x")])
    assert len(seen) == WRITE_TRIES
