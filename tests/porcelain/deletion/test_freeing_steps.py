"""The steps of freeing space one by one: what is on the disk before the next, what counts as in use, what stops it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import CorruptRecord, GitflowrunError, RepositoryError
from gitflowrun.git.maintenance import Rewrite, fold_lock
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.permissions import replace_file
from gitflowrun.porcelain.deletion import free as freeing
from gitflowrun.porcelain.deletion.free import exclusive_size
from tests.helpers.clones import refs
from tests.helpers.repos import GitRepo, copy_repo, make_repo
from tests.helpers.runs import make_run, open_repo, start_run

OWN = b"one has it " * 999
BLOB = str(hash_object(ObjectType.BLOB, OWN))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with two runs; the first one's result is its own."""
    found = make_repo(tmp_path_factory.mktemp("freeing") / "made")
    make_run(found, result=OWN)
    make_run(found)
    return found


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "r")


def has_result(repo: GitRepo) -> bool:
    """Whether the first run's result is there."""
    return repo.git("cat-file", "-t", BLOB, check=False) != ""


def objects(repo: GitRepo) -> set[str]:
    """All objects."""
    words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return {*repo.git(*words).split()}


def freed(repo: GitRepo, *words: str) -> Any:
    """Run a command that frees space; what it says of that."""
    done = repo.call(*words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["freed"]


def loosen(repo: GitRepo) -> Path:
    """Make a loose file of each object in packs; that of the first run's result."""
    for pack in [*(repo.path / ".git/objects/pack").glob("*.pack")]:
        content = pack.read_bytes()
        for suffix in (".idx", ".pack"):
            pack.with_suffix(suffix).unlink()
        repo.git("unpack-objects", "-q", stdin=content)
    return repo.path / ".git/objects" / BLOB[:2] / BLOB[2:]


@pytest.mark.parametrize("durability", ["safe", "fast"])
def test_what_is_noted_is_on_the_disk_first(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """And so is what was unlinked, at the end; where nothing need be on the disk nobody waits for it."""
    repo.git("config", "runs.durability", durability)
    path, synced = loosen(repo), list[tuple[Path, bool]]()
    monkeypatch.setattr(
        freeing, "sync_directory", lambda place: synced.append((place, path.exists()))
    )
    freed(repo, "purge", "1")
    state = (open_repo(repo).state_dir, True)
    if durability == "fast":
        assert synced == []
    else:
        assert synced[0] == state
        assert (path.parent, False) in synced[1:]


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (RepositoryError("git has died"), "`git runs gc` goes on"),
        (CorruptRecord("git has died", hint="ask it"), "ask it; `git runs gc` goes on"),
    ],
)
def test_who_is_told_of_an_error_is_told_that_content_is_left(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, error: GitflowrunError, hint: str
) -> None:
    """When the runs are gone, no other command says so."""

    def fail(_: freeing._Freeing) -> Any:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(freeing._Freeing, "_look", fail)
        done = repo.call("purge", "1")
    assert done.code == 128
    assert done.err == f"fatal: not everything is freed yet: git has died\nhint: {hint}\n"
    assert "MyFlow/1" not in repo.call("list").out
    assert has_result(repo)
    freed(repo, "gc")
    assert not has_result(repo)


@pytest.mark.parametrize("name", ["freeing", "freed"])
@pytest.mark.sample(1)
def test_what_can_not_be_noted_is_not_done(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On a full disk everything stays, the error names the file, and `gc` goes on once there is space."""

    def full(path: Path, *args: Any) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(path, *args)

    monkeypatch.setattr(freeing, "replace_file", full)
    done = repo.call("purge", "1")
    assert (done.code, f"/gitflowrun/{name}: No space left" in done.err) == (128, True)
    assert ("MyFlow/1" in repo.call("list").out) is (name == "freeing")
    assert has_result(repo)
    monkeypatch.undo()
    freed(repo, *(("purge", "1") if name == "freeing" else ("gc",)))
    assert not has_result(repo)


def test_a_gc_that_begins_meanwhile_has_its_way(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more goes while git looks at the same objects: a later gc of ours goes on."""
    rewrite, mark = freeing._Freeing._rewrite, repo.path / ".git/gc.pid"

    def begin(self: freeing._Freeing, oids: set[bytes]) -> Rewrite:
        mark.write_text(f"{os.getpid()} {os.uname().nodename}")
        return rewrite(self, oids)

    with monkeypatch.context() as patched:
        patched.setattr(freeing._Freeing, "_rewrite", begin)
        report = freed(repo, "purge", "1")
    assert (report["objects"], "`git gc`" in report["waits"]) == (0, True)
    assert has_result(repo)
    assert freeing.has_unfinished(open_repo(repo))
    mark.unlink()
    assert freed(repo, "gc")["objects"] > 5
    assert not has_result(repo)
    assert not freeing.has_unfinished(open_repo(repo))


def _in_work_tree(repo: GitRepo, tip: str) -> None:
    repo.git("worktree", "add", "-q", "--detach", "--no-checkout", "../w")
    repo.write(".git/worktrees/w/refs/bisect/bad", f"{tip}\n")


ROOTS: dict[str, Callable[[GitRepo, str], object]] = {
    "rebase-apply": lambda repo, tip: repo.write(".git/rebase-apply/orig-head", f"{tip}\n"),
    "sequencer": lambda repo, tip: repo.write(".git/sequencer/todo", f"pick {tip} it\n"),
    "below": lambda repo, tip: repo.write(".git/rebase-merge/a/b", f"{tip}\n"),
    "work tree": _in_work_tree,
}


@pytest.mark.parametrize("root", ROOTS)
def test_what_is_under_way_somewhere_stays(repo: GitRepo, root: str) -> None:
    """In this work tree or another one, in whatever state."""
    ROOTS[root](repo, repo.git("rev-parse", "refs/runs/MyFlow/1"))
    assert freed(repo, "purge", "1")["shared"] > 5
    assert has_result(repo)


def test_what_leads_to_nothing_keeps_nobody_waiting(repo: GitRepo) -> None:
    """What was fetched or typed last is not kept for that; a pipe, a directory, a link to nowhere are no refs."""
    git = repo.path / ".git"
    tip = repo.git("rev-parse", "refs/runs/MyFlow/1")
    repo.write(".git/FETCH_HEAD", f"{tip}\t\tnot-for-merge\n")
    repo.write(".git/COMMIT_EDITMSG", f"Revert {tip}\n")
    repo.write(".git/TAG_EDITMSG", f"{tip}\n")
    repo.write(".git/lower", f"{tip}\n")
    (git / "CHERRY_PICK_HEAD").mkdir()
    (git / "logs").mkdir(exist_ok=True)
    for name in ("ORIG_HEAD", "logs/pipe"):
        (git / name).unlink(missing_ok=True)
        os.mkfifo(git / name)
    (git / "logs/gone").symlink_to("nowhere")
    assert freed(repo, "purge", "1")["objects"] > 5
    assert not has_result(repo)


def test_what_only_a_run_reaches_weighs_so_much(repo: GitRepo) -> None:
    """Exactly, where there is time to see what else reaches it; else at most so much."""
    opened = open_repo(repo)
    refs = {"refs/runs/MyFlow/1": Oid.from_hex(repo.git("rev-parse", "refs/runs/MyFlow/1"))}
    walk = ("rev-list", "--objects", "--no-object-names")
    mine, others = (
        {*repo.git(*walk, *names).split()}
        for names in (["refs/runs/MyFlow/1"], ["HEAD", "refs/runs/MyFlow/2"])
    )
    own = "\n".join(mine - others).encode()
    sizes = repo.git("cat-file", "--batch-check=%(objectsize:disk)", stdin=own).split()
    assert exclusive_size(opened, refs, 60) == (len(sizes), sum(map(int, sizes)), True)
    count, size, is_exact = exclusive_size(opened, refs, -1)
    assert (count >= len(mine), size >= sum(map(int, sizes)), is_exact) == (True, True, False)
    lost = {"refs/runs/MyFlow/9": Oid(b"\1" * 20)}
    assert exclusive_size(opened, lost, 60) == (0, 0, True)


def test_a_run_that_has_lost_something_can_be_purged(repo: GitRepo) -> None:
    """What is left of it goes."""
    loosen(repo).unlink()
    repo.git("update-ref", "-d", "refs/runs/MyFlow/2")
    task = repo.git("rev-parse", "refs/runs/MyFlow/1:steps/end/4/TASK")
    assert freed(repo, "purge", "--force", "1")["objects"] > 5
    assert repo.git("cat-file", "-t", task, check=False) == ""
    repo.fsck()


def test_who_waits_for_a_fold_waits_for_a_while(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold of packs takes a moment; once it is over the space is freed, and others may fold again."""
    lock = fold_lock(open_repo(repo))
    assert lock is not None
    waited = list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            os.close(lock)

    monkeypatch.setattr(time, "sleep", sleep)
    assert freed(repo, "purge", "1")["objects"] > 5
    assert len(waited) == 3
    again = fold_lock(open_repo(repo))
    assert again is not None
    os.close(again)


@pytest.mark.parametrize("step", ["_list", "_write_note", "_delete_refs", "_rewrite", "_unlink"])
@pytest.mark.sample(3)
def test_its_state_may_be_deleted_meanwhile(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """`.git/gitflowrun` may go at any time: the space is freed all the same, by this purge or by the next `gc`."""
    others, own = (
        {*repo.git("rev-list", "--objects", "--no-object-names", *names).split()}
        for names in (["HEAD", "refs/runs/MyFlow/2"], ["refs/runs/MyFlow/1"])
    )
    everything = objects(repo)
    whole = getattr(freeing._Freeing, step)

    def delete_first(self: freeing._Freeing, *args: Any) -> Any:
        monkeypatch.undo()
        shutil.rmtree(repo.path / ".git" / "gitflowrun")
        return whole(self, *args)

    monkeypatch.setattr(freeing._Freeing, step, delete_first)
    freed(repo, "purge", "1")
    freed(repo, "gc")
    assert objects(repo) == everything - (own - others)
    repo.fsck()


def test_a_run_whose_state_was_deleted_is_seen(repo: GitRepo) -> None:
    """`.git/gitflowrun` may be deleted at any time, with the lock of a run that goes on."""
    with start_run(repo):
        shutil.rmtree(repo.path / ".git" / "gitflowrun")
        assert "run 3 is running" in repo.call("purge", "1").err
    assert freed(repo, "purge", "1")["objects"] > 5


def test_gc_waits_for_the_trash_to_be_old(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 30 days, or as `runs.trashExpire` or `--prune` say."""
    assert repo.call("rm", "1").code == 0
    assert freed(repo, "gc")["objects"] == 0
    assert freed(repo, "gc", "--prune=1.day")["objects"] == 0
    repo.git("config", "runs.trashExpire", "never")
    later = time.time() + 20 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert freed(repo, "gc")["objects"] == 0
    repo.git("config", "--unset", "runs.trashExpire")
    assert freed(repo, "gc")["objects"] == 0
    repo.git("config", "runs.trashExpire", "2.weeks")
    report = freed(repo, "gc")
    assert report["objects"] > 5
    assert not has_result(repo)
    assert refs(repo, "refs/runs-trash/") == {}
    assert repo.call("gc", "--prune=soon").code == 129
