"""Text and bytes as they are, so that `git show` and `git diff` read them. Nothing inside containers."""

from __future__ import annotations

from typing import Any

from gitflowrun.artifacts.codecs.payload import Loading, Unencodable
from gitflowrun.errors import CorruptRecord

__all__ = ["decode_bytes", "decode_str", "encode_bytes", "encode_str"]


def encode_str(value: str) -> tuple[memoryview, ...]:
    """The text as UTF-8; text that UTF-8 can't hold (lone surrogates) is declined."""
    try:
        return (memoryview(value.encode()),)
    except UnicodeEncodeError as error:
        raise Unencodable("a lone surrogate") from error


def decode_str(payload: memoryview, _loading: Loading) -> str:
    """The text that `encode_str` wrote."""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise CorruptRecord(f"stored text is not UTF-8: {error}") from error


def encode_bytes(value: bytes) -> tuple[memoryview, ...]:
    """The bytes themselves, not copied."""
    return (memoryview(value),)


def decode_bytes(payload: memoryview, _loading: Loading) -> bytes:
    """The bytes that `encode_bytes` wrote, not copied if the payload is a bytes object of its own."""
    whole: Any = payload.obj
    if type(whole) is bytes and len(whole) == payload.nbytes:
        return whole
    return bytes(payload)
