"""Notes on runs: git notes in `refs/notes/runs`, on a run's first commit, which `git log --notes=runs` shows as well.

Reading a note starts no process: git keeps notes in trees by the digits of what they are on, in folders where there
are many, and `Notes` looks there. Changing notes is not left to git, which makes nothing of it durable, and then a
power cut breaks the ref:

Others of ours wait meanwhile, for some seconds.

1. Read the ref, and find where the notes to change lie.
2. Write blobs, trees and the commit that changes them as one kept pack, which is durable.
3. Move the ref by compare-and-swap. Where somebody has moved it meanwhile, begin again: what they wrote on other runs
   stays, and of two notes on one run the last one counts, unless the caller says which one it has seen.
4. Release the pack.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    NotFound,
    RefConflict,
    RepositoryError,
)
from gitflowrun.failpoints import reached
from gitflowrun.git.command import BOUNDED
from gitflowrun.git.objects import Commit, Mode, ObjectType, Oid, TreeEntry, hash_object
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import MAX_NOTE, NOTES_PATIENCE, NOTES_TRIES
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.git.pack.writer import PackObject
    from gitflowrun.git.repository import Repository

_FOLDER = 2
"""Digits of a folder's name."""


class Notes:
    """The notes of a repository as they are at one time, read as they are asked for.

    Args:
        repo: The repository.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._trees: dict[Oid, Mapping[bytes, TreeEntry]] = {}
        self._tip = repo.refs.get(layout.NOTES)

    def blob(self, uid: Oid) -> Oid | None:
        """The blob of the note on a run; None where there is none.

        Raises:
            CorruptRecord: the notes are damaged.
        """
        if self._tip is None:
            return None
        rest = str(uid).encode()
        tree = self._repo.objects.commit(self._tip).tree
        while rest:
            entries = self._entries(tree)
            found = entries.get(rest)
            if found is not None and not found.is_tree:
                return found.oid
            folder = entries.get(rest[:_FOLDER])
            if folder is None or not folder.is_tree:
                return None
            tree, rest = folder.oid, rest[_FOLDER:]
        return None

    def text(self, uid: Oid) -> str | None:
        """The note on a run, without newlines at its end; None where there is none.

        Raises:
            CorruptRecord: the notes are damaged, or the note is larger than anybody writes.
        """
        blob = self.blob(uid)
        if blob is None:
            return None
        return self._repo.objects.blob(blob, MAX_NOTE).decode(errors="replace").rstrip("\n")

    def shown(self, uid: Oid) -> str | None:
        """As `text`, for what shows a run with its note: where that can't be read, why not."""
        try:
            return self.text(uid)
        except GitflowrunError as error:
            return f"(the note can't be read: {error.message})"

    def _entries(self, tree: Oid) -> Mapping[bytes, TreeEntry]:
        if tree not in self._trees:
            self._trees[tree] = {it.name: it for it in self._repo.objects.tree(tree)}
        return self._trees[tree]


def write_note(
    repo: Repository,
    uid: Oid,
    text: str,
    *,
    name: str,
    expected: Mapping[Oid, Oid | None] | None = None,
) -> None:
    """Set the note on a run.

    Args:
        repo: The repository.
        uid: The run.
        text: The note.
        name: The run's name, for the history of the notes.
        expected: The note that this one takes the place of, as `change_notes` has it; whatever is there where None.

    Raises:
        RefConflict: it is another one by now, or others wrote notes each time.
        GitflowrunError: the notes are damaged, or the repository can't be written to.
    """
    data = text.encode(errors="surrogateescape")
    blob = hash_object(ObjectType.BLOB, data)
    change_notes(
        repo, {uid: blob}, content={blob: data}, expected=expected, message=f"Note on run {name}"
    )


def add_to_note(repo: Repository, noted: Oid, text: str, *, message: str) -> None:
    """Add a paragraph to the git note on a commit, as `git notes append` does, whoever else changes notes meanwhile.

    Args:
        repo: The repository.
        noted: The commit, of a run or of the user's.
        text: The paragraph.
        message: Of the commit that changes the notes.

    Raises:
        RefConflict: others changed the notes each time.
        GitflowrunError: the notes are damaged, or the repository can't be written to.
    """
    for attempt in range(1, NOTES_TRIES + 1):
        before = Notes(repo).blob(noted)
        old = repo.objects.blob(before).rstrip(b"\n") if before else b""
        paragraph = f"{text}\n".encode(errors="surrogateescape")
        data = b"\n\n".join(filter(None, (old, paragraph)))
        blob = hash_object(ObjectType.BLOB, data)
        try:
            change_notes(
                repo, {noted: blob}, content={blob: data}, expected={noted: before}, message=message
            )
        except RefConflict:  # this very note may be another one by now
            if attempt == NOTES_TRIES:
                raise
        else:
            return


def delete_note(repo: Repository, uid: Oid, *, name: str) -> None:
    """Delete the note on a run.

    Raises:
        NotFound: it has none.
        GitflowrunError: as of `write_note`.
    """
    if Notes(repo).blob(uid) is None:
        raise NotFound(f"{name} has no note", hint=f"`git runs note {name} -m TEXT` writes one")
    change_notes(repo, {uid: None}, message=f"Note on run {name} deleted")


def all_notes(repo: Repository) -> dict[Oid, Oid]:
    """The blobs of all git notes on runs and commits, by these: one process, however many runs are removed."""
    if repo.refs.get(layout.NOTES) is None:
        return {}
    listed = repo.git.run("notes", f"--ref={layout.NOTES}", "list", env=BOUNDED)
    lines = listed.decode("ascii").splitlines()
    pairs = (line.split(" ") for line in lines)
    return {Oid.from_hex(noted): Oid.from_hex(blob) for blob, noted in pairs}


def remove_notes(repo: Repository, uids: Sequence[Oid]) -> None:
    """Remove the git notes on runs. Raises GitflowrunError: they stay."""
    change_notes(repo, dict.fromkeys(uids))


def change_notes(
    repo: Repository,
    notes: Mapping[Oid, Oid | None],
    *,
    content: Mapping[Oid, bytes] | None = None,
    expected: Mapping[Oid, Oid | None] | None = None,
    seen: Mapping[Oid, Oid | None] | None = None,
    message: str = "Notes of runs, removed or restored",
) -> None:
    """Set or remove git notes; the module's docstring has the steps.

    Args:
        repo: The repository.
        notes: What a note is on, and its blob; None to remove it.
        content: The content of blobs that are new.
        expected: The blobs of notes that must be there still; None for no note.
        seen: Those that were there when this was decided: what is another one by now stays as it is.
        message: Of the commit.

    Raises:
        RefConflict: others wrote notes each time, or one of those that were expected.
        GitflowrunError: the notes are damaged, or the repository can't be written to.
    """
    with _one_at_a_time(repo):
        for _ in range(NOTES_TRIES):
            if _is_changed(repo, notes, content or {}, expected or {}, seen, message):
                return
    raise RefConflict(
        "others were writing notes on runs all the time, and these could not be written",
        hint="nothing is lost of theirs; try again",
    )


@contextlib.contextmanager
def _one_at_a_time(repo: Repository) -> Iterator[None]:
    """Have others of ours wait who write notes; who waits for long goes on, as the ref is moved by compare-and-swap."""
    lock = Locks(repo.state_dir).notes()
    with contextlib.suppress(RepositoryError):
        lock.acquire(NOTES_PATIENCE)
    try:
        yield
    finally:
        lock.release()


def _is_changed(
    repo: Repository,
    notes: Mapping[Oid, Oid | None],
    content: Mapping[Oid, bytes],
    expected: Mapping[Oid, Oid | None],
    seen: Mapping[Oid, Oid | None] | None,
    message: str,
) -> bool:
    """Change notes; whether they are as they shall be, and nobody else has changed them meanwhile."""
    tip = repo.refs.get(layout.NOTES)  # 1
    if not tip and not any(notes.values()):
        return True
    _check_expected(repo, expected)
    wanted = notes if seen is None else _unchanged(repo, notes, seen)
    objects = _with_notes(repo, tip, wanted, content, message)
    if not objects:
        return True
    pack = repo.packs.write(objects)  # 2
    reached("note.written")
    try:
        repo.refs.transaction([RefUpdate(layout.NOTES, pack.oids[-1], tip)])  # 3
    except RefConflict:
        return False
    else:
        reached("note.moved")
        return True
    finally:
        repo.packs.release([pack.name])  # 4


def _check_expected(repo: Repository, expected: Mapping[Oid, Oid | None]) -> None:
    notes = Notes(repo) if expected else None
    if notes and any(notes.blob(noted) != blob for noted, blob in expected.items()):
        raise RefConflict(
            "somebody has just written another note on this run",
            hint="look at that one first, and write yours again",
        )


def _unchanged(
    repo: Repository, notes: Mapping[Oid, Oid | None], seen: Mapping[Oid, Oid | None]
) -> Mapping[Oid, Oid | None]:
    now = Notes(repo)
    return {noted: blob for noted, blob in notes.items() if now.blob(noted) == seen.get(noted)}


def _with_notes(
    repo: Repository,
    tip: Oid | None,
    notes: Mapping[Oid, Oid | None],
    content: Mapping[Oid, bytes],
    message: str,
) -> list[PackObject]:
    """The trees and the commit that change notes, with what is noted; none where all are as they shall be.

    With it, since a repack may have read the refs of notes before, and of the trash after: it then deletes the old one.
    """
    from gitflowrun.git.pack.writer import PackObject  # which nobody needs who reads notes
    from gitflowrun.git.tree_edit import EMPTY_TREE, edit_tree

    listed = tip and repo.git.run("ls-tree", "-r", "-z", "--name-only", str(tip), env=BOUNDED)
    paths = listed.split(b"\0") if listed else []
    # Git puts notes into folders by their first digits when there are many, and finds them at each depth.
    files: dict[bytes, TreeEntry | None] = {
        path: None
        for path in paths
        if path.replace(b"/", b"") in {str(it).encode() for it in notes}
    }
    for noted, blob in notes.items():
        if blob:
            name = str(noted).encode()
            files[name] = TreeEntry(Mode.BLOB, name, blob)
    old = repo.objects.commit(tip).tree if tip else EMPTY_TREE
    tree, made = edit_tree(repo.objects, old, files)
    if tree == old:
        return []
    parents = (tip,) if tip else ()
    commit = Commit(tree, parents, *repo.signatures(), f"{message}\n".encode())
    blobs = []
    for blob in filter(None, notes.values()):
        with contextlib.suppress(CorruptRecord):  # larger than records are: it stays where it is
            data = content[blob] if blob in content else repo.objects.blob(blob)
            blobs.append(PackObject(ObjectType.BLOB, data))
    return [*blobs, *made.values(), PackObject(ObjectType.COMMIT, commit.encode())]
