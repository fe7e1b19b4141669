"""How picklers take apart values whose memory holds more than the value: a copy without it is pickled.

Padding between the fields of records, the six bytes behind an x87 number, and what lies under a mask or a null
were never set by anybody: they hold what was in memory before, a password for example, and tell equal values
apart. In what is pickled they are zero. torch's tensors are taken apart so that their memory travels out of band.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.codecs import numpy as numpy_codec
from gitflowrun.artifacts.codecs import torch as torch_codec

if TYPE_CHECKING:
    from collections.abc import Callable


def reduce(value: Any) -> Any:
    """What pickle's `reducer_override` is to return for a value."""
    cls: Any = type(value)
    reducer = _reducer_of(cls)
    if reducer is None:
        return NotImplemented
    try:
        return reducer(value)
    except Exception:  # noqa: BLE001  (a subclass that pickles itself otherwise is stored as it wants)
        return NotImplemented


@lru_cache(maxsize=1024)
def _reducer_of(cls: type) -> Callable[[Any], Any] | None:
    for base in cls.__mro__:
        library = base.__module__.partition(".")[0]
        reducer = _REDUCERS.get(f"{library}.{base.__name__}")
        if reducer is not None:
            return reducer
    return torch_codec.reducers().get(cls)


def _reduce_array(array: Any) -> Any:
    clean = numpy_codec.without_padding(array)
    return NotImplemented if clean is array else clean.__reduce_ex__(5)


def _reduce_scalar(scalar: Any) -> Any:
    gaps = numpy_codec.padding(scalar.dtype)
    if not gaps:
        return NotImplemented
    rebuild, (dtype, data) = scalar.__reduce__()
    return rebuild, (dtype, numpy_codec.with_gaps_of_zeros(data, gaps))


def _reduce_masked(array: Any) -> Any:
    """A masked array's state has what is in the array, then the mask, both as bytes in the same order."""
    import numpy as np

    rebuild, arguments, state = array.__reduce__()
    *layout, data, mask, fill = state
    dtype = array.dtype
    if isinstance(data, bytes):
        values = np.frombuffer(bytearray(data), dtype)
        _clear(values, np.frombuffer(mask, np.ma.make_mask_descr(dtype)))
        data = numpy_codec.without_padding(values).tobytes()
    elif dtype.names is None:
        data = [None if hidden else item for item, hidden in zip(data, mask, strict=True)]
    return rebuild, arguments, (*layout, data, mask, fill)


def _clear(values: Any, mask: Any) -> None:
    if mask.dtype.names is None:
        values[mask] = 0
        return
    for name in mask.dtype.names:
        _clear(values[name], mask[name])


def _reduce_extension(array: Any) -> Any:
    """One of pandas' arrays of values and a mask."""
    mask = array.isna() & array._mask  # noqa: SLF001  (pandas gives neither part)
    values = array._data.copy()  # noqa: SLF001
    values[mask] = 0
    return type(array)(values, mask).__reduce_ex__(5)


def _reduce_arrow(array: Any) -> Any:
    import pyarrow as pa

    from gitflowrun.artifacts.codecs.arrow import canonical

    if isinstance(array, pa.ExtensionArray):  # its storage is
        return NotImplemented
    batch = pa.RecordBatch.from_arrays([array], names=[""])
    return canonical(batch).column(0).__reduce__()


def _reduce_polars(value: Any) -> Any:
    """A frame or series of polars: taken row by row, there is nothing under nulls."""
    nulls = value.null_count()
    if not (nulls if isinstance(nulls, int) else nulls.transpose().sum().item()):
        return NotImplemented
    return value[list(range(len(value)))].__reduce_ex__(5)


_REDUCERS: dict[str, Callable[[Any], Any]] = {
    "numpy.MaskedConstant": lambda _: NotImplemented,
    "numpy.MaskedArray": _reduce_masked,
    "numpy.ndarray": _reduce_array,
    "numpy.generic": _reduce_scalar,
    "pandas.BaseMaskedArray": _reduce_extension,
    "polars.DataFrame": _reduce_polars,
    "polars.Series": _reduce_polars,
    "pyarrow.Array": _reduce_arrow,
}
"""By library and name of a class, for its subclasses too: libraries may not be imported."""
