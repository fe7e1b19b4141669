"""The command `card` of a flow file: the cards of its runs."""

from __future__ import annotations

import json
import os
import stat
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gitflowrun.cards.card_files import CardRequest
from gitflowrun.cli.flow.main import main
from gitflowrun.flow import FlowSpec, step
from gitflowrun.names import TaskName
from gitflowrun.runs.runs import Status
from gitflowrun.runtime.launch.launcher import Launcher
from tests.helpers.cards import NOTES, ask_for, make_run_with_cards, start_task
from tests.helpers.repos import GitRepo, Output
from tests.helpers.runs import finished_task, start_run, store_of

# ruff: noqa: D101, D102  (a flow as users write them)


class MyFlow(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


class Card:
    """Runs `python flow.py card WORDS`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, quiet: bool = True) -> Output:
        self._capsys.readouterr()
        line = [*(["--quiet"] if quiet else []), "card", *words]
        code = main(MyFlow, Launcher(MyFlow, "no scheduler"), line)
        return Output(code, *self._capsys.readouterr())


@pytest.fixture
def card(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Card:
    """The command, in a repository with a run that has cards."""
    make_run_with_cards(repo)
    monkeypatch.chdir(repo.path)
    return Card(capsys)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that a browser was to open."""
    found: list[Path] = []

    def browse(url: str) -> bool:
        found.append(Path(unquote(urlsplit(url).path)))
        return True

    monkeypatch.setenv("BROWSER", "one")
    monkeypatch.setattr(webbrowser, "open", browse)
    return found


def test_cards_of_a_run_are_listed(card: Card) -> None:
    """Of the newest run if none is named, newest tasks first, as Metaflow's document has them."""
    done = card("list", "--as-json")
    document = json.loads(done.out)
    assert [row["pathspec"] for row in document] == [
        f"MyFlow/1/{task}" for task in ("train/3", "train/2", "start/1")
    ]
    assert [{**it, "hash": None} for it in document[-1]["cards"]] == [
        {"id": "notes", "hash": None, "type": "blank", "filename": "0-blank-notes.html"},
        {"id": None, "hash": None, "type": "default", "filename": "1-default.html"},
    ]
    assert card("list", "1", "--as-json").out == done.out
    text = card("list").out
    assert text.count("Card Path: runs/MyFlow/1:cards/") == 4
    assert "MyFlow/1/start/1\n    Card Id: notes\n    Card Type: blank\n    Card Hash: " in text
    filtered = json.loads(card("list", "--id", "w", "--as-json").out)
    assert [row["pathspec"] for row in filtered] == ["MyFlow/1/train/3", "MyFlow/1/train/2"]
    assert card("list", quiet=False).err.endswith("Listing cards for run MyFlow/1\n")


@pytest.mark.parametrize(
    "where", ["start", "1/start", "1/start/1", "MyFlow/1/start/1", "@latest/start"]
)
def test_cards_of_a_task_are_listed(card: Card, where: str) -> None:
    """Of a step alone those of the newest run; the document is one task's."""
    document = json.loads(card("list", where, "--type", "blank", "--as-json").out)
    assert document["pathspec"] == "MyFlow/1/start/1"
    assert [it["id"] for it in document["cards"]] == ["notes"]


def test_of_a_step_with_many_tasks_the_newest_is_taken(card: Card) -> None:
    """As in Metaflow; which one that is, is said."""
    done = card("get", "train", quiet=False)
    assert (done.out, done.code) == ("<p>train/3</p>", 0)
    assert done.err.endswith("Resolving card: MyFlow/1/train/3\n")


def test_the_list_goes_to_a_file(card: Card, tmp_path: Path) -> None:
    """Which programs read; nothing is printed."""
    file = tmp_path / "cards.json"
    done = card("list", "train/", "--file", str(file))
    assert done.code == 1
    assert not file.exists()
    assert card("list", "1/train/2", "--as-json", "--file", str(file)).out == ""
    assert json.loads(file.read_text())["pathspec"] == "MyFlow/1/train/2"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "end"], "MyFlow/1/end/4 has no card"),
        (["get", "start", "--id", "nosuch"], "MyFlow/1/start/1 has no card with id 'nosuch'"),
        (["get", "start", "--hash", "deadbeef"], "no card with hash 'deadbeef'"),
        (["get", "start", "--hash", "de"], "no card with hash 'de'"),
        (["view", "start", "--type", "x"], "no card with type 'x'"),
        (["list", "--type", "x"], "MyFlow/1 has no card with type 'x'"),
        (["get", "sart"], "did you mean start?"),
        (["get", "1"], "names a run, not a task"),
        (["get", "9/start"], "the newest is MyFlow/1"),
        (["get", "1/start/7"], "its tasks are 1"),
        (["get", "1/nosuch"], "has no step 'nosuch'"),
        (["list", "1/start/1/x"], "is not the pathspec of a task"),
        (["create", "end", "--options", "x", "--type", "y"], "x is not a JSON object"),
    ],
)  # fmt: skip
def test_what_is_not_there(card: Card, words: list[str], told: str) -> None:
    """Exit codes are Metaflow's: 1 where something is not found, 2 for a wrong command line."""
    done = card(*words)
    assert (done.code, done.out) == (2 if words[0] == "create" else 1, "")
    assert told in done.err
    assert "Traceback" not in done.err


def test_no_runs_yet(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said that there is none, and what makes one."""
    monkeypatch.chdir(repo.path)
    done = Card(capsys)("list")
    assert done.code == 1
    assert "MyFlow has no runs yet" in done.err


def test_a_card_is_written(card: Card, repo: GitRepo, tmp_path: Path) -> None:
    """To standard output or a file, byte by byte; a hash may be shortened."""
    file = tmp_path / "card.html"
    assert card("get", "start", str(file), "--id", "notes").out == ""
    assert file.read_text() == NOTES
    whole = repo.git("rev-parse", "runs/MyFlow/1:cards/start/1/0-blank-notes.html")
    for start in (whole, whole[:5].upper()):
        assert card("get", "start", "--hash", start).out == NOTES
    done = card("get", "start", str(tmp_path / "no" / "card.html"), "--id", "notes")
    assert (done.code, "No such file" in done.err) == (1, True)


def test_several_cards_are_meant(card: Card, opened: list[Path]) -> None:
    """They are told, with a command that names one; nothing is written, and it is no error, as in Metaflow."""
    for verb in ("get", "view"):
        done = card(verb, "start")
        assert (done.code, done.out, opened) == (0, "", [])
        assert "2 cards of MyFlow/1/start/1 are meant:" in done.err
        assert "Card Id: notes" in done.err
        named = done.err.split("--hash ")[1].split()[0]
        assert card("get", "1/start/1", "--hash", named).out == NOTES


def test_a_card_is_opened_in_a_browser(card: Card, opened: list[Path]) -> None:
    """From a file that nobody else can read."""
    done = card("view", "start", "--id", "notes", quiet=False)
    (file,) = opened
    assert file.read_text() == NOTES
    assert f"Opened {file}" in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_without_a_browser_the_file_is_named(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a server that one is logged in to."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    file = Path(card("view", "start", "--type", "default").out.removesuffix("\n"))
    assert file.read_text() == "<p>start</p>"


def test_cards_of_strangers_can_do_nothing(card: Card, repo: GitRepo, opened: list[Path]) -> None:
    """They are shown in a frame that runs no scripts and loads nothing, until their run is trusted; `get` has all."""
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()  # as if somebody else had made the run
    done = card("view", "start", "--id", "notes", quiet=False)
    assert "MyFlow/1 is not trusted" in done.err
    page = opened[0].read_text()
    assert '<iframe sandbox="" srcdoc="&lt;!DOCTYPE html&gt;&lt;meta http-equiv=' in page
    assert "<script" not in page
    assert "default-src 'none'" in page.split("<body>")[0]
    assert "git runs trust MyFlow/1" in page
    assert card("get", "start", "--id", "notes").out == NOTES
    assert repo.call("trust", "MyFlow/1").code == 0
    card("view", "start", "--id", "notes")
    assert opened[1].read_text() == NOTES


def test_tasks_of_other_runs_have_their_cards(card: Card, repo: GitRepo) -> None:
    """Unless they are not to be followed."""
    with start_run(repo) as writer:
        writer.adopt(store_of(repo).find("1"), [TaskName("start", "1")])
        writer.commit([finished_task(writer.identity, "train/2")], status=Status.DONE)
    assert card("get", "start", "--id", "notes").out == NOTES
    done = card("list", "--no-follow-resumed")
    assert (done.code, "MyFlow/2 has no card" in done.err) == (1, True)


def test_a_card_is_created(card: Card, repo: GitRepo) -> None:
    """In this clone alone: it follows those of the run, which does not change; made again it takes its own place."""
    before = repo.git("rev-parse", "runs/MyFlow/1")
    for words in (["1/end/4"], ["end", "--id", "x", "--options", "{}"], ["end", "--id", "x"]):
        done = card("create", *words, quiet=False)
        assert (done.code, done.out) == (0, "")
        assert "Card created with type: default and hash: " in done.err
    assert card("create", "start", "--type", "blank", "--id", "notes").code == 0
    rows = {
        row["pathspec"]: [it["filename"] for it in row["cards"]]
        for row in json.loads(card("list", "--as-json").out)
    }
    assert rows["MyFlow/1/end/4"] == ["0-default.html", "1-default-x.html"]
    assert rows["MyFlow/1/start/1"][-1] == "2-blank-notes.html"
    page = card("get", "end", "--id", "x").out
    assert page.startswith("<!DOCTYPE html>")
    assert "MyFlow/1/end/4" in page
    assert repo.git("rev-parse", "runs/MyFlow/1") == before


def test_a_card_that_cannot_be_created(card: Card) -> None:
    """Nothing is kept, unless a card that says why is wanted; an id that can't be one is left out, as in Metaflow."""
    done = card("create", "end", "--type", "nosuch")
    assert (done.code, "there is no type of cards 'nosuch'" in done.err) == (1, True)
    assert card("list", "end").code == 1
    done = card("create", "end", "--type", "n" * 300, "--render-error-card")
    assert (done.code, "is not the name of a type" in done.err) == (1, True)
    done = card("create", "end", "--type", "nosuch", "--timeout", str(10**20))
    assert (done.code, "there is no type of cards 'nosuch'" in done.err) == (1, True)
    done = card("create", "end", "--id", "i" * 300, "--type", "nosuch", quiet=False)
    assert (done.code, "is left out" in done.err) == (1, True)
    done = card(
        "create", "end", "--id", "a b", "--type", "nosuch", "--render-error-card", quiet=False
    )
    assert (done.code, "--id 'a b' is left out" in done.err) == (0, True)
    assert "there is no type of cards" in card("get", "end").out
    assert json.loads(card("list", "end", "--as-json").out)["cards"][0]["id"] is None


def test_of_a_task_that_runs_no_card_is_created(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it has asked for itself is shown as it is now."""
    monkeypatch.chdir(repo.path)
    card = Card(capsys)
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        part = {"type": "markdown", "source": "half done", "id": "m"}
        ask_for(start_task(repo, writer), CardRequest(0, "blank", "p", components=(part,)))
        done = card("create", "work")
        assert (done.code, "MyFlow/1/work/7 has not ended" in done.err) == (1, True)
        assert "half done" in card("get", "work").out
        ask_for(start_task(repo, writer), CardRequest(0, "nosuch", save_errors=False))
        done = card("get", "work")
        assert (done.code, "there is no type of cards 'nosuch'" in done.err) == (1, True)


def test_help(card: Card) -> None:
    """Alone it lists its commands."""
    text = card().out
    for verb in ("create", "get", "list", "view"):
        assert f"  {verb} " in text
    assert os.fspath("PATHSPEC") not in card("get", "--help").out
