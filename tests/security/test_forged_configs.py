"""Configs of a stranger's run, which `resume` and `run --clone` take over: no map, huge, deep, nothing that runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts.codecs import encode
from tests.helpers.repos import GitRepo, make_repo
from tests.security.forge import Forge, Forgery, Payload, canary, info, plain, task
from tests.security.hostile import pack

FLOW = """
from gitflowrun import Config, FlowSpec, Parameter, step

class MyFlow(FlowSpec):
    config = Config("config", default_value={"rate": 1})
    rate = Parameter("rate", default=config.rate)

    @step
    def start(self):
        print("seen:", self.config.rate, self.rate)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    MyFlow()
"""
MAP = "builtins.dict"


def deep(levels: int) -> Any:
    """Maps in maps."""
    value: Any = 1
    for _ in range(levels):
        value = {"rate": value}
    return value


def brought(tmp_path: Path, config: Payload) -> GitRepo:
    """A repository with a flow, and a stranger's run of it with this config."""
    repo = make_repo(tmp_path / "repo", files={"f.py": FLOW})
    mallory = make_repo(tmp_path / "mallory")
    forged = Forgery(
        info(), [task("_parameters/0", {"config": config, "rate": plain(3, "builtins.int")})]
    )
    Forge(mallory).write(forged)
    subprocess.run(
        ["git", "fetch", "-q", str(mallory.path), "refs/runs/*:refs/runs/*"],
        cwd=repo.path,
        check=True,
    )
    return repo


def test_a_strangers_config_is_data(tmp_path: Path) -> None:
    """A plain one is taken over as any other value, without trust."""
    repo = brought(tmp_path, plain({"rate": 5}, MAP))
    done = repo.flow("f.py", "resume", "7")
    assert done.code == 0, done.err
    assert "seen: 5 3" in done.out


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (plain([1, 2]), "it is of type list, not a map"),
        (Payload(b"text", "str/1", "builtins.str"), "it is of type str, not a map"),
        (plain({"other": 1}, MAP), "config.rate can't be looked up"),
        (Payload(b"\x81\xa4rate" * 5_000 + b"\x01", "plain/1", MAP), "nests deeper than 64 levels"),
        (Payload(b"\xc1", "plain/1", MAP), "begins no msgpack value"),
        (Payload(pack({"rate": "x" * (33 << 20)}), "plain/1", MAP), "more than 32 MiB"),
    ],
    ids=["list", "text", "without the key", "deep", "broken", "huge"],
)
@pytest.mark.parametrize("words", [("resume", "7"), ("run", "--clone", "7")], ids=" ".join)
@pytest.mark.sample(4)
def test_configs_that_are_none(
    tmp_path: Path, config: Payload, said: str, words: tuple[str, ...]
) -> None:
    """What is no such config ends the command with one error, which names it; no run is made."""
    repo = brought(tmp_path, config)
    done = repo.flow("f.py", *words)
    assert done.code == 1
    assert said in done.err
    assert ("MyFlow/7/_parameters/0/config" in done.err) == ("looked up" not in said)
    assert "Traceback" not in done.err
    assert len(repo.git("for-each-ref", "refs/runs/MyFlow").splitlines()) == 1


def test_a_nested_config(tmp_path: Path) -> None:
    """As many levels as a value may have are taken over."""
    repo = brought(tmp_path, plain(deep(60), MAP))
    done = repo.flow("f.py", "resume", "7")
    assert done.code == 0, done.err


def test_a_pickle_for_a_config(tmp_path: Path) -> None:
    """What would run code when it is loaded is not loaded."""
    bird = tmp_path / "bird"
    repo = brought(tmp_path, canary(bird))
    done = repo.flow("f.py", "resume", "7")
    assert done.code == 1
    assert "git runs trust" in done.err
    assert not bird.exists()


def test_sources_may_be_anything(tmp_path: Path) -> None:
    """What a stranger's INFO says of where configs came from is shown without harm, or left out."""
    repo = make_repo(tmp_path / "repo", files={"f.py": FLOW})
    for number, configs in enumerate(
        (
            {"a\x1b[31m": "b\n\x07c", "d": ["e"], "f": None},
            ["x"],
            "text",
            {"big": "x" * 50_000},
        ),
        7,
    ):
        environment = {"platform": "Linux", "configs": configs}
        Forge(repo).write(Forgery(info(number=str(number), environment=environment)))
        done = repo.call("show", str(number))
        assert done.code == 0, done.err
        assert "\x1b" not in done.out
        assert "\x07" not in done.out
    assert re.search(r"^Configs: +a", repo.call("show", "7").out, re.MULTILINE)


def test_the_type_that_steps_store(tmp_path: Path) -> None:
    """A part of a config that a step has stored is read without trust."""
    from gitflowrun import ConfigValue

    made = encode(ConfigValue({"rate": {"a": 1}}))
    repo = brought(tmp_path, Payload(made.payload(), made.codec, made.type))
    assert "seen: {'a': 1} 3" in repo.flow("f.py", "resume", "7").out
