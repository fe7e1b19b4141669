"""How picklers take apart values whose memory holds more than the value: a copy without it is pickled.

Padding between the fields of records and structures, the six bytes behind an x87 number, what lies under a mask or
a null, and what an array has beside what is used of it were never set by anybody: they hold what was in memory
before, a password for example, and tell equal values apart. In what is pickled they are zero, or not there. So are
counters and addresses that libraries keep in their objects, and the order in which a subclass of set is walked
through. torch's tensors are taken apart so that their memory travels out of band.
"""

from __future__ import annotations

import copyreg
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


class _ListOfSet:
    """The list that a set's subclass is made of when it is loaded: pickled as a set, whose order canonical pickles set.

    Args:
        items: What is in it.
    """

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (set(self._items),)


def _reduce_set(value: Any) -> Any:
    """A subclass of set or frozenset, in an order that is not that of this process' hash seed."""
    cls: Any = type(value)
    base: Any = set if isinstance(value, set) else frozenset
    if cls in copyreg.dispatch_table or any(
        getattr(cls, name) != getattr(base, name)
        for name in ("__reduce_ex__", "__reduce__", "__iter__")
    ):
        return NotImplemented  # it may have an order of its own
    rebuild, (items,), state = value.__reduce__()
    return rebuild, (_ListOfSet(items),), state


def _reduce_swapped(array: Any) -> Any:
    """An array of a subclass in the other byte order, which numpy's own state would lose; None for any other."""
    import numpy as np

    dtype = array.dtype
    cls: Any = type(array)
    if cls is np.ndarray or dtype.isnative or dtype.names is not None:
        return None
    state = (np.ndarray.__reduce__, np.ndarray.__setstate__)
    if cls is not np.ma.MaskedArray and (cls.__reduce__, cls.__setstate__) != state:
        return None  # its own state may hold more, which a copy has not
    return np.ndarray.astype, (array.astype(dtype.newbyteorder("=")), dtype)


def _reduce_array(array: Any) -> Any:
    if swapped := _reduce_swapped(array):
        return swapped
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

    if swapped := _reduce_swapped(array):
        return swapped
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

    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    batch = canonical(pa.RecordBatch.from_arrays([storage], names=[""]))
    clean = batch.column(0)
    if storage is not array:
        clean = pa.ExtensionArray.from_storage(array.type, clean)
    return clean.__reduce__()


def _reduce_ctypes(value: Any) -> Any:
    from gitflowrun.artifacts.codecs import ctypes as ctypes_codec

    return ctypes_codec.reduce(value)


def _reduce_ctypes_array(cls: Any) -> Any:
    from gitflowrun.artifacts.codecs import ctypes as ctypes_codec

    return ctypes_codec.reduce_array_class(cls)


def _reduce_polars(value: Any) -> Any:
    try:
        from gitflowrun.artifacts.codecs.polars import cleaned
    except (
        ImportError
    ):  # without pyarrow: row by row there is nothing under nulls, but text cut off
        return value[list(range(len(value)))].__reduce_ex__(5)
    return cleaned(value).__reduce_ex__(5)


def _reduce_compressed(matrix: Any) -> Any:
    """A sparse matrix of scipy's, whose arrays may be longer than what is in it."""
    rebuild, arguments, state, *more = matrix.__reduce_ex__(5)
    count = int(matrix.indptr[-1])
    cut = {name: state[name][:count] for name in ("data", "indices")}
    return rebuild, arguments, {**state, **cut}, *more


def _reduce_diagonals(matrix: Any) -> Any:
    """A sparse matrix of scipy's as diagonals, parts of which may lie outside of it."""
    rebuild, arguments, state, *more = matrix.__reduce_ex__(5)
    data, (height, width) = matrix.data.copy(), matrix.shape
    for diagonal, offset in zip(data, matrix.offsets, strict=True):
        diagonal[: max(0, offset)] = 0
        diagonal[max(0, min(height + offset, width)) :] = 0
    return rebuild, arguments, {**state, "data": data}, *more


def _reduce_partial(function: Any) -> Any:
    """One whose attributes somebody has asked for has an empty dict of them from then on."""
    rebuild, arguments, (*parts, attributes) = function.__reduce__()
    return rebuild, arguments, (*parts, attributes or None)


def _reduce_binary_tree(tree: Any) -> Any:
    """A tree of scikit-learn's counts how often it is asked: the last numbers before its metric."""
    rebuild, arguments, state = tree.__reduce__()
    *parts, _trims, _leaves, _splits, _calls, metric, weights = state
    return rebuild, arguments, (*parts, 0, 0, 0, 0, metric, weights)


def _reduce_kd_tree(tree: Any) -> Any:
    """A tree of scipy's has the addresses of a node's children in each node, and makes them anew when it is loaded."""
    rebuild, arguments, (nodes, *parts), *more = tree.__reduce_ex__(5)
    clean = nodes.copy()
    clean.view("i8").reshape(-1, _KD_NODE)[:, _KD_ADDRESSES] = 0
    return rebuild, arguments, (clean, *parts), *more


def _reduce_callbacks(registry: Any) -> Any:
    """A registry of matplotlib's counts how often it is written, and has its attributes in two orders."""
    rebuild, arguments, state, *more = registry.__reduce_ex__(5)
    callbacks = {signal: called for signal, called in state["callbacks"].items() if called}
    number = 1 + max((number for called in callbacks.values() for number in called), default=-1)
    state |= {"callbacks": callbacks, "_cid_gen": number}
    return rebuild, arguments, dict(sorted(state.items())), *more


def _reduce_without(*names: str) -> Callable[[Any], Any]:
    """What leaves attributes out that say something of this process alone."""

    def reduce_object(value: Any) -> Any:
        rebuild, arguments, state, *more = value.__reduce_ex__(5)
        kept = {name: part for name, part in state.items() if name not in names}
        return rebuild, arguments, kept, *more

    return reduce_object


_KD_NODE, _KD_ADDRESSES = 9, slice(5, 7)

_REDUCERS: dict[str, Callable[[Any], Any]] = {
    "builtins.set": _reduce_set,
    "builtins.frozenset": _reduce_set,
    "numpy.MaskedConstant": lambda _: NotImplemented,
    "numpy.MaskedArray": _reduce_masked,
    "numpy.ndarray": _reduce_array,
    "numpy.generic": _reduce_scalar,
    "numpy.finfo": lambda info: (type(info), (info.dtype,)),  # numpy's own way can't be loaded
    "pandas.BaseMaskedArray": _reduce_extension,
    "polars.DataFrame": _reduce_polars,
    "polars.Series": _reduce_polars,
    "pyarrow.Array": _reduce_arrow,
    "functools.partial": _reduce_partial,
    "_ctypes._CData": _reduce_ctypes,
    "_ctypes.PyCArrayType": _reduce_ctypes_array,
    "scipy._cs_matrix": _reduce_compressed,
    "scipy._dia_base": _reduce_diagonals,
    "scipy.cKDTree": _reduce_kd_tree,
    "sklearn.BinaryTree64": _reduce_binary_tree,
    "sklearn.BinaryTree32": _reduce_binary_tree,
    "sklearn._VectorizerMixin": _reduce_without("_stop_words_id"),  # an address
    "matplotlib.CallbackRegistry": _reduce_callbacks,
    "matplotlib.Figure": _reduce_without("_number"),  # pyplot's, which gives it another one
}
"""By library and name of a class, for its subclasses too: libraries may not be imported."""
