"""arrow/1 for pandas: a DataFrame, Series or Index as an Arrow table and a recipe to make it again.

Kept: the order and names of columns (any labels, repeated ones too), the index with its names, levels and
frequency, dtypes, categories and their order, time zones, `attrs`. Arrow's columns are named like pandas', for
programs that know nothing of recipes. Periods, intervals and sparse columns are left to pickle.

Arrow's own conversion is not used: it guesses types, turns NaN into null and back, and changes its mind
between releases. Each column, and each level of an index, is an Arrow array and a recipe of its own: a list
of plain values, of which the first is the kind of column:

    numpy DTYPE           bool, numbers, datetime64 and timedelta64 in numpy arrays
    zoned UNIT TZ         datetimes with a time zone; Arrow has them in UTC
    text [nan]            object arrays of str and None, or of str and NaN
    string STORAGE NA     pandas' string dtype
    masked DTYPE          Int64, boolean, Float32 and the like
    category ORDERED ...  categories, in order, as a column of their own
    arrow                 arrays that are Arrow's already
    plain BYTES           object arrays of other plain values; no Arrow array at all

Many short columns of one dtype are *wide*: one Arrow column together, of lists, one for each row; to Arrow each
column of its own would cost more than what is in it. Times are integers there, and truth values bytes. Whatever was
stored, columns of one dtype come back as one block of memory, as pandas' own readers make them: a frame of thousands
of blocks is slow for as long as it lives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gitflowrun.artifacts.codecs import numpy as numpy_codec
from gitflowrun.artifacts.codecs.arrow import decode_file, write_file
from gitflowrun.artifacts.codecs.payload import Loading, Unencodable
from gitflowrun.artifacts.codecs.plain_decode import decode_plain
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.limits import MAX_OBJECTS_IN_A_COLUMN, ROWS_TURNED, WIDE_COLUMN, WIDE_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Recipe = list[Any]
_WIDE_KINDS = "biufmM"
_Arrays = dict[int | None, Any]  # by position; None is the column of which there is no array


def encode_column(column: Any) -> tuple[Any, Recipe]:
    """An Arrow array (None for `plain`) and the recipe.

    Args:
        column: A Series or an Index of one level.

    Raises:
        Unencodable: it can't be given back exactly.
    """
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        values = column.to_numpy()
        return _encode_objects(values) if dtype.kind == "O" else _encode_numpy(values)
    for kinds, encode in _ENCODERS:
        if isinstance(dtype, kinds):
            return encode(column.array)
    raise Unencodable(f"pandas dtype {dtype}")


def _encode_numpy(values: Any) -> tuple[Any, Recipe]:
    if values.dtype.kind not in "biufmM" or not values.dtype.isnative:
        raise Unencodable(f"a column of dtype {values.dtype}")
    array = pa.array(values, from_pandas=False)
    return array, ["numpy", values.dtype.str]


def _encode_objects(values: Any) -> tuple[Any, Recipe]:
    types = set(map(type, values))
    if types <= {str, type(None)}:
        return pa.array(values, pa.large_string()), ["text"]
    if types <= {str, float} and all(map(math.isnan, (it for it in values if type(it) is float))):
        return pa.array(values, pa.large_string(), from_pandas=True), ["text", "nan"]
    if len(values) > MAX_OBJECTS_IN_A_COLUMN:
        raise Unencodable("a long column of Python objects")
    return None, ["plain", b"".join(encode_plain(list(values)))]


def _encode_zoned(column: Any) -> tuple[Any, Recipe]:
    utc = column.tz_convert("UTC").tz_localize(None)
    array = pa.array(np.asarray(utc)).cast(pa.timestamp(column.unit, "UTC"))
    return array, ["zoned", column.unit, column.dtype.tz]


def _encode_string(column: Any) -> tuple[Any, Recipe]:
    dtype = column.dtype
    na = "NA" if dtype.na_value is pd.NA else "nan"
    storage = dtype.storage.removesuffix("_numpy")  # as pandas before 2.3 names the one with NaN
    return whole(pa.array(column, pa.large_string())), ["string", storage, na]


def _encode_masked(column: Any) -> tuple[Any, Recipe]:
    mask = np.asarray(column.isna())
    # What lies under the mask is no part of the value, and must not tell equal columns apart.
    values = column.to_numpy(dtype=column.dtype.numpy_dtype, na_value=0)
    return pa.array(values, mask=mask, from_pandas=False), ["masked", column.dtype.name]


def _encode_category(column: Any) -> tuple[Any, Recipe]:
    categories = column.categories
    if categories.name is not None or getattr(categories, "freq", None) is not None:
        raise Unencodable("categories that are more than their values")
    ordered = bool(column.ordered)
    array, recipe = _encode_dictionary(column.codes, categories, ordered=ordered)
    return array, ["category", ordered, recipe]


def _encode_dictionary(codes: Any, values: Any, *, ordered: bool = False) -> tuple[Any, Recipe]:
    """A dictionary array, and the recipe of what is in the dictionary."""
    dictionary, recipe = encode_column(values)
    if dictionary is None or isinstance(dictionary, pa.DictionaryArray):
        raise Unencodable("categories, or a MultiIndex level, of Python objects or categories")
    codes = np.asarray(codes)
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=ordered), recipe


def _encode_arrow(column: Any) -> tuple[Any, Recipe]:
    return whole(column.__arrow_array__()), ["arrow"]


def whole(array: Any) -> Any:
    """An array that may have come in chunks, in one."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    single = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    if isinstance(single, pa.ChunkedArray):
        raise Unencodable("a column too large for one Arrow array")
    return single


_ENCODERS: tuple[tuple[Any, Callable[[Any], tuple[Any, Recipe]]], ...] = (
    (pd.DatetimeTZDtype, _encode_zoned),
    (pd.CategoricalDtype, _encode_category),
    (pd.StringDtype, _encode_string),
    (pd.ArrowDtype, _encode_arrow),
    (
        (
            pd.BooleanDtype, pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype,
            pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype, pd.UInt64Dtype,
            pd.Float32Dtype, pd.Float64Dtype,
        ),
        _encode_masked,
    ),
)  # fmt: skip


class PayloadMemory:
    """The payload that arrays lie in. Arrow's buffers are read-only even where it is writable.

    Args:
        payload: The payload.
        loading: How it is being loaded.
    """

    def __init__(self, payload: memoryview, loading: Loading) -> None:
        self.loading = loading
        self._payload = payload
        self._address = pa.py_buffer(payload).address

    def values(self, array: Any, dtype: Any) -> Any:
        """The values of an Arrow array of fixed width, writable if that is asked for."""
        buffer = array.buffers()[1]
        if buffer is None or not len(array):
            return np.empty(0, dtype)
        start = buffer.address - self._address
        if 0 <= start <= self._payload.nbytes - buffer.size:
            buffer = self._payload[start : start + buffer.size]
        values = np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)
        writable = self.loading.writable
        if not values.flags.aligned or (writable and not values.flags.writeable):
            values = values.copy()
        values.flags.writeable = writable
        return values


def decode_column(array: Any, recipe: Recipe, memory: PayloadMemory) -> Any:
    """The column that `encode_column` took apart: a numpy array or a pandas extension array."""
    kind, *details = recipe
    decoder = _DECODERS[kind]
    return decoder(None if array is None else whole(array), details, memory)


def _decode_numpy(array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    dtype = np.dtype(details[0])
    if array.null_count or dtype.kind == "b":
        return array.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return memory.values(array, dtype)


def _decode_text(array: Any, details: Recipe, _memory: PayloadMemory) -> Any:
    values = np.empty(len(array), object)
    values[:] = array.to_pylist()
    if details:
        values[np.asarray(array.is_null())] = float("nan")
    return values


def _decode_plain(_array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    items = decode_plain(memoryview(details[0]), memory.loading)
    values = np.empty(len(items), object)
    for index, item in enumerate(items):  # at once, numpy would look into nested lists
        values[index] = item
    return values


def _decode_zoned(array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    unit, zone = details
    values = _decode_numpy(array, [f"<M8[{unit}]"], memory)
    return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array


def _decode_string(array: Any, details: Recipe, _memory: PayloadMemory) -> Any:
    storage, na = details
    return _string_dtype(storage, na).__from_arrow__(array)


def _string_dtype(storage: str, na: str) -> Any:
    if na == "NA":
        return pd.StringDtype(storage)
    try:
        return pd.StringDtype(storage, na_value=float("nan"))
    except TypeError:
        if storage != "pyarrow":
            raise NotFound(
                f"strings of pandas in {storage}, with NaN for missing ones, need pandas 2.3",
                hint="pip install --upgrade pandas",
            ) from None
        return pd.StringDtype("pyarrow_numpy")


def _decode_masked(array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    dtype = pd.api.types.pandas_dtype(details[0])
    if dtype.kind != "f":
        return dtype.__from_arrow__(array)
    # pandas would take NaN, which is a value here, for a missing one.
    values = memory.values(array, dtype.numpy_dtype)
    return pd.arrays.FloatingArray(values, np.asarray(array.is_null()))


def _decode_category(array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    ordered, recipe = details
    values, codes = _decode_dictionary(array, recipe, memory)
    categories = pd.Index(values, dtype=values.dtype, copy=False)
    if memory.loading.writable and not codes.flags.writeable:
        codes = codes.copy()
    return pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)


def _decode_dictionary(array: Any, recipe: Recipe, memory: PayloadMemory) -> tuple[Any, Any]:
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return decode_column(array.dictionary, recipe, memory), codes


def _decode_arrow(array: Any, _details: Recipe, _memory: PayloadMemory) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))


_DECODERS: dict[str, Callable[[Any, Recipe, PayloadMemory], Any]] = {
    "numpy": _decode_numpy,
    "zoned": _decode_zoned,
    "text": _decode_text,
    "string": _decode_string,
    "masked": _decode_masked,
    "category": _decode_category,
    "arrow": _decode_arrow,
    "plain": _decode_plain,
}


_FRAME, _SERIES, _INDEX = "pandas.DataFrame", "pandas.Series", "pandas.Index"
_INDEXES = {
    pd.Index, pd.RangeIndex, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex, pd.MultiIndex,
}  # fmt: skip
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
        return write_file(pa.Table.from_arrays(self.arrays, names=self.names), recipe)


def encode_frame(value: Any) -> tuple[memoryview, ...]:
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
        wide, others = _wide_columns(value)
        recipe |= {"kind": _FRAME, "columns": b"".join(encode_frame(value.columns))}
        recipe["wide"] = [_encode_wide(value, positions, columns) for positions in wide]
        frame = _columns_at(value, others) if wide else value
        data = [(label, *encode_column(column)) for label, column in frame.items()]
        recipe["data"] = [[columns.add(label, array), how] for label, array, how in data]
    recipe["index"] = _encode_index(value.index, columns)
    return columns.parts(recipe)


def _wide_columns(frame: Any) -> tuple[list[list[int]], list[int]]:
    """The positions of columns that are stored together, and those of all others."""
    groups: dict[Any, list[int]] = {}
    for position, dtype in enumerate(frame.dtypes):
        groups.setdefault(dtype, []).append(position)
    wide = [
        positions
        for dtype, positions in groups.items()
        if isinstance(dtype, np.dtype) and dtype.kind in _WIDE_KINDS and dtype.isnative
        and len(positions) >= WIDE_FRAME and 0 < len(frame) * dtype.itemsize <= WIDE_COLUMN
    ]  # fmt: skip
    found = {position for positions in wide for position in positions}
    return wide, [position for position in range(frame.shape[1]) if position not in found]


def _encode_wide(frame: Any, positions: list[int], columns: _Columns) -> list[Any]:
    """Columns of one dtype as lists, and how to take them apart again."""
    values = _columns_at(frame, positions).to_numpy()
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype.kind in "bmM":  # Arrow packs bits, and has nulls where there is no time
        flat = numpy_codec.without_padding(flat).view("u1" if flat.dtype.kind == "b" else "i8")
    items = pa.array(flat, from_pandas=False)
    name = f"{frame.columns[positions[0]]} ... {frame.columns[positions[-1]]}"
    lists = pa.FixedSizeListArray.from_arrays(items, len(positions))
    return [columns.add(name, lists), values.dtype.str, positions]


def _columns_at(frame: Any, positions: list[int]) -> Any:
    """The columns at some ascending positions, without a copy where these are neighbours."""
    if len(positions) == frame.shape[1]:
        return frame
    first, end = (positions[0], positions[-1] + 1) if positions else (0, 0)
    are_neighbours = end - first == len(positions)
    return frame.iloc[:, first:end] if are_neighbours else frame.take(positions, axis=1)


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
        array, how = _encode_dictionary(codes, level)
        name = index.names[number]
        position = columns.add(f"level_{number}" if name is None else name, array)
        levels.append([position, how, _frequency(level)])
    return ["levels", levels, list(index.names)]


def decode_frame(
    table: Any, recipe: Mapping[str, Any], loading: Loading, payload: memoryview
) -> Any:
    """The value that `encode_frame` took apart."""
    memory = PayloadMemory(payload, loading)
    columns: _Arrays = {None: None, **dict(enumerate(table.columns))}
    index = _decode_index(columns, recipe["index"], memory)
    if recipe["kind"] == _INDEX:
        return index
    arrays = [decode_column(columns[position], how, memory) for position, how in recipe["data"]]
    if recipe["kind"] == _SERIES:
        value = pd.Series(arrays[0], index=index, dtype=arrays[0].dtype, copy=False)
        value.name = recipe["name"]
    else:
        wide = [
            _decode_wide(columns[place], dtype, at, memory) for place, dtype, at in recipe["wide"]
        ]
        labels = decode_file(memoryview(recipe["columns"]), loading)
        value = _frame(arrays, wide, index, labels)
    value.attrs = dict(recipe["attrs"])
    return value


_Block = tuple[Any, list[int]]  # an array of several columns, one a row, and their positions


def _decode_wide(lists: Any, dtype: str, positions: list[int], memory: PayloadMemory) -> _Block:
    lists = whole(lists)
    items = lists.flatten()
    if lists.null_count or items.null_count or len(items) != len(lists) * len(positions):
        raise CorruptRecord("wide columns of a frame are not as many as they should be")
    values = memory.values(items, np.dtype(dtype)).reshape(len(lists), len(positions))
    block = np.empty(values.shape[::-1], values.dtype)
    for start in range(0, len(values), ROWS_TURNED):
        block[:, start : start + ROWS_TURNED] = values[start : start + ROWS_TURNED].T
    return block, positions


def _frame(arrays: list[Any], wide: list[_Block], index: Any, labels: Any) -> Any:
    """The frame of some columns and of wide ones: the columns of each dtype in one array."""
    found = {position for _, positions in wide for position in positions}
    others = [position for position in range(len(labels)) if position not in found]
    if sum(len(positions) for _, positions in wide) != len(found) or len(others) != len(arrays):
        raise CorruptRecord("a frame has other columns than it should have")
    groups: dict[Any, list[int]] = {}
    for number, array in enumerate(arrays):
        if len(array) != len(index):
            raise CorruptRecord("a column of a frame is longer or shorter than its index")
        groups.setdefault(array.dtype if isinstance(array, np.ndarray) else number, []).append(
            number
        )
    blocks = [*wide]
    for numbers in groups.values():
        first, *more = (arrays[number] for number in numbers)
        if isinstance(first, np.ndarray):
            first = np.stack([first, *more]) if more else first.reshape(1, -1)
        blocks.append((first, [others[number] for number in numbers]))
    return _of_blocks(blocks, index, labels)


def _of_blocks(blocks: list[_Block], index: Any, labels: Any) -> Any:
    try:
        from pandas.api.internals import create_dataframe_from_blocks
    except ImportError:  # before pandas 3: it copies, into one block for each dtype
        columns: dict[int, Any] = {}
        for block, positions in blocks:
            rows = block if isinstance(block, np.ndarray) else [block]
            columns |= dict(zip(positions, rows, strict=True))
        ordered = {position: columns[position] for position in range(len(labels))}
        frame = pd.DataFrame(ordered, index=index, copy=True)
        frame.columns = labels
        return frame
    placed = [(block, np.array(positions, np.intp)) for block, positions in blocks]
    return create_dataframe_from_blocks(placed, index, labels)


def _decode_index(columns: _Arrays, recipe: Recipe, memory: PayloadMemory) -> Any:
    kind, *details = recipe
    if kind == "range":
        start, stop, step, name = details
        return pd.RangeIndex(start, stop, step, name=name)
    if kind == "levels":
        return _decode_levels(columns, details, memory)
    position, how, name, frequency = details
    values = decode_column(columns[position], how, memory)
    return _flat_index(values, name, frequency)


def _flat_index(values: Any, name: Any, frequency: str | None) -> Any:
    index = pd.Index(values, dtype=values.dtype, name=name, copy=False)
    if frequency is not None:
        index.freq = frequency
    return index


def _decode_levels(columns: _Arrays, details: Recipe, memory: PayloadMemory) -> Any:
    levels, codes = [], []
    for position, how, frequency in details[0]:
        values, own_codes = _decode_dictionary(whole(columns[position]), how, memory)
        levels.append(_flat_index(values, None, frequency))
        codes.append(own_codes)
    return pd.MultiIndex(levels=levels, codes=codes, names=details[1])
