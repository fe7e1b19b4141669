"""What git says of the work tree is parsed or refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.status import Unstable, parse_status, read_status
from tests.helpers.repos import GitRepo

_WORD = st.sampled_from([b".M", b"N...", b"S.MU", b"100644", b"000000", b"4b825dc6" * 5, b"x", b""])
_LINE = st.builds(
    lambda kind, words, path: b" ".join([kind, *words, path]),
    st.sampled_from([b"1", b"2", b"u", b"?", b"!", b"# branch.oid", b"# branch.head", b"#"]),
    st.lists(_WORD, max_size=10),
    st.binary(max_size=8),
)


@given(st.lists(_LINE, max_size=4))
@example([b"1 .M N... 100644 100644 000000 %s %s a b" % (b"4b825dc6" * 5, b"4b825dc6" * 5)])
@example([b"u UU N... 100644 100644 100644 000000 1 2 3 a b"])
def test_any_status_output_is_parsed_or_refused(lines: list[bytes]) -> None:
    """The parser of git's status ends with a change for each line of one, or a ValueError, whatever it reads."""
    try:
        status = parse_status(b"\0".join(lines))
    except (ValueError, IndexError):
        return
    told = b"\0".join(lines).split(b"\0")
    changed = [line for line in told if line[:1] in {b"1", b"u", b"?"}]
    assert len(status.changes) == len(changed)
    for change, line in zip(status.changes, changed, strict=True):
        assert line.endswith(change.path)
        assert change.untracked is line.startswith(b"?")
        assert change.unmerged is line.startswith(b"u")


@pytest.mark.parametrize(
    ("done", "is_unstable", "message"),
    [
        (Completed(-7, b"", ""), True, "a file became shorter"),
        (Completed(128, b"", "error: short read"), True, "short"),
        (Completed(-9, b"", ""), False, "signal 9"),
    ],
)  # fmt: skip
def test_a_status_that_git_can_not_tell(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, done: Completed, is_unstable: bool, message: str
) -> None:
    """Somebody writes a file meanwhile, or git is ended: it is not asked about less."""
    git = Git(repo.path / ".git", repo.path)
    monkeypatch.setattr(git, "attempt", lambda *_, **__: done)
    monkeypatch.setattr(git, "run", lambda *_, **__: pytest.fail("it was asked again"))
    with pytest.raises(RepositoryError, match=f"git status: .*{message}") as caught:
        read_status(git, {})
    assert isinstance(caught.value, Unstable) is is_unstable
