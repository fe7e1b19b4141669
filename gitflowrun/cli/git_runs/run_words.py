"""Words of the commands that take several runs: addresses, ranges, and queries in the place of the runs they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound
from gitflowrun.runs.commit_message import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.git.repository import Repository

_BLANKS = " \n\t"
_SIGNS = "=<>"
_STATUSES = frozenset(status.value for status in Status)


def is_query(repo: Repository, word: str) -> bool:
    """Whether a word is a query, such as `lr>0.1`, `failed` or `on:main`.

    No address has a blank, and what else tells a query only where a tag or a flow is called so.
    """
    if any(blank in word for blank in _BLANKS):
        return True
    if any(sign in word for sign in _SIGNS):
        return not _is_address(repo, [part for part in word.split("/") if _has_sign(part)])
    key, colon, _ = word.partition(":")
    if colon and key != "tag":  # `tag:production` is an address
        from gitflowrun.runs.query.grammar import KEYS

        return key in KEYS
    return word in _STATUSES and not _is_address(repo, [word])


def _has_sign(word: str) -> bool:
    return any(sign in word for sign in _SIGNS)


def _is_address(repo: Repository, names: list[str]) -> bool:
    from gitflowrun.runs.lookup.resolve import known_words

    return names[0].startswith("tag:") or not set(known_words(repo)).isdisjoint(names)


def expand_queries(repo: Repository, words: Iterable[str]) -> list[str]:
    """Words, with `Flow/id` of the runs that a query means in its place, the newest first.

    Args:
        repo: The repository.
        words: Addresses, ranges and queries.

    Raises:
        QueryError: a query can't be understood.
        NotFound: no run matches a query.
    """
    found: list[str] = []
    for word in words:
        if is_query(repo, word):
            found += _matching(repo, word)
        else:
            found.append(word)
    return found


def _matching(repo: Repository, query: str) -> list[str]:
    from gitflowrun.runs.query.select import RunQuery, select  # most commands do without

    names = [run.pathspec for run in select(repo, RunQuery(where=query))]
    if not names:
        raise NotFound(f"no run matches {query!r}", hint="`git runs list` shows all runs")
    return names
