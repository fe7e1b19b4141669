"""`git runs compare`: runs side by side."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from gitflowrun.cli.git_runs.look.compare import _lines
from gitflowrun.cli.output.terminal import PLAIN, Screen
from gitflowrun.porcelain.comparison.several import compare_runs
from gitflowrun.runs.runs import RunStore, Status
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_measured_run, open_repo


@pytest.fixture
def three(repo: GitRepo) -> GitRepo:
    """MyFlow/1 to 3: lr and accuracy differ, `kind` and `name` do not."""
    repo.write("a.py", "one\n")
    for number, (lr, accuracy) in enumerate((("0.1", 0.5), ("0.3", 0.75), ("0.3", 0.25))):
        if number == 1:
            repo.write("a.py", "two\n")
        make_measured_run(
            repo,
            parameters={"lr": lr, "name": "Ada"},
            metrics={"accuracy": accuracy, "kind": "tree", "count": 3 + number},
        )
    return repo


def _words(out: str) -> list[list[str]]:
    """The table's cells, without durations and oids."""
    text = re.sub(r"\b\d+(\.\d+)? ?(ms|s)\b", "TIME", out)
    text = re.sub(r"\b[0-9a-f]{7}\b", "OID", text)
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_only_what_differs(three: GitRepo) -> None:
    """And how runs ended, and how long they took."""
    done = three.call("compare", "1..3")
    assert (done.code, done.err) == (0, "")
    trees = [three.git("rev-parse", f"runs/MyFlow/{n}:code")[:7] for n in (1, 2, 3)]
    code = next(line for line in done.out.splitlines() if line.startswith("Code"))
    assert re.findall(r"\(tree (\w+)\)", code) == trees
    rows = [row for row in _words(done.out) if row[0] != "Code"]
    assert rows == [
        ["RUN", "MyFlow/1", "MyFlow/2", "MyFlow/3"],
        ["Status", "done", "done", "done"],
        ["Duration", "TIME", "TIME", "TIME"],
        ["Parameters"],
        ["lr", "0.1", "0.3", "0.3"],
        ["Metrics"],
        ["accuracy", "0.5", "0.75", "0.25"],
        ["count", "3", "4", "5"],
    ]


def test_everything(three: GitRepo) -> None:
    """With `--all`, what is the same as well."""
    rows = _words(three.call("compare", "--all", "2", "3").out)
    assert ["name", "Ada", "Ada"] in rows
    assert ["kind", "tree", "tree"] in rows
    assert ["Code", "OID+dirty", "OID+dirty"] in rows


def test_a_baseline_comes_first(three: GitRepo) -> None:
    """The others show by how much they differ from it, where both are numbers."""
    out = three.call("compare", "--baseline", "2", "1..3").out
    rows = _words(out)
    assert rows[0] == ["RUN", "MyFlow/2", "MyFlow/1", "MyFlow/3"]
    assert ["accuracy", "0.75", "0.5 (-0.25)", "0.25 (-0.5)"] in rows
    assert ["count", "4", "3 (-1)", "5 (+1)"] in rows
    assert ["lr", "0.3", "0.1", "0.3"] in rows
    assert _words(three.call("compare", "--baseline", "1", "3").out)[0][1:] == [
        "MyFlow/1",
        "MyFlow/3",
    ]


def test_json(three: GitRepo) -> None:
    """The same rows, with the changes against the baseline; a run without a value has null."""
    found = json.loads(three.call("compare", "--json", "--baseline", "1", "2").out)
    assert (found["runs"], found["baseline"]) == (["MyFlow/1", "MyFlow/2"], "MyFlow/1")
    rows = {row.pop("name"): row for row in found["rows"]}
    assert list(rows) == ["status", "duration", "code", "lr", "accuracy", "count"]
    assert rows["accuracy"] == {
        "kind": "metrics",
        "differs": True,
        "values": {"MyFlow/1": 0.5, "MyFlow/2": 0.75},
        "changes": {"MyFlow/2": 0.25},
    }
    assert rows["status"]["differs"] is rows["duration"]["differs"] is False


def test_what_only_some_have(three: GitRepo) -> None:
    """It differs, and the others' cells are empty; so it is of a run that failed, which has no metrics."""
    make_measured_run(three, parameters={}, metrics={"accuracy": True, "loss": float("nan")})
    rows = json.loads(three.call("compare", "--json", "3", "4").out)["rows"]
    values = {row["name"]: list(row["values"].values()) for row in rows}
    assert values["name"] == ["Ada", None]
    assert values["accuracy"] == [0.25, True]
    assert ["loss", "nan"] in _words(three.call("compare", "3..4").out)
    make_measured_run(three, parameters={}, metrics={"accuracy": 1.0}, status=Status.FAILED)
    rows = _words(three.call("compare", "3", "5").out)
    assert ["Status", "done", "failed"] in rows
    assert ["accuracy", "0.25"] in rows


def test_metrics_that_failed_runs_lack(three: GitRepo) -> None:
    """Those that all others have in common are no difference: the status says why they are not there."""
    make_measured_run(three, {"lr": "0.3"}, {}, status=Status.FAILED)
    names = [row[0] for row in _words(three.call("compare", "1..4").out)]
    assert "accuracy" in names
    assert "kind" not in names
    make_measured_run(three, {"lr": "0.3"}, {})
    assert "kind" in [row[0] for row in _words(three.call("compare", "1..5").out)]


@pytest.mark.parametrize(("columns", "runs"), [(40, 3), (60, 5), (200, 6), (30, 2)])
@pytest.mark.sample(1)
def test_a_screen_shows_as_many_side_by_side_as_fit(
    three: GitRepo, monkeypatch: pytest.MonkeyPatch, columns: int, runs: int
) -> None:
    """The others are below, each table with the baseline; a pipe has all in one."""
    for _ in range(3):
        make_measured_run(three, {"lr": "0.3"}, {"accuracy": 0.5})
    assert three.call("compare", "1..6").out.count("Status") == 1
    monkeypatch.chdir(three.path)
    repo = open_repo(three)
    found = compare_runs(repo, RunStore(repo).find_all(["1..6"]))
    rows = [row for row in found.rows if row.kind != "run" or row.name == "status"]
    screen = Screen(io.StringIO(), PLAIN, person=True, columns=columns)
    out = [*_lines(found, rows, screen)]
    heads = [line.split()[1:] for line in out if line.startswith("RUN")]
    assert [name for head in heads for name in head] == [f"MyFlow/{n}" for n in range(1, 7)]
    assert max(map(len, heads)) == runs
    assert all(len(line) <= columns for line in out)
    pinned = compare_runs(repo, RunStore(repo).find_all(["1..6"]), RunStore(repo).find("5"))
    heads = [line.split()[1:] for line in _lines(pinned, rows, screen) if line.startswith("RUN")]
    assert {head[0] for head in heads} == {"MyFlow/5"}
    assert sorted(name for head in heads for name in head[1:]) == [
        f"MyFlow/{n}" for n in (1, 2, 3, 4, 6)
    ]


def test_parameters_and_metrics_that_are_called_like_a_fact(three: GitRepo) -> None:
    """They are what they are; a duration is one of the run alone."""
    for number in (1, 2):
        make_measured_run(three, {"status": "done"}, {"duration": 1.0 * number})
    make_measured_run(three, {}, {"code": 1})
    rows = json.loads(three.call("compare", "--json", "4..6").out)["rows"]
    found = [(row["kind"], row["name"], row["differs"]) for row in rows]
    assert found == [
        ("run", "status", False),
        ("run", "duration", False),
        ("parameters", "status", True),
        ("metrics", "duration", True),
        ("metrics", "code", True),
    ]


def test_code_of_no_commit(tmp_path: Path) -> None:
    """What ran before the first commit is told apart by its tree."""
    repo = make_repo(tmp_path / "new")
    repo.git("update-ref", "-d", "HEAD")
    for text in ("1", "1", "2"):
        repo.write("a.py", text)
        make_measured_run(repo, {}, {})
    tree = [repo.git("rev-parse", "--short=7", f"runs/MyFlow/{n}:code") for n in (1, 2, 3)]
    (row,) = [
        it
        for it in json.loads(repo.call("compare", "--json", "1..3").out)["rows"]
        if it["name"] == "code"
    ]
    assert [re.sub(r".*\(", "(", text) for text in row["values"].values()] == [
        f"(tree {it})" for it in tree
    ]
    assert "Code" not in repo.call("compare", "1", "2").out
    assert "no commit" in repo.call("compare", "--all", "1", "2").out


def test_exit_code(three: GitRepo) -> None:
    """1 where something differs, but for how long runs took."""
    assert three.call("compare", "--exit-code", "1", "2").code == 1
    twin = {"accuracy": 0.75, "kind": "tree", "count": 4}
    make_measured_run(three, parameters={"lr": "0.3", "name": "Ada"}, metrics=twin)
    done = three.call("compare", "--exit-code", "2", "4")
    assert done.code == 0
    assert done.out.endswith(
        "\nThey have the same parameters, metrics and code, and ended alike.\n"
    )


def test_markdown(three: GitRepo) -> None:
    """A table whose cells are code, whatever they hold."""
    make_measured_run(
        three, parameters={"lr": "<img src=x>|`@team`"}, metrics={"accuracy": 0.5, "a|b": 1}
    )
    lines = three.call("compare", "--format", "markdown", "1", "4").out.splitlines()
    assert lines[:3] == [
        "|  | `MyFlow/1` | `MyFlow/4` |",
        "| --- | --- | --- |",
        "| status | `done` | `done` |",
    ]
    assert "| parameter `lr` | `0.1` | `` <img src=x>\\|`@team` `` |" in lines
    assert "| metric `a\\|b` |  | `1` |" in lines


def test_what_cannot_be_compared(three: GitRepo) -> None:
    """One run, or none that is there."""
    done = three.call("compare", "1", "1")
    assert (done.code, done.out) == (129, "")
    assert done.err.startswith(
        "error: MyFlow/1 is one run, and there is nothing to compare it with\n"
    )
    assert three.call("compare", "1", "9").code == 128
    assert _words(three.call("compare").out)[0] == ["RUN", "MyFlow/2", "MyFlow/3"]


def test_a_damaged_run_has_its_column(three: GitRepo) -> None:
    """What can be read of the others is compared."""
    broken = three.git("commit-tree", "-m", "x", three.git("rev-parse", "runs/MyFlow/2^{tree}"))
    three.git("update-ref", "refs/runs/MyFlow/2", broken)
    rows = _words(three.call("compare", "1", "2", "3").out)
    assert rows[1] == ["Status", "done", "damaged", "done"]
    assert ["lr", "0.1", "0.3", "0.3"] in rows
