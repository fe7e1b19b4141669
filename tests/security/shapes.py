"""Histories and trees of shapes that no run of ours has, which git allows or at least stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.security.parts import DIRECTORY, FILE, LINK, Chain, ObjectWriter

_RUNNING = b"F/1: running\n\nRun: F/1\nStatus: running\nStarted: 2026-11-28T00:00:00Z\n"


def histories() -> Iterator[tuple[str, Callable[[Chain], bytes]]]:
    """Ways to connect a run's first commit with its last one, or not to."""

    def tip(chain: Chain, *parents: bytes) -> bytes:
        return chain.put.commit(chain.trees[1], parents, chain.message, chain.who)

    def other(chain: Chain, number: int = 0) -> bytes:
        return chain.put.commit(chain.trees[0], [], _RUNNING + b"N: %d\n" % number)

    def long(chain: Chain, length: int) -> bytes:
        last = chain.first
        for number in range(length):
            last = chain.put.commit(chain.trees[1], [last], _RUNNING + b"N: %d\n" % number)
        return tip(chain, last)

    def tagged(chain: Chain, kind: bytes, thing: bytes, depth: int = 1) -> bytes:
        for _ in range(depth):
            body = b"object %s\ntype %s\ntag x\ntagger M <m@x> 1 +0000\n\n\x1b]0;X\x07\n" % (
                thing,
                kind,
            )
            thing, kind = chain.put.put(b"tag", body), b"tag"
        return thing

    def raw(chain: Chain, body: bytes) -> bytes:
        return chain.put.put(b"commit", body)

    yield "no parent", tip
    yield "the first commit", lambda it: it.first
    yield "a merge", lambda it: tip(it, it.first, other(it))
    yield "a merge the other way", lambda it: tip(it, other(it), it.first)
    yield "another's first commit", lambda it: tip(it, other(it))
    yield "one parent twice", lambda it: tip(it, it.first, it.first)
    yield "sixty parents", lambda it: tip(it, it.first, *[other(it, n) for n in range(60)])
    yield "long", lambda it: long(it, 10_000)
    yield "INFO changes", lambda it: tip(it, it.put.commit(
        it.put.tree([(FILE, b"INFO", it.put.put(b"blob", b"\x80"))]), [it.first], _RUNNING))  # fmt: skip
    yield "INFO goes", lambda it: it.put.commit(it.put.tree([]), [it.first], it.message)
    yield "empty tree first", lambda it: tip(it, it.put.commit(it.put.tree([]), [], _RUNNING))
    yield "INFO is a tree", lambda it: it.put.commit(
        it.put.tree([(DIRECTORY, b"INFO", it.trees[0])]), [it.first], it.message)  # fmt: skip
    yield "INFO is a link", lambda it: it.put.commit(
        it.put.tree([(LINK, b"INFO", it.put.put(b"blob", b"/etc/passwd"))]), [it.first], it.message)  # fmt: skip
    yield "a tree within itself by name", lambda it: it.put.commit(
        it.put.tree([(DIRECTORY, b"steps", it.trees[1]), (DIRECTORY, b"code", it.trees[1])]), [it.first],
        it.message)  # fmt: skip
    yield "a tag of the tip", lambda it: tagged(it, b"commit", tip(it, it.first))
    yield "a tag of tags", lambda it: tagged(it, b"commit", tip(it, it.first), 300)
    yield "a tag of a tree", lambda it: tagged(it, b"tree", it.trees[1])
    yield "a tree", lambda it: it.trees[1]
    yield "a blob", lambda it: it.put.put(b"blob", b"\x1b]0;X\x07")
    yield "no message", lambda it: it.put.commit(it.trees[1], [it.first], b"")
    yield "message of trailers alone", lambda it: it.put.commit(
        it.trees[1], [it.first], it.message.partition(b"\n\n")[2])  # fmt: skip
    yield (
        "message of 1 MB",
        lambda it: it.put.commit(it.trees[1], [it.first], b"x\n" * 500_000 + it.message),
    )
    yield "many trailers", lambda it: it.put.commit(
        it.trees[1], [it.first], it.message + b"Status: done\nUid: x\n" * 20_000)  # fmt: skip
    yield "an encoding", lambda it: raw(
        it, b"tree %s\nparent %s\nauthor M <m@x> 1 +0000\ncommitter M <m@x> 1 +0000\nencoding UTF-7\n\n%s"
        % (it.trees[1], it.first, it.message))  # fmt: skip
    yield "a signature of escapes", lambda it: raw(
        it, b"tree %s\nparent %s\nauthor M <m@x> 1 +0000\ncommitter M <m@x> 1 +0000\n"
        b"gpgsig -----BEGIN PGP SIGNATURE-----\n \x1b]0;OWNED\x07\n -----END PGP SIGNATURE-----\n\n%s"
        % (it.trees[1], it.first, it.message))  # fmt: skip
    yield (
        "no author",
        lambda it: raw(it, b"tree %s\nparent %s\n\n%s" % (it.trees[1], it.first, it.message)),
    )
    yield (
        "a NUL in its message",
        lambda it: it.put.commit(it.trees[1], [it.first], b"x\0y" + it.message),
    )
    yield "a thousand headers", lambda it: raw(
        it, b"tree %s\nparent %s\nauthor M <m@x> 1 +0000\ncommitter M <m@x> 1 +0000\n%s\n%s"
        % (it.trees[1], it.first, b"x \x1b[2J\n" * 1_000, it.message))  # fmt: skip


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
