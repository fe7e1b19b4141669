"""The pages of the manual: one for each verb, whole, the same as roff and as text, installed and shown."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gitflowrun.cli.git_runs.verbs import COMMANDS, load
from gitflowrun.cli.manual.installed import installed_files
from gitflowrun.cli.manual.page import (
    Block,
    Example,
    Page,
    Paragraph,
    Section,
    Term,
    page_names,
    read_page,
)
from gitflowrun.cli.manual.plain_text import to_text
from gitflowrun.cli.manual.roff import to_roff
from gitflowrun.cli.output.terminal import PLAIN
from gitflowrun.settings import KEYS
from tests.helpers.repos import ROOT, GitRepo, run_program

SOURCES = ROOT / "docs" / "manual"
VERBS = [verb for verb, entry in COMMANDS.items() if entry.help]
needs_man = pytest.mark.skipif(not shutil.which("man"), reason="there is no man here")


def shown_by_man(page: Page, directory: Path) -> str:
    """What `man` prints of a page, without its first and last line, in words."""
    file = directory / f"{page.name}.1"
    file.write_text(to_roff(page))
    done = subprocess.run(
        ["man", "--warnings=w", "-l", str(file)], capture_output=True, text=True, check=True,
        env={**os.environ, "MANWIDTH": "90"},
    )  # fmt: skip
    assert done.stderr == ""
    return " ".join(" ".join(done.stdout.strip().split("\n")[1:-1]).split())


def text_of(page: Page) -> str:
    """The words of a page as text, with the sign that `man` has before items."""
    text = "\n".join(to_text(page, 90, PLAIN))
    return " ".join(re.sub(r"^      - ", "• ", text, flags=re.MULTILINE).split())


def test_every_verb_has_a_page_with_examples() -> None:
    """docs/manual has a page for each verb that people call and no other, titled as the overview words it."""
    titles = {path.stem: path.read_text().split("\n")[0] for path in SOURCES.glob("*.md")}
    expected = {
        f"git-runs-{verb}": f"# git-runs-{verb}(1): {help_[:1].lower()}{help_[1:]}"
        for verb, help_ in ((verb, COMMANDS[verb].help) for verb in VERBS)
    }
    expected["git-runs"] = "# git-runs(1): look at, mark, share and remove runs of flows"
    assert titles == expected
    for name in expected:
        assert re.search(
            r"^## Examples\n.*?^```console\n\$ ",
            (SOURCES / f"{name}.md").read_text(),
            re.MULTILINE | re.DOTALL,
        ), name


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_has_all_that_is_declared(verb: str) -> None:
    """Summary, usage, the help's paragraphs and each option of a verb are on its page."""
    command, text = load(verb), text_of(read_page(f"git-runs-{verb}"))
    assert command.help
    assert " ".join(command.help.replace("`", "").split()) in text
    context = click.Context(command, info_name="")
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            assert record[0] in text
            assert option.help, f"{record[0]} of {verb} has no help"
    assert f"SYNOPSIS git runs {verb} [<options>]" in text


def test_the_page_of_the_program_lists_verbs_and_settings() -> None:
    """git-runs(1) has every verb and every setting."""
    blocks = read_page("git-runs").blocks
    terms = [block.name for block in blocks if isinstance(block, Term)]
    assert [name for name in terms if name.startswith("git runs")] == [
        f"git runs {it}" for it in VERBS
    ]
    assert [name for name in terms if name.startswith("runs.")] == list(KEYS)


@needs_man
@pytest.mark.slow
def test_man_shows_what_the_text_says(tmp_path: Path) -> None:
    """Formatted by `man`, without a warning, each page has the words of its text: nothing is taken for a command."""
    for name in page_names():
        page = read_page(name)
        assert shown_by_man(page, tmp_path) == text_of(page)


@needs_man
def test_any_text_is_shown_as_it_is(tmp_path: Path) -> None:
    """Dots, quotes, backslashes and hyphens at any place of a page reach the reader."""
    odd = [
        r".so /etc/passwd",
        r"'br",
        r"\fB\n(.g \*x",
        r'"a" `b` ^~ --x -- \&.',
        "käse, 日本",
        ". ..",
    ]
    words = [text.replace("`", "") for text in odd]
    terms = [Term(text, text) for text in words]
    example = Example([*words, "", "$ 'x' .y"])
    blocks: list[Block] = [Section("Odd .x"), *map(Paragraph, odd), example, *terms]
    page = Page("git-runs-odd", r".summary with \ and 'quotes'", blocks)
    assert shown_by_man(page, tmp_path) == text_of(page)


def install(prefix: Path) -> None:
    """Put the files of a wheel below a prefix."""
    for name, text in installed_files().items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(text)


@needs_man
def test_git_help_shows_the_pages_of_an_environment(
    tmp_path: Path, repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the `bin` of an environment on PATH, `git help` finds what is installed in its `share`."""
    install(tmp_path / "env")
    program = tmp_path / "env/bin/git-runs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("MANPATH", raising=False)
    assert "git-runs - look at" in repo.git("help", "runs")
    assert "git-runs - look at" in repo.git("runs", "--help")
    for verb in ("show", "tag"):
        assert f"git-runs-{verb} - " in repo.git("help", f"runs-{verb}")


def test_each_page_is_installed() -> None:
    """A wheel has a page for each verb below `share/man/man1`, under both names that git asks for."""
    names = {name for name in installed_files() if name.startswith("share/man/")}
    expected = {f"git{dash}runs-{verb}" for verb in VERBS for dash in ("-", "")} | {"git-runs"}
    assert names == {f"share/man/man1/{name}.1" for name in expected}
    assert installed_files()["share/man/man1/git-runs-show.1"].startswith(".TH GIT\\-RUNS\\-SHOW 1")


@pytest.mark.parametrize("words", [("show", "--help"), ("help", "show"), ("show", "1", "--help")])
def test_help_of_a_verb_prints_its_page(repo: GitRepo, words: tuple[str, ...]) -> None:
    """`--help` and `help` print the page; `-h` prints the options alone."""
    done = repo.call(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("NAME\n    git-runs-show - show a run")
    assert "EXAMPLES\n        $ git runs show 2\n        run Hello/2\n" in done.out
    assert repo.call("show", "-h").out.startswith("Usage: git runs show [OPTIONS]")


def test_help_of_the_program(repo: GitRepo) -> None:
    """`git-runs --help` prints the page of the program; `git runs help` the overview."""
    assert repo.call("--help").out.startswith("NAME\n    git-runs - look at")
    assert repo.call("help").out == repo.call("-h").out


def test_help_of_what_is_no_verb(repo: GitRepo) -> None:
    """The nearest verb is named."""
    done = repo.call("help", "shwo")
    assert done.code == 129
    assert "show" in done.err


def on_a_terminal(repo: GitRepo, programs: Path, *words: str) -> str:
    """What `git runs WORDS` shows on a terminal of its own where PATH begins with `programs`."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gitflowrun.cli.git_runs.main", *words],
        cwd=repo.path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PATH": f"{programs}:{os.environ['PATH']}"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody writes any more
                break
            seen += piece
        assert process.wait(60) == 0
    os.close(ours)
    return seen.decode()


@pytest.mark.parametrize("works", [True, False])
def test_on_a_terminal_man_shows_the_page(repo: GitRepo, tmp_path: Path, works: bool) -> None:
    """`man` is given the page of this program; where it can't show it, the text is printed."""
    (tmp_path / "bin").mkdir()
    man = tmp_path / "bin" / "man"
    script = 'echo "man $*"; head -1' if works else "echo not this >&2; exit 1"
    man.write_text(f"#!/bin/sh\n{script}\n")
    man.chmod(0o755)
    seen = on_a_terminal(repo, tmp_path / "bin", "show", "--help").replace("\r", "")
    if works:
        assert seen.startswith('man -l -\n.TH GIT\\-RUNS\\-SHOW 1 "" "git\\-runs ')
        assert "NAME" not in seen
    else:
        assert seen.startswith("\x1b[1mNAME\x1b[m\n    git-runs-show - show a run")
        assert "not this" not in seen


def test_a_page_fits_a_narrow_window(repo: GitRepo) -> None:
    """A narrow window is filled, and no line but those of examples is longer than it."""
    done = run_program(
        [sys.executable, "-m", "gitflowrun.cli.git_runs.main", "trust", "--help"],
        repo.path,
        {"COLUMNS": "40"},
    )
    description = done.out.partition("EXAMPLES")[0]
    assert max(map(len, description.split("\n"))) <= 40
