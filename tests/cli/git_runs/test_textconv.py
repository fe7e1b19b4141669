"""`git runs textconv`: records and values as text in `git diff` and `git show`, where somebody asks for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.porcelain.textconv import lines_of
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import make_run
from tests.helpers.warm_programs import write_program


def text_of(repo: GitRepo, content: bytes, name: str = "INFO") -> str:
    """What is printed of a file."""
    done = repo.call("textconv", str(repo.write(f"files/{name}", content)))
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.fixture
def with_program(repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with two runs where git finds `git-runs`."""
    program = write_program(tmp_path / "bin" / "git-runs", "-m", "gitflowrun.cli.git_runs.main")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    make_run(repo, tags=["one"])
    make_run(repo, tags=["two"])
    return repo


def test_a_record_has_a_line_for_each_value(repo: GitRepo) -> None:
    """Maps and lists are indented, texts quoted, digests hexadecimal, long binaries named by their digest."""
    record = {
        "a": 1, "text": 'say "x"\n', "none": None, "map": {"b": [True, 2.5]}, "empty": [], "id": b"\x01\xff",
        "long": bytes(100),
    }  # fmt: skip
    assert text_of(repo, msgpack.packb(record)).splitlines()[:-1] == [
        "a: 1",
        'text: "say \\"x\\"\\n"',
        "none: None",
        "map:",
        "  b:",
        "    - 0: True",
        "    - 1: 2.5",
        "empty: []",
        "id: 01ff",
    ]
    assert (
        text_of(repo, msgpack.packb(record))
        .splitlines()[-1]
        .startswith("long: <100 bytes, sha256 cd00e292")
    )


def test_other_files_stay_as_they_are(repo: GitRepo) -> None:
    """A text file of the same name is shown as it is; other bytes by their size and digest."""
    assert text_of(repo, "täbs\tand words\n\nend\n".encode()) == "täbs\tand words\n\nend\n"
    assert text_of(repo, b"") == "\n"
    assert text_of(repo, b"\x00\xc1\xff").startswith("<3 bytes, sha256 ")
    assert text_of(repo, msgpack.packb(49), "x.msgpack") == "49\n"
    assert text_of(repo, b"49", "x") == "49\n"


def test_nothing_of_a_record_commands_a_terminal(repo: GitRepo) -> None:
    """Escape sequences in keys, values and text files are shown; nothing is loaded."""
    evil = "\x1b]0;title\x07\u202e"
    record = {evil: evil, "list": [{evil: evil.encode()}], "type": "os.system"}
    for content in (msgpack.packb(record), evil.encode(), msgpack.packb(evil)):
        for name in ("INFO", "x.msgpack"):
            out = text_of(repo, content, name)
            assert out.replace("\n", "").isprintable()


@given(st.binary(max_size=60), st.sampled_from(["INFO", "x.msgpack"]))
def test_any_bytes_have_lines(data: bytes, name: str) -> None:
    """Whatever a file holds, there is text for it, and no error."""
    assert [*lines_of(data, name)] != []


def test_deep_and_large_records_end(repo: GitRepo) -> None:
    """What is deeper or larger than a record may be is named by its digest."""
    for content in (
        b"\x91" * 10_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\xa1a" + bytes(9 << 20),
    ):
        assert text_of(repo, content).startswith("<")


def test_git_shows_records_once_that_is_installed(with_program: GitRepo) -> None:
    """`git diff` and `git show` of runs say what differs in records and values."""
    repo = with_program
    plain = repo.git("diff", "runs/MyFlow/1", "runs/MyFlow/2")
    assert "Binary files a/INFO and b/INFO differ" in plain
    assert repo.call("textconv", "--install").out == "git shows records of runs as text\n"
    shown = repo.git("diff", "runs/MyFlow/1", "runs/MyFlow/2")
    assert '-  - 0: "one"\n+  - 0: "two"' in shown
    assert not re.search(r"Binary files \S+/(INFO|TASK|\w+\.msgpack) ", shown)
    records = ("steps/train/2/TASK", "steps/train/2/attempts/0/TASK")
    assert repo.git("check-attr", "diff", *records).count(": diff: runs") == len(records)


def test_it_is_taken_back(with_program: GitRepo) -> None:
    """After --uninstall config and attributes are what they were; twice is as once."""
    repo = with_program
    attributes, config = repo.path / ".git/info/attributes", repo.path / ".git/config"
    attributes.write_text("*.png binary\n" + attributes.read_text())
    before = attributes.read_text(), config.read_text()
    for _ in range(2):
        assert repo.call("textconv", "--install").code == 0
    assert attributes.read_text().startswith(before[0])
    assert repo.git("config", "--get-all", "diff.runs.textconv").count("git runs") == 1
    for _ in range(2):
        assert repo.call("textconv", "--uninstall").out == "git shows no records of runs as text\n"
    assert (attributes.read_text(), config.read_text()) == before


def test_the_users_own_program_stays(repo: GitRepo) -> None:
    """Where diff.runs.textconv is somebody's own, nothing is changed, and it is said."""
    repo.git("config", "diff.runs.textconv", "cat -v")
    before = (repo.path / ".git/config").read_text()
    done = repo.call("textconv", "--install")
    assert (done.code, done.out) == (
        1,
        "git shows no records of runs as text: diff.runs.textconv is set to something else\n",
    )
    assert repo.call("textconv", "--uninstall").code == 0
    assert (repo.path / ".git/config").read_text() == before


def test_git_diff_works_without_us(with_program: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `git-runs` is not on PATH, or fails, git shows the ids of the records."""
    repo = with_program
    assert repo.call("textconv", "--install").code == 0
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    shown = repo.git("diff", "runs/MyFlow/1", "runs/MyFlow/2", "--", "INFO").splitlines()
    ids = [repo.git("rev-parse", f"runs/MyFlow/{number}:INFO") for number in (1, 2)]
    assert shown[-2:] == [f"-{ids[0]}", f"+{ids[1]}"]


def test_files_that_are_not_there(repo: GitRepo) -> None:
    """A file that can't be read is named."""
    done = repo.call("textconv", "nowhere")
    assert (done.code, done.err) == (128, "fatal: nowhere: No such file or directory\n")
