"""Agents: what they say of tasks, and what becomes of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.runtime.ipc.messages import Started
from tests.helpers.agents import AgentProcess, agent_start, launch
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, make_repo

Agents = Callable[..., AgentProcess]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Starts agents that have one cache, and ends them."""
    made: list[AgentProcess] = []

    def make(repo: GitRepo, start: Any = ..., **env: str) -> AgentProcess:
        told = agent_start(repo) if start is ... else start
        home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        made.append(AgentProcess(repo, told, {**home, **env}))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


def repo_with(tmp_path: Path, code: str) -> GitRepo:
    """A repository with a flow."""
    return make_repo(tmp_path / "driver", files={"flow.py": code})


def test_a_task_on_a_worker(agents: Agents, tmp_path: Path) -> None:
    """Its code comes with the agent, its lines in order, and its result before its end."""
    repo = repo_with(tmp_path, linear_flow("for i in range(3): print('line', i)\nself.x = 42"))
    agent = agents(repo)
    ready = agent.ready()
    assert (ready.pid, ready.shares_disk) == (agent.process.pid, False)
    result, exited = agent.run(launch(1))
    assert result is not None
    assert result.error is None
    assert exited.status == 0
    assert agent.output(1) == "line 0\nline 1\nline 2\n"
    assert agent.next(Started).serial == 1
    assert result.artifacts["x"].size > 0
