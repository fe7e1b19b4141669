"""How picklers take apart exceptions of classes with an `__init__` of their own: it is not called when they are loaded.

Python would call the class with the exception's `args`. Those are what `super().__init__` was given, a message often,
and not what the class takes: such an exception fails to load, or loads with a message made of its message. Here
`args` and attributes are put back as they were. What builds them is Python's: any Python loads the pickle.
"""

from __future__ import annotations

import copyreg
from types import MemberDescriptorType
from typing import Any

_BUILTIN = "builtins"
# They may be objects of any size, which Python leaves out too; those of groups are read-only, and made of `args`.
_LEFT_OUT = frozenset({"obj", "message", "exceptions"})


def reduce(error: BaseException) -> Any:
    """What pickle's `reducer_override` is to return for an exception."""
    cls: Any = type(error)
    own = {
        name: _owner(cls, name) for name in ("__reduce__", "__reduce_ex__", "__init__", "__new__")
    }
    says_how = not _is_builtin(own["__reduce__"]) or own["__reduce_ex__"] is not object
    is_simple = _is_builtin(own["__init__"]) and _is_builtin(own["__new__"])
    if says_how or is_simple or cls in copyreg.dispatch_table:
        return NotImplemented
    if not _is_builtin(own["__new__"]) and not isinstance(
        vars(own["__new__"])["__new__"], staticmethod
    ):
        return NotImplemented  # it is written in C: no other makes its objects
    made_by = next(base for base in cls.__mro__ if _is_builtin(base)).__new__
    arguments = (cls, *error.args)
    if not _is_builtin(_owner(cls, "__setstate__")):
        return made_by, arguments, vars(error) or None
    state = _state(error)
    if _is_builtin(_owner(cls, "__setattr__")):
        return made_by, arguments, state or None
    return made_by, arguments, state, None, None, set_state


def set_state(error: BaseException, state: dict[str, Any]) -> None:
    """Give an exception its attributes though its class refuses to have them set. Pickles name this function."""
    for name, value in state.items():
        object.__setattr__(error, name, value)


def _state(error: BaseException) -> dict[str, Any]:
    """Attributes, and what lies in slots: those of built-in classes, such as `errno`, are filled by `__init__`."""
    state: dict[str, Any] = {}
    for base in type(error).__mro__:
        for name, member in vars(base).items():
            if not isinstance(member, MemberDescriptorType) or not hasattr(error, name):
                continue
            value = getattr(error, name)
            is_ours = name not in _LEFT_OUT and not name.startswith("__") and value is not None
            if is_ours or not _is_builtin(base):
                state.setdefault(name, value)
    if isinstance(error, OSError):  # its `__new__` leaves them to `__init__`
        state["args"] = error.args
    return {**state, **vars(error)}


def _owner(cls: type, name: str) -> type:
    return next(base for base in cls.__mro__ if name in vars(base))


def _is_builtin(cls: type) -> bool:
    return cls.__module__ == _BUILTIN
