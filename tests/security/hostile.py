"""What a malicious colleague writes into a field: values by kind, each of them a single one of its kind.

Texts that would do something where they are executed, opened or imported leave a *canary*: a file in a directory
that stays empty as long as a run is data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgpack

TITLE = "\x1b]0;OWNED\x07"
"""Sets a terminal's title; the plainest of the sequences that must never reach one."""


def pack(value: Any) -> bytes:
    """msgpack, and lone surrogates as the bytes that they escape: records may hold text that is no UTF-8."""
    made: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return made


def unpack(data: bytes) -> Any:
    """What `pack` has written."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogateescape")


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def canary_pickle(canaries: str) -> bytes:
    """A pickle that opens a canary when it is loaded."""
    return f"cbuiltins\nopen\n(V{canaries}/pickle\nVw\ntR.".encode()


def commands(canaries: str) -> Iterator[str]:
    """Texts that leave a canary where a shell, git or an option parser takes them for its own."""
    made = f"touch {canaries}"
    yield f"$({made}/dollar)"
    yield f"`{made}/backtick`"
    yield f"; {made}/semicolon #"
    yield f"| {made}/pipe"
    yield f"\n{made}/newline\n"
    yield f"--upload-pack={made}/upload"
    yield f"--output={canaries}/output"
    yield f"-o{canaries}/short"
    yield f"ext::sh -c touch% {canaries}/ext"
    yield f"[core]\n\tsshCommand = {made}/config\n\tpager = {made}/pager"
    yield f"__import__('os').system('{made}/eval')"
    yield "{0.__class__.__init__.__globals__} %(x)s %n {{7*7}}"


def paths(canaries: str) -> Iterator[str]:
    """Names that lead out of the directory in which a file of that name is written."""
    yield "../../../escaped"
    yield f"{canaries}/absolute"
    yield "a/../../escaped"
    yield "..\\..\\escaped"
    yield "nul\0byte"
    yield ".git/hooks/post-commit"
    yield "GIT~1/config"
    yield "CON"


def sequences() -> Iterator[str]:
    """Texts that command a terminal, hide or reorder what it shows, or are no text at all."""
    yield TITLE
    yield "\x1b[2J\x1b[H\x1b[?1049h"
    yield "\x1bP+q544e\x1b\\"
    yield "fine\rgone"
    yield "bell\x07\x08\x08\x7f"
    yield "\x9b2J\x9d0;OWNED\x9c"
    yield "abc\u202edcba\u2066x\u2069"
    yield "a\u200bb\u2060c\ufeffd\u00ade"
    yield "\udced\udca0\udc80"  # half of a surrogate pair, as UTF-8 would write it
    yield "\udcff\udcfe\udcc0\udc80"  # no UTF-8 at all
    yield "lines\u2028and\u2029lines\x85of\x0btext"


def markup() -> Iterator[str]:
    """Texts that are elements, attributes or scripts where they are pasted into a page."""
    yield "<script>alert(1)</script>"
    yield '"><img src=x onerror=alert(1)>'
    yield "' onmouseover='alert(1)"
    yield "</td></table><iframe src='javascript:alert(1)'></iframe>"
    yield "&lt;b&gt;]]><!--"


def texts(canaries: str) -> Iterator[str]:
    """All texts but the long ones."""
    yield ""
    families = sequences(), commands(canaries), paths(canaries), markup()
    for row in itertools.zip_longest(*families):
        yield from (text for text in row if text is not None)
    yield "__class__"
    yield "٣"  # a digit that is none of ASCII's
    yield "e\u0301" * 300


def values(canaries: str) -> list[tuple[str, Any]]:
    """Values of every type of msgpack, and the extremes of each, with what they are called."""
    extremes: dict[str, Any] = {
        "nil": None, "true": True, "zero": 0, "minus": -1, "one": 1, "year 10000": 253_402_300_800,
        "before 1": -62_135_596_801, "2**31": 2**31, "2**63": 2**63, "2**64-1": 2**64 - 1,
        "-2**63": -(2**63), "half": 0.5, "minus zero": -0.0, "1e300": 1e300, "-1e300": -1e300,
        "inf": float("inf"), "nan": float("nan"), "empty bytes": b"", "bytes": b"\x00\xff\x1b]0;X\x07",
        "pickle": canary_pickle(canaries), "empty list": [], "empty map": {}, "list": [1, "a", None],
        "map": {"a": [{"b": 1}]}, "map of numbers": {1: 2}, "deep": _deep(400), "long list": [None] * 500_000,
        "wide map": {f"k{n}": n for n in range(20_000)}, "extension": msgpack.ExtType(5, b"xx"),
        "time": msgpack.Timestamp(2**34 - 1, 999_999_999), "long text": "A" * (1 << 20),
        "many lines": "x\n" * 300_000, "long bytes": bytes(1 << 20), "long escape": TITLE * 50_000,
        "many digits": "9" * 5_000,
    }  # fmt: skip
    named = [(f"text {text[:24]!a}", text) for text in texts(canaries)]
    rows = itertools.zip_longest(extremes.items(), named)
    return [item for row in rows for item in row if item is not None]
