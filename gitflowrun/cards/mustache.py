"""Templates of Mustache, which types of cards use: a template's text and data become text.

Variables, escaped and not, sections, inverted ones, comments, partials and dotted names; delimiters are `{{` and
`}}` and can't be changed. See mustache(5).
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import PARTIALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TAG = re.compile(
    r"(?P<alone>^[ \t]*(?=\{\{[#^/!>][^{}]*\}\}[ \t]*(?:\r?\n|\Z)))?"
    r"(?:\{\{\{(?P<raw>[^{}]*)\}\}\}|\{\{(?P<kind>[#^/!>&]?)(?P<name>[^{}]*)\}\})",
    re.MULTILINE,
)
_END_OF_LINE = re.compile(r"[ \t]*\r?\n?")


def render(
    template: str = "", data: Any = None, partials_dict: Mapping[str, str] | None = None, **_: Any
) -> str:
    """A template filled in.

    Args:
        template: The template.
        data: What its tags name.
        partials_dict: Templates that it includes, by name.

    Raises:
        ValueError: a section has no end, or there is an end of none.
    """
    nodes = _parse(template)
    return _fill(nodes, [{} if data is None else data], partials_dict or {}, PARTIALS)


def _parse(template: str) -> list[Any]:
    """Texts, and tuples of a tag's kind, its name and what is in it."""
    stack: list[tuple[str, str, list[Any]]] = [("", "", [])]
    at = 0
    for match in _TAG.finditer(template):
        if match.start() < at:
            continue
        nodes = stack[-1][2]
        nodes.append(template[at : match.start()])
        at = match.end()
        if match["alone"] is not None:
            end = _END_OF_LINE.match(template, at)
            at = end.end() if end else at
        kind = "&" if match["raw"] is not None else match["kind"]
        name = (match["raw"] if match["raw"] is not None else match["name"]).strip()
        if kind in {"#", "^"}:
            stack.append((kind, name, []))
        elif kind == "/":
            opened, expected, inner = stack.pop()
            if not opened or expected != name:
                msg = f"the template ends a section {name!r} that has not begun"
                raise ValueError(msg)
            stack[-1][2].append((opened, name, inner))
        elif kind != "!":
            nodes.append((kind, name, []))
    if len(stack) > 1:
        msg = f"the section {stack[-1][1]!r} of the template has no end"
        raise ValueError(msg)
    return [*stack[0][2], template[at:]]


def _fill(nodes: Sequence[Any], scopes: list[Any], partials: Mapping[str, str], depth: int) -> str:
    out = []
    for node in nodes:
        if isinstance(node, str):
            out.append(node)
            continue
        kind, name, inner = node
        if kind == ">":
            text = partials.get(name, "") if depth else ""
            out.append(_fill(_parse(text), scopes, partials, depth - 1))
            continue
        value = _look_up(name, scopes)
        if kind == "#":
            items = value if isinstance(value, list | tuple) else [value] if value else []
            out += (_fill(inner, [*scopes, item], partials, depth) for item in items)
        elif kind == "^":
            out.append("" if value else _fill(inner, scopes, partials, depth))
        else:
            text = "" if value is None else str(value)
            out.append(text if kind == "&" else escape(text))
    return "".join(out)


def _look_up(name: str, scopes: Sequence[Any]) -> Any:
    if name == ".":
        return scopes[-1]
    first, *others = name.split(".")
    for scope in reversed(scopes):
        found = _part(scope, first)
        if found is not None:
            for other in others:
                found = _part(found, other)
            return found
    return None


def _part(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list | tuple):
        return value[int(name)] if name.isdigit() and int(name) < len(value) else None
    return getattr(value, name, None)
