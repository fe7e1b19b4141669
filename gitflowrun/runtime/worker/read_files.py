"""The files that a task's code has come from and that it has opened, for the step cache.

What a task has loaded is known when it ends: the modules of its process. What it has opened Python tells when it opens
it (an audit hook), also where a library does, and in processes that it forks. What other programs open, and libraries
that don't ask Python, nobody tells. A file that was looked for and is not there is an input as well, and so is a link
on the way to one. A file that the task writes to within the work tree is no input: such a task does more than to
compute artifacts, so its work can't be had from another run.

Files of Python, of installed packages and of the system, and hidden ones in the home directory (caches and settings of
programs) don't count, nor what the task has made itself, or has found in a temporary directory since it began.

A process that has such a hook keeps it, so only tasks have one, and only where the cache is on.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.runs.lookup.cache_limits import FILES_OF_A_TASK, YOUNG_FILE
from gitflowrun.runtime.ipc.file_marks import ABSENT, LINK, listed
from gitflowrun.runtime.worker.loaded_code import is_known, is_young

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SYSTEM = (
    "/proc/", "/sys/", "/etc/", "/usr/bin/", "/usr/lib", "/usr/share/", "/usr/include/", "/var/cache/", "/run/",
)  # fmt: skip
_MOUNTED = "/run/media/"
_TEMPORARY = ("/tmp/", "/dev/shm/")  # noqa: S108
_LISTED = frozenset({"os.listdir", "os.scandir"})
_CHANGED = frozenset({"os.rename", "os.link", "os.symlink", "os.remove", "shutil.rmtree"})
_HEARD = _LISTED | _CHANGED | {"open", "os.chdir", "sqlite3.connect"}
_IMPORTING = "<frozen importlib"
_CACHED = "/__pycache__/"
_WRITTEN = "written"
_LINKS = 40  # as many as Linux follows


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
        self._temporary = (*_TEMPORARY, *_temporary_directory())
        self._settings = os.path.expanduser("~") + "/."  # noqa: PTH111
        self._modules: set[str] = set()
        self._loaded: dict[str, str] = {}
        self._opened: dict[str, str] = {}
        self._seen: set[str] = set()
        self._made: set[str] = set()
        self._begun = 0.0
        self._written: str | None = None
        self._notes = False
        self._watches = False
        self._shared = -1
        self._is_child = False

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
            os.register_at_fork(before=self._share, after_in_child=self._be_child)

    def end(self) -> tuple[dict[str, str], str]:
        """What the task has loaded and opened, and why nobody else can have what it did; empty where one can.

        Of each file, by its path, what `ipc.file_marks` says. Directories end in a slash.
        """
        self._notes = False
        self.look_at_modules()
        self._read_shared()
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
        if event not in _HEARD or not self._notes:
            return
        if event == "open":
            self._note_opened(args[0], args[2])
        elif event == "os.chdir":
            self._seen.clear()  # the same names are other files now
        elif event == "sqlite3.connect":
            self._note_database(args[0])
        elif event in _CHANGED:
            self._note_changed(event, args)
        elif not _is_importing():
            self._note_opened("." if args[0] is None else args[0], os.O_RDONLY)

    def _note_opened(self, path: object, flags: int) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return  # a descriptor, of what was opened before
        writes = bool(flags & os.O_ACCMODE)
        key = f"w{path}" if writes else path
        if key in self._seen or len(self._opened) > FILES_OF_A_TASK:
            return
        self._seen.add(key)
        if is_known(path):
            return
        if not flags & (os.O_WRONLY | os.O_TRUNC | os.O_EXCL):  # what it was is read, or may be
            self._note(_source_of(path), self._opened)
        if writes:
            self._note_written(path)

    def _note_written(self, path: str) -> None:
        with suppress(OSError, ValueError):
            found = os.path.realpath(path)
            self._made.add(found)
            if self._is_tracked(found) and found.startswith(self._top):
                self._written = found.removeprefix(self._top)
                self._tell(self._written, _WRITTEN)

    def _note_changed(self, event: str, args: tuple[Any, ...]) -> None:
        """Note files that are moved, removed or linked: within the work tree as if they were written to."""
        if any(isinstance(it, int) and it != -1 for it in args):
            return  # names in a directory that is open
        for path in args[:2] if event == "os.rename" else args[int(event.endswith("link")) :][:1]:
            name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
            exists = event not in {"os.remove", "shutil.rmtree"} or os.path.lexists(name)
            if name and exists:
                place, last = os.path.split(os.path.abspath(name))  # noqa: PTH100
                self._note_written(f"{os.path.realpath(place)}/{last}")

    def _note_database(self, path: object) -> None:
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        name = name.removeprefix("file:").partition("?")[0] if name.startswith("file:") else name
        if name and name != ":memory:":
            self._note(name, self._opened)
            self._note(f"{name}-wal", self._opened)

    def _note(self, path: str, files: dict[str, str]) -> None:
        with suppress(OSError, ValueError):
            found = os.path.realpath(path)
            if found in self._made or not self._is_tracked(found):
                return
            found.encode()
            if os.path.abspath(path) != found:  # noqa: PTH100
                for link, target in _links(path):
                    if self._is_tracked(link):
                        self._keep(files, link, f"{LINK}{target}")
            try:
                info = os.stat(found)  # noqa: PTH116  (pathlib is an import)
            except FileNotFoundError:
                self._keep(files, found, ABSENT)
                return
            except NotADirectoryError:  # a member of an archive
                self._note(os.path.dirname(found), files)  # noqa: PTH120
                return
            is_inside = found.startswith(self._top) or found + "/" == self._top
            is_new = self._begun and info.st_ctime >= self._begun
            if is_new and not is_inside and found.startswith(self._temporary):
                return
            if os.path.isdir(found):  # noqa: PTH112
                self._seen.add(found)
                self._keep(files, f"{found}/", listed(found))
            elif found not in files:
                is_file = stat.S_ISREG(info.st_mode)  # who opens a FIFO takes what is in it
                young = self._young_mark(found, info.st_size) if is_inside and is_file else ""
                self._keep(files, found, f"{info.st_size} {info.st_ctime_ns}{young}")

    def _young_mark(self, path: str, size: int) -> str:
        """The id of a file's content, if the file may have changed since the snapshot was taken."""
        if not is_young(path, self._top.rstrip("/"), self._since):
            return ""
        if size > YOUNG_FILE:
            return " ?"
        self._seen.add(path)
        with open(path, "rb") as source:  # noqa: PTH123
            return f" {hash_object(ObjectType.BLOB, source.read())}"

    def _keep(self, files: dict[str, str], path: str, mark: str) -> None:
        if files.setdefault(path, mark) is mark:
            self._tell(path, mark)

    def _is_tracked(self, path: str) -> bool:
        if is_known(path) or f"{path}/".startswith(self._ours) or _CACHED in path:
            return False
        if path.startswith(self._top) or f"{path}/" == self._top:
            return True
        is_device = path.startswith("/dev/") and not path.startswith(self._temporary)
        is_system = path.startswith(_SYSTEM) and not path.startswith(_MOUNTED)
        return not (is_device or is_system or path.startswith(self._settings))

    # ---- processes that the task forks ----

    def _share(self) -> None:
        """A task is about to fork: its children tell through a file in memory what they open."""
        if self._notes and self._shared < 0 and hasattr(os, "memfd_create"):
            with suppress(OSError):
                self._shared = os.memfd_create("opened")

    def _be_child(self) -> None:
        self._is_child = True

    def _tell(self, path: str, mark: str) -> None:
        if self._is_child and self._shared >= 0:
            with suppress(OSError, ValueError):
                os.write(self._shared, f"{path}\0{mark}\0".encode())

    def _read_shared(self) -> None:
        if self._shared < 0 or self._is_child:
            return
        with suppress(OSError):
            data = os.pread(self._shared, os.fstat(self._shared).st_size, 0)
            words = data.decode(errors="replace").split("\0")
            for path, mark in zip(words[::2], words[1::2], strict=False):
                if mark == _WRITTEN:
                    self._written = path
                else:
                    self._opened.setdefault(path, mark)


def _temporary_directory() -> Iterator[str]:
    place = os.environ.get("TMPDIR")
    if place:
        yield os.path.realpath(place) + "/"


def _source_of(path: str) -> str:
    """The file whose code another one holds, if it is compiled code."""
    if path.endswith(".pyc") and _CACHED in path:
        from importlib.util import source_from_cache

        with suppress(ValueError):
            return source_from_cache(path)
    return path


def _links(path: str) -> Iterator[tuple[str, str]]:
    """The symbolic links on the way to a file, and where they lead."""
    rest = os.path.abspath(path).split("/")[1:]  # noqa: PTH100
    found = ""
    for _ in range(_LINKS):
        while rest:
            name = rest.pop(0)
            if os.path.islink(f"{found}/{name}"):  # noqa: PTH114
                target = os.readlink(f"{found}/{name}")  # noqa: PTH115
                yield f"{found}/{name}", target
                place = os.path.normpath(os.path.join(f"{found}/", target))  # noqa: PTH118
                found, rest = "", [*place.split("/")[1:], *rest]
                break
            found = f"{found}/{name}"
        else:
            return


def _is_importing() -> bool:
    """Whether the import system looks for modules: that a directory has another file now changes nothing by itself."""
    with suppress(ValueError):
        return sys._getframe(2).f_code.co_filename.startswith(_IMPORTING)  # noqa: SLF001
    return False
