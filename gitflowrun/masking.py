"""`Mask`: what replaces secrets by `***`, in whole texts and in streams that come in pieces.

A secret is looked for as it is and as programs write it: line by line, within JSON, Python's `repr`, HTML or a shell's
quotes, percent-encoded, in hexadecimal, and in base64 wherever it begins within other data. A secret of fewer than
`SHORTEST_SECRET` bytes is not looked for: it would be found everywhere. All that is done is one search for each form,
so the time grows with the length of what is searched and with nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.limits import SEARCHED_PAYLOAD, SEARCHED_PIECE, SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Protocol

    class Secret(Protocol):
        """What has texts that must not be seen."""

        @property
        def texts(self) -> Iterable[bytes]:
            """The texts."""


SHOWN = "***"
_SHOWN = SHOWN.encode()
_ERRORS = "surrogatepass"


class Mask:
    """Finds and replaces the secrets of one run.

    Args:
        secrets: The texts of each secret, by its name.

    Attributes:
        forms: What is looked for in texts, each with the least distance at which it may begin again.
    """

    def __init__(self, secrets: Mapping[str, Iterable[bytes]]) -> None:
        texts = [(text, name) for name, found in secrets.items() for text in found]
        self.forms = {form: _period(form) for text, _ in texts for form in _forms(text)}
        self._stored = {
            form: name for text, name in texts for form in (*_forms(text), *_wide_forms(text))
        }

    @classmethod
    def of(cls, secrets: Mapping[str, Secret]) -> Mask | None:
        """The mask of these secrets; None where none is long enough to be looked for."""
        mask = cls({name: secret.texts for name, secret in secrets.items()}) if secrets else None
        return mask if mask and mask.forms else None

    def within(self, value: Any) -> Any:
        """Lists and maps, whatever they consist of, without secrets in their texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.within(key): self.within(item) for key, item in value.items()}
        return type(value)(map(self.within, value)) if isinstance(value, (list, tuple)) else value

    def text(self, text: str, *, is_cut: bool = False) -> str:
        """A text without secrets.

        Args:
            text: The text.
            is_cut: Whether it may end in the middle of one.
        """
        data = text.encode(errors=_ERRORS)
        spans = self.spans(data)
        if is_cut:
            begun = self.begun(data.removesuffix("…".encode()))
            if begun is not None and len(data) - begun >= SHORTEST_SECRET:
                spans.append((begun, len(data)))
        return _replaced(data, spans).decode(errors="replace") if spans else text

    def find(self, parts: Iterable[memoryview]) -> str | None:
        """The name of a secret that a payload holds, looking at its beginning; None where there is none.

        Args:
            parts: The pieces of the payload; nothing spans two of them.
        """
        left = SEARCHED_PAYLOAD
        for part in parts:
            view = part[:left]
            left -= len(view)
            for piece in _pieces(view, max(map(len, self._stored))):
                for form, name in self._stored.items():
                    if form in piece:
                        return name
        return None

    def stream(self) -> MaskedStream:
        """What masks a stream."""
        return MaskedStream(self)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets are: first byte and the one behind the last."""
        found = []
        for form, period in self.forms.items():
            place = data.find(form)
            while place >= 0:
                found.append((place, place + len(form)))
                place = data.find(form, place + period)
        return found

    def begun(self, data: bytes) -> int | None:
        """Where a secret begins that may go on behind the end of `data`; None where none does."""
        best = None
        for form in self.forms:
            if not data or data[-1] not in form:
                continue
            place = data.find(form[:1], max(0, len(data) - len(form) + 1))
            while place >= 0 and (best is None or place < best):
                if form.startswith(data[place:]):
                    best = place
                place = data.find(form[:1], place + 1)
        return best


class MaskedStream:
    """Masks a stream: what may be the beginning of a secret is held back until more is there.

    Args:
        mask: The secrets.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = b""
        self._covered = 0
        """How much of what is held belongs to a secret that has been replaced already."""

    def feed(self, data: bytes) -> bytes:
        """What may be shown now that `data` was added."""
        buffer = self._held + data if self._held else data
        begun = self._mask.begun(buffer)
        return self._show(buffer, len(buffer) if begun is None else begun)

    def end(self) -> bytes:
        """What was held back, now that the stream has ended."""
        return self._show(self._held, len(self._held))

    def _show(self, buffer: bytes, end: int) -> bytes:
        """What stands in front of `end`; the rest is held."""
        self._held = buffer[end:]
        spans = self._mask.spans(buffer)
        covered, self._covered = self._covered, 0
        if not spans and not covered:
            return buffer[:end]
        self._covered = max(0, *(stop - end for start, stop in spans if start < end), covered - end)
        cut = [(start, min(stop, end)) for start, stop in spans if start < end]
        if not covered:
            return _replaced(buffer[:end], cut)
        return _replaced(buffer[:end], [(0, min(covered, end)), *cut]).removeprefix(_SHOWN)


def _replaced(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The data with each span replaced, those that overlap as one."""
    shown = []
    place = 0
    for start, stop in sorted(spans):
        if start >= place:
            shown += [data[place:start], _SHOWN]
        place = max(place, stop)
    return b"".join([*shown, data[place:]])


def _period(form: bytes) -> int:
    """The least distance at which a text can begin again before it has ended; its length for most."""
    place = form.find(form[:1], 1)
    while place >= 0 and not form.startswith(form[place:]):
        place = form.find(form[:1], place + 1)
    return place if place > 0 else len(form)


def _pieces(view: memoryview, overlap: int) -> Iterator[bytes]:
    """The bytes of a view in pieces, each beginning with the end of the one before."""
    for start in range(0, len(view), SEARCHED_PIECE):
        yield bytes(view[max(0, start - overlap) : start + SEARCHED_PIECE])


def _forms(secret: bytes) -> Iterator[bytes]:
    """A secret and what programs make of it, long ones first."""
    if len(secret.strip()) < SHORTEST_SECRET:
        return iter(())
    found = {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}
    found |= {*_base64(secret), secret.hex().encode(), secret.hex().upper().encode()}
    text = secret.decode(errors="replace")
    if text.encode(errors="replace") == secret and not (text.isascii() and text.isalnum()):
        found |= {form.encode(errors=_ERRORS) for form in _quoted(text)}
    return iter(sorted((it for it in found if len(it) >= SHORTEST_SECRET), key=len, reverse=True))


def _wide_forms(secret: bytes) -> Iterator[bytes]:
    """A secret as arrays of text hold it."""
    text = secret.decode(errors="replace")
    if len(text) >= SHORTEST_SECRET:
        for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
            yield text.encode(encoding, "replace")


def _quoted(text: str) -> Iterator[str]:
    """A text as it stands within literals, documents, addresses and commands."""
    import html
    import json
    import shlex
    from urllib.parse import quote, quote_plus

    for is_ascii in (True, False):
        literal = json.dumps(text, ensure_ascii=is_ascii)
        yield literal[1:-1]
        yield literal[1:-1].replace("/", "\\/")
        yield json.dumps(literal, ensure_ascii=is_ascii)[3:-3]
        yield repr(literal)[2:-2]
    for shown in (repr(text), ascii(text), repr(text + "'\"")[:-3], repr(text.encode())[1:]):
        yield shown[1:-1]
    yield repr(repr(text))[2:-2]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield shlex.quote(text).strip("'")
    for safe in ("", "/", "!*'()~", "!$&'()*+,;=", ":/?#[]@!$&'()*+,;=~"):
        encoded = quote(text, safe=safe)
        yield encoded
        yield "%".join(
            part if not number else part[:2].lower() + part[2:]
            for number, part in enumerate(encoded.split("%"))
        )
    yield quote_plus(text)


def _base64(secret: bytes) -> Iterator[bytes]:
    """What of base64 a secret determines, behind so many bytes of other data that all three ways are there."""
    from base64 import b64encode, urlsafe_b64encode

    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + secret)[first:last]
