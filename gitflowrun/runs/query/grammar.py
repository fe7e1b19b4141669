"""The grammar of queries, from text to a value that says what is asked.

    query      = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" query ")" | condition
    condition  = NAME ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | ["not"] "like") VALUE
               | NAME ["not"] "in" "(" VALUE ("," VALUE)* ")"
               | KEY ":" VALUE              written as one word: on:main, since:v1.0, older:7d
               | STATUS                     failed, done: short for status = failed
    VALUE      = "text" | 'text' | a word

Keywords are written in any case. A quoted value is a text; a word is what it looks like: a number, a truth value, a
date, a span of time, else a text.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.query.words import QueryError, Word, WordKind, words_of
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_NESTED = 100
"""Levels of parentheses, and of `not`."""


class Operator(Enum):
    """How a field is compared."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "like"


@frozen
class Value:
    """What a field is compared with.

    Attributes:
        text: As it is written.
        word: Where it stands.
        is_quoted: Whether it is a text, whatever it looks like.
    """

    text: str
    word: Word
    is_quoted: bool = False


@frozen
class Condition:
    """A field that is compared with one of some values; `name:value` where it has no operator.

    Attributes:
        name: The field.
        operator: How; EQUAL for `in` and `!=`; None for a key.
        values: With what: one of them must fit.
        word: Where the name stands.
        is_negated: Whether none of them may fit (`!=`, `not in`); a run that has no such value does not match either.
    """

    name: str
    operator: Operator | None
    values: tuple[Value, ...]
    word: Word
    is_negated: bool = False


@frozen
class Not:
    """What is not so."""

    of: Expression


@frozen
class All:
    """What is so if all of it is."""

    of: tuple[Expression, ...]


@frozen
class Any:
    """What is so if any of it is."""

    of: tuple[Expression, ...]


Expression = Condition | Not | All | Any

KEYS = frozenset(
    {"on", "since", "older", "newer", "tag", "flow", "user", "status", "branch", "log"}
)
"""What stands before the colon of `on:main`."""
_STATUSES = frozenset(status.value for status in Status)
_COMPARISONS = {
    **{it.value: (it, False) for it in Operator},
    "==": (Operator.EQUAL, False),
    "!=": (Operator.EQUAL, True),
    "in": (Operator.EQUAL, False),
    "not in": (Operator.EQUAL, True),
    "not like": (Operator.LIKE, True),
}
_KEYWORDS = frozenset({"and", "or", "not", "in", "like"})


def parse(query: str) -> Expression:
    """What a query asks. Raises QueryError."""
    return _Parser(query).parsed()


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._words = words_of(query)
        self._place = 0
        self._depth = 0

    def parsed(self) -> Expression:
        if self._is_end():
            raise self._error("the query is empty", "write a condition, such as: accuracy > 0.9")
        found = self._any()
        if not self._is_end():
            hint = 'put "and" or "or" between two conditions, and quotes around a text of several words'
            raise self._error(f"{self._word.text!r} is not expected here", hint)
        return found

    @property
    def _word(self) -> Word:
        return self._words[self._place]

    def _is_end(self) -> bool:
        return self._word.kind is WordKind.END

    def _next(self) -> Word:
        word = self._word
        self._place += 1
        return word

    def _takes(self, *keywords: str) -> bool:
        """Whether the next words are these; then they are passed."""
        found = self._words[self._place : self._place + len(keywords)]
        same = [word.text.lower() for word in found if word.kind in {WordKind.BARE, WordKind.SIGN}]
        if same != [*keywords]:
            return False
        self._place += len(keywords)
        return True

    def _error(self, why: str, hint: str | None = None) -> QueryError:
        return QueryError(why, self._query, self._word, hint)

    def _any(self) -> Expression:
        return self._chain("or", self._all, Any)

    def _all(self) -> Expression:
        return self._chain("and", self._one, All)

    def _chain(
        self,
        keyword: str,
        part: Callable[[], Expression],
        whole: Callable[[tuple[Expression, ...]], Expression],
    ) -> Expression:
        found = [part()]
        while self._takes(keyword):
            found.append(part())
        return found[0] if len(found) == 1 else whole(tuple(found))

    def _one(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise self._error("this is nested too deeply")
        if self._takes("not"):
            found: Expression = Not(self._one())
        elif self._takes("("):
            found = self._any()
            if not self._takes(")"):
                raise self._error("a closing parenthesis is missing")
        else:
            found = self._condition()
        self._depth -= 1
        return found

    def _condition(self) -> Condition:
        word = self._word
        if word.kind is not WordKind.BARE or word.text.lower() in _KEYWORDS:
            what = "the query ends here" if word.kind is WordKind.END else f"this is {word.text!r}"
            raise self._error(f"{what}, where a condition is expected", "such as: accuracy > 0.9")
        self._next()
        for sign, (operator, is_negated) in _COMPARISONS.items():
            if self._takes(*sign.split()):
                values = self._values() if sign.endswith("in") else (self._value(),)
                return Condition(word.text, operator, values, word, is_negated)
        return self._short(word)

    def _short(self, word: Word) -> Condition:
        """`key:value`, or a status alone."""
        key, colon, text = word.text.partition(":")
        if colon and key in KEYS:
            if not text and self._word.kind is WordKind.TEXT:  # on:"a branch"
                return Condition(key, None, (self._value(),), word)
            if text:
                return Condition(key, None, (Value(text, word),), word)
        if word.text.lower() in _STATUSES:
            return Condition("status", Operator.EQUAL, (Value(word.text.lower(), word),), word)
        from gitflowrun.names import nearest

        close = nearest(word.text.lower(), [*_STATUSES, *(f"{it}:" for it in sorted(KEYS))])
        hint = f"did you mean {close[0]}?" if close else f"such as: {word.text} = 1"
        if self._is_end() or self._word.text.lower() in {"and", "or", ")"}:
            raise QueryError(f"{word.text!r} alone is no condition", self._query, word, hint)
        raise self._error(
            f"{self._word.text!r} follows {word.text!r}, where a comparison is expected",
            "compare with = != < <= > >= like, or in (…)",
        )

    def _value(self) -> Value:
        word = self._word
        if word.kind not in {WordKind.BARE, WordKind.TEXT}:
            raise self._error("a value is missing here", 'such as 0.9, "a text" or 2026-11-01')
        self._next()
        return Value(word.text, word, is_quoted=word.kind is WordKind.TEXT)

    def _values(self) -> tuple[Value, ...]:
        if not self._takes("("):
            raise self._error("after 'in' come values in parentheses", "such as: lr in (0.1, 0.2)")
        found = [self._value()]
        while self._takes(","):
            found.append(self._value())
        if not self._takes(")"):
            raise self._error("a closing parenthesis is missing")
        return tuple(found)
