"""The `data/` directory of a run: the end task's artifacts by name, so that git's own commands compare runs.

    data/<name><suffix>            an artifact of one chunk: the payload's own blob, under a name
    data/<name><suffix>.chunks     a larger one: a text that says what it is and lists its chunks

A text rather than a directory of chunks: `git diff runs/F/11 runs/F/12 -- data` then says in words that size
or type changed, and in which chunks the payloads differ. And stock tools can put a payload together:

    git show runs/F/12:data/model.npy.chunks | sed -n 's/^chunk //p' |
        while read b; do git show runs/F/12:steps/train/3/blake3/$b; done > model.npy
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry
from gitflowrun.runs import layout
from gitflowrun.runs.trees import make_object

if TYPE_CHECKING:
    from gitflowrun.git.pack.publish import PackObject
    from gitflowrun.runs.records import ArtifactRef, TaskRecord

__all__ = ["data_entries"]


def data_entries(record: TaskRecord) -> tuple[list[TreeEntry], list[PackObject]]:
    """The entries of `data/` for the end task's record, and the objects made for them."""
    entries, objects = [], []
    for name, ref in record.artifacts.items():
        if name.startswith("_"):
            continue
        chunked = len(ref.chunks) > 1
        if len(ref.chunks) == 1:
            oid = ref.chunks[0].oid
        else:
            oid, item = make_object(ObjectType.BLOB, _description(ref) if chunked else b"")
            objects.append(item)
        entries.append(_entry(name, ref, oid, chunked=chunked))
    return entries, objects


def _entry(name: str, ref: ArtifactRef, oid: Oid, *, chunked: bool) -> TreeEntry:
    from gitflowrun.artifacts.codecs import suffix

    return TreeEntry(Mode.BLOB, layout.data_name(name, suffix(ref.codec), chunked=chunked), oid)


def _description(ref: ArtifactRef) -> bytes:
    head = [
        f"type {ref.type}",
        f"codec {ref.codec}",
        f"size {ref.size}",
        f"blake3 {ref.digest}",
        f"task {ref.producer}",
    ]
    chunks = [f"chunk {chunk.digest}" for chunk in ref.chunks]
    return "\n".join([*head, *chunks, ""]).encode(errors="replace")
