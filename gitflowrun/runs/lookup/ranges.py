"""Words that name several runs: ranges of numbers, for the commands that take several runs.

    10..20          all runs whose numbers lie between, both ends included
    MyFlow/10..20   those of a flow; MyFlow/10..MyFlow/20 is the same
    10..            from there to the highest number; ..20 up to there

An end is the number of a run, which need not be there, or what else names one run (`production..@latest`), whose number
counts. Runs come in the order of their numbers. Whatever has this form is a range, but what begins with `tag:`:
`tag:a..b` is the tag `a..b`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec, NotFound
from gitflowrun.names import RunId
from gitflowrun.runs.lookup.listing import run_names
from gitflowrun.runs.lookup.resolve import resolve
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitflowrun.git.repository import Repository

_RANGE = re.compile(
    r"(?:(?P<flow>[^\W\d]\w*)/)?(?!tag:)(?P<first>[^/]*?)\.\.(?:(?P<other>[^\W\d]\w*)/)?(?P<last>[^/]*)\Z"
)


@frozen
class RangeWord:
    """A range as it is written.

    Attributes:
        text: All of it.
        flow: The flow that both ends, or one of them, are of; None where none is said.
        first: Where it begins; empty for the first run.
        last: Where it ends; empty for the last run.
    """

    text: str
    flow: str | None
    first: str
    last: str

    @property
    def ends(self) -> tuple[str, str]:
        """The addresses of both ends; empty where none is said."""
        within = f"{self.flow}/" if self.flow else ""
        first, last = (f"{within}{end}" if end else "" for end in (self.first, self.last))
        return first, last


def parse_range(word: str) -> RangeWord | None:
    """The range that a word is; None where it is another address.

    Raises:
        InvalidPathspec: its ends are runs of two flows, or it has no end at all.
    """
    found = _RANGE.match(word)
    if found is None:
        return None
    flow, other = found["flow"], found["other"]
    if flow and other and flow != other:
        raise InvalidPathspec(
            f"{word!r} begins in one flow and ends in another",
            hint=f"write {flow}/{found['first']}..{found['last']} for runs of {flow}",
        )
    if not (found["first"] or found["last"]):
        raise InvalidPathspec(f"{word!r} names no runs", hint="a range is written 10..20 or 10..")
    return RangeWord(word, flow or other, found["first"], found["last"])


def expand(
    repo: Repository,
    words: Iterable[str],
    names: Callable[[], Iterable[tuple[str, RunId]]] | None = None,
) -> list[str]:
    """The words, each once, with `Flow/id` of all runs of a range in the place of the range.

    Args:
        repo: The repository.
        words: Addresses of runs or of parts of them, and ranges.
        names: Tells the runs that ranges choose from; those of the repository when None.

    Raises:
        InvalidPathspec: a range is none, or an end of it is ambiguous.
        NotFound: an end of a range is no run, or no run lies in it.
    """
    found: dict[str, None] = {}
    known: list[tuple[str, RunId]] | None = None
    for word in words:
        wanted = parse_range(word)
        if wanted is None:
            found[word] = None
            continue
        if known is None:
            known = list(names()) if names else run_names(repo)
        found |= dict.fromkeys(_within(repo, wanted, known))
    return list(found)


def _within(repo: Repository, wanted: RangeWord, names: list[tuple[str, RunId]]) -> list[str]:
    """`Flow/id` of the runs of a range, in the order of their numbers."""
    first, last = (_number(repo, wanted, end) for end in (wanted.first, wanted.last))
    highest = max((run.number for _, run in names), default=0)
    first, last = first or 0, highest if last is None else last
    if first > last and wanted.last:
        raise InvalidPathspec(
            f"{wanted.text!r} ends before it begins", hint=f"write {wanted.last}..{wanted.first}"
        )
    inside = [
        (run.sort_key, flow, run)
        for flow, run in names
        if first <= run.number <= last and wanted.flow in {None, flow}
    ]
    if not inside:
        where = f" of flow {wanted.flow}" if wanted.flow else ""
        raise NotFound(f"no run{where} lies in {wanted.text!r}", hint="`git runs` lists all runs")
    return [f"{flow}/{run}" for _, flow, run in sorted(inside)]


def _number(repo: Repository, wanted: RangeWord, end: str) -> int | None:
    """The number at an end of a range; None where none is said."""
    if not end:
        return None
    if RunId.matches(end):
        return RunId(end).number
    try:
        found = resolve(repo, end, wanted.flow)
    except NotFound as error:
        raise NotFound(f"{wanted.text!r}: {error.message}", hint=error.hint) from error
    return found.run.id.number
