"""One parameter, one meaning: from the command line, the environment, a default and a function."""

from __future__ import annotations

from typing import Any

import click
import pytest

from gitflowrun.cli.flow.context import ParameterOption
from gitflowrun.cli.flow.main import main
from gitflowrun.flow import FlowSpec, JSONType, Parameter, step
from gitflowrun.flow.parameter_values import resolve
from tests.helpers.repos import GitRepo


class _Launcher:
    """Takes requests instead of running them."""

    named = None

    def run(self, request: Any, *_more: Any) -> int:
        self.parameters = request.parameters
        return 0


def _flow(**options: Any) -> type[FlowSpec]:
    class Given(FlowSpec):
        x = Parameter("x", **options)

        @step
        def start(self) -> None:
            """Begin and end."""

    return Given


def _typed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, flow_cls: type[FlowSpec], *words: str
) -> Any:
    """The value that the command line gives; with nothing typed, what the flow says."""
    monkeypatch.chdir(repo.path)
    launcher: Any = _Launcher()
    assert main(flow_cls, launcher, ["--quiet", "run", *words]) == 0
    return resolve(flow_cls, launcher.parameters)["x"]


def _double(_ctx: object, _option: object, value: Any) -> Any:
    return value * 2


@pytest.mark.parametrize(
    ("options", "words", "text", "declared", "value"),
    [
        ({"multiple": True}, ["--x", "a", "--x", "b"], "a b", ["a", "b"], ("a", "b")),
        ({"multiple": True, "type": int}, ["--x", "7"], " 7 ", [7], (7,)),
        ({"multiple": True, "type": float, "nargs": 2}, ["--x", "1", "2"], "1 2", [[1, 2]], ((1.0, 2.0),)),
        ({"multiple": True, "type": click.Choice(["a", "b"])}, ["--x", "b"], "b", ("b",), ("b",)),
        ({"multiple": True, "type": JSONType}, ["--x", "[1]"], "[1]", ["[1]"], ([1],)),
        ({"nargs": 2, "type": int}, ["--x", "3", "4"], "3 4", [3, 4], (3, 4)),
        ({"type": click.Tuple([str, int])}, ["--x", "a", "4"], "a 4", ("a", 4), ("a", 4)),
        ({"type": click.IntRange(1, 9)}, ["--x", "9"], "9", 9, 9),
        ({"count": True}, ["--x", "--x"], "2", 2, 2),
        ({"is_flag": True}, ["--x"], "yes", True, True),
        ({"is_flag": True}, ["--no-x"], "off", False, False),
        ({"flag_value": "fast"}, ["--x"], "fast", "fast", "fast"),
        ({"is_flag": True, "flag_value": "fast"}, ["--x"], "true", "fast", "fast"),
        ({"type": int, "callback": _double}, ["--x", "2"], "2", 2, 4),
    ],
)  # fmt: skip
def test_a_value_means_the_same_wherever_it_comes_from(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: list[str], text: str,
    declared: Any, value: Any,
) -> None:  # fmt: skip
    """Command line, environment, default and deploy-time function give equal values."""
    flow_cls = _flow(**options)
    found = {
        "command line": _typed(repo, monkeypatch, flow_cls, *words),
        "default": resolve(_flow(**options, default=declared), {}, environ={})["x"],
        "function": resolve(_flow(**options, default=lambda _: declared), {}, environ={})["x"],
        "METAFLOW": resolve(flow_cls, {}, environ={"METAFLOW_RUN_X": text})["x"],
        "GITFLOWRUN": resolve(flow_cls, {}, environ={"GITFLOWRUN_RUN_X": text})["x"],
        "envvar": resolve(_flow(**options, envvar="MINE"), {}, environ={"MINE": text})["x"],
    }
    assert found == dict.fromkeys(found, value)
    assert {type(found_value) for found_value in found.values()} == {type(value)}


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"multiple": True}, ()), ({"multiple": True, "nargs": 2}, ()), ({"nargs": 2}, None), ({"count": True}, 0),
        ({"is_flag": True}, False), ({"flag_value": "fast"}, None), ({"multiple": True, "default": []}, ()),
    ],
)  # fmt: skip
def test_what_is_not_given_is_what_click_says(options: dict[str, Any], value: Any) -> None:
    """Without a value and without a default a parameter has click's default."""
    assert resolve(_flow(**options), {}, environ={})["x"] == value


def test_a_flag_that_is_on_can_be_turned_off(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--no-x` is an option of each flag, and help shows it."""
    flow_cls = _flow(is_flag=True, default=True)
    assert _typed(repo, monkeypatch, flow_cls) is True
    assert _typed(repo, monkeypatch, flow_cls, "--no-x") is False
    launcher: Any = _Launcher()
    assert main(flow_cls, launcher, ["run", "--help"]) == 0
    assert "--x / --no-x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nargs": 2}, "1"), ({"multiple": True, "type": int}, "1 b"), ({"count": True}, "often"),
        ({"is_flag": True}, "perhaps"), ({"type": click.Tuple([str, int])}, "a b"),
        ({"multiple": True, "type": click.IntRange(1, 2)}, "1 3"), ({"flag_value": "fast", "type": int}, "slow"),
    ],
)  # fmt: skip
def test_a_bad_value_in_the_environment_is_named(options: dict[str, Any], text: str) -> None:
    """The message says which parameter and which variable."""
    with pytest.raises(Exception, match=r"'x': .*\(from the environment variable METAFLOW_RUN_X\)"):
        resolve(_flow(**options), {}, environ={"METAFLOW_RUN_X": text})


def test_help_breaks_no_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Addresses, options and long defaults stay whole at 80 columns and below."""
    address = "https://example.org/a/very-long-path/of-the-documentation/page.html"
    words = [address, "--run-id-file", "x" * 60]
    flow_cls = _flow(help=f"Described at {address}, as --run-id-file is. {words[2]}")
    launcher: Any = _Launcher()
    for columns in ("80", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(flow_cls, launcher, ["--quiet", "run", "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in words)
        assert "  --max-num-splits INTEGER RANGE" in shown
        assert main(flow_cls, launcher, ["--quiet", "help", "run"]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == shown.splitlines()[1:]


def test_help_names_the_variable_of_a_secret_and_shows_no_default() -> None:
    """Where to put it is what people look for."""
    option = ParameterOption(0, "pw", Parameter("pw", default="in-the-code", secret=True))
    assert option.help == "[secret: GITFLOWRUN_RUN_PW]"
