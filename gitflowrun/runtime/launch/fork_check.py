"""The check whether this process may be forked: forking beside live threads hangs or aborts the child.

Measured: forking after a library was *imported* is safe, after it was *used* often is not (OpenMP, rayon,
XLA, grpc, any Python thread pool). What was used shows in threads that no import explains. OpenBLAS
starts its threads when it is loaded and survives a fork; so does jemalloc's housekeeper. Any other thread
beside the main one means fresh interpreters, which make tasks slower, never wrong.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["why_not_fork"]

_TASKS = "/proc/self/task"
_HARMLESS = ("jemalloc_bg",)
_ACCELERATORS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/neuron")
_COUNTERS = (
    "openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "scipy_openblas_get_num_threads64_",
)


def why_not_fork() -> str | None:
    """Why this process must not be forked; None when it may be."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        main = threading.main_thread()
        names = [thread.name for thread in threading.enumerate() if thread is not main]
        return f"the flow's module has left a thread running ({', '.join(names)})"
    device = _open_accelerator()
    if device is not None:
        return f"the flow's module has opened {device}"
    try:
        unexplained = _native_threads()
    except OSError:
        return "/proc is not there, so nobody can tell whether threads are running"
    if unexplained > 0:
        unexplained -= _openblas_threads()
    if unexplained > 0:
        return f"code at module level has left {unexplained} native threads running"
    return None


def _native_threads() -> int:
    """How many threads run beside the main one, harmless ones not counted."""
    threads = os.listdir(_TASKS)  # noqa: PTH208  (pathlib is an import)
    if len(threads) == 1:
        return 0
    names = [_read(f"{_TASKS}/{thread}/comm") for thread in threads]
    return sum(not name.startswith(_HARMLESS) for name in names) - 1


def _openblas_threads() -> int:
    """How many threads the loaded copies of OpenBLAS have started."""
    import ctypes

    count = 0
    for path in {path for path in _mapped_files() if "openblas" in os.path.basename(path)}:  # noqa: PTH119
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            counter = next((name for name in _COUNTERS if hasattr(library, name)), None)
            count += max(getattr(library, counter)() - 1, 0) if counter else 0
    return count


def _mapped_files() -> Iterator[str]:
    for line in _read("/proc/self/maps").splitlines():
        path = line.partition("/")[2]
        if path:
            yield "/" + path


def _open_accelerator() -> str | None:
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
                if target.startswith(_ACCELERATORS):
                    return target
    return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:  # a thread that has just ended
        return ""
