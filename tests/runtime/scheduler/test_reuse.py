"""What a resumed run looks at before it takes tasks over: each object, also where they are small and many."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.digest import digest
from gitflowrun.git.objects import ObjectType, Oid, TreeEntry, tree_bytes
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.read import StoredRun, StoredTask
from gitflowrun.runtime.scheduler import reuse
from gitflowrun.runtime.scheduler.reuse import ReuseCheck
from tests.helpers.flows import foreach_flow, latest
from tests.helpers.packs import blob, objects_dir, pack_store
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, start_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of four tasks in a foreach. Its packs are written anew by tests."""
    repo = make_repo(tmp_path_factory.mktemp("reuse") / "repo")
    repo.write("f.py", foreach_flow("print('words')"))
    repo.commit()
    assert repo.flow("f.py", "run").code == 0
    return repo


@pytest.fixture(scope="module")
def objects(made: GitRepo) -> dict[Oid, tuple[ObjectType, bytes]]:
    """All objects of the repository."""
    rows = made.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    return {oid: latest(made).objects.read(oid) for oid in map(Oid.from_hex, rows)}


def _store(repo: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]]) -> StoredRun:
    """The repository's run where it has these objects and no others, under these ids, whatever they are."""
    for path in (objects_dir(repo) / "pack").iterdir():
        path.unlink()
    store = pack_store(repo)
    pack = [PackObject(kind, data, oid) for oid, (kind, data) in objects.items()]
    store.release([store.write(pack).name])
    return latest(repo)


def _of_task(task: StoredTask) -> dict[str, Oid]:
    rows = task.run.objects.tree(task.tree)
    (payloads,) = (row.oid for row in rows if row.is_tree)
    (chunk,) = task.run.objects.tree_oids(payloads).values()
    return {"tree": task.tree, "record": task.task_blob, "payloads": payloads, "value": chunk}


@pytest.mark.parametrize("part", ["tree", "record", "payloads", "value"])
@pytest.mark.parametrize("how", ["lost", "changed", "cut"])
@pytest.mark.sample(6)
def test_one_damaged_object_among_those_of_many_tasks_is_found(
    made: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]], part: str, how: str
) -> None:
    """Of all tasks exactly the one that it belongs to is not whole, and is named."""
    run = _store(made, objects)
    oid = _of_task([*run.tasks_of("work")][2])[part]
    kind, data = objects[oid]
    changed = {
        "lost": {},
        "changed": {oid: (kind, data[:-1] + b"!")},
        "cut": {oid: (kind, data[1:])},
    }
    run = _store(made, {it: objects[it] for it in objects.keys() - {oid}} | changed[how])
    tasks, check = [*run.tasks_of("work")], ReuseCheck(run)
    assert not check.are_whole(tasks)
    assert [check.is_whole(task) for task in tasks] == [True, True, False, True]
    assert all(tasks[2].pathspec in line for line in check.broken)
    assert str(oid) in check.broken[0]


def test_whole_tasks_are_read_in_the_order_of_packs(
    made: GitRepo,
    objects: dict[Oid, tuple[ObjectType, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No object of theirs is read by itself, in one pack or in many, nor where git made deltas of them."""
    run = _store(made, objects)
    for repack in (False, True):
        if repack:
            made.git("repack", "-adfq")
            run = latest(made)
        tasks, check = [*run.tasks_of("work")], ReuseCheck(run)
        with monkeypatch.context() as patch:
            patch.setattr(ReuseCheck, "_look", None)
            assert check.are_whole(tasks)
        assert check.broken == []


def test_a_value_under_another_ones_digest_is_found(
    made: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]]
) -> None:
    """Git finds such objects whole: only the value's BLAKE3 says that it is not what the task made."""
    run = _store(made, objects)
    value, other = blob(b"value"), digest(b"another").hex().encode()
    payloads = PackObject(
        ObjectType.TREE, tree_bytes([TreeEntry(0o100644, other, value.identify())])
    )
    record = next(run.tasks_of("work")).task_blob
    rows = [
        TreeEntry(0o100644, b"TASK", record),
        TreeEntry(0o040000, b"blake3", payloads.identify()),
    ]
    tree = PackObject(ObjectType.TREE, tree_bytes(rows))
    store = pack_store(made)
    store.release([store.write([value, payloads, tree]).name])
    run = latest(made)
    check = ReuseCheck(run)
    assert not check.are_whole([StoredTask(run, TaskName("work", "9"), tree.identify())])
    assert "is not what its BLAKE3 says" in check.broken[0]


@pytest.mark.parametrize("name", ["stdout", "times"])
@pytest.mark.parametrize("how", ["lost", "changed"])
def test_lost_output_is_found(
    made: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]], name: str, how: str
) -> None:
    """A task whose words are gone, or others, is not taken over as if it had said nothing, or those."""
    task = next(_store(made, objects).tasks_of("work"))
    oid = task.run.objects.tree_oids(task.tree)[name.encode()]
    kind, data = objects[oid]
    changed = {"lost": {}, "changed": {oid: (kind, data[:-1] + b"!")}}
    run = _store(made, {it: found for it, found in objects.items() if it != oid} | changed[how])
    check = ReuseCheck(run)
    assert not check.is_whole(next(run.tasks_of("work")))
    (line,) = check.broken
    assert line.startswith(f"{task.pathspec}: object {oid} ")


def test_a_picture_is_looked_for(
    made: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]]
) -> None:
    """It is filed under the figure's name, not under a BLAKE3."""
    record = next(_store(made, objects).tasks_of("work")).task_blob
    picture = blob(b"png")
    below = PackObject(
        ObjectType.TREE, tree_bytes([TreeEntry(0o100644, b"x.png", picture.identify())])
    )
    rows = [
        TreeEntry(0o100644, b"TASK", record),
        TreeEntry(0o040000, b"pictures", below.identify()),
    ]
    tree = PackObject(ObjectType.TREE, tree_bytes(rows))
    made_of = {it.identify(): (it.kind, bytes(it.data)) for it in (picture, below, tree)}
    task = TaskName("work", "9")
    run = _store(made, objects | made_of)
    check = ReuseCheck(run)
    assert check.is_whole(StoredTask(run, task, tree.identify())), check.broken
    del made_of[picture.identify()]
    run = _store(made, objects | made_of)
    check = ReuseCheck(run)
    assert not check.is_whole(StoredTask(run, task, tree.identify()))
    assert str(picture.identify()) in check.broken[0]


def test_of_very_many_bytes_the_first_are_read(
    made: GitRepo, objects: dict[Oid, tuple[ObjectType, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as are worth the time, and no object more; of the others it is known that they are here."""
    task = next(_store(made, objects).tasks_of("work"))
    value = _of_task(task)["value"]
    kind, data = objects[value]
    changed = objects | {value: (kind, data[:-1] + b"!")}
    for left, is_whole in ((0, True), (1, False)):
        monkeypatch.setattr(reuse, "REUSE_READ", left)
        check = ReuseCheck(run := _store(made, changed))
        assert check.is_whole(next(run.tasks_of("work"))) is is_whole
    lost = {oid: it for oid, it in objects.items() if oid != value}
    monkeypatch.setattr(reuse, "REUSE_READ", 0)
    check = ReuseCheck(run := _store(made, lost))
    assert not check.is_whole(next(run.tasks_of("work")))


def test_large_values_are_looked_at_by_themselves(tmp_path: Path) -> None:
    """A task beside whose small objects lies a large one is whole if that is, and not otherwise."""
    repo = make_repo(tmp_path / "repo")
    repo.write("f.py", foreach_flow("self.large = bytes(range(256)) * 400"))
    assert repo.flow("f.py", "run", "--n", "2").code == 0
    run = latest(repo)
    tasks = [*run.tasks_of("work")]
    assert ReuseCheck(run).are_whole(tasks)
    oid = tasks[0].record.artifacts["large"].chunks[0].oid
    rows = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    found = {it: run.objects.read(it) for it in map(Oid.from_hex, rows)}
    run = _store(repo, found | {oid: (ObjectType.BLOB, bytes(102_400))})
    check, ref = ReuseCheck(run), tasks[0].record.artifacts["large"]
    index = DedupIndex(run.repo.state_dir, run.objects)
    assert index.holders(ref.chunks)
    assert not check.are_whole(run.tasks_of("work"))
    assert not index.holders(ref.chunks)  # who makes the same value stores it again
    assert check.broken[0].startswith(f"{tasks[0].pathspec}/large: object {oid} ")


@pytest.mark.parametrize("part", ["tree", "TASK", "stdout", "payloads", "value"])
@pytest.mark.sample(2)
def test_what_an_earlier_attempt_has_left_is_looked_at(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A task is whole with all its attempts; what is damaged of one is named with it."""
    with start_run(repo) as writer:
        writer.commit([
            finished_task(
                writer.identity, "work/1", {"x": b"value %d" % number}, stdout=f"{number}\n", ok=number == 1,
                attempt=number, again=number == 0,
            )
            for number in range(2)
        ])  # fmt: skip
        writer.commit([], status=Status.DONE)
    rows = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    objects = {oid: latest(repo).objects.read(oid) for oid in map(Oid.from_hex, rows)}
    run = _store(repo, objects)
    task = run.task(TaskName("work", "1"))
    with monkeypatch.context() as patch:  # no object is read by itself
        patch.setattr(ReuseCheck, "_look", None)
        assert ReuseCheck(run).are_whole([task])
    attempt = task.at_attempt(0)
    entries = run.objects.tree_oids(attempt.tree)
    (value,) = run.objects.tree_oids(entries[b"blake3"]).values()
    named = {"tree": attempt.tree, "payloads": entries[b"blake3"], "value": value}
    lost = named[part] if part in named else entries[part.encode()]
    check = ReuseCheck(_store(repo, {it: objects[it] for it in objects.keys() - {lost}}))
    assert not check.are_whole([check._origin.task(task.name)])
    (line,) = check.broken
    assert line.startswith(f"attempt 0 of MyFlow/1/work/1{'/x' * (part == 'value')}: object {lost}")


@pytest.mark.parametrize("odd", ["00", "x", "file", "nested"])
def test_what_is_no_attempt_is_not_taken_over(repo: GitRepo, odd: str) -> None:
    """A stranger's task may have anything below `attempts`."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "work/1")], status=Status.DONE)
    run = latest(repo)
    task = run.task(TaskName("work", "1"))
    rows = run.objects.tree(task.tree)
    objects: list[PackObject] = []

    def tree(name: bytes, inside: list[TreeEntry]) -> TreeEntry:
        made = PackObject(ObjectType.TREE, tree_bytes(inside))
        objects.append(made)
        return TreeEntry(0o040000, name, made.identify())

    entry = {
        "file": lambda: TreeEntry(0o100644, b"0", task.task_blob),
        "nested": lambda: tree(b"0", [*rows, tree(b"attempts", [])]),
    }.get(odd, lambda: tree(odd.encode(), rows))()
    whole = tree(b"", [*rows, tree(b"attempts", [entry])])
    store = pack_store(repo)
    store.release([store.write(objects).name])
    check = ReuseCheck(latest(repo))
    assert not check.are_whole([StoredTask(latest(repo), task.name, whole.oid)])
    assert "attempt" in check.broken[0]
