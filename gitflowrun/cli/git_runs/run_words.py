"""Words of the commands that take several runs: addresses, ranges, and queries in the place of the runs they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.git.repository import Repository

_BLANKS = " \n\t"
_SIGNS = "=<>("


def is_query(repo: Repository, word: str) -> bool:
    """Whether a word is a query: no address has a blank, and a sign of comparison only where a tag has it."""
    if any(blank in word for blank in _BLANKS):
        return True
    return any(sign in word for sign in _SIGNS) and not _is_address(repo, word)


def _is_address(repo: Repository, word: str) -> bool:
    from gitflowrun.runs.lookup.resolve import known_words

    tags = [part for part in word.split("/") if any(sign in part for sign in _SIGNS)]
    return word.startswith("tag:") or not set(known_words(repo)).isdisjoint(tags)


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
