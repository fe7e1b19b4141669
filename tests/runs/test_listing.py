from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.command import Argument, Process
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.names import RunId
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup import listing
from gitflowrun.runs.lookup.run_summary import DamagedRun
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import finished_task, make_run, open_repo, start_run, store_of


def test_runs_are_listed_newest_first(repo: GitRepo) -> None:
    """The order is that of the numbers, across flows, also beyond 9."""
    for number in range(11):
        start_run(repo, "AB"[number % 2]).close()
    runs = store_of(repo).summaries()
    assert [run.pathspec for run in runs[:3]] == ["A/11", "B/10", "A/9"]
    assert [run.pathspec for run in store_of(repo).summaries("B")][:2] == ["B/10", "B/8"]
    assert [str(run) for _, run in store_of(repo).names("A")] == ["11", "9", "7", "5", "3", "1"]
    assert store_of(repo).flows() == ["A", "B"]


def test_a_summary_says_what_a_list_shows(repo: GitRepo) -> None:
    """Status, times, tasks, user, tags and code commit come without opening a tree."""
    repo.write("new.txt", "x")
    identity = make_run(repo, tags=["best", "a b"])
    (run,) = store_of(repo).summaries()
    assert (run.flow, run.id, run.uid) == (identity.flow, identity.id, identity.uid)
    assert (run.status, run.state.tasks, run.state.user) == (Status.DONE, 4, "ada")
    assert run.tags == ("a b", "best")
    assert run.subject.startswith("MyFlow/1: done, 4 tasks in ")
    assert str(run.commit) == repo.git("rev-parse", "runs/MyFlow/1")
    assert str(run.state.code_commit) == repo.git("rev-parse", "HEAD")
    assert run.state.dirty
    assert run.state == store_of(repo).get("MyFlow", "1").state


def test_a_run_without_tasks_has_its_uid(repo: GitRepo) -> None:
    """The first commit can't name itself; the list shows it all the same."""
    with start_run(repo) as writer:
        (run,) = store_of(repo).summaries()
        assert run.uid == writer.identity.uid
        assert run.status is Status.RUNNING


def test_a_failed_run_says_where(repo: GitRepo) -> None:
    """The step that failed is in the list."""
    with start_run(repo) as writer:
        tasks = [finished_task(writer.identity, "train/2", ok=False)]
        writer.commit(tasks, status=Status.FAILED)
    (run,) = store_of(repo).summaries()
    assert (run.status, run.state.failed_step, run.state.tasks) == (Status.FAILED, "train", 0)


def test_foreign_refs_are_not_listed(repo: GitRepo) -> None:
    """A ref below refs/runs that holds no run of ours neither shows nor disturbs."""
    make_run(repo)
    repo.git("update-ref", "refs/runs/MyFlow/9", "HEAD")
    repo.git("update-ref", "refs/runs/@index/MyFlow", "HEAD")
    assert [run.pathspec for run in store_of(repo).summaries()] == ["MyFlow/1"]
    head = Oid.from_hex(repo.git("rev-parse", "HEAD"))
    assert listing.list_all(open_repo(repo))[:-1] == [DamagedRun("MyFlow", RunId("9"), head)]


@pytest.mark.parametrize("limit", [0, 1, 3, 7])
@pytest.mark.parametrize("flow", [None, "A"])
@pytest.mark.sample(2)
def test_a_limit_shows_the_newest(repo: GitRepo, flow: str | None, limit: int) -> None:
    """A limited list is the beginning of the whole one, tags included."""
    for number in range(5):
        make_run(repo, "AB"[number % 2], tags=[f"t{number}"])
    store = store_of(repo)
    assert store.summaries(flow, limit) == store.summaries(flow)[:limit]


def test_a_list_is_one_git_command(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, their states and their tags come from one `git for-each-ref`."""
    make_run(repo, tags=["best"])
    opened = open_repo(repo)
    calls: list[object] = []
    run = Process.__init__

    def counted(self: Process, command: Sequence[Argument], **options: Any) -> None:
        if "config" not in command:  # read once by each process
            calls.append(command)
        run(self, command, **options)

    monkeypatch.setattr(Process, "__init__", counted)
    (summary,) = RunStore(opened).summaries()
    assert summary.tags == ("best",)
    assert len(calls) == 1


def test_listing_loads_no_pygit2(repo: GitRepo) -> None:
    """Whoever only lists does not pay for libgit2, msgpack or blake3."""
    make_run(repo)
    code = (
        "import sys\n"
        "from gitflowrun.git.repository import Repository\n"
        "from gitflowrun.runs.runs import RunStore\n"
        "assert len(RunStore(Repository.discover()).summaries()) == 1\n"
        "print([name for name in ('pygit2', 'numpy', 'click') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repo.path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_users_trailer_settings_change_nothing(repo: GitRepo) -> None:
    """A user's own idea of trailers does not hide the status of runs."""
    make_run(repo)
    repo.git("config", "trailer.separators", "=")
    assert [run.status for run in store_of(repo).summaries()] == [Status.DONE]


def test_an_empty_repository_has_no_runs(repo: GitRepo) -> None:
    """Before the first run there is nothing to list, and no error."""
    store = store_of(repo)
    assert store.summaries() == store.summaries("X") == store.summaries(limit=5) == []
    assert store.flows() == []
    assert Tags(store.repo).all() == {}


def test_a_damaged_ref_hides_only_itself(repo: GitRepo) -> None:
    """A ref to a missing object keeps nobody from seeing the other runs; asked for, it is a clear error."""
    make_run(repo)
    (repo.path / ".git/refs/runs/MyFlow/2").write_text("01" * 20 + "\n")
    assert [run.pathspec for run in store_of(repo).summaries()] == ["MyFlow/1"]
    with pytest.raises(CorruptRecord, match="missing"):
        _ = store_of(repo).get("MyFlow", "2").identity


def test_a_damaged_commit_hides_only_itself(repo: GitRepo) -> None:
    """Git refuses to list anything at all then; asked for, it is a clear error."""
    make_run(repo)
    make_run(repo)
    commit = repo.git("rev-parse", "refs/runs/MyFlow/2")
    content = repo.git("cat-file", "commit", commit)
    repo.git("update-ref", "refs/runs/MyFlow/2", repo.git("rev-parse", "HEAD"))
    repo.git("-c", "gc.reflogExpire=now", "repack", "-adq")
    loose = repo.path / ".git/objects" / commit[:2] / commit[2:]
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(
        zlib.compress(f"commit {len(content)}\0{content}".encode())[:-9] + b"damaged!!"
    )
    repo.write(".git/refs/runs/MyFlow/2", commit + "\n")
    assert [run.pathspec for run in store_of(repo).summaries()] == ["MyFlow/1"]
    with pytest.raises(CorruptRecord, match=f"MyFlow/2: object {commit}"):
        _ = store_of(repo).get("MyFlow", "2").identity


def test_namesakes_stand_in_the_order_of_their_times(repo: GitRepo) -> None:
    """A run of another clone stands beside the run whose number it shares: above it only if it started later."""
    make_run(repo)
    make_run(repo)
    for suffix, year in (("3fa29c1", "2001"), ("4fa29c1", "2002"), ("5fa29c1", "2099")):
        _fetched(repo, f"1-{suffix}", year)
    expected = ["2", "1", "1-4fa29c1", "1-3fa29c1", "1-5fa29c1"]
    assert [str(run) for _, run in store_of(repo).names()] == expected
    assert [str(run.id) for run in store_of(repo).summaries()] == expected
    assert [str(store_of(repo).find(f"@{{-{n}}}").id) for n in (1, 2, 3, 4)] == expected[1:]


@pytest.mark.parametrize("number", ["7", "999999999999"])
def test_runs_of_several_clones_stand_in_the_order_of_their_times(
    repo: GitRepo, number: str
) -> None:
    """Where runs were exchanged, the newest is the one that started last, whatever its number; everywhere alike.

    So it is where git itself has fetched a run whose number is too high to be ours.
    """
    for _ in range(3):
        make_run(repo)
    _fetched(repo, number, "2001")
    if number == "7":
        repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/7", "refs/runs/MyFlow/7")
    expected = ["3", "2", "1", number]
    store = store_of(repo)
    assert [str(run) for _, run in store.names()] == expected
    assert [str(run.id) for run in store.summaries()] == expected
    assert [str(run.id) for run in store.summaries(limit=2)] == expected[:2]
    latest = store.latest("MyFlow")
    assert latest
    assert str(latest.id) == "3"
    assert [str(store.find(f"@{{-{n}}}").id) for n in (1, 2, 3)] == expected[1:]
    assert repo.call("show").out.startswith("run MyFlow/3")


def test_a_run_from_the_future_is_not_the_newest(repo: GitRepo) -> None:
    """Whoever dates a run ahead is neither `@latest` till then, nor keeps one's own runs out of short lists."""
    make_run(repo)
    for number in ("7", "8"):
        _fetched(repo, number, "2099")
    repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/7", "refs/runs/MyFlow/7")
    store = store_of(repo)
    assert str(store.find("@latest").id) == "1"
    assert [str(run.id) for run in store.summaries(limit=1)] == ["1"]
    assert [str(run) for _, run in store.names()] == ["1", "8", "7"]


@pytest.mark.parametrize("few", [0, 100])
@pytest.mark.parametrize("year", ["", "1969"])
def test_a_run_without_a_time_is_the_oldest(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, year: str, few: int
) -> None:
    """What its message says is no time, or its commit can't be read: it is listed all the same."""
    monkeypatch.setattr(listing, "_FEW", few)
    make_run(repo)
    _fetched(repo, "7", year)
    _fetched(repo, "8", "2001")
    _fetched(repo, "9", "2002")
    repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/7", "refs/runs/MyFlow/7")
    lost = repo.git("rev-parse", "refs/runs/MyFlow/9")
    (repo.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    assert [str(run) for _, run in store_of(repo).names()] == ["1", "8", "9", "7"]


def test_start_times_are_read_once_and_whatever_their_cache_holds_changes_nothing(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order by time is that of the messages where the cache is missing, stale, damaged, a pipe or not writable."""
    monkeypatch.setattr(listing, "_FEW", 1)
    for _ in range(3):
        make_run(repo)
    _fetched(repo, "7", "2001")
    repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/7", "refs/runs/MyFlow/7")
    cache = Path(repo.git("rev-parse", "--absolute-git-dir")) / "gitflowrun" / "started"

    def order() -> list[str]:
        return [str(run) for _, run in store_of(repo).names()]

    assert order() == ["3", "2", "1", "7"]
    read, rows = list[str](), Refs.rows
    with monkeypatch.context() as patched:

        def noted(refs: Refs, *prefixes: str, **options: Any) -> list[tuple[str, ...]]:
            read.extend(options.get("fields", ()))
            return rows(refs, *prefixes, **options)

        patched.setattr(Refs, "rows", noted)
        repo.git("update-ref", "refs/runs/@tags/MyFlow/a/1", "HEAD")
        assert order() == ["3", "2", "1", "7"]
        assert read == []
    whole = cache.read_bytes()
    assert whole.count(b"\n") == 4
    _fetched(repo, "8", "2002")
    assert order() == ["3", "2", "1", "8", "7"]
    for damaged in (b"", b"\xff\n", b"x\n", whole[:50], whole * 2, b"a b c\n"):
        cache.write_bytes(damaged)
        assert order() == ["3", "2", "1", "8", "7"]
    most = cache.stat().st_size
    cache.unlink()
    for size, is_written in ((most - 1, False), (most, True)):  # what is larger is not written
        with monkeypatch.context() as patched:
            patched.setattr(listing, "MAX_START_TIMES", size)
            assert order() == ["3", "2", "1", "8", "7"]
            assert cache.exists() is is_written
    cache.unlink()
    os.mkfifo(cache)
    assert order() == ["3", "2", "1", "8", "7"]
    shutil.rmtree(cache.parent)
    cache.parent.write_text("in the way")
    assert order() == ["3", "2", "1", "8", "7"]


def test_high_numbers_of_ones_own_stand_in_their_order(repo: GitRepo) -> None:
    """Where nothing was exchanged, and a clone has counted so far, times say nothing."""
    (repo.path / ".git" / "gitflowrun-mark").write_text("3000000 none\n")
    make_run(repo)
    repo.git("update-ref", "refs/runs/MyFlow/1", "refs/runs/MyFlow/3000001")
    _fetched(repo, "3000002", "2001")
    repo.git("update-ref", "-d", "refs/runs/MyFlow/1")
    assert [str(run) for _, run in store_of(repo).names()] == ["3000002", "3000001"]


@pytest.fixture
def damaged(repo: GitRepo) -> GitRepo:
    """A/1, which is whole, A/2, whose commit is gone, with a tag, and B/3, whose ref holds nothing."""
    make_run(repo, "A", tags=["good"])
    repo.write(".git/refs/runs/A/2", "01" * 20 + "\n")
    repo.write(".git/refs/runs/B/3", "")
    repo.git("update-ref", "refs/runs/@tags/A/best/2", "HEAD")
    return repo


@pytest.mark.parametrize("limit", [None, 10])
def test_damaged_runs_have_their_places(damaged: GitRepo, limit: int | None) -> None:
    """With what is known of them: the commit, if the ref says it, and all tags that bear the name."""
    opened = open_repo(damaged)
    third, second, first = listing.list_all(opened, limit=limit)
    lost = Oid.from_hex("01" * 20)
    assert second == DamagedRun("A", RunId("2"), lost, ("best",))
    assert third == DamagedRun("B", RunId("3"), None, ())
    assert (third.pathspec, third.status) == ("B/3", Status.DAMAGED)
    assert (first.pathspec, first.tags, first.status) == ("A/1", ("good",), Status.DONE)
    assert [run.pathspec for run in listing.list_all(opened, "A", limit)] == ["A/2", "A/1"]
    assert [run.pathspec for run in listing.list_runs(opened, None, limit)] == ["A/1"]
    assert listing.damaged_runs(opened) == ["A/2", "B/3"]
    assert len(listing.list_all(opened, limit=2)) == 2
    assert listing.run_names(opened, "A") == [("A", RunId("2")), ("A", RunId("1"))]
    for ref in ("B/2", "A/10"):
        damaged.write(f".git/refs/runs/{ref}", "")
    opened = open_repo(damaged)
    listing.list_all(opened)
    assert listing.damaged_runs(opened) == ["A/2", "B/2", "B/3", "A/10"]


def test_uids_are_those_that_messages_say(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for; of what is no run there is none."""
    first, second = make_run(repo), make_run(repo)
    repo.git("update-ref", "refs/runs/MyFlow/9", "HEAD")
    names = [("MyFlow", RunId(n)) for n in ("1", "9")]
    assert listing.uids_of(open_repo(repo), names) == {names[0]: first.uid}
    monkeypatch.setattr(listing, "_FEW", 1)
    assert listing.uids_of(open_repo(repo), names) == {names[0]: first.uid}
    assert listing.uids_of(open_repo(repo), []) == {}
    assert second.uid not in listing.uids_of(open_repo(repo), names).values()


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "A/0 is damaged; `git runs show A/0`"),
        (2, "A/0, A/1 are damaged; "),
        (8, "A/6, A/7 are damaged; "),
        (9, "A/6, A/7 and 1 more are damaged; "),
    ],
)
def test_what_is_said_of_damaged_runs(count: int, words: str) -> None:
    """Some are named, and what to do about the first."""
    said = listing.told_damaged([f"A/{n}" for n in range(count)])
    assert words in said
    assert "git fetch --refetch REMOTE refs/runs/A/0`" in said
    assert "is gone; " in listing.told_damaged(["A/1"], "gone")


def test_a_flow_without_runs_says_which_have_some() -> None:
    """The nearest name, or some, or how to list all."""
    assert listing.no_runs_of("X", []).hint == "`git runs` lists all runs"
    assert listing.no_runs_of("X", "CBA").hint == "flows with runs: A, B, C"
    assert listing.no_runs_of("Trian", ["Train"]).hint == "did you mean Train?"


def _fetched(repo: GitRepo, run: str, year: str) -> None:
    """A run like run 1 that started in another year."""
    message = repo.git("show", "--no-patch", "--format=%B", "refs/runs/MyFlow/1")
    message = re.sub(r"Started: \d{4}", f"Started: {year}", message)
    tree = repo.git("rev-parse", "refs/runs/MyFlow/1^{tree}")
    commit = repo.git("commit-tree", tree, "-m", message)
    repo.git("update-ref", f"refs/runs/MyFlow/{run}", commit)
