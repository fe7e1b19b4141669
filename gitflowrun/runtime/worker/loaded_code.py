"""The files of the work tree whose code a task's process has loaded since they may have changed.

The snapshot of the work tree is taken once, before the first task; a fresh interpreter imports the flow anew for
each task, and a step may import what nobody has before. What is loaded then is what lies in the work tree then. So
each such file is hashed when it is loaded, if it is young enough to differ, and the scheduler compares it with the
snapshot. To look at the end of the task would be too late: a file that is edited while a step runs is not what ran.

Whether a file is young says the time of its last change (`st_ctime`, which nobody can set) and those of the
directories that it is in, up to the work tree: one that is renamed takes the place of another with all its files.

Imports are noticed where Python asks for a source file's times (`SourceFileLoader.path_stats`): a fork that imports
nothing pays nothing for it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.git.objects import ObjectType, hash_object

if TYPE_CHECKING:
    from gitflowrun.git.objects import Oid

_PACKAGE = __file__.removesuffix("runtime/worker/loaded_code.py")
_INSTALLED = ("/site-packages/", "/dist-packages/")
NOT_THE_USERS = (_PACKAGE, os.__file__.removesuffix("os.py"))
"""Where the package and the standard library are."""


def is_known(file: str, places: tuple[str, ...] = NOT_THE_USERS) -> bool:
    """Whether a module's file lies in one of these directories or is that of an installed package."""
    return file.startswith(places) or any(place in file for place in _INSTALLED)


def is_young(path: str, top: str, since: float) -> bool:
    """Whether a file may have been changed, or put in the place of another one, since a time.

    Args:
        path: The file, which lies in the work tree.
        top: The top of the work tree.
        since: The time, in seconds since 1970.

    Raises:
        OSError: the file is not there.
    """
    while len(path) > len(top):
        if os.lstat(path).st_ctime >= since:
            return True
        path = os.path.dirname(path)  # noqa: PTH120
    return False


class LoadedCode:
    """What this process has loaded from a work tree.

    Args:
        work_tree: The top of the work tree; empty where there is none.
        since: When the snapshot of it was begun, in seconds since 1970: older files are as they are there.

    Attributes:
        young: The files that were loaded and may differ from the snapshot, from the top of the work tree, each
            with the id that git gives to the content that was loaded.
    """

    def __init__(self, work_tree: str, since: float) -> None:
        self.young: dict[str, Oid] = {}
        self._top = work_tree
        self._since = since

    def watch(self) -> None:
        """From now on take note of what is imported."""
        if not self._top:
            return
        # A module of the flow may not have loaded it, and the zygote has.
        from importlib.machinery import SourceFileLoader

        ask = SourceFileLoader.path_stats

        def path_stats(loader: Any, path: str) -> Any:
            self._note(path)
            return ask(loader, path)

        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign,assignment]

    def look_back(self) -> None:
        """Take note of what is loaded already: the flow and its modules, in an interpreter that has just begun."""
        for module in list(sys.modules.values()) if self._top else ():
            file = getattr(module, "__dict__", {}).get("__file__")  # no `getattr`: it may be lazy
            if isinstance(file, str):
                self._note(file)

    def _note(self, file: str) -> None:
        if is_known(file):
            return
        # It may be gone, or its name no text that a record could hold.
        with suppress(OSError, ValueError):
            path = os.path.realpath(file)
            is_inside = path.startswith(self._top + "/") and not is_known(path)
            if is_inside and is_young(path, self._top, self._since):
                path.encode()
                with open(path, "rb") as source:  # noqa: PTH123  (pathlib is an import)
                    oid = hash_object(ObjectType.BLOB, source.read())
                self.young[path[len(self._top) + 1 :]] = oid
