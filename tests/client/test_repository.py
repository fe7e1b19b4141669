"""Which repository is read: the one around the current directory, a chosen one, or a pickled object's own."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path

import pytest

from gitflowrun import (
    Flow,
    Metaflow,
    Run,
    default_metadata,
    get_metadata,
    metadata,
)
from gitflowrun.errors import NotARepository, UsageError
from tests.client.samples import make_run
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture
def other(tmp_path: Path) -> GitRepo:
    """A second repository, with another flow."""
    repo = make_repo(tmp_path / "other")
    make_run(repo, "Other")
    return repo


def test_the_repository_of_the_current_directory_is_read(
    here: GitRepo, other: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with git, the directory decides, at any depth; objects stay with theirs."""
    make_run(here)
    flow = Flow("MyFlow")
    (other.path / "deep").mkdir()
    monkeypatch.chdir(other.path / "deep")
    assert [flow.id for flow in Metaflow()] == ["Other"]
    assert [run.id for run in flow] == ["1"]
    assert get_metadata() == f"local@{other.path}"


def test_git_dir_is_honoured(
    here: GitRepo, other: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GIT_DIR` names the repository, as for any git command."""
    assert here.path
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    assert "Other" in Metaflow()


def test_a_bare_repository_is_read(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror has runs, data and code without a work tree."""
    make_run(here)
    here.git("clone", "-q", "--mirror", ".", str(tmp_path / "mirror.git"))
    monkeypatch.chdir(tmp_path / "mirror.git")
    run = Run("1")
    assert run.data is not None
    assert run.data.result == 42
    assert get_metadata() == f"local@{tmp_path / 'mirror.git'}"


@pytest.mark.parametrize("form", ["{}", "local@{}", "{}/.git"])
def test_another_repository_can_be_chosen(here: GitRepo, other: GitRepo, form: str) -> None:
    """`metadata` takes a path or a spec, `default_metadata` goes back."""
    assert metadata(form.format(other.path)).startswith(f"local@{other.path}")
    assert "Other" in Metaflow()
    assert default_metadata() == get_metadata() == f"local@{here.path}"
    assert metadata("local") == f"local@{here.path}"
    assert metadata(other.path) == f"local@{other.path}"
    with pytest.raises(UsageError, match="5 is int, not the path"):
        metadata(5)  # type: ignore[arg-type]


def test_what_is_no_repository_is_refused(here: GitRepo, tmp_path: Path) -> None:
    """A directory without one, and Metaflow's service, say what to do; nothing changes."""
    with pytest.raises(NotARepository) as caught:
        metadata(str(tmp_path))
    assert "git init" in (caught.value.hint or "")
    for service in ("service@https://example.org", "https://example.org/metadata", "service"):
        with pytest.raises(UsageError) as refused:
            metadata(service)
        assert "git runs fetch" in (refused.value.hint or "")
    assert get_metadata() == f"local@{here.path}"


def test_a_directory_may_be_called_like_a_service(tmp_path: Path) -> None:
    """Only Metaflow's own spec is taken for one; paths may be relative and contain an `@`."""
    make_run(make_repo(tmp_path / "service-runs@home"))
    assert metadata("service-runs@home") == f"local@{tmp_path / 'service-runs@home'}"
    assert Run("1").successful


def test_without_a_repository_there_is_a_hint(tmp_path: Path) -> None:
    """Outside of every repository, reading says how to make one."""
    assert tmp_path
    for ask in (lambda: Flow("MyFlow"), Metaflow, get_metadata):
        with pytest.raises(NotARepository) as caught:
            ask()
        assert "git init" in (caught.value.hint or "")


def test_every_object_can_be_pickled(here: GitRepo, other: GitRepo) -> None:
    """Pickles are small, and read the repository they were made in wherever they are opened."""
    make_run(here)
    run = Run("1")
    objects = [Flow("MyFlow"), run, run["train"], run["train"]["2"], run["train"]["2"]["score"]]
    pickles = [pickle.dumps(item) for item in objects]
    assert all(len(text) < 500 for text in pickles)
    metadata(str(other.path))
    opened = [pickle.loads(text) for text in pickles]
    assert opened == objects
    assert opened[-1].data == 0
    assert [task.id for task in opened[2]] == ["3", "2"]
    assert copy.deepcopy(run) == run
    assert pickle.loads(pickle.dumps(run.data)).result == 42


def test_a_pickled_run_is_found_in_a_clone_by_its_uid(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the path means nothing, the current repository is read; its number may be another there."""
    make_run(here)
    make_run(here, result="the one")
    kept = pickle.dumps(Run("2"))
    here.git("clone", "-q", "--mirror", ".", str(tmp_path / "mirror.git"))
    clone = GitRepo(tmp_path / "mirror.git")
    clone.git("update-ref", "refs/runs/MyFlow/7", "refs/runs/MyFlow/2")
    clone.git("update-ref", "refs/runs/MyFlow/2", "refs/runs/MyFlow/1")
    shutil.rmtree(here.path)
    monkeypatch.chdir(clone.path)
    run = pickle.loads(kept)
    assert run.data.result == "the one"
    assert run.successful


def test_fetched_while_open(here: GitRepo) -> None:
    """Objects that git packs anew, or that arrive in new packs, are found by what is open."""
    make_run(here)
    run = Run("1")
    assert run.data is not None
    here.git("gc", "-q", "--prune=now")
    make_run(here, result=43)
    second = run.parent["2"]
    assert second.data is not None
    assert (second.data.result, run.data.result) == (43, 42)
