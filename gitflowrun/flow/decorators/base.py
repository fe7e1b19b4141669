"""The interface of decorators: what a decorator declares, and the hooks through which it acts.

The hooks and their arguments are Metaflow's, so that decorators which were written for Metaflow work here; our own
have no others. Where they are called:

    the flow's program, before a run     flow_init, step_init, package_init, step_task_retry_count
    once the run has its id              runtime_init
    each task's process                  flow_init and step_init again, runtime_task_created, runtime_step_cli,
                                         task_pre_step, task_decorate, task_post_step, task_exception, task_finished
    when the run has ended               runtime_finished

`flow` is an object of the flow: while a task runs, the one whose attributes are the artifacts. What stands for parts
of Metaflow that are not here (`environment`, `flow_datastore`, `task_datastore`, `metadata` of a flow) is an
`AbsentPart`, which says so when it is used; `package` is None, and `ubf_context` but for gangs.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from gitflowrun.errors import DecoratorError, InvalidDecoratorAttribute
from gitflowrun.flow.config.expression import evaluated, is_delayed, known_now
from gitflowrun.flow.foreach import brief
from gitflowrun.names import what_there_is
from gitflowrun.values import field, mutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

MAX_ATTEMPTS = 6
"""The most attempts that a task can have, as in Metaflow."""
# What there is in place of parts of Metaflow that are not here.
_INSTEAD = {
    "datastore": "artifacts are objects of the git repository, which the flow's attributes and the client give",
    "environment": "steps run in the environment that the flow's program was started in",
    "metadata provider": "runs are recorded in the git repository, which the client reads",
}
_LARGEST = 2**63 - 1  # a number in a record
_MOST_DEPTH = 16
_MOST_VALUES = 10_000


@mutable
class StepCommand:
    """What a task's process is started with, for `StepDecorator.runtime_step_cli`.

    Attributes:
        env: Variables to add to its environment.
        entrypoint: The program. Changes have no effect.
        commands: Its commands, likewise.
        command_args: Their arguments, likewise.
        command_options: Their options, likewise.
    """

    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    command_args: list[str] = field(default_factory=list)
    command_options: dict[str, Any] = field(default_factory=dict)


VARIABLES = "names are texts without '=', and nothing has null characters or halves of characters"


def is_variable(name: object, value: object) -> bool:
    """Whether a name and a value, as text, are what an environment can have."""
    if not isinstance(name, str) or not name or "=" in name:
        return False
    try:
        return b"\0" not in os.fsencode(name) + os.fsencode(str(value))
    except UnicodeEncodeError:
        return False


class AbsentPartError(DecoratorError, AttributeError):
    """A decorator uses a part of Metaflow that is not here."""


class AbsentPart:
    """Stands for a part of Metaflow: says what it is, and refuses the rest.

    Args:
        what: Which part it is.
        facts: What is known of it, by the names of its attributes.

    Attributes:
        TYPE: Metaflow's name for what is local.
    """

    TYPE = "local"

    def __init__(self, what: str, **facts: Any) -> None:
        self._what = what
        vars(self).update(facts)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") or name == "_what":
            raise AttributeError(name)
        raise AbsentPartError(
            f"gitflowrun has no {self._what}, of which {name!r} was asked",
            hint=_INSTEAD[self._what],
        )

    def __repr__(self) -> str:
        return f"<no {self._what}>"


class Decorator:
    """What decorators of steps and of flows have in common.

    Args:
        attributes: What it is given; the rest is as `defaults` says.
        statically_defined: Whether it stands in the flow's source.
        inserted_by: The names of the mutators that have added it.

    Attributes:
        name: What it is called.
        defaults: Its attributes and what they are when nothing is given.
        allow_multiple: Whether one step or flow may have several of it.
        attributes: Its attributes.

    Raises:
        InvalidDecoratorAttribute: it has no such attribute.
    """

    name: ClassVar[str] = "NONAME"
    defaults: ClassVar[Mapping[str, Any]] = {}
    allow_multiple: ClassVar[bool] = False

    pending: dict[str, Any] | None = None
    """The attributes as they were given, where some are made of configs."""

    def __init__(
        self,
        attributes: Mapping[str, Any] | None = None,
        statically_defined: bool = False,
        inserted_by: Iterable[str] | None = None,
    ) -> None:
        self.attributes = dict(self.defaults)
        self.statically_defined = statically_defined
        self.inserted_by = list(inserted_by or ())
        given = dict(attributes or {})
        self.pending = given if is_delayed(given) else None
        self._take(known_now(given) if self.pending else given)

    def evaluate(self, configs: Mapping[str, Any]) -> None:
        """Take the attributes that are made of configs, which are known now.

        Args:
            configs: They by attribute and by name.

        Raises:
            ConfigError: an attribute can't be evaluated.
            InvalidDecoratorAttribute: a config gives an attribute that there is not.
        """
        if self.pending is not None:
            self._take(evaluated(self.pending, configs))

    def _take(self, given: dict[str, Any]) -> None:
        self._given = given
        for key in given:
            if key not in self.defaults:
                raise InvalidDecoratorAttribute(
                    f"@{self.name} has no attribute {key!r}",
                    hint=what_there_is(key, self.defaults, "it has"),
                )
        self.attributes.update(self._given)

    def init(self) -> None:
        """Look at the attributes, whose values are known now: those of configs are evaluated."""

    def copy(self) -> Self:
        """A decorator of the same kind with the attributes as they were given, which has seen no flow yet."""
        return type(self)(self.pending or self._given, self.statically_defined, self.inserted_by)

    def recorded_attributes(self) -> dict[str, Any]:
        """The attributes as a run's INFO has them, where everybody can read them: plain data, no secrets."""
        return {key: plain_data(value) for key, value in self.attributes.items()}

    def notice(self) -> str:
        """What the user should know when a run begins; nothing as a rule."""
        return ""

    def describe(self) -> dict[str, Any]:
        """The decorator as plain data, in the form of Metaflow's `_graph_info`."""
        return {
            "name": self.name,
            "attributes": self.recorded_attributes(),
            "statically_defined": self.statically_defined,
            "inserted_by": list(self.inserted_by) or None,
        }

    def __str__(self) -> str:
        given = ",".join(f"{key}={plain_data(value)}" for key, value in self._given.items())
        return f"{self.name}:{given}" if given else self.name

    def __repr__(self) -> str:
        return f"<@{self}>"


class StepDecorator(Decorator):
    """A decorator of steps: derive from it, give it a `name` and `defaults`, and override the hooks it needs.

    Attributes:
        IS_PARALLEL: Whether its steps run as gangs.
    """

    IS_PARALLEL: ClassVar[bool] = False

    def step_init(
        self,
        flow: Any,
        graph: Any,
        step_name: str,
        decorators: Sequence[StepDecorator],
        environment: Any,
        flow_datastore: Any,
        logger: Callable[..., None],
    ) -> None:
        """Look at the step and the graph once all decorators are known. Errors refuse the flow."""

    def package_init(self, flow: Any, step_name: str, environment: Any) -> None:
        """Prepare what `add_to_package` is to return."""

    def add_to_package(self) -> Iterable[Any]:
        """Files to ship with the code. Not called: the snapshot of a run has the whole work tree."""
        return ()

    def step_task_retry_count(self) -> tuple[int, int]:
        """How often to try again: when the step fails, and when its process is lost after all of these."""
        return 0, 0

    def runtime_init(self, flow: Any, graph: Any, package: Any, run_id: str) -> None:
        """Note that the run exists and begins now."""

    def runtime_task_created(
        self,
        task_datastore: Any,
        task_id: str,
        split_index: int | None,
        input_paths: Sequence[str],
        is_cloned: bool,
        ubf_context: Any,
    ) -> None:
        """Note that a task is there, before anything of it runs."""

    def runtime_step_cli(
        self,
        cli_args: StepCommand,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
    ) -> None:
        """Change how the task is started: what is put into `cli_args.env` is in its environment."""

    def runtime_finished(self, exception: BaseException | None) -> None:
        """Note that the run has ended, and how."""

    def task_pre_step(
        self,
        step_name: str,
        task_datastore: Any,
        metadata: Any,
        run_id: str,
        task_id: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
        inputs: Any,
    ) -> None:
        """Act before the step. Errors fail the attempt."""

    def task_decorate(
        self,
        step_func: Callable[..., Any],
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
        ubf_context: Any,
    ) -> Callable[..., Any]:
        """The function to call in place of the step's."""
        return step_func

    def task_post_step(
        self,
        step_name: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
    ) -> None:
        """Act after a step that has returned. Errors fail the attempt."""

    def task_exception(
        self,
        exception: BaseException,
        step_name: str,
        flow: Any,
        graph: Any,
        retry_count: int,
        max_user_code_retries: int,
    ) -> bool | None:
        """Act on what the step has raised; True when the task counts as done nevertheless."""

    def task_finished(
        self,
        step_name: str,
        flow: Any,
        graph: Any,
        is_task_ok: bool,
        retry_count: int,
        max_user_code_retries: int,
    ) -> None:
        """Act when the attempt has ended, either way."""


class FlowDecorator(Decorator):
    """A decorator of flow classes.

    Attributes:
        options: Options of the command line, before the subcommand: by name, the arguments of `click.option`.
    """

    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def flow_init(
        self,
        flow: Any,
        graph: Any,
        environment: Any,
        flow_datastore: Any,
        metadata: Any,
        logger: Callable[..., None],
        echo: Callable[..., None],
        options: Mapping[str, Any],
    ) -> None:
        """Look at the flow and at what the options were given. Errors refuse the flow."""

    def get_top_level_options(self) -> Iterable[tuple[str, Any]]:
        """The options to give to further command lines of the flow, such as those of its tasks."""
        return ()

    def system_tags(self) -> tuple[str, ...]:
        """Tags that describe every run of the flow."""
        return ()

    def metadata(self) -> Mapping[str, str]:
        """Metadata of the run, which its `_parameters` task has."""
        return {}

    def facts(self) -> Mapping[str, Any]:
        """Attributes of `current` in every task and in deploy-time functions."""
        return {}


def amount_of(value: object) -> float | None:
    """A number that is not negative, as an attribute gives it, also as text; None of anything else."""
    try:
        amount = float(value)  # type: ignore[arg-type]  # whatever it is
    except (TypeError, ValueError, OverflowError):
        return None
    return amount if 0 <= amount < float("inf") and not isinstance(value, bool) else None


def plain_data(value: Any) -> Any:
    """What an attribute holds as plain data, for the record of a run, which everybody reads.

    What JSON does not have is a short text, and so is what lies deep or at the end of very many values: a record has
    its limits, and a run must not fail for what nobody looks at.
    """
    return _plain(value, _MOST_DEPTH, [_MOST_VALUES])


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if value is None or type(value) in {bool, str}:
        return value
    if type(value) in {int, float}:
        return value if -_LARGEST <= value <= _LARGEST else brief(value)
    if depth and left[0] > 0:
        if isinstance(value, dict):
            kept = itertools.islice(value.items(), left[0])
            return {str(key): _plain(item, depth - 1, left) for key, item in kept}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth - 1, left) for item in itertools.islice(value, left[0])]
    return getattr(value, "__name__", None) or brief(value)
