"""The execution of one task with its storage: artifacts of parents are read, those of the step are encoded and stored.

Artifacts are read straight from the repository's packs, when the step asks for them; what the step has set is
encoded and, where it is large, written as a kept pack by the task itself. Refs are moved by the scheduler.
The process around a task is made in `task_process`.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing, contextmanager, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import limits, msgpack
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter, listed_value
from gitflowrun.artifacts.codecs import FILE, Encoded, encode, is_file, type_name
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.artifacts.digest import digest_parts
from gitflowrun.artifacts.same_value import is_same, may_be_same
from gitflowrun.artifacts.summary import preview_of
from gitflowrun.errors import (
    SYSTEM_LIMITS,
    CorruptRecord,
    GitflowrunError,
    MetaflowException,
    RepositoryError,
    UnserializableArtifact,
    UntrustedArtifact,
)
from gitflowrun.failpoints import reached
from gitflowrun.flow.decorators.attached import attached
from gitflowrun.flow.definition import complete, facts_of
from gitflowrun.flow.execute import StepOutcome, execute_step, prepare_hooks
from gitflowrun.flow.failure import class_of, tell_copy
from gitflowrun.flow.foreach import items_artifact
from gitflowrun.flow.task_state import ABSENT, IMMUTABLE, ArtifactSource
from gitflowrun.git.objects import ObjectType, tree_oids
from gitflowrun.git.owner import Owner
from gitflowrun.git.pack.publish import PackStore, explained
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.limits import RECORD_SIZE
from gitflowrun.names import PARAMETERS_STEP, PayloadIdentity
from gitflowrun.runs import layout
from gitflowrun.runs.records import TASK, TaskRecord
from gitflowrun.runtime.ipc.absent_objects import AbsentObjects
from gitflowrun.runtime.ipc.agent_limits import ABSENT_AT_ONCE, AHEAD_ALL, AHEAD_EACH
from gitflowrun.runtime.ipc.messages import Launch, Parent, Result, RunContext
from gitflowrun.runtime.worker import random_seeds
from gitflowrun.runtime.worker.loaded_code import LoadedCode
from gitflowrun.runtime.worker.task_secrets import Secrets
from gitflowrun.settings import Durability
from gitflowrun.utilities import own_task
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.artifacts.artifacts import Saved
    from gitflowrun.artifacts.picture import Drawing
    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.cards.manager import RunningCards
    from gitflowrun.flow import FlowSpec
    from gitflowrun.flow.decorators.base import StepDecorator
    from gitflowrun.git.objects import Oid
    from gitflowrun.runtime.worker.read_files import ReadFiles

_FIGURE_MODULES = frozenset({"matplotlib.figure", "PIL.Image", "plotly.basedatatypes"})
_PLAIN = frozenset({"plain/1", "str/1", "bytes/1"})
_EXIT_CODES = 256
_TOLD = frozenset({"_exception"})
_LOST = (
    "`git fsck --full` lists what is damaged, another clone or a remote may have it whole; "
    "or store it anew: run the flow again, or resume from the step that made it"
)


class TaskRunner:
    """Runs tasks of one run in this process or in forks of it.

    Args:
        flow_cls: The flow.
        context: What all tasks of the run have in common.

    Attributes:
        flow_cls: The flow.
        code: What this process loads from the work tree.
    """

    def __init__(self, flow_cls: type[FlowSpec], context: RunContext) -> None:
        self.context = context
        self.flow_cls = flow_cls
        self.code = LoadedCode(context.work_tree, context.snapshot_begun)
        if context.told_tree:
            tell_copy(context.work_tree, context.told_tree)
        self._secrets = Secrets(context.secrets)
        self._absent = AbsentObjects(context.agent) if context.agent else None
        fallback = self._ask_git if self._absent is None else self._ask_agent
        self._objects = PackReader(Path(context.objects_dir), fallback)
        self._artifacts = ArtifactReader(self._objects, context.metadata)
        packs = PackStore(
            Path(context.objects_dir),
            Path(context.incoming),
            durability=Durability(context.durability),
            shared=context.shared,
            owner=Owner.family,  # the scheduler, or its zygote, outlives the task
        )
        self._index = DedupIndex(Path(context.incoming).parent, self._objects)
        self._writer = ArtifactWriter(packs, self._index)
        self._executors = context.trusted_runs | {context.run.uid}
        self._records: dict[Oid, TaskRecord] = {}
        self._preloaded: dict[PayloadIdentity, object] = {}
        self._keeps_values = False
        self._looked_at: set[PayloadIdentity] | None = (
            None  # what was to be loaded ahead, if it could be
        )
        self._inputs: Sequence[Parent] = ()
        self._facts: dict[str, Any] = {}
        self._told_given: dict[str, str] = {}
        self._incomplete: Exception | None = None
        self._read: ReadFiles | None = None
        if context.cache:
            from gitflowrun.runtime.worker.read_files import ReadFiles  # few runs use the cache

            places = context.git_dir, str(Path(context.objects_dir).parent)
            self._read = ReadFiles(context.work_tree, places, context.snapshot_begun)
            self._read.look_at_modules()
        try:
            configs = _unpacked(context.configs)
            options = dict(context.options)
            with _silenced():  # the program has said it
                complete(
                    flow_cls, context.decospecs, options, context.user, configs=configs,
                    only=context.only_step,
                )  # fmt: skip
            self._facts = facts_of(flow_cls)
            prepare_hooks(flow_cls)
            kinds = {
                it.attributes["type"]
                for step in attached(flow_cls).steps.values()
                for it in step
                if _is_card(it)
            }
            if kinds:  # their modules are loaded once, not in each fork
                from gitflowrun.cards import card_types, current_card  # noqa: F401

                any(map(card_types.type_facts, kinds))
        except Exception as error:  # noqa: BLE001  (a user's decorator may raise anything, and each task should say it)
            self._incomplete = error

    def seed(self, launch: Launch) -> None:
        """Give a task random numbers of its own."""
        if random_seeds.are_loaded():
            random_seeds.reseed(self.context.seeds, _place(launch))

    def keep_record(self, parent: Parent, record: TaskRecord) -> None:
        """Keep a task's record, so that it is not read again."""
        self._records[parent.record] = record
        while len(self._records) > limits.KEPT_RECORDS:
            del self._records[next(iter(self._records))]  # the oldest

    def preload(self, ref: ArtifactRef, value: object) -> None:
        """Keep an artifact's value for the first step that asks for it."""
        self._preloaded[ref.identity] = value

    def keep_values(self) -> None:
        """Be ready for more than one task in this process: what is loaded ahead serves each of them."""
        self._keeps_values = True

    def look_ahead(self, launch: Launch) -> None:
        """Read what a fork will need first: tasks of one step need the same records and mostly the same values.

        Those are the parameters and the items of the innermost foreach, of which a child wants one. Only
        plain values are loaded here: to decode them runs no code that comes with them, and imports no library.
        """
        parents = [self._record(parent) for parent in launch.parents[:1]]
        wanted = [*self._record(self.context.parameters).artifacts.values()]
        if parents and launch.frames:
            found = parents[0].artifacts
            names = (items_artifact(len(launch.frames) - 1), launch.frames[-1].var)
            wanted += [found[name] for name in names if name in found][:1]
        plain = {
            ref.identity: ref
            for ref in wanted
            if ref.codec in _PLAIN and ref.size <= limits.PRELOADED_VALUE and not ref.untrusted
        }
        if plain.keys() != self._looked_at:
            self._looked_at, self._preloaded = set(plain), {}
            for identity, ref in plain.items():
                with suppress(UntrustedArtifact):  # then the fork loads it by itself
                    self._preloaded[identity] = self._artifacts.load(ref, trusted=False)

    def run(self, launch: Launch, tell: Callable[[str], object]) -> Result:
        """Execute a task. Whatever goes wrong is in the result, and explained in the task's log.

        Args:
            launch: The task.
            tell: Writes into the log. The step may have closed or replaced `sys.stderr`.
        """
        try:
            return self._run_step(launch, tell)
        except GitflowrunError as error:
            tell(_explained(error))
            summary, code = self._summary(error), self.code.young
            told = self._told_given
            return Result(launch.serial, {}, {}, (), None, error=summary, code=code, given=told)

    def _run_step(self, launch: Launch, tell: Callable[[str], object]) -> Result:
        context, process = self.context, os.getpid()
        if self._incomplete is not None:
            raise self._incomplete
        if self._read is not None:
            self._read.begin()
        self._secrets.deliver(self.flow_cls, launch.task.step)
        self._inputs = launch.parents
        own_task.begin(context.run.uid, launch.task)
        given, of_inputs = self._given(launch)
        cards = self._cards(launch)
        outcome = execute_step(
            self.flow_cls,
            launch.task,
            [self._source(*pair) for pair in zip(launch.parents, of_inputs, strict=True)],
            self._source(context.parameters, given),
            frames=launch.frames,
            iterations=launch.iterations,
            max_num_splits=context.max_num_splits,
            failure=launch.failure,
            facts=self._facts_of(launch, cards),
            given=given,
        )
        if os.getpid() != process:
            tell(
                f"process {os.getpid()} was forked by the step and came back from it: it ends here"
            )
            os._exit(0)
        if outcome.error is not None:
            tell(outcome.report)
        outcome = self._secrets.without(outcome)
        not_kept: tuple[str, ...] = ()
        if context.spin is not None and not context.spin.persist:
            outcome, not_kept = _kept(outcome)
        values, saved, errors = self._save(launch, outcome, tell)
        read, unfit = self._what_was_read()
        inherited = {name: ref for name, ref in outcome.inherited.items() if name not in values}
        error = outcome.error or (errors[0] if errors else None)
        return Result(
            launch.serial,
            {**inherited, **saved.refs},
            saved.inline,
            saved.packs,
            None if error else outcome.transition,
            () if error else outcome.split_values,
            None if error is None else self._summary(error),
            self.code.young,
            outcome.metadata,
            _exit_code(error),
            not_kept,
            self._told_given,
            () if cards is None else cards.written,
            read,
            unfit,
        )

    def _save(
        self, launch: Launch, outcome: StepOutcome, tell: Callable[[str], object]
    ) -> tuple[Mapping[str, Encoded], Saved, Sequence[UnserializableArtifact]]:
        """Store what the step has made or changed: that, where it lies, and why the rest can't be stored."""
        with explained(Path(self.context.git_dir)):
            values, errors = self._encode(launch, outcome)
            reached("payload.encoded")
            for unstorable in errors:
                tell(_explained(unstorable))
            try:
                saved = self._writer.save(values, launch.task, _pictures(outcome, values))
            except MemoryError as none_left:
                largest = max(values, key=lambda name: values[name].size)
                what = f"the artifacts, of which {largest!r} is the largest,"
                raise _too_little_memory(what, launch) from none_left
        return values, saved, errors

    def _cards(self, launch: Launch) -> RunningCards | None:
        """The cards of a task; None where its step has none."""
        decorators = attached(self.flow_cls).of_step(launch.task.step)
        if not any(map(_is_card, decorators)):
            return None
        from gitflowrun.cards.manager import RunningCards  # few steps have any
        from gitflowrun.flow.decorators.card import requests

        context = self.context
        return RunningCards(
            requests(decorators, launch.attempt),
            layout.live_directory(Path(context.incoming).parent, context.run.uid),
            launch.task,
            hide=self._secrets.text,
            shared=context.shared,
        )

    def _what_was_read(self) -> tuple[dict[str, str], str]:
        """What the step cache is told: which files the task has loaded and opened, or why nobody can have it."""
        if self._read is None:
            return {}, ""
        read, unfit = self._read.end()
        if (
            any(self._secrets.text(text) != text for row in read.items() for text in row)
            or self._secrets.text(unfit) != unfit
        ):
            return {}, "it opens a file whose name holds a secret"
        return read, unfit

    def _facts_of(self, launch: Launch, cards: RunningCards | None) -> dict[str, Any]:
        """What `current` says of a task, but for its names."""
        context = self.context
        return {
            **self._facts,
            "run_id": str(context.run.id),
            "retry_count": launch.attempt,
            "origin_run_id": context.origin_run_id,
            "namespace": context.namespace or None,
            "username": context.user,
            "tags": set(context.tags),
            "tempdir": context.tempdir,
            **({} if cards is None else cards.facts),
        }

    def _encode(
        self, launch: Launch, outcome: StepOutcome
    ) -> tuple[dict[str, Encoded], list[UnserializableArtifact]]:
        """The artifacts that the step made or changed, and complaints about those that can't be stored."""
        encoded: dict[str, Encoded] = {}
        errors: list[UnserializableArtifact] = []
        for name, value in {**outcome.values, **outcome.loaded}.items():
            if name in outcome.loaded and _is_same_file(value, outcome.inherited[name]):
                continue
            try:
                made = _encode_again(value) if name in outcome.loaded else encode(value)
            except UnserializableArtifact as error:
                from gitflowrun.artifacts.codecs.unstorable import innermost

                what = f"artifact {name!r} of step {launch.task.step!r}"
                path, reason = innermost(value, error)
                where = f"in {name}{path}, " if path else ""
                message = f"{what} can't be stored: {where}{reason.message}"
                errors.append(UnserializableArtifact(message, hint=reason.hint))
                continue
            except MemoryError:
                errors.append(_too_little_memory(f"artifact {name!r}", launch))
                continue
            refusal = self._secrets.refusal(name, value, made)
            if refusal is not None:
                errors.append(refusal)
                continue
            ref = outcome.inherited[name] if name in outcome.loaded else None
            if ref and (made.size, made.codec, made.type) == (ref.size, ref.codec, ref.type):
                made = replace(made, digest=digest_parts(made.parts))  # saving won't hash it again
            if ref and (made.digest == ref.digest or self._is_unchanged(made, ref)):
                continue  # only read: its payload need not be stored once more
            preview = self._secrets.preview(preview_of(value, made))
            encoded[name] = replace(made, preview=preview)
        return encoded, errors

    def _is_unchanged(self, made: Encoded, ref: ArtifactRef) -> bool:
        """Whether a value that was loaded is still what it was, though its bytes are others now.

        To know that, what is stored is loaded once more, as only what is trusted may be.
        """
        if ref.untrusted or not may_be_same(made, ref):
            return False
        with _deeper():
            return is_same(made, self._artifacts.encoded(ref))

    def _source(self, parent: Parent, given: Mapping[str, Any] | None = None) -> ArtifactSource:
        load = partial(self._load, str(parent.name))
        record = partial(self._record, parent)
        return ArtifactSource(parent.name, record, load, given or {}, self._item_at_hand)

    def _item_at_hand(self, ref: ArtifactRef, index: int) -> object:
        """An item that no step can change, of a list that was loaded ahead for many tasks; or else `ABSENT`."""
        if not self._keeps_values or ref.untrusted:
            return ABSENT
        items = self._preloaded.get(ref.identity)
        item = items[index] if type(items) is list and index < len(items) else ABSENT
        return item if type(item) in IMMUTABLE else ABSENT

    def _given(self, launch: Launch) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """What the user gives to a spun task in the place of artifacts: to the task, and to each of its inputs."""
        spin, origin, parents = self.context.spin, self.context.origin, launch.parents
        if spin is None or origin is None or spin.artifacts_module is None:
            return {}, [{}] * len(parents)
        from gitflowrun.flow.graph import FlowGraph
        from gitflowrun.runtime.worker import given_artifacts  # few tasks are given any

        flow_cls, step, path = self.flow_cls, launch.task.step, spin.artifacts_module
        if FlowGraph.of(flow_cls)[step].num_args > 1:
            of_inputs = given_artifacts.load_artifacts_of_inputs(
                path, flow_cls, step, origin, parents, self._secrets
            )
            names = [f"{it.name}/" for it in parents]
            self._told_given = given_artifacts.told(
                zip(names, of_inputs, strict=True), self._secrets
            )
            return {}, of_inputs
        given = given_artifacts.load_artifacts(path, flow_cls, step, self._secrets)
        self._told_given = given_artifacts.told([("", given)], self._secrets)
        return given, [given] * len(parents)

    def _record(self, parent: Parent) -> TaskRecord:
        known = self._records.get(parent.record)
        if known is not None:
            return known
        try:
            kind, data = self._objects.read(parent.record, RECORD_SIZE)
            if kind is ObjectType.TREE:
                data = self._objects.blob(tree_oids(data)[layout.TASK], RECORD_SIZE)
            record = TASK.load(msgpack.unpack(data, msgpack.RECORD))
        except KeyError:
            raise self._lost(str(parent.name), CorruptRecord("it has no record")) from None
        except (CorruptRecord, RepositoryError) as error:
            raise self._lost(str(parent.name), error) from error
        if record.name != parent.name:
            raise CorruptRecord(f"the record of task {parent.name} is that of {record.name}")
        # The rest holds the items of a wide foreach, which no task reads and every fork would copy. Previews stay
        # with their producer, or each of ten thousand tasks would list those of all it inherits.
        # What the run does not trust is marked before a step sees it, and so wherever the step passes it on.
        untrusted = record.run.uid not in self._executors
        artifacts = {
            name: replace(ref, preview=b"", untrusted=ref.untrusted or untrusted)
            if ref.preview or untrusted
            else ref
            for name, ref in record.artifacts.items()
        }
        record = replace(record, artifacts=artifacts, extra={})
        self.keep_record(parent, record)
        return record

    def _summary(self, error: BaseException) -> str:
        """The text of an error that the record keeps."""
        return self._secrets.text(_summary(error))[: limits.ERROR_TEXT].rstrip(": ")

    def _load(self, listed_by: str, name: str, ref: ArtifactRef) -> object:
        if ref.producer.step == PARAMETERS_STEP and name in self._secrets:
            return self._secrets.value(name)
        identity = ref.identity
        # In a fork's own memory: it is used once. A stranger's reference may name any value.
        if identity in self._preloaded and not ref.untrusted:
            if not self._keeps_values:
                return self._preloaded.pop(identity)
            value = self._preloaded[identity]
            if type(value) in IMMUTABLE:  # another one could be changed by the step
                return value
        if listed := listed_value(ref):  # a join asks for those of thousands of inputs
            return listed[0]
        try:
            if self._absent is not None:
                self._bring(listed_by, name, ref, self._absent)
            return self._artifacts.load(ref, trusted=not ref.untrusted)
        except UntrustedArtifact as error:
            raise _untrusted(error, ref, self.context) from error
        except (CorruptRecord, RepositoryError) as error:
            # A later writer of the same bytes must store them again.
            self._index.forget(ref)
            # Our frames tell users nothing.
            raise self._lost(f"{listed_by}/{name}", error) from None

    def _bring(self, listed_by: str, name: str, ref: ArtifactRef, absent: AbsentObjects) -> None:
        """Have all parts of an artifact here, and with a small one those that a join reads next: by one request."""
        lacking = absent.lacking(self._objects, [chunk.oid for chunk in ref.chunks])
        if not lacking:
            return
        try:
            absent.fetch([*lacking, *self._following(listed_by, name, ref)])
        except RepositoryError:  # it may be another one that can't be had
            absent.fetch(lacking)

    def _following(self, listed_by: str, name: str, ref: ArtifactRef) -> Iterator[Oid]:
        """The parts of small artifacts of one name in the inputs after one."""
        names = [str(parent.name) for parent in self._inputs]
        if ref.size > AHEAD_EACH or listed_by not in names:
            return
        size = 0
        place = names.index(listed_by) + 1
        for parent in self._inputs[place : place + ABSENT_AT_ONCE // 2]:
            other = self._record(parent).artifacts.get(name)
            size += other.size if other is not None else 0
            if size > AHEAD_ALL:
                return
            if other is not None and other.size <= AHEAD_EACH:
                yield from (chunk.oid for chunk in other.chunks)

    def _lost(self, what: str, error: CorruptRecord | RepositoryError) -> CorruptRecord:
        """The error for a record or an artifact that can't be read."""
        run = self.context.run
        if self.context.spin is not None and self.context.origin is not None:
            run = self.context.origin
        return CorruptRecord(
            f"{run.flow}/{run.id}/{what} can't be read: {error.message}", hint=_LOST
        )

    def _ask_git(self, oid: Oid, limit: int) -> tuple[ObjectType, bytes]:
        # Rare: an object that only git can read. A child process for one object is good enough.
        from gitflowrun.git.command import CatFile, Git

        with closing(CatFile(Git(Path(self.context.git_dir), None, programs=True))) as git:
            return git.read(oid, limit)

    def _ask_agent(self, oid: Oid, limit: int) -> tuple[ObjectType, bytes]:
        assert self._absent is not None
        self._absent.fetch([oid])
        return PackReader(Path(self.context.objects_dir)).read(oid, limit)


def _is_card(decorator: StepDecorator) -> bool:
    """Whether it is `@card`, or a class of somebody's that derives from it; few flows load its module."""
    return getattr(decorator, "is_card", False) is True


def _kept(outcome: StepOutcome) -> tuple[StepOutcome, tuple[str, ...]]:
    """What is stored of a task that was told to store nothing, why it failed; and the names of what is not."""
    kept = {name: it for name, it in outcome.values.items() if name in _TOLD and outcome.error}
    names = {*outcome.values, *outcome.loaded, *outcome.inherited} - kept.keys()
    return replace(outcome, values=kept, loaded={}, inherited={}), tuple(sorted(names))


def _unpacked(configs: Mapping[str, bytes]) -> dict[str, Any]:
    if not configs:
        return {}
    from gitflowrun.flow.config.known import unpack_configs  # few flows have any

    return unpack_configs(configs)


@contextmanager
def _silenced() -> Iterator[None]:
    """Let nothing of this process be written while it lasts."""
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = StringIO()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def _too_little_memory(what: str, launch: Launch) -> UnserializableArtifact:
    return UnserializableArtifact(
        f"{what} of step {launch.task.step!r} can't be stored: there is not enough memory",
        hint=SYSTEM_LIMITS,
    )


def _encode_again(value: object) -> Encoded:
    """Encode a value that came out of the store."""
    try:
        return encode(value)
    except UnserializableArtifact:
        with _deeper():
            return encode(value)


@contextmanager
def _deeper() -> Iterator[None]:
    """Raise the recursion limit while it lasts: the step that had stored a value may have done so as well."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, limits.PICKLED_DEPTH))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _pictures(outcome: StepOutcome, stored: Iterable[str]) -> dict[str, Drawing]:
    """The pictures of the figures among the values that are stored."""
    if sys.modules.keys().isdisjoint(_FIGURE_MODULES):
        return {}
    from gitflowrun.artifacts.picture import draw  # most flows have no figures

    values = {**outcome.values, **outcome.loaded}
    return draw({name: values[name] for name in stored})


def _place(launch: Launch) -> str:
    indices = ",".join(str(frame.index) for frame in launch.frames)
    iterations = "".join(f"({number})" for number in launch.iterations if number)
    return f"{launch.task.step}[{indices}]{iterations}#{launch.attempt}"


def _is_same_file(value: Any, ref: ArtifactRef) -> bool:
    """Whether a value is the file it was loaded as: known without reading it."""
    return is_file(value) and PayloadIdentity(value.digest, FILE, type_name(value)) == ref.identity


def _untrusted(
    error: UntrustedArtifact, ref: ArtifactRef, context: RunContext
) -> UntrustedArtifact:
    origin = context.origin.pathspec if context.origin else str(context.run.id)
    return UntrustedArtifact(
        f"an artifact of task {ref.producer}, a {ref.type}, was taken over from run {origin}, "
        f"which you don't trust: {error.message}",
        hint=f"if you trust whoever made it: git runs trust {origin}, then resume it again",
    )


def _explained(error: GitflowrunError) -> str:
    return f"{error.headline}: {error}\n"


def _exit_code(error: BaseException | None) -> int:
    """The exit status of a task that failed so: what it has told `sys.exit` itself, if that is one."""
    code = error.code if isinstance(error, SystemExit) else None
    return code if isinstance(code, int) and 0 < code < _EXIT_CODES else 1


def _summary(error: BaseException) -> str:
    try:
        text = error.told if isinstance(error, MetaflowException) else str(error)
    except Exception:  # noqa: BLE001  (a user's exception may fail to say what it is)
        text = "<no text>"
    return f"{class_of(error).rpartition('.')[2]}: {text}"
