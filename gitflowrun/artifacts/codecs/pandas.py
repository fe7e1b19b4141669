"""pandas' DataFrame, Series and Index as an Arrow table and a recipe. Single columns are `pandas_columns`'.

Kept: the order and names of columns (any labels, repeated ones too), the index with its names, levels and
frequency, dtypes, categories and their order, time zones, `attrs`. Arrow's columns are named like pandas',
for readers that know nothing of us. Periods, intervals and sparse columns are left to pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gitflowrun.artifacts.codecs.arrow import write_table
from gitflowrun.artifacts.codecs.pandas_columns import (
    Memory,
    Recipe,
    decode_column,
    encode_column,
    whole,
)
from gitflowrun.artifacts.codecs.payload import Loading, Unencodable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["decode_pandas", "encode_pandas"]

_FRAME, _SERIES, _INDEX = "pandas.DataFrame", "pandas.Series", "pandas.Index"
_INDEXES = frozenset(
    {
        pd.Index,
        pd.RangeIndex,
        pd.DatetimeIndex,
        pd.TimedeltaIndex,
        pd.CategoricalIndex,
        pd.MultiIndex,
    }
)
_WITH_FREQUENCY = (pd.DatetimeIndex, pd.TimedeltaIndex)


class _Columns:
    """The Arrow columns of a table under way; recipes refer to them by position."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.arrays: list[Any] = []

    def add(self, name: object, array: Any) -> int | None:
        if array is None:
            return None
        self.names.append(str(name))
        self.arrays.append(array)
        return len(self.arrays) - 1

    def parts(self, recipe: dict[str, Any]) -> tuple[memoryview, ...]:
        return write_table(pa.Table.from_arrays(self.arrays, names=self.names), recipe)


def encode_pandas(value: Any) -> tuple[memoryview, ...]:
    """The parts of a frame's, series' or index's Arrow file."""
    columns = _Columns()
    if isinstance(value, pd.Index):
        return columns.parts({"kind": _INDEX, "index": _encode_index(value, columns)})
    if not value.flags.allows_duplicate_labels:
        raise Unencodable("a frame that forbids duplicate labels")
    recipe: dict[str, Any] = {"attrs": dict(value.attrs)}
    if isinstance(value, pd.Series):
        array, how = encode_column(value)
        name = "values" if value.name is None else value.name
        recipe |= {"kind": _SERIES, "name": value.name, "data": [[columns.add(name, array), how]]}
    else:
        data = []
        for position, label in enumerate(value.columns):
            array, how = encode_column(value.iloc[:, position])
            data.append([columns.add(label, array), how])
        labels = b"".join(encode_pandas(value.columns))
        recipe |= {"kind": _FRAME, "data": data, "columns": labels}
    recipe["index"] = _encode_index(value.index, columns)
    return columns.parts(recipe)


def _encode_index(index: Any, columns: _Columns) -> Recipe:
    if type(index) not in _INDEXES:
        raise Unencodable(f"a {type(index).__name__}")
    if isinstance(index, pd.MultiIndex):
        return _encode_levels(index, columns)
    if isinstance(index, pd.RangeIndex):
        return ["range", index.start, index.stop, index.step, index.name]
    array, how = encode_column(index)
    position = columns.add("index" if index.name is None else index.name, array)
    return ["column", position, how, index.name, _frequency(index)]


def _frequency(index: Any) -> str | None:
    """Its frequency by name, where that says all of it: a calendar of holidays has a name, too."""
    if not isinstance(index, _WITH_FREQUENCY) or index.freq is None:
        return None
    name: str = index.freqstr
    try:
        is_named = pd.tseries.frequencies.to_offset(name) == index.freq
    except ValueError:
        is_named = False
    if not is_named:
        raise Unencodable(f"an index of frequency {name}, which is more than its name")
    return name


def _encode_levels(index: Any, columns: _Columns) -> Recipe:
    """A MultiIndex: each level a dictionary, its codes the column."""
    levels = []
    for number, (level, codes) in enumerate(zip(index.levels, index.codes, strict=True)):
        dictionary, how = encode_column(level)
        if dictionary is None or isinstance(dictionary, pa.DictionaryArray):
            raise Unencodable("a MultiIndex level of Python objects or categories")
        array = pa.DictionaryArray.from_arrays(
            pa.array(np.asarray(codes), mask=np.asarray(codes) < 0), dictionary
        )
        name = index.names[number]
        position = columns.add(f"level_{number}" if name is None else name, array)
        levels.append([position, how, _frequency(level)])
    return ["levels", levels, list(index.names)]


def decode_pandas(
    table: Any, recipe: Mapping[str, Any], loading: Loading, payload: memoryview
) -> Any:
    """The value that `encode_pandas` took apart."""
    memory = Memory(payload, loading)
    index = _decode_index(table, recipe["index"], memory)
    if recipe["kind"] == _INDEX:
        return index
    data = [
        _series(decode_column(_column(table, position), how, memory), index)
        for position, how in recipe["data"]
    ]
    if recipe["kind"] == _SERIES:
        value = data[0].rename(recipe["name"])
        value.name = recipe["name"]
    else:
        value = pd.DataFrame(dict(enumerate(data)), index=index, copy=False)
        value.columns = _decode_labels(recipe["columns"], loading)
    value.attrs = dict(recipe["attrs"])
    return value


def _series(values: Any, index: Any) -> Any:
    return pd.Series(values, index=index, dtype=values.dtype, copy=False)


def _decode_labels(payload: bytes, loading: Loading) -> Any:
    from gitflowrun.artifacts.codecs.arrow import decode_arrow

    return decode_arrow(memoryview(payload), loading)


def _column(table: Any, position: int | None) -> Any:
    return None if position is None else table.column(position)


def _decode_index(table: Any, recipe: Recipe, memory: Memory) -> Any:
    kind, *details = recipe
    if kind == "range":
        start, stop, step, name = details
        return pd.RangeIndex(start, stop, step, name=name)
    if kind == "levels":
        return _decode_levels(table, details, memory)
    position, how, name, frequency = details
    values = decode_column(_column(table, position), how, memory)
    return _flat_index(values, name, frequency)


def _flat_index(values: Any, name: Any, frequency: str | None) -> Any:
    index = pd.Index(values, dtype=values.dtype, name=name, copy=False)
    if frequency is not None:
        index.freq = frequency
    return index


def _decode_levels(table: Any, details: Recipe, memory: Memory) -> Any:
    levels, codes = [], []
    for position, how, frequency in details[0]:
        array = whole(table.column(position))
        values = decode_column(array.dictionary, how, memory)
        levels.append(_flat_index(values, None, frequency))
        codes.append(array.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    return pd.MultiIndex(levels=levels, codes=codes, names=details[1])
