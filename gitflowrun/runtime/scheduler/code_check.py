"""Whether the code that tasks have loaded is that of the run's snapshot, and what a worker's tasks lack of it.

Tasks name only files that are young enough to differ (`worker.loaded_code`), so mostly nothing is asked of git.
Where a filter or line endings make a file another one than its blob, the blob is compared as git would check it out.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import ObjectType, hash_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository

ANOTHER = "it was edited after the snapshot, and another version of it ran"
UNKNOWN = "it is not in the snapshot, and it ran"
_LACKED = re.compile(
    r"ModuleNotFoundError: No module named '([\w.]+)'|FileNotFoundError: .*: '([^'\n]+)'"
)
"""How Python says that something is not there, as records have errors."""


class CodeCheck:
    """Compares files with the snapshot of one run.

    Args:
        repo: The repository.
        tree: The snapshot.
        folders: Where tasks look for modules and files.
    """

    def __init__(self, repo: Repository, tree: Oid, folders: Iterable[Path] = ()) -> None:
        self._git = repo.git
        self._top = repo.work_tree
        self._folders = tuple(folders)
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

    def lacked(self, error: str) -> str | None:
        """What a task on another machine has failed for not finding, if it is in the work tree but not in the snapshot.

        Args:
            error: The task's error, `Type: message`.

        Returns:
            The path from the top of the work tree.
        """
        found = _LACKED.fullmatch(error)
        if found is None or self._top is None:
            return None
        with suppress(OSError):  # the directory that the run was started in may be gone
            return self._left_out(self._top, *found.groups())
        return None

    def _left_out(self, top: Path, module: str | None, file: str | None) -> str | None:
        names = (
            [file]
            if file
            else [f"{name}{end}" for name in _above(module or "") for end in (".py", "")]
        )
        for folder in self._folders:
            for name in names:
                path = Path(os.path.normpath(folder.resolve() / name))
                if path.is_relative_to(top) and os.path.lexists(path):
                    inside = str(path.relative_to(top))
                    done = self._git.attempt("ls-tree", "--full-tree", self._tree, "--", inside)
                    return inside if done.code == 0 and not done.out else None
        return None

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


def _above(module: str) -> list[str]:
    """The paths of a module and of the packages that it is in."""
    parts = module.split(".")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
