"""arrow/1: an Arrow IPC file, every large buffer a part of its own; pyarrow's and polars' values in it.

How pandas' values become columns is `pandas_frames`' business. Any program that reads Arrow (or Feather)
files reads the payload; what Arrow alone can't say stands in the schema's metadata under `gitflowrun`.

Not kept: how a table is divided into chunks, which no comparison looks at.

What Arrow arrays have in memory beside their values: nothing, so that equal arrays have equal bytes.

Whatever was computed under a null before, and what lies behind the end of a slice, is nobody's business and
would be published with the array. Arrow writes the first as it is, and of the second up to 63 bytes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gitflowrun.artifacts.codecs.payload import Loading, Unencodable, flat, type_name
from gitflowrun.artifacts.codecs.plain_decode import decode_plain
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.errors import CorruptRecord, GitflowrunError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["cleaned", "decode_arrow", "encode_arrow", "write_table"]


_KEY = b"gitflowrun"
_LONE = 256 << 10  # bytes from which a buffer is a part of its own; smaller neighbours are joined

Recipe = dict[str, Any]


def encode_arrow(value: Any) -> tuple[memoryview, ...]:
    """The parts of an Arrow file."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise Unencodable("pyarrow is not installed") from error
    name = type_name(value)
    library = name.partition(".")[0]
    try:
        if library == "pandas":
            from gitflowrun.artifacts.codecs import pandas as pandas_codec

            return pandas_codec.encode_pandas(value)
        if library == "polars":
            from gitflowrun.artifacts.codecs import polars as polars_codec

            return polars_codec.encode_polars(value)
        table = _table_of(value)
        if table.num_rows and not table.num_columns:
            raise Unencodable("rows without columns")
        return write_table(table, {"kind": name})
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise Unencodable(f"Arrow can't hold it: {error}") from error


def _table_of(value: Any) -> Any:
    """A pyarrow value as a table."""
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return pa.table({"values": value})


def write_table(table: Any, recipe: Recipe) -> tuple[memoryview, ...]:
    """The parts of a table's file.

    Args:
        table: The table.
        recipe: How to make the value of it; plain values.
    """
    import pyarrow as pa

    for field in table.schema:
        if _has_extension(field.type):
            raise Unencodable(f"Arrow extension type {field.type}")
    packed = b"".join(encode_plain(recipe))
    schema = table.schema.with_metadata({**(table.schema.metadata or {}), _KEY: packed})
    sink = _Sink()
    with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in _batches(table):
            writer.write_batch(cleaned(batch).replace_schema_metadata(schema.metadata))
    return sink.parts()


def _batches(table: Any) -> list[Any]:
    """The table in one piece, as far as Arrow can; a piece even of no rows, which may have dictionaries."""
    import pyarrow as pa

    if table.num_rows:
        return list(table.combine_chunks().to_batches())
    columns = [
        column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for column in table.columns
    ]
    return [pa.RecordBatch.from_arrays(columns, schema=table.schema)]


def _has_extension(kind: Any) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return True
    if pa.types.is_dictionary(kind):
        return _has_extension(kind.value_type)
    return any(_has_extension(kind.field(index).type) for index in range(kind.num_fields))


class _Sink:
    """Takes what Arrow writes: small pieces copied and joined, large buffers as they are."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[memoryview] = []
        self._small = bytearray()
        self._size = 0

    def write(self, piece: Any) -> int:
        view = flat(memoryview(piece))
        self._size += view.nbytes
        if view.nbytes < _LONE:
            self._small += view
        else:
            self._flush()
            self._parts.append(view)
        return view.nbytes

    def _flush(self) -> None:
        if self._small:
            self._parts.append(memoryview(bytes(self._small)))
            self._small.clear()

    def parts(self) -> tuple[memoryview, ...]:
        self._flush()
        return tuple(self._parts)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def decode_arrow(payload: memoryview, loading: Loading) -> Any:
    """The value in an Arrow file."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise NotFound(
            "the value is an Arrow table, and pyarrow is not installed",
            hint="pip install gitflowrun[pandas]",
        ) from error
    try:
        reader = pa.ipc.open_file(pa.py_buffer(payload))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        table = pa.Table.from_batches(batches, reader.schema)
        if not loading.trusted:
            table.validate(full=True)
        metadata = dict(table.schema.metadata or {})
        recipe = decode_plain(memoryview(metadata.pop(_KEY)), loading)
        table = table.replace_schema_metadata(metadata or None)
        return _builder(recipe["kind"])(table, recipe, loading, payload)
    except GitflowrunError:
        raise
    except ImportError as error:
        raise NotFound(f"the value needs a package that is not installed: {error}") from error
    except Exception as error:
        raise CorruptRecord(f"malformed Arrow payload: {error}") from error


def _builder(kind: str) -> Callable[[Any, Mapping[str, Any], Loading, memoryview], Any]:
    library = kind.partition(".")[0]
    if library == "pandas":
        from gitflowrun.artifacts.codecs import pandas as pandas_codec

        return pandas_codec.decode_pandas
    if library == "polars":
        from gitflowrun.artifacts.codecs import polars as polars_codec

        return polars_codec.decode_polars
    return _value_of


def _value_of(
    table: Any, recipe: Mapping[str, Any], _loading: Loading, _payload: memoryview
) -> Any:
    """The pyarrow value that `_table_of` made a table of."""
    import pyarrow as pa

    kind = recipe["kind"]
    if kind == "pyarrow.lib.Table":
        return table
    if kind == "pyarrow.lib.RecordBatch":
        columns = [column.chunk(0) for column in table.columns]
        return pa.RecordBatch.from_arrays(columns, schema=table.schema)
    column = table.column(0)
    if kind == "pyarrow.lib.ChunkedArray":
        return column
    return column.chunk(0)


_PIECE = 1 << 16  # rows looked at or rewritten at a time

_is = pa.types


def cleaned(batch: Any) -> Any:
    """An equal record batch with nothing beside its values; columns that have nothing there are not copied.

    Arrays of views, of runs and of unions stay as they are.
    """
    columns = [_cleaned(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _cleaned(array: Any) -> Any:
    kind = array.type
    clean = next((clean for test, clean in _CLEANERS if test(kind)), None)
    if clean is None:
        return array
    if array.null_count == len(array) and not _is.is_dictionary(kind):
        return pa.nulls(len(array), kind)
    return clean(array)


def _made(array: Any, buffers: list[Any], children: list[Any]) -> Any:
    """An array like another one, of other buffers and children."""
    validity = _bitmap(array, 0) if array.null_count else None
    return pa.Array.from_buffers(
        array.type, len(array), [validity, *buffers], array.null_count, children=children
    )


def _bitmap(array: Any, number: int) -> Any:
    """An array's bitmap without the bits before and behind the array's own."""
    buffer, length = array.buffers()[number], len(array)
    first, shift = divmod(array.offset, 8)
    size = (length + 7) // 8
    if not shift and not (length % 8 and buffer[first + size - 1] >> length % 8):
        return buffer.slice(first, size)
    piece = memoryview(buffer)[first : (array.offset + length + 7) // 8]
    bits = int.from_bytes(piece, "little") >> shift & ((1 << length) - 1)
    return pa.py_buffer(bits.to_bytes(size, "little"))


def _cleaned_words(array: Any) -> Any:
    """A dictionary array: what is in the dictionary stays, in its order, used or not."""
    indices, words = _cleaned(array.indices), _cleaned(array.dictionary)
    return pa.DictionaryArray.from_arrays(indices, words, ordered=array.type.ordered)


def _cleaned_struct(array: Any) -> Any:
    children = array.flatten()  # null where the struct is
    return _made(array, [], [_cleaned(child) for child in children])


def _cleaned_bits(array: Any) -> Any:
    if array.null_count:
        array = _rewritten(array)
    return _made(array, [_bitmap(array, 1)], [])


def _cleaned_values(array: Any) -> Any:
    """An array of values of fixed width."""
    if array.null_count and _has_hidden_values(array):
        array = _rewritten(array)
    width = array.type.bit_width // 8
    values = array.buffers()[1].slice(array.offset * width, len(array) * width)
    return _made(array, [values], [])


def _has_hidden_values(array: Any) -> bool:
    """Whether anything but zeros is under the nulls of an array of values of fixed width."""
    width = array.type.bit_width // 8
    for piece in _pieces(array):
        if not piece.null_count:
            continue
        buffers = [None, piece.buffers()[1]]
        raw = pa.Array.from_buffers(pa.binary(width), len(piece), buffers, 0, piece.offset)
        hidden = raw.filter(piece.is_null())
        start = hidden.offset * width
        found = memoryview(hidden.buffers()[1])[start : start + len(hidden) * width]
        if found.tobytes().count(0) != found.nbytes:
            return True
    return False


def _cleaned_offsets(array: Any) -> Any:
    """An array of text, bytes, lists or maps."""
    if array.null_count and _has_hidden_lengths(array):
        array = _rewritten(array)
    offsets = _offsets(array)
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    if first:
        offsets = pc.subtract(offsets, pa.scalar(first, offsets.type))
    width = offsets.type.bit_width // 8
    own = offsets.buffers()[1].slice(offsets.offset * width, len(offsets) * width)
    if array.type.num_fields:
        return _made(array, [own], [_cleaned(array.values[first:last])])
    data = array.buffers()[2]
    return _made(array, [own, data and data.slice(first, last - first)], [])


def _offsets(array: Any) -> Any:
    buffers = [None, array.buffers()[1]]
    large = any(test(array.type) for test in _LARGE)
    kind = pa.int64() if large else pa.int32()
    return pa.Array.from_buffers(kind, len(array) + 1, buffers, 0, array.offset)


def _has_hidden_lengths(array: Any) -> bool:
    """Whether a null has a length."""
    offsets = _offsets(array)
    for start in range(0, len(array), _PIECE):
        nulls = array[start : start + _PIECE].is_null()
        ends = offsets[start + 1 : start + 1 + len(nulls)]
        long = pc.not_equal(offsets[start : start + len(nulls)], ends)
        if pc.any(pc.and_(nulls, long)).as_py():
            return True
    return False


def _cleaned_fixed_list(array: Any) -> Any:
    if array.null_count:
        array = _rewritten(array)
    size = array.type.list_size
    return _made(array, [], [_cleaned(array.values[array.offset * size :][: len(array) * size])])


def _pieces(array: Any) -> list[Any]:
    cuts = [*range(0, len(array), _PIECE), len(array)]
    return [array[start:end] for start, end in pairwise(cuts)]


def _rewritten(array: Any) -> Any:
    """A copy made value by value: Arrow's `take` puts zeros, and nothing, where there is null."""
    rows = pa.array(range(min(len(array), _PIECE)), pa.int32())
    return pa.concat_arrays([piece.take(rows[: len(piece)]) for piece in _pieces(array)])


_LARGE = (_is.is_large_string, _is.is_large_binary, _is.is_large_list)
_CLEANERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is.is_dictionary, _cleaned_words),
    (_is.is_struct, _cleaned_struct),
    (_is.is_fixed_size_list, _cleaned_fixed_list),
    *((test, _cleaned_offsets) for test in (_is.is_string, _is.is_binary, *_LARGE)),
    *((test, _cleaned_offsets) for test in (_is.is_list, _is.is_map)),
    (_is.is_boolean, _cleaned_bits),
    *((test, _cleaned_values) for test in (_is.is_primitive, _is.is_decimal)),
    (_is.is_fixed_size_binary, _cleaned_values),
)
