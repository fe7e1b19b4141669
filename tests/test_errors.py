"""Errors say what happened, where and what to do, also after crossing a process boundary."""

from __future__ import annotations

import pickle
import sys

from gitflowrun import errors
from gitflowrun.errors import FlowError, MergeError, MetaflowException
from tests.helpers.repos import GitRepo, run_program


def test_an_error_names_the_line_it_speaks_of() -> None:
    """File and line of the user's source stand in front of the message."""
    assert str(FlowError("no end", line=3, source="f.py")) == "f.py:3: no end"
    assert str(FlowError("no end", line=3)) == "line 3: no end"
    assert str(FlowError("no end")) == "no end"


def test_errors_can_be_pickled() -> None:
    """Hint, line and names survive."""
    error = pickle.loads(pickle.dumps(MergeError("conflict", ["x"], hint="set x")))
    assert (error.told, error.artifact_names, error.hint) == ("conflict", ["x"], "set x")
    assert str(error) == "conflict\nhint: set x"


def test_an_error_that_nobody_catches_shows_its_hint(repo: GitRepo) -> None:
    """Python prints the text of an exception, so the hint is part of it."""
    script = "from gitflowrun import Flow; Flow('Nothing')"
    done = run_program([sys.executable, "-c", script], repo.path)
    assert done.code == 1
    assert "\nhint: " in done.err


def test_the_tree_is_drawn_in_the_docstring() -> None:
    """Every error class stands in the tree that the module's docstring draws."""
    for name in errors.__all__:
        assert name in (errors.__doc__ or "")
        assert issubclass(getattr(errors, name), MetaflowException)


def test_errors_about_cards_say_which() -> None:
    """Made as Metaflow makes them; what was asked for is named, and is a NotFound where something is not there."""
    missing = errors.CardNotPresentException("F/1/a/2", card_type="t", card_id="x")
    assert str(missing) == "F/1/a/2 has no card with type 't' and id 'x'"
    assert str(errors.CardNotPresentException("F/1/a/2")) == "F/1/a/2 has no card"
    assert isinstance(missing, errors.NotFound)
    assert str(pickle.loads(pickle.dumps(missing))) == str(missing)
    assert "'nosuch'" in str(errors.CardClassFoundException("nosuch"))
    assert "{'a': 1}" in str(errors.IncorrectCardArgsException("default", {"a": 1}))
    assert str(errors.UnrenderableCardException("t", None)) == "a card of type 't' can't be made"
    assert "'F/1'" in str(errors.IncorrectPathspecException("F/1"))
    overwritten = errors.ComponentOverwriteNotSupportedException("bar", None, "blank")
    assert str(overwritten) == "component 'bar' of card blank can't be replaced"
