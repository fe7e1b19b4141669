"""`read_info_file`, of Metaflow's module of that name: the INFO of the run that this process belongs to.

Three places are looked at, the nearest first:

1. The environment: a task's process has its run there (`GITFLOWRUN_RUN`, `Flow/id`).
2. The file system: a script that runs from a run's tree (`git worktree add X runs/Flow/12`, `git archive
   runs/Flow/12`) has `INFO` beside the directory `code` it lies in.
3. The repository: the newest run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.client.metaflow_names import info_dict
from gitflowrun.client.repository import Source
from gitflowrun.errors import CorruptRecord, GitflowrunError, RepositoryError
from gitflowrun.limits import MAX_INFO_FILE
from gitflowrun.names import Pathspec
from gitflowrun.runs import layout
from gitflowrun.runs.records import INFO

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredRun

RUN_VARIABLE = "GITFLOWRUN_RUN"


def read_info_file() -> dict[str, Any] | None:
    """The INFO of the run that this process belongs to, else of the newest run of the repository.

    Returns:
        A plain dictionary with `flow_name`, `run_id`, `gitflowrun_version`, `metaflow_version` (the level of
        Metaflow's API that is followed), `python_version`, `script`, `username` and more; None where there
        is no run.

    Raises:
        CorruptRecord: the record is damaged.
        RepositoryError: the repository can't be used.
    """
    beside = None if RUN_VARIABLE in os.environ else _beside_script()
    if beside is not None:
        return beside
    stored = _stored()
    return None if stored is None else info_dict(stored.info, stored.identity)


def _stored() -> StoredRun | None:
    try:
        runs = Source.current().runs
    except RepositoryError:
        return None
    own = os.environ.get(RUN_VARIABLE)
    if own is not None:
        try:
            path = Pathspec.parse(own, depth=2)
            return runs.get(path.flow, path.run or "")
        except GitflowrunError:
            pass  # a variable inherited from elsewhere, such as a task that works in another repository
    return runs.latest()


def _beside_script() -> dict[str, Any] | None:
    script = Path(sys.argv[0] if sys.argv else "").absolute()
    for folder in script.parents:
        if os.fsencode(folder.name) == layout.CODE:
            found = _read(folder.with_name(layout.INFO.decode()))
            if found is not None:
                return found
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """The INFO in a file; None when it holds something else."""
    try:
        if path.stat().st_size > MAX_INFO_FILE:
            return None
        data = msgpack.unpack(path.read_bytes())
        return info_dict(INFO.load(data)) if isinstance(data, dict) else None
    except (CorruptRecord, OSError):
        return None
