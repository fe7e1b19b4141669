"""Queries as text: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.runs.query import grammar
from gitflowrun.runs.query.grammar import All, Condition, Expression, Not, Operator, parse
from gitflowrun.runs.query.words import MOST_CHARACTERS, QueryError


def shown(expression: Expression) -> str:
    """An expression with all its parentheses."""
    if isinstance(expression, Condition):
        values = ",".join(f'"{it.text}"' if it.is_quoted else it.text for it in expression.values)
        sign = expression.operator.value if expression.operator else ":"
        return f"{expression.name}{'!' if expression.is_negated else ''}{sign}{values}"
    if isinstance(expression, Not):
        return f"not({shown(expression.of)})"
    word = " & " if isinstance(expression, All) else " | "
    return f"({word.join(map(shown, expression.of))})"


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("lr < 0.01 and acc > 0.9 or tag = production", "((lr<0.01 & acc>0.9) | tag=production)"),
        ("a=1 AND (b>=2 Or c<=3)", "(a=1 & (b>=2 | c<=3))"),
        ("not a = 1 and b = 2", "(not(a=1) & b=2)"),
        ("not not (a==1)", "not(not(a=1))"),
        ("a != 1", "a!=1"), ("a in (1, 'x y',3)", 'a=1,"x y",3'), ("a not in (1)", "a!=1"),
        ("name like tree*", "nameliketree*"), ("name not like '*x'", 'name!like"*x"'),
        ("on:main and since:v1.0", "(on:main & since:v1.0)"), ("on:'a branch'", 'on:"a branch"'),
        ("failed and older:7d", "(status=failed & older:7d)"), ("DONE", "status=done"),
        ("learning-rate<1e-3", "learning-rate<1e-3"), ("metric.acc>-1", "metric.acc>-1"),
        ('tag = "it\\"s"', 'tag="it"s"'), ("started > 2026-11-01T12:00", "started>2026-11-01T12:00"),
    ],
)  # fmt: skip
def test_meaning(query: str, meaning: str) -> None:
    """`and` binds closer than `or`, `not` closest; keywords are written in any case."""
    assert shown(parse(query)) == meaning


@pytest.mark.parametrize(
    ("query", "why", "place"),
    [
        ("", "the query is empty", 0), ("   ", "the query is empty", 3), ("a", "'a' alone is no condition", 0),
        ("a <", "a value is missing here", 3), ("a < and", "'and'", 4), ("a = 1 b = 2", "'b' is not expected here", 6),
        ("(a = 1", "a closing parenthesis is missing", 6), ("a = 1)", "')' is not expected here", 5),
        ("a = 'x", "a quote is not closed", 4), ("a ! 1", "'!' means nothing here", 2),
        ("a in 1", "after 'in' come values in parentheses", 5), ("a in (1", "a closing parenthesis is missing", 7),
        ("a b", "'b' follows 'a'", 2), ("and a = 1", "this is 'and', where a condition is expected", 0),
        ("a = 1 and", "the query ends here", 9), ("not", "the query ends here", 3),
        ("filed", "'filed' alone is no condition", 0), ("< 1", "this is '<'", 0),
    ],
)  # fmt: skip
def test_what_means_nothing_is_shown_with_a_mark(query: str, why: str, place: int) -> None:
    """The message has the query, and a mark below the place."""
    if query == "a < and":  # `and` is a value like any other word
        assert shown(parse(query)) == "a<and"
        return
    with pytest.raises(QueryError) as caught:
        parse(query)
    first, line, mark = caught.value.message.split("\n")
    assert why in first
    assert line == f"  {query}"
    assert mark.index("^") == place + 2


def test_a_mistyped_status_is_recognised() -> None:
    """The nearest is named."""
    with pytest.raises(QueryError) as caught:
        parse("faild and a = 1")
    assert "failed" in str(caught.value.hint)


@given(st.text(st.sampled_from("ab1.<>=!()'\"\\, \n\u20acinotrde:-*"), max_size=60))
def test_any_text_is_a_query_or_an_error(query: str) -> None:
    """Nothing else comes of it."""
    with suppress(QueryError):
        parse(query)


def test_limits() -> None:
    """Neither a very long query nor a deep one is read."""
    with pytest.raises(QueryError, match="nested too deeply"):
        parse("(" * (grammar.MOST_NESTED + 1))
    parse("not " * (grammar.MOST_NESTED - 1) + "a = 1")
    with pytest.raises(Exception, match="10,001 characters"):
        parse("a" * (MOST_CHARACTERS + 1))
    long = " and ".join(["a = 1"] * 900)
    assert isinstance(parse(long), All)
    assert Operator.EQUAL.value == "="
