"""What a commit is to lead to and was found here, not written for it: payloads, code, the tasks of a resumed run.

A pack that we write is kept until a ref reaches what is in it. What was found lies in anybody's packs, and a repack or
gc of the user's takes what no ref reached when it began, however long ago that is. So it is relied on only as long as
another run leads to it: whoever repacks beside us has seen that one, or is yet to see ours. For a payload it is the one
that the dedup index names, for code the last one that had any which HEAD has not, for adopted tasks their origin. What
HEAD's commit has is git's to keep, by HEAD and its reflog.

1. Before the commit's ref moves, whatever nothing leads to any more is copied into packs that are kept.
2. Once it has moved, the same again: somebody may have deleted a run in between. What is written now is ours already.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, MissingObject, RepositoryError
from gitflowrun.git.objects import ObjectType, parse_tree
from gitflowrun.git.odb import read_to_file
from gitflowrun.git.pack.writer import PackObject
from gitflowrun.git.permissions import read_file, replace_file
from gitflowrun.limits import COPIED_AT_ONCE, MAX_REF_COMPONENT, TREE_SIZE
from gitflowrun.runs import layout
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.artifacts.dedup import Holder
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.snapshot import Snapshot
    from gitflowrun.names import TaskName
    from gitflowrun.runs.read import StoredRun

_CODE = "code-in"
"""In the state directory: the ref of the run that recorded changed code last."""


@frozen
class Reliance:
    """Objects that were found here, and who may lead to them.

    Attributes:
        oids: The objects.
        ref: Of a run; None where nobody is known.
        held: Which of them, or more, a commit of that run leads to.
        commit: One that leads to all of them, if it is known.
        is_deep: Whether a tree stands for all that is in it.
    """

    oids: frozenset[Oid]
    ref: str | None
    held: Callable[[Oid], Collection[Oid]]
    commit: Oid | None = None
    is_deep: bool = False


class FoundObjects:
    """What one commit relies on.

    Args:
        repo: The repository.
        found: The objects.
    """

    def __init__(self, repo: Repository, found: Iterable[Reliance]) -> None:
        self._repo = repo
        self._left = [(it, it.oids, it.commit) for it in found]

    def copy_unheld(self) -> list[str]:
        """Copy what nothing leads to any more; the names of the packs, which are kept.

        Raises:
            RepositoryError: something is gone, or a pack can't be written.
        """
        lost: dict[Oid, bool] = {}
        left = []
        for found, oids, seen in self._left:
            tip = self._tip(found.ref)
            unheld = oids if tip is None else oids.difference(self._held(found, tip, seen))
            lost.update(dict.fromkeys(unheld, found.is_deep))
            if unheld != oids:
                left.append((found, oids - unheld, tip))
        self._left = left
        return self._copy(lost) if lost else []

    def _tip(self, ref: str | None) -> Oid | None:
        with suppress(GitflowrunError):  # a damaged ref keeps nothing
            return self._repo.refs.get(ref) if ref else None
        return None

    def _held(self, found: Reliance, tip: Oid, seen: Oid | None) -> Collection[Oid]:
        if tip == seen:
            return found.oids
        with suppress(GitflowrunError):  # what is damaged, or not all here, keeps nothing either
            return found.held(tip)
        return ()

    def _copy(self, oids: Mapping[Oid, bool]) -> list[str]:
        """Copy objects, those that are true with all that is in them."""
        packs: list[str] = []
        copies: list[PackObject] = []
        size = 0
        try:
            for copy in self._read(oids):
                copies.append(copy)
                size += copy.size
                if size >= COPIED_AT_ONCE:
                    packs.append(self._repo.packs.write(copies).name)
                    copies, size = [], 0
            if copies:
                packs.append(self._repo.packs.write(copies).name)
        except BaseException:
            self._repo.packs.release(packs)
            raise
        return packs

    def _read(self, oids: Mapping[Oid, bool]) -> Iterator[PackObject]:
        todo, seen = dict(sorted(oids.items())), {*oids}
        while todo:
            oid, is_deep = todo.popitem()
            try:
                copy = self._object(oid)
            except MissingObject as error:
                raise RepositoryError(
                    f"something that another run had stored ({oid}) was removed with that run meanwhile",
                    hint="start the run again, or `resume` it: what is not recorded is done again",
                ) from error
            yield copy
            if is_deep and copy.kind is ObjectType.TREE:
                inside = {row.oid for row in parse_tree(bytes(copy.data))} - seen
                todo.update(dict.fromkeys(inside, True))
                seen |= inside

    def _object(self, oid: Oid) -> PackObject:
        objects = self._repo.objects
        if objects.size(oid) < COPIED_AT_ONCE:
            return PackObject(*objects.read(oid, COPIED_AT_ONCE), oid)
        with TemporaryDirectory(dir=self._repo.state("snapshots")) as place:
            return read_to_file(self._repo.git, [oid], Path(place) / "contents", (), {})[0]


def found_payloads(repo: Repository, holders: Mapping[Oid, Holder | None]) -> Iterator[Reliance]:
    """Blobs of payloads, each with the task that is known to hold it, if any."""
    runs: dict[str | None, dict[Oid, TaskName]] = {}
    for oid, holder in holders.items():
        tasks = runs.setdefault(holder.ref if holder else None, {})
        if holder:
            tasks[oid] = holder.task
    unknown = frozenset(oid for oid, holder in holders.items() if not holder)
    for ref, tasks in runs.items():
        held = partial(_payloads_of, repo, set(tasks.values()))
        yield Reliance(frozenset(tasks) if ref else unknown, ref, held)


def _payloads_of(repo: Repository, tasks: Iterable[TaskName], commit: Oid) -> set[Oid]:
    steps: dict[str, dict[bytes, Oid]] = {}
    found: set[Oid] = set()
    objects = repo.objects
    for name in tasks:
        if name.step not in steps:
            tree = objects.entry(objects.commit(commit).tree, layout.STEPS, name.step.encode())
            steps[name.step] = objects.tree_oids(tree.oid) if tree else {}
        task = steps[name.step].get(name.task.encode())
        trees = [objects.tree_oids(task)] if task else []
        if trees and layout.ATTEMPTS in trees[0]:
            attempts = objects.tree_oids(trees[0][layout.ATTEMPTS])
            trees += map(objects.tree_oids, attempts.values())
        for parts in trees:
            for part in parts.keys() & {layout.PAYLOADS, layout.PICTURES}:
                found.update(objects.tree_oids(parts[part]).values())
    return found


def found_code(repo: Repository, snapshot: Snapshot) -> Iterator[Reliance]:
    """What a snapshot has found in packs, and the run that recorded such code last."""
    if not snapshot.found:
        return
    ref = None
    with suppress(GitflowrunError):
        content = (
            read_file(repo.state_dir / _CODE, "the ref of a run", limit=4 * MAX_REF_COMPONENT)
            or b""
        )
        ref = content.decode(errors="replace")
    is_ref = ref is not None and layout.is_run(ref)
    held = partial(_code_of, repo, snapshot)
    yield Reliance(frozenset(snapshot.found), ref if is_ref else None, held)


def remember_code(repo: Repository, snapshot: Snapshot, ref: str) -> None:
    """Note which run has changed code, for the next one that finds it."""
    if snapshot.objects or snapshot.found:
        with suppress(GitflowrunError, OSError):
            replace_file(repo.state() / _CODE, ref.encode(), repo.shared_mode)


def _code_of(repo: Repository, snapshot: Snapshot, commit: Oid) -> set[Oid]:
    """What the code of a run has of a snapshot, each at its place."""
    theirs = repo.objects.entry(repo.objects.commit(commit).tree, layout.CODE)
    new = {it.oid: bytes(it.data) for it in snapshot.objects if it.kind is ObjectType.TREE}
    found = set(snapshot.found)
    todo = [(snapshot.tree, theirs.oid if theirs else None)]
    while todo:
        ours, other = todo.pop()
        if ours == other:
            continue
        found.discard(ours)
        rows = repo.objects.tree_oids(other) if other else {}
        data = new[ours] if ours in new else repo.objects.read(ours, TREE_SIZE)[1]
        for row in parse_tree(data):
            if row.is_tree:
                todo.append((row.oid, rows.get(row.name)))
            elif rows.get(row.name) != row.oid:
                found.discard(row.oid)
    return found


def found_tasks(origin: StoredRun, trees: Sequence[Oid]) -> Reliance:
    """The trees of tasks and steps of another run."""
    ref = layout.run_ref(origin.flow, origin.id)

    def held(commit: Oid) -> Sequence[Oid]:
        git = origin.repo.git
        options = ("merge-base", "--is-ancestor", str(origin.commit), str(commit))
        return () if git.attempt(*options).code else trees

    return Reliance(frozenset(trees), ref, held, origin.commit, is_deep=True)
