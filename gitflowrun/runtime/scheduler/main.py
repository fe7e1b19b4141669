"""The scheduler's process from StartRun to its end: a request becomes a run.

1. Read StartRun; it says which repository, so that git is asked for it once a run.
2. Find the run to resume or clone, check what can be checked: nothing exists yet that a mistake could leave
   behind.
3. Take the snapshot, look at the environment, create the run with its `_parameters` task.
4. Write the run id to where it was asked for. No task has started yet.
5. Execute (`setup`).
6. Say how the run ended.
7. Maintain the repository, if it is time: the run can't suffer from it any more.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs.create import create_run
from gitflowrun.runs.maintenance import ensure_dedup_index, tidy
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trees import task_blob
from gitflowrun.runs.trust import Provenance
from gitflowrun.runtime.ipc.events import Notice, RunStarted, TaskCloned
from gitflowrun.runtime.ipc.messages import (
    InheritedParameters,
    Parent,
    RunContext,
    RunFinished,
    RunRefused,
    StartRun,
    StoredParameters,
)
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.scheduler import resume, run_info
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.resume import Adoption
from gitflowrun.runtime.scheduler.setup import Channels, RunExecution
from gitflowrun.settings import Isolation, user_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.names import TaskName
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runs.trees import FinishedTask
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.ipc.events import Listener


_NOTHING = Adoption((), 1, frozenset())


class SchedulerMain:
    """One request and its run.

    Args:
        channels: To the launcher process and the zygote.
        make_listener: Makes the listener that shows events, of the flow's file and git config.
    """

    def __init__(
        self, channels: Channels, make_listener: Callable[[str, Mapping[str, str]], Listener]
    ) -> None:
        self._channels = channels
        self._make_listener = make_listener

    def serve(self) -> int:
        """Read what is to run and run it; the exit code."""
        start = self._channels.ask()  # 1
        if not isinstance(start, StartRun):
            return 0  # it was `--help`, or a mistake on the command line
        try:
            repo = Repository.opened(start.repository, start.config)
            code, error = self._run(start, repo)
        except GitflowrunError as refused:
            self._channels.say(RunRefused(type(refused).__name__, refused.message, refused.hint))
            return refused.exit_code
        self._channels.say(RunFinished(code, error))  # 6
        tidy(repo)  # 7
        return code

    def _run(self, start: StartRun, repo: Repository) -> tuple[int, str | None]:
        request, runs = start.request, RunStore(repo)
        run_info.check_files(request.run_id_file, request.runner_attribute_file)  # 2
        origin = None
        if request.kind is not RunKind.RUN:
            origin = resume.find_origin(runs, start.flow, request.origin)
        run = _NewRun(repo, start, origin, user_name(repo.settings, os.environ))
        plan = Plan(Shape.of(start.graph))
        adoption = run.adopt(plan)
        stored = start.parameters
        if request.kind is RunKind.CLONE and origin is not None:
            stored = self._ask_parameters(origin)
        notify = self._make_listener(start.script, repo.config)
        snapshot = take_snapshot(repo, Path(start.script))  # 3
        texts = stored.texts if stored else {}
        info = run_info.describe(start, repo, run.user, run.isolation, origin, texts)
        with create_run(
            repo, info, snapshot, partial(run.first_tasks, stored, adoption.names)
        ) as writer:
            run_info.announce(
                writer.identity, repo, request.run_id_file, request.runner_attribute_file
            )  # 4
            notify(RunStarted(writer.identity, origin.identity if origin else None))
            _notify_left_out(snapshot, notify)
            run.notify_adopted(adoption, notify)
            if run.why_not_fork:
                notify(Notice(f"Each task gets a fresh interpreter: {run.why_not_fork}."))
            ensure_dedup_index(repo)
            execution = RunExecution(repo, self._channels, start, run.isolation, notify)  # 5
            context = run.context(writer.identity, stored, adoption)
            return execution.execute(writer, plan, context, first_id=adoption.first_id)

    def _ask_parameters(self, origin: StoredRun) -> StoredParameters:
        """Of a clone: let the launcher process evaluate the parameters that its origin does not have."""
        inherited = tuple(resume.parameters_task(origin).record.artifacts)
        self._channels.say(InheritedParameters(inherited))
        answer = self._channels.ask()
        if not isinstance(answer, StoredParameters):
            raise UsageError("the command was given up before the run began")
        return answer


@frozen
class _NewRun:
    """A run that is about to be created."""

    repo: Repository
    start: StartRun
    origin: StoredRun | None
    user: str

    @property
    def isolation(self) -> Isolation:
        """How tasks get their processes: as was wanted, or the next best."""
        return Isolation.FRESH if self.why_not_fork else self._wanted

    @property
    def why_not_fork(self) -> str | None:
        """Why tasks can't be forked although that was wanted."""
        return self.start.why_not_fork if self._wanted is Isolation.FORK else None

    @property
    def _wanted(self) -> Isolation:
        return self.start.request.isolation or self.repo.settings.isolation

    def adopt(self, plan: Plan) -> Adoption:
        """Adopt what the origin has finished: the plan goes on from there."""
        request = self.start.request
        if self.origin is None:
            return _NOTHING
        origin, provenance = self.origin, Provenance(self.repo)

        def is_trusted(name: TaskName) -> bool:
            return provenance.trusts_task(origin.task(name))

        if request.kind is RunKind.CLONE:
            parameters = resume.parameters_task(origin).name
            known = is_trusted(parameters)
            return Adoption((), 1, frozenset() if known else frozenset({str(parameters)}))
        rerun = frozenset() if request.step is None else plan.shape.downstream(request.step)
        return resume.adopt(plan, self.start.graph, origin, rerun, is_trusted)

    def first_tasks(
        self, stored: StoredParameters | None, adopted: Sequence[TaskName], writer: RunWriter
    ) -> list[FinishedTask]:
        """The tasks that the run begins with: its own `_parameters`, or all that it adopts."""
        if stored is not None:
            return [self._own_parameters(stored, writer.identity)]
        if self.origin is not None:
            writer.adopt(self.origin, adopted)
        return []

    def _own_parameters(self, stored: StoredParameters, identity: RunIdentity) -> FinishedTask:
        inherited = resume.parameters_task(self.origin).record.artifacts if self.origin else {}
        return run_info.parameters_task(identity, stored, inherited)

    def _parameters(self, stored: StoredParameters | None, identity: RunIdentity) -> Parent:
        """The run's `_parameters` task, as its tasks refer to it."""
        if stored is None:
            assert self.origin is not None
            adopted = resume.parameters_task(self.origin)
            return Parent(adopted.name, adopted.task_blob)
        own = self._own_parameters(stored, identity).record
        return Parent(own.name, task_blob(own)[0])

    def notify_adopted(self, adoption: Adoption, notify: Listener) -> None:
        """Say which tasks are the origin's."""
        for name in adoption.names if self.origin else ():
            if self.origin and name.step != PARAMETERS_STEP:
                notify(TaskCloned(name, self.origin.identity))

    def context(
        self, identity: RunIdentity, stored: StoredParameters | None, adoption: Adoption
    ) -> RunContext:
        """What all tasks have in common."""
        request, repo = self.start.request, self.repo
        return RunContext(
            run=identity,
            origin=self.origin.identity if self.origin else None,
            user=self.user,
            namespace=repo.settings.namespace_of(self.user)
            if request.namespace is None
            else request.namespace,
            tags=request.tags,
            objects_dir=str(repo.objects_dir),
            incoming=str(repo.packs.incoming),
            git_dir=str(repo.git_dir),
            durability=repo.settings.durability.value,
            untrusted=adoption.untrusted,
            max_num_splits=request.max_num_splits,
            tempdir=os.environ.get("METAFLOW_TEMPDIR", "."),
            seeds=self.start.seeds,
            parameters=self._parameters(stored, identity),
        )


def _notify_left_out(snapshot: Snapshot, notify: Listener) -> None:
    left = snapshot.left_out
    if left:
        names = [f"{item.path} ({item.reason})" for item in left[:3]] + ["..."] * (len(left) > 3)  # noqa: PLR2004
        files = "1 file is" if len(left) == 1 else f"{len(left)} files are"
        notify(Notice(f"{files} not in the run's snapshot of the code: {', '.join(names)}."))
