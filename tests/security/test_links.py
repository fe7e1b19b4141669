"""Links in the places of our files lead nowhere: a repository may come from somebody's archive."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from gitflowrun.cli.git_runs.main import main
from gitflowrun.errors import RepositoryError
from tests.helpers.runs import make_run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.repos import GitRepo

PLACES = [
    "gitflowrun", "gitflowrun/incoming", "gitflowrun/live", "gitflowrun/locks", "gitflowrun/snapshots",
    "gitflowrun/stale-locks", "gitflowrun/ref-locks", "gitflowrun/swept-locks", "gitflowrun/freed",
    f"gitflowrun/dedup-{os.geteuid()}.sqlite", "gitflowrun-mark", "gitflowrun-running", "gitflowrun-trusted",
    "gitflowrun-removed", f"gitflowrun-key-{os.geteuid()}", "objects/gitflowrun-incoming",
]  # fmt: skip


def files_of(directory: Path) -> dict[Path, tuple[float, bytes]]:
    """All files below a directory: when they were changed, and what they have."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_symbolic_link_in_our_place(
    repo: GitRepo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is read, written or removed where it leads; the error names it, and says how to go on."""
    monkeypatch.chdir(repo.path)
    make_run(repo)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(repo.path / ".git/gitflowrun", elsewhere)
    (elsewhere / "file").write_text("precious")
    before = files_of(elsewhere)
    for place in PLACES:
        path = repo.path / ".git" / place
        aside = tmp_path / "aside"
        if path.exists():
            path.rename(aside)
        is_file = aside.is_file() or place.startswith("gitflowrun-") or "." in place
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(elsewhere / "file" if is_file else elsewhere)
        for verb in (["list"], ["show", "1"], ["rm", "--force", "1"], ["gc"], ["doctor", "--fix"]):
            assert main(verb) == 128, (place, verb)
            assert f"{path} is a symbolic link" in capsys.readouterr().err
        with pytest.raises(RepositoryError, match="symbolic link"):
            make_run(repo)
        assert files_of(elsewhere) == before, place
        path.unlink()
        if aside.exists():
            aside.rename(path)
    assert main(["show", "1"]) == 0


def test_a_hard_link_in_our_place(repo: GitRepo, tmp_path: Path) -> None:
    """The file that has the other name stays as it is, and the run is recorded."""
    make_run(repo)
    state = repo.path / ".git/gitflowrun"
    places = [state / "locks/ids", state / "locks/tags", state / "fold.lock"]
    places += [state.with_name("gitflowrun-running"), state / f"dedup-{os.geteuid()}.sqlite"]
    mine = tmp_path / "mine"
    with contextlib.closing(sqlite3.connect(mine)) as database:
        database.execute("CREATE TABLE stored (digest BLOB PRIMARY KEY, row BLOB)")
    before = mine.read_bytes()
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        place.hardlink_to(mine)
    make_run(repo, tags=["a"])
    assert mine.read_bytes() == before
    assert mine.stat().st_mode & 0o777 == 0o644


def test_attributes_of_git_that_are_a_link(repo: GitRepo, tmp_path: Path) -> None:
    """The user's file that `info/attributes` leads to gets no line from us."""
    mine = tmp_path / "mine"
    mine.write_text("*.dat binary\n")
    path = repo.path / ".git/info/attributes"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(mine)
    make_run(repo)
    assert mine.read_text() == "*.dat binary\n"
