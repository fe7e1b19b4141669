"""The graph of a flow as a drawing: each step a box below those that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import STEPS_DRAWN
from gitflowrun.client.display import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEIGHT, _GAP, _SPACE = 34, 34, 22
_LETTER, _PADDING, _NARROW, _MOST_LETTERS = 8.2, 28, 70, 32
_MARKS = {
    "split-foreach": "foreach",
    "foreach": "foreach",
    "split-parallel": "parallel",
    "split-switch": "switch",
    "join": "join",
}


def graph_html(
    steps: Mapping[str, Sequence[str]], kinds: Mapping[str, str], current: str | None
) -> str:
    """A graph as SVG; as a list where it has very many steps.

    Args:
        steps: The names of the steps that follow each step.
        kinds: What each step is, in Metaflow's words.
        current: The step to be marked.
    """
    if len(steps) > STEPS_DRAWN:
        rows = (
            f"<li>{escaped(name)} → {escaped(', '.join(following) or 'the end')}</li>"
            for name, following in steps.items()
        )
        return f'<ul class="steps">{"".join(rows)}</ul>'
    drawing = _Drawing(steps, kinds, current)
    return drawing.html()


class _Drawing:
    """Boxes in rows, and the curves between them."""

    def __init__(
        self, steps: Mapping[str, Sequence[str]], kinds: Mapping[str, str], current: str | None
    ) -> None:
        self._next = {
            name: [it for it in dict.fromkeys(following) if it in steps]
            for name, following in steps.items()
        }
        self._kinds = kinds
        self._current = current
        self._level = self._levels()
        self._rows = self._ordered()
        self._places: dict[str, tuple[float, float, float]] = {}
        self._width = self._place()

    def _levels(self) -> dict[str, int]:
        """The row of each step: below all that lead to it, other than back."""
        forward = self._without_circles()
        level = dict.fromkeys(self._next, 0)
        waiting = dict.fromkeys(self._next, 0)
        for following in forward.values():
            for name in following:
                waiting[name] += 1
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            name = ready.pop()
            for it in forward[name]:
                level[it] = max(level[it], level[name] + 1)
                waiting[it] -= 1
                if not waiting[it]:
                    ready.append(it)
        return level

    def _without_circles(self) -> dict[str, list[str]]:
        """The steps that follow each one, but for those that a way from them has led here."""
        forward: dict[str, list[str]] = {}
        state: dict[str, int] = {}
        for root in self._next:
            stack = [] if root in state else [(root, iter(self._next[root]))]
            while stack:
                name, following = stack[-1]
                state[name] = 1
                forward.setdefault(name, [])
                for it in following:
                    if state.get(it) != 1:
                        forward[name].append(it)
                    if it not in state:
                        stack.append((it, iter(self._next[it])))
                        break
                else:
                    state[name] = 2
                    stack.pop()
        return forward

    def _ordered(self) -> list[list[str]]:
        """The rows, each ordered by where those stand that lead to its steps."""
        rows: list[list[str]] = [[] for _ in range(max(self._level.values(), default=-1) + 1)]
        for name in self._next:
            rows[self._level[name]].append(name)
        place: dict[str, float] = {}
        for row in rows:
            above = {
                name: [
                    place[it]
                    for it, following in self._next.items()
                    if name in following and it in place
                ]
                for name in row
            }
            first = {name: n for n, name in enumerate(row)}
            row.sort(key=lambda it: (_mean(above[it], first[it]), first[it]))
            place |= {name: n - (len(row) - 1) / 2 for n, name in enumerate(row)}
        return rows

    def _place(self) -> float:
        """Give each box its place; the width of all."""
        widths = {
            name: max(_NARROW, min(len(name), _MOST_LETTERS) * _LETTER + _PADDING)
            for name in self._next
        }
        lengths = [sum(widths[it] for it in row) + _SPACE * (len(row) - 1) for row in self._rows]
        whole = max(lengths, default=0)
        for number, row in enumerate(self._rows):
            left = (whole - lengths[number]) / 2
            for name in row:
                self._places[name] = (left, number * (_HEIGHT + _GAP), widths[name])
                left += widths[name] + _SPACE
        return whole

    def html(self) -> str:
        curves = "".join(
            self._curve(name, it) for name, following in self._next.items() for it in following
        )
        boxes = "".join(map(self._box, self._next))
        side = 44 if any(self._is_back(a, b) for a, row in self._next.items() for b in row) else 0
        width, height = self._width + 8 + side, len(self._rows) * (_HEIGHT + _GAP) - _GAP + 8
        names = ", ".join(self._next)
        return (
            f'<svg class="graph" role="img" aria-label="{escaped("the steps " + names)}" '
            f'viewBox="-4 -4 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
            f"{curves}{boxes}</svg>"
        )

    def _is_back(self, name: str, following: str) -> bool:
        return self._level[following] <= self._level[name]

    def _curve(self, name: str, following: str) -> str:
        x, y, width = self._places[name]
        to_x, to_y, to_width = self._places[following]
        if self._is_back(name, following):  # around the right side
            right, end = x + width, to_x + to_width
            bend = f"{self._right_of(name, following) + 40:.0f}"
            way = (
                f"M{right:.0f} {y + 22:.0f}C{bend} {y + 22:.0f} {bend} {to_y + 10:.0f} "
                f"{end + 2:.0f} {to_y + 10:.0f}"
            )
        else:
            middle, to_middle = x + width / 2, to_x + to_width / 2
            top, bottom = y + _HEIGHT, to_y - 2
            half = f"{(top + bottom) / 2:.0f}"
            way = (
                f"M{middle:.0f} {top:.0f}C{middle:.0f} {half} {to_middle:.0f} {half} "
                f"{to_middle:.0f} {bottom:.0f}"
            )
        return f'<path class="way" d="{way}" marker-end="url(#tip)"/>'

    def _right_of(self, name: str, following: str) -> float:
        """Where all boxes end that a way back leads past; of one to the step itself, where its box ends."""
        first, last = self._level[following], self._level[name]
        past = (
            [it for row in self._rows[first : last + 1] for it in row] if first < last else [name]
        )
        return max(x + width for x, _, width in (self._places[it] for it in past))

    def _box(self, name: str) -> str:
        x, y, width = self._places[name]
        kind = self._kinds.get(name, "")
        mark = _MARKS.get(kind, "")
        marked = ' class="here"' if name == self._current else ""
        shown = name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
        small = (
            f'<text class="kind" x="{x + width / 2:.0f}" y="{y + 29:.0f}">{mark}</text>'
            if mark
            else ""
        )
        return (
            f"<g{marked}><title>{escaped(f'{name} ({kind})' if kind else name)}</title>"
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="6"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + (17 if mark else 22):.0f}">{escaped(shown)}</text>{small}</g>'
        )


def _mean(numbers: Sequence[float], otherwise: Any) -> float:
    return sum(numbers) / len(numbers) if numbers else float(otherwise)
