"""The names of refs as the file system shows them, without running git or opening a ref.

Answers one question: has a ref appeared that was not there at an earlier look? Loose refs are listed, which
takes 0.5 ms for 1,000 of them; packed ones are known unchanged by the stamp of their file. What a ref says,
and every write, is `refs`' business.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["loose_names", "packed_stamp"]


def packed_stamp(common_dir: Path) -> str:
    """What changes whenever the packed refs change: git replaces their file as a whole."""
    try:
        found = (common_dir / "packed-refs").stat()
    except FileNotFoundError:
        return "none"
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def loose_names(common_dir: Path, prefix: str) -> Iterator[str]:
    """The names of the loose refs below `prefix`, which ends in a slash."""
    pending = [prefix]
    while pending:
        name = pending.pop()
        try:
            entries = list(os.scandir(common_dir / name))
        except (FileNotFoundError, NotADirectoryError):
            continue  # never made, or packed and pruned meanwhile
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{name}{entry.name}/")
            elif not entry.name.endswith(".lock"):
                yield name + entry.name
