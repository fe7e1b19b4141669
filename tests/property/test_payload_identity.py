"""Values of different types whose payloads are the same bytes are never taken for each other.

`"2"`, `b"2"` and `50` are one byte in three codecs. Such *lookalikes* go through a whole flow here, many pairs at
a time: as parameters, constants, artifacts, included files and foreach items, copied, merged, resumed, read by
the client and compared by `git runs diff`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gitflowrun import FileArtifact, Run, from_chunks, metadata
from gitflowrun.artifacts.codecs import Encoded, decode, encode
from gitflowrun.cli.git_runs.main import main
from gitflowrun.client import repository as sources
from gitflowrun.errors import GitflowrunError
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import finished_task, start_run
from tests.helpers.values import Point, same

FLOW = """
import os
import pickle
from pathlib import Path

from gitflowrun import FlowSpec, IncludeFile, Parameter, from_chunks, step
from gitflowrun.errors import MergeError
from tests.helpers.values import same

GROUPS, ITEM = pickle.loads(Path("lookalikes.pickle").read_bytes())
VALUES = [value for group in GROUPS for value in group]


def parameter(name, value):
    return Parameter(name, type=lambda given: given, default=lambda context: value)


def names(kind):
    return [f"{kind}{number}" for number in range(len(VALUES))]


def check(flow, *kinds):
    for kind in kinds:
        for name, value in zip(names(kind), VALUES):
            found = getattr(flow, name)
            assert same(found, value), f"{name} is {found!r:.80}, not {value!r:.80}"
    found = flow.text, flow.raw, flow.code
    assert found == ("2", b"2", 50) and type(found[2]) is int, found


class Lookalikes(FlowSpec):
    text = IncludeFile("text", default="two.txt")
    raw = IncludeFile("raw", is_text=False, default="two.txt")
    code = IncludeFile("code", parser=ord, default="two.txt")
    for name, value in zip(names("parameter"), VALUES):
        locals()[name] = parameter(name, value)
    for name, value in zip(names("constant"), VALUES):
        locals()[name] = value
    del name, value

    @step
    def start(self):
        check(self, "parameter", "constant")
        for name, value in zip(names("made"), VALUES):
            setattr(self, name, value)
        self.files = len(GROUPS)
        for number, group in enumerate(GROUPS):
            setattr(self, f"file{number}", from_chunks([next(v for v in group if type(v) is bytes)]))
        self.outer = ITEM
        self.next(self.middle, foreach="outer")

    @step
    def middle(self):
        assert self.input == ITEM, self.input
        check(self, "parameter", "constant", "made")
        for copy, made, given in zip(names("copy"), names("made"), names("parameter")):
            setattr(self, copy, getattr(self, given))
            setattr(self, "other_" + copy, getattr(self, made))
        self.inner = ITEM.encode()
        self.next(self.leaf, foreach="inner")

    @step
    def leaf(self):
        stack = self.foreach_stack()
        assert [item for _, _, item in stack] == [ITEM, ITEM.encode()[self.index]], stack
        check(self, "parameter", "constant", "made", "copy", "other_copy")
        for number, group in enumerate(GROUPS):
            setattr(self, f"disputed{number}", group[self.index % len(group)])
        self.next(self.join)

    @step
    def join(self, inputs):
        for number, entry in enumerate(inputs):
            items = [item for _, _, item in entry.foreach_stack()]
            assert items == [ITEM, ITEM.encode()[number]], items
            for at, group in enumerate(GROUPS):
                assert same(getattr(entry, f"disputed{at}"), group[number % len(group)]), at
        disputed = {f"disputed{number}" for number in range(len(GROUPS))}
        try:
            self.merge_artifacts(inputs)
        except MergeError as error:
            assert set(error.artifact_names) == disputed, error
        else:
            raise AssertionError("lookalikes were merged")
        self.merge_artifacts(inputs, exclude=sorted(disputed))
        assert self.input == ITEM, self.input
        check(self, "parameter", "constant", "made", "copy", "other_copy")
        self.next(self.collect)

    @step
    def collect(self, inputs):
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        if "FAIL" in os.environ:
            raise ValueError("as asked")
        check(self, "parameter", "constant", "made", "copy", "other_copy")


if __name__ == "__main__":
    Lookalikes()
"""

ANY = (
    st.integers(0, 127)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.lists(st.integers(0, 127) | st.booleans() | st.text(max_size=2), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
    | st.tuples(st.integers(), st.binary(max_size=2))
    | st.builds(Point, st.integers(), st.text(max_size=2))
    | st.lists(st.integers(0, 9), max_size=3).flatmap(
        lambda items: st.sampled_from(["i4", "u4", "f4", ">i4"]).map(
            lambda dtype: np.array(items, "i4").view(dtype)
        )
    )
)
"""Values of most codecs; each has at least one lookalike, its payload."""

ZERO = np.zeros(2, "i8")
KNOWN: list[Any] = [
    "2", "", "x" * 70_000, 1, True, None, 1.0, -0.0, [1], (1,), b"\x93\x01\x02\x03",
    *(ZERO.view(dtype) for dtype in ("i8", "f8", "M8[s]")), np.arange(9_000), np.int64(1), Point("2", 50),
]  # fmt: skip
"""Pairs that have been, or could be, taken for each other; some larger than what travels with a record."""

ITEMS = st.characters(min_codepoint=0x80, max_codepoint=0x7FF)
"""One character of two bytes: a foreach over it has one item, one over its bytes has two."""


def lookalikes(value: Any) -> list[Any]:
    """Values that have the payload of `value`: `value`, and one of each other codec that reads and writes it."""
    made = encode(value)
    payload = made.payload()
    found = {made.codec: value}
    for codec in ("bytes/1", "str/1", "plain/1"):
        try:
            other = decode(codec, payload, trusted=False)
        except GitflowrunError:
            continue
        again = encode(other)
        if (again.codec, again.payload()) == (codec, payload):
            found.setdefault(codec, other)
    return list(found.values())


def grouped(values: list[Any]) -> list[list[Any]]:
    """The lookalikes of each value, each payload once."""
    groups = {encode(value).payload(): value for value in values}
    return [group for value in groups.values() if len(group := lookalikes(value)) > 1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with the flow, shared by all examples."""
    return make_repo(
        tmp_path_factory.mktemp("lookalikes") / "r", files={"lookalikes.py": FLOW, "two.txt": "2"}
    )


@pytest.fixture(autouse=True)
def _no_repository_stays_chosen() -> Iterator[None]:
    yield
    sources._chosen.clear()
    sources._open.clear()


@pytest.mark.parametrize(
    "isolation", ["fork", "batch", pytest.param("fresh", marks=pytest.mark.slow), "inline"]
)
def test_known_lookalikes_stay_what_they_are(project: GitRepo, isolation: str) -> None:
    """Steps, joins, a resumed run and the client see each value as it was given, however tasks are isolated."""
    _go_the_whole_way(project, isolation, KNOWN, "é")


def test_any_lookalikes_stay_what_they_are(project: GitRepo) -> None:
    """So do values that hypothesis thinks up."""

    @settings(max_examples=2, phases=[Phase.generate])
    @given(st.sampled_from(("fork", "inline")), st.lists(ANY, min_size=8, max_size=16), ITEMS)
    def whole_way(isolation: str, values: list[Any], item: str) -> None:
        _go_the_whole_way(project, isolation, values, item)

    whole_way()


def _go_the_whole_way(project: GitRepo, isolation: str, values: list[Any], item: str) -> None:
    groups = grouped(values)
    project.write("lookalikes.pickle", pickle.dumps((groups, item)))
    env = {"GITFLOWRUN_ISOLATION": isolation}
    first = project.flow("lookalikes.py", "run", env={**env, "FAIL": "1"})
    assert "ValueError: as asked" in first.err, first.err
    again = project.flow("lookalikes.py", "resume", env=env)
    assert again.code == 0, again.err
    _check_by_client(project, groups, item)


def _check_by_client(project: GitRepo, groups: list[list[Any]], item: str) -> None:
    metadata(str(project.path))
    runs = project.git("for-each-ref", "--format=%(refname)", "refs/runs/Lookalikes")
    run = Run(f"Lookalikes/{max(int(ref.rpartition('/')[2]) for ref in runs.split())}")
    assert run.successful
    values = [value for group in groups for value in group]
    end, middle = run["end"].task, run["middle"].task
    assert end is not None
    assert middle is not None
    for number, value in enumerate(values):
        found = end[f"copy{number}"]
        assert same(found.data, value), found
        assert found.type == encode(value).type
    for number, group in enumerate(groups):
        stored = end[f"file{number}"].data
        assert isinstance(stored, FileArtifact)
        assert any(same(stored.read(), value) for value in group)
    assert (end["text"].data, end["raw"].data, end["code"].data) == ("2", b"2", 50)
    assert middle["outer"].data == item


def _ended(repo: GitRepo, values: dict[str, Encoded]) -> None:
    """A run that ends with encoded values."""
    with start_run(repo) as writer:
        task = finished_task(
            writer.identity, "end/1", {name: value.payload() for name, value in values.items()}
        )
        refs = {
            name: replace(ref, codec=values[name].codec, type=values[name].type)
            for name, ref in task.record.artifacts.items()
        }
        record = replace(task.record, artifacts=refs)
        writer.commit([FinishedTask(record, task.inline)], status=Status.DONE)


def test_diff_tells_lookalikes_apart(
    repo: GitRepo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever pairs of lookalikes two runs end with, `git runs diff` lists each, and both sides differ in its text."""
    monkeypatch.chdir(repo.path)

    @settings(max_examples=4, phases=[Phase.generate])
    @given(st.lists(ANY, min_size=10, max_size=20))
    def any_twins(values: list[Any]) -> None:
        _compare(repo, capsys, values)

    _compare(repo, capsys, KNOWN)
    any_twins()


def _compare(repo: GitRepo, capsys: pytest.CaptureFixture[str], values: list[Any]) -> None:
    groups = grouped(values)
    pairs = [(group[0], group[1]) for group in groups]
    pairs += [(group[1], from_chunks([encode(group[0]).payload()])) for group in groups]
    for side in (0, 1):
        _ended(repo, {f"x{at}": encode(pair[side]) for at, pair in enumerate(pairs)})
    capsys.readouterr()
    assert main(("diff", "--exit-code", "--json")) == 1
    rows = json.loads(capsys.readouterr().out)["artifacts"]
    assert {row["name"] for row in rows} == {f"x{at}" for at in range(len(pairs))}
    assert main(("diff",)) == 0
    shown = [
        line for line in capsys.readouterr().out.splitlines() if " -> " in line and line[2] == "x"
    ]
    assert len(shown) == len(pairs)
    for line in shown:
        old, new = line.strip().partition(" ")[2].strip().split(" -> ", 1)
        assert old != new, line


def test_diff_tells_apart_what_only_the_type_tells(repo: GitRepo) -> None:
    """The same bytes in the same codec are another value when their type is another: of users' codecs, say."""
    mesh = Encoded("mesh/1", "lib.Mesh", (memoryview(b"m"),))
    for value in (mesh, mesh, replace(mesh, type="lib.Grid"), replace(mesh, codec="mesh/2")):
        _ended(repo, {"x": value})
    assert "They have the same" in repo.call("diff", "1", "2").out
    assert "<lib.Mesh, 1 B, " in repo.call("diff", "2", "3").out
    assert ", mesh/1> -> <lib.Mesh, 1 B, " in repo.call("diff", "2", "4").out


def test_diff_tells_parameters_apart_that_read_alike(repo: GitRepo) -> None:
    """A number and its digits, long texts that begin alike, a file whose content has changed: both diffs say so."""
    repo.write(
        "f.py",
        "from gitflowrun import FlowSpec, IncludeFile, JSONType, Parameter, step\n"
        "class F(FlowSpec):\n"
        "    a_number = Parameter('a-number', type=JSONType)\n"
        "    long = Parameter('long')\n"
        "    same = Parameter('same', default=7)\n"
        "    notes = IncludeFile('notes')\n"
        "    @step\n    def start(self):\n        self.next(self.end)\n"
        "    @step\n    def end(self):\n        pass\n"
        "if __name__ == '__main__':\n    F()\n",
    )
    notes = repo.path.parent / "notes.txt"
    for number, end in (("2", "a"), ('"2"', "b"), ('"2"', "b")):
        notes.write_text(end)
        words = ("--a-number", number, "--long", "x" * 2000 + end, "--notes", str(notes))
        done = repo.flow("f.py", "run", *words)
        assert done.code == 0, done.err
    shown = json.loads(repo.call("diff", "--json", "1", "2").out)["parameters"]
    assert [row["name"] for row in shown] == ["a-number", "long", "notes"]
    assert shown[0]["old"].startswith("2 <int, 1 B, ")
    assert shown[0]["new"].startswith("2 <str, 1 B, ")
    for row in shown:
        assert row["old"] != row["new"]
    lines = repo.flow("-m", "gitflowrun.cmd.diff", "1", "2").out.splitlines()
    assert [line.split(":")[0] for line in lines[1:3]] == ["-a-number", "+a-number"]
    assert len([line for line in lines if line[0] in "+-"]) == 2 * len(shown)
    assert " long: at character 2,000: " in "\n".join(lines)
    assert "They have the same parameters" in repo.call("diff", "2", "3").out
