"""`card server`: what it answers, to whom, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from gitflowrun.client import repository
from gitflowrun.errors import NamespaceMismatch, NotFound, UsageError
from gitflowrun.web.card_server import CardServer
from gitflowrun.web.run_cards import RunCards
from tests.helpers.cards import NOTES, make_run_with_cards
from tests.helpers.flows import background, linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run, open_repo


@dataclass
class Site:
    """A server that runs, and its repository."""

    repo: GitRepo
    url: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """What it answers to a path below its key."""
        return self.ask_whole(urlsplit(self.url).path + path, method, **headers)

    def ask_whole(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """What it answers to a whole path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=names)
        return connection.getresponse()

    def text(self, path: str) -> str:
        """What it has there."""
        answer = self.ask(path)
        assert answer.status == 200
        return answer.read().decode()

    def cards(self) -> Any:
        """The document that the page lists."""
        return json.loads(self.text("cards"))


def _serving(repo: GitRepo, run: str | None = None, most: int = 30) -> Iterator[Site]:
    server = CardServer(RunCards(open_repo(repo), "MyFlow", run, None, most), 0, 5)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield Site(repo, server.url)
    finally:
        server.stop()
        thread.join()
        repository._open.clear()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of a run that has cards, for tests that change nothing."""
    repo = make_repo(tmp_path_factory.mktemp("site") / "repo")
    make_run_with_cards(repo)
    yield from _serving(repo)


def test_the_page_and_what_it_lists(site: Site) -> None:
    """Its parts come from here alone, and it is told of all cards, the newest tasks first."""
    page = site.ask("")
    assert page.status == 200
    assert "default-src 'none'" in (page.getheader("Content-Security-Policy") or "")
    text = page.read().decode()
    assert "//" not in text.replace("<!--", "")
    for name in ("list.js", "list.css"):
        assert name in text
        assert site.text(name)
    found = site.cards()
    assert (found["run"], found["status"], found["more"], found["poll"], found["untrusted"]) == (
        "MyFlow/1", "done", False, 5, None,
    )  # fmt: skip
    rows = [
        (it["task"], it["type"], it["id"], it["live"], it["untrusted"]) for it in found["cards"]
    ]
    assert rows == [
        ("train/3", "default", "w", False, None),
        ("train/2", "default", "w", False, None),
        ("start/1", "blank", "notes", False, None),
        ("start/1", "default", None, False, None),
    ]


def test_a_card(site: Site) -> None:
    """As it is; there is nothing new in one that is finished."""
    at = site.cards()["cards"][2]["at"]
    assert site.text(f"card/{at}") == NOTES
    answer = site.ask(f"card/{at}")
    assert (answer.getheader("Cache-Control"), answer.getheader("X-Content-Type-Options")) == (
        "no-store", "nosniff",
    )  # fmt: skip
    assert site.text(f"updates/{at}") == "null"
    head = site.ask(f"card/{at}", "HEAD")
    assert (head.status, head.read()) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "x", "card", "card/1/start/1", "card/1/start/1/9", "card/1/start/9/0", "card/9/start/1/0", "/cards",
        "card/x/start/1/0", "card/1/start/1/x", "card/1/../1/0", "../../etc/passwd", "list.py", "list.html",
    ],
)  # fmt: skip
def test_there_is_nothing_else(site: Site, path: str) -> None:
    """Neither files nor runs of other flows."""
    assert site.ask(path).status == 404


def test_other_users_of_the_machine_get_nothing(site: Site) -> None:
    """They do not know the key that its addresses have."""
    key = urlsplit(site.url).path
    for path in (
        "/",
        "/cards",
        "/x/cards",
        key[:-2] + "/cards",
        key.upper() + "cards",
        key[:-1],
        "//",
        "",
        "/é/",
    ):
        assert site.ask_whole(quote(path)).status == 403
    other = CardServer(RunCards(open_repo(site.repo), "MyFlow", None, None, 1), 0, 5)
    assert len(key) > 20
    assert urlsplit(other.url).path != key
    other.stop()
    other.serve()


def test_nothing_can_be_written(site: Site) -> None:
    """There is nothing that takes it."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert site.ask("cards", method).status == 501


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:{port}"}, {"Host": "127.0.0.1"}, {"Host": "127.0.0.1:1"}, {"Host": ""},
        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
    ],
)  # fmt: skip
def test_other_sites_get_nothing(site: Site, headers: dict[str, str]) -> None:
    """Neither under a name that was made to lead here, nor by a page that asks for what is here."""
    filled = {name: value.format(port=site.port) for name, value in headers.items()}
    for path in ("", "cards", "card/1/start/1/0"):
        answer = site.ask(path, **filled)
        assert answer.status == 403
        assert "Notes" not in answer.read().decode()
    assert site.ask("cards", Host=f"localhost:{site.port}").status == 200


def test_a_connection_that_says_nothing_delays_nobody(site: Site) -> None:
    """Browsers open some in advance."""
    with socket.create_connection(("127.0.0.1", site.port)):
        assert site.cards()["run"] == "MyFlow/1"


def test_it_listens_on_this_machine_alone(site: Site) -> None:
    """On no address that others reach."""
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{site.port:04X}" in listening
    assert f"00000000:{site.port:04X}" not in listening


def test_a_port_that_is_taken(site: Site) -> None:
    """It is said, and what to do."""
    with pytest.raises(UsageError, match=f"port {site.port}") as caught:
        CardServer(RunCards(open_repo(site.repo), "MyFlow", None, None, 1), site.port, 5)
    assert "--port 0" in (caught.value.hint or "")


def test_which_run(site: Site) -> None:
    """One that is not there, or has not the tag that is asked for, is refused at once."""
    opened = open_repo(site.repo)
    with pytest.raises(NotFound):
        RunCards(opened, "MyFlow", "9", None, 30)
    with pytest.raises(NamespaceMismatch):
        RunCards(opened, "MyFlow", "1", "user:bob", 30)
    assert RunCards(opened, "MyFlow", None, "user:bob", 30).document()["run"] is None
    assert RunCards(opened, "MyFlow", None, "user:ada", 30).document()["run"] == "MyFlow/1"
    assert RunCards(opened, "Other", None, None, 30).document() == {
        "flow": "Other", "run": None, "cards": [],
    }  # fmt: skip
    few = RunCards(opened, "MyFlow", "1", None, 2).document()
    assert ([it["task"] for it in few["cards"]], few["more"]) == (["train/3", "train/2"], True)


def test_the_newest_run_is_followed(repo: GitRepo) -> None:
    """Without a run that was named, the page goes over to one that is started meanwhile."""
    make_run_with_cards(repo)
    for site in _serving(repo):
        make_run(repo)
        found = site.cards()
        assert (found["run"], found["cards"]) == ("MyFlow/2", [])


def test_cards_of_strangers_can_do_nothing(repo: GitRepo) -> None:
    """They come with a policy under which nothing in them runs, and the page says why."""
    make_run_with_cards(repo)
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()  # as if somebody else had made the run
    for site in _serving(repo):
        found = site.cards()
        assert found["untrusted"].endswith("git runs trust MyFlow/1")
        assert all(it["untrusted"] for it in found["cards"])
        answer = site.ask(f"card/{found['cards'][2]['at']}")
        policy = answer.getheader("Content-Security-Policy") or ""
        assert policy.startswith("sandbox; default-src 'none'; ")
        assert "script" not in policy
        assert answer.read().decode().endswith(NOTES)


def test_a_server_ends_when_it_is_interrupted(repo: GitRepo) -> None:
    """Without a traceback; its address is all that it writes to standard output."""
    repo.write("f.py", linear_flow())
    make_run_with_cards(repo)
    flow = background(repo, "f.py", "--quiet", "card", "server", "--port", "0")
    url = flow.wait_for(r"(http://127\.0\.0\.1:[0-9]+/\S+/)\n")[1]
    assert Site(repo, url).cards() == {"flow": "F", "run": None, "cards": [], "poll": 5}
    flow.ctrl_c()
    assert flow.wait() == 0
    assert "Traceback" not in flow.text()
    assert "Interrupt" not in flow.text()
