"""git config, read once, and the programs that a repository's own config names and that reading does not start.

A repository that comes as an archive, or lies on a shared disk, brings a config along, and many of its keys name
programs. Who starts a flow executes the repository's code anyway, and who pushes or fetches has git start what it
starts for `git push`. But what only reads must start none: for a pager, for a signature, or when git fetches an
object that a partial clone has left out. So where a file of the repository (its config, that of a worktree, what
these include) sets one of the keys below, the user's own value is put in its place, or what git does without one.

That is done by variables of the environment, which git's own children inherit: they come after all files, and before
what the user typed, as `git -c`. What can be said without a look at the config is in `git.command`: hooks, fsmonitor,
protocols that run programs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitflowrun.settings import LISTS, TEXTS
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PROGRAMS = {
    # Fetch what a partial clone has left out.
    "core.sshcommand": "ssh",
    "core.askpass": "",
    "core.alternaterefscommand": ":",
    # Show, and ask.
    "core.pager": "less",
    "core.editor": "false",
    # Compare and read files and messages.
    "diff.external": "",
    "diff.*.command": "",
    "diff.*.textconv": "",
    "trailer.*.command": "true",
    "trailer.*.cmd": "true",
    # Verify signatures.
    "log.showsignature": "false",
    "gpg.program": "gpg",
    "gpg.openpgp.program": "gpg",
    "gpg.x509.program": "gpgsm",
    "gpg.ssh.program": "ssh-keygen",
    "gpg.ssh.defaultkeycommand": "true",
    # Write what a server says to the file of their choice, which may be one that a shell reads.
    "http.savecookies": "false",
    "http.*.savecookies": "false",
}
"""Keys that name a program, start one or have a file written, and what stands in where the user has not set them.

`*` is any subsection. A test plants each of them.
"""

FETCHING = {"core.gitproxy", "remote.*.uploadpack", "remote.*.vcs"}
"""Keys of which git takes the first value: nothing can stand in for them, and so nothing is fetched by reading."""

NEVER_ALLOWED = {"ext", "fd"}
"""Protocols whose URLs say what to execute, or which descriptor of ours to write to."""

_PROMISORS = {"remote.*.promisor", "extensions.partialclone"}
_PROTOCOLS = ("file", "git", "http", "https", "ssh")
"""Those of git's own. `NAME::` and `NAME://` of any other start `git-remote-NAME`, whatever that does."""

_HARMLESS = {"core.pager": {"", "cat"}}
_HELPERS = ("credential.helper", "credential.*.helper")  # lists, which an empty value begins anew
_HOOKS = ("hook.*.command", "hook.*.event")  # since git 2.54
_ITS_OWN = ("local", "worktree")
_COUNT = "GIT_CONFIG_COUNT"
_ALLOWED = "GIT_ALLOW_PROTOCOL"


@frozen
class GitConfig:
    """git config as it is at one time.

    Attributes:
        values: The last value of each key; keys in lower case but for subsections. Of our settings that are lists all
            values count, those after the last empty one, as in lists of git's own. A key without a value reads
            `true`, as git takes it; where only a text makes sense, it is as if not set.
        own: The same of what the user, the system or the command line says: nothing that lies in the repository.
        guard: Variables for git that keep it from starting programs which the repository's own files name.
    """

    values: Mapping[str, str]
    own: Mapping[str, str]
    guard: Mapping[str, str]


def parse_config(out: bytes) -> GitConfig:
    """The config that `git config -z --show-scope --list` has printed."""
    entries: list[tuple[bool, str, str | None]] = []
    words = iter(os.fsdecode(out).split("\0"))
    for scope, entry in zip(words, words, strict=False):
        key, newline, value = entry.partition("\n")
        entries.append((scope in _ITS_OWN, key, value if newline else None))
    guard = dict(_variables(_guards(entries)))
    if any(is_its and _form(key) in FETCHING for is_its, key, _ in entries):
        guard[_ALLOWED] = ""
    elif any(is_its and _form(key) in _PROMISORS for is_its, key, _ in entries):
        guard |= _allowed_protocols({key: value for is_its, key, value in entries if not is_its})
    values = _values((key, value) for _, key, value in entries)
    return GitConfig(
        values, _values((key, value) for is_its, key, value in entries if not is_its), guard
    )


def _values(entries: Iterable[tuple[str, str | None]]) -> Mapping[str, str]:
    """The values of entries, as `GitConfig.values` has them."""
    values: dict[str, str] = {}
    for key, value in entries:
        if value is None:
            if not (key in TEXTS or key.endswith((".name", ".email", ".url"))):
                values[key] = "true"
        elif value and values.get(key) and (separator := LISTS.get(key)):
            values[key] += separator + value
        else:
            values[key] = value
    return values


def _guards(entries: Sequence[tuple[bool, str, str | None]]) -> list[tuple[str, str]]:
    """What is to be set so that no program is started which the repository names.

    Args:
        entries: All of the config: whether the repository's own files set it, key and value.
    """
    poisoned: dict[str, str] = {}
    resets_helpers = False
    for is_its, key, value in entries:
        form = _form(key) if is_its else ""
        if form in PROGRAMS and value not in _HARMLESS.get(form, ()):
            poisoned[key] = PROGRAMS[form]
        elif form in _HELPERS:
            resets_helpers = True
        elif form in _HOOKS:
            poisoned[f"{key.rpartition('.')[0]}.enabled"] = "false"
    if "core.pager" in poisoned:
        poisoned["core.pager"] = os.environ.get("PAGER", PROGRAMS["core.pager"])
    users = [
        (key, "true" if value is None else value) for is_its, key, value in entries if not is_its
    ]
    set_by_user = dict(users)
    guards = [(key, set_by_user.get(key, value)) for key, value in poisoned.items()]
    if resets_helpers:
        guards.append((_HELPERS[0], ""))
        guards += [(key, value) for key, value in users if _form(key) in _HELPERS]
    return guards


def _allowed_protocols(own: Mapping[str, str | None]) -> dict[str, str]:
    """What limits the protocols by which git fetches for a reader: its own, and those that the user's config names."""
    if _ALLOWED in os.environ:
        return {}  # the user has said it all
    policies = {name: own.get("protocol.allow") for name in _PROTOCOLS}
    for key, policy in own.items():
        if _form(key) == "protocol.*.allow":
            policies[key.split(".")[1]] = policy
    allowed = {name for name, policy in policies.items() if policy != "never"} - NEVER_ALLOWED
    return {_ALLOWED: ":".join(sorted(allowed))}


def _form(key: str) -> str:
    """A key with `*` for its subsection, but for the few words that gpg's is one of."""
    section, _, rest = key.partition(".")
    subsection, _, name = rest.rpartition(".")
    return f"{section}.*.{name}" if subsection and section != "gpg" else key


def _variables(entries: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The variables that set entries of the config, after those that the environment sets already."""
    if not entries:
        return
    count = os.environ.get(_COUNT, "")
    first = int(count) if count.isdecimal() else 0
    yield _COUNT, str(first + len(entries))
    for number, (key, value) in enumerate(entries, first):
        yield f"GIT_CONFIG_KEY_{number}", key
        yield f"GIT_CONFIG_VALUE_{number}", value
