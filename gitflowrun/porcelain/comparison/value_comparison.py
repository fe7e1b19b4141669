"""Values of two runs compared in a process of their own, for what can only be told once both are loaded.

Loading a pickle runs code of its run, and that of a library may take all memory or end the process. Whoever reads
runs does neither: this starts an interpreter that does, with limits of time and memory, in a process group and a
directory of its own, without the terminal. What it says is believed: the values of trusted runs alone run code there,
and their modules come from the newer run's snapshot.

1. Payloads, and the modules of the snapshot, are written into a temporary directory with a list of what to do.
2. The child compares one pair after the other and appends what it finds to a file.
3. Where it ends early, another child goes on with the pair that it was at. One that does not get past its first pair
   leaves that one not compared; so it goes on until the time for all is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.artifacts.codecs import PLAIN, decode, is_pickle, is_safe
from gitflowrun.artifacts.same_value import are_equal, are_same
from gitflowrun.client.code import materialise
from gitflowrun.errors import GitflowrunError
from gitflowrun.git.environment import clean_environment
from gitflowrun.limits import (
    COMPARE_ALL_SECONDS,
    COMPARE_APART_UP_TO,
    COMPARE_MEMORY,
    COMPARE_SECONDS,
    COPY_PIECE,
)
from gitflowrun.porcelain.comparison.changes import EQUAL_PARTS, value_changes
from gitflowrun.settings import format_size
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.runs.read import StoredRun, StoredTask

_PICKLED, _STORED = "equal (pickled differently)", "equal (stored differently)"
_NOT_COMPARED = "not compared"
_JOB, _RESULTS, _CODE = "job.json", "results", "code-of-run"  # none of them a name of a module
# Not `-m`, by which Python looks for its own modules in the current directory first; `-P` is not in Python 3.10.
_CHILD = f"import sys; sys.path[:] = filter(None, sys.path); from {__name__} import main; main(sys.argv[1:])"


@frozen
class Pair:
    """Two artifacts of one type whose payloads differ.

    Attributes:
        old: The one before, with a task that lists it.
        new: The one after, likewise.
        strangers: The runs that would have to be trusted for their code to be run.
    """

    old: tuple[StoredTask, ArtifactRef]
    new: tuple[StoredTask, ArtifactRef]
    strangers: tuple[str, ...]

    @property
    def refs(self) -> tuple[ArtifactRef, ArtifactRef]:
        """Both, without the tasks."""
        return self.old[1], self.new[1]


@frozen
class Verdict:
    """What became of the comparison of a pair.

    Attributes:
        is_equal: Whether the values are equal; None where that is not known.
        lines: In what they differ, or why that is not known.
    """

    is_equal: bool | None
    lines: tuple[str, ...]


def compare_apart(pairs: Sequence[Pair]) -> list[Verdict]:
    """Load pairs of artifacts of two runs and say whether each is equal, and if not, in what it differs.

    Args:
        pairs: Artifacts of a run before and of one after, in whose code classes are looked for.
    """
    verdicts = {
        number: _undecided(reason)
        for number, pair in enumerate(pairs)
        if (reason := _obstacle(pair)) is not None
    }
    if len(verdicts) < len(pairs):
        try:
            with tempfile.TemporaryDirectory(prefix="gitflowrun-") as place:
                comparison = _Comparison(Path(place))
                todo = {number: pair for number, pair in enumerate(pairs) if number not in verdicts}
                verdicts |= comparison.prepare(todo)
                verdicts |= comparison.run([number for number in todo if number not in verdicts])
        except OSError as error:  # no space for it
            for number in range(len(pairs)):
                verdicts.setdefault(number, _undecided(str(error)))
    return [verdicts[number] for number in range(len(pairs))]


def _undecided(reason: str) -> Verdict:
    return Verdict(None, (f"{_NOT_COMPARED}: {reason}",))


def _obstacle(pair: Pair) -> str | None:
    """Why a pair is not to be loaded; None if it is."""
    size, codecs = max(ref.size for ref in pair.refs), [ref.codec for ref in pair.refs]
    if size > COMPARE_APART_UP_TO:
        return f"{format_size(size)} are more than {format_size(COMPARE_APART_UP_TO)}"
    if pair.strangers and (PLAIN in codecs or not all(map(is_safe, codecs))):
        trust = " and ".join(f"`git runs trust {run}`" for run in pair.strangers)
        return f"loading them runs code of {' and '.join(pair.strangers)}; if you trust it, {trust}"
    return None


class _Comparison:
    """The directory of a comparison, and the processes that work in it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._end = time.monotonic() + COMPARE_ALL_SECONDS

    def prepare(self, pairs: Mapping[int, Pair]) -> dict[int, Verdict]:
        """Write what the child reads; what can be said of pairs that are damaged."""
        rows, damaged = {}, {}
        for number, pair in pairs.items():
            try:
                self._write(pair.old, f"{number}.old")
                self._write(pair.new, f"{number}.new")
            except GitflowrunError as error:
                damaged[number] = _undecided(error.told)
                continue
            rows[number] = {
                "codecs": [ref.codec for ref in pair.refs],
                "trusted": not pair.strangers,
            }
        trusted = [pair.new[0].run for pair in pairs.values() if not pair.strangers]
        paths = self._extract(trusted[0]) if trusted else []
        (self._place / _JOB).write_text(json.dumps({"pairs": rows, "paths": paths}))
        return damaged

    def _write(self, side: tuple[StoredTask, ArtifactRef], name: str) -> None:
        task, ref = side
        with (
            ArtifactReader(task.run.objects).open(ref) as payload,
            (self._place / name).open("wb") as file,
        ):
            shutil.copyfileobj(payload, file, COPY_PIECE)

    def _extract(self, run: StoredRun) -> list[str]:
        """Write the modules of a run; where Python found them."""
        top = self._place / _CODE
        top.mkdir()
        with contextlib.suppress(GitflowrunError):  # then some classes will not be found
            materialise(run.objects, run.code_tree, top, trusted=True, suffix=".py")
        directory = run.info.environment.get("directory")
        below = [os.path.dirname(run.info.script), directory if isinstance(directory, str) else ""]  # noqa: PTH120
        return [str(top / path) for path in dict.fromkeys([*below, ""])]

    def run(self, todo: list[int]) -> dict[int, Verdict]:
        """What is found of the pairs of these numbers."""
        found: dict[int, Verdict] = {}
        while todo:
            reason = self._run_child(todo)
            found |= self._results()
            left = [number for number in todo if number not in found]
            if left == todo:
                found[left.pop(0)] = _undecided(reason)
            if time.monotonic() > self._end:
                over = _undecided(f"{COMPARE_ALL_SECONDS:.0f} s were over")
                return dict.fromkeys(left, over) | found
            todo = left
        return found

    def _run_child(self, todo: list[int]) -> str:
        """Let a child compare pairs; why it did no more than it did."""
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *map(str, todo)],
            cwd=self._place,
            env=clean_environment()
            | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = child.wait(COMPARE_SECONDS)
        except subprocess.TimeoutExpired:
            return f"loading and comparing them takes longer than {COMPARE_SECONDS:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # with whatever it has started
            child.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"the process that loaded them was ended {how}"

    def _results(self) -> dict[int, Verdict]:
        """What children have found so far."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self._place / _RESULTS).read_text().split("\n")[:-1]:
                number, is_equal, lines = json.loads(line)
                found[number] = Verdict(is_equal, tuple(lines))
        return found


def main(numbers: Sequence[str]) -> None:
    """Compare pairs in this process, which is made for it; `compare_apart` has the steps."""
    for limit, value in (
        (resource.RLIMIT_AS, COMPARE_MEMORY),
        (resource.RLIMIT_CPU, int(COMPARE_SECONDS)),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(limit)[1]
        resource.setrlimit(
            limit, (value if most == resource.RLIM_INFINITY else min(value, most),) * 2
        )
    signal.alarm(int(COMPARE_SECONDS) + 1)  # should nobody be there to end it
    _be_no_program()
    place = Path.cwd()
    job = json.loads((place / _JOB).read_text())
    # Where Python had found the modules before it looked elsewhere, and where it may have found some: a file beside
    # the flow's directory may be called as a library, and was not imported then.
    sys.path[:0], more = job["paths"][:1], job["paths"][1:]
    sys.path += more
    with (place / _RESULTS).open("a") as results:
        for number in numbers:
            verdict = _tried(place, number, job["pairs"][number])
            results.write(json.dumps([int(number), verdict.is_equal, verdict.lines]) + "\n")
            results.flush()
    os._exit(0)  # no handler or thread of anybody's has a part in it


def _be_no_program() -> None:
    """Let a flow's file that ends with a bare `MyFlow()` be imported."""
    from gitflowrun import entry_point

    entry_point.run_program = lambda _flow: None  # type: ignore[assignment, return-value]


def _tried(place: Path, number: str, row: dict[str, Any]) -> Verdict:
    """What comparing a pair gives, whatever the code of its values does."""
    try:
        old, new = _values(place, number, row)
        return _compare(old, new, row["codecs"])
    except (GitflowrunError, MemoryError) as error:
        if MemoryError in {type(error), type(error.__cause__)}:
            return _undecided(f"it takes more than {format_size(COMPARE_MEMORY)} of memory")
        return _undecided(error.told if isinstance(error, GitflowrunError) else str(error))
    except BaseException as error:  # noqa: BLE001  (even `sys.exit` while a module is imported)
        return _undecided(f"{type(error).__name__}: {error}")


def _compare(old: Any, new: Any, codecs: list[str]) -> Verdict:
    if are_same(old, new):
        if PLAIN in codecs:  # there it is part of the value
            return Verdict(is_equal=False, lines=(EQUAL_PARTS,))
        return Verdict(is_equal=True, lines=(_PICKLED if any(map(is_pickle, codecs)) else _STORED,))
    lines = tuple(value_changes(old, new))
    if lines or not any(map(is_pickle, codecs)):
        return Verdict(is_equal=False, lines=lines)
    if are_equal(
        old, new
    ):  # by a name or an id alone, or without what is left out of the comparison
        return _undecided("their class calls them equal, and they are pickled differently")
    return _undecided(
        "none of their parts differs that can be seen, and yet they are written otherwise"
    )


def _values(place: Path, number: str, row: dict[str, Any]) -> Iterator[Any]:
    for side, codec in zip(("old", "new"), row["codecs"], strict=True):
        payload = bytearray((place / f"{number}.{side}").read_bytes())
        yield decode(codec, payload, trusted=row["trusted"])
