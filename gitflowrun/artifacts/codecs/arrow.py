"""arrow/1: tables as Arrow IPC files, and pyarrow's own values in them.

pandas' and polars' codecs make tables of their values and values of their tables; here is the file between.
Any program that reads Arrow (or Feather) files reads the payload, every large buffer of which is a part of
its own. What Arrow alone can't say is the *recipe*: plain values in the schema's metadata under `gitflowrun`,
of which `kind` names the type that was stored. How a table is divided into chunks is not kept: no comparison
looks at it.

Equal tables give equal bytes, for buffers are made canonical first: whatever was computed under a null, or
lies behind the end of a slice, would be published with the array. Arrow writes the first as it is, and of the
second up to 63 bytes.
"""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gitflowrun.artifacts.codecs.payload import Loading, Unencodable, flat, type_name
from gitflowrun.artifacts.codecs.plain_decode import decode_plain
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.artifacts.codecs.registry import table_decoder
from gitflowrun.limits import ARROW_ROWS, LONE_BUFFER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_KEY = b"gitflowrun"

_is = pa.types


def encode_table(value: Any) -> tuple[memoryview, ...]:
    """The parts of the Arrow file of a pyarrow Table, RecordBatch, ChunkedArray or Array."""
    if isinstance(value, pa.Table):
        table = value
    elif isinstance(value, pa.RecordBatch):
        table = pa.Table.from_batches([value])
    else:
        table = pa.table({"values": value})
    if table.num_rows and not table.num_columns:
        raise Unencodable("rows without columns")
    return write_file(table, {"kind": type_name(value)})


def decode_table(
    table: Any, recipe: Mapping[str, Any], _loading: Loading, _payload: memoryview
) -> Any:
    """The pyarrow value that `encode_table` made a table of."""
    kind = recipe["kind"]
    if kind == "pyarrow.lib.Table":
        return table
    if kind == "pyarrow.lib.RecordBatch":
        columns = [column.chunk(0) for column in table.columns]
        return pa.RecordBatch.from_arrays(columns, schema=table.schema)
    column = table.column(0)
    return column if kind == "pyarrow.lib.ChunkedArray" else column.chunk(0)


def write_file(table: Any, recipe: Mapping[str, Any]) -> tuple[memoryview, ...]:
    """The parts of a table's file.

    Args:
        table: The table.
        recipe: How to make the value of it; plain values, `kind` among them.

    Raises:
        Unencodable: the table has a column of an extension type.
    """
    for field in table.schema:
        check_type(field.type)
    return _write(table.schema, map(canonical, _batches(table)), recipe)


def write_arrays(
    arrays: Sequence[Any], names: Sequence[str], recipe: Mapping[str, Any]
) -> tuple[memoryview, ...]:
    """The parts of a file of arrays of one length, the buffers of which are canonical."""
    batch = pa.RecordBatch.from_arrays(arrays, names=names)
    return _write(batch.schema, [batch], recipe)


def _write(
    schema: Any, batches: Iterable[Any], recipe: Mapping[str, Any]
) -> tuple[memoryview, ...]:
    packed = b"".join(encode_plain(recipe))
    schema = schema.with_metadata({**(schema.metadata or {}), _KEY: packed})
    sink = _Sink()
    with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return sink.parts()


def _batches(table: Any) -> list[Any]:
    """The table in one piece, as far as Arrow can; a piece even of no rows, which may have dictionaries."""
    if table.num_rows:
        return list(table.combine_chunks().to_batches())
    columns = [
        column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for column in table.columns
    ]
    return [pa.RecordBatch.from_arrays(columns, schema=table.schema)]


def check_type(kind: Any) -> None:
    """Refuse a type that is or holds one that Arrow does not know.

    Raises:
        Unencodable: it is one.
    """
    if _has_extension(kind):
        raise Unencodable(f"Arrow extension type {kind}")


def _has_extension(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return True
    if _is.is_dictionary(kind):
        return _has_extension(kind.value_type)
    return any(_has_extension(kind.field(index).type) for index in range(kind.num_fields))


class _Sink(io.RawIOBase):
    """Takes what Arrow writes: small pieces copied and joined, large buffers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[memoryview] = []
        self._small = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        view = flat(memoryview(piece))
        if view.nbytes < LONE_BUFFER:
            self._small += view
        else:
            self._flush_small()
            self._parts.append(view)
        return view.nbytes

    def _flush_small(self) -> None:
        if self._small:
            self._parts.append(memoryview(bytes(self._small)))
            self._small.clear()

    def parts(self) -> tuple[memoryview, ...]:
        self._flush_small()
        return tuple(self._parts)


def decode_file(payload: memoryview, loading: Loading) -> Any:
    """The value in an Arrow file: what the recipe's library makes of the table."""
    reader = pa.ipc.open_file(pa.py_buffer(payload))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    table = pa.Table.from_batches(batches, reader.schema)
    metadata = dict(table.schema.metadata or {})
    recipe = decode_plain(memoryview(metadata.pop(_KEY)), loading)
    table = table.replace_schema_metadata(metadata or None)
    return table_decoder(recipe["kind"])(table, recipe, loading, payload)


def canonical(batch: Any) -> Any:
    """An equal record batch with canonical buffers."""
    columns = [canonical_array(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def canonical_array(array: Any) -> Any:
    """An equal array with canonical buffers; one that has nothing beside its values isn't copied.

    Arrays of runs stay as they are.
    """
    kind = array.type
    if kind.id not in _MAKERS:
        _MAKERS[kind.id] = next((make for test, make in _CANONICAL if test(kind)), None)
    make = _MAKERS[kind.id]
    if make is None:
        return array
    if array.null_count == len(array) and not _is.is_dictionary(kind) and not _is.is_union(kind):
        return pa.nulls(len(array), kind)
    return make(array)


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


def _canonical_dictionary(array: Any) -> Any:
    """A dictionary array: what is in the dictionary stays, in its order, used or not."""
    indices, words = canonical_array(array.indices), canonical_array(array.dictionary)
    return pa.DictionaryArray.from_arrays(indices, words, ordered=array.type.ordered)


def _canonical_struct(array: Any) -> Any:
    children = array.flatten()  # null where the struct is
    return _made(array, [], [canonical_array(child) for child in children])


def _canonical_bits(array: Any) -> Any:
    if array.null_count:
        array = _rewritten(array)
    return _made(array, [_bitmap(array, 1)], [])


def _canonical_values(array: Any) -> Any:
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


def _canonical_offsets(array: Any) -> Any:
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
        return _made(array, [own], [canonical_array(array.values[first:last])])
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
    for start in range(0, len(array), ARROW_ROWS):
        nulls = array[start : start + ARROW_ROWS].is_null()
        ends = offsets[start + 1 : start + 1 + len(nulls)]
        long = pc.not_equal(offsets[start : start + len(nulls)], ends)
        if pc.any(pc.and_(nulls, long)).as_py():
            return True
    return False


def _canonical_fixed_list(array: Any) -> Any:
    size = array.type.list_size
    items = array.values[array.offset * size :][: len(array) * size]
    if array.null_count and size:
        # `take` of the lists would leave it to the items whether zeros or nulls are under a null.
        items = pa.concat_arrays([_items(piece) for piece in _pieces(array)])
    return _made(array, [], [canonical_array(items)])


def _items(array: Any) -> Any:
    """The items of an array of lists of one size, null where the list is."""
    size = array.type.list_size
    places = pa.array(range(array.offset * size, (array.offset + len(array)) * size), pa.int64())
    lists = pa.array([row for row in range(len(array)) for _ in range(size)], pa.int64())
    return array.values.take(pc.if_else(array.is_valid().take(lists), places, None))


def _canonical_view(array: Any) -> Any:
    """An array of views into text or bytes, which may be anybody's."""
    plain = pa.large_string() if _is.is_string_view(array.type) else pa.large_binary()
    return _canonical_offsets(array.cast(plain)).cast(array.type)


def _canonical_list_view(array: Any) -> Any:
    sizes = pc.list_value_length(array).fill_null(0)
    ends = pc.cumulative_sum(sizes)
    return type(array).from_arrays(
        pc.subtract(ends, sizes), sizes, canonical_array(array.flatten()), type=array.type,
        mask=array.is_null() if array.null_count else None,
    )  # fmt: skip


def _canonical_union(array: Any) -> Any:
    """A union: of its children, what no element is."""
    kind, codes = array.type, canonical_array(_numbers_of_union(array, 1, pa.int8()))
    fields = [array.field(number) for number in range(kind.num_fields)]
    names = [kind.field(number).name for number in range(kind.num_fields)]
    chosen = [pc.equal(codes, code) for code in kind.type_codes]
    if kind.mode == "sparse":
        nothing = [pa.nulls(len(array), field.type) for field in fields]
        parts = map(pc.if_else, chosen, fields, nothing)
        children = list(map(canonical_array, parts))
        return pa.UnionArray.from_sparse(codes, children, names, kind.type_codes)
    offsets = _numbers_of_union(array, 2, pa.int32())
    taken = [field.take(offsets.filter(own)) for field, own in zip(fields, chosen, strict=True)]
    places = [pc.subtract(pc.cumulative_sum(own.cast(pa.int32())), 1) for own in chosen]
    own_offsets = places[0]
    for own, place in zip(chosen[1:], places[1:], strict=True):
        own_offsets = pc.if_else(own, place, own_offsets)
    children = list(map(canonical_array, taken))
    return pa.UnionArray.from_dense(
        codes, own_offsets.cast(pa.int32()), children, names, kind.type_codes
    )


def _numbers_of_union(array: Any, buffer: int, kind: Any) -> Any:
    """One number for each element: pyarrow's own properties forget that the array may be a slice."""
    buffers = [None, array.buffers()[buffer]]
    return pa.Array.from_buffers(kind, len(array), buffers, 0, array.offset)


def _pieces(array: Any) -> list[Any]:
    cuts = [*range(0, len(array), ARROW_ROWS), len(array)]
    return [array[start:end] for start, end in pairwise(cuts)]


def _rewritten(array: Any) -> Any:
    """A copy made value by value: Arrow's `take` puts zeros, and nothing, where there is null."""
    rows = pa.array(range(min(len(array), ARROW_ROWS)), pa.int32())
    return pa.concat_arrays([piece.take(rows[: len(piece)]) for piece in _pieces(array)])


_LARGE = (_is.is_large_string, _is.is_large_binary, _is.is_large_list)
_CANONICAL: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is.is_dictionary, _canonical_dictionary),
    (_is.is_struct, _canonical_struct),
    (_is.is_fixed_size_list, _canonical_fixed_list),
    *((test, _canonical_offsets) for test in (_is.is_string, _is.is_binary, *_LARGE)),
    *((test, _canonical_offsets) for test in (_is.is_list, _is.is_map)),
    (_is.is_boolean, _canonical_bits),
    *((test, _canonical_values) for test in (_is.is_primitive, _is.is_decimal)),
    (_is.is_fixed_size_binary, _canonical_values),
    *((test, _canonical_view) for test in (_is.is_string_view, _is.is_binary_view)),
    *((test, _canonical_list_view) for test in (_is.is_list_view, _is.is_large_list_view)),
    (_is.is_union, _canonical_union),
)
_MAKERS: dict[int, Callable[[Any], Any] | None] = {}  # by the id of a type, once it has been met
