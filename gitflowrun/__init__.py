"""Git-native run versioning: flows whose every run is a commit in the repository they live in.

This is the package's facade: its public names, and the one module that ties the layers together. Importing it
imports nothing else: each name is fetched from its module when it is first used, so a flow file starts as fast
as its own imports allow.
"""

from __future__ import annotations

from gitflowrun import entry_point

TYPE_CHECKING = False  # importing `typing` would cost more than all that is here
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from gitflowrun._version import __version__
    from gitflowrun.artifacts.codecs.bytes import FileArtifact, from_chunks, from_file
    from gitflowrun.artifacts.config_value import ConfigValue
    from gitflowrun.client import (
        DataArtifact,
        Flow,
        Metaflow,
        Run,
        Step,
        Task,
        default_metadata,
        default_namespace,
        get_metadata,
        get_namespace,
        inspect_spin,
        metadata,
        namespace,
    )
    from gitflowrun.flow import FlowSpec, JSONType, JSONTypeClass, Parameter, step
    from gitflowrun.flow.config.declaration import Config
    from gitflowrun.flow.config.expression import config_expr
    from gitflowrun.flow.config.parsers import (
        conda_environment_yml_parser,
        pyproject_toml_parser,
        requirements_txt_parser,
        yaml_parser,
    )
    from gitflowrun.flow.current import current
    from gitflowrun.flow.decorators.card import card
    from gitflowrun.flow.decorators.catch import catch
    from gitflowrun.flow.decorators.clusters import batch, kubernetes
    from gitflowrun.flow.decorators.environment import environment
    from gitflowrun.flow.decorators.exit_hook import exit_hook
    from gitflowrun.flow.decorators.packages import conda, conda_base, pypi, pypi_base, uv
    from gitflowrun.flow.decorators.parallel import parallel, pytorch_parallel
    from gitflowrun.flow.decorators.project import project
    from gitflowrun.flow.decorators.resources import isolation, resources
    from gitflowrun.flow.decorators.retry import retry
    from gitflowrun.flow.decorators.secrets import secrets
    from gitflowrun.flow.decorators.timeout import timeout
    from gitflowrun.flow.decorators.triggers import (
        namespaced_event_name,
        schedule,
        trigger,
        trigger_on_finish,
    )
    from gitflowrun.flow.includefile import IncludeFile
    from gitflowrun.flow.user_decorators.generator_form import USER_SKIP_STEP, user_step_decorator
    from gitflowrun.flow.user_decorators.mutators import FlowMutator, StepMutator
    from gitflowrun.flow.user_decorators.packaging import package_sources, package_suffixes
    from gitflowrun.flow.user_decorators.user_step import UserStepDecorator
    from gitflowrun.runner.deployer import DeployedFlow, Deployer, NBDeployer
    from gitflowrun.runner.metaflow_runner import Runner
    from gitflowrun.runner.nbrun import NBRunner
    from gitflowrun.utilities.multicore_utils import parallel_imap_unordered, parallel_map
    from gitflowrun.utilities.profiling import profile
    from gitflowrun.version import get_version

_MODULES = {
    "gitflowrun._version": "__version__",
    "gitflowrun.client": (
        "DataArtifact Flow Metaflow Run Step Task default_metadata default_namespace get_metadata "
        "get_namespace inspect_spin metadata namespace"
    ),
    "gitflowrun.flow.includefile": "IncludeFile",
    "gitflowrun.flow.decorators.card": "card",
    "gitflowrun.flow.decorators.catch": "catch",
    "gitflowrun.flow.decorators.clusters": "batch kubernetes",
    "gitflowrun.flow.decorators.environment": "environment",
    "gitflowrun.flow.decorators.triggers": "namespaced_event_name schedule trigger trigger_on_finish",
    "gitflowrun.flow.decorators.exit_hook": "exit_hook",
    "gitflowrun.flow.decorators.packages": "conda conda_base pypi pypi_base uv",
    "gitflowrun.flow.decorators.parallel": "parallel pytorch_parallel",
    "gitflowrun.flow.decorators.project": "project",
    "gitflowrun.flow.decorators.resources": "isolation resources",
    "gitflowrun.flow.decorators.retry": "retry",
    "gitflowrun.flow.decorators.secrets": "secrets",
    "gitflowrun.flow.decorators.timeout": "timeout",
    "gitflowrun.artifacts.config_value": "ConfigValue",
    "gitflowrun.flow.config.declaration": "Config",
    "gitflowrun.flow.config.expression": "config_expr",
    "gitflowrun.flow.config.parsers": (
        "conda_environment_yml_parser pyproject_toml_parser requirements_txt_parser yaml_parser"
    ),
    "gitflowrun.flow.user_decorators.generator_form": "USER_SKIP_STEP user_step_decorator",
    "gitflowrun.flow.user_decorators.mutators": "FlowMutator StepMutator",
    "gitflowrun.flow.user_decorators.packaging": "package_sources package_suffixes",
    "gitflowrun.flow.user_decorators.user_step": "UserStepDecorator",
    "gitflowrun.flow": "FlowSpec JSONType JSONTypeClass Parameter current step",
    "gitflowrun.artifacts.codecs.bytes": "FileArtifact from_chunks from_file",
    "gitflowrun.runner.deployer": "DeployedFlow Deployer NBDeployer",
    "gitflowrun.runner.metaflow_runner": "Runner",
    "gitflowrun.runner.nbrun": "NBRunner",
    "gitflowrun.utilities.multicore_utils": "parallel_imap_unordered parallel_map",
    "gitflowrun.utilities.profiling": "profile",
    "gitflowrun.version": "get_version",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "USER_SKIP_STEP",
    "Config",
    "ConfigValue",
    "DataArtifact",
    "DeployedFlow",
    "Deployer",
    "FileArtifact",
    "Flow",
    "FlowMutator",
    "FlowSpec",
    "IncludeFile",
    "JSONType",
    "JSONTypeClass",
    "Metaflow",
    "NBDeployer",
    "NBRunner",
    "Parameter",
    "Run",
    "Runner",
    "Step",
    "StepMutator",
    "Task",
    "UserStepDecorator",
    "__version__",
    "batch",
    "card",
    "catch",
    "conda",
    "conda_base",
    "conda_environment_yml_parser",
    "config_expr",
    "current",
    "default_metadata",
    "default_namespace",
    "environment",
    "exit_hook",
    "from_chunks",
    "from_file",
    "get_metadata",
    "get_namespace",
    "get_version",
    "inspect_spin",
    "isolation",
    "kubernetes",
    "metadata",
    "namespace",
    "namespaced_event_name",
    "package_sources",
    "package_suffixes",
    "parallel",
    "parallel_imap_unordered",
    "parallel_map",
    "profile",
    "project",
    "pypi",
    "pypi_base",
    "pyproject_toml_parser",
    "pytorch_parallel",
    "requirements_txt_parser",
    "resources",
    "retry",
    "schedule",
    "secrets",
    "step",
    "timeout",
    "trigger",
    "trigger_on_finish",
    "user_step_decorator",
    "uv",
    "yaml_parser",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module 'gitflowrun' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    value = globals()[name] = getattr(importlib.import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _run_program(flow_cls: type) -> NoReturn:
    from gitflowrun.cli.flow.start import main

    main(flow_cls)


def _explain_uncaught() -> None:
    from gitflowrun.cli.errors import explain_uncaught

    explain_uncaught()


entry_point.run_program = _run_program
entry_point.explain_uncaught = _explain_uncaught
