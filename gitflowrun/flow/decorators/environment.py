"""`@environment`: variables of the environment that a step's tasks find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import StepCommand, StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.secret_names import is_called_secret
from gitflowrun.masking import SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar


class EnvironmentDecorator(StepDecorator):
    """Set variables of the environment for a step.

    Args:
        vars: Their values by name. What is no text becomes one.
    """

    name = "environment"
    defaults: ClassVar[Mapping[str, Any]] = {"vars": {}}

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse what can't be in an environment."""
        variables = self.attributes["vars"]
        if not hasattr(variables, "items"):
            raise DecoratorError(
                f"@environment of step {step_name!r}: vars is a {type(variables).__name__}",
                hint='write a dictionary: @environment(vars={"NAME": "value"})',
            )
        for name, value in variables.items():
            if (
                not isinstance(name, str)
                or not name
                or "=" in name
                or not _is_possible(name, value)
            ):
                raise DecoratorError(
                    f"@environment of step {step_name!r}: {name!r} can't be a variable",
                    hint="names are texts without '=', and nothing has null characters or halves of characters",
                )

    def recorded_attributes(self) -> dict[str, Any]:
        """The variables, without the values of those that are called like secrets."""
        recorded = super().recorded_attributes()
        if isinstance(recorded["vars"], dict):
            recorded["vars"] = {
                name: SHOWN if is_called_secret(name) else value
                for name, value in recorded["vars"].items()
            }
        return recorded

    def runtime_step_cli(self, cli_args: StepCommand, *_: Any) -> None:
        """Set them."""
        for name, value in self.attributes["vars"].items():
            cli_args.env[name] = str(value)


def _is_possible(name: str, value: object) -> bool:
    """Whether name and value are bytes that an environment can have."""
    try:
        return b"\0" not in os.fsencode(name) + os.fsencode(str(value))
    except UnicodeEncodeError:
        return False


environment = StepDeclaration(EnvironmentDecorator)
