"""The program of an agent: `python -m gitflowrun.runtime.remote.agent_main`, which reads its call from standard input.

It ends with status 0 when the driver has sent it home or is gone, and with 1 and words on standard error when it can't
begin. What it may not do is to outlive the driver or the engine's worker: when the link ends, or the pipe
that the worker holds, it ends.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Be an agent; the exit status."""
    from gitflowrun.errors import GitflowrunError
    from gitflowrun.runtime.executors.engines.run_agent import WORKER_FD
    from gitflowrun.runtime.ipc import process
    from gitflowrun.runtime.ipc.event_loop import EventLoop
    from gitflowrun.runtime.ipc.link import connect
    from gitflowrun.runtime.ipc.messages import pass_results_on
    from gitflowrun.runtime.remote.agent import Agent

    # The driver decides who is interrupted, and a terminal's end ends the driver.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        os.getcwd()  # noqa: PTH109  (pathlib is an import)
    except OSError:  # somebody has removed the directory that the engine's worker was started in
        os.chdir("/")
    call = sys.stdin.buffer.read()
    process.adopt_orphans()
    loop = EventLoop()
    ends: list[str] = []
    loop.on_signal(signal.SIGTERM, lambda: ends.append("the engine has ended it"))
    worker = os.environ.pop(WORKER_FD, "")
    if worker:
        os.set_inheritable(int(worker), False)  # noqa: FBT003  (tasks have nothing to do with it)
        loop.watch(int(worker), lambda: ends.append("the engine's worker has ended"))
    heard: list[bytes] = []
    try:
        link = connect(loop, call, lambda data: heard.append(bytes(data)), ends.append)
    except GitflowrunError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    pass_results_on()
    agent = Agent(loop, link)
    link.on_message = agent.hear
    for data in heard:
        agent.hear(data)
    try:
        while not (agent.is_over or ends):
            try:
                loop.turn()
            except OSError as error:
                agent.fail_by(error)
    finally:
        agent.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # nothing in it is left to be done
