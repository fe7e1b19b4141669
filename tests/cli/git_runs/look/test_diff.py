"""`git runs diff`: which runs, and what of their code."""

from __future__ import annotations

import json

import pytest

from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_measured_run, start_run


@pytest.fixture
def history(repo: GitRepo) -> GitRepo:
    """A/1 (prod), A/2 (a.py changed), B/3 (sub/b.py new)."""
    repo.write("a.py", "one\n")
    start_run(repo, "A", tags=["prod"]).close()
    repo.write("a.py", "two\n")
    start_run(repo, "A").close()
    repo.write("sub/b.py", "b\n")
    start_run(repo, "B").close()
    return repo


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ([], ("A/2", "B/3")),
        (["prod"], ("A/1", "B/3")),
        (["1..2"], ("A/1", "A/2")),
        (["A/1..2"], ("A/1", "A/2")),
        (["3..1"], ("B/3", "A/1")),
        (["2.."], ("A/2", "B/3")),
        (["..1"], ("B/3", "A/1")),
        (["@{2}", "@{1}"], ("A/1", "A/2")),
    ],
)
def test_which_runs(history: GitRepo, words: list[str], runs: tuple[str, str]) -> None:
    """One is compared with the newest; a range has both, in this order."""
    done = history.call("diff", *words)
    assert done.code == 0
    assert done.out.splitlines()[:2] == [f"--- {runs[0]}", f"+++ {runs[1]}"]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["--stat", "1..2"], [" a.py | 2 +-", " 1 file changed, 1 insertion(+), 1 deletion(-)"]),
        (["--name-only", "prod"], ["a.py", "sub/b.py"]),
        (["--name-only", "prod", "--", "sub"], ["sub/b.py"]),
        (["--stat", "--", "a.py"], []),
        (["1", "--name-only", "--", "*.py"], ["a.py", "sub/b.py"]),
    ],
)
def test_the_code_alone(history: GitRepo, words: list[str], lines: list[str]) -> None:
    """As `git diff` of both snapshots prints it, and nothing else."""
    done = history.call("diff", *words)
    assert (done.code, done.out.splitlines(), done.err) == (0, lines, "")
    assert history.call("diff", "--exit-code", *words).code == int(bool(lines))


def test_paths(history: GitRepo) -> None:
    """Their changes are a patch, which applies; paths are taken from where one is."""
    patch = history.call("diff", "prod", "--", "a.py").out
    assert patch == history.git("diff", "runs/A/1:code", "runs/B/3:code", "--", "a.py") + "\n"
    assert history.call("diff", "-p", "prod", "--", "a.py").out == patch
    here = GitRepo(history.path / "sub")
    assert here.call("diff", "prod", "--name-only", "--", "b.py").out == "sub/b.py\n"
    found = json.loads(history.call("diff", "prod", "--json", "-p", "--", "a.py").out)
    assert [file["new_path"] for file in found["code"]["files"]] == ["a.py"]
    assert found["patch"] == patch


def test_too_many_runs(history: GitRepo) -> None:
    """The hint says where paths go."""
    done = history.call("diff", "1", "2", "a.py")
    assert done.code == 129
    assert "hint: name one or two; `--` comes before paths\n" in done.err


def test_markdown(history: GitRepo) -> None:
    """A table, and the code folded below it; what runs hold is code, whatever it says."""
    strange = "<img src=x>|@team"
    for number in (1, 2):
        make_measured_run(history, {"lr": strange if number == 2 else "0.1"}, {"loss": number})
        history.write("`odd`.py", "x = 1\n```\n</details>\n")
    lines = history.call("diff", "--format", "markdown", "4..5").out.splitlines()
    assert lines == [
        "|  | `MyFlow/4` | `MyFlow/5` |",
        "| --- | --- | --- |",
        "| parameter `lr` | `0.1` | `<img src=x>\\|@team` |",
        "| artifact `loss` | `b'1'` | `b'2'` |",
        "",
        "<details><summary>Code: 1 file changed, 3 insertions(+)</summary>",
        "",
        "```",
        " `odd`.py | 3 +++",
        " 1 file changed, 3 insertions(+)",
        "```",
        "",
        "</details>",
    ]
    out = history.call("diff", "--format", "markdown", "-p", "4..5").out
    assert "\n````diff\ndiff --git" in out
    assert out.endswith("+</details>\n````\n\n</details>\n")
    assert "ended alike" in history.call("diff", "--format", "markdown", "5", "5").out
