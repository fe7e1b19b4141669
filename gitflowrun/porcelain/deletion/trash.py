"""The trash: removed runs as refs, out of everybody's sight and back at a word, and the list of those gone for good.

    refs/runs-trash/<time>/<Flow>/<id>               the run's newest commit
    refs/runs-trash/<time>/@tags/<Flow>/<tag>/<id>   a tag of it
    refs/runs-trash/<time>/@notes/<Flow>/<id>        the git note on it, a blob

Removing and restoring are one transaction of refs each, in which git makes the new ones before it deletes the old
ones: whatever kills it, a run is in its place, in the trash, or in both, and either command may be given again. The
note, which is no ref, goes last and comes first. Numbers are never given again: `runs.ids` counts the trash.

Whoever lists all refs, as `git repack` does before it deletes what none of them reaches, reads one place after the
other. It may have read a run's new place before the run came there, and reads the old one when the run has left. What
it reads last are the reflogs, so a run that moves gets one, with its new ref; git deletes it with that ref.

A run that was removed does not come back by itself: a fetch passes over what is in the trash, and over what is in
`.git/gitflowrun-removed` (lines of uid, commit, and the run's place here or among the copies of a remote), which
names the runs that have left the trash or were purged. Somebody who fetches such a run by name takes it off.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from gitflowrun.errors import (
    GitflowrunError,
    InvalidPathspec,
    NotFound,
    RefConflict,
    RepositoryError,
)
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.git.pack.writer import sync_directory
from gitflowrun.git.permissions import (
    is_in_place,
    make_directory,
    not_writable,
    read_file,
    replace_file,
)
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import MAX_REMOVED
from gitflowrun.porcelain.notes import all_notes, change_notes
from gitflowrun.porcelain.transfer.sync import RunTip, free_id
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.lookup.ranges import expand
from gitflowrun.runs.records import RunIdentity
from gitflowrun.runs.tags import tag_updates, transact
from gitflowrun.settings import Durability
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.repository import Repository
    from gitflowrun.names import RunId
    from gitflowrun.runs.read import StoredRun

_TIME = "%Y%m%dT%H%M%S"


@frozen
class TrashedRun:
    """A run in the trash.

    Attributes:
        flow: Its flow.
        id: The id that it had.
        uid: Its first commit.
        tip: Its newest commit.
        removed: When it was removed, as its refs say it.
        subject: The first line of its newest commit's message.
        tags: Its tags.
        note: The blob of the git note on it.
    """

    flow: str
    id: RunId
    uid: Oid
    tip: Oid
    removed: str
    subject: str
    tags: tuple[str, ...]
    note: Oid | None

    @property
    def pathspec(self) -> str:
        """`Flow/id`, as it was."""
        return f"{self.flow}/{self.id}"

    @property
    def when(self) -> float:
        """When it was removed, in seconds since 1970; 0 where its refs do not say so."""
        with contextlib.suppress(ValueError):
            import calendar

            return float(calendar.timegm(time.strptime(self.removed.partition("-")[0], _TIME)))
        return 0.0

    def refs(self) -> dict[str, Oid]:
        """Its refs in the trash, its own last: where git deletes a part of them, the run is still found."""
        names: dict[str, Oid] = {
            layout.tag_ref(self.flow, tag, self.id): self.uid for tag in self.tags
        }
        if self.note:
            names[layout.note_ref(self.flow, self.id)] = self.note
        names[layout.run_ref(self.flow, self.id)] = self.tip
        return {layout.trash_ref(self.removed, name): oid for name, oid in names.items()}


@frozen
class RestoredRun:
    """A run that was put back, where it is now, and whether it was there already."""

    run: TrashedRun
    id: RunId
    was_here: bool

    @property
    def pathspec(self) -> str:
        """`Flow/id`, as it is now."""
        return f"{self.run.flow}/{self.id}"


class Trash:
    """The trash of a repository."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._locks = Locks(repo.state_dir)

    def runs(self) -> list[TrashedRun]:
        """The runs in the trash, those that were removed last first."""
        rows = self._repo.refs.rows(
            layout.TRASH, fields=("refname", "objectname", "contents:subject", "contents")
        )
        tags: dict[tuple[str, str, RunId], list[str]] = {}
        notes: dict[tuple[str, str], Oid] = {}
        for name, oid, _, _ in rows:
            removed, ref = layout.parse_trash_ref(name)
            notes[removed, ref] = Oid.from_hex(oid)
            if tag := layout.parse_tag_ref(ref):
                tags.setdefault((removed, tag[0], tag[2]), []).append(tag[1])
        found = []
        for name, oid, subject, message in rows:
            removed, ref = layout.parse_trash_ref(name)
            if run := layout.parse_run_ref(ref):
                state = parse_message(message)
                tip = Oid.from_hex(oid)
                uid = (state.uid if state else None) or tip
                note = notes.get((removed, layout.note_ref(*run)))
                own = tuple(sorted(tags.get((removed, *run), ())))
                found.append(TrashedRun(*run, uid, tip, removed, subject, own, note))
        return sorted(found, key=lambda it: (it.removed, it.id.sort_key), reverse=True)

    def find(self, word: str) -> TrashedRun:
        """The run in the trash that a word names: `12`, `Flow/12`, or the first digits of its uid.

        Of a run that is there twice, what was removed last.

        Raises:
            NotFound: there is none.
            InvalidPathspec: there are several.
        """
        runs = self.runs()
        digits = word.lower()
        found = {
            run.uid: run
            for run in reversed(runs)
            if word in (run.pathspec, str(run.id))
            or (len(word) >= 4 and str(run.uid).startswith(digits))  # noqa: PLR2004  (as git has it)
        }
        if not found:
            hint = "`git runs restore` lists the trash" if runs else "the trash is empty"
            raise NotFound(f"there is no run {word!r} in the trash", hint=hint)
        if len(found) > 1:
            names = "\n".join(f"  {run.uid.short} {run.subject}" for run in found.values())
            raise InvalidPathspec(f"{word!r} is ambiguous", hint=f"the candidates are:\n{names}")
        return next(iter(found.values()))

    def names(self) -> list[tuple[str, RunId]]:
        """Flow and id of the runs in the trash."""
        return [(run.flow, run.id) for run in self.runs()]

    def find_all(self, words: Iterable[str]) -> list[TrashedRun]:
        """The runs in the trash that words name, each once; a range (`10..20`) chooses among those that are there.

        Raises: as `find`.
        """
        found = map(self.find, expand(self._repo, words, self.names))
        return list({run.uid: run for run in found}.values())

    def put(self, runs: Sequence[StoredRun], *, spare_tagged: bool = False) -> list[StoredRun]:
        """Move runs to the trash, with their tags and the notes on them.

        Args:
            runs: The runs.
            spare_tagged: Whether those stay that have a tag by now.

        Returns:
            The runs that were moved.

        Raises:
            RefConflict: one of them has just changed.
            RepositoryError: the repository can't be written to.
        """
        now = time.time()
        removed = f"{time.strftime(_TIME, time.gmtime(now))}-{int(now % 1 * 1e6):06}"
        moved: dict[str, Oid] = {}
        gone: list[RefUpdate] = []
        noted: dict[Oid, Oid | None] = {}
        with self._locks.tags():
            tags, notes = _tags_of(self._repo), all_notes(self._repo)
            if spare_tagged:
                runs = [run for run in runs if not tags.get((run.flow, run.id))]
            if not runs:
                return []
            for run in runs:
                uid = run.identity.uid
                own = tags.get((run.flow, run.id), [])
                moved[layout.run_ref(run.flow, run.id)] = run.commit
                moved |= {layout.tag_ref(run.flow, tag, run.id): uid for tag in own}
                gone.append(RefUpdate(layout.run_ref(run.flow, run.id), None, run.commit))
                gone += tag_updates(self._repo, run.identity, remove=own)
                if note := notes.get(uid):
                    moved[layout.note_ref(run.flow, run.id)] = note
                    noted[uid] = note
            made = [
                RefUpdate(layout.trash_ref(removed, name), oid, None) for name, oid in moved.items()
            ]
            reached("trash.planned")
            with _logged(self._repo, made):
                transact(self._repo.refs, [*made, *gone])
        reached("trash.moved")
        with contextlib.suppress(GitflowrunError):  # one that stays is the one that comes back
            change_notes(self._repo, dict.fromkeys(noted), seen=noted)
        reached("trash.noted")
        return list(runs)

    def restore(self, runs: Sequence[TrashedRun]) -> list[RestoredRun]:
        """Put runs back where they were; under `<number>-<uid>` where that name was taken meanwhile.

        A run that a fetch has brought back meanwhile goes on to the state that it had here, if that is a later one.

        Raises:
            RefConflict: somebody else has just restored or purged one of them.
            RepositoryError: the repository can't be written to, or has another continuation of a run.
            CorruptRecord: a note can't be put back, for the notes are damaged.
        """
        restored = []
        with self._locks.ids(), self._locks.tags():
            here = _runs_here(self._repo)
            # By their refs: a plain `git fetch` may have given one run two names.
            rows = self._repo.refs.rows(layout.RUNS, fields=("refname",))
            taken = {name[1] for row in rows if (name := layout.parse_run_ref(row[0]))}
            updates: list[RefUpdate] = []
            for run in runs:
                updates += [RefUpdate(name, None, oid) for name, oid in run.refs().items()]
                found = here.get(run.uid)
                was_here = found is not None and self._has_all(found, run)
                target = found.id if found else free_id(run.id, run.uid, taken)
                restored.append(RestoredRun(run, target, was_here))
                taken.add(target)
                if not was_here:
                    ref = layout.run_ref(run.flow, target)
                    updates.append(RefUpdate(ref, run.tip, found.tip if found else None))
                identity = RunIdentity(run.flow, target, run.uid)
                updates += tag_updates(self._repo, identity, add=run.tags)
            # What is made comes first, as in `put`.
            updates.sort(key=lambda it: it.new is None)
            back = {run.uid: run.note for run in runs if run.note}
            change_notes(self._repo, back, seen=dict.fromkeys(back))
            reached("restore.planned")
            try:
                with _logged(self._repo, updates):
                    transact(self._repo.refs, updates)
            except RefConflict as error:
                raise self._left(runs, back) or error from error
        reached("restore.moved")
        return restored

    def _left(self, runs: Sequence[TrashedRun], back: Mapping[Oid, Oid]) -> RefConflict | None:
        """The error that runs have just left the trash, whose notes go again; None where all are there."""
        left, here = {(it.uid, it.removed) for it in self.runs()}, _runs_here(self._repo)
        gone = [run for run in runs if (run.uid, run.removed) not in left]
        lost = {uid: blob for uid, blob in back.items() if uid not in here}
        with contextlib.suppress(GitflowrunError):  # a note on what is not there is in nobody's way
            change_notes(self._repo, dict.fromkeys(lost), seen=lost)
        return told_left(gone[0], "restored", is_here=gone[0].uid in here) if gone else None

    def empty_logs(self, refs: Iterable[str]) -> None:
        """Empty the reflogs of runs that are about to go, which would hold their objects as refs do."""
        for name in refs:
            if path := _log_of(self._repo, name):
                with contextlib.suppress(OSError):
                    os.truncate(path, 0)

    def _has_all(self, here: RunTip, run: TrashedRun) -> bool:
        """Whether a run is here as it is in the trash, or in a later state. Raises RepositoryError: in neither."""
        if here.tip == run.tip:
            return True
        history = History(self._repo.git, {here.tip, run.tip})
        if history.leads_to(here.tip, run.tip):
            return True
        if history.leads_to(run.tip, here.tip):
            return False
        raise RepositoryError(
            f"{here.flow}/{here.id} went on differently than what the trash has of it",
            hint=f"`git update-ref {here.ref} {run.tip}` puts that in its place, which is now at {here.tip}",
        )


_AS_GIT = 0o777
"""The mode, before the umask, of the directories that git makes for reflogs: whoever else may read one does."""


def told_left(run: TrashedRun, verb: str, *, is_here: bool) -> RefConflict:
    """The error that a run has left the trash while it was about to be `verb`."""
    how = "was restored" if is_here else "was purged"
    return RefConflict(
        f"{run.pathspec} {how} by somebody else meanwhile, so nothing was {verb}",
        hint="`git runs restore` lists what is in the trash; then try again",
    )


def _log_of(repo: Repository, ref: str) -> Path | None:
    """The reflog of a run's ref, here or in the trash; None of another ref, and where a link leads elsewhere."""
    name = layout.parse_trash_ref(ref)[1] if ref.startswith(layout.TRASH) else ref
    path = repo.common_dir / "logs" / ref
    return path if layout.parse_run_ref(name) and is_in_place(repo.common_dir, path) else None


@contextlib.contextmanager
def _logged(repo: Repository, updates: Iterable[RefUpdate]) -> Iterator[None]:
    """Have git write reflogs of the refs that runs move to: it does where there is a file for one.

    Raises:
        RepositoryError: the files can't be made.
    """
    logs = [path for it in updates if it.new and (path := _log_of(repo, it.name))]
    try:
        for path in logs:
            try:
                make_directory(path.parent, _AS_GIT)
                path.touch()
            except OSError as error:
                raise not_writable(path, f"cannot write {path}", error) from error
        yield
    finally:
        for path in logs:
            _remove_if_empty(path)  # nothing has moved there


def _remove_if_empty(log: Path) -> None:
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            log.unlink()
            for directory in log.parents[:3]:
                directory.rmdir()


def _tags_of(repo: Repository) -> dict[tuple[str, RunId], list[str]]:
    found: dict[tuple[str, RunId], list[str]] = {}
    for (name,) in repo.refs.rows(layout.TAGS, fields=("refname",)):
        if tag := layout.parse_tag_ref(name):
            found.setdefault((tag[0], tag[2]), []).append(tag[1])
    return found


def _runs_here(repo: Repository) -> dict[Oid, RunTip]:
    """The runs that are here, by uid."""
    found = {}
    for name, text, message in repo.refs.rows(
        layout.RUNS, fields=("refname", "objectname", "contents")
    ):
        if run := layout.parse_run_ref(name):
            state, tip = parse_message(message), Oid.from_hex(text)
            found[(state.uid if state else None) or tip] = RunTip(*run, tip)
    return found


@frozen
class RemovedRun:
    """A line of the list of runs that are gone for good: a run, one commit of it, and a place where that was.

    Attributes:
        uid: The run.
        commit: The newest commit of it in that place, or an earlier one.
        place: `Flow/id` here, or `<digest of URL>/Flow/id` for the copy of a remote's.
    """

    uid: str
    commit: str
    place: str

    def __str__(self) -> str:
        return f"{self.uid} {self.commit} {self.place}"


class RemovedRuns:
    """The list of runs that are gone for good, which fetches do not bring back."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._path = repo.common_dir / "gitflowrun-removed"

    def read(self) -> list[RemovedRun]:
        """All lines. Raises RepositoryError: it can't be read, or is damaged: what is removed would come back."""
        data = read_file(self._path, "the list of removed runs", limit=MAX_REMOVED) or b""
        lines = (line.split(" ") for line in data.decode(errors="replace").splitlines())
        found = [RemovedRun(*words) for words in lines if len(words) == 3]  # noqa: PLR2004
        for number, line in enumerate(found, start=1):
            try:
                Oid.from_hex(line.uid)
            except ValueError:
                raise RepositoryError(
                    f"{self._path} is damaged: {line.uid!r} in its line {number} can't be the uid of a removed run",
                    hint="a backup of the file may have the line; without the line, a fetch may bring that run back",
                ) from None
        return found

    def add(self, lines: Iterable[RemovedRun], states: Iterable[RemovedRun] = ()) -> None:
        """Add lines.

        Args:
            lines: What is to be known of runs, and of copies.
            states: Earlier commits of these runs, for which there may be no space.

        Raises:
            RepositoryError: it can't be written.
        """
        if new := list(lines):
            with Locks(self._repo.state_dir).tags():
                both = list(dict.fromkeys([*self.read(), *new]))
                more = list(dict.fromkeys([*both, *states]))
                has_space = sum(len(str(it)) for it in more) <= MAX_REMOVED // 2
                self._write(more if has_space else both)

    def drop(self, uids: Iterable[Oid]) -> None:
        """Take runs off. Raises RepositoryError: it can't be written."""
        if back := {str(uid) for uid in uids}:
            with Locks(self._repo.state_dir).tags():
                self._write([line for line in self.read() if line.uid not in back])

    def _write(self, lines: Sequence[RemovedRun]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        try:
            replace_file(self._path, text.encode(), self._repo.shared_mode)
            if self._repo.settings.durability is Durability.SAFE:
                sync_directory(self._path.parent)  # before the refs of these runs go
        except OSError as error:
            raise RepositoryError(f"cannot write {self._path}: {error.strerror}") from error
