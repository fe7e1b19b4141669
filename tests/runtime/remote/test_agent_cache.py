"""What agents keep on a machine: what goes, what stays, and that what has gone is got anew."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.transport.streamed_packs import start_pack
from gitflowrun.runtime.ipc.event_loop import EventLoop
from gitflowrun.runtime.ipc.remote_messages import AgentStop, Objects, WantObjects
from gitflowrun.runtime.remote import agent_cache
from gitflowrun.runtime.remote.agent_cache import AgentCache
from gitflowrun.runtime.remote.object_requests import ObjectRequests
from tests.helpers.agents import AgentProcess, agent_start, cache_of, launch, record_of
from tests.helpers.flows import linear_flow
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.runtime.remote.conftest import Agents

DAY = 86_400.0
TREES = [Oid(bytes([number]) * 20) for number in range(5)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentCache]:
    """A cache of one agent, this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = AgentCache("c0ffee")
    yield made
    made.leave()


def test_what_killed_agents_have_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next agent of the machine, of whatever repository; what belongs to one that lives stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = (
        "import os, sys; from gitflowrun.runtime.remote.agent_cache import AgentCache\n"
        "AgentCache('beef'); print('there', flush=True); sys.stdin.read(); os._exit(9)"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert agent.stdout is not None
    agent.stdout.readline()
    (left,) = (tmp_path / "cache/gitflowrun/agents/beef/agents").iterdir()
    AgentCache("c0ffee").leave()
    assert left.exists()
    agent.communicate()
    AgentCache("c0ffee").leave()
    assert not left.exists()


def limit(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Set limits of the cache."""
    for name, value in limits.items():
        monkeypatch.setattr(agent_cache, name, value)


def limits_of_processes(place: Path, **limits: int) -> dict[str, str]:
    """The environment of an agent with limits of its own."""
    place.mkdir()
    lines = [f"agent_limits.{name} = {value}" for name, value in limits.items()]
    code = "\n".join(["from gitflowrun.runtime.ipc import agent_limits", *lines])
    (place / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}


def add_pack(cache: AgentCache, name: str, *, days: float = 0.0, size: int = 100) -> str:
    """Put files of a pack's names into a cache, which have come some days ago."""
    then = time.time() - days * DAY
    cache.shared.packs.pack_dir.mkdir(exist_ok=True)
    for suffix in (".pack", ".idx"):
        path = cache.shared.packs.pack_dir / f"pack-{name}{suffix}"
        path.write_bytes(bytes(size))
        os.utime(path, (then, then))
    return f"pack-{name}"


def packs_of(cache: AgentCache) -> list[str]:
    """The names of what is shared."""
    return sorted(it.stem for it in cache.shared.packs.pack_dir.glob("*.pack"))


def shared_packs(tmp_path: Path) -> list[Path]:
    """The packs that agents share."""
    return sorted(cache_of(tmp_path / "cache").glob("shared.git/objects/pack/*.pack"))


def stop(agent: AgentProcess) -> None:
    """End an agent."""
    agent.say(AgentStop())
    agent.wait()


# ---- code ----


def test_old_code_goes_and_is_got_anew(agents: Agents, tmp_path: Path) -> None:
    """What no agent has begun with for long goes with the next one, which gets all of it."""
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow("print('ran')")})
    first = agents(repo)
    first.ready()
    stop(first)
    (old,) = shared_packs(tmp_path)
    os.utime(old, (1.0, 1.0))
    second = agents(repo)
    second.ready()
    assert not old.exists()
    assert [(it.closure, it.have) for it in second.served] == [(True, ())]
    second.run(launch(1))
    assert second.output(1) == "ran\n"


def test_code_that_is_used_stays(agents: Agents, tmp_path: Path) -> None:
    """Each agent that begins with it renews the time of all packs in which it lies."""
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow("pass"), "a": "1"})
    stop_ready(agents(repo))
    repo.write("a", "2")
    repo.commit()
    stop_ready(agents(repo))
    packs = shared_packs(tmp_path)
    assert len(packs) == 2
    then = time.time() - 10 * DAY
    for pack in packs:
        os.utime(pack, (then, then))
    third = agents(repo)
    third.ready()
    assert third.served == []
    assert all(it.stat().st_mtime > time.time() - DAY for it in packs)


def stop_ready(agent: AgentProcess) -> None:
    """Let an agent begin, and end it."""
    agent.ready()
    stop(agent)


def test_of_code_only_that_is_forgotten_of_which_a_pack_has_gone(
    cache: AgentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree lies in its own pack, and in those of the trees that it was compared with."""
    limit(monkeypatch, CACHE_SIZE=500)
    one, two, three = (add_pack(cache, it, days=3) for it in ("1", "2", "3"))
    cache.note_tree(TREES[0], one, ())
    cache.note_tree(TREES[1], two, TREES[:1])
    cache.note_tree(TREES[2], three, ())
    assert {*cache.known_trees()} == {*TREES[:3]}
    assert not cache.has_tree(TREES[3])
    add_pack(cache, "4", days=9)
    cache.pack_arrived(add_pack(cache, "5", size=200))
    assert packs_of(cache) == ["pack-1", "pack-2", "pack-3", "pack-5"]
    assert {*cache.known_trees()} == {*TREES[:3]}
    os.utime(cache.shared.packs.pack_dir / f"{one}.pack", (1.0, 1.0))
    cache.pack_arrived(add_pack(cache, "6"))
    assert [cache.has_tree(tree) for tree in TREES[:3]] == [False, False, True]
    assert cache.known_trees() == (TREES[2],)
    (cache.top / "trees" / str(TREES[2])).write_bytes(b"")
    assert not cache.has_tree(TREES[2])


def test_code_does_not_lie_in_more_and_more_packs(
    cache: AgentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last one lies in too many, the next one is compared with none and comes whole."""
    limit(monkeypatch, TREE_PACKS=3, KNOWN_TREES=2)
    seen = []
    for number, tree in enumerate(TREES):
        have = cache.known_trees()
        seen.append(len(have))
        cache.note_tree(tree, add_pack(cache, str(number)), have)
        mark = cache.top / "trees" / str(tree)
        os.utime(mark, (number + 1.0, number + 1.0))
    assert seen == [0, 1, 2, 2, 0]
    assert cache.known_trees() == (TREES[4],)


# ---- how much there may be ----


def test_too_much_goes_the_oldest_first(cache: AgentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes and by number; of what has just come nothing goes, whoever else lives."""
    other = AgentCache("c0ffee")
    limit(monkeypatch, CACHE_SIZE=350)
    for name, days in (("1", 2), ("2", 9), ("3", 1)):
        add_pack(cache, name, days=days)
    cache.pack_arrived(add_pack(cache, "4"))
    assert packs_of(cache) == ["pack-1", "pack-3", "pack-4"]
    limit(monkeypatch, CACHE_PACKS=2)
    cache.pack_arrived("pack-4")
    assert packs_of(cache) == ["pack-3", "pack-4"]
    cache.pack_arrived(add_pack(cache, "5", days=99, size=9_999))
    assert packs_of(cache) == ["pack-5"]
    os.close(other._users)


def test_nothing_becomes_too_old_while_another_agent_lives(cache: AgentCache) -> None:
    """It goes with the next one that is alone."""
    add_pack(cache, "1", days=99)
    other = AgentCache("c0ffee")
    assert packs_of(cache) == ["pack-1"]
    os.close(other._users)
    os.close(cache._users)
    cache._users = os.open(os.devnull, os.O_RDONLY)
    third = AgentCache("c0ffee")
    assert packs_of(third) == []
    os.close(third._users)


def test_small_inputs_go_when_they_are_too_much(
    cache: AgentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to half of what there may be, the oldest first; what a file takes counts."""
    limit(monkeypatch, CACHE_LOOSE=1_000, LOOSE_BLOCK=10)
    places = [cache.own.objects_dir / f"a{number}" / ("b" * 38) for number in range(5)]
    for number, place in enumerate(places):
        place.parent.mkdir()
        place.write_bytes(bytes(190))
        os.utime(place, (number + 1.0, number + 1.0))
        cache.loose_arrived(190, 1)
    assert all(place.exists() for place in places)
    cache.loose_arrived(0, 1)
    assert [place.exists() for place in places] == [False, False, False, True, True]
    cache.loose_arrived(590, 1)
    assert places[3].exists()
    cache.loose_arrived(0, 1)
    assert [place.exists() for place in places] == [False, False, False, True, True]


def test_what_was_sent_goes_when_it_is_too_much(
    cache: AgentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By bytes and by number; the last one stays."""
    limit(monkeypatch, SENT_PACKS=250, SENT_PACKS_MOST=3)
    pack_dir = cache.own.packs.pack_dir
    pack_dir.mkdir(exist_ok=True)

    def left(*sizes: int) -> list[str]:
        for size in sizes:
            name = f"pack-{len(names)}"
            (pack_dir / f"{name}.pack").write_bytes(bytes(size))
            names.append(name)
            cache.own_pack_sent(name)
        return sorted(it.stem for it in pack_dir.iterdir())

    names: list[str] = []
    assert left(100, 100) == ["pack-0", "pack-1"]
    assert left(100) == ["pack-1", "pack-2"]
    assert left(1_000) == ["pack-3"]
    assert left(1, 1, 1, 1) == ["pack-5", "pack-6", "pack-7"]


def test_a_sent_pack_that_went_is_got_anew(agents: Agents, tmp_path: Path) -> None:
    """By the task that reads what is in it, from the driver."""
    body = "self.big = os.urandom(3 << 20)\nself.other = os.urandom(3 << 20)"
    read = "print(len(self.big), len(self.other))"
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow(body, read)})
    agent = agents(repo, env=limits_of_processes(tmp_path / "limits", SENT_PACKS_MOST=1))
    agent.ready()
    made = []
    for serial in (1, 2):
        result, _ = agent.run(launch(serial))
        assert result is not None
        made.append(record_of(agent, launch(serial), result, agent_start(repo).run.run))
    (own,) = cache_of(tmp_path / "cache").glob("agents/*/own.git/objects/pack")
    assert len(list(own.glob("*.pack"))) == 1
    begun = len(agent.served)
    _, exited = agent.run(launch(3, "end", parents=(made[0],)))
    assert (exited.status, agent.output(3)) == (0, f"{3 << 20} {3 << 20}\n")
    assert len(agent.served) > begun + 1


def test_inputs_that_are_too_much_are_got_anew(agents: Agents, tmp_path: Path) -> None:
    """A task that reads more than there may be gets it all the same."""
    body = "self.one = os.urandom(3 << 20)\nself.two = os.urandom(3 << 20)"
    read = "print([len(it) for it in (self.one, self.two)])"
    repo = make_repo(tmp_path / "driver", files={"flow.py": linear_flow(body, read)})
    first = agents(repo)
    first.ready()
    result, _ = first.run(launch(1))
    assert result is not None
    parent = record_of(first, launch(1), result, agent_start(repo).run.run)
    env = limits_of_processes(tmp_path / "limits", CACHE_SIZE=1, LOOSE_ARRIVAL=1, ABSENT_AT_ONCE=2)
    other = agents(repo, cache="other", env=env)
    other.ready()
    for serial in (2, 3):
        _, exited = other.run(launch(serial, "end", parents=(parent,)))
        assert (exited.status, other.output(serial)) == (0, f"{[3 << 20] * 2}\n")
    assert len(list(cache_of(tmp_path / "other").glob("shared.git/objects/pack/*.pack"))) == 1


# ---- how it is written ----


def test_what_arrives_is_not_synced(
    cache: AgentCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be got anew, and an agent that waits for its disk hears nobody."""

    def sync(fd: int) -> None:
        raise AssertionError(fd)

    monkeypatch.setattr(os, "fsync", sync)
    repo = make_repo(tmp_path / "driver", files={"a": "1"})
    tree = Oid.from_hex(repo.git("rev-parse", "HEAD^{tree}"))
    loop, asked, told = EventLoop(), list[WantObjects](), list[Any]()
    requests = ObjectRequests(loop, cache, asked.append)
    requests.want_tree(tree, (), lambda *it: told.append(it))
    requests.take(Objects(asked[0].request, _packed(repo, tree), more=False))
    while not told:
        loop.turn()
    assert told == [("", *packs_of(cache))]
    assert tree in cache.reader
    loop.close()


def _packed(repo: GitRepo, tree: Oid) -> bytes:
    packing = start_pack(Git(repo.path / ".git", None), [tree], closure=True)
    return packing.communicate()[0]


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers have them: another place is taken."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = AgentCache("c0ffee")
    assert cache.top.is_relative_to(tmp_path / f"gitflowrun-{os.getuid()}")
    cache.leave()
