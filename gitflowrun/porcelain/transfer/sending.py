"""Merging the tags of this clone with those of a place: one push or fetch at a time, in `.git/gitflowrun/sending/`.

A remote has a tag, or has it no longer, a moment before our copies of its refs say so. Whoever merges tags in between,
or notes then what it saw before, would take what we sent for what somebody else did: a tag that was removed here
meanwhile would come back, one that was made again would go. So whoever merges tags with a place

1. locks `<label>`, and looks at the place again where `<label>.turn` says that somebody merged since it looked;
2. writes into `<label>-removed` which tags it is about to remove there;
3. sends that, and notes in the copies what the place took;
4. removes the file, and gives the lock back.

Whoever finds the file, with the lock, knows that a push died, or failed in 3. Those tags that the place has no longer
leave what is common: one that has been made again here meanwhile is sent, not taken for one that somebody removed
there. Of tags that such a push was to add nothing is noted: what is here and there is common in any case, and one that
is there alone may be somebody else's, so it comes back.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.pack.writer import sync_directory, sync_file
from gitflowrun.git.permissions import (
    make_directory,
    not_writable,
    read_file,
    replace_file,
)
from gitflowrun.limits import (
    MAX_SENDING,
    SENDING_PATIENCE,
    SENDING_PAUSE,
    SENDING_QUIET,
)
from gitflowrun.runs.locks import FileLock, LockState
from gitflowrun.settings import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.git.refs import RefUpdate
    from gitflowrun.git.repository import Repository

_TURN = 100
"""Bytes that are read of whose turn it was; it has fewer."""


class Sending:
    """What merges tags with one place.

    Args:
        repo: The repository.
        label: What the copies of the place's refs lie under.
    """

    def __init__(self, repo: Repository, label: str) -> None:
        self._repo = repo
        self._directory = repo.state_dir / "sending"
        self._lock = self._directory / label
        self._turn = self._directory / f"{label}.turn"
        self._start = f"{label}-"

    def turn(self) -> object:
        """What is equal as long as nobody merges tags; never while somebody does."""
        found = self._read_turn()  # first: who has ended since has written another
        return object() if FileLock(self._lock).state() is LockState.HELD else found

    @contextlib.contextmanager
    def alone(self, title: str, on_wait: Callable[[str], object] | None) -> Iterator[object]:
        """Let nobody else merge tags; gives what `turn` said before.

        Args:
            title: The place's name, for people.
            on_wait: Is told who is waited for, if that takes long.

        Raises:
            RepositoryError: somebody else does for too long, or the files can't be written.
        """
        lock = FileLock(self._lock)
        self._wait(lock, title, on_wait)
        try:
            before = self._read_turn()
            self._write(self._turn, f"{os.urandom(8).hex()}\n")
            yield before
        finally:
            lock.release()

    def _wait(self, lock: FileLock, title: str, on_wait: Callable[[str], object] | None) -> None:
        begun, told = time.monotonic(), False
        while not lock.try_acquire():
            waited = time.monotonic() - begun
            if waited > SENDING_PATIENCE:
                raise RepositoryError(
                    f"another push or fetch of this repository, process {lock.holder()}, has been exchanging tags "
                    f"with {title} for more than {SENDING_PATIENCE:.0f} s",
                    hint=f"wait for it, or end it; if it is stopped, `kill -CONT {lock.holder()}` lets it go on. "
                    "Then do this again",
                )
            if waited > SENDING_QUIET and not told and on_wait:
                told = True
                on_wait(f"waiting for process {lock.holder()}, which exchanges tags with {title}")
            time.sleep(SENDING_PAUSE)

    @contextlib.contextmanager
    def of(self, changes: Sequence[RefUpdate]) -> Iterator[None]:
        """Have it noted which tags are to go there, until the copies say so.

        Raises:
            RepositoryError: the file can't be written; nothing was sent.
        """
        names = [change.name for change in changes if change.new is None]
        if not names:
            yield
            return
        path = self._directory / f"{self._start}removed"
        self._write(path, "".join(f"- {name}\n" for name in names))
        if self._repo.settings.durability is Durability.SAFE:
            try:
                sync_file(path)
                sync_directory(self._directory)
                sync_directory(self._directory.parent)
            except OSError as error:
                raise not_writable(path, f"cannot write {path}", error) from error
        yield
        with contextlib.suppress(OSError):
            path.unlink()

    def left(self) -> list[str]:
        """The tags that pushes were to remove there which died or failed; for who is alone.

        Raises:
            RepositoryError: what is ours can't be read: what we have sent would look like what somebody else did.
        """
        found = []
        for path in self._files():
            try:
                data = read_file(path, "tags that are being sent", limit=MAX_SENDING) or b""
            except GitflowrunError:
                if path.name == f"{self._start}removed":
                    raise
                continue  # nobody's
            lines = os.fsdecode(data).split("\n")[:-1]
            found += [line[2:] for line in lines if line.startswith("- ")]
        return found

    def forget(self) -> None:
        """Remove what such pushes have left."""
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def _files(self) -> list[Path]:
        try:
            names = os.listdir(self._directory)  # noqa: PTH208  (names alone)
        except OSError:
            return []
        return [self._directory / name for name in names if name.startswith(self._start)]

    def _read_turn(self) -> bytes:
        with contextlib.suppress(GitflowrunError):
            return read_file(self._turn, "whose turn it is", limit=_TURN) or b""
        return b""

    def _write(self, path: Path, text: str) -> None:
        try:
            make_directory(self._directory)  # `.git/gitflowrun` may be deleted at any time
            replace_file(path, os.fsencode(text), self._repo.shared_mode)
        except OSError as error:
            raise not_writable(path, f"cannot write {path}", error) from error
