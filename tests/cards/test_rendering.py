"""A request for a card becomes the card: the types of this package, anybody's, and what goes wrong in them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts.reference import Chunk, Picture
from gitflowrun.cards import (
    BlankCard,
    DefaultCard,
    Markdown,
    MetaflowCard,
    card_limits,
    card_types,
    mustache,
    rendering,
)
from gitflowrun.cards.built_in_types import TaskInfoComponent
from gitflowrun.cards.card_files import CardRequest
from gitflowrun.cards.card_types import card_type_names, register_card_type
from gitflowrun.cards.rendering import RenderedCard, error_card, render_card, render_updates
from gitflowrun.client import Task, metadata, namespace
from gitflowrun.client import repository as repository_module
from gitflowrun.errors import CardClassFoundException, CardError
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.helpers.repos import make_repo
from tests.helpers.runs import GRAPH, artifact, digest, draft, finished_task, open_repo

CODE = '''from gitflowrun import FlowSpec, step

class MyFlow(FlowSpec):
    @retry(
        times=3
    )
    @step
    def train(self):
        """Doc."""
        self.x = "<b>&"

    @step
    def end(self):
        pass
'''
SECRET = "***"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(9)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task of a run with parameters, code, a graph and two attempts."""
    repo = make_repo(tmp_path_factory.mktemp("cards") / "a repo")
    (repo.path / "flow.py").write_text(CODE)
    repo.git("add", "-A")
    repo.git("commit", "-qm", "code")
    (repo.path / "other.txt").write_text("not committed")
    repository = open_repo(repo)
    rows = {"name": "train", "type": "split-foreach", "line": 8, "next": ["end"], "doc": "<i>Doc"}
    steps = {"start": {"next": ["train"]}, "train": rows, "end": {"next": []}}
    info = replace(
        draft(),
        parameters={"alpha": "0.5", "token": SECRET},
        graph={**GRAPH, "steps": steps, "parameters": [{"name": "alpha"}, {"name": "token"}]},
        secrets={"token": "hash"},
    )
    with create_run(repository, info, take_snapshot(repository)) as writer:
        run = writer.identity
        first = finished_task(run, "_parameters/0", {"alpha": b"0.5", "token": b"hunter2"})
        name = TaskName("train", "1")
        chunk = Chunk(digest(PNG), hash_object(ObjectType.BLOB, PNG), len(PNG))
        figure = replace(artifact(PNG, name), picture=Picture(".png", is_exact=True, chunk=chunk))
        made = finished_task(
            run,
            "train/1",
            {"x": b"</script><script>alert(1)</script>", "_private": b"1", "y": b"long " * 200},
            inherited={**first.record.artifacts, "figure": figure},
            attempt=1,
        )
        writer.commit([first, replace(made, inline={**made.inline, digest(PNG): PNG})])
        failed = finished_task(run, "end/2", ok=False)
        attempt = replace(failed.record.attempts[0], error="ValueError: <b>")
        writer.commit([replace(failed, record=replace(failed.record, attempts=(attempt,)))])
        writer.commit([], status=Status.DONE)
    metadata(f"local@{repo.path}")
    namespace(None)
    made_task = Task("MyFlow/1/train/1")
    repository_module._chosen.clear()  # it knows its own; the tests of other modules have others
    repository_module._namespace.clear()
    return made_task


@pytest.fixture
def _no_types() -> Iterator[None]:
    kept = dict(card_types._registered)
    yield
    card_types._registered.clear()
    card_types._registered.update(kept)


def page(card: RenderedCard) -> str:
    """The page, of a card without mistakes."""
    assert card.error is None
    assert card.html is not None
    return card.html


def shown(html: str) -> str:
    """What a page says, without its marks, styles and scripts."""
    body = re.sub(r"<(script|style).*?</\1>|</?i\b[^>]*>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_the_default_card(task: Task) -> None:
    """It has the task's facts, code, parameters, artifacts and the graph, and a part of the user."""
    part = {"type": "markdown", "source": "# Mine", "id": "m"}
    html = page(render_card(CardRequest(0, "default", components=(part,)), task))
    words = shown(html)
    for word in (
        "MyFlow/1/train/1", "# Mine", " on main, 1 uncommitted change ", "ValueError: 0",
        "@retry( times=3 ) @step def train(self):", "alpha", "Doc.",
    ):  # fmt: skip
        assert word in words
    assert words.index("# Mine") < words.index("Task Metadata Status")
    assert "_private" not in words
    assert 'class="here"' in html
    assert "<svg" in html
    assert SECRET in words
    assert "hunter2" not in html
    assert "alert(1)" in words
    assert "<script>alert" not in html
    assert "<i>Doc" not in html
    assert 'src="data:image/png;base64,iVBOR' in html


def test_a_page_needs_nothing_else(task: Task) -> None:
    """Its policy allows nothing from a network, and only the scripts that are in it; nothing refers to others."""
    parts = (
        {"type": "vegaChart", "spec": {"title": "</script>\u2028"}, "id": "c"},
        {"type": "markdown", "source": "x"},
    )
    html = page(render_card(CardRequest(0, "blank", components=parts), task))
    head = html[: html.index("<style>")]
    assert "default-src 'none'" in head
    assert "unsafe-eval" not in head
    scripts = re.findall(r"<script>", html)
    assert len(scripts) == len(re.findall(r"'sha256-[^']*'", head)) == 6
    assert not re.search(r"<(link|iframe|object|embed|base)\b", html[: html.index("<script>")])
    assert not re.search(r"<[a-z]+[^>]*\s(src|href)=\"?https?:", html[: html.index("<script>")])
    data = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == {"title": "</script>\u2028"}


def test_libraries_are_there_where_they_are_needed(task: Task) -> None:
    """A page without charts and Markdown is small."""
    kinds = {"type": "text", "text": "a"}, {"type": "markdown"}, {"type": "vegaChart", "spec": {}}
    requests = [CardRequest(0, "blank", components=(part,)) for part in kinds]
    sizes = [len(page(render_card(it, task))) for it in requests]
    assert sizes[0] < 30_000 < sizes[1] < 130_000 < sizes[2]


def test_the_other_types(task: Task) -> None:
    """Blank, its title, the pathspec alone, JSON, and errors."""
    blank = CardRequest(
        0, "blank", options={"title": "Mine"}, components=({"type": "text", "text": "T"},)
    )
    assert shown(page(render_card(blank, task))) == f"{task.pathspec} Mine T"
    assert page(render_card(CardRequest(0, "taskspec_card"), task)) == task.pathspec
    found = json.loads(page(render_card(CardRequest(0, "default_json"), task)))
    assert found["metadata"]["pathspec"] == task.pathspec
    assert [it["type"] for it in found["components"]] == ["title", "page"]
    assert "<b>boom" not in error_card(task, "<b>boom")
    assert "boom" in error_card(None, "<b>boom")
    assert "No stack trace" in page(render_card(CardRequest(0, "error"), task))


def test_a_task_that_has_failed(task: Task) -> None:
    """Its card says why."""
    failed = task.parent.parent["end"]["2"]
    words = shown(page(render_card(CardRequest(0, "default"), failed)))
    assert "Status failed" in words
    assert "Error ValueError: <b>" in words
    assert "Artifacts" not in words


def test_customize_takes_nothing_away(task: Task) -> None:
    """It says which card is meant in the step; a default card shows the task all the same, as in Metaflow."""
    part = {"type": "text", "text": "Mine"}
    cards = [
        page(render_card(CardRequest(0, "default", components=(part,), customize=it), task))
        for it in (True, False)
    ]
    assert cards[0] == cards[1]
    assert "Task Metadata" in shown(cards[0])


def test_types_can_use_our_pages(task: Task) -> None:
    """Of components, and of what the default card says of a task."""
    html = BlankCard(
        components=[Markdown("# Hello"), *TaskInfoComponent(task).render()["components"]]
    ).render(task)
    assert "# Hello" in shown(html)
    assert "Task Metadata" in shown(html)
    assert "# Hello" in shown(DefaultCard(components=[Markdown("# Hello")]).render(task))


def test_data_is_what_was_given_to_the_card(task: Task) -> None:
    """As Metaflow's `get_data` returns it; types that show nothing of a running task have none."""
    part = {"type": "progressBar", "value": 1, "max": 2, "id": "p"}
    request = CardRequest(0, "default", components=(part,), updatable={"p": part}, data={"k": 1})
    found = json.loads(render_card(request, task).data or "")
    assert found["data"] == {"p": part}
    assert found["reload_token"] == "final"
    assert abs(found["created_on"] - time.time()) < 1000
    assert render_card(CardRequest(0, "taskspec_card"), task).data is None


def test_updates_of_an_open_page(task: Task) -> None:
    """A page of a running task is given the HTML of what has changed; it takes Markdown that was not there before."""
    part = {"type": "progressBar", "value": 1, "max": 2, "id": 'p"'}
    request = CardRequest(0, "blank", components=(part,), updatable={'p"': part})
    live = page(render_card(request, task, live=True))
    assert "marked v" in live
    assert 'data-component="p&quot;"' in live
    found = render_updates(request, task)
    assert found is not None
    assert "50%" in found["html"]['p"']
    assert found["data"] == {'p"': part}
    assert render_updates(CardRequest(0, "taskspec_card"), task) is None
    assert render_updates(CardRequest(0, "nope"), task) is None


def test_an_open_page_knows_when_it_is_out_of_date(task: Task) -> None:
    """Its token changes with its components and at the end, and has nothing in it that users have written."""
    going_on = task.parent.parent["end"][
        "2"
    ]  # no task that has failed is finished, in Metaflow's sense
    tokens = []
    for name in ('a"><b>', "b"):
        part = {"type": "markdown", "source": "x", "id": name}
        request = CardRequest(0, "blank", components=(part,), updatable={name: part})
        found = re.search(
            '<html lang="en" data-reload-token="([a-z0-9-]+)">',
            page(render_card(request, going_on, live=True)),
        )
        updates = render_updates(request, going_on)
        assert found is not None
        assert updates is not None
        assert updates["reload_token"] == found[1]
        tokens += [found[1], updates["reload_token"]]
    assert len(set(tokens)) == 2
    assert 'data-reload-token="final"' in page(render_card(request, task))


class Theirs(MetaflowCard):
    """A type of cards that says what it was made with."""

    type = "theirs"
    ALLOW_USER_COMPONENTS = True
    RUNTIME_UPDATABLE = True
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ALWAYS

    def __init__(self, options: Any = {"k": 0}, components: Any = (), graph: Any = None) -> None:  # noqa: B006
        self._made = {"options": options, "components": components, "steps": sorted(graph)}

    def render(self, task: Task) -> str:
        """What it was made with, by a template."""
        template = "{{a}} {{{made}}} {{user}}" + self.RELOAD_POLICY_TOKEN
        data = {"a": "<", "made": json.dumps(self._made), "user": (self.runtime_data or {})["user"]}
        assert task.finished
        return str(self._get_mustache().render(template, data))

    def refresh(self, task: Task, data: Any) -> Any:  # noqa: ARG002
        """What the user has given."""
        return data["user"]


@pytest.mark.usefixtures("_no_types")
def test_types_of_others(task: Task) -> None:
    """They are given what they take, as Metaflow does: options only where there are any."""
    register_card_type(Theirs)
    assert "theirs" in card_type_names()
    made: dict[str, Any] = {
        "options": {"k": 0},
        "components": [],
        "steps": ["end", "start", "train"],
    }
    part = {"type": "text"}
    card = render_card(CardRequest(0, "theirs", data=7), task)
    assert page(card) == f"&lt; {json.dumps(made)} 7final"
    assert json.loads(card.data or "")["data"] == 7
    made |= {"options": {"k": 1}, "components": [{"type": "section", "contents": [part]}]}
    request = CardRequest(0, "theirs", options={"k": 1}, components=(part,))
    assert json.dumps(made) in page(render_card(request, task))


@pytest.mark.usefixtures("_no_types")
def test_a_type_without_a_page_for_running_tasks(task: Task) -> None:
    """It says when there will be one; that is no mistake."""
    register_card_type(Theirs)
    card = render_card(CardRequest(0, "theirs", data=7), task, live=True)
    assert "are shown when their task has ended" in shown(page(card))


class _Hard(MetaflowCard):
    type = "hard"
    answer: Any = None

    def render(self, task: Task) -> Any:  # noqa: ARG002
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.usefixtures("_no_types")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "must return text, not NoneType"),
        (b"<p>", "must return text, not bytes"),
        (ZeroDivisionError("a <b>"), "ZeroDivisionError: a <b>"),
        (SystemExit(3), "SystemExit: 3"),
        (RecursionError(), "RecursionError"),
        (_Mute(), "_Mute"),
        ("x" * 101, "the card is too large: 101 B of 100 B"),
    ],
)
def test_types_that_fail(
    task: Task, answer: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card of errors says what happened, and so does one line; without `save_errors` the line alone."""
    monkeypatch.setattr(rendering, "CARD_SIZE", 100)
    monkeypatch.setattr(_Hard, "answer", answer)
    register_card_type(_Hard)
    card = render_card(CardRequest(0, "hard", id="a"), task)
    assert card.html is not None
    assert words in shown(card.html)
    assert card.error is not None
    assert card.error.startswith("the card of the type 'hard' with the id 'a' can't be rendered: ")
    assert words in card.error
    assert "\n" not in card.error
    assert render_card(CardRequest(0, "hard", id="a", save_errors=False), task).html is None


@pytest.mark.usefixtures("_no_types")
def test_odd_texts_are_written(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of surrogates, which no file can hold, are replaced."""
    monkeypatch.setattr(_Hard, "answer", "a\ud800b")
    register_card_type(_Hard)
    assert page(render_card(CardRequest(0, "hard"), task)) == "a?b"
    part = {"type": "text", "text": "a\ud800b\u202e"}
    assert page(render_card(CardRequest(0, "blank", components=(part,)), task)).encode()


def test_an_unknown_type(task: Task) -> None:
    """The card and the line say so, and what there is."""
    card = render_card(CardRequest(0, "defualt"), task)
    assert card.error is not None
    assert "no type of cards 'defualt'" in card.error
    assert card.html is not None
    assert "did you mean default" in shown(card.html)


@pytest.mark.usefixtures("_no_types")
def test_types_without_a_name_are_refused() -> None:
    """A type's name is part of a file's."""
    for name in (None, "", "a\nb", "x" * (card_limits.CARD_TYPE + 1), 3):
        with pytest.raises(CardError, match="no usable type"):
            register_card_type(type("Nameless", (MetaflowCard,), {"type": name}))
    with pytest.raises(CardClassFoundException):
        card_types.card_type("Nameless")
    register_card_type(Theirs, "other")
    assert card_types.card_type("other") is Theirs


def test_facts_of_types_are_those_of_their_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks know them of the package's own types without loading those, and of others by what they say."""
    monkeypatch.setattr(card_types, "_registered", {})
    for name in card_types.BUILT_IN:
        kind = card_types.card_type(name)
        facts = (kind.ALLOW_USER_COMPONENTS, kind.RUNTIME_UPDATABLE)
        assert card_types.type_facts(name) == facts
    assert card_types.type_facts("nobody knows it") is None
    register_card_type(type("Shown", (MetaflowCard,), {"type": "shown", "IS_EDITABLE": True}))
    assert card_types.type_facts("shown") == (True, False)


def test_further_types_are_looked_for_when_one_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once: not where a type is, and not again where it is not."""
    monkeypatch.setattr(card_types, "_registered", {})
    asked = []

    def bring() -> None:
        asked.append(1)
        register_card_type(type("Brought", (MetaflowCard,), {"type": "brought"}))

    card_types.sources.append(bring)
    card_types.card_type("default")
    assert asked == []
    assert card_types.card_type("brought").type == "brought"
    assert card_types.type_facts("still not known") is None
    assert asked == [1]


def test_the_base_class_does_nothing(task: Task) -> None:
    """What a type does not define is not there."""
    card = MetaflowCard({}, [], None, None)
    for call in (
        lambda: card.render(task),
        lambda: card.render_runtime(task, {}),
        lambda: card.refresh(task, {}),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert card.reload_content_token(task, {}) == "content-token"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{a.b}} {{ c }}{{{c}}}{{&c}}", "1 &lt;<<"),
        ("{{#rows}}[{{.}}]{{/rows}}{{^rows}}none{{/rows}}", "[1][2]"),
        ("{{#none}}x{{/none}}{{^none}}none{{/none}}", "none"),
        ("{{#a}}{{b}}{{c}}{{/a}}", "1&lt;"),
        ("a\n  {{#yes}}\n  x\n  {{/yes}}\nb{{! no }}", "a\n  x\nb"),
        ("{{>part}}{{>absent}}", "1!"),
        ("{{>self}}", "." * card_limits.PARTIALS),
        ("{{ } }}", "{{ } }}"),
        ("", ""),
    ],
)
def test_templates(template: str, expected: str) -> None:
    """What mustache(5) says."""
    data = {"a": {"b": 1}, "c": "<", "rows": [1, 2], "none": [], "yes": True}
    partials = {"part": "{{a.b}}!", "self": ".{{>self}}"}
    assert mustache.render(template, data, partials) == expected


@pytest.mark.parametrize("template", ["{{#a}}", "{{/a}}", "{{#a}}{{/b}}"])
def test_templates_that_are_wrong(template: str) -> None:
    """Sections that don't end, or don't begin."""
    with pytest.raises(ValueError, match="section"):
        mustache.render(template)


def test_what_is_bundled_is_licensed() -> None:
    """Each library in a page is in the file of licences."""
    assets = Path(rendering.__file__).parent / "assets"
    told = (assets / "LICENSES.txt").read_text()
    names = sorted(it.name for it in assets.glob("*.min.js"))
    assert names == [
        "marked.min.js",
        "purify.min.js",
        "vega-embed.min.js",
        "vega-lite.min.js",
        "vega.min.js",
    ]
    assert [it for it in names if it not in told] == []
