"""What programs import from Metaflow is imported from here by the same names."""

from __future__ import annotations

import pytest

import gitflowrun
from gitflowrun import client

NAMES = """
    Config ConfigValue DataArtifact DeployedFlow Deployer Flow FlowMutator FlowSpec IncludeFile JSONType JSONTypeClass
    Metaflow NBDeployer NBRunner Parameter Run Runner Step StepMutator Task USER_SKIP_STEP UserStepDecorator
    conda_environment_yml_parser config_expr current default_metadata default_namespace get_metadata get_namespace
    inspect_spin metadata namespace namespaced_event_name parallel_imap_unordered parallel_map profile
    pyproject_toml_parser requirements_txt_parser step user_step_decorator yaml_parser
"""
DECORATORS = """
    batch card catch conda conda_base environment exit_hook kubernetes parallel project pypi pypi_base pytorch_parallel
    resources retry schedule secrets timeout trigger trigger_on_finish
"""


@pytest.mark.parametrize("name", [*NAMES.split(), *DECORATORS.split(), "get_version"])
def test_metaflows_names_are_there(name: str) -> None:
    """Each can be imported from the package, and `from gitflowrun import *` has it."""
    assert getattr(gitflowrun, name) is not None
    assert name in gitflowrun.__all__


def test_the_client_has_its_names_too() -> None:
    """They are the same objects, by either module."""
    names = set(client.__all__) & set(NAMES.split())
    assert len(names) == 13
    for name in names:
        assert getattr(client, name) is getattr(gitflowrun, name)
