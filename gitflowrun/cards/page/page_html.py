"""A card's page: one HTML file with its styles, its scripts and the libraries that it needs.

A page may do nothing but show itself: its policy (Content-Security-Policy) names its own scripts by their digests, so
that no other script runs whatever is in the page, and allows nothing from a network.
"""

from __future__ import annotations

import functools
import hashlib
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.page.part_html import part_html, section_anchor
from gitflowrun.client.display import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MARKDOWN = ("purify.min.js", "marked.min.js")
_CHARTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
_ASSETS = Path(__file__).parents[1] / "assets"
_LISTED = 3  # titled sections from which on a page has a list of them
TOKEN = "[METAFLOW_RELOAD_TOKEN]"  # noqa: S105  (no secret)
"""What stands in a page for the text by which an open one knows that it must be loaded anew."""


def write_page(components: Sequence[Any], title: str, *, live: bool = False) -> str:
    """The HTML of a page.

    Args:
        components: What it shows, as plain data.
        title: What a browser's tab says.
        live: Whether components may come to be shown that are not there yet, by `updates_html`.
    """
    body = "".join(map(part_html, components))
    scripts: list[str] = []
    if live or "data-markdown>" in body or "data-html>" in body:
        scripts += _MARKDOWN
    if 'data-chart="' in body:
        scripts += _CHARTS
    scripts.append("card.js")
    policy = (
        "default-src 'none'; img-src data: blob:; font-src data:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(_digest(name) for name in scripts)}; base-uri 'none'; form-action 'none'"
    )
    inlined = "".join(f"<script>{_asset(name)}</script>\n" for name in scripts)
    return (
        f'<!DOCTYPE html>\n<html lang="en" data-reload-token="{TOKEN}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)}</title>\n<style>{_asset('card.css')}</style>\n</head>\n"
        f"<body>\n{_contents(components)}<main>{body}</main>\n{inlined}</body>\n</html>\n"
    )


def updates_html(components: Mapping[str, Any]) -> dict[str, str]:
    """Components by their ids as what `gitflowrun_card_update` of an open page takes: HTML by id."""
    return {str(name): part_html(part) for name, part in components.items()}


def _contents(components: Sequence[Any]) -> str:
    titles = list(dict.fromkeys(_titles(components)))
    if len(titles) < _LISTED:
        return ""
    rows = "".join(
        f'<li><a href="#{section_anchor(title)}">{escaped(title)}</a></li>' for title in titles
    )
    return f"<nav><ul>{rows}</ul></nav>"


def _titles(components: Any, depth: int = 2) -> Iterator[str]:
    for part in components if isinstance(components, list | tuple) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "section" and part.get("title"):
            yield str(part["title"])
        if depth and part.get("type") == "page":
            yield from _titles(part.get("contents"), depth - 1)


@functools.cache
def _asset(name: str) -> str:
    """A file of `assets/`, as it is put into a page."""
    return (_ASSETS / name).read_text(encoding="utf-8")


@functools.cache
def _digest(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"
