"""Values come back as they were: value, type, dtype, order, bits; or loading says what it needs."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import math
import pathlib
import pickle
import struct
import sys
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pytest

from gitflowrun.artifacts.codecs import Encoded, decode, encode, is_safe, suffix
from gitflowrun.errors import (
    ClassChanged,
    CorruptRecord,
    NotFound,
    UnserializableArtifact,
    UntrustedArtifact,
)
from gitflowrun.limits import OUT_OF_BAND

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    """An enum."""

    RED = 1
    BLUE = "b"


class Access(enum.Flag):
    """Flags."""

    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    """A mutable dataclass."""

    x: int
    y: list[int]


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A frozen one that only identity tells apart."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen one with slots, a private one too."""

    name: str
    __secret: int = 3


@dataclasses.dataclass
class Checked:
    """One that would notice if its code ran."""

    x: int

    def __post_init__(self) -> None:
        """Refuse what the test stores."""
        if self.x < 0:
            raise ValueError


class Pair(NamedTuple):
    """A named tuple."""

    a: int
    b: str


class Text(str):
    """A subclass of a plain type."""

    __slots__ = ()


def through(value: Any, *, trusted: bool = False) -> Any:
    """Encode and decode."""
    made = encode(value)
    return decode(made.codec, made.payload(), trusted=trusted)


PLAIN: list[Any] = [
    None,
    True,
    0,
    -(2**63),
    2**64,
    -(2**200),
    1.5,
    -0.0,
    math.inf,
    "",
    "héé\U0001f600",
    "lone \ud800 surrogate",
    b"",
    b"\x00\xff" * 5000,
    bytearray(b"abc"),
    bytearray(b"abc" * 5000),
    [],
    [1, "a", None, [2.5, [b"x"]]],
    (),
    (1, (2, ("a",))),
    {},
    {"b": 1, "a": 2, 3: 4, (5, 6): 7, None: 8, True: 9, 2.5: 10, b"k": 11},
    {2**70: 1, frozenset({1}): 2, Colour.RED: 3},
    set(),
    {1, "a", (2, 3), frozenset({4})},
    frozenset({b"x" * 9000, 2**80}),
    1 + 2j,
    complex(-0.0, math.inf),
    range(1, 10, 3),
    slice(None, 5),
    ...,
    dt.date(2024, 2, 29),
    dt.datetime(2020, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
    dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=1), "X")),
    dt.time(23, 59, 59, 999999, tzinfo=dt.timezone.utc, fold=1),
    dt.timedelta(-1, 2, 3),
    dt.timezone.utc,
    BERLIN,
    decimal.Decimal("-1.00E+5"),
    decimal.Decimal("-0"),
    decimal.Decimal("sNaN123"),
    decimal.Decimal("-Infinity"),
    fractions.Fraction(-1, 3),
    uuid.UUID(int=5),
    uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
    pathlib.Path("/a/b c"),
    pathlib.PurePosixPath("x"),
    pathlib.PureWindowsPath("c:\\x"),
    collections.OrderedDict([("z", 1), ("a", [2])]),
    collections.Counter("abca"),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None, {1: 2}),
    collections.deque([1, [2]], maxlen=5),
    types.SimpleNamespace(a=1, b=[2]),
    Colour.BLUE,
    Access.READ | Access.WRITE,
    Access(0),
    Point(1, [2]),
    Frozen("a"),
    Pair(1, "b"),
    [Pair(1, "b"), {"p": Point(3, [4])}],
]


@pytest.mark.parametrize(
    "value", PLAIN, ids=[f"{place}-{type(value).__name__}" for place, value in enumerate(PLAIN)]
)
def test_plain_values_come_back_without_trust(value: Any) -> None:
    """Standard value types load from anywhere, with their exact types inside."""
    found = through(value)
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF8DEADBEEF0000, 0x8000000000000000])
def test_floats_keep_every_bit(bits: int) -> None:
    """A NaN's payload and the sign of zero survive."""
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    assert struct.pack("<d", through([value])[0]) == struct.pack("<Q", bits)


def test_nans_in_sets_and_keys_stay_apart() -> None:
    """Two NaN objects are two elements, before and after."""
    one, two = float("nan"), float("nan")
    assert len(through({one, two})) == 2
    assert len(through({one: 1, two: 2})) == 2


def test_keys_that_only_identity_tells_apart_go_to_pickle() -> None:
    """Nothing is lost where keys would become one."""
    value = {decimal.Decimal("NaN"): 1, decimal.Decimal("NaN"): 2}
    assert encode(value).codec == "pickle/5"
    assert len(through(value, trusted=True)) == 2


def test_dict_order_is_part_of_the_value() -> None:
    """Two orders are two payloads, and each comes back in its own."""
    one, two = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert encode(one).payload() != encode(two).payload()
    assert list(through(two)) == ["b", "a"]


def test_text_and_bytes_are_stored_raw() -> None:
    """`git show` reads them: no header, no escapes."""
    assert (encode("a\nb").codec, encode("a\nb").payload()) == ("str/1", b"a\nb")
    assert (encode(b"\0").codec, encode(b"\0").payload()) == ("bytes/1", b"\0")
    assert encode("\ud800").codec == "plain/1"


def test_large_buffers_are_not_copied() -> None:
    """From 4 KiB on a buffer is a part of its own, viewing the value's memory."""
    value = bytearray(OUT_OF_BAND)
    made = encode({"x": [value]})
    assert made.parts[-1].obj is value
    assert made.parts[0].nbytes % 64 == 0
    assert len(encode([bytes(OUT_OF_BAND - 1)]).parts) == 1


def test_small_plain_values_are_stock_msgpack() -> None:
    """A value without large buffers is one msgpack object that any tool reads."""
    import msgpack

    assert msgpack.unpackb(encode({"a": [1, None, "x"]}).payload()) == {"a": [1, None, "x"]}


def test_shared_mutable_parts_stay_shared() -> None:
    """A list in two places is one list in two places when it is loaded."""
    inner = [1]
    table = {"k": inner}
    found = through([inner, inner, table, (table, bytearray(b"x"))])
    assert found[0] is found[1] is found[2]["k"]
    assert found[3][0] is found[2]
    point = Point(1, inner)
    again = through({"a": point, "b": (point, inner)})
    assert again["a"] is again["b"][0]
    assert again["a"].y is again["b"][1]


def test_shared_immutable_parts_make_no_difference() -> None:
    """Whether two equal tuples are one object is the compiler's affair."""
    one = tuple([1, 2])  # noqa: C409
    two = tuple([1, 2])  # noqa: C409
    assert encode([one, one]).payload() == encode([one, two]).payload()


def test_what_is_compared_by_identity_stays_one_object() -> None:
    """A frozen dataclass without `==` is told apart by identity: a dict is looked up by it."""
    node = Node("a")
    found = through({"nodes": [node], "weight": {node: 3}}, trusted=True)
    assert found["weight"][found["nodes"][0]] == 3


def test_cycles_go_to_pickle() -> None:
    """A list that contains itself comes back containing itself."""
    value: list[Any] = [1]
    value.append(value)
    assert encode(value).codec == "pickle/5"
    found = through(value, trusted=True)
    assert found[1] is found


def test_tuples_that_explode_go_to_pickle() -> None:
    """A small value that would be written a billion times is not."""
    value: Any = ()
    for _ in range(40):
        value = (value, value)
    made = encode(value)
    assert made.codec == "pickle/5"
    assert made.size < 1000


def test_deep_values_go_to_pickle() -> None:
    """What is nested beyond the limit of readers is not written for them."""
    value: Any = []
    for _ in range(63):
        value = [value]
    assert encode(value).codec == "plain/1"
    assert through(value) == value
    assert encode([value]).codec == "pickle/5"


@pytest.mark.parametrize(
    "value",
    [Text("x"), [Text("x")], type("L", (list,), {"__module__": __name__, "__qualname__": "Nope"})],
)
def test_subclasses_never_become_their_base(value: Any) -> None:
    """Only exact types are plain."""
    assert encode(value).codec in {"pickle/5", "cloudpickle/1"}


def test_collections_with_attributes_go_to_pickle() -> None:
    """An OrderedDict that carries more than its items keeps it."""
    value: Any = collections.OrderedDict(a=1)
    value.note = "x"
    assert encode(value).codec == "pickle/5"
    assert through(value, trusted=True).note == "x"


def test_no_code_of_a_dataclass_runs() -> None:
    """Instances are rebuilt by their attributes alone."""
    value = Checked(1)
    value.x = -1
    value.extra = "kept"  # type: ignore[attr-defined]
    found = through(value)
    assert vars(found) == {"x": -1, "extra": "kept"}


def test_dataclasses_that_say_how_to_be_pickled_are_pickled() -> None:
    """A class with `__reduce__` or `__getstate__` of its own is left to pickle."""
    assert encode(_Stateful(1)).codec == "pickle/5"
    assert through(_Stateful(1), trusted=True) == _Stateful(1)


@dataclasses.dataclass
class _Stateful:
    x: int

    def __getstate__(self) -> dict[str, int]:
        return {"x": self.x}


def _thing(module: str) -> Any:
    """An instance of dataclass `Thing` of a module that is imported under this name."""
    cls = dataclasses.make_dataclass("Thing", [("x", int)])
    cls.__module__ = module
    sys.modules[module] = types.ModuleType(module)
    vars(sys.modules[module])["Thing"] = cls
    return cls(3)


def test_classes_are_imported_for_trusted_values_only(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untrusted value does not import the module it names; a trusted one does."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil_things.py").write_text(
        "import dataclasses, pathlib\n"
        "pathlib.Path('executed').write_text('')\n"
        "@dataclasses.dataclass\nclass Thing:\n    x: int\n"
    )
    made = encode(_thing("evil_things"))
    monkeypatch.delitem(sys.modules, "evil_things")
    with pytest.raises(UntrustedArtifact, match=r"evil_things\.Thing") as refused:
        decode(made.codec, made.payload(), trusted=False)
    assert "git runs trust" in str(refused.value.hint)
    assert not pathlib.Path("executed").exists()
    assert decode(made.codec, made.payload(), trusted=True).x == 3
    assert pathlib.Path("executed").exists()
    monkeypatch.delitem(sys.modules, "evil_things")


def test_a_class_that_is_gone_is_named() -> None:
    """The message names module and class, not a KeyError."""
    made = encode(_thing("gone_module"))
    del sys.modules["gone_module"]
    with pytest.raises(NotFound, match=r"gone_module\.Thing"):
        decode(made.codec, made.payload(), trusted=True)


def test_hostile_class_names_reach_nothing() -> None:
    """A payload that names something else than a dataclass, enum or named tuple gets nothing."""
    import msgpack

    for code in (40, 41, 42):
        for module, name in (("os", "system"), ("builtins", "dict"), ("subprocess", "Popen")):
            inner = msgpack.packb([module, name, "x"])
            with pytest.raises((CorruptRecord, ClassChanged)):
                decode("plain/1", msgpack.packb(msgpack.ExtType(code, inner)), trusted=False)


def test_pickles_need_trust() -> None:
    """A pickle from an untrusted run is refused unread, and the message says what to do."""
    made = encode({object})
    assert not is_safe(made.codec)
    with pytest.raises(UntrustedArtifact, match="can run code") as refused:
        decode(made.codec, b"cos\nsystem\n(S'touch executed'\ntR.", trusted=False)
    assert "git runs trust" in str(refused.value.hint)
    assert not pathlib.Path("executed").exists()


def test_pickles_keep_buffers_out_of_band() -> None:
    """The arrays of an object that is cut into chunks are parts of their own, and writable when loaded."""
    np = pytest.importorskip("numpy")
    value = types.SimpleNamespace(a=np.arange(200_000.0), f=len)
    made = encode(value)
    assert made.codec == "pickle/5"
    assert len(made.parts) == 2
    found = decode(made.codec, made.payload(), trusted=True)
    found.a += 1
    assert found.a[4999] == 5000.0


def test_a_pickle_without_buffers_is_a_stock_pickle() -> None:
    """Any Python reads it."""
    assert pickle.loads(encode({len}).payload()) == {len}


def test_functions_are_stored_whole_by_cloudpickle() -> None:
    """What pickle can't name, cloudpickle stores."""
    pytest.importorskip("cloudpickle")
    made = encode(lambda x: x + 1)
    assert made.codec == "cloudpickle/1"
    assert decode(made.codec, made.payload(), trusted=True)(1) == 2


def test_what_nothing_can_store_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the type and the reason; without cloudpickle, that it would help."""
    with (
        pathlib.Path("f").open("w") as file,
        pytest.raises(
            UnserializableArtifact, match=r"list can't be pickled: .*TextIOWrapper"
        ) as refused,
    ):
        encode([file])
    assert refused.value.hint
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(UnserializableArtifact, match="lambda") as refused:
        encode(lambda: 1)
    assert "pip install cloudpickle" in str(refused.value.hint)


def test_an_open_file_is_no_value() -> None:
    """Cloudpickle would read the file instead of saying no."""
    pytest.importorskip("cloudpickle")
    with pathlib.Path("f").open("w+") as file, pytest.raises(UnserializableArtifact):
        encode({"f": file, "g": lambda: 1})
    assert through({"b": io.BytesIO(b"x"), "g": lambda: 1}, trusted=True)["b"].read() == b"x"


def test_unknown_codecs_are_named() -> None:
    """A payload of a newer release or a missing plug-in says what to install."""
    with pytest.raises(CorruptRecord, match="mesh/9") as refused:
        decode("mesh/9", b"", trusted=True)
    assert "install" in str(refused.value.hint)
    assert suffix("mesh/9") == ".bin"
    assert suffix("npy/1") == ".npy"


def test_encoded_knows_its_size() -> None:
    """The size is that of all parts."""
    made = Encoded("x/1", "x", (memoryview(b"ab"), memoryview(b"c")))
    assert made.size == 3
    assert made.payload() == b"abc"
