"""Each kind of component as HTML: its plain data in, escaped text out.

The data may be anybody's: what has not the form of its kind is shown as the text that it is, and nothing of it runs.
What a browser has to do is marked by attributes that `assets/card.js` looks for: `data-markdown`, `data-html`,
`data-chart` and `data-copy`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import COMPONENT_DEPTH, FOLDED_TEXT
from gitflowrun.cards.components.component import CannotBeShown, plain
from gitflowrun.cards.page.code_html import json_html, python_html
from gitflowrun.cards.page.graph_svg import graph_html
from gitflowrun.client.display import escaped
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IMAGE = re.compile(
    r"data:image/(?:png|jpeg|jpg|gif|webp|bmp|svg\+xml);base64,\s*[A-Za-z0-9+/=\s]*\Z"
)
_LENGTH = re.compile(r"\d{1,5}(?:\.\d{1,3})?(?:px|rem|em|vh|%)?\Z")
_LONG_VALUE = 8
_WORD = re.compile(r"[^A-Za-z0-9_-]+")


def part_html(part: Any, depth: int = COMPONENT_DEPTH) -> str:
    """A component, or what stands for one, as HTML."""
    if isinstance(part, str):
        return f'<div class="part text">{escaped(part)}</div>'
    kind = part.get("type") if isinstance(part, dict) else None
    write = _KINDS.get(kind) if isinstance(kind, str) else None
    if write is None or depth <= 0:
        return f'<div class="part">{_json("Unknown component", part)}</div>'
    try:
        inner = write(part, depth - 1)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError, OverflowError):
        inner = _json(f"A component of the type {kind} that can't be shown", part)
    name = part.get("id")
    mark = f' data-component="{escaped(str(name))}"' if name else ""
    return f'<div class="part {_WORD.sub("", str(kind))}"{mark}>{_titles(part, str(kind))}{inner}</div>'


def _titles(part: Mapping[str, Any], kind: str) -> str:
    """The titles of kinds that have them and don't show them themselves."""
    if kind not in {"table", "artifacts", "dag", "image"}:
        return ""
    title = f"<h3>{_text(part['title'])}</h3>" if part.get("title") else ""
    return title + (
        f'<p class="quiet">{_text(part["subtitle"])}</p>' if part.get("subtitle") else ""
    )


def _text(value: Any) -> str:
    return escaped(value if isinstance(value, str) else "" if value is None else str(value))


def _json(title: str, part: Any) -> str:
    text = bounded_repr(part)
    return f'<details class="log"><summary>{escaped(title)}</summary><pre>{escaped(text)}</pre></details>'


def json_for_script(value: Any) -> str:
    """A value as JSON within `<script>`: nothing in it ends the script, or a line of it.

    Raises:
        CannotBeShown: it is no JSON.
    """
    text = json.dumps(plain(value), allow_nan=False)  # all but ASCII is escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def folded(text: str) -> str:
    """A text whose lines stay as they are; of a long one the beginning, unless it is unfolded."""
    lines = text.count("\n") + 1
    if len(text) <= FOLDED_TEXT and lines <= 8:  # noqa: PLR2004  (what does not push away the rest)
        return f"<pre>{escaped(text)}</pre>"
    head = " ".join(text[:FOLDED_TEXT].split())
    cut = head[: FOLDED_TEXT // 2]
    return (
        f"<details><summary><code>{escaped(cut)}…</code> <small>{len(text):,} characters</small>"
        f"</summary><pre>{escaped(text)}</pre></details>"
    )


def contents_html(parts: Any, depth: int, columns: Any = None) -> str:
    """Parts one after the other, or beside one another in columns."""
    inner = "".join(part_html(it, depth) for it in (parts if isinstance(parts, list) else [parts]))
    many = columns if type(columns) is int and 1 < columns <= 12 else 0  # noqa: PLR2004
    style = f' style="--columns:{many}"' if many else ""
    return f'<div class="contents{" columns" if many else ""}"{style}>{inner}</div>'


def _page(part: Mapping[str, Any], depth: int) -> str:
    head = f"<h2>{_text(part['title'])}</h2>" if part.get("title") else ""
    if part.get("subtitle"):
        head += f'<p class="quiet">{_text(part["subtitle"])}</p>'
    return head + contents_html(part.get("contents") or [], depth)


def _section(part: Mapping[str, Any], depth: int) -> str:
    title = part.get("title")
    anchor = f' id="{section_anchor(title)}"' if title else ""
    head = f"<h3{anchor}>{_text(title)}</h3>" if title else ""
    if part.get("subtitle"):
        head += f'<p class="quiet">{_text(part["subtitle"])}</p>'
    return head + contents_html(part.get("contents") or [], depth, part.get("columns"))


def section_anchor(title: Any) -> str:
    """Where the section of a title is in the page."""
    return "section-" + (_WORD.sub("-", str(title)).strip("-").lower() or "untitled")


def _title(part: Mapping[str, Any], _depth: int) -> str:
    return f"<h1>{_text(part.get('text'))}</h1>"


def _subtitle(part: Mapping[str, Any], _depth: int) -> str:
    return f"<h4>{_text(part.get('text'))}</h4>"


def _words(part: Mapping[str, Any], _depth: int) -> str:
    return f"<p>{_text(part.get('text'))}</p>"


def _table(part: Mapping[str, Any], depth: int) -> str:
    columns, rows = part.get("columns") or [], part.get("data") or []
    if part.get("vertical"):  # a row for each column
        lines = [
            f'<tr><th scope="row">{_text(name)}</th>'
            + "".join(_cell(row[number], depth) for row in rows if number < len(row))
            + "</tr>"
            for number, name in enumerate(columns)
        ]
        return f'<div class="scroll"><table class="facts">{"".join(lines)}</table></div>'
    first = rows[0] if rows else []
    head = "".join(
        f'<th scope="col"{_NUMBER * (n < len(first) and _is_number(first[n]))}>{_text(it)}</th>'
        for n, it in enumerate(columns)
    )
    head = f"<thead><tr>{head}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{''.join(_cell(it, depth) for it in row)}</tr>" for row in rows if row)
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _cell(value: Any, depth: int) -> str:
    if isinstance(value, dict) and value.get("type") in _KINDS:
        return f"<td>{part_html(value, depth)}</td>"
    if _is_number(value):
        return f"<td{_NUMBER}>{_number(value)}</td>"
    if value is None:
        return '<td class="quiet">None</td>'
    if isinstance(value, str):
        return f"<td>{escaped(value) if len(value) <= FOLDED_TEXT else folded(value)}</td>"
    return f"<td>{escaped(str(value)) if isinstance(value, bool) else folded(bounded_repr(value))}</td>"


_NUMBER = ' class="number"'


def _is_number(value: Any) -> bool:
    return type(value) in {int, float}


def _number(value: float) -> str:
    return escaped(f"{value:.10g}" if isinstance(value, float) else str(value))


def _artifacts(part: Mapping[str, Any], _depth: int) -> str:
    found = part.get("data") or []
    rows = [
        row
        for row in (found.values() if isinstance(found, dict) else found)
        if isinstance(row, dict)
    ]
    named = any(row.get("name") for row in rows)
    lines = []
    for row in rows:
        data = row.get("data")
        value = folded(data if isinstance(data, str) else bounded_repr(data))
        if isinstance(facts := row.get("facts"), str) and facts:
            value += f"<small>{escaped(facts)}</small>"
        if isinstance(src := row.get("picture"), str) and _IMAGE.match(src):
            value += f'<img alt="{_text(row.get("name"))}" src="{escaped(src)}">'
        name = f'<th scope="row"><code>{_text(row.get("name"))}</code></th>' if named else ""
        lines.append(
            f'<tr>{name}<td class="type">{_text(row.get("type"))}</td><td>{value}</td></tr>'
        )
    return (
        f'<div class="scroll"><table class="values"><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _dag(part: Mapping[str, Any], _depth: int) -> str:
    data = part.get("data") or {}
    steps: dict[str, Any] = data["steps"] if isinstance(data.get("steps"), dict) else data
    rows = {str(name): row for name, row in steps.items() if isinstance(row, dict)}
    following = {
        name: [str(it) for it in row.get("next") or [] if isinstance(it, str)]
        for name, row in rows.items()
    }
    kinds = {name: str(row.get("type") or "") for name, row in rows.items()}
    docs = "".join(
        f"<dt><code>{escaped(name)}</code></dt><dd>{escaped(str(row['doc']))}</dd>"
        for name, row in rows.items()
        if row.get("doc")
    )
    told = f'<dl class="docs">{docs}</dl>' if docs else ""
    drawing = graph_html(following, kinds, data.get("here"))
    return f'<div class="beside"><div class="scroll">{drawing}</div>{told}</div>'


def _image(part: Mapping[str, Any], _depth: int) -> str:
    src = str(part.get("src") or "")
    if not _IMAGE.match(src):
        return '<pre class="log">a picture that is no data of a picture</pre>'
    label = part.get("label")
    below = f"<figcaption>{_text(label)}</figcaption>" if label else ""
    return (
        f'<figure><img alt="{_text(label)}" src="{escaped("".join(src.split()))}">{below}</figure>'
    )


def _log(part: Mapping[str, Any], _depth: int) -> str:
    return f'<pre class="message">{_text(part.get("data"))}</pre>'


def _markdown(part: Mapping[str, Any], _depth: int) -> str:
    return f'<div class="prose" data-markdown><pre>{_text(part.get("source"))}</pre></div>'


def _html(part: Mapping[str, Any], _depth: int) -> str:
    return f'<div class="prose" data-html><pre>{_text(part.get("data"))}</pre></div>'


def _python(part: Mapping[str, Any], _depth: int) -> str:
    code = part.get("data")
    inner = python_html(code) if isinstance(code, str) else _text(code)
    return f'{_COPY}<pre class="code"><code>{inner}</code></pre>'


_COPY = '<button type="button" class="copy" data-copy hidden>Copy</button>'


def _chart(part: Mapping[str, Any], _depth: int) -> str:
    options = part.get("options")
    quiet = isinstance(options, dict) and options.get("actions") is False
    spec = part.get("spec")
    if not isinstance(spec, dict):
        raise TypeError("the specification of a chart")
    try:
        text = json_for_script(spec)
    except CannotBeShown as error:
        raise TypeError(str(error)) from None
    return (
        f'<div data-chart="{"plain" if quiet else "menu"}"><script type="application/json">{text}</script>'
        '<noscript>This chart is drawn by a script.</noscript><div class="drawing"></div></div>'
    )


def _progress(part: Mapping[str, Any], _depth: int) -> str:
    value, most = part.get("value"), part.get("max")
    label, unit, details = (part.get(it) for it in ("label", "unit", "details"))
    share: float | None = None
    if isinstance(value, int | float) and isinstance(most, int | float) and most > 0:
        share = min(max(value / most, 0.0), 1.0)
    numbers = f"{_text(value)} / {_text(most)}{' ' + _text(unit) if unit else ''}"
    bar = (
        "<progress></progress>"
        if share is None
        else f'<progress max="1" value="{share:.4f}"></progress>'
    )
    percent = "" if share is None else f"<b>{share:.0%}</b> "
    more = f'<div class="quiet">{_text(details)}</div>' if details else ""
    name = f'<span class="label">{_text(label)}</span>' if label else ""
    return (
        f'<div class="bar">{name}<span class="numbers">{percent}{numbers}</span>{bar}</div>{more}'
    )


def _value_box(part: Mapping[str, Any], _depth: int) -> str:
    theme = _WORD.sub("", str(part.get("theme") or "default"))
    change, value = str(part.get("change_indicator") or ""), str(part.get("value"))
    way = {"+": "up", "-": "down", "\u2212": "down"}.get(change.strip()[:1], "")
    pieces = [
        f'<div class="name">{_text(part.get("title"))}</div>' if part.get("title") else "",
        f'<div class="value{" long" if len(value) > _LONG_VALUE else ""}">{escaped(value)}</div>',
        f'<div class="quiet">{_text(part.get("subtitle"))}</div>' if part.get("subtitle") else "",
        f'<div class="change {way}">{_text(change)}</div>' if change else "",
    ]
    return f'<div class="box {theme}">{"".join(pieces)}</div>'


def _events(part: Mapping[str, Any], depth: int) -> str:
    rows = [_event(it, depth) for it in part.get("events") or [] if isinstance(it, dict)]
    stats = part.get("stats") or {}
    total = stats.get("total_events")
    shown = (
        f"{len(rows)} of {total} events"
        if isinstance(total, int) and total != len(rows)
        else (f"{len(rows)} event{'s' * (len(rows) != 1)}")
    )
    said = [shown, "finished" if stats.get("finished") else ""]
    minute, seconds = stats.get("events_per_minute"), stats.get("total_runtime_seconds")
    if isinstance(minute, int | float) and isinstance(seconds, int | float) and seconds >= 1:
        said.insert(1, f"{minute:,.1f} per minute")
    head = f"<h4>{_text(part.get('title'))}</h4>" if part.get("title") else ""
    told = f'<p class="quiet">{escaped(", ".join(filter(None, said)))}</p>'
    return f'{head}{told}<ol class="events">{"".join(rows)}</ol>'


def _event(event: Mapping[str, Any], depth: int) -> str:
    metadata = event.get("metadata") or {}
    theme = _WORD.sub("", str(event.get("style_theme") or "default"))
    facts = "".join(
        f"<dt>{escaped(str(name))}</dt><dd>{_fact(value, depth)}</dd>"
        for name, value in metadata.items()
        if name != "timestamp"
    )
    priority = event.get("priority")
    mark = f'<span class="priority">{_text(priority)}</span>' if priority else ""
    payloads = "".join(
        f"<details open><summary>{escaped(str(name))}</summary>{part_html(it, depth)}</details>"
        for name, it in (event.get("payloads") or {}).items()
    )
    return f'<li class="{theme}">{_moment(metadata.get("timestamp"))}{mark}<dl>{facts}</dl>{payloads}</li>'


def _fact(value: Any, depth: int) -> str:
    if isinstance(value, dict) and value.get("type") in _KINDS:
        return part_html(value, depth)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return escaped(text) if len(text) <= FOLDED_TEXT else folded(text)


def _moment(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return f"<time>{_text(seconds)}</time>"
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"<time>{_text(seconds)}</time>"
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'


def _viewer(part: Mapping[str, Any], _depth: int) -> str:
    is_json = part.get("type") == "jsonViewer"
    text = str(part.get("json_string" if is_json else "yaml_string") or "")
    tree = json_html(text) if is_json else None
    height = str(part.get("max_height") or "")
    limit = ""
    if _LENGTH.match(height):
        limit = f' style="max-height:{height}{"px" if height.replace(".", "").isdigit() else ""}"'
    inner = f'<pre class="code"{limit}>{escaped(text)}</pre>'
    if tree:
        inner = f'<div class="tree"{limit}>{tree}</div>'
    if part.get("show_copy_button"):
        inner = f'{_COPY}<pre class="source" hidden>{escaped(text)}</pre>{inner}'
    title = _text(part.get("title"))
    if part.get("collapsible"):
        return f"<details open><summary>{title}</summary>{inner}</details>"
    return f"<h4>{title}</h4>{inner}"


_KINDS: dict[str, Callable[[Mapping[str, Any], int], str]] = {
    "artifacts": _artifacts,
    "dag": _dag,
    "eventsTimeline": _events,
    "html": _html,
    "image": _image,
    "jsonViewer": _viewer,
    "log": _log,
    "markdown": _markdown,
    "page": _page,
    "progressBar": _progress,
    "pythonCode": _python,
    "section": _section,
    "subtitle": _subtitle,
    "table": _table,
    "text": _words,
    "title": _title,
    "valueBox": _value_box,
    "vegaChart": _chart,
    "yamlViewer": _viewer,
}
