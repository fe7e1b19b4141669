"""arrow/1: an Arrow IPC file, every large buffer a part of its own; pyarrow's and polars' values in it.

How pandas' values become columns is `pandas_frames`' business. Any program that reads Arrow (or Feather)
files reads the payload; what Arrow alone can't say stands in the schema's metadata under `gitflowrun`.

Not kept: how a table is divided into chunks, which no comparison looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Loading, Unencodable, flat, type_name
from gitflowrun.artifacts.codecs.plain_decode import decode_plain
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.errors import CorruptRecord, GitflowrunError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["decode_arrow", "encode_arrow", "write_table"]

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

    from gitflowrun.artifacts.codecs.nulls import cleaned

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
