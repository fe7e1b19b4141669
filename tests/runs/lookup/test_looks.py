"""Which runs of a list are damaged, and what is remembered of that."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup import looks
from gitflowrun.runs.lookup.run_index import table_of_runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo


def statuses(repo: GitRepo, flow: str | None = None) -> list[str]:
    """Of all runs, as a list shows them."""
    repository = open_repo(repo)
    table = table_of_runs(repository, flow)
    looks.note_lost(repository, table, flow)
    return table.status()


def answering(*answers: bytes) -> tuple[Any, list[bytes]]:
    """A repository whose git answers so, once each, and what it is asked."""
    asked: list[bytes] = []
    left = [*answers]

    def read(*_: str, most: int, stdin: bytes) -> object:
        asked.append(stdin)
        assert most >= len(stdin)
        return SimpleNamespace(out=left.pop(0))

    return SimpleNamespace(git=SimpleNamespace(read=read)), asked


def asking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commits git is asked about, from now on."""
    asked: list[int] = []
    look = looks.lost_among

    def noting(repo: Any, commits: Any) -> set[str]:
        asked.append(len(commits))
        return look(repo, commits)

    monkeypatch.setattr(looks, "lost_among", noting)
    return asked


def test_runs_whose_tree_is_gone_are_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git says what is missing; where it ended without an answer that is damaged, and the rest is asked again."""
    commits = [f"{number:02}" * 20 for number in range(1, 5)]
    repo, asked = answering(b"x\nA:INFO missing\n", b"x\n")
    assert looks.lost_among(repo, commits) == {*commits[1:3]}
    assert asked[0].count(b":INFO\n") == 4
    assert asked[1] == b"04" * 20 + b":INFO\n"
    monkeypatch.setattr(looks, "INFO_ROUNDS", 1)
    repo, asked = answering(b"", b"")
    assert looks.lost_among(repo, commits) == {commits[0]}
    assert len(asked) == 1


def test_only_the_first_runs_are_looked_at(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at all of very many would take longer than to list them."""
    for _ in range(3):
        make_run(repo)
    monkeypatch.setattr(looks, "INFO_LOOKS", 2)
    asked = asking(monkeypatch)
    statuses(repo)
    assert asked == [2]


def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what has just been written be old enough to be relied on."""
    monkeypatch.setattr("gitflowrun.runs.lookup.stamps._FINE", 0)
    monkeypatch.setattr("gitflowrun.runs.lookup.stamps._COARSE", 0)
    time.sleep(0.01)  # the clock of the file system moves on


def test_what_was_whole_is_not_looked_at_again(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While packs and loose objects are as they were; another run is looked at, and so are those of a flow."""
    make_run(repo)
    aged(monkeypatch)
    asked = asking(monkeypatch)
    assert statuses(repo) == statuses(repo) == ["done"]
    assert asked == [1]
    make_run(repo)
    aged(monkeypatch)
    assert statuses(repo) == statuses(repo) == ["done"] * 2
    assert asked == [1, 2]
    assert statuses(repo, "MyFlow") == statuses(repo, "MyFlow") == ["done"] * 2
    assert asked == [1, 2, 2]


def test_a_lost_pack_is_seen_at_once(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was remembered; and so is that it is back."""
    make_run(repo)
    repo.git("repack", "-q", "-a", "-d")
    tree = repo.git("rev-parse", "runs/MyFlow/1:INFO")
    for pack in (repo.path / ".git/objects/pack").glob("*.pack"):
        pack.rename(repo.path / pack.name)
        repo.git("unpack-objects", "-q", stdin=(repo.path / pack.name).read_bytes())
    place = repo.path / ".git/objects" / tree[:2] / tree[2:]
    aged(monkeypatch)
    assert statuses(repo) == statuses(repo) == ["done"]
    place.rename(repo.path / "kept")
    assert statuses(repo) == statuses(repo) == [Status.DAMAGED.value]
    (repo.path / "kept").rename(place)
    assert statuses(repo) == ["done"]


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_memory_costs_a_look(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    """Whatever it holds; one that can't be replaced neither."""
    make_run(repo)
    aged(monkeypatch)
    statuses(repo)
    (path,) = Path(repo.path / ".git/gitflowrun").glob("whole-*")
    content = path.read_bytes()
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage or content[:-1] + bytes([content[-1] ^ 1]))
    asked = asking(monkeypatch)
    assert statuses(repo) == ["done"]
    assert asked == [1]
