"""Spun tasks through the client: by their addresses, and in lists once that is asked for."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.client import (
    DataArtifact,
    Flow,
    Metaflow,
    Run,
    Step,
    Task,
    default_metadata,
    get_metadata,
    inspect_spin,
    metadata,
    namespace,
)
from gitflowrun.errors import InvalidPathspec, MissingKey, NotARepository, NotFound, TaggingError
from tests.helpers.repos import GitRepo
from tests.helpers.spins import spin, spun_repo


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepo]:
    """A repository with a run and two spun tasks, one of which has kept its artifacts."""
    repo = spun_repo(tmp_path / "work")
    spin(repo, "1/work/2")
    spin(repo, "1/work/3", "--persist")
    monkeypatch.chdir(repo.path)
    namespace(None)
    yield repo
    default_metadata()


def test_a_task_that_has_kept_its_artifacts(work: GitRepo) -> None:
    """It is like any task: what it set and passed on, its place, its output, and that it succeeded."""
    task = Task("Work/spin-2/work/3")
    assert (task.data.y, task.data.x, task.data.path, task.index) == (7, 1, ["start"], 1)
    assert (task.successful, task.finished, task.exception) == (True, True, None)
    assert task.stdout == "said 7 1 Work/spin-2/work/3 None\n"
    assert [it.pathspec for it in task.parent_tasks] == ["Work/1/start/1"]
    assert list(task.child_tasks) == []
    assert task.metadata_dict["origin-run-id"] == "1"
    assert task.metadata_dict["foreach-stack"] == ["items=2"]
    run = Run("Work/spin-2")
    assert [str(step) for step in run] == ["Step('Work/spin-2/work')"]
    assert (run.successful, run.finished, run.status, run.origin_pathspec) == (
        True,
        True,
        "done",
        "Work/1",
    )
    assert (run.data, run.end_task, run.user_tags) == (None, None, frozenset())
    assert run.finished_at is not None
    assert str(run.code) == "<MetaflowCode: work.py>"
    assert Run("spin-2") == run
    assert pickle.loads(pickle.dumps(task)) == task
    assert Step("Work/spin-2/work").task == task
    assert task in list(run["work"])
    assert work.call("show", "spin-2/work/3").code == 0


def test_what_was_not_kept_is_said(work: GitRepo) -> None:
    """An artifact that the task has set and nobody stored is told from one that there is not."""
    task = Task("Work/spin-1/work/2")
    assert (list(task), "y" in task) == ([], False)
    with pytest.raises(
        AttributeError, match=r"'y' of Work/spin-1/work/2 was not kept; `spin --persist`"
    ):
        _ = task.data.y
    with pytest.raises(MissingKey, match="was not kept"):
        _ = task["x"]
    with pytest.raises(NotFound, match="was not kept"):
        DataArtifact("Work/spin-1/work/2/y")
    with pytest.raises(AttributeError, match="has no artifact 'never'"):
        _ = task.data.never
    assert work.call("cat", "spin-1/work/2/never").err.startswith(
        "fatal: Work/spin-1/work/2 has no artifact"
    )


def test_lists_have_what_was_asked_for(work: GitRepo) -> None:
    """Runs, until `inspect_spin`; an object stays with the repository and the lists it was made in."""
    flow = Flow("Work")
    assert [run.id for run in flow] == ["1"]
    here = get_metadata()
    inspect_spin(".")
    assert get_metadata() == f"spin@{work.path}"
    spun = Flow("Work")
    assert [run.id for run in spun] == ["spin-2", "spin-1"]
    assert [run.id for run in spun.runs(where="done")] == ["spin-2", "spin-1"]
    assert spun.latest_run == Run("Work/spin-2")
    assert spun.latest_successful_run == spun["spin-2"]
    assert "spin-9" not in spun
    assert [it.id for it in Metaflow()] == ["Work"]
    assert Run("Work/1").data is not None
    again = pickle.loads(pickle.dumps(spun))
    assert default_metadata() == here
    assert ([run.id for run in flow], [run.id for run in again]) == (["1"], ["spin-2", "spin-1"])
    assert metadata("spin@.") == f"spin@{work.path}"
    with pytest.raises(NotFound, match="no runs of flow 'Other'"):
        Flow("Other")
    with pytest.raises(NotARepository):
        inspect_spin("/")


def test_wrong_addresses(work: GitRepo) -> None:
    """What is not there is not found, and nothing can be tagged."""
    with pytest.raises(NotFound, match="no spun task spin-9 of flow Work") as error:
        Run("Work/spin-9")
    assert error.value.hint == "the newest is spin-2"
    with pytest.raises(NotFound, match="spin-9"):
        Run("spin-9")
    with pytest.raises(InvalidPathspec):
        Task("Work/spin-x/work/2")
    with pytest.raises(NotFound):
        Run("Work/spin-x")
    for change in (Run("Work/spin-1").add_tag, Run("Work/spin-1").move_tag):
        with pytest.raises(TaggingError, match="is a spun task, which has no tags"):
            change("mine")
    assert work.git("for-each-ref", "refs/tags", "refs/runs/@tags") == ""


def test_damaged_ones_have_their_place_in_lists(work: GitRepo) -> None:
    """A ref whose commit is no run's, and one that leads nowhere."""
    work.git("update-ref", "refs/runs-spin/Work/3", "HEAD")
    (work.path / ".git/refs/runs-spin/Work/4").write_text("4" * 40 + "\n")
    inspect_spin(".")
    found = {run.id: run.status for run in Flow("Work")}
    assert found == {"spin-4": "damaged", "spin-3": "damaged", "spin-2": "done", "spin-1": "done"}
    fsck = work.call("fsck")
    assert (fsck.code, "refs/runs-spin/Work/4" in fsck.out + fsck.err) == (1, True)


def test_in_a_spun_task(work: GitRepo) -> None:
    """`current` names it, and lists have the runs all the same."""
    flow = (work.path / "work.py").read_text()
    code = (
        "from gitflowrun import Flow\n        print(current.run, current.task, list(Flow('Work')))\n"
        '        print("end"'
    )
    work.write("work.py", flow.replace('print("end"', code))
    done = spin(work, "end")
    assert "Run('Work/spin-3') Task('Work/spin-3/end/6') [Run('Work/1')]" in done.out


def test_a_notebook_shows_the_parameters_that_the_task_had(work: GitRepo) -> None:
    """Those of a module stand in the place of the origin's."""
    work.write("mine.py", 'ARTIFACTS = {"factor": 4711}\n')
    spin(work, "1/work/2", "--artifacts-module", "mine.py")
    assert "4711" in Run("spin-3")._repr_html_()
    assert "4711" not in Run("spin-1")._repr_html_()
    assert "<td>3</td>" in Run("spin-1")._repr_html_()
