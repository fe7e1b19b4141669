"""The verbs of `git runs`: the one list that the overview, the manual, completion and tests go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import UsageError
from gitflowrun.values import frozen

if TYPE_CHECKING:
    import click


@frozen
class Entry:
    """A command.

    Attributes:
        folder: The package beside this file that has its declaration, in `commands`, and what it does.
        help: What it does, for the overview; nothing of one that is called by programs, not by people.
    """

    folder: str
    help: str


HEADINGS = {
    "look": "Look at runs",
    "mark": "Mark runs",
    "again": "Run again",
    "remove": "Remove runs",
    "share": "Share runs",
    "set_up": "Set up and check",
}
"""The folders of `cli/git_runs` in the order of the overview, and what their verbs have in common."""

COMMANDS = {
    "list": Entry("look", "List runs, newest first"),
    "show": Entry("look", "Show a run, a step, a task or an artifact"),
    "log": Entry("look", "Show runs one after the other, as git log does"),
    "diff": Entry("look", "Show what differs between two runs"),
    "compare": Entry("look", "Show several runs side by side"),
    "logs": Entry("look", "Print what tasks wrote to stdout and stderr"),
    "cat": Entry("look", "Print the value of an artifact"),
    "card": Entry("look", "List, write or open the cards of tasks"),
    "watch": Entry("look", "Show how far a run is, until it ends"),
    "tag": Entry("mark", "List, add, remove or move tags of runs"),
    "note": Entry("mark", "Show, write or delete the note on a run"),
    "checkout": Entry("again", "Write the code of a run to a new directory"),
    "rerun": Entry("again", "Run a run's flow again, with other parameters if you like"),
    "resume": Entry("again", "Run again what failed, reusing what is finished"),
    "rm": Entry("remove", "Move runs to the trash"),
    "restore": Entry("remove", "Put runs back from the trash, or list it"),
    "gc": Entry("remove", "Free the space of runs that left the trash"),
    "purge": Entry("remove", "Remove runs and their objects for good"),
    "push": Entry("share", "Send runs and tags to a remote"),
    "fetch": Entry("share", "Get runs and tags from a remote"),
    "trust": Entry("share", "Allow loading pickles of somebody else's runs"),
    "untrust": Entry("share", "Take the trust back"),
    "verify": Entry("share", "Check who signed runs, and that they are whole"),
    "init": Entry("set_up", "Set up a repository: hooks, and what is next"),
    "fsck": Entry("set_up", "Check that runs are whole"),
    "doctor": Entry("set_up", "Find and mend what crashes have left"),
    "hooks": Entry("set_up", "Install or remove git hooks"),
    "textconv": Entry("set_up", "Show records in git diff and git show as text"),
    "completion": Entry("set_up", "Print what a shell completes git runs with"),
    "hook": Entry("set_up", ""),
}


def load(name: str) -> click.Command:
    """The command `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in COMMANDS:
        from gitflowrun.names import did_you_mean

        known = [known for known, entry in COMMANDS.items() if entry.help]
        hint = did_you_mean(name, known, "`git runs -h` lists the commands")
        raise UsageError(f"'{name}' is not a git runs command", hint=hint)
    from gitflowrun.cli.options import load_command

    return load_command(f"git_runs.{COMMANDS[name].folder}.commands", name)
