"""pickle/5 and cloudpickle/1: what no other codec takes, large buffers out of band.

Unpickling runs whatever the pickle says, so it happens for trusted payloads only. A payload without
large buffers is a pickle that any Python reads. Classes of the flow's own file are pickled as
`__main__`'s; a note in the payload says under which name others can import that file.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from gitflowrun.artifacts.codecs import exceptions, reducers
from gitflowrun.artifacts.codecs.canonical import canonical
from gitflowrun.artifacts.codecs.classes import find, is_of_main, main_name
from gitflowrun.artifacts.codecs.payload import (
    TOO_DEEP,
    Loading,
    Unencodable,
    flat,
    join,
    no_deeper,
    split,
    type_name,
    writable,
)
from gitflowrun.artifacts.place import storing
from gitflowrun.errors import ClassChanged, CorruptRecord, GitflowrunError, NotFound
from gitflowrun.limits import OUT_OF_BAND, PICKLED_DEPTH, WHOLE

_MAIN = "__main__"
_SIGN = b"main"
_MAX_NAME = 1 << 15
_WITH_STATE = 3  # items of what a reducer returns


def encode_pickle(value: Any) -> tuple[memoryview, ...]:
    """The parts of a pickle; what pickle can't do is declined."""
    with storing(), no_deeper(PICKLED_DEPTH):
        return _parts(_Pickler, value)


def encode_cloudpickle(value: Any) -> tuple[memoryview, ...]:
    """The parts of a cloudpickle: functions and classes that can't be imported are stored whole."""
    try:
        import cloudpickle
    except ImportError as error:
        raise Unencodable("cloudpickle is not installed") from error

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type) and is_of_main(obj):
                # By its name: a copy would be another class to the flow's steps.
                return NotImplemented
            reduced = _reduce(obj)
            if reduced is NotImplemented:
                reduced = super().reducer_override(obj)
            return _unused(obj, reduced) if isinstance(obj, type) else reduced

    with storing(), no_deeper(PICKLED_DEPTH):
        return _parts(Pickler, value)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return _reduce(obj)


def _reduce(value: Any) -> Any:
    # cloudpickle would store what it finds in an open file or in a view: another value.
    if isinstance(value, io.IOBase) and not isinstance(value, io.BytesIO | io.StringIO):
        msg = f"an open file ({type_name(value)})"
        raise pickle.PicklingError(msg)
    if isinstance(value, memoryview):
        msg = "a memoryview: store bytes(view), or the array that it views"
        raise pickle.PicklingError(msg)
    return exceptions.reduce(value) if isinstance(value, BaseException) else reducers.reduce(value)


def _unused(cls: type, reduced: Any) -> Any:
    """A class as cloudpickle takes it apart, without what using the class has left in it: it would be another one."""
    if not isinstance(reduced, tuple) or len(reduced) < _WITH_STATE:
        return reduced  # it is named
    attributes = reduced[2][0]
    attributes.pop("__slotnames__", None)  # copyreg's, once an instance is pickled
    if not attributes.get("__annotations__", True):  # Python's, once anybody asks for them
        del attributes["__annotations__"]
    if hasattr(cls, "_is_protocol") and attributes.get("__init__") is _inherited_init(cls):
        attributes.pop("__init__", None)  # typing's, once there is an instance, before Python 3.12
    registered = attributes.get("_abc_impl")
    if registered:  # in the order of their addresses, and None for those that are gone
        named = [one for one in registered if one is not None]
        attributes["_abc_impl"] = sorted(named, key=lambda one: (one.__module__, one.__qualname__))
    return reduced


def _inherited_init(cls: type) -> Any:
    """The `__init__` that typing gives a class that has none and fits a protocol."""
    inits = [vars(base)["__init__"] for base in cls.__mro__[1:] if "__init__" in vars(base)]
    return next(init for init in inits if getattr(init, "__module__", "") != "typing")


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
    except RecursionError as error:
        raise Unencodable(TOO_DEEP) from error
    except Exception as error:
        raise Unencodable(f"{type(error).__name__}: {error}") from error
    if buffers and out.tell() + sum(buffer.nbytes for buffer in buffers) <= WHOLE:
        # It won't be cut, and one piece can be what its name says: a pickle.
        buffers, out = [], io.BytesIO()
        pickler(out, protocol=5).dump(value)
    head, buffers = canonical(out.getvalue(), buffers)
    main = main_name() if _MAIN.encode() in head else ""
    if buffers:
        return join(head, buffers, {"main": main} if main else None)
    return (memoryview(head + _trailer(main)),)


def _trailer(main: str) -> bytes:
    """What follows a pickle that names classes of the flow's file: unpicklers read no further than its end."""
    name = main.encode(errors="replace")[:_MAX_NAME]
    return name + len(name).to_bytes(2, "big") + _SIGN if name else b""


def _parted(payload: memoryview) -> tuple[memoryview | bytes, list[memoryview], str]:
    """The pickle in a payload, its buffers, and what the flow's file is called."""
    head, buffers, notes = split(payload)
    main = notes.get("main", _MAIN)
    if not buffers and bytes(head[-len(_SIGN) :]) == _SIGN:
        end = len(head) - len(_SIGN) - 2
        start = end - int.from_bytes(head[end : end + 2], "big")
        if start > 0:
            return head[:start], buffers, bytes(head[start:end]).decode(errors="replace")
    return head, buffers, main


def plain_pickle(payload: memoryview) -> bytes:
    """The pickle in a payload as any Python reads it, with its buffers; nothing of it is run.

    Raises:
        CorruptRecord: it is none.
    """
    head, buffers, _ = _parted(payload)
    code = bytes(head)
    if not buffers:
        return code
    import pickletools

    pieces, start, left, waiting = list[bytes](), 0, iter(buffers), False
    try:
        for instruction, _, place in pickletools.genops(code):
            assert place is not None
            if waiting:  # whether it is writable is told by the next instruction
                read_only = instruction.name == "READONLY_BUFFER"
                buffer = next(left)
                code_of = pickle.BINBYTES8 if read_only else pickle.BYTEARRAY8
                pieces += [code_of, buffer.nbytes.to_bytes(8, "little"), bytes(buffer)]
                start = place + read_only
                waiting = False
            if instruction.name in {"NEXT_BUFFER", "FRAME"}:  # a frame has another size now
                pieces.append(code[start:place])
                waiting = instruction.name == "NEXT_BUFFER"
                start = place + (1 if waiting else 9)
    except (ValueError, StopIteration) as error:
        raise CorruptRecord(f"this is no pickle: {error}") from error
    return b"".join([*pieces, code[start:]])


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
        ClassChanged: a class refuses what it is given: it has changed, or never took what it pickles.
        CorruptRecord: the payload is no pickle.
    """
    head, buffers, main = _parted(payload)
    buffers = list(map(writable if loading.writable else memoryview.toreadonly, buffers))
    try:
        return _Unpickler(bytes(head), buffers, main).load()
    except GitflowrunError:
        raise
    except ImportError as error:
        raise NotFound(f"the value needs a module that is missing here: {error}") from error
    except Exception as error:
        what = f"unpickling failed: {type(error).__name__}: {error}"
        if _is_of_class(error):
            # Which of the two it is can't be told here: a pickle has the names of classes, not their code.
            raise ClassChanged(
                f"{what}: a class does not take what was stored of its object",
                hint="if the class has changed since, give it back what it had; if not, give it a "
                "__reduce__ that rebuilds the object",
            ) from error
        raise CorruptRecord(what) from error


def _is_of_class(error: Exception) -> bool:
    """Whether a class has failed, not pickle: in code of its own, or where it lacks an attribute or an argument."""
    trace = error.__traceback__
    in_code = trace is not None and trace.tb_next is not None
    return in_code or isinstance(error, AttributeError | TypeError)
