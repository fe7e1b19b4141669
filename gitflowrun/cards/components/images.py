"""`Image`: a picture as bytes, of a file, a figure of matplotlib or a picture of Pillow."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.components.component import CannotBeShown, UserComponent

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)
_SVG = re.compile(rb"\s*(?:<[?!][^>]*>\s*)*<svg[\s>]")
_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]+;base64,\s*[A-Za-z0-9+/=\s]+\Z")


class Image(UserComponent):
    """A picture.

    Args:
        src: Its bytes (PNG, JPEG, GIF, WebP, BMP or SVG), the `pathlib.Path` of its file, or a `data:image/...` text.
        label: What is below it.
        disable_updates: Whether it stays as it is while the task runs.
    """

    REALTIME_UPDATABLE = True

    def __init__(
        self, src: Any = None, label: str | None = None, disable_updates: bool = True
    ) -> None:
        self._label = label
        if disable_updates:
            self.REALTIME_UPDATABLE = False
        self._wrong = ""
        self._src = self._read(_source, src)

    @classmethod
    def from_matplotlib(
        cls, plot: Any, label: str | None = None, disable_updates: bool = False
    ) -> Image:
        """The picture of a figure of matplotlib, or of what is part of one."""
        image = cls(b"", label, disable_updates)
        image._src = image._read(_of_figure, plot)
        return image

    @classmethod
    def from_pil_image(
        cls, pilimage: Any, label: str | None = None, disable_updates: bool = False
    ) -> Image:
        """A picture of Pillow."""
        image = cls(b"", label, disable_updates)
        image._src = image._read(_of_pillow, pilimage)
        return image

    def update(self, image: Any, label: str | None = None) -> None:
        """Show another picture: bytes, a figure or a picture of Pillow."""
        if not self.REALTIME_UPDATABLE:
            return
        read: Callable[[Any], str] = _source
        if hasattr(image, "savefig") or hasattr(image, "get_figure"):
            read = _of_figure
        elif _is_pillow(image):
            read = _of_pillow
        self._src = self._read(read, image)
        self._label = self._label if label is None else label

    def _read(self, read: Callable[[Any], str], image: Any) -> str:
        try:
            found = read(image)
        except CannotBeShown as error:
            self._wrong = str(error)
        except Exception as error:  # noqa: BLE001  (what draws it is a library)
            self._wrong = f"the picture can't be drawn: {type(error).__name__}: {error}"
        else:
            self._wrong = ""
            return found
        return ""

    def _content(self) -> dict[str, Any]:
        if self._wrong:
            raise CannotBeShown(f"Image: {self._wrong}")
        return {"type": "image", "src": self._src, "label": self._label}


def _source(src: Any) -> str:
    if src is None:
        raise CannotBeShown("there is no picture: `src` is None")
    if isinstance(src, Path):
        try:
            src = src.read_bytes()
        except OSError as error:
            raise CannotBeShown(f"{src} can't be read: {error.strerror}") from None
    if isinstance(src, bytes | bytearray | memoryview):
        return _data_uri(bytes(src))
    if isinstance(src, str):
        if not _DATA_URI.match(src):
            raise CannotBeShown(
                "a picture that is text starts with `data:image/png;base64,`; of a file, give its Path"
            )
        return src
    raise CannotBeShown(f"`src` is the bytes of a picture, not a {type(src).__name__}")


def _data_uri(content: bytes) -> str:
    kind = next((name for start, name in _KINDS if content.startswith(start)), None)
    if kind is None and content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "webp"
    if kind is None and _SVG.match(content[:1000]):
        kind = "svg+xml"
    if kind is None:
        raise CannotBeShown(
            "the bytes are no picture: PNG, JPEG, GIF, WebP, BMP and SVG can be shown"
        )
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def _of_figure(plot: Any) -> str:
    figure = plot
    if not hasattr(figure, "savefig") and hasattr(figure, "get_figure"):
        figure = figure.get_figure()
    if not hasattr(figure, "savefig"):
        raise CannotBeShown(
            f"from_matplotlib takes a figure or what is in one, not a {type(plot).__name__}"
        )
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return _data_uri(out.getvalue())


def _of_pillow(image: Any) -> str:
    if not _is_pillow(image):
        raise CannotBeShown(
            f"from_pil_image takes a picture of Pillow, not a {type(image).__name__}"
        )
    out = io.BytesIO()
    try:
        image.save(out, format="PNG")
    except OSError:  # PNG knows no picture of its kind, as of inks for print
        out = io.BytesIO()
        image.convert("RGB").save(out, format="PNG")
    return _data_uri(out.getvalue())


def _is_pillow(image: Any) -> bool:
    return type(image).__module__.partition(".")[0] == "PIL" and hasattr(image, "save")
