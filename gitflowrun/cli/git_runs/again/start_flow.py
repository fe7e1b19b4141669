"""Starts the program of a flow for `rerun` and `resume`, and ends as it ends.

It dies with us: a run whose work tree somebody else takes away would go on without its code.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound
from gitflowrun.runs.runs import RunStore
from gitflowrun.runtime.ipc.process import ParentDeathSignal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from gitflowrun.porcelain.rerun import Program
    from gitflowrun.runs.read import StoredRun

_BY_SIGNAL = 128
"""What a shell adds to the number of the signal that ended a program."""


def run_program(program: Program, words: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a flow's program to its end, with our streams.

    Args:
        program: The program.
        words: Its arguments.
        env: Its environment.

    Returns:
        Its exit code; of one that a signal ended what a shell makes of that.

    Raises:
        NotFound: it can't be started.
    """
    return _run(program, words, env, sys.stdout.fileno() if _has_descriptor() else None)


def _run(program: Program, words: Sequence[str], env: Mapping[str, str], stdout: int | None) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        process = subprocess.Popen(
            [*program.words, *words], cwd=program.directory, env=env, stdout=stdout,
            preexec_fn=ParentDeathSignal().set,  # noqa: PLW1509  (there are no threads)
        )  # fmt: skip
    except OSError as error:
        raise NotFound(
            f"{program.words[0]!r} can't be started: {error.strerror or error}",
            hint="start the flow's file yourself, with the Python that it needs",
        ) from error
    with _signals_of(process):
        code = process.wait()
    return code if code >= 0 else _BY_SIGNAL - code


def report_program(
    run: StoredRun, program: Program, words: Sequence[str], env: Mapping[str, str]
) -> tuple[int, dict[str, object]]:
    """As `run_program`, with what the program prints on standard error: standard output is for one document.

    Args:
        run: The run that it begins with.
        program: The program.
        words: Its arguments, the first of which is its command.
        env: Its environment.

    Returns:
        The exit code, and the new run, its status and the run that it came from.
    """
    with tempfile.TemporaryDirectory(prefix="git-runs-") as place:
        facts = Path(place, "facts.json")
        more = [words[0], "--runner-attribute-file", str(facts), *words[1:]]
        code = _run(program, more, env, sys.stderr.fileno())
        made = None
        with suppress(OSError, ValueError, KeyError):
            row = json.loads(facts.read_bytes())
            made = RunStore(run.repo).get(row["flow_name"], row["run_id"])
    found: dict[str, object] = {
        "run": made.pathspec if made else None,
        "uid": str(made.identity.uid) if made else None,
        "status": made.status.value if made else None,
        "origin": run.pathspec,
        "exit_code": code,
    }
    return code, found


def _has_descriptor() -> bool:
    with suppress(OSError, ValueError):
        return sys.stdout.fileno() >= 0
    return False


@contextmanager
def _signals_of(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While it lasts, signals are the program's: a terminal sends Ctrl-C to it as well, others are passed on."""

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            process.send_signal(number)

    def leave(_number: int, _frame: FrameType | None) -> None:
        """It has got it, too."""

    old = {signal.SIGINT: signal.signal(signal.SIGINT, leave)}
    old[signal.SIGTERM] = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
