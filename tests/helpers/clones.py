"""Clones of a shared repository: what they push, fetch and have afterwards."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.porcelain.transfer.push import push
from gitflowrun.porcelain.transfer.sync import Outcome, SyncReport
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo, store_of

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredRun


def clone(server: GitRepo, name: str) -> GitRepo:
    """A person's clone of the server."""
    path = server.path.parent / name
    subprocess.run(["git", "clone", "-q", str(server.path), str(path)], check=True)
    return GitRepo(path)


def send(repo: GitRepo, *runs: str) -> SyncReport:
    """Push runs by address; all when none is named."""
    repository = open_repo(repo)
    store = RunStore(repository)
    (report,) = push(repository, "origin", [store.find(run) for run in runs] if runs else None)
    return report


def get(repo: GitRepo) -> SyncReport:
    """Fetch everything."""
    return fetch(open_repo(repo), "origin")


def ids(repo: GitRepo) -> dict[str, str]:
    """What runs a repository has: `Flow/id` to the first digits of the uid."""
    store = store_of(repo)
    return {
        f"{flow}/{run}": str(store.get(flow, run).identity.uid)[:7] for flow, run in store.names()
    }


def refs(repo: GitRepo, prefix: str = "refs/runs/") -> dict[str, str]:
    """Refs by name."""
    rows = repo.git("for-each-ref", "--format=%(refname) %(objectname)", prefix).split("\n")
    return dict(row.split(" ") for row in rows if row)


def tags(repo: GitRepo) -> dict[str, tuple[str, ...]]:
    """The tags of every tagged run."""
    found = Tags(open_repo(repo)).all()
    return {f"{flow}/{run}": names for (flow, run), names in found.items()}


def outcomes(report: SyncReport) -> list[Outcome]:
    """How the runs fared; those at last about which nothing was asked."""
    return [
        *(run.outcome for run in report.runs),
        *[Outcome.CURRENT for _ in report.up_to_date],
    ]


def add_tag(repo: GitRepo, address: str, *names: str, remove: bool = False) -> None:
    """Change the tags of a run."""
    repository = open_repo(repo)
    run: StoredRun = RunStore(repository).find(address)
    if remove:
        Tags(repository).change(run, remove=names)
    else:
        Tags(repository).change(run, add=names)


def break_line(repo: GitRepo, server: GitRepo, call: int) -> None:
    """Have a repository reach the server over a line that breaks once: the so many-th time that it is used."""
    calls, ssh = repo.path.parent / "calls", repo.path.parent / "ssh"
    ssh.write_text(
        f'#!/bin/sh\nshift\necho >>{calls}\n[ $(wc -l <{calls}) != {call} ] || exit 255\neval "$*"\n'
    )
    ssh.chmod(0o755)
    repo.git("config", "core.sshCommand", str(ssh))
    repo.git("config", "ssh.variant", "simple")
    repo.git("remote", "set-url", "origin", f"ssh://host{server.path}")
