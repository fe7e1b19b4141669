"""`git runs cat` and `git runs diff`: values, and what differs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts import codecs
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import digest, finished_task, make_run, start_run


def _task(run: Any, name: str, values: dict[str, Any]) -> FinishedTask:
    """A finished task with real values."""
    encoded = {key: codecs.encode(value) for key, value in values.items()}
    task = finished_task(run, name, {key: value.payload() for key, value in encoded.items()})
    refs = {
        key: replace(ref, codec=encoded[key].codec, type=encoded[key].type)
        for key, ref in task.record.artifacts.items()
    }
    return replace(task, record=replace(task.record, artifacts=refs))


def _run(repo: GitRepo, **values: Any) -> None:
    """A run that ends with `values`."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"one"})])
        writer.commit([_task(writer.identity, "end/2", values)], status=Status.DONE)


@pytest.mark.parametrize("address", ["1/end/2/text", "MyFlow/1/end/text", "1/text"])
def test_text_is_printed_as_it_is(repo: GitRepo, runs: Runs, address: str) -> None:
    """A str goes out without quotes and without a newline of ours; short addresses work."""
    _run(repo, text="grüße\x1b[2J")
    assert runs("cat", address).out == "grüße\x1b[2J"


def test_bytes_are_printed_as_they_are(repo: GitRepo) -> None:
    """Bytes go out untouched."""
    make_run(repo, result=b"\x00\xff\n")
    assert (
        repo.python(
            "-c",
            "import subprocess,sys; print(subprocess.run([sys.executable,'-m','gitflowrun.cli.git_runs.main',"
            "'cat','1/result'],capture_output=True).stdout)",
        ).out
        == "b'\\x00\\xff\\n'\n"
    )


def test_other_values_are_shown_as_python_shows_them(repo: GitRepo, runs: Runs) -> None:
    """Containers are laid out, other values printed by repr."""
    _run(repo, rows={"b": list(range(40)), "a": None}, number=0.5)
    assert runs("cat", "1/number").out == "0.5\n"
    assert eval(runs("cat", "1/rows").out) == {"b": list(range(40)), "a": None}
    assert max(map(len, runs("cat", "1/rows").out.splitlines())) <= 80


def test_raw_prints_the_payload(repo: GitRepo, runs: Runs) -> None:
    """--raw prints what is stored, whatever the codec."""
    _run(repo, text="abc", number=1)
    assert runs("cat", "--raw", "1/text").out == "abc"


def test_a_strangers_pickle_is_not_loaded(repo: GitRepo, tmp_path: Path) -> None:
    """A pickle of a run from elsewhere is refused with a hint; its bytes can be had."""
    with start_run(repo) as writer:
        payload = pickle.dumps(print, protocol=5)
        task = finished_task(writer.identity, "end/1", {"x": payload})
        ref = replace(task.record.artifacts["x"], codec="pickle/5")
        task = replace(task, record=replace(task.record, artifacts={"x": ref}))
        writer.commit([task], status=Status.DONE)
    repo.git("clone", "-q", "--mirror", str(repo.path), str(tmp_path / "copy"))
    copy = GitRepo(tmp_path / "copy")
    done = copy.call("cat", "1/x")
    assert done.code == 128
    assert "git runs trust" in done.err
    assert done.out == ""
    assert copy.call("cat", "--raw", "1/x").code == 0
    assert "pickle/5" in copy.call("show", "1/end/1/x").out


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("1", "names no artifact"),
        ("1/end", "names no artifact"),
        ("1/end/2", "names no artifact"),
        ("1/nothing", "neither an artifact nor a step 'nothing'"),
        ("1/end/2/txet", "did you mean text?"),
    ],
)
def test_what_is_no_artifact(repo: GitRepo, runs: Runs, address: str, words: str) -> None:
    """An address of something else says what to write."""
    _run(repo, text="abc")
    done = runs("cat", address)
    assert done.code == 128
    assert words in done.err


def test_small_values_are_shown(repo: GitRepo, runs: Runs) -> None:
    """`show` prints small values of codecs that run no code."""
    _run(repo, accuracy=0.93, big="x" * 1000)
    out = runs("show", "1").out
    assert "  end/2    0.93\n" in out
    assert "xxx" not in out
    assert "Value:    0.93\n" in runs("show", "1/end/2/accuracy").out


def test_diff_shows_only_what_differs(repo: GitRepo, runs: Runs) -> None:
    """Parameters, artifacts and code that are the same are not mentioned."""
    repo.write("model.py", "a = 1\n")
    _run(repo, accuracy=0.9, same=1, gone=2, big=b"x" * 1000)
    repo.write("model.py", "a = 2\n")
    _run(repo, accuracy=0.95, same=1, new=3, big=b"y" * 2000)
    done = runs("diff", "1", "2")
    assert done.code == 0
    one, two = (str(digest(data))[:7] for data in (b"x" * 1000, b"y" * 2000))
    assert done.out.splitlines()[:7] == [
        "--- MyFlow/1",
        "+++ MyFlow/2",
        "",
        "Artifacts",
        "  accuracy  0.9 -> 0.95 (+0.05)",
        f"  big       <bytes, 1000 B, {one}> -> <bytes, 2.0 KiB, {two}>",
        "  gone      2 -> (none)",
    ]
    assert "same" not in done.out
    assert "Parameters" not in done.out
    assert " model.py | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n" in done.out
    assert "+a = 2" in runs("diff", "-p", "1", "2").out


def test_diff_compares_the_newest_by_default(repo: GitRepo, runs: Runs) -> None:
    """Without runs the newest two are compared, with one it is compared with the newest."""
    for value in (1, 2, 3):
        _run(repo, value=value)
    assert "  value  2 -> 3 (+1)\n" in runs("diff").out
    assert "  value  1 -> 3 (+2)\n" in runs("diff", "1").out


def test_diff_of_the_only_run(repo: GitRepo, runs: Runs) -> None:
    """Without a run to compare with, that is what is said."""
    assert "no runs" in runs("diff").err
    _run(repo, value=1)
    done = runs("diff")
    assert done.code == 128
    assert "MyFlow/1 is the only run" in done.err


def test_diff_of_equal_runs(repo: GitRepo, runs: Runs) -> None:
    """Equal runs differ in nothing, and --exit-code tells."""
    _run(repo, value=1)
    _run(repo, value=1)
    _run(repo, value=2)
    assert "They have the same" in runs("diff", "1", "2").out
    assert runs("diff", "--exit-code", "1", "2").code == 0
    assert runs("diff", "--exit-code", "2", "3").code == 1
    assert runs("diff", "1", "2", "3").code == 129


def test_diff_as_json(repo: GitRepo, runs: Runs) -> None:
    """--json has both sides of everything that differs."""
    repo.write("model.py", "a = 1\n")
    _run(repo, value=1)
    repo.write("model.py", "a = 2\n")
    _run(repo, value=2)
    shown = json.loads(runs("diff", "--json").out)
    assert (shown["old"], shown["new"], shown["parameters"]) == ("MyFlow/1", "MyFlow/2", [])
    (row,) = shown["artifacts"]
    assert (row["name"], row["old"]["preview"], row["new"]["preview"]) == ("value", "1", "2")
    assert (shown["code"]["insertions"], shown["code"]["deletions"]) == (1, 1)
    (file,) = shown["code"]["files"]
    assert (file["new_path"], file["status"], len(file["hunks"])) == ("model.py", "modified", 1)
    assert "patch" not in shown
    assert "+a = 2\n" in json.loads(runs("diff", "--json", "--patch").out)["patch"]


def test_an_unknown_name_may_be_an_artifact_or_a_step(repo: GitRepo, runs: Runs) -> None:
    """RUN/NAME that is neither is answered with both kinds of names; git's names of runs are addresses, too."""
    _run(repo, model=1)
    assert "did you mean model?" in runs("cat", "1/modle").err
    assert "neither an artifact nor a step 'x'" in runs("cat", "1/x").err
    for name in ("runs/MyFlow/1/model", "refs/runs/MyFlow/1/model"):
        assert runs("cat", name).out == "1\n"
