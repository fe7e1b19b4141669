"""What the user vouched for: the sealed lines of `gitflowrun-trusted`, beside the key of the clone.

    1000 5d0c... ["url", "https://example.org/team.git", 1764333000, "", ""]
    1000 77ab... ["commit", "<commit>", 1764333007, "https://example.org/team.git", "<uid of the run>"]

Each line is one entry of one user: the user's id, a keyed hash of what follows, and that. So nothing counts that a
program without the key has written: the repository's configuration, refs, another user of a shared repository. A line
that is not as it was sealed is passed over and told. The file is replaced as a whole, under a lock, and durable before
anything is said of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from enum import Enum
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.permissions import hint_of, read_file, replace_file
from gitflowrun.limits import MAX_VOUCHED
from gitflowrun.runs.locks import Locks
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.clone_key import CloneKey

_NAME = "gitflowrun-trusted"
_WHAT = "what you trust"


class VouchedKind(Enum):
    """What the user vouches for."""

    URL = "url"
    """Where a remote is, as `Remote.place` says it: all that `git runs fetch` takes from there."""
    COMMIT = "commit"
    """A run as it was at a commit, with all its earlier states."""
    SIGNER = "signer"
    """A key, by its fingerprint: all runs that end with a good signature by it."""


@frozen
class Vouched:
    """One thing that the user vouched for.

    Attributes:
        kind: What it is.
        value: The URL, the commit or the fingerprint.
        since: When that was said, in whole seconds since 1970.
        source: The URL that a commit was fetched from; empty for what the user named.
        run: The uid of the run that a commit is a state of.
        name: Whose key it was said to be, for people.
    """

    kind: VouchedKind
    value: str
    since: int
    source: str = ""
    run: str = ""
    name: str = ""

    @classmethod
    def now(
        cls, kind: VouchedKind, value: str, source: str = "", run: str = "", name: str = ""
    ) -> Vouched:
        """Something that is being said now."""
        return cls(kind, value, int(time.time()), source, run, name)

    @property
    def what(self) -> tuple[VouchedKind, str, str]:
        """What is said, whenever it was."""
        return self.kind, self.value, self.source


def vouches_for_any(repo: Repository) -> bool:
    """Whether the user of a repository may have vouched for something."""
    return os.path.lexists(repo.common_dir / _NAME)


class VouchedFile:
    """All that the user of a repository vouched for.

    Args:
        repo: The repository.
        key: Seals what is written and checks what is read.
    """

    def __init__(self, repo: Repository, key: CloneKey) -> None:
        self._repo = repo
        self._key = key
        self._path = repo.common_dir / _NAME
        self._user = str(os.geteuid())

    @property
    def stamp(self) -> tuple[int, ...]:
        """Another one whenever the file is another one."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> tuple[list[Vouched], int]:
        """What is vouched for, and how many lines of this user's are damaged.

        Raises:
            RepositoryError: the file can't be read, or is none.
        """
        entries, damaged = [], 0
        for line in self._lines():
            user, _, rest = line.partition(" ")
            if user == self._user and (entry := self._entry(rest)):
                entries.append(entry)
            elif user == self._user or not user.isdecimal():
                damaged += 1
        return entries, damaged

    def add(self, entries: Iterable[Vouched]) -> None:
        """Vouch for more; what is there already stays as it is.

        Raises:
            RepositoryError: the file can't be read or written, or no key can be kept here.
        """
        wanted = {entry.what: entry for entry in entries}
        with Locks(self._repo.state_dir).trust():
            reached("trust.locked")
            for known in self.read()[0]:
                wanted.pop(known.what, None)
            if wanted:
                self._write([*self._lines(), *map(self._line, wanted.values())])

    def remove(self, is_over: Callable[[Vouched], bool]) -> list[Vouched]:
        """Vouch no longer for some entries, which are returned. Raises as `add`."""
        removed, kept = [], []
        with Locks(self._repo.state_dir).trust():
            reached("trust.locked")
            for line in self._lines():
                user, _, rest = line.partition(" ")
                entry = self._entry(rest) if user == self._user else None
                if entry and is_over(entry):
                    removed.append(entry)
                else:
                    kept.append(line)
            if removed:
                self._write(kept)
        return removed

    def _lines(self) -> list[str]:
        data = read_file(self._path, _WHAT, limit=MAX_VOUCHED) or b""
        return [line for line in data.decode(errors="replace").split("\n") if line]

    def _entry(self, rest: str) -> Vouched | None:
        """What a line says behind the user; None where it is not what was sealed."""
        seal, _, content = rest.partition(" ")
        if not self._key.has_sealed(content.encode(errors="replace"), seal):
            return None
        import json  # a run is made and read without it

        with contextlib.suppress(ValueError, TypeError):  # sealed by a release that knows more
            kind, *fields = json.loads(content)
            return Vouched(VouchedKind(kind), *fields)
        return None

    def _line(self, entry: Vouched) -> str:
        import json

        fields: list[Any] = [entry.value, entry.since, entry.source, entry.run, entry.name]
        content = json.dumps([entry.kind.value, *fields])
        return f"{self._user} {self._key.seal(content.encode())} {content}"

    def _write(self, lines: Iterable[str]) -> None:
        from gitflowrun.git.pack.writer import sync_directory

        content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        try:
            for left in self._path.parent.glob(
                f"{_NAME}.*"
            ):  # by a process that was killed: we hold the lock
                left.unlink(missing_ok=True)
            replace_file(self._path, content, self._repo.shared_mode)
            sync_directory(self._path.parent)
        except OSError as error:
            raise RepositoryError(
                f"can't write {self._path}, {_WHAT}: {error.strerror}",
                hint=hint_of(error, f"you need to be able to write into {self._path.parent}"),
            ) from error
