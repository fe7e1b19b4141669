"""arrow/1 for polars: a DataFrame or Series as an Arrow table.

Columns whose type Arrow does not give back exactly (categories, enums, Python objects, 128-bit integers,
decimals) leave the whole value to pickle; so do lazy frames, which are plans and no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from gitflowrun.artifacts.codecs.arrow import canonical, write_file
from gitflowrun.artifacts.codecs.payload import Unencodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.artifacts.codecs.payload import Loading

_FRAME, _SERIES = "polars.DataFrame", "polars.Series"
_EXACT = (
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
    pl.Float32, pl.Float64, pl.String, pl.Binary, pl.Date, pl.Time, pl.Datetime, pl.Duration, pl.Null,
)  # fmt: skip


def encode_frame(value: Any) -> tuple[memoryview, ...]:
    """The parts of a frame's or series' Arrow file."""
    frame = value if isinstance(value, pl.DataFrame) else value.to_frame()
    for dtype in frame.dtypes:
        _check(dtype)
    if frame.height and not frame.width:
        raise Unencodable("rows without columns")
    table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return write_file(table, {"kind": _FRAME if value is frame else _SERIES})


def cleaned(value: Any) -> Any:
    """An equal frame or series whose memory holds what it shows: no text that was cut off, nothing under nulls."""
    if isinstance(value, pl.Series):
        return _cleaned_series(value)
    return pl.DataFrame(list(map(_cleaned_series, value.get_columns()))) if value.width else value


def _cleaned_series(series: Any) -> Any:
    try:
        _check(series.dtype)
    except Unencodable:
        # Arrow has no such type: taken row by row, there is nothing under its own nulls.
        return series[list(range(len(series)))]
    array = series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    batch = canonical(pa.RecordBatch.from_arrays([array], names=[""]))
    return pl.Series(series.name, pl.from_arrow(batch.column(0)))


def _check(dtype: Any) -> None:
    if isinstance(dtype, pl.List | pl.Array):
        _check(dtype.inner)
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            _check(field.dtype)
    elif not isinstance(dtype, _EXACT):
        raise Unencodable(f"polars type {dtype}")


def decode_frame(
    table: Any, recipe: Mapping[str, Any], _loading: Loading, _payload: memoryview
) -> Any:
    """The value that `encode_frame` made a table of."""
    arrays = [column.chunk(0) for column in table.columns]
    columns = [
        pl.Series(name, pl.from_arrow(array))
        for name, array in zip(table.column_names, arrays, strict=True)
    ]
    if recipe["kind"] == _SERIES:
        return columns[0]
    return pl.DataFrame(columns)
