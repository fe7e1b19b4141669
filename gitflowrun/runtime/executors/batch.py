"""The executor of batch isolation: forks of the zygote that run one small task of a step after the other.

1. A task of a foreach whose step is run so goes to a process that has run tasks of this step and waits: its message
   goes by the process' own socket, its output comes by pipes that the process has.
2. Where none waits, the zygote forks one, and gives it the other end of such a socket with its first task.
3. The process says what a task has given and that it has ended (TaskDone), and goes on; or it ends with the task,
   which the zygote sees, as that of any task.
4. Where as many tasks run as may, each process is given another one ahead (`launch_ahead`), with which it begins when
   it has said TaskDone, whoever is busy then. Started tells of it.
5. Such a task is taken back, unless the process has read of it, and begins elsewhere, where something else could run
   (`_spread`), its process ends, or the run does.
6. A process that ends before it has read of a task has done nothing of that: LaunchLost.

All else goes to a fork of its own: what is tried again, what is not in a foreach, the nodes of gangs, and steps whose
decorators need a process for themselves.
"""

from __future__ import annotations

from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun import limits
from gitflowrun.runtime.executors.batch_process import BatchProcess, WaitingTask
from gitflowrun.runtime.executors.executor_limits import MOST_IDLE, SPREAD_AFTER
from gitflowrun.runtime.executors.local import ForkExecutor
from gitflowrun.runtime.ipc.channel import Channel, Connection, OnMessage
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Launch,
    LaunchFailed,
    LaunchLost,
    Message,
    Result,
    Started,
    TaskDone,
)
from gitflowrun.settings import Isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import RunContext
    from gitflowrun.runtime.ipc.task_pipes import TaskPipes

_HARMLESS = frozenset({"isolation", "resources", "retry"})
"""Decorators whose steps need no process for each task; a task that is tried again gets one anyhow."""


def batched_steps(graph: Mapping[str, Any], isolation: Isolation) -> frozenset[str]:
    """The steps whose tasks may share processes.

    Args:
        graph: The flow's `_graph_info`.
        isolation: How tasks of steps that say nothing get their processes.
    """
    return frozenset(
        name
        for name, node in graph.get("steps", {}).items()
        if _wanted(node, isolation) is Isolation.BATCH
        and all(it.get("name") in _HARMLESS for it in node.get("decorators", ()))
    )


def _wanted(node: Mapping[str, Any], isolation: Isolation) -> Isolation:
    for decorator in node.get("decorators", ()):
        if decorator.get("name") == "isolation":
            return Isolation(decorator["attributes"]["kind"])
    return isolation


class BatchExecutor(ForkExecutor):
    """The zygote, and processes of it that run many tasks.

    Args:
        loop: The event loop.
        zygote: To the zygote.
        on_message: Called with every message.
        on_close: Called when the zygote is gone.
        run: What all tasks have in common.
        steps: The steps whose tasks may share processes.
        workers: How many tasks run at the same time.
        most_idle: How many processes may wait for tasks; the oldest end first.
    """

    def __init__(
        self,
        loop: EventLoop,
        zygote: Channel,
        on_message: OnMessage,
        on_close: Callable[[], None],
        run: RunContext,
        steps: frozenset[str],
        workers: int = 1,
        most_idle: int = MOST_IDLE,
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self._steps = steps
        self._processes: dict[int, BatchProcess] = {}
        self._tasks: dict[int, BatchProcess] = {}  # by the launch they run
        self._idle: dict[int, BatchProcess] = {}
        self._free: defaultdict[str, dict[int, BatchProcess]] = defaultdict(dict)
        self._waiting: dict[int, BatchProcess] = {}  # by launches that were given ahead
        self._taken_back: deque[WaitingTask] = deque()
        self._begun: dict[int, TaskPipes] = {}  # by launches that have a process, or will have one
        self._workers = workers
        self._most_idle = most_idle
        self._spreads = False
        self._is_ending = False
        super().__init__(Connection(loop, zygote, self._from_zygote, on_close), run)

    def launch(self, launch: Launch, output: TaskPipes) -> None:
        """Start a task, and make the pipes of its output. Raises OSError: there are no more descriptors."""
        if launch.task.step not in self._steps or not _is_small(launch):
            super().launch(launch, output)
        else:
            self._start(WaitingTask(launch, output))
        self._begun[launch.serial] = output

    def _start(self, task: WaitingTask) -> None:
        process = self._resting(task.launch.task.step)  # 1
        if process is None or not process.give(task):
            self._fork(task)  # 2
            return
        self._tasks[task.launch.serial] = process
        self._note(process)
        self._on_message(Started(task.launch.serial, process.pid))

    def _resting(self, step: str) -> BatchProcess | None:
        """Take a process that waits for a task of a step, the last one to have ended one: its memory is at hand."""
        for serial in reversed(self._idle):
            process = self._idle[serial]
            if process.step == step and process.is_free:
                return self._idle.pop(serial)
        return None

    def _fork(self, task: WaitingTask) -> None:
        process = BatchProcess(self._loop, task, self._from_process)
        try:
            with process.make_ends() as ends:
                self._send(task.launch, tuple(ends))
        except OSError:
            process.end()
            raise
        self._processes[process.serial] = self._tasks[process.serial] = process

    # ---- tasks that wait for the end of others ----

    def ahead(self, step: str) -> int:
        """How many tasks it takes beyond those that may run at the same time."""
        waiting = len(self._waiting) + len(self._taken_back)
        return waiting if self._taken_back else waiting + len(self._free[step])

    def launch_ahead(self, launch: Launch, output: TaskPipes) -> None:
        """Take a task that begins when another one has ended, as Started tells. Raises as `launch`."""
        task = WaitingTask(launch, output)
        free = self._free[launch.task.step]
        while free and _is_small(launch):
            process = free.pop(next(iter(free)))
            if process.give(task):
                self._waiting[launch.serial] = process  # 4
                return
        self.launch(launch, output)

    def _note(self, process: BatchProcess) -> None:
        """Note whether a process that runs a task can be given another one."""
        if process.task is not None and process.is_free:
            self._free[process.step][process.serial] = process
        else:
            self._free[process.step].pop(process.serial, None)

    def _take_back(self, process: BatchProcess) -> WaitingTask | None:
        task = process.take_back()
        if task is not None:
            del self._waiting[task.launch.serial]
            self._note(process)
        return task

    def _begin_elsewhere(self, task: WaitingTask) -> None:
        """Have a task that was taken back begin as soon as another one may."""
        if self._is_ending:
            self._say(LaunchLost(task.launch.serial))
        else:
            self._taken_back.append(task)

    def _say(self, message: Message) -> None:
        """Say something in a turn of the loop that comes."""
        self._loop.after(0, partial(self._on_message, message))

    def _spread(self) -> None:
        """Begin with tasks that wait while fewer run than may."""
        while len(self._begun) < self._workers and (task := self._next_waiting()) is not None:
            serial = task.launch.serial
            self._begun[serial] = task.output
            try:
                self._start(task)
            except OSError as error:
                del self._begun[serial]
                self._say(LaunchFailed(serial, error.strerror or str(error)))

    def _next_waiting(self) -> WaitingTask | None:
        if self._taken_back:
            return self._taken_back.popleft()
        for process in list(self._waiting.values()):
            task = self._take_back(process)
            if task is not None:
                return task
        return None

    def _spread_soon(self) -> None:
        """Spread what waits, at once where nobody else will begin with it; else the scheduler may have more to do."""
        if self._taken_back:
            self._spread()
        if self._waiting and len(self._begun) < self._workers and not self._spreads:
            self._spreads = True
            self._loop.after(SPREAD_AFTER, self._spread_now)

    def _spread_now(self) -> None:
        self._spreads = False
        self._spread()
        self._spread_soon()

    # ---- the end of tasks ----

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch; one that waits is lost, or gets it when it begins."""
        process = self._tasks.get(serial)
        if serial in self._waiting:
            waits = self._waiting[serial]
            if self._take_back(waits) is None:
                waits.signal = number
            else:
                self._say(LaunchLost(serial))
        elif process is None:
            super().kill(serial, number)
        elif process.following is None or process.next_unread():
            self._signal(process, number)
        # Or else it has ended well, and it is the next one that would get the signal.

    def _signal(self, process: BatchProcess, number: int) -> None:
        process.spend()  # the signal may come when the task has ended
        self._note(process)
        task = self._take_back(process)
        if task is not None:
            self._begin_elsewhere(task)
        super().kill(process.serial, number)

    def withdraw(self) -> None:
        """Begin with no task any more: those that wait, and can be taken back, are lost."""
        self._is_ending = True
        while self._taken_back:
            self._say(LaunchLost(self._taken_back.popleft().launch.serial))
        for process in list(self._waiting.values()):
            task = self._take_back(process)
            if task is not None:
                self._say(LaunchLost(task.launch.serial))
        if self._waiting:  # it has begun, or its process not even with the one before
            self._loop.after(SPREAD_AFTER, self.withdraw)

    def lost(self) -> None:
        """Hear what tasks have said before the zygote was killed, and their processes with it."""
        self._is_ending = True
        self._taken_back.clear()  # or processes that are gone would be given these
        for process in list(self._processes.values()):
            process.read()
            process.end()
        for known in (
            self._processes, self._tasks, self._idle, self._free, self._waiting, self._begun
        ):  # fmt: skip
            known.clear()

    def close(self) -> None:
        """End the zygote, which kills its tasks."""
        for process in self._processes.values():
            process.end()
        super().close()

    # ---- what processes say ----

    def _from_process(self, process: BatchProcess, message: Message) -> None:
        if isinstance(message, Started):
            self._begin(process, message.pid)
        elif isinstance(message, Result) and message.serial == process.task:
            self._ends_with(process, message)
        elif isinstance(message, TaskDone) and message.result.serial == process.task:  # 3
            self._go_on(process, message)

    def _ends_with(self, process: BatchProcess, result: Result) -> None:
        """It ends with its task."""
        process.spend()
        self._note(process)
        task = self._take_back(process)
        if task is not None:
            self._begin_elsewhere(task)
        self._on_message(result)

    def _go_on(self, process: BatchProcess, done: TaskDone) -> None:
        """A task of it has ended, and it goes on."""
        serial = done.result.serial
        del self._tasks[serial]
        self._begun.pop(serial, None)
        process.go_on()
        process.cpu += done.cpu
        if process.task is not None:
            del self._waiting[process.task]
            self._tasks[process.task] = process
            self._begun[process.task] = process.output
        elif process.is_spent:
            process.end()
        else:
            self._idle[process.serial] = process
            if len(self._idle) > self._most_idle:
                self._idle.pop(next(iter(self._idle))).end()
        self._on_message(done.result)
        self._on_message(Exited(serial, 0, done.cpu, done.max_rss, done.ended))
        self._note(process)
        if process.task is not None:
            self._on_message(Started(process.task, process.pid, done.ended))
            if process.signal:
                self._signal(process, process.signal)
        else:
            self._spread_soon()

    def _from_zygote(self, message: Message) -> None:
        process = self._processes.get(getattr(message, "serial", 0))
        if process is None:
            self._on_message(message)
            if isinstance(message, Exited | LaunchFailed):
                self._leave(message.serial)
        elif isinstance(message, Started):
            self._begin(process, message.pid)
        elif isinstance(message, LaunchFailed):
            self._forget(process)
            self._on_message(message)
            self._leave(message.serial)
        elif isinstance(message, Exited):
            self._ended(process, message)
        self._spread_soon()

    def _begin(self, process: BatchProcess, pid: int) -> None:
        """It runs: it says so itself, lest a quick task ends before it has begun, and so does the zygote."""
        if not process.pid:
            process.pid = pid
            self._note(process)
            self._on_message(Started(process.serial, pid))

    def _ended(self, process: BatchProcess, exited: Exited) -> None:
        process.read()  # what it has said before its end counts
        unread = process.unread()
        task, following = process.task, process.following
        self._forget(process)
        if following is not None:
            del self._waiting[following.launch.serial]
            self._begin_elsewhere(following)  # 5
        if task is None:
            return
        if task in unread:  # 6
            self._on_message(LaunchLost(task))
        else:
            cpu = max(exited.cpu - process.cpu, 0.0)
            self._on_message(Exited(task, exited.status, cpu, exited.max_rss))
        self._leave(task)

    def _leave(self, serial: int) -> None:
        """Give up the place of a task whose process has ended, once what that has left behind has ended, too."""
        output = self._begun.get(serial)
        if output is not None and output.is_open:
            self._loop.after(limits.LEFT_BEHIND_PAUSE, partial(self._leave, serial))
        else:
            self._begun.pop(serial, None)
            self._spread_soon()

    def _forget(self, process: BatchProcess) -> None:
        process.end()
        self._note(process)
        del self._processes[process.serial]
        self._idle.pop(process.serial, None)
        if process.task is not None:
            del self._tasks[process.task]


def _is_small(launch: Launch) -> bool:
    """Whether a task is one of a foreach in its first attempt, and not a node of a gang."""
    return launch.attempt == 0 and bool(launch.frames) and not launch.frames[-1].is_gang
