"""What a commit is to lead to and was found here, not written for it: payloads that the dedup index lists.

A pack that we write is kept until a ref reaches what is in it. What was found lies in anybody's packs, and a repack or
gc of the user's takes what no ref reached when it began, however long ago that is. So it is relied on only as long as
something else reaches it: the task that has stored it, in the run that the index names. Whoever repacks beside us has
seen that one, or is yet to see ours.

1. Before the commit's ref moves, whatever nothing reaches any more is copied into packs that are kept.
2. Once it has moved, the same again: somebody may have deleted a run in between. What is written now is ours already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, MissingObject, RepositoryError
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.limits import COPIED_AT_ONCE, CREDIBLE_CHUNK
from gitflowrun.runs import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitflowrun.artifacts.dedup import Holder
    from gitflowrun.git.objects import ObjectType, Oid
    from gitflowrun.git.repository import Repository


class FoundObjects:
    """Objects that were found here.

    Args:
        repo: The repository.
        held: The objects, each with what is known to hold it, if anything.
    """

    def __init__(self, repo: Repository, held: Mapping[Oid, Holder | None]) -> None:
        self._repo = repo
        self._held = dict(held)
        self._seen: dict[str, Oid | None] = {}
        """The refs of the holders, as they were when all objects here were held."""

    def copy_unheld(self) -> list[str]:
        """Copy what nothing reaches any more; the names of the packs, which are kept.

        Raises:
            RepositoryError: something is gone, or a pack can't be written.
        """
        if not self._held:
            return []
        refs = {holder.ref for holder in self._held.values() if holder}
        now = {ref: self._tip(ref) for ref in sorted(refs)}
        changed = {ref for ref in refs if ref not in self._seen or now[ref] != self._seen[ref]}
        asked = {
            it: holder for it, holder in self._held.items() if not holder or holder.ref in changed
        }
        lost = asked.keys() - self._reached(now, {it for it in asked.values() if it})
        packs = self._copy(lost)
        for oid in lost:
            del self._held[oid]
        self._seen = now
        return packs

    def _tip(self, ref: str) -> Oid | None:
        try:
            return self._repo.refs.get(ref)
        except GitflowrunError:  # a damaged ref keeps nothing
            return None

    def _reached(self, tips: Mapping[str, Oid | None], holders: Iterable[Holder]) -> set[Oid]:
        """The payloads of all these tasks, as far as their runs are there."""
        steps: dict[tuple[str, str], dict[bytes, Oid]] = {}
        found: set[Oid] = set()
        objects = self._repo.objects
        for holder in holders:
            tip, step = tips[holder.ref], holder.task.step
            if tip is None:
                continue
            try:
                if (holder.ref, step) not in steps:
                    path = (layout.STEPS, step.encode())
                    tree = objects.entry(objects.commit(tip).tree, *path)
                    steps[holder.ref, step] = objects.tree_oids(tree.oid) if tree else {}
                task = steps[holder.ref, step].get(holder.task.task.encode())
                parts = objects.tree_oids(task) if task else {}
                for name in parts.keys() & {layout.PAYLOADS, layout.PICTURES}:
                    found.update(objects.tree_oids(parts[name]).values())
            except GitflowrunError:  # it is damaged, or not all here
                continue
        return found

    def _copy(self, oids: Iterable[Oid]) -> list[str]:
        packs: list[str] = []
        copies: list[PackObject] = []
        size = 0
        try:
            for oid in sorted(oids):
                copies.append(PackObject(*self._read(oid), oid))
                size += copies[-1].size
                if size >= COPIED_AT_ONCE:
                    packs.append(self._repo.packs.write(copies).name)
                    copies, size = [], 0
            if copies:
                packs.append(self._repo.packs.write(copies).name)
        except BaseException:
            self._repo.packs.release(packs)
            raise
        return packs

    def _read(self, oid: Oid) -> tuple[ObjectType, bytes]:
        try:
            return self._repo.objects.read(oid, CREDIBLE_CHUNK)
        except MissingObject as error:
            raise RepositoryError(
                f"a payload that another run had stored (blob {oid}) was removed with that run meanwhile",
                hint="`resume` does again what is not recorded",
            ) from error
