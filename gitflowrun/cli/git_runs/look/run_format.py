"""`--format` of lists of runs: the atoms of `git for-each-ref`, or a template.

    %(run) %(status) %(metric:accuracy) %(parameter:lr) %(started:unix) %% %0a
    {run} {status:>8} {accuracy:.3f} {started}

In a template a name may be followed by a format of Python's, and by nothing else: no attribute, index or conversion.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.output.text import ago, stamp
from gitflowrun.errors import UsageError
from gitflowrun.names import did_you_mean
from gitflowrun.runs.query.columns import text_of
from gitflowrun.runs.query.fields import field_of, is_commit, read_number
from gitflowrun.runs.query.named import values_of
from gitflowrun.runs.query.text_value import TextValue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitflowrun.runs.lookup.run_columns import RunTable

Piece = str | tuple[str, str]
"""A text, or a name and how its value is written."""

_ATOM = re.compile(r"%(?:\(([^()]*)\)|([0-9a-fA-F]{2})|(%))")
_OWN: dict[str, Callable[[RunTable], Sequence[str]]] = {
    "run": lambda table: table.column("name"),
    "uid": lambda table: table.uids(),
    "commit": lambda table: [it or "" for it in table.column("commit")],
    "author": lambda table: table.column("author"),
    "email": lambda table: table.column("email"),
    "user": lambda table: table.column("user"),
    "tags": lambda table: [*map(", ".join, table.column("tags"))],
    "id": lambda table: [name.partition("/")[2] for name in table.column("name")],
    "subject": lambda table: table.column("subject"),
}
_HASHES = frozenset({"commit", "uid"})
_SHORT = 7
"""Digits of a hash with `:short`."""
_TIMES = frozenset({"started", "finished"})
_WIDEST = 500
"""Characters to which a template may pad a value."""


def needs_facts(template: str) -> bool:
    """Whether more than the messages of runs is shown."""
    names = [piece[0] for piece in _pieces(template) if not isinstance(piece, str)]
    return any(
        name not in _OWN and ((field := field_of(name)) is None or field.needs_facts)
        for name in names
    )


def formatted(template: str, table: RunTable, now: float) -> list[str]:
    """What a template makes of each run.

    Raises:
        UsageError: it names what none of the runs has, or can't be understood.
    """
    count = len(table)
    parts = [
        [piece] * count if isinstance(piece, str) else _written(*piece, table, now)
        for piece in _pieces(template)
        if piece
    ]
    return [*map("".join, zip(*parts, strict=True))] if parts else [""] * count


def _pieces(template: str) -> list[Piece]:
    is_template = "{" in template and "%(" not in template
    return _of_braces(template) if is_template else _of_atoms(template)


def _of_atoms(template: str) -> list[Piece]:
    pieces: list[Piece] = []
    place = 0
    for match in _ATOM.finditer(template):
        _no_percent(template[place : match.start()])
        pieces.append(template[place : match.start()])
        name, code, percent = match.groups()
        if name is not None:
            pieces.append(_atom(name))
        else:
            pieces.append(percent or chr(int(code, 16)))
        place = match.end()
    _no_percent(template[place:])
    return [*pieces, template[place:]]


def _no_percent(text: str) -> None:
    if "%" in text:
        raise UsageError(
            f"a % in {text!r} begins no atom", hint="write %(name), such as %(run), or %% for a %"
        )


def _atom(name: str) -> tuple[str, str]:
    kind, colon, rest = name.partition(":")
    if kind in {"metric", "parameter"} and colon:
        return f"{kind}.{rest}", ""
    return kind, rest


def _of_braces(template: str) -> list[Piece]:
    pieces: list[Piece] = []
    try:
        for text, name, spec, conversion in string.Formatter().parse(template):
            pieces.append(text)
            if name is None:
                continue
            if conversion or not re.fullmatch(r"[^\W\d][\w.-]*", name) or "{" in (spec or ""):
                raise UsageError(
                    f"{{{name}}} is no name",
                    hint="write {run} or {accuracy:.3f}: a name, and a format",
                )
            pieces.append((name, spec or ""))
    except ValueError as error:
        raise UsageError(
            f"the format can't be understood: {error}", hint="write {{ for a {"
        ) from None
    return pieces


def _written(name: str, spec: str, table: RunTable, now: float) -> Sequence[str]:
    """What is written of each run."""
    own = _OWN.get(name)
    is_hash = name in _HASHES or is_commit(name)
    if is_hash and spec == "short":
        spec = f".{_SHORT}"
    if own is not None:
        return [_with(text, spec, name) for text in own(table)] if spec else own(table)
    try:
        values = values_of(name, table)
    except UsageError as error:
        if len(table) and error.hint and "there are" in error.hint:
            error.hint = did_you_mean(name, _OWN, error.hint)
        raise
    places = range(len(table))
    if name in _TIMES:
        return [_time(values.at(place), spec, now) for place in places]
    return [_one(values.at(place), spec, name) for place in places]


def _one(found: Sequence[Any], spec: str, name: str) -> str:
    if not spec or len(found) != 1:
        return text_of(found)
    value = found[0]
    if isinstance(value, TextValue):
        number = read_number(value.text)
        value = value.text if number is None else number
    return _with(value, spec, name)


def _time(values: Sequence[float], spec: str, now: float) -> str:
    if not values:
        return ""
    if spec == "unix":
        return f"{values[0]:.3f}"
    return ago(values[0], now) if spec == "relative" else stamp(values[0])


def _with(value: Any, spec: str, name: str) -> str:
    if not spec:
        return str(value)
    if any(int(digits[:9]) > _WIDEST for digits in re.findall("[0-9]+", spec)):
        raise UsageError(f"{spec!r} is too wide", hint=f"at most {_WIDEST} characters")
    try:
        return format(value, spec)
    except (ValueError, TypeError):
        if (isinstance(value, str) or value is None) and _is_for_numbers(spec):
            return str(value)  # among numbers there may be a text
        raise UsageError(f"{spec!r} is no format for {name}", hint="such as .3f or >8") from None


def _is_for_numbers(spec: str) -> bool:
    for number in (0, 0.0):
        try:
            format(number, spec)
        except ValueError:
            continue
        return True
    return False
