"""Notes on runs: found at each depth of git's trees, changed beside other writers, and never half."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from gitflowrun.errors import NotFound, RefConflict
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.refs import RefUpdate
from gitflowrun.porcelain.notes import Notes, delete_note, write_note
from gitflowrun.runs import layout
from tests.helpers.flows import background
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo


def test_finds_notes_in_folders(repo: GitRepo) -> None:
    """Git puts many notes into folders of folders; a note is found there, and another one takes its place."""
    run, other = make_run(repo), "0" * 40
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"deep\n")
    names = [f"{name[:2]}/{name[2:4]}/{name[4:]}" for name in (str(run.uid), other)]
    rows = "".join(f"100644 {blob}\t{name}\n" for name in names)
    repo.git("rm", "-q", "-r", "--cached", ".")
    repo.git("update-index", "--index-info", stdin=rows.encode())
    commit = repo.git("commit-tree", "-m", "notes", repo.git("write-tree"))
    repo.git("update-ref", "refs/notes/runs", commit)
    repository = open_repo(repo)
    notes = Notes(repository)
    assert [notes.text(it) for it in (run.uid, Oid.from_hex(other))] == ["deep", "deep"]
    assert notes.blob(Oid.from_hex("f" * 40)) is None
    write_note(repository, run.uid, "again\n", name=run.pathspec)
    assert repo.git("notes", "--ref=runs", "show", str(run.uid)) == "again"
    assert len(repo.git("notes", "--ref=runs", "list").split("\n")) == len(names)
    repo.fsck()


def test_writers_of_notes_on_other_runs_lose_nothing(repo: GitRepo) -> None:
    """Two at once: each begins again where the other was faster."""
    made = [make_run(repo) for _ in range(2)]
    errors: list[Exception] = []

    def write(number: int) -> None:
        repository, run = open_repo(repo), made[number]
        try:
            for time in range(4):
                write_note(repository, run.uid, f"{time}\n", name=run.pathspec)
        except Exception as error:  # noqa: BLE001  (told below)
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    notes = Notes(open_repo(repo))
    assert [notes.text(run.uid) for run in made] == ["3", "3"]
    repo.fsck()


def test_a_note_that_somebody_was_faster_with(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says which note they have seen does not write over another one; who does not, does."""
    run = make_run(repo)
    real = Refs.transaction
    meanwhile: list[str] = []

    def transaction(self: Refs, updates: Sequence[RefUpdate]) -> None:
        if not meanwhile:
            meanwhile.append(repo.git("notes", "--ref=runs", "add", "-m", "theirs", str(run.uid)))
        real(self, updates)

    monkeypatch.setattr(Refs, "transaction", transaction)
    repository = open_repo(repo)
    with pytest.raises(RefConflict, match="somebody has just written another note"):
        write_note(repository, run.uid, "ours\n", name="MyFlow/1", expected={run.uid: None})
    assert Notes(repository).text(run.uid) == "theirs"
    write_note(repository, run.uid, "ours\n", name="MyFlow/1")
    assert Notes(repository).text(run.uid) == "ours"


def test_damaged_notes_are_told(repo: GitRepo) -> None:
    """What shows a run says that its note can't be read; who asks for the note gets the error."""
    run = make_run(repo)
    with pytest.raises(NotFound, match="MyFlow/1 has no note"):
        delete_note(open_repo(repo), run.uid, name="MyFlow/1")
    lost = repo.git("hash-object", "-w", "--stdin", stdin=b"lost")
    repo.git("notes", "--ref=runs", "add", "-C", lost, str(run.uid))
    (repo.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    shown = Notes(open_repo(repo)).shown(run.uid)
    assert shown is not None
    assert shown.startswith("(the note can't be read: ")
    assert open_repo(repo).refs.get(layout.NOTES) is not None
    assert repo.call("show", "1").code == 0
    assert repo.call("note", "1").code == 128


def test_others_who_write_all_the_time(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written says so, and no way to take back what they have written."""
    make_run(repo)

    def move(*_: object) -> None:
        raise RefConflict("refs/notes/runs was moved", hint="`git update-ref` takes that back")

    with monkeypatch.context() as patched:
        patched.setattr(Refs, "transaction", move)
        done = repo.call("note", "1", "-m", "mine")
    assert (done.code, done.out) == (128, "")
    assert "hint: nothing is lost of theirs; try again" in done.err
    assert "update-ref" not in done.err
    assert repo.call("note", "1", "-m", "mine").code == 0


def test_writers_at_once(repo: GitRepo) -> None:
    """Each of them says that its note is written, and all notes are there."""
    for _ in range(4):
        make_run(repo)
    writers = [
        background(
            repo, "-m", "gitflowrun.cli.git_runs.main", "note", str(number), "-m", f"note {number}"
        )
        for number in range(1, 5)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert [repo.call("note", str(number)).out for number in range(1, 5)] == [
        f"note {number}\n" for number in range(1, 5)
    ]
