"""Which value a config gets, from where, and what is said of what is given wrongly."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gitflowrun import Config, ConfigValue, FlowSpec, Parameter, step
from gitflowrun.errors import ConfigError, FlowError, ParameterError, UsageError
from gitflowrun.flow.config.configure import (
    FoundConfigs,
    GivenConfigs,
    check_configs,
    config_warnings,
    resolve_configs,
)
from gitflowrun.flow.config.declaration import declaration_of, known_configs
from gitflowrun.flow.config.known import apply_configs, pack_configs, unpack_configs
from gitflowrun.flow.members import configs_by_name, configs_of, uses_configs
from gitflowrun.flow.parameter_values import ParameterContext, check_parameters


def flow_of(**members: Any) -> type[FlowSpec]:
    """A flow with these attributes."""

    def start(self: Any) -> None:
        """Begin and end."""

    return type("Given", (FlowSpec,), {"start": step(start), **members})


def found(
    config: Config | type[FlowSpec],
    files: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    **environ: Any,
) -> FoundConfigs:
    """What a flow, or one with the config as `c`, finds: given, in the environment, of its `origin`."""
    flow = flow_of(c=config) if isinstance(config, Config) else config
    given, origin = GivenConfigs(files or {}, values or {}), environ.pop("origin", None)
    return resolve_configs(
        flow, given, origin=origin, origin_name="run 7", environ=environ, username="ada"
    )


def value_of(config: Config, **given: Any) -> Any:
    """The value of a config `x`."""
    return found(config, **given).values["c"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config in the current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.json"
    path.write_text('{"from": "file"}')
    return path


# ---- where it comes from ----


def test_places_in_their_order(file: Path) -> None:
    """The command line wins over the environment, that over the default; the package's variables over Metaflow's."""
    config = Config("x", default_value={"from": "default"})
    environ: Any = {"METAFLOW_FLOW_CONFIG_VALUE": '{"x": {"from": "metaflow"}}'}
    assert value_of(config) == {"from": "default"}
    assert value_of(config, **environ) == {"from": "metaflow"}
    environ["GITFLOWRUN_FLOW_CONFIG_VALUE"] = '{"x": {"from": "ours"}}'
    assert value_of(config, **environ) == {"from": "ours"}
    assert value_of(config, values={"x": '{"from": "typed"}'}, **environ) == {"from": "typed"}
    assert value_of(config, files={"x": str(file)}, **environ) == {"from": "file"}
    assert value_of(config, METAFLOW_FLOW_CONFIG='{"x": "c.json"}') == {"from": "file"}


def test_each_config_by_itself() -> None:
    """What one place gives for one config leaves the others as other places have them."""
    flow = flow_of(a=Config("a", default_value={"d": 1}), b=Config("b", default_value={"d": 2}))
    environ: Any = {"METAFLOW_FLOW_CONFIG_VALUE": '{"b": {"e": 3}}'}
    assert found(flow, values={"a": '{"t": 4}'}, **environ).values == {"a": {"t": 4}, "b": {"e": 3}}


def test_values_in_the_environment_may_be_text() -> None:
    """A config in the variable is a map, or a text for the parser."""
    for value in ({"a": 1}, '{"a": 1}'):
        environ = json.dumps({"x": value})
        assert value_of(Config("x"), METAFLOW_FLOW_CONFIG_VALUE=environ) == {"a": 1}


def test_without_any() -> None:
    """A config that nobody gives, and that has no default, is None."""
    assert found(Config("x")).values == {"c": None}
    assert value_of(Config("x", default_value="null")) is None


def test_sources(file: Path) -> None:
    """It is known where each comes from: the file, or words."""
    config = Config("x", default_value={})
    assert found(config).sources == {"x": "default"}
    assert found(config, values={"x": "{}"}).sources == {"x": "the command line"}
    assert found(config, files={"x": "c.json"}).sources == {"x": str(file)}
    assert found(config, origin={"c": {}}).sources == {"x": "run 7"}
    environ: Any = {"METAFLOW_FLOW_CONFIG_VALUE": '{"x": {}}'}
    assert found(config, **environ).sources == {"x": "METAFLOW_FLOW_CONFIG_VALUE"}


def test_an_origin_wins_over_environment_and_default() -> None:
    """Of a run that goes on from another one, only what is typed is not its origin's."""
    flow = flow_of(a=Config("a", default_value={"d": 1}), new=Config("new", default_value={"d": 2}))
    environ: Any = {"METAFLOW_FLOW_CONFIG_VALUE": '{"a": {"e": 1}, "new": {"e": 2}}'}
    origin = {"a": {"o": 1}}
    assert found(flow, origin=origin, **environ).values == {"a": {"o": 1}, "new": {"e": 2}}
    given = {"a": '{"t": 1}'}
    assert found(flow, values=given, origin=origin).values["a"] == {"t": 1}


def test_a_default_file_may_lie_beside_the_flow(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative default is looked for in the current directory, then beside the file that declares it."""
    module = ModuleType("a_flow")
    module.__file__ = str(tmp_path / "flow.py")
    monkeypatch.setitem(sys.modules, "a_flow", module)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    flow = flow_of(c=Config("x", default=Path("c.json")), __module__="a_flow")
    assert found(type("Derived", (flow,), {})).values == {"c": {"from": "file"}}
    (elsewhere / "c.json").write_text('{"from": "here"}')
    assert found(flow).values == {"c": {"from": "here"}}
    with pytest.raises(UsageError, match="No such file"):
        found(flow, files={"x": "../elsewhere/c2.json"})
    assert file.exists()


# ---- defaults that are computed ----


def test_functions_compute_defaults(file: Path) -> None:
    """A function returns the path of a file, or the config as map or text; it is told whose."""
    seen: list[ParameterContext] = []

    def path(context: ParameterContext) -> Path:
        seen.append(context)
        return file

    assert value_of(Config("x", default=path)) == {"from": "file"}
    assert [seen[0].flow_name, seen[0].user_name, seen[0].parameter_name] == ["Given", "ada", "x"]
    assert seen[0].configs is None
    assert value_of(Config("x", default_value=lambda _: {"a": 1})) == {"a": 1}
    assert value_of(Config("x", default_value=lambda _: '{"a": 2}')) == {"a": 2}
    assert value_of(Config("x", default_value=lambda _: None)) is None


def test_functions_are_not_called_in_vain() -> None:
    """What is given makes the default's function needless."""
    config = Config("x", default_value=lambda _: pytest.fail("called"))
    assert value_of(config, values={"x": "{}"}) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"default": lambda _: 3}, "returned int"),
        ({"default_value": lambda _: 3}, "returned int"),
        ({"default_value": lambda _: 1 / 0}, "ZeroDivisionError"),
        ({"default": lambda: "c.json"}, "takes 0 positional arguments"),
        ({"default_value": {"a": {1}}}, "can't be written as JSON"),
    ],
)
def test_defaults_that_can_not_be(options: dict[str, Any], said: str) -> None:
    """A default that the flow computes wrongly is the flow's mistake."""
    with pytest.raises(FlowError, match=said):
        value_of(Config("x", **options))


# ---- parsers ----


def upper(text: str) -> dict[str, str]:
    """A parser."""
    return {"text": text.upper()}


def test_parsers() -> None:
    """A function, or where one is, makes the config of a text, and of a map's JSON."""
    for parser in (upper, f"{__name__}.upper"):
        config = Config("x", parser=parser, default_value="a: 1")
        assert value_of(config) == {"text": "A: 1"}
        assert value_of(config, values={"x": "b"}) == {"text": "B"}
    assert value_of(Config("x", parser=upper, default_value={"a": 1})) == {"text": '{"A": 1}'}


@pytest.mark.parametrize("depth", [100, 700])
def test_a_config_that_is_nested_too_deep(depth: int) -> None:
    """It is told as anything else that can't be stored."""
    text = '{"a":' * depth + "1" + "}" * depth
    with pytest.raises(UsageError, match="config 'x' can't be stored: "):
        value_of(Config("x"), values={"x": text})


def test_a_parser_that_ends_the_program() -> None:
    """It is told as what any other parser raises is."""
    with pytest.raises(UsageError, match="can't read config 'x': SystemExit: 3"):
        value_of(Config("x", parser=lambda _: sys.exit(3), default_value=""))


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        ({"a": dt.date(2020, 1, 2), "t": (1, {"b": 2})}, None),
        (OrderedDict(a=1, b=OrderedDict(c=2)), None),
        ({"a": b"bytes", 1: {2, 3}}, None),
        (ConfigValue({"a": {"b": 1}}), {"a": {"b": 1}}),
    ],
)
def test_parsers_may_return_any_plain_values(made: Any, seen: Any) -> None:
    """Dates, tuples, bytes: what a file of another format says survives the way to other processes."""
    value = value_of(Config("x", parser=lambda _: made, default_value=""))
    assert value == (made if seen is None else seen)
    assert type(value) is dict
    assert unpack_configs(pack_configs({"c": value})) == {"c": value}


def test_json_as_metaflow_takes_it() -> None:
    """Maps of a declaration are what JSON makes of them; NaN and repeated keys are taken."""
    assert value_of(Config("x", default_value={1: (2, 3)})) == {"1": [2, 3]}
    assert value_of(Config("x", default_value='{"a": 1, "a": 2}')) == {"a": 2}


def test_plain_configs() -> None:
    """A plain one is its text, or whatever the parser makes of it."""
    assert value_of(Config("x", default_value="no JSON", plain=True)) == "no JSON"
    assert value_of(Config("x", default_value={"a": [1]}, plain=True)) == '{"a": [1]}'
    parsed = Config("x", default_value="[1]", plain=True, parser="json.loads")
    assert value_of(parsed) == [1]
    assert value_of(parsed, values={"x": "3"}) == 3


def test_a_byte_order_mark_is_no_text(file: Path) -> None:
    """Editors write one in front of JSON."""
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert value_of(Config("x"), files={"x": str(file)}) == {"a": 1}


# ---- what is wrong ----


class Odd:
    """Something that is no plain value."""


def _fail(_text: str) -> Any:
    raise LookupError("no idea")


WRONG: dict[str, tuple[Config, dict[str, Any], str]] = {
    "missing": (Config("x", required=True), {}, "config 'x' must be given"),
    "no file": (Config("x"), {"files": {"x": "nope.json"}}, "'nope.json' of config 'x' can't be read: No such file"),
    "no default file": (Config("x", default="nope.json"), {}, "'nope.json' of config 'x' can't be read"),
    "directory": (Config("x"), {"files": {"x": "/"}}, "can't be read: Is a directory"),
    "null in the path": (Config("x"), {"files": {"x": "a\0b"}}, "can't be read"),
    "no JSON": (Config("x"), {"values": {"x": "{bad"}}, "config 'x' is no valid JSON: .* column 2"),
    "empty": (Config("x", default_value=""), {}, "is no valid JSON"),
    "deep": (Config("x"), {"values": {"x": "[" * 100_000}}, "is no valid JSON"),
    "too deep": (Config("x"), {"values": {"x": '{"a":' * 90 + "1" + "}" * 90}}, "can't be stored"),
    "list": (Config("x"), {"values": {"x": "[1]"}}, "is of type list, not a map"),
    "number": (Config("x"), {"values": {"x": "7"}}, "is of type int, not a map"),
    "two ways": (Config("x"), {"files": {"x": "c.json"}, "values": {"x": "{}"}}, "as a file and as a value"),
    "unknown": (Config("x"), {"values": {"y": "{}"}}, "flow 'Given' has no config 'y'"),
    "other case": (Config("x"), {"values": {"X": "{}"}}, "has no config 'X'"),
    "unknown variable": (Config("x"), {"METAFLOW_FLOW_CONFIG": '{"y": "f"}'}, "has no config 'y' .the environment"),
    "no map": (Config("x"), {"METAFLOW_FLOW_CONFIG": "[1]"}, "variable METAFLOW_FLOW_CONFIG is no JSON map"),
    "no JSON variable": (
        Config("x"),
        {"GITFLOWRUN_FLOW_CONFIG_VALUE": "{"},
        "GITFLOWRUN_FLOW_CONFIG_VALUE is no JSON map",
    ),
    "parser": (Config("x", parser=_fail), {"values": {"x": ""}}, "can't read config 'x': LookupError: no idea"),
    "no parser": (Config("x", parser="nowhere.at"), {"values": {"x": ""}}, "parser 'nowhere.at' can't be imported"),
    "nothing parsed": (Config("x", parser=lambda _: None), {"values": {"x": ""}}, "is of type NoneType"),
    "pairs": (Config("x", parser=lambda _: [("a", 1)]), {"values": {"x": ""}}, "is of type list"),
    "object": (Config("x", parser=lambda _: {"a": Odd()}), {"values": {"x": ""}}, "can't be stored"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "given", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong(config: Config, given: dict[str, Any], said: str, file: Path) -> None:
    """Each mistake is a usage error that names the config and says how to give one."""
    assert file.exists()
    with pytest.raises(UsageError, match=said) as error:
        value_of(config, **given)
    assert error.value.exit_code == 2
    assert "--config" in (error.value.hint or "")


def test_all_mistakes_at_once(file: Path) -> None:
    """One error lists everything that is wrong, and not what is right."""
    flow = flow_of(
        a=Config("a", required=True),
        b=Config("b"),
        c=Config("c", parser=_fail),
        d=Config("d"),
        right=Config("right", default="c.json"),
    )
    files, values = {"b": "nope", "e": "nope"}, {"c": "", "d": "{"}
    with pytest.raises(UsageError) as error:
        found(flow, files, values)
    for part in (
        "config 'a' must",
        "'nope' of config 'b'",
        "config 'c': LookupError",
        "config 'd' is no",
        "'e'",
    ):
        assert part in error.value.message, part
    assert "right" not in error.value.message.replace("it has a, b, c, d, right", "")
    assert file.exists()


def test_files_that_are_no_text(file: Path) -> None:
    """A file that is no UTF-8 says where; one that is too large is not read to its end."""
    file.write_bytes(b'{"a": "caf\xe9"}')
    with pytest.raises(UsageError, match=r"no UTF-8 text .* at byte 10"):
        value_of(Config("x"), files={"x": "c.json"})
    os.truncate(file, (8 << 20) + 1)
    with pytest.raises(UsageError, match="more than 8 MiB"):
        value_of(Config("x"), files={"x": "c.json"})


# ---- declarations ----


MISTAKES: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "two defaults": (("x",), {"default": "f", "default_value": {}}, "two defaults"),
    "no name": (("",), {}, "can't be one"),
    "two lines": (("a\nb",), {}, "can't be one"),
    "number": ((3,), {}, "can't be one"),
    "reserved": (("tag",), {}, "reserved"),
    "reserved, too": (("max_workers",), {}, "reserved"),
    "no path": (("x",), {"default": 3}, "not the path"),
    "no map": (("x",), {"default_value": [3]}, "neither text nor a map"),
    "no module": (("x",), {"parser": "loads"}, "no parser"),
    "no function": (("x",), {"parser": 3}, "no parser"),
}


@pytest.mark.parametrize(("args", "options", "said"), MISTAKES.values(), ids=MISTAKES)
def test_declarations_that_can_not_be(
    args: tuple[Any, ...], options: dict[str, Any], said: str
) -> None:
    """A wrong declaration is the flow's mistake, told before anything is read."""
    with pytest.raises(ConfigError, match=said):
        check_configs(flow_of(c=Config(*args, **options)))


def test_names_of_configs() -> None:
    """Two configs of one name are refused; a parameter may have it, and case counts."""
    with pytest.raises(ConfigError, match="'a' and 'b' have the same name 'x'"):
        check_configs(flow_of(a=Config("x"), b=Config("x")))
    check_configs(flow_of(a=Config("x"), b=Config("X"), p=Parameter("x")))


def test_a_config_can_not_hide_what_steps_need() -> None:
    """An attribute `index` would hide what each task needs."""
    with pytest.raises(ConfigError, match=r"config 'x' hides self\.index"):
        check_parameters(flow_of(index=Config("x")))


def test_configs_are_inherited() -> None:
    """A flow has the configs of its bases, and may replace one under its attribute."""
    base = flow_of(a=Config("a", default_value={"b": 1}), b=Config("b"))
    derived = type("Derived", (base,), {"b": Config("other", default_value={"c": 2})})
    assert found(derived).values == {"a": {"b": 1}, "b": {"c": 2}}
    assert [declaration_of(it).name for it in configs_of(derived).values()] == ["a", "other"]


def test_flows_without_configs() -> None:
    """Nobody pays for configs who has none."""
    assert not uses_configs(flow_of(p=Parameter("p")))
    assert uses_configs(flow_of(p=Parameter("p", default=Config("x").a)))
    assert found(flow_of()).values == {}
    with pytest.raises(UsageError, match=r"has no config 'x'.*it has none"):
        found(flow_of(), values={"x": "{}"})


# ---- what is known then ----


def test_known_configs() -> None:
    """Steps see maps as ConfigValue and plain ones as they are; tools find them by name."""
    flow = flow_of(a=Config("x"), b=Config("y", plain=True), c=Config("z"))
    apply_configs(flow, {"a": {"k": {"l": 1}}, "b": {"k": 1}, "c": None})
    known = known_configs(flow)
    assert known["a"].k.l == 1
    assert [type(known["a"]), type(known["b"]), known["c"]] == [ConfigValue, dict, None]
    assert configs_by_name(flow) == {"x": {"k": {"l": 1}}, "y": {"k": 1}, "z": None}


def test_secrets_in_configs_are_told() -> None:
    """What is called like a secret, somewhere in a config, is named, and its value is not."""
    flow = flow_of(a=Config("x"), b=Config("y"))
    apply_configs(
        flow,
        {
            "a": {"db": [{"password": "hunter2"}], "token": "", "n": {"api_key": None}},
            "b": {"k": "v"},
        },
    )
    (said,) = config_warnings(flow)
    assert "config 'x' holds db[0].password" in said
    assert "hunter2" not in said


def test_no_config_in_a_parameters_place() -> None:
    """A parameter that computes with a config of another flow is refused."""
    other = Config("other")
    with pytest.raises((ConfigError, ParameterError), match="config 'other' is none of this flow"):
        apply_configs(flow_of(p=Parameter("p", default=other.x)), {})
