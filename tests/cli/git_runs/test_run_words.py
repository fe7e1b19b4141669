"""Queries where runs are named, for the commands that take several runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_measured_run


@pytest.fixture
def measured(repo: GitRepo) -> GitRepo:
    """Three runs with acc 0.1, 0.2 and 0.3; the second has a tag that looks like a query."""
    repo.commit()
    for acc, tags in ((0.1, []), (0.2, ["acc=0.3"]), (0.3, ["production"])):
        make_measured_run(repo, {}, {"acc": acc}, tags=tags)
    return repo


def test_commands_that_look(measured: GitRepo) -> None:
    """Each takes the runs that a query means, newest first, beside others that are named."""
    shown = json.loads(measured.call("show", "acc > 0.15", "1", "--json").out)
    assert [run["pathspec"] for run in shown] == ["MyFlow/3", "MyFlow/2", "MyFlow/1"]
    one = json.loads(measured.call("show", "acc > 0.25", "--json").out)
    assert [run["pathspec"] for run in one] == ["MyFlow/3"]
    compared = json.loads(measured.call("compare", "acc < 0.25", "--json").out)
    assert compared["runs"] == ["MyFlow/2", "MyFlow/1"]
    assert "2 runs checked" in measured.call("fsck", "acc<0.25").out
    verified = json.loads(measured.call("verify", "acc < 0.25", "--allow-unsigned", "--json").out)
    assert [row["run"] for row in verified] == ["MyFlow/2", "MyFlow/1"]
    logged = measured.call("log", "acc > 0.15", "--oneline", "--where", "acc < 0.25").out
    assert logged.count("\n") == 1
    assert "MyFlow/2" in logged


def test_tags_of_a_set(measured: GitRepo) -> None:
    """They are added to all its runs in one transaction, or to none, and removed likewise."""
    found = json.loads(measured.call("tag", "acc > 0.15", "good", "--json").out)
    assert found == [
        {"run": "MyFlow/3", "tags": ["good", "production"]},
        {"run": "MyFlow/2", "tags": ["acc=0.3", "good"]},
    ]
    full = [f"t{number}" for number in range(49)]
    assert measured.call("tag", "3", *full[:48]).code == 0
    refused = measured.call("tag", "acc > 0.05", "x")
    assert refused.code == 128
    assert measured.call("tag", "1").out == ""
    assert measured.call("tag", "-d", "tag = good", "good").code == 0
    assert measured.call("tag", "2").out == "acc=0.3\n"


def test_a_push_of_a_set(measured: GitRepo, tmp_path: Path) -> None:
    """The runs of a query are sent, and no others; where the remote was forgotten, it says so."""
    measured.git("init", "-q", "--bare", f"{tmp_path}/hub.git")
    measured.git("remote", "add", "hub", f"{tmp_path}/hub.git")
    refused = measured.call("push", "acc > 0.15")
    assert "hint: git runs push hub 'acc > 0.15'" in refused.err
    assert measured.call("push", "hub", "acc > 0.15").code == 0
    sent = measured.git("ls-remote", "hub", "refs/runs/MyFlow/*")
    assert sorted(line.rpartition("/")[2] for line in sent.splitlines()) == ["2", "3"]


def test_a_tag_that_looks_like_a_query(measured: GitRepo) -> None:
    """It is the tag; with blanks it is a query."""
    for word, run in (("acc=0.3", 2), ("tag:acc=0.3", 2), ("MyFlow/acc=0.3", 2), ("acc = 0.3", 3)):
        found = json.loads(measured.call("show", word, "--json").out)
        (shown,) = found if isinstance(found, list) else [found]
        assert shown["pathspec"] == f"MyFlow/{run}"


def test_short_queries(measured: GitRepo) -> None:
    """A status, or a key with a colon, is one, unless a tag or a flow is called so."""
    make_measured_run(measured, {}, {}, status=Status.FAILED)
    assert measured.call("show", "failed").out.startswith("run MyFlow/4\n")
    assert "would remove MyFlow/4" in measured.call("rm", "failed").out
    assert measured.call("tag", "on:HEAD", "seen").out.count("seen") == 4
    listed = measured.call("failed").out
    assert (listed.count("MyFlow/"), "MyFlow/4" in listed) == (1, True)
    assert measured.call("acc > 0.15", "-1").out.count("MyFlow/") == 1
    assert "hint: did you mean failed?" in measured.call("faild").err
    measured.call("tag", "1", "failed")
    assert measured.call("show", "failed").out.startswith("run MyFlow/1\n")
    assert measured.call("failed").out.startswith("run MyFlow/1\n")


@pytest.mark.parametrize("verb", ["show", "compare", "tag", "fsck", "verify", "log"])
def test_queries_that_are_wrong(measured: GitRepo, verb: str) -> None:
    """The error shows the place, or says that no run matches; nothing is done."""
    wrong = measured.call(verb, "acc >")
    assert (wrong.code, wrong.out) == (129, "")
    assert "acc >" in wrong.err
    if verb != "log":
        none = measured.call(verb, "acc > 9")
        assert (none.code, none.out) == (128, "")
        assert "no run matches 'acc > 9'" in none.err
