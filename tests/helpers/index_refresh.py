"""`git update-index --refresh` for a small repository that was copied, without a process: most tests begin with one."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from pathlib import Path

__all__ = ["refreshed"]

_FILES = 40
_SIZE = 1 << 16
_HEAD = struct.Struct(">4sLL")
_CHECKSUM = 20
_STAT = struct.Struct(">6L")
"""Seconds and nanoseconds of the inode's and of the content's last change, device and inode."""
_SIZE_AT, _ID_AT, _NAME_AT = 36, 40, 62
_LOW = 0xFFFF_FFFF


def refreshed(work_tree: Path) -> bool:
    """Let the index know the files of a work tree by the inodes that they have now.

    Returns:
        Whether that was possible: each file has the content that the index names, and there are few. Otherwise
        nothing was done.
    """
    file = work_tree / ".git" / "index"
    try:
        data = file.read_bytes()
        found = _with_new_stats(work_tree, data)
    except (OSError, struct.error, ValueError):
        return False
    if found is not None:
        file.write_bytes(found)
    return found is not None


def _with_new_stats(work_tree: Path, data: bytes) -> bytes | None:
    index = bytearray(data[:-_CHECKSUM])
    _, version, count = _HEAD.unpack_from(index)
    if version != 2 or count > _FILES or hashlib.sha1(index).digest() != data[-_CHECKSUM:]:
        return None
    at = _HEAD.size
    for _ in range(count):
        name = data[at + _NAME_AT : data.index(b"\0", at + _NAME_AT)]
        path = work_tree / os.fsdecode(name)
        now = path.lstat()
        if _object_id(path, now) != data[at + _ID_AT : at + _ID_AT + _CHECKSUM]:
            return None
        times = (part for ns in (now.st_ctime_ns, now.st_mtime_ns) for part in divmod(ns, 10**9))
        _STAT.pack_into(index, at, *(it & _LOW for it in (*times, now.st_dev, now.st_ino)))
        struct.pack_into(">L", index, at + _SIZE_AT, now.st_size)
        at += (_NAME_AT + len(name) + 8) & ~7
    return bytes(index) + hashlib.sha1(index).digest()


def _object_id(path: Path, now: os.stat_result) -> bytes:
    if now.st_size > _SIZE:
        return b""
    content = os.fsencode(path.readlink()) if stat.S_ISLNK(now.st_mode) else path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).digest()
