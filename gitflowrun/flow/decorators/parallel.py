"""`@parallel`: a step that runs as a gang, all whose nodes work at the same time and may talk to each other."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from gitflowrun.flow.current import Parallel, current
from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration
from gitflowrun.flow.task_state import state_of
from gitflowrun.names import NODE

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCAL = "127.0.0.1"


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


parallel = StepDeclaration(ParallelDecorator)
