"""Stock git reads, checks, copies and keeps runs without any help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.repos import ROOT, GitRepo, make_repo

HELLO = (ROOT / "docs" / "examples" / "hello.py").read_text()


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with runs 1 (clean) and 2 (other parameter, uncommitted change) of Hello."""
    repo = make_repo(tmp_path_factory.mktemp("stock") / "a repo", files={"hello.py": HELLO})
    assert repo.flow("hello.py", "run").code == 0
    repo.write("hello.py", HELLO + "# a change\n")
    repo.write("notes.txt", "untracked\n")
    done = repo.flow("hello.py", "run", "--name", "Ada", "--tag", "first try")
    assert done.code == 0, done.err
    return repo


def test_fsck_is_clean(hello: GitRepo) -> None:
    """`git fsck --strict --full` finds nothing, and nothing was left loose."""
    hello.fsck()
    assert "prune-packable: 0" in hello.git("count-objects", "-v")


def test_the_user_sees_nothing_new(hello: GitRepo) -> None:
    """Index, HEAD, branches and work tree are as they were."""
    assert hello.git("status", "--porcelain") == " M hello.py\n?? notes.txt"
    assert hello.git("branch", "-a") == "* main"
    assert hello.git("log", "--format=%s") == "first"


def test_log_reads_well(hello: GitRepo) -> None:
    """The run's history is readable, ends in `done`, and starts without a parent."""
    subjects = hello.git("log", "--format=%s", "runs/Hello/1").splitlines()
    assert subjects[0].startswith("Hello/1: done, 3 tasks in ")
    assert hello.git("rev-list", "--max-parents=0", "runs/Hello/1").count("\n") == 0
    status = "--format=%(contents:trailers:key=Status,valueonly)"
    assert hello.git("for-each-ref", status, "refs/runs/Hello/1").strip() == "done"


def test_show_and_cat(hello: GitRepo) -> None:
    """INFO is a blob, output is text."""
    assert "Hello" in hello.git("show", "runs/Hello/1:INFO")
    assert hello.git("show", "runs/Hello/2:steps/start/1/stdout") == "Hello, Ada!"


def test_diff_of_two_runs(hello: GitRepo) -> None:
    """Git says which code and which results differ, uncommitted and untracked files included."""
    code = hello.git("diff", "runs/Hello/1:code", "runs/Hello/2:code")
    assert "+# a change" in code
    assert "notes.txt" in code
    data = hello.git("diff", "runs/Hello/1", "runs/Hello/2", "--", "data")
    assert "-HELLO, WORLD!" in data
    assert "+HELLO, ADA!" in data


def test_a_clean_checkout_is_its_own_snapshot(hello: GitRepo) -> None:
    """The code of a run in a clean checkout is HEAD's tree: nothing is stored twice."""
    assert hello.git("rev-parse", "runs/Hello/1:code") == hello.git("rev-parse", "HEAD^{tree}")


def test_archive_of_the_code(hello: GitRepo, tmp_path: Path) -> None:
    """`git archive` makes a tar of a run's code."""
    target = tmp_path / "code.tar"
    hello.git("archive", "-o", str(target), "runs/Hello/2:code")
    assert target.stat().st_size > 0


def test_mirror_bundle_and_gc(hello: GitRepo, tmp_path: Path) -> None:
    """A mirror, a bundle and an aggressive gc keep every run."""
    refs = hello.git("for-each-ref", "refs/runs")
    mirror = tmp_path / "mirror.git"
    hello.git("clone", "-q", "--mirror", str(hello.path), str(mirror))
    copy = GitRepo(mirror)
    copy.git("gc", "-q", "--prune=now")
    copy.fsck()
    assert copy.git("for-each-ref", "refs/runs") == refs
    hello.git("bundle", "create", str(tmp_path / "runs.bundle"), "--glob=refs/runs/*")
    assert "refs/runs/Hello/2" in hello.git("bundle", "list-heads", str(tmp_path / "runs.bundle"))


def test_tags_are_git_tags(hello: GitRepo) -> None:
    """A run's tag is listed by `git tag` and names the run's first commit."""
    first = hello.git("rev-list", "--max-parents=0", "runs/Hello/2")
    tag = hello.git("tag", "-l")
    assert tag == f"runs/Hello/first%20try/2-{first[:7]}"
    assert hello.git("rev-parse", tag) == first
    assert hello.git("describe", "--all", "--exact-match", first)


def test_the_runs_stay_out_of_a_plain_clone(hello: GitRepo, tmp_path: Path) -> None:
    """A colleague's plain clone gets branches, not runs."""
    hello.git("clone", "-q", "--no-tags", str(hello.path), str(tmp_path / "clone"))
    assert "runs" not in GitRepo(tmp_path / "clone").git("for-each-ref")
