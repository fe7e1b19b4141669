"""Running tasks as others see them: while they run, from linked worktrees, and when their scheduler was killed."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import time

import pytest

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import (
    LiveState,
    ObservedRun,
    StartedTask,
    UnfinishedTask,
    observe,
    remove_live_state,
    sweep_live_states,
)
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import ForeachLevel
from gitflowrun.runs.write import RunWriter
from tests.helpers.descriptors import open_files
from tests.helpers.flows import Background, background, eventually, latest, linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run

WAIT = "while not os.path.exists('go'): time.sleep(.01)"
FLOW = linear_flow(
    "print('whole line', flush=True)\nsys.stderr.write('\\rbar 1'); sys.stderr.flush()\n" + WAIT,
    "print('at the end')",
)
ASK = """
from gitflowrun import Flow, Task, namespace
namespace(None)
run = Flow("F").latest_run
task = run["start"].task
print([step.id for step in run], run.status, run.finished, run.end_task, run.data, run["start"].finished_at)
print(repr(task.stdout), repr(task.stderr), task.stdout_size, [text for _, text in task.loglines("stdout")])
print(task.finished, task.successful, task.finished_at, task.exception, list(task), task.data, task.current_attempt)
assert Task(task.pathspec) == task and task.created_at >= run.created_at and task.index is None
assert [entry.name for entry in task.metadata if entry.name == "attempt_ok"] == []
"""


def _started(repo: GitRepo) -> Background:
    repo.write("f.py", FLOW)
    repo.write("ask.py", ASK)
    flow = background(repo, "f.py", "run")
    flow.wait_for("whole line")
    run = latest(repo)
    task = TaskName("start", "1")
    assert eventually(lambda: observe(run).task(task).output("stderr")) == b"\rbar 1"
    return flow


def _check_client(repo: GitRepo, status: str) -> None:
    done = repo.python("ask.py")
    assert done.out.splitlines() == [
        f"['start'] {status} False None None None",
        r"'whole line\n' '\rbar 1' 11 ['whole line']",
        "False False None None [] <MetaflowData: > 0",
    ], done.err


def _check_commands(repo: GitRepo, word: str) -> None:
    output = "whole line\n\rbar 1"
    assert repo.call("logs").out == repo.call("logs", "F/1/start/1").out == output
    assert repo.flow("f.py", "--quiet", "logs", "1/start").out == output
    (task,) = json.loads(repo.call("show", "1/start", "--json").out)["tasks"]
    assert (task["status"], task["ok"], task["seconds"]) == (word, False, None)
    (run,) = json.loads(repo.call("list", "--json").out)
    assert run["started"] <= task["started"] <= time.time()
    assert f"1 {word}" in repo.call("show", "1").out
    assert repo.call("show", "1/start/1").code == 0
    assert repo.flow("f.py", "dump", "1/start").code == 0


def test_a_running_task_is_seen_by_everybody(repo: GitRepo) -> None:
    """Client, `git runs logs` and `show`, `logs` of the flow; from a linked worktree, too; then git has it all."""
    repo.write("f.py", FLOW)
    repo.write("ask.py", ASK)
    repo.commit()
    repo.git("worktree", "add", "-q", "../other")
    flow = _started(repo)
    _check_client(repo, "running")
    _check_commands(repo, "running")
    _check_client(GitRepo(repo.path.parent / "other"), "running")
    following = background(repo, "-m", "gitflowrun.cli.git_runs.main", "logs", "-f", "1")
    following.wait_for("whole line")
    repo.write("go", "")
    assert flow.wait() == 0
    assert following.wait() == 0
    assert following.output.read_bytes() == b"whole line\n\rbar 1\nat the end\n"
    assert repo.call("logs").out == "whole line\n\rbar 1\nat the end\n"
    assert not list((open_repo(repo).state_dir / "live").iterdir())


def test_what_was_written_before_the_scheduler_was_killed_is_shown(repo: GitRepo) -> None:
    """With the dead run, which can be resumed."""
    flow = _started(repo)
    os.kill(flow.children()["scheduler"], signal.SIGKILL)
    flow.wait()
    _check_client(repo, "interrupted")
    _check_commands(repo, "unfinished")
    repo.write("go", "")
    assert repo.flow("f.py", "resume", "1").code == 0
    assert repo.call("logs", "1").out == "whole line\n\rbar 1"


@pytest.mark.parametrize("kind", ["fork", "batch", "fresh", "inline"])
def test_a_task_finds_itself(repo: GitRepo, kind: str) -> None:
    """From its first moment on: by its pathspec, in its step, in its run."""
    start = (
        "from gitflowrun import Task\n"
        "assert Task(current.pathspec, _namespace_check=False) == current.task\n"
        "assert not current.task.finished\n"
        "assert current.run['start'].task.id == current.task_id\n"
        "assert [step.id for step in current.run] == ['start']\n"
        "assert not list(current.task.parent_tasks)"
    )
    end = "assert [task.id for task in current.task.parent_tasks] == ['1']\n"
    repo.write("f.py", linear_flow(start, end))
    done = repo.flow("f.py", "run", env={"GITFLOWRUN_ISOLATION": kind})
    assert done.code == 0, done.out


def test_a_torn_record_and_an_old_state_do_no_harm(repo: GitRepo) -> None:
    """What a killed scheduler had half written is passed over; after a week the state is removed."""
    flow = _started(repo)
    os.kill(flow.children()["scheduler"], signal.SIGKILL)
    flow.wait()
    opened, run = open_repo(repo), latest(repo)
    live = LiveState(opened, run.identity.uid)
    top = opened.state_dir / "live" / str(run.identity.uid)
    live.start(StartedTask(TaskName("start", "2"), 1.0, (), ()))
    with (top / "tasks").open("ab") as file:
        file.write(b"\0\0\0\x40torn")
    assert observe(run).tasks("start") == ["1", "2"]
    (top / "tasks").rename(top / "aside")
    (top / "tasks").symlink_to("aside")
    with pytest.raises(NotFound, match="no step 'start'"):
        observe(run).tasks("start")
    (top / "aside").replace(top / "tasks")
    sweep_live_states(opened)
    assert top.exists()
    for path in (top, *top.rglob("*")):
        os.utime(path, (0, 0))
    sweep_live_states(opened)
    assert not top.exists()
    assert observe(run) is run


def test_a_clone_sees_what_is_stored(repo: GitRepo) -> None:
    """Live state stays where it is: a run that was fetched while it ran has its finished tasks."""
    flow = _started(repo)
    other = make_repo(repo.path.parent / "clone")
    other.git("fetch", "-q", str(repo.path), "refs/runs/F/1:refs/runs/F/1")
    assert other.call("logs", "1").out == ""
    repo.write("go", "")
    assert flow.wait() == 0


def test_nobody_else_reads_what_runs_write_meanwhile(repo: GitRepo) -> None:
    """Output of running tasks lies in directories of their owner alone, whatever the umask, also when made anew."""
    run = make_run(repo)
    old = os.umask(0)
    try:
        for _ in range(2):
            LiveState(open_repo(repo), run.uid).write(TaskName("start", "1"), "stdout", b"secret")
            top = repo.path / ".git/gitflowrun"
            made = [
                top,
                *(path for path in [top / "live", *(top / "live").rglob("*")] if path.is_dir()),
            ]
            assert len(made) == 4
            assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
            files = [path for path in (top / "live").rglob("*") if path.is_file()]
            assert [path.name for path in files if path.stat().st_mode & 0o111] == []
            shutil.rmtree(top)
    finally:
        os.umask(old)


def test_packed_refs_that_a_power_cut_has_emptied(repo: GitRepo) -> None:
    """An empty file is one without refs: runs are made, listed and numbered beside it as before."""
    first = make_run(repo)
    (repo.path / ".git/packed-refs").write_bytes(b"")
    for _ in range(2):
        make_run(repo)
    listed = json.loads(repo.call("list", "--json").out)
    assert [row["id"] for row in listed] == ["3", "2", "1"]
    assert listed[-1]["uid"] == str(first.uid)
    assert repo.call("doctor").code == 0
    repo.git("pack-refs", "--all")
    assert json.loads(repo.call("list", "--json").out) == listed
    repo.fsck()


PARENT, FIRST, SECOND = TaskName("start", "1"), TaskName("train", "2"), TaskName("train", "3")
LEVEL = ForeachLevel("start", "items", 2, 1, "y")


def _live(writer: RunWriter, repo: GitRepo) -> LiveState:
    """A run with a published task, two that have started, and what one of these has written."""
    writer.commit([finished_task(writer.identity, "start/1", stdout="published\n")])
    live = LiveState(open_repo(repo), writer.identity.uid)
    live.start(StartedTask(PARENT, 1.0, (), ()))
    live.start(StartedTask(FIRST, 2.0, (PARENT,), (LEVEL,)))
    live.start(StartedTask(SECOND, 3.0, (PARENT,), ()))
    for stream, data in (("stdout", b"one\n"), ("stdout", b"two"), ("stderr", b"err")):
        live.write(FIRST, stream, data)
    return live


def test_half_an_entry_hides_no_other_task(repo: GitRepo) -> None:
    """A file that can't grow any more takes a part of an entry: that task is left out, later ones are seen."""
    with start_run(repo) as writer:
        live = _live(writer, repo)
        size = (
            (open_repo(repo).state_dir / "live" / str(writer.identity.uid) / "tasks").stat().st_size
        )
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, hard))
        try:
            live.start(StartedTask(TaskName("train", "4"), 4.0, (), ()))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        live.start(StartedTask(TaskName("train", "5"), 5.0, (), ()))
        assert observe(latest(repo)).tasks("train") == ["2", "3", "5"]


def test_what_older_releases_wrote_is_read(repo: GitRepo) -> None:
    """Entries without the attempt, or without the machine."""
    with start_run(repo) as writer:
        live = _live(writer, repo)
        live.start(StartedTask(TaskName("train", "4"), 4.0, (), (), 2, "node1"))
        path = open_repo(repo).state_dir / "live" / str(writer.identity.uid) / "tasks"
        for fields in (["train/5", 5.0, [], []], ["train/6", 6.0, [], [], 1]):
            entry = msgpack.pack(fields)
            path.write_bytes(path.read_bytes() + len(entry).to_bytes(4, "big") + entry)
        run = observe(latest(repo))
        found = [run.task(TaskName("train", it)) for it in ("4", "5", "6")]
        assert [(it.number, it.host) for it in found if isinstance(it, UnfinishedTask)] == [
            (2, "node1"), (0, ""), (1, ""),
        ]  # fmt: skip


def test_unfinished_tasks_stand_beside_those_that_are_published(repo: GitRepo) -> None:
    """In their steps, with what is known of them; what git has is read from there."""
    with start_run(repo) as writer:
        live = _live(writer, repo)
        run = observe(latest(repo))
        assert isinstance(run, ObservedRun)
        assert (run.steps(), run.tasks("train")) == (["start", "train"], ["2", "3"])
        assert run.tasks("start") == ["1"]
        assert [str(task.name) for task in run.tasks_of("train")] == ["train/2", "train/3"]
        assert run.task(PARENT).output("stdout") == b"published\n"
        assert run.task(PARENT).status == "done"
        task = run.task(FIRST)
        assert (task.status, task.started) == ("running", 2.0)
        record = task.record
        assert (record.name, record.run) == (FIRST, writer.identity)
        assert (record.parents, record.frames, record.attempts) == ((PARENT,), (LEVEL,), ())
        assert (task.output("stdout"), task.output_size("stdout")) == (b"one\ntwo", 7)
        assert [*task.lines("stderr")] == [(None, "err")]
        assert (run.task(SECOND).output("stdout"), run.task(SECOND).output_size("stderr")) == (
            b"",
            0,
        )
        with pytest.raises(NotFound, match="train/2 has not finished"):
            _ = task.task_blob
        with pytest.raises(NotFound, match="no step 'end'"):
            run.tasks("end")
        for step, hint in (("train", "its tasks are 2, 3"), ("start", "its tasks are 1")):
            with pytest.raises(NotFound, match=f"{step} has no task '9'") as caught:
                run.task(TaskName(step, "9"))
            assert caught.value.hint == hint
        before = open_files()
        live.write(FIRST, "stdout", b"more")
        assert open_files() == before
        live.close()
        assert open_files() == before - 1
    assert not (open_repo(repo).state_dir / "live" / str(writer.identity.uid)).exists()


def test_who_reads_while_a_task_is_published_loses_nothing(repo: GitRepo) -> None:
    """Its output is in git by then; of one that is in neither there is none."""
    with start_run(repo) as writer:
        live = _live(writer, repo)
        task = observe(latest(repo)).task(FIRST)
        other = observe(latest(repo)).task(SECOND)
        live.drop(FIRST)
        assert (task.output_size("stdout"), task.output("stdout")) == (0, b"")
        writer.commit([finished_task(writer.identity, "train/2", stdout="whole\n")])
        assert (task.output_size("stdout"), task.output("stdout")) == (6, b"whole\n")
        assert (other.output_size("stdout"), other.output("stdout")) == (0, b"")
        live.close()


def test_a_run_that_has_ended_is_as_it_is_stored(repo: GitRepo) -> None:
    """Whatever is left of its live state; so is one that has none, or one in whose place a link is."""
    with start_run(repo) as writer:
        assert observe(run := latest(repo)) is run
        live = _live(writer, repo)
        top = open_repo(repo).state_dir / "live" / str(writer.identity.uid)
        moved = top.rename(repo.path / "moved")
        top.symlink_to(moved)
        assert observe(run := latest(repo)) is run
        top.unlink()
        moved.rename(top)
        writer.commit([], status=Status.DONE)
        assert observe(run := latest(repo)) is run
        remove_live_state(open_repo(repo), writer.identity.uid)
        assert not top.exists()
        live.close()


def test_a_dead_runs_tasks_are_unfinished(repo: GitRepo) -> None:
    """Nobody runs them any more. Where what git has of a step can't be read, none of its tasks is called so."""
    writer = start_run(repo)
    _live(writer, repo)
    writer.close()
    run = observe(latest(repo))
    assert run.task(SECOND).status == "unfinished"
    run = observe(latest(repo))
    with pytest.MonkeyPatch.context() as patch:

        def unreadable(*_: object) -> list[str]:
            raise CorruptRecord("damaged")

        patch.setattr(StoredRun, "tasks", unreadable)
        assert isinstance(run, ObservedRun)
        assert set(run._unfinished) == {FIRST, SECOND}


@pytest.mark.parametrize("place", ["live", "live/x/tasks"])
def test_live_state_that_can_not_be_written_harms_nobody(repo: GitRepo, place: str) -> None:
    """A run goes on without it."""
    opened = open_repo(repo)
    with start_run(opened) as writer:
        uid = str(writer.identity.uid)
        there = opened.state_dir / place.replace("x", uid)
        there.parent.mkdir(parents=True, exist_ok=True)
        if place == "live":
            there.write_text("in the way")
        else:
            there.mkdir()
        live = LiveState(opened, writer.identity.uid)
        live.start(StartedTask(FIRST, 2.0, (), ()))
        live.write(FIRST, "stdout", b"x")
        live.drop(FIRST)
        live.close()


def test_live_state_that_can_not_be_removed_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends no run."""
    opened = open_repo(repo)
    with start_run(opened) as writer:
        live = LiveState(opened, writer.identity.uid)
        live.start(StartedTask(FIRST, 2.0, (), ()))

        def busy(*_: object, **__: object) -> None:
            raise OSError(errno.EBUSY, "Device or resource busy")

        monkeypatch.setattr(os, "unlink", busy)
        live.close()
        monkeypatch.undo()
    assert (opened.state_dir / "live" / str(writer.identity.uid) / "tasks").exists()
