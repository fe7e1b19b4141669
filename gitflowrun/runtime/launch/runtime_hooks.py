"""Calls `runtime_init` and `runtime_finished` of a flow's decorators: in the flow's program, around its run.

`runtime_init` is called as soon as the run has its number, beside its first task; what it raises ends the run.
`runtime_finished` is called when the run has ended: the run is what it is, so what that raises is told and no more.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import RunFailed
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.failure import explained, message_of
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.members import initial_attributes
from gitflowrun.runtime.ipc.messages import Interrupt

if TYPE_CHECKING:
    from gitflowrun.runs.records import RunIdentity
    from gitflowrun.runtime.ipc.channel import Channel


class RuntimeHooks:
    """The decorators that want to know when a run begins and ends.

    Args:
        flow_cls: The flow, complete.
    """

    def __init__(self, flow_cls: Any) -> None:
        self._flow_cls = flow_cls
        all_of_it = [it for decorators in attached(flow_cls).steps.values() for it in decorators]
        self._beginning = [it for it in all_of_it if _overrides(it, "runtime_init")]
        self._ending = [it for it in all_of_it if _overrides(it, "runtime_finished")]

    def begin(self, run: RunIdentity, channel: Channel) -> None:
        """Call `runtime_init`. Where a decorator fails, so has the run.

        Args:
            run: The run.
            channel: To the scheduler.
        """
        if not self._beginning:
            return
        flow = self._flow_cls.__new__(self._flow_cls)
        vars(flow).update(initial_attributes(self._flow_cls))
        for it in self._beginning:
            try:
                it.runtime_init(flow, FlowGraph.of(self._flow_cls), None, str(run.id))
            except (Exception, SystemExit) as error:  # noqa: BLE001  (it may raise anything)
                what = f"@{it.name}.runtime_init failed"
                sys.stderr.write(f"{what}\n{_traceback(error)}")
                channel.send(Interrupt(signal.SIGTERM, f"{what}: {_summary(error)}"))
                return

    def end(self, code: int, run: RunIdentity | None) -> None:
        """Call `runtime_finished`.

        Args:
            code: The exit code of the run.
            run: The run.
        """
        failure = None if code == 0 else RunFailed(f"run {run.id if run else '?'} has failed")
        for it in self._ending:
            try:
                it.runtime_finished(failure)
            except (Exception, SystemExit) as error:  # noqa: BLE001  (the run has ended, whatever it raises)
                sys.stderr.write(
                    f"warning: @{it.name}.runtime_finished failed\n{_traceback(error)}"
                )


def _traceback(error: BaseException) -> str:
    """The traceback without our own call."""
    own = error.__traceback__
    return explained(error.with_traceback(own.tb_next if own else None))


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__}: {message_of(error)}"


def _overrides(decorator: StepDecorator, hook: str) -> bool:
    return getattr(type(decorator), hook) is not getattr(StepDecorator, hook)
