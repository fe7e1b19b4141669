"""Scalars: numbers, truth values, None and short texts, whose values manifests list beside where they are stored.

They are what people compare runs by, so whoever lists runs must not load an artifact for each.
"""

from __future__ import annotations

import math
import sys
from typing import Any, TypeGuard

Scalar = bool | int | float | str | None
"""A value of this kind. Integers have at most 64 bits, texts one line."""

SCALAR_TEXT = 200
"""Characters of a text that counts as a scalar: what a cell of a table may say."""
_LARGEST = 2**63


def is_scalar(value: object) -> TypeGuard[Scalar]:
    """Whether a value is exactly of one of the types, and small enough: of subclasses nothing is known."""
    if type(value) is int:
        return -_LARGEST <= value < _LARGEST
    if type(value) is str:
        return len(value) <= SCALAR_TEXT and value.isprintable()
    return value is None or type(value) is bool or type(value) is float


def scalar_of(value: Any) -> tuple[Scalar, ...]:
    """The value of an artifact as manifests have it: itself, alone in a tuple; an empty one where it is no scalar.

    numpy's scalars count as what Python has for them.
    """
    if type(value).__module__ == "numpy":
        # Times are none, of which numpy makes whole numbers.
        if not isinstance(value, sys.modules["numpy"].generic) or value.dtype.kind not in "biufU":
            return ()
        value = value.item()
    return (value,) if is_scalar(value) else ()


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be compared: neither a truth value nor NaN."""
    return type(value) is int or (type(value) is float and not math.isnan(value))
