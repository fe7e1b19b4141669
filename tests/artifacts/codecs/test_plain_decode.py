"""Payloads that a stranger made to hurt whoever looks at them: refused, quickly, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import msgpack
import pytest

from gitflowrun.artifacts.codecs import decode, encode, plain_encode
from gitflowrun.errors import CorruptRecord, NotFound, UntrustedArtifact
from tests.helpers.repos import ROOT


def ext(code: int, value: Any) -> msgpack.ExtType:
    """An extension value that holds another."""
    return msgpack.ExtType(code, msgpack.packb(value))


def refused(payload: bytes, error: type[Exception] = CorruptRecord) -> None:
    """Decode in another process, which must say no, and soon."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from gitflowrun.artifacts.codecs import decode\n"
        f"from gitflowrun.errors import {error.__name__}\n"
        "try: decode('plain/1', memoryview(sys.stdin.buffer.read()), trusted=False)\n"
        f"except {error.__name__} as error: print('refused', error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=payload,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith(b"refused"), (done.returncode, done.stderr[-2000:])


def test_values_embedded_in_one_another() -> None:
    """Depth is counted through them, whatever the codec of each."""
    payload = msgpack.packb(1)
    for _ in range(5_000):
        payload = msgpack.packb(ext(plain_encode.EMBEDDED, ["plain/1", payload]))
    refused(payload)


@pytest.mark.parametrize("how", ["tuple", "frozenset", "slice", "tuple in a list"])
def test_shared_values_that_take_for_ever_to_hash(how: str) -> None:
    """Tuples of the same tuple twice, sixty times, in a set."""
    kinds = {"frozenset": plain_encode.FROZENSET, "slice": 7}
    table: list[bytes] = [msgpack.packb(ext(plain_encode.TUPLE, [1, 2]))]
    for number in range(60):
        ref = _ref(number)
        other = ext(plain_encode.TUPLE, [ref, number])
        parts = [ref, other] if how != "slice" else [ref, ref, None]
        table.append(msgpack.packb(ext(kinds.get(how, plain_encode.TUPLE), parts)))
    table.append(msgpack.packb([ext(plain_encode.SET, [_ref(60)])]))
    refused(msgpack.packb(ext(plain_encode.SHARED, table)), UntrustedArtifact)


def test_shared_values_of_trusted_runs() -> None:
    """What our own writer never shared, an older or other writer may have: it loads."""
    table = [msgpack.packb(ext(plain_encode.TUPLE, [1, 2])), msgpack.packb([_ref(0), _ref(0)])]
    payload = msgpack.packb(ext(plain_encode.SHARED, table))
    refused(payload, UntrustedArtifact)
    assert decode("plain/1", payload, trusted=True) == [(1, 2), (1, 2)]


def _ref(number: int) -> msgpack.ExtType:
    return msgpack.ExtType(plain_encode.REF, number.to_bytes(4, "big"))


def test_many_small_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few KB in a pack could fill the memory: such a value needs trust, and then is loaded."""
    refused(b"\xdd" + (8 << 20).to_bytes(4, "big") + b"\x90" * (8 << 20), UntrustedArtifact)
    monkeypatch.setattr("gitflowrun.artifacts.codecs.plain_decode.STRANGERS_MEMORY", 1 << 20)
    many = [[number] for number in range(50_000)]
    payload = encode(many).payload()
    with pytest.raises(UntrustedArtifact, match="many times the size"):
        decode("plain/1", payload, trusted=False)
    assert decode("plain/1", payload, trusted=True) == many


@pytest.mark.parametrize(
    "key", ["America", "x" * 300, "/etc/passwd", "../../etc/passwd", "No/Where"]
)
def test_odd_time_zones(key: str) -> None:
    """A directory, a name beyond what file systems take, a path."""
    with pytest.raises((NotFound, CorruptRecord)):
        decode("plain/1", msgpack.packb(ext(15, key)), trusted=False)
