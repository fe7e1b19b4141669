"""The flow's program as a zygote that nobody has typed a command for: an agent has started it on an engine's worker.

1. The program imports the flow and finds the socket in the environment.
2. It says FlowImported. Where it can't be forked it says why, and ends.
3. It is the zygote (`runtime.worker.zygote`) until the agent is gone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from gitflowrun import errors
from gitflowrun.runtime.ipc import process
from gitflowrun.runtime.ipc.channel import Channel
from gitflowrun.runtime.ipc.messages import FlowImported
from gitflowrun.runtime.launch.launcher import why_not_fork

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec


def serve(flow_cls: type[FlowSpec]) -> NoReturn:
    """Be the zygote of a flow; the process ends here."""
    process.ParentDeathSignal(os.getppid()).set()
    fds = [int(fd) for fd in os.environ.pop(process.ZYGOTE_FDS).split(":")]
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003
    channel, alive = Channel.from_fd(fds[0]), fds[1]
    why = why_not_fork()
    try:
        channel.send(FlowImported(why or ""))
        if why is None:
            _be_zygote(flow_cls, channel, alive)
    finally:
        os._exit(0)


def _be_zygote(flow_cls: type[FlowSpec], channel: Channel, alive: int) -> NoReturn:
    from gitflowrun.flow.graph import FlowGraph
    from gitflowrun.runtime.worker import zygote
    from gitflowrun.runtime.worker.program_end import ProgramEnd, flush_files

    with contextlib.suppress(errors.FlowError):  # the driver has said what is wrong
        FlowGraph.of(flow_cls)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a module has closed it
            stream.flush()
    zygote.serve(flow_cls, channel, alive, ProgramEnd(flush_files({channel.fileno(), alive})))
