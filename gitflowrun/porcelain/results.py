"""What differs between the results, and between the environments, of two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.porcelain.artifacts import ArtifactRow, final_artifacts, is_result, make_row
from gitflowrun.porcelain.compare import Difference, differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.runs.read import StoredRun

__all__ = ["ArtifactDifference", "compare_artifacts", "compare_environments"]


@dataclass(frozen=True, slots=True)
class ArtifactDifference:
    """An artifact whose content differs. A side is None where the artifact does not exist."""

    name: str
    old: ArtifactRow | None
    new: ArtifactRow | None


def compare_artifacts(old: StoredRun, new: StoredRun) -> tuple[ArtifactDifference, ...]:
    """The artifacts that two runs ended up with and that differ, in alphabetical order."""
    before, after = final_artifacts(old), final_artifacts(new)
    found = []
    for name in sorted({*before, *after}):
        one, two = before.get(name), after.get(name)
        if one is not None and two is not None and one.identity == two.identity:
            continue
        if any(ref is not None and is_result(name, ref) for ref in (one, two)):
            found.append(
                ArtifactDifference(
                    name,
                    None if one is None else make_row(old, name, one),
                    None if two is None else make_row(new, name, two),
                )
            )
    return tuple(found)


def compare_environments(old: StoredRun, new: StoredRun) -> tuple[Difference, ...]:
    """What differs between the interpreters, platforms and packages of two runs."""
    return differences(_environment(old), _environment(new))


def _environment(run: StoredRun) -> Mapping[str, str]:
    """Versions, platform and packages as one flat mapping."""
    environment = run.info.environment
    packages = environment.get("packages")
    facts = {name: version for name, version in run.info.versions.items() if version}
    facts |= {
        name: value
        for name in ("platform", "architecture", "cpu")
        if isinstance(value := environment.get(name), str)
    }
    if isinstance(packages, dict):
        facts |= {f"package {name}": str(version) for name, version in packages.items()}
    return facts
