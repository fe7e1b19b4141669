"""The `runs.*` settings: defaults, then git config, then environment, parsed once into one frozen value.

git config comes as a mapping (`git.repository` reads it); nothing here runs anything. `docs/settings.md` says what
each of them means.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from gitflowrun.errors import UsageError
from gitflowrun.limits import MAX_FILE_SIZE, MAX_LOG_SIZE, SPIN_EXPIRE, TRASH_EXPIRE
from gitflowrun.names import nearest
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=Enum)
KEYS = (
    "runs.durability", "runs.snapshot.maxFileSize", "runs.snapshot.exclude", "runs.snapshot.include", "runs.maxLogSize",
    "runs.env", "runs.user", "runs.namespace", "runs.isolation", "runs.gitTags", "runs.autoPush", "runs.sign",
    "runs.push.scan", "runs.push.allow", "runs.onFinish", "runs.trashExpire", "runs.cache",
    "runs.spinPersist", "runs.spinExpire", "runs.executor", "runs.executorAddress", "runs.executorPackages",
    "runs.executorSharedDisk",
)  # fmt: skip
"""Every key of ours in git config, in the spelling of the documentation.

`runs.onFinish` alone is no attribute of `Settings`: it counts only where the user says it (`runtime.launch.on_finish`).
"""
LISTS = {
    "runs.snapshot.exclude": ":",
    "runs.snapshot.include": ":",
    "runs.env": " ",
    "runs.push.allow": " ",
}
"""The settings that are lists, in lower case, and what stands between the items of one value."""
TEXTS = frozenset({
    *LISTS, "runs.user", "runs.namespace", "runs.onfinish", "runs.executor", "runs.executoraddress"
})  # fmt: skip
"""The settings that may be any text."""
_OUR_SUBSECTIONS = {"", "snapshot", "push"}
LOCAL = "local"
"""The value of `runs.executor` that stands for this machine."""
OWN_NAMESPACE = "user"
"""The value of `runs.namespace` that stands for the current user's tag."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_USER_VARIABLES = ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER", "LOGNAME")
# Compiled when they are first used: most commands ask for none of these.
_AGE = r"(\d+)[. ](second|minute|hour|day|week|month|year)s?([. ]ago)?\Z"
_SECONDS = {
    "second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 30 * 86_400,
    "year": 365 * 86_400,
}  # fmt: skip
_SIZE = r"(\d+)([kmg]?)b?\Z"
# git's own words for a boolean.
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0", ""}


class Durability(Enum):
    """What survives a power cut: everything acknowledged (`safe`), or what the system had written by then (`fast`)."""

    SAFE = "safe"
    FAST = "fast"


class Isolation(Enum):
    """How tasks get processes: a fork for each, forks that share one, new interpreters, or none at all."""

    FORK = "fork"
    BATCH = "batch"
    FRESH = "fresh"
    INLINE = "inline"

    @property
    def forks(self) -> bool:
        """Whether tasks are forks of the zygote."""
        return self in {Isolation.FORK, Isolation.BATCH}


class OtherPackages(Enum):
    """What becomes of a worker whose packages are not those of the driver."""

    REFUSE = "refuse"
    WARN = "warn"
    IGNORE = "ignore"


def parse_size(text: str) -> int:
    """A number of bytes from git's notation (`50m`, `1g`, `4096`).

    Raises:
        UsageError: it is none.
    """
    match = re.match(_SIZE, text.strip(), re.IGNORECASE)
    if not match:
        raise UsageError(f"{text!r} is not a size", hint="write bytes, or a number with k, m or g")
    return int(match[1]) * _UNITS[match[2].lower()]


def parse_age(text: str) -> float:
    """A number of seconds from git's notation (`30.days`, `2.weeks.ago`, `now`, `never`, which is infinite).

    Raises:
        UsageError: it is none.
    """
    word = text.strip().lower()
    match = re.match(_AGE, word, re.IGNORECASE)
    if word in {"now", "never"}:
        return 0.0 if word == "now" else math.inf
    if not match:
        raise UsageError(f"{text!r} is not an age", hint="write now, never, or such as 30.days")
    return float(match[1]) * _SECONDS[match[2].lower()]


def format_size(count: int) -> str:
    """A number of bytes: `812 B`, `14.2 KiB`, `3.0 GiB`."""
    if count < 1024:  # noqa: PLR2004  (the unit's own definition)
        return f"{count} B"
    value, units = count / 1024, "KMGTPE"
    while value >= 1023.95 and len(units) > 1:  # noqa: PLR2004  (what rounds to 1024.0)
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}iB"


@frozen
class _Given:
    """What is set, in git config and in the environment, which comes first."""

    config: Mapping[str, str]
    environ: Mapping[str, str]

    def _found(self, name: str) -> tuple[str, str | None]:
        """Where a setting's value stands, and the value."""
        variable = "GITFLOWRUN_" + name.replace(".", "_").upper()
        if variable in self.environ:
            return variable, self.environ[variable]
        return f"runs.{name}", self.config.get("runs." + name.lower())

    def text(self, name: str) -> str | None:
        """A setting as it is written; None where nobody has set it."""
        return self._found(name)[1]

    def patterns(self, name: str) -> tuple[str, ...]:
        """A setting that is a list with colons."""
        return tuple(part for part in (self.text(name) or "").split(":") if part)

    def choice(self, name: str, default: E) -> E:
        """A setting that is a word out of several."""
        key, value = self._found(name)
        try:
            return default if value is None else type(default)(value.strip().lower())
        except ValueError as error:
            names = ", ".join(str(member.value) for member in type(default))
            raise _unusable(key, value, f"use one of: {names}") from error

    def size(self, name: str, default: int, *, least: int = 0) -> int:
        """A setting that is a number of bytes."""
        key, value = self._found(name)
        allowed = f"write bytes, at least {least}, or a number with k, m or g, such as 50m"
        try:
            count = default if value is None else parse_size(value)
        except UsageError as error:
            raise _unusable(key, value, allowed) from error
        if count < least:
            raise _unusable(key, value, allowed)
        return count

    def age(self, name: str, default: float) -> float:
        """A setting that is an age, in seconds."""
        key, value = self._found(name)
        try:
            return default if value is None else parse_age(value)
        except UsageError as error:
            raise _unusable(key, value, error.hint or "") from error

    def flag(self, name: str, default: bool) -> bool:
        """A setting that is a boolean of git's."""
        key, value = self._found(name)
        if value is None:
            return default
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise _unusable(key, value, "use true or false")


def _unusable(key: str, value: str | None, hint: str) -> UsageError:
    return UsageError(f"{key} is {value!r}, which is no value of this setting", hint=hint)


def unknown_settings(config: Mapping[str, str]) -> list[str]:
    """What to tell people of keys that look like settings and are none: such a key changes nothing.

    Keys below subsections that are not ours belong to whoever has put them there.

    Args:
        config: git config, as for `Settings.parse`.
    """
    known = {key.lower() for key in KEYS}
    # Without what all have in common; and `maxFileSize` alone, whoever forgot the subsection.
    names = {key.lower().split(".", cut)[-1]: key for key in KEYS for cut in (1, 2)}
    found = []
    for key in config:
        section, _, rest = key.partition(".")
        subsection = rest.rpartition(".")[0]
        # Of a key git keeps upper and lower case in the subsection alone, and there it makes a difference.
        if section == "runs" and key not in known and subsection.lower() in _OUR_SUBSECTIONS:
            close = nearest(rest.lower(), list(names), limit=1)
            hint = f"did you mean {names[close[0]]}?" if close else "docs/settings.md lists them"
            found.append(f"git config has {key}, which is not a setting: {hint}")
    return found


def user_name(settings: Settings, environ: Mapping[str, str]) -> str:
    """Who runs: the setting, METAFLOW_USER, the login name; never fails, `root` is a name too."""
    names = [settings.user, *(environ.get(variable) for variable in _USER_VARIABLES)]
    for name in names:
        if name and name.strip():
            return name.strip()
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's uid that is not in the database
        return "unknown"


@frozen
class Settings:
    """Every setting, resolved. Sizes are bytes, ages are seconds."""

    durability: Durability = Durability.SAFE
    snapshot_max_file_size: int = MAX_FILE_SIZE
    snapshot_exclude: tuple[str, ...] = ()
    snapshot_include: tuple[str, ...] = ()
    max_log_size: int = MAX_LOG_SIZE
    env: tuple[str, ...] = ()
    user: str | None = None
    namespace: str | None = None
    isolation: Isolation = Isolation.FORK
    git_tags: bool = True
    auto_push: bool = False
    push_scan: bool = True
    push_allow: tuple[str, ...] = ()
    sign: bool = False
    trash_expire: float = TRASH_EXPIRE
    spin_persist: bool = False
    spin_expire: float = SPIN_EXPIRE
    cache: bool = False
    executor: str = LOCAL
    executor_address: str | None = None
    executor_packages: str = OtherPackages.WARN.value
    executor_shared_disk: bool = True

    @classmethod
    def parse(cls, config: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
        """Resolve settings.

        Args:
            config: git config, keys in lower case as `git config --list` prints them.
            environ: The environment.

        Raises:
            UsageError: a value is not of its setting's kind; the message names where it stands, the hint what is
                allowed.
        """
        given = _Given(config, environ)
        return cls(
            durability=given.choice("durability", Durability.SAFE),
            snapshot_max_file_size=given.size("snapshot.maxFileSize", MAX_FILE_SIZE),
            snapshot_exclude=given.patterns("snapshot.exclude"),
            snapshot_include=given.patterns("snapshot.include"),
            max_log_size=given.size("maxLogSize", MAX_LOG_SIZE, least=1),
            env=tuple((given.text("env") or "").split()),
            user=given.text("user"),
            namespace=given.text("namespace"),
            isolation=given.choice("isolation", Isolation.FORK),
            git_tags=given.flag("gitTags", default=True),
            auto_push=given.flag("autoPush", default=False),
            push_scan=given.flag("push.scan", default=True),
            push_allow=tuple((given.text("push.allow") or "").split()),
            sign=given.flag("sign", default=False),
            trash_expire=given.age("trashExpire", TRASH_EXPIRE),
            spin_persist=given.flag("spinPersist", default=False),
            spin_expire=given.age("spinExpire", SPIN_EXPIRE),
            cache=given.flag("cache", default=False),
            executor=(given.text("executor") or "").strip() or LOCAL,
            executor_address=(given.text("executorAddress") or "").strip() or None,
            executor_packages=given.choice("executorPackages", OtherPackages.WARN).value,
            executor_shared_disk=given.flag("executorSharedDisk", default=True),
        )

    def namespace_of(self, user: str) -> str | None:
        """The namespace that a user's process starts in; None, all runs, unless `runs.namespace` is set.

        Metaflow starts in `user:<name>` because its service holds the runs of a whole company. A repository
        holds the runs that somebody made in it or chose to fetch, and there the same rule would hide those of
        one's own other machine, of CI, of a container that runs as root, and of the colleague whose runs were
        just fetched.
        """
        return f"user:{user}" if self.namespace == OWN_NAMESPACE else self.namespace or None
