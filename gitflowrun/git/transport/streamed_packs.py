"""Packs that go to or come from another machine in pieces, with git as a child process that nobody waits for.

A pack that arrives is written beside the repository's objects; `git index-pack` then computes the id of each object in
it, so nothing is believed, and the pack is published as one of ours. One that is sent is what `git pack-objects`
writes.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.failpoints import reached
from gitflowrun.git.command import git_message
from gitflowrun.git.pack.publish import explained, suffixed

if TYPE_CHECKING:
    from collections.abc import Iterable
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
        self._size = 0
        self._place = packs.temporary_directory(self.name)
        self._written = self._place / "new"
        with explained(self._place):
            self._file = suffixed(self._written, ".pack").open("wb")

    def write(self, data: bytes) -> None:
        """Add the next bytes. Raises RepositoryError when the disk is full."""
        with explained(self._written):
            self._file.write(data)
        self._size += len(data)

    def index(self, *, alone: bool = False) -> subprocess.Popen[bytes]:
        """Have git look at all of it and make its index. The process ends its standard output when it has.

        Args:
            alone: Whether git sees nothing else. Otherwise it compares objects that are there already with those that
                have come, and gives up where the former are damaged.

        Raises:
            RepositoryError: the disk is full, or git can't be started.
        """
        with explained(self._written):
            self._file.close()
            reached("remote.received")
        return self._git.start(
            "index-pack", str(suffixed(self._written, ".pack")),
            env={"GIT_OBJECT_DIRECTORY": str(self._place)} if alone else None,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes that have been written."""
        return self._size

    def unpack(self, git: Git) -> subprocess.Popen[bytes]:
        """Have git make loose objects of it in another repository, after it has looked at all; else as `index`."""
        with explained(self._written):
            self._file.close()
            reached("remote.received")
        with suffixed(self._written, ".pack").open("rb") as file:
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
            self._packs.publish(self._written, self.name, durable=durable)
            reached("remote.published")
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is not published of it."""
        self._file.close()
        shutil.rmtree(self._place, ignore_errors=True)


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
