"""The executor of a run over an engine: it has agents placed on workers, and gives each one task after the other.

1. A launch goes to an agent that is free and has what its step takes (`@resources`), or waits for one.
2. For launches that wait, the engine is asked for further agents, as many as wait. An agent connects by its link, is
   told AgentStart, gets the code and says that it is ready. Where there are as many as there may be, those go that no
   launch waits for: idle ones of steps that take something else, and those not ready yet whose launches were given up.
3. What agents say of tasks goes to the scheduler as if it came from this machine; a Result once all that belongs to
   it has arrived and was verified (`object_exchange`).
4. The tasks of an agent that is lost are lost tasks (TaskLost), which the scheduler launches again.
5. An agent that has had no task for a while is stopped, and its place is the engine's again.
6. While a task's process has ended and what has arrived of it is still being verified, its agent gets the next one.
   Where tasks are short, agents get some ahead, which wait there for the end of the one before (`ahead`). Such a launch
   is placed when that end is heard. Until then it is nobody's: it is recalled when another agent has nothing to do, and
   goes back to those that wait when its agent ends, unless that may have begun with it unheard. What has begun before
   the recall came stays there, and another one is recalled; what was killed meanwhile ends.
7. Where several in a row could not begin, no others are asked for: the run ends once none of them is left that works
   or may still become ready (EngineFailed); if one works, others are tried again after a while.

What comes from an agent about a task that it was not given, or that was taken from it, is passed over.
"""

from __future__ import annotations

import math
import signal
import time
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.failpoints import reached
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.executor_limits import (
    AGENT_AGAIN,
    AGENT_END_TOLD,
    AGENT_IDLE,
    AGENT_STARTS,
    AHEAD_IN_ALL,
    AHEAD_MOST,
    AHEAD_UNDER,
    AHEAD_WORK,
    HOSTS_TOLD,
    RECALL_AFTER,
    WAIT_TOLD,
)
from gitflowrun.runtime.executors.object_exchange import Arrival, ObjectSender
from gitflowrun.runtime.executors.pack_intake import PackIntake
from gitflowrun.runtime.executors.placed_agent import PlacedAgent
from gitflowrun.runtime.executors.placed_agents import PlacedAgents
from gitflowrun.runtime.executors.remote_card import keep_card_request
from gitflowrun.runtime.executors.waiting_launches import WaitingLaunches, is_node
from gitflowrun.runtime.ipc.events import Notice
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    LaunchItem,
    LaunchLost,
    Result,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentRefused,
    AgentStop,
    CardRequested,
    EngineFailed,
    Recall,
    Recalled,
    TaskLost,
    TaskNote,
    TaskOutput,
    TaskPack,
    TaskPlaced,
    WantObjects,
    pack_remote,
    unpack_remote,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runtime.executors.engine import Engine
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.events import Listener
    from gitflowrun.runtime.ipc.link import Link
    from gitflowrun.runtime.ipc.link_server import LinkServer
    from gitflowrun.runtime.ipc.messages import Message
    from gitflowrun.runtime.ipc.remote_messages import AgentStart, RemoteMessage
    from gitflowrun.runtime.ipc.task_pipes import TaskPipes

_NOTHING_SAID = Resources()
_ENDED = "its process has ended"


class EngineExecutor:
    """Executes the tasks of a run on an engine's workers.

    Args:
        loop: The event loop.
        repo: The repository.
        engine: Places agents.
        server: Takes their links.
        start: What each agent is told first.
        on_message: Called with every message about a task.
        notify: Called with what the user is to be told.
        live: The directory of the run's live state.
        resources: What tasks take, by step.
        most: How many agents there may be; nodes of gangs, which may wait for each other, have one each in any case.
    """

    is_remote = True

    def __init__(
        self,
        loop: EventLoop,
        repo: Repository,
        engine: Engine,
        server: LinkServer,
        start: AgentStart,
        on_message: Callable[[Message | RemoteMessage], None],
        notify: Listener,
        live: Path,
        resources: Mapping[str, Resources],
        most: int,
    ) -> None:
        self._loop = loop
        self._repo = repo
        self._engine = engine
        self._server = server
        self._start = start
        self._on_message = on_message
        self._notify = notify
        self._live = live
        self._resources = resources
        self._most = most
        self._sender = ObjectSender(loop, repo.git)
        self._intake = PackIntake(loop)
        self._objects = PackReader(repo.objects_dir)
        self._agents = PlacedAgents()
        self._numbers = count(1)
        self._waiting = WaitingLaunches(self._wanted)
        self._hosts: set[str] = set()
        self._told: set[str] = set()
        self._failed: Counter[Resources] = Counter()
        """How many agents in a row could not begin, by what they were to have."""
        self._there = 0
        """How many agents are ready."""
        self._may_recall = False
        self._unverified = 0
        """Tasks whose processes have ended, of which what has arrived is still being verified."""
        self._took = math.inf
        """Seconds that tasks take, the last ones above all."""
        self._is_ending = False
        self._is_closed = False
        self._is_assigning = False
        self._is_wait_watched = False
        self._lacking_since: dict[Resources, float] = {}
        """What waiting launches take, and since when there is too little of it; infinity once that is told."""

    # ---- what the scheduler asks ----

    def ahead(self, step: str) -> int:  # noqa: ARG002  (whichever it is)
        """How many tasks more than agents it takes: as many as wait at agents, or are being verified."""
        return self._unverified + self._there * self._depth

    @property
    def _depth(self) -> int:
        """How many launches an agent is given ahead."""
        if self._took > AHEAD_UNDER:
            return 0
        most = min(AHEAD_MOST, AHEAD_IN_ALL // max(self._there, 1))
        return max(1, min(most, int(AHEAD_WORK / max(self._took, 1e-6))))

    def launch(self, launch: Launch, output: TaskPipes) -> None:  # noqa: ARG002  (it comes as messages)
        """Start a task, as soon as an agent is free; what it writes comes as messages."""
        self._waiting.add(launch)
        self._assign_soon()

    launch_ahead = launch

    def kill(self, serial: int, number: int) -> None:
        """Send a signal to the process group of a launch; one that waits for an agent ends at once."""
        for agent in self._agents:
            if serial in agent.launches and agent.link is not None:
                if number not in {signal.SIGSTOP, signal.SIGCONT}:
                    agent.killed[serial] = number
                agent.link.send(pack_remote(Kill(serial, number)))
                return
        ends = number not in {signal.SIGSTOP, signal.SIGCONT}
        if ends and self._waiting.take_serial(serial) is not None:
            self._loop.after(0, lambda: self._on_message(Exited(serial, number, 0.0, 0)))

    def withdraw(self) -> None:
        """Begin with nothing more: what has not begun comes back as LaunchLost, from agents once they say so."""
        self._is_ending = True
        self._give_back()
        for agent in self._agents:
            for serial in agent.ahead if agent.link is not None else ():
                if serial not in agent.recalled and serial not in agent.killed:
                    self._recall(agent, serial, 0)

    def _give_back(self) -> None:
        """Give back what waits, in a turn of the loop that comes."""
        for launch in self._waiting.take_all():
            self._loop.after(0, partial(self._on_message, LaunchLost(launch.serial)))

    def announce_silence(self) -> None:
        """Tell agents that this process is about to be stopped for a while."""
        for agent in self._agents:
            if agent.link is not None:
                agent.link.announce_silence()

    def close(self) -> None:
        """End all tasks and agents. Engine and server are let go of by whoever has made them."""
        self._is_closed = True
        for agent in self._agents:
            self._stop(agent)
        self._intake.close()

    # ---- tasks and agents ----

    def _assign_soon(self) -> None:
        """Assign once in this turn of the loop, whatever else is launched or ends in it."""
        if self._waiting and not self._is_assigning:
            self._is_assigning = True
            self._loop.after(0, self._assign)

    def _assign(self) -> None:
        """Give launches that wait to agents that are free, and have agents made for the others."""
        self._is_assigning = False
        if self._is_closed or self._is_ending:
            return
        waiting = self._waiting
        free = self._agents.free() if waiting else {}
        left = len(waiting) - sum(map(len, free.values()))
        busy = self._agents.busy(self._depth, left) if left > 0 else {}
        ahead: dict[Resources, int] = {}
        for wanted in waiting.kinds:
            agents = free.get(wanted, [])
            while agents and waiting.first(wanted):
                self._give(agents.pop(), waiting.take(wanted))
            ahead[wanted] = self._give_ahead(wanted, busy.get(wanted, deque()))
        lacking = {it: waiting.count(it) for it in waiting.kinds}
        now = time.monotonic()
        self._lacking_since = {it: self._lacking_since.get(it, now) for it in lacking}
        self._watch_wait()
        self._add_agents(lacking)
        self._add_others(ahead)

    def _give_ahead(self, wanted: Resources, busy: deque[PlacedAgent]) -> int:
        """Give launches to agents that run tasks; how many. The nodes of a gang wait for agents of their own."""
        given = 0
        while busy and (launch := self._waiting.first(wanted)) and not is_node(launch):
            agent = busy.popleft()
            self._give(agent, self._waiting.take(wanted))
            given += 1
            if len(agent.ahead) < self._depth:
                busy.append(agent)
        return given

    def _recall_for(self, idle: PlacedAgent) -> None:
        """Want a launch back from the agent with most of them ahead, for one that has nothing to do."""
        if idle.launches or not idle.is_there or self._is_closed or idle.number not in self._agents:
            return
        if self._waiting.first(idle.resources):
            return
        others = [
            it
            for it in self._agents
            if it.resources == idle.resources and len(it.ahead) > len(it.recalled) and it.link
        ]
        if others:
            agent = max(others, key=lambda it: len(it.ahead) - len(it.recalled))
            serial = next(it for it in reversed(agent.ahead) if it not in agent.recalled)
            self._recall(agent, serial, idle.number)
        else:
            self._may_recall = any(it.ahead for it in self._agents)

    def _recall(self, agent: PlacedAgent, serial: int, idle: int) -> None:
        agent.recalled[serial] = idle
        assert agent.link is not None
        agent.link.send(pack_remote(Recall(serial)))
        reached("remote.recalled")

    def _wanted(self, launch: Launch) -> Resources:
        """What a launch takes."""
        return self._resources.get(launch.task.step, _NOTHING_SAID)

    def _add_agents(self, lacking: Mapping[Resources, int]) -> None:
        """Have agents made for launches that wait, in the place of others that none waits for if need be."""
        coming, nodes = self._agents.coming, self._waiting.nodes
        needed = max(self._most, self._agents.running + nodes) if nodes else self._most
        spare: list[PlacedAgent] | None = None
        for wanted, number in lacking.items():
            if self._failed[wanted] >= AGENT_STARTS and self._agents.has(wanted):
                continue
            for _ in range(number - coming[wanted]):
                if len(self._agents) >= needed:
                    spare = self._agents.spare(lacking) if spare is None else spare
                    if not spare:
                        return
                    self._stop(spare.pop())
                self._add_agent(wanted)

    def _add_others(self, ahead: Mapping[Resources, int]) -> None:
        """Have agents made for launches that were given ahead, too, as long as there may be more agents.

        Nobody knows how long they would wait: tasks that were short so far may be followed by long ones.
        """
        coming = self._agents.coming
        for wanted, number in ahead.items():
            if self._failed[wanted] < AGENT_STARTS:
                for _ in range(min(number - coming[wanted], self._most - len(self._agents))):
                    self._add_agent(wanted)

    def _watch_wait(self) -> None:
        if self._waiting and not self._is_wait_watched:
            self._is_wait_watched = True
            self._loop.after(WAIT_TOLD, self._tell_of_wait)

    def _tell_of_wait(self) -> None:
        """Say that tasks wait for workers where none has come for a while; each time that they begin to wait."""
        self._is_wait_watched = False
        if self._is_closed:
            return
        there = {it.resources for it in self._agents if it.ready}
        due = time.monotonic() - WAIT_TOLD
        for wanted in self._waiting.kinds:
            number = self._waiting.count(wanted)
            if wanted not in there and self._lacking_since.get(wanted, due) <= due:
                self._lacking_since[wanted] = math.inf
                tasks = "1 task waits" if number == 1 else f"{number} tasks wait"
                worker = f"a worker of {self._engine.name}{_in_words(wanted)}"
                self._notify(Notice(f"{tasks} for {worker} ({self._engine.where()})."))
        self._watch_wait()

    def _give(self, agent: PlacedAgent, launch: Launch) -> None:
        assert agent.link is not None
        agent.end_rest()
        is_ahead = agent.running > 0
        agent.launches[launch.serial] = launch
        if is_ahead:
            self._may_recall = True
            agent.ahead.append(launch.serial)
        else:
            self._place(agent, launch.serial)
        item = LaunchItem.of(launch, agent.last)
        if item is None:
            agent.last = launch
        agent.link.send(pack_remote(launch if item is None else item))
        reached("remote.launched")

    def _place(self, agent: PlacedAgent, serial: int) -> None:
        """A task begins."""
        agent.began = time.monotonic()
        self._on_message(TaskPlaced(serial, agent.host, agent.where))

    def _begins(self, agent: PlacedAgent, serial: int) -> None:
        """A launch that was given ahead has begun."""
        self._waits_no_more(agent, serial)
        self._place(agent, serial)

    def _waits_no_more(self, agent: PlacedAgent, serial: int) -> None:
        """A launch that was given ahead has begun or ended; if it was wanted back, another one is."""
        agent.ahead.remove(serial)
        idle = self._agents.get(agent.recalled.pop(serial, 0))
        if idle is not None:
            self._recall_for(idle)

    def _process_ended(self, agent: PlacedAgent, serial: int) -> None:
        """The process of a task has ended, so its agent begins with the next one."""
        if serial in agent.ended:
            return
        if serial in agent.ahead:  # it was killed while it waited
            self._waits_no_more(agent, serial)
        else:
            took = time.monotonic() - agent.began
            self._took = took if self._took == math.inf else (3 * self._took + took) / 4
        agent.ended.add(serial)
        self._agents.rests(agent)
        self._unverified += 1
        if agent.ahead and not agent.running:
            self._begins(agent, agent.ahead[0])

    def _add_agent(self, resources: Resources) -> None:
        agent = PlacedAgent(next(self._numbers), resources)
        self._agents.add(agent)
        self._engine.start(agent.number, self._server.invite(agent.number), resources)

    def connected(self, number: int, link: Link) -> None:
        """An agent has connected, and has proved that it is this one."""
        agent = self._agents.get(number)
        if agent is None or agent.link is not None or self._is_closed:
            link.close()
            return
        agent.link = link
        link.on_message = lambda data: self._hear(agent, data)
        link.on_close = lambda reason: self._disconnected(agent, reason)
        link.send(pack_remote(self._start))

    def ended(self, number: int, error: str | None) -> None:
        """The engine's call of an agent has ended."""
        agent = self._agents.get(number)
        if agent is None:
            return
        if error or agent.closed or agent.link is None:
            self._lose(agent, error or agent.closed or _ENDED)
        else:  # its last words may be on their way
            agent.closed = _ENDED
            self._loop.after(AGENT_END_TOLD, lambda: self._lose(agent, _ENDED))

    def _disconnected(self, agent: PlacedAgent, reason: str) -> None:
        """The link of an agent has ended: the engine may know why, and that soon."""
        if agent.why or self._is_closed:
            self._lose(agent, reason)
            return
        agent.closed = reason
        self._loop.after(AGENT_END_TOLD, lambda: self._lose(agent, reason))

    def _lose(self, agent: PlacedAgent, reason: str) -> None:
        """An agent has gone: its tasks are launched again by the scheduler."""
        if not self._agents.remove(agent):
            return
        self._let_go(agent)
        link = agent.link
        was_heard = link is not None and not link.is_open and not link.is_cut
        if link is not None:
            link.close()
        self._engine.cancel(agent.number)
        for arrival in agent.arrivals.values():
            arrival.close()
        if self._is_closed:
            return
        why = f"{agent.where} was lost: {agent.why or reason}"
        if was_heard:  # an agent says that it begins before it does
            self._take_back(agent)
        for serial in list(agent.launches):
            self._on_message(TaskLost(serial, why))
        if agent.ready is None:
            self._start_failed(agent.resources, agent.why or reason)
        else:
            self._assign_soon()

    def _take_back(self, agent: PlacedAgent) -> None:
        """Have wait what was given ahead to an agent that will never begin with it."""
        back = [it for it in reversed(agent.ahead) if it not in agent.killed]
        self._waiting.put_first([agent.launches.pop(it) for it in back])
        if self._is_ending:
            self._give_back()

    def _start_failed(self, wanted: Resources, reason: str) -> None:
        """An agent could not begin. Others may; but where none can, nobody waits for ever."""
        self._failed[wanted] += 1
        if reason not in self._told:
            self._told.add(reason)
            self._notify(
                Notice(f"An agent of {self._engine.name} could not begin: {reason}", bad=True)
            )
        if self._failed[wanted] < AGENT_STARTS:
            self._assign_soon()
        elif not self._agents.has(wanted):
            agent = f"agent of {self._engine.name}{_in_words(wanted)}"
            self._on_message(EngineFailed(f"no {agent} can begin: {reason}"))
            for launch in self._waiting.take_all():
                self._on_message(LaunchFailed(launch.serial, reason))
        elif self._failed[wanted] == AGENT_STARTS:
            self._loop.after(AGENT_AGAIN, lambda: self._try_again(wanted))

    def _try_again(self, wanted: Resources) -> None:
        """Have agents made again of which some could not begin, if one works all the same."""
        if any(it.resources == wanted and it.ready for it in self._agents):
            del self._failed[wanted]
            self._assign_soon()

    def _let_go(self, agent: PlacedAgent) -> None:
        """An agent is none any more."""
        agent.end_rest()
        self._there -= agent.ready is not None
        self._unverified -= len(agent.ended)
        self._server.revoke(agent.number)

    def _stop(self, agent: PlacedAgent) -> None:
        """Send an agent home."""
        self._agents.remove(agent)
        self._let_go(agent)
        for arrival in agent.arrivals.values():
            arrival.close()
        if agent.link is None:
            self._engine.cancel(agent.number)
        else:
            link = agent.link
            link.on_close = lambda _reason: None
            link.send(pack_remote(AgentStop()))
            link.close()

    # ---- what agents say ----

    def _hear(self, agent: PlacedAgent, data: bytes | memoryview) -> None:
        if self._is_closed or agent.number not in self._agents:
            return
        try:
            message = unpack_remote(data)
        except CorruptRecord as error:
            self._lose(agent, f"it has sent {error.message}")
            return
        if isinstance(message, AgentReady):
            self._ready(agent, message)
        elif isinstance(message, AgentRefused):
            agent.why = f"{message.host}: {message.reason}"
            if message.hint:
                agent.why += f"\nhint: {message.hint}"
        elif isinstance(message, WantObjects):
            assert agent.link is not None
            self._sender.send(agent.link, message)
        elif getattr(message, "serial", None) in agent.launches:
            self._hear_of_task(agent, message)

    def _ready(self, agent: PlacedAgent, message: AgentReady) -> None:
        self._there += agent.ready is None
        agent.ready = message
        self._agents.becomes_ready(agent)
        del self._failed[agent.resources]
        if message.host not in self._hosts and len(self._hosts) < HOSTS_TOLD:
            self._hosts.add(message.host)
            disk = ", on the disk that this repository is on" if message.shares_disk else ""
            self._notify(Notice(f"Tasks run on {message.host} (Python {message.python}{disk})."))
        for text in message.notices:
            if text not in self._told:
                self._told.add(text)
                self._notify(Notice(f"{message.host}: {text}", bad=True))
        self._rest(agent)
        self._assign()

    def _rest(self, agent: PlacedAgent) -> None:
        """An agent has nothing to do, unless launches wait, here or at others."""
        agent.end_rest()
        agent.idle = self._loop.after(AGENT_IDLE, lambda: self._stop(agent))
        if self._may_recall:
            self._loop.after(RECALL_AFTER, lambda: self._recall_for(agent))

    def _hear_of_task(self, agent: PlacedAgent, message: Message | RemoteMessage) -> None:
        serial: int = message.serial  # type: ignore[union-attr]
        assert agent.ready is not None
        if isinstance(message, Recalled):
            self._recalled(agent, serial)
            return
        if serial in agent.ahead and not isinstance(message, Exited):
            self._begins(agent, serial)
        if isinstance(message, TaskOutput | TaskNote | Started):
            self._on_message(message)
        elif isinstance(message, CardRequested):
            self._keep_card(agent.launches[serial], message)
        elif isinstance(message, LaunchFailed):  # another agent may do better
            self._take_back(agent)
            for each in list(agent.launches):
                self._on_message(TaskLost(each, f"{agent.where} can't begin it: {message.reason}"))
            self._stop(agent)
            self._assign_soon()
        elif isinstance(message, TaskPack):
            self._arrival(agent, serial).piece(message)
        elif isinstance(message, Result | Exited):
            self._hear_of_end(agent, message)

    def _hear_of_end(self, agent: PlacedAgent, message: Result | Exited) -> None:
        assert agent.ready is not None
        if isinstance(message, Exited):
            self._process_ended(agent, message.serial)
        if agent.ready.shares_disk:
            self._pass_on(agent, message)
        else:
            self._arrival(agent, message.serial).message(message)

    def _recalled(self, agent: PlacedAgent, serial: int) -> None:
        """A launch has come back that was given ahead; perhaps it was taken for begun, and lacked something there."""
        launch = agent.launches.pop(serial)
        self._agents.rests(agent)
        agent.recalled.pop(serial, None)
        if serial in agent.ahead:
            agent.ahead.remove(serial)
        elif agent.ahead and not agent.running:
            self._begins(agent, agent.ahead[0])
        if not agent.launches:
            self._rest(agent)
        number = agent.killed.pop(serial, 0)
        if number and not self._is_ending:  # the agent had dropped it before it heard of that
            self._on_message(Exited(serial, number, 0.0, 0))
            return
        self._waiting.put_first([launch])
        reached("remote.returned")
        if self._is_ending:  # it has never begun, so it was not interrupted
            self._give_back()
        else:
            self._assign()

    def _arrival(self, agent: PlacedAgent, serial: int) -> Arrival:
        found = agent.arrivals.get(serial)
        if found is None:
            repo = self._repo
            found = agent.arrivals[serial] = Arrival(
                self._loop,
                repo.git,
                repo.packs,
                self._intake,
                self._objects,
                agent.launches[serial].task,
                lambda oids: self._ask(agent, serial, oids),
                lambda message: self._pass_on(agent, message),
                lambda why: self._spoil(agent, serial, why),
            )
        return found

    def _ask(self, agent: PlacedAgent, serial: int, oids: tuple[Oid, ...]) -> None:
        if agent.link is not None:
            agent.link.send(pack_remote(WantObjects(serial, oids)))

    def _pass_on(self, agent: PlacedAgent, message: Message) -> None:
        """Pass on what is said of a task, after all that belongs to it."""
        self._on_message(message)
        if isinstance(message, Exited):
            self._done(agent, message.serial)

    def _spoil(self, agent: PlacedAgent, serial: int, why: str) -> None:
        """What has arrived of a task can't be used: it is launched again."""
        if serial in agent.launches:
            self._on_message(TaskLost(serial, f"its result from {agent.where} is lost: {why}"))
            if agent.link is not None:
                agent.link.send(pack_remote(Kill(serial, signal.SIGKILL)))
            self._done(agent, serial)

    def _done(self, agent: PlacedAgent, serial: int) -> None:
        agent.launches.pop(serial, None)
        self._agents.rests(agent)
        agent.killed.pop(serial, None)
        if serial in agent.ended:
            agent.ended.remove(serial)
            self._unverified -= 1
        elif agent.ahead and not agent.running:  # it was given up while it ran
            self._begins(agent, agent.ahead[0])
        arrival = agent.arrivals.pop(serial, None)
        if arrival is not None:
            arrival.close()
        if self._waiting:
            self._assign()
        if not agent.launches and agent.number in self._agents:
            self._rest(agent)

    def _keep_card(self, launch: Launch, message: CardRequested) -> None:
        with suppress(OSError, CorruptRecord):  # a card that is lost costs no task
            keep_card_request(
                self._live, launch.task, launch.attempt, message.name, message.data,
                shared=self._repo.shared_mode,
            )  # fmt: skip


def _in_words(resources: Resources) -> str:
    """What an agent is to have, as `@resources` says it; empty where nothing is said."""
    said = [
        f"{name}={getattr(resources, name):.12g}"
        for name in ("cpu", "gpu", "memory")
        if getattr(resources, name) != getattr(_NOTHING_SAID, name)
    ]
    return f" with {', '.join(said)}" if said else ""
