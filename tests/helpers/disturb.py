"""A program that something happens to at a random moment: a process dies, the disk is full or broken."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gitflowrun.failpoints import NAMES
from tests.helpers.flows import Background, at_most, eventually, family, started
from tests.helpers.repos import GitRepo, Output

__all__ = ["Disturbed", "Fault", "disturbed", "random_fault", "says_why"]

ERRORS = ("ENOSPC", "EIO")
_CALLS = ("rename", "fsync", "mkdir", "link", "unlink")
_PATIENCE = 300.0


@dataclass(frozen=True)
class Fault:
    """What is to happen to a program.

    Attributes:
        what: `kill`, an error of `errno`, or empty: nothing.
        where: With `kill` whose process: launcher, scheduler, zygote, task, any, group or all, at a moment; or, as with
            errors, the name of a failpoint or of a system call.
        times: The how manieth time it is passed.
    """

    what: str = ""
    where: str = ""
    times: int = 1

    def __str__(self) -> str:
        return f"{self.what} {self.where} {self.times}" if self.what else "nothing"

    @property
    def at(self) -> str:
        """moment, failpoint or call: by which means."""
        if self.where in NAMES:
            return "failpoint"
        return "call" if self.where in _CALLS else "moment"


@dataclass(frozen=True)
class Disturbed:
    """How it ended.

    Attributes:
        done: What it left.
        happened: Whether the fault came before the end.
        seconds: How long it took.
        wrong: A hang, or a process that outlives its program.
    """

    done: Output
    happened: bool
    seconds: float
    wrong: tuple[str, ...] = ()


def random_fault(chance: random.Random, roles: tuple[str, ...], points: tuple[str, ...]) -> Fault:
    """A fault by chance.

    Args:
        chance: The chance.
        roles: Which processes there are to be killed.
        points: The prefixes of the failpoints that the program passes.
    """
    names = sorted(name for name in NAMES if name.startswith(points))
    means = ["nothing", "moment", "moment", "moment"]
    means += ["failpoint", "failpoint"] if names else []
    means += ["call"] if shutil.which("strace") else []
    what = chance.choice(["kill", *ERRORS])
    times = chance.choice([1, 1, 1, 2, 3, 5])
    match chance.choice(means):
        case "moment":
            return Fault("kill", chance.choice(roles))
        case "failpoint":
            return Fault(what, chance.choice(names), times)
        case "call":
            return Fault(what, chance.choice(_CALLS), times)
    return Fault()


def disturbed(
    repo: GitRepo,
    args: tuple[str, ...],
    marker: Path,
    fault: Fault,
    moment: float = 0.0,
    env: dict[str, str] | None = None,
) -> Disturbed:
    """Run `python ARGS` in a repository with a fault, until it and all its processes are gone.

    Args:
        repo: Where.
        args: What.
        marker: A name that is in the environment of its processes alone, and where steps note that they are executed.
        fault: What is to happen.
        moment: After how many seconds somebody is killed.
        env: More of its environment.
    """
    reached, trace = marker.with_suffix(".reached"), marker.with_suffix(".trace")
    given = {**(env or {}), "MARKER": str(marker)}
    command = [sys.executable, *args]
    if fault.at == "failpoint":
        happens = f"{fault.where}={fault.what}:{fault.times}"
        given["GITFLOWRUN_FAILPOINTS"] = f"{fault.where}=tell:{reached}; {happens}"
    if fault.at == "call":
        happens = "signal=SIGKILL" if fault.what == "kill" else f"error={fault.what}"
        inject = f"inject={fault.where}:{happens}:when={fault.times}"
        options = ("-f", "-qq", "-o", str(trace), "-e", f"trace={fault.where}", "-e", inject)
        command = ["strace", *options, *command]
    begun = time.monotonic()
    program = started(repo, command, given)
    happened = fault.at == "moment" and bool(fault.what) and _killed(program, marker, fault, moment)
    wrong = _waited(program, marker)
    seconds = time.monotonic() - begun
    if fault.at == "failpoint":
        happened = reached.exists() and reached.read_text().count("\n") >= fault.times
    elif fault.at == "call":
        seen = trace.read_text(errors="replace") if trace.exists() else ""
        happened = "INJECTED" in seen or "killed by SIGKILL" in seen
    for path in (reached, trace):
        path.unlink(missing_ok=True)
    text = program.text()
    program.output.unlink()
    return Disturbed(Output(program.process.returncode, text, text), happened, seconds, wrong)


def _killed(program: Background, marker: Path, fault: Fault, moment: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.process.wait(moment)
        return False
    if fault.where == "group":
        return _kill(program.process.pid, os.killpg)
    # All of them: that one has just ended spares none of the others.
    killed = [_kill(pid) for pid in _victims(program, marker, fault.where)]
    return any(killed)


def _kill(pid: int, by: Callable[[int, int], None] = os.kill) -> bool:
    """Kill a process, or a group; whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        by(pid, signal.SIGKILL)
        return True
    return False


def _victims(program: Background, marker: Path, role: str) -> list[int]:
    everybody = family(str(marker))
    known = program.children()
    match role:
        case "all":
            return everybody
        case "any":
            return random.sample(everybody, min(1, len(everybody)))
        case "task":
            tasks = [pid for pid in everybody if pid not in known.values()]
            return random.sample(tasks, min(1, len(tasks)))
    return [known[role]] if role in known else random.sample(everybody, min(1, len(everybody)))


def _waited(program: Background, marker: Path) -> tuple[str, ...]:
    try:
        program.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        for pid in family(str(marker)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.wait()
        return (f"hang: {program.process.args!r} went on for {_PATIENCE:.0f} s",)
    if eventually(lambda: not family(str(marker)), at_most(5)):
        return ()
    left = family(str(marker))
    names = " ".join(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in left)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return (f"orphan: {names}",)


def says_why(fault: Fault, words: str) -> bool:
    """Whether words name an error as the system does; git does not where it made a directory or renamed a lock."""
    reasons = [os.strerror(getattr(errno, fault.what))]
    reasons += (
        [
            "unable to create directory for",
            "unable to create temporary object directory",
            "couldn't set",
        ]
        if fault.at == "call"
        else []
    )
    return any(reason in words for reason in reasons)
