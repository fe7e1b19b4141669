"""The version of the user's repository, made of what `git describe` says. Ours is `gitflowrun.__version__`.

    2.3.0                              the commit that has the tag
    2.3.0.post5-gitabc1234             five commits later
    2.3.0.post5-gitabc1234-dirty       with uncommitted changes, or where git can't say that there are none

The tag is the nearest one that ends with a PEP 440 version, and of several at one commit the newest version
(`v1.0` before `v1.0rc1`). Other tags (`stable`, `2026-event`) count only where none is a version; the tags of runs
(`runs/<Flow>/...`) never do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import NotARepository
from gitflowrun.limits import LONGEST_VERSION_NUMBER
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from gitflowrun.git.repository import Repository

_DESCRIBED = re.compile(
    r"(?P<tag>.+)-(?P<post>\d+)-g(?P<hash>[0-9a-f]+)(?P<dirty>-dirty)?\Z", re.DOTALL
)
# PEP 440, Appendix B, after `v`, or after a name that ends in a separator. A number alone is a version only without
# such a name, and `-N` means a post release only after a dotted number: `build-7` and `2024-10` are none.
_VERSION = re.compile(
    r"""(?:(?!v?[0-9]+\.[0-9]).*?[a-z_][0-9]{0,3}[-_/.])??(?P<sign>v\.?)?
    (?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?
    (?P<post>-(?P<post_alone>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?
    (?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?\Z""",
    re.IGNORECASE | re.VERBOSE | re.ASCII | re.DOTALL,
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_NOTHING_TO_DESCRIBE = ("No names found", "No tags can describe", "Not a valid object name HEAD")


def get_version(public: bool = False) -> str:
    """The version of the repository that the current directory lies in.

    Args:
        public: Leave out what PEP 440 does not allow in a public version: hash and dirty mark.

    Returns:
        The version after the nearest tag; gitflowrun's own where there is no repository or no tag.

    Raises:
        RepositoryError: there is a repository, and git does not trust it or can't read it.
    """
    described = _describe()
    if described is None:
        from gitflowrun._version import __version__

        return __version__
    return described.public if public else described.full


@frozen
class Version:
    """A version as PEP 440 has it, without a local part; a field is None where it has no such part."""

    epoch: int
    release: tuple[int, ...]
    pre: tuple[str, int] | None
    post: int | None
    dev: int | None

    @classmethod
    def of_tag(cls, tag: str) -> Version | None:
        """The version that a tag ends with; None when it is none."""
        match = _VERSION.match(tag)
        if match is None or max(map(len, re.findall("[0-9]+", match[0]))) > LONGEST_VERSION_NUMBER:
            return None
        dotted, named = "." in match["release"], match.start("release") > len(match["sign"] or "")
        if not dotted and (match["post_alone"] or (named and not match["sign"])):
            return None
        pre = (match["pre"] or "").lower()
        return cls(
            int(match["epoch"] or 0),
            tuple(map(int, match["release"].split("."))),
            (_PRE.get(pre, pre), int(match["pre_number"] or 0)) if pre else None,
            int(match["post_alone"] or match["post_number"] or 0) if match["post"] else None,
            int(match["dev_number"] or 0) if match["dev"] else None,
        )

    def after(self, commits: int) -> Version:
        """The version of some commits later: a dev number is raised, or else a post number."""
        if self.dev is not None:
            return replace(self, dev=self.dev + commits)
        return replace(self, post=(self.post or 0) + commits) if commits else self

    @property
    def order(self) -> tuple[Any, ...]:
        """What versions are sorted by."""
        release = re.sub(r"(,0)+\Z", "", ",".join(map(str, self.release)))
        pre = self.pre or ("z" if self.post is not None or self.dev is None else "", 0)
        dev = float("inf") if self.dev is None else self.dev
        post = -1 if self.post is None else self.post
        return self.epoch, [int(part) for part in release.split(",")], pre, post, dev

    def __str__(self) -> str:
        epoch = f"{self.epoch}!" if self.epoch else ""
        pre = "" if self.pre is None else f"{self.pre[0]}{self.pre[1]}"
        post = "" if self.post is None else f".post{self.post}"
        dev = "" if self.dev is None else f".dev{self.dev}"
        return f"{epoch}{'.'.join(map(str, self.release))}{pre}{post}{dev}"


@frozen
class Description:
    """What `git describe --long --dirty` says: the tag, commits since, the commit, uncommitted changes."""

    tag: str
    post: int
    commit: str
    dirty: bool

    @classmethod
    def parse(cls, text: str) -> Description | None:
        """The description in git's output; None when it is none."""
        match = _DESCRIBED.match(text.strip())
        if match is None:
            return None
        return cls(match["tag"], int(match["post"]), match["hash"], bool(match["dirty"]))

    @property
    def full(self) -> str:
        """Tag, `.postN-git<hash>` unless the commit has the tag, `-dirty`."""
        since = f".post{self.post}-git{self.commit}" if self.post else ""
        return f"{self.tag}{since}{'-dirty' if self.dirty else ''}"

    @property
    def public(self) -> str:
        """A PEP 440 version in its normal form: the one that the tag ends with (0 when none), and `.postN`.

        A post or dev number that the tag has already is raised by the commits since.
        """
        version = Version.of_tag(self.tag)
        return str(version.after(self.post)) if version else f"0.post{self.post}"


def _describe() -> Description | None:
    from gitflowrun.git.repository import Repository

    try:
        repository = Repository.discover()
    except NotARepository:
        return None
    git = repository.git
    tags = _version_tags(repository)
    for chosen in ([f"--match={tag}" for tag in tags], ["--exclude=runs/*"]):
        if not chosen:
            continue
        command = ("describe", "--tags", "--long", "--abbrev=7", *chosen)
        done = git.attempt(*command)
        if done.code == 0:
            found = Description.parse(done.out.decode(errors="replace"))
            return found and replace(
                found, tag=_newest(found.tag, tags), dirty=_is_dirty(repository)
            )
        if not any(sign in done.err for sign in _NOTHING_TO_DESCRIBE):
            raise git.failure(command, done)
    return None


def _version_tags(repository: Repository) -> dict[str, str]:
    """The tags that are versions, and what they point to in the end."""
    rows = repository.refs.rows(
        "refs/tags/", fields=("refname:strip=2", "objectname", "*objectname")
    )
    return {
        tag: peeled or oid
        for tag, oid, peeled in rows
        if not tag.startswith("runs/") and Version.of_tag(tag)
    }


def _newest(tag: str, tags: dict[str, str]) -> str:
    """The tag of the newest version at the same commit as one that git chose."""
    same = [other for other, commit in tags.items() if commit == tags.get(tag)]
    versions = {other: version.order for other in same if (version := Version.of_tag(other))}
    return max(versions, key=lambda other: (versions[other], other == tag), default=tag)


def _is_dirty(repository: Repository) -> bool:
    """Whether there are uncommitted changes, or git can't say: a version that claims a clean tree must have one."""
    if repository.work_tree is None:
        return False
    # `describe --dirty` would write the user's index, whatever GIT_OPTIONAL_LOCKS says.
    done = repository.git.attempt("status", "--porcelain", "--untracked-files=no")
    return bool(done.code or done.out)
