"""A git repository: where it lies, its config and HEAD, and the objects that read and write its parts.

Discovery asks git itself, once (`git rev-parse`), because only git has every rule: linked worktrees, submodules,
`GIT_DIR`, `core.worktree`, `safe.directory`. The processes of a run share the answer (`Repository.opened`). No
libgit2 here: a command that only lists should not pay for loading it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotARepository, RepositoryError, UnusableRepository
from gitflowrun.git.command import Git, git_message, run_command
from gitflowrun.git.environment import clean_environment
from gitflowrun.git.objects import Oid, Signature
from gitflowrun.git.permissions import (
    STATE,
    allow,
    make_directory,
    not_writable,
    open_file,
    refuse_links,
    shared_mode,
)
from gitflowrun.schema import FLAG, Kind, MapSchema, optional
from gitflowrun.settings import Settings
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.git.odb import ObjectStore
    from gitflowrun.git.pack.publish import PackStore
    from gitflowrun.git.ref_update import Refs

# rev-parse echoes what it takes for flags of other commands. So a mark tells its answers apart even where a path
# contains a newline, and a question that is new to an old git comes back as it was.
_MARK = "--gitflowrun-mark"
_REF_FORMAT = "--show-ref-format"
_QUESTIONS = (
    "--is-bare-repository", "--show-object-format", _REF_FORMAT, "--git-dir", "--git-common-dir", "--show-toplevel"
)  # fmt: skip
_STAMP = 16  # digits
_SYMBOLIC = b"ref: "
_PLACE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")


@frozen
class Head:
    """Where HEAD is: its commit (None before the first one) and its branch (None when detached)."""

    commit: Oid | None
    branch: str | None
    tree: Oid | None = None


@frozen(slots=False)
class Repository:
    """A git repository that is open.

    Attributes:
        git_dir: Its git directory; of a linked worktree, that worktree's own.
        common_dir: The git directory that all its worktrees share: objects, refs, config.
        work_tree: The root of the work tree; None in a bare repository and inside a git directory.
        is_bare: Whether it has no work tree at all.
    """

    git_dir: Path
    common_dir: Path
    work_tree: Path | None
    is_bare: bool

    @classmethod
    def discover(cls, start: Path | None = None) -> Repository:
        """Open the repository at or above a directory.

        Args:
            start: Where to look. When None, where the process is: the current directory, or what `GIT_DIR`
                and `GIT_WORK_TREE` say, as for any git command.

        Raises:
            NotARepository: there is none.
            RepositoryError: git does not trust it, or it is of a kind that can't be used.
        """
        env = clean_environment()
        if start is None:
            env.update({name: os.environ[name] for name in _PLACE if name in os.environ})
        cwd = current_directory() if start is None else start
        answers = _ask(cwd, env)
        _refuse_unknown_formats(answers["--show-object-format"], answers[_REF_FORMAT])
        git_dir = _absolute(cwd, answers["--git-dir"])
        bare = answers["--is-bare-repository"] == b"true"
        if "GIT_DIR" not in env and _is_around(git_dir, cwd):
            _refuse_embedded(git_dir)
        top = answers.get("--show-toplevel")
        return cls(
            git_dir=git_dir,
            common_dir=_absolute(cwd, answers["--git-common-dir"]),
            work_tree=_absolute(cwd, top) if top and not bare else None,
            is_bare=bare,
        )

    @classmethod
    def opened(cls, place: Mapping[str, Any], config: Mapping[str, str]) -> Repository:
        """A repository that another process has discovered: git is not asked again.

        Args:
            place: What `REPOSITORY` has dumped.
            config: Its `config`.

        Raises:
            CorruptRecord: `place` is no such thing.
        """
        repository = REPOSITORY.load(place)
        repository.git.know(config)
        return repository

    @cached_property
    def git(self) -> Git:
        """Runs git here."""
        return Git(self.git_dir, self.work_tree)

    @property
    def config(self) -> Mapping[str, str]:
        """All of git config, as `Git.config` reads it."""
        return self.git.config

    @cached_property
    def settings(self) -> Settings:
        """The `runs.*` settings."""
        return Settings.parse(self.config, os.environ)

    @property
    def objects_dir(self) -> Path:
        """Where git keeps objects."""
        return self.common_dir / "objects"

    @cached_property
    def objects(self) -> ObjectStore:
        """Reads objects."""
        from gitflowrun.git.odb import ObjectStore

        return ObjectStore(self.objects_dir, self.git)

    @cached_property
    def packs(self) -> PackStore:
        """Writes objects."""
        from gitflowrun.git.pack.publish import PackStore

        return PackStore(
            self.objects_dir,
            self.state_dir / "incoming",
            durability=self.settings.durability,
            shared=self.shared_mode,
        )

    @cached_property
    def refs(self) -> Refs:
        """Reads and moves refs. Locks that killed processes of ours have left are gone by then."""
        from gitflowrun.git.ref_locks import recover_locks
        from gitflowrun.git.ref_update import Refs

        stale_locks = self.state_dir / "stale-locks"
        with contextlib.suppress(OSError):
            recover_locks(self.common_dir, stale_locks)
        return Refs(self.git, self.common_dir, stale_locks)

    @property
    def shared_mode(self) -> int | None:
        """As `permissions.shared_mode`, of this repository."""
        return shared_mode(self.config.get("core.sharedrepository"))

    @property
    def is_partial(self) -> bool:
        """Whether the clone was made without some objects, which git fetches when it needs them."""
        return any(
            key == "extensions.partialclone"
            or (key.startswith("remote.") and key.endswith(".promisor"))
            for key in self.config
        )

    @property
    def is_precious(self) -> bool:
        """Whether no object may be deleted here, for others borrow them: git itself refuses to."""
        value = self.config.get("extensions.preciousobjects", "false").lower()
        return value not in ("false", "no", "off", "0", "")

    @cached_property
    def state_dir(self) -> Path:
        """Where our disposable state lies: locks, caches, temporary files. May not exist; see `state`.

        Raises:
            RepositoryError: something of ours is a symbolic link.
        """
        refuse_links(self.common_dir)
        return self.common_dir / STATE

    def state(self, *parts: str) -> Path:
        """A directory below `state_dir`; made if it is not there.

        It is its owner's alone, or whose `core.sharedRepository` says.

        Args:
            parts: Its path from there.

        Raises:
            RepositoryError: it can't be made.
        """
        path = self.state_dir.joinpath(*parts)
        try:
            make_directory(self.state_dir)
            mode = self.shared_mode
            if mode and self.state_dir.stat().st_mode & mode != mode:
                allow(self.state_dir, mode)
            make_directory(path)
        except OSError as error:
            what = f"can't write to the repository {self.common_dir}"
            raise not_writable(path, what, error) from error
        return path

    def freed_stamp(self) -> str:
        """What changes whenever the space of removed runs is freed: who relies on objects by then looks for them."""
        with (
            contextlib.suppress(OSError, RepositoryError),
            open_file(self.state_dir / "freed", "which says when space was freed") as file,
        ):
            return file.read(_STAMP).decode("ascii", errors="replace")
        return ""

    def git_from(self, directory: str | None) -> str:
        """`git` as one types it for this repository in a directory: with its place, if that is elsewhere.

        Args:
            directory: The directory; None for one that is not there any more.
        """
        top = self.work_tree or self.git_dir
        with contextlib.suppress(OSError, ValueError):  # the directory is not below
            here = Path(directory or "/")
            between = [here, *here.parents][: len(here.relative_to(top).parts)]
            if not any((path / ".git").exists() for path in between):
                return "git"
        return f"git -C {shlex.quote(str(top))}"

    def head(self) -> Head:
        """Where HEAD is now."""
        done = self.git.attempt("rev-parse", "HEAD", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
        if done.code:  # before the first commit
            name = self.git.attempt("symbolic-ref", "--quiet", "HEAD")
            return Head(None, _branch(name.out))
        commit, tree, name_line = done.out.split(b"\n", 2)
        return Head(Oid.from_hex(commit), _branch(name_line), Oid.from_hex(tree))

    @property
    def branch(self) -> str | None:
        """The branch that is checked out, whether or not it has commits; None when HEAD is detached."""
        with contextlib.suppress(OSError):
            name = (self.git_dir / "HEAD").read_bytes()
            if name.startswith(_SYMBOLIC):
                name = name.removeprefix(_SYMBOLIC)
                path = self.common_dir / os.fsdecode(name.strip())
                if not path.is_file() or not path.read_bytes().startswith(_SYMBOLIC):
                    return _branch(name)
        return self.head().branch

    def signature(self) -> Signature:
        """Who writes, now. Where git has no name, the login name and host stand in: never a failure."""
        return self.signatures()[1]

    def signatures(self) -> tuple[Signature, Signature]:
        """Author and committer of what is written now, as `git var` has them, but for dates of the environment."""
        now = time.time()
        return self._signature("author", now), self._signature("committer", now)

    def _signature(self, role: str, now: float) -> Signature:
        env, config = os.environ, self.config
        user = _login()
        given = f"GIT_{role.upper()}"
        name = env.get(f"{given}_NAME") or config.get(f"{role}.name") or config.get("user.name")
        email = (
            env.get(f"{given}_EMAIL")
            or config.get(f"{role}.email")
            or config.get("user.email")
            or env.get("EMAIL")
        )
        return Signature(
            self.readable(name or user),
            self.readable(email or f"{user}@{os.uname().nodename}"),
            max(0, int(now)),  # git knows no time before 1970
            time.localtime(now).tm_gmtoff // 60,
        )

    def readable(self, text: str) -> str:
        """A name out of git config, the environment or a command line, whose bytes may be no UTF-8.

        Our commits are UTF-8, so it is converted here from what `i18n.commitEncoding` says, where git would
        write its bytes and that encoding into the commit.
        """
        raw = os.fsencode(text)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            encoding = self.config.get("i18n.commitencoding", "utf-8")
        try:
            return raw.decode(encoding, errors="replace")
        except LookupError:  # one that Python does not know
            return raw.decode(errors="replace")

    def remotes(self) -> Mapping[str, str]:
        """The configured remotes: name to URL."""
        return {
            key.removeprefix("remote.").removesuffix(".url"): url
            for key, url in self.config.items()
            if key.startswith("remote.") and key.endswith(".url")
        }


REPOSITORY = MapSchema(
    Repository,
    "repository",
    {
        "git_dir": (_PATH := Kind(Path, str)),
        "common_dir": _PATH,
        "work_tree": optional(_PATH),
        "is_bare": FLAG,
    },
)
"""Where a repository is, for another process: see `Repository.opened`."""


def _ask(cwd: Path, env: dict[str, str]) -> dict[str, bytes]:
    questions = [word for question in _QUESTIONS for word in (_MARK, question)]
    env["LANGUAGE"] = "en"
    done = run_command(["git", "rev-parse", *questions], cwd, env)
    parts = (b"\n" + done.out).split(b"\n%s\n" % _MARK.encode())
    answers = [*parts[1:-1], parts[-1].removesuffix(b"\n")]
    known = dict(zip(_QUESTIONS, answers, strict=False))
    # The last question has no answer in a bare repository or inside a git directory; git says so and fails.
    if "--git-common-dir" not in known or (done.code and "work tree" not in done.err):
        raise _refusal(done.err, cwd)
    return known


def _refusal(err: str, cwd: Path) -> UnusableRepository:
    message = git_message(err)
    if message.startswith("not a git repository (or any"):
        if error := _unreadable(cwd):
            return UnusableRepository(
                f"git can't use the repository at {error.filename!r}: {error.strerror}",
                hint="it is there, and has to be readable again first",
            )
        return NotARepository(
            f"{str(cwd.absolute())!r} is not in a git repository",
            hint="run `git init` there, or go to your code: runs are recorded in the repository around you",
        )
    if "dubious ownership" in message or "unsafe repository" in message:
        path = message.partition("'")[2].rpartition("'")[0] or str(cwd.absolute())
        return UnusableRepository(
            f"git does not trust the repository {path!r}: it belongs to somebody else",
            hint=f"if you do: git config --global --add safe.directory {shlex.quote(path)}",
        )
    if "extension" in message or message.startswith("Expected git repo version"):
        names = err.partition(message)[2].split()
        if any("refstorage" in name.lower() for name in names):
            _refuse_unknown_formats(b"sha1", b"reftable")
        return UnusableRepository(
            f"this repository needs a newer git: {message} {' '.join(names)}".rstrip(),
            hint="install the git that made it",
        )
    where = shlex.quote(str(cwd.absolute()))
    return UnusableRepository(
        f"git can't use the repository at {str(cwd.absolute())!r}: {message}",
        hint=(
            f"if you trust it, name it: GIT_DIR={where}"
            if "safe.bareRepository" in message
            else f"`git -C {where} status` has to work first"
        ),
    )


def _unreadable(cwd: Path) -> OSError | None:
    """What keeps git from reading a repository around a directory: it says of such a one that there is none."""
    here = cwd.absolute()
    for directory in (here, *here.parents):
        try:
            head = os.open(directory / ".git" / "HEAD", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(head, "rb", buffering=0) as file:  # noqa: PTH123
                file.read(1)
            for name in ("refs", "objects"):
                os.stat(f"{directory}/.git/{name}/.")  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return OSError(error.errno, error.strerror, str(directory / ".git"))
    return None


def _refuse_unknown_formats(objects: bytes, refs: bytes) -> None:
    if objects == b"sha256":
        raise UnusableRepository(
            "this repository uses SHA-256 object ids, which are not supported yet",
            hint="use a repository made by `git init --object-format=sha1`",
        )
    if refs == b"reftable":
        raise UnusableRepository(
            "this repository keeps its refs in the reftable format, which is not supported yet",
            hint="`git refs migrate --ref-format=files` converts it (git 2.46)",
        )


def _is_around(git_dir: Path, cwd: Path) -> bool:
    """Whether a git directory was found because one is in it, not by a `.git`, and no clone has a part of that name."""
    here = Path(os.path.realpath(cwd.absolute()))
    return git_dir in (here, *here.parents) and ".git" not in git_dir.parts


def _refuse_embedded(git_dir: Path) -> None:
    # What `safe.bareRepository=explicit` guards against: a clone can bring along a directory that *is* a
    # repository, with a config and a key of the clone of its author's choice; whether it says to be bare is up to
    # its config. But no clone brings a `.git` along that leads there: so worktrees beside a `.bare` are laid out.
    for parent in git_dir.parents:
        if _target(parent / ".git") == git_dir:
            return
        if (parent / ".git").exists():
            raise UnusableRepository(
                f"{str(git_dir)!r} is a repository without `.git` inside the work tree {str(parent)!r}",
                hint=f"if you trust it: GIT_DIR={shlex.quote(str(git_dir))} git runs",
            )


def _target(dot_git: Path) -> Path | None:
    """Where a `.git` that is a file or a link leads."""
    try:
        if dot_git.is_file():
            line = dot_git.read_bytes().removeprefix(b"gitdir:").strip()
            return _absolute(dot_git.parent, line)
        return Path(os.path.realpath(dot_git)) if dot_git.is_symlink() else None
    except OSError:
        return None


def _absolute(cwd: Path, answer: bytes) -> Path:
    return Path(os.path.realpath(cwd.absolute() / os.fsdecode(answer)))


def current_directory() -> Path:
    """Where the process is.

    Raises:
        RepositoryError: the directory was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise RepositoryError(
            "the current directory does not exist any more",
            hint='go to a directory of the repository (`cd "$PWD"` if this one was made again)',
        ) from error


def _branch(line: bytes) -> str | None:
    name = os.fsdecode(line.strip())
    return name.removeprefix("refs/heads/") if name.startswith("refs/") else None


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return f"uid{os.getuid()}"
