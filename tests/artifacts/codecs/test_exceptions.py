"""Exceptions come back as they were, whatever their class takes."""

from __future__ import annotations

import copyreg
import dataclasses
import pickle
from typing import Any

import pytest

from gitflowrun.artifacts.codecs import decode, encode


class Failed(Exception):
    """A message of two arguments."""

    def __init__(self, job: str, code: int = 0) -> None:
        super().__init__(f"[{code}] {job}")
        self.code = code


class Made(Exception):
    """Its arguments are gone before `__init__`."""

    def __new__(cls, job: str, code: int) -> Any:
        """Make the message."""
        return super().__new__(cls, f"{job}-{code}")

    def __init__(self, job: str, code: int) -> None:
        """Leave all to `__new__`."""


class NoFile(OSError):
    """What it holds lies in built-in slots."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "no such file", path)


class Slotted(Exception):
    """It has a slot."""

    __slots__ = ("job",)

    def __init__(self, job: str, _code: int) -> None:
        super().__init__("slotted")
        self.job = job


@dataclasses.dataclass
class Fields(Exception):
    """Made by keywords, it has no arguments at all."""

    job: str
    code: int


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """It refuses to have attributes set."""

    job: str
    code: int


class Restored(Failed):
    """It takes its state itself."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state, restored=True)


class Telling(Failed):
    """It says how it is rebuilt."""

    def __reduce__(self) -> Any:
        return Telling, ("told", self.code)


class Registered(Failed):
    """Somebody has told copyreg how it is rebuilt."""


copyreg.pickle(Registered, lambda error: (Registered, ("registered", error.code)))


@pytest.mark.parametrize(
    "error",
    [
        Failed("a", 5), Made("a", 1), NoFile("/x"), Slotted("a", 1), Fields(job="a", code=1),
        Frozen("a", 1), ValueError("a", 1), FileNotFoundError(2, "no", "/x"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_exception_comes_back_as_it_was(error: Exception) -> None:
    """Class, arguments, attributes and slots are the same, to any Python too, and so are the bytes."""
    made = encode({"errors": [error]})
    loaded = decode(made.codec, bytearray(made.payload()), trusted=True)
    assert encode(loaded).payload() == made.payload()
    for back in (loaded["errors"][0], pickle.loads(made.payload())["errors"][0]):
        assert type(back) is type(error)
        assert (back.args, str(back), vars(back)) == (error.args, str(error), vars(error))
        for name in ("errno", "filename", "job"):
            assert getattr(back, name, None) == getattr(error, name, None)


def test_a_class_may_say_how_its_exceptions_are_rebuilt() -> None:
    """`__reduce__`, `copyreg` and `__setstate__` of the user's decide."""
    made = encode([Telling("a", 1), Registered("a", 2), Restored("a", 3)])
    telling, registered, restored = decode(made.codec, made.payload(), trusted=True)
    assert telling.args == ("[1] told",)
    assert registered.args == ("[2] registered",)
    assert (restored.args, restored.restored) == (("[3] a",), True)


def test_a_local_exception_comes_back() -> None:
    """So does one whose class is stored with it."""
    pytest.importorskip("cloudpickle")

    class Local(Exception):
        def __init__(self, job: str, code: int) -> None:
            super().__init__(f"{job}-{code}")

    made = encode(Local("a", 1))
    assert made.codec == "cloudpickle/1"
    assert str(decode(made.codec, made.payload(), trusted=True)) == "a-1"
