"""pickle/5 and cloudpickle/1: what no other codec takes, large buffers out of band.

Unpickling runs whatever the pickle says, so it happens for trusted payloads only. A payload without
large buffers is a pickle that any Python reads. Classes of the flow's own file are pickled as
`__main__`'s; a note in the payload says under which name others can import that file.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from gitflowrun.artifacts.codecs import reducers
from gitflowrun.artifacts.codecs.canonical import canonical
from gitflowrun.artifacts.codecs.classes import find, main_name
from gitflowrun.artifacts.codecs.payload import (
    Loading,
    Unencodable,
    flat,
    join,
    split,
    type_name,
    writable,
)
from gitflowrun.errors import ClassChanged, CorruptRecord, GitflowrunError, NotFound
from gitflowrun.limits import OUT_OF_BAND

_MAIN = "__main__"


def encode_pickle(value: Any) -> tuple[memoryview, ...]:
    """The parts of a pickle; what pickle can't do is declined."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            return _reduce(obj)

    return _parts(Pickler, value)


def encode_cloudpickle(value: Any) -> tuple[memoryview, ...]:
    """The parts of a cloudpickle: functions and classes that can't be imported are stored whole."""
    try:
        import cloudpickle
    except ImportError as error:
        raise Unencodable("cloudpickle is not installed") from error

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = _reduce(obj)
            return super().reducer_override(obj) if reduced is NotImplemented else reduced

    return _parts(Pickler, value)


def _reduce(value: Any) -> Any:
    # cloudpickle would store what it finds in an open file or in a view: another value.
    if isinstance(value, io.IOBase) and not isinstance(value, io.BytesIO | io.StringIO):
        msg = f"an open file ({type_name(value)})"
        raise pickle.PicklingError(msg)
    if isinstance(value, memoryview):
        msg = "a memoryview: store bytes(view), or the array that it views"
        raise pickle.PicklingError(msg)
    return reducers.reduce(value)


def _parts(pickler: Any, value: Any) -> tuple[memoryview, ...]:
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < OUT_OF_BAND:
            return True
        # Whether a buffer may be written to is told by pickle's own opcode.
        buffers.append(flat(raw))
        return False

    out = io.BytesIO()
    try:
        pickler(out, protocol=5, buffer_callback=keep_in_band).dump(value)
    except Exception as error:
        raise Unencodable(f"{type(error).__name__}: {error}") from error
    head, buffers = canonical(out.getvalue(), buffers)
    notes = {"main": main_name()} if _MAIN.encode() in head else None
    return join(head, buffers, notes)


class _Unpickler(pickle.Unpickler):
    """Finds classes of the flow's file in a process whose main script is another one."""

    def __init__(self, head: bytes, buffers: list[memoryview], main: str) -> None:
        super().__init__(io.BytesIO(head), buffers=buffers)
        self._main = main

    def find_class(self, module: str, name: str) -> Any:
        if module == _MAIN:
            return find(self._main, name, trusted=True)
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError) as error:
            raise NotFound(
                f"the value needs {module}.{name}, which does not exist here: {error}",
                hint=f"install or make importable what provides {module.partition('.')[0]}",
            ) from error


def decode_pickle(payload: memoryview, loading: Loading) -> Any:
    """The value in a trusted payload.

    Raises:
        NotFound: a class or module it needs doesn't exist here.
        ClassChanged: a class refuses what it is given.
        CorruptRecord: the payload is no pickle.
    """
    head, buffers, notes = split(payload)
    buffers = list(map(writable if loading.writable else memoryview.toreadonly, buffers))
    try:
        return _Unpickler(bytes(head), buffers, notes.get("main", _MAIN)).load()
    except GitflowrunError:
        raise
    except ImportError as error:
        raise NotFound(f"the value needs a module that is missing here: {error}") from error
    except Exception as error:
        what = f"unpickling failed: {type(error).__name__}: {error}"
        if _is_of_class(error):
            raise ClassChanged(f"{what}: a class is not what it was") from error
        raise CorruptRecord(what) from error


def _is_of_class(error: Exception) -> bool:
    """Whether a class has failed, not pickle: in code of its own, or where it lacks an attribute or an argument."""
    trace = error.__traceback__
    in_code = trace is not None and trace.tb_next is not None
    return in_code or isinstance(error, AttributeError | TypeError)
