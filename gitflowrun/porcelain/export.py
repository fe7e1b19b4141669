"""An artifact as a file of the format that its name says: `model.pkl`, `table.csv`, `figure.png`.

Text, bytes, and what is stored in that format are written as they are, a pickle without being loaded. Everything
else is loaded, as far as that is allowed, and written by the library whose format it is. A value that a format can't
hold is refused, for the file would be something else than the value. A file is there whole or not at all.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gitflowrun.artifacts.codecs import suffix as suffix_of
from gitflowrun.artifacts.codecs.registry import BYTES, FILE, TEXT
from gitflowrun.artifacts.picture import PNG_SIGN
from gitflowrun.errors import GitflowrunError, NotFound, UntrustedArtifact, UsageError
from gitflowrun.limits import (
    COPY_PIECE,
    EXPORT_CHARACTERS,
    EXPORT_PARTS,
    EXPORT_RATIO,
    EXPORT_TRIED_UP_TO,
)
from gitflowrun.printing import is_written_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.client import DataArtifact
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.trust import Trust

_PICKLE = ".pickle"
_SAME = {".pkl": _PICKLE, ".p": _PICKLE, ".jpeg": ".jpg", ".htm": ".html", ".feather": ".arrow"}
_SIGNS: dict[str, tuple[bytes, ...]] = {
    _PICKLE: (b"\x80",),
    ".npy": (b"\x93NUMPY",),
    ".npz": (b"PK",),
    ".parquet": (b"PAR1",),
    ".arrow": (b"ARROW1", b"FEA1"),
    ".png": (PNG_SIGN,),
    ".jpg": (b"\xff\xd8\xff",),
    ".pdf": (b"%PDF",),
    ".joblib": (),  # no sign tells one
}
"""What files of a format begin with: bytes that don't are a value to be written, if the format holds such."""
_RUNS_NOTHING = frozenset({
    ".bin", ".csv", ".jpg", ".json", ".log", ".md", ".npy", ".npz", ".png", ".tsv", ".txt",
})  # fmt: skip
"""Files that run nothing, whatever is in them, when what people have for them opens them."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_PANDAS_FRAMES = frozenset({"pandas.DataFrame", "pandas.core.frame.DataFrame"})
_LONE = "it has text with half of a surrogate pair, which UTF-8 can't encode"


class _Unfit(Exception):
    """The value can't be written in this format; the text says why."""


def export(artifact: DataArtifact, ref: ArtifactRef, path: Path) -> str | None:
    """Write an artifact to a file, whose suffix says how.

    Args:
        artifact: The artifact.
        ref: Where its payload lies.
        path: The file; replaced if it is there.

    Returns:
        What there is to know of the file; None where it is the value.

    Raises:
        UsageError: the value can't be written so, or the file not at all.
        NotFound: a library or class that it takes is not here.
        UntrustedArtifact: the value would have to be loaded, and its run is not trusted.
    """
    suffix = _SAME.get(path.suffix.lower(), path.suffix.lower())
    try:
        with _replacing(path) as stream:
            if _copied(artifact, ref, suffix, stream):
                return None
            try:
                _write(artifact.data, ref.size, suffix, stream)
            except (UntrustedArtifact, NotFound, ImportError, _Unfit) as error:
                if ref.picture is None or ref.picture.suffix != suffix:
                    raise
                if stream.seekable():
                    stream.seek(0)
                    stream.truncate()
                stream.write(artifact.picture or b"")
                return f"this is the picture that its task drew: {error}"
            return None
    except (UntrustedArtifact, NotFound) as error:
        if ref.picture is None:
            raise
        hint = f"{error.hint}; or name the file {ref.picture.suffix}: its task drew that"
        raise type(error)(error.message, hint=hint) from error
    except _Unfit as error:
        raise UsageError(
            f"{artifact.pathspec}, a {ref.type}, can't be written as {path.suffix or 'a file'}: {error}",
            hint=_hint(artifact, ref),
        ) from error
    except ImportError as error:
        name = (error.name or "what is missing").partition(".")[0]
        raise NotFound(
            f"to write {path.suffix} takes {name}, which is not installed",
            hint=f"pip install {name}",
        ) from error
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} can't be written: {error.strerror or error}",
            hint="name a file in a directory that exists on a disk with free space",
        ) from error


def danger(trust: Trust, task: StoredTask, ref: ArtifactRef, path: Path) -> str | None:
    """Why a file that an artifact was written to is to be opened with care; None where it is not.

    Pages and vector graphics run scripts, pickles whatever they say, and readers of tables are not made for what
    somebody has written on purpose.

    Args:
        trust: What is trusted.
        task: The task that lists the artifact.
        ref: The artifact.
        path: The file.
    """
    suffix = _SAME.get(path.suffix.lower(), path.suffix.lower())
    if suffix in _RUNS_NOTHING or not path.is_file() or trust.trusts_artifact(task, ref):
        return None
    return (
        f"{str(path)!r} may run what a stranger wrote when it is opened; {trust.how_to_trust(task)}"
    )


def _hint(artifact: DataArtifact, ref: ArtifactRef) -> str:
    """The suffixes with which an artifact can be written, tried unless it is large."""
    if ref.codec in {BYTES, FILE}:
        return "name a file .bin for its content"
    found = []
    if ref.size <= EXPORT_TRIED_UP_TO:
        value = artifact.data
        for suffix in _TRIED:
            with suppress(Exception):
                _write(value, ref.size, suffix, io.BytesIO())
                found.append(suffix)
    own = suffix_of(ref.codec)
    found += [own] if own in _SIGNS and own != _PICKLE and own not in found else []
    found += [ref.picture.suffix] if ref.picture and ref.picture.suffix not in found else []
    named = " or ".join(filter(None, (", ".join([".pkl", *found[:-1]]), *found[-1:])))
    return f"name a file {named}"


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another one once it is whole; a link to one stays."""
    if path.exists() and not path.is_file():  # a device, or what a shell made of `>(...)`
        with path.open("wb") as stream:
            yield stream
        return
    path = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123  (it is open already)
            yield stream
            mask = os.umask(0)
            os.umask(mask)
            mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~mask
            with suppress(PermissionError):  # a mount whose files all have its modes
                os.fchmod(stream.fileno(), mode)
        Path(name).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _copied(artifact: DataArtifact, ref: ArtifactRef, suffix: str, stream: BinaryIO) -> bool:
    """Write what is stored, where that is a file of this format; whether it was."""
    own = suffix_of(ref.codec)
    if ref.picture is not None and ref.picture.is_exact and suffix == ref.picture.suffix:
        stream.write(artifact.picture or b"")
        return True
    if suffix == own == _PICKLE:
        from gitflowrun.artifacts.codecs.pickle import plain_pickle

        with artifact.open() as source:
            stream.write(plain_pickle(memoryview(source.read())))
        return True
    if suffix == own == ".arrow" and ref.type in _PANDAS_FRAMES:
        return False  # index and names of columns are stored in a way of our own
    if suffix != own and not _is_content(artifact, ref, suffix):
        return False
    with artifact.open() as source:
        shutil.copyfileobj(source, stream, COPY_PIECE)
    return True


def _is_content(artifact: DataArtifact, ref: ArtifactRef, suffix: str) -> bool:
    """Whether a text or bytes are the content of such a file, not a value to be written to one."""
    if ref.codec not in {TEXT, BYTES, FILE}:
        return False
    if suffix in _SIGNS:
        with artifact.open() as source:
            return ref.codec != TEXT and source.read(8).startswith(_SIGNS[suffix])
    if suffix == ".json":
        with artifact.open() as source:
            try:
                json.load(source)
            except ValueError:
                return False
    return True


def _write(value: Any, size: int, suffix: str, stream: BinaryIO) -> None:
    writer = _WRITERS.get(suffix)
    if isinstance(value, str) and writer is None:  # any other text was copied
        raise _Unfit(_LONE)
    if isinstance(value, str | bytes) and suffix in _SIGNS and suffix not in {_PICKLE, ".joblib"}:
        raise _Unfit(f"it is no content of a {suffix} file")
    if writer is None:
        raise _Unfit("nothing is known of that format" if suffix else "its name has no suffix")
    most = EXPORT_CHARACTERS + EXPORT_RATIO * size
    if suffix in _UNROLLED and not is_written_within(value, most, EXPORT_PARTS + size):
        raise _Unfit("what it shares would be written so often that the file had no end")
    try:
        writer(value, stream, suffix)
    except (_Unfit, GitflowrunError, ImportError, MemoryError):
        raise
    except UnicodeEncodeError as error:
        raise _Unfit(_LONE) from error
    except Exception as error:  # a library may raise anything for a value that it can't write
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; what Pillow can't write has no number
        said = next(filter(str.strip, str(error).splitlines()), type(error).__name__)
        raise _Unfit(said) from error


def _library(value: Any) -> tuple[str, str]:
    """The library and the name of a value's class."""
    kind = type(value)
    return kind.__module__.partition(".")[0], kind.__name__


def _pickle(value: Any, stream: BinaryIO, _suffix: str) -> None:
    pickle.dump(value, stream, protocol=5)


def _joblib(value: Any, stream: BinaryIO, _suffix: str) -> None:
    import joblib

    joblib.dump(value, stream)


def _json(value: Any, stream: BinaryIO, _suffix: str) -> None:
    is_frame = _library(value) == ("pandas", "DataFrame")
    text = _frame_as_json(value) if is_frame else _as_json(value, _plain, indent=2)
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        if _PAIR.search(text):
            raise _Unfit("JSON reads two halves of a surrogate pair as one character") from error
        content = text.encode(errors="backslashreplace")  # `\ud800`, as JSON has it
    stream.write(content + b"\n")


def _as_json(value: Any, default: Callable[[Any], Any], indent: int | None = None) -> str:
    """A value as JSON, read back for keys that differ in Python alone."""
    try:
        text = json.dumps(
            value, indent=indent, ensure_ascii=False, allow_nan=False, default=default
        )
        json.loads(text, object_pairs_hook=_distinct)
    except (TypeError, ValueError, RecursionError) as error:
        raise _Unfit(f"JSON has no such value: {error}") from error
    return text


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _Unfit(f"two of its keys are {json.dumps(key)} in JSON")
        seen.add(key)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own."""
    if _library(value)[0] == "numpy" and hasattr(value, "tolist"):
        if value.dtype.kind in "mMV":  # `tolist` makes numbers of times, and forgets fields
            raise _Unfit(f"JSON has no {value.dtype}")
        plain = value.tolist()
        if type(plain) is not type(value):  # as of a `longdouble`
            return plain
    raise _Unfit(f"JSON has no {'.'.join(_library(value))}")


def _frame_as_json(frame: Any) -> str:
    """A list of records, exact: no number is rounded, and times are ISO 8601 to the nanosecond."""
    if not _only_counts(frame.index):
        frame = frame.reset_index(allow_duplicates=True)
    names = [str(name) if type(name) is int else name for name in frame.columns.tolist()]
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise _Unfit(f"the name of column {name!r} is no text")
        if name in seen:
            raise _Unfit(f"two of its columns are named {name!r}")
        seen.add(name)
    columns = [_cells(frame.iloc[:, position]) for position in range(len(names))]
    records = (
        [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if names
        else [{}] * len(frame)
    )
    try:
        return _as_json(records, _cell)
    except _Unfit:
        for name, column in zip(names, columns, strict=True):
            try:
                _as_json(column, _cell)
            except _Unfit as error:
                raise _Unfit(f"column {name!r}: {error}") from error
        raise


def _only_counts(index: Any) -> bool:
    """Whether an index says no more than where a row is."""
    is_range = type(index).__name__ == "RangeIndex" and index.name is None
    return is_range and (index.start, index.step) == (0, 1)


def _cells(column: Any) -> list[Any]:
    """The values of a column; None where one is missing, unless NaN is a number or an object there."""
    values: list[Any] = column.tolist()
    kind = getattr(column.dtype, "subtype", column.dtype)
    if type(kind).__module__.partition(".")[0] == "numpy" and kind.kind in "fcO":
        return values
    return [
        None if gone else value for value, gone in zip(values, column.isna().tolist(), strict=True)
    ]


def _cell(value: Any) -> Any:
    """What a frame holds besides JSON's own values."""
    library, name = _library(value)
    if (library == "pandas" and name in {"Timestamp", "Timedelta"}) or library == "datetime":
        if hasattr(value, "isoformat"):
            return value.isoformat()
    elif library == "pandas" and name in {"NaTType", "NAType"}:
        return None
    return _plain(value)


def _text(value: Any, stream: BinaryIO, _suffix: str) -> None:
    if not isinstance(value, str | int | float | complex | None):
        raise _Unfit(
            "only text and numbers are written as text; `git runs cat` prints other values"
        )
    stream.write((value if isinstance(value, str) else f"{value}\n").encode())


def _npy(value: Any, stream: BinaryIO, _suffix: str) -> None:
    import numpy as np

    if not isinstance(value, np.ndarray | np.generic) or not _is_plain(value):
        raise _Unfit("it is no array of numbers")
    np.save(stream, value, allow_pickle=False)


def _npz(value: Any, stream: BinaryIO, _suffix: str) -> None:
    import numpy as np

    arrays = value if isinstance(value, dict) else {"arr_0": value}
    for name, array in arrays.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray) or not _is_plain(array):
            raise _Unfit("it is no array of numbers, and no dictionary of such")
    np.savez(stream, **arrays)


def _is_plain(array: Any) -> bool:
    """Whether numbers are all there is to an array: no objects, no mask."""
    return not array.dtype.hasobject and _library(array) != ("numpy", "MaskedArray")


def _csv(value: Any, stream: BinaryIO, _suffix: str) -> None:
    library, name = _library(value)
    if library == "pandas" and name in {"DataFrame", "Series"}:
        value.to_csv(stream, index=not _only_counts(value.index))
    elif library == "polars" and hasattr(value, "write_csv"):
        value.write_csv(stream)
    elif library == "pyarrow" and name in {"Table", "RecordBatch"}:
        from pyarrow import csv

        csv.write_csv(value, stream)
    else:
        _rows(value, stream)


def _rows(value: Any, stream: BinaryIO) -> None:
    """A list of dictionaries with the same keys, or of rows."""
    import csv
    import io

    rows = value.tolist() if _library(value) == ("numpy", "ndarray") else value
    is_list = isinstance(rows, list) and rows
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    if is_list and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    elif is_list and all(isinstance(row, list | tuple) for row in rows):
        csv.writer(text).writerows(rows)
    else:
        raise _Unfit(
            "it is no table: a frame, a list of rows, a list of dictionaries with the same keys"
        )
    text.detach()


def _parquet(value: Any, stream: BinaryIO, _suffix: str) -> None:
    library, name = _library(value)
    if (library, name) == ("pandas", "DataFrame"):
        value.to_parquet(stream)
    elif library == "polars" and hasattr(value, "write_parquet"):
        value.write_parquet(stream)
    elif library == "pyarrow" and name in {"Table", "RecordBatch"}:
        import pyarrow as pa
        from pyarrow import parquet

        table = value if name == "Table" else pa.Table.from_batches([value])
        parquet.write_table(table, stream)
    else:
        raise _Unfit("it is no frame")


def _arrow(value: Any, stream: BinaryIO, _suffix: str) -> None:
    if _library(value) != ("pandas", "DataFrame"):
        raise _Unfit("it is no frame")
    import pyarrow as pa

    table = pa.Table.from_pandas(value)  # with what `pandas.read_feather` needs
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)


def _picture(value: Any, stream: BinaryIO, suffix: str) -> None:
    library, _ = _library(value)
    form = suffix[1:]
    if library == "matplotlib" and hasattr(value, "savefig"):
        value.savefig(stream, format=form)
    elif library == "PIL" and hasattr(value, "save") and suffix != ".svg":
        value.save(stream, format={"jpg": "JPEG"}.get(form, form.upper()))
    elif library == "plotly" and hasattr(value, "to_image"):
        stream.write(value.to_image(format=form))
    else:
        raise _Unfit("it is no figure")


def _html(value: Any, stream: BinaryIO, _suffix: str) -> None:
    library, name = _library(value)
    if library not in {"plotly", "pandas"} or not hasattr(value, "to_html"):
        raise _Unfit("it is no figure of plotly and no frame")
    if (library, name) != ("pandas", "DataFrame"):
        text = value.to_html()
    else:
        import pandas as pd

        with pd.option_context("display.max_colwidth", None):  # a table for people: nothing is cut
            text = value.to_html(float_format=lambda number: repr(float(number)))
    stream.write(text.encode())


_UNROLLED = frozenset({".json", ".csv"})
"""Formats in which nothing is shared: 30 lists, each twice in the next, would be written 10^9 times."""
_TRIED = (".json", ".csv", ".parquet", ".arrow", ".npy", ".npz", ".txt")
"""What says at once whether it can hold a value; a picture may start a browser."""
_WRITERS: dict[str, Callable[[Any, BinaryIO, str], None]] = {
    _PICKLE: _pickle,
    ".joblib": _joblib,
    ".json": _json,
    ".txt": _text,
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".html": _html,
    **dict.fromkeys((".png", ".jpg", ".svg", ".pdf"), _picture),
}
