"""Which object directories a repository reads from: its own, then its alternates, recursively."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["object_directories", "quoted"]

_MAX_DEPTH = 5  # as in git


def object_directories(objects_dir: Path) -> list[Path]:
    """`objects_dir` and the directories in its `info/alternates`, and in theirs; each once."""
    found: dict[Path, None] = {}
    _collect(objects_dir, 0, found)
    return list(found)


def quoted(path: Path) -> str:
    """A path for `GIT_ALTERNATE_OBJECT_DIRECTORIES`, where colons separate and C quotes protect."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def _collect(directory: Path, depth: int, found: dict[Path, None]) -> None:
    if directory in found or depth > _MAX_DEPTH:
        return
    found[directory] = None
    with contextlib.suppress(OSError):
        for line in (directory / "info" / "alternates").read_bytes().splitlines():
            if line and not line.startswith(b"#"):
                _collect(directory / os.fsdecode(_unquote(line)), depth + 1, found)


def _unquote(line: bytes) -> bytes:
    if not line.startswith(b'"'):
        return line
    inner = line.strip(b'"').decode("latin-1")
    return inner.encode("latin-1").decode("unicode_escape").encode("latin-1")
