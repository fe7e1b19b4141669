"""Tags of runs between clones: a three-way merge of sets, with the tracking copies as the common base.

A tag is (flow, tag, uid of the run), whatever the run's id on either side. Against the base, what one side
added is added to the other, and what one side removed is removed from the other; so nobody's tags come back
from the dead, and two clones that add the same tag agree.

Pushing changes only the remote, fetching only this repository. The base holds a tag from when both sides have
it until both sides have dropped it; a tag that we could not take over never enters it, or its absence here
would look like a removal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.porcelain.sync import RunTip, TagChanges, TagKey, Tracking, tags_of
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.tags import tag_updates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.ref_update import Refs
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.transport import Remote
    from gitflowrun.names import RunId


def push_tags(
    repo: Repository,
    remote: Remote,
    tracking: Tracking,
    theirs: Mapping[str, Oid],
    there: Mapping[Oid, RunId],
    *,
    verify: bool,
) -> TagChanges:
    """Bring our changes to the tags of some runs to the remote.

    Args:
        repo: The repository.
        remote: The remote.
        tracking: Our copies of its refs.
        theirs: Its refs below refs/runs.
        there: The runs whose tags count: uid to id on the remote.
        verify: Whether the user's pre-push hook is asked.
    """
    base = tags_of(tracking.seen.items())
    have = tags_of(theirs.items())
    ours = _local_tags(repo.refs)
    added = [
        RefUpdate(layout.tag_ref(key.flow, key.tag, there[key.uid]), key.uid, None)
        for key in sorted(ours.keys() - have.keys() - base.keys())
        if key.uid in there
    ]
    removed = [
        RefUpdate(_ref(key, have), None, key.uid)
        for key in sorted((base.keys() - ours.keys()) & have.keys())
        if key.uid in there
    ]
    results = remote.push([*removed, *added], atomic=True, verify=verify)
    fine = {result.name for result in results if result.ok}
    # What both sides have, or both have dropped, is common ground from now on.
    notes: dict[str, Oid | None] = {change.name: change.new for change in [*added, *removed]}
    notes = {name: new for name, new in notes.items() if name in fine}
    notes |= {_ref(key, have): key.uid for key in ours.keys() & have.keys()}
    notes |= {_ref(key, base): None for key in base.keys() - ours.keys() - have.keys()}
    tracking.note(notes)
    notices = (
        f"tag ref {result.name}: {'somebody else changed it; push again' if result.stale else result.reason}"
        for result in results
        if not result.ok
    )
    return TagChanges(
        sum(change.name in fine for change in added),
        sum(change.name in fine for change in removed),
        tuple(notices),
    )


def fetch_tags(
    repo: Repository,
    tracking: Tracking,
    theirs: Mapping[str, Oid],
    here: Mapping[Oid, RunTip],
) -> TagChanges:
    """Bring the remote's changes to the tags of our runs here.

    Args:
        repo: The repository.
        tracking: Our copies of the remote's refs, as they were before.
        theirs: Its refs below refs/runs.
        here: Our runs, by uid.
    """
    base = tags_of(tracking.seen.items())
    runs = {(run.flow, uid) for uid, run in here.items()}
    theirs_here = tags_of(theirs.items()).items()
    have = {key: run for key, run in theirs_here if (key.flow, key.uid) in runs}
    with Locks(repo.state_dir).tags():
        ours = _local_tags(repo.refs)
        added = have.keys() - ours.keys() - base.keys()
        removed = (base.keys() - have.keys()) & ours.keys()
        updates: list[RefUpdate] = []
        for key in sorted(added):
            run = RunIdentity(key.flow, here[key.uid].id, key.uid)
            updates += tag_updates(repo.refs, run, add=[key.tag])
        for key in sorted(removed):
            run = RunIdentity(key.flow, ours[key], key.uid)
            updates += tag_updates(repo.refs, run, remove=[key.tag])
        repo.refs.transaction(updates)
    notes: dict[str, Oid | None] = {_ref(key, have): key.uid for key in have}
    notes |= {_ref(key, base): None for key in base.keys() - have.keys()}
    tracking.note(notes)
    return TagChanges(len(added), len(removed))


def _local_tags(refs: Refs) -> dict[TagKey, RunId]:
    """The tags of our runs, and the ids of these."""
    return tags_of((name, Oid.from_hex(oid)) for name, oid in refs.rows(layout.TAGS))


def _ref(key: TagKey, ids: Mapping[TagKey, RunId]) -> str:
    """The ref of a tag where its run has the id that `ids` says."""
    return layout.tag_ref(key.flow, key.tag, ids[key])
