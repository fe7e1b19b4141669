"""`@secrets`: variables of the environment whose values nobody else may see.

They are fetched once a run, in the process of the command line, and travel to the tasks as the values of secret
parameters do: what tasks print of them is masked, artifacts that hold them are refused, git gets names alone.

A provider fetches what sources of its `TYPE` name. `inline` is built in, for values that a function or a config has
found; others are classes derived from `SecretsProvider`, in the flow's program or in a package that names them in
its entry points, in the group `gitflowrun.secrets_providers`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import StepCommand, StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = "gitflowrun.secrets_providers"
_BACKEND = "DEFAULT_SECRETS_BACKEND_TYPE"
_OURS = ("METAFLOW_", "GITFLOWRUN_")


class SecretsProvider:
    """What fetches secrets: derive from it, and give it a `TYPE`.

    Attributes:
        TYPE: What sources call it.
    """

    TYPE: ClassVar[str] = ""

    def get_secret_as_dict(
        self, secret_id: str, options: Mapping[str, Any] | None = None, role: str | None = None
    ) -> dict[str, str]:
        """The variables of a secret, by name.

        Args:
            secret_id: Which secret.
            options: What the source says beside that.
            role: On whose behalf.
        """
        raise NotImplementedError


class InlineSecretsProvider(SecretsProvider):
    """The values that the source itself has, as `options={"env_vars": {...}}`."""

    TYPE = "inline"

    def get_secret_as_dict(
        self, secret_id: str, options: Mapping[str, Any] | None = None, role: str | None = None
    ) -> dict[str, str]:
        """The values in the options."""
        return dict((options or {}).get("env_vars", {}))


class SecretsDecorator(StepDecorator):
    """Set variables of the environment to secrets, for the tasks of a step.

    Args:
        sources: Where they are: a map with `type`, `id` and `options` for each, or its text in the form of Metaflow's
            default provider.
        role: On whose behalf providers fetch them.
        allow_override: Whether a variable that is set already gets another value; otherwise that is an error.
    """

    name = "secrets"
    defaults: ClassVar[Mapping[str, Any]] = {"sources": [], "role": None, "allow_override": False}
    delivered: Mapping[str, str] = {}
    """The variables, in a task."""

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse sources that can't be read. Raises DecoratorError."""
        if not isinstance(self.attributes["sources"], list | tuple):
            raise self._refusal(step_name, "sources is no list", "write @secrets(sources=[...])")
        for source in self.attributes["sources"]:
            self._source(step_name, source)

    def recorded_attributes(self) -> dict[str, Any]:
        """The sources' types and ids, and nothing of what they may say beside that."""
        sources = [
            {key: str(source[key]) for key in ("type", "id") if key in source}
            if isinstance(source, dict)
            else str(source)
            for source in self.attributes["sources"]
        ]
        return {**super().recorded_attributes(), "sources": sources}

    def fetch(self, step: str) -> dict[str, str]:
        """Fetch the variables.

        Raises:
            DecoratorError: a provider fails, two sources have one variable, or a variable can't be set.
        """
        found: dict[str, str] = {}
        for source in self.attributes["sources"]:
            provider, given = self._source(step, source)
            role = given.get("role", self.attributes["role"])
            try:
                variables = provider.get_secret_as_dict(
                    str(given.get("id", "")), given.get("options") or {}, role
                )
            except Exception as error:
                raise self._refusal(
                    step,
                    f"the provider {provider.TYPE!r} failed: {type(error).__name__}: {error}",
                    "is what it needs there, and are you known to it?",
                ) from error
            if not isinstance(variables, Mapping):
                raise self._refusal(
                    step,
                    f"the provider {provider.TYPE!r} returned {type(variables).__name__}",
                    "get_secret_as_dict returns a dictionary of names and texts",
                )
            for name, value in variables.items():
                self._check(step, name, value)
                if name in found:
                    raise self._refusal(step, f"two sources have {name}", "leave one of them out")
                found[name] = value
        return found

    def runtime_step_cli(self, cli_args: StepCommand, *_: Any) -> None:
        """Set them."""
        cli_args.env.update(self.delivered)

    def _source(self, step: str, source: Any) -> tuple[SecretsProvider, Mapping[str, Any]]:
        if isinstance(source, str):
            names = (f"{brand}_{_BACKEND}" for brand in ("GITFLOWRUN", "METAFLOW"))
            kind = next((os.environ[name] for name in names if os.environ.get(name)), "")
            given: Mapping[str, Any] = {"type": kind, "id": source}
        elif isinstance(source, dict):
            given, kind = source, str(source.get("type", ""))
        else:
            raise self._refusal(step, f"{source!r} is no source", "write a map or a text")
        if not kind:
            raise self._refusal(
                step,
                "a source has no type",
                f'write {{"type": "inline", ...}}, or set METAFLOW_{_BACKEND} for texts',
            )
        providers = {it.TYPE: it for it in _providers()}
        if kind not in providers:
            raise self._refusal(
                step,
                f"there is no provider of secrets {kind!r}",
                did_you_mean(kind, providers, f"there are {', '.join(sorted(providers))}"),
            )
        return providers[kind](), given

    def _check(self, step: str, name: object, value: object) -> None:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith(_OURS):
            raise self._refusal(
                step, f"{name!r} can't be a variable", "use letters, digits and underscores"
            )
        if not isinstance(value, str):
            raise self._refusal(
                step, f"the value of {name} is {type(value).__name__}", "secrets are text"
            )
        if name in os.environ and not self.attributes["allow_override"]:
            raise self._refusal(
                step, f"{name} is set already", "write allow_override=True to replace it"
            )

    def _refusal(self, step: str, what: str, hint: str) -> DecoratorError:
        return DecoratorError(f"@secrets of step {step!r}: {what}", hint=hint)


def fetch_secrets(flow_cls: type) -> dict[str, dict[str, str]]:
    """The variables of each step that has any. Raises DecoratorError as `SecretsDecorator.fetch` does."""
    found = {}
    for step, decorators in attached(flow_cls).steps.items():
        for it in decorators:
            if isinstance(it, SecretsDecorator):
                found[step] = it.fetch(step)
    return found


def deliver(flow_cls: type, step: str, variables: Mapping[str, str]) -> None:
    """Give the decorators of a step the variables, in a task's process."""
    for it in attached(flow_cls).of_step(step):
        if isinstance(it, SecretsDecorator):
            it.delivered = variables


def _providers() -> Iterator[type[SecretsProvider]]:
    waiting: list[Any] = [SecretsProvider]
    from importlib.metadata import entry_points  # few flows fetch secrets

    for entry in entry_points(group=_GROUP):
        entry.load()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.TYPE:
            yield kind


secrets = StepDeclaration(SecretsDecorator)
