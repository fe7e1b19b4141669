"""Where everything lies: ref names and the paths of a run's tree. The only room that knows them.

    refs/runs/<Flow>/<id>                     the run; its tip is the newest state
    refs/runs/@tags/<Flow>/<tag>/<id>         a tag of a run -> its birth commit
    refs/tags/runs/<Flow>/<tag>/<id>          the same as a git tag, for people
    refs/runs-remotes/<remote>/...            tracking copies of a remote's refs/runs/...

    INFO                                      RunInfo
    code/                                     the work tree's snapshot
    steps/<step>/<task>/TASK                  TaskRecord
    steps/<step>/<task>/{stdout,stderr}       output, plain text
    steps/<step>/<task>/times                 line times of both streams, msgpack
    steps/<step>/<task>/blake3/<hex>          payload chunks, named by their digest
    data/<name><suffix>                       the end task's artifacts by name
"""

from __future__ import annotations

from gitflowrun.names import RefName, RunId, decode_tag, encode_tag

__all__ = [
    "CODE",
    "DATA",
    "INFO",
    "STEPS",
    "TASK",
    "parse_run_ref",
    "parse_tag_ref",
    "run_ref",
    "tag_mirror_ref",
    "tag_ref",
    "tracking_ref",
]

RUNS = "refs/runs/"
TAGS = "refs/runs/@tags/"
TAG_MIRROR = "refs/tags/runs/"
REMOTES = "refs/runs-remotes/"
TRASH = "refs/runs-trash/"

INFO = b"INFO"
CODE = b"code"
STEPS = b"steps"
DATA = b"data"
TASK = b"TASK"
STDOUT = b"stdout"
STDERR = b"stderr"
TIMES = b"times"
PAYLOADS = b"blake3"


def run_ref(flow: str, run: RunId) -> RefName:
    """The ref of a run."""
    return RefName(f"{RUNS}{flow}/{run}")


def parse_run_ref(ref: str) -> tuple[str, RunId] | None:
    """Flow and id of a run's ref; None for any other ref."""
    parts = ref.removeprefix(RUNS).split("/")
    if not ref.startswith(RUNS) or len(parts) != 2 or parts[0].startswith("@"):  # noqa: PLR2004
        return None
    try:
        return parts[0], RunId(parts[1])
    except Exception:  # noqa: BLE001  (a foreign ref under refs/runs is no run of ours)
        return None


def tag_ref(flow: str, tag: str, run: RunId) -> RefName:
    """The ref that says run `run` has tag `tag`."""
    return RefName(f"{TAGS}{flow}/{encode_tag(tag)}/{run}")


def tag_mirror_ref(flow: str, tag: str, run: RunId) -> RefName:
    """The git tag that mirrors `tag_ref`."""
    return RefName(f"{TAG_MIRROR}{flow}/{encode_tag(tag)}/{run}")


def parse_tag_ref(ref: str) -> tuple[str, str, RunId] | None:
    """Flow, tag and run id of a tag's ref or of its mirror; None for any other ref."""
    for prefix in (TAGS, TAG_MIRROR):
        if ref.startswith(prefix):
            flow, _, rest = ref.removeprefix(prefix).partition("/")
            encoded, _, run = rest.rpartition("/")
            try:
                return flow, decode_tag(encoded), RunId(run)
            except Exception:  # noqa: BLE001  (a foreign ref is no tag of ours)
                return None
    return None


def tracking_ref(remote: str, ref: str) -> RefName:
    """The tracking copy of a remote's ref below refs/runs/."""
    return RefName(f"{REMOTES}{remote}/{ref.removeprefix(RUNS)}")


def tracking_prefix(remote: str) -> str:
    """The prefix of all tracking copies of `remote`."""
    return f"{REMOTES}{remote}/"
