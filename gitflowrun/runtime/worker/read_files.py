"""The files that a task's code has come from and that it has opened, for the step cache.

What a task has loaded is known when it ends: the modules of its process. What it has opened Python tells when it opens
it (an audit hook), also where a library does. What other programs open, and libraries that don't ask Python, nobody
tells. A file that the task writes to within the work tree is no input: such a task does more than to compute artifacts,
so its work can't be had from another run.

Files of Python, of installed packages and of the system, and hidden ones outside of the work tree (caches and settings
of libraries) don't count, nor what the task has made itself, or has found in a temporary directory since it began.

A process that has such a hook keeps it, so only tasks have one, and only where the cache is on.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.runs.lookup.cache_limits import FILES_OF_A_TASK, YOUNG_FILE
from gitflowrun.runtime.worker.loaded_code import is_known

if TYPE_CHECKING:
    from collections.abc import Iterable

_SYSTEM = ("/proc/", "/sys/", "/etc/", "/usr/", "/run/", "/var/")
_TEMPORARY = ("/tmp/", "/dev/shm/")  # noqa: S108
_LISTED = frozenset({"os.listdir", "os.scandir"})
_IMPORTING = "<frozen importlib"
_CACHED = "/__pycache__/"


class ReadFiles:
    """The files that tasks of this process have loaded and opened.

    Args:
        work_tree: The top of the work tree; empty where there is none.
        git_dirs: Directories that are git's own.
        since: When the snapshot of the work tree was begun, in seconds since 1970: older files are as they are there.
    """

    def __init__(self, work_tree: str, git_dirs: Iterable[str], since: float) -> None:
        self._top = work_tree + "/" if work_tree else "\0"
        self._ours = tuple(place + "/" for place in git_dirs)
        self._since = since
        self._modules: set[str] = set()
        self._loaded: dict[str, str] = {}
        self._opened: dict[str, str] = {}
        self._seen: set[str] = set()
        self._made: set[str] = set()
        self._begun = 0.0
        self._written: str | None = None
        self._notes = False
        self._watches = False

    def begin(self) -> None:
        """Take note of what is opened from now on: a task begins."""
        self._seen.clear()
        self._opened.clear()
        self._made.clear()
        self._begun = time.time()
        self._written = None
        self._notes = True
        if not self._watches:
            self._watches = True
            sys.addaudithook(self._hear)

    def end(self) -> tuple[dict[str, str], str]:
        """What the task has loaded and opened, and why nobody else can have what it did; empty where one can.

        Of each file, by its path, the size in bytes, the time of its last change in nanoseconds and, of one that may
        have changed since the snapshot was taken, the id of its content. Directories end in a slash.
        """
        self._notes = False
        self.look_at_modules()
        if self._written is not None:
            return {}, f"it writes to {self._written}, which is in the repository"
        found = self._opened | self._loaded
        if len(found) > FILES_OF_A_TASK:
            return {}, f"it has loaded or opened more than {FILES_OF_A_TASK:,} files"
        return found, ""

    def look_at_modules(self) -> None:
        """Take note of the modules that this process has loaded since this was done last."""
        for name, module in list(sys.modules.items()):
            if name in self._modules:
                continue
            self._modules.add(name)
            file = getattr(module, "__dict__", {}).get("__file__")  # no `getattr`: it may be lazy
            if isinstance(file, str) and not is_known(file):
                self._note(file, self._loaded)

    # ---- what Python tells ----

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit hook, which is called for whatever the process does, and must not fail."""
        if not self._notes:
            return
        if event == "open":
            path, _, flags = args
            self._note_opened(path, writes=bool(flags & os.O_ACCMODE))
        elif event in _LISTED and not _is_importing():
            self._note_opened("." if args[0] is None else args[0], writes=False)

    def _note_opened(self, path: object, *, writes: bool) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return  # a descriptor, of what was opened before
        key = f"w{path}" if writes else path
        if key in self._seen or len(self._opened) > FILES_OF_A_TASK:
            return
        self._seen.add(key)
        if is_known(path):
            return
        if not writes:
            self._note(path, self._opened)
            return
        with suppress(OSError, ValueError):
            found = os.path.realpath(path)
            self._made.add(found)
            if self._is_tracked(found) and found.startswith(self._top):
                self._written = found.removeprefix(self._top)

    def _note(self, path: str, files: dict[str, str]) -> None:
        with suppress(OSError, ValueError):  # what is not there can't be opened
            found = os.path.realpath(path)
            if found in self._made or not self._is_tracked(found):
                return
            found.encode()
            stat = os.stat(found)  # noqa: PTH116  (pathlib is an import)
            is_inside = found.startswith(self._top)
            if not is_inside and found.startswith(_TEMPORARY) and stat.st_ctime >= self._begun:
                return
            if found + "/" == self._top or os.path.isdir(found):  # noqa: PTH112
                files[found + "/"] = f"0 {stat.st_mtime_ns}"
                return
            mark = f"{stat.st_size} {stat.st_mtime_ns}"
            is_young = is_inside and stat.st_ctime >= self._since
            if is_young and stat.st_size <= YOUNG_FILE and found not in files:
                with open(found, "rb") as source:  # noqa: PTH123
                    mark += f" {hash_object(ObjectType.BLOB, source.read())}"
            files.setdefault(found, mark)

    def _is_tracked(self, path: str) -> bool:
        if is_known(path) or path.startswith(self._ours) or _CACHED in path:
            return False
        if path.startswith(self._top):
            return True
        is_device = path.startswith("/dev/") and not path.startswith(_TEMPORARY)
        return not (is_device or path.startswith(_SYSTEM) or "/." in path)


def _is_importing() -> bool:
    """Whether the import system looks for modules: that a directory has another file now changes nothing by itself."""
    with suppress(ValueError):
        return sys._getframe(2).f_code.co_filename.startswith(_IMPORTING)  # noqa: SLF001
    return False
