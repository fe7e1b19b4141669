"""Settings come from git config and the environment, and say what is wrong with them."""

from __future__ import annotations

import os
import re

import pytest

from gitflowrun.errors import UsageError
from gitflowrun.settings import (
    KEYS,
    Durability,
    Isolation,
    Settings,
    format_size,
    parse_size,
    unknown_settings,
    user_name,
)
from tests.helpers.repos import ROOT


def test_defaults() -> None:
    """Without any configuration runs are durable and forked."""
    settings = Settings.parse({}, {})
    assert settings.durability is Durability.SAFE
    assert settings.isolation is Isolation.FORK
    assert settings.snapshot_max_file_size == 50 << 20


def test_who_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting, then Metaflow's variables in its order, then the system's name; `root` is one, too."""
    known = {"METAFLOW_USER": "a", "SUDO_USER": "b", "USERNAME": "c", "USER": "d"}
    assert user_name(Settings.parse({"runs.user": "x"}, {}), known) == "x"
    for variable, name in tuple(known.items()):
        assert user_name(Settings(), known) == name
        del known[variable]
    assert user_name(Settings(), {"USER": "root"}) == "root"
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert user_name(Settings(), {"USER": " "}) == "unknown"


def test_git_config_is_read_and_the_environment_wins() -> None:
    """An environment variable overrides git config."""
    config = {"runs.durability": "fast", "runs.snapshot.maxfilesize": "1k"}
    assert Settings.parse(config, {}).durability is Durability.FAST
    assert Settings.parse(config, {}).snapshot_max_file_size == 1024
    assert Settings.parse(config, {"GITFLOWRUN_DURABILITY": "safe"}).durability is Durability.SAFE


def test_patterns_are_lists_with_colons() -> None:
    """runs.snapshot.exclude and runs.snapshot.include are patterns; nothing is set by default."""
    config = {"runs.snapshot.exclude": "*.bin:data/*", "runs.snapshot.include": "test.pem"}
    settings = Settings.parse(config, {})
    assert settings.snapshot_exclude == ("*.bin", "data/*")
    assert settings.snapshot_include == ("test.pem",)
    assert Settings.parse({}, {}).snapshot_exclude == ()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("runs.durability", "maybe", "safe, fast"),
        ("runs.isolation", "", "fork, batch, fresh, inline"),
        ("runs.maxLogSize", "many", "k, m or g"),
        ("runs.maxLogSize", "0", "at least 1"),
        ("runs.snapshot.maxFileSize", "-1", "k, m or g"),
        ("runs.snapshot.maxFileSize", "", "k, m or g"),
        ("runs.autoPush", "ture", "true or false"),
        ("runs.gitTags", "none", "true or false"),
    ],
)
def test_a_wrong_value_names_its_setting(key: str, value: str, allowed: str) -> None:
    """The message says which setting is wrong, in git's spelling or as a variable; the hint what it may be."""
    variable = "GITFLOWRUN_" + key.removeprefix("runs.").replace(".", "_").upper()
    for name, config, environ in (
        (key, {key.lower(): value}, {}),
        (variable, {key.lower(): "1"}, {variable: value}),
    ):
        with pytest.raises(UsageError) as caught:
            Settings.parse(config, environ)
        assert str(caught.value).startswith(f"{name} is {value!r}")
        assert allowed in str(caught.value.hint)


@pytest.mark.parametrize(
    ("word", "meaning"), [("YES", True), ("on", True), ("0", False), ("", False)]
)
def test_booleans_are_those_of_git(word: str, *, meaning: bool) -> None:
    """A boolean has all the words that it has in git config."""
    assert Settings.parse({"runs.autopush": word}, {}).auto_push is meaning
    assert Settings.parse({"runs.gittags": word}, {}).git_tags is meaning


def test_the_documentation_lists_all_settings() -> None:
    """The table of docs/settings.md has each key, as it is spelled, and no other."""
    rows = re.findall(r"^\| (`runs\..*?) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert re.findall(r"`(.*?)`", " ".join(rows)) == list(KEYS)


def test_the_documented_defaults_are_the_defaults() -> None:
    """What docs/settings.md gives as a default, written into git config, changes nothing."""
    text = (ROOT / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `(\S+)` \| `(.*?)` \|", text, re.MULTILINE)
    assert len(rows) > len(KEYS) / 2
    for key, default in rows:
        assert Settings.parse({key.lower(): default}, {}) == Settings()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("runs.durabilty", "runs.durability"),
        ("runs.auto-push", "runs.autoPush"),
        ("runs.maxfilesize", "runs.snapshot.maxFileSize"),
        ("runs.Snapshot.maxfilesize", "runs.snapshot.maxFileSize"),
        ("runs.snapshot.excludes", "runs.snapshot.exclude"),
    ],
)
def test_a_key_that_is_no_setting_is_told(key: str, meant: str) -> None:
    """A misspelt key, or one below the wrong subsection, is named with the setting that is most like it."""
    (notice,) = unknown_settings({"core.bare": "false", key: "1", "runs.user": "ada"})
    assert f"{key}, which is not a setting" in notice
    assert notice.endswith(f": did you mean {meant}?")


def test_keys_of_others_are_not_told() -> None:
    """Every setting is known, and so is nothing below a subsection that is not ours."""
    config = dict.fromkeys([key.lower() for key in KEYS], "1")
    others = {"runs.theirs.durabilty": "1", "pager.runs": "less", "remote.runs.url": "x"}
    assert unknown_settings(config | others) == []
    assert unknown_settings({"runs.xyzzyq": "1"})[0].endswith("docs/settings.md lists them")


@pytest.mark.parametrize(
    ("text", "size"), [("12", 12), ("4k", 4096), ("2M", 2 << 20), ("1g", 1 << 30), ("1kb", 1024)]
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are written as git writes them."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 70, "1024.0 EiB"),
    ],
)
def test_sizes_use_binary_units(count: int, words: str) -> None:
    """Sizes are named in the largest binary unit."""
    assert format_size(count) == words
