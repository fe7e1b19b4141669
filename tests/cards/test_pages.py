"""Pages: whatever the data of components is, it is shown as text, and nothing of it becomes a part of the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitflowrun.cards import card_limits
from gitflowrun.cards.page import part_html as parts
from gitflowrun.cards.page.code_html import json_html, python_html
from gitflowrun.cards.page.graph_svg import graph_html
from gitflowrun.cards.page.page_html import updates_html, write_page
from gitflowrun.cards.page.part_html import json_for_script, part_html

VOID = {"img", "progress", "path", "rect", "br", "meta"}
TAGS = {
    "a", "b", "button", "code", "dd", "defs", "details", "div", "dl", "dt", "figcaption", "figure", "g", "h1", "h2",
    "h3", "h4", "i", "img", "li", "marker", "noscript", "ol", "p", "path", "pre", "progress", "rect", "script", "small",
    "span", "summary", "svg", "table", "tbody", "td", "text", "th", "thead", "time", "title", "tr", "ul",
}  # fmt: skip
ATTACK = '</script><script>alert(1)</script><img src=x onerror=alert(1)>" \' onload="x" -->&lt;\u2028\u202e\ud800'


class Reader(HTMLParser):
    """Checks that HTML is made of our tags and attributes alone, each of which is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.components: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        given = dict(attrs)
        assert tag in TAGS
        assert not [name for name in given if name.startswith("on")]
        assert not (given.get("src") or "data:image/").startswith("javascript")
        assert (given.get("src") or "data:image/").startswith("data:image/")
        assert (given.get("href") or "#").startswith("#")
        if tag == "script":
            assert given == {"type": "application/json"}
        if given.get("data-component"):
            self.components.append(given["data-component"] or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        if self._open[-1:] == ["script"]:
            json.loads(data)
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        """There are none."""
        raise AssertionError(data)


def read(html: str) -> Reader:
    """HTML, checked."""
    html.encode()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader._open
    return reader


KINDS = sorted(parts._KINDS)
FIELDS = [
    "title", "subtitle", "text", "contents", "columns", "data", "vertical", "src", "label", "source", "spec", "options",
    "max", "value", "unit", "details", "theme", "change_indicator", "events", "stats", "json_string", "yaml_string",
    "collapsible", "show_copy_button", "max_height", "id", "steps", "next", "doc", "name", "facts", "picture",
    "metadata", "payloads", "style_theme", "priority", "timestamp", "here", "actions",
]  # fmt: skip
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(ATTACK)
)
PARTS = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.just(ATTACK), inner, max_size=6)
        | st.builds(
            lambda kind, rest: {**rest, "type": kind},
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
        )
    ),
    max_leaves=25,
)


@given(PARTS)
@example(
    {"type": "dag", "data": {"steps": {ATTACK: {"next": [ATTACK], "type": ATTACK, "doc": ATTACK}}}}
)
@example({"type": "image", "src": 'data:image/png;base64,AA==" onerror="x', "label": ATTACK})
@example(
    {"type": "jsonViewer", "json_string": json.dumps({ATTACK: [ATTACK]}), "max_height": "1px;x:y"}
)
@example({"type": "table", "columns": [ATTACK], "data": [[{"type": "markdown", "source": ATTACK}]]})
@example(
    {
        "type": "artifacts",
        "data": [{"name": ATTACK, "data": ATTACK, "facts": ATTACK, "picture": ATTACK}],
    }
)
@example({"type": "vegaChart", "spec": {"a": ATTACK, "b": float("nan")}, "id": ATTACK})
@example({"type": "section", "title": ATTACK, "columns": ATTACK, "contents": ATTACK})
def test_nothing_of_the_data_is_html(part: Any) -> None:
    """Whatever a component is, its HTML is whole and has tags and attributes of ours alone."""
    read(part_html(part))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "vegaChart"])
def test_texts_are_seen(kind: str) -> None:
    """What is written is read, in each kind of component, wherever it takes a text."""
    text = "a <b> & \"c\" 'd'"
    row = {"name": text, "type": text, "data": text}
    part: dict[str, Any] = {
        "type": kind, "title": text, "text": text, "source": text, "label": text, "value": text, "max": 1,
        "json_string": json.dumps([text]), "yaml_string": text, "src": "data:image/png;base64,AA==", "id": text,
        "contents": [{"type": "text", "text": text}], "data": text, "events": [{"metadata": {"m": text}}],
    }  # fmt: skip
    if kind in {"table", "artifacts", "dag"}:
        shapes: dict[str, Any] = {
            "table": [[text]],
            "artifacts": [row],
            "dag": {"steps": {text: {}}},
        }
        part["data"] = shapes[kind]
    found = read(part_html(part))
    assert text in "".join(found.text).replace('\\"', '"')
    assert text in found.components


@given(st.recursive(PLAIN, lambda it: st.lists(it) | st.dictionaries(st.text(), it), max_leaves=5))
def test_json_in_a_script(value: Any) -> None:
    """It says what it is, and can't end the script."""
    text = json_for_script({"v": value})
    assert text.isascii()
    assert not set("<>&") & set(text)
    json.loads(text)


@given(st.text())
@example('"""')
@example("f'{x!r}' # \\\n@a.b\ndef f(): return 0x1F")
def test_code_is_whole(code: str) -> None:
    """Marked code is the same text; what is not seen has a mark."""
    html = python_html(code)
    text = "".join(read(f"<code>{html}</code>").text)
    assert [a for a, b in zip(code, text, strict=True) if b not in {a, "\ufffd"}] == []


def test_code_is_marked() -> None:
    """Keywords, names, texts, numbers and comments."""
    html = python_html("def go(a):\n    return 'b' + 3  # c")
    for mark in (
        '<i class="word">def</i>', '<i class="name">go</i>', '<i class="word">return</i>', '<i class="number">3</i>',
        '<i class="note"># c</i>',
    ):  # fmt: skip
        assert mark in html


def test_json_is_a_tree() -> None:
    """It unfolds; what is none, too much or too deep is shown as text."""
    html = json_html('{"a": [1, {"b": null}], "c": "<"}')
    assert html is not None
    assert html.count("<details") == 3
    assert html.count("<details open") == 2
    assert read(html)
    assert json_html("{") is None
    assert json_html("[" * 100_000) is None
    assert json_html("[" * 50 + "1" + "]" * 50) is None
    assert json_html(json.dumps(list(range(card_limits.TREE_NODES)))) is None
    many = {"type": "jsonViewer", "json_string": json.dumps(list(range(card_limits.TREE_NODES)))}
    assert "2999" in "".join(read(part_html(many)).text)


def test_long_values_are_folded() -> None:
    """The beginning is seen, and all of it when it is unfolded."""
    row = {"name": "x", "type": "str", "data": "long " * 1_000}
    html = part_html({"type": "artifacts", "data": [row]})
    assert "<details><summary><code>long long" in html
    assert "5,000 characters" in html
    assert "long " * 1_000 in html


NAMES = [f"step{number}" for number in range(8)]
GRAPHS = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from([*NAMES, "absent"]), max_size=4), max_size=8
)


@given(GRAPHS)
def test_any_graph_is_drawn(steps: dict[str, list[str]]) -> None:
    """Each step once, each way between two steps once, circles included, and no box over another."""
    html = graph_html(steps, {}, None)
    read(html)
    ways = {(name, it) for name, following in steps.items() for it in following if it in steps}
    assert html.count("<rect") == len(steps)
    assert html.count('class="way"') == len(ways)


def test_steps_stand_below_those_that_lead_to_them() -> None:
    """A diamond has three rows; where a step leads back, the row is the one that it has without."""
    steps = {"start": ["a", "b"], "a": ["join"], "b": ["join"], "join": ["start", "end"], "end": []}
    html = graph_html(steps, {"join": "join", "start": "split-foreach"}, "b")
    heights = [part.split('"')[0] for part in html.split('<rect x="')[1:]]
    assert len(heights) == 5
    rows = [part.split(' y="')[1].split('"')[0] for part in html.split("<rect")[1:]]
    assert [int(it) for it in rows] == [0, 68, 68, 136, 204]
    assert html.count('class="here"') == 1
    assert ">foreach</text>" in html


def test_a_large_graph_is_a_list() -> None:
    """Nobody sees anything in a drawing of hundreds of steps."""
    steps = {f"s{number}": [f"s{number + 1}"] for number in range(card_limits.STEPS_DRAWN + 1)}
    html = graph_html(steps, {}, None)
    assert "<svg" not in html
    assert html.count("<li>") == len(steps)


def test_a_long_page_has_a_list_of_its_sections() -> None:
    """Each of its lines leads to a section; a short page has none."""
    sections = [{"type": "section", "title": f"Part <{n}>", "contents": []} for n in range(3)]
    html = write_page([{"type": "page", "contents": sections}], "T <i>")
    assert html.count('<li><a href="#section-part-') == 3
    assert html.count('<h3 id="section-part-') == 3
    assert "<title>T &lt;i&gt;</title>" in html
    assert "<nav>" not in write_page([{"type": "page", "contents": sections[:2]}], "T")


def test_updates_are_the_same_html() -> None:
    """What an open page is given is what a new one has."""
    part = {"type": "progressBar", "value": 2, "max": 4, "id": "p"}
    assert updates_html({"p": part}) == {"p": part_html(part)}
    assert part_html(part) in write_page([part], "T")
    assert read(part_html(part)).components == ["p"]


@pytest.mark.parametrize(
    ("value", "most", "share"),
    [(1, 4, "25%"), (9, 4, "100%"), (-1, 4, "0%"), (1, 0, ""), ("a", 4, ""), (True, None, "")],
)
def test_progress(value: Any, most: Any, share: str) -> None:
    """A share of what is to be reached, or none where there is no telling."""
    html = part_html({"type": "progressBar", "value": value, "max": most})
    assert (share in html) if share else ("%" not in html)
