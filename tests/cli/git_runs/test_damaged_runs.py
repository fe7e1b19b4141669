"""Runs of which an object is lost or damaged: each verb names it, shows or does the rest, and fails in the end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, start_run

if TYPE_CHECKING:
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runs.trees import FinishedTask
    from tests.cli.conftest import Runs

DAMAGED = 128
Damage = Callable[[Path], None]


def _lose(file: Path) -> None:
    file.unlink()


def _garble(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(bytes(byte ^ 0x55 for byte in file.read_bytes()))


def _task(run: RunIdentity, name: str) -> FinishedTask:
    said = f"{name} of {run.id}\n"
    value = {name.replace("/", ""): said.encode()}
    return finished_task(run, name, value, stdout=said, stderr=f"error in {said}")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """Two runs that share no object but their code, loose."""
    repo = make_repo(tmp_path_factory.mktemp("damaged") / "repo")
    for number in (1, 2):
        repo.write("f.py", f"print({number})\n")
        repo.commit()
        with start_run(repo, user=f"user{number}") as writer:
            first = ("_parameters/0", "start/1", "train/2", "train/3")
            writer.commit([_task(writer.identity, name) for name in first])
            writer.commit([_task(writer.identity, "end/4")], status=Status.DONE)
    packs = objects_dir(repo) / "pack"
    moved = repo.path / ".git" / "moved"
    packs.rename(moved)
    packs.mkdir()
    for pack in moved.glob("*.pack"):
        repo.git("unpack-objects", "-q", stdin=pack.read_bytes())
    return repo


@contextlib.contextmanager
def damaged(repo: GitRepo, path: str, damage: Damage) -> Iterator[None]:
    """Run 1 with something done to the object at a path of its tree, for as long as the context lasts."""
    oid = repo.git("rev-parse", f"refs/runs/MyFlow/1:{path}")  # of the empty path, the tree
    file = objects_dir(repo) / oid[:2] / oid[2:]
    content = file.read_bytes()
    damage(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        file.write_bytes(content)


EACH = [
    ("INFO", "INFO of MyFlow/1"),
    ("steps/train", "MyFlow/1/train"),
    ("steps/train/2", "MyFlow/1/train/2"),
    ("steps/train/2/TASK", "MyFlow/1/train/2"),
    ("steps/_parameters/0/TASK", "MyFlow/1/_parameters/0"),
    ("steps/end/4/TASK", "MyFlow/1/end/4"),
    ("steps/train/2/stdout", "stdout of MyFlow/1/train/2"),
    ("steps/train/2/times", "line times of MyFlow/1/train/2"),
    ("code", "code of MyFlow/1"),
    ("code/f.py", "code of MyFlow/1"),
]
SHOWN_IN_LOGS = {"INFO", "TASK", "code", "f.py", "times"}
"""Of what damage no line of output is lost."""


@pytest.mark.parametrize("damage", [_lose, _garble])
@pytest.mark.parametrize(("path", "name"), EACH)
@pytest.mark.parametrize("options", [(), ("--timestamps",), ("--follow",)])
@pytest.mark.sample(20)
def test_logs_print_the_rest(
    repo: GitRepo, runs: Runs, path: str, name: str, damage: Damage, options: tuple[str, ...]
) -> None:
    """Every line that can be read is printed, each damage that matters is named once."""
    whole = runs("logs", *options, "1").out.splitlines()
    with damaged(repo, path, damage):
        done = runs("logs", *options, "1")
    lost = {*whole} - {*done.out.splitlines()}
    leaf = path.rpartition("/")[2]
    if leaf == "times" and "--timestamps" in options:
        assert {"- train/2 of 1", "- error in train/2 of 1"}.issubset(done.out.splitlines())
    elif leaf in SHOWN_IN_LOGS:
        assert not lost
    else:
        kept = ("start/1", "end/4") if path == "steps/train" else ("start/1", "train/3", "end/4")
        assert not [line for line in lost if any(task in line for task in kept)]
        assert lost
    if lost:
        assert done.code == DAMAGED
        assert done.err.count(f"error: {name}: ") == 1
        assert "Traceback" not in done.err


@pytest.mark.parametrize("damage", [_lose, _garble])
@pytest.mark.parametrize(("path", "name"), [("", "MyFlow/1"), ("steps", "MyFlow/1"), *EACH])
@pytest.mark.sample(8)
def test_show_has_the_rest(repo: GitRepo, runs: Runs, path: str, name: str, damage: Damage) -> None:
    """Facts, steps and artifacts that can be read are shown; what can't be is named, and the exit code says so."""
    with damaged(repo, path, damage):
        done, found = runs("show", "1"), json.loads(runs("show", "1", "--json").out)
    assert "Traceback" not in done.err
    assert found["commit"] == repo.git("rev-parse", "refs/runs/MyFlow/1")
    if path.startswith("code") or path.endswith(("stdout", "times", "_parameters/0/TASK")):
        assert (done.code, found["unreadable"], found["status"]) == (0, [], "done")
        return
    assert done.code == DAMAGED
    assert name in found["unreadable"][0]["error"]
    assert f"Unreadable: {found['unreadable'][0]['task']}\n" in done.out
    is_lost = path in {"", "steps", "INFO"}
    assert found["status"] == ("damaged" if is_lost else "done")
    assert [step["name"] for step in found["steps"]] == (
        []
        if path in {"", "steps"}
        else ["end", "start", "train"]
        if is_lost
        else ["start", "train", "end"]
    )
    assert bool(found["artifacts"]) == (path not in {"", "steps", "steps/end/4/TASK"})


@pytest.mark.parametrize("damage", [_lose, _garble])
@pytest.mark.parametrize("path", ["INFO", ""])
def test_a_list_says_what_lost_its_beginning(
    repo: GitRepo, runs: Runs, path: str, damage: Damage
) -> None:
    """Whose tree or INFO is gone is damaged in a list; what is there and garbled, `fsck` finds."""
    with damaged(repo, path, damage):
        rows = {row["id"]: row["status"] for row in json.loads(runs("list", "--json").out)}
    assert rows["2"] == "done"
    if damage is _lose or path == "":
        assert rows["1"] == "damaged"


@pytest.mark.parametrize("damage", [_lose, _garble])
@pytest.mark.parametrize(("path", "name"), EACH)
@pytest.mark.sample(8)
def test_diff_compares_the_rest(
    repo: GitRepo, runs: Runs, path: str, name: str, damage: Damage
) -> None:
    """What differs otherwise is told as before; what could not be compared is named, in JSON too."""
    whole = json.loads(runs("diff", "--json", "1", "2").out)
    with damaged(repo, path, damage):
        done, text = runs("diff", "--json", "1", "2"), runs("diff", "1", "2")
    found = json.loads(done.out)
    if path.endswith(("/stdout", "/times")):  # which are not compared
        assert (done.code, found) == (0, whole)
        return
    assert done.code == text.code == DAMAGED
    assert [line for line in found["unreadable"] if line.startswith(name)] == found["unreadable"]
    assert all(f"error: {line}" in text.err for line in found["unreadable"])
    same = {"INFO": {"code"}, "code": {"artifacts", "steps"}, "steps": {"code"}}
    for key in same[path.partition("/")[0]]:
        assert found[key] == whole[key]


def test_equal_as_far_as_can_be_told(repo: GitRepo, runs: Runs) -> None:
    """A run that can't be read whole is not said to be the same."""
    with damaged(repo, "steps/train/2/TASK", _lose):
        done = runs("diff", "1", "1")
    assert done.code == DAMAGED
    assert "What can be read of them is the same." in done.out
