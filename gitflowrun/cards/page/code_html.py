"""Code and data as HTML: Python with its words marked, JSON as a tree that unfolds."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import TREE_DEPTH, TREE_NODES
from gitflowrun.client.display import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = "|".join(sorted({*keyword.kwlist, "self", "match", "case"}))
_PYTHON = re.compile(
    r"(?P<text>(?i:\b[rbfu]{1,2})?(?:'''(?:\\.|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*'?|\"(?:\\.|[^\"\\\n])*\"?))"
    r"|(?P<note>#[^\n]*)"
    rf"|(?P<word>\b(?:{_WORDS})\b)"
    r"|(?P<name>(?:(?<=def )|(?<=class ))\w+|^[ \t]*@[\w.]+)"
    r"|(?P<number>\b\d[\w.]*)",
    re.DOTALL | re.MULTILINE,
)


def python_html(code: str) -> str:
    """Python code with keywords, texts, comments and numbers marked, for within `<code>`."""
    out: list[str] = []
    at = 0
    for match in _PYTHON.finditer(code):
        out += (
            escaped(code[at : match.start()]),
            f'<i class="{match.lastgroup}">{escaped(match[0])}</i>',
        )
        at = match.end()
    return "".join([*out, escaped(code[at:])])


def json_html(text: str) -> str | None:
    """JSON as a tree that unfolds; None where it is none, or too large for one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    left = [TREE_NODES]
    html = _tree("", value, left, TREE_DEPTH)
    return html if left[0] >= 0 else None


def _tree(name: str, value: Any, left: list[int], depth: int) -> str:
    """A value below its name, which is HTML; `left` counts down, below zero where there are too many."""
    left[0] -= 1
    if left[0] < 0:
        return ""
    if depth <= 0 and isinstance(value, dict | list) and value:
        left[0] = -1
        return ""
    if isinstance(value, dict) and value:
        rows = (
            _tree(f'<span class="key">{escaped(key)}</span>: ', it, left, depth - 1)
            for key, it in value.items()
        )
        return _branch(name + "{", rows, len(value), "}", left, depth)
    if isinstance(value, list) and value:
        rows = (_tree("", it, left, depth - 1) for it in value)
        return _branch(name + "[", rows, len(value), "]", left, depth)
    kind = "text" if isinstance(value, str) else "number" if type(value) in {int, float} else "word"
    return f'{name}<i class="{kind}">{escaped(json.dumps(value, ensure_ascii=False))}</i>'


def _branch(
    head: str, rows: Iterator[str], count: int, end: str, left: list[int], depth: int
) -> str:
    is_open = " open" if depth > TREE_DEPTH - 2 and count <= 30 else ""  # noqa: PLR2004  (a screen)
    inner = "".join(f"<li>{row}</li>" for row in rows if left[0] >= 0)
    items = "item" if count == 1 else "items"
    return (
        f"<details{is_open}><summary>{head}<small> {count} {items} </small>{end}</summary>"
        f"<ul>{inner}</ul></details>"
    )
