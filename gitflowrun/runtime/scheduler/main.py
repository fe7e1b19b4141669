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

import gc
import os
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.failpoints import reached
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import Snapshot, take_snapshot
from gitflowrun.limits import CLONED_BY_NAME, CODE_IS_YOUNG, MAX_NOTICES
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.create import create_run
from gitflowrun.runs.live import sweep_live_states
from gitflowrun.runs.maintenance import ensure_dedup_index, tidy
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trees import FinishedTask, task_blob
from gitflowrun.runs.trust import Trust
from gitflowrun.runtime.executors.engines.engine_choice import check_executor
from gitflowrun.runtime.ipc.events import Listener, Notice, RunStarted, StepCloned, TaskCloned
from gitflowrun.runtime.ipc.messages import (
    InheritedParameters,
    Parent,
    RunContext,
    RunFinished,
    RunNamed,
    RunRefused,
    StartRun,
    StoredParameters,
)
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.scheduler import resume, run_info, spin
from gitflowrun.runtime.scheduler.code_check import CodeCheck
from gitflowrun.runtime.scheduler.plan import Plan, Shape, SpunPlan
from gitflowrun.runtime.scheduler.resume import Adoption
from gitflowrun.runtime.scheduler.setup import Channels, RunExecution
from gitflowrun.settings import LOCAL, Isolation, unknown_settings, user_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.executors.started_engine import StartedEngine
    from gitflowrun.runtime.scheduler.spin import SpunTask
    from gitflowrun.runtime.scheduler.step_cache import StepCache


_NOT_TRUSTED = (
    "{0} is not trusted: what it has of pickles, frames and tensors is not loaded in this run, now or later; "
    "if you trust whoever made it, `git runs trust {0}`, and begin again."
)

_OTHER_TASKS = "This is the last of {0} tasks of its step: `spin {1}/{2}/TASK` names another one."
_NO_BATCH = "Each task gets a process of its own: the step cache is on, for which tasks note what they load."


_COLLECTED = 10_000, 20, 20
"""Thresholds of the garbage collector (`gc.set_threshold`): what is kept for a task has no cycles."""


def collect_rarely() -> None:
    """Have the collector pass over what there is, and look for garbage seldom, in the process of a scheduler."""
    gc.freeze()
    gc.set_threshold(*_COLLECTED)
    gc.enable()


class SchedulerMain:
    """One request and its run.

    Args:
        channels: To the launcher process and the zygote.
        make_listener: Makes the listener that shows events, of the command that was typed, git config, and how
            git is typed for the repository.
    """

    def __init__(
        self,
        channels: Channels,
        make_listener: Callable[[tuple[str, ...], Mapping[str, str], str], Listener],
    ) -> None:
        self._channels = channels
        self._make_listener = make_listener
        self._waiting: Sequence[LockType] = ()

    def serve(self) -> int:
        """Read what is to run and run it; the exit code."""
        start, _ = self._channels.launcher.receive()  # 1
        if not isinstance(start, StartRun):
            return 0  # it was `--help`, or a mistake on the command line
        try:
            repo = Repository.opened(start.repository, start.config)
            code, error = self._run(start, repo)
        except GitflowrunError as refused:
            self._channels.say(RunRefused(type(refused).__name__, refused.message, refused.hint))
            return refused.exit_code
        reached("run.told")
        self._channels.say(RunFinished(code, error))  # 6
        tidy(repo)  # 7
        run_info.wait_for_readers(self._waiting)
        return code

    def _run(self, start: StartRun, repo: Repository) -> tuple[int, str | None]:
        request = start.request
        run_info.check_files(request.run_id_file, request.runner_attribute_file)  # 2
        run = _NewRun.of(repo, start)
        plan = run.plan()
        adoption = run.adopt(plan)
        inherits = run.inherits()
        stored = start.parameters if inherits is None else self._ask_parameters(inherits)
        assert stored is not None
        wanted = request.isolation or repo.settings.isolation
        if wanted is Isolation.BATCH and request.uses_cache(repo.settings.cache):
            wanted = Isolation.FORK  # `_NewRun.cache` says so
        notify = self._make_listener(start.typed, repo.config, repo.git_from(start.directory))
        with _started_engine(start, repo) as engine:
            can_fork = engine is not None or start.why_not_fork is None  # there, agents see
            isolation = Isolation.FRESH if wanted.forks and not can_fork else wanted
            return self._execute(run, plan, adoption, stored, isolation, notify, engine)

    def _execute(
        self,
        run: _NewRun,
        plan: Plan,
        adoption: Adoption,
        stored: StoredParameters,
        isolation: Isolation,
        notify: Listener,
        engine: StartedEngine | None,
    ) -> tuple[int, str | None]:
        """Create the run, and execute it to its end."""
        start, repo, request = run.start, run.repo, run.start.request
        begun = time.time() - CODE_IS_YOUNG
        snapshot = take_snapshot(repo, Path(start.script))  # 3
        info = run_info.describe(
            start, repo, run.user, isolation, run.origin, run.inherited, run.trusted_runs, stored
        )

        def first_tasks(writer: RunWriter) -> list[FinishedTask]:
            self._channels.say(RunNamed(writer.identity))
            return run.first_tasks(stored, adoption, writer)

        with create_run(repo, info, snapshot, first_tasks) as writer:
            try:
                files = (request.run_id_file, request.runner_attribute_file)
                task = run.spun.name if run.spun is not None else None
                self._waiting = run_info.announce(writer.identity, repo, *files, task)  # 4
            except GitflowrunError:
                writer.commit([], status=Status.FAILED)
                raise
            run.tell(writer, stored, adoption, notify)
            if isolation is Isolation.FRESH and start.why_not_fork and engine is None:
                notify(Notice(f"Each task gets a fresh interpreter: {start.why_not_fork}."))
            ensure_dedup_index(repo)
            sweep_live_states(repo)
            context = run.context(writer.identity, stored, begun)
            folders = (Path(start.script).parent, Path())
            code = CodeCheck(repo, writer.snapshot.tree, folders)
            execution = RunExecution(
                repo, self._channels, start, isolation, notify, writer, plan, context, code,
                adoption.first_id, run.cache(writer, stored, notify), engine,
            )  # fmt: skip
            return execution.execute()  # 5

    def _ask_parameters(self, inherited: InheritedParameters) -> StoredParameters:
        """Let the launcher process evaluate the parameters that the origin does not have."""
        self._channels.say(inherited)
        answer, _ = self._channels.launcher.receive()
        if not isinstance(answer, StoredParameters):
            raise UsageError("the command was given up before the run began")
        return answer


@frozen
class _NewRun:
    """A run that is about to be created.

    Attributes:
        repo: The repository.
        start: What the launcher process said of it.
        origin: The run it is made from.
        inherited: The `_parameters` task of that run.
        trusted_runs: The uids of the runs whose tasks count as trusted in that run.
        user: Who runs.
        spun: The task of that run which is to be spun.
    """

    repo: Repository
    start: StartRun
    origin: StoredRun | None
    inherited: StoredTask | None
    trusted_runs: frozenset[Oid]
    user: str
    spun: SpunTask | None = None

    @classmethod
    def of(cls, repo: Repository, start: StartRun) -> _NewRun:
        """Find the run that it is made from, or the task that is spun. Raises what these are found by."""
        runs, trust, user = RunStore(repo), Trust(repo), user_name(repo.settings, os.environ)
        request = start.request
        if request.kind is RunKind.SPIN:
            found = (start.flow, start.typed, request.origin, str(request.step))
            origin = spin.find_run(runs, trust, *found)
            trusted = trust.executors(origin)
            spun = spin.find_task(origin, start, trusted)
            return cls(repo, start, origin, resume.parameters_task(origin), trusted, user, spun)
        _try_signing(repo)
        if request.kind is RunKind.RUN:
            return cls(repo, start, None, None, frozenset(), user, None)
        origin = resume.find_origin(runs, trust, start.flow, start.typed, request.origin)
        inherited = resume.parameters_task(origin)
        return cls(repo, start, origin, inherited, trust.executors(origin), user, None)

    def plan(self) -> Plan:
        """What is to be done, before anything is adopted."""
        shape = Shape.of(self.start.graph)
        return Plan(shape) if self.spun is None else SpunPlan(shape, self.spun.planned)

    def inherits(self) -> InheritedParameters | None:
        """What it has of its origin's parameters; None without an origin."""
        if self.origin is None or self.inherited is None:
            return None
        names = resume.inherited_names(self.start, self.inherited)
        hashes = resume.secrets_of(self.origin, names)
        return InheritedParameters(str(self.origin.id), names, hashes)

    def tell(
        self, writer: RunWriter, stored: StoredParameters, adoption: Adoption, notify: Listener
    ) -> None:
        """Say that it exists, and what is to be known of it."""
        origin, spun = self.origin, self.spun
        identity = origin.identity if origin is not None else None
        notify(RunStarted(writer.identity, identity, spun.pathspec if spun else None))
        for notice in (*unknown_settings(self.repo.config), *stored.notices):
            notify(Notice(notice))
        _notify_left_out(writer.snapshot, notify)
        _notify_outside(self.start.outside, notify)
        if spun is not None and spun.others:
            count, run, step = spun.others + 1, spun.origin.id, spun.planned.step
            notify(Notice(_OTHER_TASKS.format(count, run, step)))
        if origin is not None:
            if spun is None:
                _notify_cloned(origin, adoption, notify)
            _notify_lacking(origin, adoption, self.trusted_runs, notify)

    def adopt(self, plan: Plan) -> Adoption:
        """Adopt what the origin has finished: the plan goes on from there."""
        request = self.start.request
        if self.spun is not None:
            return Adoption((), self.spun.id)
        if self.origin is None or request.kind is not RunKind.RESUME:
            return Adoption((), 1)
        rerun = frozenset() if request.step is None else plan.shape.downstream(request.step)
        return resume.adopt(
            plan, self.start.graph, self.origin, rerun, self.trusted_runs, request.max_num_splits
        )

    def first_tasks(
        self, stored: StoredParameters, adoption: Adoption, writer: RunWriter
    ) -> list[FinishedTask]:
        """The tasks that the run begins with: all that it adopts, and `_parameters` of its own if it needs one."""
        is_adopted = self._adopts_parameters(stored)
        own = [] if is_adopted else [self._own_parameters(stored, writer.identity)]
        if self.origin is not None and self.spun is not None:
            writer.borrow_from(self.origin)
            if is_adopted and self.inherited is not None:
                writer.adopt(self.origin, [self.inherited.name])
        if self.origin is not None and adoption.names:
            replaced = {task.record.name for task in own}
            names = [name for name in adoption.names if name not in replaced]
            writer.adopt(self.origin, names, adoption.steps)
        return own

    def _adopts_parameters(self, stored: StoredParameters) -> bool:
        """Whether the `_parameters` task of the origin is that of the run: it has all."""
        return self.start.request.kind.goes_on and not stored.artifacts

    def _parameters(self, stored: StoredParameters, identity: RunIdentity) -> Parent:
        """The run's `_parameters` task, as its tasks refer to it."""
        if self._adopts_parameters(stored):
            assert self.inherited is not None
            return Parent(self.inherited.name, self.inherited.task_blob)
        own = self._own_parameters(stored, identity).record
        return Parent(own.name, task_blob(own)[0])

    def _is_inline(self) -> bool:
        wanted = self.start.request.isolation or self.repo.settings.isolation
        return wanted is Isolation.INLINE

    def cache(
        self, writer: RunWriter, stored: StoredParameters, notify: Listener
    ) -> StepCache | None:
        """What finds tasks that earlier runs have done; None where the step cache is off."""
        start = self.start
        if not start.request.uses_cache(self.repo.settings.cache):
            return None
        if self._is_inline():
            notify(
                Notice(
                    "The step cache is off: tasks of one process see what others have changed in it."
                )
            )
            return None
        if (start.request.isolation or self.repo.settings.isolation) is Isolation.BATCH:
            notify(Notice(_NO_BATCH))
        if not start.step_code:
            notify(
                Notice(
                    "The step cache is off: the source of the flow can't be read as it was imported."
                )
            )
            return None
        from gitflowrun.runtime.scheduler.step_cache import StepCache  # few runs use it

        adopted = self.inherited if self._adopts_parameters(stored) else None
        own = adopted.record if adopted else self._own_parameters(stored, writer.identity).record
        tell = partial(_warn, notify)
        return StepCache(self.repo, Trust(self.repo), start, writer, own, tell)

    def _own_parameters(self, stored: StoredParameters, identity: RunIdentity) -> FinishedTask:
        return run_info.parameters_task(identity, stored, self.inherited, self.trusted_runs)

    def context(
        self,
        identity: RunIdentity,
        stored: StoredParameters,
        snapshot_begun: float,
    ) -> RunContext:
        """What all tasks have in common."""
        request, repo, namespace = self.start.request, self.repo, self.start.request.namespace
        return RunContext(
            run=identity,
            origin=self.origin.identity if self.origin else None,
            user=self.user,
            namespace=repo.settings.namespace_of(self.user) if namespace is None else namespace,
            tags=request.tags,
            objects_dir=str(repo.objects_dir),
            incoming=str(repo.packs.incoming),
            git_dir=str(repo.git_dir),
            work_tree=str(repo.work_tree or ""),
            snapshot_begun=snapshot_begun,
            metadata=f"local@{repo.work_tree or repo.git_dir}",
            durability=repo.settings.durability.value,
            shared=repo.shared_mode,
            trusted_runs=self.trusted_runs,
            max_num_splits=request.max_num_splits,
            tempdir=os.environ.get("METAFLOW_TEMPDIR", "."),
            seeds=self.start.seeds,
            parameters=self._parameters(stored, identity),
            secrets=stored.secrets,
            decospecs=request.decospecs,
            options=request.options,
            configs=request.configs,
            spin=request.spin,
            cache=bool(self.start.step_code) and not self._is_inline(),
        )


@contextmanager
def _started_engine(start: StartRun, repo: Repository) -> Iterator[StartedEngine | None]:
    """The engine that is to execute the run; None where this machine does. Raises what keeps it from it."""
    request = start.request
    words = check_executor(request.executed_by(repo.settings.executor))
    if words == LOCAL:
        yield None
        return
    if (request.isolation or repo.settings.isolation) is Isolation.INLINE:
        raise UsageError(
            f"tasks that {words} executes have processes of their own, and isolation is inline",
            hint="leave out --executor, or the isolation",
        )
    from gitflowrun.runtime.executors.started_engine import StartedEngine  # few runs have one

    engine = StartedEngine(words, start, repo, run_info.installed_packages(start.path))
    try:
        yield engine
    finally:
        engine.close()


def _try_signing(repo: Repository) -> None:
    """Where runs are signed, see that they can be. Raises RepositoryError."""
    if repo.settings.sign:
        from gitflowrun.git.signing.signature import CommitSigner  # who signs pays for it

        CommitSigner(repo.git).try_out(repo.signature())


def _notify_cloned(origin: StoredRun, adoption: Adoption, notify: Listener) -> None:
    """Say which tasks are taken over: each by its name, unless a step has very many."""
    for name in adoption.names:
        if name.step != PARAMETERS_STEP:
            notify(TaskCloned(name, origin.identity))
    for step in adoption.steps:
        tasks = origin.tasks(step)
        if len(tasks) > CLONED_BY_NAME:
            notify(StepCloned(step, len(tasks), origin.identity))
        else:
            for task in tasks:
                notify(TaskCloned(TaskName(step, task), origin.identity))


def _notify_lacking(
    origin: StoredRun, adoption: Adoption, trusted: frozenset[Oid], notify: Listener
) -> None:
    """Tell what of the origin is not there to be used."""
    for text in adoption.unreadable[:MAX_NOTICES]:
        notify(Notice(f"{text}; what it had done is done again.", bad=True))
    if not trusted:
        notify(Notice(_NOT_TRUSTED.format(origin.pathspec)))


def _warn(notify: Listener, text: str) -> None:
    notify(Notice(text, bad=True))


def _notify_outside(modules: Sequence[str], notify: Listener) -> None:
    if modules:
        names = [*modules[:3]] + ["..."] * (len(modules) > 3)  # noqa: PLR2004
        are = "1 module is" if len(modules) == 1 else f"{len(modules)} modules are"
        notify(
            Notice(
                f"{are} not in the flow's repository, so the run has no copy of the code: {', '.join(names)}."
            )
        )


def _notify_left_out(snapshot: Snapshot, notify: Listener) -> None:
    left = snapshot.left_out
    if left:
        names = [f"{item.path} ({item.reason})" for item in left[:3]] + ["..."] * (len(left) > 3)  # noqa: PLR2004
        files = "1 file is" if len(left) == 1 else f"{len(left)} files are"
        notify(Notice(f"{files} not in the run's snapshot of the code: {', '.join(names)}."))
    if any("secret" in item.reason for item in left):
        notify(
            Notice("`git config --add runs.snapshot.include NAME` takes a file that is no secret.")
        )
