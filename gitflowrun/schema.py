"""Strict readers of a decoded record's fields: the right kind of value or an error, never a guess.

What fields a record has is `records`' business. Inside a `reading` block every complaint of these readers,
a missing key and an invalid name become `CorruptRecord`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gitflowrun.errors import CorruptRecord, InvalidPathspec, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, check_flow_name

__all__ = [
    "binary",
    "check_schema",
    "count",
    "digest",
    "flow_name",
    "integer",
    "mapping",
    "oid",
    "optional_text",
    "reading",
    "real",
    "sequence",
    "text",
    "text_map",
    "texts",
]

_MALFORMED = (
    KeyError, TypeError, ValueError, AttributeError, OverflowError, InvalidPathspec, UsageError,
)  # fmt: skip


class reading:  # noqa: N801  (used as a statement)
    """Turns the errors of a malformed map into CorruptRecord."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError):
            raise CorruptRecord(f"malformed {self.what} record: no field {error}") from error
        if isinstance(error, _MALFORMED):
            raise CorruptRecord(f"malformed {self.what} record: {error}") from error


def check_schema(data: object, what: str, newest: int) -> None:
    """Raise CorruptRecord unless `data` is a map of a schema up to `newest`."""
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if not isinstance(schema, int):
        raise CorruptRecord(f"this is no {what} record")
    if schema > newest:
        raise CorruptRecord(
            f"this {what} record has schema {schema}; this release reads up to {newest}",
            hint="install a newer gitflowrun",
        )


def text(value: Any) -> str:
    """The text that `value` is."""
    if not isinstance(value, str):
        raise _unexpected("text", value)
    return value


def optional_text(value: Any) -> str | None:
    """The text that `value` is, or None."""
    return None if value is None else text(value)


def flow_name(value: Any) -> str:
    """The name of a flow."""
    return check_flow_name(text(value))


def sequence(value: Any) -> list[Any]:
    """The list that `value` is."""
    if not isinstance(value, list | tuple):
        raise _unexpected("a list", value)
    return list(value)


def texts(value: Any) -> tuple[str, ...]:
    """The texts in a list."""
    return tuple(text(item) for item in sequence(value))


def mapping(value: Any) -> dict[str, Any]:
    """The map with text keys that `value` is."""
    if not isinstance(value, Mapping):
        raise _unexpected("a map", value)
    return {text(key): item for key, item in value.items()}


def text_map(value: Any) -> dict[str, str]:
    """The map from text to text that `value` is."""
    return {key: text(item) for key, item in mapping(value).items()}


def integer(value: Any) -> int:
    """The whole number that `value` is."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected("a whole number", value)
    return value


def count(value: Any) -> int:
    """The whole number, 0 or more, that `value` is."""
    if integer(value) < 0:
        raise _unexpected("a count", value)
    return int(value)


def real(value: Any) -> float:
    """The finite number that `value` is."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _unexpected("a number", value)
    return float(value)


def binary(value: Any) -> bytes:
    """The bytes that `value` is."""
    if not isinstance(value, bytes):
        raise _unexpected("binary", value)
    return value


def oid(value: Any) -> Oid:
    """The object id that `value` is."""
    return Oid(binary(value))


def digest(value: Any) -> Digest:
    """The BLAKE3 digest that `value` is."""
    return Digest(binary(value))


def _unexpected(wanted: str, value: object) -> TypeError:
    return TypeError(f"expected {wanted}, found {repr(value)[:60]}")
