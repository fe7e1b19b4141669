"""The difference between two trees as values: files, renames, statistics, hunks and lines. Made by libgit2.

Text that a person reads, or that `git apply` takes, comes from `git diff` (`porcelain.comparison.compare`); this is for
programs, and the user's settings play no part in it. pygit2 is imported when a difference is asked for, and not
before: loading it costs 60-90 ms of CPU.

libgit2 fetches nothing for a partial clone: it raises KeyError for an object that git would fetch. So git is asked
for the same difference then, which brings what is missing, and libgit2 is asked once more.

libgit2 is given the objects alone. A whole repository it would refuse where git goes on: for an index that is split
or sparse, which it reads for attributes, or for an extension that it does not know, such as reftable.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, MissingObject, RepositoryError, TooLarge
from gitflowrun.git.objects import Mode, Oid, TreeEntry, parse_tree
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.limits import (
    DIFF_LINES_SEEN,
    DIFF_WORK,
    DIFF_WORK_UNSEEN,
    DIFFED_FILE,
    DIFFED_FILES,
    DIFFED_IN_ALL,
    MAX_CODE_DEPTH,
    MAX_DIFF_LINES,
    MAX_DIFF_LINES_IN_ALL,
    MAX_RENAMES,
    TREE_SIZE,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    import pygit2

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.git.repository import Repository

    T = TypeVar("T")

# How the steps of xdiff grow with the lines: it gives up a search after about as many as the root of them.
_POWER = 1.5
# By this git and libgit2 know what is binary: it has no lines.
_NUL = b"\0"
_LOOKED_AT = 8000


@frozen
class DiffLine:
    """A line of a hunk.

    Attributes:
        origin: `+`, `-` or a space.
        text: The line with its end, undecodable bytes as surrogate escapes.
        old: Its number before; None for an added line.
        new: Its number after; None for a deleted one.
    """

    origin: str
    text: str
    old: int | None
    new: int | None


@frozen
class Hunk:
    """Neighbouring changes of a file, with the lines around them; positions and lengths are in lines."""

    header: str
    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[DiffLine, ...]


@frozen
class FileDiff:
    """A file that differs.

    Attributes:
        status: `added`, `deleted`, `modified`, `renamed`, `copied` or `type` (a file became a link, say).
        old_path: Its path before; None when it was added.
        new_path: Its path after; None when it was deleted.
        old_mode: git's mode before, 0 when it was added.
        new_mode: git's mode after, 0 when it was deleted.
        binary: Whether its content looks binary, whatever attributes say, or its lines are not compared since that
            would take too long: then there are no hunks and no counts.
        insertions: Lines added.
        deletions: Lines deleted.
        hunks: The changes; none where more lines differ than are worth a value each.
        complete: Whether `hunks` has them all.
    """

    status: str
    old_path: str | None
    new_path: str | None
    old_mode: int
    new_mode: int
    binary: bool
    insertions: int
    deletions: int
    hunks: tuple[Hunk, ...] = ()
    complete: bool = True


@frozen
class TreeDiff:
    """The difference between two trees.

    Attributes:
        old: The tree before.
        new: The tree after.
        insertions: Lines added in all files.
        deletions: Lines deleted in all files.
        files: The files that differ, in the order of git.
    """

    old: Oid
    new: Oid
    insertions: int = 0
    deletions: int = 0
    files: tuple[FileDiff, ...] = ()


def diff_trees(
    repo: Repository, old: Oid, new: Oid, *, paths: Sequence[str] = (), context: int = 3
) -> TreeDiff:
    """Compare two trees; renames are found as `git diff` finds them.

    Args:
        repo: The repository.
        old: The tree before.
        new: The tree after.
        paths: Only what git takes these for, from the top: names, patterns, pathspecs. A file that was renamed
            to or from such a place is there.
        context: Lines around a change.

    Raises:
        MissingObject: a tree or a file is not there, and no remote has it.
        TooLarge: too many files differ.
        RepositoryError: libgit2 can't read the repository.
    """
    if old == new:
        return TreeDiff(old, new)

    extent = extent_of_change(repo, old, new)
    is_light = extent.largest <= DIFFED_FILE and extent.size <= DIFFED_IN_ALL
    names = _names(repo, old, new, paths) if paths else None

    def compare(library: pygit2.Repository) -> TreeDiff:
        import pygit2
        from pygit2.enums import DiffFind, DiffOption

        before, after = library[str(old)].peel(pygit2.Tree), library[str(new)].peel(pygit2.Tree)
        # Hunks begin where git lets them begin.
        # A file that nobody reads is held whole for its lines, and for what it may have been renamed from.
        how = DiffOption.INDENT_HEURISTIC if is_light else DiffOption.FORCE_BINARY
        renames = DiffFind.FIND_RENAMES if is_light else DiffFind.FIND_EXACT_MATCH_ONLY
        diff = before.diff_to_tree(after, how, context)
        # By itself it would do as `diff.renames` says.
        diff.find_similar(renames, rename_limit=MAX_RENAMES)
        every = _files(diff, library if is_light else None)
        files = tuple(
            file for file in every if names is None or names & {file.old_path, file.new_path}
        )
        insertions = sum(file.insertions for file in files)
        return TreeDiff(old, new, insertions, sum(file.deletions for file in files), files)

    return with_libgit2(
        repo,
        open_objects,
        compare,
        bring=lambda: repo.git.run("diff", "--numstat", "-M", str(old), str(new)),
    )


@frozen
class ChangeExtent:
    """How much differs between two trees.

    Attributes:
        files: How many files.
        size: Their bytes on both sides: a blob that a thousand names have counts a thousand times.
        largest: The bytes of the largest.
    """

    files: int = 0
    size: int = 0
    largest: int = 0

    def with_(self, other: ChangeExtent) -> ChangeExtent:
        """Both together."""
        largest = max(self.largest, other.largest)
        return ChangeExtent(self.files + other.files, self.size + other.size, largest)


def extent_of_change(repo: Repository, old: Oid, new: Oid) -> ChangeExtent:
    """How much differs between two trees, found before anybody compares their files.

    Where something is missing, as in a partial clone, it is as if nothing differed: git brings that later.

    Raises:
        TooLarge: more than `DIFFED_FILES` differ. Thirty small trees within one another name 10^9 of them.
    """
    try:
        return _Extents(PackReader(repo.objects_dir)).of(old, new, 0)
    except MissingObject:
        return ChangeExtent()
    except TooLarge:
        raise
    except CorruptRecord:  # or in a pack that only git reads
        return _Extents(repo.objects).of(old, new, 0)


class _Extents:
    """How much differs between trees; each pair of trees is looked at once."""

    def __init__(self, objects: PackReader | ObjectStore) -> None:
        self._objects = objects
        self._known: dict[tuple[Oid | None, Oid | None], ChangeExtent] = {}

    def of(self, old: Oid | None, new: Oid | None, depth: int) -> ChangeExtent:
        """The extent of the difference of two trees; None stands for one that is not there."""
        pair = old, new
        if pair in self._known:
            return self._known[pair]
        if depth > MAX_CODE_DEPTH:  # before another level is entered: Python gives up at a thousand
            raise self._too_large(old, new)
        before, after = self._rows(old), self._rows(new)
        found = ChangeExtent()
        for name in before.keys() | after.keys():
            rows = before.get(name), after.get(name)
            if rows[0] == rows[1]:
                continue
            found = found.with_(self._of_rows(rows, depth + 1))
            if found.files > DIFFED_FILES:
                raise self._too_large(old, new)
        self._known[pair] = found
        return found

    def _too_large(self, old: Oid | None, new: Oid | None) -> TooLarge:
        words = f"more than {DIFFED_FILES:,} files differ between {old} and {new}"
        return TooLarge(f"{words}, or they lie too deep")

    def _of_rows(self, rows: tuple[TreeEntry | None, TreeEntry | None], depth: int) -> ChangeExtent:
        old, new = (row.oid if row is not None and row.is_tree else None for row in rows)
        found = self.of(old, new, depth) if old or new else ChangeExtent()
        blobs = [row for row in rows if row and not row.is_tree and row.mode != Mode.GITLINK]
        sizes = [self._objects.size(row.oid) for row in blobs]
        return found.with_(ChangeExtent(int(bool(blobs)), sum(sizes), max(sizes, default=0)))

    def _rows(self, tree: Oid | None) -> dict[bytes, TreeEntry]:
        if tree is None:
            return {}
        return {row.name: row for row in parse_tree(self._objects.read(tree, TREE_SIZE)[1])}


def open_objects(repo: Repository) -> pygit2.Repository:
    """The objects of a repository and of its alternates, without config, index, attributes and refs."""
    import pygit2

    library = pygit2.Repository()
    library.set_odb(pygit2.Odb(str(repo.objects_dir)))
    return library


def with_libgit2(
    repo: Repository,
    opened: Callable[[Repository], pygit2.Repository],
    work: Callable[[pygit2.Repository], T],
    *,
    bring: Callable[[], object],
) -> T:
    """What `work` makes of the repository, opened by libgit2.

    Args:
        repo: The repository.
        opened: Opens it.
        work: Reads it.
        bring: Has git fetch what a partial clone lacks; called when libgit2 misses an object.

    Raises:
        MissingObject: an object is not there, and git can't bring it.
        RepositoryError: libgit2 can't read the repository.
    """
    import pygit2

    def attempt() -> T:
        return work(opened(repo))

    try:
        try:
            return attempt()
        except (KeyError, pygit2.GitError) as error:
            if not _is_missed(error):
                raise
            bring()
            return attempt()  # by a repository opened anew: an open one does not look for new packs
    except (KeyError, pygit2.GitError, ValueError) as error:
        if _is_missed(error):
            raise MissingObject(f"object {error} is not in this repository") from error
        raise RepositoryError(f"libgit2 can't read {repo.git_dir}: {error}") from error


def _is_missed(error: Exception) -> bool:
    """Whether libgit2 misses an object: in a walk of the history it is no KeyError."""
    return isinstance(error, KeyError) or "object not found" in str(error)


def _files(diff: pygit2.Diff, library: pygit2.Repository | None) -> Iterator[FileDiff]:
    """The files of a difference, the lines of the first of them as values.

    Args:
        diff: The difference.
        library: What has the files; None where no lines are compared.
    """
    left, work = MAX_DIFF_LINES_IN_ALL, float(DIFF_WORK)
    for number, delta in enumerate(diff.deltas):
        # Not asked is `delta.is_binary`, which compares all lines.
        needed = _work_of(delta, library) if library else 0.0
        if needed > work:
            yield _without_lines(delta)
            continue
        work -= needed
        patch = diff[number]
        if patch is not None:
            found = _file(patch, min(left, MAX_DIFF_LINES))
            left -= found.insertions + found.deletions if found.complete else 0
            yield found


def _work_of(delta: pygit2.DiffDelta, library: pygit2.Repository) -> float:
    """About how many steps libgit2 takes for the lines of a file; infinite for very many lines."""
    import pygit2

    sides = (delta.old_file, delta.new_file)
    if delta.status_char() not in "MR" or any(int(side.mode) == Mode.GITLINK for side in sides):
        return 0.0
    before, after = (library[side.id].peel(pygit2.Blob).data for side in sides)
    if _NUL in before[:_LOOKED_AT] or _NUL in after[:_LOOKED_AT]:
        return 0.0
    lines = before.count(b"\n") + after.count(b"\n")
    if lines > DIFF_LINES_SEEN:
        return math.inf
    most = math.pow(lines, _POWER)
    return most if most <= DIFF_WORK_UNSEEN else _work(before, after)


def _work(before: bytes, after: bytes) -> float:
    """The same, where lines that only one side has cost nothing, nor do those that come in one order at both ends."""
    sides = before.split(b"\n"), after.split(b"\n")
    common = set(sides[0]) & set(sides[1])
    old, new = ([line for line in side if line in common] for side in sides)
    for _ in range(2):  # what is alike at the beginning, then at the end
        alike = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
        at = min(len(old), len(new)) if alike is None else alike
        old, new = old[at:][::-1], new[at:][::-1]
    return math.pow(len(old) + len(new), _POWER)


def _without_lines(delta: pygit2.DiffDelta) -> FileDiff:
    return FileDiff(
        delta.status.name.lower().removesuffix("change"),
        _text(delta.old_file.raw_path),
        _text(delta.new_file.raw_path),
        delta.old_file.mode,
        delta.new_file.mode,
        binary=True,
        insertions=0,
        deletions=0,
        complete=False,
    )


def _file(patch: pygit2.Patch, most: int) -> FileDiff:
    delta = patch.delta
    status = delta.status.name.lower().removesuffix("change")
    _, insertions, deletions = patch.line_stats
    complete = insertions + deletions <= most
    return FileDiff(
        status,
        None if status == "added" else _text(delta.old_file.raw_path),
        None if status == "deleted" else _text(delta.new_file.raw_path),
        delta.old_file.mode,
        delta.new_file.mode,
        bool(delta.is_binary),
        insertions,
        deletions,
        tuple(map(_hunk, patch.hunks)) if complete else (),
        complete,
    )


def _hunk(hunk: pygit2.DiffHunk) -> Hunk:
    lines = tuple(
        DiffLine(
            line.origin,
            _text(line.raw_content),
            line.old_lineno if line.old_lineno > 0 else None,
            line.new_lineno if line.new_lineno > 0 else None,
        )
        for line in hunk.lines
        if line.origin in "+- "  # the others say that a file has no last newline
    )
    return Hunk(
        hunk.header.rstrip("\n"),
        hunk.old_start,
        hunk.old_lines,
        hunk.new_start,
        hunk.new_lines,
        lines,
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _names(repo: Repository, old: Oid, new: Oid, paths: Sequence[str]) -> frozenset[str]:
    """The files that differ below `paths`: git alone has the rules of pathspecs."""
    out = repo.git.run(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", str(old), str(new), "--", *paths
    )
    return frozenset(map(_text, out.split(b"\0")))
