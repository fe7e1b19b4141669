"""One git process moves all refs, and whatever becomes of it, the next one goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitflowrun.errors import MissingObject, RefConflict
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from tests.helpers.flows import eventually
from tests.helpers.refs import NAME, create_ref, delete_ref, git_children, opened, update_ref
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import make_run


def test_a_program_with_very_many_open_files_changes_refs(repo: GitRepo) -> None:
    """More than the 1,024 that `select(2)` knows."""
    make_run(repo)
    code = """
import os, resource
from gitflowrun import Run
resource.setrlimit(resource.RLIMIT_NOFILE, (1300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
Run("MyFlow/1").add_tag("seen")
print(Run("MyFlow/1").user_tags)
"""
    done = repo.python("-c", code)
    assert (done.code, "seen" in done.out) == (0, True), done


def test_one_process_moves_all_refs(repository: Repository, commits: list[Oid]) -> None:
    """Git is started by the first change, stays for the next ones, and is gone when the refs are closed."""
    refs = repository.refs
    assert git_children() == []
    create_ref(refs, NAME, commits[0])
    (first,) = git_children()
    update_ref(refs, NAME, commits[1], commits[0])
    delete_ref(refs, NAME, commits[1])
    assert git_children() == [first]
    refs.close()
    assert git_children() == []
    create_ref(refs, NAME, commits[2])
    assert repository.refs.get(NAME) == commits[2]
    refs.close()


def test_another_process_goes_on_after_many_transactions(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run's git would hold all packs that there have been; there is one at a time."""
    monkeypatch.setattr("gitflowrun.git.ref_update.TRANSACTIONS_A_PROCESS", 2)
    refs, seen = repository.refs, []
    create_ref(refs, NAME, commits[0])
    for number in range(1, 6):
        (child,) = git_children()
        seen.append(child)
        update_ref(refs, NAME, commits[number % 3], commits[(number - 1) % 3])
    assert [seen.count(child) for child in dict.fromkeys(seen)] == [2, 2, 1]
    refs.close()


@pytest.mark.parametrize("change", ["create", "move", "delete"])
def test_a_ref_that_changes_at_the_last_moment(
    repo: GitRepo, repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:  # fmt: skip
    """Between our look and git's lock: what git says then is a conflict as well, told at once."""
    refs = opened(repository, patience=0)
    compare = refs._compare
    seen: list[object] = []

    def late(updates: Sequence[RefUpdate]) -> None:
        compare(updates)
        seen.append(updates)
        if len(seen) == 1:
            repo.git("update-ref", NAME, str(commits[1]))

    if change != "create":
        create_ref(refs, NAME, commits[0])
    monkeypatch.setattr(refs, "_compare", late)
    old = None if change == "create" else commits[0]
    with pytest.raises(RefConflict, match=NAME):
        refs.transaction([RefUpdate(NAME, None if change == "delete" else commits[2], old)])
    assert repository.refs.get(NAME) == commits[1]
    refs.close()


def test_a_conflict_that_is_seen_costs_no_process(
    repository: Repository, commits: list[Oid]
) -> None:
    """A ref that is not at its old value is a conflict before git is asked."""
    create_ref(repository.refs, NAME, commits[0])
    before = git_children()
    with pytest.raises(RefConflict):
        create_ref(repository.refs, NAME, commits[1])
    assert git_children() == before


def test_after_a_refused_transaction_the_next_one_works(
    repository: Repository, commits: list[Oid]
) -> None:
    """Git ends at what it refuses, whatever the cause, and leaves nothing behind that is in the way."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    for name, oid, error in (
        (f"{NAME}/x", commits[0], RefConflict), ("refs/runs/F/2", Oid(b"\1" * 20), MissingObject)
    ):  # fmt: skip
        with pytest.raises(error):
            create_ref(refs, name, oid)
        assert git_children() == []
        update_ref(refs, NAME, commits[1], commits[0])
        update_ref(refs, NAME, commits[0], commits[1])
    assert not list((repository.common_dir / "refs" / "runs").rglob("*.lock"))


def test_a_git_that_was_killed_is_replaced(repository: Repository, commits: list[Oid]) -> None:
    """A process that somebody killed between two changes is not missed."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    (pid,) = git_children()
    os.kill(pid, signal.SIGKILL)
    update_ref(refs, NAME, commits[1], commits[0])
    assert refs.get(NAME) == commits[1]
    assert git_children() != [pid]


def test_a_git_that_is_killed_at_work_is_replaced(
    repo: GitRepo, repository: Repository, commits: list[Oid]
) -> None:
    """A change during which git is killed, with a lock in its hands, is made by the next process."""
    repo.git("config", "core.filesRefLockTimeout", "-1")  # git waits for a lock for ever
    first, second = "refs/runs/F/1", "refs/runs/F/2"
    lock = repository.common_dir / f"{second}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()

    def kill() -> None:
        while not (repository.common_dir / f"{first}.lock").exists():
            time.sleep(0.01)
        os.kill(eventually(git_children)[0], signal.SIGKILL)
        lock.unlink()

    killer = threading.Thread(target=kill)
    killer.start()
    refs = opened(repository, stale_after=0.2)
    repo.git("config", "core.filesRefLockTimeout", "100")
    refs.transaction([RefUpdate(name, commits[0], None) for name in (first, second)])
    killer.join()
    assert [refs.get(first), refs.get(second)] == [commits[0], commits[0]]
    assert not list(lock.parent.glob("*.lock"))


KILLER = """#!/bin/sh
case "$*" in *update-ref*)
    if mkdir '{once}' 2>/dev/null; then
        {git} "$@" | while read -r line; do
            case $line in commit*) kill -9 $$; exit;; esac
            echo "$line"
        done
    fi
esac
exec {git} "$@"
"""


def test_a_git_that_is_killed_after_its_last_step_has_done_it(
    repository: Repository, commits: list[Oid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refs that git has moved before it was killed, and could not say so, are no conflict with ourselves."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(KILLER.format(once=tmp_path / "once", git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    repository.refs.transaction([RefUpdate(f"refs/runs/F/{n}", commits[n], None) for n in (1, 2)])
    assert (tmp_path / "once").exists()
    assert [repository.refs.get(f"refs/runs/F/{n}") for n in (1, 2)] == commits[1:]


LEAVER = """
import os, signal
from pathlib import Path
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
repository = Repository.discover()
head = repository.head().commit
repository.refs.transaction([RefUpdate("refs/runs/F/1", head, None)])
for children in Path("/proc/self/task").glob("*/children"):
    print(children.read_text(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_git_ends_with_whoever_started_it(repo: GitRepo) -> None:
    """The process of a writer that was killed goes away by itself."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVER], cwd=repo.path, stdout=subprocess.PIPE, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    (pid,) = map(int, done.stdout.split())
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


def test_git_is_out_of_reach_of_the_terminal(repository: Repository, commits: list[Oid]) -> None:
    """Ctrl-C at the terminal, which kills what belongs to its session, does not kill git at work."""
    create_ref(repository.refs, NAME, commits[0])
    (pid,) = git_children()
    assert os.getsid(pid) == pid


@pytest.mark.parametrize("verdict", [0, 1])
def test_the_users_hook_is_not_asked(
    repo: GitRepo, repository: Repository, commits: list[Oid], verdict: int
) -> None:
    """A reference-transaction hook neither runs nor can veto."""
    hook = repo.path / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repo.path}/ran\nexit {verdict}\n")
    hook.chmod(0o755)
    create_ref(repository.refs, NAME, commits[0])
    delete_ref(repository.refs, NAME, commits[0])
    assert not (repo.path / "ran").exists()


def test_there_are_no_reflogs(repo: GitRepo, repository: Repository, commits: list[Oid]) -> None:
    """Refs of ours get no reflog, whatever the config says: it would keep what they pointed to for months."""
    repo.git("config", "core.logAllRefUpdates", "always")
    create_ref(repository.refs, NAME, commits[0])
    update_ref(repository.refs, NAME, commits[1], commits[0])
    assert not (repo.path / ".git/logs/refs/runs").exists()


def test_threads_share_a_writer(repository: Repository, commits: list[Oid]) -> None:
    """Threads that create, move and read refs at once do so one after another."""
    refs = repository.refs

    def work(number: int) -> None:
        for count in range(10):
            name = f"refs/runs/T{number}/{count + 1}"
            create_ref(refs, name, commits[0])
            update_ref(refs, name, commits[1], commits[0])

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [oid for _, oid in refs.rows("refs/runs/")] == [str(commits[1])] * 80
    assert len(git_children()) == 1


def test_a_forked_child_starts_its_own_git(repository: Repository, commits: list[Oid]) -> None:
    """A child neither takes the answers of its parent's process nor ends it."""
    refs = repository.refs
    create_ref(refs, NAME, commits[0])
    parents = git_children()
    pid = os.fork()
    if not pid:
        update_ref(refs, NAME, commits[1], commits[0])
        refs.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    update_ref(refs, NAME, commits[2], commits[1])
    assert git_children() == parents


def test_an_interrupted_change_leaves_no_lock(
    repository: Repository, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between prepare and commit changes nothing, and git lets go of its locks."""

    def interrupt(_fd: int) -> None:
        raise KeyboardInterrupt

    refs = repository.refs
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create_ref(refs, NAME, commits[0])
    assert refs.get(NAME) is None
    assert git_children() == []
    create_ref(refs, NAME, commits[0])
    assert refs.get(NAME) == commits[0]
