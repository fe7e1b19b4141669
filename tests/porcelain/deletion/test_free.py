"""What `gc` and `purge` free is what only removed runs reached, whatever is going on, and whatever kills them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import RepositoryError
from gitflowrun.git.maintenance import Rewrite, fold_lock
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.porcelain.deletion import free as freeing
from gitflowrun.porcelain.deletion import removal
from gitflowrun.porcelain.deletion.removal import purge
from gitflowrun.porcelain.deletion.trash import RemovedRuns, Trash, TrashedRun
from gitflowrun.runs.create import create_run
from gitflowrun.runs.live import LiveState, StartedTask
from gitflowrun.runs.runs import RunStore, Status
from tests.helpers.clones import ids, refs
from tests.helpers.flows import eventually
from tests.helpers.repos import GitRepo, copy_repo, make_repo, program_environment
from tests.helpers.runs import (
    artifact,
    draft,
    finished_task,
    make_run,
    open_repo,
    start_run,
    store_of,
)
from tests.helpers.warm_popen import WarmPopen

SHARED, OWN = b"both have it " * 999, b"one has it " * 999


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with two runs, which share a payload; the first one's result is its own."""
    found = make_repo(tmp_path_factory.mktemp("free") / "made")
    make_run(found, result=OWN)
    make_run(found)
    found.write("new", "only the third run has this file\n")
    make_run(found, result=SHARED)
    make_run(found, result=SHARED)
    return found


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "r")


def has(repo: GitRepo, data: bytes | str) -> bool:
    """Whether a blob, or the object of a name, is there."""
    name = data if isinstance(data, str) else str(hash_object(ObjectType.BLOB, data))
    return repo.git("cat-file", "-t", name, check=False) != ""


def freed(repo: GitRepo, *words: str) -> Any:
    """Run a command that frees space; what it says of that."""
    done = repo.call(*words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["freed"]


def count(repo: GitRepo) -> set[str]:
    """All objects."""
    out = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(out.splitlines())


def reached(repo: GitRepo, *names: str) -> set[str]:
    """The objects that names lead to."""
    return set(repo.git("rev-list", "--objects", "--no-object-names", *names).splitlines())


def unpack(repo: GitRepo) -> None:
    """Make loose files of all objects in packs."""
    for pack in [*(repo.path / ".git/objects/pack").glob("*.pack")]:
        content = pack.read_bytes()
        for suffix in (".idx", ".pack"):
            pack.with_suffix(suffix).unlink()
        repo.git("unpack-objects", "-q", stdin=content)


def test_frees_exactly_what_only_the_run_reached(repo: GitRepo) -> None:
    """What other runs and branches reach stays, also a payload that two runs share."""
    everything, own = count(repo), reached(repo, "refs/runs/MyFlow/1")
    others = reached(repo, "HEAD", *(f"refs/runs/MyFlow/{n}" for n in (2, 3, 4)))
    report = freed(repo, "purge", "1")
    assert count(repo) == everything - (own - others)
    assert report["objects"] == len(own - others)
    assert not has(repo, OWN)
    freed(repo, "purge", "3")
    assert has(repo, SHARED)
    freed(repo, "purge", "4")
    assert not has(repo, SHARED)
    assert ids(repo).keys() == {"MyFlow/2"}
    repo.fsck()


def test_a_pack_is_written_anew_without_the_run(repo: GitRepo) -> None:
    """All else that it holds stays packed, a lost commit too, and nothing speaks of the old one; others stay as is."""
    repo.git("update-ref", "refs/heads/lost", repo.git("commit-tree", "HEAD^{tree}", "-m", "lost"))
    lost = repo.git("rev-parse", "lost")
    repo.git("repack", "-a", "-d", "-b", "-q")
    packs = repo.path / ".git/objects/pack"
    (old,) = packs.glob("*.pack")
    repo.git("update-ref", "-d", "refs/heads/lost")
    make_run(repo)
    others = {*packs.glob("*.pack")} - {old}
    repo.git("multi-pack-index", "write")
    gone = reached(repo, "refs/runs/MyFlow/1") - reached(
        repo, "HEAD", *(f"refs/runs/MyFlow/{n}" for n in (2, 3, 4, 5))
    )
    everything = count(repo)
    assert freed(repo, "purge", "1")["objects"] == len(gone)
    assert count(repo) == everything - gone
    assert not (repo.path / ".git/objects" / lost[:2] / lost[2:]).exists()
    after = {*packs.iterdir()}
    assert others < after
    assert {path.stem for path in after} == {path.stem for path in packs.glob("*.pack")}
    assert {path.suffix for path in after} <= {".pack", ".idx", ".rev"}
    assert not old.exists()
    repo.fsck()


def test_a_pack_that_git_garbles_stays(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new pack has not all that it should, the old ones stay, and that is an error."""
    repo.git("repack", "-a", "-d", "-q")
    before = count(repo)
    pack = Rewrite._pack

    def without_the_last(self: Rewrite, place: Path, ids: IO[bytes], lock: int) -> str:
        ids.truncate(ids.seek(0, os.SEEK_END) - 41)
        ids.seek(0)
        return pack(self, place, ids, lock)

    monkeypatch.setattr(Rewrite, "_pack", without_the_last)
    done = repo.call("purge", "1")
    assert (done.code, "left out objects" in done.err) == (128, True)
    assert count(repo) == before
    monkeypatch.undo()
    assert freed(repo, "gc")["objects"] > 5


@pytest.mark.parametrize("split", [(), ("--split=no-merge",)])
@pytest.mark.sample(1)
def test_the_commit_graph_forgets_what_is_freed(repo: GitRepo, split: tuple[str, ...]) -> None:
    """git, which looks up in it what a commit leads to, complains of none that is gone, and keeps having it."""
    repo.git("commit-graph", "write", "--reachable", *split)
    make_run(repo)
    repo.git("commit-graph", "write", "--reachable", *split)
    freed(repo, "purge", "1")
    repo.git("commit-graph", "verify")
    repo.fsck()
    info = repo.path / ".git/objects/info"
    assert (info / ("commit-graphs" if split else "commit-graph")).exists()


@pytest.mark.parametrize("where", [None, "/else/where"])
@pytest.mark.sample(1)
def test_a_disk_that_fails_is_told(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    """With the place, what it says, and that `gc` goes on; which it does."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", where)

    with monkeypatch.context() as patched:
        patched.setattr(freeing, "rewrite_commit_graph", fail)
        done = repo.call("purge", "1")
    place = where or open_repo(repo).objects_dir
    assert (done.code, f"cannot free space: {place}: Input/output error" in done.err) == (128, True)
    assert "`git runs gc` goes on" in done.err
    assert freed(repo, "gc")["objects"] > 0
    assert not has(repo, OWN)


def test_the_users_lost_objects_stay(repo: GitRepo) -> None:
    """A blob, a commit that a reset lost, what a lost commit shares with the run, and the staged one of an index."""
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"somebody's")
    # A lost commit whose tree is the run's code, and one that a run's tree lies below.
    code = repo.git("rev-parse", "refs/runs/MyFlow/1:code")
    lost = repo.git("commit-tree", code, "-m", "lost")
    result = repo.git("hash-object", "--stdin", stdin=OWN)
    tree = repo.git("mktree", stdin=f"100644 blob {result}\tresult\n".encode())
    held = repo.git("commit-tree", tree, "-m", "has the result")
    repo.git("repack", "-A", "-d", "-q")
    assert freed(repo, "purge", "1")["objects"] > 5
    for name in (blob, lost, tree, held, code, result):
        assert has(repo, name)
    assert reached(repo, lost, held) >= {result, code}
    repo.fsck()


@pytest.mark.parametrize("place", ["index", "reflog", "worktree", "orig", "rebase"])
def test_what_git_would_keep_stays(repo: GitRepo, tmp_path: Path, place: str) -> None:
    """What an index, a reflog, another work tree's HEAD, ORIG_HEAD or a rebase leads to is somebody's."""
    tip = repo.git("rev-parse", "refs/runs/MyFlow/1")
    blob = str(hash_object(ObjectType.BLOB, OWN))
    if place == "index":
        repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob},result")
    elif place == "reflog":
        repo.git("update-ref", "--create-reflog", "refs/heads/x", tip)
        repo.git("update-ref", "refs/heads/x", "HEAD")
    elif place == "worktree":
        repo.git("worktree", "add", "-q", "--detach", "--no-checkout", str(tmp_path / "w"), tip)
    elif place == "orig":
        (repo.path / ".git" / "ORIG_HEAD").write_text(f"{tip}\n")
    else:
        repo.write(".git/rebase-merge/orig-head", f"{tip}\n")
    report = freed(repo, "purge", "1")
    assert has(repo, OWN)
    assert report["shared"] > 0
    repo.git("rev-list", "--objects", "--all", "--reflog", "--indexed-objects")


def test_says_which_ref_still_reaches_a_purged_run(repo: GitRepo) -> None:
    """A branch of the user's on it keeps all of it."""
    repo.git("branch", "mine", "refs/runs/MyFlow/1")
    out = repo.call("purge", "1").out
    assert "refs/heads/mine still reaches" in out
    assert has(repo, OWN)


def test_what_a_killed_scheduler_had_not_published_goes_along(repo: GitRepo) -> None:
    """Its commit is a descendant of the run, and would keep all of it; that of another run keeps what it reaches."""
    with start_run(repo) as writer:
        tip = writer.commit_oid
        task = finished_task(writer.identity, "start/1", {"x": b"unpublished" * 99})
        writer.commit([task])
    repo.git("update-ref", "refs/runs/MyFlow/5", str(tip))
    assert freed(repo, "purge", "5")["objects"] > 5
    assert not has(repo, b"unpublished" * 99)
    assert not has(repo, str(tip))
    repo.fsck()


def test_a_kept_pack_keeps(repo: GitRepo) -> None:
    """Objects in a pack with a .keep stay, and that is said."""
    repo.git("repack", "-a", "-d", "-q")
    (pack,) = (repo.path / ".git" / "objects" / "pack").glob("*.pack")
    pack.with_suffix(".keep").touch()
    report = freed(repo, "purge", "1")
    assert (report["objects"], has(repo, OWN)) == (0, True)
    assert report["kept"] > 5


def test_what_was_touched_meanwhile_stays(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git touches an object that somebody writes again: it is theirs from now on."""
    blob = str(hash_object(ObjectType.BLOB, OWN))
    for pack in (repo.path / ".git/objects/pack").glob("*.pack"):
        if blob in repo.git("show-index", stdin=pack.with_suffix(".idx").read_bytes()):
            break
    rewrite = freeing._Freeing._rewrite

    def write_again(self: freeing._Freeing, oids: set[bytes]) -> Rewrite:
        os.utime(pack, (pack.stat().st_mtime + 60,) * 2)
        return rewrite(self, oids)

    monkeypatch.setattr(freeing._Freeing, "_rewrite", write_again)
    assert freed(repo, "purge", "1")["kept"] > 0
    assert has(repo, OWN)
    repo.fsck()


def test_a_loose_file_that_was_touched_meanwhile_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone."""
    blob = str(hash_object(ObjectType.BLOB, OWN))
    unpack(repo)
    path = repo.path / ".git" / "objects" / blob[:2] / blob[2:]
    rewrite = freeing._Freeing._rewrite

    def write_again(self: freeing._Freeing, oids: set[bytes]) -> Rewrite:
        os.utime(path, (path.stat().st_mtime + 60,) * 2)
        return rewrite(self, oids)

    monkeypatch.setattr(freeing._Freeing, "_rewrite", write_again)
    assert freed(repo, "purge", "1")["kept"] == 1
    assert has(repo, OWN)


@pytest.mark.parametrize("step", ["_list", "_delete_refs", "_unlink"])
@pytest.mark.parametrize("place", ["loose", "packed"])
@pytest.mark.sample(3)
def test_what_is_written_again_at_once_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, step: str, place: str
) -> None:
    """By git itself, at any step, in the second in which the purge has begun; also if the clock is set back then."""
    if place == "loose":
        unpack(repo)
    taken = getattr(freeing._Freeing, step)

    def write_again(self: freeing._Freeing, *args: Any) -> Any:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        repo.git("hash-object", "-w", "--stdin", stdin=OWN)
        return taken(self, *args)

    monkeypatch.setattr(freeing._Freeing, step, write_again)
    assert freed(repo, "purge", "1")["kept"] > 0
    assert has(repo, OWN)
    repo.fsck()


def test_what_is_written_again_before_a_killed_purge_goes_on_stays(repo: GitRepo) -> None:
    """A moment after that was killed."""
    _in_a_fork(lambda: _purge_until(repo, "_delete_refs", "after"))
    repo.git("hash-object", "-w", "--stdin", stdin=OWN)
    assert freed(repo, "gc")["kept"] > 0
    assert has(repo, OWN)


@pytest.mark.parametrize("place", ["loose", "packed"])
def test_what_was_written_by_a_clock_that_was_ahead_is_freed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Nobody has touched it since that was set back."""
    if place == "loose":
        unpack(repo)
    monkeypatch.setattr(freeing, "_now", lambda _: 10**9)
    report = freed(repo, "purge", "1")
    assert (report["kept"], has(repo, OWN)) == (0, False)


def test_what_git_is_about_to_write_into_an_index_stays(repo: GitRepo) -> None:
    """It may name anything that was here when it began; a later gc frees the rest."""
    tree = repo.path.parent / "tree"
    repo.git("worktree", "add", "-q", "--detach", str(tree))
    lock = repo.path / ".git" / "worktrees" / "tree" / "index.lock"
    lock.touch()
    done = repo.call("purge", "1")
    assert (done.code, has(repo, OWN)) == (0, True)
    assert f"not all is freed: git is about to write an index, as {lock} says" in done.out
    lock.unlink()
    assert freed(repo, "gc")["objects"] > 5
    assert not has(repo, OWN)
    repo.fsck()


def test_files_that_go_meanwhile_count_for_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is freed is told by the sizes of files, of which git may remove one while we look."""
    place = repo.path / ".git" / "objects" / "pack"
    rewrite = freeing._Freeing._rewrite
    look = os.lstat

    def gone(path: str, **options: Any) -> os.stat_result:
        if str(path).endswith("tmp_pack_1"):
            raise FileNotFoundError(path)
        return look(path, **options)

    def under_way(self: freeing._Freeing, oids: set[bytes]) -> Rewrite:
        (place / "tmp_pack_1").write_bytes(b"x" * 1_000_000)
        monkeypatch.setattr(os, "lstat", gone)
        return rewrite(self, oids)

    monkeypatch.setattr(freeing._Freeing, "_rewrite", under_way)
    found = freed(repo, "purge", "1")
    assert found["objects"] > 0
    assert found["size"] > 0
    assert not has(repo, OWN)


def test_a_ref_that_appears_meanwhile_is_seen(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the look, before the lock: all is looked at again."""
    tip = repo.git("rev-parse", "refs/runs/MyFlow/1")
    look, looks = freeing._Freeing._look, []

    def branch_after(self: freeing._Freeing) -> set[bytes]:
        found = look(self)
        looks.append(len(found))
        repo.git("branch", "-f", f"mine{len(looks)}", tip)
        return found

    monkeypatch.setattr(freeing._Freeing, "_look", branch_after)
    report = freed(repo, "purge", "1")
    assert (report["objects"], has(repo, OWN)) == (0, True)
    assert looks[0] > 5
    assert looks[1:] == [0] * (len(looks) - 1)
    repo.fsck()


@pytest.mark.parametrize("step", ["_list", "_write_note", "_delete_refs", "_rewrite", "_unlink"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.sample(5)
def test_killed_anywhere_nothing_is_lost(repo: GitRepo, step: str, moment: str) -> None:
    """The other runs are whole, `gc` goes on, and then the removed one is gone, or in the trash."""
    others = reached(repo, "HEAD", *(f"refs/runs/MyFlow/{n}" for n in (2, 3, 4)))
    everything, own = count(repo), reached(repo, "refs/runs/MyFlow/1")
    _in_a_fork(lambda: _purge_until(repo, step, moment))
    assert ids(repo).keys() == {"MyFlow/2", "MyFlow/3", "MyFlow/4"}
    assert count(repo) >= others
    if refs(repo, "refs/runs-trash/"):
        assert reached(repo, next(iter(refs(repo, "refs/runs-trash/")))) >= own
    freed(repo, "gc", "--prune=now")
    assert count(repo) == everything - (own - others)
    assert not (repo.path / ".git" / "gitflowrun" / "freeing").exists()
    repo.fsck()


def _purge_until(repo: GitRepo, step: str, moment: str) -> None:
    whole = getattr(freeing._Freeing, step)

    def killed(self: freeing._Freeing, *args: Any) -> None:
        if moment == "after":
            whole(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(freeing._Freeing, step, killed)
    repository = open_repo(repo)
    purge(repository, [RunStore(repository).get("MyFlow", "1")], [])


def _in_a_fork(body: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        try:
            body()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_not_beside_a_run_a_gc_or_a_fold(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what is in the way, and nothing is removed."""
    before = refs(repo)
    with start_run(repo):
        done = repo.call("purge", "1")
        assert (done.code, "run 5 is running" in done.err) == (128, True)
        passed: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(removal, "reached", passed.append)
            with pytest.raises(RepositoryError, match="run 5 is running"):
                purge(open_repo(repo), [store_of(repo).get("MyFlow", "1")], ())
        assert passed == []  # not even for a moment
        assert before.items() < refs(repo).items()
    before = refs(repo)
    mark = repo.write(".git/gc.pid", f"{os.getpid()} {os.uname().nodename}")
    assert "a `git gc`" in repo.call("purge", "1").err
    mark.unlink()
    assert refs(repo) == before
    monkeypatch.setattr(freeing, "FREEING_PATIENCE", 0)
    lock = fold_lock(open_repo(repo))
    assert lock is not None
    assert "packs are being folded" in repo.call("purge", "1").err
    os.close(lock)
    assert refs(repo) == before
    repo.git("config", "extensions.preciousObjects", "true")
    assert "precious" in repo.call("purge", "1").err
    assert refs(repo) == before
    repo.git("config", "extensions.preciousObjects", "no")
    assert freed(repo, "purge", "1")["objects"] > 5
    assert "partial" not in repo.call("gc").err


def test_a_damaged_repository_frees_nothing(repo: GitRepo) -> None:
    """Where something that a branch needs is missing, nobody can tell what else it needed."""
    repo.git("update-ref", "refs/heads/x", repo.git("commit-tree", "HEAD^{tree}", "-m", "x"))
    x = repo.git("rev-parse", "x")
    (repo.path / ".git" / "objects" / x[:2] / x[2:]).unlink()
    before = refs(repo)
    done = repo.call("purge", "1")
    assert (done.code, "git fsck" in done.err, x in done.err) == (128, True, True)
    assert has(repo, OWN)
    assert refs(repo) == before
    assert "The trash is empty" in repo.call("restore").out
    assert RemovedRuns(open_repo(repo)).read() == []


@pytest.mark.parametrize(
    ("place", "is_empty"),
    [("refs/heads/other", False), ("refs/heads/other", True), ("logs/HEAD", False)],
)
@pytest.mark.sample(1)
def test_nothing_is_freed_where_a_root_cannot_be_read(
    repo: GitRepo, place: str, is_empty: bool
) -> None:
    """Git passes over such a ref or reflog without an error: what it leads to as the run does, stays."""
    repo.git("update-ref", "refs/heads/other", "refs/runs/MyFlow/4")
    repo.git("update-ref", "-d", "refs/runs/MyFlow/4")
    path = repo.path / ".git" / place
    content = path.read_bytes()
    path.unlink()
    path.touch() if is_empty else path.symlink_to(path.name)
    done = repo.call("purge", "--force", "3")
    assert done.code == 128, done.out
    assert "nobody can tell what is in use here" in done.err
    assert has(repo, SHARED)
    path.unlink()
    path.write_bytes(content)
    freed(repo, "purge", "--force", "3")
    assert has(repo, SHARED)


def test_a_purge_never_says_it_is_done_of_a_run_that_stays(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git has passed over the run's ref in the trash, for it could not read it: an error, and a second try."""
    runs = Trash.runs

    def unread(self: Trash) -> list[TrashedRun]:
        if found := runs(self):
            monkeypatch.undo()
        return found[1:]

    monkeypatch.setattr(Trash, "runs", unread)
    done = repo.call("purge", "1")
    assert done.code == 128
    assert "can't be read there: MyFlow/1" in done.err
    assert repo.call("purge", "1").code == 0
    assert not has(repo, OWN)


def test_the_dedup_index_forgets_what_is_freed(repo: GitRepo) -> None:
    """A payload that a purge took is not taken for stored; it is stored anew."""
    repository = open_repo(repo)
    index = DedupIndex(repository.state_dir, repository.objects)
    ref = artifact(OWN, TaskName("end", "4"))
    index.add([ref], "refs/runs/F/1")
    assert index.lookup([ref.digest])
    freed(repo, "purge", "1")
    assert index.lookup([ref.digest]) == {}
    make_run(repo, result=OWN)
    repo.fsck()
    assert has(repo, OWN)


FLOW = """
from gitflowrun import FlowSpec, step

class Big(FlowSpec):
    @step
    def start(self):
        import random
        self.x = random.Random(1).randbytes(3_000_000)
        self.next(self.end)

    @step
    def end(self):
        import os, time
        while os.path.exists("stop"):
            time.sleep(0.01)
        assert len(self.x) == 3_000_000

if __name__ == "__main__":
    Big()
"""


@pytest.mark.parametrize("step", ["_rewrite", "_unlink"])
@pytest.mark.sample(1)
def test_a_run_that_begins_meanwhile_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It makes the very payload, and has the code, that is being freed: it waits, or the purge leaves all as it is."""
    repo = make_repo(tmp_path / "r", files={"big.py": FLOW})
    repo.write("untracked", "in the code of both runs, and nowhere else\n")
    assert repo.flow("big.py", "run").code == 0
    whole = getattr(freeing._Freeing, step)
    started: list[subprocess.Popen[bytes]] = []
    lock = repo.path / ".git" / "gitflowrun" / "locks" / "run-2"

    def with_a_run(self: freeing._Freeing, *args: Any) -> Any:
        if step == "_rewrite":
            repo.write("stop", "")
        started.append(_start(repo))
        if step == "_rewrite":
            eventually(lock.exists)
        else:
            time.sleep(0.5)  # until it wants a number; it is right as well if it comes later
        return whole(self, *args)

    monkeypatch.setattr(freeing._Freeing, step, with_a_run)
    report = freed(repo, "purge", "1")
    (repo.path / "stop").unlink(missing_ok=True)
    assert started[0].wait(300) == 0
    assert ("run 2" in report["waits"]) is (step == "_rewrite")
    assert repo.python("-c", _READ).out == "3000000\n"
    monkeypatch.undo()
    freed(repo, "gc")
    assert repo.python("-c", _READ).out == "3000000\n"
    repo.fsck()


_READ = "import gitflowrun as g; print(len(g.Flow('Big').latest_run.data.x))"


def _start(repo: GitRepo) -> subprocess.Popen[bytes]:
    words = [sys.executable, "big.py", "--quiet", "run"]
    return WarmPopen(words, cwd=repo.path, env=program_environment())


def test_a_snapshot_that_was_taken_before_is_whole_after(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose code was recorded, and which waits for its number, has files that went with the removed one."""
    content = (repo.path / "new").read_bytes()
    oid = str(hash_object(ObjectType.BLOB, content))
    make_run(repo)  # 5
    for run in ("3", "4"):
        repo.call("purge", run)
    unpack(repo)
    whole, repository, snapshots = freeing._Freeing._unlink, open_repo(repo), []

    def record_first(self: freeing._Freeing, *args: Any) -> Any:
        snapshots.append(take_snapshot(repository))
        os.utime(repo.path / ".git/objects" / oid[:2] / oid[2:], (0, 0))  # git has not touched it
        return whole(self, *args)

    monkeypatch.setattr(freeing._Freeing, "_unlink", record_first)
    freed(repo, "purge", "5")
    assert not has(repo, content)
    with create_run(repository, draft(), snapshots[0]) as writer:
        writer.commit([], status=Status.DONE)
    assert f"blob {oid}\tnew" in repo.git("ls-tree", f"{writer.commit_oid}:code")
    repo.git("rev-list", "--objects", "--all")
    repo.git("cat-file", "blob", f"{writer.commit_oid}:code/new")
    repo.fsck()


def test_a_run_whose_code_was_freed_takes_another_snapshot(repo: GitRepo) -> None:
    """The first one relied on a file of a run that was purged before it had its number; the file has changed since."""
    repository = open_repo(repo)
    for run in ("3", "4"):
        snapshot = take_snapshot(repository)
        for path in (repo.path / ".git" / "objects").rglob("*"):
            os.utime(path, (1e9, 1e9))  # it was taken long before
        repo.call("purge", run)
        if run == "3":  # the other run has the file, too
            create_run(repository, draft(), snapshot).close()
            repo.call("purge", "5")
    repo.write("other", "came later\n")
    with create_run(repository, draft(), snapshot) as writer:
        assert writer.snapshot.tree != snapshot.tree
        assert {*writer.snapshot.dirty} == {*snapshot.dirty, "other"}
        for name in ("new", "other"):
            repo.git("cat-file", "blob", f"{writer.commit_oid}:code/{name}")
        assert "other" in writer.info.git["dirty"]
    repo.fsck()


def test_nothing_of_a_purged_run_is_left_in_the_state(repo: GitRepo) -> None:
    """Its live output, its lock and the cards created of it go along; those of other runs stay."""
    state = repo.path / ".git" / "gitflowrun"
    uids: dict[str, str] = {}
    for run in RunStore(open_repo(repo)).summaries():
        LiveState(open_repo(repo), run.uid).start(StartedTask(TaskName("start", "1"), 1.0, (), ()))
        (state / "locks" / f"run-{run.id}").touch()
        (state / "cards" / str(run.uid) / "start").mkdir(parents=True)
        uids[str(run.id)] = str(run.uid)
    freed(repo, "purge", "1")
    left = {path.name for path in state.rglob("*")}
    assert left & {uids["1"], "run-1"} == set()
    assert left >= {*(uids[run] for run in "234"), "run-2", "run-3", "run-4"}


@pytest.mark.parametrize("moment", ["_pack", "_times"])
@pytest.mark.parametrize("option", ["-a", "-A"])
@pytest.mark.sample(1)
def test_the_users_repack_may_take_the_packs_meanwhile(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, option: str, moment: str
) -> None:
    """What it leaves of the run goes, wherever it has put it, and what it has taken is no error."""
    others = reached(repo, "HEAD", *(f"refs/runs/MyFlow/{n}" for n in (2, 3, 4)))
    everything, own = count(repo), reached(repo, "refs/runs/MyFlow/1")
    whole = getattr(Rewrite, moment)

    def repack_first(self: Rewrite, *args: Any) -> Any:
        monkeypatch.setattr(Rewrite, moment, whole)
        repo.git("repack", option, "-d", "-q")
        return whole(self, *args)

    monkeypatch.setattr(Rewrite, moment, repack_first)
    report = freed(repo, "purge", "1")
    assert (report["kept"], report["waits"]) == (0, "")
    assert count(repo) == everything - (own - others)
    assert not freeing.has_unfinished(open_repo(repo))
    repo.fsck()
