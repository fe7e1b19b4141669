"""What a task leaves for its cards, and how cards are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.cards.card_files import (
    CardFiles,
    CardRequest,
    card_directory,
    card_name,
    parse_card_name,
    read_request,
)
from gitflowrun.errors import CorruptRecord
from gitflowrun.names import TaskName

IDS = st.none() | st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)
TYPES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.integers(0, 999_999), TYPES, IDS, st.sampled_from(["html", "json"]))
def test_a_name_says_which_card(number: int, kind: str, id_: str | None, suffix: str) -> None:
    """Number, type, id and suffix come back, and the name is one component of a path."""
    name = card_name(number, kind, id_, suffix)
    assert parse_card_name(name) == (number, kind, id_, suffix)
    assert "/" not in name
    assert "\0" not in name


@pytest.mark.parametrize(
    "name", ["", "x", "00-a.html", "0-a", "0-a-b-c.html", "0-.html", "0-a.txt"]
)
def test_other_names_are_no_cards(name: str) -> None:
    """What somebody else has put beside them is passed over."""
    assert parse_card_name(name) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(components=st.lists(JSON, max_size=3), data=JSON)
def test_a_request_is_read_as_it_was_written(components: list[object], data: object) -> None:
    """Whatever is JSON comes back."""
    request = CardRequest(3, "default", "a", components=tuple(components), data=data, attempt=2)
    assert CardRequest.load(request.dump()) == request


def test_requests_are_found_in_order_and_hide_secrets(tmp_path: Path) -> None:
    """A file that is torn is left out; a newer one replaces it."""
    directory = card_directory(tmp_path, TaskName("train", "3"), 1)
    files = CardFiles(directory, hide=lambda it: it.replace("secret", "***"))
    for number in (10, 2, 0):
        files.write(CardRequest(number, "default", components=({"text": "secret"},)))
    path = files.write(CardRequest(2, "blank"))
    assert path == tmp_path / "cards/train/3.1/2.json"
    (path.parent / "1.json").write_text("{")
    assert [(it.number, it.type) for it in files.requests()] == [
        (0, "default"),
        (2, "blank"),
        (10, "default"),
    ]
    assert files.requests()[0].components == ({"text": "***"},)
    for text in ("[]", "{}", "3", json.dumps({"number": 1})):
        path.write_text(text)
        with pytest.raises(CorruptRecord, match="malformed"):
            read_request(path)


def test_cards_are_called_as_in_the_tree_and_go_when_they_are_there(tmp_path: Path) -> None:
    """Requests and what is being written are none of them."""
    files = CardFiles(tmp_path / "cards")
    for request in (CardRequest(0, "default"), CardRequest(1, "a/b.c", "id")):
        files.write(request)
        files.write_card(request, "html", "<p>\ud800")
    files.write_card(CardRequest(0, "default"), "json", "{}")
    assert files.cards() == {
        "0-default.html": b"<p>?", "0-default.json": b"{}", "1-a%2Fb%2Ec-id.html": b"<p>?",
    }  # fmt: skip
    assert CardRequest(1, "a/b.c", "id").told == "1-a%2Fb%2Ec-id"
    files.remove()
    assert (files.cards(), files.requests()) == ({}, [])
