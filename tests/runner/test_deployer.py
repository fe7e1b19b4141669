"""Names of Metaflow's for deployments: they can be imported, and say what is not here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitflowrun import DeployedFlow, Deployer, NBDeployer
from gitflowrun.exception import MetaflowException
from tests.helpers.repos import GitRepo
from tests.runner.conftest import flow

WAYS: dict[str, Callable[[], Any]] = {
    "argo": lambda: Deployer("f.py").argo_workflows(),
    "step_functions": lambda: Deployer("f.py").step_functions(),
    "airflow": lambda: Deployer("f.py").airflow(),
    "notebook": lambda: NBDeployer(GitRepo),
    "found": lambda: DeployedFlow.from_deployment("x"),
    "listed": DeployedFlow.list_deployed_flows,
    "triggered": lambda: DeployedFlow.get_triggered_run("x", "y"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_not_here_says_so(here: GitRepo, way: Callable[[], Any]) -> None:
    """With what to do instead."""
    here.write("f.py", flow())
    with pytest.raises(
        MetaflowException, match="not deployed to a scheduler here\nhint: a cron job"
    ):
        way()


@pytest.mark.usefixtures("here")
def test_a_file_that_is_not_there() -> None:
    """As `Runner` has it."""
    with pytest.raises(FileNotFoundError):
        Deployer("f.py")
