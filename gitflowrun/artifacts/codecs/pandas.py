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
from gitflowrun.artifacts.codecs.arrow import canonical_array, check_type, decode_file, write_arrays
from gitflowrun.artifacts.codecs.payload import Loading, Unencodable
from gitflowrun.artifacts.codecs.plain_decode import decode_plain
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.errors import NotFound
from gitflowrun.limits import MAX_OBJECTS_IN_A_COLUMN, ROWS_TURNED, WIDE_COLUMN, WIDE_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Recipe = list[Any]
_WIDE_KINDS = "biufmM"
_Arrays = dict[int | None, Any]  # by position; None is the column of which there is no array


def encode_column(values: Any) -> tuple[Any, Recipe]:
    """An Arrow array (None for `plain`) and the recipe.

    Args:
        values: An array of numpy or pandas, of one dimension.

    Raises:
        Unencodable: it can't be given back exactly.
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _encode_objects(values) if dtype.kind == "O" else _encode_numpy(values)
    for kinds, encode in _ENCODERS:
        if isinstance(dtype, kinds):
            return encode(values)
    raise Unencodable(f"pandas dtype {dtype}")


def _values(column: Any) -> Any:
    """The values of a Series or an Index of one level, as an array."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _columns_of(frame: Any) -> list[Any]:
    """The values of all columns as arrays. Asked for one by one, each would cost more than to store it."""
    blocks = getattr(getattr(frame, "_mgr", None), "blocks", None)
    if blocks is None:
        return [_values(column) for _, column in frame.items()]
    found: dict[int, Any] = {}
    for block in blocks:
        values = block.values  # noqa: PD011  (a block has nothing else)
        if isinstance(values.dtype, np.dtype):
            values = np.asarray(values)
        rows = values if values.ndim > 1 else [values]
        found |= dict(zip(block.mgr_locs.as_array.tolist(), rows, strict=True))
    return [found[position] for position in range(len(found))]


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
    moments = pa.array(column.asi8.view(f"M8[{column.unit}]"), from_pandas=False)
    return moments.view(pa.timestamp(column.unit, "UTC")), ["zoned", column.unit, column.dtype.tz]


def _encode_string(column: Any) -> tuple[Any, Recipe]:
    array = canonical_array(whole(pa.array(column, pa.large_string())))
    return array, ["string", *_string_recipe(column.dtype)]


def _string_recipe(dtype: Any) -> Recipe:
    na = "NA" if dtype.na_value is pd.NA else "nan"
    return [dtype.storage.removesuffix("_numpy"), na]  # as pandas before 2.3 names the one with NaN


def _encode_masked(column: Any) -> tuple[Any, Recipe]:
    mask, dtype = np.asarray(column.isna()), column.dtype.numpy_dtype
    # What lies under the mask is no part of the value, and must not tell equal columns apart.
    if dtype.kind == "b":
        values = column.to_numpy(dtype=dtype, na_value=False)
    else:  # pandas' own way takes ten times as long
        array = column.__arrow_array__()
        values = np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
        values = np.where(mask, dtype.type(0), values) if mask.any() else values
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
    dictionary, recipe = encode_column(_values(values))
    if dictionary is None or isinstance(dictionary, pa.DictionaryArray):
        raise Unencodable("categories, or a MultiIndex level, of Python objects or categories")
    codes = np.asarray(codes)
    absent = codes < 0
    mask = absent if absent.any() else None
    indices = pa.array(
        codes if mask is None else np.where(mask, codes.dtype.type(0), codes), mask=mask
    )
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=ordered), recipe


def _encode_arrow(column: Any) -> tuple[Any, Recipe]:
    array = whole(column.__arrow_array__())
    check_type(array.type)
    return canonical_array(array), ["arrow"]


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
        self._category: tuple[Any, Recipe, Any] | None = None

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

    def category(self, array: Any, recipe: Recipe, *, ordered: bool) -> Any:
        """The dtype of a column of categories. Neighbours often have the same, as they had when they were stored."""
        words, how = array.dictionary, [ordered, recipe]
        if self._category and self._category[1] == how and self._category[0].equals(words):
            return self._category[2]
        values = decode_column(words, recipe, self)
        dtype = pd.CategoricalDtype(
            pd.Index(values, dtype=values.dtype, copy=False), ordered=ordered
        )
        self._category = words, how, dtype
        return dtype


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
    values = array.to_numpy(zero_copy_only=False)
    if details:
        values[_nulls(array)] = float("nan")
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
    dtype = pd.DatetimeTZDtype(unit, zone)
    make = getattr(pd.arrays.DatetimeArray, "_simple_new", None)
    if make is None:  # what else there is looks at every moment
        return pd.array(values.view("i8"), dtype=dtype)
    return make(values, dtype=dtype)


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
    if dtype.kind == "b":
        return dtype.__from_arrow__(array)
    # pandas' own way takes longer, and takes NaN, which is a value here, for a missing one.
    values = memory.values(array, dtype.numpy_dtype)
    make = pd.arrays.FloatingArray if dtype.kind == "f" else pd.arrays.IntegerArray
    return make(values, _nulls(array))


def _nulls(array: Any) -> Any:
    """Which elements are null, in an array of numpy that may be changed."""
    if not array.null_count:
        return np.zeros(len(array), bool)
    return array.is_null().to_numpy(zero_copy_only=False)


def _decode_category(array: Any, details: Recipe, memory: PayloadMemory) -> Any:
    ordered, recipe = details
    dtype = memory.category(array, recipe, ordered=ordered)
    return pd.Categorical.from_codes(_codes(array, memory), dtype=dtype, validate=False)


def _codes(array: Any, memory: PayloadMemory) -> Any:
    """Which word of its dictionary each element is; -1 where it is null."""
    indices = array.indices
    codes = memory.values(indices, indices.type.to_pandas_dtype()())
    if indices.null_count:
        return np.where(_nulls(indices), codes.dtype.type(-1), codes)
    return codes


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
        return write_arrays(self.arrays, self.names, recipe)


def encode_frame(value: Any) -> tuple[memoryview, ...]:
    """The parts of a frame's, series' or index's Arrow file."""
    columns = _Columns()
    if isinstance(value, pd.Index):
        return columns.parts({"kind": _INDEX, "index": _encode_index(value, columns)})
    if not value.flags.allows_duplicate_labels:
        raise Unencodable("a frame that forbids duplicate labels")
    recipe: dict[str, Any] = {"attrs": dict(value.attrs)}
    if isinstance(value, pd.Series):
        array, how = encode_column(_values(value))
        name = "values" if value.name is None else value.name
        recipe |= {"kind": _SERIES, "name": value.name, "data": [[columns.add(name, array), how]]}
    else:
        labels, arrays = list(value.columns), _columns_of(value)
        wide = _wide_columns(arrays)
        recipe |= {"kind": _FRAME, "columns": _encode_labels(value.columns)}
        recipe["wide"] = [_encode_wide(arrays, labels, positions, columns) for positions in wide]
        found = {position for positions in wide for position in positions}
        others = [position for position in range(len(arrays)) if position not in found]
        data = [(labels[position], *encode_column(arrays[position])) for position in others]
        recipe["data"] = [[columns.add(label, array), how] for label, array, how in data]
    recipe["index"] = _encode_index(value.index, columns)
    return columns.parts(recipe)


def _encode_labels(labels: Any) -> Recipe:
    """The names of columns; an Arrow file of their own costs more than most frames."""
    dtype = labels.dtype
    names = list(labels)
    if type(labels) is pd.Index and set(map(type, names)) == {str}:
        if isinstance(dtype, np.dtype):
            return ["text", names, labels.name]
        if isinstance(dtype, pd.StringDtype):
            return ["string", names, labels.name, *_string_recipe(dtype)]
    return ["index", b"".join(encode_frame(labels))]


def _decode_labels(recipe: Recipe, loading: Loading) -> Any:
    kind, labels, *details = recipe
    if kind == "index":
        return decode_file(memoryview(labels), loading)
    name, *string = details
    return pd.Index(labels, dtype=_string_dtype(*string) if string else object, name=name)


def _wide_columns(arrays: list[Any]) -> list[list[int]]:
    """The positions of columns that are stored together."""
    groups: dict[Any, list[int]] = {}
    for position, values in enumerate(arrays):
        groups.setdefault(values.dtype, []).append(position)
    return [
        positions
        for dtype, positions in groups.items()
        if isinstance(dtype, np.dtype) and dtype.kind in _WIDE_KINDS and dtype.isnative
        and len(positions) >= WIDE_FRAME and 0 < arrays[positions[0]].nbytes <= WIDE_COLUMN
    ]  # fmt: skip


def _encode_wide(
    arrays: list[Any], labels: list[Any], positions: list[int], columns: _Columns
) -> list[Any]:
    """Columns of one dtype as lists, and how to take them apart again."""
    wide = [arrays[position] for position in positions]
    dtype = wide[0].dtype
    flat = np.concatenate(wide).reshape(len(wide), -1).T.reshape(-1)
    if flat.dtype.kind in "bmM":  # Arrow packs bits, and has nulls where there is no time
        flat = numpy_codec.without_padding(flat).view("u1" if flat.dtype.kind == "b" else "i8")
    items = pa.array(flat, from_pandas=False)
    name = f"{labels[positions[0]]} ... {labels[positions[-1]]}"
    lists = pa.FixedSizeListArray.from_arrays(items, len(positions))
    return [columns.add(name, lists), dtype.str, positions]


def _encode_index(index: Any, columns: _Columns) -> Recipe:
    if type(index) not in _INDEXES:
        raise Unencodable(f"a {type(index).__name__}")
    if isinstance(index, pd.MultiIndex):
        return _encode_levels(index, columns)
    if isinstance(index, pd.RangeIndex):
        return ["range", index.start, index.stop, index.step, index.name]
    array, how = encode_column(_values(index))
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
        labels = _decode_labels(recipe["columns"], loading)
        value = _frame(arrays, wide, index, labels)
    value.attrs = dict(recipe["attrs"])
    return value


_Block = tuple[Any, list[int]]  # an array of several columns, one a row, and their positions


def _decode_wide(lists: Any, dtype: str, positions: list[int], memory: PayloadMemory) -> _Block:
    lists = whole(lists)
    values = memory.values(lists.values, np.dtype(dtype)).reshape(len(lists), len(positions))
    block = np.empty(values.shape[::-1], values.dtype)
    for start in range(0, len(values), ROWS_TURNED):
        block[:, start : start + ROWS_TURNED] = values[start : start + ROWS_TURNED].T
    return block, positions


def _frame(arrays: list[Any], wide: list[_Block], index: Any, labels: Any) -> Any:
    """The frame of some columns and of wide ones: the columns of each dtype in one array."""
    found = {position for _, positions in wide for position in positions}
    others = [position for position in range(len(labels)) if position not in found]
    groups: dict[Any, list[int]] = {}
    for number, array in enumerate(arrays):
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
        array = whole(columns[position])
        levels.append(_flat_index(decode_column(array.dictionary, how, memory), None, frequency))
        codes.append(_codes(array, memory))
    return pd.MultiIndex(levels=levels, codes=codes, names=details[1])
