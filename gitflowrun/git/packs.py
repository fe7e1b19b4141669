"""The one writer of objects: a batch of objects becomes one published, kept pack. Reading is `packfile`'s.

Publishing protocol. At every instant a crash leaves a repository that git finds whole, and nothing that a
concurrent `git gc --prune=now`, `git repack -ad` or `git prune` may take:

1. The pack and then its index are written to temporary files in `incoming/`, never below `objects/`, where
   git prunes what it does not know.
2. Both are fsynced (`durability = safe`).
3. `pack-<name>.keep` is created beside the pack's future place: git leaves packs with a `.keep` alone. It
   names its owner, so that a crashed one's can be told.
4. The pack is renamed into `objects/pack/`, then its index: git sees a pack once it sees its index.
5. The directory is fsynced (`safe`).
6. The caller publishes a ref that reaches the objects.
7. `release` removes the `.keep`.

A pack's name is random, not its checksum: two processes that write the same objects must not share one
`.keep`, or the first to release would expose the other's unpublished pack.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import Owner, State
from gitflowrun.git.packindex import index_bytes
from gitflowrun.git.packwriter import PackObject, identify, write_pack
from gitflowrun.settings import Durability

__all__ = ["PackObject", "PackStore", "WrittenPack"]

_KEEP_WORD = "gitflowrun"
_DAY = 86_400.0
GRACE = 3_600.0
"""Seconds for which a dead owner's files are left alone: the scheduler may be about to publish them."""
FOREIGN_GRACE = 7 * _DAY
"""The same for owners on other hosts, whose processes can't be asked."""


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A published pack that is still kept.

    Attributes:
        name: `pack-<40 hexadecimal digits>`; what `release` takes.
        oids: The ids of the objects, in the order in which they were given.
        size: Bytes of the pack.
    """

    name: str
    oids: tuple[Oid, ...]
    size: int


class PackStore:
    """Writes packs into an object directory. Safe to use from several processes, also after a fork.

    Args:
        objects_dir: The repository's object directory (of the common git directory).
        incoming: Directory for temporary files, made when needed; on the same file system.
        durability: `SAFE` fsyncs before anything becomes visible, `FAST` does not.
    """

    def __init__(self, objects_dir: Path, incoming: Path, *, durability: Durability) -> None:
        self.pack_dir = objects_dir / "pack"
        self.incoming = incoming
        self._sync = durability is Durability.SAFE

    def write(self, objects: Sequence[PackObject]) -> WrittenPack:
        """Write and publish one pack (steps 1 to 5); equal objects are written once.

        Raises:
            ValueError: there are no objects.
            RepositoryError: the pack can't be written; nothing was published and nothing is left behind.
        """
        if not objects:
            msg = "a pack holds at least one object"
            raise ValueError(msg)
        known = identify(objects)
        distinct = list({item.oid: item for item in known}.values())
        name = f"pack-{secrets.token_hex(20)}"
        temporary = self.incoming / f"{Owner.current().processes[0][0]}-{name}"
        pack, index = temporary.with_suffix(".pack"), temporary.with_suffix(".idx")
        keep = self.pack_dir / f"{name}.keep"
        with _cleaned_up(pack, index, keep):
            self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.pack_dir.mkdir(parents=True, exist_ok=True)
            with _Output(pack, self._sync) as output:  # 1, 2
                contents = write_pack(distinct, output)
            with _Output(index, self._sync) as output:
                output.write(index_bytes(contents.entries, contents.trailer))
            keep.write_text(_keep_line(), encoding="utf-8")  # 3
            os.rename(pack, self.pack_dir / f"{name}.pack")  # 4
            os.rename(index, self.pack_dir / f"{name}.idx")
            if self._sync:
                _sync_directory(self.pack_dir)  # 5
        oids = tuple(item.oid for item in known if item.oid is not None)
        return WrittenPack(name, oids, contents.size)

    def release(self, names: Iterable[str]) -> None:
        """Let git manage the packs from now on (step 7): a published ref reaches their objects."""
        for name in names:
            with _explained(self.pack_dir / f"{name}.keep"):
                (self.pack_dir / f"{name}.keep").unlink(missing_ok=True)

    def stale_keeps(self, grace: float = GRACE) -> list[str]:
        """The names of packs kept by owners that died more than `grace` seconds ago without publishing."""
        names = []
        for keep in self.pack_dir.glob("pack-*.keep"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                line = keep.read_text(encoding="utf-8")
                if line.startswith(_KEEP_WORD) and _is_stale(Owner.decode(line), keep, grace):
                    names.append(keep.stem)
        return sorted(names)

    def sweep(self, grace: float = GRACE) -> list[Path]:
        """Remove what dead owners left: their temporary files and `.keep`s. Returns what was removed."""
        stale = [self.pack_dir / f"{name}.keep" for name in self.stale_keeps(grace)]
        now = time.time()
        for path in _files(self.incoming):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > grace:
                    stale.append(path)
        for path in stale:
            path.unlink(missing_ok=True)
        return stale


def _keep_line() -> str:
    return f"{_KEEP_WORD} {Owner.current().encode()} time={time.time():.0f}\n"


def _is_stale(owner: Owner | None, path: Path, grace: float) -> bool:
    age = time.time() - path.stat().st_mtime
    state = owner.state() if owner else State.UNKNOWN
    if state is State.UNKNOWN:
        return age > max(grace, FOREIGN_GRACE)
    return state is State.GONE or (state is State.DEAD and age > grace)


def _files(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from directory.iterdir()


class _Output:
    def __init__(self, path: Path, sync: bool) -> None:
        self.path = path
        self.sync = sync
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None and self.sync:
                os.fsync(self.fd)
        finally:
            os.close(self.fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _cleaned_up(pack: Path, index: Path, keep: Path) -> Iterator[None]:
    """Turn the system's errors into ours and leave nothing of an unpublished pack behind."""
    try:
        with _explained(pack):
            yield
    except BaseException:
        for path in (pack, index, keep):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise RepositoryError(f"cannot write {where}: {error.strerror or error}") from error
