"""What the step cache notes of a file, so that it can be told later whether it is what it was.

    <size> <time>         of a file, in bytes, and of its last change, in nanoseconds (`st_ctime`, which nobody can set)
    <size> <time> <id>    the same of one that may have changed since the snapshot: git's id of its content, or `?`
    names <digest>        of a directory that was listed
    -> <target>           of a symbolic link
    absent                of a file that was looked for and is not there

Tasks say these of what they open (`worker.read_files`); records keep those of files that the snapshot has not.
"""

from __future__ import annotations

import os
from hashlib import sha1

from gitflowrun.git.objects import ObjectType, hash_object

ABSENT = "absent"
LINK = "-> "
_NOT_LISTED = frozenset({".git", "__pycache__"})


def listed(directory: str) -> str:
    """What is noted of a directory: of the names in it.

    Raises:
        OSError: it can't be listed.
    """
    names = sorted(os.fsencode(name) for name in os.listdir(directory) if name not in _NOT_LISTED)  # noqa: PTH208
    return f"names {sha1(b'/'.join(names), usedforsecurity=False).hexdigest()}"


def without_id(mark: str) -> str:
    """What is noted of a file, without the id of its content."""
    is_file = mark[:1].isdigit()
    return " ".join(mark.split(" ")[:2]) if is_file else mark


def id_of(mark: str) -> str:
    """The id of the content that is noted, as git has it; empty where none is, and nobody's of what is not there."""
    if mark.startswith(LINK):
        return str(hash_object(ObjectType.BLOB, os.fsencode(mark.removeprefix(LINK))))
    return mark if mark == ABSENT else "".join(mark.split(" ")[2:])


def is_as_noted(path: str, mark: str) -> bool:
    """Whether a file is what it was when this was noted of it."""
    try:
        if mark == ABSENT:
            return not os.path.lexists(path)
        if mark.startswith(LINK):
            return os.readlink(path) == mark.removeprefix(LINK)  # noqa: PTH115
        if path.endswith("/"):
            return listed(path) == mark
        stat = os.stat(path)  # noqa: PTH116  (as the task has looked)
    except (OSError, ValueError):
        return False
    return mark == f"{stat.st_size} {stat.st_ctime_ns}"
