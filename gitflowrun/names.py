"""Names as types: pathspecs, run ids, ref names, digests and tags, parsed and checked without a repository.

A name is checked once, where it enters, and carried as its type from there on; so a string that reached a
ref, a path or an argument list of git has passed here. Which refs there are is said in `runs.layout`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from gitflowrun.errors import FlowError, InvalidPathspec, TaggingError, UsageError
from gitflowrun.limits import (
    HINT_FIXED_WORK,
    HINT_WORK,
    KEPT_FLOW_NAMES,
    KEPT_TASK_NAMES,
    MAX_ARTIFACT_NAME,
    MAX_REF_COMPONENT,
    MAX_TAG_LENGTH,
)
from gitflowrun.values import field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

B = TypeVar("B", bound="FixedBytes")

PARAMETERS_STEP = "_parameters"
NODE = "_node_"
"""What stands between the id of a gang's control task and the number of another node, in that node's id."""

NUMBER_DIGITS = 18
RUN_ID = rf"[1-9][0-9]{{0,{NUMBER_DIGITS - 1}}}(?:-[0-9a-f]{{7,40}})?"
"""What a run's id looks like, for patterns of names that hold one."""
_RUN_ID = re.compile(RUN_ID + r"\Z")
_SPIN = "spin-"
_SPIN_ID = re.compile(rf"{_SPIN}[1-9][0-9]{{0,{NUMBER_DIGITS - 1}}}\Z")
_REF_FORBIDDEN = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|^\.|\.$|/$|^/|\.lock(/|$)"
)
_PATHSPEC = "Flow/run/step/task/artifact"
_TAG_SAFE = "_+=,-"
_TAG_HINT = "a tag is text in UTF-8; several are a list of such texts"
_SHOWN_NAME = 60  # characters of a wrong name in a message
_ALIKE = 3  # of names that are alike, neither is more than so many times as long as the other


class RefName(str):
    """A full ref name (`refs/...`) that git accepts and that fits a file system.

    Raises:
        UsageError: the text is no valid ref name (rules of git-check-ref-format(1)).
    """

    __slots__ = ()

    def __new__(cls, text: str) -> RefName:
        """Check, then make it."""
        bad = _REF_FORBIDDEN.search(text) or text.endswith("/@") or not text.startswith("refs/")
        size = len(text.encode(errors="replace"))
        if bad or (
            size > MAX_REF_COMPONENT
            and any(
                len(part.encode(errors="replace")) > MAX_REF_COMPONENT for part in text.split("/")
            )
        ):
            raise UsageError(
                f"{text!r} is not a valid ref name", hint="git check-ref-format(1) lists the rules"
            )
        return super().__new__(cls, text)


class RunId(str):
    """The id of a run within its repository: `12`, or `12-3fa29c1` where two clones both made a run 12."""

    __slots__ = ()

    def __new__(cls, text: str) -> RunId:
        """Check, then make it."""
        if _RUN_ID.match(text) is None:
            raise InvalidPathspec(
                f"{text!r} is not a run id",
                hint="run ids are numbers such as 12 or 12-3fa29c1; `git runs` lists them",
            )
        return str.__new__(cls, text)

    @staticmethod
    def matches(text: str) -> bool:
        """Whether a text is a run id."""
        return _RUN_ID.match(text) is not None

    @property
    def number(self) -> int:
        """The sequential number in front of a possible `-<uid>` suffix."""
        return int(self.partition("-")[0])

    @property
    def sort_key(self) -> tuple[int, str]:
        """Orders ids by number, a plain number before its suffixed namesakes."""
        return (self.number, self.partition("-")[2])


class SpinId(RunId):
    """The id of a spun task's run: `spin-3`. No run of the history has such a one."""

    __slots__ = ()

    def __new__(cls, text: str) -> SpinId:
        """Check, then make it."""
        if _SPIN_ID.match(text) is None:
            raise InvalidPathspec(
                f"{text!r} is not the id of a spun task", hint=f"such ids look like {_SPIN}3"
            )
        return str.__new__(cls, text)

    @classmethod
    def of(cls, number: int) -> SpinId:
        """The id with that number."""
        return cls(f"{_SPIN}{number}")

    @staticmethod
    def matches(text: str) -> bool:
        """Whether a text is such an id."""
        return _SPIN_ID.match(text) is not None

    @property
    def number(self) -> int:
        """The number in it: spun tasks have a sequence of their own."""
        return int(self.removeprefix(_SPIN))


def any_id(text: str) -> RunId:
    """The id of a run of the history or of a spun task. Raises InvalidPathspec: it is neither."""
    return SpinId(text) if text.startswith(_SPIN) else RunId(text)


class FixedBytes(bytes):
    """Bytes of one length, which their class says; as text in hexadecimal digits."""

    __slots__ = ()
    SIZE: ClassVar[int]
    WHAT: ClassVar[str]

    def __new__(cls, raw: bytes) -> Self:
        """Check, then make it."""
        if len(raw) != cls.SIZE:
            msg = f"{cls.WHAT} has {cls.SIZE} bytes, not {len(raw)}"
            raise ValueError(msg)
        return bytes.__new__(cls, raw)  # of which a list of runs makes thousands

    def __str__(self) -> str:
        return self.hex()


class Digest(FixedBytes):
    """A BLAKE3 digest: 32 bytes that address the content of an artifact or of a chunk of one."""

    __slots__ = ()
    SIZE = 32
    WHAT = "a BLAKE3 digest"


@frozen
class TaskName:
    """Which task of a run: `step/task`."""

    step: str
    task: str

    @classmethod
    @lru_cache(KEPT_TASK_NAMES)
    def parse(cls, text: str) -> TaskName:
        """The name written `step/task`. Raises InvalidPathspec when it is none."""
        # Kept: thousands of artifacts have one producer, thousands of tasks one parent.
        step, _, task = text.partition("/")
        if not step or not task or "/" in task:
            raise InvalidPathspec(f"{text!r} is not a task", hint="a task is written step/task")
        return cls(step, task)

    def __str__(self) -> str:
        return f"{self.step}/{self.task}"


class PayloadIdentity(NamedTuple):
    """What a stored value is: refs whose identities are equal stand for equal values.

    The digest alone does not say it: `"2"`, `b"2"` and `50` are the same byte in three codecs. Whoever caches,
    compares or looks up values does it by this; what concerns bytes alone, as storing them once, by the digest.

    Attributes:
        digest: BLAKE3 of the payload.
        codec: Id of the codec that reads it.
        type: The value's type.
    """

    digest: Digest
    codec: str
    type: str


@frozen
class Pathspec:
    """An address in Metaflow's words: `Flow[/run[/step[/task[/artifact]]]]`."""

    flow: str
    run: str | None = None
    step: str | None = None
    task: str | None = None
    artifact: str | None = None

    @classmethod
    def parse(cls, text: str, *, depth: int | None = None) -> Pathspec:
        """Split `text` at its slashes.

        Args:
            text: The pathspec.
            depth: How many components it must have; any number from 1 to 5 when None.

        Raises:
            InvalidPathspec: wrong number of components, or an empty one.
        """
        parts = text.split("/")
        if depth is not None and len(parts) != depth:
            form = "/".join(_PATHSPEC.split("/")[:depth])
            raise InvalidPathspec(f"{text!r} does not have the form {form}")
        if len(parts) > len(field_names(cls)) or not all(parts):
            raise InvalidPathspec(f"{text!r} is not a pathspec", hint=f"use {_PATHSPEC}")
        return cls(*parts)

    @property
    def components(self) -> tuple[str, ...]:
        """The components that are present, outermost first."""
        # Written out: clients make one for each artifact they read.
        parts = (self.flow, self.run, self.step, self.task, self.artifact)
        return tuple([part for part in parts if part is not None])

    def __str__(self) -> str:
        return "/".join(self.components)


@lru_cache(KEPT_FLOW_NAMES)
def check_flow_name(name: str) -> str:
    """Return `name` if it can name a flow: a Python identifier, NFC, short enough for a ref.

    Raises:
        UsageError: it can't.
    """
    if not name.isidentifier():
        raise UsageError(f"{name!r} can't name a flow", hint="a flow is named like a Python class")
    if (size := len(name.encode())) > MAX_REF_COMPONENT:
        raise UsageError(
            f"{name!r} can't name a flow",
            hint=f"choose a shorter name: it has {size} bytes, and {MAX_REF_COMPONENT} at most can be part of a ref",
        )
    if name.isascii():
        return name
    import unicodedata  # a library that most commands need not wait for

    return unicodedata.normalize("NFC", name)


def encode_artifact(name: str) -> str:
    """An artifact's name as a file can have it: percent-encoded where it is no identifier."""
    if name.isidentifier():
        return name
    from urllib.parse import quote

    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")  # `git~1` is `.git` to some


def check_artifact_name(name: object) -> str:
    """Return `name` if it can name an artifact.

    Raises:
        FlowError: it is no text, empty, no UTF-8, too long for a file's name, or has a slash or a NUL.
    """
    hint = None
    try:
        if not isinstance(name, str):
            hint = "attributes are named by text"
        elif not name:
            hint = "give the attribute a name"
        elif "/" in name or "\0" in name:
            hint = "leave slashes and NULs out: artifacts become files"
        elif len(encode_artifact(name).encode()) > MAX_ARTIFACT_NAME:
            hint = (
                f"choose a shorter name: it has {MAX_ARTIFACT_NAME} bytes as a file's name, where a "
                "character outside [A-Za-z0-9_] may count as several"
            )
    except UnicodeEncodeError:
        hint = "it has bytes that are no UTF-8: os.fsencode(name).decode(errors='replace') makes it text"
    if hint is not None or not isinstance(name, str):
        from gitflowrun.printing import bounded_repr  # of use for an error alone

        raise FlowError(f"{bounded_repr(name, _SHOWN_NAME)} can't name an artifact", hint=hint)
    return name


def check_tag(tag: object) -> str:
    """Return `tag` as text if it can be one.

    Raises:
        TaggingError: it is not text, empty, or longer than 500 characters.
    """
    if isinstance(tag, bytes):
        try:
            tag = tag.decode()
        except UnicodeDecodeError as error:
            raise TaggingError(f"tag {tag!r} is not UTF-8", hint=_TAG_HINT) from error
    if not isinstance(tag, str):
        raise TaggingError(f"tag {tag!r} is {type(tag).__name__}, not text", hint=_TAG_HINT)
    if not 0 < len(tag) <= MAX_TAG_LENGTH:
        raise TaggingError(
            f"tag {tag[:40]!r} has {len(tag)} characters",
            hint=f"use 1 to {MAX_TAG_LENGTH} characters",
        )
    try:
        tag.encode()
    except UnicodeEncodeError as error:
        raise TaggingError(f"tag {tag!r} can't be written as UTF-8", hint=_TAG_HINT) from error
    return tag


def encode_tag(tag: str) -> str:
    """Percent-encode `tag` into ref components outside `[A-Za-z0-9_+=,-]`; `decode_tag` undoes it.

    An encoded tag longer than a file name allows is cut into several components by `%-` + `/`, which no
    encoded tag contains by itself.
    """
    from urllib.parse import quote

    safe = quote(tag, safe=_TAG_SAFE).replace(".", "%2E").replace("~", "%7E")
    pieces = [safe[i : i + 200] for i in range(0, len(safe), 200)]
    return "%-/".join(pieces)


def decode_tag(encoded: str) -> str:
    """The tag that `encode_tag` made `encoded` of."""
    from urllib.parse import unquote

    return unquote(encoded.replace("%-/", ""))


def did_you_mean(name: str, candidates: Iterable[str], otherwise: str) -> str:
    """The hint of a "no such ..." error: the candidates most like `name`, or what to do where none is."""
    close = nearest(name, candidates)
    return f"did you mean {' or '.join(close)}?" if close else otherwise


def what_there_is(name: str, candidates: Iterable[str], listed: str) -> str:
    """As `did_you_mean`, with the list of all candidates in any case: there are few, and one can choose from them.

    Args:
        name: What was asked for.
        candidates: What there is.
        listed: A few words in front of the list: `it has`.
    """
    names = list(candidates)
    close = nearest(name, names)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{guess}{listed} {', '.join(names) or 'none'}"


def nearest(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """The candidates most like `name`, best first; for the hint of a "no such ..." error.

    Candidates may be a stranger's, thousands of long ones: those that come first are looked at, as far as the work of
    comparing them goes.
    """
    import difflib

    left, looked_at = HINT_WORK, []
    for other in candidates:
        if len(name) <= _ALIKE * len(other) and len(other) <= _ALIKE * len(name):
            left -= HINT_FIXED_WORK + len(name) * len(other)
            if left < 0:
                break
            looked_at.append(other)
    return difflib.get_close_matches(name, looked_at, n=limit, cutoff=0.5)
