"""How runs begin: their tags, their names, and repositories of every kind."""

from __future__ import annotations

import pytest

from gitflowrun.errors import (
    TaggingError,
    UsageError,
)
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.runs.create import create_run
from tests.helpers.repos import GitRepo
from tests.helpers.runs import (
    draft,
    make_run,
    open_repo,
    start_run,
    store_of,
)

TAIL = "refs/runs/MyFlow/1"


def test_start_tags_are_refs_and_stay_in_info(repo: GitRepo) -> None:
    """Tags given at the start are tags like others; INFO keeps what was given."""
    with start_run(repo, tags=["best", "user:ada", "best"]) as writer:
        assert writer.info.tags == ("best", "user:ada", "best")
    name = f"runs/MyFlow/best/1-{writer.identity.uid.short}"
    assert repo.git("tag", "-l") == name
    assert repo.git("rev-parse", name) == str(writer.identity.uid)


@pytest.mark.parametrize("tag", ["", "x" * 501, "\N{PILE OF POO}" * 500])
def test_a_bad_tag_starts_no_run(repo: GitRepo, tag: str) -> None:
    """A tag that can't be is refused before a number is used."""
    with pytest.raises(TaggingError):
        start_run(repo, tags=[tag])
    with start_run(repo) as writer:
        assert str(writer.identity.id) == "1"


@pytest.mark.parametrize("flow", ["", "a/b", "a b", "-x", "../x", "a.lock"])
def test_a_flow_that_cannot_be_a_ref_starts_no_run(repo: GitRepo, flow: str) -> None:
    """Flow names become refs, so only identifiers are taken."""
    with pytest.raises(UsageError):
        start_run(repo, flow)


def test_runs_in_an_empty_repository(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Before the first commit, and without a user's name, runs are recorded all the same."""
    repo = GitRepo(tmp_path_factory.mktemp("unborn"))
    repo.git("init", "-q")
    repo.write("flow.py", "x\n")
    make_run(repo)
    stored = store_of(repo).get("MyFlow", "1")
    assert stored.state.code_commit is None
    assert stored.info.git["commit"] is None
    repo.fsck()


def test_runs_in_a_bare_repository(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A bare repository has no code to record, and records the run."""
    repo = GitRepo(tmp_path_factory.mktemp("bare"))
    repo.git("init", "-q", "--bare")
    make_run(repo)
    assert [run.pathspec for run in store_of(repo).summaries()] == ["MyFlow/1"]
    repo.fsck()


def test_a_flow_named_in_another_script(repo: GitRepo) -> None:
    """A flow may be named in any letters."""
    make_run(repo, "Größe")
    stored = store_of(repo).get("Größe", "1")
    assert stored.info.flow == "Größe"
    assert store_of(repo).flows() == ["Größe"]
    repo.fsck()


def test_thousands_of_dirty_files_fit(repo: GitRepo) -> None:
    """INFO names some of very many dirty files and counts all."""
    opened = open_repo(repo)
    snapshot = take_snapshot(opened)
    dirty = tuple(map(str, range(20_000)))
    many = type(snapshot)(snapshot.tree, snapshot.head, "main", dirty, (), snapshot.objects)
    with create_run(opened, draft(), many) as writer:
        assert len(writer.info.git["dirty"]) == 10_000
        assert writer.info.git["dirty_count"] == 20_000
