"""What of a ctypes value's memory is its own: structures have holes between their fields, as C compilers make them.

The holes were never set by anybody, and hold what was in memory before. In what is pickled they are zero.
"""

from __future__ import annotations

import ctypes
import operator
from functools import lru_cache
from typing import Any

_X87_BITS = 80  # of a long double; the rest of its 12 or 16 bytes is chance
_SIZE_BITS = 16  # of `size` of a field of bits: their number lies above, their place below


def reduce(value: Any) -> Any:
    """What pickle's `reducer_override` is to return for a structure, union, array or long double."""
    cls: Any = type(value)
    used = _used(cls)
    if used == _all(cls):
        return NotImplemented
    rebuild, (_, (attributes, data)) = value.__reduce__()
    clean = int.from_bytes(data, "little") & used
    return rebuild, (cls, (attributes, clean.to_bytes(len(data), "little")))


def reduce_array_class(cls: Any) -> Any:
    """The same for a class such as `c_int * 3`, which nothing can be found by the name of."""
    item, length = cls._type_, cls._length_
    return (operator.mul, (item, length)) if cls is item * length else NotImplemented


def _all(cls: Any) -> int:
    return int((1 << 8 * ctypes.sizeof(cls)) - 1)


@lru_cache(maxsize=256)
def _used(cls: Any) -> int:
    """The bits of a value that belong to it, the first byte's lowest."""
    if issubclass(cls, ctypes.Structure | ctypes.Union):
        used = 0
        for base in cls.__mro__:
            for name, kind, *bits in vars(base).get("_fields_", ()):
                field = vars(base)[name]
                own = _of_bits(field, *bits) if bits and not _is_swapped(cls) else _used(kind)
                used |= own << 8 * field.offset
        return used
    if issubclass(cls, ctypes.Array):
        item = _used(cls._type_).to_bytes(ctypes.sizeof(cls._type_), "little")
        return int.from_bytes(item * cls._length_, "little")
    is_extended = issubclass(cls, ctypes.c_longdouble) and cls._type_ == "g"
    return _all(cls) & ((1 << _X87_BITS) - 1) if is_extended else _all(cls)


def _of_bits(field: Any, count: int) -> int:
    first = getattr(field, "bit_offset", field.size & ((1 << _SIZE_BITS) - 1))
    return int(((1 << count) - 1) << first)


def _is_swapped(cls: Any) -> bool:
    return hasattr(cls, "_swappedbytes_")
