"""`MutableFlow`: a flow as mutators see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.config.declaration import known_configs
from gitflowrun.flow.config.known import visible_configs
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.members import (
    NEEDED,
    add_parameter,
    class_attribute,
    constants,
    parameters_of,
    remove_parameter,
)
from gitflowrun.flow.parameter import Parameter
from gitflowrun.flow.steps import steps_of
from gitflowrun.flow.user_decorators.mutable import Mutable, Mutation
from gitflowrun.flow.user_decorators.mutable_step import MutableStep
from gitflowrun.flow.user_decorators.mutators import FlowMutator
from gitflowrun.flow.user_decorators.user_decorator import initialise
from gitflowrun.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitflowrun.flow.user_decorators.lookup import Wanted


class MutableFlow(Mutable):
    """A flow, for mutators to look at and to change. Its steps, configs and parameters are attributes, too.

    Args:
        mutation: The call of the mutator.
    """

    _of_flows: ClassVar[bool] = True

    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation
        self._attached = attached(mutation.flow_cls)

    @property
    def configs(self) -> Iterator[tuple[str, Any]]:
        """The configs of the flow: the name of the attribute, and the value."""
        yield from self._configs().items()

    @property
    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters of the flow: the name of the attribute, and the parameter."""
        yield from self._parameters().items()

    @property
    def steps(self) -> Iterator[tuple[str, MutableStep]]:
        """The steps of the flow by name."""
        for name in steps_of(self._mutation.flow_cls):
            yield name, self._step(name)

    def add_parameter(self, name: str, value: Parameter, overwrite: bool = False) -> None:
        """Add a parameter; `pre_mutate` alone can do that.

        Args:
            name: The name of its attribute.
            value: The parameter: `Parameter` or `IncludeFile`.
            overwrite: Whether it may take the place of a parameter or a constant.

        Raises:
            DecoratorError: it is none, or something else has the name.
        """
        self._mutation.check_early(f"add the parameter {name!r}")
        if not isinstance(value, Parameter):
            raise DecoratorError(
                f"add_parameter takes a Parameter or an IncludeFile, and {brief(repr(value))} is none",
                hint=f"write add_parameter({name!r}, Parameter({name!r}, default=...))",
            )
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise DecoratorError(f"{name!r} can't name the attribute of a parameter")
        flow_cls = self._mutation.flow_cls
        replaceable = {**self._parameters(), **constants(flow_cls)}
        there = class_attribute(flow_cls, name)
        if name in NEEDED or (there is not None and name not in replaceable):
            raise DecoratorError(
                f"flow {flow_cls.__name__!r} has an attribute {name!r}, which a parameter would hide",
                hint="give the parameter another name",
            )
        if name in replaceable and not overwrite:
            raise DecoratorError(
                f"flow {flow_cls.__name__!r} has {name!r} already", hint="pass overwrite=True"
            )
        value.evaluate(visible_configs(flow_cls))
        add_parameter(flow_cls, name, value)
        self._attached.is_changed = True

    def remove_parameter(self, parameter_name: str) -> bool:
        """Remove a parameter; `pre_mutate` alone can do that.

        Args:
            parameter_name: The parameter's name, which is that of its option.

        Returns:
            Whether there was one.
        """
        self._mutation.check_early(f"remove the parameter {parameter_name!r}")
        found = [it for it, value in self._parameters().items() if value.name == parameter_name]
        for attribute in found:
            remove_parameter(self._mutation.flow_cls, attribute)
            self._attached.is_changed = True
        return bool(found)

    def __getattr__(self, name: str) -> Any:
        flow_cls = self._mutation.flow_cls
        if name in steps_of(flow_cls):
            return self._step(name)
        known = {**constants(flow_cls), **self._parameters(), **self._configs()}
        if name in known:
            return known[name]
        hint = did_you_mean(name, [*steps_of(flow_cls), *known], "")
        raise AttributeError(
            f"flow {flow_cls.__name__!r} has no step, config or parameter {name!r}"
            + f": {hint}" * bool(hint)
        )

    def _step(self, name: str) -> MutableStep:
        return MutableStep(self, name, self._mutation)

    def _parameters(self) -> dict[str, Parameter]:
        return parameters_of(self._mutation.flow_cls)

    def _configs(self) -> dict[str, Any]:
        return dict(known_configs(self._mutation.flow_cls))

    @property
    def _named(self) -> str:
        return f"flow {self._mutation.flow_cls.__name__!r}"

    def _decorators(self) -> Iterable[Any]:
        return [*self._attached.flow, *self._attached.flow_mutators]

    def _check_addable(self, wanted: Wanted) -> None:
        self._mutation.check_early(f"add the decorator {wanted.kind.__name__} to the flow")

    def _check_removable(self, decorator: Any) -> None:
        if isinstance(decorator, FlowMutator):
            raise DecoratorError(
                f"the mutator {type(decorator).__name__} can't be removed: mutators of flows are called one by one"
            )
        self._mutation.check_early(f"remove the decorator {decorator.name} of the flow")

    def _put(self, decorator: Any) -> None:
        if isinstance(decorator, FlowMutator):
            initialise(decorator, self._named)
            self._attached.flow_mutators.append(decorator)
        else:
            self._attached.flow.append(decorator)
        self._attached.is_changed = True

    def _remove(self, decorator: Any) -> None:
        kept: list[Any] = (
            self._attached.flow_mutators
            if isinstance(decorator, FlowMutator)
            else self._attached.flow
        )
        kept.remove(decorator)
        self._attached.is_changed = True

    def __repr__(self) -> str:
        return f"<MutableFlow {self._mutation.flow_cls.__name__}>"
