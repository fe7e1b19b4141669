"""The command `options`: the options of `run`, `resume` and `spin` as JSON, for programs that start a flow (`Runner`).

    {"flow": "MyFlow",
     "top": [...],                      options before the command
     "run": [...], "resume": [...],     those of the command; null where they depend on configs: see --configured
     "spin": [...]}

An option is

    {"name": "max_workers",             as programs write it
     "alias": null,                     another name of it: the attribute of a parameter
     "flag": "--max-workers",           null of an argument without a name
     "off": null,                       what says the opposite, of a flag
     "kind": "int",                     flag, bool, int, float, str, json, path or any
     "parts": 1,                        values of one occurrence
     "multiple": false,                 whether it may occur several times
     "separator": null,                 what stands between the items of a list
     "variable": null}                  the environment variable that gives it unseen, of a secret
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitflowrun.cli.flow.context import ParameterOption
from gitflowrun.cli.options import load_command
from gitflowrun.flow.members import uses_configs

if TYPE_CHECKING:
    from gitflowrun.cli.flow.context import FlowContext

_KINDS: tuple[tuple[type[click.ParamType], str], ...] = (  # type: ignore[type-arg]  # generic since click 8.5
    (type(click.BOOL), "bool"),
    (click.IntRange, "int"),
    (type(click.INT), "int"),
    (click.FloatRange, "float"),
    (type(click.FLOAT), "float"),
    (type(click.STRING), "str"),
    (click.Choice, "str"),
    (click.Path, "path"),
)
_OF_PARAMETERS = {
    "str": "str", "int": "int", "float": "float", "bool": "bool", "json": "json", "file": "path",
}  # fmt: skip
# What Metaflow's programs write.
_NAMES = {"namespace": "user_namespace", "step_or_run": "step_to_rerun"}


@click.command(name="options")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write to this file.  [default: standard output]",
)
@click.option(
    "--configured", is_flag=True, help="Read the configs: the flow's parameters may depend on them."
)  # fmt: skip
@click.pass_context
def options_command(ctx: click.Context, /, file: Path | None, configured: bool) -> None:
    """Print the options of the flow as JSON, for programs."""
    flow: FlowContext = ctx.obj
    known = not uses_configs(flow.flow_cls)
    if configured:
        flow = ctx.obj = flow.configured()
        known = True
    assert ctx.parent is not None
    document = {
        "flow": flow.name,
        "top": _described(ctx.parent.command, ctx.parent),
        "run": _described(load_command("flow.run", "run"), ctx) if known else None,
        "resume": _described(load_command("flow.resume", "resume"), ctx),
        "spin": _described(load_command("flow.spin", "spin"), ctx),
    }
    text = json.dumps(document, indent=2)
    if file is None:
        click.echo(text)
    else:
        file.write_text(text, encoding="utf-8")


def _described(command: click.Command, ctx: click.Context) -> list[dict[str, Any]]:
    helps = {*ctx.help_option_names}
    return [_option(it) for it in command.get_params(ctx) if helps.isdisjoint(it.opts)]


def _option(option: click.Parameter) -> dict[str, Any]:
    parameter = option.parameter if isinstance(option, ParameterOption) else None
    name = str(option.name)
    alias = _NAMES.get(name)
    if parameter is not None:
        name, alias = str(parameter.name).replace("-", "_"), parameter.attribute
    is_option = isinstance(option, click.Option)
    is_flag = isinstance(option, click.Option) and option.is_flag
    return {
        "name": alias if name in _NAMES and alias else name,
        "alias": name if name in _NAMES else alias,
        "flag": option.opts[-1] if is_option else None,
        "off": option.secondary_opts[-1] if is_flag and option.secondary_opts else None,
        "kind": "flag" if is_flag else _kind(option, parameter),
        "parts": option.nargs,
        "multiple": bool(getattr(option, "multiple", False)),
        "separator": parameter.separator if parameter is not None else None,
        "variable": parameter.envvars[0] if parameter is not None and parameter.is_secret else None,
    }


def _kind(option: click.Parameter, parameter: Any) -> str:
    if getattr(option, "count", False):
        return "int"
    if parameter is not None:
        return _OF_PARAMETERS.get(parameter.kind, "any")
    if isinstance(
        option.type, click.types.FuncParamType
    ):  # what it makes of the text is its own affair
        return "path" if option.metavar == "PATH" else "str"
    return next((kind for type_, kind in _KINDS if isinstance(option.type, type_)), "any")
