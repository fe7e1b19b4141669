"""Which runs a query means: its expression, as functions of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound, UsageError
from gitflowrun.runs.lookup.facts import NO_FACTS, facts_of
from gitflowrun.runs.lookup.summary import RunSummary
from gitflowrun.runs.query import grammar
from gitflowrun.runs.query.fields import (
    FIELDS,
    Fits,
    read_duration,
    read_moment,
    scalar_fits,
)
from gitflowrun.runs.query.named import Values, needs_facts, values_of
from gitflowrun.runs.query.row import Row
from gitflowrun.runs.query.words import QueryError
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.summary import DamagedRun
    from gitflowrun.runs.query.grammar import Condition, Expression, Value

Test = Callable[[Row], bool]


def select_where(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun], query: str
) -> list[RunSummary | DamagedRun]:
    """The runs that a query means, in the order in which they are given.

    Args:
        repo: The repository.
        runs: The runs that are looked at.
        query: See `grammar`.

    Raises:
        QueryError: the query can't be understood, or asks for what none of the runs has.
    """
    expression = grammar.parse(query)
    needs = any(map(_needs_facts, conditions(expression)))
    facts = facts_of(repo, [run.commit for run in runs]) if needs else [NO_FACTS] * len(runs)
    rows = [Row(run, it) for run, it in zip(runs, facts, strict=True)]
    test = _Compiler(repo, query, rows).test(expression)
    return [row.run for row in rows if test(row)]


def conditions(expression: Expression) -> Iterable[Condition]:
    """All conditions of an expression."""
    if isinstance(expression, grammar.Condition):
        yield expression
        return
    parts = expression.of if isinstance(expression.of, tuple) else (expression.of,)
    for part in parts:
        yield from conditions(part)


def _needs_facts(condition: Condition) -> bool:
    return needs_facts(condition.name) if condition.operator else condition.name == "branch"


def _without_nan(values: Sequence[Any]) -> Sequence[Any]:
    return [value for value in values if value == value]  # noqa: PLR0124


class _Compiler:
    """Makes tests of the expressions of one query.

    Args:
        repo: The repository.
        query: The text, for messages.
        rows: The runs that are asked about: what none of them has is taken for a mistake.
    """

    def __init__(self, repo: Repository, query: str, rows: Sequence[Row]) -> None:
        self._repo = repo
        self._query = query
        self._rows = rows

    def test(self, expression: Expression) -> Test:
        """Whether a run is meant."""
        if isinstance(expression, grammar.Condition):
            return self._condition(expression)
        if isinstance(expression, grammar.Not):
            inner = self.test(expression.of)
            return lambda row: not inner(row)
        tests = [self.test(part) for part in expression.of]
        if isinstance(expression, grammar.All):
            return lambda row: all(test(row) for test in tests)
        return lambda row: any(test(row) for test in tests)

    def _condition(self, condition: Condition) -> Test:
        try:
            if condition.operator is None:
                return self._key(condition.name, condition.values[0])
            return self._comparison(condition, condition.operator)
        except QueryError:
            raise
        except GitflowrunError as error:
            word = condition.values[0].word
            raise QueryError(error.message, self._query, word, error.hint) from error

    def _comparison(self, condition: Condition, operator: grammar.Operator) -> Test:
        found_of = self._values_of(condition)
        field = FIELDS.get(condition.name.lower())
        make = scalar_fits if field is None else field.kind.fits
        fits = [make(operator, value) for value in condition.values]
        if condition.name.lower() == "user" and operator is grammar.Operator.EQUAL:
            fits = [self._person(value) for value in condition.values]
        if condition.is_negated:
            return lambda row: (
                bool(found := _without_nan(found_of(row)))
                and not any(fit(value) for value in found for fit in fits)
            )
        return lambda row: any(fit(value) for value in found_of(row) for fit in fits)

    def _person(self, value: Value) -> Fits:
        wanted = self._repo.readable(value.text).casefold()
        return lambda person: bool(person.casefold() == wanted)

    def _values_of(self, condition: Condition) -> Values:
        try:
            return values_of(condition.name, self._rows)
        except UsageError as error:
            raise QueryError(error.message, self._query, condition.word, error.hint) from error

    def _key(self, key: str, value: Value) -> Test:
        """`key:value`."""
        if key == "on":
            return self._history(value.text, descendants=False)
        if key in {"since", "newer", "older"}:
            return self._age(key, value)
        if key == "log":
            return self._log(value.text)
        quoted = replace(value, is_quoted=True)
        same = grammar.Condition(key, grammar.Operator.EQUAL, (quoted,), value.word)
        return self._comparison(same, grammar.Operator.EQUAL)

    def _age(self, key: str, value: Value) -> Test:
        """Since a time, or the commit of a revision; newer or older than a span of time, or a moment."""
        started = FIELDS["started"].of
        ago = read_duration(value.text)
        found = read_moment(value.text) if ago is None or value.text.isdigit() else None
        if ago is not None and found is None:
            found = read_moment(f"{value.text}{'d' if value.text.isdigit() else ''}")
        if found is None:
            if key != "since":
                raise UsageError(f"{value.text!r} is no time", hint="such as 7d or 2026-11-01")
            return self._history(value.text, descendants=True)
        start = found[0]
        if key == "older":
            return lambda row: (moment := started(row)) is not None and moment < start
        return lambda row: (moment := started(row)) is not None and moment >= start

    def _history(self, revision: str, *, descendants: bool) -> Test:
        """Whether the code's commit is in the history of a revision, or that one in its history."""
        from gitflowrun.git import ancestry  # loads libgit2

        try:
            tip = ancestry.commit_of(self._repo, revision)
        except NotFound as error:
            hint = (
                error.hint
                if not descendants
                else "give a date, such as 7d or 2026-11-01, or a revision"
            )
            raise UsageError(error.message, hint=hint) from error
        known = [row.run for row in self._rows if isinstance(row.run, RunSummary)]
        commits: set[Oid] = {
            run.state.code_commit for run in known if run.state.code_commit is not None
        }
        look = ancestry.descendants if descendants else ancestry.reachable
        there = look(self._repo, commits, tip)
        return lambda row: isinstance(row.run, RunSummary) and row.run.state.code_commit in there

    def _log(self, text: str) -> Test:
        from gitflowrun.runs.query.output import has_output

        return lambda row: has_output(self._repo, row.run, text)
