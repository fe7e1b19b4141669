"""`git runs tag` of several runs, and tags that are moved."""

from __future__ import annotations

import json

from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, start_run


def test_a_tag_is_moved(repo: GitRepo, runs: Runs) -> None:
    """It names one run then, and what it was taken from is told."""
    for _ in range(3):
        make_run(repo, tags=["prod"])
    done = runs("show", "prod")
    assert done.code == 128
    assert done.err.startswith("fatal: 'prod' is ambiguous\nhint: the candidates are:\n")
    assert done.err.endswith(
        "hint: `git runs tag --move prod RUN` makes it name one run of a flow\n"
    )
    done = runs("tag", "--move", "prod", "2")
    assert done.out == "prod names MyFlow/2 now; taken from MyFlow/1, MyFlow/3\n"
    assert runs("show", "prod").out.startswith("run MyFlow/2\n")
    assert runs("tag", "--move", "prod", "2").out == "prod names MyFlow/2 now\n"
    assert json.loads(runs("tag", "--move", "prod", "1", "--json").out) == {
        "run": "MyFlow/1",
        "tags": ["prod"],
        "moved": "prod",
        "taken_from": ["MyFlow/2"],
    }


def test_what_is_no_move(repo: GitRepo, runs: Runs) -> None:
    """One tag and one run, in this order."""
    make_run(repo, tags=["prod"])
    for words in (["prod"], ["prod", "1", "x"], ["prod", "1", "-d"]):
        done = runs("tag", "--move", *words)
        assert (done.code, done.out) == (129, "")
        assert "hint: git runs tag --move prod RUN\n" in done.err
    done = runs("tag", "--move", "1", "new")
    assert done.code == 128
    assert "hint: the tag comes first: git runs tag --move new 1\n" in done.err
    assert runs("tag", "--move", "user:ada", "1").code == 128


def test_tags_of_several_runs(repo: GitRepo, runs: Runs) -> None:
    """A range takes a tag, shows what its runs have, and loses it; none of them having it is an error."""
    for tags in ([], ["a"], []):
        start_run(repo, tags=tags).close()
    assert runs("tag", "2..3", "b").out == "RUN       TAGS\nMyFlow/2  a, b\nMyFlow/3  b\n"
    assert json.loads(runs("tag", "1..3", "--json").out) == [
        {"run": "MyFlow/1", "tags": []},
        {"run": "MyFlow/2", "tags": ["a", "b"]},
        {"run": "MyFlow/3", "tags": ["b"]},
    ]
    done = runs("tag", "-d", "1..3", "a", "b")
    assert (done.code, done.err) == (0, "")
    done = runs("tag", "-d", "1..3", "b")
    assert done.code == 1
    assert done.err.startswith("error: none of 1..3 has the tag 'b'\n")
