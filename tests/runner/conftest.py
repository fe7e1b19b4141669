"""Flow files for programs that start them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.warm_popen import WarmPopen

PARAMETERS = (
    "    alpha = Parameter('alpha', default=3)\n"
    "    rate = Parameter('learning-rate', default=0.5)\n"
    "    flag = Parameter('flag', default=False)\n"
    "    words = Parameter('words', default='a', separator=',')\n"
    "    spec = Parameter('spec', default={}, type=JSONType)\n"
    "    api_token = Parameter('api_token', default='')\n"
)


def flow(start: str = "pass", end: str = "pass", name: str = "F", members: str = PARAMETERS) -> str:
    """A flow of two steps with parameters of each kind."""
    first, last = (body.replace("\n", "\n        ") for body in (start, end))
    return (
        "import os, signal, sys, time\nfrom gitflowrun import *\n"
        f"class {name}(FlowSpec):\n{members}"
        f"    @step\n    def start(self):\n        {first}\n        self.next(self.end)\n"
        f"    @step\n    def end(self):\n        {last}\n"
        f"if __name__ == '__main__':\n    {name}()\n"
    )


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr("subprocess.Popen", WarmPopen)


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepo]:
    """A repository that one stands in; no process and no file of a runner stays behind."""
    place = repo.path.parent / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.chdir(repo.path)
    before = descriptors()
    yield repo
    assert descriptors() == before
    assert [path.name for path in place.iterdir() if path.name.startswith("gitflowrun-")] == []


def descriptors() -> int:
    """How many this process has open, but for pipes and packs of what the client has read."""
    links = (Path(entry) for entry in Path("/proc/self/fd").iterdir())
    return sum(1 for link in links if "pidfd" in _target(link) or "gitflowrun-" in _target(link))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
