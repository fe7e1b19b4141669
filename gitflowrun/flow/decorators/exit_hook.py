"""`@exit_hook`: functions to call when a run has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.base import FlowDecorator
from gitflowrun.flow.decorators.declare import FlowDeclaration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar


class ExitHookDecorator(FlowDecorator):
    """Call functions when a run has ended, each in a process of its own. What they raise changes nothing of the run.

    A function may have an argument `run`: the run, as a client object.

    Args:
        on_success: The functions for a run that has come to its end, or their names in the flow's module.
        on_error: Those for a run that has failed.
        options: Metaflow's options for clusters, which are recorded.
    """

    name = "exit_hook"
    allow_multiple = True
    defaults: ClassVar[Mapping[str, Any]] = {"on_success": [], "on_error": [], "options": {}}

    def flow_init(self, flow: Any, *_: Any) -> None:
        """Look the functions up. Raises DecoratorError."""
        if not (self.attributes["on_success"] or self.attributes["on_error"]):
            raise DecoratorError(
                "@exit_hook has nothing to call",
                hint="give it functions: @exit_hook(on_success=[tell], on_error=[tell])",
            )
        for when in ("on_success", "on_error"):
            for made in self._given_for(when):
                self._function(type(flow), made)

    def functions(self, flow_cls: type, *, is_done: bool) -> list[tuple[str, Callable[..., Any]]]:
        """What to call for a run of a flow that has come to its end or failed, with their names."""
        given = self._given_for("on_success" if is_done else "on_error")
        return [(_name(it), self._function(flow_cls, it)) for it in given]

    def _given_for(self, when: str) -> list[Any]:
        given = self.attributes[when]
        return list(given) if isinstance(given, list | tuple) else [given]

    def _function(self, flow_cls: type, given: Any) -> Callable[..., Any]:
        if callable(given):
            found: Callable[..., Any] = given
            return found
        import sys

        module = sys.modules.get(flow_cls.__module__)
        function: Any = getattr(module, given, None) if isinstance(given, str) else None
        if not callable(function):
            raise DecoratorError(
                f"@exit_hook of flow {flow_cls.__name__!r}: {given!r} is no function of its module",
                hint="give functions, or names of functions at the top of the flow's file",
            )
        called: Callable[..., Any] = function
        return called


def _name(given: Any) -> str:
    return given if isinstance(given, str) else getattr(given, "__name__", repr(given))


exit_hook = FlowDeclaration(ExitHookDecorator)
