"""`git runs list` with options: what its words mean. The table is in `run_table`, which needs no click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.cli.git_runs.look.run_table import ListView, list_runs
from gitflowrun.errors import UsageError
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.query.select import RunQuery
from gitflowrun.values import field_names

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILTERS = frozenset(field_names(RunQuery))


def print_list(words: Sequence[str], *, where: str | None, as_json_: bool, **options: Any) -> None:
    """List runs, newest first; only those of a flow, or that a query means, when words say so."""
    flow, query = flow_and_query(words, where)
    filters = {name: value for name, value in options.items() if name in _FILTERS}
    view = {name: value for name, value in options.items() if name not in _FILTERS}
    list_runs(RunQuery(flow=flow, where=query, **filters), ListView(json=as_json_, **view))


def print_trash(words: Sequence[str], *, as_json_: bool) -> None:
    """List the runs in the trash; only those of a flow when it is given."""
    from gitflowrun.cli.git_runs.remove.removal import list_trash

    flow, query = flow_and_query(words)
    if query is not None:
        raise UsageError(
            "the trash can't be asked by a query", hint="git runs list --trash --json has all of it"
        )
    list_trash(as_json_=as_json_, flow=flow)


def flow_and_query(words: Sequence[str], where: str | None = None) -> tuple[str | None, str | None]:
    """What words beside a verb mean: a flow, and a query. A word that is a status is one."""
    first, rest = (words[0], words[1:]) if words else ("", ())
    is_flow = first.isidentifier() and first not in {it.value for it in Status}
    said = " ".join(rest if is_flow else words)
    parts = [part for part in (said, where) if part]
    query = f"({said}) and ({where})" if len(parts) > 1 else "".join(parts) or None
    return first if is_flow else None, query
