"""Tables, pairs and JSON of plain values."""

from __future__ import annotations

import io
import json

from gitflowrun.cli.output.tables import Cell, Column, as_json, columns, fit, pairs, prose, table
from gitflowrun.cli.output.terminal import Screen, Style
from gitflowrun.git.objects import Oid
from gitflowrun.values import frozen

COLUMNS = [Column("ID", right=True), Column("NAME", shrinks=True), Column("NOTE", shrinks=True)]


def _screen(columns: int = 80, *, person: bool = False, colour: bool = False) -> Screen:
    return Screen(io.StringIO(), Style(colour=colour), person, columns)


def test_columns_are_aligned_numbers_to_the_right() -> None:
    """Cells of a column start (or end) at the same place; nothing trails."""
    lines = list(table(COLUMNS, [["1", "a", "x"], ["12", "bcd", ""]], _screen()))
    assert lines == ["ID  NAME  NOTE", " 1  a     x", "12  bcd"]


def test_an_empty_column_is_left_out() -> None:
    """A column that says nothing in any row takes no space."""
    assert list(table(COLUMNS, [["1", "a", ""]], _screen())) == ["ID  NAME", " 1  a"]


def test_a_pipe_gets_whole_cells() -> None:
    """Nothing is cut when nobody looks."""
    long = "x" * 200
    assert list(table(COLUMNS, [["1", long, "y"]], _screen(40)))[1] == f" 1  {long}  y"


def test_a_very_narrow_window_cuts_on() -> None:
    """Where cells of a readable width do not fit either, they become narrower still, down to three columns."""
    many = [Column(f"COLUMN{number}", shrinks=True) for number in range(5)]
    lines = list(table(many, [["x" * 20] * 5], _screen(25, person=True)))
    assert max(map(len, lines)) <= 25


def test_a_window_cuts_the_widest_cells_first() -> None:
    """On a terminal a table fits its width; narrow columns stay whole."""
    lines = list(table(COLUMNS, [["1", "x" * 200, "a note"]], _screen(30, person=True)))
    assert max(map(len, lines)) <= 30
    assert lines[1].endswith("…  a note")


def test_two_long_columns_share_the_loss() -> None:
    """Columns of equal width give way together."""
    line = list(table(COLUMNS, [["1", "x" * 60, "y" * 60]], _screen(44, person=True)))[1]
    assert len(line) <= 44
    assert abs(line.count("x") - line.count("y")) <= 1


def test_stored_text_can_not_leave_its_cell() -> None:
    """Control characters of a cell are shown, not obeyed."""
    assert list(table(COLUMNS, [["1", "a\x1b[2J\nb", ""]], _screen()))[1] == " 1  a\\e[2J\\nb"


def test_colour_does_not_count_as_width() -> None:
    """Painted cells are aligned as if they were plain."""
    style = Style(colour=True)
    rows: list[list[Cell | str]] = [[Cell("1", style.red), "a", "x"], ["12", "b", "y"]]
    lines = list(table(COLUMNS, rows, _screen(colour=True)))
    assert lines[1] == " \x1b[31m1\x1b[m  a     x"


def test_fit_measures_columns_not_characters() -> None:
    """Wide characters are cut where the terminal would be full."""
    assert fit("日本語", 6) == "日本語"
    assert fit("日本語", 5) == "日本…"
    assert fit("abc", 2) == "a…"


def test_pairs_align_values_and_indent_further_lines() -> None:
    """Values start in one column, also those of several lines."""
    assert list(pairs([("a", "1"), ("long", "2\n3"), ("none", "")], "  ")) == [
        "  a     1",
        "  long  2",
        "        3",
        "  none",
    ]


@frozen
class _Row:
    oid: Oid
    tags: tuple[str, ...]


def test_json_takes_records_as_they_are() -> None:
    """Values of the package become objects, ids hexadecimal text, and the document is ASCII."""
    text = as_json([_Row(Oid(bytes(20)), ("é",))])
    assert json.loads(text) == [{"oid": "0" * 40, "tags": ["é"]}]
    assert text.isascii()


def test_columns_are_filled_downwards() -> None:
    """Words are sorted down the columns for a person, one a line for a pipe."""
    words = ["a", "bb", "ccc", "d", "e"]
    assert list(columns(words, _screen(12, person=True))) == ["a    d", "bb   e", "ccc"]
    assert list(columns(words, _screen())) == words
    assert list(columns([], _screen(person=True))) == []


def test_prose_breaks_between_words_for_a_person_alone() -> None:
    """A sentence fills the window, less a margin; a pipe gets it in one line."""
    text = "one two three --long-option four"
    assert prose(text, _screen(20)) == [text]
    assert prose(text, _screen(40, person=True)) == [text]
    assert prose(text, _screen(20, person=True), 2) == ["one two three", "--long-option four"]
