"""A disk that is really full: a file system of a few megabytes, and system calls that fail one after another."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.check import FLOW, digests, flow_goes_on, told_well
from tests.helpers.repos import GitRepo, make_repo, run_program
from tests.helpers.runs import make_run, store_of

# Those by which we and git change a disk, and that Python's own start does without.
CALLS = ("rename", "fsync", "mkdir", "link", "unlink")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """The digests of an undisturbed run."""
    repo = _made(tmp_path_factory.mktemp("undisturbed") / "repo")
    assert repo.flow("f.py", "run", env={"MARKER": os.devnull}).code == 0
    run = store_of(repo).latest("F")
    assert run is not None
    return digests(run)


def _made(place: Path) -> GitRepo:
    repo = make_repo(place)
    repo.write("f.py", FLOW)
    return repo


@pytest.mark.parametrize(
    "free",
    [4, 96, *(pytest.param(it, marks=pytest.mark.slow) for it in range(16, 512, 32))],
)
def test_a_full_disk_loses_nothing(
    small_disk: Path, tmp_path: Path, expected: dict[tuple[str, str], str], free: int
) -> None:
    """With so many KiB left the run ends or says that there is no space; with more space it goes on."""
    repo = _made(small_disk / "repo")
    marker = tmp_path / "work"
    room = shutil.disk_usage(small_disk).free - (free << 10)
    (small_disk / "ballast").write_bytes(bytes(room))
    done = repo.flow("f.py", "run", env={"MARKER": str(marker)})
    if done.code:
        told_well(done, os.strerror(28))
    (small_disk / "ballast").unlink()
    flow_goes_on(repo, done, marker, expected)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("words", "time"), [(("tag", "1", "good"), 2), (("rm", "1"), 2)])
@pytest.mark.sample(1)
def test_half_of_the_refs_is_no_conflict(repo: GitRepo, words: tuple[str, ...], time: int) -> None:
    """Where git could not move the last of several refs, the disk is to blame, nobody else; life goes on."""
    make_run(repo)
    repo.git("pack-refs", "--all", "--prune")
    inject = ["-f", "-qq", "-o", "/dev/null", "-e", f"inject=rename:error=EIO:when={time}"]
    command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *words]
    done = run_program(["strace", *inject, *command], repo.path)
    assert done.code == 128
    assert "couldn't set" in done.err or os.strerror(5) in done.err
    assert "exists already" not in done.err
    assert repo.call("doctor", "--fix").code == 0
    assert repo.call(*words).code == 0
    repo.fsck()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("fault", ["error=ENOSPC", "error=EIO", "signal=SIGKILL"])
@pytest.mark.parametrize("call", CALLS)
def test_a_system_call_that_fails_loses_nothing(
    tmp_path: Path, expected: dict[tuple[str, str], str], call: str, fault: str
) -> None:
    """The nth call of each process fails, or the process is killed there, for some n: git's processes as well."""
    template = _made(tmp_path / "template" / "repo")
    for number in (1, 2, 4, 7):
        place = tmp_path / str(number)
        shutil.copytree(template.path, place / "repo")
        repo, marker = GitRepo(place / "repo"), place / "work"
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
        command = ["strace", "-f", "-qq", "-o", str(place / "trace"), *inject, sys.executable]
        done = run_program([*command, "f.py", "run"], repo.path, {"MARKER": str(marker)})
        seen = (place / "trace").read_text()
        assert number > 1 or "INJECTED" in seen or "killed by SIGKILL" in seen
        assert "Traceback" not in done.err, done.err
        flow_goes_on(repo, done, marker, expected)
