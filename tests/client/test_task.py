"""`Step`, `Task`, `DataArtifact`: values, metadata, output, relations."""

from __future__ import annotations

import json
import os
from datetime import datetime

import pytest

from gitflowrun import DataArtifact, Run, Step, Task, get_metadata
from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.digest import digest_parts
from gitflowrun.errors import CorruptRecord, InvalidPathspec, NotFound, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import ObjectStore
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.runs import RunStore
from tests.client.samples import make_failed_run, make_resumed_run, make_run, sample_tasks, start
from tests.helpers.repos import GitRepo


@pytest.fixture
def run(here: GitRepo) -> Run:
    """A run with a foreach over two items."""
    make_run(here)
    return Run("MyFlow/1")


def test_parts_are_found_by_address(run: Run) -> None:
    """Every class opens its own depth; the parts of one run are equal however they were reached."""
    assert Step("MyFlow/1/train") == run["train"]
    assert Task("MyFlow/1/train/3") == run["train"]["3"] == run["train"][3]
    assert DataArtifact("MyFlow/1/train/3/score") == run["train"]["3"]["score"]
    artifact = DataArtifact("MyFlow/1/train/3/score")
    assert artifact.parent.parent.parent == run
    assert (artifact.id, artifact.path_components[-2:]) == ("score", ["3", "score"])


@pytest.mark.parametrize(
    ("kind", "address"),
    [(Step, "MyFlow/1"), (Task, "MyFlow/1/start"), (DataArtifact, "MyFlow/1/start/1"), (Step, "")],
)
def test_the_wrong_depth_is_refused(
    run: Run, kind: type[Step | Task | DataArtifact], address: str
) -> None:
    """The number of components must be that of the class."""
    assert run
    with pytest.raises(InvalidPathspec):
        kind(address)


@pytest.mark.parametrize(
    ("kind", "address", "hint"),
    [
        (Step, "MyFlow/1/joni", "did you mean join?"),
        (Task, "MyFlow/1/train/9", "its tasks are 2, 3"),
        (Task, "MyFlow/1/nope/9", "its steps are _parameters, start, train, join, end"),
        (DataArtifact, "MyFlow/1/end/5/resutl", "did you mean result?"),
        (DataArtifact, "MyFlow/1/end/5/zzz", "there is alpha, name, result"),
    ],
)
def test_what_is_missing_names_the_nearest(
    run: Run, kind: type[Step | Task | DataArtifact], address: str, hint: str
) -> None:
    """Unknown parts are not found, and the hint has what is there; indexing raises KeyError."""
    assert run
    with pytest.raises(NotFound) as caught:
        kind(address)
    assert caught.value.hint == hint
    parent, _, name = address.rpartition("/")
    if kind is DataArtifact:
        with pytest.raises(KeyError):
            Task(parent)[name]


def test_tasks_come_newest_first(run: Run) -> None:
    """A step yields its tasks by descending id; `task` is the newest."""
    step = run["train"]
    assert [task.id for task in step] == [task.id for task in step.tasks()] == ["3", "2"]
    assert step.task == step["3"]
    assert [task.index for task in step] == [1, 0]
    assert list(step.tasks("no such tag")) == []
    assert (step.control_task, list(step.control_tasks())) == (None, [])
    assert step.finished_at == max(task.finished_at for task in step if task.finished_at)
    assert step.created_at == step["2"].created_at


def test_values(run: Run) -> None:
    """Artifacts read as attributes, as items, as a named tuple; private ones by name only."""
    task = run["join"].task
    assert task is not None
    assert (task.data.result, task["result"].data, task.artifacts.result.data) == (42, 42, 42)
    assert [artifact.id for artifact in task] == ["alpha", "name", "result"]
    assert repr(task.data) == "<MetaflowData: alpha, name, result>"
    assert "result" in task.data
    assert "_success" not in task.data
    assert "result" in dir(task.data)
    end = run.end_task
    assert end is not None
    assert end["_hidden"].data == 1
    assert "_hidden" in end
    assert "_hidden" not in [artifact.id for artifact in end]


def test_absent_attributes_say_what_there_is(run: Run) -> None:
    """An attribute that is no artifact is an AttributeError with the nearest name; hasattr works."""
    data = run.data
    assert data is not None
    with pytest.raises(
        AttributeError, match="MyFlow/1/end/5 has no artifact 'resul'; did you mean"
    ):
        _ = data.resul
    assert not hasattr(data, "nope")
    assert getattr(data, "nope", 3) == 3


def test_an_artifact_knows_its_bytes(run: Run) -> None:
    """Digest, size, type and time are known without loading; the bytes can be read as a file."""
    artifact = run["join"]["4"]["name"]
    encoded = encode("net")
    assert artifact.sha == str(digest_parts(encoded.parts))
    assert (artifact.size, artifact.type) == (3, "builtins.str")
    assert artifact.finished_at == artifact.created_at == run["join"]["4"].finished_at
    with artifact.open() as file:
        assert file.read() == b"net"
    inherited = run["end"]["5"]["name"]
    assert (inherited.sha, inherited.data) == (artifact.sha, "net")


def test_artifacts_share_what_was_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes, types and values of all artifacts of a task cost one read of its record."""
    stored = RunStore(Repository.discover()).get("MyFlow", RunId(run.id))
    record = stored.task(TaskName("end", "5")).task_blob
    read: list[Oid] = []
    blob = ObjectStore.blob

    def count(store: ObjectStore, oid: Oid, limit: int) -> bytes:
        read.append(oid)
        return blob(store, oid, limit)

    monkeypatch.setattr(ObjectStore, "blob", count)
    task = run["end"]["5"]
    sizes = [(item.size, item.type, item.data, item.parent.successful) for item in task]
    assert len(sizes) == len(task.artifacts) == 3
    assert read.count(record) == 1


def test_rows_of_an_array(here: GitRepo) -> None:
    """Rows of an array can be had without the rest; other values have none."""
    np = pytest.importorskip("numpy")
    array = np.arange(60).reshape(-1, 3)
    make_run(here, result=array)
    join = Run("MyFlow/1")["join"]["4"]
    assert np.array_equal(join["result"].rows(slice(2, 5)), array[2:5])
    assert np.array_equal(join["result"].rows(-1), array[-1])
    with pytest.raises(UsageError, match="has no rows"):
        join["name"].rows(0)


@pytest.mark.parametrize("kind", ["memmap", "masked", "objects"])
def test_rows_of_an_array_that_is_pickled(here: GitRepo, kind: str) -> None:
    """Arrays of subclasses and of objects have rows, of their own class; a dtype has none."""
    np = pytest.importorskip("numpy")
    plain = np.arange(12.0).reshape(-1, 3)
    array = {
        "memmap": plain.view(np.memmap),
        "masked": np.ma.masked_greater(plain, 4),
        "objects": plain.astype(object),
    }[kind]
    make_run(here, result=array)
    make_run(here, result=np.dtype("f8"))
    artifact = Run("MyFlow/1")["join"]["4"]["result"]
    for rows in (slice(1, 3), -1):
        found = artifact.rows(rows)
        assert type(found) is type(array[rows])
        assert found.tolist() == array[rows].tolist()
    with pytest.raises(IndexError):
        artifact.rows(4)
    with pytest.raises(UsageError, match="has no rows"):
        Run("MyFlow/2")["join"]["4"]["result"].rows(0)


def test_private_artifacts_follow_from_the_record(run: Run) -> None:
    """What Metaflow stores with each task can be asked for by Metaflow's names."""
    first, inner, end = run["start"]["1"], run["train"]["3"], run["end"]["5"]
    assert first["_success"].data is first["_task_ok"].data is True
    assert first["_transition"].data == (["train"], "items")
    assert (first["_foreach_var"].data, first["_foreach_num_splits"].data) == ("items", 2)
    assert first["_current_step"].data == "start"
    assert first["_exception"].data is None
    assert first["_configs_processed"].data is True
    assert end["_transition"].data is None
    (frame,) = inner["_foreach_stack"].data
    assert frame == ("train", "items", 2, 1, "20")
    assert (frame.var, frame.index, frame.value) == ("items", 1, "20")
    assert first["_graph_info"].data["end_step"] == "end"
    for name in ("_success", "_graph_info", "_foreach_stack"):
        assert name in first
        assert first[name].size > 0
        assert len(first[name].sha) == 64
    assert "_nope" not in first
    with pytest.raises(NotFound, match="not stored by itself"):
        first["_success"].open()
    with pytest.raises(NotFound, match="not stored by itself"):
        first["_success"].rows(0)


def test_metadata(run: Run) -> None:
    """What is noted about a task, by Metaflow's names."""
    task = run["train"]["3"]
    known = task.metadata_dict
    assert (known["user"], known["runtime"], known["python_version"]) == ("ada", "dev", "3.11.7")
    assert (known["attempt"], known["attempt_ok"], known["origin-run-id"]) == ("0", "True", "None")
    assert known["foreach-stack"] == ["items=20"]
    assert known["foreach-execution-path"] == "train:1"
    assert known["script-name"] == "flow.py"
    assert json.loads(known["git-info"])["repo_url"] == "https://example.org/repo.git"
    assert (known["ds-type"], known["attempt-done"], known["metaflow_version"]) == (
        "local",
        "0",
        "2.19.39",
    )
    assert f"local@{known['ds-root']}" == get_metadata()
    assert known.keys() == {
        "attempt", "attempt-done", "attempt_ok", "ds-root", "ds-type", "foreach-execution-path", "foreach-stack",
        "git-info", "gitflowrun_version", "metaflow_version", "origin-run-id", "python_version", "runtime",
        "script-name", "user",
    }  # fmt: skip
    entry = task.metadata[0]
    assert entry.task == task
    assert isinstance(entry.created_at, int)
    assert entry.name == entry.type
    (status,) = [it for it in task.metadata if it.name == "attempt_ok"]
    assert status.type == "internal_attempt_status"
    assert (task.runtime_name, task.current_attempt) == ("dev", 0)
    assert task.environment_info["platform"] == "test"
    assert run["train"].environment_info == task.environment_info


def test_metadata_of_the_parameters(run: Run) -> None:
    """They also say which steps are the first and the last one, whatever these are called; other tasks do not."""
    task = Task(f"{run.pathspec}/_parameters/0")
    assert (task.metadata_dict["start_step"], task.metadata_dict["end_step"]) == ("start", "end")
    types = {it.type for it in task.metadata if it.name in {"start_step", "end_step"}}
    assert types == {"graph_structure"}
    assert "start_step" not in run["start"]["1"].metadata_dict


def test_output(run: Run) -> None:
    """Output is text, with the time of each line on demand."""
    task = run["start"]["1"]
    assert (task.stdout, task.stderr) == ("hello\nthere\n", "")
    assert (task.stdout_size, task.stderr_size) == (12, 0)
    (when, first), (_, second) = task.loglines("stdout")
    assert (first, second) == ("hello", "there")
    assert isinstance(when, datetime)
    assert when.tzinfo is None
    assert [line for _, line in task.loglines("stdout", as_unicode=False)] == [b"hello", b"there"]
    assert list(task.loglines("stderr")) == []
    with pytest.raises(UsageError, match="'stdin' is no stream"):
        list(task.loglines("stdin"))


def test_a_failed_task(here: GitRepo) -> None:
    """It is neither successful nor finished, has an end, and its exception as text."""
    make_failed_run(here)
    task = Run("1")["start"]["1"]
    assert (task.successful, task.finished, task["_success"].data) == (False, False, False)
    assert task.finished_at is not None
    assert task.exception is not None
    assert (task.exception.type, task.exception.exception) == ("builtins.ValueError", "boom")
    assert str(task.exception) == task.exception.stacktrace == "ValueError: boom"
    assert task["_exception"].data == task.exception


def test_relatives(run: Run) -> None:
    """Parents and children of steps and tasks, a join's parents in the order of the split."""
    assert [step.id for step in run["train"].parent_steps] == ["start"]
    assert [step.id for step in run["train"].child_steps] == ["join"]
    assert list(run["start"].parent_steps) == list(run["end"].child_steps) == []
    join = run["join"]["4"]
    assert list(join.parent_task_pathspecs) == ["MyFlow/1/train/2", "MyFlow/1/train/3"]
    assert [task.id for task in join.parent_tasks] == ["2", "3"]
    assert list(run["start"]["1"].child_task_pathspecs) == ["MyFlow/1/train/2", "MyFlow/1/train/3"]
    assert [task.id for task in run["train"]["2"].child_tasks] == ["4"]
    assert list(run["start"]["1"].parent_tasks) == []


def test_tasks_that_were_taken_over(here: GitRepo) -> None:
    """A task of the origin names it, and keeps its metadata; a task that ran anew does not."""
    make_resumed_run(here, make_resumed_run(here, make_run(here), user="bob"), user="eve")
    run, origin = Run("2"), Run("1")
    taken, anew = run["train"]["3"], run["end"]["5"]
    assert taken.origin_pathspec == "MyFlow/1/train/3"
    assert (run["train"].origin_pathspec, run["end"].origin_pathspec) == ("MyFlow/1/train", None)
    assert anew.origin_pathspec is None
    assert taken.data.score == 1
    assert run.end_task is not None
    assert run.end_task.data.result == 42
    old, new = origin["train"]["3"].metadata_dict, taken.metadata_dict
    assert (new.pop("origin-run-id"), new.pop("origin-task-id")) == ("1", "3")
    assert old.pop("origin-run-id") == "None"
    assert old == new
    assert (anew.metadata_dict["origin-run-id"], anew.metadata_dict["user"]) == ("1", "bob")
    again = Run("3")["train"]["3"]
    assert again.origin_pathspec == "MyFlow/2/train/3"
    assert again.metadata_dict["origin-run-id"] == "2"


def test_what_is_not_known_is_not_said(here: GitRepo) -> None:
    """A taken-over task whose run is gone does not pretend to have run with this one's python."""
    make_resumed_run(here, make_run(here))
    here.git("update-ref", "-d", "refs/runs/MyFlow/1")
    known = Run("2")["train"]["3"].metadata_dict
    assert (known["origin-run-id"], known["attempt_ok"]) == ("1", "True")
    assert "python_version" not in known


def test_attempts(run: Run) -> None:
    """An attempt can be asked for; one that was not made is not found."""
    task = Task("MyFlow/1/start/1", attempt=0)
    assert repr(task) == "Task('MyFlow/1/start/1', attempt=0)"
    assert (task.current_attempt, task.successful, task.stdout) == (0, True, "hello\nthere\n")
    assert task["items"].data == [10, 20]
    assert repr(task["items"]) == "DataArtifact('MyFlow/1/start/1/items', attempt=0)"
    assert task != run["start"]["1"]
    for wrong in (1, 6, -1, "0"):
        with pytest.raises(NotFound, match="no attempt"):
            Task("MyFlow/1/start/1", attempt=wrong)  # type: ignore[arg-type]


def test_every_public_property_has_a_value_that_can_be_compared(run: Run) -> None:
    """Two objects of one task agree in everything that is no iterator."""
    for kind in (Run, Step, Task, DataArtifact):
        depth = {Run: 2, Step: 3, Task: 4, DataArtifact: 5}[kind]
        address = "/".join(["MyFlow", "1", "join", "4", "result"][:depth])
        one, two = kind(address), kind(address)
        for name in dir(kind):
            if isinstance(getattr(kind, name), property) and not name.startswith("_"):
                first, second = getattr(one, name), getattr(two, name)
                assert hasattr(first, "__next__") or first == second, name
    assert run


def test_a_damaged_artifact_names_itself(here: GitRepo) -> None:
    """A chunk whose content is not what was stored is an error, never a value."""
    with start(here) as writer:
        writer.commit(sample_tasks(writer.identity, result="x" * 50).done)
    artifact = DataArtifact("MyFlow/1/join/4/result")
    assert artifact._ref is not None
    object.__setattr__(artifact._ref, "digest", type(artifact._ref.digest)(os.urandom(32)))
    with pytest.raises(CorruptRecord, match="MyFlow/1/join/4/result"):
        _ = artifact.data
