"""What a task keeps out of its results: artifacts that hold a secret, in whatever form, and texts beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.preview import Preview, pack_preview, read_preview
from gitflowrun.flow.secret_parameters import texts_of
from gitflowrun.runtime.ipc.messages import SecretValue
from gitflowrun.runtime.worker.task_secrets import Secrets

SECRET = "correct horse é"


def _secrets(**values: object) -> Secrets:
    return Secrets(
        {
            name: SecretValue(made.codec, made.payload(), tuple(texts_of(value)))
            for name, value in values.items()
            for made in [encode(value)]
        }
    )


class Client:
    """An object that only pickle stores."""

    def __init__(self, password: str) -> None:
        self.password = password


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        SECRET.encode(),
        {"a": [1, (SECRET,)]},
        {SECRET: 1},
        f"db://u:{SECRET}@h",
        Path("/etc") / SECRET,
        Client(SECRET),
        np.array(["x", SECRET]),
        np.array(["x", SECRET], dtype=object),
        1_234_567,
        {"pin": [1_234_567]},
    ],
    ids=[
        "text", "bytes", "nested", "key", "address", "path", "pickle", "array", "objects", "number", "numbers",
    ],
)  # fmt: skip
def test_an_artifact_that_holds_a_secret_is_refused_by_name(value: Any) -> None:
    """Whatever its codec: the message names the artifact and the parameter, not the value."""
    secrets = _secrets(password=SECRET, pin=1_234_567)
    refusal = secrets.refusal("it", value, encode(value))
    assert refusal is not None
    assert "artifact 'it' is not stored" in refusal.message
    assert SECRET not in str(refusal)
    assert secrets.refusal("it", "other", encode("other")) is None
    assert secrets.refusal(f"is {SECRET}", 1, encode(1)) is not None


def test_frames_are_searched_as_well() -> None:
    """Their text lies in Arrow's buffers."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user": ["ada", "bob"], "password": [SECRET, "x"]})
    assert _secrets(password=SECRET).refusal("it", frame, encode(frame)) is not None


def test_previews_have_no_part_of_a_secret() -> None:
    """Also where they were cut in the middle of one."""
    secrets = _secrets(password=SECRET)
    preview = read_preview(
        secrets.preview(pack_preview(Preview(f"<Client {SECRET[:9]}…", facts={"for": SECRET})))
    )
    assert preview == Preview("<Client ***", facts={"for": "***"})
    assert _secrets().preview(b"raw") == b"raw"


def test_a_secret_is_made_anew_for_whoever_reads_it() -> None:
    """A step that changes what it was given changes nothing for the next."""
    secrets = _secrets(conf={"a": [1]})
    secrets.value("conf")["a"].append(2)
    assert secrets.value("conf") == {"a": [1]}
