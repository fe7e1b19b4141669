"""What is recorded of the machine and the environment a run is made in. Looks; executes nothing.

Refs get pushed, so what is recorded is treated as public: environment variables by an allow-list that deny
patterns overrule, remote URLs without credentials, never the whole environment. Installed packages are read
from the names of `*.dist-info` directories (0.3 ms; `importlib.metadata` takes 29, `pip freeze` 324).
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "environment_variables",
    "installed_packages",
    "lock_files",
    "machine",
    "redacted",
    "without_credentials",
]

ALLOWED = (
    "PYTHONHASHSEED", "PYTHONPATH", "PYTHONOPTIMIZE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "TZ", "LANG",
    "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "SLURM_JOB_ID", "CI",
)  # fmt: skip
_DENIED = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH|COOKIE", re.IGNORECASE)
_HIDDEN = "***"
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_LOCK_FILES = (
    "uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "Pipfile.lock", "conda-lock.yml", "requirements.txt",
    "environment.yml", "pyproject.toml", "setup.cfg", "setup.py",
)  # fmt: skip


def without_credentials(url: str) -> str:
    """A remote's URL without the user name, password or token that may stand in front of its host."""
    return _CREDENTIALS.sub("", url)


def redacted(argv: Iterable[str]) -> list[str]:
    """A command line without what options whose names speak of a secret were given."""
    shown: list[str] = []
    hides_next = False
    for word in argv:
        name, equals, _ = word.partition("=")
        is_secret = word.startswith("-") and bool(_DENIED.search(name))
        if hides_next:
            shown.append(_HIDDEN)
        elif is_secret and equals:
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(without_credentials(word))
        hides_next = is_secret and not equals
    return shown


def installed_packages(path: Iterable[str]) -> dict[str, str]:
    """Name to version of every distribution found on an interpreter's path, the first of a name.

    A package installed from a directory or a version-control system has its origin behind the version,
    as `1.0 @ file:///...`.
    """
    found: dict[str, str] = {}
    for folder in path:
        try:
            names = [
                entry.name for entry in os.scandir(folder) if entry.name.endswith(".dist-info")
            ]
        except OSError:
            continue
        for name in names:
            package, _, version = name.removesuffix(".dist-info").rpartition("-")
            if package and package not in found:
                found[package] = version + _direct_url(Path(folder, name))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _direct_url(info: Path) -> str:
    try:
        url = json.loads((info / "direct_url.json").read_bytes())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" @ {without_credentials(str(url))}"


def environment_variables(environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The variables that may be recorded: an allow-list and `more`, none whose name speaks of a secret."""
    names = {*ALLOWED, *more}
    return {
        name: without_credentials(environ[name])
        for name in sorted(names)
        if name in environ and not _DENIED.search(name)
    }


def lock_files(top: Path | None) -> dict[str, str]:
    """BLAKE3 of the files at a work tree's top that pin or name its dependencies."""
    found = {}
    for name in _LOCK_FILES if top else ():
        try:
            content = (top or Path()).joinpath(name).read_bytes()
        except OSError:
            continue
        found[name] = str(digest(content))
    return found


def machine() -> dict[str, Any]:
    """Platform, processor and memory of this machine, and the interpreter."""
    system = os.uname() if hasattr(os, "uname") else None
    return {
        "platform": f"{system.sysname} {system.release}" if system else platform.platform(),
        "architecture": system.machine if system else platform.machine(),
        "cpu": _processor(),
        "cores": os.cpu_count() or 0,
        "memory": _memory(),
        "python": sys.version,
        "implementation": sys.implementation.name,
        "executable": sys.executable,
    }


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
