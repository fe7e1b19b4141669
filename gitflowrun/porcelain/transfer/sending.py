"""The tags that pushes of ours are just sending: files in `.git/gitflowrun/sending/`, one for each push.

A remote has a tag, or has it no longer, a moment before our copies of its refs say so. Whoever merges tags in between,
or after a push that was killed there, would take what we sent for what somebody else did: a tag that was removed here
meanwhile would come back, one that was made again would go.

1. The push locks a file of its own and writes into it what it is about to send.
2. It sends that, and notes in the copies what the remote took.
3. It removes the file. One that is there and not locked is of a push that died, or failed in 2.

Whoever looks at the remote reads the files afterwards: what they say and the remote shows was sent, and is noted then.
What they say and it does not show was not sent yet, or never, and counts for nothing; so the files of those who were
dead before the look may go.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import Oid
from gitflowrun.git.permissions import not_writable, read_file
from gitflowrun.limits import MAX_SENDING
from gitflowrun.runs.locks import FileLock, LockState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gitflowrun.git.refs import RefUpdate

_NONE = "-"


class Sending:
    """What is being sent to one remote.

    Args:
        state_dir: `gitflowrun/` in the common git directory.
        label: What the copies of the remote's refs lie under.
    """

    def __init__(self, state_dir: Path, label: str) -> None:
        self._directory = state_dir / "sending"
        self._start = f"{label}-"

    @contextlib.contextmanager
    def of(self, changes: Sequence[RefUpdate]) -> Iterator[None]:
        """Have it noted while changes are sent, and until the copies say so.

        Raises:
            RepositoryError: the file can't be written; nothing was sent.
        """
        if not changes:
            yield
            return
        lock = FileLock(self._directory / f"{self._start}{os.getpid()}-{os.urandom(4).hex()}")
        lock.try_acquire()  # 1
        try:
            self._write(lock.path, changes)
            yield  # 2
        except BaseException:
            lock.release()  # what the remote took is not known, or not noted
            raise
        lock.release(remove=True)  # 3

    def _write(self, path: Path, changes: Sequence[RefUpdate]) -> None:
        text = "".join(f"{change.new or _NONE} {change.name}\n" for change in changes)
        try:
            with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(os.fsencode(text))
        except OSError as error:
            raise not_writable(path, f"cannot write {path}", error) from error

    def read(self) -> dict[str, set[Oid | None]]:
        """The refs that were about to be changed, and to what; None where they were to go."""
        found: dict[str, set[Oid | None]] = {}
        for path in self._files():
            with contextlib.suppress(GitflowrunError):
                data = read_file(path, "tags that are being sent", limit=MAX_SENDING) or b""
                for line in os.fsdecode(data).split("\n")[:-1]:
                    new, _, name = line.partition(" ")
                    with contextlib.suppress(ValueError):  # the first line says who writes it
                        oid = None if new == _NONE else Oid.from_hex(new)
                        if name:
                            found.setdefault(name, set()).add(oid)
        return found

    def of_the_dead(self) -> list[Path]:
        """The files of pushes that died or failed."""
        return [path for path in self._files() if FileLock(path).state() is LockState.FREE]

    def forget(self, files: Iterable[Path]) -> None:
        """Remove files of pushes that died."""
        for path in files:
            with contextlib.suppress(OSError):
                path.unlink()

    def _files(self) -> list[Path]:
        try:
            names = os.listdir(self._directory)  # noqa: PTH208  (names alone)
        except OSError:
            return []
        return [self._directory / name for name in names if name.startswith(self._start)]
