"""Parameters: types, defaults, names, the environment, deploy-time functions."""

from __future__ import annotations

import contextlib
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import ParameterError, UsageError
from gitflowrun.flow import FlowSpec, JSONType, JSONTypeClass, Parameter, current, step
from gitflowrun.flow.includefile import IncludeFile
from gitflowrun.flow.parameter_values import RESERVED_PARAMETERS, check_parameters, resolve


def flow_with(**parameters: Parameter) -> type[FlowSpec]:
    """A flow with these parameters."""

    def start(self: Any) -> None:
        """Begin and end."""

    return type("Given", (FlowSpec,), {**parameters, "start": step(start)})


def value_of(*args: Any, text: str | None = None, **options: Any) -> Any:
    """The value of a parameter `x`, by default or from a text in the environment."""
    environ = {} if text is None else {"METAFLOW_RUN_X": text}
    return resolve(flow_with(x=Parameter("x", *args, **options)), {}, environ=environ)["x"]


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, "a b", "a b"),
        ({}, None, None),
        ({"default": "d"}, None, "d"),
        ({"default": "d"}, "3", "3"),
        ({"default": 3}, "4", 4),
        ({"default": 3}, " -4 ", -4),
        ({"default": 0.5}, "2", 2.0),
        ({"default": False}, None, False),
        ({"default": True}, "no", False),
        ({"type": bool}, "TRUE", True),
        ({"type": bool}, "off", False),
        ({"type": bool}, None, None),
        ({"type": int, "default": "3"}, None, 3),
        ({"type": int, "default": 3.5}, None, 3),
        ({"type": int, "default": True}, None, 1),
        ({"type": float, "default": 3}, None, 3.0),
        ({"type": float}, "1e3", 1000.0),
        ({"type": str, "default": 3}, None, "3"),
        ({"type": JSONType}, '{"a": [1, null]}', {"a": [1, None]}),
        ({"type": JSONType}, "5", 5),
        ({"type": JSONTypeClass}, '"t"', "t"),
        ({"type": JSONType, "default": '{"a": 1}'}, None, {"a": 1}),
        ({"type": JSONType, "default": {"a": 1}}, None, {"a": 1}),
        ({"type": JSONType}, None, None),
        ({"separator": ","}, "a,b", ["a", "b"]),
        ({"separator": ","}, None, None),
        ({"separator": ",", "default": "a,b"}, None, ["a", "b"]),
        ({"separator": "::", "type": str}, "a::b", ["a", "b"]),
        ({"default": [1, 2]}, None, [1, 2]),
        ({"default": {"a": 1}}, "text", "text"),
        ({"type": complex}, "3j", 3j),
        ({"type": lambda text: text * 2}, "ab", "abab"),
        ({"type": click.Choice(["a", "b"]), "default": "a"}, None, "a"),
        ({"type": click.Choice(["a", "b"])}, "b", "b"),
        ({"type": click.IntRange(0, 9)}, "7", 7),
        ({"default": 3}, "", 3),  # an empty variable is none, as for click
        ({"default": "a"}, "", "a"),
        ({"multiple": True, "default": ("a",)}, None, ("a",)),
    ],
    ids=range(38),
)
def test_values_have_the_parameters_type(
    options: dict[str, Any], text: str | None, expected: Any
) -> None:
    """Given texts and defaults become values of the declared or inferred type."""
    value = value_of(text=text, **options)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        ({"default": 3}, "z", "'z' is not an integer"),
        ({"default": 3}, "2.5", "'2.5' is not an integer"),
        ({"default": 0.5}, "half", "'half' is not a number"),
        ({"default": True}, "maybe", "'maybe' is not a boolean"),
        ({"type": JSONType}, "{", "'{' is not valid JSON"),
        ({"type": click.Choice(["a", "b"])}, "c", "'c' is not one of 'a', 'b'"),
        ({"type": click.IntRange(0, 9)}, "10", "10 is not in the range"),
        ({"type": complex}, "i", "malformed"),
    ],
    ids=range(8),
)
def test_bad_values_are_usage_errors(options: dict[str, Any], text: str, message: str) -> None:
    """The error names parameter, text and variable; the exit code is that of wrong usage."""
    with pytest.raises(UsageError) as caught:
        value_of(text=text, **options)
    assert message in caught.value.message
    assert "parameter 'x'" in caught.value.message
    assert "METAFLOW_RUN_X" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Parameter("a b"), "'a b' can't name a parameter"),
        (Parameter("--x"), "'--x' can't name a parameter"),
        (Parameter("-x"), "can't name a parameter"),
        (Parameter("x/y"), "can't name a parameter"),
        (Parameter("x.y"), "can't name a parameter"),
        (Parameter("1x"), "can't name a parameter"),
        (Parameter(""), "can't name a parameter"),
        (Parameter("x\n"), "can't name a parameter"),
        (Parameter(3), "3 can't name a parameter"),  # type: ignore[arg-type]
        (Parameter("max-workers"), "reserved for an option of `run`"),
        (Parameter("max_workers"), "reserved for an option of `run`"),
        (Parameter("tag"), "reserved for an option of `run`"),
        (Parameter("x", type="int"), "'int' is no type"),
        (Parameter("x", separator=",", type=int), "a separator is for text parameters only"),
        (Parameter("x", separator=",", default=["a"]), "a separator is for text parameters only"),
        (Parameter("x", separator=",", type=JSONType), "a separator is for text parameters only"),
        (Parameter("x", separator=""), "the separator must be a text, not empty"),
        (
            Parameter("x", default="z", type=int),
            "the default of parameter 'x': 'z' is not an integer",
        ),
        (
            Parameter("x", default="{", type=JSONType),
            "the default of parameter 'x': '{' is not valid",
        ),
        (Parameter("x", default="c", type=click.Choice(["a"])), "the default of parameter 'x': "),
    ],
    ids=range(20),
)
def test_bad_declarations_are_refused(parameter: Parameter, message: str) -> None:
    """Names, types, separators and defaults that can't be are refused before anything runs."""
    with pytest.raises(ParameterError) as caught:
        check_parameters(flow_with(x=parameter))
    assert message in caught.value.message
    assert caught.value.hint or "separator must" in message


@pytest.mark.parametrize("name", ["x", "learning-rate", "learning_rate", "Größe", "Tag", "x1"])
def test_good_names_are_accepted(name: str) -> None:
    """Letters of any script, digits, dashes and underscores make a name."""
    check_parameters(flow_with(x=Parameter(name)))


def test_reserved_names_are_those_of_metaflow_and_ours() -> None:
    """With dashes and with underscores."""
    metaflows = (
        "params with tag namespace obj tags decospecs run-id-file max-num-splits max-workers max-log-size "
        "user-namespace run-id task-id runner-attribute-file"
    )
    expected = {*metaflows.split(), *metaflows.replace("-", "_").split(), "clone", "help"}
    assert expected <= RESERVED_PARAMETERS


def test_names_are_unique_whatever_their_case() -> None:
    """Two parameters may not differ in case alone; overriding an inherited one is fine."""
    with pytest.raises(ParameterError, match="have the same name 'ALPHA'"):
        check_parameters(flow_with(a=Parameter("alpha"), b=Parameter("ALPHA")))
    base = flow_with(a=Parameter("alpha", default=1))
    derived = type("Derived", (base,), {"a": Parameter("alpha", default=2)})
    assert resolve(derived, {}, environ={}) == {"a": 2}


def test_an_attribute_that_steps_need_cannot_be_a_parameter() -> None:
    """`next = Parameter(...)` would take self.next away."""
    with pytest.raises(ParameterError, match=r"hides self\.next"):
        check_parameters(flow_with(next=Parameter("following")))
    with pytest.raises(ParameterError, match=r"'source' hides self\.input") as caught:
        check_parameters(flow_with(input=IncludeFile("source")))
    assert "my_input = IncludeFile('source', ...)" in str(caught.value.hint)
    check_parameters(flow_with(source=Parameter("input")))


def test_a_given_value_beats_the_environment_which_beats_the_default() -> None:
    """Our variable beats Metaflow's; what is given is taken as it is."""
    flow = flow_with(my_rate=Parameter("my-rate", default=1))
    both = {"METAFLOW_RUN_MY_RATE": "2", "GITFLOWRUN_RUN_MY_RATE": "3"}
    assert resolve(flow, {}, environ={}) == {"my_rate": 1}
    assert resolve(flow, {}, environ={"METAFLOW_RUN_MY_RATE": "2"}) == {"my_rate": 2}
    assert resolve(flow, {}, environ=both) == {"my_rate": 3}
    assert resolve(flow, {}, environ={**both, "GITFLOWRUN_RUN_MY_RATE": ""}) == {"my_rate": 2}
    assert resolve(flow, {"my_rate": 4}, environ=both) == {"my_rate": 4}


def test_the_process_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the flow's module sets the variable while it is imported."""
    flow = flow_with(rate=Parameter("rate", default=1))
    monkeypatch.setenv("METAFLOW_RUN_RATE", "7")
    assert resolve(flow, {}) == {"rate": 7}


def test_a_required_parameter_must_be_given() -> None:
    """Without a value it is a usage error; with a default it is not required after all."""
    with pytest.raises(UsageError, match="must be given"):
        value_of(required=True)
    assert value_of(required=True, default=2) == 2
    assert value_of(required=True, text="v") == "v"


def test_an_unknown_parameter_is_a_usage_error() -> None:
    """The hint names the nearest."""
    with pytest.raises(UsageError, match="has no parameter 'rat'") as caught:
        resolve(flow_with(rate=Parameter("rate")), {"rat": 1})
    assert caught.value.hint == "did you mean rate?"


def test_a_deploy_time_function_is_called_once_and_only_when_needed() -> None:
    """It gets the context; a given value or the environment spares the call."""
    calls: list[Any] = []

    def compute(context: Any) -> str:
        calls.append(context)
        context.logger("computing")
        return (
            f"{context.flow_name} {context.user_name} {current.flow_name} {current.is_running_flow}"
        )

    flow = flow_with(x=Parameter("x", default=compute))
    said: list[str] = []
    value = resolve(flow, {}, username="ada", environ={}, logger=said.append)["x"]
    assert value == "Given ada Given False"
    (context,) = calls
    assert (context.parameter_name, context.ds_type, context.configs) == ("x", "local", None)
    assert said == ["computing"]
    assert resolve(flow, {"x": "g"}, environ={}) == {"x": "g"}
    assert resolve(flow, {}, environ={"METAFLOW_RUN_X": "e"}) == {"x": "e"}
    check_parameters(flow)
    assert len(calls) == 1
    assert current.flow_name is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"default": lambda _: 3, "type": int}, 3),
        ({"default": lambda _: "t"}, "t"),
        ({"default": lambda _, deploy_time: str(deploy_time)}, "False"),
        ({"default": lambda _: '{"a": 1}', "type": JSONType}, {"a": 1}),
        ({"default": lambda _: {"a": 1}, "type": JSONType}, {"a": 1}),
        ({"default": lambda _: "a,b", "separator": ","}, ["a", "b"]),
        ({"default": lambda _: "5", "type": click.INT}, 5),
    ],
    ids=range(7),
)
def test_a_deploy_time_value_has_the_parameters_type(
    options: dict[str, Any], expected: Any
) -> None:
    """What the function returns is the value, converted where only text can be meant."""
    assert value_of(**options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default": lambda _: "z", "type": int}, "returned str, not int"),
        ({"default": lambda _: 3}, "returned int, not str"),
        ({"default": lambda _: None}, "returned NoneType, not str"),
        ({"default": lambda _: 3, "type": float}, "returned int, not float"),
        ({"default": lambda _: 1, "type": bool}, "returned int, not bool"),
        ({"default": lambda _: 1 / 0}, "failed: ZeroDivisionError: division by zero"),
        ({"default": lambda: "x"}, "takes 0 positional arguments but 1 was given"),
    ],
    ids=range(7),
)
def test_a_deploy_time_function_that_is_wrong(options: dict[str, Any], message: str) -> None:
    """A failure and a value of another type are reported with the parameter's name."""
    with pytest.raises(ParameterError) as caught:
        value_of(**options)
    assert message in caught.value.message
    assert "parameter 'x'" in caught.value.message


def test_a_failing_deploy_time_function_is_told_with_its_line() -> None:
    """File and line are those of the user's function."""
    with pytest.raises(ParameterError) as caught:
        value_of(default=lambda _: 1 / 0)
    assert caught.value.source == __file__


def test_a_deploy_time_function_that_cannot_be_called_has_no_line() -> None:
    """A function that takes no context is not entered: no line of ours is shown in its place."""

    class Wrong(FlowSpec):
        when = Parameter("when", default=lambda: 1)

    with pytest.raises(ParameterError, match="takes 0 positional arguments") as caught:
        resolve(Wrong, {}, username="ada")
    assert (caught.value.line, caught.value.source) == (None, None)


def test_a_parameter_describes_itself() -> None:
    """The command line makes its options of nothing else."""
    rate = Parameter("my-rate", default=0.1, help="How fast", hidden=True)
    names = Parameter("names", separator=",")
    seed = Parameter("seed", type=int, required=True)
    when = Parameter("when", default=lambda _: "now")
    assert (rate.name, rate.kind, rate.type, rate.default) == ("my-rate", "float", float, 0.1)
    assert (rate.help, rate.options, rate.show_default) == ("How fast", {"hidden": True}, True)
    assert rate.envvars == ("GITFLOWRUN_RUN_MY_RATE", "METAFLOW_RUN_MY_RATE")
    assert (names.separator, names.convert("a,b"), names.required) == (",", ["a", "b"], False)
    assert (seed.required, seed.kind, seed.show_default) == (True, "int", False)
    assert (when.deploy_time, when.required, when.kind) == (True, False, "str")


def test_parameters_and_types_show_themselves() -> None:
    """In a notebook or a debugger."""
    assert (repr(Parameter("x")), repr(JSONType)) == ("<Parameter 'x'>", "JSON")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_values_survive_the_command_line(value: Any) -> None:
    """Every JSON value comes back from its text."""
    import json

    assert JSONType.convert(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    """No text makes a conversion fail otherwise."""
    for options in ({}, {"default": 1}, {"default": 0.5}, {"default": True}, {"type": JSONType}):
        with contextlib.suppress(UsageError):
            Parameter("x", **options).convert(text)
