"""What pushes and fetches are made of, with remotes that are tables of refs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.errors import MissingObject, RefConflict, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import PushResult
from gitflowrun.names import RunId
from gitflowrun.porcelain.transfer import push, sync
from gitflowrun.porcelain.transfer.sync import (
    Loss,
    Outcome,
    RemoteView,
    RunTip,
    SyncedRun,
    TagKey,
    Tracking,
    Transfer,
    free_id,
    free_ids,
    names_of,
    some,
    tags_of,
)
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo

UID, OTHER = Oid.from_hex("ab12cd3" + "4" * 33), Oid(b"o" * 20)
LABEL = "0123456789abcdef"

BAD = "upload-pack: not our ref 4b825dc"
"""What git says where a remote lacks something of a run."""


def tip(name: str, oid: Oid = UID) -> RunTip:
    """`Flow/id` at a commit."""
    flow, _, run = name.partition("/")
    return RunTip(flow, RunId(run), oid)


def view(*names: str, oid: Oid = UID) -> RemoteView:
    """A remote with these refs below refs/runs, all at one commit."""
    return RemoteView({f"refs/runs/{name}": str(oid) for name in names})


def test_runs_of_a_remote_are_in_the_order_of_their_numbers() -> None:
    """Then of their flows; what is no run's, or known, is left out."""
    there = view("B/10", "A/10", "A/9", "A/1-ab12cd3", "A/x", "@tags/A/t/1", "A/b/3", "a b/4")
    assert [f"{run.flow}/{run.id}" for run in there.runs({"refs/runs/A/9"})] == [
        "A/1-ab12cd3", "A/10", "B/10",
    ]  # fmt: skip
    assert there.first(["refs/runs/A/x", "refs/runs/A/9", "refs/runs/A/10"]) == tip("A/9")
    assert there.first(["refs/runs/A/x"]) is None
    bad = RemoteView({"refs/runs/A/1": "no id"})
    assert bad.runs(()) == []


def test_branches_are_apart_from_runs() -> None:
    """They are asked for where secrets are looked for."""
    rows = {"refs/runs/A/1": str(UID), "refs/heads/main": str(OTHER)}
    asked: list[tuple[str, ...]] = []

    def refs(*patterns: str) -> dict[str, str]:
        asked.append(patterns)
        return rows if len(patterns) > 1 else {"refs/runs/A/1": str(UID)}

    remote = cast("Any", SimpleNamespace(refs=refs))
    both, runs = RemoteView.with_branches(remote), RemoteView.of(remote)
    assert both.refs == runs.refs == {"refs/runs/A/1": str(UID)}
    assert (both.branches, runs.branches) == (frozenset({str(OTHER)}), frozenset())
    assert asked == [("refs/runs/*", "refs/heads/*"), ("refs/runs/*",)]


def test_crowds_are_more_refs_than_a_run_has_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one commit, which are called as runs are; known ones are not counted."""
    monkeypatch.setattr(sync, "MAX_NAMESAKES", 2)
    there = view("A/1", "A/2", "A/3", "A/x", "@tags/A/t/1")
    names = [f"refs/runs/A/{n}" for n in (1, 2, 3)]
    assert there.crowds(()) == {str(UID): names}
    assert there.crowds({names[0]}) == {}


@pytest.mark.parametrize("most", [1, 100])
def test_namesakes_may_be_the_run(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """They have its flow and number, and no other uid in their name; however many there are."""
    monkeypatch.setattr(sync, "MAX_NAMESAKES", most)
    there = view("A/1", "A/1-ab12cd3", "A/1-ab12cd34", "A/1-9999999", "B/1", "A/11", "A/1-x")
    found = there.namesakes(tip("A/1"), UID)
    assert sorted(run.id for run in found) == ["1", "1-ab12cd3", "1-ab12cd34"]
    assert there.namesakes(tip("A/7"), UID) == []


def test_ids_are_given_once() -> None:
    """Its own, or the number with as much of its uid as it takes; numbers are those of all flows."""
    there = view("B/1", "A/1-ab12cd3", "A/2/below")
    run = tip("A/1")
    assert there.give_id(run, UID) == "1-ab12cd34"
    assert there.give_id(run, UID) == "1-ab12cd344"
    assert there.give_id(tip("A/5"), UID) == "5"
    assert there.give_id(tip("A/5"), UID) == "5-ab12cd3"
    assert there.give_id(tip("A/2"), UID) == "2-ab12cd3"
    assert there.give_id(tip("A/6"), UID, ["refs/runs/A/6"]) == "6-ab12cd3"
    everywhere = names_of("A", 7, UID)
    assert there.give_id(tip("A/7"), UID, everywhere) is None
    assert view("A/1-x").give_id(tip("A/1"), UID) == "1"


def test_what_is_in_the_way_of_a_ref() -> None:
    """The same, one above it, or one below it; not what only begins so."""
    there = view("A/1", "A/2/x/y", "B")
    for ref, found in (
        ("A/1", "A/1"), ("A/1/x", "A/1"), ("A/2", "A/2/x/y"), ("A/2/x", "A/2/x/y"), ("B/3", "B"),
        ("A/10", None), ("A/3", None), ("BB/1", None), ("A/2/z", None),
    ):  # fmt: skip
        expected = None if found is None else f"refs/runs/{found}"
        assert (ref, there.in_the_way(f"refs/runs/{ref}")) == (ref, expected)
    assert "refs/runs/A" not in there._places_below or there.in_the_way("refs/runs/A") is not None


def test_ids_that_are_free() -> None:
    """With the whole uid no other run can have it."""
    ids = [*free_ids(RunId("7-1234567"), UID, {"7-1234567", "7-ab12cd3"})]
    assert (ids[0], ids[-1], len(ids)) == ("7-ab12cd34", f"7-{UID}", 33)
    assert free_id(RunId("7"), UID, ()) == "7"
    assert (
        free_id(RunId("7"), UID, [RunId(it) for it in [*free_ids(RunId("7"), UID, ())]])
        == f"7-{UID}"
    )
    assert len(names_of("A", 7, UID)) == 35


def test_tags_are_those_that_we_would_write() -> None:
    """Others among the refs are passed over."""
    ref = TagKey("A", "a b", UID).ref(RunId("1"))
    rows = [
        (ref, str(UID)),
        ("refs/runs/A/1", str(UID)),
        ("refs/runs/@tags/A/best/2", "no id"),
        ("refs/runs/@tags/A/%61/1", str(UID)),
        ("refs/runs/@tags/A/1", str(UID)),
    ]
    assert tags_of(rows) == {TagKey("A", "a b", UID): RunId("1")}


@pytest.mark.parametrize(
    ("count", "of", "last"),
    [
        (0, None, None),
        (2, None, "n1"),
        (3, None, "1 more are"),
        (2, 2, "n1"),
        (2, 12, "10 more are"),
    ],
)
def test_of_many_notices_some_are_told(
    monkeypatch: pytest.MonkeyPatch, count: int, of: int | None, last: str | None
) -> None:
    """And of how many more there is the same to say."""
    monkeypatch.setattr(sync, "MAX_NOTICES", 2)
    told = some([f"n{n}" for n in range(count)], "are", of)
    assert (told[-1] if told else None) == last
    assert told[:2] == [f"n{n}" for n in range(min(count, 2))]


class Refs:
    """Refs as a table; who has noted something meanwhile is met so often."""

    def __init__(self, conflicts: int = 0, refs: Mapping[str, str] | None = None) -> None:
        self.refs = dict(refs or {})
        self.conflicts = conflicts
        self.moves: list[list[RefUpdate]] = []

    def below(self, prefix: str) -> dict[str, str]:
        """Those that begin so."""
        return {name: oid for name, oid in self.refs.items() if name.startswith(prefix)}

    def many(self, names: Collection[str]) -> dict[str, Oid | None]:
        """What they hold."""
        return {it: Oid.from_hex(self.refs[it]) if it in self.refs else None for it in names}

    def transaction(self, updates: Sequence[RefUpdate]) -> None:
        """Move them."""
        if updates and self.conflicts:
            self.conflicts -= 1
            raise RefConflict("somebody else was faster")
        self.moves.append([*updates])
        for update in updates:
            now = self.refs.get(update.name)
            assert now == (str(update.old) if update.old else None)
            if update.new:
                self.refs[update.name] = str(update.new)
            else:
                del self.refs[update.name]


def tracking(refs: Refs) -> Tracking:
    """The copies of a remote."""
    return Tracking(cast("Any", refs), cast("Any", SimpleNamespace(label=LABEL)))


COPY = f"refs/runs-remotes/{LABEL}/A/"


@pytest.mark.parametrize("conflicts", [0, 1])
def test_copies_are_noted_as_they_changed(conflicts: int) -> None:
    """New ones, others, those that are gone; what is as it was is left alone."""
    refs = Refs(conflicts, {f"{COPY}{n}": str(UID) for n in (1, 2, 3)})
    copies = tracking(refs)
    assert copies.seen == {f"refs/runs/A/{n}": str(UID) for n in (1, 2, 3)}
    names = [f"refs/runs/A/{n}" for n in range(1, 6)]
    copies.note(dict(zip(names, (UID, OTHER, None, OTHER, None), strict=True)))
    expected = {f"{COPY}1": str(UID), f"{COPY}2": str(OTHER), f"{COPY}4": str(OTHER)}
    assert refs.refs == expected
    assert copies.seen == tracking(refs).seen
    assert [[it.name[-1] for it in part] for part in refs.moves] == [["4"], ["2", "3"]]


def test_who_is_never_fast_enough_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries."""
    monkeypatch.setattr(sync, "NOTE_ATTEMPTS", 2)
    refs = Refs(2)
    with pytest.raises(RefConflict):
        tracking(refs).note({"refs/runs/A/1": UID})
    assert refs.refs == {}
    tracking(refs).note({"refs/runs/A/1": UID})
    assert refs.refs == {f"{COPY}1": str(UID)}


class Server:
    """A remote from which some runs can't be had; what is asked for is noted."""

    label, title = LABEL, "origin"

    def __init__(self, **wrong: str) -> None:
        self.wrong = wrong
        self.asked: list[list[str]] = []
        self.words: list[str] = []
        self.lost_once = 0
        self.is_away = False
        self.looks = 0

    def fetch(self, tips: Sequence[str]) -> list[str]:
        """The packs of some commits."""
        self.asked.append([it[0] for it in tips])
        if self.lost_once:
            self.lost_once -= 1
            raise MissingObject("it was taken by a gc")
        for it in tips:
            if it[0] in self.wrong:
                raise RepositoryError(self.wrong[it[0]])
        return ["a.pack"]

    def refs(self, *_: str) -> dict[str, str]:
        """It can be reached, or can't."""
        self.looks += 1
        if self.is_away:
            raise RepositoryError("no route to host")
        return {}


def transfer(repo: GitRepo, server: Server) -> Transfer:
    """A transfer from such a remote, in which nothing is noted."""
    found = Transfer(open_repo(repo), cast("Any", server))
    found.tracking = tracking(Refs())
    return found


def runs_of(digits: str) -> list[RunTip]:
    """Runs whose commits begin so."""
    return [tip(f"A/{n}", Oid.from_hex(digit * 40)) for n, digit in enumerate(digits, 1)]


def test_what_can_not_be_had_is_found_by_halves(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are; whose fault it is is what git's words tell."""
    monkeypatch.setattr(sync, "REFS_A_FETCH", 4)
    server = Server(c="fsck error in it", e="not found")
    runs = runs_of("abcde")
    found = transfer(repo, server)
    lost = found.fetch_copies(runs)
    assert lost == {
        runs[2]: Loss("fsck error in it", for_good=True),
        runs[4]: Loss("not found", for_good=False),
    }
    assert server.asked == [["a", "b", "c", "d"], ["a", "b"], ["c"], ["d"], ["e"]]
    assert (
        server.looks == 2
    )  # at the first refusal, and where git's words may be those of a network
    assert set(found.tracking.seen) == {run.ref for run in runs if run not in lost}
    (repo.path / ".git/gitflowrun/lost").unlink()
    server = Server(**dict.fromkeys("abcd", "not our ref"))
    assert len(transfer(repo, server).fetch_copies(runs)) == 4
    assert server.asked == [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b"], ["c"], ["d"], ["e"]]
    assert server.looks == 1


def test_a_remote_that_can_not_be_reached_is_no_fault_of_its_runs(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever git said of the fetch, the command ends; packs that came are released once they are noted."""
    server = Server(b="the other end hung up")
    found = transfer(repo, server)
    released: list[str] = []
    monkeypatch.setattr(found.repo.packs, "release", released.extend)
    assert len(found.fetch_copies(runs_of("ab"))) == 1
    assert released == ["a.pack"]
    server.is_away = True
    with pytest.raises(RepositoryError, match="no route to host"):
        found.fetch_copies(runs_of("cb"))


def test_what_a_gc_took_is_fetched_again(repo: GitRepo) -> None:
    """At once, and only once."""
    server = Server()
    server.lost_once = 1
    assert transfer(repo, server).fetch_copies(runs_of("ab")) == {}
    assert server.asked == [["a", "b"]] * 2


def test_what_could_not_be_had_before_is_asked_for_last(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turns, until a few can't be had again; who is asked for by name is not; our own faults are not noted."""
    monkeypatch.setattr(sync, "LOST_AGAIN", 1)
    wrong = dict.fromkeys("abc", BAD)
    runs = runs_of("abcd")
    first = transfer(repo, Server(**wrong))
    assert first.fetch_copies(runs) == {run: Loss(BAD, for_good=False) for run in runs[:3]}
    server = Server(**wrong)
    lost = transfer(repo, server).fetch_copies(runs)
    assert server.asked == [["d"], ["a"]]
    later = Loss("it could not be had before, and was not asked for again", for_good=False)
    assert lost == {runs[0]: Loss(BAD, for_good=False), runs[1]: later, runs[2]: later}
    server = Server(**{**wrong, "b": "error: No space left on device"})
    lost = transfer(repo, server).fetch_copies(runs, {runs[2].ref})
    assert server.asked == [["c", "d"], ["c"], ["d"], ["b"]]
    assert lost[runs[1]] == Loss("error: No space left on device", for_good=False)
    server = Server()
    assert transfer(repo, server).fetch_copies(runs) == {}
    assert server.asked == [["d"], ["b"], ["a"], ["c"]]


def test_what_was_lost_before_is_not_asked_for_where_much_is_lost_now(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as what it was: for good where what came was malformed, and only there."""
    runs, wrong = runs_of("ab"), dict.fromkeys("ab", BAD)
    transfer(repo, Server(**wrong)).fetch_copies(runs[:1])
    monkeypatch.setattr(sync, "LOST_A_FETCH", 1)
    server = Server(**wrong)
    lost = transfer(repo, server).fetch_copies(runs)
    assert server.asked == [["b"]]
    later = "it could not be had before, and was not asked for again"
    assert lost == {runs[1]: Loss(BAD, for_good=False), runs[0]: Loss(later, for_good=False)}
    found = transfer(repo, Server())
    found._note_lost({str(run.tip): run == runs[1] for run in runs})
    monkeypatch.setattr(sync, "LOST_A_FETCH", 0)
    lost = found.fetch_copies(runs)
    assert lost == {run: Loss(later, for_good=run == runs[1]) for run in runs}


@pytest.mark.parametrize(
    "why",
    [
        "early EOF",
        "read error: Connection reset by peer",
        "invalid index-pack output",
        "error: pack-objects died of signal 9\nfatal: possible repository corruption on the remote side.",
        "remote: fatal: Out of memory, malloc failed\nfatal: possible corruption on the remote side.",
        "remote: unable to create thread: Resource temporarily unavailable\non the remote side.",
        "upload-pack: aborting due to possible repository corruption on the remote side.",
        "error: pack-objects died with error",
        "did not receive expected object 4b825dc",
    ],
)
def test_a_line_that_breaks_is_no_fault_of_a_run(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Nor is a server that fails, however often: the run is refused each time, and never said to be no run."""
    for _ in range(3):
        found = transfer(repo, Server(a=why))
        lost = found.fetch_copies(runs_of("a"))
        assert list(lost.values()) == [Loss(why, for_good=False)]
        assert not found.is_theirs(*lost.values())
    monkeypatch.setattr(sync, "LOST_A_FETCH", 0)
    assert not any(
        it.for_good for it in transfer(repo, Server()).fetch_copies(runs_of("a")).values()
    )


def test_names_that_no_run_has_are_nobodys() -> None:
    """What stands below `refs/runs` on a remote may be called anything."""
    names: tuple[str, ...] = ("F/1", "1F/2", "a b/3", "F~/4", "F/05", "../6", "F/7.lock", "F/8-xyz")
    names += ("F" * 300 + "/5", "Re\N{COMBINING ACUTE ACCENT}sume/6")
    view = RemoteView({f"refs/runs/{name}": "1" * 40 for name in names} | {"refs/runs/F/9": "no"})
    assert [f"{run.flow}/{run.id}" for run in view.runs(())] == ["F/1"]


def test_a_remote_of_which_much_is_lost_is_not_asked_on(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are enough; the others are told as not tried."""
    monkeypatch.setattr(sync, "LOST_A_FETCH", 2)
    monkeypatch.setattr(sync, "LOST_KEPT", 1)
    monkeypatch.setattr(sync, "REFS_A_FETCH", 1)
    runs = runs_of("abcd")
    server = Server(**dict.fromkeys("abcd", BAD))
    found = transfer(repo, server)
    lost = found.fetch_copies(runs)
    assert [loss.reason for loss in lost.values()][:2] == [BAD, BAD]
    assert {lost[run].reason.partition(",")[0] for run in runs[2:]} == {"not tried"}
    assert not any(loss.for_good for loss in lost.values())
    assert server.asked == [["a"], ["b"]]
    assert found._read_lost() == {"b" * 40: False}


def test_a_report_has_what_was_done(repo: GitRepo) -> None:
    """Runs in the order of their numbers."""
    server = Server()
    server.words = ["hook: hi"]
    found = transfer(repo, server)
    found.done = [
        SyncedRun(flow, RunId(run), RunId(target), UID, outcome)
        for flow, run, target, outcome in (
            ("B", "10", "10", Outcome.NEW), ("A", "10", "10-ab12cd3", Outcome.UPDATED), ("A", "9", "9", Outcome.NEW),
        )
    ]  # fmt: skip
    found.up_to_date, found.trusted = {"refs/runs/A/1"}, 3
    report = found.report(1, 2, ["note"])
    assert [f"{run.flow}/{run.source}" for run in report.runs] == ["A/9", "A/10", "B/10"]
    assert [run.renamed for run in report.runs] == [False, True, False]
    assert (report.tags_added, report.tags_removed, report.trusted) == (1, 2, 3)
    assert (report.notices, report.words, {*report.up_to_date}) == (
        ("note",),
        ("hook: hi",),
        {"A/1"},
    )
    assert report.with_outcome(Outcome.UPDATED, Outcome.KEPT) == (report.runs[1],)
    assert not SyncedRun("A", RunId("1"), None, None, Outcome.REFUSED).renamed


def test_tags_of_runs_that_a_remote_lost_are_common_ground_no_more(repo: GitRepo) -> None:
    """Of one that has all that was seen there, nothing is forgotten: what is gone was removed."""
    key = TagKey("A", "best", UID)
    names = ["refs/runs/A/1", key.ref(RunId("1")), TagKey("A", "old", UID).ref(RunId("1"))]
    for there, left in ((names[:2], 3), (names[1:2], 2), ([], 1)):
        found = transfer(repo, Server())
        found.tracking = tracking(
            Refs(0, {f"refs/runs-remotes/{LABEL}{it[9:]}": str(UID) for it in names})
        )
        found.forget_lost_tags(RemoteView(dict.fromkeys(there, str(UID))))
        assert (there, len(found.tracking.seen)) == (there, left)


def test_what_is_said_of_what_was_not_sent() -> None:
    """The command that sends it; what removes what is in the way; who was faster."""
    remote = cast("Any", SimpleNamespace(title="origin", name="origin"))
    one, two = tip("A/1"), tip("A/2")
    said = push._told_left([one], remote)
    assert said == "A/1, which was not made here, was not sent; `git runs push origin A/1` sends it"
    assert push._told_left([one, two], remote).startswith("2 runs that were not made here")
    assert push._told_taken(view(), one, remote) == "all its names are taken there"
    taken = push._told_taken(view("A/1/x"), one, remote)
    assert "`git push origin :refs/runs/A/1/x` removes that" in taken
    assert push._told_squat("refs/x", "refs/y", remote).startswith(
        "tag ref refs/x was not sent: the remote has"
    )
    faster, busy = "somebody else changed it each time", "a: Unable to create 'b.lock': File exists"
    for stale, is_as_seen, reason, words in (
        (True, False, "no", f"{faster} (no)"),
        (True, True, "no", "no"),
        (False, False, "no", "no"),
        (True, True, "stale info", "the remote does not take it, though nobody has changed it (stale info)"),
        (True, True, busy, f"{busy}; if no git is at work there, remove that file"),
    ):  # fmt: skip
        result = cast("PushResult", SimpleNamespace(name="refs/x", stale=stale, reason=reason))
        told = push._tag_notice(result, is_as_seen=is_as_seen)
        assert told == f"tag ref refs/x was not sent: {words}"


def test_places_that_can_not_be_reached_are_told_together() -> None:
    """With those that got the runs; one alone is told as it is."""
    errors = [RepositoryError("a is gone", hint="look"), RepositoryError("b is gone")]
    report = cast("Any", SimpleNamespace(remote="c"))
    assert push._some_failed(errors[:1], []) is errors[0]
    both, some_got = push._some_failed(errors, []), push._some_failed(errors[:1], [report])
    assert (both.message, both.hint) == ("a is gone; b is gone", "look")
    assert some_got.message == "a is gone; c got the runs"


def test_what_could_not_be_had_is_remembered_where_that_can_be_written(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of it; whatever stands there instead, the fetch goes on."""
    transfer = Transfer(open_repo(repo), cast("Any", SimpleNamespace(label=LABEL)))
    monkeypatch.setattr(sync, "LOST_KEPT", 2)
    assert transfer._read_lost() == {}
    transfer._note_lost({"1" * 40: True, "2" * 40: False, "3" * 40: True})
    assert transfer._read_lost() == {"2" * 40: False, "3" * 40: True}
    file = transfer.repo.state_dir / "lost"
    file.unlink()
    file.mkdir()
    transfer._note_lost({"4" * 40: True})
    assert transfer._read_lost() == {}
