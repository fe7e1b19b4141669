"""The launcher process: the flow's program, which has imported the flow, starts a run's processes and waits.

1. `prepare`, before the command line is read: start the scheduler, whose imports then run beside the rest; import
   what tasks need and fork the zygote while this process is still small. Both end by themselves when no run
   comes of it.
2. `run`: store the parameters, send StartRun, answer messages until RunFinished or RunRefused. Signals become
   messages: the scheduler decides what an interrupt means. Of an inline run the tasks are executed here.
3. The exit code is the scheduler's. Where it has given none, what git has of the run counts: it may have died, or
   failed, when all was recorded.

PYTHONHASHSEED is taken as it is and recorded: forked tasks share this process' hash seed, whatever it is, and
to fix it would mean to start the interpreter again. Stored bytes do not depend on it.

Before it forks, the process checks whether it may (`why_not_fork`): forking beside live threads hangs or aborts the
child. Measured: forking after a library was *imported* is safe, after it was *used* often is not (OpenMP, rayon,
XLA, grpc, any Python thread pool). What was used shows in threads that no import explains. OpenBLAS
starts its threads when it is loaded and survives a fork; so does jemalloc's housekeeper. Any other thread
beside the main one means fresh interpreters, which make tasks slower, never wrong.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from gitflowrun import errors
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel, channel_pair
from gitflowrun.runtime.ipc.messages import (
    InheritedParameters,
    Interrupt,
    Launch,
    Message,
    Resources,
    Retries,
    RunContext,
    RunFinished,
    RunNamed,
    RunRefused,
    StartRun,
    StoredParameters,
)
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.runtime.worker.random_seeds import base_seeds
from gitflowrun.settings import Isolation
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from socket import socket
    from types import FrameType

    from gitflowrun.flow import FlowSpec
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.events import Listener
    from gitflowrun.runtime.launch.runtime_hooks import RuntimeHooks

_FORKED = frozenset(kind.value for kind in Isolation if kind.forks)
_TASKS = "/proc/self/task"
_HARMLESS = ("jemalloc_bg",)
_ACCELERATORS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/neuron")
_COUNTERS = (
    "openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "scipy_openblas_get_num_threads64_",
)


def _asks_to_fork(word: str, following: str) -> bool:
    """Whether a word of the command line is the option that overrules the environment, which is read later."""
    option, _, kind = word.partition("=")
    return option == "--isolation" and (kind or following).lower() in _FORKED


def why_not_fork() -> str | None:
    """Why this process must not be forked; None when it may be."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        main = threading.main_thread()
        names = [thread.name for thread in threading.enumerate() if thread is not main]
        return f"the flow's module has left a thread running ({', '.join(names)})"
    device = _open_accelerator()
    if device is not None:
        return f"the flow's module has opened {device}"
    try:
        unexplained = _native_threads()
    except OSError:
        return "/proc is not there, so nobody can tell whether threads are running"
    if unexplained > 0:
        unexplained -= _openblas_threads()
    if unexplained > 0:
        return f"code at module level has left {unexplained} native threads running"
    return None


def _native_threads() -> int:
    """How many threads run beside the main one, harmless ones not counted."""
    threads = os.listdir(_TASKS)  # noqa: PTH208  (pathlib is an import)
    if len(threads) == 1:
        return 0
    names = [_read(f"{_TASKS}/{thread}/comm") for thread in threads]
    return sum(not name.startswith(_HARMLESS) for name in names) - 1


def _openblas_threads() -> int:
    """How many threads the loaded copies of OpenBLAS have started."""
    import ctypes

    count = 0
    lines = _read("/proc/self/maps").splitlines()
    mapped = {"/" + line.partition("/")[2] for line in lines}
    for path in (path for path in mapped if "openblas" in os.path.basename(path)):  # noqa: PTH119
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            counter = next((name for name in _COUNTERS if hasattr(library, name)), None)
            count += max(getattr(library, counter)() - 1, 0) if counter else 0
    return count


def _open_accelerator() -> str | None:
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
                if target.startswith(_ACCELERATORS):
                    return target
    return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:  # a thread that has just ended
        return ""


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@frozen
class _Processes:
    """The processes that were started for a run."""

    scheduler: int
    zygote: int | None
    channel: Channel
    why_not_fork: str | None

    def end(self) -> int:
        """Wait for their end; the scheduler's exit status, negative when a signal killed it.

        Of an inline run a step may have waited for all children, or have ignored SIGCHLD: then it is not known,
        and 0 stands for it. What the scheduler has said counts in any case.
        """
        self.channel.close()
        status = 0
        with contextlib.suppress(ChildProcessError):
            status = os.waitstatus_to_exitcode(os.waitpid(self.scheduler, 0)[1])
        if self.zygote is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.zygote, 0)  # it ends with the scheduler
        return status


class Launcher:
    """Starts runs of a flow.

    Args:
        flow_cls: The flow.
        scheduler_program: Path of the scheduler's program.
    """

    def __init__(self, flow_cls: type[FlowSpec], scheduler_program: str) -> None:
        self._flow_cls = flow_cls
        self._scheduler_program = scheduler_program
        self._processes: _Processes | None = None
        self._named: RunIdentity | None = None

    @property
    def named(self) -> RunIdentity | None:
        """The run that was executed, or was about to be; None before it has a number."""
        return self._named

    def prepare(self) -> None:
        """Start what a run needs."""
        wanted = os.environ.get("GITFLOWRUN_ISOLATION", "fork").lower()
        why_not: str | None = f"GITFLOWRUN_ISOLATION is {wanted}"
        if wanted in _FORKED or any(map(_asks_to_fork, sys.argv, (*sys.argv[1:], ""))):
            why_not = why_not_fork()
        process.adopt_orphans()
        ours, theirs = channel_pair()
        passed = {"launcher": theirs.detach()}
        if why_not is not None:
            scheduler, zygote = _start_scheduler(self._scheduler_program, passed), None
        else:
            to_zygote, of_zygote = channel_pair()
            alive, zygote_end = os.pipe()
            passed |= {"zygote": to_zygote.detach(), "alive": alive}
            scheduler = _start_scheduler(self._scheduler_program, passed)
            zygote = self._fork_zygote(Channel(of_zygote), zygote_end, ours)
            os.close(zygote_end)
            of_zygote.close()
        self._processes = _Processes(scheduler, zygote, Channel(ours), why_not)

    def _fork_zygote(self, channel: Channel, alive: int, ours: socket) -> int:
        # Both processes need these, so they are loaded and computed once.
        from gitflowrun.flow.graph import FlowGraph
        from gitflowrun.runtime.worker import zygote
        from gitflowrun.runtime.worker.program_end import ProgramEnd, flush_files

        with contextlib.suppress(errors.FlowError):  # the command line says what is wrong
            FlowGraph.of(self._flow_cls)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or every task would write it once more
        files = flush_files({channel.fileno(), alive, ours.fileno()})
        pid = os.fork()
        if not pid:
            try:
                ours.close()  # or the scheduler would not notice the death of this process
                zygote.serve(self._flow_cls, channel, alive, ProgramEnd(files))
            finally:
                os._exit(1)
        return pid

    def close(self) -> None:
        """Let go of what was started in vain, when no run came of it: it ends by itself."""
        if self._processes is not None:
            self._processes.channel.close()

    def run(
        self,
        request: RunRequest,
        repository: Repository,
        ask: Callable[[str], str | None] = lambda _prompt: None,
        make_listener: Callable[[RunIdentity, str | None], Listener] = (
            lambda _run, _spun: lambda _event: None
        ),
    ) -> int:
        """Execute a run to its end and return the exit code.

        Args:
            request: What to run.
            repository: Where it is recorded. The scheduler gets it as it is, so that git is asked once a run.
            ask: Asks the user for a secret, with this prompt; None when nobody can be asked.
            make_listener: Makes what shows how a run has ended whose scheduler can't do it any more; of a spun task,
                it is given the address.

        Raises:
            UsageError: a parameter is missing or not of its type.
            FlowError: the flow can't be run.
            GitflowrunError: whatever else keeps the run from beginning.
        """
        from gitflowrun.runtime.launch.runtime_hooks import RuntimeHooks
        from gitflowrun.runtime.launch.store_parameters import store_parameters

        if self._processes is None:
            self.prepare()
        processes, self._processes = self._processes, None
        assert processes is not None
        if request.argv != tuple(sys.argv):
            process.hide_arguments(sys.argv, request.argv)
        store = partial(store_parameters, self._flow_cls, repository, request, ask=ask)
        start = self._start_run(request, repository, store, processes.why_not_fork)
        error, hooks = None, RuntimeHooks(self._flow_cls)
        with _forwarded_signals(processes.channel) as forwarding:
            try:
                code = self._serve(processes.channel, start, store, hooks)
            except BrokenPipeError:
                code = None
            except errors.GitflowrunError as refused:
                if self._named is None:
                    raise
                code, error = None, refused
            finally:
                status = processes.end()
        if code is not None:
            hooks.end(code, self._named)
            return code
        if status <= 0:
            process.kill_orphans()
        from gitflowrun.runtime.launch.recorded_end import SilentEnd  # seldom needed

        end = SilentEnd(self._named, start, status, error, forwarding.number)
        code = end.exit_code(repository, make_listener)
        hooks.end(code, self._named)
        return code

    def _start_run(
        self,
        request: RunRequest,
        repository: Repository,
        store: Callable[[], StoredParameters],
        why_not_fork: str | None,
    ) -> StartRun:
        """What the scheduler is told of a run."""
        from gitflowrun.flow.decorators.attempts import retries_of
        from gitflowrun.flow.decorators.resources import resources_of
        from gitflowrun.flow.definition import system_tags_of
        from gitflowrun.flow.graph import FlowGraph
        from gitflowrun.git.repository import REPOSITORY
        from gitflowrun.runtime.launch.program import (
            modules_outside,
            start_again,
            start_directory,
            typed_command,
        )

        code: dict[str, bytes] = {}
        files: tuple[str, ...] = ()
        around: tuple[str, ...] = ()
        if request.uses_cache(repository.settings.cache):
            from gitflowrun.runtime.launch import step_code  # few runs use the cache

            code, files = step_code.step_code(self._flow_cls)
            around = step_code.surroundings()
        return StartRun(
            flow=self._flow_cls.__name__,
            graph=FlowGraph.of(self._flow_cls).to_map(),
            request=request,
            parameters=store() if request.kind is RunKind.RUN else None,
            script=getattr(sys.modules["__main__"], "__file__", None) or sys.argv[0],
            command=start_again(request.argv),
            typed=typed_command(),
            directory=start_directory(),
            outside=modules_outside(repository.work_tree) if repository.work_tree else (),
            path=tuple(sys.path),
            why_not_fork=why_not_fork,
            hash_seed=_hash_seed(),
            seeds=base_seeds(),
            repository=REPOSITORY.dump(repository),
            config=repository.config,
            retries={step: Retries(*counts) for step, counts in retries_of(self._flow_cls).items()},
            system_tags=system_tags_of(self._flow_cls),
            step_code=code,
            step_files=files,
            surroundings=around,
            resources={step: Resources(*it) for step, it in resources_of(self._flow_cls).items()},
        )

    def _serve(
        self,
        channel: Channel,
        start: StartRun,
        store: Callable[[InheritedParameters], Message],
        hooks: RuntimeHooks,
    ) -> int | None:
        """Start the run and answer until it is over; its exit code, or None when the scheduler dies before."""
        channel.send(start)
        run_task = None
        while True:
            message, fds = channel.receive()
            if message is None:
                return None
            if isinstance(message, RunFinished):
                return message.code
            if isinstance(message, RunRefused):
                kind: type[errors.GitflowrunError] = getattr(
                    errors, message.error, errors.GitflowrunError
                )
                raise kind(message.message, hint=message.hint)
            if isinstance(message, RunNamed):
                self._named = message.run
                hooks.begin(message.run, channel)
            elif isinstance(message, InheritedParameters):
                channel.send(store(message))
            elif isinstance(message, RunContext):  # the run is inline
                from gitflowrun.runtime.executors.inline import inline_tasks

                run_task = inline_tasks(self._flow_cls, message, channel)
            elif isinstance(message, Launch) and run_task is not None:
                run_task(message, fds)


class _Forwarding:
    """A handler that makes signals to this process messages to the scheduler.

    Args:
        channel: To the scheduler.

    Attributes:
        has_forwarded: Whether it has.
        number: The last signal; what interrupts a run from elsewhere where there was none.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.has_forwarded = False
        self.number: int = signal.SIGTERM

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.has_forwarded = True
        self.number = number
        with contextlib.suppress(OSError):  # the scheduler has ended already
            self._channel.send(Interrupt(number))


@contextlib.contextmanager
def _forwarded_signals(channel: Channel) -> Iterator[_Forwarding]:
    """While it lasts, signals to this process become messages to the scheduler."""
    forward = _Forwarding(channel)
    # `nohup` means it.
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield forward
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _start_scheduler(program: str, passed: Mapping[str, int]) -> int:
    """Start the scheduler's interpreter with the same flags, and pass it descriptors, which are closed here.

    Args:
        program: Path of its program.
        passed: Descriptors by the names that the program gives them.
    """
    for fd in passed.values():
        os.set_inheritable(fd, True)  # noqa: FBT003
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, *_interpreter_flags(), program, *(f"{k}={v}" for k, v in passed.items())],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsigmask=[signal.SIGINT],  # until it ignores it: the launcher process decides
    )
    for fd in passed.values():
        os.close(fd)
    return pid


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
