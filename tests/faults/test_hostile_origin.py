"""Resuming a stranger's run runs none of the stranger's pickles, whatever its records claim."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.records import RunIdentity, RunInfo, TaskRecord
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo

FLOW = """
import os
from gitflowrun import FlowSpec, step

class Evil:
    def __reduce__(self):
        return (os.system, ("echo PWNED",)) if os.environ.get("ATTACK") else (int, ())

class MyFlow(FlowSpec):
    @step
    def start(self):
        self.x = Evil()
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("ATTACK"):
            1 / 0
        print(self.x)

if __name__ == "__main__":
    MyFlow()
"""


def forge(attacker: GitRepo, lie: str, victims: RunIdentity) -> str:
    """A failed run of the attacker's whose records lie; its id."""
    repo = Repository.discover(attacker.path)
    store = RunStore(repo)
    origin = store.find("1", "MyFlow")
    info = origin.info
    forged = RunInfo(
        flow="MyFlow", user="m", host="h", versions=info.versions, parameters=info.parameters,
        environment=info.environment, graph=info.graph, system_tags=info.system_tags, script=info.script, git={},
    )  # fmt: skip
    with create_run(repo, forged, take_snapshot(repo)) as writer:
        tasks = []
        for task in origin.all_tasks():
            record = task.record
            if record.name.step == "end" and lie != "maker":
                continue
            payloads = {
                chunk.digest: repo.objects.blob(chunk.oid)
                for ref in record.artifacts.values()
                for chunk in ref.chunks
            }
            tasks.append(FinishedTask(_lie(record, lie, victims, writer.identity), payloads))
        writer.commit(tasks, status=Status.FAILED)
        return str(writer.identity.id)


def _lie(record: TaskRecord, lie: str, victims: RunIdentity, own: RunIdentity) -> TaskRecord:
    artifacts = dict(record.artifacts)
    if lie == "maker" and "x" in artifacts:
        artifacts["x"] = replace(artifacts["x"], producer=TaskName("end", "2"))
    return replace(record, run=victims if lie == "executor" else own, artifacts=artifacts)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A victim with a run, and an attacker with one that failed."""
    place = tmp_path_factory.mktemp("people")
    for name, env, code in (("victim", {}, 0), ("attacker", {"ATTACK": "1"}, 1)):
        repo = make_repo(place / name, files={"f.py": FLOW})
        assert repo.flow("f.py", "run", env=env).code == code
    return place


@pytest.mark.parametrize("lie", ["none", "executor", "maker"])
@pytest.mark.parametrize("command", [["resume"], ["resume", "end", "--origin-run-id"]])
@pytest.mark.sample(2)
def test_a_strangers_pickle_is_not_loaded(
    tmp_path: Path, people: Path, lie: str, command: list[str]
) -> None:
    """Neither an honest stranger's run nor one that claims to be ours gets code executed."""
    shutil.copytree(people, tmp_path / "copy")
    victim, attacker = (GitRepo(tmp_path / "copy" / name) for name in ("victim", "attacker"))
    ours = RunStore(Repository.discover(victim.path)).find("1", "MyFlow").identity
    try:
        forged = forge(attacker, lie, ours)
    except GitflowrunError:
        return  # what can't even be written with our own tools
    victim.git("fetch", "-q", str(attacker.path), f"refs/runs/MyFlow/{forged}:refs/runs/MyFlow/100")
    done = victim.flow("f.py", *command, "100")
    assert "PWNED" not in done.out + done.err
    if lie == "none":
        assert done.code == 1
        assert "git runs trust" in done.out + done.err
