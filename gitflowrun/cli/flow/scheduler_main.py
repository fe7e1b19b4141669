"""The program of the scheduler's process: `python .../scheduler_main.py launcher=FD [zygote=FD alive=FD]`.

With GITFLOWRUN_CARDS_FD in the environment it is the process that renders the run's cards, which the scheduler starts.

Started by path and not with `-m`, because that would put the current directory, or the flow's, in front of
the standard library: a user's `signal.py` must not become ours. The package is the one that this file is
part of, whatever else is installed.
"""

import gc
import os
import sys


def main() -> int:
    """Be the scheduler of one run."""
    import signal

    from gitflowrun.cli.errors import FLOW, exit_code_of
    from gitflowrun.cli.flow.run_log import RunLog
    from gitflowrun.runtime.ipc.channel import Channel
    from gitflowrun.runtime.scheduler.main import SchedulerMain, collect_rarely
    from gitflowrun.runtime.scheduler.setup import Channels

    collect_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher process decides who is interrupted
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _raise_limits()
    fds = {name: int(fd) for name, _, fd in (word.partition("=") for word in sys.argv[1:])}
    for fd in fds.values():
        os.set_inheritable(fd, False)  # noqa: FBT003  (git must not hold them)
    zygote = (Channel.from_fd(fds["zygote"]), fds["alive"]) if "zygote" in fds else None
    channels = Channels(Channel.from_fd(fds["launcher"]), zygote)
    code = exit_code_of(SchedulerMain(channels, RunLog).serve, FLOW)
    channels.close()
    return code


def render_cards() -> None:
    """Be the renderer of the cards of one run; the process ends here."""
    from gitflowrun.runtime.worker import card_renderer

    card_renderer.serve()


def _raise_limits() -> None:
    """Allow as many open files as the system allows: every running task needs three."""
    import contextlib
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_USERS_EXECUTOR = "gitflowrun.runtime.executors.engines.futures_engine"


def _end_as_programs_do(code: int) -> None:
    """End with what libraries do at the end of the interpreter (MPI says that it is over), but not wait long for it."""
    import signal

    from gitflowrun.runtime.executors.engines.engine_limits import LIBRARIES_END

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIBRARIES_END)
    sys.exit(code)


def _find_package() -> None:
    """Import the package that this file is in, and look for nothing else beside this file."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    top = os.path.abspath(__file__)  # noqa: PTH100  (pathlib is an import)
    for _ in range(4):
        top = os.path.dirname(top)  # noqa: PTH120
    sys.path[:1] = []
    spec = PathFinder.find_spec("gitflowrun", [top])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["gitflowrun"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    gc.disable()  # imports leave next to no garbage, and looking for it takes 10 ms
    _find_package()
    if "GITFLOWRUN_CARDS_FD" in os.environ:
        render_cards()
    code = main()
    sys.stdout.flush()
    if _USERS_EXECUTOR in sys.modules:
        _end_as_programs_do(code)
    # Somebody waits for this process, and nothing in it is left to be done: its end takes 20 ms otherwise.
    os._exit(code)
