"""Real git repositories for tests, driven by the git executable."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from gitflowrun.cli.git_runs.main import main
from tests.helpers.index_refresh import refreshed
from tests.helpers.warm_python import ROOT, run_warm, suits

__all__ = [
    "ROOT", "GitRepo", "Output", "copy_repo", "make_repo", "program_environment", "run_program",
]  # fmt: skip


@dataclass(frozen=True)
class Output:
    """What a finished program left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class GitRepo:
    """A repository (or clone) at `path`."""

    path: Path

    def git(self, *args: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Run git here and return what it printed, without the last newline."""
        done = subprocess.run(
            ["git", *args], cwd=self.path, input=stdin, capture_output=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"git {args} failed:\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace").removesuffix("\n")

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file of the work tree."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def commit(self, message: str = "change") -> str:
        """Commit everything in the work tree; return the commit's oid."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self._tip() or self.git("rev-parse", "HEAD")

    def _tip(self) -> str | None:
        """What a loose branch names, read without a process: tests make thousands of commits."""
        try:
            head = (self.path / ".git" / "HEAD").read_text()
            named = (self.path / ".git" / head.removeprefix("ref: ").strip()).read_text()
        except OSError:
            return None
        return named.strip() if head.startswith("ref: ") else None

    def python(self, *args: str, env: dict[str, str] | None = None, timeout: float = 300) -> Output:
        """Run python here with gitflowrun importable."""
        return run_program([sys.executable, *args], self.path, env, timeout)

    def runs(self, *args: str, env: dict[str, str] | None = None, timeout: float = 300) -> Output:
        """Run `git runs ARGS` here, in a process of its own."""
        return self.flow("-m", "gitflowrun.cli.git_runs.main", *args, env=env, timeout=timeout)

    def call(self, *args: str) -> Output:
        """Run `git runs ARGS` here, in this process: a tenth of the time, and libraries are imported once."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
        with _inside(self.path), redirect_stdout(out), redirect_stderr(err):
            code = main(args)
        return Output(code, *[_written(it) for it in (out, err)])

    def flow(
        self, script: str, *args: str, env: dict[str, str] | None = None, timeout: float = 300
    ) -> Output:
        """Run `python SCRIPT ARGS` here, begun by fork: `python` is for what an interpreter of its own makes differ."""
        given = program_environment(env)
        if not suits(given):
            return self.python(script, *args, env=env, timeout=timeout)
        return _output(*run_warm(script, args, self.path, given, timeout))

    def fsck(self) -> None:
        """Fail unless git finds the repository whole."""
        done = subprocess.run(
            ["git", "fsck", "--strict", "--full", "--no-dangling"],
            cwd=self.path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in done.stderr, done.stderr


@contextlib.contextmanager
def _inside(path: Path) -> Iterator[None]:
    """`contextlib.chdir`, which came with Python 3.11."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def run_program(
    command: list[str], cwd: Path, env: dict[str, str] | None = None, timeout: float = 300
) -> Output:
    """Run a program to its end."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, timeout=timeout, check=False,
        stdin=subprocess.DEVNULL, env=program_environment(env),
    )  # fmt: skip
    return _output(done.returncode, done.stdout, done.stderr)


def program_environment(added: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of this process, more variables, and a path to this package."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **(added or {})}


def _output(code: int, out: bytes, err: bytes) -> Output:
    return Output(code, out.decode(errors="replace"), err.decode(errors="replace"))


def make_repo(path: Path, *, files: dict[str, str] | None = None) -> GitRepo:
    """Make a repository with one commit at `path`."""
    if files is None:  # as most tests: a copy takes a third of the time of four git commands
        return copy_repo(_first(), path)
    path.mkdir(parents=True)
    repo = GitRepo(path)
    repo.git("init", "-q")
    for name, text in files.items():
        repo.write(name, text)
    repo.commit("first")
    return repo


def copy_repo(made: GitRepo, path: Path) -> GitRepo:
    """Copy a repository, as it was made once for all tests of a module, to `path` for one of them."""
    shutil.copytree(made.path, path, symlinks=True)
    repo = GitRepo(path)
    if not refreshed(path):  # an index knows files by their inodes
        repo.git("update-index", "-q", "--refresh", check=False)
    return repo


@functools.cache
def _first() -> GitRepo:
    place = Path(tempfile.mkdtemp(prefix="gitflowrun-first-"))
    atexit.register(_remove, place, os.getpid())
    return make_repo(place / "repo", files={"README": "a project\n"})


def _remove(place: Path, maker: int) -> None:
    if os.getpid() == maker:  # and no child of it
        shutil.rmtree(place, ignore_errors=True)
