"""`git runs note`: notes on runs are written, shown, edited and deleted, and are git's own notes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun.runs.records import RunIdentity
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run


@pytest.fixture
def run(repo: GitRepo) -> RunIdentity:
    """A run to be noted."""
    return make_run(repo)


def editor(place: Path, body: str) -> str:
    """An editor that does something with the text of the file: `text` is what is in it, and becomes that."""
    path = place / "editor.py"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\nfile = Path(sys.argv[-1])\n"
        f"text = file.read_text()\n{body}\nfile.write_text(text)\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_note_is_shown_by_git_and_by_us(repo: GitRepo, run: RunIdentity, runs: Runs) -> None:
    """`note -m`, then `note`, `show`, `log`, their JSON, and git's own `notes show`."""
    done = runs("note", "1", "-m", "the good one ", "-m", "lr was\x1b[31m right")
    assert (done.code, done.out) == (0, "wrote the note on MyFlow/1\n")
    text = "the good one\n\nlr was\x1b[31m right"
    assert repo.git("notes", "--ref=runs", "show", str(run.uid)) == text
    assert json.loads(runs("note", "1", "--json").out) == {
        "run": "MyFlow/1", "uid": str(run.uid), "note": text,
    }  # fmt: skip
    assert json.loads(runs("show", "1", "--json").out)["note"] == text
    assert [row["note"] for row in json.loads(runs("log", "--json").out)] == [text]
    for words in (["note", "1"], ["show"], ["log"]):
        out = runs(*words).out
        assert "the good one" in out
        assert "\x1b[31m" not in out
    repo.fsck()


def test_a_second_note_takes_the_place_of_the_first(
    repo: GitRepo, run: RunIdentity, runs: Runs, tmp_path: Path
) -> None:
    """It says so; the history of the notes has the first one; other notes stay."""
    repo.git("notes", "--ref=runs", "add", "-m", "mine", "HEAD")
    assert runs("note", "1", "-m", "first").code == 0
    (tmp_path / "text").write_text("second\n\n")
    done = runs("note", "1", "-F", str(tmp_path / "text"))
    assert done.out == "wrote the note on MyFlow/1 in place of the one before\n"
    assert runs("note", "1").out == "second\n"
    assert repo.git("notes", "--ref=runs", "show", "HEAD") == "mine"
    assert f"{run.uid}" in repo.git("ls-tree", "--name-only", "refs/notes/runs~1")
    assert repo.git("log", "-2", "--format=%s", "refs/notes/runs").split("\n") == 2 * [
        "Note on run MyFlow/1"
    ]


def test_deletes_a_note(repo: GitRepo, run: RunIdentity, runs: Runs) -> None:
    """`-d`; where there is none, that is an error, and so it is for whoever wants to see one."""
    assert runs("note", "1", "-m", "x").code == 0
    assert runs("note", "-d", "1").out == "deleted the note on MyFlow/1\n"
    assert repo.git("notes", "--ref=runs", "list") == ""
    again, seen = runs("note", "-d", "1"), runs("note", "1")
    assert (again.code, seen.code) == (128, 1)
    for done in (again, seen):
        assert done.out == ""
        assert "MyFlow/1 has no note" in done.err
        assert "git runs note MyFlow/1 -m TEXT" in done.err
    nothing = runs("note", "1", "--json")
    assert (nothing.code, json.loads(nothing.out)["note"]) == (1, None)
    assert run.id == "1"


def test_writes_it_in_gits_editor(
    run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The editor gets the old note and a comment; the comment is left out."""
    program = editor(tmp_path, "assert '# A note on run MyFlow/1' in text; text = 'new\\n' + text")
    monkeypatch.setenv("GIT_EDITOR", f"'{program}' --wait")
    assert runs("note", "-m", "old", "1").code == 0
    assert runs("note", "-e", "1").code == 0
    assert runs("note", "1").out == "new\nold\n"
    assert run.id == "1"


@pytest.mark.parametrize("body", ["pass", "text = '# nothing'", "sys.exit(3)"])
def test_an_editor_that_changes_nothing(
    run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """An unchanged or an empty text, and an editor that fails, leave the note as it is, and say so."""
    assert runs("note", "1", "-m", "old").code == 0
    monkeypatch.setenv("GIT_EDITOR", editor(tmp_path, body))
    done = runs("note", "-e", "1")
    assert done.code in {1, 128}
    assert "nothing was changed" in done.err
    assert runs("note", "1").out == "old\n"
    assert run.id == "1"


def test_what_was_edited_beside_somebody_else_is_kept(
    repo: GitRepo, run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another note that was written meanwhile stays, and the error says where the text is."""
    other = f"git -C '{repo.path}' notes --ref=runs add -f -m theirs {run.uid}"
    program = editor(
        tmp_path, f"import os; assert not os.system({other!r} + ' 2>&1'); text = 'mine'"
    )
    monkeypatch.setenv("GIT_EDITOR", program)
    done = runs("note", "-e", "1")
    assert done.code == 128
    assert "somebody has just written another note" in done.err
    kept = Path(done.err.split("what you wrote is in ")[1].split(":")[0])
    assert kept.read_text() == "mine\n"
    kept.unlink()
    assert runs("note", "1").out == "theirs\n"


def test_no_editor_of_the_repository_is_started(
    repo: GitRepo, run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`core.editor` in the repository's own config counts for nothing, as other programs named there."""
    monkeypatch.delenv("GIT_EDITOR")
    repo.git("config", "core.editor", f"touch '{tmp_path / 'started'}'; true")
    assert runs("note", "-e", "1").code == 128
    assert not (tmp_path / "started").exists()
    assert run.id == "1"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["-m", "x", "-d"], "don't go together"),
        (["-m", " \n "], "the note is empty"),
        (["-F", "nowhere"], "'nowhere' can't be read: No such file"),
    ],
)
def test_refuses_what_is_no_note(run: RunIdentity, runs: Runs, words: list[str], what: str) -> None:
    """A mistake on the command line is told, and nothing is written."""
    done = runs("note", run.pathspec, *words)
    assert done.code == 129
    assert what in done.err
    assert runs("note", "1").code == 1


@pytest.mark.parametrize(
    "text",
    ["ä" * 700_000, "x" + " " * (1 << 20) + "\nthe end", "x" * (1 << 20) + "\n"],
    ids=["more bytes than characters", "blanks at the end of a line", "one byte too many"],
)
def test_refuses_a_note_that_is_too_long(
    run: RunIdentity, runs: Runs, tmp_path: Path, text: str
) -> None:
    """It is never cut: what was read of a file may be all of it or not."""
    (tmp_path / "text").write_text(text, encoding="utf-8")
    done = runs("note", "1", "-F", str(tmp_path / "text"))
    assert done.code == 129
    assert "the note is larger than 1 MiB" in done.err
    assert runs("note", "1").code == 1
    assert run.id == "1"


def test_the_longest_note_is_shown(run: RunIdentity, runs: Runs, tmp_path: Path) -> None:
    """A note of exactly as many bytes as are read."""
    text = "ä" * ((1 << 19) - 1) + "x\n"
    (tmp_path / "text").write_text(text, encoding="utf-8")
    assert runs("note", "1", "-F", str(tmp_path / "text")).code == 0
    assert runs("note", "1").out == text
    assert run.id == "1"


def test_what_was_edited_and_is_too_long_is_kept(
    run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says where the text is, and the note is as it was."""
    assert runs("note", "1", "-m", "old").code == 0
    monkeypatch.setenv("GIT_EDITOR", editor(tmp_path, "text = chr(228) * 700_000"))
    done = runs("note", "-e", "1")
    assert done.code == 129
    kept = Path(done.err.split("what you wrote is in ")[1].split(":")[0])
    assert kept.read_text(encoding="utf-8") == "ä" * 700_000 + "\n"
    kept.unlink()
    assert runs("note", "1").out == "old\n"
    assert run.id == "1"


def test_editing_leaves_all_else_as_it_is(
    repo: GitRepo, run: RunIdentity, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no UTF-8 stay, and the template's comment is left out whatever git's own sign of one is."""
    (tmp_path / "text").write_bytes(b"gr\xfc\xdfe")
    assert runs("note", "1", "-F", str(tmp_path / "text")).code == 0
    repo.git("config", "core.commentChar", ";")
    monkeypatch.setenv("GIT_EDITOR", "f() { echo new >> $1; }; f")
    assert runs("note", "-e", "1").code == 0
    command = ["git", "-C", str(repo.path), "notes", "--ref=runs", "show", str(run.uid)]
    noted = subprocess.run(command, capture_output=True, check=True).stdout
    assert noted == b"gr\xfc\xdfe\nnew\n"


def test_reads_standard_input(repo: GitRepo, run: RunIdentity, runs: Runs) -> None:
    """`-F -`, as git has it."""
    done = subprocess.run(
        [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "note", "1", "-F", "-"],
        cwd=repo.path, input=b"piped\n", capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert runs("note", run.pathspec).out == "piped\n"
