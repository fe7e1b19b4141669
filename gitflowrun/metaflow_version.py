"""`get_version` by Metaflow's name of its module."""

from __future__ import annotations

from gitflowrun.version import get_version

__all__ = ["get_version"]
