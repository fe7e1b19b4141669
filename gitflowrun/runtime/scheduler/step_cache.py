"""The step cache of one run: finds tasks that an earlier run has done already, and says why there is none.

1. Of a task that may run, all that is known of it makes its key (`cache_key`). A task whose step says that it can't be
   repeated from a record, one with values of `@secrets` and the nodes of gangs are executed.
2. The index names earlier tasks of the same key. The newest one is taken that
   - is found at the ref of its run as it is now, in a state that is trusted, executed by whom that state trusts,
   - succeeded, with the code of its run's snapshot, stored all that it had, and says itself that it can serve,
   - says the same key: the index is not believed,
   - has loaded and opened only files that this run's snapshot has as well, and others that are as they were,
   - leads on as the flow leads on now,
   - and is whole: its objects are read and compared with their digests (`reuse`).
3. Its record is made anew for this run: under the plan's name, with the tasks that it follows here, its inherited
   artifacts those of these tasks, and in `reuse` the run that has executed it. The rest of its tree stays the same.
4. It is published as a finished task is.

What is executed is described the same way, for later runs: the parts of its key, the files it has loaded and opened,
or why it can't serve.

`TaskRecord.run` is this run, not the one that executed it: who trusts this run trusts what it says, and it has looked
who that was. So nothing is looked up later, and the earlier run may be gone.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord, GitflowrunError, InvalidPathspec, NotFound
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import ObjectType, tree_oids
from gitflowrun.limits import ERROR_TEXT, RECORD_SIZE
from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs import layout
from gitflowrun.runs.lookup.cache_index import CachedTask, CacheIndex
from gitflowrun.runs.lookup.cache_limits import ENTERED, ORIGINS_OPEN, RECORDS_KEPT, RUNS_READ
from gitflowrun.runs.lookup.listing import run_names
from gitflowrun.runs.records import CAUGHT, TASK, Reuse, TaskRecord
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trees import FinishedTask, task_blob
from gitflowrun.runtime.ipc.messages import AROUND
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.scheduler import cache_key
from gitflowrun.runtime.scheduler.cache_reasons import why_not
from gitflowrun.runtime.scheduler.resume import still_says
from gitflowrun.runtime.scheduler.reuse import ReuseCheck
from gitflowrun.runtime.scheduler.snapshot_files import SnapshotFiles
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.trust import Trust
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.ipc.messages import Parent, Result, StartRun
    from gitflowrun.runtime.scheduler.attempt import Job
    from gitflowrun.runtime.scheduler.plan import PlannedTask


class _Refused(Exception):
    """Why an earlier task does not serve."""


class StepCache:
    """Finds finished tasks of earlier runs for the tasks of one run.

    Args:
        repo: The repository.
        trust: Tells whose tasks may be taken.
        start: What the launcher process said of the run.
        writer: Writes the run.
        parameters: The record of its `_parameters` task.
        tell: Is told what is damaged.
    """

    def __init__(
        self,
        repo: Repository,
        trust: Trust,
        start: StartRun,
        writer: RunWriter,
        parameters: TaskRecord,
        tell: Callable[[str], object],
    ) -> None:
        info, request = writer.info, start.request
        self._repo = repo
        self._trust = trust
        self._start = start
        self._writer = writer
        self._tell = tell
        self._index = CacheIndex(repo.state_dir)
        self._ref = layout.run_ref(info.flow, writer.identity.id)
        self._files = SnapshotFiles(repo.objects, writer.snapshot.tree, repo.work_tree)
        self._parameters = parameters
        self._common = {
            "parameters": cache_key.parameters_part(
                parameters.artifacts, info.secrets, request.configs
            ),
            "environment": cache_key.environment_part(start, info, repo.work_tree),
        }
        self._of_steps: dict[str, dict[str, bytes]] = {}
        self._inputs: dict[Oid, bytes] = {}
        self._records: dict[Oid, TaskRecord] = {}
        self._unpublished: dict[Oid, TaskRecord] = {}
        self._runs: dict[tuple[str, Oid], tuple[StoredRun, ReuseCheck]] = {}
        self._new: list[CachedTask] = []
        self._told: tuple[object, str] = None, ""
        self._enter_others()

    # ---- the tasks of this run ----

    def note(self, record: TaskRecord, done: Parent) -> None:
        """Note that a task of this run has ended well: others may follow it."""
        self._inputs[done.record] = cache_key.artifacts_part(record.artifacts)
        self._unpublished[done.record] = record
        if record.reuse is not None and not record.reuse.unfit:
            self._new.append(self._row(record, record.reuse, self._ref))

    def published(self) -> None:
        """Enter what is published now into the index, for later runs."""
        self._keep(self._unpublished)
        self._unpublished.clear()
        if self._new:
            self._index.add(self._new)
            self._new.clear()

    def is_waiting(self, parents: Iterable[Parent]) -> bool:
        """Whether one of these tasks is not published yet."""
        return any(parent.record in self._unpublished for parent in parents)

    def describe(self, job: Job, result: Result | None, other_code: Mapping[str, str]) -> Reuse:
        """What the record of a task that was executed says for later runs."""
        said = job.reuse or Reuse()
        if said.unfit or result is None or result.error:
            return said
        unfit = result.unfit
        if other_code:
            unfit = "its code was changed when the run had begun"
        elif result.not_kept:
            unfit = "not all of its artifacts were stored"
        elif CAUGHT in result.artifacts and result.artifacts[CAUGHT].producer == job.name:
            unfit = "@catch has caught an exception"
        files, others, changed = self._files.sorted_out(result.read, self._start.step_files)
        if unfit or changed:
            return replace(said, unfit=unfit or changed)
        return replace(said, files=files, others=others)

    # ---- those of earlier runs ----

    def find(self, job: Job) -> FinishedTask | None:
        """The task of an earlier run that has done what a task is to do; None where there is none, and why in `job`."""
        planned = job.planned
        unfit = self._unfit(planned)
        if unfit:
            job.reuse = Reuse(unfit=unfit, why=unfit)
            return None
        parts = self._parts(planned)
        if self._start.request.kind is RunKind.RERUN:
            job.reuse = Reuse(parts, why="git runs rerun executes every task")
            return None
        why = ""
        place = planned.step, planned.frames, planned.iterations
        key = cache_key.key_of(self._start.flow, *place, parts)
        same, near = self._index.find(key, cache_key.place_of(self._start.flow, *place))
        for found in same:
            try:
                taken = self._take(job, found, parts)
                reached("step_cache.found")
            except _Refused as refused:
                why = why or str(refused)
            except (NotFound, InvalidPathspec):
                self._index.forget(found)
            except GitflowrunError as error:
                why = why or error.message
            except OSError as error:  # of a disk that does not answer
                why = why or f"{found.ref} can't be read: {error.strerror or error}"
            else:
                return taken
        why = why or self._explain(planned, parts, near)
        job.reuse = Reuse(parts, why=why[:ERROR_TEXT])
        return None

    def _unfit(self, planned: PlannedTask) -> str:
        """Why no other run can have what a task does, as far as this is known before; empty where one may."""
        row = self._start.graph["steps"][planned.step]
        if planned.gang is not None:
            return "it is a node of a gang"
        if any(it["name"] == "secrets" for it in row["decorators"]):
            return "@secrets gives it values that nobody records"
        if row["node_info"].get("cache") is False:
            return "its step says cache: False"
        return ""

    def _parts(self, planned: PlannedTask) -> dict[str, bytes]:
        step = planned.step
        if step not in self._of_steps:
            self._of_steps[step] = cache_key.step_parts(self._start, step)
        inputs = ((it.name.step, self._input(it)) for it in planned.parents)
        return {
            **self._of_steps[step],
            **self._common,
            "inputs": cache_key.inputs_part(inputs),
        }

    def _input(self, parent: Parent) -> bytes:
        found = self._inputs.get(parent.record)
        if found is None:
            artifacts = self._record(parent).artifacts
            found = self._inputs[parent.record] = cache_key.artifacts_part(artifacts)
        return found

    def _record(self, parent: Parent) -> TaskRecord:
        found = self._unpublished.get(parent.record) or self._records.get(parent.record)
        if found is None:
            kind, data = self._repo.objects.read(parent.record, RECORD_SIZE)
            if kind is ObjectType.TREE:
                data = self._repo.objects.blob(tree_oids(data)[layout.TASK], RECORD_SIZE)
            found = TASK.load(msgpack.unpack(data, msgpack.RECORD))
            self._keep({parent.record: found})
        return found

    def _keep(self, records: Mapping[Oid, TaskRecord]) -> None:
        self._records.update(records)
        while len(self._records) > RECORDS_KEPT:
            del self._records[next(iter(self._records))]

    def _origin(self, ref: str) -> tuple[StoredRun, ReuseCheck]:
        """The run of a ref, as it is now."""
        name = layout.parse_run_ref(ref)
        commit = self._repo.refs.get(ref) if name is not None else None
        if name is None or commit is None:
            raise NotFound(f"there is no ref {ref}")
        found = self._runs.get((ref, commit))
        if found is None:
            run = RunStore(self._repo).get(*name)
            found = self._runs[ref, commit] = run, ReuseCheck(run)
            while len(self._runs) > ORIGINS_OPEN:
                del self._runs[next(iter(self._runs))]
        return found

    def _take(self, job: Job, found: CachedTask, parts: Mapping[str, bytes]) -> FinishedTask:
        if found.ref == self._ref:
            raise _Refused("no earlier run has done it")
        run, whole = self._origin(found.ref)
        executors = self._trust.executors(run)
        if not executors:
            raise _Refused(f"{run.pathspec} is not trusted")
        task = run.task(found.task)
        record = task.record
        if record.run.uid not in executors:
            raise _Refused(f"{run.pathspec} has it from a run that is not trusted")
        self._check(task, found.key, job.planned)
        artifacts = self._artifacts(record, job)
        count = len(whole.broken)
        if not whole.is_whole(task):
            for text in whole.broken[count:]:
                self._tell(f"{text}; {job.name} is executed again.")
            raise _Refused(f"{task.pathspec} is damaged")
        anew = self._anew(task, job, artifacts, parts)
        return FinishedTask(anew, {}, blob=task_blob(anew)[1], origin=task)

    def _check(self, task: StoredTask, key: bytes, planned: PlannedTask) -> None:
        """See that a task says of itself that it may serve. Raises _Refused."""
        record, reuse = task.record, task.record.reuse
        if reuse is None or key != self._key(record, reuse):
            raise NotFound("the index was wrong")
        if not record.ok or reuse.unfit or record.other_code or record.not_kept or record.given:
            raise NotFound("it can't serve")
        code = self._start.step_code[planned.step], self._start.step_code[AROUND]
        changed = self._files.changed(task.run.code_tree, reuse.files, code)
        changed = changed or self._files.changed_since(reuse.others)
        if changed is not None:
            kind = "code of " if changed.endswith(".py") else ""
            raise _Refused(f"{kind}{changed} changed since {task.run.pathspec}")
        width = (record.transition and record.transition.num_splits) or 0
        says = still_says(self._start.graph, planned.step, record.transition)
        if not says or width > self._start.request.max_num_splits:
            raise _Refused(f"it leads on otherwise than in {task.run.pathspec}")

    def _artifacts(self, record: TaskRecord, job: Job) -> dict[str, ArtifactRef]:
        """The artifacts of a task that is taken, as they lie in this run. Raises _Refused."""
        found: dict[str, ArtifactRef] = {}
        for name, ref in record.artifacts.items():
            if ref.producer == record.name:
                found[name] = replace(ref, producer=job.name)
                continue
            here = self._inherited(name, ref, job.planned)
            if here is None:
                raise _Refused(f"its artifact {name!r} is none that it has from its inputs here")
            found[name] = here
        return found

    def _inherited(self, name: str, ref: ArtifactRef, planned: PlannedTask) -> ArtifactRef | None:
        for parent in planned.parents:
            here = self._record(parent).artifacts.get(name)
            if here is not None and here.identity == ref.identity:
                return replace(here, preview=b"")
        here = self._parameters.artifacts.get(name)
        return here if here is not None and here.identity == ref.identity else None

    def _anew(
        self,
        task: StoredTask,
        job: Job,
        artifacts: Mapping[str, ArtifactRef],
        parts: Mapping[str, bytes],
    ) -> TaskRecord:
        record = task.record
        reuse = record.reuse
        assert reuse is not None
        run, name = (reuse.run, reuse.task) if reuse.run else (task.run.identity, record.name)
        return replace(
            record,
            name=job.name,
            run=self._writer.identity,
            parents=tuple(parent.name for parent in job.planned.parents),
            attempts=(replace(record.attempts[-1], number=0),),
            frames=job.planned.frames,
            artifacts=artifacts,
            metadata=tuple(replace(it, attempt=0) for it in record.metadata),
            reuse=replace(reuse, parts=parts, why="", run=run, task=name),
        )

    def _explain(
        self, planned: PlannedTask, parts: Mapping[str, bytes], near: Sequence[CachedTask]
    ) -> str:
        """Why there is no earlier task of a key: what differs from the nearest one in the same place."""
        stranger = ""
        rows = [(cache_key.differing(parts, found.parts), found) for found in near]
        for changed, found in sorted(rows, key=lambda row: len(row[0])):
            # The tasks of a foreach follow the same one: what is told of one of them is told of all.
            about = found.ref, planned.step, changed[:1], [it.record for it in planned.parents]
            if self._told[0] == about:
                return self._told[1]
            with suppress(GitflowrunError):
                run = self._origin(found.ref)[0]
                if not self._trust.executors(run):
                    stranger = stranger or f"{run.pathspec} is not trusted"
                    continue
                inputs = [self._record(parent) for parent in planned.parents[:RECORDS_KEPT]]
                words = self._start, self._parameters, inputs, self._writer.info
                why = why_not(run.task(found.task), changed, *words)
                self._told = about, why
                return why
        return stranger or "no earlier run has done it with the cache on"

    # ---- what others have done ----

    def _enter_others(self) -> None:
        """Enter the tasks of runs that a fetch has brought; those of the newest runs where there is no index."""
        flow = self._start.flow
        if self._index.exists:
            refs = self._index.take_fetched(layout.below(layout.RUNS, flow))[-RUNS_READ:]
        else:
            names = run_names(self._repo, flow, RUNS_READ + 1)
            refs = [layout.run_ref(*name) for name in reversed(names)]
        until = time.process_time() + ENTERED
        found: list[CachedTask] = []
        late = []
        for ref in reversed(refs):
            if ref == self._ref:
                continue
            if time.process_time() > until:
                late.append(ref)
            found += reversed(self._tasks_of(ref, until))
        if found or not self._index.exists:
            self._index.add(reversed(found))
        self._index.note_fetched(late)

    def _key(self, record: TaskRecord, reuse: Reuse) -> bytes:
        place = record.name.step, record.frames, record.iterations
        return cache_key.key_of(self._start.flow, *place, reuse.parts)

    def _row(self, record: TaskRecord, reuse: Reuse, ref: str) -> CachedTask:
        place = record.name.step, record.frames, record.iterations
        at = cache_key.place_of(self._start.flow, *place)
        parts = cache_key.joined(reuse.parts)
        return CachedTask(self._key(record, reuse), at, parts, ref, record.name)

    def _tasks_of(self, ref: str, until: float) -> list[CachedTask]:
        """The tasks of a run that may serve, as far as time allows. Whether they do is looked at when one would."""
        found: list[CachedTask] = []
        name = layout.parse_run_ref(ref)
        if name is None:
            return found
        with suppress(GitflowrunError):
            run = RunStore(self._repo).get(*name)
            for step in run.known_steps():
                for task in run.tasks_of(step) if step != PARAMETERS_STEP else ():
                    if time.process_time() > until:
                        return found
                    with suppress(CorruptRecord):
                        record = task.record
                        if record.reuse is None or record.reuse.unfit or not record.ok:
                            continue
                        found.append(self._row(record, record.reuse, ref))
        return found
