"""Forged runs by their cards: what a stranger puts below `cards/`, which programs list, and people open."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.security.parts import FILE, GITLINK, LINK, Change, Content, RunParts, Variant

CARDS = (b"cards",)
_TASK = (*CARDS, b"start", b"1")
_PAGE = b"<!doctype html><script>document.title = 'mine'</script><p>a card"
_NAMES = (
    b"0-default.html", b"0-default.json", b"00-default.html", b"999999-x.html", b"9999999-x.html", b"0-%00.html",
    b"0-%1b%5b2J.html", b"0-%2e%2e%2fx.html", b"0-%.html", b"0-\xff.html", b"0-x-\x1b[2J.html", b"0-x-a-b.html",
    b"0-<b>.html", b"0-" + b"x" * 240 + b".html", b"-1-x.html", "٣-x.html".encode(), b".html", b"--output=x.html",
)  # fmt: skip
_CONTENTS = (
    b"", _PAGE, b"\xff\xfe\0" * 100, b"\0", b"\x1b[2J\x1b]0;x\x07", b"<p>" * 100_000, b"{" * 5_000, b"[" * 200_000,
    b'{"data": ' * 50_000, b"null", b"[]", b'"x"', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"9" * 10_000,
)  # fmt: skip


def cards(canaries: str) -> Iterator[Variant]:
    """Other names, contents and modes; tasks and steps that have none; very many; what is no directory."""
    for name, content in itertools.product(_NAMES, (_PAGE, b"{}")):
        yield Variant(f"card {name[:40]!r}: {content[:9]!r}", _put(*_TASK, name, content=content))
    for suffix, content in itertools.product((b"html", b"json"), _CONTENTS):
        what = f"{len(content)} bytes {content[:12]!r}"
        yield Variant(
            f"{suffix.decode()} of {what}", _put(*_TASK, b"0-default." + suffix, content=content)
        )
    for mode, content in ((LINK, f"{canaries}/link".encode()), (GITLINK, b"1" * 40)):
        yield Variant(
            f"card {mode.decode()}", _put(*_TASK, b"0-default.html", content=content, mode=mode)
        )
        yield Variant(
            f"step of cards {mode.decode()}", _put(*CARDS, b"end", content=content, mode=mode)
        )
    for path in (CARDS, _TASK[:2], _TASK):
        yield Variant(f"{b'/'.join(path).decode()} is a file", _instead(path))
    for place in (
        (b"nosuch", b"1"),
        (b"start", b"99"),
        (b"start", b".."),
        (b"\x1b[2J", b"1"),
        (b"work", b"x" * 300),
    ):
        yield Variant(f"cards of {place!r}", _put(*CARDS, *place, b"0-default.html", content=_PAGE))
    yield Variant("ten thousand cards", _many)
    yield Variant("a directory as a card", _put(*_TASK, b"0-default.html", b"x", content=_PAGE))


def _put(*path: bytes, content: Content, mode: bytes = FILE) -> Change:
    def change(parts: RunParts) -> None:
        for name in [it for it in parts.files if path[: len(it)] == it or it[: len(path)] == path]:
            del parts.files[name]
        parts.files[path] = (mode, content)

    return change


def _instead(path: tuple[bytes, ...]) -> Change:
    return _put(*path, content=_PAGE)


def _many(parts: RunParts) -> None:
    for number in range(10_000):
        parts.files[(*_TASK, b"%d-default.html" % number)] = (FILE, _PAGE)
