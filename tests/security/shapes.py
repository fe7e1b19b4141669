"""Histories and trees of shapes that no run of ours has, which git allows or at least stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.security.parts import DIRECTORY, FILE, LINK, Chain, ObjectWriter

_RUNNING = b"F/1: running\n\nRun: F/1\nStatus: running\nStarted: 2026-11-28T00:00:00Z\n"
_MESSAGES: dict[str, Callable[[bytes], bytes]] = {
    "no message": lambda _: b"",
    "message of trailers alone": lambda text: text.partition(b"\n\n")[2],
    "message of 1 MB": lambda text: b"x\n" * 500_000 + text,
    "many trailers": lambda text: text + b"Status: done\nUid: x\n" * 20_000,
    "a NUL in its message": lambda text: b"x\0y" + text,
}
_SIGNED = b"author M <m@x> 1 +0000\ncommitter M <m@x> 1 +0000\n"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n \x1b]0;OWNED\x07\n -----END PGP SIGNATURE-----\n"
_HEADERS = {
    "an encoding": _SIGNED + b"encoding UTF-7\n",
    "a signature of escapes": _SIGNED + b"gpgsig " + _SIGNATURE,
    "no author": b"",
    "a thousand headers": _SIGNED + b"x \x1b[2J\n" * 1_000,
}


def _made(it: Chain, *parents: bytes, tree: bytes = b"", message: bytes | None = None) -> bytes:
    return it.put.commit(
        tree or it.trees[1], parents, it.message if message is None else message, it.who
    )


def _tip(it: Chain, tree: bytes = b"", message: bytes | None = None) -> bytes:
    return _made(it, it.first, tree=tree, message=message)


def _other(it: Chain, number: int = 0) -> bytes:
    return _made(it, tree=it.trees[0], message=_RUNNING + b"N: %d\n" % number)


def _long(it: Chain, length: int) -> bytes:
    last = it.first
    for number in range(length):
        last = _made(it, last, message=_RUNNING + b"N: %d\n" % number)
    return _made(it, last)


def _tagged(it: Chain, kind: bytes, thing: bytes, depth: int = 1) -> bytes:
    for _ in range(depth):
        row = b"object %s\ntype %s\n" % (thing, kind)
        body = row + b"tag x\ntagger M <m@x> 1 +0000\n\n\x1b]0;X\x07\n"
        thing, kind = it.put.put(b"tag", body), b"tag"
    return thing


def _row(it: Chain, mode: bytes, name: bytes, thing: bytes) -> bytes:
    return it.put.tree([(mode, name, thing)])


def _worded(it: Chain, change: Callable[[bytes], bytes]) -> bytes:
    return _tip(it, message=change(it.message))


def _headed(it: Chain, headers: bytes) -> bytes:
    lines = b"tree %s\nparent %s\n%s\n" % (it.trees[1], it.first, headers)
    return it.put.put(b"commit", lines + it.message)


def histories() -> Iterator[tuple[str, Callable[[Chain], bytes]]]:
    """Ways to connect a run's first commit with its last one, or not to."""
    yield "no parent", _made
    yield "the first commit", lambda it: it.first
    yield "a merge", lambda it: _made(it, it.first, _other(it))
    yield "a merge the other way", lambda it: _made(it, _other(it), it.first)
    yield "another's first commit", lambda it: _made(it, _other(it))
    yield "one parent twice", lambda it: _made(it, it.first, it.first)
    yield "sixty parents", lambda it: _made(it, it.first, *[_other(it, n) for n in range(60)])
    yield "long", lambda it: _long(it, 10_000)
    yield (
        "INFO changes",
        lambda it: _made(
            it, _tip(it, _row(it, FILE, b"INFO", it.put.put(b"blob", b"\x80")), _RUNNING)
        ),
    )
    yield "INFO goes", lambda it: _tip(it, it.put.tree([]))
    yield (
        "empty tree first",
        lambda it: _made(it, _made(it, tree=it.put.tree([]), message=_RUNNING)),
    )
    yield "INFO is a tree", lambda it: _tip(it, _row(it, DIRECTORY, b"INFO", it.trees[0]))
    yield (
        "INFO is a link",
        lambda it: _tip(it, _row(it, LINK, b"INFO", it.put.put(b"blob", b"/etc/passwd"))),
    )
    yield "a tree within itself by name", lambda it: _tip(it, it.put.tree(
        [(DIRECTORY, b"steps", it.trees[1]), (DIRECTORY, b"code", it.trees[1])]))  # fmt: skip
    yield "a tag of the tip", lambda it: _tagged(it, b"commit", _tip(it))
    yield "a tag of tags", lambda it: _tagged(it, b"commit", _tip(it), 300)
    yield "a tag of a tree", lambda it: _tagged(it, b"tree", it.trees[1])
    yield "a tree", lambda it: it.trees[1]
    yield "a blob", lambda it: it.put.put(b"blob", b"\x1b]0;X\x07")
    for what, change in _MESSAGES.items():
        yield what, partial(_worded, change=change)
    for what, headers in _HEADERS.items():
        yield what, partial(_headed, headers=headers)


def trees() -> Iterator[tuple[str, Callable[[ObjectWriter], bytes]]]:
    """Trees that are deep, wide, doubled, in no order, or no trees."""

    def deep(put: ObjectWriter, depth: int) -> bytes:
        tree = put.tree([(FILE, b"x", put.put(b"blob", b"x"))])
        for _ in range(depth):
            tree = put.tree([(DIRECTORY, b"d", tree)])
        return tree

    def doubling(put: ObjectWriter, depth: int, wide: int) -> bytes:
        tree = put.tree([(FILE, b"x", put.put(b"blob", b"x"))])
        for _ in range(depth):
            tree = put.tree([(DIRECTORY, b"%d" % n, tree) for n in range(wide)])
        return tree

    def wide(put: ObjectWriter, mode: bytes, count: int) -> bytes:
        inner = put.tree([]) if mode == DIRECTORY else put.put(b"blob", b"")
        return put.tree([(mode, b"%d" % n, inner) for n in range(1, count + 1)])

    def twice(put: ObjectWriter) -> bytes:
        one, two = put.put(b"blob", b"one"), put.put(b"blob", b"two")
        return put.put(b"tree", b"".join(
            b"%s TASK\0%s" % (FILE, bytes.fromhex(it.decode())) for it in (one, two)))  # fmt: skip

    def cased(put: ObjectWriter) -> bytes:
        blob = put.put(b"blob", b"x")
        return put.tree(
            [(FILE, name, blob) for name in (b"a", b"A", b"\xc3\xa9", b"e\xcc\x81", b"a.", b"a ")]
        )

    yield "empty", lambda put: put.tree([])
    yield "a blob", lambda put: put.put(b"blob", b"no tree")
    yield "missing", lambda _put: b"1" * 39 + b"f"
    yield "deep", lambda put: deep(put, 3_000)
    yield "10^8 names", lambda put: doubling(put, 8, 10)
    yield "2^40 names", lambda put: doubling(put, 40, 2)
    yield "30,000 directories", lambda put: wide(put, DIRECTORY, 30_000)
    yield "10,000 files", lambda put: wide(put, FILE, 10_000)
    yield "one name twice", twice
    yield "names of one case", cased
    yield "bytes cut short", lambda put: put.put(b"tree", b"100644 x\0abc")
    yield "a name without end", lambda put: put.put(b"tree", b"100644 " + b"x" * 100_000)
