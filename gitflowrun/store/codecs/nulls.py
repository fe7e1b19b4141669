"""What lies under the nulls of an Arrow array: nothing, so that equal arrays have equal bytes.

Whatever was computed there before is nobody's business, and would be published with the array.
"""

from __future__ import annotations

from typing import Any

__all__ = ["cleaned", "nothing_under_nulls"]


def cleaned(table: Any) -> Any:
    """An equal table with nothing under its nulls."""
    columns = [nothing_under_nulls(column) for column in table.columns]
    return table.from_arrays(columns, schema=table.schema)


def nothing_under_nulls(array: Any) -> Any:
    """An equal array, or the same; chunks stay chunks. Types that Arrow can't rewrite stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not array.null_count or array.null_count == len(array):
        return array
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([nothing_under_nulls(chunk) for chunk in array.chunks], array.type)
    if array.offset:  # of slices of text, some releases make arrays that are malformed
        array = pa.concat_arrays([array, array[:0]])
    try:
        return pc.if_else(pc.is_valid(array), array, pa.scalar(None, array.type))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return array
