"""What Metaflow's module `metaflow_config` says: `METAFLOW_<NAME>` of the environment, and what is so without it."""

from __future__ import annotations

from gitflowrun.compat.helpers import from_conf

_DEFAULTS: dict[str, object] = {
    "CARD_NO_WARNING": False, "CARD_SUFFIX": "mf.cards", "CLIENT_CACHE_MAX_SIZE": 10_000,
    "DATASTORE_LOCAL_DIR": ".metaflow", "DEFAULT_DATASTORE": "local", "DEFAULT_DECOSPECS": "",
    "DEFAULT_ENVIRONMENT": "local", "DEFAULT_EVENT_LOGGER": "nullSidecarLogger", "DEFAULT_METADATA": "local",
    "DEFAULT_MONITOR": "nullSidecarMonitor", "DEFAULT_PACKAGE_SUFFIXES": ".py,.R,.RDS",
    "DEFAULT_RUNTIME_LIMIT": 432_000, "KUBERNETES_NAMESPACE": "default", "MAXIMUM_FOREACH_VALUE_CHARS": 30,
    "MAX_ATTEMPTS": 6, "RUNTIME_CARD_RENDER_INTERVAL": 60, "S3_RETRY_COUNT": 7, "SERVICE_HEADERS": {},
    "SPIN_PERSIST": False, "TEMPDIR": ".",
}  # fmt: skip


def config_value(name: str) -> object:
    """The value of a name; None for what nobody has set, as is all that is of a cloud."""
    return from_conf(name, _DEFAULTS.get(name))
