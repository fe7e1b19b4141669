"""Words that are no verb: `git runs 12` shows run 12, `git runs failed` lists runs; others get the nearest of both."""

from __future__ import annotations

import re

from gitflowrun.cli.git_runs.run_words import is_query
from gitflowrun.cli.git_runs.verbs import COMMANDS, load
from gitflowrun.errors import NotFound, RepositoryError, UsageError
from gitflowrun.git.repository import Repository
from gitflowrun.names import did_you_mean
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup.resolve import known_words
from gitflowrun.runs.runs import RunStore

_VERB_LIKE = re.compile(r"[a-z][a-z-]*\Z")


def verb_for(word: str) -> str:
    """The verb that `git runs WORD` means: `show` where that is an address, `list` where it is a query.

    Raises:
        UsageError: it looks like a verb, and is neither one nor a run: the exit code is that of a wrong command line.
        NotFound: it looks like a run, and is none.
        InvalidPathspec: it may be several runs.
    """
    is_like_verb = _VERB_LIKE.match(word) is not None
    try:
        store = RunStore(Repository.discover())
        if is_query(store.repo, word):
            return "list"
        store.resolve(store.expand([word])[0])
    except NotFound as error:
        if not is_like_verb or store.has_flow(word):
            raise
        known = [
            *(verb for verb, entry in COMMANDS.items() if entry.help),
            *known_words(store.repo),
            *(status.value for status in Status),
        ]
        hint = did_you_mean(word, known, "`git runs -h` lists the commands, `git runs` the runs")
        message = f"'{word}' is not a git runs command, nor a run"
        raise UsageError(message, hint=hint) from error
    except RepositoryError:
        if is_like_verb:
            load(word)  # which says that there is no such command
        raise
    return "show"
