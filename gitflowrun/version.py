"""The version of the user's repository, made of what `git describe` says. Ours is `gitflowrun.__version__`.

    2.3.0                              the commit that has the tag
    2.3.0.post5-gitabc1234             five commits later
    2.3.0.post5-gitabc1234-dirty       with uncommitted changes

The tags of runs (`runs/<Flow>/...`) are not versions and don't count.
"""

from __future__ import annotations

import re

from gitflowrun.errors import RepositoryError
from gitflowrun.values import frozen

_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<post>\d+)-g(?P<hash>[0-9a-f]+)(?P<dirty>-dirty)?\Z")
_VERSION = re.compile(
    r"(?P<release>(?:\d+!)?\d+(?:\.\d+)*(?:[-_.]?(?:a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?)"
    r"(?:(?:[-_.]?post[-_.]?|-)(?P<post>\d+))?(?:[-_.]?dev[-_.]?(?P<dev>\d*))?(?:\+[a-z0-9._-]+)?\Z",
    re.IGNORECASE,
)


def get_version(public: bool = False) -> str:
    """The version of the repository that the current directory lies in.

    Args:
        public: Leave out what PEP 440 does not allow in a public version: hash and dirty mark.

    Returns:
        The version after the nearest tag; gitflowrun's own where there is no repository or no tag.
    """
    described = _describe()
    if described is None:
        from gitflowrun._version import __version__

        return __version__
    return described.public if public else described.full


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
        """A PEP 440 version: the one that the tag ends with (0 when none), and `.postN`.

        A post or dev number that the tag has already is raised by the commits since.
        """
        match = _VERSION.search(self.tag)
        if match is None:
            return f"0.post{self.post}"
        if not self.post:
            return match[0]
        if match["dev"] is not None:
            post = f".post{match['post']}" if match["post"] else ""
            return f"{match['release']}{post}.dev{int(match['dev'] or 0) + self.post}"
        return f"{match['release']}.post{int(match['post'] or 0) + self.post}"


def _describe() -> Description | None:
    from gitflowrun.git.repository import Repository

    try:
        git = Repository.discover().git
    except RepositoryError:
        return None
    done = git.attempt("describe", "--tags", "--long", "--abbrev=7", "--exclude", "runs/*")
    if done.code:
        return None
    # `describe --dirty` would write the user's index, whatever GIT_OPTIONAL_LOCKS says.
    changes = git.attempt("status", "--porcelain", "--untracked-files=no").out
    dirty = "-dirty" if changes else ""
    return Description.parse(done.out.decode(errors="replace").strip() + dirty)
