"""Lists of Metaflow's module `plugins`: the decorators of this package; it has none of the other kinds."""

from __future__ import annotations

from typing import Any

from gitflowrun.cards.built_in_types import (
    BlankCard,
    DefaultCard,
    DefaultCardJSON,
    ErrorCard,
    TaskSpecCard,
)
from gitflowrun.flow.decorators import registry
from gitflowrun.flow.decorators.secrets import InlineSecretsProvider

STEP_DECORATORS = [registry.step_decorator(name) for name in registry.STEP_DECORATORS]
FLOW_DECORATORS = [registry.flow_decorator(name) for name in registry.FLOW_DECORATORS]
SECRETS_PROVIDERS = [InlineSecretsProvider]
CARDS = [BlankCard, DefaultCard, DefaultCardJSON, ErrorCard, TaskSpecCard]
DATASTORES: list[Any] = []
DATACLIENTS: list[Any] = []
ENVIRONMENTS: list[Any] = []
METADATA_PROVIDERS: list[Any] = []
DEPLOYER_IMPL_PROVIDERS: list[Any] = []
AWS_CLIENT_PROVIDERS: list[Any] = []
AZURE_CLIENT_PROVIDERS: list[Any] = []
GCP_CLIENT_PROVIDERS: list[Any] = []
SIDECARS: dict[str, Any] = {}
LOGGING_SIDECARS: dict[str, Any] = {}
MONITOR_SIDECARS: dict[str, Any] = {}
