"""Keeps the index of known payloads (`dedup`) up with the runs: each new one, or older ones after a loss.

Only payloads that a task writes as a pack of its own are remembered: what is smaller travels with the group
commit, where looking it up would cost more than storing it. And only those of runs that nobody but trusted ones
had in hand: a stranger's record could name the digest of a payload we are yet to make, with another's blob.
"""

from __future__ import annotations

import contextlib
from itertools import chain, islice
from typing import TYPE_CHECKING

from gitflowrun.artifacts.artifacts import INLINE_LIMIT
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import GitflowrunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import TaskRecord

__all__ = ["index_of", "payloads_of", "remember"]

_LOOK_BACK = 20_000
"""Tasks that are read, newest runs first, when the index was lost: seconds at most."""


def index_of(repo: Repository) -> DedupIndex:
    """The index of a repository."""
    return DedupIndex.of(repo.state_dir, repo.objects.packs)


def payloads_of(records: Iterable[TaskRecord]) -> Iterator[ArtifactRef]:
    """The artifacts worth remembering that tasks have made."""
    for record in records:
        for ref in record.artifacts.values():
            if ref.size > INLINE_LIMIT and ref.producer == record.name:
                yield ref


def remember(repo: Repository, refs: Iterable[ArtifactRef]) -> None:
    """Take up artifacts that published runs reach; where there is no index, those of older runs first."""
    index = index_of(repo)
    if index.exists:
        index.add(refs)
    else:
        index.rebuild(chain(payloads_of(islice(_records(repo), _LOOK_BACK)), refs))


def _records(repo: Repository) -> Iterator[TaskRecord]:
    from gitflowrun.runs.runs import RunStore
    from gitflowrun.runs.trust import Custody, Trust

    store = RunStore(repo)
    custody = Custody(store, Trust(repo))
    for flow, run in store.names():
        with contextlib.suppress(GitflowrunError):  # a damaged run has nothing to share
            for task in store.get(flow, run).all_tasks():
                if custody.trusts_task(task):
                    yield task.record
