"""README and docs tell the truth: every block runs, and prints what the document shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import Sandbox, blocks, matches
from tests.helpers.repos import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_print_what_the_document_shows(document: Path, tmp_path: Path) -> None:
    """Each console block, run in order in a fresh repository, prints the lines below its commands."""
    found = list(blocks(document))
    if not found:
        return
    sandbox = Sandbox(tmp_path)
    for block in found:
        for command, expected, actual in sandbox.run(block):
            assert matches(expected, actual), f"$ {command}\n{actual}\n--- expected\n{expected}"


def test_ci_runs_the_commands_of_the_readme() -> None:
    """Every set-up and test command that the README gives stands in .ci/run as well."""
    ci = (ROOT / ".ci" / "run").read_text()
    lines = [
        line
        for block in blocks(ROOT / "README.md")
        if block.kind == "sh"
        for line in block.text.splitlines()
    ]
    assert lines
    missing = [line for line in lines if line.split("#")[0].strip().split("&& ")[-1] not in ci]
    assert not missing


def test_the_readme_is_short() -> None:
    """The README has at most 120 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_only_known_kinds_of_blocks() -> None:
    """A block is one the harness runs, or is marked as text."""
    for document in DOCUMENTS:
        for block in blocks(document):
            assert block.kind in {"console", "python", "sh", "text", "mermaid"}, (
                document,
                block.kind,
            )
