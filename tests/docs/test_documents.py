"""README and docs tell the truth: every block runs, and prints what the document shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import Sandbox, blocks, lines_for, matches
from tests.helpers.repos import ROOT

# Paths in the user's repository, in a run's tree, and of what is planned.
NOT_OURS = {
    ".git/gitflowrun/", "incoming/", "code/", "data/", "cards/", "web/", "compat/", "objects/", ".aws/", "attempts/",
}  # fmt: skip
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_print_what_the_document_shows(document: Path, tmp_path: Path) -> None:
    """Each console block, run in order in a fresh repository, prints the lines below its commands."""
    found = list(blocks(document))
    if not found:
        return
    sandbox = Sandbox(tmp_path, document)
    for block in found:
        for command, expected, actual in sandbox.run(block):
            assert matches(expected, actual), f"$ {command}\n{actual}\n--- expected\n{expected}"


def test_ci_runs_the_set_up_lines_of_the_readme() -> None:
    """`.ci/run` begins with the README's set-up and test lines, word by word and in their order."""
    commands = [
        line.removesuffix(" || exit")
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line.endswith(" || exit")
    ]
    assert commands == lines_for(".ci/run")


def test_every_set_up_block_names_what_runs_it() -> None:
    """A `sh` block is run by `.ci/run`, or by a file of tests that asks for its lines and is run there, too."""
    titles = {block.title for name in DOCUMENTS for block in blocks(name) if block.kind == "sh"}
    assert titles == {".ci/run", "tests/test_install.py"}
    assert 'lines_for("tests/test_install.py")' in (ROOT / "tests" / "test_install.py").read_text()
    assert "tests/test_install.py" in (ROOT / ".ci" / "run").read_text()


def test_links_lead_somewhere() -> None:
    """Every relative link of README and docs names a file of the repository."""
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_modules_have_the_names_they_have_in_the_package() -> None:
    """Each path in backticks that ends in `.py` or a slash is a module, a folder or an example."""
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w./-]+(?:\.py|/))`", document.read_text()):
            places = (ROOT / "gitflowrun" / name, ROOT / name)
            known = any(place.exists() for place in places) or name in NOT_OURS
            assert known, f"{document.name}: {name}"


def test_the_readme_is_short() -> None:
    """The README has at most 120 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_only_known_kinds_of_blocks() -> None:
    """A block is one the harness runs, or is marked as text."""
    for document in DOCUMENTS:
        for block in blocks(document):
            assert block.kind in {"console", "json", "mermaid", "python", "sh", "text", "toml"}, (
                document,
                block.kind,
            )
