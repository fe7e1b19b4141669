"""Properties of the codecs: exact round trips, equal digests everywhere, and no other error than ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter
from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.errors import CorruptRecord, NotFound, UntrustedArtifact
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.names import TaskName
from gitflowrun.runs.records import Attempt, TaskRecord
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import FinishedTask
from tests.helpers.packs import objects_dir, pack_store
from tests.helpers.repos import ROOT, GitRepo
from tests.helpers.runs import start_run, store_of
from tests.helpers.values import Values, same

REFUSALS = (CorruptRecord, NotFound, UntrustedArtifact)
SAFE = ("str/1", "bytes/1", "plain/1", "npy/1", "file/1")


@pytest.mark.parametrize("block", range(8))
@pytest.mark.sample(4)
def test_random_values_come_back(block: int) -> None:
    """Trees of all kinds of values are equal to the bit, writable or not, trusted or not."""
    for seed in range(block * 50, block * 50 + 50):
        value = Values(seed).value()
        made = encode(value)
        assert made.codec in SAFE, (seed, value)
        for trusted in (False, True):
            found = decode(made.codec, made.payload(), trusted=trusted, writable=trusted)
            assert same(found, value), seed
            assert encode(found).payload() == made.payload(), seed


def test_equal_values_have_equal_digests_everywhere() -> None:
    """In other processes, under other hash seeds, however the values came about."""
    printed = []
    for shuffle, hash_seed in enumerate(["0", "1", "4242", "random"]):
        done = subprocess.run(
            [sys.executable, "-m", "tests.helpers.values", "300", str(shuffle)],
            cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        printed.append(done.stdout.splitlines())
    assert len(printed[0]) == 300
    for other in printed[1:]:
        assert other == printed[0]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.binary(), inner, max_size=4)
        | st.frozensets(st.integers() | st.text() | st.floats(), max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_values_of_every_kind_come_back(value: Any) -> None:
    """What hypothesis thinks up is equal to the bit, and never needs trust."""
    made = encode(value)
    assert made.codec in SAFE
    found = decode(made.codec, made.payload(), trusted=False)
    assert same(found, value)
    assert encode(found).payload() == made.payload()


@given(st.sampled_from(SAFE), st.integers(0, 400), st.data())
def test_any_bytes_are_a_value_or_refused(codec: str, seed: int, data: st.DataObject) -> None:
    """Whatever the bytes, a safe codec gives a value or one of our errors; many begin and end as a payload does."""
    made = encode(Values(seed).value()).payload()
    start = data.draw(st.integers(0, len(made)))
    end = data.draw(st.integers(start, len(made)))
    payload = made[:start] + data.draw(st.binary(max_size=40)) + made[end:]
    with contextlib.suppress(*REFUSALS):
        decode(codec, payload, trusted=False)


@settings(max_examples=300)
@given(st.integers(0, 400), st.integers(0), st.integers(0, 255))
def test_a_flipped_byte_is_a_value_or_refused(seed: int, place: int, byte: int) -> None:
    """A damaged payload gives a value or one of our errors."""
    made = encode(Values(seed).value())
    payload = bytearray(made.payload())
    if payload:
        payload[place % len(payload)] = byte
    with contextlib.suppress(*REFUSALS):
        decode(made.codec, bytes(payload), trusted=False)


def test_values_survive_the_whole_way(repo: GitRepo) -> None:
    """Encoded, stored by a run, repacked by `git gc`, cloned by git and decoded: equal to the bit."""
    values = {f"v{seed}": Values(seed).value() for seed in range(1000, 1120)}
    values["large"] = Values(1).value(), bytes(range(256)) * 20_000
    with start_run(repo) as writer:
        task = TaskName("start", "1")
        saved = ArtifactWriter(pack_store(repo), inline_limit=0).save(
            {name: encode(value) for name, value in values.items()}, task
        )
        record = TaskRecord(
            name=task,
            run=writer.identity,
            attempts=(Attempt(0, 0, 1, ok=True),),
            artifacts=saved.refs,
        )
        writer.commit([FinishedTask(record, saved.inline, packs=saved.packs)], status=Status.DONE)
        run = writer.identity
    repo.git("gc", "-q", "--prune=now")
    clone = repo.path.parent / "clone"
    repo.git("clone", "-q", "--mirror", str(repo.path), str(clone / ".git"))
    cloned = GitRepo(clone)
    cloned.git("config", "core.bare", "false")
    cloned.fsck()
    stored = store_of(cloned).get(run.flow, run.id).task(task).record
    reader = ArtifactReader(PackReader(objects_dir(cloned)))
    for name, value in values.items():
        found = reader.load(stored.artifacts[name], trusted=False)
        assert same(found, value), name
