"""Ranges, for the commands that take several runs."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import start_run

_ALL = ["A/1", "B/2", "A/3", "B/4"]


@pytest.fixture(autouse=True)
def _four(repo: GitRepo) -> None:
    """A/1, B/2, A/3, B/4."""
    for name in _ALL:
        start_run(repo, name[0]).close()


def _left(repo: GitRepo) -> set[str]:
    names = repo.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/runs/A", "refs/runs/B")
    return set(names.split())


def test_show_and_checks(repo: GitRepo, runs: Runs) -> None:
    """They take each run of a range."""
    out = runs("show", "2..3").out
    assert [line for line in out.splitlines() if line.startswith("run ")] == ["run B/2", "run A/3"]
    found = json.loads(runs("show", "A/1..9", "--json").out)
    assert [run["pathspec"] for run in found] == ["A/1", "A/3"]
    assert runs("fsck", "2..4", "2").out == "3 runs checked, nothing is damaged.\n"
    rows = json.loads(runs("verify", "..2", "--allow-unsigned", "--json").out)
    assert [row["run"] for row in rows] == ["A/1", "B/2"]
    assert repo.call("show", "2..3").code == 0


def test_removing_and_putting_back(repo: GitRepo, runs: Runs) -> None:
    """`restore` takes those of a range that are in the trash, `purge` these and those that are not."""
    assert runs("rm", "--force", "2..3", "B/2").out.startswith("moved to the trash: B/2, A/3\n")
    assert _left(repo) == {"A/1", "B/4"}
    assert runs("restore", "1..4").out == "restored B/2\nrestored A/3\n"
    runs("rm", "--force", "A/1..")
    assert _left(repo) == {"B/2", "B/4"}
    assert runs("purge", "--force", "1..2").out.startswith("removed for good: A/1, B/2\n")
    assert _left(repo) == {"B/4"}
    assert [row["id"] for row in json.loads(runs("restore", "--json").out)] == ["3"]


@pytest.mark.parametrize("verb", ["show", "rm", "restore", "purge", "verify", "fsck", "tag"])
def test_a_wrong_range_changes_nothing(repo: GitRepo, runs: Runs, verb: str) -> None:
    """The error names the word."""
    for word, words in (("3..1", ["'3..1' ends before it begins"]), ("7..9", ["'7..9'"])):
        done = runs(verb, *(["1"] if verb not in {"tag", "restore"} else []), word)
        assert (done.code, done.out) == (128, "")
        assert all(part in done.err for part in words)
    assert _left(repo) == set(_ALL)


def test_push(repo: GitRepo, runs: Runs) -> None:
    """A range beside a flow: each run goes once."""
    repo.git("init", "-q", "--bare", "../there.git")
    repo.git("remote", "add", "there", "../there.git")
    assert "3 runs new" in runs("push", "there", "A", "2..3").out
    names = repo.git("ls-remote", "there", "refs/runs/A/*", "refs/runs/B/*").split()[1::2]
    assert names == ["refs/runs/A/1", "refs/runs/A/3", "refs/runs/B/2"]
