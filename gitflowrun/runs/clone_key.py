"""The key of a clone: the MAC in each commit made here, and the seals of what the user vouched for, are made with it.

It lies beside the disposable state, in `gitflowrun-key-<user id>` of the common git directory: so deleting
`.git/gitflowrun/` loses no trust in one's own runs, linked worktrees share it, and clone, fetch and push never send
it. Each user of a shared repository has their own. It is made once, by the first run, appears whole, and is taken
only from a regular file that is this user's alone: whoever can read it can make runs that count as made here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from _operator import _compare_digest
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import not_writable, read_private, write_new
from gitflowrun.runs.commit_message import MAC_TRAILER
from gitflowrun.values import replace

# `hashlib` and `secrets` load OpenSSL and `random`, which takes 5 ms of each command.
try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.objects import Commit
    from gitflowrun.git.repository import Repository

_SIZE = 32
_DIGITS = 16
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_WHAT = "by which this clone knows its own runs"


class CloneKey:
    """The key of this user in a repository.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._path = repo.common_dir / f"gitflowrun-key-{os.geteuid()}"
        self._known: bytes | None = None

    @property
    def exists(self) -> bool:
        """Whether it was made, by whatever process."""
        return self._known is not None or os.path.lexists(self._path)

    def mac(self, commit: Commit) -> str:
        """The MAC of a commit that is about to be made here, and has none yet; empty where no key can be kept."""
        key = self._key or self._make()
        return _keyed(key, b"gitflowrun mac", commit.encode()) if key else ""

    def has_made(self, commit: Commit, mac: str) -> bool:
        """Whether a MAC is that of a commit in whose message it stands, which then was made here."""
        key = self._key
        if not key:
            return False
        line = f"{MAC_TRAILER}: {mac}\n".encode(errors="replace")
        if not commit.message.endswith(b"\n" + line):
            return False
        rest = replace(commit, message=commit.message.removesuffix(line))
        expected = _keyed(key, b"gitflowrun mac", rest.encode())
        return _compare_digest(mac.encode(errors="replace"), expected.encode())

    def seal(self, content: bytes) -> str:
        """The seal of something that the user says.

        Raises:
            RepositoryError: no key can be kept here.
        """
        key = self._key or self._make()
        if not key:
            raise RepositoryError(
                f"{self._path}, {_WHAT}, can't be made",
                hint="it needs a directory that you may write to",
            )
        return _keyed(key, b"gitflowrun seal", content)

    def has_sealed(self, content: bytes, seal: str) -> bool:
        """Whether a seal is that of a content."""
        key = self._key
        if not key:
            return False
        expected = _keyed(key, b"gitflowrun seal", content)
        return _compare_digest(seal.encode(errors="replace"), expected.encode())

    def derived(self, purpose: bytes) -> bytes | None:
        """Another key for something else, which only this key's owner can make; None where no key can be kept.

        Args:
            purpose: What it is for: at most 16 bytes, which nothing else uses.
        """
        key = self._key or self._make()
        return blake2b(key=key, digest_size=_SIZE, person=purpose).digest() if key else None

    @property
    def _key(self) -> bytes | None:
        """The key; None where there is none yet.

        Raises:
            RepositoryError: it is there and can't be used. Going on without it, or with another one, would make one's
                own runs a stranger's.
        """
        if self._known is not None:
            return self._known
        key = read_private(self._path, _WHAT, limit=_SIZE)
        if key is not None and len(key) != _SIZE:
            raise RepositoryError(
                f"{self._path}, {_WHAT}, is damaged: it has {len(key)} bytes, not {_SIZE}",
                hint="put it back from a backup; or remove it, and `git runs trust` what you made before",
            )
        self._known = key
        return key

    def _make(self) -> bytes | None:
        """Make the key, unless another process is faster: then that one is used. It appears whole and stays.

        Returns:
            None where this user may not make it.

        Raises:
            RepositoryError: the disk is full, or has failed.
        """
        from gitflowrun.git.pack.writer import sync_directory  # once in the life of a clone

        path = self._path
        temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
        try:
            write_new(temporary, os.urandom(_SIZE))
            reached("key.written")
            with contextlib.suppress(FileExistsError):
                _appear(temporary, path)
                reached("key.made")
                sync_directory(path.parent)  # or a power cut could take the key of runs that stay
        except OSError as error:
            if error.errno in _NOT_ALLOWED:
                return None
            # A run without it would be recorded, and count as a stranger's for ever.
            raise not_writable(path, f"can't make {path}, {_WHAT}", error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return self._key


def _appear(temporary: Path, path: Path) -> None:
    """Give a file its name, unless that is taken.

    Raises:
        FileExistsError: it is.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # FAT and its like have no links: there two first runs of a clone at once are not told apart.
        if os.path.lexists(path):
            raise FileExistsError from None
        temporary.rename(path)


def _keyed(key: bytes, purpose: bytes, content: bytes) -> str:
    return blake2b(content, key=key, digest_size=_DIGITS, person=purpose).hexdigest()
