"""Agents that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.agents import AgentProcess, agent_start
from tests.helpers.repos import GitRepo

Agents = Callable[..., AgentProcess]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Starts agents that have one cache, unless another one is named, and ends them."""
    made: list[AgentProcess] = []

    def make(
        repo: GitRepo, start: Any = ..., *, cache: str = "cache", env: Any = None, **changes: Any
    ) -> AgentProcess:
        told = agent_start(repo, **changes) if start is ... else start
        home = {"XDG_CACHE_HOME": str(tmp_path / cache)}
        made.append(AgentProcess(repo, told, {**home, **(env or {})}))
        return made[-1]

    yield make
    for agent in made:
        agent.close()
