"""The one writer of a run: its first two commits, then a commit per group of finished tasks.

A group commit, which goes on from the protocol of `git.pack.publish`:

1. Make the objects of the tasks and check that everything they refer to is there: payloads that travelled
   with them, chunks in the packs they wrote, chunks of earlier runs, inherited artifacts of this run. An attempt that
   has failed and is followed by another one is a task like any: it is published as it is, and is among the attempts
   of the next one's tree.
2. Make the trees of the changed steps, the root and the commit.
3. Write all this as one kept pack.
4. Check once more that what was there before is there still: nothing may have reached it, and gc may have run. Copy
   what nothing reaches any more, see `found`.
5. Move the run's ref from the last commit to this one. Now, and not before, the tasks are finished, unless the run that
   held something was removed in this moment, and it can't be copied any more: then the ref is moved back.
6. Release the pack and the packs that the tasks wrote.

When one of these fails, nothing is acknowledged and the same group may be committed again.

The first two commits (`create`) are made in the same way, as one group: the first one's objects, which nothing
reaches yet, are in the pack of its child, and the ref is created at the child.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Commit, Mode, ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import TaskName
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import RunState, Status, first_subject, format_message
from gitflowrun.runs.found import (
    FoundObjects,
    found_code,
    found_payloads,
    found_tasks,
    remember_code,
)
from gitflowrun.runs.maintenance import RunMaintenance, shared_payloads
from gitflowrun.runs.records import INFO, RunIdentity
from gitflowrun.runs.tags import tag_updates, transact
from gitflowrun.runs.trees import GroupObjects, ReachableObjects, RunTree, data_entries, make_object
from gitflowrun.runs.trust import Trust
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitflowrun.artifacts.reference import Chunk
    from gitflowrun.git.objects import Signature
    from gitflowrun.git.pack.writer import PackObject
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.runs.locks import FileLock
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import RunInfo, TaskRecord
    from gitflowrun.runs.trees import FinishedTask, TaskCards


class RunWriter:
    """Writes one run, and holds its lock until `close`.

    Args:
        repo: The repository.
        info: Its INFO, complete with number and nonce.
        snapshot: Its code.
        lock: The run's lock, which is held.

    Attributes:
        identity: Which run.
        info: Its INFO.
        snapshot: Its code.
        commit_oid: Its newest commit.
        last_commit_cost: Seconds that the last commit took; 0 before the first group commit.
        unsigned: Why the last commit of the run is not signed, if it was to be.
    """

    def __init__(self, repo: Repository, info: RunInfo, snapshot: Snapshot, lock: FileLock) -> None:
        assert info.id is not None, "a run has a number before it is written"
        self.info = info
        self.snapshot = snapshot
        self.last_commit_cost = 0.0
        self.unsigned: Exception | None = None
        self._repo = repo
        self._ref = layout.run_ref(info.flow, info.id)
        self._trust = Trust(repo)
        self._lock = lock
        self._maintenance = RunMaintenance(repo)
        self._state = _first_state(info, snapshot)
        self.commit_oid, info_oid, objects = self._first_commit()
        self.identity = RunIdentity(info.flow, info.id, self.commit_oid)
        self._state = replace(self._state, uid=self.commit_oid)
        self._tree = RunTree(info_oid, snapshot.tree)
        self._failed: dict[TaskName, bool] = {}
        """The tasks that have failed, in the order in which they did; whether another attempt was to follow."""
        self._reachable = ReachableObjects()
        self._pending = [*snapshot.objects, *objects]
        """Objects that the next commit needs besides those of its tasks."""
        self._found = [*found_code(repo, snapshot)]
        """Those that it relies on besides those."""
        self._published: Oid | None = None
        self._lender: StoredRun | None = None
        self._end_step = str(info.graph.get("end_step") or "end")

    @property
    def status(self) -> Status:
        """What the newest commit says."""
        return self._state.status

    def adopt(
        self, origin: StoredRun, names: Iterable[TaskName], steps: Iterable[str] = ()
    ) -> None:
        """Take finished tasks of another run as they are, into the next commit: no payload moves.

        Args:
            origin: The run.
            names: The tasks.
            steps: Steps, but for the last one, of which all tasks are taken; this run must have none of them.

        Raises:
            NotFound: the origin has no such task.
            RepositoryError: a task's tree is not in this repository.
        """
        tasks = [origin.task(name) for name in names]
        trees = [task.tree for task in tasks]
        self._check_adopted(origin, {task.tree: task.name for task in tasks})
        for task in tasks:
            name = task.name
            self._tree.steps.put(name.step, name.task, task.tree)
            if name.step == self._end_step:
                self._pending += self._view(task.record)
        for step in steps:
            tree, tasks_of = origin.step_tree(step)
            self._check_adopted(origin, {it: TaskName(step, task) for task, it in tasks_of.items()})
            self._tree.steps.put_step(step, tree, tasks_of)
            trees.append(tree)
        trees += self._adopt_cards(origin, [task.name for task in tasks], steps)
        self._tree.accept()
        self._found.append(found_tasks(origin, trees))

    def _adopt_cards(
        self, origin: StoredRun, names: Iterable[TaskName], steps: Iterable[str]
    ) -> list[Oid]:
        """Take the cards of tasks and steps that are adopted, as far as they are in this repository; their trees."""
        of_tasks = {
            name: tree for name in names if (tree := origin.cards_of(name.step).get(name.task))
        }
        of_steps = {step: tree for step in steps if (tree := origin.card_trees.get(step))}
        missing = {*self._repo.objects.missing([*of_tasks.values(), *of_steps.values()])}
        for name, tree in of_tasks.items():
            if tree not in missing:
                self._tree.cards.put(name.step, name.task, tree)
        for step, tree in of_steps.items():
            if tree not in missing:
                self._tree.cards.put_step(step, tree, origin.cards_of(step))
        return [it for it in (*of_tasks.values(), *of_steps.values()) if it not in missing]

    def _take_along(self, finished: Iterable[FinishedTask]) -> None:
        """Of tasks that other runs have done, take their cards, and note who holds what is taken."""
        taken: dict[Oid, list[tuple[TaskName, StoredTask]]] = {}
        for task in finished:
            if task.origin is not None:
                found = taken.setdefault(task.origin.run.commit, [])
                found.append((task.record.name, task.origin))
        for tasks in taken.values():
            run = tasks[0][1].run
            trees = [it.tree for _, it in tasks]
            for name, origin in tasks:
                cards = run.cards_of(origin.name.step).get(origin.name.task)
                if cards is not None and not self._repo.objects.missing([cards]):
                    self._tree.cards.put(name.step, name.task, cards)
                    trees.append(cards)
            self._found.append(found_tasks(run, trees))

    def borrow_from(self, origin: StoredRun) -> None:
        """Take from a run, once tasks refer to their artifacts, the tasks that have made these."""
        self._lender = origin

    def _borrow(self, records: Iterable[TaskRecord]) -> None:
        """Adopt whoever has made what records list, as far as it is not here."""
        made = {
            ref.producer: None
            for record in records
            for ref in record.artifacts.values()
            if ref.producer != record.name
        }
        lacking = [name for name in made if not self._tree.steps.has(name.step, name.task)]
        if self._lender is not None and lacking:
            self.adopt(self._lender, lacking)

    def _check_adopted(self, origin: StoredRun, trees: Mapping[Oid, TaskName]) -> None:
        for tree in self._repo.objects.missing(trees)[:1]:
            raise RepositoryError(
                f"task {origin.identity.pathspec}/{trees[tree]} is not in this repository",
                hint="`git runs fetch` brings it",
            )

    def begin(self, finished: Sequence[FinishedTask], tags: Iterable[str] = ()) -> None:
        """Publish the run: its first commit, its code, what was adopted and finished, and its tags.

        Raises:
            RefConflict: there is a run of this number already.
            CorruptRecord: a payload is not what its record says.
            RepositoryError: something that a task refers to is missing, or nothing can be written.
        """
        self._write(finished, Status.RUNNING, tag_updates(self._repo, self.identity, add=tags))
        remember_code(self._repo, self.snapshot, self._ref)

    def commit(
        self,
        finished: Sequence[FinishedTask],
        *,
        status: Status = Status.RUNNING,
        cards: Sequence[TaskCards] = (),
    ) -> Oid:
        """Publish finished tasks, the cards of tasks, and the run's status.

        Raises:
            RefConflict: somebody else moved or removed the run's ref.
            CorruptRecord: a payload is not what its record says.
            RepositoryError: something that a task refers to is missing, or nothing can be written.
        """
        begun = time.perf_counter()
        self._check_place()
        self._lock.renew()
        self._write(finished, status, cards=cards)
        self.last_commit_cost = time.perf_counter() - begun
        return self.commit_oid

    def _check_place(self) -> None:
        place = self._repo.common_dir
        if not (place / "HEAD").exists():
            run = self.identity
            raise RepositoryError(
                f"the git directory {place} was moved or deleted while run {run.pathspec} went on, "
                "so what finished since can't be recorded",
                hint=f"if it was moved: the flow's `resume {run.id}` there reuses what `git runs show {run.id}` shows",
            )

    def close(self) -> None:
        """Release the run's lock. Without a last commit that says how it ended, the run counts as dead."""
        self._maintenance.stop()
        self._repo.refs.close()
        self._lock.release(remove=self.status.is_final)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(
        self,
        finished: Sequence[FinishedTask],
        status: Status,
        updates: Iterable[RefUpdate] = (),
        cards: Sequence[TaskCards] = (),
    ) -> None:
        """Steps 1 to 6, and what is due after them. `updates`: of other refs, in the same transaction."""
        group = GroupObjects(self.identity.pathspec, self._repo.objects, self._reachable)
        packs = [name for task in finished for name in task.packs]
        self._borrow(task.record for task in finished)
        try:
            for task in finished:  # 1
                step, task_id = task.record.name.step, task.record.name.task
                is_first = len(task.record.attempts) <= 1
                before = None if is_first else self._tree.steps.get(step, task_id)
                self._tree.steps.put(step, task_id, group.add_task(task, before))
                if before is not None:
                    reached("attempt.moved")
            self._take_along(finished)
            for it in cards:
                have = self._tree.cards.get(it.task.step, it.task.task)
                self._tree.cards.put(it.task.step, it.task.task, group.add_cards(it, have))
            found = group.found(packs)
            packs += self._publish(group, self._held(found), finished, status, updates)
        except BaseException:
            self._tree.revert()
            raise
        reached("commit.acknowledged")
        if cards:
            reached("cards.published")
        if any(task.record.again for task in finished):
            reached("attempt.published")
        self._repo.packs.release(packs)  # 6
        self._maintenance.packs_released(len(packs))
        # What was found is entered once more: of all runs that share it this one is likely to be there longest.
        if found or any(task.packs for task in finished):
            self._index(finished)

    def _held(self, payloads: Sequence[Chunk]) -> FoundObjects:
        holders = DedupIndex(self._repo.state_dir, self._repo.objects).holders(payloads)
        known = {it.oid: holders.get(it.oid) for it in payloads}
        return FoundObjects(self._repo, [*self._found, *found_payloads(self._repo, known)])

    def _publish(
        self,
        group: GroupObjects,
        held: FoundObjects,
        finished: Sequence[FinishedTask],
        status: Status,
        updates: Iterable[RefUpdate],
    ) -> list[str]:
        """Steps 2 to 5; the names of the packs that were written."""
        self._check_inherited(task.record for task in finished)
        views = [it for task in finished for it in self._view(task.record)]
        root, trees = self._tree.build()  # 2
        failed = self._failed_after(finished)
        state = self._state_after(failed, status)
        oid, commit = self._make_commit(root, (self.commit_oid,), state)
        made = [*self._pending, *group.objects(), *views, *trees, commit]
        packs = [self._repo.packs.write(made).name]  # 3
        try:
            group.check_again()  # 4
            packs += held.copy_unheld()
            reached("commit.verified")
            moves = [RefUpdate(self._ref, oid, self._published), *updates]
            transact(self._repo.refs, moves)  # 5
            packs += self._after_move(held, moves)
        except BaseException:
            self._repo.packs.release(packs)
            raise
        self._tree.published()
        self._reachable.add(group.repeatable)
        self._pending.clear()
        self._found.clear()
        self._failed, self._state = failed, state
        self.commit_oid = self._published = oid
        return packs

    def _index(self, finished: Iterable[FinishedTask]) -> None:
        """Let later tasks find the payloads of these, where there is an index to add them to."""
        index = DedupIndex(self._repo.state_dir, self._repo.objects)
        # Where it was lost while the run goes on, the next run's start makes a whole one.
        if index.exists:
            index.add(shared_payloads(task.record for task in finished), self._ref)

    def _after_move(self, held: FoundObjects, moves: Sequence[RefUpdate]) -> list[str]:
        """The last part of step 5."""
        try:
            return held.copy_unheld()
        except BaseException:
            with contextlib.suppress(GitflowrunError):
                transact(self._repo.refs, [move.reversed for move in moves])
            raise

    def _check_inherited(self, records: Iterable[TaskRecord]) -> None:
        """An inherited artifact lies in the tree of its producer, which must be in this run."""
        users = {
            ref.producer: (record, artifact)
            for record in records
            for artifact, ref in record.artifacts.items()
        }
        for producer, (record, artifact) in users.items():
            if not self._tree.steps.has(producer.step, producer.task):
                raise RepositoryError(
                    f"{self.identity.pathspec}/{record.name} has artifact {artifact!r} of task "
                    f"{producer}, which is not in this run"
                )

    def _view(self, record: TaskRecord) -> list[PackObject]:
        """Make `data/` show the artifacts of the end task, if that is what `record` is of."""
        if record.name.step != self._end_step or not record.ok:
            return []
        entries, objects = data_entries(record)
        self._tree.put_data(entries)
        return objects

    def _failed_after(self, finished: Sequence[FinishedTask]) -> dict[TaskName, bool]:
        """What `_failed` is after this group: the last attempt of each task counts."""
        failed = dict(self._failed)
        for task in finished:
            failed.pop(task.record.name, None)
            if not task.record.ok:
                failed[task.record.name] = task.record.again
        return failed

    def _state_after(self, failed: Mapping[TaskName, bool], status: Status) -> RunState:
        steps = [name.step for name in failed]
        ended = (name.step for name, again in failed.items() if not again)
        return replace(
            self._state,
            status=status,
            tasks=self._tree.steps.count() - sum(not step.startswith("_") for step in steps),
            finished=round(time.time(), 3) if status.is_final else None,
            failed_step=next(ended, ""),
        )

    def _first_commit(self) -> tuple[Oid, Oid, list[PackObject]]:
        """The oids of the first commit and of INFO, and their objects with the tree between them."""
        packed = msgpack.pack(INFO.dump(self.info), msgpack.RECORD)
        info, blob = make_object(ObjectType.BLOB, packed)
        entries = [TreeEntry(Mode.BLOB, layout.INFO, info)]
        root, tree = make_object(ObjectType.TREE, tree_bytes(entries))
        subject = first_subject(self.info.parameters)
        uid, commit = self._make_commit(root, (), self._state, subject)
        return uid, info, [blob, tree, commit]

    def _make_commit(
        self, root: Oid, parents: tuple[Oid, ...], state: RunState, subject: str | None = None
    ) -> tuple[Oid, PackObject]:
        author, committer = self._repo.signatures()
        commit = Commit(root, parents, author, committer, format_message(state, subject))
        sealed = replace(state, mac=self._trust.mac(commit))
        data = replace(commit, message=format_message(sealed, subject)).encode()
        if state.status.is_final and self._repo.settings.sign and not self.info.is_spin:
            data = self._signed(data, committer)
        return make_object(ObjectType.COMMIT, data)

    def _signed(self, commit: bytes, committer: Signature) -> bytes:
        """The run's last commit with a signature, which by hash is over all that the run has made.

        A run is not lost because nobody has entered a passphrase: without a signature it is published as well.
        """
        from gitflowrun.git.signing.signature import CommitSigner  # who signs pays for it

        try:
            reached("sign.asked")
            signed = CommitSigner(self._repo.git).sign(commit, committer)
            reached("sign.made")
        except (
            GitflowrunError,
            OSError,
            ValueError,
        ) as error:  # no place for a file, a strange setting
            self.unsigned = error
            return commit
        return signed


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
