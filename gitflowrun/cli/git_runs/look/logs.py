"""`git runs logs`: the output of tasks; every byte into a pipe, no escapes but colours on a terminal.

The one byte that is added: a newline between two streams, of which the first did not end its last line.
"""

from __future__ import annotations

import codecs
import itertools
import shlex
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import GIT, Damage
from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import clock, printable, terminal_safe
from gitflowrun.errors import CorruptRecord, NotFound, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.limits import FOLLOW_PAUSE, LINES_AT_ONCE, LONGEST_LINE, TERMINAL_OUTPUT
from gitflowrun.porcelain.parts import tasks_at
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gitflowrun.names import TaskName
    from gitflowrun.runs.lookup.resolve import Address
    from gitflowrun.runs.read import StoredTask


def print_logs(
    *,
    streams: tuple[str, ...],
    timestamps: bool,
    follow: bool,
    attempt: int | None,
    address: str,
) -> int:
    """Print what the tasks of a run, of a step, or one task wrote; running ones included. The exit code."""
    repo, damage = Repository.discover(), Damage(GIT)
    found = RunStore(repo).resolve(address, spins=True)
    if follow and timestamps:
        raise UsageError("--follow and --timestamps don't go together")
    if follow and attempt is not None:
        raise UsageError("--follow and --attempt don't go together", hint="it shows all attempts")
    if follow:
        with open_screen(repo) as screen:
            _follow(repo, found, streams, screen, damage)
        return damage.exit_code
    tasks = deque(at_attempt(tasks_at(found, damage.tell), attempt, damage.tell))
    are_several = len(tasks) > 1
    with open_screen(repo, page=True) as screen:
        printer = LogPrinter(screen, damage, timestamps=timestamps)
        while tasks:
            task = tasks.popleft()  # with what was read of it, of 100,000 tasks
            if screen.person and are_several and any(_may_have(task, it) for it in streams):
                screen.line(screen.style.bold(_head(task, attempt or 0)))
            for stream in streams:
                printer.print(task, stream)
    return damage.exit_code


def at_attempt(
    tasks: Iterable[StoredTask], number: int | None, tell: Callable[[CorruptRecord], object]
) -> list[StoredTask]:
    """Tasks as an attempt has left them, those among them that had one of this number.

    Args:
        tasks: The tasks.
        number: The attempt; of each the last one for None.
        tell: Is told of what can't be read.

    Raises:
        NotFound: none of them had one.
    """
    if number is None:
        return [*tasks]
    found: list[StoredTask] = []
    last, is_damaged = None, False
    for task in tasks:
        try:
            found.append(task.at_attempt(number))
        except NotFound as error:
            last = error
        except CorruptRecord as error:  # nobody knows whose output it is
            is_damaged = True
            tell(error)
    if last is not None and not (found or is_damaged):
        raise last
    return found


def _head(task: StoredTask, number: int) -> str:
    """What stands above the output of a task among those of others, and of its attempts."""
    return f"==> {printable(task.pathspec)}{f', attempt {number}' * (number > 0)} <=="


def _may_have(task: StoredTask, stream: str) -> bool:
    """Whether there is something to print, or to say."""
    try:
        return task.output_size(stream) > 0
    except CorruptRecord:
        return True


def _follow(
    repo: Repository, address: Address, streams: tuple[str, ...], screen: Screen, damage: Damage
) -> None:
    """Print what is written, as it is written, until the run is over."""
    follower = _Follower(screen, streams, damage)
    while True:
        run = RunStore(repo).get(address.run.flow, address.run.id)
        is_over = run.status is not Status.RUNNING
        try:
            tasks = tasks_at(replace(address, run=run), damage.tell)
        except NotFound:
            if is_over:
                raise
            tasks = []  # it has not been started yet
        follower.show(tasks, is_over=is_over)
        if is_over:
            return
        time.sleep(FOLLOW_PAUSE)


class _Follower:
    """Prints what tasks have written since the last time, each on lines of its own.

    Args:
        screen: Where it goes.
        streams: The streams that are wanted.
        damage: Is told of what can't be read.
    """

    def __init__(self, screen: Screen, streams: tuple[str, ...], damage: Damage) -> None:
        self._screen = screen
        self._streams = streams
        self._damage = damage
        self._shown: dict[tuple[TaskName, int, str], int] = {}
        self._done: set[TaskName] = set()
        self._attempts: dict[TaskName, int] = {}
        """Of tasks that were tried again: the first attempt that is not wholly shown."""
        self._last: tuple[TaskName, int] | None = None
        self._is_within_line = False

    def show(self, tasks: Sequence[StoredTask], *, is_over: bool) -> None:
        """Print what is new. What is not the end of a line waits for it, as long as the task runs."""
        for task in tasks:
            if task.name in self._done or not self._show_earlier(task, is_over=is_over):
                continue
            is_finished = is_over or self._is_finished(task)
            self._show_streams(task, is_finished)
            if is_finished:
                self._done.add(task.name)
        self._screen.out.flush()
        sys.stdout.flush()

    def _show_streams(self, task: StoredTask, is_finished: bool) -> None:
        for stream in self._streams:
            try:
                self._show(task, stream, is_finished)
            except CorruptRecord as error:
                self._damage.tell(error)

    def _show_earlier(self, task: StoredTask, *, is_over: bool) -> bool:
        """Show the rest of the attempts before the one that the task is seen as; whether all of it could be had."""
        for number in range(self._attempts.get(task.name, 0), _number(task)):
            try:
                self._show_streams(task.at_attempt(number), is_finished=True)
            except NotFound:  # it has failed a moment ago, and is not published yet
                if not is_over:
                    return False
            except CorruptRecord as error:
                self._damage.tell(error)
            self._attempts[task.name] = number + 1
        return True

    def _is_finished(self, task: StoredTask) -> bool:
        try:
            return task.status in {"done", "failed"}
        except CorruptRecord as error:  # what is damaged was stored, when it had finished
            self._damage.tell(error)
            return True

    def _show(self, task: StoredTask, stream: str, is_finished: bool) -> None:
        number = _number(task)
        key = task.name, number, stream
        rest = _after(task.output_pieces(stream), self._shown.get(key, 0))
        for new in _whole_lines(rest, is_finished):
            self._shown[key] = self._shown.get(key, 0) + len(new)
            self._print(task, number, new)

    def _print(self, task: StoredTask, number: int, new: bytes) -> None:
        if not new:
            return
        screen = self._screen
        if not screen.person:
            sys.stdout.buffer.write(b"\n" * self._is_within_line + new)
            self._is_within_line = not new.endswith(b"\n")
            return
        if (task.name, number) != self._last:
            self._last = task.name, number
            screen.line(screen.style.bold(_head(task, number)))
        lines = new.decode(errors="replace").removesuffix("\n").split("\n")
        screen.lines(map(terminal_safe, lines))


def _number(task: StoredTask) -> int:
    """Which attempt a task is seen as."""
    try:
        return task.number
    except CorruptRecord:  # which is told where it is asked whether the task has ended
        return 0


def _after(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """What comes after the first `count` bytes."""
    for piece in pieces:
        yield piece[count:]
        count = max(count - len(piece), 0)


def _whole_lines(pieces: Iterable[bytes], is_finished: bool) -> Iterator[bytes]:
    """Pieces that end where lines do, unless these are very long; of what is not finished, no begun line."""
    rest = b""
    for piece in pieces:
        rest += piece
        end = rest.rfind(b"\n") + 1 or (len(rest) if len(rest) > LONGEST_LINE else 0)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest and is_finished:
        yield rest


def _line_parts(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines without their ends, and whether each ends there: those longer than `LONGEST_LINE` come in parts."""
    rest = b""
    for piece in pieces:
        rest += piece
        start = 0
        while start < len(rest):
            end = rest.find(b"\n", start, start + LONGEST_LINE + 1)
            if end < 0 and len(rest) - start <= LONGEST_LINE:
                break
            stop = start + LONGEST_LINE if end < 0 else end
            while end < 0 and rest[stop] & 0xC0 == 0x80 and stop > start + 1:  # noqa: PLR2004  (within a character)
                stop -= 1
            yield rest[start:stop], end >= 0
            start = stop + (end >= 0)
        rest = rest[start:]
    if rest:
        yield rest, True


class LogPrinter:
    """Writes streams of tasks one after the other, each on a line of its own.

    Args:
        screen: Where they go.
        damage: Is told of what can't be read.
        timestamps: Whether each line begins with its time.
    """

    def __init__(self, screen: Screen, damage: Damage, *, timestamps: bool) -> None:
        self._screen = screen
        self._damage = damage
        self._timestamps = timestamps
        self._is_within_line = False

    def print(self, task: StoredTask, stream: str) -> None:
        """Write one stream of a task, piece by piece: it may be of any size."""
        try:
            if self._screen.person:
                self._print_lines(task, stream)
            elif self._timestamps:
                self._print_stamped(task, stream)
            else:
                self._print_pieces(task, stream)
        except CorruptRecord as error:
            self._damage.tell(error)

    def _print_pieces(self, task: StoredTask, stream: str) -> None:
        self._screen.out.flush()
        opening = b"\n" * self._is_within_line
        for piece in filter(None, task.output_pieces(stream)):
            sys.stdout.buffer.write(opening + piece)
            opening = b""
            self._is_within_line = not piece.endswith(b"\n")

    def _print_lines(self, task: StoredTask, stream: str) -> None:
        """Write a stream's lines to a terminal, as many as somebody may look at."""
        screen, shown, begins = self._screen, 0, True
        times = self._times(task, stream)
        lines: list[str] = []  # millions, so many at once
        for line, ends in _line_parts(task.output_pieces(stream)):
            text = line.decode(errors="replace") if line else ""
            if text and not (text.isascii() and text.isprintable()):
                text = terminal_safe(text)
            if begins and self._timestamps:
                text = f"{self._stamp(next(times))} {text}"
            shown += len(text) + 1
            if shown > TERMINAL_OUTPUT:
                words = f"git runs logs --{stream} {shlex.quote(task.pathspec)} > FILE"
                lines.append(screen.style.dim(f"... and more: `{words}` writes all of it"))
                break
            lines.append(text)  # a terminal would break long ones itself
            if len(lines) == LINES_AT_ONCE:
                screen.line("\n".join(lines))
                lines.clear()
            begins = ends
        if lines:
            screen.line("\n".join(lines))

    def _print_stamped(self, task: StoredTask, stream: str) -> None:
        """Write a stream's lines for a program, whole and with their times: millions, so many at once."""
        write, times = self._screen.out.write, self._times(task, stream)
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # long lines come in parts
        begins = True
        for block in _whole_lines(task.output_pieces(stream), is_finished=True):
            text = decode(block)
            if not begins:
                rest, end, text = text.partition("\n")
                write(rest + end)
                begins = bool(end)
            if text:
                begins = text.endswith("\n")
                lines = text.removesuffix("\n").split("\n")
                for start in range(0, len(lines), LINES_AT_ONCE):
                    some = lines[start : start + LINES_AT_ONCE]
                    stamps = map(self._stamp, itertools.islice(times, len(some)))
                    write(
                        "\n" * (start > 0)
                        + "\n".join(map("%s %s".__mod__, zip(stamps, some, strict=True)))
                    )
                write("\n" * begins)
        rest = decode(b"", final=True)  # of a character that was cut off
        if begins and rest:
            write(f"{self._stamp(next(times))} ")
        if rest or not begins:
            write(f"{rest}\n")

    def _stamp(self, when: float | None) -> str:
        return self._screen.style.dim(clock(when)) if when is not None else "-"

    def _times(self, task: StoredTask, stream: str) -> Iterator[float | None]:
        """When the lines of a stream were written, where that is asked for and known."""
        try:
            return task.line_times(stream) if self._timestamps else itertools.repeat(None)
        except CorruptRecord as error:
            self._damage.tell(error)
            return itertools.repeat(None)
