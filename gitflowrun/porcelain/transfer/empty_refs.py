"""Refs that hold nothing, as a power cut leaves them, and what they had."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import Oid
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trust import Trust

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId


def lost_tip(repo: Repository, ref: str) -> Oid | None:
    """What a ref that holds nothing had: by its reflog, the run it is a tag of, or the newest commit of its run."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        log = (repo.common_dir / "logs" / ref).read_bytes().splitlines()
        return Oid.from_hex(log[-1].split(b" ", 2)[1])
    if tag := layout.parse_tag_ref(ref):
        with contextlib.suppress(GitflowrunError):  # there is no such run
            return RunStore(repo).get(tag[0], str(tag[2])).identity.uid
    name = layout.parse_run_ref(ref)
    return _newest_commit(repo, *name) if name else None


def _newest_commit(repo: Repository, flow: str, run_id: RunId) -> Oid | None:
    """The one commit that says it is of a run and leads to all others that do; None where there are several.

    Others say so, too: runs of that number that were fetched, which have refs of their own, and whoever forged a
    commit upon yours. So of a run that was made here only commits count that were.
    """
    here = {row.uid for row in RunStore(repo).summaries()}
    trust = Trust(repo)
    parents: dict[Oid, tuple[Oid, ...]] = {}
    listed = repo.git.run(
        "cat-file",
        "--batch-all-objects",
        "--unordered",
        "--batch-check=%(objecttype) %(objectname)",
    )
    for line in listed.splitlines():
        if line.startswith(b"commit "):
            with contextlib.suppress(GitflowrunError):
                oid = Oid.from_hex(line.split()[1])
                commit = repo.objects.commit(oid)
                state = parse_message(commit.message.decode(errors="replace"))
                uid = (state.uid or oid) if state else oid
                is_its = str(uid).startswith(run_id.partition("-")[2]) and uid not in here
                if state is not None and state.run == f"{flow}/{run_id.number}" and is_its:
                    parents[oid] = commit.parents
    found = {oid for oid in parents if trust.made(oid)} or {*parents}
    left = found - {above for oid in found for above in parents[oid]}
    return left.pop() if len(left) == 1 else None
