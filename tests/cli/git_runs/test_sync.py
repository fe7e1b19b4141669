"""`git runs push`, `fetch`, `trust` and `hooks`."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def other(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A second clone of `origin`, a bare repository that `repo` pushes to."""
    server = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(server)], check=True)
    repo.git("remote", "add", "origin", str(server))
    repo.git("push", "-q", "-u", "origin", "main")
    subprocess.run(["git", "clone", "-q", str(server), str(tmp_path / "other")], check=True)
    return GitRepo(tmp_path / "other")


def test_push_and_fetch_tell_what_they_did(repo: GitRepo, other: GitRepo) -> None:
    """Both print a line a run, as git does of branches, and a summary."""
    make_run(repo, tags=["a"])
    make_run(repo)
    done = repo.call("push")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "To origin\n * [new run]   MyFlow/1\n * [new run]   MyFlow/2\n2 runs new, 1 tag added\n"
    )
    assert repo.call("push").out == "To origin\n2 up to date\n"
    mine = make_run(other)
    assert other.call("push").out == (
        f"To origin\n * [new run]   MyFlow/1 -> MyFlow/1-{mine.uid.short}  (1 is another run there)\n1 run new\n"
    )
    lines = other.call("fetch").out.splitlines()
    assert lines[0] == "From origin"
    assert lines[1].startswith(" * [new run]   MyFlow/1 -> MyFlow/1-")
    assert lines[1].endswith("  (1 is another run here)")
    assert lines[-1] == "2 runs new, 1 up to date, 1 tag added"


def test_runs_and_flows_can_be_chosen(repo: GitRepo, other: GitRepo) -> None:
    """Addresses and names of flows choose what is pushed."""
    del other
    make_run(repo)
    make_run(repo, "Score")
    make_run(repo, "Score")
    assert repo.call("push", "origin", "1").out.splitlines()[1:] == [
        " * [new run]   MyFlow/1", "1 run new"
    ]  # fmt: skip
    assert repo.call("push", "origin", "Score", "@latest").out.endswith("2 runs new\n")


def test_a_forgotten_remote_is_noticed(repo: GitRepo, other: GitRepo) -> None:
    """`git runs push 1` says how it is meant."""
    del other
    make_run(repo)
    done = repo.call("push", "1")
    assert done.code == 129
    assert done.err == "error: '1' is a run, not a remote\nhint: git runs push origin 1\n"
    done = repo.call("push", "orgin")
    assert (done.code, done.err) == (
        128, "fatal: there is no remote 'orgin'\nhint: did you mean 'origin'?\n"
    )  # fmt: skip


def test_what_is_no_run_is_named_and_fails_only_who_asks_for_it(
    repo: GitRepo, other: GitRepo
) -> None:
    """A fetch names what it left out in one line; asking for it ends with 1."""
    server = GitRepo(repo.path.parent / "server.git")
    make_run(repo)
    make_run(repo)
    repo.call("push", "origin", "2")
    other.git("push", "-q", "origin", "HEAD:refs/runs/MyFlow/1", "HEAD:refs/runs/odd")
    for told in ("1 run new, 1 left out\n", "1 left out, 1 up to date\n"):
        done = other.call("fetch")
        assert (done.code, "refused" in done.out, done.out.endswith(told)) == (0, False, True)
        first, second = done.err.splitlines()
        assert first.startswith(
            "warning: origin has no run that can be had as MyFlow/1 (refs/runs/MyFlow/1 is no run"
        )
        assert second == "warning: refs/runs/odd is not the ref of a run"
    done = other.call("fetch", "origin", "MyFlow/1")
    assert done.code == 1
    assert " ! [refused]   MyFlow/1 (" in done.out
    server.git("update-ref", "-d", "refs/runs/MyFlow/1")
    assert other.call("fetch", "origin").err == f"{second}\n"


def test_json(repo: GitRepo, other: GitRepo) -> None:
    """--json prints the whole report."""
    del other
    run = make_run(repo)
    (report,) = json.loads(repo.call("push", "--json").out)
    assert report["remote"] == "origin"
    assert report["runs"] == [
        {"flow": "MyFlow", "source": "1", "target": "1", "uid": str(run.uid), "outcome": "new", "reason": ""}
    ]  # fmt: skip
    for _ in range(10):
        make_run(repo)
    repo.call("push")
    (report,) = json.loads(repo.call("push", "--json").out)
    assert report["up_to_date"] == [f"MyFlow/{number}" for number in range(1, 12)]


def test_trust(repo: GitRepo, other: GitRepo) -> None:
    """Runs and remotes are trusted by name, listed with what that allows, and forgotten again."""
    make_run(repo)
    repo.call("push")
    other.call("fetch")
    assert other.call("trust").out.startswith("Runs that you made in this clone are trusted")
    url = other.git("remote", "get-url", "origin")
    done = other.call("trust", "1", "origin").out.splitlines()
    assert done[0].startswith("MyFlow/1 is trusted as it is now, at ")
    assert done[1].startswith(f"what comes from {url} is trusted: `git runs fetch origin` notes")
    assert other.call("fetch").out.endswith("1 up to date, 1 trusted\n")
    listed = other.call("trust", "--list").out
    assert re.search(
        rf"^url +{re.escape(url)} .* 1 state fetched from there$", listed, re.MULTILINE
    )
    assert re.search("^run +MyFlow/1 .* as it was at [0-9a-f]{7}$", listed, re.MULTILINE)
    assert "may do anything that you can do" in listed
    assert {it["kind"] for it in json.loads(other.call("trust", "--json").out)} == {"url", "commit"}
    done = other.call("untrust", "1", "origin").out.splitlines()
    assert done[0] == (
        f"MyFlow/1 is no longer trusted; the next fetch from {url}, which is, makes it so again"
    )
    assert done[1] == f"{url} is no longer trusted"
    assert json.loads(other.call("trust", "--json").out) == []
    assert "was not listed as trusted" in other.call("trust", "-d", url).out
    missing = other.call("trust", "nobody")
    assert (missing.code, "no remote or run 'nobody'" in missing.err) == (128, True)
    assert missing.err.endswith("hint: `git runs` lists the runs; the remotes are: origin\n")
    assert other.call("trust", "-d").code == other.call("untrust").code == 129


def test_hooks(repo: GitRepo) -> None:
    """Hooks are listed, installed and removed; one that can't be is told, with exit code 1."""
    assert repo.call("hooks").out.startswith("post-commit: not installed (")
    assert repo.call("hooks", "install").out.startswith("post-commit: installed (")
    assert (repo.path / ".git/hooks/pre-push").exists()
    assert repo.call("hooks", "uninstall").code == 0
    assert not (repo.path / ".git/hooks/pre-push").exists()
    repo.write(".git/hooks/pre-push", "#!/usr/bin/perl\n").chmod(0o755)
    done = repo.call("hooks", "install")
    assert done.code == 1
    assert "pre-push: can't be installed: it is no shell script" in done.out
    assert repo.call("hooks", "upgrade").code == 129


def test_a_hook_never_fails(repo: GitRepo, tmp_path: Path) -> None:
    """`git runs hook` tells its troubles and ends with 0, also outside of any repository."""
    assert repo.runs("hook", "post-commit").code == 0
    done = GitRepo(tmp_path).runs("hook", "post-commit")
    assert done.code == 0
    assert "fatal: " in done.err
