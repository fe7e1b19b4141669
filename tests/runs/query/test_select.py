"""Which runs a query asks for, and in which parameters runs differ."""

from __future__ import annotations

import pytest

from gitflowrun.errors import NotFound, UsageError
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.runs.create import create_run
from gitflowrun.runs.query.columns import differing
from gitflowrun.runs.query.select import (
    RunQuery,
    parameters_of,
    parse_status,
    select,
)
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo
from tests.helpers.runs import draft, make_run, open_repo, store_of


def test_parameters_that_differ() -> None:
    """A parameter differs when two runs of one flow have other values, or one has none."""
    rows = [
        ("A", {"same": "1", "rate": "0.1", "new": "x"}),
        ("A", {"same": "1", "rate": "0.2"}),
        ("B", {"same": "2"}),
    ]
    assert differing(rows) == ["rate", "new"]
    assert differing([]) == []
    assert differing(rows[1:]) == []


def test_statuses_have_names() -> None:
    """A status is named as it is shown, in any case."""
    assert parse_status("Failed") is Status.FAILED
    with pytest.raises(UsageError, match="'over' is not a status"):
        parse_status("over")


def test_the_limit_counts_what_matches(repo: GitRepo) -> None:
    """Filters come first, then the limit."""
    for tags in (["x"], [], ["x"], []):
        make_run(repo, tags=tags)
    found = select(open_repo(repo), RunQuery(tags=("x",), limit=1))
    assert [run.id for run in found] == ["3"]
    assert [run.id for run in select(open_repo(repo), RunQuery(limit=2))] == ["4", "3"]
    assert select(open_repo(repo), RunQuery(limit=0)) == []


def test_an_unknown_flow_is_an_error_where_others_have_runs(repo: GitRepo) -> None:
    """Asking for a flow without runs names those that have some; without any run it finds none."""
    assert select(open_repo(repo), RunQuery("MyFlow")) == []
    make_run(repo)
    with pytest.raises(NotFound) as caught:
        select(open_repo(repo), RunQuery("Myflow"))
    assert "MyFlow" in str(caught.value.hint)


def test_parameters_of_a_run(repo: GitRepo) -> None:
    """Parameters are read from the run's INFO."""
    opened = open_repo(repo)
    for value in ("1", "2"):
        made = replace(draft(), parameters={"alpha": value, "fixed": "x"})
        create_run(opened, made, take_snapshot(opened)).close()
    runs = store_of(repo).summaries()
    assert [parameters_of(opened, run)["alpha"] for run in runs] == ["2", "1"]
    out = repo.call("list", "--params").out.splitlines()
    assert out[0].split()[-1] == "alpha"
    assert [line.split()[-1] for line in out[1:]] == ["2", "1"]


def test_runs_on_a_branch(repo: GitRepo) -> None:
    """`on` selects runs whose code commit is in the history of a revision; an unknown one is an error."""
    make_run(repo)
    repo.git("checkout", "-q", "-b", "side")
    repo.git("commit", "-q", "--allow-empty", "-m", "on a side")
    make_run(repo)
    opened = open_repo(repo)
    branch = repo.git("rev-parse", "--abbrev-ref", "@{-1}").strip()
    assert [run.id for run in select(opened, RunQuery(on="side"))] == ["2", "1"]
    assert [run.id for run in select(opened, RunQuery(on=branch))] == ["1"]
    with pytest.raises(NotFound, match="'nowhere' names no commit"):
        select(opened, RunQuery(on="nowhere"))
    lines = repo.call("list", "--on", branch).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["MyFlow/1"]
