"""Keeping a repository in shape while runs are written into it, and between them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.owner import Owner
from gitflowrun.limits import FOLD_BEYOND, INLINE_LIMIT, KEEP_GRACE
from gitflowrun.names import TaskName
from gitflowrun.runs import maintenance
from gitflowrun.runs.maintenance import RunMaintenance, pack_grace, shared_payloads, tidy
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact, finished_task, make_run, open_repo, start_run, store_of


def _packs(repo: GitRepo) -> list[Path]:
    return sorted(objects_dir(repo).glob("pack/*.pack"))


def _many(repo: GitRepo, count: int) -> None:
    store = pack_store(repo)
    store.release([store.write([blob(noise(300, number))]).name for number in range(count)])


def test_a_long_run_leaves_a_handful_of_packs(repo: GitRepo) -> None:
    """However many group commits a run takes, its packs are folded beside it; every task stays readable."""
    count = 4 * FOLD_BEYOND
    with start_run(repo) as writer:
        run = writer.identity
        seen = 0
        for number in range(count):
            writer.commit([finished_task(run, f"train/{number}", {"x": b"%d" % number})])
            seen = max(seen, len(_packs(repo)))
        writer.commit([], status=Status.DONE)
    assert seen < count
    tidy(open_repo(repo))
    assert len(_packs(repo)) <= FOLD_BEYOND
    assert not list(objects_dir(repo).glob("pack/*.keep"))
    stored = store_of(repo).get("MyFlow", run.id)
    assert len(stored.tasks("train")) == count
    assert all(stored.task(TaskName("train", task)).record.ok for task in stored.tasks("train"))
    repo.fsck()


def test_many_small_runs_leave_a_handful_of_packs(repo: GitRepo) -> None:
    """Packs that many runs have left are folded between runs."""
    for _ in range(FOLD_BEYOND // 4):
        make_run(repo)
        tidy(open_repo(repo))
    assert len(_packs(repo)) <= FOLD_BEYOND + 4
    repo.fsck()


def test_payloads_are_exempt_from_deltas_from_the_first_run(repo: GitRepo) -> None:
    """The first run tells git; later ones find it told."""
    for _ in range(2):
        make_run(repo)
        lines = (repo.path / ".git/info/attributes").read_text().splitlines()
        assert lines.count("steps/*/*/blake3/* -delta") == 1


def test_what_crashed_processes_left_is_swept(repo: GitRepo) -> None:
    """Half a pack, a kept pack and an old lock of processes that are no more: all gone."""
    opened = open_repo(repo)
    make_run(opened)
    gone = Owner(Owner.process().host, "00000000", ((1, "1"),)).encode()
    half = opened.state("incoming") / f"{gone}~pack-{'1' * 40}.pack"
    half.write_bytes(b"half a pack")
    kept = pack_store(repo).write([blob(b"never published")])
    keep = objects_dir(repo) / "pack" / f"{kept.name}.keep"
    keep.write_text(f"gitflowrun {gone} 2025-01-01T00:00:00Z\n")
    locks = [
        repo.path / ".git" / name
        for name in (
            "refs/runs/MyFlow/7.lock",
            "refs/tags/runs/MyFlow/t/7.lock",
            "refs/runs-remotes/origin/MyFlow/7.lock",
            "refs/heads/main.lock",
        )
    ]
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        os.utime(lock, (1, 1))
    tidy(opened)
    assert not half.exists()
    assert not keep.exists()
    assert [lock.exists() for lock in locks] == [False, False, False, True]


def test_locks_are_looked_for_once_a_day(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the files of all runs is not done after each of them; a clock set back does not stop it."""
    opened = open_repo(repo)
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        maintenance, "sweep_locks", lambda *places, **_age: calls.append(places[2:])
    )
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: 1e6)
    mark = opened.state() / "swept-locks"
    ages = [0.0, 86_500.0, -86_500.0]
    for age in ages:
        tidy(opened)
        tidy(opened)
        os.utime(mark, (time.time() - age, time.time() - age))
    assert len(calls) == 2
    tidy(opened)
    assert len(calls) == 3


def test_the_mark_of_that_look_is_everybodys(repo: GitRepo, tmp_path: Path) -> None:
    """Who shares the repository looks after a day as well; a link in its place is not followed."""
    repo.git("config", "core.sharedRepository", "group")
    mark, other = repo.path / ".git/gitflowrun/swept-locks", tmp_path / "other"
    opened = open_repo(repo)
    opened.state()
    mark.symlink_to(other)
    old = os.umask(0o077)
    try:
        tidy(opened)
    finally:
        os.umask(old)
    assert not other.exists()
    assert not mark.is_symlink()
    assert mark.stat().st_mode & 0o060 == 0o060


def test_packs_of_who_died_wait_for_runs_that_go_on(repo: GitRepo) -> None:
    """The run's scheduler may take them over."""
    opened = open_repo(repo)
    assert pack_grace(opened) == 0
    with start_run(repo):
        assert pack_grace(opened) == KEEP_GRACE
    assert pack_grace(opened) == 0


def test_locks_from_before_a_boot_are_nobodys(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves them: the first run after the boot does not take them for somebody's, nor waits a day."""
    opened = open_repo(repo)
    tidy(opened)
    git_dir = repo.path / ".git"
    refs = ("refs/runs/F/1.lock", "refs/runs-trash/then/F/1.lock")
    left = [git_dir / name for name in (*refs, "packed-refs.lock", "packed-refs.new")]
    for path in left[: len(refs)]:
        path.parent.mkdir(parents=True)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: 600)
    for path in (*left, git_dir / "gitflowrun" / "swept-locks"):
        path.touch()
        os.utime(path, (time.time() - 601, time.time() - 601))
    tidy(opened)
    assert not [path for path in left if path.exists()]


def test_nothing_of_this_fails_a_run(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room, or a git that refuses: the run is written all the same."""

    def fail(*_args: object, **_options: object) -> None:
        raise RepositoryError("no room")

    for name in ("exempt_from_deltas", "start_fold", "fold"):
        monkeypatch.setattr(maintenance, name, fail)
    opened = open_repo(repo)
    monkeypatch.setattr(type(opened.packs), "sweep", fail)
    with start_run(opened) as writer:
        for number in range(FOLD_BEYOND + 2):
            writer.commit([finished_task(writer.identity, f"train/{number}")])
        writer.commit([], status=Status.DONE)
    tidy(opened)
    assert store_of(repo).get("MyFlow", "1").status is Status.DONE


def test_a_git_that_cannot_fold_is_no_failure(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git does not know an option, packs stay as they are."""
    _many(repo, FOLD_BEYOND + 1)
    opened = open_repo(repo)
    real = opened.git.command
    monkeypatch.setattr(
        type(opened.git), "command", lambda _git, args: real([*args, "--no-such-option"])
    )
    before = _packs(repo)
    tidy(opened)
    assert _packs(repo) == before


def test_the_end_of_a_run_waits_for_no_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that is not done by then is given up, and leaves nothing behind; `tidy` takes it up again."""
    _many(repo, FOLD_BEYOND + 1)
    opened = open_repo(repo)
    keeper = RunMaintenance(opened)
    assert opened.settings  # which git is asked for only once
    with monkeypatch.context() as patch:
        patch.setattr(type(opened.git), "command", lambda _git, _args: ["sleep", "600"])
        keeper.packs_released(FOLD_BEYOND + 1)
    begun = time.monotonic()
    keeper.packs_released(FOLD_BEYOND + 1)
    keeper.stop()
    assert time.monotonic() - begun < 300
    assert list(opened.packs.incoming.iterdir()) == []
    assert len(_packs(repo)) == FOLD_BEYOND + 1
    tidy(opened)
    assert len(_packs(repo)) == 1


def test_packs_are_folded_when_they_are_many(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before; then they are counted anew, and one fold at a time is begun."""
    begun: list[SimpleNamespace] = []

    def start(*_: object, beyond: int) -> SimpleNamespace:
        assert beyond == FOLD_BEYOND
        begun.append(SimpleNamespace(is_over=False, finish=lambda: None, stop=lambda: None))
        return begun[-1]

    monkeypatch.setattr(maintenance, "start_fold", start)
    keeper = RunMaintenance(open_repo(repo))
    for packs, folds in ((FOLD_BEYOND, 0), (1, 1), (FOLD_BEYOND + 1, 1), (0, 1)):
        keeper.packs_released(packs)
        assert len(begun) == folds
    begun[0].is_over = True
    keeper.packs_released(0)
    assert len(begun) == 2
    begun[1].is_over = True
    keeper.packs_released(FOLD_BEYOND)
    assert len(begun) == 2


def test_a_running_gc_is_respected(repo: GitRepo) -> None:
    """While the user's own gc runs, nothing is folded."""
    _many(repo, FOLD_BEYOND + 1)
    repo.write(".git/gc.pid", "1 host")
    before = _packs(repo)
    tidy(open_repo(repo))
    assert _packs(repo) == before


def test_which_payloads_others_look_for(repo: GitRepo) -> None:
    """Large ones that the task has made itself: no copy of another task's, and nothing of a stranger's."""
    own, other = TaskName("train", "2"), TaskName("start", "1")
    large = artifact(bytes(INLINE_LIMIT + 1), own)
    refs = {
        "large": large,
        "small": artifact(bytes(INLINE_LIMIT), own),
        "passed_on": replace(large, producer=other),
        "untrusted": replace(large, untrusted=True),
    }
    with start_run(repo) as writer:
        record = finished_task(writer.identity, "train/2", inherited=refs).record
    assert list(shared_payloads([record, record])) == [large, large]
