"""What differs between two runs: parameters, code, results, environments.

Code as text is what `git diff` of the two snapshots says; as values it comes from `git.diff`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from gitflowrun.errors import CorruptRecord, MissingObject, RepositoryError, TooLarge, UsageError
from gitflowrun.git.command import FOR_FILES
from gitflowrun.git.diff import TreeDiff, diff_trees, extent_of_change
from gitflowrun.git.objects import NULL_OID
from gitflowrun.limits import CHANGES_SECONDS, CODE_DIFF_SECONDS, DIFFED_IN_ALL
from gitflowrun.names import TaskName
from gitflowrun.porcelain.comparison.changes import changes
from gitflowrun.porcelain.overview import ArtifactRow, is_result, make_row
from gitflowrun.porcelain.parameters import names_of, parameters_task, told_apart
from gitflowrun.porcelain.parts import final_artifacts, is_private
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import other_code
from gitflowrun.runs.trust import Trust
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.names import PayloadIdentity
    from gitflowrun.porcelain.comparison.value_comparison import Verdict
    from gitflowrun.runs.read import StoredTask
    from gitflowrun.runs.records import TaskRecord

    _Stored = tuple[StoredTask, ArtifactRef]
    _Table = tuple[tuple[StoredTask | None, StoredTask | None], Sequence[str]]

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
_WITHOUT_CONTENT = frozenset({"name-only", "name-status"})
_APPLICABLE = (
    "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--no-relative",
    "--ignore-submodules=none", "-O/dev/null",
)  # fmt: skip
"""Options against settings with which `git apply` would not take a patch."""
_CONTEXT = 3
"""Lines around a change where nothing else is said, as in git."""
_NOTHING_LEFT_OUT: tuple[tuple[Difference[str], ...], tuple[str, ...]] = (), ()
T = TypeVar("T")


@frozen
class RunDifference:
    """Everything in which two runs differ but time; the runs by their pathspecs.

    Attributes:
        old: The run before.
        new: The run after.
        status: How far each got, if that differs.
        parameters: Parameters, and constants of the class, as texts.
        environment: Versions, platform, packages, variables.
        artifacts: What the runs ended up with.
        steps: The steps whose tasks made other values, of which the runs did not end up with, or are more or less.
        code: Their snapshots.
        left_out: What the snapshots do not hold, if other things are known of it.
        unknown: The names of what they do not hold of which the same is known: nobody can tell whether it differs.
        changes: In what parameters and artifacts differ, in words, by name.
        equal: The names of those whose values are equal, though they are pickled to other bytes.
        unreadable: What could not be compared because it is damaged or missing, and how: the rest is compared.
    """

    old: str
    new: str
    status: Difference[str] | None
    parameters: tuple[Difference[str], ...]
    environment: tuple[Difference[str], ...]
    artifacts: tuple[Difference[ArtifactRow], ...]
    steps: tuple[StepDifference, ...]
    code: TreeDiff
    left_out: tuple[Difference[str], ...]
    unknown: tuple[str, ...]
    changes: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs are known to differ in anything but how equal values are pickled."""
        names = [row.name for row in self.parameters] + [row.name for row in self.artifacts]
        found = (self.status, self.environment, self.steps, self.code.files, self.left_out)
        return any(found) or not set(self.equal).issuperset(names)


def compare(repo: Repository, old: StoredRun, new: StoredRun) -> RunDifference:
    """Compare two runs, as far as they can be read. Raises CorruptRecord: of one of them nothing can be."""
    read = _Readings()
    texts: tuple[Difference[str], ...]
    texts = read.part(lambda: compare_parameters(old, new), ())
    artifacts: tuple[Difference[ArtifactRow], ...]
    artifacts = read.part(lambda: _compare_artifacts(old, new), ())
    tables: list[_Table] = []
    if texts:
        tasks = parameters_task(old), parameters_task(new)
        tables.append((tasks, [row.name for row in texts]))
    if artifacts:
        tables.append(((old.final_task(), new.final_task()), [row.name for row in artifacts]))
    said = read.part(lambda: _say(repo, tables, read), Said({}, ()))
    one, two = old.status.value, new.status.value
    return RunDifference(
        old.pathspec,
        new.pathspec,
        None if one == two else Difference("status", one, two),
        texts,
        read.part(lambda: differences(_environment(old), _environment(new)), ()),
        artifacts,
        _compare_steps(old, new, {row.name for row in artifacts}, read),
        read.part(lambda: _compare_code(repo, old, new), TreeDiff(NULL_OID, NULL_OID)),
        *read.part(lambda: compare_left_out(old, new, read.left_out), _NOTHING_LEFT_OUT),
        said.lines,
        said.equal,
        tuple(read.unreadable),
    )


class _Readings:
    """What could be read of two runs: what is damaged or missing is noted, and costs its own part alone.

    Attributes:
        unreadable: What could not be, and how, in order.
    """

    def __init__(self) -> None:
        self.unreadable: dict[str, None] = {}

    def part(self, read: Callable[[], T], otherwise: T) -> T:
        """What `read` returns, or `otherwise` where that can't be read."""
        try:
            return read()
        except (CorruptRecord, MissingObject) as error:
            self.unreadable[error.message] = None
            return otherwise

    def left_out(self, run: StoredRun) -> dict[str, str]:
        """`StoredRun.left_out`, of the tasks whose records can be read."""
        records = (record for step in run.known_steps() for record in self.records_of(run, step))
        return {**run.info.left_out, **other_code(records)}

    def records_of(self, run: StoredRun, step: str) -> Iterator[TaskRecord]:
        """The records of a step that can be read; none where the run has no such step."""
        if not run.has_step(step):
            return
        for name in self.part(lambda: run.tasks(step), list[str]()):
            task = run.task(TaskName(step, name))
            record = self.part(lambda task=task: task.record, None)  # type: ignore[misc]
            if record is not None:
                yield record


@frozen
class Said:
    """What there is to say of artifacts that differ, by name.

    Attributes:
        lines: In what they differ, or that they are equal, or why that is not known; some differ visibly.
        equal: The names of those whose values are equal, though stored as other bytes.
    """

    lines: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...]


def said_of_parameters(
    repo: Repository, old: StoredRun, new: StoredRun, rows: Iterable[Difference[str]]
) -> Said:
    """What there is to say of parameters and constants that `compare_parameters` found to differ."""
    tasks = parameters_task(old), parameters_task(new)
    return _say(repo, [(tasks, [row.name for row in rows])], _Readings())


def _say(repo: Repository, tables: Iterable[_Table], read: _Readings) -> Said:
    """What there is to say of artifacts that two tasks list and that differ.

    Args:
        repo: The repository.
        tables: Pairs of tasks, one of each run, with the names of artifacts.
        read: Notes which values can't be read: of these is said no more than that they differ.
    """
    lines: dict[str, tuple[str, ...]] = {}
    alike: dict[str, tuple[_Stored, _Stored]] = {}
    end = time.process_time() + CHANGES_SECONDS
    for (old, new), names in tables:
        if old is None or new is None:
            continue
        stored = old.record.artifacts, new.record.artifacts
        attributes = names_of(old), names_of(new)
        for name in names:
            one, two = (
                refs.get(known.get(name, name))
                for refs, known in zip(stored, attributes, strict=True)
            )
            if one is None or two is None or one.identity == two.identity:
                continue
            if time.process_time() > end:
                lines[name] = (f"not compared: {CHANGES_SECONDS:.0f} s were over",)
                continue
            rows = make_row(old.run, name, one), make_row(new.run, name, two)
            if found := read.part(partial(changes, old.run.objects, one, two, rows), None):
                lines[name] = found
            elif found is not None and one.type == two.type and rows[0].preview == rows[1].preview:
                alike[name] = ((old, one), (new, two))
    verdicts = _verdicts(repo, alike) if alike else {}
    lines |= {name: verdict.lines for name, verdict in verdicts.items()}
    return Said(lines, tuple(name for name, verdict in verdicts.items() if verdict.is_equal))


def _verdicts(repo: Repository, alike: Mapping[str, tuple[_Stored, _Stored]]) -> dict[str, Verdict]:
    """What a process of their own says of values of which nothing else tells whether they differ."""
    from gitflowrun.porcelain.comparison.value_comparison import Pair, compare_apart

    trust = Trust(repo)
    pairs = [Pair(old, new, _strangers(trust, old, new)) for old, new in alike.values()]
    return dict(zip(alike, compare_apart(pairs), strict=True))


def _strangers(trust: Trust, *sides: tuple[StoredTask, ArtifactRef]) -> tuple[str, ...]:
    """The runs whose code must not be run for these artifacts."""
    runs = (trust.stranger(task) for task, ref in sides if not trust.trusts_artifact(task, ref))
    return tuple(dict.fromkeys(runs))


@frozen
class Difference(Generic[T]):
    """A name whose value differs, or an artifact's content. A side is None where the name does not exist."""

    name: str
    old: T | None
    new: T | None


@frozen
class StepDifference:
    """A step whose tasks made other values, or are more or fewer.

    Attributes:
        step: The step.
        old: Its tasks in the older run.
        new: Its tasks in the newer run.
        tasks: How many of those that both runs have made other values.
        artifacts: The names of these values.
    """

    step: str
    old: int
    new: int
    tasks: int
    artifacts: tuple[str, ...]


def compare_parameters(old: StoredRun, new: StoredRun) -> tuple[Difference[str], ...]:
    """The parameters that differ between two runs, in the order in which the newer run has them."""
    before, after = told_apart([old, new])
    return differences(before, after)


def compare_left_out(
    old: StoredRun,
    new: StoredRun,
    known: Callable[[StoredRun], Mapping[str, str]] = StoredRun.left_out,
) -> tuple[tuple[Difference[str], ...], tuple[str, ...]]:
    """What the snapshots of two runs do not hold: of what it is known that it differs, and of what that is unknown."""
    before, after = known(old), known(new)
    alike = () if old.commit == new.commit else after.items()
    unknown = (name for name, known in alike if before.get(name) == known)
    return differences(before, after), tuple(unknown)


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
    width: int | None = None,
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
        width: The columns of a `stat`; git's choice when None.

    Returns:
        What git says of it; empty when the paths asked for do not differ.

    Raises:
        UsageError: there is no such form.
        TooLarge: too many files differ, or their lines take too long.
        RepositoryError: git can't read a tree, or a file is too large for it.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no form {form!r} of a diff", hint=f"use {', '.join(FORMATS)}")
    if old == new:
        return b""
    how = f"--stat={width}" if form == "stat" and width else f"--{form}"
    options = [*_APPLICABLE, how, f"--color={'always' if colour else 'never'}"]
    if context is None and repo.config.get("diff.context") == "0":
        context = _CONTEXT  # without any, `git apply` takes no patch
    if context is not None:
        options.append(f"--unified={context}")
    size = extent_of_change(repo, old, new).size
    if size > DIFFED_IN_ALL and form not in _WITHOUT_CONTENT and not paths:
        raise TooLarge(
            f"files of {size:,} bytes differ, and no more than {DIFFED_IN_ALL:,} are compared",
            hint=f"`git diff --name-status {old.short} {new.short}` names them, `git diff` alone has no limit",
        )
    args = ("diff", *options, str(old), str(new), "--", *paths)
    try:
        return repo.git.run_within(CODE_DIFF_SECONDS, *args, env=FOR_FILES)
    except TooLarge as error:
        raise TooLarge(
            f"comparing the code has taken more than {CODE_DIFF_SECONDS} s of processor time",
            hint=f"`git diff --name-status {old.short} {new.short}` names what differs, `git diff` has no limit",
        ) from error


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


def _compare_steps(
    old: StoredRun, new: StoredRun, listed: Collection[str], read: _Readings
) -> tuple[StepDifference, ...]:
    """What the tasks of each step made otherwise, but for the artifacts that are listed already."""
    found = []
    steps = dict.fromkeys(
        step for run in (new, old) for step in run.known_steps() if not is_private(step)
    )
    for step in steps:
        before, after = _made(old, step, read), _made(new, step, read)
        one, two = (read.part(partial(_count, run, step), None) for run in (old, new))
        both = [place for place in after if place in before]
        changed = [
            {name for name, _ in before[place] ^ after[place] if name not in listed}
            for place in both
        ]
        tasks, names = sum(map(bool, changed)), sorted(set().union(*changed))
        if one is not None and two is not None and (tasks or one != two):
            found.append(StepDifference(step, one, two, tasks, tuple(names)))
    return tuple(found)


def _count(run: StoredRun, step: str) -> int:
    return len(run.tasks(step)) if run.has_step(step) else 0


def _made(
    run: StoredRun, step: str, read: _Readings
) -> dict[tuple[int, ...], frozenset[tuple[str, PayloadIdentity]]]:
    """What each task of a step made, by the task's place in its foreach."""
    made: dict[tuple[int, ...], frozenset[tuple[str, PayloadIdentity]]] = {}
    for record in read.records_of(run, step):
        place = record.place
        while place in made:  # a step that is entered again and again
            place = (*place[:-1], place[-1] + 1) if place else (0,)
        made[place] = frozenset(
            (name, ref.identity)
            for name, ref in record.artifacts.items()
            if ref.producer == record.name and not is_private(name)
        )
    return made


def _compare_code(repo: Repository, old: StoredRun, new: StoredRun) -> TreeDiff:
    trees = old.code_tree, new.code_tree
    try:
        return diff_trees(repo, *trees)
    except (CorruptRecord, RepositoryError) as error:  # neither says of what
        what = f"code of {old.pathspec} and {new.pathspec}"
        raise CorruptRecord(f"{what}: {error.message}", hint=error.hint) from error


def _environment(run: StoredRun) -> Mapping[str, str]:
    """Versions, platform, packages, variables and lock files as one flat mapping."""
    environment = run.info.environment
    facts = {name: version for name, version in run.info.versions.items() if version}
    facts |= {
        name: str(value)
        for name in ("platform", "architecture", "cpu", "implementation", "isolation", "executor")
        if isinstance(value := environment.get(name), str)
    }
    for kind, noun in (("packages", "package"), ("variables", "variable"), ("lock_files", "file")):
        found = environment.get(kind)
        if isinstance(found, dict):
            facts |= {f"{noun} {name}": str(value) for name, value in found.items()}
    return facts
