"""The preview of an artifact: what its task noted down of the value, so that nobody has to load it to show it.

A value that needs trust, a library or much memory to be shown gets one. It is a msgpack map of plain types in the
manifest of the task that made the value; manifests that inherit the value don't repeat it.

    text     the value as Python shows it, cut where it is long
    whole    whether nothing was left out of the text
    facts    what else there is to say, by name: shape, dtype, columns, statistics

It may be anybody's data: whoever prints it makes it harmless first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import MAX_PREVIEW, PREVIEW_FACTS, PREVIEW_SIZE, PREVIEW_TEXT
from gitflowrun.schema import FLAG, TEXT, TEXT_MAP, MapSchema
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


ADDRESS = re.compile(r" at 0x[0-9a-f]+\b")
"""Where a value lies in memory, in what Python shows of it: equal values have equal texts without."""


@frozen
class Preview:
    """What is shown of a value that is not loaded."""

    text: str
    whole: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """All of it in one line, facts in front: these are short, and the text may be cut."""
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        text = " ".join(self.text.split()) if "\n" in self.text else self.text
        return f"{facts}: {text}" if facts and text else facts or text

    @property
    def short(self) -> str:
        """The line, cut to what a cell of a table has space for."""
        line = self.line
        return line if len(line) <= MAX_PREVIEW else line[: MAX_PREVIEW - 1] + "…"


_SCHEMA = MapSchema(Preview, "preview", {"text": TEXT, "whole": FLAG, "facts": TEXT_MAP})
_LIMITS = msgpack.Limits(
    total=PREVIEW_SIZE, depth=3, nodes=200, text=PREVIEW_SIZE, binary=0,
)  # fmt: skip


def pack_preview(preview: Preview) -> bytes:
    """A preview as bytes, at most `PREVIEW_SIZE`; what is too long is cut."""
    facts: dict[str, str] = {}
    left = PREVIEW_FACTS
    for name, value in preview.facts.items():
        facts[name] = _cut(value, max(left, 0))
        left -= len(name) + len(facts[name].encode()) + 4
        if left <= 0:
            break
    text = _cut(preview.text, PREVIEW_TEXT)
    whole = preview.whole and text == preview.text
    return msgpack.pack(_SCHEMA.dump(Preview(text, whole, facts)), _LIMITS)


def read_preview(raw: bytes) -> Preview | None:
    """The preview that `pack_preview` wrote; None for other bytes: the value is shown without."""
    if not raw:
        return None
    try:
        return _SCHEMA.load(msgpack.unpack(raw, _LIMITS))
    except CorruptRecord:
        return None


def _cut(text: str, size: int) -> str:
    """The text in at most `size` bytes of UTF-8; halves of surrogates are written as escapes."""
    raw = text.encode(errors="backslashreplace")
    if len(raw) > size:
        raw = (
            raw[: max(size - len("…".encode()), 0)].decode(errors="ignore").encode() + "…".encode()
        )
    return raw.decode()
