"""`@resources` and `@isolation`: what a step's tasks need of a machine, and whether they share processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import StepDecorator, amount_of
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.names import did_you_mean
from gitflowrun.settings import Isolation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

_ASKED_FOR = "cpu", "gpu", "memory"
_KINDS = tuple(kind.value for kind in Isolation if kind.forks)


class ResourcesDecorator(StepDecorator):
    """Say what each task of a step needs. It is recorded; on this machine tasks take what there is, as in Metaflow.

    What is written for a cluster must not make a trial on a laptop wait for memory that it does not need. Engines
    (`--executor`) are asked for the processors, graphics processors and memory that are said here.

    Args:
        cpu: Cores.
        gpu: Graphics processors.
        disk: Disk space, in megabytes.
        memory: Memory, in megabytes.
        shared_memory: Shared memory, in megabytes.
    """

    name = "resources"
    defaults: ClassVar[Mapping[str, Any]] = {
        "cpu": 1, "gpu": None, "disk": None, "memory": 4096, "shared_memory": None,
    }  # fmt: skip

    def said(self, name: str) -> float:
        """How much of something a step says that it needs; 0 where only the default says so."""
        return amount_of(self._given.get(name)) or 0.0

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse what is no quantity. Raises DecoratorError."""
        for name, value in self.attributes.items():
            if value is not None and amount_of(value) is None:
                raise DecoratorError(
                    f"@resources of step {step_name!r}: {name}={value!r} is no quantity",
                    hint=f"give a number: @resources({name}=1)",
                )


class IsolationDecorator(StepDecorator):
    """Say how the tasks of a step get their processes, whatever the run says. Metaflow has nothing like it.

    Args:
        kind: `batch`: those of a foreach share processes, one after the other; `fork`: each gets one.
    """

    name = "isolation"
    defaults: ClassVar[Mapping[str, Any]] = {"kind": "batch"}

    def step_init(self, flow: Any, graph: Any, step_name: str, *_: Any) -> None:
        """Refuse what is no kind. Raises DecoratorError."""
        kind = self.attributes["kind"]
        if kind not in _KINDS:
            raise DecoratorError(
                f"@isolation of step {step_name!r}: there is no kind {kind!r}",
                hint=did_you_mean(str(kind), _KINDS, f"it is one of: {', '.join(_KINDS)}"),
            )


def resources_of(flow_cls: type) -> dict[str, tuple[float, float, float]]:
    """Processors, graphics processors and megabytes of memory that tasks take, by step; of those that say so."""
    found = {}
    for step, decorators in attached(flow_cls).steps.items():
        said = [it for it in decorators if isinstance(it, ResourcesDecorator)]
        cpu, gpu, memory = (max((it.said(name) for it in said), default=0.0) for name in _ASKED_FOR)
        if cpu or gpu or memory:
            found[step] = cpu or 1.0, gpu, memory
    return found


resources = StepDeclaration(ResourcesDecorator)
isolation = StepDeclaration(IsolationDecorator)
