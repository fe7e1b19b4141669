"""What Metaflow's module `metaflow_config` says: `METAFLOW_<NAME>` of the environment, and what is so without it."""

from __future__ import annotations

import os

_DEFAULTS: dict[str, object] = {
    "CLIENT_CACHE_MAX_SIZE": 10_000, "DATASTORE_LOCAL_DIR": ".metaflow", "DEFAULT_DATASTORE": "local",
    "DEFAULT_DECOSPECS": "", "DEFAULT_ENVIRONMENT": "local", "DEFAULT_EVENT_LOGGER": "nullSidecarLogger",
    "DEFAULT_METADATA": "local", "DEFAULT_MONITOR": "nullSidecarMonitor", "DEFAULT_PACKAGE_SUFFIXES": ".py,.R,.RDS",
    "KUBERNETES_NAMESPACE": "default", "MAX_ATTEMPTS": 6, "MAXIMUM_FOREACH_VALUE_CHARS": 30, "S3_RETRY_COUNT": 7,
    "SPIN_PERSIST": False, "TEMPDIR": ".",
}  # fmt: skip


def config_value(name: str) -> object:
    """The value of a name; None for what nobody has set, as is all that is of a cloud."""
    default = _DEFAULTS.get(name)
    text = os.environ.get(f"METAFLOW_{name}")
    if text is None:
        return default
    if isinstance(default, bool):
        return text.lower() not in {"", "0", "false", "no"}
    return int(text) if isinstance(default, int) else text
