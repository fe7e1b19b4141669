"""Stamps: what files and directories are like, so that whoever has read them can tell whether to read them again.

A stamp has the inode, the size and both times of each. Whoever changes a ref makes a file in its directory and renames
it, or replaces `packed-refs`, so that shows; and so does a file that somebody has changed in place.

Git's rule for its index holds here as well: what was changed so shortly before the look that the clock of the file
system may not have moved since may have been changed again, and look the same. `Stamp.newest` says from when on a look
can be relied on.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FINE, _COARSE = 100_000_000, 2_000_000_000
"""Nanoseconds that a file system may round away: a tick of the kernel's clock, and where it counts whole seconds."""
_SECOND = 1_000_000_000
STAMPED = 5_000
"""Files and directories that are looked at to tell whether anything has changed."""
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW


@frozen
class Stamp:
    """What some files and directories were like.

    Attributes:
        text: All of it; empty where nobody can tell, which is like nothing.
        newest: When the last of them had changed, in nanoseconds, and what may be rounded away.
    """

    text: str
    newest: int

    def is_certain(self, looked: int) -> bool:
        """Whether what was read at a time, in nanoseconds, is still so where the stamp is the same."""
        return bool(self.text) and self.newest <= looked


NEVER = Stamp("", 0)


def refs_stamp(common_dir: Path, prefix: str) -> Stamp:
    """The stamp of the packed refs, and of the loose ones below a prefix that ends in a slash."""
    return _stamp(_lines_of_refs(f"{common_dir}", prefix.removesuffix("/")))


def objects_stamp(objects_dir: Path) -> Stamp:
    """The stamp of the packs and loose objects of a repository; none where it borrows those of another."""
    root = f"{objects_dir}"
    if os.path.lexists(f"{root}/info/alternates"):
        return NEVER
    return _stamp(_lines_of_objects(root))


def _stamp(lines: Iterator[tuple[str, os.stat_result]]) -> Stamp:
    texts: list[str] = []
    newest = 0
    try:
        for name, found in lines:
            if len(texts) == STAMPED or not stat.S_ISREG(found.st_mode) | stat.S_ISDIR(
                found.st_mode
            ):
                return NEVER
            modified, changed = found.st_mtime_ns, found.st_ctime_ns
            texts.append(f"{name} {found.st_ino} {found.st_size} {modified} {changed}")
            grain = _FINE if modified % _SECOND or changed % _SECOND else _COARSE
            newest = max(newest, modified + grain, changed + grain)
    except OSError:
        return NEVER
    return Stamp("\n".join(sorted(texts)), newest)


def _lines_of_refs(root: str, start: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        # Opened, for a network file system tells an open file's state as it is, not as it was a minute ago.
        packed = os.open(f"{root}/packed-refs", _OPEN)
    except FileNotFoundError:
        pass
    else:
        try:
            yield "packed-refs", os.fstat(packed)
        finally:
            os.close(packed)
    places = [start]
    while places:
        place = places.pop()
        try:
            directory = os.open(f"{root}/{place}", _OPEN | os.O_DIRECTORY)
        except FileNotFoundError:  # never made, or just packed: what it lay in has changed then
            continue
        try:
            yield place, os.fstat(directory)
            with os.scandir(directory) as entries:
                for entry in entries:
                    name = f"{place}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        places.append(name)
                    else:
                        yield name, entry.stat(follow_symlinks=False)
        finally:
            os.close(directory)


def _lines_of_objects(root: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        if len(name) == 2 or name == "pack":  # noqa: PLR2004  (loose objects, by the first digits of their ids)
            yield name, os.stat(f"{root}/{name}")  # noqa: PTH116
    with os.scandir(f"{root}/pack") as entries:
        for entry in entries:
            yield entry.name, entry.stat()
