"""Whether a text occurs in what the tasks of a run wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, NotFound, RepositoryError
from gitflowrun.names import TaskName
from gitflowrun.runs.live import observe
from gitflowrun.runs.read import StoredRun

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary

_MOST = 64 << 20
"""Bytes of output of one run that are searched."""


def has_output(repo: Repository, run: RunSummary | DamagedRun, text: str) -> bool:
    """Whether a task of a run wrote a text, in any case of letters; what can't be read is passed over."""
    if run.commit is None:
        return False
    wanted = text.casefold().encode()
    left = _MOST
    try:
        stored = observe(StoredRun(repo, run.flow, run.id, run.commit))
        for step in stored.known_steps():
            for task in stored.tasks(step):
                found = stored.task(TaskName(step, task))
                for stream in ("stderr", "stdout"):
                    left -= found.output_size(stream)
                    if left < 0:
                        return False
                    # Letters beyond ASCII keep their case: to decode gigabytes would take minutes.
                    if wanted in found.output(stream).lower():
                        return True
    except (CorruptRecord, NotFound, RepositoryError):
        return False
    return False
