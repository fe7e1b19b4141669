"""Packs under full disks, I/O errors, kills and storms of gc: nothing lost, nothing half-published."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.pack import writer as writer_module
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.settings import Durability
from tests.helpers.packs import blob, noise, objects_dir, pack_store, publish
from tests.helpers.repos import GitRepo, make_repo, program_environment
from tests.helpers.warm_popen import WarmPopen


@cache
def _batch(seed: int = 0, count: int = 12, size: int = 300_000) -> tuple[PackObject, ...]:
    return tuple(blob(noise(size, seed * 1000 + number)) for number in range(count))


def _assert_untouched(repo: GitRepo, store: PackStore) -> None:
    """Nothing published and nothing left behind."""
    assert list(store.pack_dir.iterdir()) == []
    assert not store.incoming.exists() or list(store.incoming.iterdir()) == []
    repo.fsck()


def _nth(number: int, code: int, real: Callable[..., object]) -> Callable[..., object]:
    """`real`, but from the `number`th call on it fails with `code`."""
    calls = iter(range(10**9))

    def failing(*args: object, **kwargs: object) -> object:
        if next(calls) >= number:
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    return failing


@pytest.mark.parametrize(
    ("direct", "code"), [(True, errno.ENOSPC), (False, errno.EIO), (False, errno.EDQUOT)]
)
@pytest.mark.parametrize(
    ("function", "number"),
    [("write", 0), ("write", 1), ("write", 2), ("fsync", 0), ("fsync", 1),
     ("ftruncate", 0), ("open", 0), ("open", 1)],
)  # fmt: skip
@pytest.mark.sample(5)
def test_an_error_at_any_call_leaves_nothing(
    repo: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    number: int,
    code: int,
    direct: bool,
) -> None:
    """Whichever call fails, on the disk's first refusal or a later one, the repository is as before."""
    store = pack_store(repo)
    objects = _batch(count=40)
    monkeypatch.setattr(writer_module, "DIRECT_FROM", 0 if direct else 1 << 60)
    monkeypatch.setattr(os, function, _nth(number, code, getattr(os, function)))
    with pytest.raises(RepositoryError) as caught:
        store.write(objects)
    monkeypatch.undo()
    assert os.strerror(code) in caught.value.message
    assert str(repo.path) in caught.value.message
    assert caught.value.hint
    _assert_untouched(repo, store)
    store.write(objects)
    repo.fsck()


def test_a_directory_that_cannot_be_synced_leaves_a_pack_to_git(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git has seen the pack by then and may rely on it: it stays, nobody keeps it, and a gc drops it."""
    store = pack_store(repo)
    monkeypatch.setattr(os, "fsync", _nth(2, errno.EIO, os.fsync))
    with pytest.raises(RepositoryError, match="Input/output error"):
        store.write(_batch())
    monkeypatch.undo()
    assert sorted(path.suffix for path in store.pack_dir.iterdir()) == [".idx", ".pack"]
    assert list(store.incoming.iterdir()) == []
    repo.fsck()
    repo.git("gc", "-q", "--prune=now")
    assert (
        PackReader(objects_dir(repo)).home(hash_object(ObjectType.BLOB, _batch()[0].data)) is None
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_failing_rename_leaves_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also a pack that is in place already is taken back when its index can't follow."""
    store = pack_store(repo)
    real = Path.rename
    monkeypatch.setattr(Path, "rename", _nth(number, errno.EIO, real))
    with pytest.raises(RepositoryError, match="Input/output error"):
        store.write(_batch())
    monkeypatch.undo()
    _assert_untouched(repo, store)


def test_a_bug_in_a_thread_reaches_the_caller(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the pool ends the write; no thread and no file is left waiting."""
    import threading

    from gitflowrun.git.pack.writer import PackedObject

    def fail(_given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PackedObject, "of", fail)
    store = pack_store(repo)
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        store.write(_batch(count=60))
    assert threading.active_count() == threads
    _assert_untouched(repo, store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    mount = tmp_path / "small disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("can't mount a file system here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("direct", [True, False])
def test_a_full_disk(small_disk: Path, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that really is full: a clear error, everything acknowledged is there, git is content."""
    monkeypatch.setattr(writer_module, "DIRECT_FROM", 0 if direct else 1 << 60)
    repo = make_repo(small_disk / "repo")
    store = pack_store(repo)
    written: list[Oid] = []

    def fill_the_disk() -> None:
        for seed in range(100):
            written.extend(store.write(_batch(seed, count=4)).oids)

    with pytest.raises(RepositoryError, match="No space left on device") as caught:
        fill_the_disk()
    assert caught.value.hint == "free some space and try again; nothing was published"
    assert written
    assert list(store.incoming.iterdir()) == []
    repo.fsck()
    reader = PackReader(objects_dir(repo))
    assert all(oid in reader and reader.blob(oid) for oid in written)


def test_a_file_size_limit(repo: GitRepo) -> None:
    """Under `ulimit -f` the error says what it is; nothing is left."""
    script = """if True:
        import resource, signal
        from pathlib import Path
        from gitflowrun.errors import RepositoryError
        from gitflowrun.git.objects import ObjectType
        from gitflowrun.git.pack.publish import PackStore
        from gitflowrun.git.pack.writer import PackObject
        from gitflowrun.settings import Durability
        import os
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        store = PackStore(Path(".git/objects"), Path(".git/gitflowrun/incoming"), durability=Durability.SAFE)
        try:
            store.write([PackObject(ObjectType.BLOB, os.urandom(1 << 20)) for _ in range(8)])
        except RepositoryError as error:
            print(error.message, error.hint, sep="|")
    """
    done = repo.python("-c", script)
    assert "File too large|the file size limit" in done.out, done.err
    _assert_untouched(repo, pack_store(repo))


def test_a_repository_that_may_not_be_written(repo: GitRepo) -> None:
    """As a user without rights: which directory, and what is needed; reading works."""
    head = repo.git("rev-parse", "HEAD")
    script = f"""if True:
        import os, sys
        from pathlib import Path
        from gitflowrun.errors import RepositoryError
        from gitflowrun.git.objects import ObjectType, Oid
        from gitflowrun.git.pack.reader import PackReader
        from gitflowrun.git.pack.publish import PackStore
        from gitflowrun.git.pack.writer import PackObject
        from gitflowrun.settings import Durability
        if os.getuid() == 0:
            os.setuid(65534)
        store = PackStore(Path(".git/objects"), Path(".git/gitflowrun/incoming"), durability=Durability.SAFE)
        try:
            store.write([PackObject(ObjectType.BLOB, b"x")])
        except RepositoryError as error:
            print(error.message, error.hint, sep="|")
        print(PackReader(Path(".git/objects")).read(Oid.from_hex("{head}"))[0].name)
    """
    for path in [*repo.path.rglob("*"), repo.path]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in repo.path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = repo.python("-c", script)
    for path in [repo.path, *repo.path.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert "Permission denied|the repository's object directory must be writable" in done.out, (
        done.err
    )
    assert done.out.splitlines()[-1] == "COMMIT"


WRITER = """if True:
    import os, random, sys
    from pathlib import Path
    from gitflowrun.git.pack import writer
    from gitflowrun.git.objects import ObjectType
    from gitflowrun.git.owner import Owner
    from gitflowrun.git.pack.publish import PackStore
    from gitflowrun.git.pack.writer import PackObject
    from gitflowrun.settings import Durability
    writer.DIRECT_FROM = int(sys.argv[1])
    store = PackStore(
        Path(".git/objects"), Path(".git/gitflowrun/incoming"), durability=Durability.SAFE, owner=Owner.family
    )
    seed = 0
    while True:
        seed += 1
        rng = random.Random(f"{os.getpid()} {seed}")
        pack = store.write([PackObject(ObjectType.BLOB, rng.randbytes(400_000)) for _ in range(8)])
        os.write(1, b"".join(b"%s\\n" % oid.hex().encode() for oid in pack.oids))
"""


@pytest.mark.parametrize("direct", [0, 1 << 60])
@pytest.mark.sample(1)
def test_kills_at_random_instants(repo: GitRepo, direct: int) -> None:
    """After `kill -9` at any time git is content, acknowledged objects are there, leftovers can be swept."""
    chance = random.Random(direct)
    acknowledged: list[str] = []
    store = pack_store(repo)
    for _ in range(12):
        writer = WarmPopen(
            [sys.executable, "-c", WRITER, str(direct)],
            cwd=repo.path, stdout=subprocess.PIPE, env=program_environment(),
        )  # fmt: skip
        assert writer.stdout
        acknowledged.append(writer.stdout.readline().decode().strip())
        time.sleep(chance.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().decode().split()
        writer.wait()
        writer.stdout.close()
    repo.fsck()
    complete = [oid for oid in acknowledged if len(oid) == 40]
    reader = PackReader(objects_dir(repo))
    assert all(reader.blob(Oid.from_hex(oid)) for oid in complete)
    names = {path.name for path in store.incoming.iterdir()}
    assert all("~pack-" in name for name in names)
    # The writers' parent, this test, counts as an owner of the keeps and lives.
    store.sweep(0)
    assert list(store.incoming.iterdir()) == []
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()
    assert all(Oid.from_hex(oid) in reader for oid in complete)


@pytest.mark.slow
def test_a_storm_of_gc_takes_nothing(repo: GitRepo) -> None:
    """Writers publish runs while others repack and prune: every published object stays readable."""
    stop = repo.path / "stop"
    commands = "git gc -q --prune=now; git repack -adq; git prune --expire=now; echo round"
    storm = subprocess.Popen(
        ["sh", "-c", f"while [ ! -e '{stop}' ]; do {commands}; done"],
        cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    writers = []
    try:
        for writer in range(2):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    for run in range(15):
                        publish(repo, f"refs/runs/F{writer}/{run}", _payloads(writer, run))
                        time.sleep(0.05)
                    code = 0
                finally:
                    os._exit(code)
            writers.append(pid)
        codes = [os.waitpid(pid, 0)[1] for pid in writers]
    finally:
        stop.touch()
        rounds = storm.communicate()[0]
    assert codes == [0, 0]
    assert rounds.count(b"round") > 2
    reader = PackReader(objects_dir(repo))
    for writer in range(2):
        for run in range(15):
            for data in _payloads(writer, run):
                assert reader.blob(hash_object(ObjectType.BLOB, data)) == data
    repo.fsck()


def _payloads(writer: int, run: int) -> list[bytes]:
    return [noise(3000, writer * 10_000 + run * 10 + number) for number in range(4)]


@pytest.mark.slow
def test_a_pack_beyond_4_gib(tmp_path: Path) -> None:
    """Offsets beyond 2 and 4 GiB: git verifies the pack, and both of us read its last object."""
    repo = make_repo(tmp_path / "huge")
    store = pack_store(repo, Durability.FAST)
    data = memoryview(noise(64 << 20))
    step = 4093
    objects = [blob(data[step * number : step * number + (60 << 20)]) for number in range(76)]
    pack = store.write([*objects, blob(b"the last one")])
    assert pack.size > 4 << 30
    repo.git("verify-pack", str(store.pack_dir / f"{pack.name}.idx"))
    reader = PackReader(objects_dir(repo))
    assert reader.blob(pack.oids[-1]) == b"the last one"
    assert reader.blob(pack.oids[-2]) == objects[-1].data
    assert repo.git("cat-file", "blob", str(pack.oids[-1])) == "the last one"
    target = bytearray(60 << 20)
    reader.read_into(pack.oids[40], memoryview(target))
    assert target == bytes(objects[40].data)
