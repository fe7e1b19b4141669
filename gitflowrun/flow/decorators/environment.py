"""`@environment`: variables of the environment that a step's tasks find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import VARIABLES, StepCommand, StepDecorator, is_variable
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
            if not is_variable(name, value):
                raise DecoratorError(
                    f"@environment of step {step_name!r}: {name!r} can't be a variable",
                    hint=VARIABLES,
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


environment = StepDeclaration(EnvironmentDecorator)
