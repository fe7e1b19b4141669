"""What differs between two runs: parameters, code, results, environments.

Code as text is what `git diff` of the two snapshots says; as values it comes from `git.diff`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from gitflowrun.errors import UsageError
from gitflowrun.git.diff import TreeDiff, diff_trees
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.porcelain.overview import ArtifactRow, is_result, make_row
from gitflowrun.porcelain.query import final_artifacts
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun

FORMATS = (
    "patch",
    "binary",
    "stat",
    "shortstat",
    "numstat",
    "name-only",
    "name-status",
    "word-diff",
)
"""How a difference of code can be written; options of git-diff(1)."""
_APPLICABLE = (
    "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--no-relative",
)  # fmt: skip
"""Options against settings with which `git apply` would not take a patch."""
_SHORT = 7
T = TypeVar("T")


@frozen
class RunDifference:
    """Everything in which two runs differ but time; the runs by their pathspecs."""

    old: str
    new: str
    parameters: tuple[Difference[str], ...]
    environment: tuple[Difference[str], ...]
    artifacts: tuple[Difference[ArtifactRow], ...]
    code: TreeDiff

    @property
    def differs(self) -> bool:
        """Whether the runs differ in anything."""
        return bool(self.parameters or self.environment or self.artifacts or self.code.files)


def compare(repo: Repository, old: StoredRun, new: StoredRun) -> RunDifference:
    """Compare two runs. Raises CorruptRecord: one of them can't be read."""
    return RunDifference(
        old.pathspec,
        new.pathspec,
        compare_parameters(old, new),
        differences(_environment(old), _environment(new)),
        _compare_artifacts(old, new),
        diff_trees(repo, old.code_tree, new.code_tree),
    )


@frozen
class Difference(Generic[T]):
    """A name whose value differs, or an artifact's content. A side is None where the name does not exist."""

    name: str
    old: T | None
    new: T | None


def compare_parameters(old: StoredRun, new: StoredRun) -> tuple[Difference[str], ...]:
    """The parameters that differ between two runs, in the order in which the newer run has them.

    A run's INFO has them as texts, and different values may have one text: `2` and `"2"`, a file whose content
    has changed, a long value that begins as before. So those of one text are told apart by what was stored,
    and that is added to their texts. (An attribute whose name is not that of its option is not found.)
    """
    before, after = dict(old.info.parameters), dict(new.info.parameters)
    stored_before, stored_after = _stored(old), _stored(new)
    for name in [name for name, text in after.items() if before.get(name) == text]:
        one, two = _of_option(stored_before, name), _of_option(stored_after, name)
        if one is not None and two is not None and one.identity != two.identity:
            before[name] += _facts(one)
            after[name] += _facts(two)
    return differences(before, after)


def _stored(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """The parameters and constants of a run by attribute; none of a run that ended before they were stored."""
    if PARAMETERS_STEP not in run.steps():
        return {}
    first, *_ = run.tasks(PARAMETERS_STEP)
    return run.task(TaskName(PARAMETERS_STEP, first)).record.artifacts


def _of_option(stored: Mapping[str, ArtifactRef], name: str) -> ArtifactRef | None:
    return stored.get(name) or stored.get(name.replace("-", "_"))


def _facts(ref: ArtifactRef) -> str:
    kind = ref.type.removeprefix("builtins.")
    return f" <{kind}, {ref.size} B, {str(ref.digest)[:_SHORT]}, {ref.codec}>"


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference[str], ...]:
    """The names whose values differ, those of `new` first."""
    names = dict.fromkeys([*new, *old])
    pairs = (Difference(name, old.get(name), new.get(name)) for name in names)
    return tuple(pair for pair in pairs if pair.old != pair.new)


def code_diff(
    repo: Repository,
    old: Oid,
    new: Oid,
    *,
    paths: Sequence[str] = (),
    form: str = "patch",
    colour: bool = False,
    context: int | None = None,
) -> bytes:
    """Compare two code trees for a person, or for `git apply`; values come from `git.diff`.

    The user's own settings hold (algorithm, renames, moved lines) but for those that make a patch one that does
    not apply, and for programs that they name: those open windows, or show something else than the files.

    Args:
        repo: The repository.
        old: The tree before.
        new: The tree after.
        paths: Only these files and directories, from the top of the work tree.
        form: How to write it, one of `FORMATS`.
        colour: Whether to colour it as git's settings say.
        context: Lines around a change; git's setting when None.

    Returns:
        What git says of it; empty when the paths asked for do not differ.

    Raises:
        UsageError: there is no such form.
        RepositoryError: git can't read a tree.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no form {form!r} of a diff", hint=f"use {', '.join(FORMATS)}")
    if old == new:
        return b""
    options = [*_APPLICABLE, f"--{form}", f"--color={'always' if colour else 'never'}"]
    if context is not None:
        options.append(f"--unified={context}")
    return repo.git.run("diff", *options, str(old), str(new), "--", *paths)


def _compare_artifacts(old: StoredRun, new: StoredRun) -> tuple[Difference[ArtifactRow], ...]:
    """The artifacts that two runs ended up with and that differ, in alphabetical order."""
    before, after = final_artifacts(old), final_artifacts(new)
    found = []
    for name in sorted({*before, *after}):
        one, two = before.get(name), after.get(name)
        if one is not None and two is not None and one.identity == two.identity:
            continue
        if any(ref is not None and is_result(name, ref) for ref in (one, two)):
            before_row = make_row(old, name, one) if one is not None else None
            after_row = make_row(new, name, two) if two is not None else None
            found.append(Difference(name, before_row, after_row))
    return tuple(found)


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
