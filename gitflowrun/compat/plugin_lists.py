"""Lists of the module `plugins`: decorators and cards of this package; of other kinds what is local, refusing."""

from __future__ import annotations

from typing import Any

from gitflowrun.cards.built_in_types import (
    BlankCard,
    DefaultCard,
    DefaultCardJSON,
    ErrorCard,
    TaskSpecCard,
)
from gitflowrun.compat.unavailable import unavailable
from gitflowrun.flow.decorators import registry
from gitflowrun.flow.decorators.secrets import InlineSecretsProvider


def _local(name: str, module: str) -> Any:
    """A stand-in that is found by its type, and says what it is when it is used."""
    found = unavailable(name, module)
    found.TYPE = "local"
    return found


STEP_DECORATORS = [registry.step_decorator(name) for name in registry.STEP_DECORATORS]
FLOW_DECORATORS = [registry.flow_decorator(name) for name in registry.FLOW_DECORATORS]
SECRETS_PROVIDERS = [InlineSecretsProvider]
CARDS = [BlankCard, DefaultCard, DefaultCardJSON, ErrorCard, TaskSpecCard]
DATASTORES = [_local("LocalStorage", "plugins.datastores.local_storage")]
DATACLIENTS: list[Any] = []
ENVIRONMENTS: list[Any] = []
METADATA_PROVIDERS = [_local("LocalMetadataProvider", "plugins.metadata_providers.local")]
DEPLOYER_IMPL_PROVIDERS: list[Any] = []
AWS_CLIENT_PROVIDERS: list[Any] = []
AZURE_CLIENT_PROVIDERS: list[Any] = []
GCP_CLIENT_PROVIDERS: list[Any] = []
SIDECARS: dict[str, Any] = {}
LOGGING_SIDECARS: dict[str, Any] = {}
MONITOR_SIDECARS: dict[str, Any] = {}
