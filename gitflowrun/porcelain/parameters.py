"""The parameters of runs as texts that tell different values apart, for lists and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, NotFound
from gitflowrun.limits import PARAMETER_TEXT
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.porcelain.overview import make_row
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import parameter_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_summary import DamagedRun, RunSummary
    from gitflowrun.runs.read import StoredTask

_SHORT = 7


def parameters_of_all(
    repo: Repository, runs: Sequence[RunSummary | DamagedRun]
) -> list[Mapping[str, str]]:
    """The parameters of runs, those of one flow told apart; none of a run that can't be read."""
    found: list[Mapping[str, str]] = [{} for _ in runs]
    flows: dict[str, dict[int, StoredRun]] = {}
    for number, row in enumerate(runs):
        if row.commit is None:
            continue
        run = StoredRun(repo, row.flow, row.id, row.commit)
        try:
            run.info, stored_parameters(run)
        except (CorruptRecord, NotFound):  # a list shows the other runs all the same
            continue
        flows.setdefault(row.flow, {})[number] = run
    for numbered in flows.values():
        for number, texts in zip(numbered, told_apart(list(numbered.values())), strict=True):
            found[number] = texts
    return found


def told_apart(runs: Sequence[StoredRun]) -> list[Mapping[str, str]]:
    """The parameters of runs of one flow as texts, of which no two are equal where the values are not.

    A run's INFO has them as texts, and different values may have one text: `2` and `"2"`, a file whose content
    has changed, a long value that begins as before. So those of one text are told apart by what was stored,
    and that is added to their texts. Constants of the class are listed where they differ. Secrets, whose text is
    `***`, are told apart by their keyed hashes: those of another clone differ in any case.
    """
    texts = _texts(runs)
    stored = [_by_name(parameters_task(run)) for run in runs]
    options = dict.fromkeys(name for row in texts for name in row)
    for option in options:
        for text in {row[option] for row in texts if option in row}:
            same = [
                (row, refs[option])
                for row, refs in zip(texts, stored, strict=True)
                if row.get(option) == text and option in refs
            ]
            if len({ref.identity for _, ref in same}) > 1:
                for row, ref in same:
                    row[option] += _facts(ref)
    for name in dict.fromkeys(name for refs in stored for name in refs if name not in options):
        if len({refs[name].identity for refs in stored if name in refs}) > 1:
            for run, row, refs in zip(runs, texts, stored, strict=True):
                if name in refs:
                    row[name] = _described(run, name, refs[name])
    return list(texts)


def _texts(runs: Sequence[StoredRun]) -> list[dict[str, str]]:
    """The parameters of runs as their INFO has them, secrets that differ with the beginning of their hashes."""
    texts = [dict(run.info.parameters) for run in runs]
    for option in dict.fromkeys(name for run in runs for name in run.info.secrets):
        hashes = [run.info.secrets.get(option) for run in runs]
        if len({it for it in hashes if it is not None}) > 1:
            for row, it in zip(texts, hashes, strict=True):
                if it is not None and option in row:
                    row[option] += f" <{it.rpartition('-')[2][:_SHORT]}>"
    return texts


def _described(run: StoredRun, name: str, ref: ArtifactRef) -> str:
    """A stored constant or parameter as text: the beginning of its value, and what tells it from others."""
    text = (make_row(run, name, ref).preview or "").partition("\n")[0]
    return f"{text[:PARAMETER_TEXT]}{_facts(ref)}".strip()


def names_of(task: StoredTask) -> dict[str, str]:
    """The artifacts of a task by the names under which people know them: of a parameter its option's.

    Returns:
        Name to attribute. An attribute that is called like the option of another one is `self.<attribute>`.
    """
    attributes = task.record.artifacts
    if task.name.step != PARAMETERS_STEP:
        return {name: name for name in attributes}
    options = _options(task.run)
    named = {options[attribute]: attribute for attribute in attributes if attribute in options}
    others = (attribute for attribute in attributes if attribute not in options)
    return named | {f"self.{it}" if it in named else it: it for it in others}


def _options(run: StoredRun) -> dict[str, str]:
    """Attribute to option, of the parameters of a run."""
    attributes = {name: it for it, name in parameter_options(run.info.graph).items()}
    return {attributes.get(name, name): name for name in run.info.parameters}


def _by_name(task: StoredTask | None) -> dict[str, ArtifactRef]:
    if task is None:
        return {}
    return {name: task.record.artifacts[it] for name, it in names_of(task).items()}


def stored_parameters(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """The parameters and constants of a run by attribute; none of a run that ended before they were stored."""
    task = parameters_task(run)
    return {} if task is None else task.record.artifacts


def parameters_task(run: StoredRun) -> StoredTask | None:
    """The task that holds the parameters and constants of a run; None of a run that ended before it was stored."""
    if not run.has_step(PARAMETERS_STEP):
        return None
    first, *_ = run.tasks(PARAMETERS_STEP)
    return run.task(TaskName(PARAMETERS_STEP, first))


def _facts(ref: ArtifactRef) -> str:
    kind = ref.type.removeprefix("builtins.")
    return f" <{kind}, {ref.size} B, {str(ref.digest)[:_SHORT]}, {ref.codec}>"
