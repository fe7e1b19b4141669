"""`git runs list` and `git runs log`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitflowrun.runs.runs import Status
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, start_run


def test_an_empty_repository_says_how_to_begin(runs: Runs) -> None:
    """Without runs the list is a friendly line, not an error."""
    done = runs()
    assert done.code == 0
    assert "no runs in this repository yet" in done.out
    assert "python FLOW.py run" in done.out
    assert json.loads(runs("list", "--json").out) == []


def test_outside_a_repository(tmp_path: Path) -> None:
    """Without a repository the list is a fatal error with git's remedy."""
    done = GitRepo(tmp_path).runs()
    assert done.code == 128
    assert done.err.startswith("fatal: ")
    assert "hint: " in done.err
    assert "git init" in done.err


def test_runs_are_listed_newest_first(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row says run, status, time, duration, tasks, git author and tags; the log has his address, too."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada Lee")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ada@example.org")
    make_run(repo, tags=["production", "a b"])
    make_run(repo, "Other", status=Status.FAILED)
    lines = runs().out.splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "WHEN", "TOOK", "TASKS", "AUTHOR", "TAGS"]
    assert lines[1].split()[:2] == ["Other/2", "failed"]
    assert lines[2].split()[:2] == ["MyFlow/1", "done"]
    assert lines[2].endswith("4  Ada Lee  a b, production")
    assert "Author:  Ada Lee <ada@example.org>\n" in runs("log").out


def test_list_is_the_default_command(repo: GitRepo, runs: Runs) -> None:
    """`git runs` and `git runs -n 1` list."""
    make_run(repo)
    make_run(repo)
    assert runs("-n", "1").out == runs("list", "-n", "1").out
    assert len(runs("-n", "1").out.splitlines()) == 2


@pytest.mark.parametrize(
    "words", [["-2"], ["-n2"], ["-n", "2"], ["--max-count", "2"], ["--max-count=2"]]
)
def test_how_many(repo: GitRepo, runs: Runs, words: list[str]) -> None:
    """As `git log` takes it, in `git runs` alone too."""
    for _ in range(3):
        start_run(repo).close()
    for verb in ([], ["list"]):
        assert len(runs(*verb, *words).out.splitlines()) == 3
    assert runs("log", *words).out.count("run MyFlow/") == 2
    assert len(runs("list", "-1", "MyFlow").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["MyFlow"], ["3", "1"]),
        (["--status", "failed"], ["3"]),
        (["--status", "failed,done"], ["3", "2", "1"]),
        (["--status", "running"], []),
        (["--tag", "production"], ["2", "1"]),
        (["--tag", "production", "--tag", "x"], ["1"]),
        (["--tag", "production", "-n", "1"], ["2"]),
        (["--user", "ada", "-n", "2"], ["3", "2"]),
        (["--user", "bob"], []),
    ],
)
@pytest.mark.sample(5)
def test_filters(repo: GitRepo, runs: Runs, words: list[str], found: list[str]) -> None:
    """Flow, status, tags, user and number choose runs; the limit counts what is left."""
    make_run(repo, tags=["production", "x"])
    make_run(repo, "Other", tags=["production"])
    make_run(repo, status=Status.FAILED)
    assert [row["id"] for row in json.loads(runs("list", "--json", *words).out)] == found


@pytest.mark.parametrize(
    ("who", "found"),
    [("Grace Hop", ["2"]), ("grace hop", ["2"]), ("grace@example.org", ["2"]), ("ada", ["2", "1"]), ("Grace", [])],
)  # fmt: skip
def test_people_are_found_by_name_and_mail(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch, who: str, found: list[str]
) -> None:
    """`--user` takes a login name, or the name or e-mail address of the commits' author, in any case."""
    make_run(repo)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace Hop")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "grace@example.org")
    make_run(repo)
    assert [row["id"] for row in json.loads(runs("--json", "--user", who).out)] == found
    assert [line.split()[0] for line in runs("list", "--user", who).out.splitlines()[1:]] == [
        f"MyFlow/{number}" for number in found
    ]


def test_json_has_stable_keys(repo: GitRepo, runs: Runs) -> None:
    """`--json` is a list of objects; parameters and metrics are in it."""
    run = make_run(repo)
    (row,) = json.loads(runs("list", "--json", "--params").out)
    assert row["uid"] == str(run.uid)
    assert row["parameters"] == {"alpha": "0.5"}
    assert list(row) == [
        "flow", "id", "uid", "commit", "status", "started", "finished", "tasks", "user", "author", "email",
        "tags", "code_commit", "dirty", "origin", "failed_step", "parameters",
            "metrics", "branch", "note",
    ]  # fmt: skip


def test_nothing_matches(repo: GitRepo, runs: Runs) -> None:
    """When runs exist but none is asked for, that is what is said."""
    make_run(repo)
    assert runs("list", "--tag", "x").out == "No run matches.\n"


def test_mistakes(repo: GitRepo, runs: Runs) -> None:
    """An unknown flow names the nearest, an unknown status all of them."""
    make_run(repo)
    done = runs("list", "MyFlo")
    assert done.code == 128
    assert "hint: did you mean MyFlow?" in done.err
    done = runs("list", "--status", "finished")
    assert done.code == 129
    assert "hint: use one of: running, done, failed" in done.err


def test_stored_text_is_shown_harmlessly(repo: GitRepo, runs: Runs) -> None:
    """A tag with escape sequences cannot command the terminal."""
    make_run(repo, tags=["\x1b[2Jevil"])
    assert "\\e[2Jevil" in runs().out


def test_a_terminal_gets_relative_times_and_colours(repo: GitRepo, runs: Runs) -> None:
    """In git's pager the list is coloured, its times are relative and its lines fit."""
    make_run(repo, tags=["x" * 100])
    out = runs(env={"GIT_PAGER_IN_USE": "true", "COLUMNS": "64"}).out
    assert "\x1b[33mMyFlow/1\x1b[m" in out
    assert "just now" in out or "second" in out
    assert "…" in out
    plain = runs(env={"GIT_PAGER_IN_USE": "true", "COLUMNS": "64", "NO_COLOR": "1"}).out
    assert max(map(len, plain.splitlines())) <= 64


def test_listing_imports_nothing_heavy(repo: GitRepo) -> None:
    """A list of runs needs neither pygit2 nor numpy."""
    make_run(repo)
    code = (
        "import sys; from gitflowrun.cli.git_runs.main import main; main(['list']); "
        "print([m for m in ('pygit2','cffi','numpy','blake3','asyncio','ssl',"
        "'importlib.metadata') if m in sys.modules])"
    )
    assert repo.python("-c", code).out.splitlines()[-1] == "[]"


def test_log_shows_runs_one_after_the_other(repo: GitRepo, runs: Runs) -> None:
    """An entry has a heading as git log's, facts, and the parameters."""
    run = make_run(repo, tags=["production"])
    with start_run(repo):
        pass
    entries = runs("log").out.split("\n\nrun ")
    assert entries[0].startswith("run MyFlow/2 ")
    assert entries[1].splitlines()[0] == f"MyFlow/1 {run.uid.short} (production)"
    assert "Status:  done after " in entries[1]
    assert ", 4 tasks\n" in entries[1]
    assert f"Code:    {repo.git('rev-parse', 'HEAD')}\n" in entries[1]
    assert entries[1].endswith("\n    alpha = 0.5\n")
    assert runs("log", "-n", "1").out.count("Status:") == 1
    assert runs("log", "--json").out == runs("list", "--params", "--json").out


def test_damaged_runs_are_named(repo: GitRepo, runs: Runs) -> None:
    """Runs that can't be read have their place in a list, and are named on standard error, with what to do."""
    for number in range(3):
        make_run(repo, tags=["kept"] if number == 1 else [])
    folder = repo.path / ".git/refs/runs/MyFlow"
    (folder / "2").write_text("")
    (folder / "3").write_text("1" * 40 + "\n")
    for command in ([], ["list", "-n", "5"], ["list", "--json"], ["list", "-p"], ["log"]):
        done = runs(*command)
        assert done.code == 0
        assert "1" in done.out
        assert done.err.count("warning: MyFlow/3, MyFlow/2 are damaged; ") == 1
    rows = {row["id"]: row for row in json.loads(runs("list", "--json").out)}
    assert [*rows] == ["3", "2", "1"]
    assert [row["status"] for row in rows.values()] == ["damaged", "damaged", "done"]
    assert (rows["3"]["commit"], rows["2"]["commit"]) == ("1" * 40, None)
    assert rows["2"].keys() == rows["1"].keys()
    assert rows["2"]["tags"] == ["kept"]
    assert runs("list").out.splitlines()[2].split() == ["MyFlow/2", "damaged", "kept"]
    assert "run MyFlow/2 (kept)\nStatus:  damaged\n" in runs("log").out
    assert [it["id"] for it in json.loads(runs("list", "--status", "damaged", "--json").out)] == [
        "3",
        "2",
    ]
    assert [it["id"] for it in json.loads(runs("list", "-n", "1", "--json").out)] == ["3"]
    done = runs("show", "2")
    assert done.code == 128
    assert "is damaged: it does not hold an object id\nhint: `git runs fetch` brings" in done.err
    assert "is missing from the repository" in runs("show", "3").err
    done = runs("show", "2", "1", "3")
    assert done.code == 128
    assert "run MyFlow/1\n" in done.out
    assert done.err.count("error: ") == 2
    (folder / "1").write_text("")
    assert [line.split()[:2] for line in runs().out.splitlines()[1:]] == [
        [f"MyFlow/{number}", "damaged"] for number in (3, 2, 1)
    ]
