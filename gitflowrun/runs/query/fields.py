"""What a query can ask of a run, and how values of each kind are read and compared.

A value that is missing, of another kind than what it is compared with, or NaN fits nothing. A parameter is known as a
text: it counts as a number or a truth value where it reads so and is compared with one.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import UsageError
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.query.grammar import Operator
from gitflowrun.runs.query.text_value import TextValue
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.artifacts.scalar import Scalar
    from gitflowrun.runs.lookup.run_columns import RunTable
    from gitflowrun.runs.query.grammar import Value


Fits = Callable[[Any], bool]
"""Whether a value of a field fits."""


@frozen
class FieldKind:
    """How values of a field are compared.

    Attributes:
        name: What messages call such a value.
        fits: Makes a `Fits` of how it is compared, and with what. Raises UsageError where that makes no sense.
    """

    name: str
    fits: Callable[[Operator, Value], Fits]


@frozen
class QueryField:
    """A field that every run has.

    Attributes:
        kind: How it is compared.
        of: What each run of a table has: a value, a tuple of values, or None where nobody knows it.
        needs_facts: Whether it is read from more than the run's message.
        help: What it is.
    """

    kind: FieldKind
    of: Callable[[RunTable], Sequence[Any]]
    help: str
    needs_facts: bool = False


_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: lambda a, b: bool(a == b),
    Operator.LESS: lambda a, b: bool(a < b),
    Operator.AT_MOST: lambda a, b: bool(a <= b),
    Operator.MORE: lambda a, b: bool(a > b),
    Operator.AT_LEAST: lambda a, b: bool(a >= b),
}


def like(pattern: str) -> Fits:
    """Whether a text fits a pattern of `*` and `?`, in any case of letters."""
    folded = pattern.casefold().replace("[", "[[]")
    return lambda text: fnmatchcase(text.casefold(), folded)


def _comparing(operator: Operator, wanted: Any) -> Fits:
    compare = _COMPARE[operator]
    return lambda value: compare(value, wanted)


def _text(operator: Operator, value: Value) -> Fits:
    if operator is Operator.LIKE:
        return like(value.text)
    return _comparing(operator, value.text)


_LEAST_DIGITS = 4
"""Of the hash of a commit, as git takes them."""


def _commit(operator: Operator, value: Value) -> Fits:
    """By its first digits, as git's commands take them."""
    text = value.text.lower()
    if operator is Operator.LIKE:
        return like(value.text)
    if operator is not Operator.EQUAL or not re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", text):
        raise UsageError(
            "this is compared with the hash of a commit",
            hint="such as code = c21746b; on:main takes revisions",
        )
    return lambda found: bool(found.startswith(text))


def _origin(operator: Operator, value: Value) -> Fits:
    """By what `resume Train/12 3fa29c1…` says of the run: all of it, or one word; of the run, also its id alone."""
    if operator is not Operator.EQUAL:
        return _text(operator, value)

    def fit(found: str) -> bool:
        words = found.split(" ")
        return value.text in {found, *words, *(word.rpartition("/")[2] for word in words[1:2])}

    return fit


def _number(operator: Operator, value: Value) -> Fits:
    number = read_number(value.text)
    if number is None or operator is Operator.LIKE:
        raise UsageError("this is compared with a number", hint="such as tasks > 3")
    return _comparing(operator, number)


def _flag(operator: Operator, value: Value) -> Fits:
    wanted = _WORDS.get(value.text.lower())
    if not isinstance(wanted, bool) or operator is not Operator.EQUAL:
        raise UsageError("this is true or false", hint="such as dirty = true")
    return lambda value: value is wanted


def _status(operator: Operator, value: Value) -> Fits:
    if operator is Operator.LIKE:
        return like(value.text)
    words = [status.value for status in Status]
    if value.text.lower() not in words or operator is not Operator.EQUAL:
        raise UsageError(f"{value.text!r} is not a status", hint=f"use one of: {', '.join(words)}")
    return _comparing(operator, value.text.lower())


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|sec|m|min|h|d|w)?\Z")
_SECONDS = {"ms": 1e-3, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_duration(text: str) -> float | None:
    """Seconds of a span of time: `90`, `10m`, `2h`, `7d`; None where it is none."""
    found = _DURATION.match(text.strip().lower())
    return float(found[1]) * _SECONDS[found[2] or "s"] if found else None


def _duration(operator: Operator, value: Value) -> Fits:
    seconds = read_duration(value.text)
    if seconds is None or operator is Operator.LIKE:
        raise UsageError("this is compared with a span of time", hint="such as 90s, 10m, 2h or 7d")
    return _comparing(operator, seconds)


_DAY = 86_400.0


def read_moment(text: str) -> tuple[float, float] | None:
    """The moment that a text names, as the seconds since 1970 at which it begins and ends; None where it names none.

    `2026-11-01` is a whole day of the local time zone, `today` and `yesterday` are; `2026-11-01T12:30` is an instant,
    `7d` the instant seven days ago.
    """
    now = time.time()
    word = text.strip().lower()
    if word in {"today", "yesterday"}:
        here = datetime.fromtimestamp(now, timezone.utc).astimezone()
        start = here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() - (
            _DAY if word == "yesterday" else 0
        )
        return start, start + _DAY
    ago = None if word.isdigit() else read_duration(word)
    if ago is not None:
        return now - ago, now - ago
    try:
        start = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    is_day = "T" not in text and ":" not in text
    return start, start + (_DAY if is_day else 0)


def _time(operator: Operator, value: Value) -> Fits:
    found = read_moment(value.text)
    if found is None or operator is Operator.LIKE:
        raise UsageError(
            "this is compared with a time",
            hint="such as 2026-11-01, today, or 7d for seven days ago",
        )
    start, end = found
    tests: Mapping[Operator, Fits] = {
        Operator.EQUAL: lambda moment: start <= moment < max(end, start + 1),
        Operator.LESS: lambda moment: moment < start,
        Operator.AT_MOST: lambda moment: moment < max(end, start + 1),
        Operator.MORE: lambda moment: moment >= end if end > start else moment > start,
        Operator.AT_LEAST: lambda moment: moment >= start,
    }
    return tests[operator]


_WORDS: Mapping[str, Scalar] = {
    "true": True, "yes": True, "false": False, "no": False, "none": None, "null": None,
}  # fmt: skip


def read_number(text: str) -> float | int | None:
    """The number that a text is; None for NaN, and where it is none."""
    if "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def scalar_fits(operator: Operator, value: Value) -> Fits:
    """How metrics and parameters are compared, whose type may differ from run to run."""
    if operator is Operator.LIKE:
        matches = like(value.text)
        return lambda found: matches(_as_text(found))
    compare = _COMPARE[operator]
    number = None if value.is_quoted else read_number(value.text)
    if number is not None:
        return lambda found: (it := _as_number(found)) is not None and compare(it, number)
    word = value.text.lower()
    if not value.is_quoted and word in _WORDS and operator is Operator.EQUAL:
        return lambda found: _as_word(found) is _WORDS[word] or _raw(found) == value.text
    return lambda found: isinstance(text := _raw(found), str) and compare(text, value.text)


def _raw(found: Any) -> Any:
    return found.text if isinstance(found, TextValue) else found


def _as_text(found: Any) -> str:
    return str(_raw(found))


def _as_number(found: Any) -> float | int | None:
    if isinstance(found, TextValue):
        return read_number(found.text)
    if isinstance(found, bool) or not isinstance(found, int | float) or found != found:  # noqa: PLR0124
        return None
    return found


def _as_word(found: Any) -> Any:
    """A truth value or None, where it is one; otherwise something else than these."""
    if isinstance(found, TextValue):
        return _WORDS.get(found.text.lower(), found)
    return found


TEXT = FieldKind("a text", _text)
COMMIT = FieldKind("the hash of a commit", _commit)
ORIGIN = FieldKind("an origin", _origin)
NUMBER = FieldKind("a number", _number)
TIME = FieldKind("a time", _time)
DURATION = FieldKind("a span of time", _duration)
FLAG = FieldKind("true or false", _flag)
STATUS = FieldKind("a status", _status)


def _stated(name: str) -> Callable[[RunTable], Sequence[Any]]:
    """What the messages of runs say; nothing of those that have none."""

    def of(table: RunTable) -> Sequence[Any]:
        return table.known_only(table.column(name))

    return of


def _seconds(table: RunTable) -> Sequence[float | None]:
    now = time.time()
    columns = (_stated("started")(table), table.column("finished"), table.status())
    return [
        None
        if started is None or (finished is None and status != Status.RUNNING.value)
        else (now if finished is None else finished) - started
        for started, finished, status in zip(*columns, strict=True)
    ]


def people(table: RunTable) -> Sequence[tuple[str, ...]]:
    """Who runs are of: the user, and the name and the e-mail address of the author."""
    found = zip(*(table.column(name) for name in ("user", "author", "email")), strict=True)
    return [it or () for it in table.known_only([*found])]


FIELDS: Mapping[str, QueryField] = {
    "id": QueryField(NUMBER, lambda table: table.numbers(), "its number"),
    "flow": QueryField(TEXT, lambda table: table.flows(), "its flow"),
    "status": QueryField(STATUS, lambda table: table.status(), "done, failed, running …"),
    "tag": QueryField(TEXT, lambda table: [*map(tuple, table.column("tags"))], "any of its tags"),
    "user": QueryField(TEXT, people, "who ran it: user, git author or e-mail address"),
    "started": QueryField(TIME, _stated("started"), "when it started"),
    "finished": QueryField(TIME, _stated("finished"), "when it ended"),
    "duration": QueryField(DURATION, _seconds, "how long it took, or has run until now"),
    "tasks": QueryField(NUMBER, _stated("tasks"), "how many tasks are done"),
    "step": QueryField(
        TEXT, lambda table: [it or None for it in table.column("failed_step")], "where it failed"
    ),
    "dirty": QueryField(FLAG, _stated("dirty"), "whether its code differed from the commit"),
    "code": QueryField(COMMIT, _stated("code_commit"), "the commit of its code"),
    "origin": QueryField(
        ORIGIN,
        lambda table: [it or None for it in table.column("origin")],
        "what it was made from: resume F/12 …",
    ),
    "branch": QueryField(
        TEXT,
        lambda table: [it or None for it in table.column("branch")],
        "the branch it ran on",
        needs_facts=True,
    ),
}
_OLD_NAMES = {"code_commit": "code"}


def field_of(name: str) -> QueryField | None:
    """The field of a name, in any case of letters; None where it is another name."""
    word = name.lower()
    return FIELDS.get(_OLD_NAMES.get(word, word))


def is_commit(name: str) -> bool:
    """Whether the values of a name are hashes of commits, which people read by their first digits."""
    field = field_of(name)
    return field is not None and field.kind is COMMIT
