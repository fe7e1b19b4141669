"""`git runs rm` of sets: queries, ages, all but the newest; only listed until --force is given."""

from __future__ import annotations

import json

import pytest

from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_measured_run, start_run


@pytest.fixture
def full(repo: GitRepo) -> GitRepo:
    """Six runs: one failed, one tagged, one running, one of another flow."""
    repo.commit()
    make_measured_run(repo, {}, {"acc": 0.1})
    make_measured_run(repo, {}, {"acc": 0.2}, tags=["production"])
    make_measured_run(repo, {}, {}, status=Status.FAILED)
    make_measured_run(repo, {}, {}, status=Status.FAILED, tags=["look"])
    make_measured_run(repo, {}, {"acc": 0.3}, flow="Other")
    return repo


def left(repo: GitRepo) -> str:
    """The ids of the runs that are there."""
    return " ".join(sorted(repo.call("list", "--format", "%(id)").out.split()))


@pytest.mark.parametrize(
    ("args", "removed"),
    [
        (("acc < 0.25",), "1"), (("-w", "failed"), "3"), (("failed and tag = look",), "4"), (("tag = nothing",), ""),
        (("--keep-last", "1"), "1 3"), (("--keep-last", "0", "-w", "flow = Other"), "5"), (("--older-than", "30d"), ""),
        (("--older-than", "0s"), "1 3 5"), (("--older-than", "now", "--keep-last", "2", "-w", "failed or done"), "1"),
    ],
)  # fmt: skip
@pytest.mark.sample(5)
def test_sets(full: GitRepo, args: tuple[str, ...], removed: str) -> None:
    """They are told first, and removed by --force; what is tagged stays unless the query speaks of tags."""
    told = json.loads(full.call("rm", *args, "--json").out)
    ids = [name.partition("/")[2] for name in told["would_remove"]]
    assert " ".join(sorted(ids)) == removed
    assert left(full) == "1 2 3 4 5"
    assert full.call("rm", *args, "--force").code == 0
    assert left(full) == " ".join(it for it in "12345" if it not in removed)


def test_what_is_told(full: GitRepo) -> None:
    """A line for each run, what is kept and why, and how to go on."""
    with start_run(full) as writer:
        writer.begin([])
        done = full.call("rm", "--keep-last", "0")
        assert done.out.splitlines()[-1] == "3 runs; --force removes them"
        assert done.out.splitlines()[0].startswith("would remove Other/5: done")
        assert "2 runs kept that are tagged: MyFlow/4, MyFlow/2" in done.err
        assert "1 run kept that is running: MyFlow/6" in done.err
    assert full.call("rm", "-w", "tag = nothing").out == "No run matches.\n"
    assert full.call("rm", "-w", "tag = nothing", "--force").out == "No run matches.\n"


@pytest.mark.parametrize(
    ("query", "kept"), [("acc < 0.15", True), ("acc < 0.15 and not tag = x", False)]
)
def test_a_tag_that_is_given_meanwhile_counts(
    full: GitRepo, monkeypatch: pytest.MonkeyPatch, query: str, kept: bool
) -> None:
    """A run that is tagged while its size is counted stays, unless the query has spoken of tags."""

    def tagging(*_args: object) -> tuple[int, int, bool]:
        assert full.call("tag", "1", "production").code == 0
        return 0, 0, False

    monkeypatch.setattr("gitflowrun.porcelain.deletion.removal.exclusive_size", tagging)
    done = full.call("rm", query, "--force")
    assert done.code == 0
    assert ("1" in left(full)) is kept
    assert ("1 run kept that is tagged by now: MyFlow/1" in done.err) is kept
    assert done.out.startswith("No run was removed." if kept else "moved to the trash: MyFlow/1")


@pytest.mark.parametrize(
    "args", [(), ("1", "--older-than", "1d"), ("-w", "failed", "1"), ("--older-than", "x")]
)
def test_either_names_or_a_set(full: GitRepo, args: tuple[str, ...]) -> None:
    """Both, or neither, is a mistake, and removes nothing."""
    done = full.call("rm", *args, "--force")
    assert done.code == 129
    assert done.out == ""
    assert left(full) == "1 2 3 4 5"


def test_a_query_with_a_mistake_removes_nothing(full: GitRepo) -> None:
    """Neither a wrong name nor a wrong word."""
    for query in ("ac < 1", "acc < 1 failed", "status = faild"):
        assert full.call("rm", "--force", query).code == 129
    assert left(full) == "1 2 3 4 5"
