"""Tables of runs and tasks for notebooks: HTML of plain texts, everything escaped, and pandas data frames."""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import UsageError
from gitflowrun.unseen import JOINS, UNSAFE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pandas import DataFrame


def title(text: str) -> str:
    """The line above a table."""
    return f"<p><b>{escaped(text)}</b></p>"


def table(heads: Sequence[str], rows: Iterable[Iterable[str]], *, most: int | None = None) -> str:
    """A table of texts, which may come from anybody's run.

    Args:
        heads: The heads of its columns; none for a table without.
        rows: Its rows; no more of them are asked for than are shown, and one.
        most: How many rows to show; all when None.
    """
    shown = list(rows if most is None else islice(rows, most + 1))
    lines = [_row("th", heads)] if heads else []
    lines += (_row("td", row) for row in shown[:most])
    end = "<p>…</p>" if most is not None and len(shown) > most else ""
    return f"<table>{''.join(lines)}</table>{end}"


def _row(kind: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{escaped(cell)}</{kind}>" for cell in cells) + "</tr>"


def preformatted(text: str) -> str:
    """A text whose lines stay as they are."""
    return f"<pre>{escaped(text)}</pre>"


def png(content: bytes) -> str:
    """A picture within the page."""
    return f'<img src="data:image/png;base64,{b64encode(content).decode()}">'


def escaped(text: str) -> str:
    """A text as HTML, with a mark in place of what would hide or reorder it, or command a terminal."""
    if not (text.isascii() and text.isprintable()):
        text = re.sub(UNSAFE, _mark, text)
    return escape(text)


def _mark(match: re.Match[str]) -> str:
    is_seen = match[0] in "\t\n" or re.compile(JOINS).match(match.string, match.start())
    return match[0] if is_seen else "\ufffd"


def time_text(moment: datetime) -> str:
    """A time, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def data_frame(rows: Sequence[dict[str, Any]], leading: Iterable[str]) -> DataFrame:
    """A data frame with a row for each dictionary.

    Args:
        rows: Values by column; a row may lack any.
        leading: The columns that come first, and are there even without rows.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            "to_pandas needs pandas, which is not installed",
            hint="pip install 'gitflowrun[pandas]'",
        ) from error
    names = dict.fromkeys([*leading, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(names))
