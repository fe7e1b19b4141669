"""The end of a run whose scheduler has not said how it ended: what git has of it counts.

A scheduler may die, or fail, after its last commit, when all is done and the program that waits was not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, GitflowrunError, NotFound, RunFailed
from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.runs import RunStore
from gitflowrun.runtime.ipc.events import Listener, Notice, RunEnded
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.launch.program import spelled
from gitflowrun.runtime.scheduler.setup import exit_code
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.messages import StartRun

_KILLED = "The scheduler was killed when run {} had ended and all of it was recorded."
_FAILED = "All of run {} is recorded all the same."


@frozen
class SilentEnd:
    """The end of a scheduler that has given no exit code.

    Attributes:
        run: The run that it was to make; None where it did not get to give it a number.
        start: What it was told to do.
        status: Its exit status, negative when a signal killed it.
        error: What it has told instead.
        interrupt: The signal that interrupted the run, if that is what ended it.
    """

    run: RunIdentity | None
    start: StartRun
    status: int
    error: GitflowrunError | None
    interrupt: int

    def exit_code(
        self, repo: Repository, make_listener: Callable[[RunIdentity, str | None], Listener]
    ) -> int:
        """Tell how the run has ended, as far as it has; the exit code.

        Args:
            repo: Where it is recorded.
            make_listener: Makes what shows the end of a run, and of a spun task, whose address is given.

        Raises:
            RunFailed: the scheduler was killed before.
            GitflowrunError: what it has told; or the end can't be made durable.
        """
        was_killed = self.error is None and self.status <= 0
        run = None if self.run is None else _recorded(repo, self.run)
        end = None if run is None else _recorded_end(run)
        if run is not None and end is not None and (was_killed or end.status is Status.DONE):
            notify = make_listener(run.identity, _spun(run) if self._is_spin else None)
            before = f"{self.error.told}\n" if self.error else ""
            notify(
                Notice(before + (_KILLED if was_killed else _FAILED).format(run.pathspec), bad=True)
            )
            notify(end)
            return exit_code(end.status, self.interrupt)
        if self.error is not None:
            raise self.error
        if self.status > 0:
            return self.status  # it has said why on standard error
        raise self._killed(run)

    @property
    def _is_spin(self) -> bool:
        return self.start.request.kind is RunKind.SPIN

    def _killed(self, run: StoredRun | None) -> RunFailed:
        if run is None:
            return RunFailed(
                "the scheduler was killed before the run had begun",
                hint="start it again: nothing is recorded",
            )
        if self._is_spin:
            again = spelled(self.start.typed, *self.start.request.argv[1:])
            return RunFailed("the scheduler was killed", hint=f"`{again}` tries it again")
        resume = spelled(self.start.typed, "resume", run.id)
        return RunFailed(
            "the scheduler was killed", hint=f"`{resume}` goes on with what is finished"
        )


def _recorded(repo: Repository, run: RunIdentity) -> StoredRun | None:
    """A run as git has it now; None where it was never published, or is gone."""
    try:
        stored = RunStore(repo).get(run.flow, run.id)
    except NotFound:
        return None
    return stored if stored.identity.uid == run.uid else None


def _recorded_end(run: StoredRun) -> RunEnded | None:
    """The end of a run as its last commit says it, durable from now on; None where it has not ended.

    Raises:
        RepositoryError: the disk has failed, so nobody knows what a power cut would leave.
    """
    state = run.state
    if not state.status.is_final:
        return None
    run.repo.refs.sync(layout.run_ref(run.flow, run.id))
    seconds = (state.finished or state.started) - state.started
    error = _what_failed(run) if state.status is Status.FAILED else None
    return RunEnded(state.status, state.tasks, seconds, error)


def _spun(run: StoredRun) -> str | None:
    """The address of the task that a spun task executed once more; None where that can't be read."""
    try:
        own = (it.name for it in run.all_tasks() if it.record.run.uid == run.identity.uid)
        task = next((it for it in own if it.step != PARAMETERS_STEP), None)
        origin = run.info.origin
    except CorruptRecord:
        return None
    return f"{origin.run.pathspec}/{task}" if origin and task else None


def _what_failed(run: StoredRun) -> str | None:
    """What made the run fail; None where that is not recorded."""
    step = run.state.failed_step
    try:
        records = [it for it in run.records(step) if not it.ok and not it.again]
        failed = min(
            records, key=lambda it: it.attempts[-1].finished
        )  # the others fail with the run
        error = failed.attempts[-1].error
    except (NotFound, CorruptRecord, ValueError, IndexError):
        return None
    return f"step {step!r} (task {failed.name.task}) failed: {error}"
