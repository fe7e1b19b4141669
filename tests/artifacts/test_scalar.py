"""Which values are scalars, and how manifests have them."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.artifacts.artifacts import listed_value
from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.artifacts.reference import ARTIFACT_REF, ArtifactRef
from gitflowrun.artifacts.scalar import is_number, is_scalar, scalar_of
from gitflowrun.names import TaskName
from gitflowrun.values import replace
from tests.helpers.runs import artifact

SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.none(),
    st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200),
)  # fmt: skip


@given(SCALARS)
def test_a_scalar_goes_through_a_manifest(value: Any) -> None:
    """The value of a scalar comes back as it was, falsy ones too."""
    ref = replace(artifact(b"x", TaskName("end", "1")), scalar=encode(value).scalar)
    (back,) = ARTIFACT_REF.load(ARTIFACT_REF.dump(ref)).scalar
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def _ref_of(value: Any) -> ArtifactRef:
    """The reference to a value as it is stored."""
    encoded = encode(value)
    stored = artifact(b"".join(map(bytes, encoded.parts)), TaskName("end", "1"))
    return replace(stored, codec=encoded.codec, type=encoded.type, scalar=encoded.scalar)


@given(SCALARS)
def test_a_reference_lists_the_value_that_is_stored(value: Any) -> None:
    """It is what the payload decodes to, which need not be read."""
    (listed,) = listed_value(_ref_of(value))
    payload = memoryview(b"".join(map(bytes, encode(value).parts)))
    stored = decode(encode(value).codec, payload, trusted=False, writable=True)
    assert type(listed) is type(stored)
    assert repr(listed) == repr(stored) == repr(value)


@given(SCALARS, SCALARS)
def test_a_reference_that_lists_another_value_is_not_believed(value: Any, other: Any) -> None:
    """Neither one that is equal and of another type: it must be read."""
    forged = replace(_ref_of(value), scalar=(other,))
    same = type(value) is type(other) and encode(value).parts == encode(other).parts
    assert bool(listed_value(forged)) == same


@pytest.mark.parametrize("value", [np.float64(0.5), np.int8(-3), np.True_, [1], b"x", 2**63])
def test_what_is_only_similar_to_its_scalar_is_read(value: Any) -> None:
    """Numpy's scalars are no numbers of Python's."""
    assert listed_value(_ref_of(value)) == ()


@pytest.mark.parametrize(
    ("value", "scalar"),
    [
        (np.float64(0.5), 0.5), (np.float32(0.5), 0.5), (np.int8(-3), -3), (np.True_, True), (np.str_("a"), "a"),
        (np.uint64(7), 7),
    ],
)  # fmt: skip
def test_numpy_scalars_are_what_python_has_for_them(value: Any, scalar: Any) -> None:
    """A mean that numpy has computed is a number as any other."""
    assert scalar_of(value) == (scalar,)
    assert type(scalar_of(value)[0]) is type(scalar)


class _Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        2**63, "x" * 201, "two\nlines", "\x1b[31m", "\ud800", b"bytes", [1], {}, 1j, Decimal(1), _Colour.RED,
        np.zeros(()), np.datetime64("2020-01-01T00:00:00.000000000"), np.uint64(2**63), np.float64, np.finfo("f8"),
        np.sin, np.complex64(1),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_scalar_has_none(value: Any) -> None:
    """Neither large values nor other types, nor subclasses, of which nothing is known."""
    assert scalar_of(value) == ()


@pytest.mark.parametrize("raw", [[], [1, 2], [[1]], [b"x"], [2**63], "x", {"a": 1}, ["\n"]])
def test_what_a_later_release_counts_as_a_scalar_is_none_here(raw: Any) -> None:
    """The rest of the artifact can be read all the same."""
    data = {**ARTIFACT_REF.dump(artifact(b"x", TaskName("end", "1"))), "scalar": raw}
    assert ARTIFACT_REF.load(data).scalar == ()


def test_numbers() -> None:
    """NaN and truth values are none to compare with."""
    found = [value for value in (1, 0.5, True, math.nan, math.inf, "1", None) if is_number(value)]
    assert found == [1, 0.5, math.inf]
    assert is_scalar(math.nan)


@pytest.mark.parametrize("kept", [0, 0.0, False])
@pytest.mark.parametrize("value", [0, 0.0, False])
def test_what_equals_a_scalar_that_was_read_before_is_not_taken_for_it(
    kept: Any, value: Any
) -> None:
    """References of the same payload that differ in nothing but that."""
    first, second = (
        replace(artifact(b"x", TaskName("end", "1")), scalar=(it,)) for it in (kept, value)
    )
    ARTIFACT_REF.load(ARTIFACT_REF.dump(first))
    (back,) = ARTIFACT_REF.load(ARTIFACT_REF.dump(second)).scalar
    assert type(back) is type(value)
