"""The executor of a run over an engine, with agents that say what a test has them say."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.transport.streamed_packs import IncomingPack
from gitflowrun.msgpack import pack
from gitflowrun.names import Digest, TaskName
from gitflowrun.runtime.executors import engine_executor, object_exchange
from gitflowrun.runtime.executors.engine import Resources
from gitflowrun.runtime.ipc import remote_limits
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    Launch,
    LaunchFailed,
    Result,
    Started,
    encode,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentRefused,
    AgentStop,
    CardRequested,
    EngineFailed,
    Objects,
    TaskLost,
    TaskOutput,
    TaskPack,
    TaskPlaced,
    WantObjects,
)
from gitflowrun.values import replace
from tests.helpers.engine_driver import (
    BIG,
    Driver,
    pack_of,
    pieces_of,
    result_of,
)
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact


def test_a_task_from_launch_to_end(driver: Driver) -> None:
    """It is placed, its messages come in order, and the agent gets the next one."""
    driver.launch(1)
    agent = driver.agent()
    assert agent.hears(Launch).serial == 1
    assert driver.hears(TaskPlaced) == TaskPlaced(1, "h1", "h1 (agent 1)")
    agent.says(Started(1, 77), TaskOutput(1, "stdout", b"hi\n"), result_of(1), Exited(1, 0, 0.5, 9))
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
    pack = pack_of(tmp_path, BIG)
    agent.says(
        *pieces_of(1, pack),
        replace(result_of(1, x=ref), packs=("pack-theirs",)),
        Exited(1, 0, 0.0, 0),
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
    pack = pack_of(tmp_path, BIG)
    if kind == "flipped":
        pack = pack[:500] + bytes([pack[500] ^ 1]) + pack[501:]
    elif kind == "cut":
        pack = pack[:-30]
    else:
        (chunk,) = ref.chunks
        wrong = replace(chunk, digest=artifact(b"x", TaskName("start", "1")).digest)
        ref = replace(ref, digest=wrong.digest, chunks=(wrong,))
    agent.says(*pieces_of(1, pack), result_of(1, x=ref), Exited(1, 0, 0.0, 0))
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
    agent.says(*pieces_of(1, pack_of(tmp_path, BIG)), result_of(1, x=ref), Exited(1, 0, 0.0, 0))
    (name,) = driver.hears(Result).packs
    assert (repo.path / f".git/objects/pack/{name}.idx").exists()


def test_packs_that_never_end_keep_nothing_waiting(driver: Driver, repo: GitRepo) -> None:
    """What the result needs is asked for all the same, and the beginning of the pack is removed."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(TaskPack(1, "p", b"PACK", more=True), result_of(1))
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
    agent.says(*pieces_of(1, pack_of(tmp_path, BIG)))
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
    agent.says(*pieces_of(1, pack_of(tmp_path, BIG)))
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
    agent.says(replace(result_of(1, **refs), inline=inline), Exited(1, 0, 0.0, 0))
    assert driver.hears(Result).inline == inline
    assert sorted(value for value, _ in hashed) == values
    assert len({at for _, at in hashed}) > 1


def test_parts_that_the_agent_had_already_are_asked_for(driver: Driver, tmp_path: Path) -> None:
    """An earlier task of it stored them, whose result never arrived."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    agent.says(result_of(1, x=ref), Exited(1, 0, 0.0, 0))
    want = agent.hears(WantObjects)
    assert (want.request, want.oids) == (1, (ref.chunks[0].oid,))
    agent.says(*pieces_of(1, pack_of(tmp_path, BIG)))
    assert driver.hears(Result).artifacts["x"] == ref


@pytest.mark.parametrize("differs", [{}, {"digest": digest(b"x")}, {"size": len(BIG) + 1}])
def test_parts_that_were_here_are_what_the_reference_says(
    driver: Driver, repo: GitRepo, differs: dict[str, Any]
) -> None:
    """An agent sends nothing of them, and yet nothing is recorded that could not be read."""
    repo.git("hash-object", "-w", "--stdin", stdin=BIG)
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    ref = artifact(BIG, TaskName("start", "1"))
    said = replace(ref, **differs, chunks=(replace(ref.chunks[0], **differs),))
    agent.says(result_of(1, x=said), Exited(1, 0, 0.0, 0))
    if differs:
        assert "damaged" in driver.hears(TaskLost).reason
    else:
        assert driver.hears(Result).artifacts["x"] == ref


@pytest.mark.parametrize("error", ["", "its cache was removed"])
def test_an_agent_that_has_not_got_them_either(driver: Driver, error: str) -> None:
    """The task is launched again, with what the agent has said."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.says(result_of(1, x=artifact(BIG, TaskName("start", "1"))), Exited(1, 0, 0.0, 0))
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
    first.says(result_of(other), Exited(other, 0, 0.0, 0), result_of(99), Exited(99, 0, 0.0, 0))
    first.says(
        result_of(serial), Exited(serial, 0, 0.0, 0), result_of(serial), Exited(serial, 0, 0.0, 0)
    )
    driver.hears(Exited)
    second.says(result_of(other), Exited(other, 0, 0.25, 0))
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


def refuse(driver: Driver, *numbers: int) -> None:
    """Let agents say that they can't run tasks."""
    for number in numbers:
        agent = driver.agent(number, ready=False)
        agent.says(AgentRefused("h1", "there is no numpy", "install it"))
        agent.link.close()
        driver.meeting.turn_until(lambda number=number: number in driver.engine.cancelled)  # type: ignore[misc]


def test_no_agent_can_begin(driver: Driver) -> None:
    """After some the run fails with the reason, which is told once."""
    driver.launch(1)
    refuse(driver, 1, 2, 3)
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
    refuse(driver, 1, 2, 3)
    driver.meeting.turn_for(0.05)
    assert sorted(driver.engine.calls) == [1, 2, 3, 4, 5, 6]
    refuse(driver, 4, 5)
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
    refuse(driver, 2, 3, 4)
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
    refuse(driver, 2, 3, 4)
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


@pytest.mark.parametrize(
    "said",
    [
        b"\x93nonsense",
        pack(["Exited", 1, "0", 0.0, 0, 0.0]),
        pack(["Exited", 1, 127, 0.0, 0, 0.0]),
        pack(["Exited", 1, 1 << 40, 0.0, 0, 0.0]),
        pack(["TaskOutput", 1, "stdin", b"hi"]),
        pack(["TaskPack", 1, "p", b"PACK", 1, ""]),
        *(
            pack([*encode(result_of(1))[:3], inline, *encode(result_of(1))[4:]])
            for inline in (
                {bytes(32): 7},
                {bytes(32): None},
                {bytes(32): "a"},
                {bytes(9): b""},
                [1],
            )
        ),
    ],
    ids=str,
)
def test_messages_that_are_none(driver: Driver, said: bytes) -> None:
    """An agent that sends them is lost."""
    driver.launch(1)
    agent = driver.agent()
    agent.hears(Launch)
    agent.link.send(said)
    lost = driver.hears(TaskLost)
    assert (lost.serial, "it has sent malformed" in lost.reason) == (1, True)


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
