"""Which runs a query means, in a repository with a few."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.runs.create import create_run
from gitflowrun.runs.query.fields import read_moment, read_number
from gitflowrun.runs.query.select import RunQuery, select
from gitflowrun.runs.query.words import QueryError
from gitflowrun.runs.records import RunOrigin
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import draft, make_measured_run, open_repo


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """Six runs of two flows, on two branches."""
    repo = make_repo(Path(tmp_path_factory.mktemp("measured"), "repo"))
    repo.commit("one")
    repo.git("tag", "v1.0")
    make_measured_run(repo, {"lr": "0.1", "model-kind": "tree"}, {"acc": 0.8, "ok": True})
    make_measured_run(
        repo, {"lr": "0.01", "model-kind": "forest"}, {"acc": 0.9, "ok": False}, tags=["production"]
    )
    repo.git("switch", "-q", "-c", "topic")
    repo.commit("two")
    make_measured_run(
        repo,
        {"lr": "1e-3", "model-kind": "tree"},
        {"acc": math.nan, "note": "a b"},
        user="bob",
    )
    make_measured_run(
        repo,
        {"lr": "x"},
        {},
        status=Status.FAILED,
        tags=["old", "bad"],
        stdout="CUDA out of memory\n",
    )
    make_measured_run(repo, {"flag": "True", "none": "None"}, {"acc": 1, "lr": 7.0}, flow="Other")
    make_measured_run(repo, {}, {}, flow="Other", status=Status.INTERRUPTED)
    return repo


def found(repo: GitRepo | Repository, query: str) -> str:
    """The ids of the runs that a query means."""
    repository = repo if isinstance(repo, Repository) else open_repo(repo)
    return " ".join(sorted(str(run.id) for run in select(repository, RunQuery(where=query))))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("acc > 0.8", "2 5"), ("acc >= 0.8", "1 2 5"), ("acc = 1", "5"), ("acc != 1", "1 2"),
        ("acc in (0.8, 0.9)", "1 2"),
        ("acc not in (0.8)", "2 5"), ("acc < inf", "1 2 5"), ("acc like 0.*", "1 2"),
        # a parameter is a number where it reads so; a metric comes before a parameter
        ("lr < 0.05", "2 3"), ("lr = 0.10", "1"), ("lr = x", "4"), ("lr > 1", "5"), ("lr = '0.1'", "1"),
        ("parameter.lr > 0", "1 2 3"), ("metric.lr > 0", "5"), ("param.lr = x", "4"), ("params.lr=x", "4"),
        ("model-kind = tree", "1 3"), ("model_kind = tree", "1 3"), ("model_kind like *EST", "2"),
        ("model-kind > g", "1 3"), ("ok = true", "1"), ("ok != true", "2"), ("flag = yes", "5"),
        ("none = none", "5"),
        ("note = 'a b'", "3"), ("note = a", ""), ("acc = high", ""), ("ok > 0", ""),
        # fields
        ("status = failed", "4"), ("failed", "4"), ("status != done", "4 6"),
        ("status in (failed, interrupted)", "4 6"),
        ("not done", "4 6"), ("tag = production", "2"), ("tag != production", "4"),
        ("tag in (old, production)", "2 4"),
        ("tag:bad", "4"), ("not tag:bad", "1 2 3 5 6"), ("user = BOB", "3"), ("user:ada", "1 2 4 5 6"),
        ("branch = topic", "3 4 5 6"),
        ("branch:main", "1 2"), ("flow = Other", "5 6"), ("flow like oth*", "5 6"),
        ("id > 3 and id <= 5", "4 5"),
        ("tasks = 1", "1 2 3 5"), ("dirty = false", "1 2 3 4 5 6"), ("step = end", "4 6"),
        ("code_commit like *", "1 2 3 4 5 6"), ("code like *", "1 2 3 4 5 6"), ("code = 00000", ""),
        ("duration < 1h", "1 2 3 4 5 6"), ("duration > 10m", ""), ("started > 1h", "1 2 3 4 5 6"),
        ("started = today", "1 2 3 4 5 6"),
        ("started < 2020-01-01", ""), ("finished >= 2020-01-01", "1 2 3 4 5 6"), ("older:7d", ""),
        ("newer:1d", "1 2 3 4 5 6"),
        ("since:2020-01-01", "1 2 3 4 5 6"), ("since:2", "1 2 3 4 5 6"),
        ("on:v1.0", "1 2"), ("on:topic", "1 2 3 4 5 6"), ("since:topic", "3 4 5 6"),
        ("since:v1.0", "1 2 3 4 5 6"),
        ("log:'cuda OUT'", "4"), ("log:nowhere", ""), ("origin like resume*", ""),
        # together
        ("acc > 0.8 and not flow = Other", "2"), ("lr < 0.05 and model-kind = tree or failed", "3 4"),
        ("(acc > 0.5 or failed) and user = ada", "1 2 4 5"),
    ],
)  # fmt: skip
def test_queries(measured: GitRepo, query: str, ids: str) -> None:
    """A value that is missing, of another type, or NaN matches nothing, not even `!=`."""
    assert found(measured, query) == ids


@pytest.mark.parametrize(
    ("query", "why", "hint"),
    [
        ("ac > 1", "metric or parameter 'ac'", "acc"), ("zzz = 1", "'zzz'", "there are acc"),
        ("status = faild", "'faild' is not a status", "failed"),
        ("tasks > many", "compared with a number", "tasks > 3"),
        ("duration > long", "a span of time", "10m"), ("started > never", "compared with a time", "2026"),
        ("dirty = 3", "true or false", "dirty = true"), ("dirty > true", "true or false", "dirty = true"),
        ("on:nothing", "'nothing' names no commit", "branch"), ("older:x", "'x' is no time", "7d"),
        ("since:nothing", "'nothing' names no commit", "date"),
        ("code = main", "the hash of a commit", "on:main"), ("code > abcd", "the hash of a commit", "code = "),
        ("commit = abcd", "metric or parameter 'commit'", "is called code"),
        ("tasks like 3", "compared with a number", "tasks"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(measured: GitRepo, query: str, why: str, hint: str) -> None:
    """An unknown name gets the nearest ones, a value that can't be compared what to write."""
    with pytest.raises(QueryError) as caught:
        found(measured, query)
    assert why in caught.value.message
    assert f"\n  {query}\n" in caught.value.message
    assert hint in str(caught.value.hint)


def test_without_runs_no_name_is_wrong(repo: GitRepo) -> None:
    """Nobody can tell what they would have."""
    assert found(repo, "acc > 1") == ""


def test_numbers_and_moments() -> None:
    """What reads as a number, and which time a text names."""
    assert [read_number(it) for it in ("1", "-2.5", "1e3", "nan", "1_000", "x", "")] == [
        1, -2.5, 1000.0, None, None, None, None,
    ]  # fmt: skip
    moment = datetime(2026, 11, 1, 12, 30, tzinfo=timezone.utc).timestamp()
    assert read_moment("2026-11-01T12:30:00Z") == (moment, moment)
    start, end = read_moment("2026-11-01") or (0, 0)
    assert end - start == 86_400
    ago, _ = read_moment("2h") or (0, 0)
    assert abs(time.time() - 7_200 - ago) < 5
    assert read_moment("12") is None
    assert (read_moment("yesterday") or (0, 0))[1] == (read_moment("today") or (1, 0))[0]


def test_commits_by_their_first_digits(measured: GitRepo) -> None:
    """In any case of letters, as git takes them; four at least."""
    first = measured.git("rev-parse", "v1.0^{commit}")
    for digits in (first, first[:7], first[:4], first[:7].upper()):
        assert found(measured, f"code = {digits}") == "1 2"
        assert found(measured, f"code != {digits}") == "3 4 5 6"


def test_what_was_made_from_a_run(repo: GitRepo) -> None:
    """By how, by its address, its id or its uid."""
    repo.commit()
    first = make_measured_run(repo, {}, {})
    with create_run(
        open_repo(repo),
        replace(draft(), origin=RunOrigin("resume", first)),
        take_snapshot(open_repo(repo)),
    ) as writer:
        writer.commit([], status=Status.DONE)
    for words in ("1", "MyFlow/1", str(first.uid), "resume", f"'resume MyFlow/1 {first.uid}'"):
        assert found(repo, f"origin = {words}") == "2"
    assert found(repo, "origin = 2") == ""
    assert found(repo, "origin like resume*") == "2"
