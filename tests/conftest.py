"""Keeps every test apart from the machine: git config, HOME, PATH, identity, time zone, hooks; offers repositories."""

from __future__ import annotations

import atexit
import compileall
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.repos import ROOT, GitRepo, make_repo

settings.register_profile(
    "isolated", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("isolated")


def _isolate() -> None:
    # At import, before libgit2 reads HOME for the first time.
    home = Path(tempfile.mkdtemp(prefix="gitflowrun-home-"))
    atexit.register(_remove, home, os.getpid())
    config = home / ".gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n"
        "[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
        '[protocol "file"]\n\tallow = always\n'
    )
    for name in [
        name for name in os.environ if name.startswith(("GIT_", "GITFLOWRUN_", "METAFLOW_"))
    ]:
        del os.environ[name]
    os.environ.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_TERMINAL_PROMPT="0",
        GIT_EDITOR="false",
        TZ="UTC",
        LC_ALL="C.UTF-8",
        USER="ada",
        PYTHONDONTWRITEBYTECODE="1",
    )
    for name in ("SUDO_USER", "USERNAME", "LOGNAME", "PAGER", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    # The programs of an active virtual environment: a test says itself which git-runs it wants.
    programs = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(it for it in programs if not Path(it, "git-runs").exists())
    if paths := os.environ.get("PYTHONPATH"):  # `.` would be a test's repository
        absolute = [str(Path(path).absolute()) for path in paths.split(os.pathsep) if path]
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)


def _remove(home: Path, maker: int) -> None:
    if os.getpid() == maker:  # and no child of it
        shutil.rmtree(home, ignore_errors=True)


def _compile() -> None:
    # Else each of the thousands of programs that tests start compiles a hundred modules anew, where the environment
    # forbids to write bytecode (as the one of the tests does: a work tree's modules change within a second).
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compileall.compile_dir(ROOT / "gitflowrun", quiet=2)


_isolate()
_compile()


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with one commit, in a directory whose name has a space."""
    return make_repo(tmp_path / "a repo")
