"""Packs that go to or come from another machine in pieces, with git as a child process that nobody waits for.

A pack that arrives is written beside the repository's objects; then the id of each object in it is computed, by us for
the packs of artifacts (`git.pack.indexing`), by `git index-pack` for others, so nothing is believed, and the pack is
published as one of ours. One that is sent is what `git pack-objects`
writes.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.command import git_message
from gitflowrun.git.pack.indexing import index_pack
from gitflowrun.git.pack.indexing_limits import SENT_TO_DISK
from gitflowrun.git.pack.publish import explained, suffixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gitflowrun.git.command import Git
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.publish import PackStore

_PACK_OBJECTS = ("-q", "--stdout", "--window=0", "--delta-base-offset")
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def start_pack(
    git: Git, oids: Iterable[Oid], *, closure: bool = False, have: Iterable[Oid] = ()
) -> subprocess.Popen[bytes]:
    """Start `git pack-objects`, whose standard output is a pack of these objects.

    Args:
        git: Of the repository.
        oids: Which objects.
        closure: Whether all that they lead to is in it, too.
        have: Where `closure` stops: objects whose closure the other side has.

    Raises:
        RepositoryError: git can't be started.
    """
    with tempfile.TemporaryFile() as words:
        words.write(b"".join(b"%s\n" % str(oid).encode() for oid in oids))
        words.write(b"".join(b"^%s\n" % str(oid).encode() for oid in have if closure))
        words.seek(0)
        revs = ("--revs",) if closure else ()
        return git.start("pack-objects", *_PACK_OBJECTS, *revs, stdin=words, stderr=subprocess.PIPE)


class IncomingPack:
    """A pack that arrives in pieces.

    Args:
        git: Of the repository.
        packs: Publishes it.

    Attributes:
        name: The name that it gets; what `PackStore.release` takes.

    Raises:
        RepositoryError: there is no place to write it.
    """

    def __init__(self, git: Git, packs: PackStore) -> None:
        self._git = git
        self._packs = packs
        self.name = f"pack-{os.urandom(20).hex()}"
        self._size = self._sent_to_disk = 0
        self._place = packs.temporary_directory(self.name)
        self._written = self._place / "new"
        with explained(self._place):
            self._file = suffixed(self._written, ".pack").open("wb")

    def write(self, data: bytes) -> None:
        """Add the next bytes. Raises RepositoryError when the disk is full."""
        with explained(self._written):
            self._file.write(data)
        self._size += len(data)
        if self._size - self._sent_to_disk >= SENT_TO_DISK:
            self._file.flush()
            length, start = self._size - self._sent_to_disk, self._sent_to_disk
            # Linux begins to write back what it is told to drop; dirty pages it never drops.
            os.posix_fadvise(self._file.fileno(), start, length, os.POSIX_FADV_DONTNEED)
            self._sent_to_disk = self._size

    def take_in(
        self, digest: Callable[[memoryview], bytes], is_wanted: Callable[[], bool]
    ) -> dict[Oid, tuple[int, bytes]] | None:
        """Look at all of it and publish it, if it is a pack as tasks write them; in any thread.

        Args:
            digest: Computes something more of the content of each blob.
            is_wanted: Whether it is still to be published, when it could be.

        Returns:
            The size of each blob, and what was computed of it. None where git is to index it (`index`).

        Raises:
            CorruptRecord: it is no whole pack.
            RepositoryError: it can't be read or published, or is not wanted any more.
        """
        pack = self._whole()
        try:
            with explained(pack):
                found = index_pack(pack, digest)
                if found is None:
                    return None
                suffixed(self._written, ".idx").write_bytes(found.index)
            _check_wanted(is_wanted)
            self._publish()
        except CorruptRecord as error:
            self.discard()
            raise CorruptRecord(f"a pack that has arrived is damaged: {error.message}") from error
        except BaseException:
            self.discard()
            raise
        self.discard()
        return found.blobs

    def index(self, *, alone: bool = False) -> subprocess.Popen[bytes]:
        """Have git look at all of it and make its index. The process ends its standard output when it has.

        Args:
            alone: Whether git sees nothing else. Otherwise it compares objects that are there already with those that
                have come, and gives up where the former are damaged.

        Raises:
            RepositoryError: the disk is full, or git can't be started.
        """
        return self._git.start(
            "index-pack", str(self._whole()),
            env={"GIT_OBJECT_DIRECTORY": str(self._place)} if alone else None,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes that have been written."""
        return self._size

    def unpack(self, git: Git) -> subprocess.Popen[bytes]:
        """Have git make loose objects of it in another repository, after it has looked at all; else as `index`."""
        with self._whole().open("rb") as file:
            return git.start("unpack-objects", "-q", stdin=file, stderr=subprocess.PIPE)

    def unpacked(self, unpacking: subprocess.Popen[bytes]) -> None:
        """Check that `unpack` has succeeded, once its process has ended. Raises as `publish` does."""
        try:
            _check(unpacking, self._place)
        finally:
            self.discard()

    def publish(self, indexing: subprocess.Popen[bytes], *, durable: bool = True) -> None:
        """Publish the pack, once the process that indexes it has ended.

        Args:
            indexing: That process.
            durable: As in `PackStore.publish`.

        Raises:
            CorruptRecord: git says that it is no whole pack.
            RepositoryError: it can't be published, or the disk is full.
        """
        try:
            _check(indexing, self._place)
            self._publish(durable=durable)
        finally:
            self.discard()

    def _whole(self) -> Path:
        """The file of the pack, of which all has come."""
        with explained(self._written):
            if not self._file.closed:
                self._file.close()
                reached("remote.received")
        return suffixed(self._written, ".pack")

    def _publish(self, *, durable: bool = True) -> None:
        self._packs.publish(self._written, self.name, durable=durable)
        reached("remote.published")

    def discard(self) -> None:
        """Remove what is not published of it."""
        self._file.close()
        shutil.rmtree(self._place, ignore_errors=True)


def _check_wanted(is_wanted: Callable[[], bool]) -> None:
    if not is_wanted():
        raise RepositoryError("a pack that has arrived is not wanted any more")


def _check(process: subprocess.Popen[bytes], place: Path) -> None:
    """Wait for a git that has read a pack.

    Args:
        process: It.
        place: Where it writes.

    Raises:
        CorruptRecord: it does not take the pack.
        RepositoryError: it could not write what it makes of it.
    """
    _, err = process.communicate()
    if not process.returncode:
        return
    text = git_message(os.fsdecode(err))
    for number in _OF_THE_DISK:
        if os.strerror(number) in text:
            with explained(place):
                raise OSError(number, os.strerror(number))
    raise CorruptRecord(f"git can't take a pack that has arrived: {text}")
