"""What the step cache is told of the files that a task on another machine has opened: by the driver's paths.

Files of the agent's copy of the code stand for those of the driver's work tree. What the agent keeps in its cache is no
input. Any other file is one of a machine that nobody can look at later: no other run can have what such a task did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.values import replace

if TYPE_CHECKING:
    from gitflowrun.runtime.ipc.messages import Result


def with_drivers_paths(
    result: Result, top: str, work_tree: str, cache: str, *, shares_disk: bool
) -> Result:
    """A result whose files have the driver's paths.

    Args:
        result: The result.
        top: The top of the copy of the code.
        work_tree: The top of the driver's work tree.
        cache: The directory that is the agents' own.
        shares_disk: Whether other files are the driver's as well.
    """
    found: dict[str, str] = {}
    for path, mark in result.read.items():
        if path == top or path.startswith(f"{top}/"):
            found[f"{work_tree}{path[len(top) :]}"] = mark
        elif path.startswith(f"{cache}/"):
            continue
        elif shares_disk:
            found[path] = mark
        else:
            return replace(result, read={}, unfit=f"it opens {path} on another machine")
    return replace(result, read=found)
