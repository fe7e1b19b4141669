"""The trees of a run as they grow, without a repository."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.reference import ArtifactRef, Chunk, Picture
from gitflowrun.errors import CorruptRecord, RepositoryError, UsageError
from gitflowrun.git.objects import ObjectType, Oid, TreeEntry, hash_object, parse_tree
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs import layout, trees
from gitflowrun.runs.records import RunIdentity, TaskRecord
from gitflowrun.runs.trees import (
    FinishedTask,
    GroupObjects,
    ReachableObjects,
    RunTree,
    StepTree,
    TaskCards,
    data_entries,
    task_blob,
)
from gitflowrun.values import replace
from tests.helpers.runs import artifact, digest

INFO, CODE = Oid(b"i" * 20), Oid(b"c" * 20)
RUN = RunIdentity("F", RunId("1"), Oid(b"u" * 20))
TASK = TaskName("train", "2")


def oid(number: int) -> Oid:
    """Some id."""
    return Oid(bytes([number]) * 20)


def rows(data: bytes) -> dict[str, Oid]:
    """Names and ids of a tree, in its order."""
    return {row.name.decode(): row.oid for row in parse_tree(data)}


class Existing(dict[Oid, Path]):
    """The objects of a repository: where each is."""

    def exists(self, oid: Oid) -> bool:
        """Whether it is there."""
        return oid in self

    def homes(self, oids: Collection[Oid]) -> dict[Oid, Path]:
        """The packs of some of them."""
        return {it: self[it] for it in oids if it in self}


def group(existing: Mapping[Oid, Path] | None = None, known: Collection[Oid] = ()) -> GroupObjects:
    """A group commit's objects, where these exist and those are known to the run."""
    reachable = ReachableObjects()
    reachable.add(known)
    return GroupObjects("F/1", cast("Any", Existing(existing or {})), reachable)


def finished(*refs: tuple[str, ArtifactRef], name: TaskName = TASK, **more: Any) -> FinishedTask:
    """A task with these artifacts."""
    return FinishedTask(TaskRecord(name, RUN, artifacts=dict(refs)), **{"inline": {}, **more})


def entries_of(objects: GroupObjects, tree: Oid) -> dict[str, Oid]:
    """The entries of a tree that is to be written."""
    data = {it.oid: it for it in objects.objects()}[tree]
    assert data.kind is ObjectType.TREE
    return rows(bytes(data.data))


def test_tasks_of_a_step_are_in_gits_order() -> None:
    """However they come: git compares directories as if they ended in a slash. What is put again is replaced."""
    step = StepTree({"10": oid(1), "1": oid(2)})
    assert step.put("1-x", oid(3)) is None
    assert step.put("2", oid(4)) is None
    assert step.put("1", oid(5)) == oid(2)
    assert rows(step.encode()) == {"1-x": oid(3), "1": oid(5), "10": oid(1), "2": oid(4)}
    assert [*rows(step.encode())] == ["1-x", "1", "10", "2"]
    assert len(step) == 4
    assert "1" in step
    assert "3" not in step
    assert "1-" not in step
    assert step.put("1", None) == oid(5)
    assert step.put("3", None) is None
    assert ("1" in step, len(step)) == (False, 3)
    assert rows(StepTree().encode()) == {}


def test_a_tree_has_only_what_was_written() -> None:
    """What was put and could not be written is forgotten; trees that did not change are not made again."""
    tree = RunTree(INFO, CODE)
    root, objects = tree.build()
    assert [it.oid for it in objects] == [root]
    assert rows(bytes(objects[0].data)) == {"INFO": INFO, "code": CODE}
    tree.steps.put("_parameters", "0", oid(1))
    tree.steps.put("start", "1", oid(2))
    tree.put_data([TreeEntry(0o100644, b"x", oid(3))])
    tree.cards.put("start", "1", oid(7))
    root, objects = tree.build()
    assert len(objects) == 7
    assert [*rows(bytes(objects[-1].data))] == ["INFO", "cards", "code", "data", "steps"]
    again, same = tree.build()
    assert (again, len(same)) == (root, 7)
    tree.published()
    again, same = tree.build()
    assert (again, len(same)) == (root, 4)
    assert (tree.steps.count(), tree.steps.has("start", "1"), tree.steps.has("start", "2")) == (
        1,
        True,
        False,
    )
    assert not tree.steps.has("end", "1")
    tree.steps.put("start", "1", oid(4))
    tree.steps.put("start", "1", oid(5))
    tree.steps.put("end", "2", oid(6))
    tree.put_data([])
    tree.cards.put("start", "1", oid(8))
    tree.cards.put("end", "2", oid(8))
    assert tree.steps.count() == 2
    assert tree.build()[0] != root
    tree.revert()
    assert (tree.steps.count(), tree.steps.has("end", "2")) == (1, False)
    assert tree.build()[0] == root
    tree.steps.put("start", "1", oid(4))
    tree.accept()
    tree.revert()
    assert tree.build()[0] != root


def test_a_step_is_taken_whole() -> None:
    """Its tree is the one that it was, until a task is added."""
    tree = RunTree(INFO, CODE)
    tree.steps.put_step("work", oid(9), {"1": oid(1), "2": oid(2)})
    _, objects = tree.build()
    assert rows(bytes(objects[0].data)) == {"work": oid(9)}
    assert (tree.steps.count(), tree.steps.has("work", "2")) == (2, True)
    tree.steps.put("work", "3", oid(3))
    _, objects = tree.build()
    assert rows(bytes(objects[0].data)) == {"1": oid(1), "2": oid(2), "3": oid(3)}


def test_of_very_many_objects_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as take little memory."""
    monkeypatch.setattr(trees, "_MOST_REACHABLE", 3)
    known = ReachableObjects()
    known.add(map(oid, range(3)))
    assert all(oid(n) in known for n in range(3))
    known.add([oid(3), oid(4)])
    assert [n for n in range(5) if oid(n) in known] == [2, 3, 4]


def test_the_tree_of_a_task() -> None:
    """Record, output in parts, times, payloads; what other tasks may have as well can be remembered."""
    objects, ref = group(), artifact(b"one", TASK, b"two")
    inline = {digest(b"one"): b"one", digest(b"two"): b"two"}
    inherited = artifact(b"other", TaskName("start", "1"))
    task = finished(
        ("x", ref),
        ("y", inherited),
        ("z", ref),
        inline=inline,
        stdout=b"out",
        stderr=b"err",
        times=b"t",
    )
    tree = objects.add_task(task)
    found = entries_of(objects, tree)
    blobs = {
        name: hash_object(ObjectType.BLOB, it)
        for name, it in (("stdout", b"out"), ("stderr", b"err"), ("times", b"t"))
    }
    assert found == {**blobs, "TASK": task_blob(task.record)[0], "blake3": found["blake3"]}
    chunks = {str(it.digest): it.oid for it in ref.chunks}
    assert entries_of(objects, found["blake3"]) == chunks
    assert objects.repeatable == {blobs["stdout"], blobs["stderr"], *chunks.values()}
    assert len(objects.objects()) == 8
    assert objects.found([]) == []
    given = replace(
        finished(name=TaskName("train", "3")), blob=PackObject(ObjectType.BLOB, b"b", oid(7))
    )
    assert entries_of(objects, objects.add_task(given)) == {"TASK": oid(7)}


def test_what_a_run_has_is_not_written_again() -> None:
    """Nor looked for."""
    ref = artifact(b"known", TASK)
    objects = group(known=[ref.chunks[0].oid, hash_object(ObjectType.BLOB, b"out")])
    objects.add_task(finished(("x", ref), stdout=b"out"))
    written = {bytes(it.data) for it in objects.objects()}
    assert b"out" not in written
    assert objects.found([]) == []


def test_payloads_that_others_wrote_must_be_there() -> None:
    """When the task is added, and at the very end; those in packs of the group's own are its own."""
    mine, other = artifact(b"mine", TASK), artifact(b"other", TASK)
    existing = {
        it.chunks[0].oid: Path(f"{n}.pack") for n, it in (("pack-a", mine), ("pack-b", other))
    }
    objects = group(existing)
    objects.add_task(finished(("x", mine), ("y", other)))
    assert objects.found(["pack-a"]) == [other.chunks[0]]
    assert objects.found([]) == [mine.chunks[0], other.chunks[0]]
    objects.check_again()
    del cast("Any", objects._existing)[other.chunks[0].oid]
    assert objects.found(["pack-a", "pack-b"]) == [other.chunks[0]]
    with pytest.raises(RepositoryError, match=r"the payload of F/1/train/2/y is not in the repo"):
        objects.check_again()
    with pytest.raises(RepositoryError, match=r"the payload of F/1/train/2/x is not in the repo"):
        group().add_task(finished(("x", mine)))


@pytest.mark.parametrize("wrong", ["oid", "size"])
def test_a_payload_must_be_what_its_record_says(wrong: str) -> None:
    """Whatever the task says."""
    ref = artifact(b"one", TASK)
    chunk = replace(ref.chunks[0], **{wrong: oid(1) if wrong == "oid" else 4})
    task = finished(("x", replace(ref, chunks=(chunk,))), inline={digest(b"one"): b"one"})
    with pytest.raises(CorruptRecord, match="of F/1/train/2/x is not what its record says"):
        group().add_task(task)


@pytest.mark.parametrize("name", [TaskName("train", "a.b"), TaskName("..", "1")])
def test_a_task_that_is_no_directory_is_refused(name: TaskName) -> None:
    """Step and task become entries of trees."""
    with pytest.raises(UsageError, match="can't name a task in git"):
        group().add_task(finished(name=name))


def test_cards_of_a_task_are_added_to_those_it_has() -> None:
    """A later one takes the place of one of its name."""
    objects = group()
    first = objects.add_cards(TaskCards(TASK, {"0-default.html": b"a", "1-blank-x.html": b"b"}))
    tree = objects.add_cards(TaskCards(TASK, {"0-default.html": b"c", "2-new.html": b"d"}), first)
    blobs = {"0-default.html": b"c", "1-blank-x.html": b"b", "2-new.html": b"d"}
    assert entries_of(objects, tree) == {
        name: hash_object(ObjectType.BLOB, it) for name, it in blobs.items()
    }


def test_pictures_of_figures_lie_beside_their_task() -> None:
    """Those that it made; in `data/` they stand beside the value."""
    drawn = Chunk(digest(b"png"), hash_object(ObjectType.BLOB, b"png"), 3)
    ref = replace(artifact(b"fig", TASK), picture=Picture(".png", is_exact=True, chunk=drawn))
    inherited = replace(
        artifact(b"old", TaskName("start", "1")),
        picture=Picture(".png", is_exact=True, chunk=drawn),
    )
    inline = {digest(b"png"): b"png", digest(b"fig"): b"fig"}
    objects = group()
    tree = objects.add_task(finished(("plot", ref), ("older", inherited), inline=inline))
    assert entries_of(objects, entries_of(objects, tree)["pictures"]) == {"plot.png": drawn.oid}
    entries, made = data_entries(finished(("plot", ref)).record)
    assert {row.name: row.oid for row in entries} == {
        b"plot.bin": ref.chunks[0].oid, b"plot.png": drawn.oid,
    }  # fmt: skip
    assert made == []


def test_results_by_name() -> None:
    """One chunk is the value itself, more are described, none is an empty file; private ones are left out."""
    ref = artifact(b"one", TASK, b"two")
    record = finished(
        ("one", artifact(b"x", TASK)), ("two", ref), ("none", replace(ref, chunks=())), ("_p", ref)
    ).record
    entries, objects = data_entries(record)
    assert [row.name for row in entries] == [b"one.bin", b"two.bin.chunks", b"none.bin"]
    assert entries[0].oid == artifact(b"x", TASK).chunks[0].oid
    text, empty = (bytes(it.data) for it in objects)
    assert empty == b""
    assert all(str(it.digest).encode() in text for it in ref.chunks)
    assert [row.oid for row in entries[1:]] == [it.oid for it in objects]


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        (b"", []),
        (b"abcd", [b"abcd"]),
        (b"ab\ncd", [b"ab\n", b"cd"]),
        (b"abcde", [b"abcd", b"e"]),
        (b"\nabcdefg", [b"\n", b"abcd", b"efg"]),
        (b"abc\nde", [b"abc\n", b"de"]),
    ],
)
def test_long_output_is_cut_at_the_ends_of_lines(
    monkeypatch: pytest.MonkeyPatch, output: bytes, parts: list[bytes]
) -> None:
    """Or anywhere, where a line is longer than a part."""
    monkeypatch.setattr(layout, "MAX_OUTPUT_PART", 4)
    assert [*trees._parts(output)] == parts


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers(1, 5))), max_size=12
        ),
        max_size=8,
    )
)
def test_a_step_that_grows_is_encoded_as_one_that_is_made_at_once(
    turns: list[list[tuple[int, int | None]]],
) -> None:
    """Whatever was added, replaced and taken away between two commits, and however often."""
    step, tasks = StepTree(), dict[str, Oid]()
    for turn in turns:
        for task, tree in turn:
            step.put(str(task), oid(tree) if tree else None)
            tasks.pop(str(task), None)
            if tree:
                tasks[str(task)] = oid(tree)
        assert step.encode() == StepTree(tasks).encode()
