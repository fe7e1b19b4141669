"""`git runs checkout`: the code of a run in a new directory, as it was, and nothing else touched or started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.trust import Trust
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo


@pytest.fixture
def dirty(repo: GitRepo) -> GitRepo:
    """A repository with a run whose code has a changed, a new, a deleted and an executable file and a link."""
    repo.write("keep", "kept\n")
    repo.write("sub/gone", "gone\n")
    repo.commit()
    repo.write("README", "changed\n")
    repo.write("sub/new", "new\n").chmod(0o755)
    (repo.path / "sub" / "gone").unlink()
    (repo.path / "link").symlink_to("sub/new")
    make_run(repo)
    repo.git("stash", "-q", "-u")
    return repo


def files(place: Path) -> dict[str, bytes | str]:
    """What is in a directory, git's own left out."""
    found: dict[str, bytes | str] = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and name != ".git":
            found[name] = path.read_bytes()
    return found


CODE = {"README": b"changed\n", "keep": b"kept\n", "link": "sub/new", "sub/new": b"new\n"}


def test_a_work_tree_shows_what_was_changed(dirty: GitRepo, runs: Runs) -> None:
    """At the code's commit, with all files of the snapshot on top; the user's own work tree shows nothing of it."""
    before = dirty.git("status", "--porcelain", "--branch")
    done = runs("checkout", "1")
    assert done.code == 0, done.err
    place = GitRepo(dirty.path / "MyFlow-1")
    assert files(place.path) == CODE
    assert (place.path / "sub" / "new").stat().st_mode & 0o111
    head = dirty.git("rev-parse", "HEAD")
    assert place.git("rev-parse", "HEAD") == head
    assert set(place.git("status", "--porcelain", "-uall").split("\n")) == {
        " M README", " D sub/gone", "?? link", "?? sub/new",
    }  # fmt: skip
    assert done.out.split("\n")[:2] == [
        f"The code of MyFlow/1 is in MyFlow-1: a work tree at {head[:7]} with 4 changed files.",
        "cd MyFlow-1",
    ]
    assert dirty.git("status", "--porcelain", "--branch") == before
    dirty.git("worktree", "remove", "--force", str(place.path))
    dirty.fsck()


def test_its_json(dirty: GitRepo, runs: Runs, tmp_path: Path) -> None:
    """The run, the directory, the commit, and what is not in the code."""
    place = tmp_path / "a dir" / "there"
    found = json.loads(runs("checkout", "--json", "1", str(place)).out)
    assert found == {
        "run": "MyFlow/1", "directory": str(place), "files": 4,
        "commit": dirty.git("rev-parse", "HEAD"), "work_tree": True, "command": None, "left_out": {},
    }  # fmt: skip
    assert files(place) == CODE


def test_some_paths_alone(dirty: GitRepo, runs: Runs) -> None:
    """With `-- PATH` the files and directories that are named, in a plain directory."""
    done = runs("checkout", "1", "some", "--", "sub", "./keep")
    assert done.code == 0, done.err
    place = dirty.path / "some"
    assert files(place) == {"keep": b"kept\n", "sub/new": b"new\n"}
    assert not (place / ".git").exists()
    assert "a plain directory" in done.out
    assert runs("checkout", "--plain", "1", "all").code == 0
    assert files(dirty.path / "all") == CODE
    assert not (dirty.path / "all" / ".git").exists()
    assert dirty.git("status", "--porcelain") == ""


@pytest.mark.parametrize("what", ["file", "link", "full"])
def test_nothing_is_overwritten(dirty: GitRepo, runs: Runs, tmp_path: Path, what: str) -> None:
    """A directory with something in it, a file and a link are refused, and stay."""
    place = tmp_path / "there"
    if what == "file":
        place.write_text("mine")
    elif what == "link":
        (tmp_path / "empty").mkdir()
        place.symlink_to("empty")
    else:
        place.mkdir()
        (place / "mine").write_text("")
    before = files(tmp_path)
    done = runs("checkout", "1", str(place))
    assert done.code == 129
    assert str(place) in done.err
    assert "nothing is overwritten" in done.err
    assert files(tmp_path) == before
    assert "prunable" not in dirty.git("worktree", "list", "--porcelain")


def test_an_unknown_path_makes_nothing(dirty: GitRepo, runs: Runs) -> None:
    """It is told before anything is made, with the command that lists what there is."""
    done = runs("checkout", "1", "--", "sub", "nowhere")
    assert done.code == 128
    assert "the code of MyFlow/1 has no 'nowhere'" in done.err
    assert "git ls-tree -r --name-only runs/MyFlow/1:code" in done.err
    assert not (dirty.path / "MyFlow-1").exists()


def test_nothing_of_the_code_is_started(repo: GitRepo, runs: Runs, tmp_path: Path) -> None:
    """No hook runs, and no filter that an attribute in the code names: a stranger may have written it."""
    canary = tmp_path / "canary"
    program = f"touch '{canary}'; cat"
    repo.write(".gitattributes", "* filter=evil\n")
    repo.write("file", "x\n")
    repo.commit()
    make_run(repo)
    for name in ("smudge", "clean", "process"):
        repo.git("config", f"filter.evil.{name}", program)
    hook = repo.write(".git/hooks/post-checkout", f"#!/bin/sh\n{program}\n")
    hook.chmod(0o755)
    done = runs("checkout", "1")
    assert done.code == 0, done.err
    assert (repo.path / "MyFlow-1" / "file").read_text() == "x\n"
    assert not canary.exists()


@pytest.mark.parametrize("plain", [[], ["--plain"]])
@pytest.mark.parametrize(
    ("mode", "name", "content"),
    [
        ("100644", ".git", "gitdir: /elsewhere\n"),
        ("40000", ".GIT", None),
        ("40000", "git~1", None),
        ("40000", "..", None),
        ("120000", "link", "/etc/passwd"),
        ("120000", "link", "../../outside"),
        ("120000", "sub\\link", "a"),
    ],
)
@pytest.mark.sample(7)
def test_code_that_would_leave_its_directory_is_refused(
    repo: GitRepo,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    plain: list[str],
    mode: str,
    name: str,
    content: str | None,
) -> None:
    """Of a stranger's run: names that are git's or another system's, and links out; nothing is made."""
    make_run(repo)
    blob = repo.git("hash-object", "-w", "--stdin", stdin=(content or "[core]").encode())
    inner = b"100644 config\0" + bytes.fromhex(blob)
    tree = repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=inner)
    oid = bytes.fromhex(tree if content is None else blob)
    row = f"{mode} {name}\0".encode() + oid
    evil = repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=row)
    monkeypatch.setattr(StoredRun, "code_tree", Oid.from_hex(evil))
    monkeypatch.setattr(Trust, "trusts_run", lambda *_: False)
    before = files(repo.path)
    done = runs("checkout", *plain, "1")
    assert done.code == 128
    assert files(repo.path) == before
    assert not (repo.path / "MyFlow-1").exists()
    assert len(repo.git("worktree", "list").split("\n")) == 1


def test_where_the_commit_is_not_here(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain directory, and why; so it is of a run that was made before the first commit."""
    run = make_run(repo)
    from gitflowrun.porcelain import checkout

    monkeypatch.setattr(checkout, "_commit_of", lambda _run: (None, "its commit is not here"))
    done = runs("checkout", run.pathspec)
    assert "a plain directory, for its commit is not here" in done.out
    assert files(repo.path / "MyFlow-1") == {"README": b"a project\n"}


def test_where_git_makes_no_work_tree(repo: GitRepo, runs: Runs, tmp_path: Path) -> None:
    """In a repository that may only be read, say: a plain directory, and in git's words why."""
    make_run(repo)
    repo.write(".git/worktrees", "in its place")
    done = runs("checkout", "1", str(tmp_path / "there"))
    assert done.code == 0, done.err
    assert "a plain directory, for git makes no work tree: " in done.out
    assert files(tmp_path / "there") == {"README": b"a project\n"}


def test_a_failure_leaves_nothing(
    dirty: GitRepo, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes the work tree away again; an empty directory stays one."""
    from gitflowrun.porcelain import checkout

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkout, "materialise", fail)
    place = tmp_path / "there"
    place.mkdir()
    done = runs("checkout", "1", str(place))
    assert done.code == 129
    assert "No space left on device" in done.err
    assert list(place.iterdir()) == []
    assert str(place) not in dirty.git("worktree", "list")


@pytest.mark.parametrize("step", ["_commit_of", "_add_work_tree", "materialise"])
def test_two_that_write_to_one_directory(
    dirty: GitRepo, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """One of them is refused, and removes nothing of what the other one has written."""
    from gitflowrun.porcelain import checkout

    place, others = tmp_path / "there", []
    original = getattr(checkout, step)

    def beside(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(checkout, step, original)
        others.append(runs("checkout", "1", str(place)))
        return original(*args, **kwargs)

    monkeypatch.setattr(checkout, step, beside)
    done = runs("checkout", "1", str(place))
    assert sorted([done.code, *(other.code for other in others)]) == [0, 129]
    assert "Traceback" not in done.err
    assert files(place) == CODE
    assert GitRepo(place).git("rev-parse", "HEAD") == dirty.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("step", "option"),
    [("_add_work_tree", "--json"), ("materialise", "--json"), ("materialise", "--plain")],
)
def test_what_somebody_writes_there_meanwhile_stays(
    dirty: GitRepo,
    runs: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    option: str,
) -> None:
    """A file of the user's that comes between the look at the directory and its use."""
    from gitflowrun.porcelain import checkout

    place = tmp_path / "there"
    original = getattr(checkout, step)

    def beside(*args: Any, **kwargs: Any) -> Any:
        place.mkdir(exist_ok=True)
        (place / "keep").write_text("mine")
        return original(*args, **kwargs)

    monkeypatch.setattr(checkout, step, beside)
    done = runs("checkout", option, "1", str(place))
    assert done.code in {128, 129}
    assert str(place) in done.err
    assert (place / "keep").read_text() == "mine"
    dirty.fsck()


def test_says_how_the_run_was_started_if_that_is_trusted(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of a run of ours, where it was typed; nothing that a stranger's run says."""
    repo.write("sub/flow.py", FLOW)
    done = GitRepo(repo.path / "sub").flow("flow.py", "run", "--x", "a b")
    assert done.code == 0, done.err
    shown = runs("checkout", "1").out.split("\n")
    assert shown[1] == "cd MyFlow-1/sub"
    assert shown[2].endswith("flow.py run --x 'a b'")
    monkeypatch.setattr(Trust, "trusts_run", lambda *_: False)
    assert "flow.py" not in runs("checkout", "1", "again").out
    assert open_repo(repo).refs.get("refs/runs/MyFlow/1") is not None


FLOW = """
from gitflowrun import FlowSpec, Parameter, step


class MyFlow(FlowSpec):
    x = Parameter("x", default="")

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MyFlow()
"""
