"""Which runs the client sees: the process's namespace, a tag that runs must have. No run is looked at here.

A fresh process sees every run of the repository. Metaflow starts in `user:<name>` because its service holds
the runs of a whole company; a repository holds the runs somebody made in it or chose to fetch, and there the
same rule would hide the runs of one's own other machine, of CI, of a container that runs as root, and those
just fetched from a colleague. `Flow(...)['12']` and "all runs" mean what they say. Whoever prefers Metaflow's
start says so once: `git config runs.namespace user`, GITFLOWRUN_NAMESPACE=user, or `default_namespace()`.

All else is Metaflow's: objects remember the namespace they were made in, and `namespace(None)` is global.
"""

from __future__ import annotations

import os

from gitflowrun.client.repository import Source
from gitflowrun.errors import RepositoryError
from gitflowrun.names import check_tag
from gitflowrun.settings import Settings, user_name

__all__ = ["default_namespace", "get_namespace", "namespace"]

_OWN = "user"

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
    setting = _settings().namespace
    return _own() if setting == _OWN else setting or None


def default_namespace() -> str:
    """Switch to the namespace of the current user, `user:<name>`, and return it."""
    own = _own()
    _chosen[:] = [own]
    return own


def _own() -> str:
    return f"user:{user_name(_settings(), os.environ)}"


def _settings() -> Settings:
    try:
        return Source.current().repo.settings
    except RepositoryError:  # whoever reads a run without a repository is told so there
        return Settings.parse({}, os.environ)
