"""The names of refs and the paths of a run's tree. No other module spells them.

Refs:

    refs/runs/<Flow>/<id>                     the run; its tip is the newest state
    refs/runs/@tags/<Flow>/<tag>/<id>         a tag of a run -> its first commit
    refs/tags/runs/<Flow>/<tag>/<number>-<uid7>   the same as a git tag, for people
    refs/runs/@archive/<Flow>                 old runs folded together
    refs/runs-remotes/<digest of URL>/...     tracking copies of a remote's refs/runs/...
    refs/runs-trash/<time>/...                removed runs, with their tags (refs/runs/...) and the note on each
    refs/runs-spin/<Flow>/<number>            the run of a spun task, of this clone alone
    refs/notes/runs                           git notes: which run's snapshot a commit is

The tree of a run's commit:

    INFO                                      RunInfo; alone in the first commit
    code/                                     the work tree's snapshot
    steps/<step>/<task>/TASK                  TaskRecord
    steps/<step>/<task>/{stdout,stderr}       output, plain text; what is beyond 4 MiB goes on in
                                              stdout.2, stdout.3, ...
    steps/<step>/<task>/times                 line times of both streams, msgpack
    steps/<step>/<task>/blake3/<hex>          payload chunks, named by their digest
    steps/<step>/<task>/pictures/<name><suffix>   pictures of the task's own figures, .png or .html
    steps/<step>/<task>/attempts/<n>/         what attempts that were followed by another one have left,
                                              counted from 0: each as above, without `attempts/`
    cards/<step>/<task>/<number>-<type>[-<id>].html   a card of a task, and in the same with .json its data;
                                              tasks have these later than their trees
    data/<name><suffix>                       the end task's artifacts by name, and the pictures of figures
    data/<name><suffix>.chunks                text that lists the chunks of a larger one
    data/metrics.json                         the scalars among them, see `metrics`
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec, TaggingError
from gitflowrun.limits import MAX_STEP_NAME, UID_DIGITS
from gitflowrun.names import (
    NUMBER_DIGITS,
    RUN_ID,
    Digest,
    RefName,
    RunId,
    SpinId,
    decode_tag,
    encode_artifact,
    encode_tag,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitflowrun.git.objects import Oid
    from gitflowrun.names import TaskName

RUNS = "refs/runs/"
TAGS = "refs/runs/@tags/"
TAG_MIRROR = "refs/tags/runs/"
_MIRROR = re.compile(rf"{TAG_MIRROR}[^/]+/[^/]+/[1-9][0-9]*-([0-9a-f]+)")
ARCHIVE = "@archive"
REMOTES = "refs/runs-remotes/"
TRASH = "refs/runs-trash/"
SPINS = "refs/runs-spin/"
NOTES = "refs/notes/runs"
OURS = (RUNS, TAG_MIRROR, REMOTES, TRASH, SPINS)
"""Below which all refs, and their locks, are ours."""
LIVE = "live"
"""The directory of the live states of runs, below the one that holds what is ours beside git's files."""

INFO = b"INFO"
CODE = b"code"
STEPS = b"steps"
CARDS = b"cards"
DATA = b"data"
METRICS = b"metrics.json"
TASK = b"TASK"
STDOUT = b"stdout"
STDERR = b"stderr"
MAX_OUTPUT_PART = 4 << 20
"""Bytes of output in one blob, as much as in the largest chunk."""
TIMES = b"times"
PAYLOADS = b"blake3"
PICTURES = b"pictures"
ATTEMPTS = b"attempts"
_NOTED = f"{RUNS}@notes/"
PAYLOAD_PATTERNS = ("steps/*/*/blake3/*", "steps/*/*/attempts/*/blake3/*")
"""Where payloads are, as gitattributes(5) writes it."""
RECORD_PATTERNS = ("/INFO", "/steps/*/*/TASK", "/steps/*/*/attempts/*/TASK", "/data/*.msgpack")
"""What is msgpack and worth reading as text; likewise."""


# A tag's ref becomes a path below the git directory, and Linux ends paths at 4,096 bytes. One limit
# for all clones, wherever they lie, leaves space for the directory, the flow and the id.
_MAX_ENCODED_TAG = 3_000
_RUN_REF = re.compile(rf"{RUNS}([^@/][^/]*)/{RUN_ID}\Z")
_SPIN_REF = re.compile(rf"{SPINS}([^@/][^/]*)/([1-9][0-9]{{0,{NUMBER_DIGITS - 1}}})\Z")
_ATTEMPT = re.compile(rb"(?:0|[1-9][0-9]{0,8})\Z")
_SAFE_COMPONENT = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_STEP_NAME - 1}}}\Z")


def live_directory(state_dir: Path, uid: Oid) -> Path:
    """Where the live state of a run is, below the directory of what is ours beside git's files."""
    return state_dir / LIVE / str(uid)


def output_part(stream: bytes, part: int) -> bytes:
    """The name of the n-th part, counted from 1, of `STDOUT` or `STDERR`."""
    return stream if part == 1 else b"%s.%d" % (stream, part)


def below(prefix: str, flow: str | None) -> str:
    """The prefix of the refs of one flow below `prefix`; of those of all flows for None."""
    return prefix if flow is None else f"{prefix}{flow}/"


def run_ref(flow: str, run: RunId) -> RefName:
    """The ref of a run, or of a spun task's."""
    if isinstance(run, SpinId):
        return RefName(f"{SPINS}{flow}/{run.number}")
    return RefName(f"{RUNS}{flow}/{run}")


def parse_spin_ref(ref: str) -> tuple[str, SpinId] | None:
    """Flow and id of a spun task's ref; None for any other ref."""
    found = _SPIN_REF.match(ref)
    return (found[1], SpinId.of(int(found[2]))) if found and found[1].isidentifier() else None


def parse_run_ref(ref: str) -> tuple[str, RunId] | None:
    """Flow and id of a run's ref; None for any other ref."""
    flow, _, run = ref.removeprefix(RUNS).partition("/")
    # What anybody's `git fetch` brought may be called as git allows, and stand in commands that we offer.
    if not ref.startswith(RUNS) or not flow.isidentifier():
        return None
    try:
        return flow, RunId(run)
    except InvalidPathspec:
        return None


def is_run_ref(ref: str) -> bool:
    """Whether a ref is that of a run: `parse_run_ref`, for a look at very many refs."""
    found = _RUN_REF.match(ref)
    return found is not None and found[1].isidentifier()


def is_run(ref: str) -> bool:
    """Whether a ref is that of a run of the history or of a spun task."""
    return is_run_ref(ref) or parse_spin_ref(ref) is not None


def is_reserved(ref: str) -> bool:
    """Whether a ref below `RUNS` is ours without being that of a run: `@tags`, and what is planned."""
    return ref.startswith(f"{RUNS}@")


def run_number(ref: str) -> int:
    """The number of the run that `ref` (its own, a tag, tracking, trash) speaks of, or 0."""
    # Cheaper than `RunId`, for a look at very many refs. Those of a remote may have thousands of digits, of any script.
    digits = ref.rpartition("/")[2].partition("-")[0]
    is_number = len(digits) <= NUMBER_DIGITS and digits.isascii() and digits.isdecimal()
    return int(digits) if is_number and digits[0] != "0" else 0


def run_numbers(refs: Sequence[str]) -> list[int]:
    """As `run_number`, of very many refs."""
    ends = [ref[ref.rfind("/") + 1 :] for ref in refs]
    whole = "".join(ends)
    are_plain = whole.isdecimal() and whole.isascii() and max(map(len, ends)) <= NUMBER_DIGITS
    if are_plain and "/0" not in "/" + "/".join(ends) and "" not in ends:
        return [*map(int, ends)]
    return [*map(run_number, refs)]


def tag_ref(flow: str, tag: str, run: RunId) -> RefName:
    """The ref that says run `run` has tag `tag`.

    Raises:
        TaggingError: see `tag_component`.
    """
    return RefName(f"{TAGS}{flow}/{tag_component(tag)}/{run}")


def tag_mirror(flow: str, tag: str, run: RunId, uid: Oid) -> RefName:
    """The git tag that mirrors a tag of a run: the same name in every clone, whatever the run's id there.

    git's own `fetch --tags` and `push --tags` carry these between clones, where one name must mean one object.

    Raises:
        TaggingError: see `tag_component`.
    """
    return RefName(f"{TAG_MIRROR}{flow}/{tag_component(tag)}/{run.number}-{str(uid)[:UID_DIGITS]}")


def is_tag_mirror(ref: str, uid: Oid) -> bool:
    """Whether a ref is a git tag that mirrors a tag of the run with that first commit; a user's own is not."""
    match = _MIRROR.fullmatch(ref)
    return match is not None and match[1] == str(uid)[:UID_DIGITS]


def tag_component(tag: str) -> str:
    """How a tag is written in refs.

    Raises:
        TaggingError: the tag is too long for a ref once its special characters are encoded.
    """
    encoded = encode_tag(tag)
    if len(encoded) > _MAX_ENCODED_TAG:
        raise TaggingError(
            f"tag {tag[:40]!r}... is {len(encoded)} bytes long once it is encoded for a ref name",
            hint=f"the limit is {_MAX_ENCODED_TAG}; a byte outside [A-Za-z0-9_+=,-] counts as three",
        )
    return encoded


def parse_tag_ref(ref: str) -> tuple[str, str, RunId] | None:
    """Flow, tag and run id of a tag's ref; None for any other ref."""
    if not ref.startswith(TAGS):
        return None
    flow, _, rest = ref.removeprefix(TAGS).partition("/")
    encoded, _, run = rest.rpartition("/")
    try:
        return (flow, decode_tag(encoded), RunId(run)) if encoded else None
    except InvalidPathspec:
        return None


def tracking_ref(remote: str, ref: str) -> RefName:
    """The tracking copy of a remote's ref below refs/runs/."""
    return RefName(f"{REMOTES}{remote}/{ref.removeprefix(RUNS)}")


def tracking_prefix(remote: str) -> str:
    """The prefix of all tracking copies of `remote`."""
    return f"{REMOTES}{remote}/"


def trash_ref(removed: str, ref: str) -> RefName:
    """Where a ref below refs/runs/ is kept when its run is removed, at a time that is written as text."""
    return RefName(f"{TRASH}{removed}/{ref.removeprefix(RUNS)}")


def parse_trash_ref(ref: str) -> tuple[str, str]:
    """When a ref of the trash was removed, and its name before."""
    removed, _, rest = ref.removeprefix(TRASH).partition("/")
    return removed, f"{RUNS}{rest}"


def note_ref(flow: str, run: RunId) -> str:
    """What stands for the git note on a run among the refs that are removed with it."""
    return f"{_NOTED}{flow}/{run}"


def is_trashed_note(ref: str) -> bool:
    """Whether a ref of the trash holds the git note on a removed run, which is a blob."""
    return ref.startswith(TRASH) and parse_trash_ref(ref)[1].startswith(_NOTED)


def is_safe_component(name: str) -> bool:
    """Whether a step or task may be named so: a tree entry harmless on every file system."""
    return bool(_SAFE_COMPONENT.match(name))


def chunk_name(digest: Digest) -> bytes:
    """The entry of a payload's chunk below `blake3/`."""
    return digest.hex().encode()


def attempt_name(number: int) -> bytes:
    """The entry of an attempt below `attempts/`."""
    return b"%d" % number


def parse_attempt(entry: bytes) -> int | None:
    """The number of the attempt that an entry below `attempts/` is of; None where it can't be one's."""
    return int(entry) if _ATTEMPT.match(entry) else None


def picture_path(task: TaskName, artifact: str, suffix: str) -> str:
    """The path, in a run's tree, of the picture of an artifact that a task has made."""
    parts = STEPS, str(task).encode(), PICTURES, data_name(artifact, suffix)
    return b"/".join(parts).decode()


def data_name(artifact: str, suffix: str, *, chunked: bool = False) -> bytes:
    """The entry of an artifact below `data/`; names that are no identifiers are percent-encoded."""
    name = f"{encode_artifact(artifact)}{suffix}{'.chunks' if chunked else ''}".encode()
    # A codec of the user's may write JSON, and an artifact be called `metrics`.
    return name if name != METRICS else b"%6Detrics.json"
