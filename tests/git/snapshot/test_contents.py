"""Snapshots of the work tree hold exactly what is there, and leave no trace in the repository."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gitflowrun.git import snapshot as snapshot_module
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
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


def test_an_edit_as_young_as_the_index(repo: GitRepo) -> None:
    """Of the same size, within one instant: by its times git would take it for what it has stored."""
    repo.git("config", "core.trustctime", "false")
    repo.git("config", "core.checkStat", "minimal")
    repo.write("same", "1")
    repo.commit()
    before = (repo.path / "same").stat().st_mtime_ns
    repo.write("same", "2")
    for path in (repo.path / "same", repo.path / ".git/index"):
        os.utime(path, ns=(before, before))
    assert shoot(repo).files[b"same"] == b"2"


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
