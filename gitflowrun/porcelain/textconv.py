"""Records of runs as text, so that `git diff` and `git show` say what is in them: what git calls a textconv.

git starts a program for each file that has the attribute `diff=runs` and shows what that prints. A line for each kind
of record in `.git/info/attributes` gives it to them, and `diff.runs.textconv` in the repository's config names the
program. Both are made where somebody asks for it and can be taken back. Where the program can't be started, git shows
the ids of the objects, as without it `git diff` would fail.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.codecs import registry
from gitflowrun.errors import CorruptRecord, GitflowrunError
from gitflowrun.git.permissions import add_lines, remove_lines
from gitflowrun.limits import RECORD_SIZE
from gitflowrun.printing import pretty
from gitflowrun.runs import layout
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.git.repository import Repository

_KEY = "diff.runs.textconv"
_PROGRAM = 'f() { git runs textconv "$1" 2>/dev/null || git hash-object --no-filters "$1"; }; f'
_ATTRIBUTES = [f"{pattern} diff=runs".encode() for pattern in layout.RECORD_PATTERNS]
_COLUMNS = 80
_LONGEST = 64
"""Bytes of a binary value that are shown; of a longer one its digest."""


@frozen
class TextconvState:
    """Whether git shows records as text here, whether that has just changed, and why it can't be changed."""

    installed: bool
    changed: bool = False
    reason: str = ""


def textconv_state(repo: Repository) -> TextconvState:
    """Whether git shows records as text here."""
    return TextconvState(_program(repo) == _PROGRAM)


def install_textconv(repo: Repository) -> TextconvState:
    """Have git show records as text. Somebody's own program for that stays."""
    found = _program(repo)
    if found and found != _PROGRAM:
        return TextconvState(installed=False, reason=f"{_KEY} is set to something else")
    add_lines(repo.common_dir / "info" / "attributes", _ATTRIBUTES, repo.shared_mode)
    if not found:
        repo.git.run("config", "--local", _KEY, _PROGRAM)
    return TextconvState(installed=True, changed=not found)


def uninstall_textconv(repo: Repository) -> TextconvState:
    """Take that back."""
    found = _program(repo)
    remove_lines(repo.common_dir / "info" / "attributes", _ATTRIBUTES, repo.shared_mode)
    if found == _PROGRAM:
        repo.git.run("config", "--local", "--unset", _KEY)
        repo.git.attempt("config", "--local", "--remove-section", "diff.runs")
    return TextconvState(installed=False, changed=found == _PROGRAM)


def _program(repo: Repository) -> str:
    done = repo.git.attempt("config", "--local", "--get", _KEY)
    return done.out.decode(errors="replace").removesuffix("\n")


def lines_of(data: bytes, name: str) -> Iterator[str]:
    """The lines that stand for the content of a file: a record, a value, a text, or its size and digest.

    No code of a run is loaded. The lines are a stranger's words, and may have any characters in them.

    Args:
        data: The content.
        name: The file's name, which says whether it is a value.
    """
    if (record := _record(data)) is not None:
        yield from _lines(record, "")
        return
    text = _value(data) if name.endswith(".msgpack") else None
    if text is None:
        text = _text(data)
    yield from (_digest(data) if text is None else text.removesuffix("\n")).split("\n")


def _record(data: bytes) -> dict[str, Any] | None:
    """A map in msgpack without extensions: what all our records are."""
    if not data or len(data) > RECORD_SIZE:
        return None
    try:
        value = msgpack.unpack(data)
    except CorruptRecord:
        return None
    return value if isinstance(value, dict) else None


def _value(data: bytes) -> str | None:
    """A plain value as Python writes it."""
    if not data or len(data) > RECORD_SIZE:
        return None
    try:
        text, is_whole = pretty(registry.decode("plain/1", data, trusted=False), _COLUMNS)
    except GitflowrunError:
        return None
    return text if is_whole else f"{text}\n{_digest(data)}"


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _digest(data: bytes) -> str:
    return f"<{len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}>"


def _lines(value: Any, indent: str) -> Iterator[str]:
    """A record, a line for each value: so a diff has the ones that changed."""
    rows = (
        value.items() if isinstance(value, dict) else ((f"- {n}", it) for n, it in enumerate(value))
    )
    for name, item in rows:
        head = indent + str(name)
        if isinstance(item, dict | list) and item:
            yield f"{head}:"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{head}: {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex() if len(value) <= _LONGEST else _digest(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
