"""A run's INFO as a plain dictionary, for people and for code written against Metaflow. Reads nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.runs.records import INFO

if TYPE_CHECKING:
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunIdentity, RunInfo

__all__ = ["info_dict", "record_dict"]


def info_dict(stored: StoredRun) -> dict[str, Any]:
    """What a run's INFO says: our names, and Metaflow's for what Metaflow has names for."""
    return record_dict(stored.info, stored.identity)


def record_dict(info: RunInfo, identity: RunIdentity | None = None) -> dict[str, Any]:
    """As `info_dict`, from the record.

    Args:
        info: The record.
        identity: The run as this repository knows it; a fetched run may have another id than it was born with.
    """
    data = INFO.dump(info)
    tags = dict(tag.split(":", 1) for tag in info.system_tags if ":" in tag)
    data.update(
        username=info.user,
        runtime=tags.get("runtime", "dev"),
        environment_type="local",
        platform=info.environment.get("platform"),
        branch_name=info.git.get("branch"),
        commit_sha=info.git.get("commit"),
        repo_url=info.git.get("remote"),
        has_uncommitted_changes=bool(info.git.get("dirty")),
        use_r=False,
        ext_info={},
    )
    if identity is not None:
        data.update(run_id=str(identity.id), uid=str(identity.uid))
    return data
