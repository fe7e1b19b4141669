"""The words of a query: names, numbers, texts and signs, each with its place in the text."""

from __future__ import annotations

import re
from enum import Enum

from gitflowrun.errors import UsageError
from gitflowrun.values import frozen

MOST_CHARACTERS = 10_000
"""Of a query: what people, and programs that make queries for them, write is shorter."""


class WordKind(Enum):
    """What a word is. Of a bare word only what stands around it says whether it is a name or a value."""

    BARE = "word"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


@frozen
class Word:
    """A word of a query.

    Attributes:
        kind: What it is.
        text: Itself; of a quoted text, what is between the quotes.
        start: Where it begins, in characters.
        end: Where it ends.
    """

    kind: WordKind
    text: str
    start: int
    end: int


class QueryError(UsageError):
    """A query that can't be understood; the message shows where.

    Args:
        why: What is wrong.
        query: All of the query.
        word: Where.
        hint: What to write instead.
    """

    def __init__(self, why: str, query: str, word: Word, hint: str | None = None) -> None:
        # A query of several lines, as a shell takes it, is shown as one, so that the mark stands below its place.
        line = "".join(char if char.isprintable() else " " for char in query)
        mark = " " * word.start + "^" + "~" * (word.end - word.start - 1)
        super().__init__(f"{why}\n  {line}\n  {mark}", hint=hint)


_PATTERN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign><=|>=|==|!=|[=<>(),])
      | (?P<bare>[^\s"'=<>!(),]+)
      | (?P<wrong>\S)
    )""",
    re.VERBOSE | re.DOTALL,
)


def words_of(query: str) -> list[Word]:
    """The words of a query, and one for its end.

    Raises:
        QueryError: a quote is not closed, or a sign means nothing.
        UsageError: it is too long.
    """
    if len(query) > MOST_CHARACTERS:
        raise UsageError(
            f"the query has {len(query):,} characters", hint=f"at most {MOST_CHARACTERS:,} are read"
        )
    words, place = [], 0
    while match := _PATTERN.match(query, place):
        place = match.end()
        group = match.lastgroup or ""
        text, start = match[group], match.start(group)
        if group == "wrong":
            word = Word(WordKind.SIGN, text, start, start + 1)
            if text in "\"'":
                raise QueryError("a quote is not closed", query, word)
            raise QueryError(f"{text!r} means nothing here", query, word, "write != for unequal")
        if group == "text":
            text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        words.append(Word(WordKind[group.upper()], text, start, place))
    words.append(Word(WordKind.END, "", len(query), len(query) + 1))
    return words
