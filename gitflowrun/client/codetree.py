"""A code snapshot as files: in a directory of its own, or in a tar archive. Which snapshot, `code` knows.

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
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, UntrustedArtifact
from gitflowrun.git.objects import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.odb import ObjectStore

__all__ = ["CodeFile", "code_files", "materialise", "write_tar"]

MAX_FILES = 1_000_000
MAX_DEPTH = 256
_EPOCH = 315_532_800  # 1980-01-01, the first day that every archive format knows
_IGNORED_BY_HFS = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_NO_NAMES = frozenset({"", ".", ".."})
_DIRECTORIES = frozenset({Mode.TREE, Mode.GITLINK})


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file, a link, or an empty directory where a submodule was."""

    path: str
    mode: int
    oid: Oid

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == Mode.LINK

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.mode in _DIRECTORIES

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
    todo = [("", tree, 0)]
    count = 0
    while todo:
        prefix, oid, depth = todo.pop()
        seen: set[tuple[str, str]] = set()
        for entry in objects.tree(oid):
            name = _checked_name(entry.name, prefix, seen, trusted=trusted)
            count += 1
            if count > MAX_FILES or depth > MAX_DEPTH:
                raise CorruptRecord(f"code tree {tree} is too large or too deep to be written")
            found = CodeFile(prefix + name, entry.mode, entry.oid)
            if found.is_link and not trusted:
                _check_link(found.path, objects.blob(found.oid))
            yield found
            if entry.is_tree:
                todo.append((f"{prefix}{name}/", entry.oid, depth + 1))


def materialise(objects: ObjectStore, tree: Oid, target: Path, *, trusted: bool) -> None:
    """Write a tree into an empty directory that only the user may write to.

    Args:
        objects: Where to read.
        tree: The tree.
        target: The directory.
        trusted: As for `code_files`.

    Raises:
        FileExistsError: the directory is not empty.
        CorruptRecord: see `code_files`.
        UntrustedArtifact: see `code_files`.
    """
    if any(target.iterdir()):
        raise FileExistsError(f"{str(target)!r} is not empty")
    links = []
    for item in code_files(objects, tree, trusted=trusted):
        path = target / item.path
        if item.is_directory:
            path.mkdir()
        elif item.is_link:
            links.append(item)
        else:
            _write_file(path, objects.blob(item.oid), item.permissions)
    for item in links:
        (target / item.path).symlink_to(os.fsdecode(objects.blob(item.oid)))


def write_tar(objects: ObjectStore, tree: Oid, out: io.BufferedIOBase, *, trusted: bool) -> None:
    """Write a tree as a tar archive; the same tree gives the same bytes. Raises as `code_files` does."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in code_files(objects, tree, trusted=trusted):
            data = b"" if item.is_directory else objects.blob(item.oid)
            member = tarfile.TarInfo(item.path)
            member.mtime, member.mode = _EPOCH, item.permissions
            if item.is_directory:
                member.type = tarfile.DIRTYPE
            elif item.is_link:
                member.type, member.linkname = tarfile.SYMTYPE, os.fsdecode(data)
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _write_file(path: Path, data: bytes, permissions: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, permissions), "wb") as file:
        file.write(data)


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
