"""The reference of an artifact: where its payload lies, in which chunks, and what it is."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.scalar import is_scalar
from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, PayloadIdentity, TaskName
from gitflowrun.schema import BINARY, COUNT, DIGEST, FLAG, TASK_NAME, TEXT, Kind, MapSchema
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.artifacts.scalar import Scalar


@frozen
class Chunk:
    """A piece of an artifact's payload: its BLAKE3, the oid of the blob that holds it, its size."""

    digest: Digest
    oid: Oid
    size: int


@frozen
class Picture:
    """The picture of a figure, see `artifacts.picture`: a file that shows it without loading it.

    Attributes:
        suffix: `.png` or `.html`.
        is_exact: Whether the figure's own library would write the same.
        chunk: Its content.
    """

    suffix: str
    is_exact: bool
    chunk: Chunk


@frozen
class ArtifactRef:
    """Where an artifact's payload lies and how to turn it back into a value.

    Attributes:
        digest: BLAKE3 of the whole payload.
        size: Bytes of the whole payload.
        codec: Id of the codec that wrote it, such as `plain/1` or `pickle/5`.
        type: The value's type as people read it, such as `builtins.dict`.
        chunks: The payload's pieces in order; one for a payload of up to 1 MiB.
        producer: The task that wrote it. An inherited artifact names an earlier task of the run.
        preview: What is shown of the value, see `artifacts.preview`. Where it is inherited, its producer's record
            has that.
        scalar: The value of a scalar, alone in a tuple, see `artifacts.scalar`; empty for other values.
        picture: What shows a figure; it has no part in which value this is.
        untrusted: Whether a run made it that was not trusted when a run of ours took it over. The mark goes wherever
            the reference goes: into joins, under other names, into runs that resume that one.
    """

    digest: Digest
    size: int
    codec: str
    type: str
    chunks: tuple[Chunk, ...]
    producer: TaskName
    preview: bytes = b""
    scalar: tuple[Scalar, ...] = ()
    picture: Picture | None = None
    untrusted: bool = False

    @property
    def identity(self) -> PayloadIdentity:
        """Which value it is, wherever the payload lies and whoever wrote it."""
        return PayloadIdentity(self.digest, self.codec, self.type)


# A chunk as bytes: digest, oid, size. A list of maps would take three times the space and the time.
_ROW = struct.Struct(f">{Digest.SIZE}s{Oid.SIZE}sQ")
# Of what a row holds, which has its size.
_digest: Callable[[bytes], Digest] = partial(bytes.__new__, Digest)
_oid: Callable[[bytes], Oid] = partial(bytes.__new__, Oid)


def chunk_rows(chunks: Iterable[Chunk]) -> bytes:
    """Chunks as bytes."""
    return b"".join([_ROW.pack(chunk.digest, chunk.oid, chunk.size) for chunk in chunks])


def read_chunk_rows(raw: bytes) -> tuple[Chunk, ...]:
    """The chunks that `chunk_rows` wrote. Raises CorruptRecord: it did not."""
    if not isinstance(raw, bytes) or len(raw) % _ROW.size:
        raise CorruptRecord("a chunk list is cut short")
    rows = _ROW.iter_unpack(raw)
    return tuple([Chunk(_digest(digest), _oid(oid), size) for digest, oid, size in rows])


def _picture_row(picture: Picture) -> bytes:
    return chunk_rows([picture.chunk]) + bytes([picture.is_exact]) + picture.suffix.encode()


def _read_picture(raw: Any) -> Picture:
    if not isinstance(raw, bytes) or raw[_ROW.size + 1 :] not in {b".png", b".html"}:
        raise CorruptRecord("an artifact has a picture of no known kind")
    (chunk,) = read_chunk_rows(raw[: _ROW.size])
    return Picture(raw[_ROW.size + 1 :].decode(), bool(raw[_ROW.size]), chunk)


def _read_scalar(raw: Any) -> tuple[Scalar, ...]:
    """A scalar; nothing for what a later release may count as one."""
    row = tuple(raw) if isinstance(raw, list | tuple) else ()
    return row if len(row) == 1 and is_scalar(row[0]) else ()


def _check_sizes(ref: ArtifactRef) -> None:
    if sum([chunk.size for chunk in ref.chunks]) != ref.size:
        raise CorruptRecord("an artifact's chunks do not add up to its size")


_SCHEMA = MapSchema(
    ArtifactRef,
    "artifact",
    {
        "digest": DIGEST,
        "size": COUNT,
        "codec": TEXT,
        "type": TEXT,
        "producer": TASK_NAME,
        "chunks": Kind(read_chunk_rows, chunk_rows),
        "preview": BINARY,
        "scalar": Kind(_read_scalar, list),
        "picture": Kind(_read_picture, _picture_row),
        "untrusted": FLAG,
    },
    keys={"digest": "blake3", "producer": "task"},
    sparse=("preview", "scalar", "picture", "untrusted"),
    check=_check_sizes,
)


_KEPT, _KEPT_CHUNKS, _KEPT_PREVIEW = 256, 8, 4096
_loaded: dict[bytes, tuple[Any, ArtifactRef]] = {}
_dumped: dict[int, tuple[ArtifactRef, dict[str, Any]]] = {}
"""References that were read and written last, and what of or as: all tasks of a foreach inherit the same ones."""


def _load(data: Any) -> ArtifactRef:
    try:
        known = _loaded.get(data["blake3"])
        if known is not None and known[0] == data and _has_kinds(data.get("scalar"), known[1]):
            return known[1]
    except (TypeError, KeyError):
        return _SCHEMA.load(data)  # which says what is wrong
    found = _SCHEMA.load(data)
    if _is_kept(found):
        if len(_loaded) >= _KEPT:
            _loaded.clear()
        _loaded[found.digest] = data, found
    return found


def _has_kinds(raw: Any, ref: ArtifactRef) -> bool:
    """Whether an encoded scalar is of the same type as that of a reference which it equals: 0, 0.0 and False do."""
    return not raw or [*map(type, raw)] == [*map(type, ref.scalar)]


def _dump(ref: ArtifactRef) -> dict[str, Any]:
    known = _dumped.get(id(ref))
    if known is not None and known[0] is ref:
        return known[1]
    made = _SCHEMA.dump(ref)
    if _is_kept(ref):
        if len(_dumped) >= _KEPT:
            _dumped.clear()
        _dumped[id(ref)] = ref, made
    return made


def _is_kept(ref: ArtifactRef) -> bool:
    return len(ref.chunks) <= _KEPT_CHUNKS and len(ref.preview) <= _KEPT_PREVIEW


class _KeptReferences(Kind[ArtifactRef]):
    dump: Callable[[ArtifactRef], dict[str, Any]]


ARTIFACT_REF = _KeptReferences(_load, _dump)
