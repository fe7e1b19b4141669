"""`git runs card`: the cards of a run, a step or a task, without the program of its flow."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from tests.cli.conftest import Runs
from tests.helpers.cards import NOTES, make_run_with_cards
from tests.helpers.repos import GitRepo


@pytest.fixture(autouse=True)
def _run(repo: GitRepo) -> None:
    make_run_with_cards(repo)


def test_cards_are_listed(runs: Runs, repo: GitRepo) -> None:
    """Those of a run, the newest tasks first, of a step or a task, and only those that are meant."""
    text = runs("card").out
    heads = [line for line in text.splitlines() if not line.startswith(" ") and line]
    assert heads == ["MyFlow/1/train/3", "MyFlow/1/train/2", "MyFlow/1/start/1"]
    assert text.count("Card Hash:") == 4
    rows = json.loads(runs("card", "1/start", "--json").out)
    assert [(row["task"], row["type"], row["id"]) for row in rows] == [
        ("start/1", "blank", "notes"), ("start/1", "default", None),
    ]  # fmt: skip
    assert repo.git("show", rows[0]["path"]) == NOTES
    assert [row["task"] for row in json.loads(runs("card", "--id", "w", "--json").out)] == [
        "train/3", "train/2",
    ]  # fmt: skip
    assert runs("card", "1/train/2").out.splitlines()[0] == "MyFlow/1/train/2"


def test_one_is_written_or_opened(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it alone is meant; otherwise it is said how one is named."""
    file = tmp_path / "card.html"
    assert runs("card", "1/start", "--id", "notes", "-o", str(file)).code == 0
    assert file.read_text() == NOTES
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setenv("BROWSER", "one")
    monkeypatch.setattr(webbrowser, "open", browse)
    assert runs("card", "1/train/3", "--web").code == 0
    assert opened[0].endswith("0-default-w.html")
    done = runs("card", "1/start", "-w")
    assert done.code == 129
    assert "git runs card 1/start/1 --hash " in done.err
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["1/end"], 128, "1/end has no card"), (["--type", "x"], 128, "MyFlow/1 has no card with type 'x'"),
        (["1/nosuch"], 128, "no step"), (["9"], 128, "no run"), (["-w", "--json"], 129, "exclude each other"),
        (["1/start/1/x"], 128, "names an artifact"),
    ],
)  # fmt: skip
def test_what_is_not_there(runs: Runs, words: list[str], code: int, told: str) -> None:
    """Exit codes are git's."""
    done = runs("card", *words)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
