"""What the commands of a flow file share: the flow, what executes it, and its parameters as click options."""

from __future__ import annotations

import os
import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitflowrun import entry_point
from gitflowrun.cli.flow.configs import RunConfigs, configure, named_origin
from gitflowrun.cli.output.text import counted, printable
from gitflowrun.errors import (
    GitflowrunError,
    InvalidPathspec,
    NotARepository,
    ParameterError,
    RepositoryError,
    UsageError,
)
from gitflowrun.flow.definition import begin, complete, define, try_decorators
from gitflowrun.flow.members import parameters_of
from gitflowrun.flow.parameter_values import check_parameters
from gitflowrun.flow.secret_parameters import redacted, warnings_of
from gitflowrun.git.repository import Repository, current_directory
from gitflowrun.runtime.ipc.request import RunKind
from gitflowrun.runtime.launch.program import flow_file, spelled, start_directory, typed_command
from gitflowrun.settings import Settings, user_name
from gitflowrun.values import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitflowrun.cli.flow.run_log import RunLog
    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.flow.parameter import Parameter
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.launch.launcher import Launcher

_METAVARS = {
    "str": "TEXT", "int": "INTEGER", "float": "FLOAT", "bool": "BOOLEAN", "json": "JSON", "file": "PATH",
}  # fmt: skip


@frozen(slots=False)
class FlowContext:
    """What every command of a flow file knows.

    Attributes:
        flow_cls: The flow.
        launcher: What executes runs.
        quiet: Whether to leave out what is said about ourselves.
        config_files: Name and path of each config that was given as a file.
        config_values: Name and text of each config that was given as text.
        configs: The flow's configs; None before they are read.
        decospecs: Decorators that the command line adds to all steps, as text.
        options: What the options of the flow's decorators were given, by the options' names.
    """

    flow_cls: type[FlowSpec]
    launcher: Launcher
    quiet: bool = False
    config_files: tuple[tuple[str, str], ...] = ()
    config_values: tuple[tuple[str, str], ...] = ()
    configs: RunConfigs | None = None
    decospecs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.flow_cls.__name__

    @property
    def graph(self) -> FlowGraph:
        """The flow's graph."""
        from gitflowrun.flow.graph import FlowGraph  # not needed by all commands, and slow

        return FlowGraph.of(self.flow_cls)

    @property
    def user(self) -> str:
        """Who runs, by the settings of the repository if there is one."""
        try:
            settings = self.repository.settings
        except RepositoryError:  # only a command that needs the repository should complain
            settings = Settings.parse({}, os.environ)
        return user_name(settings, os.environ)

    def command(self, *words: str) -> str:
        """The command that starts the flow with these arguments, for hints."""
        return spelled(typed_command(), *words)

    def git(self) -> str:
        """How `git` is typed here for the repository of the flow's runs."""
        try:
            return self.repository.git_from(start_directory())
        except RepositoryError:
            return "git"

    def run_log(self, run: RunIdentity, spun: str | None) -> RunLog:
        """What shows the end of a run, or of a spun task, whose own log has ended before."""
        from gitflowrun.cli.flow.run_log import RunLog  # the scheduler's, as a rule

        return RunLog(typed_command(), self.repository.config, self.git(), run=run, spun=spun)

    def say(self, text: str = "") -> None:
        """Say something about ourselves, unless we are to be quiet."""
        if not self.quiet:
            click.echo(text, err=True)

    @cached_property
    def repository(self) -> Repository:
        """The repository of the flow's runs, discovered once: that of its file, wherever one stands.

        Code without a file, and a file that is in no repository, take the one around the current directory.

        Raises:
            NotARepository: there is none.
            RepositoryError: it can't be used.
            UsageError: the flow's file lies in an archive.
        """
        file = flow_file(self.flow_cls)
        if file is None:
            return Repository.discover()
        _refuse_archive(Path(file))
        named = _said_by_git_dir()
        if named and named.work_tree and Path(file).is_relative_to(named.work_tree):
            return named
        try:
            return Repository.discover(Path(file).parent)
        except NotARepository as nowhere:
            try:
                return Repository.discover()
            except NotARepository:
                raise nowhere from None

    @cached_property
    def parameter_options(self) -> list[ParameterOption]:
        """The options for the flow's parameters, in alphabetical order.

        Raises:
            FlowError: a parameter is wrong.
        """
        check_parameters(self.flow_cls)
        rows = sorted(parameters_of(self.flow_cls).items(), key=lambda row: row[1].name.lower())
        return [ParameterOption(index, *row) for index, row in enumerate(rows)]

    def tasks_at(self, path: str) -> list[StoredTask]:
        """The tasks that `RUN/STEP` or `RUN/STEP/TASK` names. Raises NotFound, InvalidPathspec."""
        from gitflowrun.porcelain.parts import tasks_at
        from gitflowrun.runs.runs import RunStore

        address = RunStore(self.repository).resolve(path, self.name, spins=True)
        if address.step is None:
            raise InvalidPathspec(f"{path!r} names a run", hint="write RUN/STEP or RUN/STEP/TASK")
        return tasks_at(address)

    def all_decospecs(self, more: Iterable[str] = ()) -> tuple[str, ...]:
        """Decorators that the environment and the command line add to all steps, and `more`."""
        named = (f"{brand}_DEFAULT_DECOSPECS" for brand in ("GITFLOWRUN", "METAFLOW"))
        default = next((os.environ[name] for name in named if os.environ.get(name)), None)
        if default is None:
            default = entry_point.default_decospecs()
        return tuple(dict.fromkeys((*default.split(), *self.decospecs, *more)))

    def _log(self, *words: object, **_options: object) -> None:
        self.say(printable(" ".join(map(str, words))))

    def configured(
        self, kind: RunKind = RunKind.RUN, origin: str | None = None, step: str | None = None
    ) -> FlowContext:
        """The same with the flow's configs, which are read now, and what mutators add. Doing it again is harmless.

        Args:
            kind: How the run begins, if there will be one.
            origin: The run to start from as it was typed; None for the newest one that can be resumed.
            step: The step of a task that is to be spun.

        Raises:
            UsageError: a config is missing, unknown or can't be read.
            FlowError: the flow uses its configs in a way that can't be, or a mutator fails.
        """
        if self.configs is not None:
            return self
        given = self.config_files, self.config_values
        found = configure(
            self.flow_cls, *given, kind, origin, lambda: (lambda: self.repository, self.user), step
        )
        begin(self.flow_cls)
        made = replace(self, configs=found)
        if "repository" in vars(self):
            vars(made)["repository"] = self.repository  # git is asked once
        return made

    def check(self, decospecs: Iterable[str] = (), only: str | None = None) -> None:
        """Check parameters, graph and decorators.

        Args:
            decospecs: More decorators that the command adds to all steps.
            only: The only step that is to run, as of `complete`.

        Raises:
            FlowError: the flow breaks a rule.
        """
        from gitflowrun.flow.lint import lint

        _ = self.parameter_options  # making them checks them
        for warning in warnings_of(parameters_of(self.flow_cls)):
            click.echo(f"warning: {printable(warning)}", err=True)
        if self.configs and self.configs.packed:
            from gitflowrun.flow.config.configure import config_warnings

            for warning in config_warnings(self.flow_cls):
                click.echo(f"warning: {printable(warning)}", err=True)
        specs = self.all_decospecs(decospecs)
        define(self.flow_cls, specs)
        lint(self.graph)
        complete(self.flow_cls, specs, self.options, self.user, self._log, only=only)
        try_decorators(self.flow_cls)
        self.say(f"The flow is valid: {counted(len(self.graph), 'step')}.")


def _said_by_git_dir() -> Repository | None:
    """The repository that GIT_DIR names, a hook's or the user's, if something says where its work tree is.

    Nothing does in hooks of linked worktrees and bare repositories: git takes any directory for it then.
    """
    if "GIT_DIR" not in os.environ:
        return None
    is_said = "GIT_WORK_TREE" in os.environ
    try:
        named = Repository.discover()
    except RepositoryError:  # a hook's `.`, from another directory
        if is_said:
            raise
        return None
    return named if is_said or named.work_tree != current_directory() else None


def described(task: StoredTask) -> str:
    """A task in Metaflow's words."""
    return f"run_id={task.run.id} step={task.name.step} task_id={task.name.task}"


with_option = click.option(
    "--with", "decospecs", multiple=True, metavar="DECORATOR",
    help="Add a decorator to all steps that have none of this name, such as retry:times=2.",
)  # fmt: skip


class ParameterType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """The type of a parameter, which converts as the parameter itself says."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.name = _METAVARS.get(parameter.kind, "TEXT")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parameter's value for a text; a usage error when there is none."""
        try:
            return self.parameter.convert_one(value)
        except UsageError as error:
            self.fail(error.message.partition(": ")[2] or error.message, param, ctx)


class ParameterOption(click.Option):
    """A parameter of the flow as an option, without its default and environment variables.

    Those are found when the run starts: a clone takes what was not given from its origin.
    """

    def __init__(self, index: int, attribute: str, parameter: Parameter) -> None:
        self.attribute = attribute
        self.parameter = parameter
        options = {
            key: it
            for key, it in parameter.options.items()
            if key not in {"envvar", "default", "callback"}
        }
        if any(variable in os.environ for variable in parameter.envvars):
            options.pop("prompt", None)  # there is a value
        if not options.get("count") and not (parameter.is_flag and parameter.kind == "bool"):
            kind = parameter.type
            is_clicks = isinstance(kind, click.ParamType) and not parameter.is_secret
            own = kind if is_clicks else ParameterType(parameter)
            if parameter.is_secret:  # click's own types say which value was wrong
                options["type"] = own
            options.setdefault("type", own)
        if parameter.is_secret and options.get("prompt"):
            options["hide_input"] = True
        # What is on by default can be turned off.
        is_switch = parameter.is_flag and "flag_value" not in options
        name = f"--{parameter.name}" + f"/--no-{parameter.name}" * is_switch
        try:
            super().__init__(
                [name, f"parameter_{index}"],
                help=_help(parameter),
                **{"allow_from_autoenv": False, **options},
            )
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f"parameter {parameter.name!r}: {str(error).replace('Parameter.__init__()', 'click.option')}",
                hint="what Parameter does not know itself is passed to click.option as it is",
            ) from error


def _help(parameter: Parameter) -> str:
    words = [parameter.help] if parameter.help else []
    if parameter.is_secret:
        words.append(f"[secret: {parameter.envvars[0]}]")
    if parameter.required:
        words.append("[required]")
    elif isinstance(parameter.show_default, str):
        words.append(f"[default: {parameter.show_default}]")
    elif parameter.show_default and parameter.default is not None and not parameter.is_secret:
        computed = "computed when the run starts"
        words.append(f"[default: {computed if parameter.deploy_time else parameter.default}]")
    return "  ".join(words)


def _refuse_archive(file: Path) -> None:
    """Refuse a flow within a zip file, which Python starts and imports like a directory."""
    archive = next((place for place in file.parents if place.is_file()), None)
    if archive is not None:
        place = shlex.quote(str(archive.with_suffix("")))
        raise UsageError(
            f"the flow lies in an archive, {archive}: its code can't be recorded",
            hint=f"unpack it and start that: python -m zipfile -e {shlex.quote(str(archive))} {place}",
        )


class RunCommand(click.Command):
    """A command that has the flow's parameters as options, before its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The options of the flow's parameters, then those of the command."""
        flow: FlowContext = ctx.obj
        return [*flow.parameter_options, *super().get_params(ctx)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line. What is one word too many is not repeated where it may be the rest of a secret."""
        flow: FlowContext = ctx.obj
        try:
            flow = ctx.obj = flow.configured(*named_origin(args))
        except GitflowrunError:
            if not {"-h", "--help"} & set(
                args
            ):  # help lists the parameters whatever the configs are
                raise
        parameters = [option.parameter for option in flow.parameter_options]
        gives_secret = redacted(args, parameters) != tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if gives_secret and "extra argument" in error.message:
                message = "Got unexpected extra arguments. A secret with spaces in it needs quotes"
                raise click.UsageError(message, ctx) from None
            raise
