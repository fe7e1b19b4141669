"""The executor of a run over an engine, with agents that say what a test has them say."""

# ruff: noqa: D102, D103  (what an engine and an agent do is said where these are)

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts.digest import digest
from gitflowrun.artifacts.reference import ArtifactRef
from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport.streamed_packs import IncomingPack
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.runs.records import GANG, ForeachLevel, RunIdentity
from gitflowrun.runtime.executors import engine_executor, object_exchange
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.executors.engine_executor import EngineExecutor
from gitflowrun.runtime.ipc import events, remote_limits
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    Parent,
    Result,
    RunContext,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentRefused,
    AgentStart,
    AgentStop,
    CardRequested,
    EngineFailed,
    Objects,
    Recall,
    Recalled,
    TaskBegins,
    TaskLost,
    TaskOutput,
    TaskPack,
    TaskPlaced,
    WantObjects,
    pack_remote,
    unpack_remote,
)
from gitflowrun.values import replace
from tests.helpers.links import Meeting
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import artifact, open_repo

PARENT = Parent(TaskName("_parameters", "0"), Oid(b"2" * 20))
RUN = RunIdentity("F", RunId("12"), NULL_OID)
BIG = bytes(range(256)) * 4_000


class FakeEngine:
    """An engine whose calls of agents are kept for the test."""

    name = "fake"
    host: str | None = None

    def __init__(self) -> None:
        self.calls: dict[int, tuple[bytes, Resources]] = {}
        self.cancelled: list[int] = []

    def start(self, number: int, call: bytes, resources: Resources) -> None:
        self.calls[number] = call, resources

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def where(self) -> str:
        return "nowhere"

    def close(self) -> None:
        pass


class FakeAgent:
    """An agent: what it was told, and a way to say something."""

    def __init__(self, meeting: Meeting, call: bytes) -> None:
        self._meeting = meeting
        self.link, self._side = meeting.agent(call)

    @property
    def told(self) -> list[Any]:
        return [unpack_remote(data) for data in self._side.messages]

    def hears(self, kind: type, count: int = 1) -> Any:
        """The last message of a kind, once there are so many."""
        self._meeting.turn_until(lambda: len(self.all_of(kind)) >= count)
        return self.all_of(kind)[-1]

    def all_of(self, kind: type) -> list[Any]:
        """The messages of a kind that have come."""
        return [it for it in self.told if isinstance(it, kind)]

    def says(self, *messages: Any) -> None:
        for message in messages:
            self.link.send(pack_remote(message))


class Driver:
    """A run's executor, and what it has told the scheduler."""

    def __init__(self, repo: Repository, meeting: Meeting, most: int = 4) -> None:
        self.meeting = meeting
        self.engine = FakeEngine()
        self.resources: dict[str, Resources] = {}
        self.messages: list[Any] = []
        self.notices: list[str] = []
        start = AgentStart(
            1, "0.1.0", _context(repo), Oid(b"1" * 20), ("python", "f.py"), "", (), {}, "fork", 1, {},
            "warn", "ab", (),
        )  # fmt: skip
        self.executor = EngineExecutor(
            meeting.loop, repo, self.engine, meeting.server, start, self.messages.append,
            self._notify, Path(repo.git_dir) / "gitflowrun" / "live" / "x", self.resources, most,
        )  # fmt: skip
        meeting.server._on_link = self.executor.connected

    def _notify(self, event: events.Event) -> None:
        assert isinstance(event, events.Notice)
        self.notices.append(event.text)

    def launch(self, serial: int, task: str = "start/1") -> Launch:
        step, _, number = task.partition("/")
        launch = Launch(serial, TaskName(step, number), 0, (), (PARENT,))
        self.executor.launch(launch, -1, -1)
        return launch

    def agent(self, number: int = 1, *, ready: bool = True) -> FakeAgent:
        """The agent that the engine was asked for."""
        self.meeting.turn_until(lambda: number in self.engine.calls)
        agent = FakeAgent(self.meeting, self.engine.calls[number][0])
        agent.hears(AgentStart)
        if ready:
            agent.says(AgentReady(f"h{number}", 33, "3.11.7", shares_disk=False))
        return agent

    def finish(self, agent: FakeAgent, serial: int) -> None:
        """Have an agent end the task of a launch."""
        self.meeting.turn_until(lambda: agent.hears(Launch).serial == serial)
        agent.says(_result(serial), Exited(serial, 0, 0.0, 0))
        self.meeting.turn_until(
            lambda: any(isinstance(it, Exited) and it.serial == serial for it in self.messages)
        )

    def hears(self, kind: type, count: int = 1) -> Any:
        """The n-th message of a kind that the scheduler got."""
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = [it for it in self.messages if isinstance(it, kind)]
            return len(found) >= count

        self.meeting.turn_until(is_there)
        return found[count - 1]


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    made = Meeting()
    yield made
    made.close()


@pytest.fixture
def narrow(repo: GitRepo, meeting: Meeting) -> Iterator[Driver]:
    """A driver that may have one agent."""
    repo.write("f.py", "1")
    repo.commit()
    made = Driver(open_repo(repo), meeting, most=1)
    yield made
    made.executor.close()


@pytest.fixture
def driver(repo: GitRepo, meeting: Meeting) -> Iterator[Driver]:
    repo.write("f.py", "1")
    repo.commit()
    made = Driver(open_repo(repo), meeting)
    yield made
    made.executor.close()


def _context(repo: Repository) -> RunContext:
    return RunContext(
        RUN, None, "ada", None, (), str(repo.objects_dir), str(repo.packs.incoming), str(repo.git_dir),
        str(repo.work_tree), 0.0, "local@/w", "fast", None, frozenset(), 9, ".", {}, PARENT,
    )  # fmt: skip


def _result(serial: int, **refs: ArtifactRef) -> Result:
    return Result(serial, refs, {}, (), None)


def _pack_of(place: Path, *contents: bytes) -> bytes:
    """A pack of blobs that only another repository has."""
    other = make_repo(place / "other")
    oids = "".join(other.git("hash-object", "-w", "--stdin", stdin=it) for it in contents)
    command = ["git", "-C", str(other.path), "pack-objects", "--stdout", "-q"]
    return subprocess.run(command, input=oids.encode(), check=True, capture_output=True).stdout


def _pieces(serial: int, pack: bytes, size: int = 100_000) -> list[TaskPack]:
    starts = range(0, len(pack), size)
    return [TaskPack(serial, "p", pack[it : it + size], it + size < len(pack)) for it in starts]


def test_a_task_from_launch_to_end(driver: Driver) -> None:
    """It is placed, its messages come in order, and the agent gets the next one."""
    driver.launch(1)
    agent = driver.agent()
    assert agent.hears(Launch).serial == 1
    assert driver.hears(TaskPlaced) == TaskPlaced(1, "h1", "h1 (agent 1)")
    agent.says(Started(1, 77), TaskOutput(1, "stdout", b"hi\n"), _result(1), Exited(1, 0, 0.5, 9))
    assert driver.hears(Exited) == Exited(1, 0, 0.5, 9)
    kinds = [type(it) for it in driver.messages]
    assert kinds == [TaskPlaced, Started, TaskOutput, Result, Exited]
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: agent.hears(Launch).serial == 2)
    assert driver.notices == ["Tasks run on h1 (Python 3.11.7)."]


def test_what_a_task_has_stored_arrives_before_its_result(
    driver: Driver, repo: GitRepo, tmp_path: Path
) -> None:
    """The pack is published under a name of the driver's, and kept until the scheduler releases it."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    pack = _pack_of(tmp_path, BIG)
    agent.says(
        *_pieces(1, pack), replace(_result(1, x=ref), packs=("pack-theirs",)), Exited(1, 0, 0.0, 0)
    )
    result = driver.hears(Result)
    driver.hears(Exited)
    (name,) = result.packs
    assert (repo.path / ".git/objects/pack" / f"{name}.keep").exists()
    assert PackReader(repo.path / ".git/objects").blob(ref.chunks[0].oid, len(BIG)) == BIG


@pytest.mark.parametrize("kind", ["flipped", "cut", "other content"])
def test_what_is_damaged_on_its_way_is_lost(
    driver: Driver, repo: GitRepo, tmp_path: Path, kind: str
) -> None:
    """The task is launched again; nothing of it is published, nothing counts."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    pack = _pack_of(tmp_path, BIG)
    if kind == "flipped":
        pack = pack[:500] + bytes([pack[500] ^ 1]) + pack[501:]
    elif kind == "cut":
        pack = pack[:-30]
    else:
        (chunk,) = ref.chunks
        wrong = replace(chunk, digest=artifact(b"x", TaskName("start", "1")).digest)
        ref = replace(ref, digest=wrong.digest, chunks=(wrong,))
    agent.says(*_pieces(1, pack), _result(1, x=ref), Exited(1, 0, 0.0, 0))
    lost = driver.hears(TaskLost)
    assert lost.serial == 1
    assert "damaged" in lost.reason
    assert not [it for it in driver.messages if isinstance(it, Result | Exited)]
    assert not [*(repo.path / ".git/objects/pack").glob("*.keep")]


def test_a_pack_that_is_for_git_arrives(
    driver: Driver, repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git makes its index, and the content is compared afterwards."""
    monkeypatch.setattr(IncomingPack, "take_in", lambda *_: None)
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    agent.says(*_pieces(1, _pack_of(tmp_path, BIG)), _result(1, x=ref), Exited(1, 0, 0.0, 0))
    (name,) = driver.hears(Result).packs
    assert (repo.path / f".git/objects/pack/{name}.idx").exists()


def test_packs_that_never_end_keep_nothing_waiting(driver: Driver, repo: GitRepo) -> None:
    """What the result needs is asked for all the same, and the beginning of the pack is removed."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(TaskPack(1, "p", b"PACK", more=True), _result(1))
    driver.hears(Result)
    agent.says(TaskPack(1, "q", b"PACK", more=True), Exited(1, 0, 0.0, 0))
    driver.hears(Exited)
    assert list((repo.path / ".git/gitflowrun/incoming").iterdir()) == []


def test_a_pack_of_a_task_that_is_lost_is_not_published(
    driver: Driver, repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agent has gone while a thread looks at the pack."""
    looked_at: list[IncomingPack] = []
    is_lost = threading.Event()
    take_in = IncomingPack.take_in

    def noted(pack: IncomingPack, *args: Any) -> object:
        looked_at.append(pack)
        assert is_lost.wait(60)
        return take_in(pack, *args)

    monkeypatch.setattr(IncomingPack, "take_in", noted)
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(*_pieces(1, _pack_of(tmp_path, BIG)))
    driver.meeting.turn_until(lambda: looked_at)
    driver.executor.ended(1, "its machine is gone")
    driver.hears(TaskLost)
    is_lost.set()
    driver.meeting.turn_for(0.3)
    assert list((repo.path / ".git/objects/pack").glob("*.pack")) == []
    assert list((repo.path / ".git/gitflowrun/incoming").iterdir()) == []


@pytest.mark.parametrize("method", ["write", "take_in", "index", "publish"])
def test_a_full_disk_of_the_driver_ends_the_run(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """It is no fault of the task or its agent: no other launch would do better."""

    def fail(pack: IncomingPack, *args: object) -> None:
        if method == "take_in":
            pack.discard()
        for process in args:
            if isinstance(process, subprocess.Popen):
                process.communicate()
        raise RepositoryError("no space", hint="free some")

    if method in {"index", "publish"}:
        monkeypatch.setattr(IncomingPack, "take_in", lambda *_: None)  # it is for git
    monkeypatch.setattr(IncomingPack, method, fail)
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(*_pieces(1, _pack_of(tmp_path, BIG)))
    with pytest.raises(RepositoryError, match="no space"):
        driver.hears(TaskLost)
    assert not [it for it in driver.messages if isinstance(it, TaskLost)]


def test_small_values_are_hashed_once_and_not_all_at_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tasks get their turns between."""
    turns, hashed = [0], []
    turn = driver.meeting.loop.turn

    def counted() -> None:
        turns[0] += 1
        turn()

    def noted(data: bytes) -> Digest:
        hashed.append((data, turns[0]))
        return digest(data)

    monkeypatch.setattr(driver.meeting.loop, "turn", counted)
    monkeypatch.setattr(object_exchange, "digest", noted)
    monkeypatch.setattr(object_exchange, "VERIFIED_AT_ONCE", 4)
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    values = [b"first", b"second", b"third"]
    refs = {value.decode(): artifact(value, TaskName("start", "1")) for value in values}
    inline = {digest(value): value for value in values}
    agent.says(replace(_result(1, **refs), inline=inline), Exited(1, 0, 0.0, 0))
    assert driver.hears(Result).inline == inline
    assert sorted(value for value, _ in hashed) == values
    assert len({at for _, at in hashed}) > 1


def test_parts_that_the_agent_had_already_are_asked_for(driver: Driver, tmp_path: Path) -> None:
    """An earlier task of it stored them, whose result never arrived."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    agent.says(_result(1, x=ref), Exited(1, 0, 0.0, 0))
    want = agent.hears(WantObjects)
    assert (want.request, want.oids) == (1, (ref.chunks[0].oid,))
    agent.says(*_pieces(1, _pack_of(tmp_path, BIG)))
    assert driver.hears(Result).artifacts["x"] == ref


@pytest.mark.parametrize("error", ["", "its cache was removed"])
def test_an_agent_that_has_not_got_them_either(driver: Driver, error: str) -> None:
    """The task is launched again, with what the agent has said."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(_result(1, x=artifact(BIG, TaskName("start", "1"))), Exited(1, 0, 0.0, 0))
    agent.hears(WantObjects)
    agent.says(TaskPack(1, "p", b"", more=False, error=error))
    told = f"its result from h1 (agent 1) is lost: {error or 'a pack that has arrived is damaged'}"
    assert driver.hears(TaskLost).reason.startswith(told)


def test_results_of_other_tasks_are_passed_over(driver: Driver) -> None:
    """One that arrives twice, one of another agent's task, one of a task that was given up."""
    driver.launch(1)
    driver.launch(2, "train/2")
    first, second = driver.agent(1), driver.agent(2)
    serial = first.hears(Launch).serial
    other = second.hears(Launch).serial
    first.says(_result(other), Exited(other, 0, 0.0, 0), _result(99), Exited(99, 0, 0.0, 0))
    first.says(
        _result(serial), Exited(serial, 0, 0.0, 0), _result(serial), Exited(serial, 0, 0.0, 0)
    )
    driver.hears(Exited)
    second.says(_result(other), Exited(other, 0, 0.25, 0))
    assert driver.hears(Exited, 2) == Exited(other, 0, 0.25, 0)
    assert [it.serial for it in driver.messages if isinstance(it, Result)] == [serial, other]


@pytest.mark.parametrize("how", ["link", "call"])
def test_tasks_of_a_lost_agent_are_lost(driver: Driver, how: str) -> None:
    """Whichever tells of it first, the link or the engine; another agent takes the next launch."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    if how == "link":
        agent.link.close()
    else:
        driver.executor.ended(1, "worker tcp://10.0.0.3 was killed")
    lost = driver.hears(TaskLost)
    assert (lost.serial, "h1 (agent 1) was lost" in lost.reason) == (1, True)
    driver.executor.ended(1, "once more")
    driver.launch(2)
    driver.agent(2).hears(Launch)
    assert len([it for it in driver.messages if isinstance(it, TaskLost)]) == 1


def _refuse(driver: Driver, *numbers: int) -> None:
    """Let agents say that they can't run tasks."""
    for number in numbers:
        agent = driver.agent(number, ready=False)
        agent.says(AgentRefused("h1", "there is no numpy", "install it"))
        agent.link.close()
        driver.meeting.turn_until(lambda number=number: number in driver.engine.cancelled)  # type: ignore[misc]


def test_no_agent_can_begin(driver: Driver) -> None:
    """After some the run fails with the reason, which is told once."""
    driver.launch(1)
    _refuse(driver, 1, 2, 3)
    reason = "h1: there is no numpy\nhint: install it"
    assert driver.messages[0] == EngineFailed(f"no agent of fake can begin: {reason}")
    assert driver.messages[1:] == [LaunchFailed(1, reason)]
    assert [it for it in driver.notices if "numpy" in it] == [driver.notices[0]]
    driver.meeting.turn_for(0.05)
    assert list(driver.engine.calls) == [1, 2, 3]


def test_agents_that_are_on_their_way_may_do_better(driver: Driver) -> None:
    """None is asked for in the place of those that could not begin, until one has."""
    for serial in (1, 2, 3, 4):
        driver.launch(serial)
    driver.meeting.turn_until(lambda: 4 in driver.engine.calls)
    _refuse(driver, 1, 2, 3)
    driver.meeting.turn_for(0.05)
    assert sorted(driver.engine.calls) == [1, 2, 3, 4, 5, 6]
    _refuse(driver, 4, 5)
    agent = driver.agent(6)
    agent.hears(Launch)
    driver.meeting.turn_until(lambda: len(driver.engine.calls) == 9)
    assert not [it for it in driver.messages if isinstance(it, EngineFailed)]


def test_what_steps_take_may_be_what_no_agent_begins_with(driver: Driver) -> None:
    """That other agents work does not keep the run waiting for ever."""
    driver.resources["train"] = Resources(gpu=1)
    driver.launch(1)
    agent = driver.agent(1)
    driver.launch(2, "train/2")
    _refuse(driver, 2, 3, 4)
    assert "no agent of fake with gpu=1 can begin" in driver.hears(EngineFailed).reason
    assert agent.link.is_open


def test_where_one_agent_works_others_are_tried_again(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once: each of them says the same."""
    monkeypatch.setattr(engine_executor, "AGENT_AGAIN", 1)
    driver.launch(1)
    agent = driver.agent(1)
    driver.launch(2)
    _refuse(driver, 2, 3, 4)
    driver.meeting.turn_for(0.05)
    assert 5 not in driver.engine.calls
    driver.meeting.turn_until(lambda: 5 in driver.engine.calls)
    driver.finish(driver.agent(5), 2)
    assert agent.link.is_open


def test_a_task_that_an_agent_can_not_begin(driver: Driver) -> None:
    """It is launched again, by another one."""
    driver.launch(1)
    agent = driver.agent(1)
    agent.hears(Launch)
    agent.says(LaunchFailed(1, "too many processes"))
    assert driver.hears(TaskLost) == TaskLost(1, "h1 (agent 1) can't begin it: too many processes")
    assert agent.hears(AgentStop)
    driver.launch(2)
    driver.finish(driver.agent(2), 2)


def test_a_driver_that_is_stopped_is_not_lost(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents wait for it when it has announced that, busy or not."""
    monkeypatch.setattr(remote_limits, "LINK_HEARTBEAT", 0.05)
    monkeypatch.setattr(remote_limits, "LINK_SILENCE", 0.3)
    driver.launch(1)
    driver.launch(2)
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    agent = driver.agent(1)
    agent.hears(Launch)
    driver.executor.announce_silence()
    end = time.monotonic() + 0.6
    driver.meeting.turn_until(lambda: time.monotonic() > end, driver=False)
    assert agent.link.is_open


def test_signals_reach_the_agent_of_a_task(driver: Driver) -> None:
    """A task that still waits for one ends at once."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    driver.launch(2, "train/2")
    driver.executor.kill(1, signal.SIGINT)
    driver.executor.kill(2, signal.SIGTERM)
    assert agent.hears(Kill) == Kill(1, signal.SIGINT)
    assert driver.hears(Exited) == Exited(2, signal.SIGTERM, 0.0, 0)


def test_objects_are_sent_as_packs(driver: Driver, repo: GitRepo, tmp_path: Path) -> None:
    """Those that are asked for, or all that a tree leads to; an error where there are none."""
    driver.launch(1)
    agent = driver.agent()
    oid = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}").strip())
    agent.says(WantObjects(7, (oid,), closure=True))
    driver.meeting.turn_until(
        lambda: any(isinstance(it, Objects) and not it.more for it in agent.told)
    )
    pieces = [it for it in agent.told if isinstance(it, Objects)]
    assert {it.request for it in pieces} == {7}
    subprocess.run(["git", "init", "-q", str(tmp_path / "o")], check=True)
    command = ["git", "-C", str(tmp_path / "o"), "index-pack", "--stdin"]
    subprocess.run(
        command, input=b"".join(it.data for it in pieces), check=True, capture_output=True
    )
    listed = ["git", "-C", str(tmp_path / "o"), "ls-tree", "-r", "--name-only", str(oid)]
    assert "f.py" in subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    agent.says(WantObjects(8, (Oid(b"9" * 20),)))
    driver.meeting.turn_until(
        lambda: isinstance(agent.told[-1], Objects) and agent.told[-1].request == 8
    )
    assert agent.told[-1].error


def test_steps_get_agents_with_what_they_take(driver: Driver) -> None:
    """An agent serves only steps of the same resources."""
    large = Resources(cpu=4, gpu=1)
    driver.resources["train"] = large
    driver.launch(1)
    agent = driver.agent(1)
    serial = agent.hears(Launch).serial
    agent.says(_result(serial), Exited(serial, 0, 0.0, 0))
    driver.hears(Exited)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    assert driver.engine.calls[2][1] == large


def test_an_idle_agent_makes_place_for_one_with_other_resources(narrow: Driver) -> None:
    """Where there are as many as there may be; and that one for the next."""
    narrow.resources["train"] = large = Resources(gpu=1)
    narrow.launch(1)
    first = narrow.agent(1)
    narrow.finish(first, 1)
    narrow.launch(2, "train/2")
    second = narrow.agent(2)
    assert narrow.engine.calls[2][1] == large
    assert first.hears(AgentStop)
    narrow.finish(second, 2)
    narrow.launch(3)
    narrow.finish(narrow.agent(3), 3)


def test_an_agent_on_its_way_that_nothing_waits_for_makes_place(narrow: Driver) -> None:
    """Its launch was ended before the engine had a worker for it."""
    narrow.resources["train"] = Resources(gpu=1)
    narrow.launch(1, "train/1")
    narrow.meeting.turn_until(lambda: 1 in narrow.engine.calls)
    narrow.executor.kill(1, signal.SIGTERM)
    narrow.launch(2)
    narrow.finish(narrow.agent(2), 2)
    assert narrow.engine.cancelled == [1]


def test_only_agents_without_tasks_make_place(driver: Driver) -> None:
    """Of four the one whose task has ended."""
    driver.resources["train"] = Resources(gpu=1)
    for serial in (1, 2, 3, 4):
        driver.launch(serial)
    agents = [driver.agent(number) for number in (1, 2, 3, 4)]
    driver.finish(agents[2], agents[2].hears(Launch).serial)
    driver.launch(5, "train/5")
    driver.finish(driver.agent(5), 5)
    stopped = [any(isinstance(it, AgentStop) for it in agent.told) for agent in agents]
    assert stopped == [False, False, True, False]


def test_each_node_of_a_gang_has_an_agent(narrow: Driver) -> None:
    """However many agents there may be: nodes may wait for each other."""
    for serial in (1, 2):
        node = ForeachLevel("start", GANG, 2, serial - 1)
        narrow.executor.launch(
            Launch(serial, TaskName("start", str(serial)), 0, (node,), (PARENT,)), -1, -1
        )
    first, second = narrow.agent(1), narrow.agent(2)
    assert {first.hears(Launch).serial, second.hears(Launch).serial} == {1, 2}


def test_a_launch_that_comes_while_others_wait_is_assigned(driver: Driver) -> None:
    """It goes to the agent that is free for it, though the others go on waiting."""
    driver.resources["train"] = Resources(gpu=1)
    driver.launch(1)
    agent = driver.agent(1)
    driver.finish(agent, 1)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    driver.launch(3)
    driver.finish(agent, 3)


def test_agents_without_tasks_go_home(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; the next launch gets another one."""
    monkeypatch.setattr(engine_executor, "AGENT_IDLE", 0.05)
    driver.launch(1)
    agent = driver.agent()
    serial = agent.hears(Launch).serial
    agent.says(_result(serial), Exited(serial, 0, 0.0, 0))
    assert agent.hears(AgentStop)
    driver.launch(2)
    driver.agent(2).hears(Launch)


def test_cards_are_kept_where_those_of_this_machine_are(driver: Driver, repo: GitRepo) -> None:
    """Under the task's own name alone."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    live = repo.path / ".git/gitflowrun/live/x"
    for name in (
        "../../x/0.json",
        "cards/start/2.0/0.json",
        "cards/start/1.0/../0.json",
        "cards/start/1.0/a.html",
    ):
        agent.says(CardRequested(1, name, b"{}"))
    agent.says(CardRequested(1, "cards/start/1.0/0.json", b'{"a": 1}'), Started(1, 5))
    driver.hears(Started)
    kept = [it for it in live.rglob("*") if it.is_file()]
    assert [(str(it.relative_to(live)), it.read_bytes()) for it in kept] == [
        ("cards/start/1.0/0.json", b'{"a": 1}')
    ]


def test_messages_that_are_none(driver: Driver) -> None:
    """An agent that sends them is lost."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.link.send(b"\x93nonsense")
    assert driver.hears(TaskLost).serial == 1


def test_close_stops_agents(driver: Driver) -> None:
    """Those that are there are told; those that are not there yet are not wanted any more."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: 2 in driver.engine.calls)
    driver.executor.close()
    assert agent.hears(AgentStop)
    assert driver.engine.cancelled == [2]


def test_a_wait_for_workers_is_told(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, where the engine gives none for a while."""
    monkeypatch.setattr(engine_executor, "WAIT_TOLD", 0.01)
    driver.launch(1)
    driver.launch(2, "train/2")
    driver.meeting.turn_until(lambda: driver.notices)
    driver.meeting.turn_for(0.1)
    assert driver.notices == ["2 tasks wait for a worker of fake (nowhere)."]


def test_a_wait_for_what_no_worker_has_is_told(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though workers of other steps are there; again when it begins again."""
    monkeypatch.setattr(engine_executor, "WAIT_TOLD", 0.05)
    driver.resources["train"] = Resources(cpu=2.5, gpu=1, memory=2_000_000)
    driver.launch(1)
    driver.agent(1)
    driver.launch(2, "train/2")
    told = "1 task waits for a worker of fake with cpu=2.5, gpu=1, memory=2000000 (nowhere)."
    driver.meeting.turn_until(lambda: told in driver.notices)
    driver.meeting.turn_for(0.2)
    assert driver.notices.count(told) == 1
    driver.finish(driver.agent(2), 2)
    driver.executor.ended(2, "its machine is gone")
    driver.launch(3, "train/3")
    driver.meeting.turn_until(lambda: driver.notices.count(told) == 2)


def quick_agent(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """An agent that runs task 2, while 3 and 4 wait there, for it was quick with the first one."""
    driver.launch(1)
    agent = driver.agent()
    driver.finish(agent, 1)
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.009)
    driver.launch(2)
    assert agent.hears(Launch, 2).serial == 2
    driver.launch(3)
    driver.launch(4)
    assert agent.hears(Launch, 4).serial == 4
    agent.says(Started(2, 22))
    driver.hears(Started)
    return agent


def placed(driver: Driver) -> list[int]:
    """The launches that have begun, in order."""
    return [it.serial for it in driver.messages if isinstance(it, TaskPlaced)]


def test_a_quick_agent_gets_launches_ahead(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts as begun when the one before it has ended; the scheduler is asked for so many more."""
    assert driver.executor.ahead == 0
    agent = quick_agent(driver, monkeypatch)
    assert driver.executor.ahead == 2
    assert placed(driver) == [1, 2]
    agent.says(_result(2), Exited(2, 0, 0.0, 0))
    driver.hears(Exited, 2)
    assert placed(driver) == [1, 2, 3]
    agent.says(_result(3), Exited(3, 0, 0.0, 0))
    driver.hears(Exited, 3)
    assert placed(driver) == [1, 2, 3, 4]


def test_a_slow_agent_gets_nothing_ahead(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits there waits long, and would not be at another agent that comes."""
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 0.0)
    driver.launch(1)
    agent = driver.agent()
    driver.finish(agent, 1)
    driver.launch(2)
    driver.launch(3)
    agent.hears(Launch, 2)
    driver.meeting.turn_for(0.1)
    assert driver.executor.ahead == 0
    assert len(agent.all_of(Launch)) == 2


def test_what_has_not_begun_is_not_lost_with_an_agent(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to another one; what ran is lost."""
    agent = quick_agent(driver, monkeypatch)
    agent.link.close()
    assert driver.hears(TaskLost).serial == 2
    other = driver.agent(2)
    assert other.hears(Launch).serial == 3
    driver.meeting.turn_for(0.1)
    assert [it.serial for it in driver.messages if isinstance(it, TaskLost)] == [2]


@pytest.mark.parametrize("why", ["it has said so", "nobody knows"])
def test_what_may_have_begun_is_lost_with_an_agent(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Nothing is run twice without being recorded: its last words may not have come."""
    agent = quick_agent(driver, monkeypatch)
    if why == "it has said so":
        agent.says(TaskBegins(3))
        driver.meeting.turn_until(lambda: 3 in placed(driver))
        agent.link.close()
    else:
        driver.executor.ended(1, "its machine is gone")
    lost = {driver.hears(TaskLost, number).serial for number in (1, 2)}
    assert lost == {2, 3}


def test_an_idle_agent_gets_what_waits_at_another(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recalled, and placed where it begins."""
    driver.launch(1)
    driver.launch(2)
    first, second = driver.agent(1), driver.agent(2)
    one, two = first.hears(Launch).serial, second.hears(Launch).serial
    monkeypatch.setattr(engine_executor, "AHEAD_UNDER", 60.0)
    monkeypatch.setattr(driver.executor, "_took", 0.012)
    driver.launch(3)
    first.hears(Launch, 2)
    second.says(_result(two), Exited(two, 0, 0.0, 0))
    assert first.hears(Recall).serial == 3
    first.says(Recalled(3))
    assert second.hears(Launch, 2).serial == 3
    driver.meeting.turn_for(0.05)
    assert placed(driver) == [*sorted([one, two]), 3]


def test_a_launch_that_waits_at_an_agent_is_killed_there(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has never begun."""
    agent = quick_agent(driver, monkeypatch)
    driver.executor.kill(4, signal.SIGINT)
    assert agent.hears(Kill) == Kill(4, signal.SIGINT)
    agent.says(Exited(4, signal.SIGINT, 0.0, 0))
    assert driver.hears(Exited, 2).serial == 4
    assert placed(driver) == [1, 2]
    agent.says(_result(2), Exited(2, 0, 0.0, 0))
    driver.hears(Exited, 3)
    assert placed(driver) == [1, 2, 3]
