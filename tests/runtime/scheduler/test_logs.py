"""The log of a task, fed by hand; `test_output` has what real tasks write."""

from __future__ import annotations

import pytest

from gitflowrun import limits
from gitflowrun.masking import Mask
from gitflowrun.runs.line_times import decode_times
from gitflowrun.runtime.scheduler.logs import TRUNCATED, TaskLog


@pytest.mark.parametrize(
    ("pieces", "kept", "times"),
    [
        ([b"abcd\nefgh\n"], b"abcd\nefgh\n", [0, 0]),
        ([b"abcd\nefghi"], b"abcd\nefghi", [0, 0]),
        ([b"abcd", b"efghi\n"], b"abcdefghi\n", [0]),
        ([b"abcd", b"efghij"], b"abcdefghij", [0]),
        ([b"abcdefghij", b"k"], b"abcdefghij\n" + TRUNCATED, [0, 1]),
        ([b"abcdefghi\n", b"k", b"l"], b"abcdefghi\n" + TRUNCATED, [0, 1]),
        ([b"abc\nd", b"e\nf", b"", b"ghijk"], b"abc\nde\nfgh\n" + TRUNCATED, [0, 0, 1, 3]),
    ],
)
def test_as_much_is_kept_as_may_be(pieces: list[bytes], kept: bytes, times: list[float]) -> None:
    """To the very byte; each line that is kept has the time at which it was begun, and what is cut says so once."""
    log = TaskLog(10)
    for moment, piece in enumerate(pieces):
        log.feed("stdout", piece, float(moment))
    assert (log.output("stdout"), log.output("stderr")) == (kept, b"")
    assert log.size == len(kept)
    assert decode_times(log.times()) == (times, [])


def test_words_of_the_scheduler_begin_a_line() -> None:
    """They end the line that the task has begun, and count as one."""
    log = TaskLog(100)
    log.say("first", 1.0)
    log.feed("stderr", b"begun", 2.0)
    log.say("last", 3.0)
    log.feed("stdout", b"out", 4.0)
    assert log.output("stderr") == b"first\nbegun\nlast\n"
    assert log.size == len(b"first\nbegun\nlast\n" + b"out")
    assert decode_times(log.times()) == ([4.0], [1.0, 2.0, 3.0])


def test_a_long_line_is_shown_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is longer than a limit."""
    monkeypatch.setattr(limits, "LONGEST_LINE", 4)
    log = TaskLog(100)
    assert log.feed("stdout", b"abcd", 1.0) == []
    assert log.unfinished("stdout") == "abcd"
    assert log.feed("stdout", b"e", 1.0) == ["abcde"]
    assert log.unfinished("stdout") == ""
    assert log.end("stdout", 2.0) == []


def test_secrets_are_replaced_in_all_that_is_kept_and_shown() -> None:
    """Also where they come in pieces, at the very end, and in words of the scheduler; the streams are apart."""
    log = TaskLog(1000, Mask({"key": [b"hunter2-hunter2"]}))
    assert log.feed("stdout", b"a hunter2-", 1.0) == []
    assert log.feed("stderr", b"b\n", 1.0) == ["b"]
    assert log.feed("stdout", b"hunter2 c\nd hunter2", 2.0) == ["a *** c"]
    assert log.end("stdout", 3.0) == ["d hunter2"]
    log.say("died of hunter2-hunter2", 4.0)
    assert log.output("stdout") == b"a *** c\nd hunter2"
    assert log.output("stderr") == b"b\ndied of ***\n"
