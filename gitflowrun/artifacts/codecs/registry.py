"""The table of codecs: which one takes a value, and which one reads a payload.

A value goes to the codec of its exact type, then to plain/1, then to users' codecs, then to pickle; the first
that can give it back exactly takes it. The tables name functions as `module:function` within this package, so
that a codec, and the library it is for, are imported when the first value of their kind is met.

Users' codecs: objects that packages offer under the entry point group `gitflowrun.codecs`.

    [project.entry-points."gitflowrun.codecs"]
    mesh = "mypackage.codecs:MeshCodec"

The object (a class's attributes do) has

    id         name and version of the format, `mesh/1`; stored with every value, so never reuse one
    suffix     of the payload's file name, `.mesh`
    types      the types it takes, by full name: ("mypackage.mesh.Mesh",)
    encode     value -> the payload, in one buffer or a list of them
    decode     payload (a memoryview), trusted -> value

They get payloads of trusted runs only: `trusted` is always true. One that can't be loaded is warned about and left
out; where one fails with a value, pickle takes over, with a warning too. They are looked for only when no built-in
codec takes a value exactly, or a trusted payload names an unknown one: reading the metadata of all packages takes
30 ms; whether any offers a codec is seen in 3.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from functools import cache, partial
from glob import iglob
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import (
    TOO_DEEP,
    Encoded,
    Loading,
    Unencodable,
    flat,
    needs_trust,
    type_name,
)
from gitflowrun.artifacts.scalar import scalar_of
from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    NotFound,
    UnserializableArtifact,
)
from gitflowrun.limits import ERROR_TEXT
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitflowrun.artifacts.codecs.payload import Buffer


@frozen
class Codec:
    """A format that payloads may have.

    Attributes:
        id: Name and version of the format, as manifests list it.
        suffix: Of the payload's file name in the `data/` view.
        decoder: The function that decodes.
        safe: Whether it may be given what a stranger has made to hurt us: it is all our own, and made for that.
    """

    id: str
    suffix: str
    decoder: str
    safe: bool = True

    def decode(self, payload: memoryview, loading: Loading) -> Any:
        """The value in a payload."""
        return _call(self.decoder, payload, loading)


TEXT, BYTES, FILE = "str/1", "bytes/1", "file/1"
PLAIN, ARRAY, TABLE, TENSORS = "plain/1", "npy/1", "arrow/1", "safetensors/1"
PICKLE, CLOUDPICKLE = "pickle/5", "cloudpickle/1"

_CODECS = {
    codec.id: codec
    for codec in (
        Codec(TEXT, ".txt", "bytes:decode_str"),
        Codec(BYTES, ".bin", "bytes:decode_bytes"),
        Codec(FILE, ".bin", "bytes:decode_file"),
        Codec(PLAIN, ".msgpack", "plain_decode:decode_plain"),
        Codec(ARRAY, ".npy", "numpy:decode_npy"),
        Codec(TABLE, ".arrow", "arrow:decode_file", safe=False),
        Codec(TENSORS, ".safetensors", "torch:decode_tensors", safe=False),
        Codec(PICKLE, ".pickle", "pickle:decode_pickle", safe=False),
        Codec(CLOUDPICKLE, ".pickle", "pickle:decode_pickle", safe=False),
    )
}

FILE_TYPE = "gitflowrun.FileArtifact"

_Encoder = tuple[str, str]  # the codec's id, and the function
_PYARROW: _Encoder = (TABLE, "arrow:encode_table")
_PANDAS: _Encoder = (TABLE, "pandas:encode_frame")
_POLARS: _Encoder = (TABLE, "polars:encode_frame")
_TORCH: _Encoder = (TENSORS, "torch:encode_tensors")

# The encoder of a type, by its library and name: libraries may not be imported. Classes move between a
# library's modules (`pandas.core.frame.DataFrame`, `pandas.DataFrame`), so those are left out.
_OF_TYPE: dict[str, _Encoder] = {
    "builtins.str": (TEXT, "bytes:encode_str"),
    "builtins.bytes": (BYTES, "bytes:encode_bytes"),
    FILE_TYPE: (FILE, "bytes:encode_file"),
    "numpy.ndarray": (ARRAY, "numpy:encode_npy"),
    **dict.fromkeys(
        (
            "pandas.DataFrame", "pandas.Series", "pandas.Index", "pandas.RangeIndex",
            "pandas.MultiIndex", "pandas.DatetimeIndex", "pandas.TimedeltaIndex",
            "pandas.CategoricalIndex",
        ),
        _PANDAS,
    ),
    "polars.DataFrame": _POLARS,
    "polars.Series": _POLARS,
    "pyarrow.Table": _PYARROW,
    "pyarrow.RecordBatch": _PYARROW,
    "pyarrow.ChunkedArray": _PYARROW,
    "builtins.dict": _TORCH,
    "collections.OrderedDict": _TORCH,
    "torch.Tensor": _TORCH,
    "torch.Parameter": _TORCH,
}  # fmt: skip
_GENERAL: _Encoder = (PLAIN, "plain_encode:encode_plain")
_LAST: tuple[_Encoder, ...] = (
    (PICKLE, "pickle:encode_pickle"),
    (CLOUDPICKLE, "pickle:encode_cloudpickle"),
)
# What makes a library's value of the table in an Arrow file.
_FROM_TABLE = {
    "pandas": "pandas:decode_frame",
    "polars": "polars:decode_frame",
    "pyarrow": "arrow:decode_table",
}


# The extra of gitflowrun that installs a library.
_EXTRAS = {
    "numpy": "numpy", "pandas": "pandas", "pyarrow": "pandas", "polars": "polars", "torch": "torch",
    "cloudpickle": "pickle",
}  # fmt: skip


def encode(value: Any) -> Encoded:
    """The value as bytes.

    Raises:
        UnserializableArtifact: no codec takes it; the message says why.
    """
    name = type_name(value)
    reasons = []
    for id_, encoder in _encoders(type(value)):
        try:
            return Encoded(
                id_, name, encoder(value), is_volatile=id_ == FILE, scalar=scalar_of(value)
            )
        except Unencodable as reason:
            reasons.append(str(reason))
        except (GitflowrunError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (one codec's mistake must not cost a run: others follow)
            reasons.append(f"{id_}: {type(error).__name__}: {error}")
    raise _unserializable(name, reasons[-2:])


def _encoders(cls: type) -> Iterator[tuple[str, Callable[[Any], tuple[memoryview, ...]]]]:
    """Codecs that may take values of a class, best first, and their encoders."""
    own = _of_type(cls)
    for id_, where in (own, _GENERAL) if own else (_GENERAL,):
        yield id_, partial(_call, where)
    if cls.__module__ != "builtins":
        name = f"{cls.__module__}.{cls.__qualname__}"
        for codec in user_codecs().values():
            if name in codec.types:
                yield codec.id, codec.encode
    for id_, where in _LAST:
        yield id_, partial(_call, where)


def _of_type(cls: type) -> _Encoder | None:
    """The encoder of exactly this class, if it has one of its own."""
    library = cls.__module__.partition(".")[0]
    own = _OF_TYPE.get(f"{library}.{cls.__qualname__}")
    is_array = library == "pyarrow" and cls.__qualname__.endswith("Array")
    return _PYARROW if is_array and cls.__qualname__ != "ExtensionArray" else own


def _unserializable(type_: str, reasons: list[str]) -> UnserializableArtifact:
    hint = "store what it was made from, or register a codec (entry point group gitflowrun.codecs)"
    if TOO_DEEP in reasons:
        hint = "keep the parts side by side, in a list or dict, and let them name each other by index or key"
    elif any("cloudpickle is not installed" in reason for reason in reasons):
        hint = "pip install cloudpickle stores functions and local classes; or " + hint
    return UnserializableArtifact(
        f"a value of type {type_} can't be pickled: {reasons[0]}", hint=hint
    )


def encode_embedded(value: Any) -> Encoded:
    """The value as bytes by the codec of its exact type, for a place within another value.

    Raises:
        Unencodable: there is none, or it declines.
    """
    name = type_name(value)
    own = _of_type(type(value))
    if own is None:
        raise Unencodable(f"a {name}")
    id_, where = own
    if id_ == FILE:
        raise Unencodable("a FileArtifact within another value: make it an artifact of its own")
    return Encoded(id_, name, _call(where, value))


def decode(codec: str, payload: Buffer, *, trusted: bool, writable: bool = True) -> Any:
    """The value in a payload.

    Args:
        codec: Id of the codec that wrote it.
        payload: All of it. Arrays view it where they can: it must not be changed afterwards.
        trusted: Whether the payload may run code, as pickles do.
        writable: Whether arrays must be writable; where not, they may be read-only views.

    Raises:
        UntrustedArtifact: the codec, or something in the payload, needs trust, and the payload isn't trusted.
        CorruptRecord: the payload is not what the codec writes, or the codec is unknown.
        NotFound: something that the value needs is not installed here.
    """
    return decode_embedded(codec, payload, Loading(trusted=trusted, writable=writable))


def decode_embedded(codec: str, payload: Buffer, loading: Loading) -> Any:
    """The value in a payload that lies within another one. Raises as `decode`.

    Whatever goes wrong in a decoder ends here, whether of ours or of a library that panics past `Exception`. Ctrl-C
    goes on, and so does `SystemExit`: it comes from a signal's handler, or from a module of a trusted run.
    """
    if not loading.trusted:
        check_safe(codec)
    try:
        return _codec(codec).decode(flat(payload), loading)
    except ImportError as error:
        raise _not_installed(codec, error) from error
    except MemoryError:
        if loading.trusted:  # nothing is wrong with the payload
            raise
        raise needs_trust(f"a value stored as {codec} takes more memory than there is") from None
    except (GitflowrunError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise CorruptRecord(f"malformed {codec} payload: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_TEXT]


def _not_installed(codec: str, error: ImportError) -> NotFound:
    """The error for a payload whose library is not here."""
    name = (error.name or "what is missing").partition(".")[0]
    extra = _EXTRAS.get(name)
    return NotFound(
        f"the value is stored as {codec}, which needs a package that is not installed: {error}",
        hint=f"pip install 'gitflowrun[{extra}]'" if extra else f"pip install {name}",
    )


def table_decoder(kind: str) -> Callable[..., Any]:
    """The function that makes a value of the table in an Arrow file.

    Args:
        kind: The value's type as its recipe names it, such as `pandas.DataFrame`.

    Raises:
        CorruptRecord: no such type is stored as a table.
    """
    where = _FROM_TABLE.get(kind.partition(".")[0])
    if where is None:
        raise CorruptRecord(f"a table that is a {kind}", hint="install a newer gitflowrun")
    return _function(where)


def check_safe(codec: str) -> None:
    """Refuse a payload that could do harm.

    Raises:
        UntrustedArtifact: payloads of this codec can.
    """
    if not is_safe(codec):
        how = _HARM.get(codec, "is read by another package's code")
        raise needs_trust(f"a value stored as {codec} {how}")


_HARM = {
    **dict.fromkeys((PICKLE, CLOUDPICKLE), "can run code when it is loaded"),
    **dict.fromkeys((TABLE, TENSORS), "is read by libraries that trust what they read"),
}


def is_safe(codec: str) -> bool:
    """Whether payloads of this codec are loaded from anywhere. For others no library is imported before trust."""
    found = _CODECS.get(codec)
    return found is not None and found.safe


def is_pickle(codec: str) -> bool:
    """Whether payloads of this codec may differ where values are equal: they hold objects of any class."""
    return codec not in _CODECS or codec in {PICKLE, CLOUDPICKLE}


def suffix(codec: str) -> str:
    """The file name suffix of payloads of this codec; `.bin` for one that isn't known here."""
    try:
        return _codec(codec).suffix
    except GitflowrunError:
        return ".bin"


def _codec(id_: str) -> Codec | UserCodec:
    found = _CODECS.get(id_) or user_codecs().get(id_)
    if found is None:
        raise CorruptRecord(
            f"codec {id_!r} is unknown here",
            hint="install the package that provides it, or a newer gitflowrun",
        )
    return found


def _call(where: str, *args: Any) -> Any:
    return _function(where)(*args)


@cache
def _function(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), name)
    return function


GROUP = "gitflowrun.codecs"


@frozen
class UserCodec:
    """A codec that a package offers, checked."""

    id: str
    suffix: str
    types: frozenset[str]
    made_by: Any

    @classmethod
    def checked(cls, offered: Any) -> UserCodec:
        """What an entry point offers, if it is a codec; TypeError or AttributeError say what is missing."""
        codec = cls(
            id=str(offered.id),
            suffix=str(offered.suffix),
            types=frozenset(offered.types),
            made_by=offered,
        )
        if "/" not in codec.id or not callable(offered.encode) or not callable(offered.decode):
            msg = "it needs an id such as 'mesh/1' and functions encode and decode"
            raise TypeError(msg)
        return codec

    def encode(self, value: Any) -> tuple[memoryview, ...]:
        """The payload of a value, in parts.

        Raises:
            Unencodable: the package's function failed. Its author is warned, for a pickle will do as well.
        """
        try:
            made = self.made_by.encode(value)
            buffers = [made] if isinstance(made, bytes | bytearray | memoryview) else made
            return tuple(flat(buffer) for buffer in buffers)
        except MemoryError:
            raise
        except Exception as error:
            why = f"codec {self.id} failed: {type(error).__name__}: {error}"
            msg = f"{why}; the {type_name(value)} is pickled instead"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
            raise Unencodable(why) from error

    def decode(self, payload: memoryview, loading: Loading) -> Any:
        """The value in a payload."""
        return self.made_by.decode(payload, trusted=loading.trusted)


@cache
def user_codecs() -> Mapping[str, UserCodec]:
    """All codecs that installed packages offer, by id. Imports them."""
    if not any(_offers_codecs(directory) for directory in sys.path):
        return {}
    from importlib.metadata import entry_points

    codecs = {}
    for point in entry_points(group=GROUP):
        try:
            codec = UserCodec.checked(point.load())
        except Exception as error:  # noqa: BLE001  (a broken package must not stop a run)
            why = f"{type(error).__name__}: {error}"
            msg = f"entry point {point.name!r} of group {GROUP} offers no codec: {why}"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
        else:
            codecs[codec.id] = codec
    return codecs


def _offers_codecs(directory: str) -> bool:
    group = f"[{GROUP}]".encode()
    for path in iglob("*-info/entry_points.txt", root_dir=directory or "."):  # noqa: PTH207  (hundreds)
        with suppress(OSError), open(os.path.join(directory, path), "rb") as file:  # noqa: PTH118, PTH123
            if group in file.read():
                return True
    return False
