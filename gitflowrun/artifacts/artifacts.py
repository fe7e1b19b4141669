"""The writer and the reader of artifacts: encoded values to blobs of the repository, and back.

Saving, for all artifacts of a task at once:

1. BLAKE3 of every payload. A payload that occurs twice is stored once.
2. Small ones together are returned `inline`: the scheduler writes them in the pack of its group commit.
3. Otherwise what the dedup index lists is not written again; the rest is cut into chunks, of which the new
   ones become one kept pack. The scheduler names it in `release` once a ref reaches it.

Task processes do this. It starts threads for large payloads, so a process that forks tasks must not.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.digest import digest, digest_all, digest_parts
from gitflowrun.artifacts.payloads import (
    PayloadFile,
    changed,
    chunk_digests,
    may_change,
    read_bytes,
    read_payload,
    stable_copy,
)
from gitflowrun.artifacts.place import loaded_from
from gitflowrun.artifacts.reference import ArtifactRef, Chunk, Picture
from gitflowrun.errors import CorruptRecord, UsageError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.limits import INLINE_LIMIT, WHOLE
from gitflowrun.msgpack import pack_message
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitflowrun.artifacts.codecs import Encoded
    from gitflowrun.artifacts.dedup import DedupIndex
    from gitflowrun.artifacts.payloads import Blobs
    from gitflowrun.artifacts.picture import Drawing
    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.git.pack.publish import PackStore
    from gitflowrun.git.pack.writer import PackObject
    from gitflowrun.names import Digest, TaskName


@frozen
class Saved:
    """What became of a task's artifacts.

    Attributes:
        refs: Where each lies, by name.
        inline: Payloads that are not written yet, by digest: the scheduler writes them.
        packs: The pack that was written, if any; kept until the scheduler releases it.
    """

    refs: dict[str, ArtifactRef]
    inline: dict[Digest, bytes] = field(default_factory=dict)
    packs: tuple[str, ...] = ()


class ArtifactWriter:
    """Saves artifacts.

    Args:
        packs: Writes packs; None for values that are all small.
        index: What is stored already; without it, everything large is written.
        inline_limit: Bytes up to which a task's payloads together are returned inline.
    """

    def __init__(
        self,
        packs: PackStore | None,
        index: DedupIndex | None = None,
        inline_limit: int = INLINE_LIMIT,
    ) -> None:
        self._packs = packs
        self._index = index
        self._inline_limit = inline_limit

    def save(
        self,
        values: Mapping[str, Encoded],
        producer: TaskName,
        pictures: Mapping[str, Drawing] | None = None,
    ) -> Saved:
        """Save all artifacts of a task.

        Args:
            values: The encoded values by name.
            producer: The task.
            pictures: The pictures of those that are figures, by name.

        Raises:
            RepositoryError: a pack can't be written; nothing was.
            UnserializableArtifact: a file, or memory, changed while it was being stored; nothing was.
        """
        digests = {  # 1
            name: value.digest or digest_parts(value.parts) for name, value in values.items()
        }
        payloads = {digests[name]: _Payload(name, value) for name, value in values.items()}
        drawings = pictures or {}
        drawn = {name: digest(drawing.data) for name, drawing in drawings.items()}
        for name, drawing in drawings.items():
            picture = codecs.Encoded(codecs.BYTES, "builtins.bytes", (memoryview(drawing.data),))
            payloads.setdefault(drawn[name], _Payload(name, picture))
        inline: dict[Digest, bytes] = {}
        packs: tuple[str, ...] = ()
        chunks: dict[Digest, tuple[Chunk, ...]]
        if sum(payload.value.size for payload in payloads.values()) <= self._inline_limit:  # 2
            inline = {found: payload.copied(found) for found, payload in payloads.items()}
            chunks = {
                found: (Chunk(found, hash_object(ObjectType.BLOB, data), len(data)),)
                for found, data in inline.items()
            }
        else:  # 3
            chunks, packs = self._store(payloads)
        refs = {
            name: ArtifactRef(
                digest=digests[name],
                size=value.size,
                codec=value.codec,
                type=value.type,
                chunks=chunks[digests[name]],
                producer=producer,
                preview=value.preview,
                scalar=value.scalar,
                picture=_picture(drawings[name], chunks[drawn[name]]) if name in drawn else None,
            )
            for name, value in values.items()
        }
        return Saved(refs, inline, packs)

    def _store(
        self, payloads: Mapping[Digest, _Payload]
    ) -> tuple[dict[Digest, tuple[Chunk, ...]], tuple[str, ...]]:
        """The chunks of each payload, and the pack that was written for them."""
        large = [found for found, payload in payloads.items() if payload.value.size > WHOLE]
        stored = self._index.lookup(large) if self._index else {}
        pieces: dict[Digest, PackObject] = {}
        order: dict[Digest, list[Digest]] = {}
        for found, payload in payloads.items():
            if found in stored:
                continue  # its digest was all it took
            cut = payload.cut(found)
            pieces.update(cut)
            order[found] = [name for name, _ in cut]
        # A piece may be stored in several chunks, as a payload of its own that was cut otherwise.
        made = self._index.lookup(pieces) if self._index else {}
        missing = {name: piece for name, piece in pieces.items() if name not in made}
        packs: tuple[str, ...] = ()
        if missing:
            assert self._packs is not None, "large values need a pack to be written to"
            pack = self._packs.write(list(missing.values()))
            reached("payload.stored")
            for (name, piece), oid in zip(missing.items(), pack.oids, strict=True):
                made[name] = (Chunk(name, oid, memoryview(piece.data).nbytes),)
            packs = (pack.name,)
        cut_now = {
            found: tuple(chunk for name in names for chunk in made[name])
            for found, names in order.items()
        }
        return stored | cut_now, packs


def _picture(drawing: Drawing, chunks: tuple[Chunk, ...]) -> Picture | None:
    """The reference of a picture; none where an artifact of the same bytes was cut."""
    return Picture(drawing.suffix, drawing.is_exact, chunks[0]) if len(chunks) == 1 else None


class _Payload:
    """An encoded value on its way into the repository, under the name of the first artifact that has it."""

    def __init__(self, artifact: str, value: Encoded) -> None:
        self.artifact = artifact
        self.value = value
        self._may_change = may_change(value)

    def copied(self, found: Digest) -> bytes:
        """All of it in memory."""
        data = self.value.payload()
        if self._may_change and digest(data) != found:
            raise changed(self.artifact)
        return data

    def cut(self, found: Digest) -> list[tuple[Digest, PackObject]]:
        """Its chunks in order, each with its digest and as the object to be written."""
        # Readers need neither, nor tasks whose values are small.
        from gitflowrun.artifacts.chunking import cut
        from gitflowrun.git.pack.writer import PackObject

        views = cut(self.value.parts)
        if len(views) == 1:
            names = [found]
        elif self._may_change:
            names = chunk_digests(views, found, self.artifact)
        else:
            names = digest_all(views)
        return [
            (name, PackObject(ObjectType.BLOB, view, stable_copy=self._stable_copy(name)))
            for name, view in zip(names, views, strict=True)
        ]

    def _stable_copy(self, expected: Digest) -> Callable[[memoryview], memoryview] | None:
        if not self._may_change:
            return None
        return lambda view: stable_copy(view, expected, self.artifact)


def listed_value(ref: ArtifactRef) -> tuple[Scalar, ...]:
    """The value of an artifact that is a scalar, alone in a tuple, as its reference lists it; nothing is read.

    Empty where that is not what is stored, by its BLAKE3: a reference is whatever somebody has written, and of some
    kinds of scalars it lists what is nearest to them.
    """
    if not ref.scalar:
        return ()
    (value,) = ref.scalar
    if ref.codec == codecs.PLAIN:
        payload = pack_message(value)
    elif ref.codec == codecs.TEXT and type(value) is str:
        payload = value.encode()
    else:
        return ()
    return ref.scalar if digest(payload) == ref.digest else ()


class ArtifactReader:
    """Loads artifacts. No value is returned whose BLAKE3 is not its reference's.

    Args:
        objects: Where blobs are read from: an ObjectStore or a PackReader.
        place: The repository, `local@/path`, for values that refer to one.
    """

    def __init__(self, objects: Blobs, place: str | None = None) -> None:
        self._objects = objects
        self._place = place

    def load(self, ref: ArtifactRef, *, trusted: bool, writable: bool = True) -> Any:
        """The value.

        Args:
            ref: The artifact.
            trusted: Whether its run is trusted, so that pickles may run.
            writable: Whether arrays must be writable; where not, they may be read-only views.

        Raises:
            UntrustedArtifact: it is a pickle, and not trusted.
            CorruptRecord: it is damaged; the message names its digest.
            MissingObject: a part of it is nowhere.
            NotFound: a class or package that it needs is not here.
        """
        if not trusted:
            codecs.check_safe(ref.codec)  # before gigabytes are read for nothing
        if ref.codec == codecs.FILE:
            from gitflowrun.artifacts.codecs.bytes import FileArtifact

            return FileArtifact(
                lambda: self.open(ref, trusted=trusted), ref.size, "in the repository", ref.digest
            )
        # Bytes are read into the very object that is returned.
        read = read_bytes if ref.codec == codecs.BYTES else read_payload
        payload = read(self._objects, ref)
        token = loaded_from.set(self._place)
        try:
            return codecs.decode(ref.codec, payload, trusted=trusted, writable=writable)
        except CorruptRecord as error:
            raise CorruptRecord(
                f"payload blake3/{ref.digest.hex()[:12]} ({ref.codec}): {error.message}",
                hint=error.hint,
            ) from error
        finally:
            loaded_from.reset(token)

    def encoded(self, ref: ArtifactRef) -> Encoded:
        """The value as it is stored, in one part. Raises CorruptRecord and MissingObject as `load` does."""
        return codecs.Encoded(ref.codec, ref.type, (read_payload(self._objects, ref),))

    def picture(self, ref: ArtifactRef) -> bytes | None:
        """The content of the file that shows a figure; None for values without.

        Raises CorruptRecord if it is no picture, and as `load` does.
        """
        if ref.picture is None:
            return None
        chunk = ref.picture.chunk
        stored = ArtifactRef(
            chunk.digest, chunk.size, codecs.BYTES, "builtins.bytes", (chunk,), ref.producer
        )
        from gitflowrun.artifacts.picture import PNG, PNG_SIGN  # most values are no figures

        content = read_bytes(self._objects, stored)
        if ref.picture.suffix == PNG and not content.startswith(PNG_SIGN):
            raise CorruptRecord(f"picture blake3/{chunk.digest.hex()[:12]} is no PNG")
        return content

    def open(self, ref: ArtifactRef, *, trusted: bool = False) -> BinaryIO:
        """The payload as a seekable file. Only chunks that are asked for are read.

        Args:
            ref: The artifact.
            trusted: Whether its run is trusted. Where not, the last of a payload that is read from its beginning to
                its end is returned only if all of it is what the reference says.

        Reading raises CorruptRecord and MissingObject as `load` does.
        """
        return io.BufferedReader(PayloadFile(self._objects, ref, trusted=trusted), 64 << 10)

    def read_array(self, ref: ArtifactRef, rows: int | slice) -> Any:
        """Some rows of a numpy array (`array[rows]`), read without the rest where that is possible.

        Raises:
            UsageError: the artifact is no numpy array.
            IndexError: there is no such row.
            CorruptRecord: it is damaged.
        """
        if ref.codec != codecs.ARRAY:
            raise UsageError(f"a {ref.type} has no rows", hint="load it as a whole")
        from gitflowrun.artifacts.codecs.numpy import read_rows

        with self.open(ref) as stream:
            return read_rows(stream, rows)
