"""`get_cards`: the cards of a task for programs and notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitflowrun import Run, Task, namespace
from gitflowrun.cards.card_client import CardContainer, get_cards
from gitflowrun.cards.card_files import CardRequest
from gitflowrun.cards.created_cards import created_files, remove_created_cards
from gitflowrun.cards.found_cards import cards_of_run
from gitflowrun.client import repository
from gitflowrun.errors import (
    CardNotPresentException,
    CorruptRecord,
    IncorrectArgumentException,
    IncorrectPathspecException,
    NotFound,
    UnresolvableDatastoreException,
)
from gitflowrun.git.objects import Oid
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import RunOrigin
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import TaskCards
from gitflowrun.values import replace
from tests.helpers.cards import NOTES, ask_for, make_run_with_cards, start_task
from tests.helpers.repos import GitRepo
from tests.helpers.runs import draft, finished_task, open_repo, start_run, store_of


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with a run that has cards, which is the current directory."""
    make_run_with_cards(repo)
    monkeypatch.chdir(repo.path)
    return repo


def _ids(cards: CardContainer) -> list[tuple[str, str | None]]:
    return [(card.type, card.id) for card in cards]


def test_cards_in_the_order_of_their_numbers(here: GitRepo) -> None:
    """Of a task or its pathspec, in whatever namespace; `git show` understands where they lie, and their hashes."""
    cards = get_cards(Task("MyFlow/1/start/1"))
    assert (len(cards), _ids(cards)) == (2, [("blank", "notes"), ("default", None)])
    notes = cards[0]
    assert notes.get() == NOTES == here.git("show", notes.path) == here.git("show", notes.hash)
    assert notes.path == "runs/MyFlow/1:cards/start/1/0-blank-notes.html"
    assert (notes.get_data(), cards[1].get_data()) == ({"data": {"i": 1}}, None)
    assert (cards[-1].get(), notes.from_resumed, notes.origin_pathspec) == (
        "<p>start</p>",
        False,
        None,
    )
    namespace("user:bob")
    assert _ids(get_cards("MyFlow/1/train/3")) == [("default", "w")]
    with pytest.raises(IndexError):
        cards[2]


def test_only_cards_that_are_meant(here: GitRepo) -> None:
    """By id and type; where the task has cards, and none of these, there is no error, as in Metaflow."""
    assert here
    task = "MyFlow/1/start/1"
    assert (
        _ids(get_cards(task, id="notes"))
        == _ids(get_cards(task, type="blank"))
        == [("blank", "notes")]
    )
    assert len(get_cards(task, id="nosuch")) == len(get_cards(task, "notes", "default")) == 0
    with pytest.raises(CardNotPresentException, match="MyFlow/1/end/4 has no card"):
        get_cards("MyFlow/1/end/4")


def test_what_is_no_task(here: GitRepo) -> None:
    """It is said what would be one."""
    assert here
    for wrong in ("MyFlow/1", "1/start/1", "MyFlow/1/start/1/x"):
        with pytest.raises(IncorrectPathspecException, match=wrong):
            get_cards(wrong)
    for odd in (5, None, Run("MyFlow/1")):
        with pytest.raises(IncorrectArgumentException):
            get_cards(odd)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        get_cards("MyFlow/9/start/1")


def test_names_that_are_no_cards_are_passed_over(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that somebody else has written may have anything there; types are quoted in names."""
    files = {
        "0-a%2Fb-x.html": b"ab", "1.html": b"", "x-default.html": b"", "2-default.txt": b"", "3-default.json": b"{}",
        "4-default-.html": b"",
    }  # fmt: skip
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        writer.commit([], status=Status.DONE, cards=[TaskCards(TaskName("start", "1"), files)])
    monkeypatch.chdir(repo.path)
    assert _ids(get_cards("MyFlow/1/start/1")) == [("a/b", "x")]


def test_a_card_that_is_not_here(here: GitRepo) -> None:
    """One that is missing, and one that is damaged, say so and name the task."""
    cards = get_cards("MyFlow/1/start/1")
    objects = here.path / ".git" / "objects"
    for pack in (objects / "pack").glob("*.pack"):
        here.git("unpack-objects", "-q", stdin=_moved_away(pack))
    missing, damaged = (objects / card.hash[:2] / card.hash[2:] for card in cards)
    missing.unlink()
    damaged.chmod(0o600)
    damaged.write_bytes(b"no object")
    repository._open.clear()  # which has read the pack
    fresh = get_cards("MyFlow/1/start/1")
    with pytest.raises(UnresolvableDatastoreException, match="MyFlow/1/start/1 are not in this"):
        fresh[0].get()
    with pytest.raises(CorruptRecord, match=r"card 1-default\.html of MyFlow/1/start/1"):
        fresh[1].get()


def _moved_away(pack: Path) -> bytes:
    content = pack.read_bytes()
    for file in pack.parent.glob(f"{pack.stem}.*"):
        file.unlink()
    return content


def test_notebooks_show_cards_in_frames(here: GitRepo) -> None:
    """Scripts of the user's own run apart from the notebook; those of a stranger's run do not."""
    own = get_cards("MyFlow/1/start/1")
    text = own._repr_html_()
    assert text.count("<iframe") == 2
    assert "&lt;script&gt;evil()" in text
    assert "<script" not in text
    assert 'sandbox="allow-scripts' in text
    assert "allow-same-origin" not in text
    for key in (here.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()  # as if somebody else had made the run
    strange = get_cards("MyFlow/1/start/1")[0]._repr_html_()
    assert 'sandbox="" ' in strange
    assert "MyFlow/1 is not trusted" in (get_cards("MyFlow/1/start/1")[0].untrusted or "")
    assert "default-src &#x27;none&#x27;" in strange


def test_tasks_of_other_runs_have_their_cards(
    here: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that takes over a task has its cards, also if it did not take these along; unless they are not wanted."""
    origin = store_of(here).find("1")
    with start_run(here) as writer:
        writer.adopt(origin, [TaskName("start", "1")])
        writer.commit([finished_task(writer.identity, "train/2")], status=Status.DONE)
    cards = get_cards("MyFlow/2/start/1")
    assert _ids(cards) == [("blank", "notes"), ("default", None)]
    assert (cards[0].from_resumed, cards[0].origin_pathspec) == (True, "MyFlow/1/start/1")
    assert cards[0].path.startswith("runs/MyFlow/2:")
    with pytest.raises(CardNotPresentException):
        get_cards("MyFlow/2/start/1", follow_resumed=False)
    with start_run(here) as writer:
        monkeypatch.setattr(writer, "_adopt_cards", lambda *_: [])
        writer.adopt(origin, [TaskName("start", "1"), TaskName("end", "4")])
        writer.commit([], status=Status.DONE)
    assert [card.get() for card in get_cards("MyFlow/3/start/1")] == [NOTES, "<p>start</p>"]
    with pytest.raises(CardNotPresentException):
        get_cards("MyFlow/3/end/4")


def test_cards_that_were_taken_over_from_a_stranger(here: GitRepo) -> None:
    """They are no more trusted than the run that they are from, which is named."""
    for key in (here.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()  # as if somebody else had made the run
    origin = store_of(here).find("1")
    opened = open_repo(here)
    info = replace(draft(), origin=RunOrigin("resume", origin.identity, ()))
    with create_run(opened, info, take_snapshot(opened)) as writer:
        writer.adopt(origin, [TaskName("start", "1")])
        writer.commit([finished_task(writer.identity, "end/9")], status=Status.DONE)
    told = get_cards("MyFlow/2/start/1")[0].untrusted or ""
    assert told.startswith("MyFlow/1 is not trusted: ")
    assert "git runs trust MyFlow/1, and resume it again" in told


def test_cards_of_a_task_that_runs(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for a commit are there, also when it comes; those of a task that goes on as they are now."""
    monkeypatch.chdir(repo.path)
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        run = start_task(repo, writer)
        with pytest.raises(CardNotPresentException):
            get_cards("MyFlow/1/work/7")
        part = {"type": "markdown", "source": "half done", "id": "m"}
        request = CardRequest(0, "blank", "p", components=(part,), updatable={"m": part})
        files = ask_for(run, request)
        (files.directory / "1.json").write_text("{torn")
        (live,) = get_cards("MyFlow/1/work/7")
        assert (live.type, live.id) == ("blank", "p")
        assert live.hash == get_cards("MyFlow/1/work/7")[0].hash
        assert live.get().startswith("<!DOCTYPE html>")
        assert "half done" in live.get()
        assert (live.get_data() or {})["data"] == {"m": part}
        files.write_card(request, "html", "<p>ready</p>")
        files.write_card(request, "json", "[1]")
        (ready,) = get_cards("MyFlow/1/work/7")
        assert (ready.get(), ready.get_data()) == ("<p>ready</p>", None)
        assert ready.hash == repo.git("hash-object", "--stdin", stdin=b"<p>ready</p>")
        waiting, lost = get_cards("MyFlow/1/work/7")[0], get_cards("MyFlow/1/work/7")[0]
        files.remove()
        with pytest.raises(UnresolvableDatastoreException):
            lost.get()
        cards = TaskCards(
            TaskName("work", "7"), {"0-blank-p.html": b"in git", "0-blank-p.json": b"{}"}
        )
        writer.commit([finished_task(writer.identity, "work/7")], cards=[cards])
        assert (waiting.get_data(), waiting.get()) == ({}, "in git")


def test_cards_that_were_created_later(here: GitRepo) -> None:
    """They follow those of the run, in whatever run the task is found, and go with the run that has executed it."""
    run = store_of(here).find("1")
    task = run.task(TaskName("end", "4"))
    created_files(open_repo(here), task.record).write_card(CardRequest(0, "default"), "html", "new")
    with start_run(here) as writer:
        writer.adopt(run, [TaskName("end", "4")])
        writer.commit([], status=Status.DONE)
    assert [card.get() for card in get_cards("MyFlow/1/end/4")] == ["new"]
    assert [card.get() for card in get_cards("MyFlow/2/end/4")] == ["new"]
    remove_created_cards(open_repo(here), run.identity.uid)
    with pytest.raises(CardNotPresentException):
        get_cards("MyFlow/1/end/4")


@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b"\xff"])
def test_data_that_is_damaged_is_told(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """The page is there all the same."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"1"})])
        files = {"0-default.html": b"<p>", "0-default.json": data}
        writer.commit([], status=Status.DONE, cards=[TaskCards(TaskName("start", "1"), files)])
    monkeypatch.chdir(repo.path)
    (card,) = get_cards("MyFlow/1/start/1")
    assert card.get() == "<p>"
    with pytest.raises(CorruptRecord, match=r"the data of card .* is damaged"):
        card.get_data()


def test_what_is_damaged_hides_nothing_else(repo: GitRepo) -> None:
    """Of a run with a step whose cards can't be listed the others are found, and it is told."""
    make_run_with_cards(repo)
    run = store_of(repo).find("1")
    whole = repo.git("rev-parse", "runs/MyFlow/1:cards", "runs/MyFlow/1:cards/train").split()
    rows = repo.git("ls-tree", whole[0]).replace(whole[1], "1" * 40)
    torn = repo.git("mktree", "--missing", stdin=f"{rows}\n".encode())
    root = repo.git("ls-tree", "runs/MyFlow/1").replace(whole[0], torn)
    tree = repo.git("mktree", stdin=f"{root}\n".encode())
    message = repo.git("log", "-1", "--format=%B", str(run.commit))
    commit = repo.git("commit-tree", tree, "-p", str(run.commit), stdin=message.encode())
    damage: list[str] = []
    found = StoredRun(run.repo, run.flow, run.id, Oid.from_hex(commit))
    names = [it.type for it in cards_of_run(found, lambda error: damage.append(error.message))]
    assert names == ["blank", "default"]
    assert len(damage) == 1
    assert damage[0].startswith("MyFlow/1/train: ")
