"""The server of `card server`: a page on this machine that lists the cards of a run and keeps live ones up to date.

    GET /<key>/                     the page, with `list.js` and `list.css` beside it
    GET /<key>/cards                what `RunCards.document` says, as JSON
    GET /<key>/card/<run>/<step>/<task>/<number>      a card
    GET /<key>/updates/<run>/<step>/<task>/<number>   what is new in a card that is live, as JSON; null to load it anew

It answers to this machine's own address alone, writes nothing, and gives no other site's page what it has: a name that
was made to lead here (DNS rebinding) is not among those that it answers to. Other users of the machine reach it as
well, so its addresses have a key, which changes with each start. Cards of a run that is not trusted are sent
with a policy under which nothing in them runs or reaches a network.

Repositories are read, and cards rendered, by the main thread alone, which can stop a card that takes too long. Threads
of their own read requests and write answers, so that a browser which opens connections in advance delays nobody.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from gitflowrun.cards.card_client import Card
from gitflowrun.cards.card_frame import POLICY, harmless
from gitflowrun.cards.found_cards import LiveCard
from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.utilities.threads import start
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitflowrun.web.run_cards import RunCards

HERE = "127.0.0.1"
_NAMES = (HERE, "localhost")
_OWN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "": ("list.html", "text/html"),
    "list.js": ("list.js", "text/javascript"),
    "list.css": ("list.css", "text/css"),
}
_HTML, _JSON = "text/html", "application/json"
_NUMBER = re.compile("[0-9]{1,6}\\Z")
_PARTS = 4  # of the address of a card
_KEY = 16  # random bytes
_WAKES = 0.5  # seconds after which an interrupt is noticed at the latest
_PATIENCE = 60.0  # seconds for a request that has begun


@frozen
class _Answer:
    """What is sent."""

    status: int
    kind: str
    content: bytes
    policy: str = _OWN_POLICY


class CardServer:
    """Serves the cards of a run until it is interrupted.

    Args:
        cards: The cards.
        port: The port; any that is free for 0.
        poll: Seconds between two looks of the page.

    Attributes:
        port: The port.

    Raises:
        UsageError: the port can't be had.
    """

    def __init__(self, cards: RunCards, port: int, poll: int) -> None:
        self._cards = cards
        self._poll = poll
        self._top = f"/{secrets.token_urlsafe(_KEY)}/"
        self._asked: SimpleQueue[tuple[str, Future[_Answer]] | None] = SimpleQueue()
        try:
            self._http = _Server(port, self._ask)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"port {port} of this machine can't be used: {reason}",
                hint="--port 0 takes one that is free",
            ) from None
        self.port = self._http.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HERE}:{self.port}{self._top}"

    def serve(self) -> None:
        """Answer until `stop`, or until the process is interrupted. Raises UsageError: there can be no threads."""
        if start(self._http.serve_forever) is None:
            raise UsageError(
                "no thread can be started", hint="`ulimit -u` shows how many there may be"
            )
        try:
            while (asked := self._next()) is not None:
                path, answer = asked
                answer.set_result(self._answer(path))
        finally:
            self._http.shutdown()
            self._http.server_close()

    def _next(self) -> tuple[str, Future[_Answer]] | None:
        """What is asked for next; None after `stop`."""
        while True:
            # A signal that another thread was given does not wake this one, which is to handle it.
            with contextlib.suppress(Empty):
                return self._asked.get(timeout=_WAKES)

    def stop(self) -> None:
        """Let `serve` return, when it has answered what was asked before."""
        self._asked.put(None)

    def _ask(self, path: str) -> _Answer:
        """Have the main thread answer."""
        future: Future[_Answer] = Future()
        self._asked.put((path, future))
        return future.result()

    def _answer(self, path: str) -> _Answer:
        try:
            return self._found(path)
        except GitflowrunError as error:
            return _told(404, error.message)
        except Exception as error:  # noqa: BLE001  (one request's; the others go on)
            return _told(500, f"{type(error).__name__}: {error}")

    def _found(self, whole: str) -> _Answer:
        top, path = whole[: len(self._top)], whole[len(self._top) :]
        if not secrets.compare_digest(top.encode(), self._top.encode()):
            return _told(403, "the address has a key, which `card server` prints when it starts")
        if path in _FILES:
            name, kind = _FILES[path]
            return _Answer(200, kind, files("gitflowrun.web").joinpath(name).read_bytes())
        if path == "cards":
            return _json({**self._cards.document(), "poll": self._poll})
        return self._card(path)

    def _card(self, path: str) -> _Answer:
        """A card, or what is new in it."""
        kind, *parts = [unquote(part) for part in path.split("/")]
        if kind not in {"card", "updates"} or len(parts) != _PARTS or not _NUMBER.match(parts[-1]):
            return _told(404, "there is nothing here")
        run, step, task, number = parts
        card = self._cards.card(run, step, task, int(number))
        if kind == "updates":
            return _json(card.updates() if isinstance(card, LiveCard) else None)
        html = card.html()
        if Card(card).untrusted is None:
            return _page(html, "frame-ancestors 'self'")
        return _page(harmless(html), f"sandbox; {POLICY}; frame-ancestors 'self'")


def _page(html: str, policy: str) -> _Answer:
    return _Answer(200, _HTML, html.encode(errors="replace"), policy)


def _told(status: int, text: str) -> _Answer:
    return _Answer(status, "text/plain", text.encode(errors="replace"))


def _json(value: Any) -> _Answer:
    return _Answer(200, _JSON, json.dumps(value).encode())


class _Server(HTTPServer):
    """Listens on this machine alone, and has each connection handled by a thread of its own."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, ask: Callable[[str], _Answer]) -> None:
        self.ask = ask
        super().__init__((HERE, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection; one after the other where there can be no threads."""

        def handle() -> None:
            try:
                self.finish_request(request, client_address)
            except OSError:  # whoever has asked is gone
                pass
            finally:
                self.shutdown_request(request)

        if start(handle) is None:
            handle()


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes its answer."""

    server: _Server
    server_version = "gitflowrun"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer."""
        self._send(self._answer(), body=True)

    def do_HEAD(self) -> None:
        """Answer without the content."""
        self._send(self._answer(), body=False)

    def _answer(self) -> _Answer:
        host, _, port = self.headers.get("Host", "").partition(":")
        if host not in _NAMES or port != str(self.server.server_address[1]):
            return _told(403, f"this is {HERE}, and nothing of another name")
        if self.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            return _told(403, "what is here is for pages from here")
        return self.server.ask(urlsplit(self.path).path)

    def _send(self, answer: _Answer, *, body: bool) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": f"{answer.kind}; charset=utf-8",
            "Content-Length": str(len(answer.content)),
            "Content-Security-Policy": answer.policy,
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-DNS-Prefetch-Control": "off",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name)
        """Nothing: requests are not told."""
