"""Components: what each renders to, and what becomes of what can't be shown."""

from __future__ import annotations

import enum
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.cards import (
    Artifact,
    Error,
    EventsTimeline,
    Image,
    JSONViewer,
    Markdown,
    MetaflowCardComponent,
    PageComponent,
    ProgressBar,
    PythonCode,
    Table,
    ValueBox,
    VegaChart,
    YAMLViewer,
)
from gitflowrun.cards.components.component import render_safely

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f00010401005fe5c34b0000000049454e44ae426082"
)


class Unshowable:
    """Says nothing of itself, nor of its errors."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


def rendered(component: MetaflowCardComponent) -> dict[str, Any]:
    """What a component named `i` renders to, which is strict JSON."""
    component.component_id = "i"
    found = component.render()
    json.dumps(found, allow_nan=False)
    assert found.pop("id") == "i"
    return dict(found)


def step_code(number: int) -> int:
    """Return the next number."""
    return number + 1


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (Markdown("  # a\n    b"), {"type": "markdown", "source": "# a\n  b"}),
        (Markdown(), {"type": "markdown", "source": None}),
        (Error(ValueError("no"), "Title"), {"type": "log", "data": "Title\n\nValueError('no')"}),
        (PythonCode(code_string="x = 1"), {"type": "pythonCode", "data": "x = 1"}),
        (
            Table([["a", 1], [None, True]], headers=["x", "y"]),
            {
                "type": "table", "columns": ["x", "y"], "data": [["a", 1], [None, True]],
                "vertical": False,
            },
        ),
        (Table(), {"type": "table", "columns": [], "data": [[]], "vertical": False}),
        (
            VegaChart({"mark": "bar"}),
            {
                "type": "vegaChart", "spec": {"mark": "bar", "width": "container"},
                "options": {"actions": False},
            },
        ),
        (
            VegaChart({"$schema": "https://vega.github.io/schema/vega/v6.json"}),
            {
                "type": "vegaChart", "spec": {"$schema": "https://vega.github.io/schema/vega/v6.json"},
                "options": {"actions": False},
            },
        ),
        (
            VegaChart({"hconcat": []}, show_controls=True),
            {"type": "vegaChart", "spec": {"hconcat": []}},
        ),
        (
            ProgressBar(10, "Loading", 3, "files", "soon"),
            {
                "type": "progressBar", "max": 10, "value": 3, "label": "Loading",
                "unit": "files", "details": "soon",
            },
        ),
        (ProgressBar(), {"type": "progressBar", "max": 100, "value": 0}),
        (
            ValueBox("Score", 0.5, "of 1", "success", "+5%"),
            {
                "type": "valueBox", "title": "Score", "value": 0.5, "subtitle": "of 1",
                "theme": "success", "change_indicator": "+5%",
            },
        ),
        (
            JSONViewer({"a": [1, math.nan], 2: Path("x")}, max_height="30px", title="T"),
            {
                "type": "jsonViewer", "collapsible": True, "show_copy_button": True, "title": "T",
                "json_string": '{\n  "a": [\n    1,\n    "nan"\n  ],\n  "2": "x"\n}',
                "max_height": "30px",
            },
        ),
        (
            JSONViewer('{"a":1}', collapsible=False, show_copy_button=False),
            {
                "type": "jsonViewer", "collapsible": False, "show_copy_button": False,
                "title": "JSON", "json_string": '{\n  "a": 1\n}',
            },
        ),
        (
            YAMLViewer({"b": None, "a": [1]}),
            {
                "type": "yamlViewer", "collapsible": True, "show_copy_button": True,
                "title": "YAML", "yaml_string": "b: null\na:\n- 1\n",
            },
        ),
        (
            YAMLViewer("a: 1"),
            {
                "type": "yamlViewer", "collapsible": True, "show_copy_button": True,
                "title": "YAML", "yaml_string": "a: 1",
            },
        ),
        (
            PageComponent("T", "S", [{"type": "text"}]),
            {"type": "page", "title": "T", "subtitle": "S", "contents": [{"type": "text"}]},
        ),
    ],
)  # fmt: skip
def test_what_it_renders_to(component: MetaflowCardComponent, expected: dict[str, Any]) -> None:
    """The mapping is Metaflow's."""
    assert rendered(component) == expected


def test_an_id_is_made_once() -> None:
    """A component that the user has not named has one of its own; what is no text is refused."""
    one, other = Markdown("a"), Markdown("a")
    assert one.render()["id"] == one.render()["id"] != other.render()["id"]
    with pytest.raises(TypeError, match="is text"):
        one.component_id = 3  # type: ignore[assignment]


def test_python_code_of_a_function() -> None:
    """The function's source; a mistake is told in its place, or at once as in Metaflow."""
    assert rendered(PythonCode(step_code))["data"].startswith("def step_code(number: int)")
    assert "needs a function" in rendered(PythonCode())["data"]
    with pytest.raises(TypeError):
        PythonCode(len)


def test_artifacts_are_texts() -> None:
    """Values are shown by what Python says of them, cut unless that is not wanted."""
    row = rendered(Artifact({"a": 1}, "x"))["data"][0]
    assert (row["name"], row["type"], row["data"]) == ("x", "dict", "{'a': 1}")
    many = list(range(2_000))
    assert len(rendered(Artifact(many))["data"][0]["data"]) < 2_100
    assert rendered(Artifact(many, compressed=False))["data"][0]["data"] == repr(many)
    assert rendered(Artifact(Path("x")))["data"][0]["type"].startswith("pathlib.")


def test_components_in_cells() -> None:
    """A cell may be a component; a chart there has a width of its own; other values are shown as text."""
    cells = [Markdown("a"), VegaChart({"mark": "bar"}), Path("x"), np.int64(3), math.inf, [1]]
    found = rendered(Table([cells]))["data"][0]
    assert [it["type"] for it in found[:2]] == ["markdown", "vegaChart"]
    assert "width" not in found[1]["spec"]
    assert found[2:] == ["x", 3, "inf", [1]]


def test_tables_of_frames() -> None:
    """The first rows with the index, or all; what is no frame says so."""
    frame = pd.DataFrame({"a": range(9), "t": pd.Timestamp("2024-01-01"), "n": [math.nan] * 9})
    found = rendered(Table.from_dataframe(frame))
    assert found["columns"] == ["", "a", "t", "n"]
    assert len(found["data"]) == 5
    assert found["data"][1] == [1, 1, "2024-01-01T00:00:00", "nan"]
    assert len(rendered(Table.from_dataframe(frame, truncate=False))["data"]) == 9
    assert rendered(Table.from_dataframe(3))["columns"] == ["Object type int not supported"]


class _Figure:
    def savefig(self, out: Any, format: str) -> None:  # noqa: A002
        """Write a picture as matplotlib does."""
        assert format == "png"
        out.write(PNG)


class _Axes:
    def get_figure(self) -> _Figure:
        """The figure that it is in."""
        return _Figure()


class _Pillow:
    """A picture of Pillow of a kind that PNG has not."""

    def __init__(self, kind: str = "CMYK") -> None:
        self._kind = kind

    def convert(self, kind: str) -> _Pillow:
        """It in other colours."""
        return _Pillow(kind)

    def save(self, out: Any, format: str) -> None:  # noqa: A002
        """Write it as Pillow does."""
        out.write(PNG)
        if self._kind == "CMYK":
            msg = "cannot write mode CMYK as PNG"
            raise OSError(msg)
        assert format == "PNG"


_Pillow.__module__ = "PIL.Image"


def test_pictures(tmp_path: Path) -> None:
    """Bytes, files, figures and what is in one, and texts that hold a picture."""
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    expected = rendered(Image(PNG, "below"))
    assert expected["src"].startswith("data:image/png;base64,iVBOR")
    assert expected["label"] == "below"
    for image in (
        Image(file),
        Image(expected["src"]),
        Image.from_matplotlib(_Figure()),
        Image.from_matplotlib(_Axes()),
        Image.from_pil_image(_Pillow()),
    ):
        assert rendered(image)["src"] == expected["src"]
    svg = rendered(Image(b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="a"/>'))["src"]
    assert svg.startswith("data:image/svg+xml;")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(), "src` is None"),
        (Image(b"hello"), "no picture"),
        (Image("https://example.org/a.png"), "data:image/png"),
        (Image(Path("nothing.png")), "No such file"),
        (Image(3), "not a int"),
        (Image.from_matplotlib(3), "takes a figure"),
        (Image.from_pil_image(3), "picture of Pillow"),
    ],
)
def test_what_is_no_picture_says_so(image: Image, words: str) -> None:
    """A message stands in its place."""
    found = rendered(image)
    assert found["type"] == "log"
    assert words in found["data"]


def test_updates() -> None:
    """What can be updated shows what it was given last."""
    text, bar, box = Markdown("a"), ProgressBar(10), ValueBox("t", 1)
    chart, value, picture = (
        VegaChart({"mark": "bar"}),
        Artifact(1),
        Image(PNG, disable_updates=False),
    )
    text.update("b")
    bar.update(4, "soon")
    bar.update(5)
    box.update(value=2, theme="danger")
    chart.update({"mark": "line"})
    value.update(2)
    picture.update(_Figure(), "new")
    assert rendered(text)["source"] == "b"
    assert (rendered(bar)["value"], rendered(bar)["details"]) == (5, "soon")
    assert rendered(box) == {"type": "valueBox", "title": "t", "value": 2, "theme": "danger"}
    assert rendered(chart)["spec"]["mark"] == "line"
    assert rendered(value)["data"][0]["data"] == "2"
    assert rendered(picture)["label"] == "new"
    still = Image(PNG, "old")
    still.update(PNG, "new")
    assert rendered(still)["label"] == "old"
    assert not Table([], disable_updates=True).REALTIME_UPDATABLE


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ValueError),
        ({"value": None}, ValueError),
        ({"value": []}, TypeError),
        ({"value": "x" * 101}, ValueError),
        ({"value": 1, "title": 3}, TypeError),
        ({"value": 1, "subtitle": "x" * 301}, ValueError),
        ({"value": 1, "change_indicator": "x" * 201}, ValueError),
    ],
)
def test_value_boxes_refuse(arguments: dict[str, Any], error: type[Exception]) -> None:
    """As Metaflow's do, at once."""
    with pytest.raises(error):
        ValueBox(**arguments)


def test_timelines() -> None:
    """The newest events are kept, in front; payloads are rendered with them."""
    events = EventsTimeline("T", max_events=2)
    for number in range(3):
        events.update({"n": number, "timestamp": number, "o": Path("x")})
    events.update(
        {"m": Markdown("b")},
        style_theme="error",
        priority="high",
        payloads={"p": ValueBox("t", 1)},
        finished=True,
    )
    found = rendered(events)
    newest, before = found["events"]
    assert newest["metadata"]["m"]["type"] == "markdown"
    assert newest["payloads"]["p"]["type"] == "valueBox"
    assert (newest["style_theme"], newest["priority"]) == ("error", "high")
    assert before["metadata"] == {"n": 2, "timestamp": 2, "o": "x"}
    stats = events.get_stats()
    assert (stats["total_events"], stats["displayed_events"], stats["finished"]) == (4, 2, True)
    with pytest.raises(TypeError, match="must be one of"):
        events.update({}, payloads={"p": 3})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="an event is a dict"):
        events.update(3)  # type: ignore[arg-type]


class Colour(str, enum.Enum):
    """Text of a class of its own."""

    RED = "red"


def test_values_of_libraries_in_specifications() -> None:
    """Arrays become lists, numbers that are none null, enums their values."""
    spec: dict[Any, Any] = {
        "data": {"values": np.array([1.5, np.nan])},
        "mark": Colour.RED,
        3: (np.float32(0.5),),
    }
    found = rendered(VegaChart(spec))["spec"]
    assert found["data"] == {"values": [1.5, None]}
    assert found["mark"] == "red"
    assert found["3"] == [0.5]


@pytest.mark.parametrize(
    "component",
    [
        Table([[Unshowable()]]),
        Table("rows"),
        Table([1, 2]),  # type: ignore[list-item]
        Table([[1]], headers="ab"),
        VegaChart("x"),  # type: ignore[arg-type]
        VegaChart({"a": Unshowable()}),
        VegaChart({"a": {1, 2}}),
        Artifact(Unshowable()),
        JSONViewer({"a": Unshowable(), "b": {1}}),
        YAMLViewer(Unshowable()),
        Error(Unshowable()),
        ProgressBar(Unshowable()),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_shown_is_told(component: MetaflowCardComponent) -> None:
    """It renders, to strict JSON, whatever the values are."""
    assert rendered(component)


def test_circles_are_told() -> None:
    """Values that contain themselves end somewhere."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert "levels deep" in rendered(VegaChart(circle))["data"]
    assert rendered(JSONViewer(circle))["type"] == "jsonViewer"
    assert rendered(Artifact(circle))["type"] == "artifacts"


def test_numbers_of_any_length_are_shown() -> None:
    """Python neither writes nor reads long numbers in decimal, which JSON is: they do not cost the card the rest."""
    long = 16**5000
    assert rendered(VegaChart({"n": long}))["spec"]["n"] == hex(long)
    assert rendered(Table([[long]]))["data"] == [[hex(long)]]
    for component in (*components_of(long), Table([[[long]]]), Table([[{"n": long}]])):
        assert rendered(component)
    assert hex(long) in rendered(JSONViewer([-1, long]))["json_string"]
    assert render_safely(Theirs({"type": "x", "n": long}))["n"] == hex(long)


class Theirs(MetaflowCardComponent):
    """A component that a user has written."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def render(self) -> Any:
        """What it was given; an exception is raised."""
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class Nameless(Theirs):
    """A component that does not say its id."""

    @property
    def component_id(self) -> str:
        """Its id."""
        raise ValueError

    @component_id.setter
    def component_id(self, value: str) -> None: ...


def test_components_of_users() -> None:
    """Text and plain data are taken; what fails, or is no JSON, is told in their place."""
    assert render_safely(Theirs("<b>")) == "<b>"
    assert render_safely(Theirs({"type": "x", "n": math.nan})) == {"type": "x", "n": None}
    assert "ValueError: no" in render_safely(Theirs(ValueError("no")))["data"]
    assert "is no JSON" in render_safely(Theirs(object()))["data"]
    assert render_safely(Theirs(Unshowable()))["type"] == "log"
    assert render_safely(Nameless("x")) == "x"
    assert "ValueError" in render_safely(Nameless(ValueError("no")))["data"]
    with pytest.raises(NotImplementedError):
        MetaflowCardComponent().render()
    with pytest.raises(NotImplementedError):
        MetaflowCardComponent().update(3)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.dates() | st.builds(Unshowable) | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=6,
)  # fmt: skip


def components_of(value: Any) -> tuple[MetaflowCardComponent, ...]:
    """Components that show a value."""
    return (
        Artifact(value),
        Table([[value]], headers=[value]),
        Table(value),
        VegaChart({"a": value}),
        JSONViewer(value),
        YAMLViewer(value),
        Error(value),
        ProgressBar(value, value, value, value, value),
        Image(value),
    )


@given(VALUES)
def test_any_value_renders_to_json(value: Any) -> None:
    """Whatever a component is given, what it renders to is strict JSON."""
    for component in components_of(value):
        assert rendered(component)
