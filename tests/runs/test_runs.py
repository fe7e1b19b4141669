from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitflowrun.errors import (
    CorruptRecord,
    InvalidPathspec,
    NotFound,
    RefConflict,
    RepositoryError,
    UsageError,
)
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.pack.publish import PackStore, WrittenPack
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.git.permissions import make_directory
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.locks import FileLock
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.settings import Durability
from gitflowrun.values import replace
from tests.helpers.packs import blob
from tests.helpers.repos import GitRepo
from tests.helpers.runs import (
    GRAPH,
    artifact,
    digest,
    draft,
    finished_task,
    make_run,
    open_repo,
    start_run,
    store_of,
    with_packs,
)

TAIL = "refs/runs/MyFlow/1"


def keeps(repo: GitRepo) -> list[str]:
    """The kept packs of a repository."""
    return [path.name for path in (repo.path / ".git/objects/pack").glob("*.keep")]


def test_a_run_exists_before_anything_runs(repo: GitRepo) -> None:
    """A run begins with a commit without parent that holds INFO alone, and a child that holds the work tree."""
    repo.write("new.py", "print()\n")
    with start_run(repo) as writer:
        uid = str(writer.identity.uid)
        assert repo.git("rev-parse", TAIL) == str(writer.commit_oid)
        assert repo.git("log", "--format=%H|%P|%s", TAIL).splitlines() == [
            f"{writer.commit_oid}|{uid}|MyFlow/1: running",
            f"{uid}||MyFlow/1: alpha=0.5",
        ]
        assert repo.git("ls-tree", "--name-only", uid) == "INFO"
        assert repo.git("show", f"{TAIL}:code/new.py") == "print()"
        assert repo.git("ls-tree", "--name-only", TAIL).split() == ["INFO", "code"]
        assert not keeps(repo)
    repo.fsck()


def test_a_clean_checkout_needs_no_new_code_objects(repo: GitRepo) -> None:
    """The code of a run in a clean checkout is HEAD's own tree."""
    make_run(repo)
    assert repo.git("rev-parse", f"{TAIL}:code") == repo.git("rev-parse", "HEAD^{tree}")


def test_groups_of_tasks_are_commits(repo: GitRepo) -> None:
    """Each group is a child commit whose message says how far the run is."""
    run = make_run(repo)
    assert repo.git("log", "--format=%s", TAIL).splitlines()[1:] == [
        "MyFlow/1: running, 3 tasks done",
        "MyFlow/1: running, 1 task done",
        "MyFlow/1: running",
        "MyFlow/1: alpha=0.5",
    ]
    assert repo.git("log", "-1", "--format=%s", TAIL).startswith("MyFlow/1: done, 4 tasks in ")
    trailers = repo.git("log", "-1", "--format=%(trailers:key=Status,key=Uid,valueonly)", TAIL)
    assert trailers.split() == [str(run.uid), "done"]
    repo.fsck()


def test_the_tree_of_a_run(repo: GitRepo) -> None:
    """Tasks hold their record, their output and what they made; data/ shows the result by name."""
    make_run(repo)
    names = repo.git("ls-tree", "-r", "--name-only", TAIL).splitlines()
    assert names == [
        "INFO",
        "code/README",
        "data/result.bin",
        "steps/_parameters/0/TASK",
        f"steps/_parameters/0/blake3/{digest(b'0.5')}",
        "steps/end/4/TASK",
        *sorted(f"steps/end/4/blake3/{digest(value)}" for value in (b"42", b"p")),
        "steps/start/1/TASK",
        f"steps/start/1/blake3/{digest(b'one')}",
        "steps/start/1/stdout",
        "steps/start/1/times",
        "steps/train/2/TASK",
        f"steps/train/2/blake3/{digest(b'2')}",
        "steps/train/3/TASK",
        f"steps/train/3/blake3/{digest(b'3')}",
    ]
    assert repo.git("show", f"{TAIL}:steps/start/1/stdout") == "hello"


@pytest.mark.parametrize(
    ("graph", "end"),
    [({**GRAPH, "end_step": "last"}, "last"), ({}, "end"), ({"end_step": ""}, "end")],
)
def test_the_result_is_that_of_the_last_step(
    repo: GitRepo, graph: dict[str, object], end: str
) -> None:
    """Whatever that is called; of a graph that does not say so it is `end`."""
    opened = open_repo(repo)
    with create_run(opened, replace(draft(), graph=graph), take_snapshot(opened)) as writer:
        tasks = [
            finished_task(writer.identity, f"{it}/1", {"x": it.encode()}) for it in ("last", "end")
        ]
        writer.commit(tasks, status=Status.DONE)
    assert repo.git("show", f"{TAIL}:data/x.bin") == end


def test_stock_git_works_on_runs(repo: GitRepo) -> None:
    """Log, show, diff, archive and mirror clones need nothing of ours."""
    make_run(repo)
    make_run(repo, result=b"43")
    assert repo.git("log", "--oneline", "runs/MyFlow/1").count("\n") == 4
    assert "MyFlow" in repo.git("show", "runs/MyFlow/1:INFO")
    diff = repo.git("diff", "runs/MyFlow/1", "runs/MyFlow/2", "--", "data")
    assert "-42" in diff
    assert "+43" in diff
    assert repo.git("archive", "runs/MyFlow/1:code", "-o", "code.tar") == ""
    repo.git("clone", "-q", "--mirror", ".", "mirror.git")
    mirror = GitRepo(repo.path / "mirror.git")
    mirror.fsck()
    assert mirror.git("rev-parse", TAIL) == repo.git("rev-parse", TAIL)


def test_runs_survive_the_users_housekeeping(repo: GitRepo) -> None:
    """gc, repack and pack-refs lose nothing and leave everything readable."""
    make_run(repo, tags=["keep"])
    repo.git("gc", "-q", "--prune=now")
    repo.git("repack", "-q", "-a", "-d")
    repo.git("pack-refs", "--all", "--prune")
    repo.fsck()
    stored = store_of(repo).get("MyFlow", "1")
    assert [task.record.ok for task in stored.all_tasks()] == [True] * 5


def test_a_group_may_be_empty_and_tasks_may_fail(repo: GitRepo) -> None:
    """A failed task is recorded, not counted as done; the subject names its step."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", ok=False, stderr="boom\n")])
        writer.commit([], status=Status.FAILED)
    subject = repo.git("log", "-1", "--format=%s", TAIL)
    assert subject.startswith("MyFlow/1: failed in start, 0 tasks done in ")
    assert store_of(repo).get("MyFlow", "1").status is Status.FAILED


def test_a_later_success_replaces_a_failure(repo: GitRepo) -> None:
    """A task that is committed again counts as what it is now."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", ok=False)])
        writer.commit([finished_task(writer.identity, "start/1", ok=True)], status=Status.DONE)
    assert "done, 1 task in" in repo.git("log", "-1", "--format=%s", TAIL)


def test_objects_of_a_run_are_written_once(repo: GitRepo) -> None:
    """What an earlier commit of the run holds is not written again."""
    opened = open_repo(repo)
    pack_dir = repo.path / ".git/objects/pack"
    with start_run(opened) as writer:
        sizes = []
        for number in (1, 2):
            task = finished_task(
                writer.identity, f"start/{number}", {"x": b"same" * 1000}, stdout="same\n" * 1000
            )
            before = set(pack_dir.glob("*.idx"))
            writer.commit([task])
            (index,) = set(pack_dir.glob("*.idx")) - before
            sizes.append(repo.git("verify-pack", "-v", str(index)).count(" blob "))
    assert sizes == [4, 2]  # TASK, times, stdout, payload; then TASK and times alone
    repo.fsck()


def test_equal_objects_of_a_group_are_written_once(repo: GitRepo) -> None:
    """A thousand tasks with the same output cost one blob."""
    with start_run(repo) as writer:
        tasks = [
            finished_task(writer.identity, f"train/{n}", {"x": b"same"}, stdout="same\n")
            for n in range(100)
        ]
        writer.commit(tasks)
    blobs = repo.git("rev-list", "--objects", TAIL).split()
    assert blobs.count(repo.git("hash-object", "--stdin", stdin=b"same")) == 1
    repo.fsck()


def test_chunks_in_a_tasks_own_pack_are_kept(repo: GitRepo) -> None:
    """A task's pack is released once the run refers to it, and survives gc from then on."""
    opened = open_repo(repo)
    with start_run(opened) as writer:
        pack = opened.packs.write([PackObject(ObjectType.BLOB, b"large")])
        task = finished_task(writer.identity, "start/1", {"x": b"large"})
        assert keeps(repo) == [f"{pack.name}.keep"]
        writer.commit([with_packs(task, pack.name)])
        assert not keeps(repo)
    repo.git("gc", "-q", "--prune=now")
    assert (
        repo.git("cat-file", "blob", f"{TAIL}:steps/start/1/blake3/{digest(b'large')}") == "large"
    )


def test_a_missing_payload_is_refused(repo: GitRepo) -> None:
    """A task whose payload is nowhere is not recorded; the error names run, step, task and artifact."""
    with start_run(repo) as writer:
        task = with_packs(finished_task(writer.identity, "start/1", {"x": b"lost"}))
        with pytest.raises(RepositoryError, match=r"payload of MyFlow/1/start/1/x is not"):
            writer.commit([task])
        assert repo.git("rev-parse", f"{TAIL}~1") == str(writer.identity.uid)


def test_a_payload_that_gc_takes_meanwhile_is_noticed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found in a pack that nothing reaches is looked for again, last thing before publication."""
    opened = open_repo(repo)
    old = opened.packs.write([PackObject(ObjectType.BLOB, b"of a run that was deleted")])
    opened.packs.release([old.name])
    write = type(opened.packs).write

    def write_while_gc_runs(store: PackStore, objects: Sequence[PackObject]) -> WrittenPack:
        repo.git("gc", "-q", "--prune=now")
        return write(store, objects)

    with start_run(opened) as writer:
        task = finished_task(writer.identity, "start/1", {"x": b"of a run that was deleted"})
        with monkeypatch.context() as patch:
            patch.setattr(type(opened.packs), "write", write_while_gc_runs)
            with pytest.raises(RepositoryError, match=r"payload of MyFlow/1/start/1/x is not"):
                writer.commit([with_packs(task)])
        assert repo.git("rev-parse", f"{TAIL}~1") == str(writer.identity.uid)
        assert not keeps(repo)
        writer.commit([task], status=Status.DONE)
    repo.fsck()


def test_a_wrong_payload_is_refused(repo: GitRepo) -> None:
    """A payload that does not match its record is never stored."""
    with start_run(repo) as writer:
        task = finished_task(writer.identity, "start/1", {"x": b"right"})
        wrong = FinishedTask(task.record, {digest(b"right"): b"wrong"})
        with pytest.raises(CorruptRecord, match="MyFlow/1/start/1/x"):
            writer.commit([wrong])


def test_an_inherited_artifact_needs_its_producer(repo: GitRepo) -> None:
    """A record that refers to a task outside the run is refused: git would drop the payload."""
    with start_run(repo) as writer:
        foreign = artifact(b"x", TaskName("start", "9"))
        task = finished_task(writer.identity, "train/2", inherited={"x": foreign})
        with pytest.raises(RepositoryError, match=r"artifact 'x' of task start/9"):
            writer.commit([task])


def test_tasks_of_one_group_may_inherit_from_each_other(repo: GitRepo) -> None:
    """Within a group the order of tasks does not matter."""
    with start_run(repo) as writer:
        run = writer.identity
        ref = artifact(b"x", TaskName("start", "1"))
        writer.commit(
            [
                finished_task(run, "train/2", inherited={"x": ref}),
                finished_task(run, "start/1", {"x": b"x"}),
            ]
        )
    repo.fsck()


@pytest.mark.parametrize("name", ["st.art/1", "start/a.b", "start/..", ".git/1", "start/x y"])
def test_names_that_git_could_mistake_are_refused(repo: GitRepo, name: str) -> None:
    """Steps and tasks become directories, so only plain names are taken."""
    with start_run(repo) as writer, pytest.raises(UsageError):
        writer.commit([finished_task(writer.identity, name)])


def test_a_failed_commit_can_be_repeated(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails, nothing changes, and the same group can be committed again."""
    opened = open_repo(repo)
    with start_run(opened) as writer:
        group = [finished_task(writer.identity, "start/1", {"x": b"1"})]
        with monkeypatch.context() as patch:
            patch.setattr(type(opened.packs), "write", _full_disk)
            with pytest.raises(RepositoryError, match="No space left"):
                writer.commit(group)
        assert repo.git("rev-parse", f"{TAIL}~1") == str(writer.identity.uid)
        writer.commit(group, status=Status.DONE)
    assert "done, 1 task in" in repo.git("log", "-1", "--format=%s", TAIL)
    repo.fsck()


def test_a_group_that_failed_leaves_no_trace(repo: GitRepo) -> None:
    """A group that is given up, and not repeated, is in no later commit either."""
    with start_run(repo) as writer:
        run = writer.identity
        writer.commit([finished_task(run, "start/1", {"x": b"1"})])
        good = finished_task(run, "train/2", {"y": b"2"})
        again = finished_task(run, "start/1", {"x": b"other"})
        end = finished_task(run, "end/4", {"z": b"4"})
        bad = with_packs(finished_task(run, "train/3", {"y": b"lost"}, ok=False))
        with pytest.raises(RepositoryError):
            writer.commit([good, again, end, bad])
        writer.commit([], status=Status.INTERRUPTED)
    stored = store_of(repo).get("MyFlow", "1")
    assert [str(task.name) for task in stored.all_tasks()] == ["start/1"]
    assert stored.task(TaskName("start", "1")).record.artifacts["x"].size == 1
    assert "interrupted, 1 task done" in repo.git("log", "-1", "--format=%s", TAIL)
    assert repo.git("ls-tree", "--name-only", TAIL).split() == ["INFO", "code", "steps"]
    repo.fsck()


def _full_disk(*_: object) -> None:
    raise RepositoryError("cannot write x: No space left on device")


def test_a_ref_moved_by_somebody_else_is_not_overwritten(repo: GitRepo) -> None:
    """The writer moves the ref only from its own last commit."""
    with start_run(repo) as writer:
        head = repo.git("rev-parse", "HEAD")
        repo.git("update-ref", TAIL, head)
        with pytest.raises(RefConflict):
            writer.commit([finished_task(writer.identity, "start/1")])
        assert repo.git("rev-parse", TAIL) == head
    assert not keeps(repo)


def test_a_repository_that_is_moved_away_meanwhile(repo: GitRepo, tmp_path: Path) -> None:
    """The error says where it was and how to go on; nothing is made at the old place, and what was recorded stays."""
    elsewhere = tmp_path / "elsewhere"
    with start_run(repo) as writer:
        run = writer.identity
        writer.commit([finished_task(run, "start/1", {"x": b"1"})])
        repo.path.rename(elsewhere)
        with pytest.raises(RepositoryError, match=r"\.git was moved or deleted while") as caught:
            writer.commit([finished_task(run, "end/2", {"x": b"2"})])
    assert f"resume {run.id}" in str(caught.value.hint)
    assert not repo.path.exists()
    stored = store_of(GitRepo(elsewhere)).get("MyFlow", "1")
    assert [str(task.name) for task in stored.all_tasks()] == ["start/1"]
    assert stored.status is Status.INTERRUPTED


def test_our_directories_never_make_a_git_directory(tmp_path: Path) -> None:
    """Where the git directory is gone, nothing of ours brings a hollow one back."""
    git_dir = tmp_path / "r" / ".git"
    with pytest.raises(FileNotFoundError):
        make_directory(git_dir / "gitflowrun" / "live" / "x")
    assert not git_dir.parent.exists()
    with pytest.raises(RepositoryError, match="No such file"):
        FileLock(git_dir / "gitflowrun" / "locks" / "ids").try_acquire()
    with pytest.raises(RepositoryError, match="No such file"):
        PackStore(
            git_dir / "objects", git_dir / "gitflowrun" / "incoming", durability=Durability.SAFE
        ).write([blob(b"x")])
    assert not git_dir.parent.exists()


def test_adopted_tasks_are_the_same_objects(repo: GitRepo) -> None:
    """A resumed run takes trees of its origin as they are, data/ included."""
    make_run(repo)
    store = store_of(repo)
    origin = store.get("MyFlow", "1")
    with start_run(repo) as writer:
        writer.adopt(origin, [task.name for task in origin.all_tasks()])
        writer.commit([], status=Status.DONE)
    for path in ("steps", "data", "steps/train/2"):
        assert repo.git("rev-parse", f"{TAIL}:{path}") == repo.git(
            "rev-parse", f"refs/runs/MyFlow/2:{path}"
        )
    assert "done, 4 tasks in" in repo.git("log", "-1", "--format=%s", "refs/runs/MyFlow/2")
    repo.fsck()


def test_whole_steps_are_adopted_as_they_are(repo: GitRepo) -> None:
    """The tree of a step is taken for all its tasks, which count and of which more can be added to."""
    make_run(repo)
    origin = store_of(repo).get("MyFlow", "1")
    with start_run(repo) as writer:
        others = [task.name for task in origin.all_tasks() if task.name.step != "train"]
        writer.adopt(origin, others, ["train"])
        writer.commit([], status=Status.RUNNING)
        taken = repo.git("rev-parse", f"{TAIL}:steps/train", "refs/runs/MyFlow/2:steps/train")
        assert len({*taken.split()}) == 1
        writer.commit([finished_task(writer.identity, "train/9")], status=Status.DONE)
    run = store_of(repo).get("MyFlow", "2")
    assert run.tasks("train") == [*origin.tasks("train"), "9"]
    assert run.state.tasks == 5
    repo.fsck()


def test_a_step_whose_tasks_are_gone_is_not_adopted(repo: GitRepo) -> None:
    """The error names the task that is missing."""
    make_run(repo)
    origin = store_of(repo).get("MyFlow", "1")
    lost = origin.task(TaskName("train", "3")).tree
    with start_run(repo) as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(writer._repo.objects), "missing", lambda _self, oids: [*{lost} & {*oids}]
        )
        with pytest.raises(RepositoryError, match="train/3 is not in this repository"):
            writer.adopt(origin, [], ["train"])


def test_adopting_an_unknown_task_names_it(repo: GitRepo) -> None:
    """A task that the origin does not have is not found."""
    make_run(repo)
    with start_run(repo) as writer, pytest.raises(NotFound, match="no task '9'"):
        writer.adopt(store_of(repo).get("MyFlow", "1"), [TaskName("train", "9")])


def test_a_large_artifact_is_described_in_data(repo: GitRepo) -> None:
    """Where a result has several chunks, data/ holds a text that lists them, and git diffs it."""
    opened = open_repo(repo)
    for second in (b"two", b"2"):
        with start_run(opened) as writer:
            name = TaskName("end", "1")
            ref = artifact(b"one", name, second)
            task = finished_task(writer.identity, "end/1", inherited={"model": ref})
            pack = opened.packs.write(
                [PackObject(ObjectType.BLOB, b"one"), PackObject(ObjectType.BLOB, second)]
            )
            writer.commit([with_packs(task, pack.name)], status=Status.DONE)
    text = repo.git("show", f"{TAIL}:data/model.bin.chunks").splitlines()
    assert text[:3] == ["type builtins.bytes", "codec bytes/1", "size 6"]
    assert text[-2:] == [f"chunk {digest(b'one')}", f"chunk {digest(b'two')}"]
    diff = repo.git("diff", "runs/MyFlow/1", "runs/MyFlow/2", "--", "data")
    assert "\n-size 6\n" in diff
    assert "\n+size 4\n" in diff
    assert f" chunk {digest(b'one')}" in diff
    repo.fsck()


def test_an_empty_artifact_is_an_empty_file(repo: GitRepo) -> None:
    """A payload of no bytes has no chunk and is shown as an empty file."""
    with start_run(repo) as writer:
        name = TaskName("end", "1")
        empty = artifact(b"", name)
        bare = type(empty)(empty.digest, 0, empty.codec, empty.type, (), name)
        writer.commit([finished_task(writer.identity, "end/1", inherited={"nothing": bare})])
    assert repo.git("cat-file", "-s", f"{TAIL}:data/nothing.bin") == "0"
    repo.fsck()


def test_closing_a_finished_run_frees_its_lock(repo: GitRepo) -> None:
    """While it runs a run is running; after its last commit it is what that says."""
    store = store_of(repo)
    with start_run(repo) as writer:
        stored = store.get("MyFlow", "1")
        assert stored.status is Status.RUNNING
        writer.commit([], status=Status.DONE)
    assert store.get("MyFlow", "1").status is Status.DONE
    assert not list((repo.path / ".git/gitflowrun/locks").glob("run-*"))


def test_a_run_given_up_is_interrupted(repo: GitRepo) -> None:
    """A run whose writer went away without a last commit was interrupted, here and in lists."""
    start_run(repo).close()
    store = store_of(repo)
    assert store.get("MyFlow", "1").status is Status.INTERRUPTED
    assert [run.status for run in store.summaries()] == [Status.INTERRUPTED]


def test_whether_a_run_goes_on_is_known_without_our_state(repo: GitRepo) -> None:
    """Deleting `.git/gitflowrun` makes no running run look interrupted, and no interrupted one look as if it ran."""
    store, state = store_of(repo), repo.path / ".git" / "gitflowrun"

    def statuses() -> set[Status]:
        return {store.get("MyFlow", "1").status, *(run.status for run in store.summaries())}

    with start_run(repo):
        shutil.rmtree(state)
        assert statuses() == {Status.RUNNING}
    shutil.rmtree(state, ignore_errors=True)
    assert statuses() == {Status.INTERRUPTED}
    assert "MyFlow/1  interrupted" in repo.call("list").out


def test_a_run_fetched_while_it_ran_stays_running(repo: GitRepo, tmp_path: Path) -> None:
    """Another clone can't know whether the run is alive; it says what it was told."""
    with start_run(repo):
        repo.git("clone", "-q", "--mirror", ".", str(tmp_path / "mirror.git"))
    mirror = store_of(GitRepo(tmp_path / "mirror.git"))
    assert mirror.get("MyFlow", "1").status is Status.RUNNING


def test_a_ref_in_the_way_is_named(repo: GitRepo) -> None:
    """A ref called like the flow's directory leaves no room for runs; the error says which."""
    repo.git("update-ref", "refs/runs/MyFlow", "HEAD")
    with pytest.raises(RefConflict, match="refs/runs/MyFlow/1"):
        start_run(repo)
    assert not keeps(repo)
    repo.fsck()


def test_the_door_finds_runs(repo: GitRepo) -> None:
    """Runs are found by flow and id; what is not there is named, with what is."""
    make_run(repo)
    make_run(repo, "Other")
    store = store_of(repo)
    assert store.get("MyFlow", "1").identity.uid == store.find("1").identity.uid
    latest = store.latest()
    assert latest is not None
    assert latest.pathspec == "Other/2"
    assert store.latest("Nowhere") is None
    with pytest.raises(NotFound, match="flow MyFlow has no run 7") as caught:
        store.get("MyFlow", "7")
    assert caught.value.hint == "its newest run is 1"
    with pytest.raises(NotFound) as caught:
        store.get("MyFlow", "2")
    assert caught.value.hint == "run 2 is one of Other"
    with pytest.raises(NotFound, match="no runs of flow 'MyFlo'") as caught:
        store.get("MyFlo", "1")
    assert caught.value.hint == "did you mean MyFlow?"
    with pytest.raises(InvalidPathspec):
        store.get("MyFlow", "one")
    with pytest.raises(InvalidPathspec, match="part of a run"):
        store.find("1/start")


def test_a_run_of_many_tasks_takes_little_memory() -> None:
    """10,000 tasks are remembered in about a megabyte."""
    import tracemalloc

    from gitflowrun.runs.trees import StepTree

    tree = StepTree()
    oid = hash_object(ObjectType.TREE, b"")
    tracemalloc.start()
    for number in range(10_000):
        tree.put(str(number), oid)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 2 << 20
    assert len(tree) == 10_000


def test_a_real_conflict_is_one(repo: GitRepo) -> None:
    """A ref that somebody else moved is still a conflict, and stays where it is."""
    with start_run(repo) as writer:
        head = repo.git("rev-parse", "HEAD")
        repo.git("update-ref", "refs/runs/MyFlow/1", head)
        with pytest.raises(RefConflict):
            writer.commit([])
    assert repo.git("rev-parse", "refs/runs/MyFlow/1") == head
