"""Texts for people, and stored text that must not command a terminal."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.cli.output import text

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202eevil\r\n\x00"


def test_printable_shows_controls_as_escapes() -> None:
    """Escape sequences, C1 controls, bidi marks and newlines appear as text."""
    assert text.printable(HOSTILE) == "\\e]0;owned\\x07\\x9b2J\\u202eevil\\r\\n\\x00"


def test_a_byte_that_is_no_text_is_spelled_in_one_way() -> None:
    """A path from the system reads as the same path from a run's record, where backslashes stand for the byte."""
    raw = b"fl\xff.py"
    assert text.printable(os.fsdecode(raw)) == raw.decode(errors="backslashreplace") == "fl\\xff.py"


def test_printable_leaves_letters_alone() -> None:
    """Letters of any script, combined characters and emoji are not touched."""
    assert text.printable("größe Ωμέγα 日本 👩‍🔬") == "größe Ωμέγα 日本 👩‍🔬"


@given(st.text())
def test_printable_text_never_holds_a_control_character(value: str) -> None:
    """Whatever goes in, nothing that a terminal obeys comes out."""
    shown = text.printable(value)
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in shown)


def test_tame_keeps_colours_and_tabs_only() -> None:
    """A line of output keeps its colours, which are reset at its end, and loses what moves the cursor."""
    assert text.terminal_safe("\x1b[31mred\x1b[2J\tx") == "\x1b[31mred\\e[2J\tx\x1b[m"


def test_tame_keeps_the_last_state_of_a_progress_bar() -> None:
    """Of a line rewritten by carriage returns the last state is shown."""
    assert text.terminal_safe(" 10%\r 90%\r100%\r") == "100%"


@given(st.text())
def test_tamed_lines_hold_no_escape_but_colours(value: str) -> None:
    """The only escape sequences left are colours."""
    left = re.sub(r"\x1b\[[0-9;:]*m", "", text.terminal_safe(value))
    assert "\x1b" not in left
    assert not any(ord(char) < 0x20 and char != "\t" for char in left)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (-5, "just now"),
        (0.5, "just now"),
        (1.2, "1 second ago"),
        (90, "1 minute ago"),
        (3 * 3600, "3 hours ago"),
        (30 * 3600, "30 hours ago"),
        (3 * 86400, "3 days ago"),
        (21 * 86400, "3 weeks ago"),
        (100 * 86400, "3 months ago"),
        (1000 * 86400, "2001-01-01"),
    ],
)
def test_ages_are_told_in_gits_words(age: float, words: str) -> None:
    """An age is a rounded number of one unit, and a date when it is long past."""
    now = 978307200 + 1000 * 86400.0
    assert text.ago(now - age, now) == words


def test_clock_shows_milliseconds() -> None:
    """The run log's time has three digits after the second, cut, never rounded up."""
    assert text.clock(1.9996) == "1970-01-01 00:00:01.999"
    assert text.clock(2.25) == "1970-01-01 00:00:02.250"


def test_counted_agrees_in_number() -> None:
    """One thing is singular, several are plural, thousands are separated."""
    assert text.counted(1, "task") == "1 task"
    assert text.counted(1200, "task") == "1,200 tasks"


def test_width_counts_terminal_columns() -> None:
    """Wide characters take two columns, combining marks none."""
    assert text.width("abc") == 3
    assert text.width("日本") == 4
    assert text.width("e\u0301") == 1
