"""`read_info_file` tells which run a process belongs to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gitflowrun.client import repository as sources
from gitflowrun.meta_files import RUN_VARIABLE, read_info_file
from tests.client.samples import make_run
from tests.helpers.repos import GitRepo, run_program


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with two runs, which is the current directory."""
    sources._open.clear()
    repo.write("flow.py", "")
    make_run(repo)
    make_run(repo, "Other", user="bob")
    monkeypatch.chdir(repo.path)
    return repo


def test_it_is_a_plain_dictionary_with_the_seeds_names(here: GitRepo) -> None:
    """Flow, run, versions, user, script, git state; all of it can be written as JSON."""
    info = read_info_file()
    assert info is not None
    assert (info["flow_name"], info["run_id"], info["username"]) == ("Other", "2", "bob")
    assert (info["gitflowrun_version"], info["metaflow_version"]) == ("0.1.0", "2.19.39")
    assert (info["script"], info["runtime"], info["branch_name"]) == ("flow.py", "dev", "main")
    assert info["commit_sha"] == here.git("rev-parse", "HEAD")
    assert info["has_uncommitted_changes"] is True
    assert info["uid"] == here.git("rev-list", "--max-parents=0", "runs/Other/2")
    json.dumps(info)


def test_a_task_reads_its_own_run(here: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says which run the process belongs to; one that is not here doesn't count."""
    assert here.path
    for value, expected in (("MyFlow/1", "1"), ("MyFlow/99", "2"), ("nonsense", "2")):
        monkeypatch.setenv(RUN_VARIABLE, value)
        info = read_info_file()
        assert info is not None
        assert info["run_id"] == expected


def test_code_beside_its_info_reads_that(here: GitRepo, tmp_path: Path) -> None:
    """A script in a run's tree, extracted by stock git, reads the INFO beside it."""
    here.git("archive", "-o", str(tmp_path / "run.tar"), "runs/MyFlow/1")
    (tmp_path / "out").mkdir()
    assert run_program(["tar", "-xf", "run.tar", "-C", "out"], tmp_path).code == 0
    script = tmp_path / "out" / "code" / "show.py"
    script.write_text("from gitflowrun.meta_files import *; print(read_info_file()['flow_name'])")
    done = run_program([sys.executable, str(script)], tmp_path)
    assert done.out == "MyFlow\n", done.err


def test_another_info_file_is_no_info(here: GitRepo) -> None:
    """A file that merely has the name is passed over."""
    script = here.write(
        "x/code/show.py", "from gitflowrun.meta_files import *; print(read_info_file()['run_id'])"
    )
    here.write("x/INFO", b"\x80nonsense")
    assert here.python(str(script)).out == "2\n"


def test_nowhere_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: GitRepo
) -> None:
    """Outside of a repository, and in one without runs, there is no INFO."""
    assert read_info_file() is None
    monkeypatch.chdir(repo.path)
    assert read_info_file() is None
    assert tmp_path
