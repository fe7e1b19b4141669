"""The attempts of a task as they are stored and read: each is published, and moves when the next one has ended."""

from __future__ import annotations

import pytest

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.git.objects import Mode, ObjectType, TreeEntry, tree_bytes
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import TaskName
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState, StartedTask, UnfinishedTask, observe
from gitflowrun.runs.read import StoredRun, StoredTask
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.trees import FinishedTask, make_object
from gitflowrun.runs.write import RunWriter
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run, store_of

NAME = TaskName("train", "2")
TREE = "steps/train/2"


def tried(run: RunIdentity, attempt: int, *, ok: bool = False, again: bool = True) -> FinishedTask:
    """What an attempt of the task has left."""
    values = {"x": b"%d" % attempt, "same": b"the same in all attempts"}
    return finished_task(
        run, str(NAME), values, stdout=f"attempt {attempt}\n", ok=ok, attempt=attempt,
        again=again and not ok,
    )  # fmt: skip


def stored_run(repo: GitRepo, run: RunIdentity) -> StoredRun:
    """The run as git has it now."""
    return store_of(repo).get(run.flow, run.id)


def begun(repo: GitRepo) -> RunWriter:
    """A run whose first tasks are there."""
    writer = start_run(repo)
    writer.commit([finished_task(writer.identity, "start/1")])
    return writer


def value(task: StoredTask, name: str = "x") -> object:
    """An artifact of it."""
    return ArtifactReader(task.run.objects).load(task.record.artifacts[name], trusted=False)


@pytest.mark.parametrize("groups", [([0], [1], [2]), ([0, 1], [2]), ([0], [1, 2]), ([0, 1, 2],)])
def test_each_attempt_is_published_and_stays(repo: GitRepo, groups: tuple[list[int], ...]) -> None:
    """The newest is the task's own tree, the others lie beside it as they were; nothing is written twice."""
    with begun(repo) as writer:
        run = writer.identity
        first = None
        for numbers in groups:
            writer.commit([tried(run, number, ok=number == 2) for number in numbers])
            if numbers == [0]:
                first = repo.git("rev-parse", f"runs/{run.pathspec}:{TREE}")
        writer.commit([], status=Status.DONE)
    ref = f"runs/{run.pathspec}"
    names = repo.git("ls-tree", "--name-only", ref, f"{TREE}/").split()
    assert names == [f"{TREE}/{it}" for it in ("TASK", "attempts", "blake3", "stdout", "times")]
    assert repo.git("ls-tree", "--name-only", f"{ref}:{TREE}/attempts").split() == ["0", "1"]
    for number in (0, 1):
        below = repo.git("ls-tree", "--name-only", f"{ref}:{TREE}/attempts/{number}").split()
        assert below == ["TASK", "blake3", "stdout", "times"]
    if first:
        assert repo.git("rev-parse", f"{ref}:{TREE}/attempts/0") == first
    assert repo.git("fsck", "--full", "--strict") == ""
    task = stored_run(repo, run).task(NAME)
    assert (task.status, task.number, task.is_over) == ("done", 2, True)
    for number in (0, 1, 2):
        seen = task.at_attempt(number)
        assert seen.output("stdout") == b"attempt %d\n" % number
        assert (value(seen), value(seen, "same")) == (b"%d" % number, b"the same in all attempts")
        assert (seen.number, seen.is_over) == (number, True)
        assert seen.status == ("done" if number == 2 else "failed")
        assert [it.number for it in seen.record.attempts] == [*range(number + 1)]
        assert [text for _, text in seen.lines("stdout")] == [f"attempt {number}"]
    with pytest.raises(NotFound, match="has no attempt 3") as caught:
        task.at_attempt(3)
    assert caught.value.hint == "it has 0, 1, 2"


def test_a_failed_attempt_that_is_followed_is_no_failure(repo: GitRepo) -> None:
    """Neither the run's commit nor the task says so while another attempt is to come; afterwards both do."""
    with begun(repo) as writer:
        run = writer.identity
        writer.commit([tried(run, 0)])
        live = stored_run(repo, run)
        assert (live.state.tasks, live.state.failed_step) == (1, "")
        assert (live.task(NAME).status, live.task(NAME).is_over) == ("running", False)
        writer.commit([tried(run, 1, again=False)], status=Status.FAILED)
    ended = stored_run(repo, run)
    assert (ended.state.tasks, ended.state.failed_step) == (1, "train")
    assert (ended.task(NAME).status, ended.task(NAME).is_over) == ("failed", True)


@pytest.mark.parametrize(("status", "said"), [(Status.FAILED, "failed"), (None, "unfinished")])
def test_an_attempt_that_never_came(repo: GitRepo, status: Status | None, said: str) -> None:
    """A run that ended without it says that the task failed; one whose scheduler was killed, that it has not ended."""
    with begun(repo) as writer:
        run = writer.identity
        writer.commit([tried(run, 0)])
        if status:
            writer.commit([finished_task(run, "train/3", ok=False)], status=status)
    ended = stored_run(repo, run)
    assert (ended.task(NAME).status, ended.task(NAME).is_over) == (said, bool(status))
    assert ended.state.failed_step == ("train" if status else "")
    assert ended.status is (status or Status.INTERRUPTED)


def test_a_commit_that_fails_leaves_the_attempts_as_they_were(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same attempts may be committed again."""
    with begun(repo) as writer:
        run = writer.identity
        writer.commit([tried(run, 0)])
        before = repo.git("rev-parse", f"runs/{run.pathspec}")
        with monkeypatch.context() as patch:
            patch.setattr(type(writer._repo.packs), "write", _full)
            with pytest.raises(OSError, match="full"):
                writer.commit([tried(run, 1), tried(run, 2, ok=True)])
        assert repo.git("rev-parse", f"runs/{run.pathspec}") == before
        writer.commit([tried(run, 1), tried(run, 2, ok=True)])
    task = stored_run(repo, run).task(NAME)
    assert [value(task.at_attempt(number)) for number in (0, 1, 2)] == [b"0", b"1", b"2"]


def _full(*_: object) -> None:
    raise OSError("full")


def test_an_attempt_that_runs_is_seen_with_those_before(repo: GitRepo) -> None:
    """Its output is its own, be the one before published or not; of a run that ended nothing of it is left."""
    with begun(repo) as writer:
        run = writer.identity
        live = LiveState(open_repo(repo), run.uid)
        live.start(StartedTask(NAME, 1.0, (), ()))
        live.write(NAME, "stdout", b"first")
        live.start(StartedTask(NAME, 2.0, (), (), 1))
        live.write(NAME, "stdout", b"second", 1)
        task = observe(stored_run(repo, run)).task(NAME)
        assert (task.number, task.status, task.record.attempts) == (1, "running", ())
        assert (task.output("stdout"), task.started) == (b"second", 2.0)
        assert task.at_attempt(1) is task
        with pytest.raises(NotFound, match="has no attempt 0"):
            task.at_attempt(0)
        writer.commit([tried(run, 0)])
        live.drop(NAME, 0)
        task = observe(stored_run(repo, run)).task(NAME)
        assert isinstance(task, UnfinishedTask)
        assert [it.number for it in task.record.attempts] == [0]
        assert (task.output("stdout"), task.started) == (b"second", task.record.attempts[0].started)
        assert task.at_attempt(0).output("stdout") == b"attempt 0\n"
        writer.commit([tried(run, 1, ok=True)])
        live.drop(NAME, 1)
        assert task.output("stdout") == b"attempt 1\n"
        assert not isinstance(observe(stored_run(repo, run)).task(NAME), UnfinishedTask)


@pytest.mark.parametrize("lost", ["attempts", "0", "TASK"])
def test_an_attempt_that_is_not_there_is_an_error_that_names_it(repo: GitRepo, lost: str) -> None:
    """The task itself is there all the same."""
    with begun(repo) as writer:
        run = writer.identity
        writer.commit([tried(run, 0), tried(run, 1, ok=True)])
    opened = open_repo(repo)
    task = stored_run(repo, run).task(NAME)
    rows = {row.name: row for row in opened.objects.tree(task.tree)}
    attempts = opened.objects.tree(rows.pop(layout.ATTEMPTS).oid)
    made: list[TreeEntry] = []
    objects: list[PackObject] = []
    if lost == "0":
        made = [_tree(objects, layout.ATTEMPTS, [])]
    elif lost == "TASK":
        inner = [row for row in opened.objects.tree(attempts[0].oid) if row.name != layout.TASK]
        made = [_tree(objects, layout.ATTEMPTS, [_tree(objects, b"0", inner)])]
    whole = _tree(objects, b"", [*rows.values(), *made])
    opened.packs.release([opened.packs.write(objects).name])
    broken = StoredTask(task.run, NAME, whole.oid)
    assert value(broken) == b"1"
    with pytest.raises(CorruptRecord, match=f"attempt 0 of {run.pathspec}/{NAME}"):
        broken.at_attempt(0).record  # noqa: B018  (it is read)


def _tree(objects: list[PackObject], name: bytes, rows: list[TreeEntry]) -> TreeEntry:
    oid, made = make_object(ObjectType.TREE, tree_bytes(rows))
    objects.append(made)
    return TreeEntry(Mode.TREE, name, oid)


def test_an_attempt_must_be_the_one_that_its_place_says(repo: GitRepo) -> None:
    """A record that is another attempt's is damage."""
    with begun(repo) as writer:
        run = writer.identity
        writer.commit([tried(run, 1), tried(run, 1, ok=True)])
    task = stored_run(repo, run).task(NAME)
    with pytest.raises(CorruptRecord, match="another attempt"):
        task.at_attempt(0).record  # noqa: B018  (it is read)
