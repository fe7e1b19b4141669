"""`@resources`: what a step's tasks need of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar


class ResourcesDecorator(StepDecorator):
    """Say what each task of a step needs. It is recorded; on this machine tasks take what there is.

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


resources = StepDeclaration(ResourcesDecorator)
