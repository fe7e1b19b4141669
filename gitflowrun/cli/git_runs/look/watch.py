"""`git runs watch`: how far a run is, until it ends: in place on a terminal, else a line whenever something happens."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitflowrun.cli.errors import REFUSED
from gitflowrun.cli.output.tables import Cell, Column, as_json, fit, table
from gitflowrun.cli.output.terminal import Screen, obeys_commands, open_screen
from gitflowrun.cli.output.text import counted, frequency, on_hosts, printable, width
from gitflowrun.git.repository import Repository
from gitflowrun.limits import FOLLOW_PAUSE, WATCH_LINES, WATCH_SILENCE
from gitflowrun.porcelain.progress import ProgressWatch, running_run
from gitflowrun.runs.commit_message import Status, duration
from gitflowrun.runs.runs import RunStore
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitflowrun.porcelain.progress import RunProgress, StepProgress

_WIDE = 60
"""Columns of a window that shows all of a table."""
_UP, _CLEAR = "\x1b[{}A\r", "\x1b[J"
"""Commands of terminals: so many lines up, and clear what is below."""


def watch_run(*, as_json_: bool, address: str | None) -> int:
    """Show how far RUN is until it ends; the exit code says how."""
    repo = Repository.discover()
    run = RunStore(repo).find(address) if address else running_run(repo)
    watch, last = ProgressWatch(repo, run), None
    is_place = obeys_commands(sys.stdout) and not as_json_
    with open_screen(repo) as screen:
        block, told = _Block(screen), 0.0
        while True:
            begun = time.monotonic()
            now = watch.look()
            cost = time.monotonic() - begun
            is_over = now.status is not Status.RUNNING
            has_changed = last is None or now.counts() != last.counts()
            if as_json_:
                if has_changed or is_over:
                    screen.line(json.dumps(json.loads(as_json(now))))
            elif is_place:
                block.draw(now)
            elif has_changed or begun - told > WATCH_SILENCE:
                screen.lines(_news(now, last) if has_changed else [_sign_of_life(now)])
                told = begun
            screen.out.flush()
            if is_over:
                break
            last = now
            time.sleep(
                max(FOLLOW_PAUSE, 9 * cost)
            )  # of a run with 10,000 tasks, a tenth of a processor
        if not as_json_:
            screen.lines(_end(now, screen))
    return 0 if now.status is Status.DONE else REFUSED


def _news(now: RunProgress, last: RunProgress | None) -> Iterator[str]:
    """A line for each step in which something has happened, or that is under way at the beginning."""
    before = {it.step: _counts(it) for it in last.steps} if last else {}
    for step in now.steps:
        is_new = step.done or step.running or step.failed
        if is_new and before.get(step.step) != _counts(step):
            words = [f"{step.running} running"] if step.running else []
            words += [f"{step.failed} failed"] if step.failed else []
            words += [f"{_rate(step)}"] if _rate(step) else []
            words += [f"{_left(step)} left"] if _left(step) else []
            yield printable(f"{now.run}/{step.step}: {', '.join([f'{_done(step)} done', *words])}")


def _sign_of_life(now: RunProgress) -> str:
    """That the run goes on, and what it has written last."""
    took = f" for {duration(now.seconds)}" if now.seconds is not None else ""
    wrote = ": ".join(now.output[-1]) if now.output else ""
    where = f" {on_hosts([*now.hosts.items()])}" if now.hosts else ""
    return printable(f"{now.run}: running{where}{took}{f', {wrote}' if wrote else ''}")


def _counts(step: StepProgress) -> tuple[int, int, int]:
    return step.done, step.running, step.failed


def _end(now: RunProgress, screen: Screen) -> Iterator[str]:
    """How the run has ended, and where to look if it did not end well."""
    took = f" in {duration(now.seconds)}" if now.seconds is not None else ""
    words = f"{now.status.value}{took}, {counted(now.tasks, 'task')}"
    yield f"{printable(now.run)}: {screen.style.status(now.status.value, words)}"
    if now.failed is not None and now.status is not Status.DONE:
        task, error = f"{now.run}/{now.failed.task}", now.failed.error
        yield screen.style.red(printable(f"{task}: {error}"))
        yield printable(f"`git runs logs {task}` shows what it has written")


class _Block:
    """Lines of a terminal that are drawn again and again in one place.

    Args:
        screen: The terminal.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._widths: list[int] = []
        self._drawn: tuple[list[str], os.terminal_size] | None = None

    def draw(self, now: RunProgress) -> None:
        """Draw the run in the place of what was drawn before, as wide and as high as the window is now."""
        size = _window()
        columns = max(size.columns, 10)
        screen = replace(self._screen, person=True, columns=columns - 1)
        lines = list(_lines(now, screen, size.lines - 1))[: max(size.lines - 1, 1)]
        if self._drawn == (lines, size):
            return
        self._drawn = lines, size
        # A window that became narrower has broken the lines that were there.
        rows = sum(max(-(-taken // columns), 1) for taken in self._widths)
        if rows:
            self._screen.out.write(_UP.format(rows) + _CLEAR)
        self._screen.lines(lines)
        self._widths = [min(width(_plain(line)), columns - 1) for line in lines]


def _window() -> os.terminal_size:
    """The size of the window now; COLUMNS and LINES, which programs inherit, do not change with it."""
    with suppress(OSError, ValueError):
        size = os.get_terminal_size(sys.stdout.fileno())
        if size.columns and size.lines:
            return size
    return shutil.get_terminal_size()


def _plain(line: str) -> str:
    """A line without its colours."""
    import re

    return re.sub(r"\x1b\[\d*m", "", line)


def _lines(now: RunProgress, screen: Screen, most: int) -> Iterator[str]:
    """The run: a heading, its steps, and what its tasks have written last; in a low window of all a part."""
    style, columns = screen.style, screen.columns
    took = f" for {duration(now.seconds)}" if now.seconds is not None else ""
    is_running = now.status is Status.RUNNING
    words = now.status.value + took * is_running
    yield style.bold(fit(printable(f"{now.run} {words}"), columns))
    steps = _chosen(now.steps, most - 3 - bool(now.hosts))
    rows = [_row(step, screen) for step in steps]
    heads = ["STEP", "DONE", "RUN", "FAILED", "RATE", "LEFT"]
    if columns < _WIDE:
        heads[3:5] = ["FAIL", "RATE"]
        rows = [[*row[:4], "", row[5]] for row in rows]
    yield from table(
        [
            Column(heads[0], shrinks=True),
            *(Column(it, right=True, shrinks=True) for it in heads[1:]),
        ],
        rows,
        screen,
    )
    if now.hosts:
        running = sum(now.hosts.values())
        yield style.dim(fit(f"{running:,} {on_hosts([*now.hosts.items()])}", columns))
    lines = min(max(most - 2 - len(steps) - bool(now.hosts), 1), WATCH_LINES)
    for task, line in now.output[-lines:]:
        yield style.dim(fit(printable(f"{task}: {line}".expandtabs()), columns))


def _chosen(steps: Sequence[StepProgress], most: int) -> list[StepProgress]:
    """As many steps as are shown, in their order: first those in which something goes on."""
    first = sorted(steps, key=lambda it: not (it.running or it.failed))[: max(most, 1)]
    return [step for step in steps if step in first]


def _row(step: StepProgress, screen: Screen) -> list[Cell | str]:
    style = screen.style
    is_done = step.total is not None and step.done == step.total
    paint = style.red if step.failed else style.green if is_done else None
    return [
        Cell(step.step, paint),
        _done(step),
        str(step.running or ""),
        Cell(str(step.failed or ""), style.red),
        _rate(step),
        _left(step),
    ]


def _done(step: StepProgress) -> str:
    return f"{step.done}/{step.total}" if step.total is not None else str(step.done)


def _rate(step: StepProgress) -> str:
    if step.rate is None or not step.running:
        return ""
    return frequency(step.rate)


def _left(step: StepProgress) -> str:
    return duration(step.left) if step.left else ""
