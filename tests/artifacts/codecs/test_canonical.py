"""Canonical pickles: equal values have equal bytes, whatever process pickled them and however often."""

from __future__ import annotations

import abc
import enum
import gc
import os
import pickle
import subprocess
import sys
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import limits
from gitflowrun.artifacts.codecs import canonical as canonical_module
from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.artifacts.codecs.canonical import canonical

np = pytest.importorskip("numpy")
pytest.importorskip("cloudpickle")


class Thing:
    """An object of any attributes."""

    peers: Any

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()
)
_KEYS = st.one_of(st.text(), st.integers(), st.binary())
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(_KEYS, inner),
        st.sets(_KEYS),
        st.frozensets(_KEYS),
        st.builds(lambda a, b: Thing(a=a, b=b), inner, inner),
        inner.map(lambda value: [value, value, Thing(again=value)]),
    ),
    max_leaves=30,
)


@given(_VALUES)
def test_the_value_is_the_same_and_its_bytes_do_not_change(value: Any) -> None:
    """What is loaded equals what was pickled, shares what it shared, and has the same bytes again."""
    made, _ = canonical(pickle.dumps(Thing(value=[value, value]), protocol=5), [])
    loaded = pickle.loads(made)
    assert loaded.value[0] == value
    assert (loaded.value[0] is loaded.value[1]) or not isinstance(value, list | dict | set | Thing)
    assert canonical(pickle.dumps(loaded, protocol=5), [])[0] == made


@given(st.binary(max_size=200))
def test_bytes_that_are_no_pickle_stay_as_they_are(data: bytes) -> None:
    """Whatever the bytes: the outcome is a pickle that is written, or the same bytes."""
    code = b"\x80\x05" + data
    made, _ = canonical(code, [])
    assert made == code or made.startswith(b"\x80\x05")


_SETS = """
import abc
import sys
from gitflowrun.artifacts.codecs import encode

def make(names):
    class Vocabulary:
        def __init__(self): self.stop, self.fixed = set(names), frozenset(names)
    class Base(abc.ABC):
        def base(self): return Vocabulary
    class Derived(Base):
        def base(self): return super().base()
    def known(word): return word in {"of", "the", "in"}
    class Words(set): pass
    class Fixed(frozenset): pass
    words = Words(names)
    words.of = Fixed(names)
    return Vocabulary(), known, Derived(), words, {Fixed(names): Words([Fixed(names), "a"])}

pair = make(["a", "the", "and", "of", "to", "in"])
sys.stdout.write(encode([pair, {(1, "x"), ("y", 2.5), b"z"}]).payload().hex())
"""


def test_sets_and_local_classes_are_the_same_in_every_process() -> None:
    """Neither the hash seed nor cloudpickle's random id of a class is in the bytes."""
    made = {
        subprocess.run(
            [sys.executable, "-c", _SETS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(made) == 1
    assert made != {b""}


class Given(set[str]):
    """A set that is to be made of a list."""

    def __init__(self, items: list[str]) -> None:
        assert isinstance(items, list)
        super().__init__(items)
        self.count = len(items)


class InOrder(set[str]):
    """A set that is walked through in the order in which it was filled."""

    def __init__(self, items: list[str]) -> None:
        super().__init__(items)
        self._order = list(items)

    def __iter__(self) -> Any:
        return iter(self._order)


def test_a_subclass_of_set_comes_back_as_it_was() -> None:
    """Its constructor gets the list that pickle promises, in its own order where it has one."""
    made = encode([Given(["b", "a"]), InOrder(["z", "b", "a"])])
    given, ordered = decode(made.codec, made.payload(), trusted=True)
    assert given == {"a", "b"}
    assert (type(given), given.count) == (Given, 2)
    assert list(ordered) == ["z", "b", "a"]


def test_a_set_that_holds_its_owner() -> None:
    """Elements that refer to the set they are in are ordered too."""
    node = Thing(name="a")
    node.peers = {node, *(Thing(name=name, peer=node) for name in "bcd")}
    made, _ = canonical(pickle.dumps(node, protocol=5), [])
    loaded = pickle.loads(made)
    assert loaded in loaded.peers
    assert sorted(peer.name for peer in loaded.peers) == ["a", "b", "c", "d"]
    assert canonical(pickle.dumps(loaded, protocol=5), [])[0] == made


def test_local_classes_are_told_apart_by_content() -> None:
    """Two classes of one content in one value stay two, and a class is the same one in two values."""

    def scaler(factor: int) -> Any:
        class Scaler:
            def __call__(self, number: int) -> int:
                return number * factor

        return Scaler()

    def through(value: Any) -> Any:
        made = encode(value)
        return decode(made.codec, made.payload(), trusted=True)

    twice, again, thrice = through([scaler(2), scaler(2), scaler(3)])
    assert [scale(5) for scale in (twice, again, thrice)] == [10, 10, 15]
    assert len({type(twice), type(again), type(thrice)}) == 3
    assert type(through(twice)) is type(through([twice])[0])


def test_using_a_local_class_does_not_make_it_another() -> None:
    """A class and its objects, each a value of its own, fit each other, whatever use has left in the class."""

    def through(value: Any) -> Any:
        made = encode(value)
        return decode(made.codec, made.payload(), trusted=True)

    class Gone: ...

    class First: ...

    class Second: ...

    class Sized(Protocol): ...

    class Fitting(Sized): ...

    fitting = encode(Fitting).payload()
    Fitting()  # typing gives the class an `__init__`
    assert encode(Fitting).payload() == fitting

    class Local(abc.ABC):  # noqa: B024
        def __init__(self) -> None:
            self.size = 1

    Local.register(Gone)
    Local.register(First)
    Local.register(Second)
    del Gone
    gc.collect()  # what is gone can't be registered again
    loaded, first, second = through([Local, First, Second])  # a registry keeps nothing alive
    _ = Local.__annotations__
    again = through(Local())  # it has `__slotnames__` from now on
    assert isinstance(again, loaded)
    assert type(through([again])[0]) is type(through(again))
    assert issubclass(first, loaded)
    assert through(Second) is second
    assert b"__slotnames__" not in encode(Local).payload() + encode(loaded).payload()


def test_a_local_enum_comes_back() -> None:
    """So do enums that cloudpickle stores whole."""
    kind = enum.Enum("kind", "A B", module=__name__, qualname="<locals>.kind")
    first, second = encode(list(kind)), encode(list(kind))
    assert first.payload() == second.payload()
    a, b = decode(first.codec, first.payload(), trusted=True)
    assert (a.name, b.value) == ("A", 2)


def test_what_was_loaded_is_pickled_to_the_same_bytes() -> None:
    """Attribute names become one object by loading, and a dtype many: neither shows."""
    value = Thing(csr="csr", names=["csr", "csr "[:3]], arrays=[np.zeros(2), np.ones(2)])
    made = encode(value)
    loaded = decode(made.codec, made.payload(), trusted=True)
    loaded.arrays[0] = np.array(loaded.arrays[0])
    assert encode(loaded).payload() == made.payload()


def test_large_buffers_keep_to_their_owners() -> None:
    """Buffers are in the order in which the canonical pickle takes them."""
    large = limits.OUT_OF_BAND
    value = Thing(
        parts={Thing(name=name, data=np.full(large, number)) for number, name in enumerate("abcd")}
    )
    made = encode(value)
    loaded = decode(made.codec, made.payload(), trusted=True)
    assert {part.name: int(part.data[0]) for part in loaded.parts} == {
        "a": 0,
        "b": 1,
        "c": 2,
        "d": 3,
    }


def test_sets_that_take_too_much_work_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements that refer to all others would take quadratic time."""
    nodes = [Thing(name=number) for number in range(200)]
    for node in nodes:
        node.peers = nodes
    code = pickle.dumps({*nodes}, protocol=5)
    assert canonical(code, [])[0] == code
    monkeypatch.setattr(canonical_module, "CANONICAL_PICKLE", 10)
    code = pickle.dumps([1.5] * 20 + ["".join(["a", str(1)]) for _ in range(9)], protocol=5)
    assert canonical(code, [])[0] == code
