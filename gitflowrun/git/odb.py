"""The objects of a repository and the history of its commits along first parents, to be read.

Objects come from packs by our own reader, whatever is unusual through git. A missing object is an error that is
also a `KeyError`, so that readers of records can say what the object was part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import MissingObject, RepositoryError, TooLarge
from gitflowrun.git.command import CatFile, Git
from gitflowrun.git.objects import (
    Commit,
    Mode,
    ObjectType,
    Oid,
    TreeEntry,
    parse_commit,
    parse_tree,
    tree_oids,
    tree_rows,
)
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.limits import ANSWER, COMMIT_SIZE, MAX_STATES, STATES_A_RUN, TREE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.pack.writer import PackObject

_LONGEST_HEADER = 128
"""Bytes that an id, a type and a size take at most."""


class ObjectStore(PackReader):
    """The objects of a repository.

    Args:
        objects_dir: The object directory of the common git directory.
        git: Runs git there, for objects that only git can reach (alternates, promised objects).
    """

    def __init__(self, objects_dir: Path, git: Git) -> None:
        self.cat_file = CatFile(git)
        super().__init__(objects_dir, self.cat_file.read)

    def tree(self, oid: Oid) -> list[TreeEntry]:
        """The rows of a tree. Raises MissingObject, or CorruptRecord where `oid` is no tree."""
        return list(parse_tree(self._typed(oid, ObjectType.TREE, TREE_SIZE)))

    def tree_oids(self, oid: Oid) -> dict[bytes, Oid]:
        """The ids in a tree by their names. Raises as `tree`."""
        return tree_oids(self._typed(oid, ObjectType.TREE, TREE_SIZE))

    def tree_rows(self, oid: Oid, limit: int = TREE_SIZE) -> Iterator[tuple[bytes, Oid]]:
        """Names and ids in a tree, one at a time. Raises as `tree`."""
        rows = tree_rows(self._typed(oid, ObjectType.TREE, limit))
        return ((name, Oid(raw)) for _, name, raw in rows)

    def commit(self, oid: Oid, limit: int = COMMIT_SIZE) -> Commit:
        """A commit of up to `limit` bytes. Raises MissingObject, or CorruptRecord where `oid` is no commit."""
        return parse_commit(self._typed(oid, ObjectType.COMMIT, limit))

    def entry(self, tree: Oid, *path: bytes) -> TreeEntry | None:
        """The row at the end of a path below a tree; None where there is none."""
        found: TreeEntry | None = TreeEntry(Mode.TREE, b"", tree)
        for name in path:
            if found is None or not found.is_tree:
                return None
            rows = parse_tree(self._typed(found.oid, ObjectType.TREE, TREE_SIZE))
            found = next((entry for entry in rows if entry.name == name), None)
        return found

    def exists(self, oid: Oid) -> bool:
        """Whether the object can be read; one that was left out of a partial clone is fetched."""
        return not self.missing([oid])

    def missing(self, oids: Iterable[Oid]) -> list[Oid]:
        """Those of some objects that can't be read; what was left out of a partial clone is fetched."""
        wanted = list(oids)
        here = self.homes(wanted)
        return [oid for oid in wanted if oid not in here and not self._git_has(oid)]

    def _git_has(self, oid: Oid) -> bool:
        try:
            self.cat_file.read(oid, COMMIT_SIZE)
        except MissingObject:
            return False
        except TooLarge:
            return True
        return True

    def close(self) -> None:
        """End the git process that reads objects; a later read starts it again."""
        self.cat_file.close()


def named(git: Git, names: Iterable[str]) -> dict[str, Oid]:
    """The objects that revisions such as `<commit>:<path>` name, asked for at once; what is missing is left out.

    Raises:
        RepositoryError: a partial clone can't fetch one that was promised.
    """
    wanted = list(names)
    if not wanted:
        return {}
    lines = "".join(f"{name}\n" for name in wanted).encode()
    options = ("cat-file", "--batch-check=%(objectname)")
    done = git.read(*options, stdin=lines, most=ANSWER * len(wanted) + len(lines))
    if done.code and len(wanted) > 1:  # git ends where a tree on the way is too large
        middle = len(wanted) // 2
        return named(git, wanted[:middle]) | named(git, wanted[middle:])
    if done.code and "from promisor remote" in done.err:  # nobody knows what it names
        raise git.failure(options, done)
    answers = zip(wanted, done.out.decode(errors="replace").splitlines(), strict=False)
    return {name: Oid.from_hex(line) for name, line in answers if len(line) == 2 * Oid.SIZE}


def read_to_file(
    git: Git, oids: Sequence[Oid], path: Path, options: Sequence[str], env: Mapping[str, str]
) -> list[PackObject]:
    """Objects whose contents lie in a new file, so that memory does not grow with them; it may be unlinked.

    It is what `git cat-file --batch` prints: type and size, the content, and a newline after each.

    Args:
        git: Runs git.
        oids: Their ids.
        path: The file.
        options: Of git, before its command.
        env: Variables for git.

    Raises:
        RepositoryError: git can't read them, or write the file.
    """
    from gitflowrun.git.pack.writer import MappedFile, PackObject  # who reads needs neither

    wanted = b"".join(b"%s\n" % str(oid).encode() for oid in oids)
    with path.open("w+b") as file:
        args = (*options, "cat-file", "--batch", "--buffer")
        done = git.attempt(*args, stdin=wanted, env=env, stdout=file)
        if done.code:
            raise git.failure(("cat-file",), done)
        mapped = MappedFile(file)
    found, position = [], 0
    for oid in oids:
        begin = bytes(mapped.view[position : position + _LONGEST_HEADER])
        header, _, _ = begin.partition(b"\n")
        _, kind, size = header.split(b" ")
        start = position + len(header) + 1
        position = start + int(size) + 1
        content = mapped.view[start : position - 1]
        found.append(PackObject(ObjectType.from_word(kind), content, oid, release=mapped.release))
    return found


class History:
    """The commits that a set of commits leads back to, asked for once. A line follows first parents.

    Args:
        git: Runs git.
        tips: The commits; all must be here, with their history.

    Raises:
        RepositoryError: one of them is missing.
    """

    def __init__(self, git: Git, tips: Iterable[Oid]) -> None:
        self._parents: dict[Oid, Oid | None] = {}
        self._merges: set[Oid] = set()
        wanted = b"".join(b"%s\n" % str(tip).encode() for tip in tips)
        if not wanted:
            return
        most = MAX_STATES + STATES_A_RUN * wanted.count(b"\n")
        options = ("--first-parent", "--parents", f"--max-count={most}", "--stdin")
        args = ("rev-list", *options)
        try:
            done = git.read(*args, stdin=wanted, most=2 * ANSWER * most)
        except TooLarge as error:
            raise RepositoryError(error.message) from error
        if done.code:
            raise git.failure(args, done)
        for line in done.out.splitlines():
            oid, *parents = map(Oid.from_hex, line.split(b" ")[:3])
            self._parents[oid] = parents[0] if parents else None
            if len(parents) > 1:
                self._merges.add(oid)
        if len(self._parents) == most:
            raise RepositoryError(f"the history of runs has more than {most:,} commits")

    def line(self, tip: Oid) -> Iterator[Oid]:
        """`tip`, its first parent, that one's first parent, and so on. Nothing for what is no commit."""
        oid: Oid | None = tip if tip in self._parents else None
        while oid is not None:
            yield oid
            oid = self._parents[oid]

    def root(self, tip: Oid) -> Oid | None:
        """Where the line of `tip` began; None for what is no commit."""
        return next(iter(reversed([*self.line(tip)])), None)

    def has_merge(self, tip: Oid) -> bool:
        """Whether a commit in the line of `tip` has several parents."""
        return bool(self._merges) and not self._merges.isdisjoint(self.line(tip))

    def leads_to(self, tip: Oid, ancestor: Oid) -> bool:
        """Whether `ancestor` is `tip`, or in its line."""
        return ancestor in self.line(tip)
