"""Git's object model as values: ids, types, trees, commits. Bytes in, bytes out; no repository is touched.

Formats: gitformat-pack(5), git-hash-object(1) and the commit and tree formats of git's own `commit.c` and
`tree-walk.c`. The standard library suffices, so task processes can build objects without pygit2.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cache, partial
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import HASHED_ALONE, HASHED_IN_ALL, SMALL_ENTRY
from gitflowrun.names import FixedBytes
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterable, Iterator

Buffer = bytes | bytearray | memoryview

# OpenSSL hashes eight times as fast, but takes 5 ms to load, which who only reads a few records should not wait for;
# and in a fork its first use copies 20 pages, which takes longer than to hash a few small objects without it.
_hashed = [0]  # bytes, by this process
_sha1: Callable[..., hashlib._Hash] | None = None  # what hashes once that is much
_small_sha1: Callable[..., hashlib._Hash] | None
try:
    from _sha1 import sha1 as _small_sha1  # type: ignore[import-not-found,no-redef]
except ImportError:  # a Python that was built without it
    _small_sha1 = None


class Oid(FixedBytes):
    """The id of a git object: 20 bytes, the SHA-1 of its type, size and content."""

    __slots__ = ()
    SIZE = 20
    WHAT = "an object id"

    @classmethod
    def from_hex(cls, text: str | bytes) -> Oid:
        """The id written as 40 hexadecimal digits."""
        return cls(bytes.fromhex(text if isinstance(text, str) else text.decode("ascii")))

    @property
    def short(self) -> str:
        """The first seven hexadecimal digits."""
        return self.hex()[:7]

    def __repr__(self) -> str:
        return f"Oid({self.hex()!r})"


_oid: Callable[[bytes], Oid] = partial(bytes.__new__, Oid)  # of what is known to have its size
NULL_OID = Oid(bytes(Oid.SIZE))


class ObjectType(IntEnum):
    """The four object types, numbered as packs number them."""

    COMMIT = 1
    TREE = 2
    BLOB = 3
    TAG = 4

    @property
    def word(self) -> bytes:
        """The type's name in object headers."""
        return _WORDS[self]

    @classmethod
    def from_word(cls, word: bytes) -> ObjectType:
        """The type that an object header names."""
        return _TYPES[word]


_WORDS = {kind: kind.name.lower().encode() for kind in ObjectType}
_TYPES = {word: kind for kind, word in _WORDS.items()}


class Mode(IntEnum):
    """File modes that trees may hold."""

    TREE = 0o040000
    BLOB = 0o100644
    EXECUTABLE = 0o100755
    LINK = 0o120000
    GITLINK = 0o160000


_TREE = int(Mode.TREE)


@frozen
class TreeEntry:
    """One row of a tree. Names stay bytes, as git keeps them."""

    mode: int
    name: bytes
    oid: Oid

    @property
    def is_tree(self) -> bool:
        """Whether the entry names another tree."""
        return self.mode == Mode.TREE


@frozen
class Signature:
    """Who, and when: seconds since 1970 and minutes east of UTC."""

    name: str
    email: str
    seconds: int
    offset: int = 0

    def encode(self) -> bytes:
        """The signature as commits write it, characters that would break the line left out."""
        sign = "-" if self.offset < 0 else "+"
        zone = f"{sign}{abs(self.offset) // 60:02d}{abs(self.offset) % 60:02d}"
        return f"{_clean(self.name)} <{_clean(self.email)}> {self.seconds} {zone}".encode()

    @classmethod
    def decode(cls, line: bytes) -> Signature:
        """The signature in a commit's header line.

        Raises:
            CorruptRecord: it has not the form `name <email> seconds zone`.
        """
        try:
            who, _, rest = line.rpartition(b"> ")
            name, _, email = who.partition(b" <")
            seconds, zone = rest.split(b" ")
            minutes = int(zone[1:3]) * 60 + int(zone[3:5])
            return cls(
                name.decode(errors="replace"),
                email.decode(errors="replace"),
                int(seconds),
                -minutes if zone.startswith(b"-") else minutes,
            )
        except (ValueError, IndexError) as error:
            raise CorruptRecord(f"malformed signature {line!r}") from error


def _clean(text: str) -> str:
    kept = "".join(char for char in text if char not in "<>\n\0").strip(" .,:;\"'")
    return kept or "unknown"


@frozen
class Commit:
    """A commit: a tree, its parents, who and when, and a message."""

    tree: Oid
    parents: tuple[Oid, ...]
    author: Signature
    committer: Signature
    message: bytes

    def encode(self) -> bytes:
        """The commit as an object's content."""
        lines = [b"tree " + self.tree.hex().encode()]
        lines += [b"parent " + parent.hex().encode() for parent in self.parents]
        lines += [b"author " + self.author.encode(), b"committer " + self.committer.encode()]
        return b"\n".join(lines) + b"\n\n" + self.message


def parse_commit(data: Buffer) -> Commit:
    """The commit in an object's content; other headers, such as signatures, are passed over.

    Raises:
        CorruptRecord: the content is no commit.
    """
    head, _, message = bytes(data).partition(b"\n\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        fields.setdefault(key, []).append(value)
    try:
        return Commit(
            tree=Oid.from_hex(fields[b"tree"][0]),
            parents=tuple(Oid.from_hex(parent) for parent in fields.get(b"parent", ())),
            author=Signature.decode(fields[b"author"][0]),
            committer=Signature.decode(fields[b"committer"][0]),
            message=message,
        )
    except (KeyError, ValueError) as error:
        raise CorruptRecord("malformed commit object") from error


def tree_bytes(entries: Iterable[TreeEntry]) -> bytes:
    """The content of the tree with `entries`, in git's order (directories sort as if they ended in `/`)."""
    rows = []
    for entry in entries:  # of which a commit of a run makes thousands
        name = entry.name
        if entry.mode == _TREE:
            rows.append((name + b"/", b"40000 %s\0%s" % (name, entry.oid)))
        else:
            rows.append((name, b"%o %s\0%s" % (entry.mode, name, entry.oid)))
    if len(rows) > 1:
        rows.sort()
    return b"".join([row for _, row in rows])


_TREE_ROW = re.compile(rb"([0-7]+) ([^\0]*)\0(.{20})", re.DOTALL)
_BESIDE_NAMES = 2 + Oid.SIZE  # bytes of a row besides mode and name
_NO_TREE = "malformed tree object"


def parse_tree(data: Buffer) -> Iterator[TreeEntry]:
    """The rows of a tree's content.

    Raises:
        CorruptRecord: the content is no tree.
    """
    return (TreeEntry(int(mode, 8), name, _oid(oid)) for mode, name, oid in tree_rows(data))


def tree_oids(data: Buffer) -> dict[bytes, Oid]:
    """The ids in a tree's content by their names. Raises as `parse_tree`."""
    if len(data) > SMALL_ENTRY:
        return {name: _oid(oid) for _, name, oid in tree_rows(data)}
    # Of a few rows, as most trees of runs have, all are found at once: what lies between them shows in their lengths.
    rows = _TREE_ROW.findall(data)
    if sum([len(mode) + len(name) + _BESIDE_NAMES for mode, name, _ in rows]) != len(data):
        raise CorruptRecord(_NO_TREE)
    return {name: _oid(oid) for _, name, oid in rows}


def tree_rows(data: Buffer) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Mode, name and id of each row of a tree's content as they stand there, one at a time: it may have 300,000.

    Raises:
        CorruptRecord: the content is no tree.
    """
    end = 0
    for row in _TREE_ROW.finditer(data):
        if row.start() != end:
            break  # something lies between the rows
        end = row.end()
        yield row.groups()  # type: ignore[misc]
    if end != len(data):
        raise CorruptRecord(_NO_TREE)


def checked_pieces(oid: Oid, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a blob of `size` bytes as they come.

    Raises:
        CorruptRecord: after the last one, if they are not what the id says.
    """
    digest = (_sha1 or _sha1_for(size))(
        b"%s %d\0" % (_WORDS[ObjectType.BLOB], size), usedforsecurity=False
    )
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.digest() != oid:
        raise CorruptRecord(f"object {oid} can't be read: its content has another id")


def hash_object(kind: ObjectType, data: Buffer) -> Oid:
    """The id that git gives to an object (as `git hash-object`)."""
    size = len(data)
    make = _sha1 or _sha1_for(size)
    if size < HASHED_ALONE:
        content = b"%s %d\0%s" % (_WORDS[kind], size, data)
        return _oid(make(content, usedforsecurity=False).digest())
    digest = make(b"%s %d\0" % (_WORDS[kind], size), usedforsecurity=False)
    digest.update(data)
    return _oid(digest.digest())


def _sha1_for(size: int) -> Callable[..., hashlib._Hash]:
    global _sha1  # noqa: PLW0603  (a commit of a run hashes thousands of objects)
    _hashed[0] += size
    if _small_sha1 and _hashed[0] < HASHED_IN_ALL:
        return _small_sha1 if size < HASHED_ALONE else _openssl_sha1()
    _sha1 = _openssl_sha1()
    return _sha1


@cache
def _openssl_sha1() -> Callable[..., hashlib._Hash]:
    import hashlib

    return hashlib.sha1
