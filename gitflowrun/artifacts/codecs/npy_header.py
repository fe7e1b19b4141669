"""The text in which npy files describe an array, and numpy a dtype of fields, parsed by a grammar of its own.

    {'descr': DTYPE, 'fortran_order': BOOL, 'shape': (INT, ...), }

    DTYPE   '<f8', or [FIELD, ...], or (DTYPE, (INT, ...))
    FIELD   (NAME, DTYPE) or (NAME, DTYPE, (INT, ...))
    NAME    'text', or ('title', 'text')

Python's own parser of literals takes hundreds of times the memory of a text, whatever is in it. This one takes
nothing but what is above, and stops where it meets anything else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import CorruptRecord
from gitflowrun.limits import MAX_DEPTH, MAX_DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Callable

SIMPLE = re.compile(r"[<>|=]?[biufcSUVmM][0-9]{0,10}(\[(?:[1-9][0-9]{0,9})?[a-zA-Zμ]{1,8}\])?\Z")
"""A dtype without fields. Of times, numpy would divide by a zero that is written there, and end the process."""
_TOKEN = re.compile(
    r"""\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]{1,20}(?![0-9])|True|False|[][(){},:])"""
)


def parse_header(text: str) -> tuple[Any, bool, tuple[int, ...]]:
    """The dtype's description, the order and the shape that an npy header gives.

    Raises:
        CorruptRecord: it is no such header.
    """
    reader = _Reader(text)
    fields: dict[str, Any] = {}
    values: dict[str, Callable[[], Any]] = {
        "descr": reader.descr, "fortran_order": reader.flag, "shape": reader.shape,
    }  # fmt: skip
    reader.expect("{")
    while not reader.accept("}"):
        name = reader.text()
        reader.expect(":")
        if name in fields or name not in values:
            raise reader.malformed()
        fields[name] = values[name]()
        if not reader.accept(","):
            reader.expect("}")
            break
    reader.end()
    if len(fields) != len(values):
        raise reader.malformed()
    return fields["descr"], fields["fortran_order"], fields["shape"]


def parse_descr(text: str) -> Any:
    """The description of a dtype, as numpy's `descr_to_dtype` takes it. Raises as `parse_header`."""
    if SIMPLE.match(text):
        return text
    reader = _Reader(text)
    found = reader.descr()
    reader.end()
    return found


class _Reader:
    """Reads a text token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self._word = ""
        self._next()

    def malformed(self) -> CorruptRecord:
        return CorruptRecord(f"malformed description of an array: {self._text[:60]!r}")

    def _next(self) -> str:
        """The token that is at hand; the one after it is then."""
        token = self._word
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            if self._text[self._position :].strip():
                raise self.malformed()
            self._word, self._position = "", len(self._text)
        else:
            self._word, self._position = found[0].lstrip(), found.end()
        return token

    def accept(self, token: str) -> bool:
        if self._word != token:
            return False
        self._next()
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.malformed()

    def end(self) -> None:
        if self._word:
            raise self.malformed()

    def text(self) -> str:
        token = self._next()
        if token[:1] not in {"'", '"'}:
            raise self.malformed()
        if "\\" not in token:
            return token[1:-1]
        import ast  # which no header that numpy writes needs

        try:
            return str(ast.literal_eval(token))  # one text: no more than its characters
        except (ValueError, SyntaxError) as error:
            raise self.malformed() from error

    def flag(self) -> bool:
        word = self._next()
        if word not in {"True", "False"}:
            raise self.malformed()
        return word == "True"

    def shape(self) -> tuple[int, ...]:
        sizes: list[int] = []
        self.expect("(")
        while not self.accept(")"):
            token = self._next()
            if not token.isdecimal() or len(sizes) == MAX_DIMENSIONS:
                raise self.malformed()
            sizes.append(int(token))
            if not self.accept(","):
                self.expect(")")
                break
        return tuple(sizes)

    def descr(self) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.malformed()
        if self.accept("["):
            found: Any = self._fields()
        elif self.accept("("):
            base = self.descr()
            self.expect(",")
            found = (base, self.shape())
            self.accept(",")
            self.expect(")")
        else:
            found = self.text()
            if not SIMPLE.match(found):
                raise CorruptRecord(f"malformed dtype {found[:60]!r}")
        self._depth -= 1
        return found

    def _fields(self) -> list[Any]:
        fields = []
        while not self.accept("]"):
            fields.append(self._field())
            if not self.accept(","):
                self.expect("]")
                break
        return fields

    def _field(self) -> tuple[Any, ...]:
        self.expect("(")
        name: Any
        if self.accept("("):
            title = self.text()
            self.expect(",")
            name = (title, self.text())
            self.expect(")")
        else:
            name = self.text()
        self.expect(",")
        descr = self.descr()
        shape = (self.shape(),) if self.accept(",") and self._word == "(" else ()
        self.accept(",")
        self.expect(")")
        return (name, descr, *shape)
