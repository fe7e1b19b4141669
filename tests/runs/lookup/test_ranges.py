"""Words that name several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.errors import InvalidPathspec, NotFound
from gitflowrun.runs.runs import RunStore
from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import start_run, store_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A/1 (old), B/2, A/3, A/5, B/6 (new, x..y)."""
    repo = make_repo(tmp_path_factory.mktemp("ranges") / "made")
    for flow, tags in (
        ("A", ["old"]),
        ("B", []),
        ("A", []),
        ("A", []),
        ("A", []),
        ("B", ["new", "x..y"]),
    ):
        start_run(repo, flow, tags=tags).close()  # fmt: skip
    repo.git("update-ref", "-d", "refs/runs/A/4")
    return repo


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "a repo")


@pytest.fixture
def store(repo: GitRepo) -> RunStore:
    """The runs."""
    return store_of(repo)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["1..3"], ["A/1", "B/2", "A/3"]),
        (["3..3"], ["A/3"]),
        (["4..9"], ["A/5", "B/6"]),
        (["A/1..4"], ["A/1", "A/3"]),
        (["A/1..A/4"], ["A/1", "A/3"]),
        (["1..A/4"], ["A/1", "A/3"]),
        (["5.."], ["A/5", "B/6"]),
        (["..2"], ["A/1", "B/2"]),
        (["B/3.."], ["B/6"]),
        (["@{1}..@latest"], ["A/5", "B/6"]),
        (["old..2"], ["A/1", "B/2"]),
        (["A/old..@latest"], ["A/1", "A/3", "A/5"]),
        (["5..tag:new"], ["A/5", "B/6"]),
        (["3", "2..3", "A/3", "1"], ["A/3", "B/2", "A/1"]),
        (["tag:x..y"], ["B/6"]),
        (["B/tag:x..y"], ["B/6"]),
    ],
)
def test_ranges(store: RunStore, words: list[str], found: list[str]) -> None:
    """A range is all runs whose numbers lie between its ends; each run comes once."""
    assert [run.pathspec for run in store.find_all(words)] == found


def test_a_run_of_another_clone_lies_where_its_number_says(store: RunStore, repo: GitRepo) -> None:
    """After the one that has the number here."""
    name = f"B/3-{store.find('3').identity.uid.short}"
    repo.git("update-ref", f"refs/runs/{name}", str(store.find("2").commit))
    assert [run.pathspec for run in store_of(repo).find_all(["2..4"])] == ["B/2", "A/3", name]


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("3..1", "'3..1' ends before it begins", "write 1..3"),
        ("A/1..B/2", "'A/1..B/2' begins in one flow and ends in another", "write A/1..2 for runs of A"),
        ("..", "'..' names no runs", "a range is written 10..20 or 10.."),
        ("7..9", "no run lies in '7..9'", "`git runs` lists all runs"),
        ("B/3..5", "no run of flow B lies in 'B/3..5'", "`git runs` lists all runs"),
        ("odl..3", "'odl..3': there is no run 'odl'", "did you mean old? the newest is B/6"),
        ("1...3", "'1...3': there is no run '.3'", "did you mean 3? the newest is B/6"),
    ],
)  # fmt: skip
def test_what_is_no_range(store: RunStore, word: str, message: str, hint: str) -> None:
    """The error names the word."""
    with pytest.raises((InvalidPathspec, NotFound)) as caught:
        store.find_all(["1", word])
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_artifact_may_have_dots(store: RunStore) -> None:
    """What follows a run is no end of a range."""
    words = ["1/a..b", "1/start/1/a..b", "A/1/start/a..b"]
    assert store.expand(words) == words
