"""What notebooks show of runs, steps, tasks and artifacts: tables with values, escaped, and nothing executed."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitflowrun import Run, Task
from gitflowrun.cli.output.text import printable
from gitflowrun.client.display import preformatted, table, title
from tests.helpers.flows import foreach_flow, linear_flow
from tests.helpers.repos import GitRepo

_HEAD = """
from dataclasses import dataclass
@dataclass
class Config:
    rate: float
    note: str
class Model:
    def __init__(self):
        self.weights = [1, 2]
    def __reduce__(self):
        open("loaded", "a").close() if __name__ != "__main__" else None
        return Model, ()
"""
_VALUES = """
self.config, self.model = Config(0.5, "<script>alert(1)</script>"), Model()
self.small, self.text = {"a": "<b>"}, "line\\n" * 500
"""


@pytest.fixture
def run(here: GitRepo) -> Run:
    """A run whose values need the code of its flow."""
    here.write("own.py", linear_flow(_VALUES, head=_HEAD))
    assert here.flow("own.py", "--quiet", "run").code == 0
    return Run("1")


def test_values_as_their_tasks_noted_them(run: Run) -> None:
    """A run, a step with one task and a task show the values of their artifacts, without the module they are of."""
    for page in (run._repr_html_(), run["end"]._repr_html_(), Task("F/1/start/1")._repr_html_()):
        assert "Config(rate=0.5, note=&#x27;&lt;script&gt;alert(1)&lt;/script&gt;&#x27;)" in page
        assert "weights=[1, 2]" in page
        assert "{&#x27;a&#x27;: &#x27;&lt;b&gt;&#x27;}" in page
        assert "<script>" not in page
    assert "own" not in sys.modules


def test_an_artifact(run: Run) -> None:
    """An artifact shows its type, size, maker and value, lines as they are; a small one by its own text."""
    page = run["start"].task["config"]._repr_html_()  # type: ignore[index]
    assert "<tr><td>type</td><td>__main__.Config</td></tr>" in page
    assert "<tr><td>made by</td><td>start/1</td></tr>" in page
    assert "<pre>Config(rate=0.5, note=&#x27;&lt;script&gt;" in page
    assert run["end"].task["small"].preview == "{'a': '<b>'}"  # type: ignore[index]
    assert "own" not in sys.modules


def test_a_step_of_many_tasks(here: GitRepo) -> None:
    """A step shows its tasks with their place in the foreach; of more than a page the newest."""
    here.write("wide.py", foreach_flow("self.y = self.x"))
    assert here.flow("wide.py", "--quiet", "run").code == 0
    page = Run("1")["work"]._repr_html_()
    assert page.count("<tr>") == 1 + 4
    assert "<td>done</td>" in page
    assert "[3]=" in page


def test_nothing_that_commands_a_terminal(run: Run) -> None:
    """Characters that would command a terminal to which a page is copied, or reorder it, are marks there."""
    run.add_tag("odd\x1b]0;X\x07\u202e")
    assert "odd\ufffd]0;X\ufffd\ufffd" in run._repr_html_()


class _Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.elements.append(f"{tag} {attrs}" if attrs else tag)

    def handle_data(self, data: str) -> None:
        """Remember text."""
        self.text += data


@given(st.text())
@example("</td><script>alert(1)</script>")
@example("'\" onerror=alert(1) &lt;b&gt; <!-- --> ]]> </pre><svg/onload=x>")
@example("\x1b]0;X\x07\u202e\u200b\U000e0041\ue000\ud800")
def test_any_text_is_text_in_any_place(text: str) -> None:
    """Whatever is shown becomes no element and no attribute, and nothing that is not seen is left of it."""
    page = _Page(title(text) + table([text], [[text]]) + preformatted(text))
    assert page.elements == ["p", "b", "table", "tr", "th", "tr", "td", "pre"]
    size = len(page.text) // 4
    assert page.text == page.text[:size] * 4
    seen = page.text[:size].replace("\t", "").replace("\n", "")
    assert printable(seen) == seen
    assert all(it in {was, "\ufffd"} for it, was in zip(page.text[:size], text, strict=True))


def test_letters_that_are_drawn_as_nothing(run: Run) -> None:
    """What a font draws as nothing is a mark, too; what scripts and emoji need stays."""
    run.add_tag("a\u3164b\u034f\u17b4c\ufe0f\u2062")
    run.add_tag("\U0001f469\u200d\U0001f52c")
    page = run._repr_html_()
    assert "a\ufffdb\ufffd\ufffdc\ufffd\ufffd" in page
    assert "\U0001f469\u200d\U0001f52c" in page
