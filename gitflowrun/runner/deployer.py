"""`Deployer`, `NBDeployer` and `DeployedFlow`: Metaflow's names for what needs a scheduler in a cloud.

They are here so that programs which import them start. Whatever would deploy says that it is not here, and what
starts a flow at a time or after another one instead.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

from gitflowrun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINT = (
    "a cron job, a systemd timer or a pipeline starts `python FLOW.py run` or a program with Runner; "
    "`git runs push` shares the runs"
)


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"{what}: flows are not deployed to a scheduler here", hint=_HINT)


class Deployer:
    """What would deploy a flow file.

    Args:
        flow_file: The file.
        **options: Those of `Runner`; not used.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(self, flow_file: str | os.PathLike[str], **options: Any) -> None:
        self.flow_file = os.path.abspath(flow_file)  # noqa: PTH100
        if not os.path.isfile(self.flow_file):  # noqa: PTH113
            raise FileNotFoundError(f"there is no flow file {self.flow_file!r}")
        self.options: Mapping[str, Any] = options

    def argo_workflows(self, **_options: Any) -> NoReturn:
        """Raise UsageError: it is not here."""
        _refuse("argo_workflows")

    def step_functions(self, **_options: Any) -> NoReturn:
        """Raise UsageError: it is not here."""
        _refuse("step_functions")

    def airflow(self, **_options: Any) -> NoReturn:
        """Raise UsageError: it is not here."""
        _refuse("airflow")


class NBDeployer:
    """What would deploy a flow of a notebook. Making one raises UsageError: it is not here."""

    def __init__(self, flow: type, **_options: Any) -> None:
        _refuse(f"NBDeployer({getattr(flow, '__name__', flow)})")


class DeployedFlow:
    """A flow that was deployed, of which there are none: all ways to find one raise UsageError."""

    @classmethod
    def from_deployment(cls, identifier: str, *_: Any, **_options: Any) -> NoReturn:
        """Raise UsageError: there is none."""
        _refuse(f"from_deployment({identifier!r})")

    from_argo_workflows = from_step_functions = from_deployment

    @classmethod
    def list_deployed_flows(cls, *_: Any, **_options: Any) -> NoReturn:
        """Raise UsageError: there are none."""
        _refuse("list_deployed_flows")

    list_argo_workflows = list_step_functions = list_deployed_flows

    @classmethod
    def get_triggered_run(cls, *_: Any, **_options: Any) -> NoReturn:
        """Raise UsageError: there are none."""
        _refuse("get_triggered_run")
