"""Where an artifact's payload lies: its reference, and the chunks that it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord
from gitflowrun.git.objects import Oid
from gitflowrun.names import Digest, PayloadIdentity, TaskName
from gitflowrun.schema import COUNT, DIGEST, TASK_NAME, TEXT, Kind, MapSchema
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ARTIFACT_REF", "ArtifactRef", "Chunk", "chunk_rows", "read_chunk_rows"]


@frozen
class Chunk:
    """A piece of an artifact's payload: its BLAKE3, the oid of the blob that holds it, its size."""

    digest: Digest
    oid: Oid
    size: int


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
    """

    digest: Digest
    size: int
    codec: str
    type: str
    chunks: tuple[Chunk, ...]
    producer: TaskName

    @property
    def identity(self) -> PayloadIdentity:
        """Which value it is, wherever the payload lies and whoever wrote it."""
        return PayloadIdentity(self.digest, self.codec, self.type)


_CHUNK_BYTES = Digest.SIZE + Oid.SIZE + 8


def chunk_rows(chunks: Iterable[Chunk]) -> bytes:
    """Chunks as bytes: digest, oid and size of each."""
    return b"".join(chunk.digest + chunk.oid + chunk.size.to_bytes(8, "big") for chunk in chunks)


def read_chunk_rows(raw: bytes) -> tuple[Chunk, ...]:
    """The chunks that `chunk_rows` wrote. Raises CorruptRecord: it did not."""
    if not isinstance(raw, bytes) or len(raw) % _CHUNK_BYTES:
        raise CorruptRecord("a chunk list is cut short")
    rows = [raw[i : i + _CHUNK_BYTES] for i in range(0, len(raw), _CHUNK_BYTES)]
    return tuple(
        Chunk(Digest(row[:32]), Oid(row[32:52]), int.from_bytes(row[52:], "big")) for row in rows
    )


def _check_sizes(ref: ArtifactRef) -> None:
    if sum(chunk.size for chunk in ref.chunks) != ref.size:
        raise CorruptRecord("an artifact's chunks do not add up to its size")


ARTIFACT_REF = MapSchema(
    ArtifactRef,
    "artifact",
    {
        "digest": DIGEST,
        "size": COUNT,
        "codec": TEXT,
        "type": TEXT,
        "producer": TASK_NAME,
        "chunks": Kind(read_chunk_rows, chunk_rows),
    },
    keys={"digest": "blake3", "producer": "task"},
    check=_check_sizes,
)
