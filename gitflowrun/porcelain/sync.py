"""Sharing runs with a remote: the doors `push` and `fetch`, and what they return. Rules of names below.

Numbers are given out in each clone, so two clones can both have a run 12. Nothing is renumbered and nothing
overwritten; a run is known by its uid, and the remote decides who was first:

- A run goes to the remote under its own id. If another run has that id there, of whatever flow, it is
  published as `<number>-<first 7 digits of its uid>`; at home it stays 12 for ever.
- A fetched run keeps the id it has on the remote, unless that is taken here: then it arrives as
  `<number>-<uid7>`.
- A run that is already here, or there, is recognised by its uid under any of these names, and is only ever
  moved forward to a later state of itself.

So all names of a run, anywhere, begin with the number it was born with. `sending` and `receiving` do the work,
`synctags` merges tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.transport import Remote, default_remote
from gitflowrun.porcelain.sync_report import Outcome, SyncedRun, SyncReport
from gitflowrun.runs.listing import list_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun

__all__ = ["Outcome", "SyncReport", "SyncedRun", "fetch", "push"]


def push(
    repo: Repository,
    remote: str | None = None,
    runs: Sequence[StoredRun] | None = None,
    *,
    verify: bool = True,
) -> SyncReport:
    """Send runs and their tags to a remote.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would push to when None.
        runs: Which runs; all when None.
        verify: Whether the user's pre-push hook is asked.

    Raises:
        RepositoryError: the remote can't be reached. What was sent before stays, and is not sent again.
    """
    from gitflowrun.porcelain.push import Run, Sender

    if runs is None:
        wanted = [Run(run.flow, run.id, run.commit) for run in list_runs(repo)]
    else:
        wanted = [Run(run.flow, run.id, run.commit) for run in runs]
    place = Remote(repo, remote or default_remote(repo, push=True)).for_push()
    return Sender(repo, place, verify=verify).send(sorted(wanted, key=lambda run: run.id.sort_key))


def fetch(repo: Repository, remote: str | None = None) -> SyncReport:
    """Get the runs and tags of a remote.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would fetch from when None.

    Raises:
        RepositoryError: the remote can't be reached. What was fetched before stays.
    """
    from gitflowrun.porcelain.fetch import Receiver
    from gitflowrun.runs.maintenance import tidy

    report = Receiver(repo, Remote(repo, remote or default_remote(repo))).receive()
    tidy(repo)  # each batch came as a pack
    return report
