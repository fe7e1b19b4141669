"""The pictures of figures: a PNG or an HTML page, drawn by the task that made the figure, for git and pages to show.

    matplotlib.figure.Figure      PNG, by the Agg renderer
    PIL.Image.Image               PNG
    plotly figures                HTML, which loads plotly's library from the network when it is opened

Drawing changes a figure, may start threads, crash or take for ever, and none of that may happen to a task. So it is
done in a fork, which knows the values, writes nothing but pictures into a pipe, and is killed when its time is over.
Nothing is imported but parts of the library that a figure is of. Equal figures give equal bytes, for no date and no
version is in them.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import struct
import time
import warnings
from typing import TYPE_CHECKING, Any

from gitflowrun.limits import (
    PICTURE_PIXELS,
    PICTURE_SECONDS,
    PICTURE_SIZE,
    PICTURE_TRIES,
    PIPE_READ,
)
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PNG, HTML = ".png", ".html"
PNG_SIGN = b"\x89PNG\r\n\x1a\n"
"""What every PNG begins with."""
_SUFFIXES = (PNG, HTML)
_HEAD = struct.Struct(">HB?I")
"""What precedes a picture in the pipe: which value, which suffix, whether it is exact, its size."""
_HELD_BY_PNG = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})


@frozen
class Drawing:
    """A picture as it was drawn.

    Attributes:
        suffix: `.png` or `.html`.
        is_exact: Whether the figure's own library would write the same: not smaller, and whole in itself.
        data: The content of the file.
    """

    suffix: str
    is_exact: bool
    data: bytes


def draw(values: Mapping[str, Any]) -> dict[str, Drawing]:
    """The pictures of those values that are figures, by name; those that fail, or take too long, have none."""
    figures = [
        (name, value, drawer) for name, value in values.items() if (drawer := _drawer(value))
    ]
    if not figures:
        return {}
    try:
        raw = _in_a_fork([(value, drawer) for _, value, drawer in figures])
    except Exception:  # noqa: BLE001  (no process, no memory, no descriptor for it: no picture)
        return {}
    return {figures[number][0]: drawing for number, drawing in _read(raw)}


def _drawer(value: Any) -> Callable[[Any], Drawing] | None:
    """What draws values of this class; None for all that are no figures."""
    for base in type(value).__mro__[:-1]:
        drawer = _DRAWERS.get((base.__module__, base.__name__))
        if drawer is not None:
            return drawer
    return None


def _matplotlib(figure: Any) -> Drawing:
    width, height = (float(side) * figure.dpi for side in figure.get_size_inches())
    scale = min(1.0, (PICTURE_PIXELS / max(width * height, 1)) ** 0.5)
    return _fitting(scale, lambda scale: _saved(figure, figure.dpi * scale))


def _saved(figure: Any, dpi: float) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", backend="agg", dpi=dpi, metadata={"Software": None})
    return out.getvalue()


def _pillow(image: Any) -> Drawing:
    width, height = image.size
    scale = min(1.0, (PICTURE_PIXELS / max(width * height, 1)) ** 0.5)
    has_alpha = image.mode in {"PA", "La", "RGBa"}
    held = image.mode in _HELD_BY_PNG
    picture = image if held else image.convert("RGBA" if has_alpha else "RGB")

    def saved(scale: float) -> bytes:
        out = io.BytesIO()
        size = (max(int(width * scale), 1), max(int(height * scale), 1))
        (picture if scale == 1 else picture.resize(size)).save(out, format="PNG")
        return out.getvalue()

    found = _fitting(scale, saved)
    return found if held else Drawing(found.suffix, is_exact=False, data=found.data)


def _fitting(scale: float, saved: Callable[[float], bytes]) -> Drawing:
    """A PNG within the limit, drawn smaller where it takes that."""
    for _ in range(PICTURE_TRIES):
        data = saved(scale)
        if len(data) <= PICTURE_SIZE:
            return Drawing(PNG, is_exact=scale == 1, data=data)
        scale /= 2
    msg = "no small picture shows it"
    raise ValueError(msg)


def _plotly(figure: Any) -> Drawing:
    page = figure.to_html(full_html=True, include_plotlyjs="cdn", div_id="figure")
    return Drawing(HTML, is_exact=False, data=page.encode())


_DRAWERS: dict[tuple[str, str], Callable[[Any], Drawing]] = {
    ("matplotlib.figure", "Figure"): _matplotlib,
    ("PIL.Image", "Image"): _pillow,
    ("plotly.basedatatypes", "BaseFigure"): _plotly,
}


def _in_a_fork(figures: list[tuple[Any, Callable[[Any], Drawing]]]) -> bytes:
    """What a fork of this process has written about these figures by the time it ended, or had to."""
    source, target = os.pipe()
    try:
        with warnings.catch_warnings():
            # Of threads, whose locks may hold the fork up until it is killed.
            warnings.simplefilter("ignore")
            child = os.fork()
        if not child:
            _be_the_fork(figures, target)
    except BaseException:
        os.close(source)
        raise
    finally:
        os.close(target)
    try:
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        return _read_until(source, time.monotonic() + PICTURE_SECONDS)
    finally:
        os.close(source)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored
            os.waitpid(child, 0)


def _be_the_fork(figures: list[tuple[Any, Callable[[Any], Drawing]]], target: int) -> None:
    """Draw, and end the process: nothing of the task's may happen twice."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(PICTURE_SECONDS) + 1)  # should the task be killed meanwhile
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        with open(target, "wb", buffering=0, closefd=False) as out:
            for number, (value, drawer) in enumerate(figures):
                with contextlib.suppress(Exception):
                    drawing = drawer(value)
                    kind = _SUFFIXES.index(drawing.suffix)
                    if len(drawing.data) <= PICTURE_SIZE:
                        head = _HEAD.pack(number, kind, drawing.is_exact, len(drawing.data))
                        _write(out, head + drawing.data)
    finally:
        os._exit(0)


def _write(out: io.RawIOBase | io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _read_until(source: int, end: float) -> bytes:
    pieces = []
    ready = select.poll()  # `select` knows no descriptors above 1,023
    ready.register(source, select.POLLIN)
    while (left := end - time.monotonic()) > 0 and ready.poll(left * 1000):
        piece = os.read(source, PIPE_READ)
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _read(raw: bytes) -> Iterator[tuple[int, Drawing]]:
    """The pictures that arrived whole."""
    place = 0
    while place + _HEAD.size <= len(raw):
        number, kind, is_exact, size = _HEAD.unpack_from(raw, place)
        place += _HEAD.size
        if place + size <= len(raw):
            yield number, Drawing(_SUFFIXES[kind], is_exact, raw[place : place + size])
        place += size
