"""An agent: what gives a run's tasks their processes on a worker of an engine, and speaks with the run's driver.

1. The driver says AgentStart. The agent checks versions, git and packages.
2. It opens its cache, or the driver's own repository where both are on one disk, and gets what it lacks of the code.
3. It writes the code as files of its own, and starts the flow's program there, which becomes its zygote; where that
   can't be forked, tasks get fresh interpreters.
4. It says AgentReady, and takes launches. A task is started once the records of the tasks that it follows are here,
   and the task before it has ended: of short tasks it is given some ahead, lest it wait for the driver after each.
5. When the driver says so, is gone, or the engine ends it, it kills all tasks, removes what is its own, and ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, GitflowrunError, MissingObject
from gitflowrun.failpoints import reached
from gitflowrun.git.command import git_message
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.transport.streamed_packs import start_pack
from gitflowrun.runs import layout
from gitflowrun.runtime.executors.batch import BatchExecutor
from gitflowrun.runtime.executors.local import ForkExecutor, FreshExecutor
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.absent_objects import ObjectServer
from gitflowrun.runtime.ipc.agent_limits import FETCH_PAUSE, PACK_PIECE, RECORDS_AT_ONCE
from gitflowrun.runtime.ipc.channel import Channel, Connection
from gitflowrun.runtime.ipc.messages import Kill, Launch, LaunchItem, LaunchLost, Result
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentStart,
    AgentStop,
    Objects,
    Recall,
    TaskBegins,
    TaskPack,
    WantObjects,
    driver_of,
    unpack_remote,
)
from gitflowrun.runtime.remote import requirements
from gitflowrun.runtime.remote.agent_cache import AgentCache
from gitflowrun.runtime.remote.agent_task import AgentTask
from gitflowrun.runtime.remote.code_copy import write_code
from gitflowrun.runtime.remote.flow_program import FlowProgram, command_here
from gitflowrun.runtime.remote.object_requests import ObjectRequests
from gitflowrun.runtime.remote.outbox import Outbox
from gitflowrun.runtime.remote.read_paths import with_drivers_paths
from gitflowrun.settings import Durability, Isolation
from gitflowrun.values import replace

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from gitflowrun.git.objects import Oid
    from gitflowrun.runtime.executors.local import Executor
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.messages import FlowImported, Message, RunContext
    from gitflowrun.runtime.ipc.remote_messages import AgentRefused, RemoteMessage
    from gitflowrun.runtime.remote.outbox import MessageLink

_TURN = 0.1  # seconds of work between two looks at what has come


class Agent:
    """An agent.

    Args:
        loop: The event loop.
        link: The way to the driver.

    Attributes:
        is_over: Whether it is to end.
    """

    def __init__(self, loop: EventLoop, link: MessageLink) -> None:
        self.is_over = False
        self._loop = loop
        self._link = link
        self._outbox = Outbox(loop, link)
        self._start: AgentStart | None = None
        self._cache: AgentCache | None = None
        self._requests: ObjectRequests | None = None
        self._server: ObjectServer | None = None
        self._shares_disk = False
        self._program: FlowProgram | None = None
        self._executor: Executor | None = None
        self._notices: list[str] = []
        self._last: Launch | None = None
        self._tasks: dict[int, AgentTask] = {}
        self._begun: set[int] = set()
        self._has_failed = False
        self._next: deque[AgentTask] = deque()
        self._is_second_copy = False

    # ---- what the driver says ----

    def hear(self, data: bytes | memoryview) -> None:
        """Take a message of the driver's."""
        try:
            self._obey(unpack_remote(data))
        except CorruptRecord:
            told = driver_of(data) if self._start is None else None
            refusal = requirements.other_version(*told) if told is not None else None
            if refusal is None:
                raise
            self._refuse(refusal)

    def _obey(self, message: Message | RemoteMessage) -> None:
        if isinstance(message, AgentStart) and self._start is None:
            self._begin(message)
        elif isinstance(message, AgentStop):
            self.is_over = True
        elif isinstance(message, Objects) and self._requests is not None:
            self._requests.take(message)
        elif isinstance(message, WantObjects):
            self._answer(message)
        elif isinstance(message, LaunchItem) and self._last is not None:
            self._launch(message.launch(self._last))
        elif isinstance(message, Launch):
            self._last = _like(message, self._last)
            self._launch(self._last)
        elif isinstance(message, Kill):
            self._kill(message)
        elif isinstance(message, Recall):
            self._recall(message.serial)

    def fail_by(self, error: OSError) -> None:
        """The system has reported an error that concerns more than one task: a full disk, no more descriptors."""
        reason = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        self._refuse(requirements.refused(f"{where}{reason}", "the worker's disk, or its limits"))

    def _refuse(self, refusal: AgentRefused) -> None:
        self._outbox.send(refusal)
        self.is_over = True

    # ---- the beginning ----

    def _begin(self, start: AgentStart) -> None:
        self._start = start
        refusal = requirements.other_version(start.protocol, start.version)
        refusal = refusal or requirements.lacking_git(Path.cwd())
        differing = requirements.other_packages(start) if start.other_packages != "ignore" else ""
        if differing and start.other_packages == "refuse":
            hint = (
                "install what the driver has, or run with `git config runs.executorPackages warn`"
            )
            refusal = refusal or requirements.refused(differing, hint)
        elif differing:
            self._notices.append(f"{differing}.")
        if refusal is not None:
            self._refuse(refusal)
            return
        os.environ.update(start.environ)
        try:
            cache = self._cache = AgentCache(start.repository)
            self._requests = ObjectRequests(self._loop, cache, self._outbox.send)
            self._shares_disk = _is_shared(start)
            if self._shares_disk or cache.has_tree(start.code):
                self._copy_code()
            else:
                self._get_code()
        except GitflowrunError as error:
            self._fail(error)

    def _fail(self, error: GitflowrunError) -> None:
        self._refuse(requirements.refused(error.message, error.hint or ""))

    def _get_code(self) -> None:
        """Get the objects of the code, unless another agent of this machine is doing so."""
        start, cache, requests = self._start, self._cache, self._requests
        assert start is not None
        assert cache is not None
        assert requests is not None
        if cache.has_tree(start.code) and not self._is_second_copy:
            self._copy_code()
        elif cache.begin_fetch():
            have = cache.known_trees()
            requests.want_tree(
                start.code, have, lambda why, pack: self._code_arrived(why, pack, have)
            )
        else:
            self._loop.after(FETCH_PAUSE, self._get_code)

    def _code_arrived(self, why: str, pack: str, have: tuple[Oid, ...]) -> None:
        assert self._start is not None
        assert self._cache is not None
        self._cache.end_fetch()
        if why:
            self._refuse(requirements.refused(f"the run's code did not arrive: {why}"))
            return
        self._cache.note_tree(self._start.code, pack, have)
        reached("agent.fetched")
        self._copy_code()

    def _copy_code(self) -> None:
        start, cache = self._start, self._cache
        assert start is not None
        assert cache is not None
        reader = PackReader(Path(start.run.objects_dir)) if self._shares_disk else cache.reader
        self._go_on_copying(write_code(reader, start.code, cache.code))

    def _go_on_copying(self, files: Iterator[None]) -> None:
        """Write files of the code, some in each turn of the loop."""
        assert self._cache is not None
        until = time.monotonic() + _TURN
        try:
            for _ in files:
                if time.monotonic() > until:
                    self._loop.after(0, lambda: self._go_on_copying(files))
                    return
        except (CorruptRecord, MissingObject) as error:
            self._copy_anew(error)
        except GitflowrunError as error:
            self._fail(error)
        else:
            reached("agent.copied")
            self._start_program()

    def _copy_anew(self, error: GitflowrunError) -> None:
        """Somebody has tampered with the cache, or a power cut has; or the driver's repository needs its remote."""
        assert self._cache is not None
        if self._is_second_copy:
            self._fail(error)
            return
        self._is_second_copy = True
        self._shares_disk = False
        self._cache.forget_trees()
        shutil.rmtree(self._cache.code, ignore_errors=True)
        self._get_code()

    def _start_program(self) -> None:
        start, cache = self._start, self._cache
        assert start is not None
        assert cache is not None
        top = cache.code.resolve()
        place = top / start.directory
        try:
            place.mkdir(parents=True, exist_ok=True)  # nothing of it need be in the snapshot
            os.chdir(place)
            self._program = FlowProgram(
                self._loop, command_here(start, top), self._imported, self._on_program_lost
            )
        except OSError as error:
            self._refuse(requirements.refused(f"the flow's program can't be started: {error}"))

    def _imported(self, imported: FlowImported, zygote: Channel) -> None:
        """The flow's program can be imported: say that tasks may come."""
        start, program = self._start, self._program
        assert start is not None
        assert program is not None
        run = self._context(start)
        why = imported.why_not_fork
        if start.isolation == Isolation.FRESH.value or why:
            if why:
                self._notices.append(f"Each task gets a fresh interpreter there: {why}.")
            zygote.close()
            program.close()
            self._program = None
            self._use_fresh()
        else:
            self._executor = self._forking(zygote, run, frozenset(start.batched))
        python = ".".join(map(str, sys.version_info[:3]))
        host, pid = os.uname().nodename, os.getpid()
        reached("agent.ready")
        self._outbox.send(AgentReady(host, pid, python, self._shares_disk, tuple(self._notices)))

    def _forking(self, zygote: Channel, run: RunContext, batched: frozenset[str]) -> Executor:
        """What has the zygote execute tasks; that it is lost its program notices."""
        if batched:
            return BatchExecutor(
                self._loop, zygote, self._on_task_message, lambda: None, run, batched
            )
        connection = Connection(self._loop, zygote, self._on_task_message, lambda: None)
        return ForkExecutor(connection, run)

    def _use_fresh(self) -> None:
        assert self._start is not None
        assert self._cache is not None
        command = command_here(self._start, self._cache.code.resolve())
        run = self._context(self._start)
        self._executor = FreshExecutor(self._loop, command, self._on_task_message, run)

    def _context(self, start: AgentStart) -> RunContext:
        """What tasks have in common, with this machine's directories."""
        assert self._cache is not None
        # Whatever is imported here counts as young: the driver compares it with the snapshot. (What it was written
        # when tells nothing: this machine's clock is another one.)
        run = replace(
            start.run,
            work_tree=str(self._cache.code.resolve()),
            told_tree=start.run.work_tree,
            snapshot_begun=0.0,
        )
        if self._shares_disk:
            return run
        if self._server is None:
            self._server = ObjectServer(self._loop, self._bring)
        own = self._cache.own
        return replace(
            run,
            objects_dir=str(own.objects_dir),
            incoming=str(own.packs.incoming),
            git_dir=str(own.path),
            durability=Durability.FAST.value,
            shared=None,
            agent=self._server.address,
        )

    # ---- tasks ----

    def _launch(self, launch: Launch) -> None:
        assert self._start is not None
        pack_dir = live = None
        if not self._shares_disk:
            assert self._cache is not None
            own = self._cache.own
            pack_dir = own.packs.pack_dir
            live = layout.live_directory(own.packs.incoming.parent, self._start.run.run.uid)
        task = AgentTask(
            self._loop, self._outbox, launch, pack_dir, live,
            self._pack_sent, lambda: self._forget(launch.serial),
        )  # fmt: skip
        self._tasks[launch.serial] = task
        self._next.append(task)
        if self._shares_disk:
            self._may_begin(task)
            return
        assert self._requests is not None
        records = [it.record for it in (self._start.run.parameters, *launch.parents)]
        self._want_records(task, records)

    def _forget(self, serial: int) -> None:
        """A task is over: the next one may begin."""
        task = self._tasks.pop(serial)
        if serial in self._begun:
            self._begun.remove(serial)
        else:
            self._next.remove(task)
        self._has_failed |= task.has_failed  # then the driver gives the others to other agents
        self._begin_next()

    def _may_begin(self, task: AgentTask) -> None:
        """All is here that a task needs."""
        task.is_ready = True
        self._begin_next()

    def _begin_next(self) -> None:
        """Begin with the tasks that may: in the order in which the driver has launched them, and `slots` at a time."""
        assert self._start is not None
        while self._next and len(self._begun) < self._start.slots and not self._has_failed:
            task = self._next[0]
            if not task.is_ready or task.is_held:
                return
            if (
                self._outbox.is_behind
            ):  # the driver is to know even if this is the last that it hears
                self._outbox.send(TaskBegins(task.serial))
            self._next.popleft()
            self._begun.add(task.serial)
            self._give_process(task)

    def _recall(self, serial: int) -> None:
        """Give a task back that was launched ahead, if it has not begun."""
        task = self._tasks.get(serial)
        if task is not None and serial not in self._begun:
            task.drop()

    def _want_records(self, task: AgentTask, records: list[Oid]) -> None:
        """Have the records of the tasks here that a task follows, then start it."""
        assert self._requests is not None
        now, later = records[:RECORDS_AT_ONCE], records[RECORDS_AT_ONCE:]

        def here(why: str) -> None:
            if task.is_killed:  # meanwhile, and so it has ended
                return
            if why:
                task.fail(why)
            elif later:
                self._want_records(task, later)
            else:
                self._may_begin(task)

        self._requests.want(now, here)

    def _give_process(self, task: AgentTask) -> None:
        if self._executor is None:
            task.fail("the agent is not ready")
        else:
            task.start(self._executor)

    def _pack_sent(self, name: str) -> None:
        """The driver has a pack: it may go when there are too many, and whoever reads it then gets it anew."""
        assert self._cache is not None
        self._cache.own_pack_sent(name)

    def _kill(self, kill: Kill) -> None:
        task = self._tasks.get(kill.serial)
        if task is not None:
            ends = kill.signal not in {signal.SIGSTOP, signal.SIGCONT}
            if not task.has_begun and ends:
                task.give_up(kill.signal)
            elif not task.has_begun:
                task.is_held = kill.signal == signal.SIGSTOP
                self._begin_next()
            elif self._executor is not None:
                task.is_killed = task.is_killed or ends
                self._executor.kill(kill.serial, kill.signal)

    def _on_task_message(self, message: Message) -> None:
        if isinstance(message, Result) and message.read:
            message = self._told_of_files(message)
        task = self._tasks.get(getattr(message, "serial", 0))
        if task is not None and isinstance(message, LaunchLost):
            if task.is_killed:
                task.give_up(signal.SIGKILL)
            else:
                task.begin_anew()
                self._give_process(task)
        elif task is not None:
            task.deliver(message)

    def _told_of_files(self, result: Result) -> Result:
        """A result with the driver's paths of what its task has read, for the step cache."""
        assert self._start is not None
        assert self._cache is not None
        top = str(self._cache.code.resolve())
        work_tree, cache = self._start.run.work_tree, str(self._cache.top.resolve())
        return with_drivers_paths(result, top, work_tree, cache, shares_disk=self._shares_disk)

    def _on_program_lost(self) -> None:
        """The zygote has ended by itself: its tasks have died with it."""
        assert self._program is not None
        if self._executor is None:
            self._refuse(requirements.refused(*self._program.why_lost()))
        else:
            self.is_over = True  # the driver launches its tasks again, elsewhere

    # ---- objects ----

    def _bring(self, oids: list[Oid], tell: Callable[[str], None]) -> None:
        """Bring what a task lacks."""
        assert self._requests is not None
        if len(oids) == 1:
            self._requests.want_again(oids[0], tell)
        else:
            self._requests.want(oids, tell)

    def _answer(self, want: WantObjects) -> None:
        """Send objects that the driver lacks of a task's result, or say why they can't be."""
        assert self._cache is not None
        answer = TaskPack(want.request, f"pack-{os.urandom(20).hex()}", b"", more=False)
        try:
            packing = start_pack(self._cache.own.git, want.oids)
        except GitflowrunError as error:
            self._outbox.send(replace(answer, error=error.message))
        else:
            self._send_packed(answer, packing)

    def _send_packed(self, answer: TaskPack, packing: subprocess.Popen[bytes]) -> None:
        """Send what git packs as it writes it, unless too much waits to be sent."""
        assert packing.stdout is not None
        self._loop.watch(packing.stdout.fileno(), lambda: self._packed(answer, packing))

    def _packed(self, answer: TaskPack, packing: subprocess.Popen[bytes]) -> None:
        assert packing.stdout is not None
        fd = packing.stdout.fileno()
        if self._outbox.is_full:
            self._loop.forget(fd)
            self._outbox.when_not_full(lambda: self._send_packed(answer, packing))
            return
        data = packing.stdout.read1(PACK_PIECE)  # type: ignore[attr-defined]
        if data:
            self._outbox.send(replace(answer, data=data, more=True))
            return
        self._loop.forget(fd)
        _, err = packing.communicate()
        words = git_message(os.fsdecode(err)) if packing.returncode else ""
        self._outbox.send(replace(answer, error=words))

    # ---- the end ----

    def close(self) -> None:
        """Kill all tasks, and remove what is the agent's own."""
        if self._executor is not None:
            self._executor.close()
        if self._program is not None:
            self._program.close()
        if self._server is not None:
            self._server.close()
        if self._requests is not None:
            self._requests.close()
        self._link.close()
        process.kill_orphans()
        if self._cache is not None:
            os.chdir("/")
            self._cache.leave()


def _like(launch: Launch, last: Launch | None) -> Launch:
    """A launch that has the parents of the last one, if these are equal: executors tell a foreach's items by that."""
    if last is None or launch.parents != last.parents:
        return launch
    return replace(launch, parents=last.parents)


def _is_shared(start: AgentStart) -> bool:
    """Whether the driver's repository is on this machine's disk."""
    if len(start.shared) != 2:  # noqa: PLR2004  (a file and its content)
        return False
    path, content = start.shared
    try:
        return Path(path).read_text(encoding="utf-8") == content
    except (OSError, ValueError):
        return False
