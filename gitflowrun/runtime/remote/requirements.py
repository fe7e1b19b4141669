"""What an agent checks before it takes tasks: the driver's version, git, and the packages that are installed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gitflowrun._version import __version__
from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.runtime.ipc.agent_limits import PACKAGES_NAMED
from gitflowrun.runtime.ipc.remote_messages import PROTOCOL, AgentRefused
from gitflowrun.runtime.scheduler.run_info import installed_packages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gitflowrun.runtime.ipc.remote_messages import AgentStart

_PYTHON = "python"


def refused(reason: str, hint: str = "") -> AgentRefused:
    """A refusal in the name of this machine."""
    return AgentRefused(os.uname().nodename, reason, hint)


def other_version(protocol: int, version: str) -> AgentRefused | None:
    """Why a driver of this version can't be served; None where it can."""
    if (protocol, version) == (PROTOCOL, __version__):
        return None
    return refused(
        f"the driver has gitflowrun {version} (protocol {protocol}), "
        f"this worker has {__version__} (protocol {PROTOCOL})",
        f"install the driver's version for {sys.executable} there: pip install gitflowrun=={version}",
    )


def lacking_git(place: Path) -> AgentRefused | None:
    """Why git can't be used here; None where it can."""
    try:
        old = Git(place, None).too_old()
    except RepositoryError as error:
        return refused(error.message, error.hint or "")
    return None if old is None else refused(old, "install a newer git on the workers")


def other_packages(start: AgentStart) -> str:
    """What of the driver's packages is another one here, or is not here; empty where nothing is."""
    differences = list(_differences(start.packages, installed_packages(sys.path)))
    if not differences:
        return ""
    more = len(differences) - PACKAGES_NAMED
    named = "; ".join(differences[:PACKAGES_NAMED])
    return f"its packages are not the driver's: {named}" + (
        f"; and {more} more" if more > 0 else ""
    )


def _differences(driver: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    found = {_folded(name): _version(version) for name, version in here.items()}
    found[_PYTHON] = ".".join(map(str, sys.version_info[:3]))
    differences = []
    for name, told in driver.items():
        version, own = _version(told), found.get(_folded(name))
        if own is None:
            differences.append(f"{name} {version} is not there")
        elif own != version:
            differences.append(f"{name} is {own}, not {version}")
    return differences


def _folded(name: str) -> str:
    """A package's name as indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


def _version(text: str) -> str:
    """The version alone, without where the package was installed from, which is another place on each machine."""
    return text.partition(" @ ")[0]
