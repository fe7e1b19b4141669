from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import msgpack
from gitflowrun.artifacts.preview import Preview
from gitflowrun.artifacts.reference import Picture
from gitflowrun.errors import CorruptRecord, GitflowrunError, MissingObject, NotFound, TooLarge
from gitflowrun.git.objects import Commit, Mode, ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.odb import ObjectStore
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.git.repository import Repository
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.commit_message import RunState, Status, format_message
from gitflowrun.runs.read import StoredRun, StoredTask, in_task_order, order_steps, task_order
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run, store_of


def stored(repo: GitRepo, run: str = "1") -> StoredRun:
    """The newest state of a run of MyFlow."""
    return store_of(repo).get("MyFlow", run)


def write(repo: Repository, kind: ObjectType, data: bytes) -> Oid:
    """Write an object."""
    pack = repo.packs.write([PackObject(kind, data)])
    repo.packs.release([pack.name])
    return pack.oids[0]


def rewritten(run: StoredRun, repo: Repository, task: str, **entries: bytes) -> StoredRun:
    """`run` as somebody could have forged it: a task `train/<task>` with other files; b"" removes one."""
    objects = repo.objects
    root = {entry.name: entry for entry in objects.tree(objects.commit(run.commit).tree)}
    steps = {entry.name: entry for entry in objects.tree(root[b"steps"].oid)}
    tasks = {entry.name: entry for entry in objects.tree(steps[b"train"].oid)}
    files = {entry.name: entry for entry in objects.tree(tasks[task.encode()].oid)}
    for file, data in entries.items():
        del files[file.encode()]
        if data:
            oid = write(repo, ObjectType.BLOB, data)
            files[file.encode()] = TreeEntry(Mode.BLOB, file.encode(), oid)
    for directory, name, below in (
        (tasks, task.encode(), files),
        (steps, b"train", tasks),
        (root, b"steps", steps),
    ):
        tree = write(repo, ObjectType.TREE, tree_bytes(below.values()))
        directory[name] = TreeEntry(Mode.TREE, name, tree)
    old = objects.commit(run.commit)
    tree = write(repo, ObjectType.TREE, tree_bytes(root.values()))
    forged = Commit(tree, (run.commit,), old.author, old.committer, old.message)
    return StoredRun(repo, run.flow, run.id, write(repo, ObjectType.COMMIT, forged.encode()))


def test_what_is_shown_of_values_that_nobody_noted(repo: GitRepo) -> None:
    """A small value is shown itself; of a large one, which would have to be read, there is nothing to show."""
    with start_run(repo) as writer:
        made = finished_task(writer.identity, "start/1", {"small": b"abc", "large": b"x" * 5_000})
        writer.commit([made])
    refs = stored(repo).task(TaskName("start", "1")).record.artifacts
    small, large = (stored(repo).shown(refs[name]) for name in ("small", "large"))
    assert small is not None
    assert "abc" in small.text
    assert large is None


def test_what_is_shown_is_the_value_where_that_can_be_read(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what the task has noted of it, which may be of something else; that is shown of a value that is lost."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"abc"})])
    run = stored(repo)
    ref = run.task(TaskName("start", "1")).record.artifacts["x"]
    (chunk,) = ref.chunks
    lost = replace(ref, chunks=(replace(chunk, oid=Oid(b"\1" * 20)),))
    noted = Preview("what was noted")
    for said in (noted, None):
        monkeypatch.setattr(run, "preview", lambda _, said=said: said)
        found = run.shown(ref)
        assert found is not None
        assert "abc" in found.text
        assert run.shown(lost) is said
        assert run.shown(replace(ref, size=1 << 20)) is said
        assert run.shown(replace(ref, codec="unknown/9")) is said


def test_a_run_is_read_back(repo: GitRepo) -> None:
    """INFO, status, times, steps and tasks come back as they were written."""
    identity = make_run(repo)
    run = stored(repo)
    assert run.identity == identity
    assert run.status is Status.DONE
    assert run.info.parameters == {"alpha": "0.5"}
    assert run.state.started == run.info.created
    assert run.state.finished is not None
    assert 0 <= run.state.finished - run.state.started < 60
    assert str(run.state.code_commit) == repo.git("rev-parse", "HEAD")
    assert str(run.code_tree) == repo.git("rev-parse", "HEAD^{tree}")
    assert run.steps() == ["_parameters", "start", "train", "end"]
    assert run.tasks("train") == ["2", "3"]
    assert [str(record.name) for record in run.records("train")] == ["train/2", "train/3"]
    assert [str(task.name) for task in run.all_tasks()] == [
        "_parameters/0", "start/1", "train/2", "train/3", "end/4"
    ]  # fmt: skip


def test_a_task_is_read_back(repo: GitRepo) -> None:
    """Record, output and line times of a task come back."""
    make_run(repo)
    task = stored(repo).task(TaskName("start", "1"))
    assert task.record.ok
    assert task.record.artifacts["x"].size == 3
    assert task.output("stdout") == b"hello\n"
    assert task.output("stderr") == b""
    ((time, line),) = task.lines("stdout")
    assert line == "hello"
    assert time == pytest.approx(task.record.attempts[-1].finished, abs=1e-3)
    assert str(task.tree) == repo.git("rev-parse", "runs/MyFlow/1:steps/start/1")
    assert str(task.task_blob) == repo.git("rev-parse", "runs/MyFlow/1:steps/start/1/TASK")


def test_tasks_stand_in_the_order_of_their_numbers(repo: GitRepo) -> None:
    """Task 10 comes after task 9, named ones come last."""
    with start_run(repo) as writer:
        names = ["train/10", "train/9", "train/1", "train/1_node_1"]
        writer.commit([finished_task(writer.identity, name) for name in names])
    assert stored(repo).tasks("train") == ["1", "9", "10", "1_node_1"]


def test_a_young_run_has_no_steps(repo: GitRepo) -> None:
    """Before its first group commit a run has no tasks, and that is no error."""
    with start_run(repo):
        run = stored(repo)
        assert run.steps() == []
        assert list(run.all_tasks()) == []
        assert run.state.finished is None
        with pytest.raises(NotFound) as caught:
            run.tasks("start")
        assert caught.value.hint == "none of its tasks has finished yet"


def test_unknown_steps_and_tasks_name_their_neighbours(repo: GitRepo) -> None:
    """What is not there is an error that says what is."""
    make_run(repo)
    run = stored(repo)
    with pytest.raises(NotFound, match="MyFlow/1 has no step 'trian'") as caught:
        run.tasks("trian")
    assert caught.value.hint == "did you mean train?"
    with pytest.raises(NotFound, match="MyFlow/1/train has no task '7'") as caught:
        run.task(TaskName("train", "7"))
    assert caught.value.hint == "its tasks are 2, 3"


def test_a_stored_run_does_not_change(repo: GitRepo) -> None:
    """A run that was read stays at its commit while the run goes on."""
    with start_run(repo) as writer:
        before = stored(repo)
        writer.commit([finished_task(writer.identity, "start/1")], status=Status.DONE)
        assert before.steps() == []
        assert stored(repo).steps() == ["start"]


def test_a_malformed_record_names_its_task(repo: GitRepo) -> None:
    """Garbage instead of a record is a corrupt record of that task; the others are read."""
    make_run(repo)
    forged = rewritten(stored(repo), open_repo(repo), "3", TASK=b"\xc1garbage")
    assert forged.task(TaskName("train", "2")).record.ok
    with pytest.raises(CorruptRecord, match=r"MyFlow/1/train/3: "):
        list(forged.records("train"))


def test_a_record_without_its_blob_names_its_task(repo: GitRepo) -> None:
    """A task's directory without record says what it lacks."""
    make_run(repo)
    forged = rewritten(stored(repo), open_repo(repo), "3", TASK=b"")
    with pytest.raises(CorruptRecord, match=r"MyFlow/1/train/3: there is no entry TASK"):
        _ = forged.task(TaskName("train", "3")).record


def test_a_record_of_another_task_is_refused(repo: GitRepo) -> None:
    """A task's record must be the task's own."""
    make_run(repo)
    run, opened = stored(repo), open_repo(repo)
    other = opened.objects.blob(run.task(TaskName("train", "2")).task_blob)
    forged = rewritten(run, opened, "3", TASK=other)
    with pytest.raises(
        CorruptRecord, match=r"MyFlow/1/train/3: its record is that of task train/2"
    ):
        _ = forged.task(TaskName("train", "3")).record


def test_a_record_that_is_no_map_is_refused(repo: GitRepo) -> None:
    """Valid msgpack of another kind is no record."""
    make_run(repo)
    forged = rewritten(stored(repo), open_repo(repo), "3", TASK=msgpack.pack([1]))
    with pytest.raises(CorruptRecord, match="no TASK record"):
        list(forged.records("train"))


def test_a_missing_object_names_what_it_was_part_of(repo: GitRepo) -> None:
    """In a damaged repository the error says which task lost its record."""
    make_run(repo)
    opened = open_repo(repo)
    run = StoredRun(opened, "MyFlow", stored(repo).id, stored(repo).commit)
    task = run.task(TaskName("train", "3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(task), "task_blob", Oid(b"\1" * 20))
        with pytest.raises(CorruptRecord, match=r"MyFlow/1/train/3: object 0101"):
            _ = task.record


def test_a_foreign_commit_is_no_run(repo: GitRepo) -> None:
    """A ref of the user's own below refs/runs reads as what it is."""
    repo.git("update-ref", "refs/runs/MyFlow/1", "HEAD")
    with pytest.raises(CorruptRecord, match="MyFlow/1 is damaged: the message"):
        _ = stored(repo).status
    with pytest.raises(CorruptRecord, match="INFO of MyFlow/1: there is no entry INFO"):
        _ = stored(repo).info


def claim(repo: GitRepo, run: StoredRun, uid: Oid | None) -> StoredRun:
    """A child of `run`'s commit whose message claims another first commit."""
    opened = open_repo(repo)
    old = opened.objects.commit(run.commit)
    message = format_message(RunState("MyFlow/1", Status.DONE, 1.0, 2.0, uid=uid))
    forged = Commit(old.tree, (run.commit,), old.author, old.committer, message)
    return StoredRun(opened, "MyFlow", run.id, write(opened, ObjectType.COMMIT, forged.encode()))


def test_the_uid_is_the_first_commit(repo: GitRepo) -> None:
    """From the start, a run is identified by its first commit."""
    with start_run(repo) as writer:
        assert stored(repo).identity.uid == writer.identity.uid
        writer.commit([])
        writer.commit([], status=Status.DONE)
        assert stored(repo).identity.uid == writer.identity.uid


def test_a_first_commit_is_its_own(repo: GitRepo) -> None:
    """Also one that says that it belongs to another run with the same INFO."""
    uid, opened = make_run(repo).uid, open_repo(repo)
    assert StoredRun(opened, "MyFlow", RunId("1"), uid).identity.uid == uid
    message = format_message(RunState("MyFlow/1", Status.RUNNING, 1.0, uid=uid))
    old = opened.objects.commit(uid)
    forged = Commit(old.tree, (), old.author, old.committer, message)
    oid = write(opened, ObjectType.COMMIT, forged.encode())
    assert StoredRun(opened, "MyFlow", RunId("1"), oid).identity.uid == oid != uid


def test_a_history_without_end_is_no_runs(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the message does not say the uid, the first commit is looked for among as many as a run may have."""
    run = make_run(repo)
    ref = "refs/runs/MyFlow/1"
    message = repo.git("log", "-1", "--format=%B", str(run.uid))
    for _ in range(2):
        repo.git(
            "update-ref", ref, repo.git("commit-tree", "-p", ref, "-m", message, f"{ref}^{{tree}}")
        )
    above = int(repo.git("rev-list", "--count", ref)) - 1
    monkeypatch.setattr("gitflowrun.runs.read.MAX_STATES", above + 1)
    assert stored(repo).identity.uid == run.uid
    monkeypatch.setattr("gitflowrun.runs.read.MAX_STATES", above - 1)
    with pytest.raises(GitflowrunError, match=f"more than {above - 1} commits"):
        _ = stored(repo).identity


@pytest.mark.parametrize("lie", ["another run", "no commit", "nothing"])
def test_a_claimed_uid_is_not_believed(repo: GitRepo, lie: str) -> None:
    """A message that claims the identity of another run does not get it."""
    first, second = make_run(repo), make_run(repo)
    uids = {"another run": second.uid, "no commit": Oid(b"\1" * 20), "nothing": None}
    assert claim(repo, stored(repo), uids[lie]).identity.uid == first.uid


def test_lines_without_times(repo: GitRepo) -> None:
    """Output that has lost its times is still read line by line, undecodable bytes replaced."""
    with start_run(repo) as writer:
        task = finished_task(writer.identity, "start/1", stdout="x")
        odd = type(task)(task.record, {}, stdout=b"one\n\xfftwo\nthree", times=task.times)
        writer.commit([odd], status=Status.DONE)
    lines = list(stored(repo).task(TaskName("start", "1")).lines("stdout"))
    assert lines == [(None, "one"), (None, "\N{REPLACEMENT CHARACTER}two"), (None, "three")]


@given(st.sets(st.text("0123456789x-²", min_size=1, max_size=20), max_size=30))
def test_tasks_are_in_the_order_of_their_numbers(names: set[str]) -> None:
    """Whether or not all are plain numbers, which are not looked at one by one."""
    assert in_task_order(names) == sorted(names, key=task_order)
    numbers = {name for name in names if name.isdecimal() and name.isascii()}
    assert in_task_order(numbers) == sorted(numbers, key=task_order)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run of four tasks in its foreach that failed at its end. Nothing is changed."""
    repo = make_repo(tmp_path_factory.mktemp("read") / "repo")
    with start_run(repo) as writer:
        run = writer.identity
        writer.commit([finished_task(run, "_parameters/0"), finished_task(run, "start/1")])
        writer.commit([finished_task(run, f"train/{n}") for n in (2, 3, 4, 10)])
        bad = finished_task(run, "end/11", stdout="a\nb\n", stderr="boom\n", ok=False)
        edited = replace(bad.record, other_code={"f.py": "it was edited"})
        writer.commit([replace(bad, record=edited)], status=Status.FAILED)
    return stored(repo)


def test_what_a_failed_run_ended_up_with(failed: StoredRun) -> None:
    """It is the last step with one task that succeeded, and is not private."""
    found = failed.final_task()
    assert found is not None
    assert str(found.name) == "start/1"
    assert (found.status, failed.task(TaskName("end", "11")).status) == ("done", "failed")
    assert failed.end_step == "end"
    assert failed.has_step("train")
    assert not failed.has_step("trian")
    assert repr(found) == "StoredTask('MyFlow/1/start/1')"
    assert repr(failed) == f"StoredRun('MyFlow/1' at {failed.commit.short})"


def test_code_that_ran_otherwise_is_left_out(failed: StoredRun) -> None:
    """What tasks have noted stands beside what the snapshot lacks."""
    assert failed.other_code() == {"f.py": "it was edited in end"}
    assert failed.left_out() == {**failed.info.left_out, "f.py": "it was edited in end"}


def test_where_tasks_are_many_the_first_and_the_last_are_named(failed: StoredRun) -> None:
    """Up to three are all named; steps are, where none is called nearly so."""
    for step, hint in (("train", "its tasks are 2 … 10"), ("start", "its tasks are 1")):
        with pytest.raises(NotFound) as caught:
            failed.task(TaskName(step, "99"))
        assert caught.value.hint == hint
    with pytest.raises(NotFound) as caught:
        failed.tasks("elsewhere")
    assert caught.value.hint == "its steps are _parameters, start, train, end"


def test_streams_have_lines_and_times_of_their_own(failed: StoredRun) -> None:
    """What is written to one is not in the other."""
    task = failed.task(TaskName("end", "11"))
    assert [line for _, line in task.lines("stdout")] == ["a", "b"]
    ((moment, line),) = task.lines("stderr")
    assert line == "boom"
    assert moment is not None
    assert len(task._times[0]) == 2
    assert task.started == task.record.attempts[0].started
    assert task.output_size("stdout") == 4


def test_more_output_than_tasks_may_write_is_not_read_at_once(
    failed: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said how to read it; up to the limit, with what we add, it is."""
    task = failed.task(TaskName("end", "11"))
    monkeypatch.setattr("gitflowrun.runs.read.OUTPUT_NOTES", 4 - failed.repo.settings.max_log_size)
    assert task.output("stdout") == b"a\nb\n"
    with pytest.raises(TooLarge, match="stderr of MyFlow/1/end/11 has 5 bytes, and no more than 4"):
        task.output("stderr")
    assert b"".join(task.output_pieces("stderr")) == b"boom\n"


@pytest.mark.parametrize(
    ("method", "use", "what"),
    [
        ("tree_rows", lambda run, _: run.tasks("start"), "MyFlow/1/start"),
        ("tree_oids", lambda run, _: run.code_tree, "code of MyFlow/1: MyFlow/1"),
        ("tree_oids", lambda _, task: task.output("stdout"), "MyFlow/1/end/11"),
        ("size", lambda _, task: task.output_size("stdout"), "stdout of MyFlow/1/end/11"),
        ("pieces", lambda _, task: [*task.output_pieces("stderr")], "stderr of MyFlow/1/end/11"),
        ("blob", lambda _, task: task._times, "line times of MyFlow/1/end/11"),
        ("blob", lambda run, _: run.info, "INFO of MyFlow/1"),
    ],
)
def test_what_can_not_be_read_is_named(
    failed: StoredRun,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    use: Callable[[StoredRun, StoredTask], object],
    what: str,
) -> None:
    """Of which run, task and stream it is part; a missing object and a damaged one alike."""

    def fail(*_: object) -> None:
        raise errors[0]

    errors: list[Exception] = [CorruptRecord("it is damaged"), MissingObject("it is lost")]
    for error in [*errors]:
        run = StoredRun(failed.repo, failed.flow, failed.id, failed.commit)
        task = StoredTask(run, TaskName("end", "11"), failed.task(TaskName("end", "11")).tree)
        errors[0] = error
        with monkeypatch.context() as patched:
            patched.setattr(ObjectStore, method, fail)
            with pytest.raises(CorruptRecord) as caught:
                use(run, task)
        assert caught.value.message == f"{what}: {error}"


def test_previews_are_those_of_the_task_that_made_a_value(repo: GitRepo) -> None:
    """An inherited one has none of its own, under whatever name; of an unknown task there is none."""
    with start_run(repo) as writer:
        made = finished_task(writer.identity, "start/1", {"x": b"1", "y": b"2"})
        refs = made.record.artifacts
        seen = {name: replace(it, preview=b"p" + name.encode()) for name, it in refs.items()}
        writer.commit([replace(made, record=replace(made.record, artifacts=seen), blob=None)])
    run = stored(repo)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gitflowrun.runs.read.read_preview", lambda it: it)
        for ref, preview in (
            (seen["x"], b"px"), (refs["x"], b"px"), (refs["y"], b"py"),
            (replace(refs["x"], codec="raw/2"), b""), (replace(refs["x"], producer=TaskName("a", "9")), b""),
        ):  # fmt: skip
            assert cast("Any", run.preview(ref)) == preview


def test_pictures_are_found_below_the_task_that_made_the_figure(repo: GitRepo) -> None:
    """Under the name that it had there; of another figure, or one that its task does not list, there is none."""
    with start_run(repo) as writer:
        made = finished_task(writer.identity, "start/1", {"x": b"1", "y": b"2"})
        drawn = {
            name: replace(it, picture=Picture(".png", is_exact=True, chunk=it.chunks[0]))
            for name, it in made.record.artifacts.items()
        }
        writer.commit([replace(made, record=replace(made.record, artifacts=drawn), blob=None)])
    run, x, y = stored(repo), drawn["x"], drawn["y"]
    assert run.picture_path("x", x) == "steps/start/1/pictures/x.png"
    assert run.picture_path("elsewhere", y) == "steps/start/1/pictures/y.png"
    assert run.picture_path("x", y) == "steps/start/1/pictures/y.png"
    assert run.picture_path("x", replace(x, picture=None)) is None
    assert run.picture_path("x", replace(x, producer=TaskName("a", "9"))) is None
    other = Picture(".html", is_exact=True, chunk=x.chunks[0])
    assert run.picture_path("x", replace(x, picture=other)) is None


def test_without_info_steps_are_known_by_name(
    failed: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is not known then, nor which step is the last one, unless one is called `end`."""
    run = StoredRun(failed.repo, "MyFlow", failed.id, failed.commit)
    monkeypatch.setitem(run.__dict__, "_root", {b"steps": failed._root[b"steps"]})
    with pytest.raises(CorruptRecord, match="INFO of MyFlow/1: there is no entry INFO"):
        run.steps()
    assert run.known_steps() == ["_parameters", "end", "start", "train"]
    assert run.end_step == "end"
    assert run.final_task() is None
    monkeypatch.setitem(run.__dict__, "_steps", {})
    assert run.final_task() is None


def test_a_row_of_another_run_is_not_believed(failed: StoredRun) -> None:
    """Git has not compared a listed commit with its id: what speaks of another run is read again."""
    (row,) = store_of(GitRepo(failed.repo.work_tree or Path())).summaries()
    tree = "7" * 40
    assert failed.tree == failed.repo.objects.commit(failed.commit).tree
    args = failed.repo, "MyFlow", failed.id, failed.commit
    listed = StoredRun(*args, replace(row, tree=tree))
    assert (str(listed.tree), listed.state) == (tree, row.state)
    other = replace(row, tree=tree, state=replace(row.state, run="MyFlow/2"))
    assert StoredRun(*args, other).tree == failed.tree


@pytest.mark.parametrize("graph", [{}, {"steps": ["b"]}, {"steps": None}])
def test_steps_without_a_graph_are_in_the_order_of_their_names(graph: dict[str, object]) -> None:
    """Private ones come first; with a graph, what it does not have comes last."""
    assert order_steps(graph, ["b", "_p", "a"]) == ["_p", "a", "b"]
    steps: dict[str, object] = {"steps": {"z": {}, "b": {}, "a": {}}}
    assert order_steps(steps, ["a", "x", "b", "z", "_p"]) == ["_p", "z", "b", "a", "x"]


def test_numbers_that_are_too_long_are_names() -> None:
    """Python refuses thousands of digits; 18 are a number."""
    assert task_order("9" * 18) == (0, 10**18 - 1, "9" * 18)
    assert task_order("1" + "0" * 18) == (1, 0, "1" + "0" * 18)
    assert task_order("²") == (1, 0, "²")
    assert in_task_order(["10", "9", "0"]) == ["0", "9", "10"]
    assert in_task_order([]) == []
