"""ConfigValue: reading by key and attribute, refusing every change, and the way through copies and payloads."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun import ConfigValue
from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.codecs.plain_encode import encode_plain
from gitflowrun.errors import CorruptRecord
from gitflowrun.msgpack import Extension, pack_message

DATA = {"model": {"layers": [1, {"size": 2}], "pair": ({"a": 1},)}, "none": None, "items": 3, 7: 8}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)

CHANGES: dict[str, Callable[[Any], object]] = {
    "item": lambda it: it.__setitem__("a", 1),
    "attribute": lambda it: setattr(it, "a", 1),
    "delete item": lambda it: it.__delitem__("none"),
    "delete attribute": lambda it: delattr(it, "none"),
    "update": lambda it: it.update(a=1),
    "merge": lambda it: it.__ior__({"a": 1}),
    "setdefault": lambda it: it.setdefault("a", 1),
    "pop": lambda it: it.pop("none"),
    "popitem": lambda it: it.popitem(),
    "clear": lambda it: it.clear(),
}


@pytest.fixture
def value() -> ConfigValue:
    """A value with dicts in a dict, a list and a tuple."""
    return ConfigValue(DATA)


def test_keys_are_attributes_at_every_level(value: ConfigValue) -> None:
    """Dicts within it are ConfigValues, in lists and tuples too; lists and tuples stay what they are."""
    assert value.model.layers[1].size == 2
    assert value.model.pair[0].a == value["model"]["pair"][0]["a"] == 1
    assert [type(it) for it in (value.model, value.model.layers, value.model.pair)] == [
        ConfigValue, list, tuple,
    ]  # fmt: skip


def test_methods_of_dicts_win_over_keys(value: ConfigValue) -> None:
    """A key that is called like a method is reached with brackets."""
    assert value["items"] == 3
    assert next(iter(value.items()))[0] == "model"


def test_an_absent_key(value: ConfigValue) -> None:
    """An attribute that is no key is an AttributeError that lists the keys, an item a KeyError."""
    with pytest.raises(AttributeError, match="no 'nope' here: it has layers, pair"):
        _ = value.model.nope
    with pytest.raises(KeyError, match="nope"):
        _ = value["nope"]
    assert not hasattr(value, "nope")
    assert value.get("nope", 5) == 5


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("inner", [False, True], ids=["whole", "part"])
def test_it_can_not_be_changed(
    value: ConfigValue, change: Callable[[Any], object], inner: bool
) -> None:
    """Whatever would change it, or a part of it, is a TypeError, and nothing has changed."""
    target = ConfigValue({"x": DATA}).x if inner else value
    with pytest.raises(TypeError, match="can't be changed"):
        change(target)
    assert target == DATA


def test_what_it_is_made_of_is_copied() -> None:
    """A later change of the dict and lists that it was made of is not seen."""
    data: dict[str, Any] = {"a": {"b": [1]}}
    value = ConfigValue(data)
    data["a"]["b"].append(2)
    data["c"] = 1
    assert value == {"a": {"b": [1]}}


def test_to_dict_is_plain_and_free(value: ConfigValue) -> None:
    """`to_dict` gives plain dicts down to the last, which may be changed without an effect."""
    made = value.to_dict()
    assert made == DATA
    assert [type(made), type(made["model"]), type(made["model"]["layers"][1])] == [dict] * 3
    made["model"]["layers"].append(3)
    assert value == DATA


def test_it_is_a_dict(value: ConfigValue) -> None:
    """It equals dicts, is taken for one by json and `**`, lists its keys in `dir`, and merges into a dict."""
    assert value == DATA
    assert isinstance(value, dict)
    assert json.loads(json.dumps(value.model)) == {
        "layers": [1, {"size": 2}], "pair": [{"a": 1}],
    }  # fmt: skip
    assert dict(**value.model) == DATA["model"]
    assert {"model", "none", "to_dict"} <= set(dir(value))
    assert type(value | {"x": 1}) is dict
    assert repr(value) == repr(DATA)
    assert ConfigValue.fromkeys("ab", 1) == {"a": 1, "b": 1}
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


@pytest.mark.parametrize(
    "journey",
    [
        copy.copy,
        copy.deepcopy,
        ConfigValue.copy,
        lambda it: pickle.loads(pickle.dumps(it)),
        lambda it: codecs.decode("plain/1", b"".join(encode_plain(it)), trusted=False),
    ],
    ids=["copy", "deepcopy", "method", "pickle", "payload"],
)
def test_journeys(value: ConfigValue, journey: Callable[[ConfigValue], Any]) -> None:
    """Copies, pickles and stored payloads give back an equal one of the same type at every level."""
    found = journey(value)
    assert found == value
    assert [type(found), type(found.model), type(found.model.layers[1])] == [ConfigValue] * 3


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_any_data(data: dict[str, Any]) -> None:
    """Any plain data come back equal, by `to_dict` and stored."""
    value = ConfigValue(data)
    assert value == data
    assert value.to_dict() == data
    stored = codecs.encode({"part": value})
    assert codecs.decode(stored.codec, stored.payload(), trusted=False) == {"part": data}


def test_a_stored_one_names_its_type() -> None:
    """The manifest's type is what flows call it."""
    assert codecs.encode(ConfigValue({"a": 1})).type == "gitflowrun.ConfigValue"


@pytest.mark.parametrize("inner", [[1, 2], 3, "text", None], ids=repr)
def test_a_forged_one(inner: object) -> None:
    """A payload that calls something else than a map a ConfigValue is refused."""
    forged = pack_message(Extension(28, bytes(pack_message(inner))))
    with pytest.raises(CorruptRecord):
        codecs.decode("plain/1", bytes(forged), trusted=False)
