"""Runs go to the trash and come back as they were; nobody sees them there, and no fetch brings them here."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gitflowrun.errors import InvalidPathspec, NotFound, RepositoryError
from gitflowrun.git.command import Argument, Process
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from gitflowrun.porcelain.deletion import trash
from gitflowrun.porcelain.deletion.trash import RemovedRun, RemovedRuns, Trash, TrashedRun
from gitflowrun.runs.ids import RunIds
from gitflowrun.runs.locks import FileLock
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.values import replace
from tests.helpers.clones import add_tag, get, ids, refs, send, tags
from tests.helpers.repos import GitRepo, run_program
from tests.helpers.runs import finished_task, make_run, open_repo, start_run
from tests.porcelain.deletion.removing import note, ours, rm

OTHER_STATE = (
    "F/1: running\n\nRun: F/1\nUid: {}\nStatus: running\nTasks: 0\nStarted: 2026-01-01T00:00:00Z\n"
)
"""The message of a state that somebody else made of a run."""


def test_a_run_comes_back_as_it_was(repo: GitRepo) -> None:
    """Its ref, tags, git tags and note go, and are there again after `restore`; the trash is empty then."""
    before = ours(repo)
    uid = str(RunStore(open_repo(repo)).get("MyFlow", "1").identity.uid)
    rm(repo, "1")
    left = {name for name in ours(repo) if not name.startswith("refs/runs-trash/")}
    assert left == {"refs/runs/Other/2"}
    assert note(repo, uid) == ""
    assert len(ours(repo)) == 5
    repo.fsck()
    assert "restored MyFlow/1" in repo.call("restore", "1").out
    assert ours(repo) == before
    assert note(repo, uid) == "a good one"


def test_nobody_sees_what_is_in_the_trash(repo: GitRepo) -> None:
    """Lists, tags and addresses know nothing of it; `list --trash` and `restore` alone list it."""
    rm(repo, "1")
    assert ids(repo).keys() == {"Other/2"}
    assert tags(repo) == {}
    assert repo.call("show", "MyFlow/1").code == 128
    assert "MyFlow" not in repo.call("list").out
    assert repo.call("restore", "--json").out == repo.call("list", "--trash", "--json").out
    assert "a b, best" in repo.call("restore").out
    (row,) = json.loads(repo.call("restore", "--json").out)
    assert (row["flow"], row["id"], row["tags"]) == ("MyFlow", "1", ["a b", "best"])


def test_says_what_leaving_the_trash_frees(repo: GitRepo) -> None:
    """What other runs share does not count."""
    payload = b"only here" * 1000
    make_run(repo, "Big", result=payload)
    make_run(repo, "Big")
    done = json.loads(repo.call("rm", "--json", "3").out)
    assert done["exact"]
    one = done["objects"]
    assert "restore Big/4" in rm(repo, "4")
    assert 5 < one < len(repo.git("rev-list", "--objects", "--all").splitlines())
    # Something is missing somewhere, which keeps no run here.
    repo.write(".git/refs/odd", "1" * 40 + "\n")
    removed = json.loads(repo.call("rm", "--json", "2").out)
    assert (removed["runs"], removed["exact"]) == (["Other/2"], False)


def test_a_number_is_never_given_again(repo: GitRepo) -> None:
    """Neither while its run is in the trash, nor when the mark is lost as well, nor after it has left."""
    rm(repo, "2")
    (repo.path / ".git" / "gitflowrun-mark").unlink()
    reserved = RunIds(open_repo(repo)).reserve()
    reserved.lock.release(remove=True)
    assert reserved.id == "3"
    assert repo.call("gc", "--prune=now").code == 0
    with start_run(repo) as writer:
        assert writer.identity.id == "4"


def test_the_number_of_a_run_from_elsewhere_is_not_given_again(ada: GitRepo, bob: GitRepo) -> None:
    """A run that was fetched or pushed here, and purged before any run was made here: the next one has another id."""
    for _ in range(2):
        make_run(ada)
    send(ada)
    assert get(bob).runs
    (bob.path / ".git" / "gitflowrun-mark").unlink(missing_ok=True)
    assert bob.call("purge", "--force", "1", "2").code == 0
    with start_run(bob) as writer:
        assert writer.identity.id == "3"


@pytest.mark.parametrize("words", [["rm", "--force", "1"], ["restore", "1"]])
def test_a_half_done_removal_loses_nothing(repo: GitRepo, words: list[str]) -> None:
    """Killed between the new refs and the old ones, a run is in both places; either command makes it one."""
    before = ours(repo)
    rm(repo, "1")
    for name, oid in before.items():
        repo.git("update-ref", name, oid)
    assert repo.call(*words).code == 0
    assert ("refs/runs/MyFlow/1" in ours(repo)) is (words[0] == "restore")
    if words[0] == "rm":
        assert repo.call("restore", "1").code == 0
    assert {k: v for k, v in ours(repo).items() if k in before} == before


def test_addresses_in_the_trash(repo: GitRepo) -> None:
    """An id, Flow/id or the beginning of a uid; what is not there or ambiguous says so."""
    rm(repo, "1", "2")
    trash = Trash(open_repo(repo))
    run = trash.find("MyFlow/1")
    assert trash.find("1") == trash.find(str(run.uid)[:9]) == run
    with pytest.raises(NotFound, match="no run '7' in the trash"):
        trash.find("7")
    repo.git("update-ref", "refs/runs-trash/20200101T000000-1/Third/2", f"{run.tip}")
    with pytest.raises(InvalidPathspec, match="ambiguous"):
        trash.find("2")
    assert trash.runs()[-1].when == 1577836800


def test_several_runs_come_back_under_one_name(repo: GitRepo) -> None:
    """Runs of two flows that had one number, as clones bring them: both come back, the later one with its uid."""
    uids = []
    for flow in ("A", "B"):
        run = make_run(repo, flow)
        repo.git("update-ref", f"refs/runs/{flow}/9", f"refs/runs/{flow}/{run.id}")
        repo.git("update-ref", "-d", f"refs/runs/{flow}/{run.id}")
        uids.append(str(run.uid)[:7])
    rm(repo, "A/9", "B/9")
    assert repo.call("restore", "A/9", "B/9").code == 0
    found = {name: uid for name, uid in ids(repo).items() if name[0] in "AB"}
    assert found == {"A/9": uids[0], f"B/9-{uids[1]}": uids[1]}


def test_asks_before_what_may_be_missed(ada: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tagged or pushed run, one that runs, and one that others stem from go only by --force, or after a yes."""
    make_run(ada, tags=["best"])
    send(ada)
    with start_run(ada):
        done = ada.call("rm", "1", "2")
    assert done.code == 128
    assert "MyFlow/1 is tagged best; MyFlow/1 is also on origin; MyFlow/2 is running" in done.err
    assert "rm --force MyFlow/1 MyFlow/2" in done.err
    assert len(ids(ada)) == 2
    for answer, code, left in (("\n", 1, 2), ("y\n", 0, 1)):
        monkeypatch.setattr(sys, "stdin", _Terminal(answer))
        monkeypatch.setattr("gitflowrun.cli.git_runs.remove.removal._is_terminal", lambda: True)
        assert ada.call("rm", "1").code == code
        assert len(ids(ada)) == left


class _Terminal:
    def __init__(self, text: str) -> None:
        self._text = text

    def fileno(self) -> int:
        """What can be read at once."""
        return os.open(os.devnull, os.O_RDONLY)

    def readline(self) -> str:
        """What somebody types."""
        return self._text


def test_what_is_told_of_a_remote_removes_the_run_there(ada: GitRepo, bob: GitRepo) -> None:
    """After `rm` and after `purge`, for the run and its tags: the command that is printed works."""
    make_run(ada, tags=["best"])
    make_run(ada)
    send(ada)
    printed = []
    for words, run in ((("rm", "--force"), "2"), (("purge", "--force"), "1")):
        done = ada.call(*words, run)
        assert done.code == 0, done.err
        printed += re.findall("origin still has (.+): `(.+)`", done.out)
    assert {name for name, _ in printed} == {"MyFlow/1", "MyFlow/2", "@tags/MyFlow/best/1"}
    get(bob)
    assert len(ids(bob)) == 2
    for _, command in printed:
        assert run_program(["sh", "-c", command], ada.path).code == 0
    assert bob.git("ls-remote", "origin", "refs/runs/*") == ""


def test_a_copy_on_a_remote_that_is_gone_from_the_config_is_told(ada: GitRepo) -> None:
    """By what it is, and with what removes it where its URL is known; not by the name of its directory here."""
    make_run(ada)
    send(ada)
    url = ada.git("config", "remote.origin.url")
    ada.git("config", "--remove-section", "remote.origin")
    done = ada.call("rm", "--force", "1")
    assert done.code == 0, done.err
    told = "a remote that is not configured any more still has MyFlow/1: `(.+)` removes it there"
    command = re.findall(told, done.out)[0]
    assert run_program(["sh", "-c", command.replace("URL", url)], ada.path).code == 0
    assert ada.git("ls-remote", url, "refs/runs/*") == ""


def test_asks_before_the_origin_of_others_goes(repo: GitRepo) -> None:
    """A run that another was resumed from."""
    repo.write("f.py", _FAILING)
    assert repo.flow("f.py", "run").code == 1
    repo.write("fine", "")
    assert repo.flow("f.py", "resume", "3").code == 0
    done = repo.call("rm", "3")
    assert "F/3 is the origin of F/4" in done.err


_FAILING = """
import os
from gitflowrun import FlowSpec, step

class F(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        assert os.path.exists("fine")

if __name__ == "__main__":
    F()
"""


def test_a_fetch_does_not_bring_it_back(ada: GitRepo, bob: GitRepo) -> None:
    """Neither from the trash nor after it was purged, unless it is asked for by name; a push deletes nothing there."""
    make_run(ada, tags=["best"])
    make_run(ada)
    send(ada)
    get(bob)
    rm(bob, "1")
    assert "1 removed here, 1 up to date" in bob.call("fetch").out
    assert ids(bob).keys() == {"MyFlow/2"}
    assert bob.call("purge", "1").code == 0
    assert "1 removed here, 1 up to date" in bob.call("fetch", "origin").out
    assert "1 removed here" in bob.call("fetch", "origin").out
    assert [name for name in refs(bob, "refs/runs-remotes/") if name.endswith("/1")] == []
    send(bob)
    send(ada)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("best",)}
    done = bob.call("fetch", "origin", "MyFlow/9")
    assert (done.code, "origin has no run 'MyFlow/9'" in done.err) == (128, True)
    assert bob.call("fetch", "origin", "1").code == 0
    assert ids(bob) == ids(ada)
    assert tags(bob) == tags(ada)
    assert RemovedRuns(open_repo(bob)).read() == []
    tip = bob.git("rev-parse", "refs/runs/MyFlow/1")
    uid = bob.git("rev-list", "--max-parents=0", tip)
    RemovedRuns(open_repo(bob)).add(
        [RemovedRun(uid, tip, "MyFlow/1")]
    )  # as one leaves it that was killed
    assert bob.call("fetch", "origin").code == 0
    assert RemovedRuns(open_repo(bob)).read() == []
    bob.fsck()


def test_a_later_state_stays_away_too(ada: GitRepo, bob: GitRepo) -> None:
    """A run that went on elsewhere after it was removed here, or that comes by another way, is known by its uid."""
    with start_run(ada) as writer:
        send(ada)
        get(bob)
        rm(bob, "1")
        assert bob.call("purge", "1").code == 0
        writer.commit([])
    send(ada)
    get(bob)
    tip = ada.git("rev-parse", "refs/runs/MyFlow/1")
    assert bob.git("cat-file", "--batch-check", stdin=tip.encode()).endswith("missing")
    bob.git("remote", "add", "again", str(ada.path))
    assert "1 removed here" in bob.call("fetch", "again").out
    assert ids(bob) == {}
    assert bob.git("cat-file", "--batch-check", stdin=tip.encode()).endswith("missing")


def test_an_earlier_state_of_a_purged_run_is_not_fetched(ada: GitRepo, bob: GitRepo) -> None:
    """Of which there was no copy here, as a colleague had sent it elsewhere."""
    make_run(ada)
    send(ada)
    get(bob)
    states = ada.git("rev-list", "--first-parent", "refs/runs/MyFlow/1").split()
    two = bob.path.parent / "two"
    bob.git("init", "-q", "--bare", str(two))
    bob.git("remote", "add", "two", str(two))
    for number, state in enumerate(states[1:], 1):
        ada.git("push", "-q", str(two), f"{state}:refs/runs/MyFlow/1-{states[-1][: 7 + number]}")
    assert bob.call("purge", "--force", "1").code == 0
    assert f"{len(states) - 1} removed here" in bob.call("fetch", "two").out
    answers = bob.git("cat-file", "--batch-check", stdin="\n".join(states).encode())
    assert answers.count("missing") == len(states)


def test_a_restored_run_keeps_its_tags_after_a_fetch(ada: GitRepo, bob: GitRepo) -> None:
    """While it was in the trash nobody has removed its tags, here or there."""
    make_run(ada, tags=["best"])
    send(ada)
    get(bob)
    rm(bob, "1")
    add_tag(ada, "1", "late")
    send(ada)
    get(bob)
    send(bob)
    assert bob.call("restore", "1").code == 0
    get(bob)
    send(bob)
    get(ada)
    assert tags(ada) == tags(bob) == {"MyFlow/1": ("best", "late")}


def test_a_run_that_is_in_the_trash_twice_is_purged_as_a_whole(ada: GitRepo) -> None:
    """It was removed, fetched by name and removed again: nothing of it is left anywhere."""
    name = make_run(ada).pathspec
    send(ada)
    rm(ada, name)
    assert ada.call("fetch", "origin", name).code == 0
    rm(ada, name)
    assert len(refs(ada, "refs/runs-trash/")) == 2
    assert ada.call("purge", "--force", name).code == 0
    assert refs(ada, "refs/runs-trash/") == {}


def test_an_older_state_that_a_fetch_brought_does_not_take_the_place_of_a_later_one(
    ada: GitRepo,
) -> None:
    """What a run has done since it was pushed is lost neither in the trash nor when it is restored."""
    with start_run(ada) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"1"})])
        send(ada)
        writer.commit([finished_task(writer.identity, "end/2", {"y": b"2"})], status=Status.DONE)
    name = writer.identity.pathspec
    whole = refs(ada)[f"refs/runs/{name}"]
    rm(ada, name)
    assert ada.call("fetch", "origin", name).code == 0
    assert refs(ada)[f"refs/runs/{name}"] != whole
    assert f"restored {name}" in ada.call("restore", name).out
    assert refs(ada)[f"refs/runs/{name}"] == whole
    assert refs(ada, "refs/runs-trash/") == {}
    rm(ada, name)
    message = OTHER_STATE.format(writer.identity.uid)
    other = ada.git("commit-tree", "HEAD^{tree}", "-p", f"{whole}^", "-m", message)
    ada.git("update-ref", f"refs/runs/{name}", other)
    done = ada.call("restore", name)
    assert (done.code, len(refs(ada, "refs/runs-trash/"))) == (128, 1), done
    ada.git(*shlex.split(done.err.split("`")[1])[1:])
    assert "is here already" in ada.call("restore", name).out
    assert refs(ada)[f"refs/runs/{name}"] == whole


def test_the_list_of_removed_runs_passes_over_other_lines(repo: GitRepo) -> None:
    """What somebody wrote there is no run, and a run that is here is not away."""
    store = RemovedRuns(open_repo(repo))
    line = RemovedRun("1" * 40, "2" * 40, "F/1")
    store.add([line, line])
    with (repo.path / ".git" / "gitflowrun-removed").open("a") as file:
        file.write("strange\n\n")
    assert store.read() == [line]


def test_a_damaged_list_of_removed_runs_is_told(repo: GitRepo) -> None:
    """A uid with a flipped bit: no command goes on as if that run had not been removed."""
    path = repo.path / ".git/gitflowrun-removed"
    path.write_text(f"{'a' * 40} {'b' * 40} F/1\n{'a' * 39}! {'b' * 40} F/2\n")
    with pytest.raises(RepositoryError, match="in its line 2 can't be the uid"):
        RemovedRuns(open_repo(repo)).read()


@pytest.mark.parametrize("durability", ["safe", "fast"])
def test_the_list_of_removed_runs_is_on_the_disk(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """Before the refs of these runs go, unless nobody need wait for the disk."""
    repo.git("config", "runs.durability", durability)
    removed, synced = RemovedRuns(open_repo(repo)), list[list[RemovedRun]]()
    monkeypatch.setattr(
        "gitflowrun.porcelain.deletion.trash.sync_directory",
        lambda _: synced.append(removed.read()),
    )
    line = RemovedRun("1" * 40, "2" * 40, "F/1")
    removed.add([line])
    removed.drop([Oid.from_hex(line.uid)])
    assert synced == ([[line], []] if durability == "safe" else [])


@pytest.mark.parametrize(
    ("lock", "change"),
    [
        ("tags", lambda repo, run, _: Trash(repo).put([run])),
        ("tags", lambda repo, _, gone: Trash(repo).restore([gone])),
        ("ids", lambda repo, _, gone: Trash(repo).restore([gone])),
        ("tags", lambda repo, *_: RemovedRuns(repo).add([RemovedRun("1" * 40, "2" * 40, "F/9")])),
        ("tags", lambda repo, _, gone: RemovedRuns(repo).drop([gone.uid])),
    ],
    ids=["put", "restore", "restore a number", "add", "drop"],
)
def test_what_moves_runs_waits_for_who_chooses_numbers_and_tags(
    repo: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    lock: str,
    change: Callable[[Repository, StoredRun, TrashedRun], object],
) -> None:
    """Or one of both would not see what the other one made."""
    rm(repo, "1")
    opened = open_repo(repo)
    (gone,) = Trash(opened).runs()
    RemovedRuns(opened).add([RemovedRun(str(gone.uid), str(gone.tip), "MyFlow/1")])
    run = RunStore(opened).get("Other", "2")

    def at_once(wanted: FileLock) -> FileLock:
        if not wanted.try_acquire():
            raise RepositoryError(f"{wanted.path.name} is locked")
        return wanted

    monkeypatch.setattr(FileLock, "__enter__", at_once)
    before = ours(repo), RemovedRuns(opened).read()
    held = FileLock(opened.state_dir / "locks" / lock)
    with held, pytest.raises(RepositoryError, match=f"^{lock} is locked$"):
        change(opened, run, gone)
    assert (ours(repo), RemovedRuns(opened).read()) == before
    change(opened, run, gone)
    assert (ours(repo), RemovedRuns(opened).read()) != before


def test_many_runs_take_few_processes(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many for eight runs as for two, with tags and notes: ten thousand can be removed."""
    runs = [make_run(repo, tags=["good"]) for _ in range(10)]
    for run in runs:
        repo.git("notes", "--ref=runs", "add", "-m", "remember", str(run.uid))
    calls: list[object] = []
    start = Process.__init__

    def counted(self: Process, command: Sequence[Argument], **options: Any) -> None:
        calls.append(command)
        start(self, command, **options)

    monkeypatch.setattr(Process, "__init__", counted)
    counts = []
    for some in (runs[:2], runs[2:]):
        calls.clear()
        done = repo.call("rm", "--force", *(run.pathspec for run in some))
        assert done.code == 0, done.err
        counts.append(len(calls))
    assert counts[0] == counts[1]
    assert len(refs(repo, "refs/runs-trash")) == 30


def test_what_is_known_of_a_run_in_the_trash(repo: GitRepo) -> None:
    """All that it was, and when it was removed; what was removed last comes first."""
    opened = open_repo(repo)
    before = {run.pathspec: run for run in RunStore(opened).summaries()}
    begun = time.time()
    rm(repo, "1")
    rm(repo, "2")
    last, first = Trash(opened).runs()
    mine = before["MyFlow/1"]
    assert (last.pathspec, last.tags, last.note) == ("Other/2", (), None)
    assert (first.flow, first.id, first.uid, first.tip) == ("MyFlow", "1", mine.uid, mine.commit)
    assert (first.subject, first.tags) == (mine.subject, ("a b", "best"))
    assert begun - 2 < first.when <= last.when <= time.time() + 1
    there = {name: str(oid) for it in (first, last) for name, oid in it.refs().items()}
    assert there == refs(repo, "refs/runs-trash/")
    assert first.note is not None
    assert replace(first, removed="odd").when == 0


def test_words_for_a_run_in_the_trash(repo: GitRepo) -> None:
    """Four digits of a uid at least, in any case; an empty trash says that it is."""
    trash = Trash(open_repo(repo))
    with pytest.raises(NotFound) as caught:
        trash.find("1")
    assert caught.value.hint == "the trash is empty"
    rm(repo, "1", "2")
    uid = str(trash.find("1").uid)
    assert trash.find(uid[:4]).uid == trash.find(uid[:8].upper()).uid == trash.find(uid).uid
    for word in (uid[:3], "My", "Other/1", f"{uid}0"):
        with pytest.raises(NotFound) as caught:
            trash.find(word)
        assert caught.value.hint == "`git runs restore` lists the trash"
    repo.git("update-ref", "refs/runs-trash/20200101T000000-1/MyFlow/1", str(trash.find("1").tip))
    assert trash.find("1").removed > "2020"
    assert trash.find("1").tags == ("a b", "best")


def test_nothing_is_written_of_no_runs(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of removed runs is made by the first one, and a run is taken off it alone."""
    store = RemovedRuns(open_repo(repo))
    path = repo.path / ".git" / "gitflowrun-removed"
    store.add([])
    store.drop([])
    assert not path.exists()
    one, two = (RemovedRun(digit * 40, "2" * 40, "F/1") for digit in "13")
    store.add([one])
    store.add([two])
    store.drop([Oid.from_hex("1" * 40)])
    assert store.read() == [two]
    states = [RemovedRun("3" * 40, digit * 40, "F/1") for digit in "45"]
    monkeypatch.setattr(trash, "MAX_REMOVED", 2 * 4 * len(str(two)))
    store.add([two], states)
    assert store.read() == [two, *states]
    store.add([one], [RemovedRun("1" * 40, "6" * 40, "F/1")])  # there is no space for all
    assert store.read() == [two, *states, one]
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryError):
        store.add([one])
