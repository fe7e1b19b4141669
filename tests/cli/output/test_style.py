"""When there is colour."""

from __future__ import annotations

import io

import pytest

from gitflowrun.cli.output.terminal import PLAIN, Style, style_for


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("config", "environ", "terminal", "colour"),
    [
        ({}, {"TERM": "xterm"}, True, True),
        ({}, {"TERM": "xterm"}, False, False),
        ({}, {"TERM": "dumb"}, True, False),
        ({}, {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"color.ui": "never"}, {"FORCE_COLOR": "1"}, False, True),
        ({"color.ui": "always"}, {}, False, True),
        ({"color.ui": "false"}, {"TERM": "xterm"}, True, False),
        ({"color.ui": "always", "color.runs": "never"}, {"TERM": "xterm"}, True, False),
        ({}, {"GIT_PAGER_IN_USE": "true"}, False, True),
        ({"color.pager": "false"}, {"GIT_PAGER_IN_USE": "true"}, False, False),
    ],
)
def test_colour_follows_gits_rules(
    config: dict[str, str],
    environ: dict[str, str],
    terminal: bool,
    colour: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NO_COLOR, FORCE_COLOR, color.runs, color.ui, the pager and the terminal decide in that order."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "GIT_PAGER_IN_USE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = _Terminal() if terminal else io.StringIO()
    assert style_for(stream, config).colour is colour


def test_a_closed_stream_gets_no_colour() -> None:
    """A stream that is closed is no terminal."""
    stream = io.StringIO()
    stream.close()
    assert style_for(stream) == PLAIN


def test_statuses_have_colours_of_their_own() -> None:
    """Success is green, failure red; a status of the future stays plain."""
    style = Style(colour=True)
    assert style.status("done") == "\x1b[32mdone\x1b[m"
    assert style.status("failed", "x") == "\x1b[31mx\x1b[m"
    assert style.status("archived") == "archived"
