"""What we make beside git's files is its owner's alone, or that of all members of a shared repository."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git import permissions
from gitflowrun.git.permissions import (
    STAND_IN,
    add_lines,
    held_directory,
    is_in_place,
    lock_file,
    make_directory,
    not_writable,
    open_file,
    open_to_write,
    read_file,
    read_private,
    refuse_links,
    replace_file,
    set_times,
    share_file,
    shared_mode,
    write_new,
)
from gitflowrun.names import TaskName
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.live import LiveState, StartedTask
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, run_program
from tests.helpers.runs import open_repo, start_run


@pytest.fixture
def strict() -> Iterator[None]:
    """A umask that lets nobody else read."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (None, None), ("false", None), ("umask", None), ("0", None), ("nonsense", None),
        ("group", 0o2770), ("true", 0o2770), ("1", 0o2770), ("ALL", 0o2775), ("2", 0o2775), ("0640", 0o2750),
        ("0660", 0o2770),
    ],
)  # fmt: skip
def test_modes_are_those_of_git(value: str | None, mode: int | None) -> None:
    """Words, numbers and modes mean what they mean to git."""
    assert shared_mode(value) == mode


def _made(repo: GitRepo) -> dict[str, int]:
    """The files that a run makes, and their permissions; keys are nobody else's."""
    git_dir = repo.path / ".git"
    return {
        str(path.relative_to(git_dir)): stat.S_IMODE(path.stat().st_mode)
        for path in git_dir.rglob("*")
        if path.is_relative_to(git_dir / "gitflowrun")
        or path.name.startswith(("gitflowrun-mark", "pack-", "attributes"))
        or "runs" in path.parts
    }


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("way", ["init", "config", "after a deletion"])
def test_members_of_a_shared_repository(tmp_path: Path, way: str) -> None:
    """Whatever a run writes, others of the group may read, and write where they must."""
    repo = GitRepo(tmp_path / "repo")
    repo.path.mkdir()
    repo.git("init", "-q", *([] if way == "config" else ["--shared=group"]))
    if way == "config":
        repo.git("config", "core.sharedRepository", "group")
    repo.write("file", "1")
    repo.commit()
    if way == "after a deletion":
        start_run(repo).close()
        shutil.rmtree(repo.path / ".git" / "gitflowrun")
    repo.write("file", "2")
    with start_run(repo, tags=["a"]) as writer:
        live, task = LiveState(open_repo(repo), writer.identity.uid), TaskName("start", "1")
        live.start(StartedTask(task, 1.0, (), ()))
        live.write(task, "stdout", b"of interest to all")
        writer.commit((), status=Status.DONE)
    modes = _made(repo)
    assert "1.stdout" in {Path(name).name for name in modes}
    assert {name: oct(mode) for name, mode in modes.items() if not mode & stat.S_IRGRP} == {}
    state = {name: mode for name, mode in modes.items() if name.startswith("gitflowrun/")}
    assert {name: oct(mode) for name, mode in state.items() if not mode & stat.S_IWGRP} == {}


def test_other_repositories_are_private(repo: GitRepo) -> None:
    """Where nothing is shared, our state is for the owner's eyes only."""
    with start_run(repo) as writer:
        writer.commit((), status=Status.DONE)
    state = {name: mode for name, mode in _made(repo).items() if name.startswith("gitflowrun/")}
    assert {
        name: oct(mode) for name, mode in state.items() if mode & 0o077 and "/" not in name
    } == {}


@pytest.mark.usefixtures("strict")
def test_packs_of_tasks_follow_the_setting(repo: GitRepo) -> None:
    """What a task stores by itself is for the group as well, also where the setting came after `git init`."""
    repo.git("config", "core.sharedRepository", "group")
    repo.write("flow.py", linear_flow("self.x = os.urandom(300_000)"))
    assert repo.flow("flow.py", "run").code == 0
    modes = _made(repo)
    packs = {name: mode for name, mode in modes.items() if name.endswith((".pack", ".idx"))}
    assert len(packs) > 2  # more than what the scheduler writes
    assert {name: oct(mode) for name, mode in packs.items() if not mode & stat.S_IRGRP} == {}


@pytest.mark.parametrize("place", [".", "locks", "locks/ids", "incoming", "snapshots"])
@pytest.mark.sample(3)
def test_what_stands_in_the_way_is_named(repo: GitRepo, place: str) -> None:
    """A file where a directory of ours belongs, or a directory for a file: which, and a command that helps."""
    wrong = repo.path / ".git" / "gitflowrun" / place
    repo.write("f.py", linear_flow())
    wrong.parent.mkdir(parents=True, exist_ok=True)
    if place == "locks/ids":
        wrong.mkdir()
    else:
        wrong.write_text("")
    failed = repo.flow("f.py", "run")
    assert failed.code == 1, failed.err
    assert f"{wrong} is a " in failed.err
    command = failed.err.partition("`")[2].partition("`")[0]
    moved = run_program(["sh", "-c", command], repo.path)
    assert moved.code == 0, moved.err
    assert repo.flow("f.py", "run").code == 0


def test_what_is_new_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private file's content is written and synced, and then takes its place: no power cut leaves half of it."""
    path = tmp_path / "key"
    path.write_bytes(b"before")
    seen: list[tuple[bytes, bytes]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").read_bytes(), path.read_bytes()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(path, b"afterwards", None)
    assert seen[:1] == [(b"afterwards", b"before")]
    assert path.read_bytes() == b"afterwards"


def test_a_directory_that_can_not_be_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who deletes the directory above it again and again is told; who does so once delays it."""
    state = tmp_path / "gitflowrun"
    real = Path.mkdir
    deletions = 0

    def mkdir(self: Path, mode: int = 0o777, **options: bool) -> None:
        nonlocal deletions
        if self.name == "locks" and deletions:
            deletions -= 1
            state.rmdir() if state.exists() else None
        real(self, mode, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    deletions = 3  # the last time that it is put up with
    make_directory(state / "locks")
    assert (state / "locks").is_dir()
    deletions = 100
    shutil.rmtree(state)
    with pytest.raises(FileNotFoundError):
        make_directory(state / "locks")


def test_a_directory_that_somebody_makes_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes make the same ones: each has them, also where the one above has to be made first."""
    place = tmp_path / "gitflowrun" / "live" / "1"
    mkdir = Path.mkdir

    def another(self: Path, mode: int = 0o777, **options: bool) -> None:
        if self.parent.is_dir():
            mkdir(self)
        mkdir(self, mode, **options)

    (tmp_path / "gitflowrun").mkdir()
    monkeypatch.setattr(Path, "mkdir", another)
    make_directory(place)
    assert place.is_dir()


def test_no_link_is_written_through(tmp_path: Path) -> None:
    """A file is replaced, not what a link of its name leads to, and new ones are made under names that are free."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    with pytest.raises(FileExistsError):
        write_new(link, b"theirs")
    replace_file(link, b"new", None)
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("mine", "new", False)
    assert link.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"target", "link"}


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    """A file of ours is read where it is itself: no link, no pipe that would keep us waiting, no directory."""
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("theirs")
    link.symlink_to(target)
    os.mkfifo(pipe)
    with open_file(target, "the key") as file:
        assert file.read() == b"theirs"
    for path, why in (
        (link, "it is a link"),
        (pipe, "it is no regular file"),
        (tmp_path, "it is no regular file"),
        (target / "key", "Not a directory"),
    ):
        with pytest.raises(RepositoryError) as caught:
            open_file(path, "the key")
        assert caught.value.message == f"can't read {path}, the key: {why}"
        assert caught.value.hint
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nothing", "the key")


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only file system"), (errno.EACCES, "may write to")],
)  # fmt: skip
def test_words_for_what_can_not_be_written(tmp_path: Path, number: int, hint: str) -> None:
    """They say what the system said, and give a hint that can work, also where the file is there already."""
    path = tmp_path / "locks"
    path.touch()
    error = not_writable(path, f"cannot lock {path}", OSError(number, os.strerror(number)))
    assert error.message == f"cannot lock {path}: {os.strerror(number)}"
    assert hint in (error.hint or "")


def test_what_a_link_leads_to_keeps_its_mode(tmp_path: Path) -> None:
    """Who shares a repository can't have a file of yours elsewhere shown to all."""
    mine = tmp_path / "key"
    mine.write_text("secret")
    mine.chmod(0o600)
    link = tmp_path / "shared" / "swept-locks"
    link.parent.mkdir()
    link.parent.chmod(0o2775)
    link.symlink_to(mine)
    share_file(link)
    assert mine.stat().st_mode & 0o777 == 0o600


def test_nothing_is_cleaned_up_where_a_link_leads(tmp_path: Path) -> None:
    """A directory of ours is one without links on the way, and stays the same one, whoever replaces it meanwhile."""
    ours, aside, theirs = (tmp_path / name for name in ("ours", "aside", "theirs"))
    (ours / "state").mkdir(parents=True)
    (theirs / "state").mkdir(parents=True)
    (ours / "state/old").touch()
    (theirs / "state/thesis").touch()
    with held_directory(ours / "state") as held:
        ours.rename(aside)
        ours.symlink_to(theirs)
        assert [path.name for path in held.iterdir()] == ["old"]
    for place in (ours / "state", aside / "nothing", aside / "state/old"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)), held_directory(place):
            pass
    assert _open_below(tmp_path) == []
    share_file(tmp_path / "gone" / "file", 0o2770)  # whose directory somebody has deleted


def _open_below(place: Path) -> list[str]:
    links = [it for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]
    return [text for it in links if (text := str(it.readlink())).startswith(str(place))]


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("0661", 0o2770), ("0664", 0o2775), ("06", 0o2707), ("4", None), ("0800", None), ("", None),
        (" Group ", 0o2770),
        ("on", 0o2770), ("yes", 0o2770), ("all", 0o2775), ("world", 0o2775), ("everybody", 0o2775),
    ],
)  # fmt: skip
def test_more_modes_are_those_of_git(value: str, mode: int | None) -> None:
    """Nobody is let execute a file, and who may read a directory may enter it."""
    assert shared_mode(value) == mode


def test_a_file_that_is_changed_in_place(tmp_path: Path) -> None:
    """It stays the same one, unless it has a second name, by which it may be somebody's: then a new one is made."""
    path, second = tmp_path / "lock", tmp_path / "thesis"
    os.close(open_to_write(path, os.O_RDWR | os.O_CREAT))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    number = path.stat().st_ino
    path.write_text("1")
    os.close(open_to_write(path, os.O_RDWR | os.O_CREAT))
    assert (path.stat().st_ino, path.read_text()) == (number, "1")
    second.hardlink_to(path)
    opened = open_to_write(path, os.O_RDWR | os.O_CREAT, 0o640)
    os.write(opened, b"2")
    assert len(_open_below(tmp_path)) == 1
    os.close(opened)
    assert (path.read_text(), second.read_text()) == ("2", "1")
    path.unlink()
    path.symlink_to(second)
    with pytest.raises(OSError, match="Too many levels"):
        open_to_write(path, os.O_RDWR | os.O_CREAT)


def test_a_directory_of_ours(tmp_path: Path) -> None:
    """Its owner's alone, or, where a group shares what it lies in, as that is; our own place is made nowhere else."""
    make_directory(tmp_path / "one")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    (tmp_path / "one").chmod(0o2775)
    make_directory(tmp_path / "one" / "two")
    assert stat.S_IMODE((tmp_path / "one/two").stat().st_mode) == 0o2775
    make_directory(tmp_path / "one" / "two")
    make_directory(tmp_path / "a" / "b" / "c")
    with pytest.raises(FileNotFoundError):
        make_directory(tmp_path / "moved" / "gitflowrun")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "file")
    assert _open_below(tmp_path) == []


@pytest.mark.parametrize(
    ("directory", "shared", "mode"),
    [(0o700, None, 0o600), (0o2770, None, 0o660), (0o2750, None, 0o640), (0o700, 0o2775, 0o664)],
)
def test_a_file_that_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: int, shared: int | None, mode: int
) -> None:
    """For those who share the repository; where it can't, the old one stays and nothing beside it."""
    passed: list[str] = []
    monkeypatch.setattr(permissions, "reached", passed.append)
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(directory)
    path = tmp_path / "x" / "file"
    replace_file(path, b"one", shared)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one", mode)
    assert passed == ["file.written", "file.replaced"]

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"two", shared)
    assert [it.read_bytes() for it in path.parent.iterdir()] == [b"one"]

    def is_read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", is_read_only)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"two", shared)
    assert _open_below(tmp_path) == []


def test_how_much_of_a_file_is_read(tmp_path: Path) -> None:
    """All of it, up to a limit; nothing where there is none."""
    path = tmp_path / "key"
    for read in (read_file, read_private):
        path.unlink(missing_ok=True)
        assert read(path, "the key", limit=9) is None
        path.write_bytes(b"123")
        path.chmod(0o600)
        assert read(path, "the key", limit=3) == b"123"
        with pytest.raises(RepositoryError, match="key, the key, has more than 2 bytes"):
            read(path, "the key", limit=2)
    assert _open_below(tmp_path) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601, 0o660])
def test_a_key_that_others_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """It is none, nor is somebody else's; where the file system keeps no modes it is all there is."""
    path = tmp_path / "key"
    path.write_bytes(b"123")
    path.chmod(mode)
    with pytest.raises(RepositoryError, match="may be used by others than you") as caught:
        read_private(path, "the key", limit=9)
    assert str(path) in str(caught.value.hint)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", lambda *_: None)
        assert read_private(path, "the key", limit=9) == b"123"

        def refuse(*_: object) -> None:
            raise PermissionError

        patch.setattr(os, "fchmod", refuse)
        assert read_private(path, "the key", limit=9) == b"123"
    path.chmod(0o600)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(RepositoryError, match=f"belongs to user {user}, not to you"):
        read_private(path, "the key", limit=9)
    assert _open_below(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("file/x", NotADirectoryError(20, "Not a directory"), "{0}/file is a file where gitflowrun keeps a directory"),
        ("file", FileExistsError(17, "File exists"), "{0}/file is a file where gitflowrun keeps a directory"),
        ("dir", IsADirectoryError(21, "Is a directory"), "{0}/dir is a directory where gitflowrun keeps a file"),
        ("dir", FileExistsError(17, "File exists"), "File exists"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_told(tmp_path: Path, place: str, error: OSError, words: str) -> None:
    """With a command that moves it away, if there is something."""
    (tmp_path / "file").write_text("")
    (tmp_path / "dir").mkdir()
    told = not_writable(tmp_path / place, "can't write", error)
    assert told.message == f"can't write: {words.format(tmp_path)}"
    assert ("move it away: `mv " in str(told.hint)) is (words != "File exists")


def test_what_is_in_place(tmp_path: Path) -> None:
    """What no link leads away from its git directory, which itself may be found by one."""
    root = tmp_path / "git"
    (root / "refs" / "runs").mkdir(parents=True)
    (tmp_path / "link").symlink_to("git")
    (root / "refs" / "away").symlink_to(tmp_path)
    (root / "refs" / "round").symlink_to("round")
    assert is_in_place(root, root / "refs/runs/1")
    assert is_in_place(root, root / "HEAD")
    assert is_in_place(tmp_path / "link", tmp_path / "link/refs/runs/1")
    assert not is_in_place(root, root / "refs/away/1")
    (root / "refs" / "runs" / "1").symlink_to(tmp_path)
    assert is_in_place(root, root / "refs/runs/1")


def test_times_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set to the nanosecond where that is allowed."""
    path = tmp_path / "x"
    path.touch()
    assert set_times(path, 1_000_000_007, 2_000_000_009)
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (1_000_000_007, 2_000_000_009)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "utime", refuse)
    assert not set_times(path, 3, 4)
    assert path.stat().st_mtime_ns == 2_000_000_009


def test_locks_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not get one at once is told so; a file system without them is named with what to do."""
    path = tmp_path / "x"
    exclusive = fcntl.LOCK_EX | fcntl.LOCK_NB
    with path.open("w") as one, path.open("w") as other:
        lock_file(one.fileno(), path, exclusive)
        with pytest.raises(BlockingIOError):
            lock_file(other.fileno(), path, exclusive)

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(RepositoryError, match=f"cannot lock {path}: ") as caught:
            lock_file(other.fileno(), path, exclusive)
    assert "flock" in str(caught.value.hint)


def test_links_in_place_of_what_is_ours_are_refused(tmp_path: Path) -> None:
    """Of our directory, of what lies in it, and of where packs come in; those of others are theirs."""
    git_dir = tmp_path / ".git"
    (git_dir / "gitflowrun").mkdir(parents=True)
    (git_dir / "objects").mkdir()
    (git_dir / "gitflowrun" / "locks").mkdir()
    (git_dir / "hooks").symlink_to("/")
    (git_dir / "objects" / "other").symlink_to("/")
    refuse_links(git_dir)
    refuse_links(tmp_path / "nothing")
    for name in ("gitflowrun-key-1", "gitflowrun/live", f"objects/{STAND_IN}"):
        link = git_dir / name
        link.symlink_to("/")
        with pytest.raises(RepositoryError, match=f"{name} is a symbolic link") as caught:
            refuse_links(git_dir)
        assert f"rm {link}" in str(caught.value.hint)
        link.unlink()
    refuse_links(git_dir)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/build-code/` cut to `/build` would hide a directory of the user's: the file is as it was."""
    file = tmp_path / "exclude"
    file.write_bytes(b"old\n")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) <= 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:6])

    monkeypatch.setattr("gitflowrun.git.permissions.os.write", full)
    with pytest.raises(RepositoryError, match="No space left"):
        add_lines(file, [b"/build-code/"], None)
    assert file.read_bytes() == b"old\n"
    monkeypatch.undo()
    add_lines(file, [b"/build-code/", b"old"], None)
    assert file.read_bytes() == b"old\n/build-code/\n"
