"""Which runs a query means: its expression, as functions of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, NotFound, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.runs.lookup.run_columns import ABSENT
from gitflowrun.runs.lookup.run_index import facts_of, table_of
from gitflowrun.runs.query import grammar
from gitflowrun.runs.query.fields import (
    FIELDS,
    Fits,
    field_of,
    read_duration,
    read_moment,
    scalar_fits,
)
from gitflowrun.runs.query.named import NamedValues, needs_facts, values_of
from gitflowrun.runs.query.text_value import TextValue
from gitflowrun.runs.query.words import QueryError
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_columns import RunTable
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
    from gitflowrun.runs.query.grammar import Condition, Expression, Value

Test = Callable[["Sequence[int]"], "list[int]"]
"""Which of the runs at some places of a table are meant."""


def select_where(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun], query: str
) -> list[RunSummary | DamagedRun]:
    """As `select_rows`, of runs that are given one by one."""
    needs = asks_for_facts(query)
    table = table_of(runs, facts_of(repo, [run.commit for run in runs]) if needs else ())
    found = {*select_rows(repo, table, query).column("name")}
    return [run for run in runs if run.pathspec in found]


def select_rows(repo: Repository, table: RunTable, query: str) -> RunTable:
    """The runs that a query means, in the order in which they are given.

    Args:
        repo: The repository.
        table: The runs that are looked at.
        query: See `grammar`.

    Raises:
        QueryError: the query can't be understood, or asks for what none of the runs has.
    """
    test = _Compiler(repo, query, table).test(grammar.parse(query))
    return table.take(test(range(len(table))))


def asks_for_facts(query: str) -> bool:
    """Whether more than the messages of runs is asked for. Raises QueryError: it can't be understood."""
    return any(map(_needs_facts, conditions(grammar.parse(query))))


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


def _meant(found: NamedValues, fits: Fits) -> Test:
    """The runs of which a value fits."""
    values = found.values
    if any(isinstance(value, tuple) for value in values):
        return lambda places: [it for it in places if any(map(fits, found.at(it)))]
    fits = _remembered(fits)
    return lambda places: [
        it for it in places if (value := values[it]) is not ABSENT and fits(value)
    ]


def _not_meant(found: NamedValues, fits: Fits) -> Test:
    """The runs that have values, of which none fits."""
    return lambda places: [
        it for it in places if (values := _without_nan(found.at(it))) and not any(map(fits, values))
    ]


def _remembered(fits: Fits) -> Fits:
    """The same for texts that are met again and again: to read one as a number takes as long as all else."""
    known: dict[str, bool] = {}

    def fit(value: Any) -> bool:
        if not isinstance(value, TextValue):
            return fits(value)
        found = known.get(value.text)
        if found is None:
            found = known[value.text] = fits(value)
        return found

    return fit


class _Compiler:
    """Makes tests of the expressions of one query.

    Args:
        repo: The repository.
        query: The text, for messages.
        table: The runs that are asked about: what none of them has is taken for a mistake.
    """

    def __init__(self, repo: Repository, query: str, table: RunTable) -> None:
        self._repo = repo
        self._query = query
        self._table = table

    def test(self, expression: Expression) -> Test:
        """Which runs are meant."""
        if isinstance(expression, grammar.Condition):
            return self._condition(expression)
        if isinstance(expression, grammar.Not):
            return _complement(self.test(expression.of))
        tests = [self.test(part) for part in expression.of]
        return _all_of(tests) if isinstance(expression, grammar.All) else _any_of(tests)

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
        found = self._values_of(condition)
        field = field_of(condition.name)
        make = scalar_fits if field is None else field.kind.fits
        fits = [make(operator, value) for value in condition.values]
        if condition.name.lower() == "user" and operator is grammar.Operator.EQUAL:
            fits = [self._person(value) for value in condition.values]
        one = fits[0] if len(fits) == 1 else lambda value: any(fit(value) for fit in fits)
        return _not_meant(found, one) if condition.is_negated else _meant(found, one)

    def _person(self, value: Value) -> Fits:
        wanted = self._repo.readable(value.text).casefold()
        return lambda person: bool(person.casefold() == wanted)

    def _values_of(self, condition: Condition) -> NamedValues:
        try:
            return values_of(condition.name, self._table)
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
        started = FIELDS["started"].of(self._table)
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
            return lambda places: [
                it for it in places if (moment := started[it]) is not None and moment < start
            ]
        return lambda places: [
            it for it in places if (moment := started[it]) is not None and moment >= start
        ]

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
        code = self._table.column("code_commit")
        look = ancestry.descendants if descendants else ancestry.reachable
        there = look(self._repo, {Oid.from_hex(it) for it in {*code} if it is not None}, tip)
        meant = {str(it) for it in there}
        return lambda places: [it for it in places if code[it] in meant]

    def _log(self, text: str) -> Test:
        from gitflowrun.runs.query.output import has_output

        run = self._table.run
        return lambda places: [it for it in places if has_output(self._repo, run(it), text)]


def _complement(test: Test) -> Test:
    def others(places: Sequence[int]) -> list[int]:
        found = {*test(places)}
        return [it for it in places if it not in found]

    return others


def _all_of(tests: Sequence[Test]) -> Test:
    def meant(places: Sequence[int]) -> list[int]:
        for test in tests:  # of what one excludes the next is not asked: output may be long
            places = test(places)
        return [*places]

    return meant


def _any_of(tests: Sequence[Test]) -> Test:
    def meant(places: Sequence[int]) -> list[int]:
        found: set[int] = set()
        for test in tests:
            found.update(test([it for it in places if it not in found]))
        return [it for it in places if it in found]

    return meant
