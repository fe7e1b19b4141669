"""Creates a run: a number, and two commits that exist before any of the user's code runs.

1. Check the names that become refs, so that nothing has to be taken back.
2. Reserve the next number and take the run's lock (`ids`). From now on no space is freed (`porcelain.deletion.free`);
   if some was since the snapshot, and not all of its code is there, take another snapshot.
3. Make the first commit: no parent, INFO alone as its tree, with a random nonce. Its oid is the run's uid, and tags
   point at it: whoever pushes a tag publishes neither code nor data.
4. Make its child: INFO, `code/` and the tasks that the run begins with (`_parameters`, or all that a resumed run
   adopts). Write both commits, all they need and what is new in the snapshot as one kept pack.
5. Create the run's ref at the child, and its tags, in one transaction. A run that is there already was put there
   by somebody who does not ask for numbers: release everything and begin again at 2, this time looking at all refs.
6. Release the pack.

A process that is killed before 5 leaves a number that is never used and a pack that `PackStore.sweep` frees. From
5 on the run can be resumed and cloned, whatever kills it.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from gitflowrun.errors import MissingObject, RefConflict
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Mode, parse_tree
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.limits import TREE_SIZE
from gitflowrun.names import check_flow_name, check_tag
from gitflowrun.runs import layout
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.tags import check_tags
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.runs.ids import Reservation
    from gitflowrun.runs.records import RunInfo
    from gitflowrun.runs.spins.numbers import SpinIds
    from gitflowrun.runs.trees import FinishedTask

    FirstTasks = Callable[[RunWriter], Sequence[FinishedTask]]

_ATTEMPTS = 10
_LISTED = 10_000
"""How many dirty or left-out files INFO names; it says how many there were."""


def create_run(
    repo: Repository,
    info: RunInfo,
    snapshot: Snapshot,
    first_tasks: FirstTasks = lambda _writer: (),
) -> RunWriter:
    """Create a run; once this returns, git has it under its number, and it is locked.

    Args:
        repo: The repository.
        info: What describes the run; its number, nonce and time, and what the snapshot tells, are set here.
        snapshot: The code; the writer tells which was recorded in the end.
        first_tasks: Makes the tasks of the second commit, when the run's identity is known and before anything is
            written: it may let the writer adopt some, and returns others. Called again for another number.

    Raises:
        UsageError: its flow can't be a ref.
        TaggingError: one of its tags can't be.
        RepositoryError: the repository can't be written to.
    """
    flow = check_flow_name(info.flow)  # 1
    tags = check_tags(info.tags, system=info.system_tags)
    info = replace(info, flow=flow, tags=tuple(map(check_tag, info.tags)))
    ids: RunIds | SpinIds = RunIds(repo)
    if info.is_spin:
        from gitflowrun.runs.spins.numbers import SpinIds  # a run needs none

        ids = SpinIds(repo)
    for attempt in range(_ATTEMPTS):
        reserved = ids.reserve(thorough=attempt > 0)  # 2
        try:
            reached("create.reserved")
            if repo.freed_stamp() != snapshot.freed and not _has_code(repo, snapshot):
                snapshot = take_snapshot(repo, snapshot.program)
            writer = RunWriter(repo, _numbered(info, snapshot, reserved), snapshot, reserved.lock)
            reached("create.prepared")
            writer.begin(first_tasks(writer), tags)  # 3 to 6
        except RefConflict:
            reserved.lock.release(remove=True)
            taken = repo.refs.get(layout.run_ref(flow, reserved.id)) is not None
            if not taken or attempt == _ATTEMPTS - 1:
                raise
        except BaseException:
            # The lock's file stays: if the ref was created after all, that tells that the run is dead.
            reserved.lock.release()
            raise
        else:
            return writer
    raise AssertionError  # pragma: no cover  (the last attempt returns or raises)


def _has_code(repo: Repository, snapshot: Snapshot) -> bool:
    """Whether all code is here that the snapshot found here: some may have been freed with a run that was removed."""
    new = {it.oid: it for it in snapshot.objects}
    trees, blobs = [snapshot.tree], set()
    try:
        while trees:
            tree = trees.pop()
            data = new[tree].data if tree in new else repo.objects.read(tree, TREE_SIZE)[1]
            for row in parse_tree(bytes(data)):
                if row.is_tree:
                    trees.append(row.oid)
                elif row.mode != Mode.GITLINK:
                    blobs.add(row.oid)
        return not repo.objects.missing(blobs - new.keys())
    except MissingObject:
        return False


def _numbered(info: RunInfo, snapshot: Snapshot, reserved: Reservation) -> RunInfo:
    return replace(
        info,
        id=reserved.id,
        nonce=secrets.token_hex(16),
        created=round(time.time(), 3),  # as precise as the commit's message is
        git={**info.git, **_code_facts(snapshot)},
    )


def _code_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What INFO says of the recorded code."""
    return {
        "commit": str(snapshot.head) if snapshot.head else None,
        "branch": snapshot.branch,
        "dirty": list(snapshot.dirty[:_LISTED]),
        "dirty_count": len(snapshot.dirty),
        "left_out": [[it.path, it.size, it.reason] for it in snapshot.left_out[:_LISTED]],
        "left_out_count": len(snapshot.left_out),
    }
