"""Whether the code that tasks have loaded is that of the run's snapshot.

Tasks name only files that are young enough to differ (`worker.loaded_code`), so mostly nothing is asked of git.
Where a filter or line endings make a file another one than its blob, the blob is compared as git would check it out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType, hash_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository

ANOTHER = "it was edited after the snapshot, and another version of it ran"
UNKNOWN = "it is not in the snapshot, and it ran"


class CodeCheck:
    """Compares files with the snapshot of one run.

    Args:
        repo: The repository.
        tree: The snapshot.
    """

    def __init__(self, repo: Repository, tree: Oid) -> None:
        self._git = repo.git
        self._tree = str(tree)
        self._known: dict[tuple[str, Oid], str | None] = {}

    def differing(self, loaded: Mapping[str, Oid]) -> dict[str, str]:
        """The files that ran otherwise than the snapshot has them, and what is known of each.

        Args:
            loaded: Files from the top of the work tree, and the ids of the contents that ran.
        """
        if not loaded:
            return {}
        try:
            self._ask({item for item in loaded.items() if item not in self._known})
        except RepositoryError:  # the run can't be recorded then, which is said elsewhere
            return {}
        found = {path: self._known[path, oid] for path, oid in sorted(loaded.items())}
        return {path: reason for path, reason in found.items() if reason is not None}

    def _ask(self, new: set[tuple[str, Oid]]) -> None:
        if not new:
            return
        paths = sorted({path for path, _ in new})
        out = self._git.run("ls-tree", "-r", "-z", "--full-tree", self._tree, "--", *paths)
        rows = (row.partition(b"\t") for row in out.split(b"\0") if row)
        recorded = {os.fsdecode(path): row.split()[2].decode() for row, _, path in rows}
        for path, oid in new:
            if path not in recorded:
                self._known[path, oid] = UNKNOWN
            elif recorded[path] == str(oid) or self._is_as_checked_out(path, oid):
                self._known[path, oid] = None
            else:
                self._known[path, oid] = ANOTHER

    def _is_as_checked_out(self, path: str, oid: Oid) -> bool:
        done = self._git.attempt("cat-file", "--filters", f"{self._tree}:{path}")
        return done.code == 0 and hash_object(ObjectType.BLOB, done.out) == oid
