from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.refs import packed_stamp
from gitflowrun.git.repository import Repository
from gitflowrun.limits import NUMBERS_AHEAD
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.ids import Reservation, RunIds
from gitflowrun.runs.live import LiveState
from gitflowrun.runs.locks import Locks, LockState
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo, start_run, store_of


def next_id(repo: GitRepo | Repository) -> str:
    """Reserve a number and give its lock back."""
    opened = repo if isinstance(repo, Repository) else open_repo(repo)
    reserved = RunIds(opened).reserve()
    reserved.lock.release(remove=True)
    return str(reserved.id)


def forget(repo: GitRepo) -> None:
    """Delete the mark, as a user may."""
    (repo.path / ".git" / "gitflowrun-mark").unlink()


def test_numbers_follow_each_other(repo: GitRepo) -> None:
    """The first run is 1, and each next one is one more."""
    assert [next_id(repo) for _ in range(3)] == ["1", "2", "3"]


def test_all_flows_share_the_sequence(repo: GitRepo) -> None:
    """A number names one run of the repository, whatever its flow."""
    ids = []
    for flow in ("A", "B", "A"):
        with start_run(repo, flow) as writer:
            ids.append(writer.identity.pathspec)
    assert ids == ["A/1", "B/2", "A/3"]


def test_a_reserved_number_is_locked(repo: GitRepo) -> None:
    """Whoever reserves a number holds its run's lock at once."""
    assert RunIds(open_repo(repo)).reserve().lock.state() is LockState.HELD


def test_a_number_is_not_used_again(repo: GitRepo) -> None:
    """Deleting the newest run, its trash and its tracking ref does not free its number."""
    with start_run(repo):
        pass
    repo.git("update-ref", "-d", "refs/runs/MyFlow/1")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")  # which is disposable
    assert next_id(repo) == "2"


@pytest.mark.parametrize(
    ("ref", "counts"),
    [
        ("refs/runs/Other/41", "always"),
        ("refs/runs-trash/2025-11-23T1930/Other/41", "always"),
        ("refs/runs/@tags/Other/best/41", "always"),
        ("refs/runs/Other/41-3fa29c1", "without a mark"),
        ("refs/runs-remotes/origin/Other/41", "without a mark"),
        ("refs/runs/Other/041", "never"),
        ("refs/runs/Other/\u0664\u0661", "never"),
        ("refs/runs/Other/" + 240 * "9", "never"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("lost", [False, True], ids=["mark", "no-mark"])
@pytest.mark.sample(16)
def test_refs_that_came_by_other_ways(
    repo: GitRepo, ref: str, counts: str, *, packed: bool, lost: bool
) -> None:
    """Fetched, removed and hand-made refs are seen, with and without the mark, loose or packed.

    What has a uid behind its number, or is a remote's, says no more than the mark, but something where that is lost.
    """
    assert next_id(repo) == "1"
    repo.git("update-ref", ref, "HEAD")
    if packed:
        repo.git("pack-refs", "--all")
    if lost:
        forget(repo)
    counted = counts == "always" or (lost and counts == "without a mark")
    assert next_id(repo) == ("42" if counted else "1" if lost else "2")


@pytest.mark.parametrize("ref", ["runs/F", "runs-remotes/o/F", "runs-trash/x/F", "runs/@tags/F/t"])
@pytest.mark.parametrize("lost", [False, True], ids=["mark", "no-mark"])
def test_made_up_numbers_do_not_use_up_the_sequence(repo: GitRepo, ref: str, *, lost: bool) -> None:
    """A number far above ours counts for nothing, whatever is deleted."""
    with start_run(repo):
        pass
    for number in ("1000002", "999999999998", "999999999999", "999999999999999999"):
        repo.git("update-ref", f"refs/{ref}/{number}", "HEAD")
    if lost:
        forget(repo)
        shutil.rmtree(repo.path / ".git" / "gitflowrun")
    assert next_id(repo) == "2"


def test_numbers_that_do_not_run_ahead_count(repo: GitRepo) -> None:
    """Up to a million above the last one, and from there again, so that ours meets none of them."""
    assert next_id(repo) == "1"
    for number in (1_000_001, 1_000_002, 2_000_002, 3_000_003):
        repo.git("update-ref", f"refs/runs/F/{number}", "HEAD")
    assert next_id(repo) == "2000003"


def test_own_runs_count_wherever_they_are(repo: GitRepo) -> None:
    """Where the mark is lost, a high number is known by the key with which its run was made, beside made-up ones."""
    mark = repo.path / ".git" / "gitflowrun-mark"
    mark.write_text("3000000 none\n")
    with start_run(repo) as writer:
        assert str(writer.identity.id) == "3000001"
    repo.git("update-ref", "refs/runs/F/999999999998", "HEAD")
    repo.git("update-ref", "refs/runs/F/3000007", "HEAD")
    forget(repo)
    assert next_id(repo) == "3000008"


def test_the_highest_number(repo: GitRepo) -> None:
    """A mark so high that no sequence comes there is a damaged one; any run may have any number of 18 digits."""
    mark = repo.path / ".git" / "gitflowrun-mark"
    for number in (10**18 - 1, 10**12):
        mark.write_text(f"{number} none\n")
        assert next_id(repo) == "1"


def test_archived_runs_count(repo: GitRepo) -> None:
    """An archive commit says the highest number it has folded."""
    repo.git("commit", "-q", "--allow-empty", "-m", "archive\n\nLast-Run: 41")
    repo.git("update-ref", "refs/runs/@archive/Other", "HEAD")
    assert next_id(repo) == "42"


@pytest.mark.parametrize("content", ["", "x", "7", "7 none", "\xff", "-1 none\n"])
def test_a_damaged_mark_is_no_mark(repo: GitRepo, content: str) -> None:
    """A mark that a power cut or a person damaged is ignored."""
    assert next_id(repo) == "1"
    mark = repo.path / ".git" / "gitflowrun-mark"
    mark.write_text(content, encoding="latin-1")
    repo.git("update-ref", "refs/runs/F/4", "HEAD")
    assert next_id(repo) == "5"


def test_the_last_number_where_no_mark_can_be_read(repo: GitRepo) -> None:
    """It is not known; whoever gives numbers is told why."""
    next_id(repo)
    ids = RunIds(open_repo(repo))
    assert (ids.last_given(), ids.trouble()) == (1, "")
    ids.path.unlink()
    assert ids.last_given() == 0
    ids.path.mkdir()
    assert ids.last_given() == 0


def test_linked_worktrees_share_the_sequence(repo: GitRepo, tmp_path: Path) -> None:
    """Runs of a linked worktree are runs of the repository."""
    repo.git("worktree", "add", "-q", str(tmp_path / "other"))
    other = GitRepo(tmp_path / "other")
    ids = []
    for place in (repo, other, repo):
        with start_run(place) as writer:
            ids.append(str(writer.identity.id))
    assert ids == ["1", "2", "3"]
    assert [str(run) for _, run in store_of(other).names()] == ["3", "2", "1"]


def test_a_run_written_around_us_is_not_overwritten(repo: GitRepo) -> None:
    """If the number's ref appears between reservation and publication, the run gets the next one."""
    opened = open_repo(repo)
    head = repo.git("rev-parse", "HEAD")
    reserve = RunIds.reserve

    def and_then_somebody_writes(self: RunIds, *, thorough: bool = False) -> object:
        reserved = reserve(self, thorough=thorough)
        if str(reserved.id) == "1":
            repo.git("update-ref", "refs/runs/MyFlow/1", head)
            repo.git("update-ref", "refs/runs/Other/7", head)
            repo.git("pack-refs", "--all")
        return reserved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunIds, "reserve", and_then_somebody_writes)
        with start_run(opened) as writer:
            assert str(writer.identity.id) == "8"
    assert repo.git("rev-parse", "refs/runs/MyFlow/1") == head
    assert not list((repo.path / ".git/objects/pack").glob("*.keep"))


def test_a_held_number_is_passed_over(repo: GitRepo) -> None:
    """A number that somebody reserved before the mark was lost is not given twice."""
    ids = RunIds(open_repo(repo))
    held = ids.reserve()
    forget(repo)
    assert str(held.id) == "1"
    assert next_id(repo) == "2"


def test_a_number_that_cannot_be_marked_is_not_given(repo: GitRepo) -> None:
    """Where the mark can't be written no number is reserved, and no lock stays; then the next is the same one."""
    repository = open_repo(repo)
    in_the_way = repo.path / ".git" / "gitflowrun-mark.new"
    in_the_way.mkdir()
    with pytest.raises(RepositoryError, match=r"cannot write .*gitflowrun-mark: "):
        RunIds(repository).reserve()
    assert Locks(repository.state_dir).runs() == set()
    assert Locks(repository.state_dir).ids().state() is LockState.FREE
    in_the_way.rmdir()
    assert next_id(repo) == "1"


def test_a_lost_lock_gives_no_number_twice(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the locks are deleted while a number is chosen, others may choose one: it is chosen again."""
    repository = Repository.discover(repo.path)
    write = RunIds._write
    others: list[Reservation] = []

    def lose_lock(ids: RunIds, mark: Any) -> None:
        if not done:
            done.append(1)
            shutil.rmtree(repository.state_dir)
            others.append(RunIds(repository).reserve())
        write(ids, mark)

    done: list[int] = []
    monkeypatch.setattr(RunIds, "_write", lose_lock)
    mine = RunIds(repository).reserve()
    assert mine.id != others[0].id
    assert mine.lock.state() is others[0].lock.state() is LockState.HELD
    assert {*Locks(repository.state_dir).held()} == {mine.id, others[0].id}


@pytest.fixture
def far(repo: GitRepo) -> GitRepo:
    """A repository that has counted far, with a run that was made here."""
    (repo.path / ".git" / "gitflowrun-mark").write_text("3000000 none\n")
    with start_run(repo, "F"):
        return repo


def test_an_old_mark_is_mended(far: GitRepo) -> None:
    """As a backup may bring one back, or none: the run that was made here says how far numbers were given."""
    opened = open_repo(far)
    ids = RunIds(opened)
    assert ids.trouble() == ""
    stamp = packed_stamp(opened.common_dir)
    for content, trouble in (
        (f"1 {stamp}\n", "a run that was made here has a higher one"),
        ("1 none\n", "a run that was made here has a higher one"),
        ("junk", "it can't be read"),
        (None, "it is not there"),
    ):
        ids.path.unlink()
        if content is not None:
            ids.path.write_text(content)
        assert ids.trouble() == trouble
        ids.mend()
        assert (ids.trouble(), ids.last_given()) == ("", 3_000_001)
    assert next_id(far) == "3000002"


def test_a_mended_mark_is_on_the_disk(far: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the refs that tell numbers go; where it can't be, that is an error. Nobody waits who need not."""
    synced: list[Path] = []
    module = "gitflowrun.runs.ids"
    monkeypatch.setattr(f"{module}.sync_file", synced.append)
    monkeypatch.setattr(f"{module}.sync_directory", synced.append)
    ids = RunIds(open_repo(far))
    ids.mend()
    assert synced == [ids.path, ids.path.parent]

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(f"{module}.sync_directory", fail)
    with pytest.raises(RepositoryError, match=r"cannot write .*gitflowrun-mark: Input/output"):
        ids.mend()
    far.git("config", "runs.durability", "fast")
    RunIds(open_repo(far)).mend()
    assert len(synced) == 3


def test_how_high_the_number_of_a_fetched_run_may_be(far: GitRepo) -> None:
    """So far above the last one that counts: of those that are here, one beyond a gap only where the mark is lost."""
    ids, here = RunIds(open_repo(far)), [RunId("3000001"), RunId("3000001-3fa29c1")]
    assert ids.highest_fetched([]) == 3_000_001 + NUMBERS_AHEAD
    near = [RunId("3000009"), RunId("3000010-3fa29c1")]
    assert ids.highest_fetched(near) == 3_000_009 + NUMBERS_AHEAD
    ids.path.write_text("1 none\n")
    assert ids.highest_fetched(here) == 1 + NUMBERS_AHEAD
    forget(far)
    assert ids.highest_fetched(here) == 3_000_001 + NUMBERS_AHEAD
    assert ids.highest_fetched([RunId("2000000")]) == NUMBERS_AHEAD
    assert ids.highest_fetched([RunId("1000000")]) == 2 * NUMBERS_AHEAD


def test_who_shares_a_repository_can_go_on(repo: GitRepo) -> None:
    """The mark, locks, their register and what is live are the group's where the repository is, whatever the umask."""
    repo.git("config", "core.sharedRepository", "group")
    top = repo.path / ".git"
    for path in (top, *top.rglob("*")):
        path.chmod(0o2770 if path.is_dir() else 0o660)
    old = os.umask(0o077)
    try:
        with start_run(repo) as writer:
            live = LiveState(open_repo(repo), writer.identity.uid)
            live.write(TaskName("start", "1"), "stdout", b"x")
            made = [top / "gitflowrun-mark", top / "gitflowrun-running"]
            made += [path for path in (top / "gitflowrun").rglob("*") if path.is_file()]
            assert len(made) >= 5
            private = [path.name for path in made if path.stat().st_mode & 0o060 != 0o060]
            assert private == []
            live.close()
    finally:
        os.umask(old)
