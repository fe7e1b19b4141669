"""Snapshots beside changes, kills and disks that fail: the truth of one instant, or an error."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import snapshot as snapshot_module
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import _remove_abandoned, take_snapshot
from gitflowrun.git.status import read_status
from tests.helpers.repos import GitRepo
from tests.helpers.shots import shoot


def test_a_new_file_that_lies_where_nobody_may_look_is_told(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git lists it from its directory alone."""
    repo.write("shut/new", "1")
    lstat = os.lstat

    def denied(path: bytes, **named: Any) -> os.stat_result:
        if os.fsencode(path).endswith(b"shut/new"):
            raise PermissionError(13, "Permission denied")
        return lstat(path, **named)

    monkeypatch.setattr("gitflowrun.git.snapshot.os.lstat", denied)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert [(it.path, it.reason) for it in snapshot.left_out] == [("shut/new", "can't be read")]
    assert snapshot.dirty == ()


def test_files_that_vanish_meanwhile(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is deleted while we look is as if it had never been there."""
    repo.write("tracked", "1")
    repo.commit()
    repo.write("tracked", "2")
    repo.write("untracked", "1")
    real = read_status

    def slow(*args: object) -> object:
        status = real(*args)  # type: ignore[arg-type]
        (repo.path / "tracked").unlink()
        (repo.path / "untracked").unlink()
        return status

    monkeypatch.setattr("gitflowrun.git.snapshot.read_status", slow)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert snapshot.left_out == ()
    assert snapshot.dirty == ("tracked",)


def test_leavings_of_killed_snapshots_are_removed(repo: GitRepo) -> None:
    """A quarantine older than a day goes with the next snapshot."""
    repository = Repository.discover(repo.path)
    old, young = repository.state("snapshots", "old"), repository.state("snapshots", "young")
    (old / "objects").mkdir()
    os.utime(old, (1, 1))
    take_snapshot(repository)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_is_an_error(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are not silently left out because there is no place for them."""
    repo.write("new", "1")
    repository = Repository.discover(repo.path)
    real = repository.git.attempt

    def full(*args: str, **options: object) -> object:
        done = real(*args, **options)  # type: ignore[arg-type]
        if "update-index" in args:
            return type(done)(
                128, b"", "error: unable to write file: No space left on device\nfatal: x"
            )
        return done

    monkeypatch.setattr(repository.git, "attempt", full)
    with pytest.raises(RepositoryError, match="No space left"):
        take_snapshot(repository)


@pytest.mark.parametrize(
    "content", [b"junk\n", b"DIRC" + b"a" * 60, b"XXXX\0\0\0\2\0\0\0\1" + b"a" * 60]
)
def test_a_damaged_index_is_named_with_its_cure(repo: GitRepo, content: bytes) -> None:
    """The error names the user's index and not our copy; the command in its hint makes a new one."""
    index = repo.write(".git/index", content)
    with pytest.raises(RepositoryError, match="index") as caught:
        take_snapshot(Repository.discover(repo.path))
    assert str(index) in caught.value.message
    assert "snapshots" not in caught.value.message
    command = str(caught.value.hint).split("`")[3]
    subprocess.run(command, shell=True, cwd=repo.path, check=True)
    assert take_snapshot(Repository.discover(repo.path)).dirty == ()


_REWRITING = """
import sys

content = b"1" * int(sys.argv[1])
while True:
    for name in sys.argv[2:]:
        with open(name, "wb") as file:
            file.write(content)
"""


def test_a_file_that_is_being_rewritten_is_taken_at_one_instant(repo: GitRepo) -> None:
    """Whoever truncates and writes a file meanwhile, tracked or not, does not stop the snapshot."""
    size = 2_000_000
    repo.write("tracked", b"0" * size)
    repo.commit()
    command = [sys.executable, "-c", _REWRITING, str(size), "tracked", "untracked"]
    with subprocess.Popen(command, cwd=repo.path) as writer:
        try:
            while not (repo.path / "untracked").exists():
                time.sleep(0.01)
            snapshot = take_snapshot(Repository.discover(repo.path))
        finally:
            writer.kill()
    assert (snapshot.dirty, snapshot.left_out) == (("tracked", "untracked"), ())
    blobs = [item.view for item in snapshot.objects if item.kind is ObjectType.BLOB]
    assert all(set(bytes(blob)) <= {ord("1")} for blob in blobs)


@pytest.mark.parametrize("is_gone", [False, True])
def test_git_killed_in_the_middle_leaves_no_lock(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """A mapped file that shrinks kills git: the next command goes on, with a copy of that file if it can be had."""
    repo.write("new", "1")
    repository = Repository.discover(repo.path)
    real = repository.git.attempt

    def killed(*args: str, **options: object) -> object:
        if "update-index" in args and options["stdin"] == b"new\0":
            env = options["env"]
            assert isinstance(env, dict)
            Path(env["GIT_INDEX_FILE"] + ".lock").touch()
            if is_gone:
                (repo.path / "new").unlink()
            return Completed(-7, b"", "")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.git, "attempt", killed)
    snapshot = take_snapshot(repository)
    assert snapshot.dirty == (() if is_gone else ("new",))
    assert [it.path for it in snapshot.left_out] == (["new"] if is_gone else [])
    assert all("shorter while it was read" in it.reason for it in snapshot.left_out)


def _killed_over(monkeypatch: pytest.MonkeyPatch, *names: bytes) -> None:
    """Git dies of each of these files, as of one that becomes shorter while it is mapped."""
    attempt = Git.attempt

    def killed(git: Git, *args: Any, **options: Any) -> Completed:
        if (
            "--stdin" in args
            and "update-index" in args
            and {*names} & {*options["stdin"].split(b"\0")}
        ):
            return Completed(-7, b"", "")
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", killed)


def test_a_copy_of_a_file_is_what_git_would_take(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content behind the filters of its own path, and its mode."""
    repo.write(".gitattributes", "*.up filter=upper\n")
    repo.git("config", "filter.upper.clean", "tr a-z A-Z")
    repo.write("a.up", "abc").chmod(0o755)
    repo.write('"b\n', "abc")
    _killed_over(monkeypatch, b"a.up", b'"b\n')
    shot = shoot(repo)
    assert (shot.files[b"a.up"], shot.files[b'"b\n']) == (b"ABC", b"abc")
    assert (shot.modes[b"a.up"], shot.modes[b'"b\n']) == (b"100755", b"100644")
    assert shot.snapshot.left_out == ()


def test_a_copy_that_git_does_not_take_either(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can't be stored is left out, and the next one is taken."""
    repo.write("a", "1")
    repo.write("b", "2")
    _killed_over(monkeypatch, b"a", b"b")
    attempt = Git.attempt

    def full(git: Git, *args: Any, **options: Any) -> Completed:
        if b"--path=a" in args:
            return Completed(128, b"", "fatal: no")
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", full)
    shot = shoot(repo)
    assert ([*shot.reasons()], shot.snapshot.dirty) == (["a"], ("b",))


def test_a_file_that_becomes_a_link_is_not_followed(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leads to is neither taken for it nor written over by the copy of the next file."""
    other = tmp_path / "other"
    other.write_text("theirs")
    repo.write("a", "1")
    repo.write("b", "2")
    _killed_over(monkeypatch, b"a", b"b")
    copyfile = shutil.copyfile

    def copy(source: os.PathLike[str] | str, target: Path, **options: Any) -> None:
        if Path(source).name == "a":
            Path(source).unlink()
            Path(source).symlink_to(other)
        copyfile(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", copy)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert [it.path for it in snapshot.left_out] == ["a"]
    assert snapshot.dirty == ("b",)
    assert other.read_text() == "theirs"


def test_a_file_that_git_may_not_store_is_told_with_its_reason(repo: GitRepo) -> None:
    """Under a limit of file sizes git is killed by a signal: that is said, and not that the file has changed."""
    repo.write("new", "1")
    (repo.path / "large").write_bytes(os.urandom(600_000))
    repository = Repository.discover(repo.path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, old[1]))
        snapshot = take_snapshot(repository)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert snapshot.dirty == ("new",)
    assert [it.path for it in snapshot.left_out] == ["large"]
    assert "signal 25" in snapshot.left_out[0].reason
    assert "`ulimit -f`" in snapshot.left_out[0].reason


@pytest.mark.parametrize("command", ["status", "ls-files", "update-index"])
@pytest.mark.parametrize("what", ["", "snapshots/*/index"])
def test_deleting_our_state_meanwhile_changes_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, command: str, what: str
) -> None:
    """`.git/gitflowrun` may be deleted at any time: git must not take the index that is gone for an empty one."""
    repo.write("new", "2")
    repo.write("README", "changed")
    repo.write(".gitignore", "README\n")  # it is tracked all the same
    whole = shoot(repo).snapshot
    attempt = Git.attempt
    deleted: list[str] = []

    def delete_first(git: Git, *args: Any, **options: Any) -> Completed:
        if command in args and not deleted:
            deleted.append(command)
            state = repo.path / ".git" / "gitflowrun"
            if not what:
                shutil.rmtree(state)
            for path in state.glob(what) if what else ():
                path.unlink()  # as `rm -rf` does, before it comes to others
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", delete_first)
    again = shoot(repo).snapshot
    assert (again.tree, again.dirty, again.left_out) == (whole.tree, whole.dirty, whole.left_out)
    assert deleted


@pytest.mark.parametrize("what", ["index", "objects"])
def test_a_part_of_our_state_that_goes_meanwhile(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Half of it deleted, or made again by somebody, is not what the snapshot was made in."""
    repo.write("new", "2")
    run = Git.run
    deleted: list[Path] = []

    def delete_first(git: Git, *args: Any, **options: Any) -> bytes:
        if "--stage" in args and not deleted:
            (place,) = (repo.path / ".git/gitflowrun/snapshots").iterdir()
            deleted.append(place / what)
            if what == "index":
                deleted[0].unlink()
            else:
                (place / "other").mkdir()
                shutil.rmtree(deleted[0])
                (place / "other").rename(deleted[0])
        return run(git, *args, **options)

    monkeypatch.setattr(Git, "run", delete_first)
    shot = shoot(repo)
    assert (shot.files[b"new"], shot.snapshot.dirty) == (b"2", ("new",))
    assert deleted


@pytest.mark.parametrize(
    ("code", "err", "failures", "tries"),
    [(128, "error: short read", 4, 5), (128, "error: short read", 9, 5), (-7, "", 4, 5), (128, "fatal: no", 9, 1)],
)  # fmt: skip
def test_a_file_that_changes_while_git_reads_it(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, code: int, err: str, failures: int, tries: int
) -> None:
    """Git is asked again, five times in all; for other reasons it isn't, and its words are the error's."""
    repo.git("update-index", "--assume-unchanged", "README")
    repo.write("new", "2")
    attempt = Git.attempt
    seen: list[str] = []

    def failing(git: Git, *args: Any, **options: Any) -> Completed:
        if "write-tree" in args:
            seen.append("")
            if len(seen) <= failures:
                return Completed(code, b"", err)
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", failing)
    if tries > failures:
        assert shoot(repo).snapshot.dirty == ("new",)
    else:
        with pytest.raises(RepositoryError, match=err.partition(": ")[2]):
            shoot(repo)
    assert len(seen) == tries


def test_state_that_is_deleted_all_the_time(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the error says what happens, not what git thinks of it."""
    repo.write("new", "2")
    attempt = Git.attempt

    def delete_always(git: Git, *args: Any, **options: Any) -> Completed:
        shutil.rmtree(repo.path / ".git" / "gitflowrun", ignore_errors=True)
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", delete_always)
    with pytest.raises(RepositoryError, match=r"somebody deletes .*/gitflowrun again and again"):
        shoot(repo)


def test_only_abandoned_snapshots_of_ours_are_removed(repo: GitRepo, tmp_path: Path) -> None:
    """A link in the place of their directory leads to files that are not ours."""
    mine = tmp_path / "home/thesis"
    mine.mkdir(parents=True)
    os.utime(mine, (1, 1))
    (repo.path / ".git/snapshots").symlink_to(mine.parent)
    _remove_abandoned(repo.path / ".git/snapshots")
    assert mine.exists()


def test_the_places_of_a_snapshot(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test may let a process die: both are passed."""
    passed: list[str] = []
    monkeypatch.setattr(snapshot_module, "reached", passed.append)
    repo.write("new", "1")
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert passed == ["snapshot.begun", "snapshot.made"]
    assert snapshot.freed == ""
    repo.write(".git/gitflowrun/freed", "yesterday")
    assert take_snapshot(Repository.discover(repo.path)).freed == "yesterday"


def test_a_disk_that_fails_a_snapshot(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and says what to do; nothing is left behind."""
    repo.write("new", "1")
    repository = Repository.discover(repo.path)
    for place in ("somewhere", None):
        error = OSError(28, "No space left on device", place)

        def fails(*_: object, error: OSError = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", fails)
            with pytest.raises(RepositoryError) as caught:
                take_snapshot(repository)
        where = f": {place}" if place else ""
        assert caught.value.message == (
            f"can't take a snapshot of the work tree: No space left on device{where}"
        )
        assert "free some space" in str(caught.value.hint)
    assert [*(repository.state_dir / "snapshots").iterdir()] == []


def test_a_file_in_conflict_that_can_not_be_taken(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out and no longer in conflict, or there would be no tree."""
    repo.write("text", "base\n")
    base = repo.commit()
    for side in ("ours", "theirs"):
        repo.git("checkout", "-q", "-B", side, base)
        repo.write("text", side + "\n")
        repo.commit()
    repo.git("merge", "ours", check=False)
    repo.write("new", "1")
    attempt = Git.attempt

    def refuse(git: Git, *args: Any, **options: Any) -> Completed:
        if "--add" in args and b"text\0" in options["stdin"]:
            return Completed(128, b"", "fatal: no")
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", refuse)
    shot = shoot(repo)
    assert (shot.reasons(), {*shot.files}) == ({"text": "no"}, {b"README", b"new"})


def test_the_place_of_snapshots_that_goes_as_one_begins(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try makes it anew."""
    remove = snapshot_module._remove_abandoned
    seen: list[Path] = []

    def gone(parent: Path) -> None:
        seen.append(parent)
        if len(seen) == 1:
            raise FileNotFoundError(2, "No such file or directory", str(parent))
        remove(parent)

    monkeypatch.setattr(snapshot_module, "_remove_abandoned", gone)
    repo.write("new", "1")
    assert shoot(repo).snapshot.dirty == ("new",)
    assert len(seen) == 2


def test_what_another_process_has_removed_by_then(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with its own snapshot, of which nothing is to be removed; a program's name may be anything."""
    monkeypatch.setattr(snapshot_module, "held_entries", lambda _: [tmp_path / "gone"])
    snapshot = take_snapshot(Repository.discover(repo.path), Path("a" * 5000))
    assert (snapshot.dirty, snapshot.left_out) == ((), ())
