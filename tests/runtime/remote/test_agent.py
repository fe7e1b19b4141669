"""Agents: what they say of tasks, and what becomes of these."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.runs.records import ForeachLevel
from gitflowrun.runtime.ipc.agent_limits import SENT_AHEAD
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.messages import (
    Exited,
    Kill,
    LaunchFailed,
    LaunchItem,
    Parent,
    Result,
    SecretValue,
    Started,
)
from gitflowrun.runtime.ipc.remote_messages import (
    AgentReady,
    AgentStop,
    CardRequested,
    Objects,
    Recall,
    Recalled,
    TaskNote,
    TaskOutput,
    TaskPack,
    WantObjects,
    unpack_remote,
)
from gitflowrun.runtime.remote.agent import Agent
from gitflowrun.values import replace
from tests.helpers.agents import agent_start, cache_of, launch, record_of
from tests.helpers.flows import eventually, foreach_flow, linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.runtime.remote.conftest import Agents


def repo_with(tmp_path: Path, code: str, **files: str) -> GitRepo:
    """A repository with a flow."""
    return make_repo(tmp_path / "driver", files={"flow.py": code, **files})


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}


# ---- what is said of a task ----


def test_a_task_on_a_worker(agents: Agents, tmp_path: Path) -> None:
    """Its code comes with the agent, its lines in order, and its result before its end."""
    body = "for i in range(3): print('line', i)\nprint('bad', file=sys.stderr)\nself.x = 42"
    agent = agents(repo_with(tmp_path, linear_flow(body)))
    ready = agent.ready()
    assert (ready.pid, ready.shares_disk, ready.notices) == (agent.process.pid, False, ())
    result, exited = agent.run(launch(1))
    assert result is not None
    assert (result.error, exited.status) == (None, 0)
    assert result.artifacts["x"].size > 0
    assert agent.output(1) == "line 0\nline 1\nline 2\n"
    assert agent.output(1, "stderr") == "bad\n"
    kinds = [type(it) for it in agent.heard if not isinstance(it, TaskOutput | WantObjects)]
    assert kinds == [AgentReady, Started, Result, Exited]
    assert isinstance(agent.heard[-1], Exited)


@pytest.mark.parametrize("isolation", ["fork", "fresh"])
@pytest.mark.parametrize(
    ("body", "status", "has_result"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", signal.SIGSEGV, False),
        ("os._exit(7)", 7 << 8, False),
        ("os._exit(0)", 0, False),
        ("raise ValueError('no')", 1 << 8, True),
    ],
)
@pytest.mark.sample(4)
def test_how_a_task_ends(
    agents: Agents, tmp_path: Path, isolation: str, body: str, status: int, has_result: bool
) -> None:
    """As on one machine, and the agent goes on with the next one."""
    code = linear_flow(f"print('before')\n{body}", "self.y = 1")
    agent = agents(repo_with(tmp_path, code), isolation=isolation)
    agent.ready()
    result, exited = agent.run(launch(1))
    assert exited.status & 0x7FFF == status
    assert agent.output(1) == "before\n"
    assert (result is not None and "ValueError: no" in str(result.error)) == has_result
    result, exited = agent.run(launch(2, "end"))
    assert result is not None
    assert (result.error, exited.status) == (None, 0)


def test_items_of_a_foreach(agents: Agents, tmp_path: Path) -> None:
    """Further items come as what differs; several tasks run at the same time."""
    code = linear_flow("print(self.index)\ntime.sleep(0.2)")
    agent = agents(repo_with(tmp_path, code), slots=3)
    agent.ready()
    first = launch(1, frames=(ForeachLevel("s", "xs", 3, 0, "a"),))
    agent.say(first)
    for index in (1, 2):
        agent.say(LaunchItem(1 + index, 1 + index, index, "b"))
    agent.next(Exited, 3)
    assert [agent.output(serial) for serial in (1, 2, 3)] == ["0\n", "1\n", "2\n"]
    assert [type(it) for it in agent.heard].index(Exited) > [
        number for number, it in enumerate(agent.heard) if isinstance(it, Started)
    ][2]


def test_tasks_that_were_launched_ahead_wait(agents: Agents, tmp_path: Path) -> None:
    """For the end of the one that runs; one that is recalled never begins, one that is stopped begins later."""
    agent = agents(repo_with(tmp_path, linear_flow("print(self.index)\ntime.sleep(0.3)")))
    agent.ready()
    for serial in (1, 2, 3, 4):
        frame = ForeachLevel("s", "xs", 4, serial - 1, "a")
        agent.say(launch(serial, frames=(frame,)))
    agent.say(Kill(4, signal.SIGSTOP))
    agent.say(Recall(3))
    assert agent.next(Recalled).serial == 3
    agent.next(Exited, 2)
    agent.say(Recall(2))
    agent.say(Kill(4, signal.SIGCONT))
    agent.next(Exited, 3)
    told = [(type(it), it.serial) for it in agent.heard if isinstance(it, Started | Exited)]
    assert told == [(kind, serial) for serial in (1, 2, 4) for kind in (Started, Exited)]
    assert [agent.output(serial) for serial in (1, 2, 4)] == ["0\n", "1\n", "3\n"]


def test_kill(agents: Agents, tmp_path: Path) -> None:
    """A signal reaches the task's process group, and what had begun with it."""
    code = linear_flow("import subprocess\nsubprocess.run(['sleep', '50'])")
    agent = agents(repo_with(tmp_path, code))
    agent.ready()
    agent.say(launch(1))
    pid = agent.next(Started).pid
    eventually(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text() != "")
    agent.say(Kill(1, signal.SIGKILL))
    assert agent.next(Exited).status == signal.SIGKILL


def test_what_a_task_leaves_behind(agents: Agents, tmp_path: Path) -> None:
    """Processes of its group are ended after it, which is told before its end is."""
    code = linear_flow("import subprocess\nsubprocess.Popen(['sleep', '50'])")
    agent = agents(repo_with(tmp_path, code))
    agent.ready()
    _, exited = agent.run(launch(1))
    assert exited.status == 0
    assert "left behind were ended" in agent.next(TaskNote).text
    assert isinstance(agent.heard[-1], Exited)


def test_much_output(agents: Agents, tmp_path: Path) -> None:
    """All of it comes, in order."""
    agent = agents(repo_with(tmp_path, linear_flow("for i in range(300_000): print(i)")))
    agent.ready()
    _, exited = agent.run(launch(1))
    assert exited.status == 0
    assert agent.output(1) == "".join(f"{i}\n" for i in range(300_000))


def test_a_secret_is_in_no_file(agents: Agents, tmp_path: Path) -> None:
    """A task has the secret parameter's value; nothing of it lies on the worker's disk."""
    code = linear_flow("print(self.key)")
    code = code.replace(
        "class F(FlowSpec):\n", "class F(FlowSpec):\n    key = Parameter('key', secret=True)\n"
    )
    secret = SecretValue("str/1", b"open sesame", (b"open sesame",))
    agent = agents(repo_with(tmp_path, code), secrets={"key": secret})
    agent.ready()
    agent.run(launch(1))
    assert agent.output(1) == "open sesame\n"
    files = [it for it in cache_of(tmp_path / "cache").rglob("*") if it.is_file()]
    assert files
    assert [it for it in files if b"open sesame" in it.read_bytes()] == []


def test_cards(agents: Agents, tmp_path: Path) -> None:
    """A card that is refreshed comes while the task runs, and as it is at last before the result."""
    head = "from gitflowrun import card\nfrom gitflowrun.cards import Markdown"
    body = (
        "current.card.append(Markdown('first'))\ncurrent.card.refresh()\n"
        "while not os.path.exists('go'): time.sleep(0.01)\ncurrent.card.append(Markdown('second'))"
    )
    code = linear_flow(body, head=head).replace(
        "    @step\n    def start", "    @card\n    @step\n    def start"
    )
    agent = agents(repo_with(tmp_path, code))
    agent.ready()
    agent.say(launch(1))
    live = agent.next(CardRequested)
    assert live.name == "cards/start/1.0/0.json"
    assert (b"first" in live.data, b"second" in live.data) == (True, False)
    (place,) = cache_of(tmp_path / "cache").glob("agents/*/code")
    (place / "go").touch()
    agent.next(Exited)
    last = agent.of(CardRequested)[-1]
    assert b"second" in last.data
    assert agent.heard.index(last) < agent.heard.index(agent.next(Result))


# ---- objects ----


def test_a_large_artifact(agents: Agents, tmp_path: Path) -> None:
    """12 MB come in pieces of up to 1 MiB before the result, while others' lines go on; git takes the pack."""
    body = "self.big = os.urandom(12 << 20)\nself.small = 1"
    repo = repo_with(tmp_path, linear_flow(body, "print(len(self.big), self.small)"))
    agent = agents(repo)
    agent.ready()
    result, _ = agent.run(launch(1))
    assert result is not None
    pieces = agent.of(TaskPack)
    assert len(pieces) >= 12
    assert max(len(it.data) for it in pieces) <= 1 << 20
    assert agent.heard.index(pieces[-1]) < agent.heard.index(result)
    assert sum(map(len, agent.packs(1).values())) > 12 << 20
    run = agent_start(repo).run.run
    parent = record_of(agent, launch(1), result, run)
    repo.fsck()
    _other_machine(agents, repo, parent)


def _other_machine(agents: Agents, repo: GitRepo, parent: Parent) -> None:
    """A task on another machine reads it: its record is asked for, then all parts at once."""
    other = agents(repo, cache="other")
    other.ready()
    begun = len(other.served)
    result, _ = other.run(launch(7, "end", parents=(parent,)))
    assert result is not None
    assert (result.error, other.output(7)) == (None, f"{12 << 20} 1\n")
    record, parts, *small = other.served[begun:]
    assert str(parent.record) in map(str, record.oids)
    assert len(record.oids) == 2  # that of the parameters, too
    assert len(parts.oids) > 5
    assert len(small) <= 1
    assert {*result.artifacts} >= {"big", "small"}
    assert not result.packs
    other.run(launch(8, "end", parents=(parent,)))
    assert len(other.served) == begun + 2 + len(small)


def test_tasks_that_want_the_same(agents: Agents, tmp_path: Path) -> None:
    """Ask for it once."""
    repo = repo_with(
        tmp_path, linear_flow("self.big = os.urandom(3 << 20)", "print(len(self.big))")
    )
    first = agents(repo)
    first.ready()
    result, _ = first.run(launch(1))
    assert result is not None
    parent = record_of(first, launch(1), result, agent_start(repo).run.run)
    other = agents(repo, cache="other", slots=3)
    other.ready()
    begun = len(other.served)
    for serial in (2, 3, 4):
        other.say(launch(serial, "end", parents=(parent,)))
    other.next(Exited, 3)
    assert [other.output(serial) for serial in (2, 3, 4)] == [f"{3 << 20}\n"] * 3
    asked = [oid for want in other.served[begun:] for oid in want.oids]
    assert len(asked) == len(set(asked))
    neighbour = agents(repo, cache="other")
    neighbour.ready()
    neighbour.run(launch(5, "end", parents=(parent,)))
    assert neighbour.output(5) == f"{3 << 20}\n"
    assert sum(len(want.oids) for want in neighbour.served) == 2  # the records


def test_a_join_asks_for_its_inputs_at_once(agents: Agents, tmp_path: Path) -> None:
    """Small values of one name come with one request; one that nobody has costs only the step that reads it."""
    value = "self.x = int.from_bytes(os.urandom(5000), 'big')"
    repo = repo_with(tmp_path, foreach_flow("pass").replace("self.x = self.input", value))
    first = agents(repo)
    first.ready()
    parents, last = [], ""
    for serial in range(1, 9):
        made = launch(serial, "work")
        result, _ = first.run(made)
        assert result is not None
        parents.append(record_of(first, made, result, agent_start(repo).run.run))
        assert result.error is None
        last = str(result.artifacts["x"].chunks[0].oid)
    other = agents(repo, cache="other")
    other.ready()
    begun = len(other.served)
    joined, _ = other.run(launch(20, "join", parents=tuple(parents)))
    assert joined is not None
    assert joined.error is None
    assert [len(want.oids) for want in other.served[begun:]] == [9, 8]  # records, values
    (repo.path / ".git/objects" / last[:2] / last[2:]).unlink()
    third = agents(repo, cache="third")
    third.ready()
    lost, _ = third.run(launch(21, "join", parents=tuple(parents)))
    assert lost is not None
    assert "work/8/x can't be read" in str(lost.error)
    found, _ = third.run(launch(22, "join", parents=tuple(parents[:7])))
    assert found is not None
    assert found.error is None


def test_a_disk_that_gets_full(agents: Agents, tmp_path: Path) -> None:
    """The task whose input finds no room fails and says so; the agent goes on."""
    repo = repo_with(
        tmp_path, linear_flow("self.big = os.urandom(3 << 20)", "print(len(self.big))")
    )
    first = agents(repo)
    first.ready()
    result, _ = first.run(launch(1))
    assert result is not None
    parent = record_of(first, launch(1), result, agent_start(repo).run.run)
    # The code is the first that arrives, records are the second.
    other = agents(repo, cache="other", env={"GITFLOWRUN_FAILPOINTS": "remote.received=ENOSPC:3"})
    other.ready()
    lost, exited = other.run(launch(2, "end", parents=(parent,)))
    assert lost is not None
    assert exited.status == 1 << 8
    assert "No space left" in str(lost.error)
    done, _ = other.run(launch(3))
    assert done is not None
    assert done.error is None


def test_an_object_that_nobody_has(agents: Agents, tmp_path: Path) -> None:
    """The task that reads it fails with words; one whose inputs' records are lacking does not begin."""
    repo = repo_with(
        tmp_path, linear_flow("self.big = os.urandom(3 << 20)", "print(len(self.big))")
    )
    first = agents(repo)
    first.ready()
    result, _ = first.run(launch(1))
    assert result is not None
    parent = record_of(first, launch(1), result, agent_start(repo).run.run)
    for pack in (repo.path / ".git/objects/pack").glob("pack-*"):
        pack.unlink()
    other = agents(repo, cache="other")
    other.ready()
    lost, exited = other.run(launch(2, "end", parents=(parent,)))
    assert lost is not None
    assert exited.status == 1 << 8
    assert "start/1/big can't be read" in str(lost.error)
    record = repo.path / ".git/objects" / str(parent.record)[:2] / str(parent.record)[2:]
    record.unlink()
    third = agents(repo, cache="third")
    third.ready()
    third.say(launch(3, "end", parents=(parent,)))
    assert str(parent.record) in third.next(LaunchFailed).reason
    third.say(launch(4))
    later = time.monotonic() + 0.5
    third.until(lambda: time.monotonic() > later)
    third.say(Recall(4))
    assert (
        third.next(Recalled).serial == 4
    )  # it has not begun: the driver gives it to another agent


def test_what_the_driver_lacks_it_may_ask_for(agents: Agents, tmp_path: Path) -> None:
    """A task's own objects come again; of others the words of git come."""
    repo = repo_with(tmp_path, linear_flow("self.big = os.urandom(3 << 20)"))
    agent = agents(repo)
    agent.ready()
    result, _ = agent.run(launch(1))
    assert result is not None
    oids = tuple(chunk.oid for chunk in result.artifacts["big"].chunks)
    before = len(agent.of(TaskPack))
    agent.say(WantObjects(1, oids))
    agent.until(lambda: not agent.of(TaskPack)[-1].more and len(agent.of(TaskPack)) > before)
    pack = b"".join(it.data for it in agent.of(TaskPack)[before:])
    repo.git("index-pack", "--stdin", stdin=pack)
    assert repo.git("cat-file", "-t", str(oids[0])) == "blob"
    before = len(agent.of(TaskPack))
    agent.say(WantObjects(1, (agent_start(repo).code, type(oids[0])(bytes(20)))))
    agent.until(lambda: len(agent.of(TaskPack)) > before)
    assert [it.data for it in agent.of(TaskPack)[before:]] == [b""]
    assert agent.of(TaskPack)[-1].error == f"unable to read {'0' * 40}"


class NotedLink:
    """A link that notes what it is given."""

    def __init__(self) -> None:
        self.waiting = 0
        self.sent: list[Any] = []

    def send_together(self, messages: Iterable[bytes]) -> None:
        """Note messages."""
        self.sent += map(unpack_remote, messages)

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Note a message that is in parts."""
        self.sent.append(unpack_remote(b"".join(parts)))

    def close(self) -> None:
        """Do nothing."""


def test_what_git_can_pack_in_part() -> None:
    """Is sent as it comes, while little waits for the link; then git's words: a part of a pack is none."""
    loop, link = EventLoop(), NotedLink()
    agent = Agent(loop, link)
    script = "printf 1; read line; printf 2; echo 'fatal: no more' >&2; exit 128"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as packing:
        assert packing.stdin is not None
        answer = TaskPack(1, "pack-a", b"", more=False)
        agent._send_packed(answer, packing)
        _turn(loop, lambda: len(link.sent) == 1)
        link.waiting = SENT_AHEAD + 1
        packing.stdin.write(b"\n")
        packing.stdin.flush()
        _turn(loop, lambda: packing.poll() is not None)
        assert len(link.sent) == 1
        link.waiting = SENT_AHEAD
        _turn(loop, lambda: not link.sent[-1].more)
    assert link.sent == [
        TaskPack(1, "pack-a", b"1", more=True),
        TaskPack(1, "pack-a", b"2", more=True),
        TaskPack(1, "pack-a", b"", more=False, error="no more"),
    ]
    loop.close()


def _turn(loop: EventLoop, condition: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        loop.after(0.01, lambda: None)
        loop.turn()


def test_what_a_task_has_stored_can_be_read_in_part(agents: Agents, tmp_path: Path) -> None:
    """Its result says so, in place of what it would have been; the agent goes on."""
    env = {"GITFLOWRUN_FAILPOINTS": "agent.piece=EIO:3"}
    repo = repo_with(tmp_path, linear_flow("self.big = os.urandom(9 << 20)"))
    agent = agents(repo, env=env)
    agent.ready()
    result, exited = agent.run(launch(1))
    assert result is not None
    assert exited.status == 0
    assert result.error is not None
    assert result.error.startswith(
        f"what the task has stored can't be read on {os.uname().nodename}: "
    )
    assert result.error.endswith(".pack: Input/output error")
    assert [it.more for it in agent.of(TaskPack)] == [True, True]
    assert (result.artifacts, result.packs) == ({}, ())
    following, _ = agent.run(launch(2, "end"))
    assert following is not None
    assert following.error is None


# ---- the end ----


@pytest.mark.parametrize("how", ["stop", "link", "worker", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("isolation", ["fork", "fresh"])
@pytest.mark.sample("fork-stop", "fork-link", "fork-worker", "fork-SIGKILL", "fresh-SIGTERM")
def test_whatever_ends_an_agent_ends_its_tasks(
    agents: Agents, tmp_path: Path, how: str, isolation: str
) -> None:
    """Within seconds, with the processes that they have begun; what was its own is gone, or goes with the next one."""
    body = (
        "import subprocess\nsleeper = subprocess.Popen(['sleep', '99'])\n"
        "daemon = subprocess.Popen(['sleep', '98'], start_new_session=True)\n"
        "print(sleeper.pid, daemon.pid, flush=True)\ntime.sleep(99)"
    )
    repo = repo_with(tmp_path, linear_flow(body))
    agent = agents(repo, isolation=isolation)
    agent.ready()
    agent.say(launch(1))
    agent.until(lambda: "\n" in agent.output(1))
    sleeper, daemon = map(int, agent.output(1).split())
    pid = agent.next(Started).pid
    begun = time.monotonic()
    assert agent.link is not None
    if how == "stop":
        agent.say(AgentStop())
    elif how == "link":
        agent.link.close()
    elif how == "worker":
        agent.lose_worker()
    else:
        agent.process.send_signal(signal.Signals[how])
    agent.wait(8)
    eventually(lambda: not is_alive(pid))
    assert time.monotonic() < begun + 8
    if how == "SIGKILL":
        os.kill(sleeper, signal.SIGKILL)
        os.kill(daemon, signal.SIGKILL)
        places = list(cache_of(tmp_path / "cache").glob("agents/*"))
        agents(repo).ready()
        assert not places[0].exists()
    else:
        eventually(lambda: not is_alive(sleeper) and not is_alive(daemon))
        assert list(cache_of(tmp_path / "cache").glob("agents/*")) == []


def test_a_zygote_that_is_killed_ends_the_agent(agents: Agents, tmp_path: Path) -> None:
    """The driver sees its tasks as lost, and launches them again."""
    agent = agents(
        repo_with(tmp_path, linear_flow("os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(9)"))
    )
    agent.ready()
    agent.say(launch(1))
    agent.until(lambda: agent.lost)
    assert agent.of(Result) == []
    assert agent.wait() == 0


@pytest.mark.parametrize("place", ["agent.fetched", "agent.copied", "agent.ready", "agent.sending"])
@pytest.mark.sample(1)
def test_an_agent_that_dies_anywhere(agents: Agents, tmp_path: Path, place: str) -> None:
    """The next one of the machine begins as if nothing had been, and nothing of the dead one stays."""
    repo = repo_with(tmp_path, linear_flow("self.big = os.urandom(3 << 20)"))
    dead = agents(repo, env={"GITFLOWRUN_FAILPOINTS": f"{place}=kill"})
    dead.until(lambda: dead.lost or dead.of(AgentReady))
    if dead.of(AgentReady):
        dead.say(launch(1))
    dead.until(lambda: dead.lost)
    assert dead.of(Result) == []
    agent = agents(repo)
    agent.ready()
    result, _ = agent.run(launch(1))
    assert result is not None
    assert result.error is None
    (own,) = cache_of(tmp_path / "cache").glob("agents/*")
    assert str(agent.process.pid) in own.name


@pytest.mark.parametrize("how", ["served", "refused"])
@pytest.mark.sample(1)
def test_a_task_that_is_killed_before_it_has_begun(
    agents: Agents, tmp_path: Path, how: str
) -> None:
    """While its inputs are on their way: it ends as by that signal, and nothing of it runs, whatever comes of them."""
    repo = repo_with(tmp_path, linear_flow("print('ran')"))
    agent = agents(repo)
    agent.ready()
    agent.hold = True
    agent.say(launch(1))
    agent.until(lambda: len(agent.served) == 2)
    agent.say(Kill(1, signal.SIGSTOP))
    agent.say(Kill(1, signal.SIGTERM))
    assert agent.next(Exited).status == signal.SIGTERM
    if how == "served":
        agent.serve(agent.served[1])
    else:
        agent.say(Objects(agent.served[1].request, b"", more=False, error="the disk is gone"))
    agent.hold = False
    agent.run(launch(2))
    assert (agent.output(1), agent.output(2)) == ("", "ran\n")
    assert len(agent.of(Started)) == 1
    assert agent.of(LaunchFailed) == []


@pytest.mark.slow
def test_a_driver_that_takes_nothing(agents: Agents, tmp_path: Path) -> None:
    """A task that writes without end waits, and the agent holds little; all comes once the driver reads."""
    body = "for _ in range(3000): print('x' * 99_999)\nself.big = os.urandom(20 << 20)"
    agent = agents(repo_with(tmp_path, linear_flow(body)))
    agent.ready()
    agent.say(launch(1))
    agent.until(lambda: agent.of(TaskOutput))
    time.sleep(2)
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 120 << 10
    assert not agent.of(Exited)
    assert agent.next(Exited, seconds=120).status == 0
    assert agent.output(1) == f"{'x' * 99_999}\n" * 3000


def test_modules_that_are_loaded_late_are_named(agents: Agents, tmp_path: Path) -> None:
    """Whatever the worker's clock says: the driver compares them with the snapshot."""
    repo = repo_with(tmp_path, linear_flow("import helper"), **{"helper.py": "x = 1\n"})
    agent = agents(repo, snapshot_begun=time.time() + 99_999)
    agent.ready()
    result, _ = agent.run(launch(1))
    assert result is not None
    assert {it: str(oid) for it, oid in result.code.items()} == {
        "helper.py": repo.git("rev-parse", "HEAD:helper.py")
    }


@pytest.mark.parametrize(
    ("opened", "unfit"), [("data.txt", ""), ("/etc/../opt/none", "on another machine")]
)
def test_files_that_a_task_opens(agents: Agents, tmp_path: Path, opened: str, unfit: str) -> None:
    """Have the driver's paths for the step cache, if they are of the run's code."""
    body = f"import contextlib\nself.big = os.urandom(3 << 20)\nwith contextlib.suppress(OSError): open({opened!r})"
    repo = repo_with(tmp_path, linear_flow(body), **{"data.txt": "1\n"})
    agent = agents(repo, cache_steps=True)
    agent.ready()
    result, _ = agent.run(launch(1))
    assert result is not None
    assert result.error is None
    assert unfit in result.unfit
    if not unfit:
        assert {*result.read} == {f"{repo.path}/flow.py", f"{repo.path}/data.txt"}
        assert repo.git("rev-parse", "HEAD:data.txt") in result.read[f"{repo.path}/data.txt"]


def test_batch_isolation(agents: Agents, tmp_path: Path) -> None:
    """Tasks of a foreach share a process; one that ends it fails alone, and the next has another."""
    code = foreach_flow(
        "print(os.getpid())\nif self.input == 3: os._exit(9)\nself.x = 1", items="range(6)"
    )
    agent = agents(repo_with(tmp_path, code), isolation="batch", batched=("work",))
    agent.ready()
    result, _ = agent.run(launch(100))
    assert result is not None
    parents = (record_of(agent, launch(100), result, agent_start(agent.repo).run.run),)
    ended = []
    for index in range(6):
        frames = (ForeachLevel("start", "items", 6, index, str(index)),)
        done = agent.run(launch(1 + index, "work", frames=frames, parents=parents))
        ended.append(done[1].status)
    assert ended == [0, 0, 0, 9 << 8, 0, 0]
    pids = [agent.output(1 + index) for index in range(6)]
    assert len({*pids[:4]}) == 1
    assert len({*pids[4:]}) == 1
    assert pids[0] != pids[5]


def test_a_task_that_is_killed_with_the_process_that_it_was_given_to(
    agents: Agents, tmp_path: Path
) -> None:
    """A process of many tasks that has not read of it yet: it has ended, and is not begun anew."""
    go = tmp_path / "go"
    env = {"GITFLOWRUN_FAILPOINTS": f"batch.waits=pause:{go}"}
    repo = repo_with(tmp_path, foreach_flow("print('ran')", items="range(2)"))
    agent = agents(repo, isolation="batch", batched=("work",), env=env)
    agent.ready()
    result, _ = agent.run(launch(100))
    assert result is not None
    parents = (record_of(agent, launch(100), result, agent_start(repo).run.run),)
    one, two = (
        launch(
            1 + i, "work", frames=(ForeachLevel("start", "items", 2, i, str(i)),), parents=parents
        )
        for i in range(2)
    )
    agent.run(one)
    agent.say(two)
    agent.next(Started, 3)
    agent.say(Kill(2, signal.SIGKILL))
    agent.next(Exited, 3)
    assert (agent.of(Exited)[-1].serial, agent.of(Exited)[-1].status) == (2, signal.SIGKILL)
    assert agent.output(2) == ""
    go.touch()
    agent.run(replace(two, serial=3))
    assert agent.output(3) == "ran\n"
    assert len(agent.of(Exited)) == 4
