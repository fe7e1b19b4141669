"""Values as text, within limits of length and work: what Python's `repr` says, wherever that can be had at its price.

A value of a few bytes can have a text of gigabytes: lists that are shared, each twice in the next one, double it with
each level, and `repr`, `str` and `pprint` would not end. So a value is walked first, as its text would be, a shared
part as often as it is met. Within the limits Python itself is asked; a larger one is written here, piece by piece, as
far as the limit goes, in Python's words.

What classes of users say of themselves is their own affair, and their `__repr__` may take any time: who shows values
of code that is trusted sets a clock (`within`).
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import chain
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from gitflowrun.limits import PRETTY_SIZE, PRINT_DEPTH, PRINT_NODES, PRINT_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}", dict: "{}"}
_REPRS_OF_ITEMS = {list.__repr__, tuple.__repr__, set.__repr__, frozenset.__repr__, deque.__repr__}
_REPRS_OF_PAIRS = {
    it.__repr__ for it in (dict, OrderedDict, defaultdict, Counter, MappingProxyType)
}
_LONGEST = 1e9  # seconds: timers of the system take some centuries
_DIGIT = 3  # bits of a decimal digit, and a little more


def bounded_repr(value: Any, size: int = PRINT_SIZE) -> str:
    """What Python shows of a value, cut after `size` characters; in place of a `repr` that fails, why it does."""
    return shown(value, size)[0]


def shown(value: Any, size: int = PRINT_SIZE) -> tuple[str, bool]:
    """As `bounded_repr`, and whether it is all."""
    if _is_small(value, size):
        text = _own_words(value)
        return (text, True) if len(text) <= size else (text[:size] + "…", False)
    printer = _Printer(size, 0)
    return printer.text_of(value), printer.is_whole


def pretty(value: Any, columns: int) -> tuple[str, bool]:
    """A container on lines of so many columns, as `pprint` lays it out, and whether it is all."""
    if not _is_small(value, PRETTY_SIZE):
        printer = _Printer(PRINT_SIZE, columns)
        return printer.text_of(value), printer.is_whole
    from pprint import pformat

    try:
        return pformat(value, width=columns, compact=True, sort_dicts=False), True
    except Exception:  # noqa: BLE001  (any class's `repr`, and numbers of too many digits)
        return shown(value)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer; of use in a program's main thread alone, no effect elsewhere."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _time_is_up)
    seconds = min(seconds, _LONGEST)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again, should somebody catch it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _time_is_up(_number: int, _frame: object) -> None:
    msg = "it takes too long to be shown"
    raise TimeoutError(msg)


def _own_words(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  (any class's, and numbers of too many digits)
        if type(value) is int:
            return hex(value)
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        return f"<unprintable {name}: {type(error).__name__}: {_said(error)}>"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an error's text is code of anybody, too)
        return "no text"


def is_written_within(value: Any, size: int, parts: int) -> bool:
    """Whether what writes shared parts as often as they are met writes no more characters and parts than this."""
    return _is_small(value, size, parts, sys.getrecursionlimit(), _written)


def _is_small(
    value: Any,
    size: int,
    nodes: int = PRINT_NODES,
    most_levels: int = PRINT_DEPTH,
    length: Callable[[Any], int] | None = None,
) -> bool:
    """Whether the text of a value has not many more than `size` characters, as far as its containers tell."""
    length = length or _length
    left = size
    levels: list[Iterator[Any]] = [iter((value,))]
    path = [0]
    inside: set[int] = set()
    while levels:
        part = next(levels[-1], levels)
        if part is levels:
            levels.pop()
            inside.discard(path.pop())
            continue
        nodes -= 1
        left -= length(part)
        if left < 0 or nodes < 0:
            return False
        items = None if id(part) in inside else _parts(part)
        if items is not None:
            if len(levels) > most_levels:
                return False
            levels.append(items)
            path.append(id(part))
            inside.add(id(part))
    return True


def _length(value: Any) -> int:
    """Characters of what Python writes of a value, its parts left out; at least."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value) + 2
    if type(value) is int:
        return value.bit_length() // _DIGIT + 1
    return 2


def _written(value: Any) -> int:
    """Characters of what a writer that abridges nothing makes of a value, its parts left out; at least."""
    if type(value).__name__ == "ndarray":
        return 2 * int(value.size)
    return _length(value)


def _parts(value: Any) -> Iterator[Any] | None:
    """What is shown within a value, one after the other; None for what has no parts, or words of its own."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return None
    words = kind.__repr__
    items: Any = None
    if words in _REPRS_OF_ITEMS or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        items = value
    elif words in _REPRS_OF_PAIRS:
        items = chain.from_iterable(value.items())
    elif words is SimpleNamespace.__repr__:
        items = vars(value).values()
    elif hasattr(kind, "__dataclass_fields__") and hasattr(words, "__wrapped__"):
        fields = kind.__dataclass_fields__.values()
        items = [getattr(value, it.name) for it in fields if it.repr and hasattr(value, it.name)]
    return None if items is None else iter(items)


_ATOMS = frozenset({str, bytes, int, float, bool, complex, type(None), bytearray})


def _brackets(kind: type, *, has_pairs: bool) -> tuple[str, str]:
    """What stands around the items of a container."""
    both = next((it for base, it in _BRACKETS.items() if issubclass(kind, base)), "[]")
    return ("{", "}") if has_pairs else (both[0], both[1])


class _Full(Exception):
    """There is no space left."""


class _Printer:
    """Writes a value as far as there is space for it.

    Args:
        size: Characters that it may have.
        columns: The width of a line; 0 for one line.

    Attributes:
        is_whole: Whether nothing has been left out.
    """

    def __init__(self, size: int, columns: int) -> None:
        self.is_whole = True
        self._left = size
        self._columns = columns
        self._column = 0
        self._pieces: list[str] = []
        self._inside: list[int] = []

    def text_of(self, value: Any) -> str:
        """The text of a value."""
        try:
            self._write(value)
        except _Full:
            self.is_whole = False
            self._pieces.append("…")
        return "".join(self._pieces)

    def _put(self, text: str) -> None:
        self._pieces.append(text[: self._left])
        self._left -= len(text)
        self._column += len(text)
        if self._left < 0:
            raise _Full

    def _write(self, value: Any) -> None:
        kind: Any = type(value)
        has_pairs = kind.__repr__ in _REPRS_OF_PAIRS
        if not (has_pairs or kind.__repr__ in _REPRS_OF_ITEMS) or not value:
            self._put(self._words(value))
            return
        opening, closing = _brackets(kind, has_pairs=has_pairs)
        if id(value) in self._inside:
            self._put(f"{opening}...{closing}")  # as Python does
            return
        if len(self._inside) >= PRINT_DEPTH:
            self.is_whole = False
            self._put(f"{opening}…{closing}")
            return
        is_named = kind not in _BRACKETS or kind is frozenset
        self._inside.append(id(value))
        self._put(f"{kind.__qualname__}({opening}" if is_named else opening)
        if has_pairs:
            self._items(value.items(), self._pair)
        else:
            self._items(value, self._write)
        self._put("," * (kind is tuple and len(value) == 1) + closing + ")" * is_named)
        self._inside.pop()

    def _items(self, items: Iterable[Any], write: Callable[[Any], None]) -> None:
        for number, item in enumerate(items):
            if number and self._columns and self._column >= self._columns - len(self._inside):
                self._put(",\n" + " " * len(self._inside))
                self._column = len(self._inside)
            elif number:
                self._put(", ")
            write(item)

    def _pair(self, pair: tuple[Any, Any]) -> None:
        self._write(pair[0])
        self._put(": ")
        self._write(pair[1])

    def _words(self, value: Any) -> str:
        """What a value says of itself, of one that is large only what it is."""
        kind = type(value)
        if isinstance(value, (str, bytes, bytearray)) and len(value) > self._left:
            return _own_words(value[: self._left + 1])
        if kind in _ATOMS or _is_small(value, self._left):
            return _own_words(value)
        self.is_whole = False
        return f"<{kind.__module__}.{kind.__qualname__}>"
