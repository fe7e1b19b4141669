"""Loose objects: one zlib file per object below `objects/xx/`. We read what git wrote; we never write any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.pack.inflate import inflate, inflate_head, inflate_into
from gitflowrun.git.pack.stream import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from gitflowrun.git.pack.stream import Source

__all__ = ["LooseObject", "loose_path"]

_WORDS = frozenset(kind.word for kind in ObjectType)
_HEAD = 32  # type, space, up to 20 digits, NUL


def loose_path(objects_dir: Path, oid: Oid) -> Path:
    """Where the object lies if it is loose."""
    name = oid.hex()
    return objects_dir / name[:2] / name[2:]


@dataclass(frozen=True, slots=True)
class LooseObject:
    """An opened loose object: its type and size are known, its content is not yet inflated."""

    kind: ObjectType
    size: int
    _header: int
    _source: Source

    @classmethod
    def open(cls, path: Path) -> LooseObject:
        """Open the file and read the header.

        Raises:
            FileNotFoundError: there is none.
            CorruptRecord: it is not a loose object.
        """
        source = open_source(path)
        head, zero, _ = inflate_head(source, 0, _HEAD).partition(b"\0")
        word, _, digits = head.partition(b" ")
        if not (zero and digits.isdigit() and word in _WORDS):
            raise CorruptRecord(f"{path} is not a loose object")
        return cls(ObjectType.from_word(word), int(digits), len(head) + 1, source)

    def content(self) -> bytes:
        """The object's content."""
        return inflate(self._source, 0, self.size, skip=self._header)

    def content_into(self, target: memoryview) -> None:
        """The same, into `target`, which has the object's size."""
        inflate_into(self._source, 0, target, skip=self._header)
