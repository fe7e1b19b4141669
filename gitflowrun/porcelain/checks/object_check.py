"""Objects looked at once: whether they are here and whole, and what lies below a tree.

Trees and records are read and compared with their ids. Of blobs it is seen that a pack or a file here holds them, and
has their size; they are read where that is asked for. What was found whole is remembered, as far as the memory that is
set aside for it goes: the code of a thousand runs is looked at once. Nothing is fetched for that: in a partial clone an
object may be left out, if a tree that came from the remote lists it, or if it belongs to the code. Where content is
to be read, it is fetched.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, MissingObject
from gitflowrun.git.objects import Mode
from gitflowrun.limits import FSCK_FAULTS, FSCK_REMEMBERED, MAX_CHUNK, RECORD_SIZE
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from gitflowrun.git.objects import Commit, Oid, TreeEntry
    from gitflowrun.git.repository import Repository


@frozen
class ObjectFault:
    """What is wrong with an object.

    Attributes:
        oid: The object.
        path: Where it is found below the tree that was looked at; empty for that tree itself.
        why: What is wrong, in one line.
        is_missing: Whether there is no copy of it at all.
    """

    oid: Oid
    path: str
    why: str
    is_missing: bool


class Remembered:
    """What was seen lately: at least the last `FSCK_REMEMBERED` things, and at most twice as many."""

    def __init__(self) -> None:
        self._new: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def __contains__(self, thing: Hashable) -> bool:
        return thing in self._new or thing in self._old

    def add(self, things: Iterable[Hashable]) -> None:
        """Remember these."""
        self._new.update(things)
        if len(self._new) >= FSCK_REMEMBERED:
            self._new, self._old = set(), self._new


class ObjectCheck:
    """Looks at the objects of a repository.

    Args:
        repo: The repository.
        read_data: Whether blobs are read, and not only looked for.

    Attributes:
        left_out: How many objects a partial or shallow clone was met without.
        sound: What was found whole.
    """

    def __init__(self, repo: Repository, *, read_data: bool) -> None:
        self.left_out = 0
        self.sound = Remembered()
        self._objects = repo.objects
        self._read_data = read_data
        self._may_lack = not read_data and repo.is_partial
        self._broken: dict[Oid, tuple[ObjectFault, ...]] = {}

    def commit(self, oid: Oid) -> Commit:
        """A commit. Raises MissingObject, or CorruptRecord where it is damaged, or no commit."""
        self._must_be_here(oid)
        return self._objects.commit(oid)

    def rows(self, oid: Oid, listed_by: Oid, *, code: bool = False) -> list[TreeEntry] | None:
        """The rows of a tree; None where the clone was made without it.

        Args:
            oid: The tree.
            listed_by: The tree or commit that names it.
            code: Whether it belongs to the code of a run.

        Raises:
            MissingObject: it is not here.
            CorruptRecord: it is damaged, or no tree.
        """
        return None if self._is_left_out(oid, listed_by, code=code) else self._objects.tree(oid)

    def record(self, oid: Oid, listed_by: Oid, limit: int = RECORD_SIZE) -> bytes | None:
        """The content of a blob of up to `limit` bytes. Otherwise as `rows`."""
        return None if self._is_left_out(oid, listed_by) else self._objects.blob(oid, limit)

    def is_here(self, oid: Oid) -> bool:
        """Whether there is a copy of an object, whatever state it is in."""
        with contextlib.suppress(CorruptRecord):
            return self._objects.stored_size(oid) is not None
        return True

    def size_fault(self, oid: Oid, listed_by: Oid, size: int) -> str:
        """What is wrong with the size of a blob, which must be `size` bytes; empty where nothing is.

        Raises as `rows`.
        """
        if self._is_left_out(oid, listed_by):
            return ""
        found = self._objects.size(oid)
        return "" if found == size else f"its chunk has {found:,} bytes, not {size:,}"

    def blob(self, oid: Oid) -> None:
        """Look at a blob that was made here, and read it if that is asked for.

        Raises:
            MissingObject: it is not here.
            CorruptRecord: it is damaged, or no blob.
        """
        self._must_be_here(oid)
        size = self._objects.size(oid)
        if not self._read_data:
            return
        if size <= MAX_CHUNK:
            self._objects.blob(oid, MAX_CHUNK)
            return
        for _ in self._objects.pieces(oid):
            pass

    def _listed_blob(self, oid: Oid, listed_by: Oid, *, code: bool) -> None:
        """Look at a blob of a tree. Raises as `rows`."""
        if not self._is_left_out(oid, listed_by, code=code):
            self.blob(oid)

    def below(self, root: Oid, listed_by: Oid, *, code: bool = False) -> tuple[ObjectFault, ...]:
        """What is wrong with a tree and all that lies below it; nothing where it was found whole before.

        Args:
            root: The tree.
            listed_by: The tree or commit that names it.
            code: Whether it belongs to the code of a run.
        """
        if root in self.sound:
            return ()
        if root in self._broken:
            return self._broken[root]
        faults: list[ObjectFault] = []
        waiting, seen = [(root, "", listed_by)], {root}
        while waiting and len(faults) < FSCK_FAULTS:
            oid, path, named_by = waiting.pop()
            try:
                rows = self.rows(oid, named_by, code=code) or []
            except (MissingObject, CorruptRecord) as error:
                faults.append(object_fault(oid, path, error))
                continue
            for row in rows:
                if row.mode == Mode.GITLINK or row.oid in seen or row.oid in self.sound:
                    continue
                seen.add(row.oid)
                at = f"{path}/{row.name.decode(errors='replace')}".lstrip("/")
                if row.is_tree:
                    waiting.append((row.oid, at, oid))
                    continue
                try:
                    self._listed_blob(row.oid, oid, code=code)
                except (MissingObject, CorruptRecord) as error:
                    faults.append(object_fault(row.oid, at, error))
        if not faults:
            self.sound.add(seen)
        else:
            self._broken[root] = tuple(faults)
        return tuple(faults)

    def _must_be_here(self, oid: Oid) -> None:
        """Keep git from fetching what it would miss."""
        if self._may_lack and not self.is_here(oid):
            raise MissingObject(f"object {oid} is missing")

    def _is_left_out(self, oid: Oid, listed_by: Oid, *, code: bool = False) -> bool:
        if not self._may_lack or self.is_here(oid):
            return False
        home = self._objects.home(listed_by)
        if not code and (home is None or not home.with_suffix(".promisor").exists()):
            raise MissingObject(f"object {oid} is missing")
        self.left_out += 1
        return True


def object_fault(oid: Oid, path: str, error: MissingObject | CorruptRecord) -> ObjectFault:
    """The fault of an object that can't be read."""
    return ObjectFault(oid, path, error.message, isinstance(error, MissingObject))
