"""How a run comes into being: numbered, written and referenced before any of the user's code runs.

1. Check the names that become refs, so that nothing has to be taken back.
2. Reserve the next number and take the run's lock (`ids`).
3. Make INFO, with a random nonce, and the birth commit: no parent, INFO and the snapshot as its tree; sealed,
   so that this clone knows it for its own.
4. Write them, and what is new in the snapshot, as one kept pack.
5. Create the run's ref and its tags in one transaction. A run that is there already was put there by somebody
   who does not ask for numbers: release everything and begin again at 2, this time looking at all refs.
6. Release the pack.

A process that is killed before 5 leaves a number that is never used and a pack that `PackStore.sweep` frees.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import RefConflict
from gitflowrun.git.objects import Commit, Mode, ObjectType, TreeEntry, tree_bytes
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import check_flow_name, check_tag
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import RunState, Status, format_message
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.pending import make_object
from gitflowrun.runs.records import INFO, Map, RunIdentity, RunInfo
from gitflowrun.runs.tags import check_tags, publish, tag_updates
from gitflowrun.runs.trust import Trust
from gitflowrun.runs.write import Born, RunWriter
from gitflowrun.values import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.pack.publish import PackObject
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.names import RunId
    from gitflowrun.runs.ids import Reservation
    from gitflowrun.runs.records import RunOrigin

__all__ = ["RunDraft", "create_run"]

_ATTEMPTS = 10
_LISTED = 10_000
"""How many dirty or left-out files INFO names; it says how many there were."""


@frozen
class RunDraft:
    """What the launcher knows of a run that does not exist yet; fields as in `RunInfo`.

    Attributes:
        git_extra: More about the repository for INFO's `git`, such as `remote`.
    """

    flow: str
    user: str
    host: str
    versions: Mapping[str, str]
    parameters: Mapping[str, str]
    environment: Map
    graph: Map
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    origin: RunOrigin | None = None
    script: str = ""
    git_extra: Map = field(default_factory=dict)


def create_run(repo: Repository, draft: RunDraft, snapshot: Snapshot) -> RunWriter:
    """Make the run that `draft` describes; once this returns, git has it under its number, and it is locked.

    Raises:
        UsageError: its flow can't be a ref.
        TaggingError: one of its tags can't be.
        RepositoryError: the repository can't be written to.
    """
    flow = check_flow_name(draft.flow)  # 1
    tags = check_tags(draft.tags, system=draft.system_tags)
    ids = RunIds(repo)
    for attempt in range(_ATTEMPTS):
        reserved = ids.reserve(thorough=attempt > 0)  # 2
        try:
            return RunWriter(repo, _publish(repo, draft, snapshot, tags, reserved))
        except RefConflict:
            reserved.lock.release(remove=True)
            taken = repo.refs.get(layout.run_ref(flow, reserved.id)) is not None
            if not taken or attempt == _ATTEMPTS - 1:
                raise
        except BaseException:
            # The lock's file stays: if the ref was created after all, that tells that the run is dead.
            reserved.lock.release()
            raise
    raise AssertionError  # pragma: no cover  (the last attempt returns or raises)


def _publish(
    repo: Repository,
    draft: RunDraft,
    snapshot: Snapshot,
    tags: tuple[str, ...],
    reserved: Reservation,
) -> Born:
    info = _make_info(draft, snapshot, reserved.id)  # 3
    state = _first_state(info, snapshot)
    info_oid, info_object = make_object(
        ObjectType.BLOB, msgpack.pack(INFO.dump(info), msgpack.RECORD)
    )
    uid, objects = _make_commit(repo, info_oid, snapshot.tree, state)
    pack = repo.packs.write([*snapshot.objects, info_object, *objects])  # 4
    identity = RunIdentity(info.flow, info.id, uid)
    try:
        birth = RefUpdate(layout.run_ref(info.flow, info.id), uid, None)
        publish(repo.refs, [birth, *tag_updates(repo.refs, identity, add=tags)])  # 5
    finally:
        repo.packs.release([pack.name])  # 6
    return Born(identity, info, info_oid, snapshot.tree, state, reserved.lock)


def _make_info(draft: RunDraft, snapshot: Snapshot, run: RunId) -> RunInfo:
    git = {
        **draft.git_extra,
        "commit": str(snapshot.head) if snapshot.head else None,
        "branch": snapshot.branch,
        "dirty": list(snapshot.dirty[:_LISTED]),
        "dirty_count": len(snapshot.dirty),
        "left_out": [[it.path, it.size, it.reason] for it in snapshot.left_out[:_LISTED]],
        "left_out_count": len(snapshot.left_out),
    }
    return RunInfo(
        flow=check_flow_name(draft.flow),
        id=run,
        nonce=secrets.token_hex(16),
        created=round(time.time(), 3),  # as precise as the commit's message is
        user=draft.user,
        host=draft.host,
        versions=draft.versions,
        parameters=draft.parameters,
        git=git,
        environment=draft.environment,
        graph=draft.graph,
        tags=tuple(map(check_tag, draft.tags)),
        system_tags=draft.system_tags,
        origin=draft.origin,
        script=draft.script,
    )


def _first_state(info: RunInfo, snapshot: Snapshot) -> RunState:
    origin = info.origin
    return RunState(
        run=f"{info.flow}/{info.id}",
        status=Status.RUNNING,
        started=info.created,
        user=info.user,
        code_commit=snapshot.head,
        dirty=bool(snapshot.dirty) or snapshot.head is None,
        origin=f"{origin.kind} {origin.run.pathspec} {origin.run.uid}" if origin else "",
    )


def _make_commit(
    repo: Repository, info: Oid, code: Oid, state: RunState
) -> tuple[Oid, list[PackObject]]:
    """The birth commit's id, and the objects it needs besides INFO and the snapshot."""
    entries = [TreeEntry(Mode.BLOB, layout.INFO, info), TreeEntry(Mode.TREE, layout.CODE, code)]
    root, tree = make_object(ObjectType.TREE, tree_bytes(entries))
    who = repo.signature()
    sealed = replace(state, seal=Trust(repo).seal(root, ()))
    commit = Commit(root, (), who, who, format_message(sealed))
    oid, item = make_object(ObjectType.COMMIT, commit.encode())
    return oid, [tree, item]
