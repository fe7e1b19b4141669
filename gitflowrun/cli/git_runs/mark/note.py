"""`git runs note`: the note on a run, shown, written, edited or deleted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import GIT, REFUSED, report_error, warn_of_settings
from gitflowrun.cli.output.tables import show
from gitflowrun.cli.output.text import printable
from gitflowrun.errors import GitflowrunError, NotFound, RepositoryError, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.limits import MAX_NOTE
from gitflowrun.porcelain.notes import Notes, delete_note, write_note
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.git.objects import Oid
    from gitflowrun.runs.read import StoredRun

_TEMPLATE = """
# A note on run {run}: {subject}
# Lines that begin with '#' are left out, and an empty note changes nothing.
"""


def note(
    *,
    messages: tuple[str, ...],
    file: Path | None,
    edit: bool,
    delete: bool,
    as_json_: bool,
    address: str,
) -> int:
    """Show the note on RUN, write it or delete it."""
    if bool(messages) + (file is not None) + edit + delete > 1:
        raise UsageError("-m, -F, -e and -d don't go together", hint="give one of them")
    repo = Repository.discover()
    run = RunStore(repo).find(address)
    name, uid = run.pathspec, run.identity.uid
    if messages or file or edit:
        warn_of_settings(repo)
        before = Notes(repo).blob(uid)
        text = _edited(repo, run, before) if edit else _text(_given(messages, file))
        if text is None:
            report_error(NotFound(f"nothing was changed: the note on {name} is as it was"), GIT)
            return REFUSED
        try:
            _check_size(text.encode(errors="surrogateescape"))
            expected = {uid: before} if edit else None
            write_note(repo, uid, text, name=name, expected=expected)
        except GitflowrunError as error:
            raise (_keeping(text, error) if edit else error) from error
        line = f"wrote the note on {name}" + " in place of the one before" * (before is not None)
        show(repo, _found(run, text), lambda _: [line], json=as_json_)
        return 0
    if delete:
        delete_note(repo, uid, name=name)
        show(repo, _found(run, None), lambda _: [f"deleted the note on {name}"], json=as_json_)
        return 0
    return _show(repo, run, as_json_=as_json_)


def _show(repo: Repository, run: StoredRun, *, as_json_: bool) -> int:
    text = Notes(repo).text(run.identity.uid)
    if text is not None or as_json_:
        lines = (text or "").split("\n")
        show(repo, _found(run, text), lambda _: map(printable, lines), json=as_json_, page=True)
    if text is None:
        name = run.pathspec
        report_error(NotFound(f"{name} has no note", hint=f"git runs note {name} -m TEXT"), GIT)
    return REFUSED if text is None else 0


def _found(run: StoredRun, text: str | None) -> dict[str, str | None]:
    note = None if text is None else text.rstrip("\n")
    return {"run": run.pathspec, "uid": str(run.identity.uid), "note": note}


def _given(messages: Sequence[str], file: Path | None) -> str:
    """The text of `-m` or `-F`."""
    if file is None:
        return "\n\n".join(messages)
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_NOTE + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_NOTE + 1)
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror or error}") from error
    # Even if `_text` makes it smaller: there may be more to read.
    _check_size(data)
    return data.decode(errors="surrogateescape")


def _text(given: str) -> str:
    """A note as it is stored: no spaces at the ends of lines, and a newline at its end, as git writes notes.

    Raises:
        UsageError: nothing is left.
    """
    text = "\n".join(line.rstrip() for line in given.split("\n")).strip("\n")
    if not text:
        raise UsageError("the note is empty", hint="-d deletes the note on a run")
    return text + "\n"


def _check_size(data: bytes) -> None:
    if len(data) > MAX_NOTE:
        raise UsageError(
            f"the note is larger than {MAX_NOTE >> 20} MiB", hint="note where the text is instead"
        )


def _edited(repo: Repository, run: StoredRun, before: Oid | None) -> str | None:
    """The note as the user's editor leaves it; None where nothing changed, or nothing is left.

    Args:
        repo: The repository.
        run: The run.
        before: The blob of the note that is edited, whose bytes stay what they are; None where there is none.

    Raises:
        RepositoryError: the editor can't be started, or ends with another exit code than 0.
    """
    data = b"" if before is None else repo.objects.blob(before, MAX_NOTE)
    old = data.decode(errors="surrogateescape").rstrip("\n")
    template = _TEMPLATE.format(run=run.pathspec, subject=f"{run.status.value}, {run.info.user}")
    editor = repo.git.run("var", "GIT_EDITOR").decode(errors="surrogateescape").strip()
    with tempfile.TemporaryDirectory(prefix="git-runs-note-") as place:
        path = Path(place, "RUNS_NOTE")
        path.write_bytes((old + template).encode(errors="surrogateescape"))
        # As git does it: a shell command that gets the file's name.
        done = subprocess.run([f'{editor} "$@"', editor, str(path)], shell=True, check=False)  # noqa: S602
        if done.returncode:
            raise RepositoryError(
                f"the editor {editor!r} ended with exit code {done.returncode}: nothing was changed",
                hint="`git config core.editor` names another one; -m gives the text itself",
            )
        written = path.read_bytes() if path.is_file() else b""
    # The template's own sign, whatever `core.commentChar` says.
    comments = ("-c", "core.commentChar=#")
    text = repo.git.run(*comments, "stripspace", "--strip-comments", stdin=written)
    plain = text.decode(errors="surrogateescape")
    return _text(plain) if plain.strip() and plain.strip() != old.strip() else None


def _keeping(text: str, error: GitflowrunError) -> GitflowrunError:
    """The error where what somebody has written could not be stored: it says which file keeps it."""
    try:
        fd, path = tempfile.mkstemp(prefix="git-runs-note-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError:
        return error
    return type(error)(error.message, hint=f"what you wrote is in {path}: `-F {path}` writes it")
