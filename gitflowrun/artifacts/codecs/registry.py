"""Which codec takes a value, and which one reads a payload. How they do it is in their files.

A value goes to the codecs of its exact type, then to plain/1, then to users' codecs, then to pickle; the
first that can give it back exactly takes it. Codecs are imported when they are needed.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import (
    Buffer,
    Encoded,
    Loading,
    Unencodable,
    flat,
    type_name,
)
from gitflowrun.errors import CorruptRecord, GitflowrunError, UntrustedArtifact
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gitflowrun.artifacts.codecs.plugins import UserCodec

__all__ = [
    "ARRAY",
    "BYTES",
    "FILE",
    "Codec",
    "check_safe",
    "decode",
    "decode_embedded",
    "encode",
    "encode_embedded",
    "is_safe",
    "suffix",
]


@frozen
class Codec:
    """A codec's place in the registry.

    Attributes:
        id: Name and version of the format, as manifests list it.
        suffix: Of the payload's file name in the `data/` view.
        encode: Where its encoder is: `module:function` within this package.
        decode: Likewise its decoder.
        safe: Whether decoding runs no code that the payload names.
    """

    id: str
    suffix: str
    encode: str
    decode: str
    safe: bool = True


ARRAY, BYTES, FILE = "npy/1", "bytes/1", "file/1"

_BUILT_IN = (
    Codec("str/1", ".txt", "bytes:encode_str", "bytes:decode_str"),
    Codec(BYTES, ".bin", "bytes:encode_bytes", "bytes:decode_bytes"),
    Codec("plain/1", ".msgpack", "plain_encode:encode_plain", "plain_decode:decode_plain"),
    Codec(ARRAY, ".npy", "numpy:encode_npy", "numpy:decode_npy"),
    Codec("arrow/1", ".arrow", "arrow:encode_arrow", "arrow:decode_arrow"),
    Codec("safetensors/1", ".safetensors", "torch:encode_tensors", "torch:decode_tensors"),
    Codec(FILE, ".bin", "files:encode_file", "files:decode_file"),
    Codec("pickle/5", ".pickle", "pickle:encode_pickle", "pickle:decode_pickle", safe=False),
    Codec(
        "cloudpickle/1", ".pickle", "pickle:encode_cloudpickle", "pickle:decode_pickle",
        safe=False,
    ),
)  # fmt: skip
_CODECS = {codec.id: codec for codec in _BUILT_IN}

# The codecs of a type, best first, by its library and name: libraries may not be imported. Classes move
# between a library's modules (`pandas.core.frame.DataFrame`, `pandas.DataFrame`), so those are left out.
_OF_TYPE = {
    "builtins.str": ("str/1",),
    "builtins.bytes": (BYTES,),
    "builtins.dict": ("safetensors/1",),
    "collections.OrderedDict": ("safetensors/1",),
    "gitflowrun.FileArtifact": (FILE,),
    "numpy.ndarray": (ARRAY,),
    **dict.fromkeys(
        [
            f"pandas.{name}"
            for name in (
                "DataFrame", "Series", "Index", "RangeIndex", "MultiIndex", "DatetimeIndex",
                "TimedeltaIndex", "CategoricalIndex",
            )
        ],
        ("arrow/1",),
    ),
    "polars.DataFrame": ("arrow/1",),
    "polars.Series": ("arrow/1",),
    "pyarrow.Table": ("arrow/1",),
    "pyarrow.RecordBatch": ("arrow/1",),
    "pyarrow.ChunkedArray": ("arrow/1",),
    "torch.Tensor": ("safetensors/1",),
    "torch.Parameter": ("safetensors/1",),
}  # fmt: skip
_GENERAL = ("plain/1",)
_LAST = ("pickle/5", "cloudpickle/1")


def encode(value: Any) -> Encoded:
    """The value as bytes.

    Raises:
        UnserializableArtifact: no codec takes it; the message says why.
    """
    name = type_name(value)
    reasons = []
    for id_, encoder in _encoders(type(value)):
        try:
            return Encoded(id_, name, encoder(value), is_volatile=id_ == FILE)
        except Unencodable as reason:
            reasons.append(str(reason))
        except (GitflowrunError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (one codec's mistake must not cost a run: others follow)
            reasons.append(f"{id_}: {type(error).__name__}: {error}")
    from gitflowrun.artifacts.codecs.pickle import refuse

    raise refuse(name, reasons[-2:])


def _encoders(cls: type) -> Iterator[tuple[str, Callable[[Any], tuple[memoryview, ...]]]]:
    """Codecs that may take values of a class, best first, and their encoders."""
    for id_ in (*_of_type(cls), *_GENERAL):
        yield id_, partial(_call, _CODECS[id_].encode)
    if cls.__module__ != "builtins":
        from gitflowrun.artifacts.codecs import plugins

        users = plugins.for_type(f"{cls.__module__}.{cls.__qualname__}")
        if users is not None:
            yield users.id, users.encode
    for id_ in _LAST:
        yield id_, partial(_call, _CODECS[id_].encode)


def _of_type(cls: type) -> tuple[str, ...]:
    """The data codecs of exactly this class, by id."""
    library = cls.__module__.partition(".")[0]
    known = _OF_TYPE.get(f"{library}.{cls.__qualname__}")
    if known is not None:
        return known
    is_array = library == "pyarrow" and cls.__qualname__.endswith("Array")
    return ("arrow/1",) if is_array and cls.__qualname__ != "ExtensionArray" else ()


def encode_embedded(value: Any) -> Encoded:
    """The value as bytes by a data codec of its exact type, for a place within another value.

    Raises:
        Unencodable: there is none, or it declines.
    """
    name = type_name(value)
    for id_ in _of_type(type(value)):
        if id_ == FILE:
            raise Unencodable("a FileArtifact within another value: make it an artifact of its own")
        codec = _CODECS[id_]
        return Encoded(codec.id, name, _call(codec.encode, value))
    raise Unencodable(f"a {name}")


def decode(codec: str, payload: Buffer, *, trusted: bool, writable: bool = True) -> Any:
    """The value in a payload.

    Args:
        codec: Id of the codec that wrote it.
        payload: All of it. Arrays view it where they can: it must not be changed afterwards.
        trusted: Whether the payload may run code, as pickles do.
        writable: Whether arrays must be writable; where not, they may be read-only views.

    Raises:
        UntrustedArtifact: the codec runs code, and the payload isn't trusted.
        CorruptRecord: the payload is not what the codec writes, or the codec is unknown.
        NotFound: something that the value needs is not installed here.
    """
    return decode_embedded(codec, payload, Loading(trusted=trusted, writable=writable))


def decode_embedded(codec: str, payload: Buffer, loading: Loading) -> Any:
    """The value in a payload that lies within another one. Raises as `decode`."""
    if not loading.trusted:
        check_safe(codec)
    known = _CODECS.get(codec)
    if known is None:
        return _user_codec(codec).decode(flat(payload), trusted=loading.trusted)
    return _call(known.decode, flat(payload), loading)


def check_safe(codec: str) -> None:
    """Refuse a payload that could run code.

    Raises:
        UntrustedArtifact: payloads of this codec can.
        CorruptRecord: the codec is unknown.
    """
    if not is_safe(codec):
        raise UntrustedArtifact(
            f"a {codec} value can run code when it is loaded, and its run isn't trusted",
            hint="if you trust where it came from: git runs trust <run or remote>",
        )


def is_safe(codec: str) -> bool:
    """Whether payloads of this codec are loaded from anywhere.

    Raises:
        CorruptRecord: the codec is unknown.
    """
    known = _CODECS.get(codec)
    return known.safe if known else _user_codec(codec).safe


def suffix(codec: str) -> str:
    """The file name suffix of payloads of this codec; `.bin` for one that isn't known here."""
    known = _CODECS.get(codec)
    if known:
        return known.suffix
    try:
        return _user_codec(codec).suffix
    except GitflowrunError:
        return ".bin"


def _user_codec(codec: str) -> UserCodec:
    from gitflowrun.artifacts.codecs import plugins

    found = plugins.user_codecs().get(codec)
    if found is None:
        raise CorruptRecord(
            f"codec {codec!r} is unknown here",
            hint="install the package that provides it, or a newer gitflowrun",
        )
    return found


def _call(where: str, *args: Any) -> Any:
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), function)(*args)
