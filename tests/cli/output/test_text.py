"""Texts for people, and stored text that must not command a terminal."""

from __future__ import annotations

import os
import re
import sys
import unicodedata

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


SEEN = {*"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
"""Signs around Arabic, Syriac and Kaithi numbers: formats by name, and drawn."""


def test_no_character_that_is_not_seen_gets_through() -> None:
    """Of all of Unicode, controls, formats, breaks, surrogates and private characters appear as escapes."""
    hidden = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}
    seen = []
    for char in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(char)
        if category in hidden and char not in SEEN:
            shown = text.printable(f"a{char}b")
            assert shown.isascii(), hex(ord(char))
            assert shown[1] == "\\", hex(ord(char))
            assert text.terminal_safe(f"a{char}b") in {shown, "b" if char == "\r" else "a\tb"}
        elif category[0] in "LNPSZ" and char not in "\u115f\u1160\u3164\uffa0":
            seen.append(f"a{char}b")
    for start in range(0, len(seen), 100):
        some = "".join(seen[start : start + 100])
        assert text.printable(some) == some == text.terminal_safe(some)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("pay\u200dpal", "pay\\u200dpal"),
        ("a\ufe0f\ufe01\ufe02", "a\\ufe0f\\ufe01\\ufe02"),
        ("😀\ufe00\U000e0101\U000e0102", "😀\ufe00\\U000e0101\\U000e0102"),
        ("1\ufe0f\u20e3 ❤\ufe0f\u200d🔥 می\u200cروم", "1\ufe0f\u20e3 ❤\ufe0f\u200d🔥 می\u200cروم"),
        ("😀\u200d\u200c\u200d", "😀\u200d\\u200c\\u200d"),
        ("葛\U000e0100城", "葛\U000e0100城"),
        ("\U0001f3f4\U000e0067\U000e007f", "\U0001f3f4\\U000e0067\\U000e007f"),
        ("\u034f\u115f\u17b4\u180b\u3164\uffa0", "\\u034f\\u115f\\u17b4\\u180b\\u3164\\uffa0"),
    ],
)
def test_joiners_and_selectors_stay_where_scripts_have_them(given: str, shown: str) -> None:
    """They make emoji and letters, and hide nothing between letters of ASCII or in rows."""
    assert text.printable(given) == text.terminal_safe(given) == shown


@pytest.mark.parametrize(
    "sequence",
    ["", "0", "01;31", "1;4;9", "38;5;8", "48;2;8;8;8;1", "38:5:8", "38:2::8:8:8", "4:3", "97;100"],
)
def test_colours_stay(sequence: str) -> None:
    """Colours and what else people make of text stays, also where a colour has the number of another thing."""
    assert text.terminal_safe(f"\x1b[{sequence}mx") == f"\x1b[{sequence}mx\x1b[m"


@pytest.mark.parametrize(
    "sequence",
    ["8", "08", "1;8", "8;1", "31;008", "38;5;1;8", "38;8", "5", "6", "11", "58;5;8", "4:8", "0:8", "38;5;;8"],
)  # fmt: skip
def test_text_is_not_concealed(sequence: str) -> None:
    """What would hide the text after it, make it blink, or use another font, is shown itself."""
    assert text.terminal_safe(f"\x1b[{sequence}mx") == f"\\e[{sequence}mx"


def test_tame_keeps_colours_and_tabs_only() -> None:
    """A line of output keeps its colours, which are reset at its end, and loses what moves the cursor."""
    assert text.terminal_safe("\x1b[31mred\x1b[2J\tx") == "\x1b[31mred\\e[2J\tx\x1b[m"


def test_tame_keeps_the_last_state_of_a_progress_bar() -> None:
    """Of a line rewritten by carriage returns the last state is shown."""
    assert text.terminal_safe(" 10%\r 90%\r100%\r") == "100%"


@given(st.text(st.sampled_from("\x1b[m;:0123458J\r\t\u200dax😀\ufe0f")))
def test_tamed_lines_hold_no_escape_but_colours(value: str) -> None:
    """The only escape sequences left are colours, and nothing in them conceals."""
    safe = text.terminal_safe(value)
    sequences = re.findall(r"\x1b\[([0-9;:]*)m", safe)
    assert safe.count("\x1b") == len(sequences)
    for sequence in sequences:
        left = re.sub(r"[34]8(;5;\d+|;2(;\d+){3}|:[\d:]*)", "", sequence)
        assert not {"5", "6", "8"} & {number.lstrip("0") for number in re.split("[;:]", left)}


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


def test_ages_in_tables_are_short() -> None:
    """The same, as cells have space for it."""
    ages = (0, 1, 90, 3 * 3600, 3 * 86400, 21 * 86400, 100 * 86400)
    assert [text.ago_short(1e9 - age, 1e9) for age in ages] == [
        "just now", "1 s ago", "1 min ago", "3 h ago", "3 d ago", "3 wk ago", "3 mo ago",
    ]  # fmt: skip


def test_clock_shows_milliseconds() -> None:
    """The run log's time has three digits after the second, cut, never rounded up."""
    assert text.clock(1.9996) == "1970-01-01 00:00:01.999"
    assert text.clock(2.25) == "1970-01-01 00:00:02.250"


def test_machines_are_named_by_their_tasks() -> None:
    """Those with most tasks first; of very many all but a few are counted; names command no terminal."""
    assert text.on_hosts([]) == ""
    assert text.on_hosts([("n1", 1), ("n2\x1b[2J", 2000)]) == "on n2\\e[2J (2,000), n1 (1)"
    many = [(f"n{number}", 1) for number in range(9)]
    assert text.on_hosts(many).endswith("n5 (1) and 3 other machines")
    assert text.on_hosts(many[:7]).endswith("n5 (1) and 1 other machine")


def test_counted_agrees_in_number() -> None:
    """One thing is singular, several are plural, thousands are separated."""
    assert text.counted(1, "task") == "1 task"
    assert text.counted(1200, "task") == "1,200 tasks"


def test_width_counts_terminal_columns() -> None:
    """Wide characters take two columns, combining marks none."""
    assert text.width("abc") == 3
    assert text.width("日本") == 4
    assert text.width("e\u0301") == 1
