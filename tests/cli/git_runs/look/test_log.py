"""`git runs log`: which runs, and what changed in their code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import make_run, start_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A/1 (first), B/2, A/3 (a.py changed), A/4 (nothing), A/5 (sub/b.py new), B/6 (both since B/2)."""
    repo = make_repo(tmp_path_factory.mktemp("log") / "made")
    repo.write("a.py", "one\n")
    start_run(repo, "A", tags=["first"]).close()
    start_run(repo, "B").close()
    repo.write("a.py", "two\n")
    start_run(repo, "A").close()
    start_run(repo, "A").close()
    repo.write("sub/b.py", "b\n")
    start_run(repo, "A").close()
    start_run(repo, "B").close()
    return repo


@pytest.fixture
def history(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "a repo")


def _names(out: str) -> list[str]:
    return re.findall(r"^run (\S+)", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["B/6", "A/5", "A/4", "A/3", "B/2", "A/1"]),
        (["A"], ["A/5", "A/4", "A/3", "A/1"]),
        (["4"], ["A/4", "A/3", "B/2", "A/1"]),
        (["A/4"], ["A/4", "A/3", "A/1"]),
        (["@{1}", "-2"], ["A/5", "A/4"]),
        (["first"], ["A/1"]),
        (["2..4"], ["A/4", "A/3", "B/2"]),
        (["A/2..", "-n", "2"], ["A/5", "A/4"]),
        (["--", "a.py"], ["B/6", "A/3"]),
        (["A", "--", "a.py", "sub"], ["A/5", "A/3"]),
        (["5", "--", "*.py"], ["A/5", "A/3"]),
        (["-1", "--", "*.py"], ["B/6"]),
        (["--", "nowhere"], []),
    ],
)
@pytest.mark.sample(7)
def test_which_runs(history: GitRepo, words: list[str], found: list[str]) -> None:
    """Of a flow, from a run back, of a range, or those whose code changed somewhere."""
    done = history.call("log", *words)
    assert (done.code, _names(done.out), done.err) == (0, found, "")
    assert [
        f"{row['flow']}/{row['id']}"
        for row in json.loads(history.call("log", "--json", *words).out)
    ] == found


def test_oneline(history: GitRepo) -> None:
    """As git has it: the id, tags, and what became of the run."""
    lines = history.call("log", "--oneline", "A", "-9").out.splitlines()
    uid = history.git("rev-list", "--max-parents=0", "runs/A/1").strip()[:7]
    assert len(lines) == 4
    assert lines[-1] == f"{uid} (first) A/1: interrupted, 0 tasks"


def test_the_changes_of_each_run(history: GitRepo) -> None:
    """`-p` shows them as git writes them, `--stat` counts them; a first run, and equal code, have none."""
    done = history.call("log", "-p", "A")
    blocks = re.split(r"^run ", done.out, flags=re.MULTILINE)[1:]
    assert [block.count("diff --git") for block in blocks] == [1, 0, 1, 0]
    assert blocks[0].endswith("+++ b/sub/b.py\n@@ -0,0 +1 @@\n+b\n\n")
    assert blocks[2].endswith("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-one\n+two\n\n")
    out = history.call("log", "--stat", "--oneline", "B", "--", "sub").out
    assert out.splitlines()[1:] == [
        " sub/b.py | 1 +",
        " 1 file changed, 1 insertion(+)",
    ]
    rows = json.loads(history.call("log", "-p", "--json", "A").out)
    assert [bool(row["code"]) for row in rows] == [True, False, True, False]
    assert "code" not in json.loads(history.call("log", "--json", "-1").out)[0]


def test_paths_are_taken_from_where_one_is(
    history: GitRepo,
) -> None:
    """As git takes them; `:/` is from the top."""
    here = GitRepo(history.path / "sub")
    for paths, found in ((["b.py"], ["B/6", "A/5"]), (["a.py"], []), ([":/a.py"], ["B/6", "A/3"])):
        assert _names(here.call("log", "--", *paths).out) == found


def test_the_users_colours_are_used(history: GitRepo) -> None:
    """The diff is git's own."""
    history.git("config", "color.ui", "always")
    history.git("config", "color.diff.new", "magenta")
    assert "\x1b[35m+" in history.call("log", "-p", "3", "-1").out


def test_a_run_that_cannot_be_read_costs_only_itself(history: GitRepo) -> None:
    """Its changes are not shown, nor those of the next one, and the exit code says that something is missing."""
    history.write("c.py", "c\n")
    start_run(history, "A").close()
    _forget(history, history.git("rev-parse", "runs/A/3:code"))
    done = history.call("log", "-p", "A", "--oneline")
    assert done.code == 128
    assert done.err.startswith("error: ")
    assert "c.py" in done.out
    assert _names(history.call("log", "--", "c.py", "sub").out) == ["A/7", "B/6"]


def _forget(repo: GitRepo, oid: str) -> None:
    """Take an object out of a repository."""
    for pack in (repo.path / ".git/objects/pack").glob("*.pack"):
        moved = Path(str(pack).replace("/pack/", "/moved-"))
        pack.rename(moved)
        pack.with_suffix(".idx").unlink()
        repo.git("unpack-objects", "-q", stdin=moved.read_bytes())
    (repo.path / ".git/objects" / oid[:2] / oid[2:]).unlink()


def test_a_run_in_which_too_much_has_changed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out, and the others are compared."""
    start_run(repo).close()
    for number in range(30):
        repo.write(f"{'long' * 20}/{number}.py", "x")
    start_run(repo).close()
    repo.write("a.py", "x")
    start_run(repo).close()
    monkeypatch.setattr("gitflowrun.porcelain.comparison.code_history._NAMES", 300)
    monkeypatch.setattr("gitflowrun.git.diff.DIFFED_FILES", 20)
    assert _names(repo.call("log", "--", "*.py").out) == ["MyFlow/3"]
    monkeypatch.setattr("gitflowrun.git.diff.DIFFED_FILES", 40)
    done = repo.call("log", "--", "*.py")
    assert (done.code, done.out) == (128, "")
    assert "more than" in done.err


def test_what_git_takes_for_no_path(history: GitRepo) -> None:
    """The message is git's."""
    done = history.call("log", "--", ":(nonsense)a.py")
    assert (done.code, done.out) == (128, "")
    assert "nonsense" in done.err
    assert "Traceback" not in done.err


def test_a_path_without_the_dashes(history: GitRepo) -> None:
    """Where a file is called like what is no run, the hint says how it is meant."""
    for words, command in (
        (("log", "a.py"), "git runs log"),
        (("diff", "1", "a.py"), "git runs diff 1"),
    ):
        done = history.call(*words)
        assert done.code == 128
        assert done.err.endswith(f"hint: `{command} -- a.py` if the file is meant\n")
    assert "if the file is meant" not in history.call("diff", "1", "b.py").err


def test_what_is_neither_flow_nor_run(repo: GitRepo, runs: Runs) -> None:
    """The nearest of both are named."""
    make_run(repo, "Train")
    done = runs("log", "Trian")
    assert done.code == 128
    assert done.err == (
        "fatal: there is neither a flow nor a run 'Trian'\n"
        "hint: did you mean Train? the newest is Train/1\n"
    )
