"""Where Metaflow's public names are, and what this package has by them.

Of Metaflow 2.19.39; see docs/metaflow.md. A name is listed once in `PLACES`, and by each module of Metaflow's that
defines it in `MODULES`. What a module merely imports is found there, too, as third-party code takes it from anywhere.
"""

from __future__ import annotations

import functools

_EXCEPTIONS = (
    "METAFLOW_EXIT_ALLOW_RETRY METAFLOW_EXIT_DISALLOW_RETRY CommandException ExternalCommandFailed "
    "InvalidDecoratorAttribute MetaflowDataMissing MetaflowException MetaflowExceptionWrapper MetaflowInternalError "
    "MetaflowInvalidPathspec MetaflowNamespaceMismatch MetaflowNotFound MetaflowTaggingError MetaflowUnknownUser "
    "MissingInMergeArtifactsException ParameterFieldFailed ParameterFieldTypeMismatch "
    "UnhandledInMergeArtifactsException"
)
_OF_DECORATORS = (
    "BadFlowDecoratorException BadStepDecoratorException DuplicateFlowDecoratorException "
    "DuplicateStepDecoratorException UnknownFlowDecoratorException UnknownStepDecoratorException"
)
_MAKERS = "_attach_decorators_to_step _base_flow_decorator _base_step_decorator"
_CLIENT = (
    "DataArtifact Flow Metaflow Run Step Task default_metadata default_namespace get_metadata get_namespace "
    "inspect_spin metadata namespace"
)
_OF_CARDS = (
    "CardClassFoundException CardNotPresentException ComponentOverwriteNotSupportedException "
    "IncorrectArgumentException IncorrectCardArgsException IncorrectPathspecException TaskNotFoundException "
    "TypeRequiredException UnrenderableCardException UnresolvableDatastoreException"
)
_COMPONENTS = (
    "Artifact Error EventsTimeline Image JSONViewer Markdown ProgressBar PythonCode Table ValueBox VegaChart "
    "YAMLViewer"
)
_CARDS = f"{_COMPONENTS} BlankCard DefaultCard ErrorCard MetaflowCard MetaflowCardComponent PageComponent get_cards"
_SECTIONS = (
    "ArtifactsComponent DagComponent DefaultComponent ErrorComponent HTMLComponent ImageComponent LogComponent "
    "MarkdownComponent PageComponent PythonCodeComponent SectionComponent SerializationErrorComponent "
    "SubTitleComponent TableComponent TextComponent TitleComponent"
)
_TYPES = "BlankCard DefaultCard DefaultCardJSON ErrorCard TaskInfoComponent TaskSpecCard"
_UTIL = (
    "Path TempDir all_equal bytes_type cached_property compress_list decompress_list dict_to_cli_options "
    "get_metaflow_root get_object_package_version get_username is_stringish longest_common_prefix "
    "resolve_identity resolve_identity_as_tuple tar_safe_extract to_bytes to_camelcase to_fileobj "
    "to_pascalcase to_pod to_unicode unicode_type unquote_bytes url_quote url_unquote walk_without_cycles "
    "which"
)
_TRACING = "get_trace_id init_tracing inject_tracing_vars post_fork traced tracing"
_LISTS = (
    "AWS_CLIENT_PROVIDERS AZURE_CLIENT_PROVIDERS CARDS DATACLIENTS DATASTORES DEPLOYER_IMPL_PROVIDERS ENVIRONMENTS "
    "FLOW_DECORATORS GCP_CLIENT_PROVIDERS LOGGING_SIDECARS METADATA_PROVIDERS MONITOR_SIDECARS SECRETS_PROVIDERS "
    "SIDECARS STEP_DECORATORS"
)
_TOP = (
    f"{_CLIENT} Config ConfigValue DeployedFlow Deployer FlowMutator FlowSpec IncludeFile JSONType JSONTypeClass "
    "NBDeployer NBRunner Parameter Runner StepMutator USER_SKIP_STEP UserStepDecorator batch card catch conda "
    "conda_base conda_environment_yml_parser config_expr current environment exit_hook kubernetes "
    "namespaced_event_name parallel parallel_imap_unordered "
    "parallel_map profile project pypi pypi_base pyproject_toml_parser pytorch_parallel "
    "requirements_txt_parser resources retry schedule secrets step timeout trigger trigger_on_finish "
    "user_step_decorator uv yaml_parser package_sources package_suffixes"
)

MODULES = {
    "_vendor": "",  # the libraries of these names, where they are installed
    "": f"{_TOP} S3 get_version",
    "cards": _CARDS,
    "client": _CLIENT,
    "client.core": f"{_CLIENT} MetaflowCode MetaflowData MetaflowObject Metadata Trigger",
    "cmd": "",
    "cmd.diff": "",
    "datastore": "",
    "datastore.exceptions": "DataException UnpicklableArtifactException",
    "debug": "Debug debug",
    "decorators": f"{_OF_DECORATORS} {_MAKERS} Decorator FlowDecorator StepDecorator step",
    "events": "MetaflowEvent Trigger",
    "exception": _EXCEPTIONS,
    "flowspec": "FlowSpec INTERNAL_ARTIFACTS_SET InvalidNextException",
    "graph": "FlowGraph",
    "includefile": "IncludeFile",
    "lint": "LintWarn",
    "meta_files": "read_info_file",
    "metadata_provider": "MetaDatum",
    "metadata_provider.metadata": "MetaDatum",
    "metaflow_config": "",  # see `config_values`
    "metaflow_config_funcs": "from_conf get_validate_choice_fn",
    "metaflow_current": "Current Parallel current",
    "metaflow_profile": "profile",
    "metaflow_version": "get_version",
    "multicore_utils": "MulticoreException parallel_imap_unordered parallel_map",
    "parameters": "JSONType JSONTypeClass Parameter",
    "plugins": _LISTS,
    "plugins.cards": "",
    "plugins.cards.card_client": "Card CardContainer get_cards",
    "plugins.cards.card_decorator": "CARD_ID_PATTERN CardDecorator TYPE_CHECK_REGEX",
    "plugins.cards.card_modules": "MetaflowCard MetaflowCardComponent",
    "plugins.cards.card_modules.basic": f"{_SECTIONS} {_TYPES}",
    "plugins.cards.card_modules.card": (
        "MetaflowCard MetaflowCardComponent create_component_id with_default_component_id"
    ),
    "plugins.cards.card_modules.chevron": "render",
    "plugins.cards.card_modules.components": f"{_COMPONENTS} UserComponent",
    "plugins.cards.card_modules.json_viewer": "JSONViewer YAMLViewer",
    "plugins.cards.card_modules.renderer_tools": "render_safely",
    "plugins.cards.component_serializer": "CardComponentCollector CardComponentManager ComponentStore get_card_class",
    "plugins.cards.exception": f"{_OF_CARDS} CARD_ID_PATTERN TYPE_CHECK_REGEX",
    "plugins.catch_decorator": "CatchDecorator FailureHandledByCatch",
    "plugins.environment_decorator": "EnvironmentDecorator",
    "plugins.events_decorator": "TriggerDecorator TriggerOnFinishDecorator",
    "plugins.exit_hook": "",
    "plugins.exit_hook.exit_hook_decorator": "ExitHookDecorator",
    "plugins.frameworks": "",
    "plugins.frameworks.pytorch": "PytorchParallelDecorator",
    "plugins.namespaced_events": "namespaced_event_name",
    "plugins.package_sources": "package_sources",
    "plugins.package_suffixes_mutator": "package_suffixes",
    "plugins.parallel_decorator": "ParallelDecorator _local_multinode_control_task_step_func",
    "plugins.parsers": "yaml_parser",
    "plugins.project_decorator": "ProjectDecorator",
    "plugins.pypi": "",
    "plugins.pypi.conda_decorator": "CondaDecorator CondaBaseDecorator",
    "plugins.pypi.parsers": "conda_environment_yml_parser pyproject_toml_parser requirements_txt_parser",
    "plugins.pypi.pypi_decorator": "PypiDecorator PypiBaseDecorator",
    "plugins.resources_decorator": "ResourcesDecorator",
    "plugins.retry_decorator": "RetryDecorator",
    "plugins.secrets": "SecretsProvider",
    "plugins.secrets.inline_secrets_provider": "InlineSecretsProvider",
    "plugins.secrets.secrets_decorator": "SecretsDecorator",
    "plugins.timeout_decorator": "TimeoutDecorator TimeoutException",
    "pylint_wrapper": "PyLintWarn",
    "runner": "",
    "runner.click_api": "MetaflowAPI",
    "runner.deployer": "DeployedFlow Deployer",
    "runner.metaflow_runner": "ExecutingProcess ExecutingRun ExecutingTask Runner",
    "runner.nbdeploy": "NBDeployer",
    "runner.nbrun": "NBRunner",
    "runner.subprocess_manager": "CommandManager",
    "runtime": "TaskFailed",
    "sidecar": "MessageTypes",
    "sidecar.sidecar_messages": "MessageTypes",
    "task": "",
    "tracing": _TRACING,
    "tuple_util": "ForeachFrame",
    "unbounded_foreach": "CONTROL_TASK_TAG UBF_CONTROL UBF_TASK UnboundedForeachInput",
    "user_configs": "",
    "user_configs.config_parameters": "Config ConfigValue config_expr",
    "user_decorators": "",
    "user_decorators.mutable_flow": "MutableFlow",
    "user_decorators.mutable_step": "MutableStep",
    "user_decorators.user_flow_decorator": "FlowMutator",
    "user_decorators.user_step_decorator": "StepMutator USER_SKIP_STEP UserStepDecorator user_step_decorator",
    "util": _UTIL,
}

_BELOW = {
    "gitflowrun": _TOP,
    "gitflowrun.cards": _CARDS,
    "gitflowrun.cards.built_in_types": "DefaultCardJSON TaskInfoComponent TaskSpecCard",
    "gitflowrun.cards.card_client": "Card CardContainer",
    "gitflowrun.cards.component_store": "ComponentStore",
    "gitflowrun.cards.components.component": "UserComponent",
    "gitflowrun.cards.components.sections": _SECTIONS.replace("PageComponent ", ""),
    "gitflowrun.cards.current_card": "CardComponentCollector CardComponentManager",
    "gitflowrun.cards.mustache": "render",
    "gitflowrun.compat.card_helpers": (
        "CARD_ID_PATTERN TYPE_CHECK_REGEX create_component_id get_card_class render_safely with_default_component_id"
    ),
    "gitflowrun.exception": (
        f"{_EXCEPTIONS} {_OF_CARDS} {_OF_DECORATORS} DataException FailureHandledByCatch InvalidNextException LintWarn "
        "MulticoreException PyLintWarn TaskFailed TimeoutException UnpicklableArtifactException"
    ),
    "gitflowrun.compat.helpers": (
        "CONTROL_TASK_TAG INTERNAL_ARTIFACTS_SET UBF_CONTROL UBF_TASK _local_multinode_control_task_step_func "
        "from_conf get_validate_choice_fn get_version"
    ),
    "gitflowrun.compat.observing": f"{_TRACING} Debug MessageTypes debug",
    "gitflowrun.compat.plugin_lists": _LISTS,
    "gitflowrun.compat.util_functions": _UTIL,
    "gitflowrun.flow.decorators.task_hooks": "MetaDatum",
    "gitflowrun.decorators": _MAKERS,
    "gitflowrun.client.code": "MetaflowCode",
    "gitflowrun.client.task": "MetaflowData",
    "gitflowrun.client.metaflow_names": "ForeachFrame Metadata",
    "gitflowrun.client.trigger": "MetaflowEvent Trigger",
    "gitflowrun.flow.current": "Current Parallel",
    "gitflowrun.flow.decorators.base": "Decorator FlowDecorator StepDecorator",
    "gitflowrun.flow.decorators.card": "CardDecorator",
    "gitflowrun.flow.decorators.catch": "CatchDecorator",
    "gitflowrun.flow.decorators.environment": "EnvironmentDecorator",
    "gitflowrun.flow.decorators.exit_hook": "ExitHookDecorator",
    "gitflowrun.flow.decorators.packages": "CondaBaseDecorator CondaDecorator PypiBaseDecorator PypiDecorator",
    "gitflowrun.flow.decorators.parallel": "ParallelDecorator PytorchParallelDecorator",
    "gitflowrun.flow.decorators.project": "ProjectDecorator",
    "gitflowrun.flow.decorators.resources": "ResourcesDecorator",
    "gitflowrun.flow.decorators.retry": "RetryDecorator",
    "gitflowrun.flow.decorators.secrets": "InlineSecretsProvider SecretsDecorator SecretsProvider",
    "gitflowrun.flow.decorators.timeout": "TimeoutDecorator",
    "gitflowrun.flow.decorators.triggers": "TriggerDecorator TriggerOnFinishDecorator",
    "gitflowrun.flow.graph": "FlowGraph",
    "gitflowrun.flow.user_decorators.mutable_flow": "MutableFlow",
    "gitflowrun.flow.user_decorators.mutable_step": "MutableStep",
    "gitflowrun.meta_files": "read_info_file",
    "gitflowrun.runner.click_api": "MetaflowAPI",
    "gitflowrun.runner.metaflow_runner": "ExecutingProcess ExecutingRun ExecutingTask",
    "gitflowrun.runner.subprocess_manager": "CommandManager",
    "gitflowrun.unbounded_foreach": "UnboundedForeachInput",
}
PLACES = {name: place for place, names in _BELOW.items() for name in names.split()}
PLACES["MetaflowObject"] = "gitflowrun.client.base:ClientObject"


def class_named(cls: type) -> str:
    """The dotted name of a class: of exceptions that Metaflow has, the one that it has there."""
    own = f"{cls.__module__}.{cls.__qualname__}"
    return _metaflows().get(cls, own) if own.startswith("gitflowrun.") else own


@functools.cache
def _metaflows() -> dict[type, str]:
    from gitflowrun import exception

    found: dict[type, str] = {}
    for module, names in MODULES.items():
        for name in names.split():
            cls = getattr(exception, name, None)
            if module and isinstance(cls, type) and issubclass(cls, BaseException):
                found.setdefault(cls, f"metaflow.{module}.{name}")
    return found
