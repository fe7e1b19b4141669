"""The entry point of a flow file: what `MyFlow()` calls when it is run as a program.

The process becomes the command line, or one task where it was started as a fresh interpreter. Neither click nor
pygit2 is imported here: the processes of a run are started before the command line is read.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from gitflowrun.cli.output.streams import open_closed_streams
from gitflowrun.cli.output.terminal import reset_signals
from gitflowrun.entry_point import imported_in
from gitflowrun.runtime.ipc.process import CARDS_FD, TASK_FD, ZYGOTE_FDS

if TYPE_CHECKING:
    from gitflowrun.flow import FlowSpec

_SCHEDULER = f"{__file__.rpartition(os.sep)[0]}{os.sep}scheduler_main.py"
_RUNNING = frozenset({"run", "resume", "spin"})
_ASKING = frozenset({"-h", "--help"})


def main(flow_cls: type[FlowSpec]) -> NoReturn:
    """Be the command line of a flow, or one of its tasks; the process ends here."""
    _restore_main()
    try:
        if TASK_FD in os.environ:
            from gitflowrun.runtime.worker import task_process

            task_process.serve(flow_cls)
        if CARDS_FD in os.environ:
            from gitflowrun.runtime.worker import card_renderer

            card_renderer.serve()
        if ZYGOTE_FDS in os.environ:
            from gitflowrun.runtime.launch import zygote_program

            zygote_program.serve(flow_cls)
        _refuse_notebook(flow_cls.__name__)
        code = _command_line(flow_cls)
    except KeyboardInterrupt:  # while modules were imported
        from gitflowrun.cli.errors import INTERRUPTED

        code = INTERRUPTED
    from gitflowrun.runtime.worker.program_end import thaw

    thaw()
    sys.exit(code)


def _restore_main() -> None:
    """Have `__main__` be the flow's module again where it is a profiler's or a debugger's that has executed the file.

    `python -m cProfile flow.py` executes it in a mere dict. By `__main__` and its file, everybody finds the flow's
    classes, code and repository.
    """
    frame = sys._getframe()  # noqa: SLF001  (Python has no other way to get the module's names)
    while frame.f_globals.get("__name__") != "__main__":
        if frame.f_back is None:
            return
        frame = frame.f_back
    names, file = frame.f_globals, frame.f_globals.get("__file__")
    if names is vars(sys.modules["__main__"]) or not isinstance(file, str):
        return
    module = type(sys)("__main__")
    file = os.path.join(imported_in or "", file)  # noqa: PTH118  (pathlib is an import)
    vars(module).update({"__spec__": None, **names, "__file__": file})
    sys.modules["__main__"] = module


def _refuse_notebook(flow: str) -> None:
    """Stop where the words of the command line are those of a notebook's kernel or of an interactive Python.

    Raises:
        UsageError: this is no program of its own.
    """
    ipython = sys.modules.get("IPython")
    is_interactive = hasattr(sys, "ps1") or (
        ipython is not None and ipython.get_ipython() is not None
    )
    # `%run flow.py` and `python -i flow.py` are programs all the same.
    if is_interactive and getattr(sys.modules["__main__"], "__file__", None) is None:
        from gitflowrun.errors import UsageError

        raise UsageError(
            f"{flow}() is the command line of a flow file, and this is a notebook or an interactive session: put the "
            f"flow into a file and start it with `!python FILE.py run`; {flow}(use_cli=False) makes a mere object"
        )


def _command_line(flow_cls: type[FlowSpec]) -> int:
    open_closed_streams()
    reset_signals()
    # Imports leave next to no garbage, and looking for it, now or later among what they made, takes 10 ms.
    was_enabled = gc.isenabled()
    gc.disable()
    from gitflowrun.runtime.launch.launcher import Launcher

    launcher = Launcher(flow_cls, _SCHEDULER)
    words = set(sys.argv[1:])
    # A guess is enough: what was started in vain ends by itself.
    if words & _RUNNING and not words & _ASKING:
        launcher.prepare()
    from gitflowrun.cli.flow import main

    gc.freeze()
    if was_enabled:
        gc.enable()
    try:
        return main.main(flow_cls, launcher)
    finally:
        launcher.close()
