"""The namespace of a process: the tag that runs must have for the client to see them.

A fresh process sees every run of the repository (`Settings.namespace_of` says why). Whoever prefers Metaflow's
start sets it once: `git config runs.namespace user`, GITFLOWRUN_NAMESPACE=user, or `default_namespace()`.
Apart from that it is as in Metaflow: objects keep the namespace they were made in, and `namespace(None)`
is global.
"""

from __future__ import annotations

import os

from gitflowrun.client.repository import Source
from gitflowrun.errors import RepositoryError
from gitflowrun.names import check_tag
from gitflowrun.settings import Settings, user_name

__all__ = ["default_namespace", "get_namespace", "namespace"]

_chosen: list[str | None] = []


def namespace(ns: str | None) -> str | None:
    """Switch to another namespace.

    Args:
        ns: The tag that runs must have to be seen; None for all runs.

    Returns:
        The namespace now in use.

    Raises:
        TaggingError: no tag can be named so.
    """
    _chosen[:] = [None if ns is None else check_tag(ns)]
    return _chosen[0]


def get_namespace() -> str | None:
    """The namespace in use; None when all runs are seen."""
    if _chosen:
        return _chosen[0]
    settings = _settings()
    return settings.namespace_of(user_name(settings, os.environ))


def default_namespace() -> str:
    """Switch to the namespace of the current user, `user:<name>`, and return it."""
    own = f"user:{user_name(_settings(), os.environ)}"
    _chosen[:] = [own]
    return own


def _settings() -> Settings:
    try:
        return Source.current().repo.settings
    except RepositoryError:  # reading a run will raise it again, with a hint
        return Settings.parse({}, os.environ)
