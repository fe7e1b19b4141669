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
from gitflowrun.artifacts.codecs import encode
from gitflowrun.errors import NotARepository, NotFound, UsageError
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.trust import Trust
from tests.client.samples import Tasks, make_run, open_repo, start
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import store_of


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


@pytest.fixture
def kept(here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A clone, which is the current directory, of a repository that still exists; a run of it has kept client objects.

    Run 1 has another number here, and 1 is a run of the clone's own.
    """
    make_run(here, result="theirs")
    run = Run("1")
    with start(here, "Keep") as writer:
        tasks = Tasks(writer.identity)
        values = {
            "run": run, "step": run["train"], "task": run["train"]["2"], "flow": run.parent,
            "data": run.data, "artifact": run["join"]["4"]["result"], "in_list": [run],
            "flows": Metaflow(), "own": Run("Keep/2"),
        }  # fmt: skip
        tasks.add("_parameters/0", {"alpha": 1})
        tasks.add("end/1", values)
        writer.commit(tasks.done, status=Status.DONE)
    clone = make_repo(tmp_path / "clone")
    make_run(clone, result="ours")
    source = str(here.path)
    clone.git("fetch", "-q", source, "refs/runs/MyFlow/1:refs/runs/MyFlow/7")
    clone.git("fetch", "-q", source, "refs/runs/Keep/2:refs/runs/Keep/3")
    monkeypatch.chdir(clone.path)
    Trust(open_repo(clone)).vouch_for_run(store_of(clone).get("Keep", "3"))
    return clone


def test_what_is_kept_as_an_artifact_belongs_to_the_repository_it_is_loaded_from(
    kept: GitRepo, here: GitRepo
) -> None:
    """Address, values and tags are those of the run there, though its first repository is at hand."""
    assert get_metadata() == f"local@{kept.path}"
    data = Run("Keep/3").data
    assert data is not None
    assert data.run == data.in_list[0] == Run("MyFlow/7")
    assert (str(data.run), data.run.id) == ("Run('MyFlow/7')", "7")
    assert data.run.data.result == data.data.result == data.artifact.data == "theirs"
    assert data.step.pathspec == "MyFlow/7/train"
    assert (data.task.pathspec, data.task.parent.parent) == ("MyFlow/7/train/2", Run("MyFlow/7"))
    assert data.own == Run("Keep/3")
    assert data.flow == Flow("MyFlow")
    assert {flow.id for flow in data.flows} == {"MyFlow", "Keep"}
    assert sorted(run.id for run in data.flow) == ["1", "7"]
    data.run.add_tag("winner")
    assert Run("MyFlow/7").user_tags == frozenset({"winner"})
    assert here.git("for-each-ref", "refs/tags", "refs/runs/@tags") == ""
    # From one process to the next it stays what it is here.
    passed = pickle.loads(pickle.dumps(data.run))
    assert passed == data.run
    # A task that only hands it on stores the same bytes, wherever it runs.
    metadata(str(here.path))
    there = Run("Keep/2").data
    assert there is not None
    assert there.run.pathspec == "MyFlow/1"
    for name in ("run", "step", "task", "artifact", "flow", "flows"):
        theirs, ours = (encode(getattr(it, name)).payload() for it in (there, data))
        assert theirs == ours, name
        assert str(here.path).encode() not in theirs


def test_what_is_kept_of_a_run_that_is_not_here_says_so(kept: GitRepo) -> None:
    """The error names the uid and what brings the run; printing and other values do not fail."""
    uid = Run("MyFlow/7").uid
    kept.git("update-ref", "-d", "refs/runs/MyFlow/7")
    data = Run("Keep/3").data
    assert data is not None
    for value, name in ((data.run, "pathspec"), (data.run, "data"), (data.artifact, "data")):
        with pytest.raises(NotFound, match=uid) as caught:
            getattr(value, name)
        assert "git runs fetch" in (caught.value.hint or "")
    assert uid in repr(data.run)
    assert data.flow.latest_run.data.result == "ours"


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
