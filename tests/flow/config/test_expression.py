"""References to configs in class bodies, and what they are when the configs are known."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from gitflowrun import Config, ConfigValue, FlowSpec, IncludeFile, Parameter, config_expr, step
from gitflowrun.errors import ConfigError, ParameterError, UsageError
from gitflowrun.flow.config.expression import evaluated, is_delayed
from gitflowrun.flow.config.known import apply_configs, visible_configs
from gitflowrun.flow.decorators.environment import EnvironmentDecorator
from gitflowrun.flow.members import parameters_of
from gitflowrun.flow.parameter import JSONType
from gitflowrun.flow.parameter_values import check_parameters, resolve

FACTOR = 10
DATA: dict[str, Any] = {
    "rate": 0.5,
    "name": "n",
    "model": {"layers": [1, {"size": 2}], "kind": "tree"},
    "options": {"default": 3, "help": "How many."},
    "items": 7,
}


def flow_of(**members: Any) -> type[FlowSpec]:
    """A flow with these attributes, whose config `my-cfg`, `cfg` in the class, is known."""

    def start(self: Any) -> None:
        """Begin and end."""

    made = type("Given", (FlowSpec,), {"start": step(start), **members})
    apply_configs(made, {"cfg": DATA})
    return made


def value_of(make: Any) -> Any:
    """What an expression over the config `cfg` becomes."""
    cfg = Config("my-cfg")
    made = make(cfg)
    assert is_delayed(made)
    return evaluated(made, visible_configs(flow_of(cfg=cfg)))


CASES: dict[str, tuple[Any, Any]] = {
    "attribute": (lambda c: c.rate, 0.5),
    "name": (lambda c: c.name, "n"),
    "item": (lambda c: c["rate"], 0.5),
    "deep": (lambda c: c.model["layers"][1].size, 2),
    "key that is a method": (lambda c: c["items"], 7),
    "call": (lambda c: c.get("nope", "other"), "other"),
    "whole": (lambda c: c, DATA),
    "in a dict": (lambda c: {"a": c.rate, "b": [c.name, (1, c.model.kind)]}, {"a": 0.5, "b": ["n", (1, "tree")]}),
    "unpacked": (lambda c: dict(**c.options, x=1), {**DATA["options"], "x": 1}),
    "expression": (lambda _: config_expr("cfg.rate * FACTOR"), 5.0),
    "by name": (lambda _: config_expr("len(cfg.model.layers)"), 2),
    "of an expression": (lambda _: config_expr("cfg.model").layers[0], 1),
    "item by config": (lambda c: c[config_expr("'name'")], "n"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), CASES.values(), ids=CASES)
def test_what_references_become(make: Any, expected: Any) -> None:
    """Attributes, items, calls, expressions and `**` are looked up, in dicts, lists and tuples too."""
    assert value_of(make) == expected


def test_what_is_evaluated_is_plain() -> None:
    """Parts of a config are plain dicts for whoever uses them, and his alone."""
    cfg = Config("my-cfg")
    configs = visible_configs(flow_of(cfg=cfg))
    made = evaluated(cfg.model, configs)
    assert type(made) is dict
    made["layers"].append(3)
    assert configs["cfg"].model.layers == DATA["model"]["layers"]


def test_what_holds_no_reference_stays() -> None:
    """A value without a reference is given back as it is."""
    value = {"a": [1, 2]}
    assert evaluated(value, {}) is value


def test_a_name_means_the_config_before_the_attribute() -> None:
    """In expressions a config's name wins over the attribute of another one."""
    made = type("Two", (FlowSpec,), {"a": Config("b"), "b": Config("c")})
    apply_configs(made, {"a": {"x": 1}, "b": {"x": 2}})
    assert evaluated(config_expr("b.x, c.x, a.x"), visible_configs(made)) == (1, 2, 1)


MISTAKES: dict[str, tuple[Any, str]] = {
    "unknown name": (lambda _: config_expr("nope.x"), r"name 'nope' is not defined"),
    "unknown key": (lambda c: c.model.nope, r"cfg\.model\.nope can't be looked up: .*has layers, kind"),
    "unknown item": (lambda c: c["nope"], r"cfg\['nope'\] can't be looked up: there is no 'nope'"),
    "unknown place": (lambda c: c.model.layers[5], r"index out of range"),
    "of a number": (lambda c: c.rate.x, r"'float' object has no attribute 'x'"),
    "syntax": (lambda _: config_expr("cfg."), r"invalid syntax"),
    "failure": (lambda _: config_expr("1 / 0"), r"division by zero"),
    "no map": (lambda c: dict(**c.rate), r"is no map of names to values"),
    "another flow's": (lambda _: Config("other").x, r"config 'other' is none of this flow"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_with_their_line(make: Any, said: str) -> None:
    """What can't be evaluated says why, and in which line of which file it stands."""
    with pytest.raises(ConfigError, match=said) as error:
        value_of(make)
    assert error.value.source == __file__
    assert error.value.line
    assert error.value.hint


@pytest.mark.parametrize(
    "use",
    [bool, list, len, lambda it: it + 1, lambda it: 1 in it],
    ids=["bool", "list", "len", "sum", "in"],
)
def test_it_has_no_value_in_the_class_body(use: Any) -> None:
    """Code of a class body that needs the value at once gets an error and never a wrong answer."""
    for reference in (Config("c"), Config("c").a, config_expr("c")):
        with pytest.raises(TypeError):
            use(reference)


def test_tools_may_look_at_it() -> None:
    """What Python asks of any object (copying, printing) works, and asks nothing of the config."""
    part = Config("c").a["b"](1)
    assert repr(part) == "Config('c').a['b'](...)"
    assert repr(config_expr("c.a")) == "config_expr('c.a')"
    assert is_delayed(copy.copy(part))
    assert not hasattr(part, "__len__")


# ---- parameters ----


def test_parameters_of_configs() -> None:
    """Defaults, texts and all options of a parameter may come from configs; its type follows from the default."""
    cfg = Config("my-cfg")
    flow = flow_of(
        cfg=cfg,
        rate=Parameter("rate", default=cfg.rate),
        count=Parameter("count", **cfg.options),
        layers=Parameter("layers", default=cfg.model.layers),
        model=Parameter("model", default=cfg.model, type=JSONType),
        path=IncludeFile("path", default=cfg.name),
        named=Parameter(config_expr("cfg.name"), 1, help=cfg.model.kind),
        needed=Parameter("needed", required=config_expr("True")),
        plain=Parameter("plain", default="p"),
    )
    found = parameters_of(flow)
    assert [found["rate"].kind, found["count"].kind, found["count"].help] == [
        "float",
        "int",
        "How many.",
    ]
    assert found["layers"].static_default() == DATA["model"]["layers"]
    assert found["model"].static_default() == DATA["model"]
    assert [found["path"].kind, found["path"].default] == ["file", "n"]
    assert [found["named"].name, found["named"].attribute, found["named"].help] == [
        "n",
        "named",
        "tree",
    ]
    assert found["needed"].required


def test_what_is_given_wins_over_a_config() -> None:
    """A parameter with a default from a config takes a value from the environment, of the default's type."""
    cfg = Config("my-cfg")
    flow = flow_of(cfg=cfg, rate=Parameter("rate", default=cfg.rate))
    assert resolve(flow, {}, environ={}) == {"rate": 0.5}
    assert resolve(flow, {}, environ={"METAFLOW_RUN_RATE": "2"}) == {"rate": 2.0}


def test_other_configs_make_other_parameters() -> None:
    """Parameters are evaluated anew when other configs are applied."""
    cfg = Config("my-cfg")
    flow = flow_of(cfg=cfg, rate=Parameter("rate", default=cfg.rate))
    apply_configs(flow, {"cfg": {"rate": 3}})
    assert [parameters_of(flow)["rate"].kind, parameters_of(flow)["rate"].default] == ["int", 3]


def test_an_option_that_is_none() -> None:
    """A config that gives a parameter an argument which can't be is a mistake of the flow or config."""
    cfg = Config("my-cfg")
    with pytest.raises(ParameterError, match=r"multiple values for .*'default'"):
        flow_of(cfg=cfg, p=Parameter("p", 1, **cfg.options))


def test_a_default_of_the_wrong_type() -> None:
    """Who gives a config a default of the wrong type has used the flow wrongly."""
    cfg = Config("my-cfg")
    flow = flow_of(cfg=cfg, p=Parameter("p", default=cfg.name, type=int))
    with pytest.raises(UsageError, match=r"default of parameter 'p'.*which a config gives"):
        check_parameters(flow)


def test_deploy_time_functions_see_the_configs() -> None:
    """Their context has the configs by name, as ConfigValue."""
    seen: list[Any] = []

    def compute(context: Any) -> str:
        seen.append(context.configs)
        return str(context.configs["my-cfg"].name)

    flow = flow_of(cfg=Config("my-cfg"), p=Parameter("p", default=compute))
    configs = ConfigValue({"my-cfg": DATA})
    assert resolve(flow, {}, environ={}, configs=configs) == {"p": "n"}
    assert seen == [configs]


# ---- the class ----


def test_an_attribute_of_the_class_can_not_be_a_part() -> None:
    """A class attribute that is a part of a config is refused: it would be no constant."""
    cfg = Config("my-cfg")
    with pytest.raises(ConfigError, match=re.escape("Given.rate is cfg.rate")):
        check_parameters(flow_of(cfg=cfg, rate=cfg.rate))


def test_an_object_has_the_value() -> None:
    """An object of the flow has the config once it is known, the class what expressions are made of."""
    cfg = Config("my-cfg")
    flow: Any = flow_of(cfg=cfg)
    assert flow(use_cli=False).cfg.model.kind == "tree"
    assert flow.cfg is cfg


# ---- decorators ----


def test_decorators_of_configs() -> None:
    """Attributes of decorators may be parts of configs, or come from one altogether."""
    cfg = Config("my-cfg")
    seen = visible_configs(flow_of(cfg=cfg))
    made = EnvironmentDecorator({"vars": {"RATE": cfg.rate}})
    of_all = EnvironmentDecorator(dict(**config_expr("{'vars': {'A': cfg.name}}")))
    for decorator in (made, of_all):
        decorator.evaluate(seen)
    assert made.attributes == {"vars": {"RATE": 0.5}}
    assert of_all.copy().pending == of_all.pending
    assert of_all.describe()["attributes"] == {"vars": {"A": "n"}}
