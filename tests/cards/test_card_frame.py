"""Cards that may do nothing: what is taken from them, and what is left."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from gitflowrun.cards.card_frame import POLICY, frame, framed_page, harmless, write_page


@pytest.mark.parametrize(
    "tag",
    ["<link rel=preconnect>", "<LINK\nrel=x>", "<Link/rel=x>", "<link>", "<iframe src=x>", "<FRAME\tsrc=x>"],
)  # fmt: skip
def test_what_browsers_connect_to_by_themselves_is_gone(tag: str) -> None:
    """However it is written, for no policy stops it; what only looks like one stays."""
    assert harmless(tag).endswith(f"<no-{tag[1:]}")
    assert harmless("<linked>a link</linked>").endswith("<linked>a link</linked>")


def test_the_policy_comes_before_anything_of_the_card() -> None:
    """What is in front of it would not be subject to it."""
    card = "<!DOCTYPE html><script>x()</script>"
    assert harmless(card).index(POLICY) < harmless(card).index("<script>")
    for page in (framed_page(card, "F/<1>", "<not>"), frame(card, is_trusted=False)):
        assert 'sandbox=""' in page
        assert "<script" not in page
    assert "<p>&lt;not&gt;</p>" in framed_page(card, "F/<1>", "<not>")


def test_a_card_cannot_leave_its_frame() -> None:
    """Nothing in it ends the attribute that it stands in."""
    card = "\"'></iframe><script>x()</script>&quot;>"
    for page in (
        framed_page(card, "F/1", "not"), frame(card, is_trusted=False), frame(card, is_trusted=True),
    ):  # fmt: skip
        assert page.count("</iframe>") == 1
        assert "<script>x" not in page


def test_pages_of_a_day_before_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold what runs store; a link that looks like one is nobody's directory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old, young = (write_page("a.html", text) for text in ("old", "young"))
    target = tmp_path / "kept"
    target.mkdir()
    (tmp_path / "gitflowrun-card-x").symlink_to(target)
    for path in (old.parent, target):
        os.utime(path, (0, 0))
    newest = write_page("a.html", "newest")
    assert (old.parent.exists(), young.read_text(), newest.read_text()) == (
        False,
        "young",
        "newest",
    )
    assert target.exists()


_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_WANTS = (
    '<meta http-equiv=refresh content="1;url={0}/1">', '<link rel=preconnect href="{0}">',
    '<iframe src="{0}/2"></iframe>', '<link rel=stylesheet href="{0}/3">',
    "<style>@import url({0}/4);body{{background:url({0}/5)}}</style>",
    '<img src="{0}/6">', '<script>new Image().src="{0}/7"</script>', '<video src="{0}/8" autoplay></video>',
    '<object data="{0}/9"></object>', '<form id=f action="{0}/10"></form><input autofocus onfocus="f.submit()">',
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium here")
def test_a_browser_reaches_nothing(tmp_path: Path) -> None:
    """Whatever a card of a stranger says that it wants: not even a connection is made."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        came: list[object] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                came.append(connection)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        card = "".join(_WANTS).format(f"http://127.0.0.1:{listening.getsockname()[1]}")
        page = tmp_path / "card.html"
        page.write_text(card)
        _open(page)
        assert came
        came.clear()
        for text in (framed_page(card, "F/1", "not"), frame(card, is_trusted=False)):
            page.write_text(text)
            _open(page)
        assert came == []


def _open(page: Path) -> None:
    """Have a browser show a page for some seconds."""
    command = [
        _CHROMIUM or "", "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={page.parent / 'profile'}",
        "--virtual-time-budget=4000", f"--screenshot={page.parent / 'shot.png'}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
