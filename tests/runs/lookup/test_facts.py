"""Parameters and metrics of many runs, read together and remembered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.runs.lookup import facts
from gitflowrun.runs.lookup.listing import list_runs
from gitflowrun.runs.lookup.run_index import facts_of, table_of_runs
from gitflowrun.runs.lookup.run_summary import NO_FACTS, RunFacts
from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_measured_run, open_repo


def all_facts(repo: GitRepo) -> list[RunFacts]:
    """Of all runs, the oldest first."""
    repository = open_repo(repo)
    return facts_of(repository, [run.commit for run in reversed(list_runs(repository))])


def listed_facts(repo: GitRepo) -> list[RunFacts]:
    """The same as lists show them, and keep them."""
    table = table_of_runs(open_repo(repo))
    return [table.facts(place) for place in reversed(range(len(table)))]


def test_parameters_metrics_and_branch(repo: GitRepo) -> None:
    """All of them, of runs that have them."""
    make_measured_run(repo, {"lr": "0.1"}, {"acc": 0.5, "kind": "tree"})
    make_measured_run(repo, {}, {}, status=Status.FAILED)
    expected = [
        RunFacts({"lr": "0.1"}, {"acc": 0.5, "kind": "tree"}, "main"),
        RunFacts(branch="main"),
    ]
    assert all_facts(repo) == expected
    assert listed_facts(repo) == expected
    assert all_facts(repo) == expected  # from the index
    assert facts_of(open_repo(repo), [None]) == [NO_FACTS]


@pytest.mark.parametrize("path", ["data", "data/metrics.json", "INFO", ""])
def test_what_comes_back_is_not_remembered_as_nothing(repo: GitRepo, path: str) -> None:
    """Metrics that could not be read once, as their object was lost, are there once it is."""
    make_measured_run(repo, {"n": "1"}, {"acc": 1})
    make_measured_run(repo, {"n": "2"}, {})
    for pack in [*(repo.path / ".git/objects/pack").glob("*.pack")]:
        content = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        repo.git("unpack-objects", "-q", stdin=content)
    oid = repo.git("rev-parse", f"refs/runs/MyFlow/1:{path}")
    file = repo.path / ".git/objects" / oid[:2] / oid[2:]
    away = file.rename(repo.path / "away")
    lost, other = listed_facts(repo)
    assert (lost.metrics, other.parameters) == ({}, {"n": "2"})
    away.rename(file)
    assert [it.metrics for it in listed_facts(repo)] == [{"acc": 1}, {}]


def test_what_is_remembered_is_not_read_again(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only of new runs objects are read."""
    make_measured_run(repo, {"n": "1"}, {})
    listed_facts(repo)
    asked: list[int] = []
    read = facts.read_facts

    def noting(repo: Repository, commits: Sequence[Oid]) -> dict[Oid, RunFacts]:
        asked.append(len(commits))
        return read(repo, commits)

    monkeypatch.setattr(facts, "read_facts", noting)
    make_measured_run(repo, {"n": "2"}, {})
    assert [it.parameters["n"] for it in all_facts(repo)] == ["1", "2"]
    assert [it.parameters["n"] for it in listed_facts(repo)] == ["1", "2"]
    assert asked == [1, 1]


def test_large_and_strange_blobs_are_passed_over(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run whose INFO is too large a list knows no parameters, of others it does."""
    make_measured_run(repo, {"n": "x" * 3_000}, {"acc": 1})
    make_measured_run(repo, {"n": "2"}, {"acc": 2})
    monkeypatch.setattr(facts, "INFO_SIZE", 2_000)
    assert [(it.parameters, it.metrics) for it in all_facts(repo)] == [
        ({}, {"acc": 1}), ({"n": "2"}, {"acc": 2}),
    ]  # fmt: skip


def test_batches(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the blobs are divided among readings, each is found."""
    for number in range(5):
        make_measured_run(repo, {"n": str(number)}, {"m": number})
    monkeypatch.setattr(facts, "_BATCH", 300)
    assert [it.metrics["m"] for it in all_facts(repo)] == [0, 1, 2, 3, 4]


def test_a_damaged_run_hides_no_other(repo: GitRepo) -> None:
    """What git ends at costs its own run alone: git is asked on after that, and nothing of it is remembered."""
    for number in range(4):
        make_measured_run(repo, {"n": str(number)}, {"m": number})
    names = [
        repo.git("rev-parse", f"runs/MyFlow/2:{path}") for path in ("INFO", "data/metrics.json")
    ]
    names.append(repo.git("rev-parse", "runs/MyFlow/4^{tree}"))
    for pack in (repo.path / ".git/objects/pack").glob("*.pack"):
        pack.rename(repo.path / pack.name)
        repo.git("unpack-objects", "-q", stdin=(repo.path / pack.name).read_bytes())
    places = [repo.path / ".git/objects" / name[:2] / name[2:] for name in names]
    kept = [place.read_bytes() for place in places]
    for place in places:
        place.chmod(0o644)
        place.write_bytes(b"garbage")
    assert [it.metrics.get("m") for it in all_facts(repo)] == [0, None, 2, None]
    assert [it.metrics.get("m") for it in listed_facts(repo)] == [0, None, 2, None]
    for place, content in zip(places, kept, strict=True):
        place.write_bytes(content)
    assert [it.metrics.get("m") for it in all_facts(repo)] == [0, 1, 2, 3]
    assert [it.metrics.get("m") for it in listed_facts(repo)] == [0, 1, 2, 3]


def test_long_parameters_are_cut(repo: GitRepo) -> None:
    """What anybody has pushed fills no memory."""
    make_measured_run(repo, {"a": "x" * 20_000, "b": "y"}, {})
    (found,) = all_facts(repo)
    assert len("".join([*found.parameters, *found.parameters.values()])) <= 16 << 10
    assert found.parameters["a"].startswith("xxx")
