"""How runs begin: their tags, their names, and repositories of every kind."""

from __future__ import annotations

import time

import pytest

from gitflowrun.errors import RefConflict, TaggingError, UsageError
from gitflowrun.git.snapshot import LeftOut, take_snapshot
from gitflowrun.names import RunId
from gitflowrun.runs.create import create_run
from gitflowrun.runs.locks import Locks, LockState
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
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


@pytest.mark.parametrize(("is_taken", "attempts"), [(False, 1), (True, 3)])
def test_a_conflict_that_no_other_number_mends_is_told(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, is_taken: bool, attempts: int
) -> None:
    """Where another run has the number the next one is tried, some times; no lock stays."""
    tried: list[str] = []

    def begin(self: RunWriter, *_: object) -> None:
        tried.append(self.identity.pathspec)
        if is_taken:
            repo.git("update-ref", f"refs/runs/{self.identity.pathspec}", "HEAD")
        raise RefConflict("somebody was faster")

    monkeypatch.setattr("gitflowrun.runs.create._ATTEMPTS", 3)
    monkeypatch.setattr(RunWriter, "begin", begin)
    with pytest.raises(RefConflict):
        start_run(repo)
    assert tried == [f"MyFlow/{n}" for n in range(1, attempts + 1)]
    assert Locks(open_repo(repo).state_dir).runs() == set()


def test_a_run_that_can_not_begin_leaves_a_free_lock(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its ref was made after all, that tells that the run is dead."""

    def begin(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunWriter, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        start_run(repo)
    locks = Locks(open_repo(repo).state_dir)
    assert locks.runs() == {"1"}
    assert locks.run(RunId("1")).state() is LockState.FREE


def test_info_says_what_the_snapshot_has(repo: GitRepo) -> None:
    """Commit, branch, what differs and what was left out, with how many; the rest of the git facts stays."""
    opened = open_repo(repo)
    head = take_snapshot(opened).head
    left = (LeftOut("big", 7, "too large"),)
    snapshot = replace(take_snapshot(opened), branch="topic", dirty=("a", "b"), left_out=left)
    info = replace(draft(), git={"remote": "https://h/a"})
    with create_run(opened, info, snapshot) as writer:
        assert writer.info.git == {
            "remote": "https://h/a", "commit": str(head), "branch": "topic", "dirty": ["a", "b"],
            "dirty_count": 2, "left_out": [["big", 7, "too large"]], "left_out_count": 1,
        }  # fmt: skip
        assert len(writer.info.nonce) == 32
        assert abs(writer.info.created - time.time()) < 60


def test_code_that_is_all_here_is_what_it_was(repo: GitRepo) -> None:
    """Where space was freed since the snapshot, a run has that one, unless something of it has gone."""
    make_run(repo)
    repository = open_repo(repo)
    repo.write("new", "taken before\n")
    snapshot = take_snapshot(repository)
    assert repo.call("purge", "--force", "1").code == 0
    assert repository.freed_stamp() != snapshot.freed
    repo.write("new", "came later\n")
    with create_run(repository, draft(), snapshot) as writer:
        assert writer.snapshot.tree == snapshot.tree
