"""When runs started, by their newest commit: a cache of what their messages say, in the disposable state.

Where runs were exchanged between clones their order is that of these times, and reading 10,000 messages for the three
newest costs 0.4 s. A commit never changes, so an entry is never wrong; one that nothing needs any more is dropped when
the file is written again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.permissions import read_file, replace_file
from gitflowrun.limits import MAX_START_TIMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.repository import Repository

_FILE = "started"


def read_start_times(repo: Repository) -> dict[str, str]:
    """What is known: the times, as messages write them, by commit. Nothing where the file can't be used."""
    path = repo.state_dir / _FILE
    try:
        data = read_file(path, "the start times of runs", limit=MAX_START_TIMES) or b""
        return dict(line.split(" ") for line in data.decode("ascii").splitlines())
    except (GitflowrunError, ValueError):
        return {}


def write_start_times(repo: Repository, times: Mapping[str, str]) -> None:
    """Keep what is known, as far as this repository can be written to."""
    text = "".join(f"{commit} {time}\n" for commit, time in times.items())
    if len(text) > MAX_START_TIMES:
        return
    with suppress(GitflowrunError, OSError):
        replace_file(repo.state() / _FILE, text.encode("ascii"), repo.shared_mode)
