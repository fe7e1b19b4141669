"""Snapshots leave out what is ignored, secret, too large or can't be read, and say so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.git.command import Completed, Git
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.shots import shoot


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


def test_special_files_are_no_files(repo: GitRepo) -> None:
    """Pipes and sockets are passed over, as git does."""
    os.mkfifo(repo.path / "pipe")
    assert shoot(repo).snapshot.dirty == ()


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
