"""`MetaflowCode`: the code of a run, as an archive, a directory, or the text of its flow file."""

from __future__ import annotations

import os
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.client.codetree import materialise, write_tar
from gitflowrun.client.info import info_dict
from gitflowrun.errors import NotFound, RepositoryError
from gitflowrun.runs import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.client.repository import Source
    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.runs import StoredRun

__all__ = ["CodeArchive", "MetaflowCode"]


class CodeArchive(tarfile.TarFile):
    """A tar archive that prints as its path, and can be used wherever a path can."""

    def __str__(self) -> str:
        return os.fspath(self)

    def __fspath__(self) -> str:
        assert self.name is not None
        return os.fsdecode(self.name)


class MetaflowCode:
    """The snapshot of the work tree that a run was started with, uncommitted changes included."""

    def __init__(self, source: Source, stored: StoredRun) -> None:
        self._source = source
        self._stored = stored

    @property
    def tree(self) -> str:
        """The oid of the snapshot's tree: `git diff <tree> <tree>` compares two."""
        return str(self._tree)

    @property
    def _tree(self) -> Oid:
        return self._stored.code_tree

    @property
    def _trusted(self) -> bool:
        return self._source.trusts(lambda custody: custody.trusts_run(self._stored))

    @property
    def path(self) -> str:
        """The path of a tar archive of the code; made at the first use, and a disposable copy."""
        target = self._place() / f"{self._tree}.tar"
        if not target.exists():
            self._archive(target)
        return str(target)

    def _place(self) -> Path:
        try:
            place = self._source.repo.state("code")
        except RepositoryError:
            return _private_directory()
        return place if os.access(place, os.W_OK) else _private_directory()

    def _archive(self, target: Path) -> None:
        with self._writing():
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".code-")
            try:
                with os.fdopen(handle, "wb") as out:
                    write_tar(self._source.repo.objects, self._tree, out, trusted=self._trusted)
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RepositoryError(
                f"the code of {self._stored.pathspec} can't be written: {error.strerror or error}",
                hint=f"free some space, or use `git archive {layout.RUNS}{self._stored.pathspec}:code`",
            ) from error

    @property
    def tarball(self) -> CodeArchive:
        """The code as an archive: prints as its path, and is an open `tarfile.TarFile`."""
        return CodeArchive.open(self.path)

    @property
    def script_name(self) -> str:
        """The name of the flow's file."""
        return self._stored.info.script.rpartition("/")[2]

    @property
    def flowspec(self) -> bytes:
        """The content of the flow's file.

        Raises:
            NotFound: the snapshot does not have it; the file lay outside of the repository or was ignored.
        """
        script = self._stored.info.script
        objects = self._source.repo.objects
        found = objects.entry(self._tree, *map(os.fsencode, script.split("/"))) if script else None
        if found is None or found.is_tree:
            raise NotFound(
                f"the code of {self._stored.pathspec} has no file {script!r}",
                hint="a snapshot has the files of the repository that git does not ignore",
            )
        return objects.blob(found.oid)

    @property
    def info(self) -> dict[str, Any]:
        """What the run's INFO says, by the names that Metaflow uses."""
        return info_dict(self._stored)

    def extract(self) -> tempfile.TemporaryDirectory[str]:
        """Write the code into a temporary directory, which is removed with the returned object.

        Raises:
            UntrustedArtifact: it came from elsewhere and has files or links that could do harm here.
            RepositoryError: it can't be written.
        """
        with self._writing():
            holder = tempfile.TemporaryDirectory(prefix=f"{self._stored.flow}-")
            try:
                place = Path(holder.name)
                materialise(self._source.repo.objects, self._tree, place, trusted=self._trusted)
            except BaseException:
                holder.cleanup()
                raise
            return holder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetaflowCode) and self._tree == other._tree

    def __hash__(self) -> int:
        return hash(self._tree)

    def __str__(self) -> str:
        return f"<MetaflowCode: {self.script_name}>"

    __repr__ = __str__


def _private_directory() -> Path:
    """Where archives of a repository lie that may only be read: among the user's temporary files."""
    path = Path(tempfile.gettempdir(), f"gitflowrun-{os.getuid() if hasattr(os, 'getuid') else ''}")
    path.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and path.lstat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp())  # somebody else made it: a trap, or a bad joke
    return path
