"""Tables, lists of names and values, and JSON, made of plain values.

A table is aligned in columns wherever it goes. On a terminal it is coloured and cut to the width of the window;
a pipe gets every cell whole. Scripts should ask for JSON.
"""

from __future__ import annotations

from enum import Enum
from itertools import repeat
from typing import TYPE_CHECKING, Any

from gitflowrun.cli.output.terminal import Screen, open_screen
from gitflowrun.cli.output.text import printable, width, wrapped
from gitflowrun.values import field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.git.repository import Repository

_GAP = "  "
_NARROWEST = 8
_TIGHTEST = 3  # where the window is too narrow even so


@frozen
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        right: Whether it is numeric.
        shrinks: Whether it may shrink in a narrow window.
        leaves: Whether it is left out where the window is too narrow for all: that with the largest number first.
    """

    title: str
    right: bool = False
    shrinks: bool = False
    leaves: int = 0


@frozen
class Cell:
    """A text and the colour it gets."""

    text: str
    paint: Callable[[str], str] | None = None


@frozen
class FilledColumn:
    """A column and what is in it.

    Attributes:
        column: How it is shown.
        texts: A text for each row.
        paints: The colour they get, or one for each.
        is_plain: Whether they are known to be printable ASCII.
    """

    column: Column
    texts: Sequence[str]
    paints: Callable[[str], str] | Sequence[Callable[[str], str] | None] | None = None
    is_plain: bool = False


def fit(text: str, columns: int) -> str:
    """The text cut to `columns` columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    kept = text[: max(columns - 1, 0)]
    while width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…"


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell | str]],
    screen: Screen,
    indent: str = "",
) -> Iterator[str]:
    """The lines of a table with a heading; columns that are empty in every row are left out."""
    return table_of_columns(
        [_filled(column, [row[place] for row in rows]) for place, column in enumerate(columns)],
        screen,
        indent,
    )


def _filled(column: Column, cells: Sequence[Cell | str]) -> FilledColumn:
    texts = [cell if isinstance(cell, str) else cell.text for cell in cells]
    paints = [cell.paint if isinstance(cell, Cell) else None for cell in cells]
    return FilledColumn(column, texts, paints if any(paints) else None)


def table_of_columns(
    columns: Sequence[FilledColumn], screen: Screen, indent: str = ""
) -> Iterator[str]:
    """As `table`, of columns, which is much quicker for very many rows."""
    columns = [it for it in columns if any(it.texts)]
    shown = [(it.texts, True) if it.is_plain else _printable(it.texts) for it in columns]
    texts, are_ascii = [it[0] for it in shown], [it[1] for it in shown]
    heads = [printable(it.column.title) for it in columns]
    widest = [
        max(map(len if is_ascii else width, column))
        for column, is_ascii in zip(texts, are_ascii, strict=True)
    ]
    widths = {place: max(width(heads[place]), taken) for place, taken in enumerate(widest)}
    used = [*widths]
    if screen.person:
        kinds = [it.column for it in columns]
        used = _kept(kinds, widths, screen.columns - len(indent))
        widths = {place: widths[place] for place in used}
        _narrow(kinds, widths, screen.columns - len(indent))
    dim = screen.style.dim if screen.style.colour else None
    head = [_placed(heads[it], widths[it], columns[it].column.right, dim) for it in used]
    yield f"{indent}{_GAP.join(head)}".rstrip()
    formats: list[str] = []
    cells: list[Sequence[str]] = []
    for place in used:
        space, right = widths[place], columns[place].column.right
        paints = columns[place].paints if screen.style.colour else None
        if paints is None and are_ascii[place] and widest[place] <= space:
            padded = f"%{'' if right else '-'}{space}s"
            # What all rows have becomes a part of the line; the first column says how many there are.
            if cells and texts[place].count(texts[place][0]) == len(texts[place]):
                formats.append((padded % texts[place][0]).replace("%", "%%"))
            else:
                formats.append(padded)
                cells.append(texts[place])
        else:
            formats.append("%s")
            each = repeat(paints) if callable(paints) or paints is None else paints
            pairs = zip(texts[place], each, strict=False)
            cells.append([_placed(text, space, right, paint) for text, paint in pairs])
    line = indent.replace("%", "%%") + _GAP.join(formats)
    yield from map(str.rstrip, map(line.__mod__, zip(*cells, strict=True)))


def _printable(texts: Sequence[str]) -> tuple[Sequence[str], bool]:
    """Each text as `printable` writes it, and whether all are ASCII."""
    whole = "".join(texts)
    if whole.isascii() and whole.isprintable():
        return texts, True
    found = [*map(printable, texts)]
    return found, all(map(str.isascii, found))


def _placed(text: str, space: int, right: bool, paint: Callable[[str], str] | None) -> str:
    """A cell's text, cut or padded to its space."""
    taken = width(text)
    if taken > space:
        text = fit(text, space)
        taken = width(text)
    shown = paint(text) if paint is not None else text
    pad = " " * (space - taken)
    return pad + shown if right else shown + pad


def _kept(columns: Sequence[Column], widths: Mapping[int, int], limit: int) -> list[int]:
    """The columns for which there is space once those that shrink have shrunk."""
    least = {
        it: min(taken, _NARROWEST) if columns[it].shrinks else taken for it, taken in widths.items()
    }
    kept = list(widths)
    for index in sorted(widths, key=lambda index: (columns[index].leaves, index), reverse=True):
        if sum(least[it] for it in kept) + len(_GAP) * (len(kept) - 1) <= limit:
            break
        if columns[index].leaves:
            kept.remove(index)
    return kept


def _narrow(columns: Sequence[Column], widths: dict[int, int], limit: int) -> None:
    """Take columns away from the columns that may shrink, the widest first, until the table fits."""
    excess = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - limit
    shrinking = [index for index in widths if columns[index].shrinks]
    for least in (_NARROWEST, _TIGHTEST):
        while excess > 0 and shrinking:
            widest = max(shrinking, key=lambda index: widths[index])
            if widths[widest] <= least:
                break
            widths[widest] -= 1
            excess -= 1


def columns(words: Sequence[str], screen: Screen) -> Iterator[str]:
    """Words side by side for a person, sorted down the columns as `ls` does; one a line for a pipe."""
    texts = [printable(word) for word in words]
    if not screen.person:
        yield from texts
        return
    space = max(map(width, texts), default=0) + len(_GAP)
    across = max(screen.columns // space, 1)
    down = -(-len(texts) // across)
    for row in range(down):
        line = (text + " " * (space - width(text)) for text in texts[row::down])
        yield "".join(line).rstrip()


def pairs(rows: Sequence[tuple[str, str]], indent: str = "") -> Iterator[str]:
    """Lines `name  value`, values aligned; a value of several lines is indented under its first."""
    names = [printable(name) for name, _ in rows]
    column = max(map(width, names), default=0)
    for name, (_, value) in zip(names, rows, strict=True):
        first, *rest = value.split("\n")
        yield f"{indent}{name}{' ' * (column - width(name))}{_GAP}{first}".rstrip()
        for line in rest:
            yield f"{indent}{' ' * column}{_GAP}{line}".rstrip()


def facts(*rows: tuple[str, str]) -> Iterator[str]:
    """Lines `Name:  value`, of those rows that have a value."""
    return pairs([(f"{name}:", value) for name, value in rows if value])


def prose(text: str, screen: Screen, margin: int = 0) -> list[str]:
    """A sentence: for a person in lines that end with a word and leave that margin free, for a pipe in one line."""
    space = screen.columns - margin
    return [text] if not screen.person or width(text) <= space else wrapped(text, space)


def section(title: str, lines: Iterable[str], screen: Screen) -> Iterator[str]:
    """Lines below an empty line and a title; nothing where there are none."""
    found = list(lines)
    if found:
        yield from ("", screen.style.bold(title), *found)


def apart(blocks: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of all blocks, an empty line between two of them."""
    for index, block in enumerate(blocks):
        if index:
            yield ""
        yield from block


def show(
    repo: Repository,
    value: Any,
    lines: Callable[[Screen], Iterable[str]],
    *,
    json: bool,
    page: bool = False,
) -> None:
    """Write what a command found, as JSON or as text.

    Args:
        repo: The repository whose config decides about colour and pager.
        value: What was found.
        lines: Makes the text for a screen.
        json: Whether to write JSON.
        page: Whether the output may be long.
    """
    with open_screen(repo, page=page) as screen:
        screen.lines([as_json(value)] if json else lines(screen))


def as_json(value: Any) -> str:
    """`value` (dataclasses, ids, digests and enums welcome) as one indented JSON document in ASCII."""
    import json

    return json.dumps(value, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    """What stands for a value that JSON does not have."""
    if names := field_names(value):
        return {name: getattr(value, name) for name in names}
    if isinstance(value, bytes):  # ids and digests
        return value.hex()
    return value.value if isinstance(value, Enum) else str(value)
