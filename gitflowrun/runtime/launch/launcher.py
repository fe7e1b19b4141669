"""The front process' part in a run: it has read the flow, so it lends itself to whoever needs the flow.

1. `prepare`, before the command line is read: fork the zygote while this process is still small, and start the
   scheduler, whose imports then run beside the reading of the command line. Both end by themselves when no
   run comes of it.
2. `run`: resolve the parameters, place the order, wait. Signals become messages: the scheduler decides what
   an interrupt means. Of an `inline` run the tasks are executed here (`inline`).
3. The exit code is the scheduler's.

PYTHONHASHSEED is taken as it is and recorded: forked tasks share this process' hash seed, whatever it is, and
to fix it would mean to start the interpreter again. Stored bytes do not depend on it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun import errors
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.messages import (
    Adopted,
    Begin,
    Ended,
    Interrupt,
    Kill,
    Launch,
    Order,
    Refusal,
    encode,
    parse,
)
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.launch import fork_check
from gitflowrun.runtime.launch.store_parameters import store_parameters
from gitflowrun.runtime.worker.random_seeds import base_seeds
from gitflowrun.settings import Isolation
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from gitflowrun.flow import FlowSpec
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.request import RunRequest

__all__ = ["Launcher"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@frozen
class _Crew:
    """The processes that were started for a run."""

    scheduler: int
    zygote: int | None
    front: Channel
    objection: str | None


class Launcher:
    """Starts runs of a flow.

    Args:
        flow_cls: The flow.
        scheduler_program: Path of the scheduler's program.
    """

    def __init__(self, flow_cls: type[FlowSpec], scheduler_program: str) -> None:
        self._flow_cls = flow_cls
        self._scheduler_program = scheduler_program
        self._crew: _Crew | None = None

    def prepare(self) -> None:
        """Start what a run needs, now: the sooner, the smaller are the forks."""
        wanted = os.environ.get("GITFLOWRUN_ISOLATION", "fork").lower()
        objection: str | None = f"GITFLOWRUN_ISOLATION is {wanted}"
        if wanted == Isolation.FORK.value:
            objection = fork_check.why_not_fork()
        passed: dict[str, int] = {}
        zygote = None
        if objection is None:
            zygote, passed = self._fork_zygote()
        ours, theirs = channel_pair()
        passed["front"] = theirs.fileno()
        scheduler = _start_scheduler(self._scheduler_program, passed)
        theirs.close()
        for name in ("zygote", "alive"):
            if name in passed:
                os.close(passed[name])
        self._crew = _Crew(scheduler, zygote, Channel(ours), objection)

    def _fork_zygote(self) -> tuple[int, dict[str, int]]:
        """Fork the zygote; its number, and the descriptors that the scheduler needs of it."""
        ours, theirs = channel_pair()
        alive, only_zygote = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or every task would write it once more
        pid = os.fork()
        if not pid:
            _be_zygote(self._flow_cls, ours.detach(), alive, theirs.detach(), only_zygote)
        os.close(only_zygote)
        theirs.close()
        return pid, {"zygote": ours.detach(), "alive": alive}

    def run(self, request: RunRequest, repository: Repository) -> int:
        """Execute a run to its end and return the exit code.

        Args:
            request: What is to be run.
            repository: Where it is recorded. The scheduler gets it as it is, so that git is asked once a run.

        Raises:
            UsageError: a parameter is missing or not of its type.
            FlowError: the flow can't be run.
            GitflowrunError: whatever else keeps the run from beginning.
        """
        from gitflowrun.flow.graph import FlowGraph
        from gitflowrun.git.repository import REPOSITORY

        if self._crew is None:
            self.prepare()
        crew = self._crew
        assert crew is not None
        self._crew = None
        parameters = None
        if request.kind is RunKind.RUN:
            parameters = store_parameters(self._flow_cls, repository, request.parameters)
        main = sys.modules["__main__"]
        order = Order(
            flow=self._flow_cls.__name__,
            graph=FlowGraph.of(self._flow_cls).to_map(),
            request=request,
            parameters=parameters,
            script=getattr(main, "__file__", None) or sys.argv[0],
            command=(sys.executable, *sys.orig_argv[1:]),
            path=tuple(sys.path),
            objection=crew.objection,
            hash_seed=_hash_seed(),
            seeds=base_seeds(),
            repository=REPOSITORY.dump(repository),
            config=repository.config,
        )
        return self._serve(crew, order, repository)

    # ---- the run ----

    def _serve(self, crew: _Crew, order: Order, repository: Repository) -> int:
        """Place the order, and be there for the scheduler until it has ended."""
        with _Forwarding(crew.front):
            try:
                crew.front.send(encode(order))
                process.adopt_orphans()
                code = self._converse(crew.front, order.request, repository)
            except BrokenPipeError:
                code = None
            finally:
                crew.front.close()
                status = os.waitstatus_to_exitcode(os.waitpid(crew.scheduler, 0)[1])
                if crew.zygote is not None:
                    os.waitpid(crew.zygote, 0)  # it has lost its scheduler
        if code is not None:
            return code
        if status > 0:
            return status  # it has said why on standard error
        process.kill_orphans()
        raise errors.RunFailed(
            "the scheduler was killed",
            hint=f"`python {sys.argv[0]} resume` goes on with what is finished",
        )

    def _converse(self, front: Channel, request: RunRequest, repository: Repository) -> int | None:
        """Answer the scheduler until it says how the run ended; None when it ends without a word."""
        tasks: Callable[[Message, tuple[int, ...]], None] | None = None
        while (received := front.receive()) is not None:
            message = parse(received.body)
            if isinstance(message, Ended):
                return message.code
            if isinstance(message, Refusal):
                raise _rebuilt(message)
            if isinstance(message, Adopted):
                stored = store_parameters(
                    self._flow_cls, repository, request.parameters, message.names
                )
                front.send(encode(stored))
            elif isinstance(message, Begin):
                from gitflowrun.runtime.executors.inline import InlineTasks

                tasks = InlineTasks(self._flow_cls, message, front).take
            elif isinstance(message, Launch | Kill) and tasks is not None:
                tasks(message, received.fds)
        return None


class _Forwarding:
    """While it lasts, signals to this process become messages to the scheduler."""

    def __init__(self, front: Channel) -> None:
        self._front = front
        self._old: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` means it
                self._old[number] = signal.signal(number, self._forward)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        try:
            self._front.send(encode(Interrupt(number)))
        except OSError:
            return  # the scheduler has ended already


def _be_zygote(
    flow_cls: type[FlowSpec], front_side: int, alive: int, zygote_side: int, only_zygote: int
) -> None:
    """In the forked child: never returns."""
    try:
        from gitflowrun.runtime.worker import zygote

        os.close(front_side)
        os.close(alive)
        zygote.serve(flow_cls, Channel.from_fd(zygote_side), only_zygote)
    finally:
        os._exit(1)


def _start_scheduler(program: str, passed: Mapping[str, int]) -> int:
    """Start the scheduler's interpreter: the same program, the same flags, these descriptors."""
    words = [f"{name}={fd}" for name, fd in passed.items()]
    for fd in passed.values():
        os.set_inheritable(fd, True)  # noqa: FBT003
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *_interpreter_flags(), program, *words],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsigmask=[signal.SIGINT],  # until it ignores it: the front process decides
    )


def _interpreter_flags() -> list[str]:
    """The flags that make an interpreter find the same packages as this one."""
    flags = sys.flags
    if flags.isolated:
        return ["-I"]
    pairs = (("-E", flags.ignore_environment), ("-s", flags.no_user_site), ("-S", flags.no_site))
    return [flag for flag, is_set in pairs if is_set]


def _hash_seed() -> str:
    if not sys.flags.hash_randomization:
        return "0"
    return os.environ.get("PYTHONHASHSEED") or "random"


def _rebuilt(refusal: Refusal) -> errors.GitflowrunError:
    kind = getattr(errors, refusal.error, errors.GitflowrunError)
    error: errors.GitflowrunError = kind(refusal.message, hint=refusal.hint)
    return error
