"""How objects are framed in packs."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.git.objects import ObjectType
from gitflowrun.git.pack import format as pack_format
from tests.helpers.packs import EDGES, noise


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("with_numpy", [True, False])
def test_stored_streams_are_zlib_streams(
    size: int, with_numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any zlib inflates a stored stream to the data, whichever way it was framed."""
    pytest.importorskip("numpy")
    monkeypatch.setattr(pack_format, "use_numpy", lambda: with_numpy)
    data = noise(size)
    out = bytearray(pack_format.stored_size(size))
    pack_format.fill_stored(memoryview(data), memoryview(out))
    assert zlib.decompress(out) == data


@given(st.binary(max_size=300), st.integers(1, 40))
def test_small_streams_are_zlib_streams(data: bytes, repeat: int) -> None:
    """Small objects round-trip, and are never larger than their stored form."""
    framed = pack_format.frame_small(data * repeat)
    assert zlib.decompress(framed) == data * repeat
    assert len(framed) <= pack_format.stored_size(len(data) * repeat)


@given(st.sampled_from(ObjectType), st.integers(0, 1 << 60))
def test_entry_headers_hold_type_and_size(kind: ObjectType, size: int) -> None:
    """An entry's header says its type and size, low bits first."""
    header = pack_format.entry_header(kind, size)
    found, shift = header[0] & 15, 4
    for byte in header[1:]:
        found |= (byte & 0x7F) << shift
        shift += 7
    assert (header[0] >> 4) & 7 == kind
    assert found == size
    assert [bool(byte & 0x80) for byte in header] == [True] * (len(header) - 1) + [False]


def test_noise_is_stored_and_text_is_deflated() -> None:
    """The sample tells what is worth compressing."""
    assert not pack_format.is_compressible(memoryview(noise(1 << 20)))
    assert pack_format.is_compressible(memoryview(b"id,name,value\n" * 80_000))
    assert pack_format.is_compressible(memoryview(bytes(1 << 20)))


def test_without_isal_and_zlib_ng_the_standard_library_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No extra package is needed to write packs."""
    for name in ("isal", "isal.isal_zlib", "zlib_ng", "zlib_ng.zlib_ng"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    tools = pack_format.tools.__wrapped__()
    assert tools.crc32 is zlib.crc32
    assert zlib.decompress(tools.deflate(b"abc" * 100)) == b"abc" * 100
