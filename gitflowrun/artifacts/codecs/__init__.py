"""Values to bytes and back: one codec a file, chosen by the value's exact type.

    bytes     str/1, bytes/1      the text or bytes themselves: `git show` reads them
              file/1              a file or stream of bytes larger than memory
    plain_*   plain/1             what Python's literals and standard value types build, as msgpack
    numpy     npy/1               numpy arrays in numpy's own file format
    arrow, pandas, polars   arrow/1   pandas, polars and pyarrow as an Arrow IPC file
    torch     safetensors/1       torch tensors and state dicts
    plugins                       users' codecs, found by entry point
    pickle    pickle/5, cloudpickle/1   everything else; loaded only from trusted runs
    canonical, reducers                 what makes pickles canonical: the order of sets, memory of nobody
    exceptions                          what gives exceptions back whatever their `__init__` takes
    same_plain                          whether two payloads of plain/1 hold equal values

Bytes are deterministic: equal values give equal bytes in every process and under every hash seed, and no byte is
stored that belongs to no value. Pickles are made so by `canonical` and `reducers`, except where a class pickles
something else than its value: addresses, the time, a cache. (Nor may Arrow's views, runs and unions be, which are
stored with what lies in memory beside their values.) The order of a dict and the
sharing of a mutable object inside one value are part of the value. Nothing is ever stored as something
similar: a codec that can't give a value back exactly leaves it to the next one, pickle last.
"""

from __future__ import annotations

from gitflowrun.artifacts.codecs.payload import Encoded, type_name
from gitflowrun.artifacts.codecs.registry import (
    ARRAY,
    BYTES,
    FILE,
    FILE_TYPE,
    PLAIN,
    TEXT,
    check_safe,
    decode,
    encode,
    is_pickle,
    is_safe,
    suffix,
)

__all__ = [
    "ARRAY",
    "BYTES",
    "FILE",
    "PLAIN",
    "TEXT",
    "Encoded",
    "check_safe",
    "decode",
    "encode",
    "is_file",
    "is_pickle",
    "is_safe",
    "suffix",
    "type_name",
]


def is_file(value: object) -> bool:
    """Whether a value is a FileArtifact; asked of every value, so its module is not imported for it."""
    return type_name(value) == FILE_TYPE
