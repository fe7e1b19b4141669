"""Snapshots of the work tree hold exactly what is there, and leave no trace in the repository."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitflowrun.errors import RepositoryError
from gitflowrun.git import snapshot as snapshot_module
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import ObjectType
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import _remove_abandoned, take_snapshot
from gitflowrun.git.status import parse_status, read_status
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.shots import shoot


def test_clean_checkout_is_heads_own_tree(repo: GitRepo) -> None:
    """Where nothing changed, the tree is HEAD's and there is nothing to write."""
    shot = shoot(repo).snapshot
    assert str(shot.tree) == repo.git("rev-parse", "HEAD^{tree}")
    assert str(shot.head) == repo.git("rev-parse", "HEAD")
    assert (shot.branch, shot.dirty, shot.left_out, shot.objects) == ("main", (), (), ())


def test_touched_but_equal_files_are_clean(repo: GitRepo) -> None:
    """A file with new times and old content is no change."""
    os.utime(repo.path / "README", (1, 1))
    assert shoot(repo).snapshot.dirty == ()


def test_where_neither_modes_nor_times_can_be_set(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share whose files are another user's takes a snapshot all the same, with edits as young as the index."""
    repo.git("config", "core.trustctime", "false")
    repo.git("config", "core.checkStat", "minimal")
    repo.write("same", "1")
    repo.write("old", "1")
    repo.commit()
    before = (repo.path / "same").stat().st_mtime_ns
    repo.write("same", "2")
    for path in (repo.path / "same", repo.path / ".git/index"):
        os.utime(path, ns=(before, before))

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("utime", "chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    shot = shoot(repo)
    assert shot.snapshot.dirty == ("same",)
    assert shot.files[b"same"] == b"2"


def test_modified_staged_untracked_and_deleted_files(repo: GitRepo) -> None:
    """The tree holds the work tree's version of all of them."""
    for name in ("edited", "staged", "both", "gone", "rm"):
        repo.write(name, "1")
    repo.commit()
    repo.write("edited", "2")
    repo.write("staged", "2")
    repo.write("both", "2")
    repo.git("add", "staged", "both")
    repo.write("both", "3")
    repo.write("sub/new", "new")
    (repo.path / "gone").unlink()
    repo.git("rm", "-q", "rm")
    shot = shoot(repo)
    assert shot.files == {
        b"README": b"a project\n", b"edited": b"2", b"staged": b"2", b"both": b"3", b"sub/new": b"new"
    }  # fmt: skip
    assert shot.snapshot.dirty == ("both", "edited", "gone", "rm", "staged", "sub/new")


def test_only_new_objects_are_handed_over(repo: GitRepo) -> None:
    """Of a tree with one change, only the blob and the trees above it are new."""
    repo.write("a/b", "1")
    repo.write("c/d", "1")
    repo.commit()
    repo.write("a/b", "2")
    assert len(shoot(repo).snapshot.objects) == 3


def test_files_that_left_the_index_alone(repo: GitRepo) -> None:
    """After `git rm --cached` a file counts as untracked: a secret is left out, and one as in HEAD is no change."""
    repo.write(".env", "1")
    repo.write("same", "1")
    repo.commit()
    repo.git("rm", "-q", "--cached", ".env", "same")
    shot = shoot(repo)
    assert shot.files.keys() == {b"README", b"same"}
    assert shot.snapshot.dirty == (".env",)


def test_the_empty_tree_comes_along(repo: GitRepo) -> None:
    """Where all files are gone their tree is handed over: git can do without the object, other readers can't."""
    repo.git("rm", "-qr", ".")
    snapshot = shoot(repo).snapshot
    assert [item.oid for item in snapshot.objects] == [snapshot.tree]


def test_staged_objects_come_along(repo: GitRepo) -> None:
    """A blob that `git add` wrote loose is copied: git did not fsync it."""
    repo.write("new", "staged content")
    repo.git("add", "new")
    shot = shoot(repo)
    assert b"staged content" in [bytes(item.data) for item in shot.snapshot.objects]


def test_ignored_files_stay_out(repo: GitRepo) -> None:
    """Ignored files are no part of the code; tracked ones are, also when a pattern matches them."""
    repo.write("forced.log", "1")
    repo.git("add", "-f", "forced.log")
    repo.write(".gitignore", "*.log\nbuild/\n")
    repo.commit()
    repo.write("other.log", "x")
    repo.write("build/out", "x")
    repo.write("forced.log", "2")
    shot = shoot(repo)
    assert shot.files[b"forced.log"] == b"2"
    assert set(shot.files) == {b"README", b".gitignore", b"forced.log"}
    assert shot.snapshot.left_out == ()


def left_out_of(repo: GitRepo, program: Path) -> list[tuple[str, str]]:
    """What a snapshot for a program notes as left out, and why."""
    snapshot = take_snapshot(Repository.discover(repo.path), program)
    return [(item.path, item.reason) for item in snapshot.left_out]


def test_the_program_that_is_run_is_never_left_out_in_silence(
    repo: GitRepo, tmp_path: Path
) -> None:
    """Where git ignores it, or where it lies elsewhere, the snapshot says that it does not hold it."""
    repo.write(".gitignore", "scratch/\n*.log\n")
    repo.write("kept/f.py", "1")
    repo.write("forced.log", "1")
    repo.git("add", "-f", "forced.log")
    repo.commit()
    repo.write("new.py", "1")
    repo.write("scratch/f.py", "1")
    (tmp_path / "far.py").write_text("1")
    for name in ("kept/f.py", "forced.log", "new.py", "nothing.py"):
        assert left_out_of(repo, repo.path / name) == []
    assert left_out_of(repo, repo.path / "scratch" / "f.py") == [("scratch/f.py", "git ignores it")]
    far = tmp_path / "far.py"
    assert left_out_of(repo, far) == [(str(far), "it lies outside of the work tree")]
    (repo.path / "link.py").symlink_to(far)
    assert len(left_out_of(repo, repo.path / "link.py")) == 1
    repo.git("rm", "-q", "--cached", "forced.log")
    assert left_out_of(repo, repo.path / "forced.log") == [("forced.log", "git ignores it")]


def test_a_program_in_a_submodule_or_beside_a_bare_repository(
    repo: GitRepo, tmp_path: Path
) -> None:
    """A submodule's commit stands for its files; a bare repository has no place for any."""
    other = make_repo(tmp_path / "other")
    other.write("f.py", "1")
    other.commit()
    repo.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "sub"
    )
    assert left_out_of(repo, repo.path / "sub" / "f.py") == []
    repo.commit()
    assert left_out_of(repo, repo.path / "sub" / "f.py") == []
    bare = GitRepo(tmp_path / "bare.git")
    other.git("clone", "-q", "--bare", ".", str(bare.path))
    assert len(left_out_of(bare, other.path / "f.py")) == 1


def test_files_above_the_cap_are_left_out(repo: GitRepo) -> None:
    """Big untracked files are reported with their size; big tracked files stay."""
    repo.git("config", "runs.snapshot.maxFileSize", "1k")
    repo.write("tracked.bin", b"1")
    repo.commit()
    repo.write("tracked.bin", b"x" * 5000)
    repo.write("data.bin", b"x" * 5000)
    repo.write("just.bin", b"x" * 1024)
    shot = shoot(repo)
    assert len(shot.files[b"tracked.bin"]) == 5000
    assert len(shot.files[b"just.bin"]) == 1024
    assert b"data.bin" not in shot.files
    (left,) = shot.snapshot.left_out
    assert (left.path, left.size) == ("data.bin", 5000)
    assert "1024" in left.reason
    assert shot.snapshot.dirty == ("just.bin", "tracked.bin")


@pytest.mark.parametrize(
    "name", [".env", "conf/.env.local", "server.pem", "ID_RSA", "k.key", "my/secret/thing", "a.tok"]
)
def test_secrets_are_left_out(repo: GitRepo, name: str) -> None:
    """Untracked files whose names promise a secret stay out, by ours and by the user's patterns."""
    repo.git("config", "runs.snapshot.exclude", "*/secret/*:*.tok")
    repo.write(name, "hunter2")
    shot = shoot(repo)
    assert name.encode() not in shot.files
    assert "secret" in shot.reasons()[name]
    assert shot.snapshot.objects == ()


def test_tracked_secrets_stay(repo: GitRepo) -> None:
    """Who commits a file decides for it."""
    repo.write("test.pem", "1")
    repo.commit()
    repo.write("test.pem", "2")
    assert shoot(repo).files[b"test.pem"] == b"2"


def test_links_and_modes(repo: GitRepo) -> None:
    """Symlinks are kept as links, dangling and outward ones too; the executable bit is kept."""
    (repo.path / "dangling").symlink_to("nowhere")
    (repo.path / "outward").symlink_to("/etc/hostname")
    script = repo.write("script", "#!/bin/sh\n")
    script.chmod(0o755)
    shot = shoot(repo)
    assert shot.files[b"dangling"] == b"nowhere"
    assert shot.files[b"outward"] == b"/etc/hostname"
    assert (shot.modes[b"dangling"], shot.modes[b"script"]) == (b"120000", b"100755")


def test_files_and_directories_that_changed_places(repo: GitRepo) -> None:
    """A file became a directory, a directory a file, another one a link."""
    for name in ("file", "dir/x", "link/x", "target/x"):
        repo.write(name, "1")
    repo.commit()
    (repo.path / "file").unlink()
    repo.write("file/inside", "2")
    shutil.rmtree(repo.path / "dir")
    repo.write("dir", "2")
    shutil.rmtree(repo.path / "link")
    (repo.path / "link").symlink_to("target")
    shot = shoot(repo)
    assert shot.files == {
        b"README": b"a project\n", b"file/inside": b"2", b"dir": b"2", b"link": b"target", b"target/x": b"1"
    }  # fmt: skip
    assert shot.snapshot.left_out == ()
    assert len(set(shot.snapshot.dirty)) == len(shot.snapshot.dirty)


def test_filters_and_line_endings_apply(repo: GitRepo) -> None:
    """Content is stored as `git add` would store it: clean filters, line endings."""
    repo.write(".gitattributes", "*.up filter=upper\n*.txt text eol=crlf\n")
    repo.git("config", "filter.upper.clean", "tr a-z A-Z")
    repo.git("config", "core.safecrlf", "true")
    repo.write("a.up", "abc")
    repo.write("b.txt", "1\r\n2\n")
    shot = shoot(repo)
    assert (shot.files[b"a.up"], shot.files[b"b.txt"]) == (b"ABC", b"1\n2\n")


def test_a_file_that_git_refuses_is_left_out(repo: GitRepo) -> None:
    """One failing filter takes out its files, with git's words, and nothing else."""
    repo.write(".gitattributes", "*.bad filter=bad\n")
    repo.git("config", "filter.bad.clean", "false")
    repo.git("config", "filter.bad.required", "true")
    for number in range(5):
        repo.write(f"{number}.txt", "x")
    repo.write("1.bad", "x")
    shot = shoot(repo)
    assert {name for name in shot.files if name.endswith(b".txt")} == {
        b"%d.txt" % i for i in range(5)
    }
    assert b"1.bad" not in shot.files
    assert "clean filter" in shot.reasons()["1.bad"]


def test_unreadable_files_are_left_out(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be read is reported, tracked files keep their last known content."""
    repo.write("README", "changed")
    repo.write("private", "x")
    monkeypatch.setattr("gitflowrun.git.snapshot.os.access", lambda *_: False)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert [item.reason for item in snapshot.left_out] == ["can't be read"] * 2
    assert str(snapshot.tree) == repo.git("rev-parse", "HEAD^{tree}")


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


def test_names_of_any_bytes(repo: GitRepo) -> None:
    """Newlines, leading dashes, quotes and bytes that are no UTF-8 survive."""
    names = [
        b"new\nline",
        b"-n",
        b'quo"te\\',
        b"caf\xe9",
        b"tab\there",
        "ünïcode".encode(),
        b" lead",
    ]
    for name in names:
        (repo.path / os.fsdecode(name)).write_bytes(name)
    shot = shoot(repo)
    assert {name: shot.files[name] for name in names} == {name: name for name in names}
    assert "caf\\xe9" in shot.snapshot.dirty
    "".join(shot.snapshot.dirty).encode()


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(it, marks=pytest.mark.slow) for it in range(1, 40))]
)
def test_any_files_come_back_to_the_byte(repo: GitRepo, seed: int) -> None:
    """Files of any names, contents, modes and depths, tracked or not, changed or links, are in the tree as they lie."""
    random = Random(seed)
    made: dict[bytes, tuple[bytes, bytes]] = {b"README": (b"100644", b"a project\n")}

    def name() -> bytes:
        size = random.choice((1, 2, 8, 40, 255))
        return bytes(random.choices([it for it in range(1, 256) if it != ord("/")], k=size))

    def put(path: bytes) -> None:
        where = repo.path / os.fsdecode(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        size, end = random.choice((0, 1, 100, 9_000)), random.choice((b"", b"\r\n"))
        content = random.randbytes(size) + end
        mode = random.choice((b"100644", b"100755", b"120000"))
        if mode == b"120000":
            content = content.replace(b"\0", b"0")[:200] or b"gone"
            where.symlink_to(os.fsdecode(content))
        else:
            where.write_bytes(content)
            where.chmod(int(mode[3:], 8))
        made[path] = mode, content

    for number in range(90):
        if number == 30:
            repo.commit()
            for path in random.sample(sorted(made.keys() - {b"README"}), 10):
                put(path)
        # The directories are told apart from files by their first byte.
        folders = [b"d" + name()[:80] for _ in range(random.choice((0, 0, 1, 3)))]
        put(b"/".join([*folders, b"f" + name()[:250]]))
    shot = shoot(repo)
    assert shot.snapshot.left_out == ()
    assert {path: (shot.modes[path], data) for path, data in shot.files.items()} == made


def test_paths_with_colons_and_newlines(tmp_path: Path) -> None:
    """The repository itself may lie anywhere."""
    repo = make_repo(tmp_path / 'a:b "c"\n\\d')
    repo.write("new", "1")
    assert shoot(repo).files[b"new"] == b"1"


def test_a_renamed_file_is_one_that_is_gone_and_one_that_is_new(repo: GitRepo) -> None:
    """A file that the user's git would call renamed has its new name alone, whatever the config says of renames."""
    repo.write("old", "line\n" * 50)
    repo.commit()
    repo.git("config", "status.renames", "copies")
    repo.git("mv", "old", "new")
    shot = shoot(repo)
    assert "new" in shot.snapshot.dirty
    assert shot.files[b"new"] == b"line\n" * 50
    assert b"old" not in shot.files


def test_special_files_are_no_files(repo: GitRepo) -> None:
    """Pipes and sockets are passed over, as git does."""
    os.mkfifo(repo.path / "pipe")
    assert shoot(repo).snapshot.dirty == ()


def test_variables_of_a_hook_do_not_matter(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index and work tree are the repository's, whatever a hook exported."""
    repo.write("new", "1")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    repository = Repository.discover(repo.path)
    assert take_snapshot(repository).dirty == ("new",)


@pytest.mark.parametrize("means", ["fsmonitor", "hook"])
def test_nothing_of_the_users_config_is_executed(repo: GitRepo, means: str) -> None:
    """No fsmonitor and no hook runs for a snapshot, though git itself runs either."""
    canary = repo.path / ".git" / "canary"
    script = repo.write(".git/evil", f"#!/bin/sh\ntouch '{canary}'\n")
    script.chmod(0o755)
    if means == "fsmonitor":
        repo.git("config", "core.fsmonitor", shlex.quote(str(script)))  # which a shell runs
    else:
        shutil.copy2(script, repo.path / ".git/hooks/post-index-change")
    repo.write("README", "2")
    repo.git("add", "README")
    assert canary.exists()
    canary.unlink()
    repo.write("README", "3")
    take_snapshot(Repository.discover(repo.path))
    assert not canary.exists()


def test_a_split_index_is_not_added_to(repo: GitRepo) -> None:
    """Where the user's git splits its index, a snapshot leaves no shared part of its own beside it."""
    repo.git("config", "core.splitIndex", "true")
    repo.git("config", "splitIndex.maxPercentChange", "0")
    repo.git("update-index", "--split-index")
    shared = sorted((repo.path / ".git").rglob("sharedindex.*"))
    assert shared
    repo.write("new", "1")
    assert shoot(repo).files[b"new"] == b"1"
    assert sorted((repo.path / ".git").rglob("sharedindex.*")) == shared


def test_the_state_is_for_the_users_eyes_only(repo: GitRepo) -> None:
    """Copies of the user's files lie where nobody else reads."""
    repository = Repository.discover(repo.path)
    take_snapshot(repository)
    assert stat.S_IMODE(repository.state_dir.stat().st_mode) == 0o700


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


_WORD = st.sampled_from([b".M", b"N...", b"S.MU", b"100644", b"000000", b"4b825dc6" * 5, b"x", b""])
_LINE = st.builds(
    lambda kind, words, path: b" ".join([kind, *words, path]),
    st.sampled_from([b"1", b"2", b"u", b"?", b"!", b"# branch.oid", b"# branch.head", b"#"]),
    st.lists(_WORD, max_size=10),
    st.binary(max_size=8),
)


@given(st.lists(_LINE, max_size=4))
@example([b"1 .M N... 100644 100644 000000 %s %s a b" % (b"4b825dc6" * 5, b"4b825dc6" * 5)])
@example([b"u UU N... 100644 100644 100644 000000 1 2 3 a b"])
def test_any_status_output_is_parsed_or_refused(lines: list[bytes]) -> None:
    """The parser of git's status ends with a change for each line of one, or a ValueError, whatever it reads."""
    try:
        status = parse_status(b"\0".join(lines))
    except (ValueError, IndexError):
        return
    told = b"\0".join(lines).split(b"\0")
    changed = [line for line in told if line[:1] in {b"1", b"u", b"?"}]
    assert len(status.changes) == len(changed)
    for change, line in zip(status.changes, changed, strict=True):
        assert line.endswith(change.path)
        assert change.untracked is line.startswith(b"?")
        assert change.unmerged is line.startswith(b"u")


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_many_new_bytes_wait_in_a_file(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    """What is new is the same, whether it waits in memory or in a file for being written."""
    monkeypatch.setattr("gitflowrun.git.snapshot.SNAPSHOT_IN_MEMORY", in_memory)
    monkeypatch.setattr("gitflowrun.git.pack.writer.SNAPSHOT_RELEASED", 1 << 10)
    noise = os.urandom(300_000)
    contents = {"noise": noise, "text": b"line\n" * 100_000, "empty": b"", "sub/small": b"1"}
    for name, content in contents.items():
        repo.write(name, content)
    shot = shoot(repo)
    assert {name: shot.files[name.encode()] for name in contents} == contents
    assert sum(item.release is not None for item in shot.snapshot.objects) == (
        4 if not in_memory else 0
    )
    repo.fsck()


_MEASURED = """
import resource
from pathlib import Path
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot

repository = Repository.discover(Path())
written = repository.packs.write(take_snapshot(repository).objects)
repository.packs.release([written.name])
# Not RUSAGE_SELF, which goes on from who started us.
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def test_memory_does_not_grow_with_what_is_new(repo: GitRepo) -> None:
    """Neither ours nor git's: 160 MB of new files take less than 100."""
    repo.git("config", "runs.durability", "fast")
    for number in range(4):
        with repo.write(f"data{number}", str(number)).open("r+b") as file:
            file.truncate(40_000_000)
    done = repo.python("-c", _MEASURED)
    assert int(done.out) < 100 << 10, done


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


def test_git_killed_in_the_middle_leaves_no_lock(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapped file that shrinks kills git: the next command goes on, with a copy of that file."""
    repo.write("new", "1")
    repository = Repository.discover(repo.path)
    real = repository.git.attempt

    def killed(*args: str, **options: object) -> object:
        if "update-index" in args and options["stdin"] == b"new\0":
            env = options["env"]
            assert isinstance(env, dict)
            Path(env["GIT_INDEX_FILE"] + ".lock").touch()
            return Completed(-7, b"", "")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.git, "attempt", killed)
    assert take_snapshot(repository).dirty == ("new",)


def test_replaced_objects_are_not_what_is_recorded(repo: GitRepo) -> None:
    """With `git replace` the work tree is the replacement: the snapshot holds what lies there."""
    repo.write("value", "1")
    first = repo.commit()
    repo.write("value", "2")
    repo.git("replace", first, repo.commit())
    repo.git("checkout", "-q", first)
    repo.git("reset", "-q", "--hard")
    assert (repo.path / "value").read_text() == "2"
    shot = shoot(repo)
    assert shot.files[b"value"] == b"2"
    assert (str(shot.snapshot.head), shot.snapshot.dirty) == (first, ("value",))


@pytest.mark.parametrize("kind", ["clean", "process"])
def test_a_filter_that_is_not_installed(repo: GitRepo, kind: str) -> None:
    """Files of a required filter that can't be run stay as they are in the index, and are noted by name."""
    repo.write(".gitattributes", "*.big filter=big\n*.ok filter=ok\n")
    for name in ("same.big", "edited.big", "edited.ok", "-o.ok"):
        repo.write(name, "1\n")
    repo.commit()
    repo.git("config", "filter.big.required", "true")
    repo.git("config", f"filter.big.{kind}", "no-such-program %f")
    repo.git("config", "filter.ok.required", "true")
    repo.git("config", "filter.ok.clean", "tr 2 3")
    os.utime(repo.path / "same.big", (1, 1))
    for name in ("edited.big", "new.big", "edited.ok", "-o.ok", "README"):
        repo.write(name, "2\n")
    shot = shoot(repo)
    reasons = shot.reasons()
    assert set(reasons) == {"same.big", "edited.big", "new.big"}
    assert all("filter 'big' can't be run" in reason for reason in reasons.values())
    assert shot.files[b"edited.big"] == shot.files[b"same.big"] == b"1\n"
    assert (shot.files[b"edited.ok"], shot.files[b"README"]) == (b"3\n", b"2\n")
    assert shot.files[b"-o.ok"] == b"3\n"  # a name like an option
    assert b"new.big" not in shot.files


def test_directories_that_git_cannot_open_are_noted(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git only warns of them; whatever lies there is not in the snapshot, and what is tracked there stays."""
    repo.write("shut/tracked", "1")
    repo.commit()
    (repo.path / "shut").rename(repo.path.parent / "away")
    real, lstat = Git.attempt, os.lstat
    warning = "warning: could not open directory 'shut/': Permission denied\n"

    def denied(path: bytes, **named: Any) -> os.stat_result:
        if b"shut/" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")
        return lstat(path, **named)

    def warned(git: Git, *args: str, **options: Any) -> Completed:
        done = real(git, *args, **options)
        return replace(done, err=warning) if "status" in args else done

    monkeypatch.setattr("gitflowrun.git.command.Git.attempt", warned)
    monkeypatch.setattr("gitflowrun.git.snapshot.os.lstat", denied)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert {(it.path, it.reason) for it in snapshot.left_out} == {
        ("shut/", "the directory can't be read"), ("shut/tracked", "can't be read")
    }  # fmt: skip
    assert snapshot.dirty == ()


@pytest.mark.parametrize("command", ["status", "ls-files", "update-index"])
def test_deleting_our_state_meanwhile_changes_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """`.git/gitflowrun` may be deleted at any time: git must not take the index that is gone for an empty one."""
    repo.write("new", "2")
    repo.write(".gitignore", "README\n")  # it is tracked all the same
    whole = shoot(repo).snapshot
    attempt = Git.attempt
    deleted: list[str] = []

    def delete_first(git: Git, *args: Any, **options: Any) -> Completed:
        if command in args and not deleted:
            deleted.append(command)
            shutil.rmtree(repo.path / ".git" / "gitflowrun")
        return attempt(git, *args, **options)

    monkeypatch.setattr(Git, "attempt", delete_first)
    again = shoot(repo).snapshot
    assert (again.tree, again.dirty, again.left_out) == (whole.tree, whole.dirty, whole.left_out)
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


def test_private_keys_are_left_out_of_what_is_untracked(repo: GitRepo) -> None:
    """Whatever they are called, with their size; tracked ones, and those that the user includes, stay."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n"
    repo.git("config", "runs.snapshot.include", "wanted")
    repo.write("tracked", "1")
    repo.commit()
    for name in ("tracked", "plain", "deep/other", "wanted"):
        repo.write(name, f"{name}\n{key}")
    repo.write("harmless", "PRIVATE KEY")
    shot = shoot(repo)
    assert shot.files.keys() == {b"README", b"tracked", b"wanted", b"harmless"}
    assert {(it.path, it.size) for it in shot.snapshot.left_out} == {
        ("plain", len(key) + 6), ("deep/other", len(key) + 11)
    }  # fmt: skip
    assert shot.snapshot.dirty == ("harmless", "tracked", "wanted")
    assert key.encode() not in b"".join(
        bytes(it.data) for it in shot.snapshot.objects if b"plain" in bytes(it.data)
    )


def test_many_changes_are_taken_as_few(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not an index of the changed files alone stands in: the tree, and what differs, is the same."""
    repo.write("gone", "1")
    repo.write("a/edited", "1")
    repo.commit()
    (repo.path / "gone").unlink()
    repo.write("a/edited", "2")
    repo.write("b/new", "3")
    found = []
    for limit in (3, 2):
        monkeypatch.setattr(snapshot_module, "SNAPSHOT_FEW_CHANGES", limit)
        with monkeypatch.context() as patch:
            seen: list[object] = []
            real = snapshot_module._SnapshotBuilder._keep_changed_only
            patch.setattr(
                snapshot_module._SnapshotBuilder, "_keep_changed_only",
                lambda self, status, real=real, seen=seen: (seen.append(1), real(self, status))[1],
            )  # fmt: skip
            shot = shoot(repo)
        assert len(seen) == (limit == 3)
        found.append((shot.snapshot.tree, shot.snapshot.dirty, shot.files))
    assert found[0] == found[1]
    repo.git("config", "core.ignoreCase", "true")
    monkeypatch.setattr(snapshot_module, "SNAPSHOT_FEW_CHANGES", 9)
    monkeypatch.setattr(
        snapshot_module._SnapshotBuilder, "_keep_changed_only", lambda *_: pytest.fail("not simple")
    )
    assert shoot(repo).snapshot.tree == found[0][0]
