from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import msgpack
from gitflowrun.artifacts.reference import ARTIFACT_REF, ArtifactRef, Chunk, Picture
from gitflowrun.errors import CorruptRecord, GitflowrunError, InvalidPathspec
from gitflowrun.git.objects import Oid
from gitflowrun.limits import PARAMETER_TEXT
from gitflowrun.names import Digest, RunId, TaskName
from gitflowrun.runs import records
from gitflowrun.runs.records import (
    Attempt,
    ForeachLevel,
    Metadatum,
    RunIdentity,
    RunInfo,
    RunOrigin,
    TaskRecord,
    Transition,
    other_code,
    parameter_options,
    parameter_text,
)
from gitflowrun.values import replace

RUN = RunIdentity("MyFlow", RunId("12"), Oid(b"u" * 20))
NAME = TaskName("train", "3")
REF = ArtifactRef(
    digest=Digest(b"w" * 32),
    size=7,
    codec="npy/1",
    type="numpy.ndarray",
    chunks=(
        Chunk(Digest(b"a" * 32), Oid(b"1" * 20), 4),
        Chunk(Digest(b"b" * 32), Oid(b"2" * 20), 3),
    ),
    producer=NAME,
)
RECORD = TaskRecord(
    name=NAME,
    run=RUN,
    parents=(TaskName("start", "1"),),
    attempts=(
        Attempt(0, 1.5, 2.5, ok=False, exit_code=-9, error="killed"),
        Attempt(1, 3.0, 4.0, ok=True, cpu=0.5, max_rss=1 << 20),
    ),
    frames=(ForeachLevel("start", "items", 3, 2, "c"),),
    transition=Transition(("end",), "items", 3),
    artifacts={"model": REF},
    metadata=(Metadatum("attempt", "1", "attempt", 3.0, 1),),
)
INFO = RunInfo(
    flow="MyFlow",
    id=RunId("12"),
    nonce="n",
    created=1.0,
    user="ada",
    host="h",
    versions={"gitflowrun": "0.1", "metaflow": "2.19.39", "python": "3.11"},
    parameters={"alpha": "0.5"},
    git={"commit": None, "dirty": ["a"]},
    environment={"platform": "x"},
    graph={"steps": {}},
    tags=("t",),
    system_tags=("user:ada",),
    origin=RunOrigin("resume", RUN),
    script="flow.py",
)


def test_pictures_survive_the_wire() -> None:
    """The picture of a figure comes back as it was, and has no part in which value it is of; others are refused."""
    drawn = replace(REF, picture=Picture(".png", is_exact=True, chunk=REF.chunks[0]))
    assert ARTIFACT_REF.load(ARTIFACT_REF.dump(drawn)) == drawn
    assert drawn.identity == REF.identity
    page = replace(REF, picture=Picture(".exe", is_exact=False, chunk=REF.chunks[0]))
    with pytest.raises(CorruptRecord, match="no known kind"):
        ARTIFACT_REF.load(ARTIFACT_REF.dump(page))


def test_records_survive_the_wire() -> None:
    """Task and run records come back from bytes as they were."""
    assert records.TASK.load(msgpack.unpack(msgpack.pack(records.TASK.dump(RECORD)))) == RECORD
    assert records.INFO.load(msgpack.unpack(msgpack.pack(records.INFO.dump(INFO)))) == INFO


@pytest.mark.parametrize("rows", [5, "ab", [1], [[]], [["a", "b", "c"]], [["a", 1, "big", 2]]])
def test_what_lists_no_files_is_passed_over(rows: Any) -> None:
    """Anybody may have written INFO: of the files left out those count that are listed as we list them."""
    info = replace(INFO, git={"left_out": rows}, environment={"outside": rows})
    assert info.files_left_out == {}
    whole = replace(INFO, git={"left_out": [["a", 1, "big"]], "left_out_count": 3})
    assert whole.left_out == {"a": "1 byte, big", "2 more files": "not listed"}
    for count in (1, 0, [9], "9", None):
        known = replace(whole, git={**whole.git, "left_out_count": count})
        assert known.left_out == {"a": "1 byte, big"}


def test_only_the_last_attempt_counts() -> None:
    """A task is ok when its last attempt was; without attempts it is not."""
    assert RECORD.ok
    assert not TaskRecord(NAME, RUN).ok
    assert not TaskRecord(NAME, RUN, attempts=RECORD.attempts[:1]).ok


@pytest.mark.parametrize("record", [RECORD, INFO], ids=["task", "info"])
def test_newer_fields_survive_a_rewrite(record: TaskRecord | RunInfo) -> None:
    """Fields that this release does not know are kept and written back."""
    schema: Any = records.TASK if isinstance(record, TaskRecord) else records.INFO
    newer = {**schema.dump(record), "resources": {"gpu": 1}}
    read = schema.load(newer)
    assert read.extra == {"resources": {"gpu": 1}}
    assert schema.dump(read) == newer


def test_a_newer_schema_is_refused_with_a_hint() -> None:
    """A record that this release can't understand says so, and what helps."""
    with pytest.raises(CorruptRecord, match="schema 3") as caught:
        records.TASK.load({**records.TASK.dump(RECORD), "schema": 3})
    assert caught.value.hint == "install a newer gitflowrun"


def test_records_of_the_first_schema_are_read() -> None:
    """What the first schema wrote otherwise, a task's name and the versions, reads as what is written today."""
    task: dict[str, Any] = {**records.TASK.dump(RECORD), "schema": 1, "step": "train", "task": "3"}
    del task["name"]
    assert records.TASK.load(task) == RECORD
    info: dict[str, Any] = {**records.INFO.dump(INFO), "schema": 1}
    versions = {"gitflowrun": "0.1", "metaflow": "2.19", "python": "3.11"}
    del info["versions"]
    info |= {f"{name}_version": version for name, version in versions.items()}
    assert records.INFO.load(info) == replace(INFO, versions=versions)
    for broken in ({"step": 3}, {"step": "a/b"}, {"task": None}):
        with pytest.raises(CorruptRecord):
            records.TASK.load({**task, **broken})


@pytest.mark.parametrize(
    "time", [1e300, -1e20, -1.0, 2.6e11, math.nan, math.inf, 10**30, "1", None, True]
)
@pytest.mark.parametrize("where", ["created", "started", "finished", "metadata"])
def test_times_that_nobody_can_show_are_refused(where: str, time: Any) -> None:
    """A time before 1970 or after 9999 is none, in whichever record: every view could fail on it."""
    task = records.TASK.dump(RECORD)
    info: dict[str, Any] = {**records.INFO.dump(INFO), "created": time}
    if where == "metadata":
        task["metadata"] = [["attempt", "1", "attempt", time, 1]]
    elif where != "created":
        task["attempts"][0][where] = time
    schema: Any = records.INFO if where == "created" else records.TASK
    with pytest.raises(CorruptRecord):
        schema.load(info if where == "created" else task)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"schema": "1"}])
def test_what_is_no_record_is_refused(data: Any) -> None:
    """Other values than a record's map are corrupt records."""
    with pytest.raises(CorruptRecord):
        records.TASK.load(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a/b/c"),
        ("name", "/1"),
        ("name", 3),
        ("run", {"flow": "../x", "id": "1", "uid": bytes(20)}),
        ("run", {"flow": "F", "id": "one", "uid": bytes(20)}),
        ("run", {"flow": "F", "id": "1", "uid": bytes(19)}),
        ("run", {"flow": "F", "id": "1", "uid": [1] * 20}),
        ("parents", ["start"]),
        ("parents", "start/1"),
        ("attempts", {}),
        ("attempts", [{"number": 0}]),
        ("foreach", [[1, 2]]),
        ("foreach", [["s", "v", -1, 0, ""]]),
        ("transition", {"targets": "end", "foreach": None, "num_splits": None}),
        ("transition", {"targets": [1], "foreach": None, "num_splits": None}),
        ("artifacts", {"x": {}}),
        ("artifacts", {1: ARTIFACT_REF.dump(REF)}),
        ("artifacts", {"x": {**ARTIFACT_REF.dump(REF), "size": 8}}),
        ("artifacts", {"x": {**ARTIFACT_REF.dump(REF), "chunks": b"short"}}),
        ("artifacts", {"x": {**ARTIFACT_REF.dump(REF), "blake3": "text" * 8}}),
        ("metadata", [["n", "v", "t", math.nan, 0]]),
        ("metadata", [["n", "v", "t", 10**400, 0]]),
    ],
)
def test_malformed_fields_are_refused(field: str, value: Any) -> None:
    """A field of the wrong kind makes the record corrupt, whatever it is."""
    with pytest.raises(CorruptRecord):
        records.TASK.load({**records.TASK.dump(RECORD), field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("git", {"commit": 7}),
        ("git", {"branch": b"main"}),
        ("git", {"remote": []}),
        ("graph", {"steps": "start"}),
        ("graph", {"steps": {"start": "end"}}),
        ("graph", {"steps": {"start": {"type": None, "next": ["end"]}}}),
        ("graph", {"steps": {"start": {"type": "linear", "next": [7]}}}),
    ],
)
def test_malformed_descriptions_of_a_run_are_refused(field: str, value: Any) -> None:
    """What every reader takes for text or a map within INFO's open maps is that, or INFO is corrupt."""
    records.INFO.load({**records.INFO.dump(INFO), field: {"new": [value]}})
    with pytest.raises(CorruptRecord):
        records.INFO.load({**records.INFO.dump(INFO), field: value})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(records.TASK.dump(RECORD))), value=VALUES)
def test_any_field_yields_a_record_or_a_corrupt_record(field: str, value: Any) -> None:
    """Replacing any field of a task record by anything never raises another error."""
    with contextlib.suppress(CorruptRecord):
        records.TASK.load({**records.TASK.dump(RECORD), field: value})


@given(field=st.sampled_from(sorted(records.INFO.dump(INFO))), value=VALUES)
def test_any_info_field_yields_info_or_a_corrupt_record(field: str, value: Any) -> None:
    """Replacing any field of INFO by anything never raises another error."""
    with contextlib.suppress(CorruptRecord):
        records.INFO.load({**records.INFO.dump(INFO), field: value})


@pytest.mark.parametrize("text", ["", "train", "train/", "/3", "a/b/c"])
def test_task_names_have_two_parts(text: str) -> None:
    """What is not `step/task` names no task."""
    with pytest.raises(InvalidPathspec):
        TaskName.parse(text)


def test_malformed_records_say_which_field_is_missing() -> None:
    """The message names the record and the field."""
    data = records.TASK.dump(RECORD)
    del data["parents"]
    with pytest.raises(GitflowrunError, match="TASK record: no field 'parents'"):
        records.TASK.load(data)


def test_which_value_an_artifact_is() -> None:
    """Wherever it lies and whoever made it; not where its bytes, its codec or its type are others."""
    elsewhere = replace(
        REF, chunks=(), producer=TaskName("start", "1"), preview=b"x", untrusted=True
    )
    assert elsewhere.identity == REF.identity
    others = [
        replace(REF, digest=Digest(b"v" * 32)), replace(REF, codec="raw/1"), replace(REF, type="x"),
    ]  # fmt: skip
    assert len({it.identity for it in (REF, *others)}) == 4


def test_parameters_are_those_that_a_graph_names() -> None:
    """By attribute, with the option where that is another; what has no name, or is no parameter, is none."""
    rows: list[Any] = [
        {"name": "a_b", "option": "a-b"},
        {"name": "o-p", "attribute": "o_p"},  # as 0.1.0 wrote it
        {"name": "c"},
        {"attribute": "d"},
        {"name": 5},
        "e",
    ]
    assert parameter_options({"parameters": rows}) == {
        "a_b": "a-b", "o_p": "o-p", "c": "c",
    }  # fmt: skip
    assert parameter_options({"parameters": None}) == parameter_options({}) == {}


def test_what_few_records_have_is_not_in_the_others() -> None:
    """So their bytes, and with them their ids, are those that earlier releases wrote."""
    assert "secrets" not in records.INFO.dump(INFO)
    assert records.INFO.dump(replace(INFO, secrets={"a": "h"}))["secrets"] == {"a": "h"}
    assert "other_code" not in records.TASK.dump(replace(RECORD, other_code={}))
    assert records.TASK.dump(replace(RECORD, other_code={"f.py": "x"}))["other_code"]


def test_code_that_ran_otherwise_is_told_with_the_steps_that_ran_it() -> None:
    """Each step once, in the order in which it is met; what is known of a file may differ."""
    names = [TaskName("b", "1"), TaskName("a", "2"), TaskName("b", "3")]
    found = [replace(RECORD, name=name, other_code={"f.py": "edited"}) for name in names]
    found.append(replace(RECORD, other_code={}))
    assert other_code(found) == {"f.py": "edited in b, a"}
    assert other_code([]) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"), (0.5, "0.5"), (True, "true"), (None, "null"), ([1, "\xe9"], '[1, "\xe9"]'),
        ({"a": None}, '{"a": null}'), ([b"x"], "[b'x']"), ("x" * (PARAMETER_TEXT + 1), "x" * PARAMETER_TEXT),
    ],
)  # fmt: skip
def test_parameters_as_people_read_them(value: object, text: str) -> None:
    """As JSON, where a value is what that has; cut where it is long."""
    assert parameter_text(value) == text
