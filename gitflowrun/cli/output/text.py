"""Texts for people: durations, sizes, times, and stored text made safe for a terminal.

Stored text (a tag, a parameter, a line of output, a traceback) may come from somebody else's run, and a terminal
executes the escape sequences in it. `printable` writes every character that is not seen as an escape, for names and
table cells; `terminal_safe` is for lines of output on a terminal: it keeps tabs and colours and escapes everything
else. Text in the colour of its background stays unseen: only the terminal knows which colours are alike.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from gitflowrun.unseen import JOINS, UNSAFE

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of SGR, what changes how a text looks: colours, bold, dim, italic, underlined, reversed, struck, overlined, and the
# end of each. Not: concealed (8), blinking, other fonts, of which one of Linux's console shows controls.
_LOOK = "0{0,2}(?:[0-4]|7|9|2[1-57-9]|[39][0-7]|39|4[0-79]|5[35]|10[0-7])?"
_COLOUR = "[34]8(?:;5;[0-9]{1,3}|;2(?:;[0-9]{1,3}){3}|:5:[0-9]{1,3}|:2:(?:[0-9]{0,3}:)?[0-9]{1,3}(?::[0-9]{1,3}){2})"
_SGR = f"\\[(?:(?:{_COLOUR}|{_LOOK});){{0,15}}(?:{_COLOUR}|4:[0-5]|{_LOOK})m"
_UNSAFE_OR_SGR = f"{UNSAFE}(?:(?<=\x1b){_SGR})?"
_BYTES_FROM, _BYTES_TO = 0xDC80, 0xDCFF  # where `os.fsdecode` puts bytes that are no UTF-8
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}

_LEAST = 10  # characters of a line, however narrow the terminal is
_MOST_HOSTS = 6
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONTH = 30 * _DAY
_AGES = (  # younger than the first, an age is counted in the second
    (_MINUTE, 1, "second"),
    (_HOUR, _MINUTE, "minute"),
    (2 * _DAY, _HOUR, "hour"),
    (2 * _WEEK, _DAY, "day"),
    (10 * _WEEK, _WEEK, "week"),
    (24 * _MONTH, _MONTH, "month"),
)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if re.compile(JOINS).match(match.string, match.start()):
        return char
    code = ord(char)
    if _BYTES_FROM <= code <= _BYTES_TO:
        code -= _BYTES_FROM - 0x80  # a byte that is no UTF-8, as the record of a run writes it
    if code > 0xFFFF:  # noqa: PLR2004
        return f"\\U{code:08x}"
    return _SHORT_ESCAPES.get(char) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004


def printable(text: str) -> str:
    """The text with every character that commands, hides or reorders written as an escape."""
    return text if text.isascii() and text.isprintable() else re.sub(UNSAFE, _escape, text)


def terminal_safe(line: str) -> str:
    """A line of output for a terminal: colours stay, what would command the terminal is shown.

    Of a line that rewrote itself with carriage returns (a progress bar) the last state is kept.
    """
    if line.isascii() and line.isprintable():
        return line
    line = line.rstrip("\r").rpartition("\r")[2]
    coloured = False

    def replace(match: re.Match[str]) -> str:
        nonlocal coloured
        found = match[0]
        if len(found) > 1:
            coloured = True
            return found
        return found if found == "\t" else _escape(match)

    safe = re.sub(_UNSAFE_OR_SGR, replace, line)
    return safe + "\x1b[m" if coloured else safe


def width(text: str) -> int:
    """The columns that printable `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a paragraph of that width; no word is broken."""
    import textwrap  # few commands need it

    return textwrap.wrap(text, max(width, _LEAST), break_long_words=False, break_on_hyphens=False)


def counted(count: int, noun: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def on_hosts(tasks: Sequence[tuple[str, int]]) -> str:
    """`on node1 (4), node2 (3)`, those with most tasks first; empty where there are none.

    Args:
        tasks: Machines, and how many tasks run there.
    """
    if not tasks:
        return ""
    first = sorted(tasks, key=lambda row: (-row[1], row[0]))
    shown = [f"{printable(host)} ({count:,})" for host, count in first[:_MOST_HOSTS]]
    others = counted(len(first) - len(shown), "other machine")
    return f"on {', '.join(shown)}" + (f" and {others}" if len(first) > len(shown) else "")


def ago(then: float, now: float) -> str:
    """How long ago in git's words: `12 seconds ago`, `3 weeks ago`; a date beyond two years."""
    age = now - then
    if age < 1:
        return "just now"
    for limit, unit, noun in _AGES:
        if age < limit:
            return counted(int(age // unit), noun) + " ago"
    return time.strftime("%Y-%m-%d", time.localtime(then))


_SHORT = {"second": "s", "minute": "min", "hour": "h", "day": "d", "week": "wk", "month": "mo"}


def ago_short(then: float, now: float) -> str:
    """As `ago`, for a cell of a table: `12 s ago`, `3 wk ago`."""
    words = ago(then, now).split(" ")
    return " ".join(_SHORT.get(word.removesuffix("s"), word) for word in words)


def stamp(when: float) -> str:
    """A local date and time, as `git log --date=iso` writes it, without the zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


_QUARTER = 900
_MANY = 5_000


def stamps(times: Sequence[float | None]) -> list[str]:
    """As `stamp`, of many times; nothing of those that nobody knows."""
    if len(times) < _MANY or None in times:
        return ["" if when is None else stamp(when) for when in times]
    seconds = [*map(int, times)]  # type: ignore[arg-type]
    quarters = [second // _QUARTER for second in seconds]
    hours = {quarter: _hour_of(quarter * _QUARTER) for quarter in {*quarters}}
    if None in hours.values():
        return [*map(stamp, seconds)]
    ends = [f"{second // 60:02d}:{second % 60:02d}" for second in range(_HOUR)]
    starts = {quarter: hour[0] for quarter, hour in hours.items() if hour}
    first = {quarter: hour[1] - quarter * _QUARTER for quarter, hour in hours.items() if hour}
    pairs = zip(quarters, seconds, strict=True)
    return [starts[quarter] + ends[first[quarter] + second] for quarter, second in pairs]


def _hour_of(start: int) -> tuple[str, int] | None:
    """The local hour, as text, and the second of it at which a quarter begins; None where it has none."""
    here = time.localtime(start)
    second = here.tm_min * _MINUTE + here.tm_sec
    ends = time.localtime(start + _QUARTER - 1)
    if second % _QUARTER or ends.tm_min * _MINUTE + ends.tm_sec != second + _QUARTER - 1:
        return None
    return time.strftime("%Y-%m-%d %H:", here), second


_last_second = (-1, "")


def clock(when: float) -> str:
    """A local date and time to the millisecond, as the run log writes it."""
    global _last_second  # noqa: PLW0603  (a run log has thousands of lines in one second)
    milliseconds = int(when * 1000)
    second = milliseconds // 1000
    if second != _last_second[0]:
        _last_second = (second, stamp(second))
    return f"{_last_second[1]}.{milliseconds % 1000:03d}"


def frequency(rate: float) -> str:
    """How often something happens: `12.5/s`, or `3.0/min`.

    Args:
        rate: How often in a second.
    """
    return f"{rate:.1f}/s" if rate >= 0.1 else f"{rate * 60:.1f}/min"  # noqa: PLR2004
