"""Publishes objects: each batch becomes one pack of the repository, kept until a ref reaches what is in it.

The publishing protocol. At every instant a crash leaves a repository that git finds whole, and nothing that a
concurrent `git gc --prune=now`, `git repack -ad` or `git prune` may take:

1. The pack and then its index are written to temporary files in `incoming/`, never below `objects/`, where
   git prunes files of other names.
2. Both are fsynced (`durability = safe`).
3. `pack-<name>.keep` is renamed to beside the pack's future place: git leaves packs with a `.keep` alone. It
   names its owner, so that a crashed one's can be told; it never appears half written.
4. The pack is renamed into `objects/pack/`, then its index: git sees a pack once it sees its index.
5. The directory is fsynced (`safe`).
6. The caller publishes a ref that reaches the objects.
7. `release` removes the `.keep`.

From step 4 on the pack is not taken back, whatever fails: a repack that sees it kept leaves out of its own
pack what this one holds, and deletes the pack that held it before.

A pack's name is random, not its checksum: two processes that write the same objects must not share one
`.keep`, or the first to release would expose the other's unpublished pack.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from contextlib import closing
from typing import TYPE_CHECKING

from gitflowrun.errors import SYSTEM_LIMITS, CorruptRecord, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.owner import Owner, State
from gitflowrun.git.pack.index import PackIndex, index_bytes
from gitflowrun.git.pack.writer import (
    Output,
    PackContents,
    sync_directory,
    sync_file,
    total_size,
    write_pack,
)
from gitflowrun.git.permissions import (
    STAND_IN,
    allow,
    make_directory,
    not_writable,
    read_file,
    share_file,
)
from gitflowrun.limits import FOREIGN_KEEP_GRACE, KEEP_GRACE, MAX_PACK_NAMES, WRITE_TRIES
from gitflowrun.settings import Durability
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.writer import PackObject

_KEEP_WORD = "gitflowrun"
_SUFFIXES = (".promisor", ".pack", ".rev", ".idx")
"""Of the files that git may have for a pack, in the order in which they appear."""
_NEEDED = frozenset({".pack", ".idx"})
"""Those that each pack has: an index alone would have objects taken for stored."""
_NAME = re.compile(r"pack-[0-9a-f]{40}")
_REPLACED = "replaced"  # the packs that the owner of a temporary directory was about to delete
_HINTS = {
    errno.ENOSPC: "free some space and try again; nothing was published",
    errno.EDQUOT: "your disk quota is used up; nothing was published",
    errno.EFBIG: "the file size limit (`ulimit -f`) is too low; nothing was published",
    errno.EACCES: "the repository's object directory must be writable",
    errno.EPERM: "the repository's object directory must be writable",
    errno.EXDEV: "`objects/pack` is a mount of its own; mount the whole object directory instead",
    errno.ENOENT: "the repository was moved or deleted; what is finished can be resumed where it is now",
    errno.EROFS: "the repository is on a read-only file system",
    errno.ENOMEM: SYSTEM_LIMITS,
    errno.EIO: "the disk reports errors; check it before anything else",
}


@frozen
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
    """Writes packs into an object directory. Processes and forked children may share one.

    Args:
        objects_dir: The object directory of the common git directory.
        incoming: Directory for temporary files, made when needed.
        durability: `SAFE` fsyncs before anything becomes visible, `FAST` does not.
        shared: The permissions of a shared repository's directories; None where it is not shared.
        owner: Who must be dead for a pack to be released by others: this process, unless its parent publishes it.
    """

    def __init__(
        self,
        objects_dir: Path,
        incoming: Path,
        *,
        durability: Durability,
        shared: int | None = None,
        owner: Callable[[], Owner] = Owner.process,
    ) -> None:
        self._owner = owner
        self.pack_dir = objects_dir / "pack"
        self.incoming = incoming
        self._stand_in = objects_dir / STAND_IN
        self._shared = shared
        self._sync = durability is Durability.SAFE
        self._is_mounted = False  # the object directory, on its own, from the same file system

    def write(self, objects: Sequence[PackObject]) -> WrittenPack:
        """Write and publish one pack (steps 1 to 5); equal objects are written once.

        Raises:
            ValueError: there are no objects.
            RepositoryError: the pack can't be written. Nothing is left behind, but for a pack that was
                complete when its directory could not be fsynced: that one is git's to drop.
        """
        if not objects:
            msg = "a pack holds at least one object"
            raise ValueError(msg)
        for _ in range(WRITE_TRIES - 1):
            try:
                return self._write(objects)
            except RepositoryError as error:
                if not self._can_try_again(error.__cause__):
                    raise
        return self._write(objects)

    def _can_try_again(self, cause: BaseException | None) -> bool:
        if isinstance(cause, OSError) and cause.errno == errno.EXDEV and not self._is_mounted:
            self._is_mounted = True
            return True
        # `.git/gitflowrun` may be deleted at any time, and `incoming/` with it.
        return isinstance(cause, FileNotFoundError)

    def release(self, names: Iterable[str]) -> None:
        """Leave packs to git from now on (step 7): a published ref reaches what is in them."""
        for name in names:
            keep = self.pack_dir / f"{name}.keep"
            with explained(keep):
                keep.unlink(missing_ok=True)
                reached("publish.released")

    def publish(self, written: Path, name: str, *, durable: bool = True) -> None:
        """Publish a pack that git has written (steps 2 to 5).

        Args:
            written: The pack, without suffix, in a `temporary_directory`.
            name: The name that it gets; what `release` takes.
            durable: Whether it is fsynced whatever `runs.durability` says; otherwise as that says.

        Raises:
            RepositoryError: it can't be published.
        """
        final = self.pack_dir / name
        try:
            with explained(final):
                for _, path in files_of(written) if durable or self._sync else ():
                    sync_file(path)
            self._show(written, final)
            with explained(self.pack_dir):
                if durable:
                    sync_directory(self.pack_dir)
        except BaseException:
            _take_back(written, final)
            raise

    def temporary_directory(self, name: str, replaced: Iterable[str] = ()) -> Path:
        """Make a directory for the files of a pack that git writes.

        If we are killed, `sweep` removes it, and of the packs named here those files that have lost their
        index, or have not got it yet: git can't see them, and never removes them.

        Args:
            name: The name that the pack is going to have.
            replaced: Packs that are going to be deleted for it. Only those whose names are random: under
                a name that is a checksum another process may be writing the same pack again.

        Raises:
            RepositoryError: it can't be made.
        """
        with explained(self.incoming):
            place = self._temporary(name)
            place.mkdir(mode=0o700)
            (place / _REPLACED).write_text("".join(f"{other}\n" for other in replaced))
        return place

    def receiving_directory(self) -> Path:
        """Make an object directory for git to receive packs in, which `adopt` takes; if we are killed, `sweep` does.

        Raises:
            RepositoryError: it can't be made.
        """
        # Not in `incoming/`, which may be deleted at any time.
        with explained(self._stand_in):
            make_directory(self._stand_in)
            place = self._stand_in / f"{Owner.process().encode()}~pack-{os.urandom(20).hex()}"
            place.mkdir(mode=0o700)
        return place

    def adopt(self, place: Path) -> list[str]:
        """Publish the packs that git has received in a directory, durable as they are; their names, for `release`.

        Raises:
            RepositoryError: one can't be published. What was published of others stays, and is git's.
        """
        names: list[str] = []
        for index in _listed(place / "pack", "pack-*.idx"):
            names.append(f"pack-{os.urandom(20).hex()}")
            temporary, final = index.with_suffix(""), self.pack_dir / names[-1]
            try:
                self._show(temporary, final)
            except BaseException:
                _take_back(temporary, final)
                self.release(names)
                raise
        if self._sync and not names:  # for what a fetch that was killed has brought
            sync_directory(self.pack_dir)
        return names

    def stale_keeps(self, grace: float = KEEP_GRACE) -> list[str]:
        """The names of packs whose owners died without releasing them.

        Args:
            grace: Seconds that must have passed since an owner of this boot wrote the pack.
        """
        keeps = _listed(self.pack_dir, "pack-*.keep")
        return sorted(
            keep.stem for keep in keeps if _is_stale(keep, _keeper(keep), grace) or _was_cut(keep)
        )

    def kept_by_us(self) -> dict[str, int]:
        """The names of packs that processes of ours keep until a ref reaches what is in them, and the processes."""
        keepers = {keep.stem: _keeper(keep) for keep in _listed(self.pack_dir, "pack-*.keep")}
        return {name: owner.processes[0][0] for name, owner in keepers.items() if owner}

    def held(self, name: str, oids: Collection[bytes]) -> int:
        """How many of some objects a pack has; none where it is gone."""
        with contextlib.suppress(FileNotFoundError, CorruptRecord):
            index = (self.pack_dir / f"{name}.idx").read_bytes()
            return len(PackIndex(index, name).offsets(oids))
        return 0

    def sweep(self, grace: float = KEEP_GRACE) -> list[Path]:
        """Remove what dead owners left: temporary files, `.keep`s, packs without index. Returns them."""
        swept = self.stale(grace)
        for path in swept:
            with explained(path):
                _remove(path)
        return swept

    def stale(self, grace: float = KEEP_GRACE) -> list[Path]:
        """What `sweep` removes."""
        swept = []
        for directory in (self.incoming, self._stand_in):
            for path in _listed(directory, "*~pack-*"):
                text, _, name = path.name.rpartition("~")
                # Nobody takes over a temporary file: no grace for an owner that is dead.
                if (owner := Owner.decode(text)) and _is_stale(path, owner, 0):
                    # Before the temporary files, which tell whose they are.
                    for pack in (name, *_words(path / _REPLACED)):
                        swept += self._without_index(pack) if _NAME.fullmatch(pack) else []
                    swept.append(path)
        for name in self.stale_keeps(grace):
            keep = self.pack_dir / f"{name}.keep"
            if not keep.with_suffix(".idx").exists():
                files = (keep.with_suffix(suffix) for suffix in _SUFFIXES)
                swept += [path for path in files if path.exists()]
            swept.append(keep)
        return swept

    def _without_index(self, name: str) -> list[Path]:
        """The files of a pack of ours that can't be seen, for its index is not in place."""
        if any((self.pack_dir / f"{name}{suffix}").exists() for suffix in (".idx", ".keep")):
            return []
        files = (self.pack_dir / f"{name}{suffix}" for suffix in (".rev", ".pack"))
        return [path for path in files if path.exists()]

    def _write(self, objects: Sequence[PackObject]) -> WrittenPack:
        name = f"pack-{os.urandom(20).hex()}"
        final = self.pack_dir / name
        with explained(self.incoming):
            temporary = self._temporary(name)
        try:
            contents = self._publish(objects, temporary, final)
        except BaseException:
            _take_back(temporary, final)
            raise
        return WrittenPack(name, contents.oids, contents.size)

    def _temporary(self, name: str) -> Path:
        """Where the files of a pack are made: a place from which they can be renamed into `pack_dir`."""
        incoming = self.incoming
        try:
            make_directory(incoming)
        except FileExistsError as error:
            raise not_writable(incoming, f"cannot write {incoming}", error) from error
        self.pack_dir.mkdir(exist_ok=True)
        if self._is_mounted or incoming.stat().st_dev != self.pack_dir.stat().st_dev:
            # Renames stay within a file system; git leaves this name alone.
            make_directory(self._stand_in)
            incoming = self._stand_in
        return incoming / f"{Owner.process().encode()}~{name}"

    def _publish(self, objects: Sequence[PackObject], temporary: Path, final: Path) -> PackContents:
        pack, index = suffixed(temporary, ".pack"), suffixed(temporary, ".idx")
        size = total_size(objects)
        with explained(pack), closing(self._output(pack, size)) as output:  # 1, 2
            contents = write_pack(objects, output)
        entries = index_bytes(contents.entries, contents.trailer)
        with explained(index), closing(self._output(index, 0)) as output:
            output.append(entries)
            reached("publish.written")
            output.finish()
        self._show(temporary, final)
        return contents

    def _show(self, temporary: Path, final: Path) -> None:
        """Steps 3 to 5 with the files of a pack; git sees it once it sees the last one, its index."""
        keep = suffixed(temporary, ".keep")
        with explained(suffixed(final, ".pack")):
            keep.unlink(missing_ok=True)  # who shares the repository may have put a link there
            with keep.open("x", encoding="utf-8") as file:
                file.write(_keep_line(self._owner()))
            share_file(keep, self._shared)
            *others, last = [(path, suffixed(final, it)) for it, path in files_of(temporary)]
            if self._shared:
                for path, _ in (*others, last):
                    allow(path, self._shared & 0o444)
            reached("publish.synced")
            keep.rename(suffixed(final, ".keep"))  # 3
            reached("publish.kept")
            for path, target in others:  # 4
                path.rename(target)
            reached("publish.renamed")
            last[0].rename(last[1])
            reached("publish.visible")
            if self._sync:
                sync_directory(self.pack_dir)  # 5
            reached("publish.durable")

    def _output(self, path: Path, expected: int) -> Output:
        return Output(path, sync=self._sync, expected=expected, readable_as=self.pack_dir)


def suffixed(path: Path, suffix: str) -> Path:
    """One of the files of a pack; unlike `Path.with_suffix` it takes no dot of the name for a suffix."""
    return path.with_name(path.name + suffix)


def files_of(pack: Path) -> list[tuple[str, Path]]:
    """The files of a pack that is to be published, with their suffixes, in the order in which they must appear.

    The pack and its index are among them if they are not there, too: whoever moves them fails then, and publishes no
    index alone. Somebody may be deleting the directory, file by file.
    """
    files = ((suffix, suffixed(pack, suffix)) for suffix in _SUFFIXES)
    return [it for it in files if it[0] in _NEEDED or it[1].exists()]


def _take_back(temporary: Path, final: Path) -> None:
    """Remove what git has not seen of a pack; what protects it goes last.

    A pack whose index is in place stays and is git's from now on. A repack that began while it was kept
    leaves out of its new pack what this one holds, and then deletes the pack that held it before.
    """
    seen = suffixed(final, ".idx").exists()
    hidden = () if seen else _SUFFIXES
    paths = [suffixed(final, suffix) for suffix in (*hidden, ".keep")]
    paths += [suffixed(temporary, suffix) for suffix in (".pack", ".idx", ".keep")]
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _keep_line(owner: Owner) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f"{_KEEP_WORD} {owner.encode()} {now}\n"


def _keeper(keep: Path) -> Owner | None:
    """Who wrote a `.keep`; None when it is not one of ours."""
    word, *text = _words(keep) or [""]
    return Owner.decode(text[0]) if word == _KEEP_WORD and text else None


def _was_cut(keep: Path) -> bool:
    """Whether a `.keep` of ours has lost what it said, as in a power cut; of others', pack names are checksums."""
    try:
        is_old = time.time() - keep.stat().st_mtime > KEEP_GRACE
        if not is_old or keep.read_bytes().strip(b"\0"):
            return False
        index = keep.with_suffix(".idx")
        return PackIndex(index.read_bytes(), str(index)).pack_trailer.hex() not in keep.name
    except (OSError, CorruptRecord):
        return False


def _words(path: Path) -> list[str]:
    """The words in a small file of ours; none where it can't be read."""
    with contextlib.suppress(RepositoryError, ValueError):
        return (
            (read_file(path, "a file about a pack", limit=MAX_PACK_NAMES) or b"").decode().split()
        )
    return []


def _is_stale(path: Path, owner: Owner | None, grace: float) -> bool:
    if owner is None:
        return False
    state = owner.state()
    if state in {State.ALIVE, State.GONE}:
        return state is State.GONE
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return age >= (grace if state is State.DEAD else max(grace, FOREIGN_KEEP_GRACE))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        import shutil  # slow to import, and hardly ever needed

        # A git whose starter was killed may still write there; the next sweep gets the rest.
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _listed(directory: Path, pattern: str) -> list[Path]:
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say which file an error of the system is about, and what can be done."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise RepositoryError(
            f"cannot write {where}: {error.strerror or error}", hint=_HINTS.get(error.errno or 0)
        ) from error
