"""Users' codecs: objects that packages offer under the entry point group `gitflowrun.codecs`.

    [project.entry-points."gitflowrun.codecs"]
    mesh = "mypackage.codecs:MeshCodec"

The object (a class's attributes do) has

    id         name and version of the format, `mesh/1`; stored with every value, so never reuse one
    suffix     of the payload's file name, `.mesh`
    types      the types it takes, by full name: ("mypackage.mesh.Mesh",)
    safe       whether decoding runs no code that the payload names: loaded from untrusted runs if so
    encode     value -> the payload, in one buffer or a list of them
    decode     payload (a memoryview), trusted -> value

One that can't be loaded is warned about and left out; where one fails with a value, pickle takes over, with a
warning too. They are looked for only when no built-in codec takes a value exactly, or a payload names an
unknown one: reading the metadata of all packages takes 30 ms; whether any offers a codec is seen in 3.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs.payload import Unencodable, flat, type_name
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["GROUP", "UserCodec", "for_type", "user_codecs"]

GROUP = "gitflowrun.codecs"


@frozen
class UserCodec:
    """A codec that a package offers, checked."""

    id: str
    suffix: str
    types: frozenset[str]
    safe: bool
    made_by: Any

    @classmethod
    def checked(cls, offered: Any) -> UserCodec:
        """What an entry point offers, if it is a codec; TypeError or AttributeError say what is missing."""
        codec = cls(
            id=str(offered.id),
            suffix=str(offered.suffix),
            types=frozenset(offered.types),
            safe=bool(offered.safe),
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

    def decode(self, payload: memoryview, *, trusted: bool) -> Any:
        """The value in a payload."""
        return self.made_by.decode(payload, trusted=trusted)


def for_type(name: str) -> UserCodec | None:
    """The codec that takes values of a type, given by its full name."""
    return next((codec for codec in user_codecs().values() if name in codec.types), None)


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
    for path in _entry_point_files(directory or "."):
        try:
            with open(path, "rb") as file:  # noqa: PTH123  (hundreds of them)
                if group in file.read():
                    return True
        except OSError:
            continue  # most packages have no entry points
    return False


def _entry_point_files(directory: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    yield f"{entry.path}/entry_points.txt"
    except OSError:
        return
