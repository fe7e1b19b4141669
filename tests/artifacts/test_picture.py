"""The pictures of figures: drawn by tasks, stored as files that git shows."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from gitflowrun import Run
from gitflowrun.artifacts import picture
from gitflowrun.artifacts.picture import Drawing, draw
from tests.helpers.clones import clone, get
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo

_PNG = b"\x89PNG\r\n\x1a\n"
_LIBRARY = """
class Image:
    def __init__(self, size, mode="RGB", noise=0):
        self.size, self.mode, self.noise = size, mode, noise
    def resize(self, size):
        return Image(size, self.mode, self.noise // 4)
    def save(self, out, format):
        out.write(b"\\x89PNG\\r\\n\\x1a\\n %d" % self.size[0] + bytes(self.noise))
"""
"""What the task needs of a library of pictures, under the name of Pillow's."""
_VALUES = """
self.image, self.photo = Image((30, 20)), Image((800, 800), noise=3 << 20)
self.number = 5
"""


def _run(repo: GitRepo) -> None:
    repo.write("PIL/__init__.py", "")
    repo.write("PIL/Image.py", _LIBRARY)
    repo.write("f.py", linear_flow(_VALUES, head="from PIL.Image import Image\n"))
    assert repo.flow("f.py", "--quiet", "run").code == 0


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of `_Figure` are drawn by calling them."""
    key = (_Figure.__module__, _Figure.__name__)
    monkeypatch.setitem(picture._DRAWERS, key, lambda value: value.drawn())


class _Figure:
    def __init__(self, act: object = None) -> None:
        self.act, self.calls = act, 0

    def drawn(self) -> Drawing:
        self.calls += 1
        if callable(self.act):
            self.act()
        os.write(1, b"drawing")
        return Drawing(".png", is_exact=True, data=_PNG * 20_000)


def test_git_shows_pictures(repo: GitRepo) -> None:
    """A picture lies in the tree of its task, and by name among what the run ended up with; equal ones are one blob."""
    _run(repo)
    _run(repo)
    paths = repo.git("ls-tree", "-r", "--name-only", "runs/F/1").split("\n")
    assert [path for path in paths if path.endswith(".png")] == [
        "data/image.png", "data/photo.png",
        "steps/start/1/pictures/image.png", "steps/start/1/pictures/photo.png",
    ]  # fmt: skip
    assert repo.git("rev-parse", "runs/F/1:data/image.png") == repo.git(
        "rev-parse", "runs/F/2:steps/start/1/pictures/image.png"
    )
    assert repo.git("cat-file", "-s", "runs/F/1:data/photo.png") == str(
        len("?PNG????? 400") - 1 + (3 << 18)
    )
    shown = json.loads(repo.call("show", "1/start/1/image", "--json").out)
    assert shown["picture"] == "steps/start/1/pictures/image.png"
    repo.fsck()


def test_pictures_need_no_trust(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's figure becomes the file that its task drew, with a note where that is less than the value."""
    _run(repo)
    theirs = clone(repo, "theirs")
    get(theirs)
    done = theirs.call("cat", "1/image", "-o", "image.png")
    assert (done.code, done.err) == (0, "")
    assert (theirs.path / "image.png").read_bytes() == b"\x89PNG\r\n\x1a\n 30"
    smaller = theirs.call("cat", "1/photo", "-o", "photo.png")
    assert smaller.code == 0
    assert smaller.err.startswith("note: this is the picture that its task drew")
    assert (theirs.path / "photo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n 400\0")
    refused = theirs.call("cat", "1/photo", "-o", "photo.jpg")
    assert refused.code
    assert refused.err.endswith("or name the file .png: its task drew that\n")
    monkeypatch.chdir(theirs.path)
    found = Run("1")["start"].task["image"]  # type: ignore[index]
    assert found.picture == b"\x89PNG\r\n\x1a\n 30"
    assert '<img src="data:image/png;base64,iVBORw0KGgogMzA=">' in found._repr_html_()


@pytest.mark.usefixtures("figures")
def test_drawing_leaves_the_task_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """A figure is drawn in another process: it does not change, and nothing is printed."""
    figure = _Figure()
    found = draw({"figure": figure, "number": 5, "child": type("Own", (_Figure,), {})()})
    assert {name: drawing.data for name, drawing in found.items()} == {
        "figure": _PNG * 20_000,
        "child": _PNG * 20_000,
    }
    assert figure.calls == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize(
    "act",
    [
        lambda: 1 // 0,
        lambda: sys.exit(3),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: time.sleep(60),
    ],
    ids=["raises", "exits", "is killed", "hangs"],
)
def test_a_figure_that_can_not_be_drawn(act: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong costs the picture, within a time; those before it are there."""
    monkeypatch.setattr(picture, "PICTURE_SECONDS", 2.0)
    assert list(draw({"good": _Figure(), "bad": _Figure(act)})) == ["good"]


def test_matplotlib() -> None:
    """A figure is drawn by Agg, the same bytes each time; neither it nor pyplot notice."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    canvas, numbers = figure.canvas, pyplot.get_fignums()
    first, second = draw({"x": figure})["x"], draw({"x": figure})["x"]
    assert first == second
    assert first.suffix == ".png"
    assert first.is_exact
    assert first.data.startswith(_PNG)
    assert b"matplotlib" not in first.data
    assert (figure.canvas, pyplot.get_fignums()) == (canvas, numbers)
    pyplot.close(figure)


def test_plotly() -> None:
    """A figure of plotly is a page, the same bytes each time."""
    graphs = pytest.importorskip("plotly.graph_objects")
    figure = graphs.Figure(data=graphs.Bar(y=[2, 3, 1]))
    first, second = draw({"x": figure})["x"], draw({"x": figure})["x"]
    assert first == second
    assert (first.suffix, first.is_exact) == (".html", False)
    assert first.data.startswith(b"<!doctype html>")


def test_pillow_in_modes_that_png_has_not() -> None:
    """A picture in another mode than PNG's is converted, and said to be."""
    image = pytest.importorskip("PIL.Image")
    found = draw({"x": image.new("CMYK", (5, 5))})["x"]
    assert (found.suffix, found.is_exact) == (".png", False)


def test_a_picture_of_what_its_library_can_not_write(repo: GitRepo) -> None:
    """Where the library has no such file, the picture is written, and said to be."""
    pytest.importorskip("PIL")
    values = "self.depth = Image.new('F', (5, 5))"
    repo.write("f.py", linear_flow(values, head="from PIL import Image\n"))
    assert repo.flow("f.py", "--quiet", "run").code == 0
    done = repo.call("cat", "1/depth", "-o", "depth.png")
    assert done.code == 0
    assert done.err.startswith("note: this is the picture that its task drew: ")
    assert (repo.path / "depth.png").read_bytes().startswith(_PNG)


def test_nothing_else_is_drawn(tmp_path: Path) -> None:
    """Values that are no figures start no process."""
    assert draw({"a": 1, "b": tmp_path, "c": object}) == {}
