"""Runs the fenced blocks of README and docs in a repository of their own and compares what they print.

    ```python title="hello.py"     written to that file of the sandbox; so are json and toml
    ```python                      executed
    ```console                     `$ command` lines are run by sh, plain `git runs` here; below is what they print
    ```console title="40 columns"  likewise, on a terminal of that width
    ```console title="dask"        likewise, where that package is installed
    ```sh title=".ci/run"          set-up commands, each a line of .ci/run; of these, `python ...` runs here too
    ```sh title="tests/..."        set-up commands that this file of tests runs, in environments of its own

A page of the manual (`docs/manual/git-runs-<verb>.md`) goes on where the one of the program, `git-runs.md`, ends. The
tour has a repository with many runs (`tests.helpers.tour`).

Ids, times, oids and pids differ from run to run: both sides are compared after `normal`. A line `...` stands for
any lines. `python -m tests.docs.blocks FILE...` rewrites the outputs in place.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import importlib.util
import io
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitflowrun.cli.git_runs.main import main
from tests.helpers.repos import ROOT, GitRepo, make_repo, program_environment
from tests.helpers.tour import make_tour_repo
from tests.helpers.warm_popen import WarmPopen
from tests.helpers.warm_programs import write_program
from tests.helpers.warm_python import run_warm, suits

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MANUAL = ROOT / "docs" / "manual"
FIRST_PAGE = MANUAL / "git-runs.md"
IN_PROCESS = re.compile(
    r"git runs(?! re(?:run|sume)\b)((?: [\w @./:=+,'\"-]+?)?)(?: \| (.+))?"
)  # nothing for a shell but a filter
BY_FORK = re.compile(
    r"((?:\w+=(?:'[\w -]*'|[\w-]+) )*)python ([\w./-]+\.py(?: [\w @./:=+,'\"{}-]+?)?)( 2>&1)?"
    r"(?: \| (.+)| > ?(\w+|/dev/null)( 2>&1)?)?"
)
TOUR = "tour.md"
MAIN_JOB = re.compile(r"\bpython docs/.*")  # what a set-up line runs once everything is installed
OPTIONAL = {"dask": "distributed"}
VARIABLE = (
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "<oid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?[+-]\d{4}|Z)?"), "<time>"),
    (re.compile(r"\b\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4} [+-]\d{4}"), "<time>"),
    (re.compile(r"\b(\d+ (seconds?|minutes?|s|min) ago|just now)\b"), "<time>"),
    (re.compile(r"\bpid \d+"), "pid <n>"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "<duration>"),
    (re.compile(r"\b\d+(\.\d+)? ?([kKMG]i?B|bytes)\b"), "<size>"),
    (re.compile(r"\bSHA256:[\w+/]{43}"), "<key>"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    kind: str
    title: str | None
    text: str
    start: int
    end: int


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    for match in FENCE.finditer(document.read_text()):
        yield Block(match[1], match[2], match[3], match.start(3), match.end(3))


def lines_for(title: str) -> list[str]:
    """The README's `sh` lines that are run by whatever `title` names, in order."""
    return [
        line
        for block in blocks(ROOT / "README.md")
        if block.kind == "sh" and block.title == title
        for line in block.text.splitlines()
    ]


def normal(text: str) -> list[str]:
    """Lines of output with everything that varies from run to run replaced."""
    for pattern, name in VARIABLE:
        text = pattern.sub(name, text)
    return [line.strip() for line in text.strip().split("\n")]


def matches(expected: str, actual: str) -> bool:
    """Whether `actual` is what the document shows; `...` in the document stands for any lines."""
    pieces = [re.escape(line) if line != "..." else r"(?s:.*)" for line in normal(expected)]
    return (
        re.fullmatch(r"\n".join(pieces).replace("\n(?s:.*)", "(?s:.*)"), "\n".join(normal(actual)))
        is not None
    )


class Sandbox:
    """A repository in which the blocks of one document run one after the other."""

    def __init__(self, directory: Path, document: Path) -> None:
        self.repo = GitRepo(directory / "project")
        if document.parent == MANUAL and document != FIRST_PAGE:
            shutil.copytree(_after_the_first_page(), self.repo.path, symlinks=True)
            self.repo.git("update-index", "-q", "--refresh")
        elif document.name == TOUR:
            make_tour_repo(self.repo.path)
        else:
            self._make()
        bin_ = directory / "bin"
        bin_.mkdir()
        write_program(bin_ / "git-runs", "-m", "gitflowrun.cli.git_runs.main")
        write_program(bin_ / "python")
        path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
        self.env = program_environment({"PATH": path, "COLUMNS": "100"})

    def _make(self) -> None:
        make_repo(self.repo.path)
        for example in (ROOT / "docs" / "examples").glob("*.py"):
            self.repo.write(f"docs/examples/{example.name}", example.read_bytes())
        self.repo.commit("the examples")

    def shell(self, command: str) -> str:
        """Run one command line; what it printed to both streams."""
        if found := IN_PROCESS.fullmatch(command):
            return self._call(shlex.split(found[1]), found[2])
        if (found := BY_FORK.fullmatch(command)) and suits(self.env):
            return self._fork(*found.groups())
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.repo.path, env=self.env, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        )  # fmt: skip
        return done.stdout

    def _fork(
        self, variables: str, program: str, is_one: str | None, filter_: str | None, file: str | None, all_: str | None
    ) -> str:  # fmt: skip
        """Run `A=1 python PROGRAM 2>&1 | FILTER`, or `> FILE`, by a fork of a warm Python: a third of the time."""
        script, *args = shlex.split(program)
        if file:  # as the shell does before anything runs
            (self.repo.path / file).write_bytes(b"")
        env = {**self.env, **dict(it.split("=", 1) for it in shlex.split(variables))}
        is_one_stream = bool(is_one or all_) or not (filter_ or file)
        _, out, err = run_warm(
            script, tuple(args), self.repo.path, env, is_one_stream=is_one_stream
        )
        if file:
            (self.repo.path / file).write_bytes(out)
            out = b""
        return (err + self._filtered(out, filter_)).decode()

    def _filtered(self, text: bytes, filter_: str | None) -> bytes:
        """What a filter of the shell makes of a text."""
        if not filter_:
            return text
        done = subprocess.run(
            ["sh", "-c", filter_], cwd=self.repo.path, env=self.env, check=False,
            input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    def _call(self, words: list[str], filter_: str | None) -> str:
        """Run `git runs WORDS | FILTER` in this process, which takes a fifth of the time of one of its own."""
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True)
        told = err if filter_ else out
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(told):
            patch.chdir(self.repo.path)
            for name, text in self.env.items():
                patch.setenv(name, text)
            main(words)
        return (err.buffer.getvalue() + self._filtered(out.buffer.getvalue(), filter_)).decode()

    def screen(self, command: str, columns: int) -> str:
        """What a terminal of that width shows of one command line, without colours."""
        ours, theirs = pty.openpty()
        # `termios.tcsetwinsize`, which came with Python 3.11.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env = {name: text for name, text in self.env.items() if name != "COLUMNS"}
        words = ["sh", "-c", command]
        if (found := IN_PROCESS.fullmatch(command)) and not found[2]:
            words = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *shlex.split(found[1])]
        with WarmPopen(
            words, cwd=self.repo.path, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**env, "TERM": "xterm", "NO_COLOR": "1", "GIT_PAGER": "cat"}, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            seen = b""
            with contextlib.suppress(OSError):  # nobody writes any more
                while piece := os.read(ours, 65536):
                    seen += piece
            process.wait(300)
        os.close(ours)
        return seen.decode().replace("\r\n", "\n")

    def run(self, block: Block) -> list[tuple[str, str, str]]:
        """Run a block; (command, expected, actual) for each command of a console block."""
        if block.kind == "sh" and block.title == ".ci/run":
            for command in MAIN_JOB.findall(block.text):
                self.shell(command)
        elif block.kind in {"python", "json", "toml"} and block.title:
            self.repo.write(block.title, block.text)
        elif block.kind == "python":
            done = self.repo.flow("-c", block.text)
            assert done.code == 0, f"{block.text}\n{done.err}"
        if block.kind != "console" or not _can_run(block):
            return []
        parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
        pairs = zip(parts[1::2], parts[2::2], strict=True)
        columns = re.fullmatch(r"(\d+) columns", block.title or "")
        return [
            (
                command,
                expected,
                self.screen(command, int(columns[1])) if columns else self.shell(command),
            )
            for command, expected in pairs
        ]


def _can_run(block: Block) -> bool:
    """Whether the optional package that a block needs is installed; most need none."""
    module = OPTIONAL.get(block.title or "")
    return module is None or importlib.util.find_spec(module) is not None


@functools.cache
def _after_the_first_page() -> Path:
    place = Path(tempfile.mkdtemp(prefix="gitflowrun-manual-"))
    atexit.register(_remove, place, os.getpid())
    sandbox = Sandbox(place, FIRST_PAGE)
    for block in blocks(FIRST_PAGE):
        sandbox.run(block)
    return sandbox.repo.path


def _remove(place: Path, maker: int) -> None:
    if os.getpid() == maker:  # and no child of it
        shutil.rmtree(place, ignore_errors=True)


def update(document: Path) -> None:
    """Rewrite the outputs of a document's console blocks."""
    with tempfile.TemporaryDirectory() as directory:
        sandbox, text, shift = Sandbox(Path(directory), document), document.read_text(), 0
        for block in blocks(document):
            rows = sandbox.run(block)
            if not rows:
                continue
            body = "".join(
                f"$ {command}\n{expected if matches(expected, actual) else actual.rstrip() + chr(10)}"
                if actual.strip() else f"$ {command}\n"
                for command, expected, actual in rows
            )  # fmt: skip
            text = text[: block.start + shift] + body + text[block.end + shift :]
            shift += len(body) - (block.end - block.start)
        document.write_text(text)


if __name__ == "__main__":
    import tests.conftest  # noqa: F401  (keeps this process apart as it keeps the tests)

    for name in sys.argv[1:]:
        update(Path(name).resolve())
