"""`@pytorch_parallel`: a gang whose nodes find each other through torch.distributed."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.current import current
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.decorators.parallel import ParallelDecorator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

_PORTS = range(20_000, 32_000)  # below those that systems give to whoever asks for any
_HIGHEST_PORT = 65_535


class PytorchParallelDecorator(ParallelDecorator):
    """Let a step run as a gang, as `@parallel`, with the environment that `torch.distributed` looks for.

    Each node has MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and NODE_RANK. torch itself is not needed before the step
    imports it.

    Args:
        master_port: The port at which the first node listens; one that depends on the run and the gang when None.
    """

    name = "pytorch_parallel"
    defaults: ClassVar[Mapping[str, Any]] = {"master_port": None}

    def init(self) -> None:
        """See that the port is one. Raises DecoratorError."""
        port = self.attributes["master_port"]
        if port is None:
            return
        if not (str(port).isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
            raise DecoratorError(
                f"@pytorch_parallel: master_port={port!r} is no port",
                hint=f"give a number up to {_HIGHEST_PORT}, or leave it out",
            )

    def setup_distributed_env(self, flow: Any) -> None:
        """Set what `torch.distributed` reads."""
        gang = current.get("parallel")
        if gang is None:
            return
        os.environ |= {
            "MASTER_ADDR": gang.main_ip,
            "MASTER_PORT": str(self.attributes["master_port"] or _port(gang.control_task_id)),
            "WORLD_SIZE": str(gang.num_nodes),
            "NUM_NODES": str(gang.num_nodes),
            "RANK": str(gang.node_index),
            "NODE_RANK": str(gang.node_index),
        }


def _port(control: str) -> int:
    """The port of a gang: the same in all its nodes, and most likely none that another gang has."""
    text = f"{os.getppid()} {current.flow_name}/{current.run_id}/{current.step_name}/{control}"
    return _PORTS[zlib.crc32(text.encode()) % len(_PORTS)]


pytorch_parallel = StepDeclaration(PytorchParallelDecorator)
