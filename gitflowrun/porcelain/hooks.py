"""Our git hooks: installing them beside the user's own, uninstalling them, and what they do.

A hook is a few lines of sh (`hooks/`), set between two marker lines directly below the first line of the hook
script, whether that was there before or not. There it runs even if the user's script ends in `exit` or `exec`.
Everything else in the script stays as it is. Where lines of sh can't simply be put in (a script of another
language, a link, a file that git ignores because it is not executable), nothing is done and the state says why.

The first marker carries a checksum of the lines, so that those of another release, which are replaced, are told from
lines that somebody has changed, which are not.

No hook ever fails the user's command.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import sys
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.git.permissions import hint_of
from gitflowrun.limits import RECENT_RUNS
from gitflowrun.runs import layout
from gitflowrun.runs.lookup.listing import list_runs
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.trust import Trust
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain.transfer.sync import SyncReport
    from gitflowrun.runs.lookup.run_summary import RunSummary

_LISTED = 10 * RECENT_RUNS  # among which those that were fetched are passed over
_CLIENT = ("post-commit", "pre-push")
_SERVER = ("pre-receive",)
_BEGIN = "# >>> git runs >>> (`git runs hooks uninstall` removes these lines)"
_END = "# <<< git runs <<<"
_BLOCK = re.compile(
    rf"^{re.escape(_BEGIN.partition('(')[0])}(?P<rest>[^\n]*)\n(?P<body>.*?)^{re.escape(_END)}\n",
    re.MULTILINE | re.DOTALL,
)
_EARLIER = frozenset(
    (
        "9370091a033f",
        "a700bedb4264",
        "9d9b3c12488d",
        "f4d760d8c327",
        "51f84b239771",
        "90d963769a2f",
        "5884d6aa76dc",
        "65a26297ad85",
        "cebb192b10bb",
    )
)
"""The checksums of the lines that were installed before the marker carried one, or copied, which have none."""
_SHELLS = re.compile(rb"#!\s*(/\S*/)?(env\s+)?(busybox\s+)?(sh|ash|bash|dash|m?ksh(93)?|zsh)\b")
_SHEBANG = "#!/bin/sh\n"
_PROBE = "command -v git-runs"
_CALL = f"{_PROBE} >/dev/null && git runs hook"
_PACKAGE, _CHECKOUT = Path(__file__).parents[1:3]
_FOUND = re.compile(
    rf"""PATH="\$PATH":[^\n]*?; (?={_PROBE})|(?<=\()[^\n(]+ -[cm] [^\n]+? hook(?= p)"""
)
# Options whose value is a word of its own.
_GIT_VALUES = {
    "-C",
    "-c",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--config-env",
    "--attr-source",
}
_PUSH_VALUES = {"--repo", "--push-option", "--receive-pack", "--exec", "--recurse-submodules"}


class Installed(Enum):
    """How a hook is."""

    YES = "installed"
    NO = "not installed"
    OUTDATED = "outdated"
    EDITED = "edited"
    BLOCKED = "can't be installed"
    STUCK = "can't be removed"


@frozen
class HookState:
    """One hook: its script, whether our lines are in it, and whether that has just changed."""

    name: str
    path: Path
    installed: Installed
    changed: bool = False
    reason: str = ""


def install(repo: Repository, *, force: bool = False) -> list[HookState]:
    """Put our hooks among the user's; of a bare repository, the one that makes runs append-only.

    Lines of ours that another release has put there are replaced.

    Args:
        repo: The repository.
        force: Whether lines of ours that somebody has changed are replaced as well.

    Raises:
        RepositoryError: a script can't be written.
    """
    ours = {Installed.NO, Installed.OUTDATED, *([Installed.EDITED] if force else [])}
    return [_install(hook) if hook.installed in ours else hook for hook in state(repo)]


def update(repo: Repository, path: Path) -> None:
    """Replace the lines of another release in one script, as `install` does."""
    for hook in state(repo):
        if hook.path == path and hook.installed is Installed.OUTDATED:
            _install(hook)


def uninstall(repo: Repository) -> list[HookState]:
    """Take our hooks away; a script that held nothing else goes, too.

    Raises:
        RepositoryError: a script can't be written.
    """
    return [_uninstall(hook) for hook in state(repo)]


def state(repo: Repository) -> list[HookState]:
    """How our hooks are, where the repository keeps its hooks (`core.hooksPath`)."""
    git = Git(repo.git_dir, repo.work_tree, hooks=True)
    found = os.fsdecode(git.run("rev-parse", "--git-path", "hooks")).removesuffix("\n")
    directory = git.cwd / found
    reason = _not_ours(repo, git, directory)
    names = _SERVER if repo.is_bare else _CLIENT
    return [_find(directory / name, reason) for name in names]


def _not_ours(repo: Repository, git: Git, directory: Path) -> str:
    """Why hooks do not belong into the directory that git takes them from; empty if they do."""
    scope = git.attempt("config", "--show-scope", "--get", "core.hooksPath").out.split(b"\t")[0]
    if scope in {b"global", b"system"}:
        # Of a linked worktree `.git` is a file.
        own = shlex.quote(str(repo.common_dir / "hooks"))
        return (
            f"core.hooksPath of your {scope.decode()} git config is for all repositories; "
            f"`git config core.hooksPath {own}` gives this one hooks of its own"
        )
    if git.work_tree and git.attempt("ls-files", "--", f"{os.path.realpath(directory)}/").out:
        return "its directory is tracked, so everybody would get it; have a hook there call `git runs hook`"
    return ""


def post_commit(repo: Repository) -> list[str]:
    """Note on HEAD, if its tree is what a recent run ran with uncommitted changes, which run that was.

    Of runs that were made here: others may say what they like.

    Returns:
        The pathspecs of these runs, newest first.
    """
    head, trust = repo.head(), Trust(repo)
    made = (
        run for run in list_runs(repo, limit=_LISTED) if run.state.dirty and trust.made(run.commit)
    )
    found = [run for run in islice(made, RECENT_RUNS) if _ran(repo, run, head.tree)]
    if found and head.commit:
        from gitflowrun.porcelain.notes import add_to_note  # which most commits do not need

        text = "\n".join(f"Run: {run.pathspec} {run.uid}" for run in found)
        add_to_note(repo, head.commit, text, message=f"Note on commit {head.commit.short}")
    return [run.pathspec for run in found]


def _ran(repo: Repository, run: RunSummary, tree: Oid | None) -> bool:
    """Whether a run ran a tree; one that can't be read did not."""
    try:
        return StoredRun(repo, run.flow, run.id, run.commit).code_tree == tree
    except GitflowrunError:
        return False


def pre_push(repo: Repository, remote: str, url: str, lines: Iterable[str]) -> SyncReport | None:
    """Send the runs of pushed commits to the same place, if `runs.autoPush` says so and git really pushes.

    Runs that git pushes itself, as `--mirror` and refspecs for `refs/runs` do, are left to it: it has looked at the
    remote already, and would refuse to make refs that are there by now.

    Args:
        repo: The repository.
        remote: The hook's first argument: a name, or a URL.
        url: Its second: of several push URLs of the remote, the one whose turn it is.
        lines: The hook's standard input: `local-ref local-oid remote-ref remote-oid`.

    Returns:
        What was sent; None where there is nothing to send.

    Raises:
        RepositoryError: nobody can tell whether git really pushes, or they can't be sent.
    """
    if not repo.settings.auto_push:
        return None
    # Which the other hooks do not need.
    from gitflowrun.git.transport.remote import Remote
    from gitflowrun.porcelain.transfer.push import push_to

    pushed, names = set(), set()
    for line in lines:
        with contextlib.suppress(ValueError, IndexError):
            _, oid, name, _ = line.rsplit(maxsplit=3)  # behind what was typed: `HEAD^{/fix a bug}`
            pushed.add(Oid.from_hex(oid))
            names.add(name)
    runs = [
        run
        for run in _runs_of(repo, pushed - {NULL_OID})
        if layout.run_ref(run.flow, run.id) not in names
    ]
    if not runs:
        return None
    # Whose run names a commit of yours would otherwise go with your name on it.
    trust = Trust(repo)
    found = [StoredRun(repo, run.flow, run.id, run.commit) for run in runs]
    stored = [run for run in found if trust.made_here(run)]
    if not stored or _is_dry_run():
        return None
    return push_to(repo, Remote(repo, remote).at(url), stored, verify=False)


def _is_dry_run() -> bool:
    """Whether the `git push` that called this hook only tries. git tells no hook; its command line says it."""
    pid = os.getppid()
    if not Path(f"/proc/{pid}").exists():
        raise RepositoryError(
            "no runs were sent along: /proc is not mounted, so nobody can tell whether this push only tries",
            hint="`git runs push` sends them; or mount it: `mount -t proc proc /proc`",
        )
    while pid > 1:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
            parent = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1]
        except OSError:
            return False
        arguments = push_arguments([os.fsdecode(word) for word in words])
        if arguments is not None:  # the nearest: a push of submodules is made by another one
            return asks_for_dry_run(arguments)
        pid = int(parent)
    return False


def push_arguments(words: Sequence[str]) -> Sequence[str] | None:
    """What follows `push` in a command line of git; None for any other command."""
    program = words[0].rpartition("/")[2] if words else ""
    if program == "git-push":
        return words[1:]
    place = 1
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] in _GIT_VALUES else 1
    is_push = program == "git" and words[place : place + 1] == ["push"]
    return words[place + 1 :] if is_push else None


def asks_for_dry_run(arguments: Sequence[str]) -> bool:
    """Whether arguments of `git push` ask it to do nothing, in any of the ways that git understands."""
    found = False
    words = iter(arguments)
    for word in words:
        if word in {"--", "--end-of-options"}:
            break
        name = word.partition("=")[0]
        if word.startswith("--"):
            if len(name) > len("--d") and "--dry-run".startswith(name):
                found = True
            elif len(name) > len("--no-d") and "--no-dry-run".startswith(name):
                found = False
            elif word in _PUSH_VALUES:
                next(words, None)
        elif word.startswith("-"):
            letters, option, value = word[1:].partition("o")
            found = found or "n" in letters
            if option and not value:
                next(words, None)
    return found


def _runs_of(repo: Repository, pushed: set[Oid]) -> list[RunSummary]:
    """The runs whose code is among the commits that `pushed` ones lead back to."""
    runs = [(run, run.state.code_commit) for run in list_runs(repo) if run.state.code_commit]
    commits = {commit for _, commit in runs}
    if not pushed or not commits:
        return []
    # Of the runs' commits and all before them, what the pushed ones do not lead back to.
    words = [*map(str, commits), *(f"^{oid}" for oid in pushed), ""]
    out = repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin="\n".join(words).encode())
    apart = {Oid.from_hex(line) for line in out.split()}
    found = {commit for commit in commits - apart if repo.objects.exists(commit)}
    return [run for run, commit in runs if commit in found]


def _find(path: Path, not_ours: str) -> HookState:
    """A hook where it belongs, or where a hook manager such as pre-commit has moved it, which calls it there."""
    hook = _look(path.name, path, not_ours)
    moved = _look(path.name, path.with_name(f"{path.name}.legacy"), "")
    is_moved = moved.installed in {Installed.YES, Installed.OUTDATED, Installed.EDITED}
    if is_moved and hook.installed in {Installed.NO, Installed.BLOCKED} and path.exists():
        reason = f"in {moved.path.name}, where another hook has moved it, which calls it there"
        return replace(moved, reason="; ".join(filter(None, (reason, moved.reason))))
    return hook


def _look(name: str, path: Path, not_ours: str) -> HookState:
    if path.is_symlink() or path.is_fifo():
        reason = _told_link(path) if path.is_symlink() else "it is a pipe"
        return HookState(name, path, Installed.BLOCKED, reason=reason)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = None
    except OSError as error:
        return HookState(name, path, Installed.BLOCKED, reason=error.strerror or "can't be read")
    if content is not None and (found := _ours(name, content.decode(errors="surrogateescape"))):
        return HookState(name, path, *found)
    if not_ours:
        reason = not_ours
    elif content is None:
        return HookState(name, path, Installed.NO)
    elif not _SHELLS.match(content):
        reason = "it is no shell script; have it call `git runs hook` itself"
    elif not os.access(path, os.X_OK):
        reason = f"it is not executable, so git ignores it; `chmod +x {shlex.quote(str(path))}` if it shall run"
    else:
        return HookState(name, path, Installed.NO)
    return HookState(name, path, Installed.BLOCKED, reason=reason)


def _ours(name: str, text: str) -> tuple[Installed, bool, str] | None:
    """How the lines of ours in a script are; None where there are none."""
    block = _BLOCK.search(text)
    if block is None and _BEGIN in text:
        why = f"the last of our lines (`{_END}`) is missing; put it back, or remove the others"
        return Installed.BLOCKED, False, why
    # Or the script was copied as a whole, as it says that it may be.
    body = block["body"] if block else text.partition("\n")[2]
    plain = _FOUND.sub(lambda it: "" if it[0].startswith("PATH") else _CALL, body)
    if plain == _shipped(name):
        return Installed.YES, False, ""
    if _checksum(plain) in _EARLIER or (block and block["rest"].endswith(f" {_checksum(body)}")):
        return Installed.OUTDATED, False, "`git runs hooks install` replaces it"
    if block:
        why = "our lines were changed; `git runs hooks install --force` replaces them"
        return Installed.EDITED, False, why
    return None


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode(errors="surrogateescape")).hexdigest()[:12]


def _told_link(path: Path) -> str:
    """Why a link gets no lines of ours, and what makes a script of it that can."""
    target, place = Path(os.path.realpath(path)), shlex.quote(str(path))
    if not target.exists():
        return f"it is a link to {target}, which is not there; `rm {place}`, then install again"
    copy = f"cp --remove-destination {shlex.quote(str(target))} {place}"
    return f"it is a link to another script, {target}; `{copy}`, then install again, or have it call `git runs hook`"


def _install(hook: HookState) -> HookState:
    old = _read(hook.path) or _SHEBANG
    body = _lines_of(hook.name)
    block = f"{_BEGIN} {_checksum(body)}\n{body}{_END}\n"
    new, count = _BLOCK.subn(lambda _: block, old, count=1)
    if not count:
        first, _, rest = old.partition("\n")
        copied = hook.installed is Installed.OUTDATED
        new = f"{first}\n{block}{'' if copied else rest}"
    _write(hook.path, new)
    was = "" if hook.installed is Installed.NO else f"what was {hook.installed.value} was replaced"
    return HookState(hook.name, hook.path, Installed.YES, changed=True, reason=was)


def _uninstall(hook: HookState) -> HookState:
    if hook.installed is Installed.BLOCKED:
        return _left_alone(hook)
    if hook.installed is Installed.NO:
        return hook
    old = _read(hook.path)
    rest, count = _BLOCK.subn("", old)
    if rest == _SHEBANG or not count:
        hook.path.unlink()
    else:
        _write(hook.path, rest)
    return HookState(hook.name, hook.path, Installed.NO, changed=True)


def _left_alone(hook: HookState) -> HookState:
    """What is there after an attempt to remove our lines from a script that we don't change."""
    if hook.path.is_symlink():
        target = os.path.realpath(hook.path)
        hook = replace(hook, reason=f"it is a link to another script; our lines are in {target}")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            if _BEGIN.encode() in hook.path.read_bytes():
                return HookState(hook.name, hook.path, Installed.STUCK, reason=hook.reason)
        except PermissionError:
            return HookState(hook.name, hook.path, Installed.STUCK, reason=hook.reason)
    return HookState(hook.name, hook.path, Installed.NO)


def _shipped(name: str) -> str:
    """The lines of a hook's script below its first, as they are in hooks/, which a wheel has in the package."""
    tops = (_PACKAGE, _CHECKOUT)
    return _read(next(it for top in tops if (it := top / "hooks" / name).is_file())).partition(
        "\n"
    )[2]


def _lines_of(name: str) -> str:
    """The lines of a hook's script below its first, able to find the `git-runs` that is in use now."""
    body = _shipped(name)
    beside = str(Path(sys.executable).parent)
    program = shutil.which("git-runs", path=beside) or shutil.which("git-runs")
    if program is None:  # not installed, but run from its sources
        # Not `-m`, by which Python looks for modules in the work tree first, which others' commits have a part in.
        found = f"import sys; sys.path[:] = [{str(_CHECKOUT)!r}, *filter(None, sys.path)]"
        words = f"{found}; from gitflowrun.cli.git_runs.console_script import program; program()"
        call = f"{shlex.quote(sys.executable)} -c {shlex.quote(words)} hook"
        return body.replace(_CALL, call)
    # Where git is started from a menu, or the virtual environment is not active, PATH lacks it.
    place = shlex.quote(str(Path(program).parent))
    return body.replace(_PROBE, f'PATH="$PATH":{place}; {_PROBE}')


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(text.encode(errors="surrogateescape"))
        mode = path.stat().st_mode if path.exists() else 0o755
        try:
            temporary.chmod(mode & 0o7777)
        except (
            PermissionError
        ):  # a mount whose files all have its modes: git looks at the one bit alone
            if not os.access(temporary, os.X_OK):
                temporary.unlink()
                raise
        temporary.replace(path)
    except OSError as error:
        raise RepositoryError(
            f"can't write the hook {path}: {error.strerror}",
            hint=hint_of(
                error,
                "hooks need a directory that you may write to; `git config core.hooksPath` names another",
            ),
        ) from error
    finally:
        with contextlib.suppress(OSError):  # of a disk that has become read-only
            temporary.unlink(missing_ok=True)
