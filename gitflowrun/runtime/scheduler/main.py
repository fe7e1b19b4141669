"""The scheduler's process from its first message to its last: an order comes in, a run comes to be.

1. Take the order; it says which repository, so that git is asked for it once a run.
2. Find the run to resume or clone, check what can be checked: nothing exists yet that a
   mistake could leave behind.
3. Take the snapshot, look at the environment, create the run with its `_parameters` task.
4. Write the run id to where it was asked for. No task has started yet.
5. Execute (`stage`).
6. Say how it ended.
7. Tidy up the repository, if it is time: the run can't suffer from it any more.
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
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.trust import Provenance
from gitflowrun.runtime.ipc.events import Notice, RunStarted, TaskCloned
from gitflowrun.runtime.ipc.messages import (
    Adopted,
    Begin,
    Ended,
    Message,
    Order,
    Parameters,
    Parent,
    Refusal,
    encode,
    parse,
)
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.scheduler import resume, run_info
from gitflowrun.runtime.scheduler.plan import Plan, Shape
from gitflowrun.runtime.scheduler.resume import Adoption
from gitflowrun.runtime.scheduler.setup import Lines, Stage
from gitflowrun.settings import Isolation, user_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.names import TaskName
    from gitflowrun.runs.pending import FinishedTask
    from gitflowrun.runs.write import RunWriter
    from gitflowrun.runtime.ipc.events import Event

    Tell = Callable[[Event], None]

__all__ = ["Session"]

_NOTHING = Adoption((), 1, frozenset())


class Session:
    """One order and its run.

    Args:
        lines: To the front process and the zygote.
        make_listener: Makes who shows what happens, of the flow's file and git config.
    """

    def __init__(
        self, lines: Lines, make_listener: Callable[[str, Mapping[str, str]], Tell]
    ) -> None:
        self._lines = lines
        self._make_listener = make_listener

    def serve(self) -> int:
        """Take the order and execute it; the exit code."""
        order = self._ask()  # 1
        if not isinstance(order, Order):
            return 0  # it was `--help`, or a mistake on the command line
        try:
            repo = Repository.opened(order.repository, order.config)
            code, error = self._run(order, repo)
        except GitflowrunError as refused:
            self._say(Refusal(type(refused).__name__, refused.message, refused.hint))
            return refused.exit_code
        self._say(Ended(code, error))  # 6
        tidy(repo)  # 7
        return code

    def _ask(self) -> Message | None:
        received = self._lines.front.receive()
        return None if received is None else parse(received.body)

    def _say(self, message: Message) -> None:
        try:
            self._lines.front.send(encode(message))
        except OSError:
            return  # nobody is left who could hear it

    def _run(self, order: Order, repo: Repository) -> tuple[int, str | None]:
        request, runs = order.request, RunStore(repo)
        run_info.check_files(request.run_id_file, request.runner_attribute_file)  # 2
        origin = None
        if request.kind is not RunKind.RUN:
            origin = resume.find_origin(runs, order.flow, request.origin)
        run = _Run(repo, order, origin, user_name(repo.settings, os.environ))
        plan = Plan(Shape.of(order.graph))
        adoption = run.adopt(plan)
        stored = order.parameters
        if request.kind is RunKind.CLONE and origin is not None:
            stored = self._ask_parameters(origin)
        tell = self._make_listener(order.script, repo.config)
        snapshot = take_snapshot(repo, Path(order.script))  # 3
        texts = stored.texts if stored else {}
        info = run_info.describe(order, repo, run.user, run.isolation, origin, texts)
        with create_run(
            repo, info, snapshot, partial(run.first_tasks, stored, adoption.names)
        ) as writer:
            run_info.announce(
                writer.identity, repo, request.run_id_file, request.runner_attribute_file
            )  # 4
            tell(RunStarted(writer.identity, origin.identity if origin else None))
            _tell_left_out(snapshot, tell)
            run.tell_adopted(adoption, tell)
            if run.objection:
                tell(Notice(f"Each task gets a fresh interpreter: {run.objection}."))
            ensure_dedup_index(repo)
            stage = Stage(repo, self._lines, order, run.isolation, tell)  # 5
            begin = run.begin(writer, adoption)
            return stage.execute(writer, plan, begin, first_id=adoption.first_id)

    def _ask_parameters(self, origin: StoredRun) -> Parameters:
        """Of a clone: let the front process evaluate the parameters that its origin does not have."""
        self._say(Adopted(tuple(resume.parameters_task(origin).record.artifacts)))
        answer = self._ask()
        if not isinstance(answer, Parameters):
            raise UsageError("the command was given up before the run began")
        return answer


@frozen
class _Run:
    """A run that is about to be."""

    repo: Repository
    order: Order
    origin: StoredRun | None
    user: str

    @property
    def isolation(self) -> Isolation:
        """How tasks get their processes: as was wanted, or the next best."""
        return Isolation.FRESH if self.objection else self._wanted

    @property
    def objection(self) -> str | None:
        """Why tasks can't be forked although that was wanted."""
        return self.order.objection if self._wanted is Isolation.FORK else None

    @property
    def _wanted(self) -> Isolation:
        return self.order.request.isolation or self.repo.settings.isolation

    def adopt(self, plan: Plan) -> Adoption:
        """Move the plan on by what the origin has done."""
        request = self.order.request
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
        return resume.adopt(plan, self.order.graph, origin, rerun, is_trusted)

    def first_tasks(
        self, stored: Parameters | None, adopted: Sequence[TaskName], writer: RunWriter
    ) -> list[FinishedTask]:
        """The tasks that the run begins with: its own `_parameters`, or all that it adopts."""
        if stored is None:
            if self.origin is not None:
                writer.adopt(self.origin, adopted)
            return []
        known = resume.parameters_task(self.origin).record.artifacts if self.origin else {}
        return [run_info.parameters_task(writer.identity, stored, known)]

    def tell_adopted(self, adoption: Adoption, tell: Tell) -> None:
        """Tell which tasks are the origin's."""
        for name in adoption.names if self.origin else ():
            if self.origin and name.step != PARAMETERS_STEP:
                tell(TaskCloned(name, self.origin.identity))

    def begin(self, writer: RunWriter, adoption: Adoption) -> Begin:
        """What all tasks are told."""
        request, repo, run = self.order.request, self.repo, writer.identity
        stored = StoredRun(repo, run.flow, run.id, writer.commit_oid)
        parameters = resume.parameters_task(stored)
        return Begin(
            run=run,
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
            seeds=self.order.seeds,
            parameters=Parent(parameters.name, parameters.task_blob),
        )


def _tell_left_out(snapshot: Snapshot, tell: Tell) -> None:
    left = snapshot.left_out
    if left:
        names = [f"{item.path} ({item.reason})" for item in left[:3]] + ["..."] * (len(left) > 3)  # noqa: PLR2004
        files = "1 file is" if len(left) == 1 else f"{len(left)} files are"
        tell(Notice(f"{files} not in the run's snapshot of the code: {', '.join(names)}."))
