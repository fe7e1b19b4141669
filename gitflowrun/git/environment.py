"""The variables by which git and its hooks tell the programs they start about *their* repository.

They must reach neither our git commands nor the tasks of a flow that a hook, `git rebase --exec` or `git bisect run`
has started: a `git commit` there would write into the commit that the user is just making.
"""

from __future__ import annotations

import os

# What `git rev-parse --local-env-vars` lists and what hooks add, but for the config, which `git -c x=y runs ...`
# sets.
_LOCAL = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIFF_OPTS", "GIT_DIR",
    "GIT_EXTERNAL_DIFF", "GIT_GLOB_PATHSPECS", "GIT_GRAFT_FILE", "GIT_ICASE_PATHSPECS", "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE", "GIT_INDEX_VERSION", "GIT_LITERAL_PATHSPECS", "GIT_NAMESPACE", "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_OPTIONAL_LOCKS", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
    "GIT_REFLOG_ACTION", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
_LOCAL_PREFIXES = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_INTERNAL_", "GIT_PUSH_OPTION_")
_DATE = "_DATE"


def clean_environment() -> dict[str, str]:
    """The environment without what git and its hooks export about *their* repository.

    What a user sets about git itself stays: `GIT_SSH*`, `GIT_CONFIG_*`, `GIT_EXEC_PATH`, `GIT_TRACE*`,
    `GIT_TERMINAL_PROMPT` and the like.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _LOCAL and not name.startswith(_LOCAL_PREFIXES)
    }


def leave_the_hook() -> None:
    """Take them out of this process's environment, and so out of that of all programs it starts.

    What `git -c` was given goes, too. Names and addresses stay unless git has set them: it does that together with a
    date, while people set names alone.
    """
    dated = {name.removesuffix(_DATE) for name in os.environ if name.endswith(_DATE)}
    for name in list(os.environ):
        is_identity = name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_"))
        if is_identity and name.rpartition("_")[0] not in dated:
            continue
        if name in _LOCAL or name == "GIT_CONFIG_PARAMETERS" or name.startswith(_LOCAL_PREFIXES):
            del os.environ[name]
