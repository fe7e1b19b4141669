"""The messages of a run's commits: a subject for people, and trailers for us, `git log` and `git for-each-ref`.

    MyFlow/12: done, 5 tasks in 3.2 s

    Run: MyFlow/12
    Uid: 3fa29c1…                       the first commit, whose own message can't name it
    Status: done
    Tasks: 5
    Started: 2025-11-23T19:30:00.123Z
    Finished: 2025-11-23T19:30:03.377Z
    Code-Commit: 9c1e44a…+dirty
    Origin: resume MyFlow/11 77ab310…
    User: ada
    Mac: 5d0c…                          keyed hash of the rest: made in this clone (`trust`)

A list of runs is made of these messages alone, in one `git for-each-ref`, so they are parsed here and not by
git: a user's `trailer.*` settings change what git makes of them, and one pass is cheaper than one per field.
What a message says is for people and lists. Nothing is trusted because of it: anybody can write one. Its MAC alone
proves, to the clone that has the key, that the commit was made there.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec
from gitflowrun.git.objects import Oid
from gitflowrun.limits import KEPT_CODE_COMMITS, MAX_TIME
from gitflowrun.schema import recorded_time
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

MAC_TRAILER = "Mac"
_PAIR = 2
_MAX_VALUE = 200
_MAX_SHOWN = 40
"""Characters of a parameter's value in a subject."""
_SPANS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


class Status(Enum):
    """How far a run is. One that says `running` and has no process any more is taken for interrupted.

    `DAMAGED` is what lists say of a run that can't be read; no message does.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"

    @property
    def is_final(self) -> bool:
        """Whether the run wrote its last commit."""
        return self is not Status.RUNNING


_STATED = {it.value: it for it in Status if it is not Status.DAMAGED}


@frozen
class RunState:
    """What a commit's message says of its run.

    Attributes:
        run: `Flow/id` where it was created; in another clone the ref may carry another id.
        status: How far the run is.
        started: When it was created.
        finished: When it ended; None while it runs.
        tasks: How many tasks are done, not counting those of private steps (`_parameters`).
        user: Who runs it.
        uid: The first commit's oid; None in that commit's own message.
        code_commit: HEAD when the run was created; None in a repository without commits.
        dirty: Whether the work tree differed from `code_commit`; so it does where there is none.
        origin: `resume Flow/id uid` of the run it was made from, if any.
        failed_step: Where it failed, if it did.
        mac: What `Trust.mac` makes of the rest of the commit; set when it is made.
    """

    run: str
    status: Status
    started: float
    finished: float | None = None
    tasks: int = 0
    user: str = ""
    uid: Oid | None = None
    code_commit: Oid | None = None
    dirty: bool = False
    origin: str = ""
    failed_step: str = ""
    mac: str = ""


def first_subject(parameters: Mapping[str, str]) -> str:
    """The subject of a run's first commit: the parameters as people read them."""
    shown = [f"{name}={_shortened(value)}" for name, value in parameters.items()]
    return " ".join(shown) or "no parameters"


def format_message(state: RunState, subject: str | None = None) -> bytes:
    """The message of a commit at which a run is in `state`; without a `subject`, it says how far the run is."""
    code = f"{state.code_commit}{'+dirty' if state.dirty else ''}" if state.code_commit else ""
    trailers = {
        "Run": state.run,
        "Uid": str(state.uid or ""),
        "Status": state.status.value,
        "Tasks": str(state.tasks),
        "Started": _format_time(state.started),
        "Finished": "" if state.finished is None else _format_time(state.finished),
        "Failed-Step": state.failed_step,
        "Code-Commit": code,
        "Origin": state.origin,
        "User": state.user,
        MAC_TRAILER: state.mac,
    }
    lines = [f"{key}: {value}" for key, text in trailers.items() if (value := _one_line(text))]
    head = _one_line(f"{state.run}: {subject or _progress(state)}")
    return "\n".join([head, "", *lines, ""]).encode(errors="replace")


def parse_message(message: str) -> RunState | None:
    """The state that `message` says; None when it is not the message of a run's commit."""
    lines = message.rstrip("\n").rpartition("\n\n")[2].split("\n")
    found = dict([pair for line in lines if len(pair := line.split(": ", 1)) == _PAIR])
    commit, _, dirty = found.get("Code-Commit", "").partition("+")
    try:
        return RunState(
            run=found["Run"],
            status=_STATED[found["Status"]],
            started=parse_time(found["Started"]),
            finished=parse_time(found["Finished"]) if "Finished" in found else None,
            tasks=int(found.get("Tasks", "0")),
            user=found.get("User", ""),
            uid=_optional_oid(found.get("Uid", "")),
            code_commit=_code_commit(commit) if commit else None,
            dirty=dirty == "dirty" or not commit,
            origin=found.get("Origin", ""),
            failed_step=found.get("Failed-Step", ""),
            mac=found.get(MAC_TRAILER, ""),
        )
    except (KeyError, ValueError, OverflowError, InvalidPathspec):
        return None


def _progress(state: RunState) -> str:
    """How far a run is, for the first line, which `git log --oneline` shows."""
    tasks = f"{state.tasks} task{'' if state.tasks == 1 else 's'}"
    took = duration((state.finished or state.started) - state.started)
    if state.status is Status.RUNNING:
        return f"running, {tasks} done" if state.tasks else "running"
    if state.status is Status.DONE:
        return f"done, {tasks} in {took}"
    where = (
        f" in {state.failed_step}" if state.status is Status.FAILED and state.failed_step else ""
    )
    return f"{state.status.value}{where}, {tasks} done in {took}"


def _shortened(value: str) -> str:
    return value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"


def _one_line(text: str) -> str:
    """`text` without anything that could end its line or hide in it, cut to a sensible length."""
    kept = text
    if not text.isprintable():
        kept = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(kept.split())[:_MAX_VALUE]


def duration(seconds: float) -> str:
    """How long something took: `40 ms`, `1.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:  # noqa: PLR2004  (what rounds to 1000 ms)
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004  (below, a tenth of a second matters)
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, part, part_name in _SPANS:
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def _format_time(seconds: float) -> str:
    from datetime import datetime, timezone  # of which a list that is remembered has no need

    moment = datetime.fromtimestamp(recorded_time(seconds), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse_time(text: str) -> float:
    """Seconds since 1970 of a time such as `2025-11-23T19:30:00.123Z`. Raises ValueError."""
    from datetime import datetime

    seconds = datetime.fromisoformat(text.removesuffix("Z") + "+00:00").timestamp()
    if not 0 <= seconds <= MAX_TIME:
        raise ValueError(f"{text} is no time of a run")
    return seconds


def _optional_oid(text: str) -> Oid | None:
    return Oid.from_hex(text) if text else None


_code_commit = lru_cache(KEPT_CODE_COMMITS)(Oid.from_hex)
"""The commit of the code: many runs in a row have the same."""
