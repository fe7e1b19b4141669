"""`run.code`: the snapshot as an archive, as a directory, as the text of the flow's file."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from gitflowrun import Run
from gitflowrun.client import MetaflowCode
from gitflowrun.errors import NotFound, RepositoryError
from tests.client.samples import SCRIPT, make_run
from tests.helpers.repos import GitRepo


def test_the_archive_prints_as_a_path_and_is_one(here: GitRepo) -> None:
    """`tarball` can be printed, opened, passed to a program, and read as a TarFile."""
    here.write("new.txt", "untracked\n")
    make_run(here)
    here.write("new.txt", "changed since\n")
    code = Run("1").code
    assert isinstance(code, MetaflowCode)
    with code.tarball as archive:
        assert str(archive) == os.fspath(archive) == f"{archive}" == code.path
        assert isinstance(archive, tarfile.TarFile)
        assert archive.getnames() == ["README", "flow.py", "new.txt"]
        member = archive.extractfile("new.txt")
        assert member is not None
        assert member.read() == b"untracked\n"
    assert Path(code.path).read_bytes()[:6] == b"README"


def test_the_archive_is_made_once_and_again_when_lost(here: GitRepo) -> None:
    """It lies in the disposable state; two runs of the same code share it."""
    make_run(here)
    make_run(here)
    path = Path(Run("1").code.path)
    assert path.parent.parent == here.path / ".git" / "gitflowrun"
    assert str(path) == Run("2").code.path
    before = path.read_bytes()
    shutil.rmtree(here.path / ".git" / "gitflowrun")
    assert Path(Run("1").code.path).read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_repository_that_may_not_be_written_to(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive then lies in a private directory for temporary files."""
    make_run(here)
    (here.path / ".git" / "gitflowrun" / "code").write_text("in the way")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = Path(Run("1").code.path)
    assert path.is_relative_to(tmp_path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with Run("1").code.tarball as archive:
        assert "flow.py" in archive.getnames()


def test_the_flow_file(here: GitRepo) -> None:
    """Its name and its bytes, as they were when the run began."""
    make_run(here)
    here.write("flow.py", "changed since\n")
    code = Run("1").code
    assert (code.script_name, code.flowspec) == ("flow.py", SCRIPT.encode())
    assert str(code) == "<MetaflowCode: flow.py>"
    assert code.tree == here.git("rev-parse", "runs/MyFlow/1:code")


def test_a_flow_file_outside_of_the_snapshot(here: GitRepo) -> None:
    """One that git ignores is not in the code; the error says so."""
    (here.path / "flow.py").unlink()
    here.commit()
    make_run(here)
    with pytest.raises(NotFound, match=r"MyFlow/1 has no file 'flow\.py'") as caught:
        _ = Run("1").code.flowspec
    assert "ignore" in (caught.value.hint or "")


def test_code_is_extracted_into_a_temporary_directory(here: GitRepo) -> None:
    """It goes away with the object, as Metaflow's does."""
    here.write("pkg/module.py", "x = 1\n")
    make_run(here)
    with Run("1").code.extract() as place:
        assert sorted(item.name for item in Path(place).iterdir()) == ["README", "flow.py", "pkg"]
        assert Path(place, "pkg", "module.py").read_text() == "x = 1\n"
        assert Path(place).stat().st_mode & 0o777 == 0o700
    assert not Path(place).exists()


def test_info_has_metaflows_names(here: GitRepo) -> None:
    """What INFO says, by our names and by Metaflow's."""
    make_run(here)
    info = Run("1").code.info
    assert (info["flow_name"], info["run_id"], info["script"]) == ("MyFlow", "1", "flow.py")
    assert (info["username"], info["runtime"], info["platform"]) == ("ada", "dev", "test")


def test_tasks_have_the_code_of_their_run(here: GitRepo) -> None:
    """Codes are equal when their trees are."""
    make_run(here)
    make_run(here)
    task = Run("1").end_task
    assert task is not None
    assert task.code == Run("1").code == Run("2").code
    here.write("more.py", "")
    make_run(here)
    assert Run("3").code != Run("2").code


def test_what_cannot_be_written_leaves_nothing(
    here: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of an archive, or of a directory, leaves no half of one."""
    make_run(here)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gitflowrun.client.code.write_tar", fail)
    monkeypatch.setattr("gitflowrun.client.code.materialise", fail)
    monkeypatch.setattr("tempfile.tempdir", str(here.path))
    before = sorted(item.name for item in here.path.iterdir())
    with pytest.raises(RepositoryError, match="code of MyFlow/1 can't be written: No space left"):
        _ = Run("1").code.path
    with pytest.raises(RepositoryError, match="No space left"):
        Run("1").code.extract()
    assert list((here.path / ".git" / "gitflowrun" / "code").iterdir()) == []
    assert sorted(item.name for item in here.path.iterdir()) == before
