"""What a run is born with: its INFO as far as the launcher knows it, and the files that announce its id."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gitflowrun
from gitflowrun.errors import UsageError
from gitflowrun.runs.create import RunDraft
from gitflowrun.runs.records import RunOrigin
from gitflowrun.runtime.executors.local import fresh_hash_seed
from gitflowrun.runtime.scheduler import environment
from gitflowrun.settings import Isolation

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.messages import Order

__all__ = ["METAFLOW_LEVEL", "announce", "check_files", "make_draft"]

METAFLOW_LEVEL = "2.19"
"""The release of Metaflow whose behaviour flows find here."""


def make_draft(
    order: Order, repo: Repository, user: str, isolation: Isolation, origin: StoredRun | None
) -> RunDraft:
    """What is known of the run before it exists."""
    python = ".".join(map(str, sys.version_info[:3]))
    texts = order.texts if origin is None else {**origin.info.parameters, **order.texts}
    return RunDraft(
        flow=order.flow,
        user=user,
        host=socket.gethostname(),
        versions={
            "gitflowrun": gitflowrun.__version__,
            "metaflow": METAFLOW_LEVEL,
            "python": python,
        },
        parameters=texts,
        environment=_environment(order, repo, isolation),
        graph=order.graph,
        tags=order.request.tags,
        system_tags=(
            f"user:{user}",
            "runtime:dev",
            f"python_version:{python}",
            f"metaflow_version:{METAFLOW_LEVEL}",
        ),
        origin=None if origin is None else RunOrigin(order.request.kind.value, origin.identity),
        script=_within(order.script, repo.work_tree),
        git_extra=_remote(repo),
    )


def _environment(order: Order, repo: Repository, isolation: Isolation) -> dict[str, object]:
    return {
        **environment.machine(),
        "packages": environment.installed_packages(order.path),
        "lock_files": environment.lock_files(repo.work_tree),
        "variables": environment.environment_variables(os.environ, repo.settings.env),
        "argv": environment.redacted(order.request.argv),
        "isolation": isolation.value,
        "hash_seed": order.hash_seed if isolation is not Isolation.FRESH else fresh_hash_seed(),
        "random_seeds": {name: f"{seed:016x}" for name, seed in order.seeds.items()},
    }


def _remote(repo: Repository) -> dict[str, str]:
    """Where the code comes from: `origin`, or else the only remote."""
    remotes = repo.remotes()
    url = remotes.get("origin") or (next(iter(remotes.values())) if len(remotes) == 1 else None)
    return {} if url is None else {"remote": environment.without_credentials(url)}


def _within(script: str, top: Path | None) -> str:
    """A file's path within the work tree; as it was given where it lies outside."""
    path = Path(script).resolve()
    if top is not None and path.is_relative_to(top):
        return path.relative_to(top).as_posix()
    return script


def check_files(*paths: Path | None) -> None:
    """Make sure that files can be written, while there is no run that a mistake could leave behind.

    Raises:
        UsageError: one can't.
    """
    for path in paths:
        if path is None:
            continue
        folder = path.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageError(
                f"{str(path)!r} can't be written", hint="name a file in a directory that exists"
            )


def announce(run: RunIdentity, repo: Repository, id_file: Path | None, facts: Path | None) -> None:
    """Write the run id, and the run's facts as JSON, to where programs wait for them."""
    if id_file is not None:
        id_file.write_text(str(run.id), encoding="utf-8")
    if facts is not None:
        told = {
            "run_id": str(run.id),
            "flow_name": run.flow,
            "metadata": f"local@{repo.common_dir}",
        }
        facts.write_text(json.dumps(told), encoding="utf-8")
