"""`@parallel`: a step that runs as a gang, all whose nodes work at the same time and may talk to each other.

`@pytorch_parallel` is the same for nodes that find each other through torch.distributed.
"""

from __future__ import annotations

import os
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.current import Parallel, current
from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.task_state import state_of
from gitflowrun.names import NODE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import ClassVar

_LOCAL = "127.0.0.1"
_PORTS = range(20_000, 32_000)  # below those that systems give to whoever asks for any
_HIGHEST_PORT = 65_535


class ParallelDecorator(StepDecorator):
    """Let a step run as a gang: so many tasks of it at the same time as `self.next(..., num_parallel=N)` says.

    Each finds itself in `current.parallel`. A join must follow, whose inputs are the nodes in order. Derive from it and
    override `setup_distributed_env` to prepare each node for a framework.
    """

    name = "parallel"
    IS_PARALLEL = True
    _before: dict[str, str] | None = None

    def task_pre_step(
        self,
        step_name: str,
        task_datastore: Any,
        metadata: Any,
        run_id: str,
        task_id: str,
        flow: Any,
        *_: Any,
    ) -> None:
        """Tell the task where it is in its gang: in `current`, and in the environment of programs that it starts."""
        state = state_of(flow)
        gang = state.frames[-1] if state is not None and state.frames else None
        if gang is None or not gang.is_gang:
            return
        control, _node, _number = task_id.partition(NODE)
        parallel = Parallel(_LOCAL, gang.num_splits, gang.index, control)
        current._update_env({"parallel": parallel, "is_parallel": True})  # noqa: SLF001  (the hook of decorators)
        self._before = dict(os.environ)
        os.environ |= {
            "MF_PARALLEL_MAIN_IP": parallel.main_ip,
            "MF_PARALLEL_NUM_NODES": str(parallel.num_nodes),
            "MF_PARALLEL_NODE_INDEX": str(parallel.node_index),
            "MF_PARALLEL_CONTROL_TASK_ID": parallel.control_task_id,
        }

    def task_finished(self, *_: Any) -> None:
        """Leave the environment as it was: tasks of an inline run share it."""
        if self._before is not None:
            for name in os.environ.keys() - self._before.keys():
                del os.environ[name]
            os.environ |= self._before
            self._before = None

    def task_decorate(
        self, step_func: Callable[..., Any], flow: Any, *_: Any
    ) -> Callable[..., Any]:
        """The step's function, which prepares the node first."""
        return partial(self._run, step_func, flow)

    def _run(self, step_func: Callable[..., Any], flow: Any, *inputs: Any) -> Any:
        self.setup_distributed_env(flow)
        return step_func(*inputs)

    def setup_distributed_env(self, flow: Any) -> None:
        """Prepare the node before its step: `current.parallel` says which one it is."""


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


parallel = StepDeclaration(ParallelDecorator)
pytorch_parallel = StepDeclaration(PytorchParallelDecorator)
