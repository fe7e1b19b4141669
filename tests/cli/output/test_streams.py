"""What is written to standard output arrives whole, or is said not to."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from gitflowrun.cli.output.streams import OutputError
from tests.helpers.repos import ROOT, make_repo
from tests.helpers.runs import make_run

_LINES = 20_000
_BODY = (
    "import resource, sys\nfrom gitflowrun.cli.errors import GIT, exit_code_of\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, -1))\n"
    "def body():\n"
    f"    sys.stdout.write('text\\n' * {_LINES})\n"
    "    sys.stdout.flush()\n"
    f"    sys.stdout.buffer.write(b'bytes\\n' * {_LINES})\n"
    "    return 0\n"
    "sys.exit(exit_code_of(body, GIT))"
)
_ALL = b"text\n" * _LINES + b"bytes\n" * _LINES


def _start(
    out: int, *, unbuffered: str, limit: int = -1, err: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _BODY.format(limit=limit)],
        cwd=ROOT, stdout=out, stderr=err, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_of_a_non_blocking_pipe_is_waited_for(unbuffered: str) -> None:
    """Somebody has made the pipe non-blocking, and it is full before it is read: nothing is missing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with _start(writing, unbuffered=unbuffered) as process, os.fdopen(reading, "rb") as reader:
        # It is full when it takes no more, and then the command has to wait.
        while select.select([], [writing], [], 0)[1] and process.poll() is None:
            select.select([], [], [], 0.01)
        os.close(writing)
        assert reader.read() == _ALL
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("limit", [len(_ALL) // 4, len(_ALL) * 3 // 4])
def test_a_file_that_takes_a_part_is_an_error(tmp_path: Path, limit: int, unbuffered: str) -> None:
    """A limit in the midst of text or of bytes: what fits is there, the rest is said once to be missing."""
    with (tmp_path / "out").open("wb") as out:
        process = _start(out.fileno(), unbuffered=unbuffered, limit=limit)
        _, err = process.communicate()
    assert (tmp_path / "out").read_bytes() == _ALL[:limit]
    assert process.returncode == 128
    assert err.decode() == (
        "fatal: the output can't be written: File too large\n"
        "hint: send it elsewhere: `ulimit -f`, or the file system, allows no larger file\n"
    )


def test_errors_of_output_say_what_helps() -> None:
    """Space helps against a full disk, and not against a broken one."""
    assert OutputError(errno.ENOSPC, "full").hint == "free some space, or send it elsewhere"
    assert OutputError(errno.EIO, "broken").hint == "send it elsewhere"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_standard_error_that_takes_nothing_ends_no_command(unbuffered: str) -> None:
    """Warnings that can't be told change neither the result nor the exit code, not even at the end."""
    body = (
        "import sys\nfrom gitflowrun.cli.errors import GIT, exit_code_of\n"
        "def body():\n    sys.stderr.write('warning\\n')\n    print('result')\n    return 3\n"
        "sys.exit(exit_code_of(body, GIT))"
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", body], cwd=ROOT, stdout=subprocess.PIPE, stderr=full, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.stdout == b"result\n"
    assert done.returncode == 3


def test_an_answer_is_waited_for_on_a_non_blocking_terminal(tmp_path: Path) -> None:
    """What a program beside us did to the terminal answers no question."""
    repo = make_repo(tmp_path / "r")
    make_run(repo)
    assert repo.runs("tag", "1", "keep").code == 0
    ours, theirs = pty.openpty()
    os.set_blocking(theirs, False)
    command = [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "rm", "1"]
    with subprocess.Popen(command, cwd=repo.path, stdin=theirs, stdout=theirs, stderr=theirs) as it:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        select.select([ours], [], [], 0.1)
        os.write(ours, b"y\n")
        while b"trash" not in shown:
            shown += os.read(ours, 4096)
        assert it.wait() == 0
    os.close(ours)
