"""`profile` measures blocks and calls, in text or numbers."""

from __future__ import annotations

import re

import pytest

from gitflowrun import profile


def test_lines_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A block and each call of a decorated function are told when they begin and end, also by an exception."""

    @profile("call")
    def call() -> int:
        return 1

    def block() -> None:
        with profile("block"):
            assert call() == call() == 1
            raise KeyError

    with pytest.raises(KeyError):
        block()
    said = re.sub(r"\d+", "N", capsys.readouterr().out)
    call_lines = "PROFILE: call starting\nPROFILE: call completed in Nms\n"
    assert said == f"PROFILE: block starting\n{call_lines * 2}PROFILE: block completed in Nms\n"


def test_numbers_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    """With a dictionary nothing is printed; what has the same label is added to."""
    stats = {"a": 1_000}
    for label in ("a", "b"):
        with profile(label, stats_dict=stats):
            pass
    assert 1_000 <= stats["a"] < 2_000
    assert stats["b"] < 1_000
    assert capsys.readouterr().out == ""
