"""`MetaflowCode`: the code of a run as an archive, a directory, or the text of its flow file.

A tree may come from anybody (git fetches trees unlooked at), and this is where it meets the file system:

1. Nothing is written but into an empty directory, so there is nothing to write through.
2. Names that git itself refuses to check out (`.git` in all its spellings, `..`, slashes) are refused.
3. Of a run that is not trusted, also what means something else on another system, and symbolic links that
   lead out of the tree.
4. Links are made last; files are never opened through one.
5. Modes are 644 and 755; nothing else of the tree's modes counts.

We don't ask `git archive`, because it leaves out and rewrites what the snapshot's own attributes say
(`export-ignore`, `export-subst`), and a run's code is what ran.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import unicodedata
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gitflowrun.client.metaflow_names import info_dict
from gitflowrun.errors import (
    CorruptRecord,
    NotFound,
    RepositoryError,
    TooLarge,
    UntrustedArtifact,
)
from gitflowrun.git.objects import Mode
from gitflowrun.limits import (
    CODE_TEXT,
    LINK_SIZE,
    MAX_CODE_BYTES,
    MAX_CODE_DEPTH,
    MAX_CODE_FILES,
)
from gitflowrun.runs import layout
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gitflowrun.client.repository import Source
    from gitflowrun.git.diff import TreeDiff
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.runs.read import StoredRun

_EPOCH = 315_532_800  # 1980-01-01, the first day that every archive format knows
_IGNORED_BY_HFS = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_NO_NAMES = frozenset({"", ".", ".."})


class HasCode(Protocol):
    """A run or a task."""

    @property
    def code(self) -> MetaflowCode:
        """Its code."""


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
        return self._source.trust.trusts_run(self._stored)

    @property
    def left_out(self) -> Mapping[str, str]:
        """What ran and is not in the snapshot, as secrets, very large files and modules from elsewhere: name -> why.

        Files that were edited after the snapshot and then imported are among them.
        `diff` compares nothing of these; their contents are not recorded.
        """
        return self._stored.left_out()

    def diff(self, other: MetaflowCode | HasCode, *, context: int = 3) -> TreeDiff:
        """What became of this code in another run's: files, renames, hunks and lines as values.

        Args:
            other: The code of the other run, or the run.
            context: Lines around a change.

        Raises:
            MissingObject: a file is not in this repository, and no remote has it.
        """
        from gitflowrun.git.diff import diff_trees

        theirs = other if isinstance(other, MetaflowCode) else other.code
        return diff_trees(self._source.repo, self._tree, theirs._tree, context=context)  # noqa: SLF001

    @property
    def path(self) -> str:
        """The path of a tar archive of the code; made at the first use, and a disposable copy."""
        target = self._place() / f"{self._tree}.tar"
        if not target.exists():
            self._archive(target)
        return str(target)

    def _place(self) -> Path:
        with suppress(RepositoryError):
            place = self._source.repo.state("code")
            if os.access(place, os.W_OK):
                return place
        return _private_directory()

    def _archive(self, target: Path) -> None:
        with (
            self._writing(),
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".code-") as place,
        ):
            made = Path(place, target.name)
            with made.open("xb") as out:
                write_tar(self._source.repo.objects, self._tree, out, trusted=self._trusted)
            made.replace(target)

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
        return objects.blob(found.oid, CODE_TEXT)

    @property
    def info(self) -> dict[str, Any]:
        """What the run's INFO says, by the names that Metaflow uses."""
        return info_dict(self._stored.info, self._stored.identity)

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


class CodeArchive(tarfile.TarFile):
    """A tar archive that prints as its path, and can be used wherever a path can."""

    def __str__(self) -> str:
        return os.fspath(self)

    def __fspath__(self) -> str:
        assert self.name is not None
        return os.fsdecode(self.name)


def _private_directory() -> Path:
    """Where archives of a repository lie that may only be read: among the user's temporary files."""
    path = Path(tempfile.gettempdir(), f"gitflowrun-{os.getuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    # Somebody else may have made it, perhaps to have archives of their choice read.
    return path if path.lstat().st_uid == os.getuid() else Path(tempfile.mkdtemp())


@frozen
class CodeFile:
    """A file, a link, or an empty directory where a submodule was."""

    path: str
    mode: int
    oid: Oid

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.mode in {Mode.TREE, Mode.GITLINK}

    @property
    def permissions(self) -> int:
        """Its permissions."""
        return 0o755 if self.is_directory or self.mode & 0o100 else 0o644


def code_files(objects: ObjectStore, tree: Oid, *, trusted: bool) -> Iterator[CodeFile]:
    """Everything in a tree, directories before what is in them.

    Args:
        objects: Where to read.
        tree: The tree.
        trusted: Whether it was made here, or by somebody the user trusts.

    Raises:
        CorruptRecord: a name that no snapshot has, or too many files.
        UntrustedArtifact: something that only a trusted tree may have.
    """
    _check_extent(objects, tree, trusted=trusted)
    todo = [("", tree, 0)]
    while todo:
        prefix, oid, depth = todo.pop()
        seen: set[tuple[str, str]] = set()
        for entry in objects.tree(oid):
            name = _checked_name(entry.name, prefix, seen, trusted=trusted)
            found = CodeFile(prefix + name, entry.mode, entry.oid)
            if found.mode == Mode.LINK and not trusted:
                _check_link(found.path, objects.blob(found.oid, LINK_SIZE))
            yield found
            if entry.is_tree:
                todo.append((f"{prefix}{name}/", entry.oid, depth + 1))


def _check_extent(objects: ObjectStore, tree: Oid, *, trusted: bool) -> None:
    """Refuse a tree that is too large before any of it is written: thirty small ones can name 10^9 files."""
    known: dict[Oid, tuple[int, int, int]] = {}
    too_large = TooLarge(f"code tree {tree} is too large or too deep to be written")

    def extent(oid: Oid, depth: int) -> tuple[int, int, int]:
        """Names, bytes and levels below a directory; each directory is counted once."""
        if oid not in known:
            names = size = levels = 0
            for entry in objects.tree(oid) if depth <= MAX_CODE_DEPTH else ():
                more_names = more_size = 0
                if entry.is_tree:
                    more_names, more_size, below = extent(entry.oid, depth + 1)
                    levels = max(levels, below + 1)
                elif not (trusted or entry.mode == Mode.GITLINK):
                    more_size = objects.size(entry.oid)  # one's own disk is one's own concern
                names, size = names + 1 + more_names, size + more_size
                if names > MAX_CODE_FILES or size > MAX_CODE_BYTES:
                    raise too_large
            known[oid] = names, size, levels
        if depth + known[oid][2] > MAX_CODE_DEPTH:
            raise too_large
        return known[oid]

    extent(tree, 0)


class _Pieces(io.RawIOBase):
    """A file that has the content of a blob, which is not held."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` with what comes next; returns the number of bytes, 0 at the end."""
        self._left = self._left or next(self._pieces, b"")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def materialise(
    objects: ObjectStore,
    tree: Oid,
    target: Path,
    *,
    trusted: bool,
    suffix: str = "",
    paths: Collection[str] = (),
) -> int:
    """Write a tree into an empty directory that only the user may write to.

    A `.git` may be there already, as git makes one of a linked work tree: no tree has such a name.

    Args:
        objects: Where to read.
        tree: The tree.
        target: The directory.
        trusted: As for `code_files`.
        suffix: Of the files and links to write.
        paths: The files and directories to write, from the tree's top; all where there are none.

    Returns:
        How many files and links were written.

    Raises:
        FileExistsError: the directory is not empty.
        CorruptRecord: see `code_files`.
        UntrustedArtifact: see `code_files`.
    """
    if any(path.name != ".git" for path in target.iterdir()):
        raise FileExistsError(f"{str(target)!r} is not empty")
    links, count = [], 0
    for item in code_files(objects, tree, trusted=trusted):
        path = target / item.path
        if item.is_directory:
            if _is_within(item.path, paths) or any(it.startswith(f"{item.path}/") for it in paths):
                path.mkdir()
        elif not item.path.endswith(suffix) or not _is_within(item.path, paths):
            continue
        elif item.mode == Mode.LINK:
            links.append(item)
        else:
            # Mode `x`, O_EXCL to the kernel, follows no link.
            with open(path, "xb", opener=partial(os.open, mode=item.permissions)) as file:
                file.writelines(objects.pieces(item.oid))
            count += 1
    for item in links:
        (target / item.path).symlink_to(os.fsdecode(objects.blob(item.oid, LINK_SIZE)))
    return count + len(links)


def _is_within(path: str, places: Collection[str]) -> bool:
    """Whether a path is one of some files and directories, or within one; any is where there are none."""
    return not places or any(path == it or path.startswith(f"{it}/") for it in places)


def write_tar(objects: ObjectStore, tree: Oid, out: io.BufferedIOBase, *, trusted: bool) -> None:
    """Write a tree as a tar archive; the same tree gives the same bytes. Raises as `code_files` does."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in code_files(objects, tree, trusted=trusted):
            member = tarfile.TarInfo(item.path)
            member.mtime, member.mode = _EPOCH, item.permissions
            content = None
            if item.is_directory:
                member.type = tarfile.DIRTYPE
            elif item.mode == Mode.LINK:
                target = os.fsdecode(objects.blob(item.oid, LINK_SIZE))
                member.type, member.linkname = tarfile.SYMTYPE, target
            else:
                member.size = objects.size(item.oid)
                content = io.BufferedReader(_Pieces(objects.pieces(item.oid)))
            archive.addfile(member, content)


def _checked_name(raw: bytes, prefix: str, seen: set[tuple[str, str]], *, trusted: bool) -> str:
    name = os.fsdecode(raw)
    same = ("same", name)
    if name in _NO_NAMES or "/" in name or "\0" in name or _is_dot_git(name) or same in seen:
        raise CorruptRecord(f"the code tree has an entry {prefix + name!r}, which no snapshot has")
    seen.add(same)
    if not trusted:
        alike = ("alike", unicodedata.normalize("NFC", name).casefold())
        if alike in seen or "\\" in name or ":" in name:
            raise _untrusted(f"its code has a file {prefix + name!r}, another one on other systems")
        seen.add(alike)
    return name


def _is_dot_git(name: str) -> bool:
    """Whether some file system takes the name for `.git`: HFS+ ignores characters, NTFS cuts the end."""
    plain = name.translate(_IGNORED_BY_HFS).casefold().partition(":")[0].rstrip(" .")
    return plain in {".git", "git~1"}


def _check_link(path: str, target: bytes) -> None:
    if b"\0" in target:
        raise CorruptRecord(f"its code has a link {path!r} to a name that no file can have")
    # Leading `..` are taken from the link's own directory, which is a real one. A later `..` could be taken
    # from wherever another link leads to, so no path with one is believed.
    parts = os.fsdecode(target).split("/")
    up = next((place for place, part in enumerate(parts) if part != ".."), len(parts))
    if up > path.count("/") or ".." in parts[up:] or parts[0] == "":
        raise _untrusted(f"its code has a link {path!r} that leads out of it")


def _untrusted(message: str) -> UntrustedArtifact:
    return UntrustedArtifact(
        message, hint="`git runs trust` says that you trust where it came from"
    )
