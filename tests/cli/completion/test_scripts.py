"""What shells complete of `git runs`: each script is read by its own shell, in a repository with two runs."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gitflowrun.cli.completion.scripts import FIELDS, INSTALLED, script_for
from gitflowrun.cli.completion.verb_words import all_verbs
from gitflowrun.cli.git_runs.verbs import COMMANDS
from gitflowrun.cli.manual.installed import installed_files
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.query import fields
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.runs import make_run
from tests.helpers.warm_programs import write_program

GIT_COMPLETION = Path("/usr/share/bash-completion/completions/git")
VERBS = {*(verb for verb, entry in COMMANDS.items() if entry.help), "help", "version"}
RUNS = {"@latest", "MyFlow/", "Other/", "production"}
STEPS = {"1/start/", "1/train/", "1/end/"}
EXPECTED = {
    "": VERBS,
    "sho": {"show"},
    "log ": {"MyFlow", "Other"},
    "list res": {"result"},
    "list My": {"MyFlow"},
    "list --on m": {"main"},
    "list --status f": {"failed"},
    "list --tag ": {"production"},
    "list --tag production O": {"Other"},
    "list --where res": {"result"},
    "list --where st": {name for name in FIELDS if name.startswith("st")},
    "show ": RUNS,
    "show 1": {"1"},
    "show M": {"MyFlow/"},
    "show MyFlow/": {"MyFlow/1"},
    "show 1 Other/": {"Other/2"},
    "show --json 2": {"2"},
    "show 1/": STEPS | {"1/result"},
    "show MyFlow/1/t": {"MyFlow/1/train/"},
    "show 1/train/": {"1/train/2/", "1/train/3/"},
    "rm p": {"production"},
    "tag 1 ": {"production"},
    "push ": {"origin", "team"},
    "push origin O": {"Other", "Other/"},
    "hooks ": {"install", "uninstall"},
    "completion ": {"bash", "zsh", "fish"},
    "help ": VERBS,
    "nonsense x": set(),
    "show $(touch bad)": set(),
    "show `touch bad`/": set(),
}
"""What is offered for what is typed after `git runs`; of options, see below."""
ODD = [
    "$(touch bad)",
    "`touch bad`",
    ";touch bad;",
    "'",
    '"',
    "a&b",
    "\u202ex",
    "{a,b}",
    "<b>",
    "!!",
]
BASH = r"""
source "$1"
shift
for line; do
	COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMPREPLY=()
	IFS=' ' read -r -a COMP_WORDS <<<"$line"
	[[ $line == *' ' ]] && COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	if [[ $line == 'git '* ]]; then
		__git_wrap__git_main git "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
	else
		__git_runs_program git-runs
	fi
	printf '%s\n' "${COMPREPLY[@]}" $'\1'
done
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with two runs, a tag and two remotes."""
    repo = make_repo(tmp_path_factory.mktemp("completion") / "project")
    make_run(repo, "MyFlow", tags=["production", "an odd tag"])
    make_run(repo, "Other", status=Status.FAILED)
    for name in ("origin", "team"):
        repo.git("remote", "add", name, f"../{name}.git")
    return repo


def plant_odd_names(repo: GitRepo) -> None:
    """Refs, steps and artifacts of names that a shell would take for commands."""
    blob = repo.git("hash-object", "-w", "--stdin", stdin=b"x")
    names = [
        f"{name}.txt".encode() for name in ["$(touch bad)", "`touch bad`", ";touch bad;", "ok"]
    ]
    below = repo.git(
        "mktree",
        "-z",
        stdin=b"".join(b"100644 blob %s\t%s\0" % (blob.encode(), it) for it in names),
    )
    top = "".join(f"040000 tree {below}\t{name}\n" for name in ("data", "steps"))
    tree = repo.git("mktree", stdin=top.encode())
    commit = repo.git("commit-tree", "-m", "MyFlow/9: done", tree)
    refs = [f"refs/runs/{name.replace(' ', '$IFS')}/7" for name in ODD]
    refs += [f"refs/runs/MyFlow/8{name.replace(' ', '$IFS')}" for name in ODD]
    refs += [f"refs/runs/@tags/MyFlow/{name.replace(' ', '$IFS')}/9" for name in ODD]
    commands = "".join(f"create {ref} {commit}\n" for ref in [*refs, "refs/runs/MyFlow/9"])
    repo.git("update-ref", "--stdin", stdin=commands.encode())


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory for PATH that has `git-runs`."""
    program = write_program(tmp_path / "bin" / "git-runs", "-m", "gitflowrun.cli.git_runs.main")
    return program.parent


def run(repo: GitRepo, programs: Path, *command: str) -> str:
    """What a shell prints, which finds `git-runs`; it complains of nothing."""
    done = subprocess.run(
        command, cwd=repo.path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def offered_by_bash(repo: GitRepo, programs: Path, lines: Sequence[str]) -> list[set[str]]:
    """What bash offers for each of the lines."""
    head = f"source {GIT_COMPLETION}\n" if GIT_COMPLETION.exists() else ""
    (programs / "completion").write_text(script_for("bash"))
    out = run(
        repo,
        programs,
        "bash",
        "--norc",
        "-c",
        head + BASH,
        "bash",
        str(programs / "completion"),
        *lines,
    )
    return [{it.rstrip(" ") for it in part.split("\n") if it} for part in out.split("\1\n")[:-1]]


def offered_by_fish(repo: GitRepo, programs: Path, lines: Sequence[str]) -> list[set[str]]:
    """What fish offers for each of the lines."""
    (programs / "completion").write_text(script_for("fish"))
    code = (
        f"source {programs}/completion\nfor line in $argv; complete -C $line; printf '\\1\\n'; end"
    )
    out = run(repo, programs, "fish", "-c", code, "--", *lines)
    return [{it.split("\t")[0] for it in part.split("\n") if it} for part in out.split("\1\n")[:-1]]


SHELLS = {"bash": offered_by_bash, "fish": offered_by_fish}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """A shell that is installed here."""
    name = str(request.param)
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return name


def test_what_is_offered(project: GitRepo, programs: Path, shell: str) -> None:
    """Verbs, runs, steps, tags, flows, remotes and words are offered."""
    found = SHELLS[shell](project, programs, [f"git-runs {line}" for line in EXPECTED])
    assert dict(zip(EXPECTED, found, strict=True)) == EXPECTED
    assert not (project.path / "bad").exists()


@pytest.mark.parametrize("command", ["git runs", "git -C . runs"])
def test_git_offers_the_same(project: GitRepo, programs: Path, shell: str, command: str) -> None:
    """For `git runs` the same is offered as for `git-runs`: verbs, arguments, values of options, nothing."""
    if shell == "bash" and not GIT_COMPLETION.exists():
        pytest.skip("git's own completion is not installed")
    typed = ["", "sho", "list --where st", "show 1/", "push origin O", "show $(touch bad)"]
    found = SHELLS[shell](project, programs, [f"{command} {line}" for line in typed])
    assert dict(zip(typed, found, strict=True)) == {line: EXPECTED[line] for line in typed}
    assert not (project.path / "bad").exists()


def test_the_options_of_each_verb_are_offered(project: GitRepo, programs: Path, shell: str) -> None:
    """Each long option of each verb is among what is offered behind two hyphens."""
    verbs = all_verbs()
    for verb, found in zip(
        verbs,
        SHELLS[shell](project, programs, [f"git-runs {it.name} --" for it in verbs]),
        strict=True,
    ):
        names = {name for option in verb.options for name in option.names if name.startswith("--")}
        assert names <= found, verb.name


def test_odd_names_are_neither_run_nor_offered(tmp_path: Path, programs: Path, shell: str) -> None:
    """Names of refs, files and tags in which a shell would see commands stay where they are."""
    repo = make_repo(tmp_path / "odd")
    plant_odd_names(repo)
    typed = [
        "show ",
        "show 7",
        "show 8",
        "show MyFlow/",
        "show 9/",
        "cat MyFlow/9/",
        "list ",
        "tag 9 ",
        "list --where ",
    ]
    found = SHELLS[shell](repo, programs, [f"git-runs {it}" for it in typed])
    offered = set().union(*found)
    assert {"MyFlow/", "MyFlow/9", "7", "9/ok"} <= offered
    assert [it for it in offered if not re.fullmatch(r"[A-Za-z0-9_./@%+,=-]+", it)] == []
    assert not list(repo.path.rglob("bad*"))


def test_zsh_is_offered_no_odd_names(tmp_path: Path, programs: Path) -> None:
    """Likewise in zsh, whose script is asked for what it would offer."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    repo = make_repo(tmp_path / "odd")
    plant_odd_names(repo)
    (programs / "completion").write_text(script_for("zsh"))
    code = (
        "source $1; for cur in '' 7 8 MyFlow/ 9/ MyFlow/9/; do __git_runs_list parts; done; "
        "for kind in tags flows names; do __git_runs_list $kind; done"
    )
    out = run(repo, programs, "zsh", "-f", "-c", code, "zsh", str(programs / "completion"))
    assert {"MyFlow/", "MyFlow/9", "7", "9/ok"} <= set(out.splitlines())
    assert [it for it in out.splitlines() if not re.fullmatch(r"[A-Za-z0-9_./@%+,=-]+", it)] == []
    assert not list(repo.path.rglob("bad*"))


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, repo: GitRepo, programs: Path, *command: str) -> None:
        self._process, self._fd = pty.fork()
        if not self._process:
            os.chdir(repo.path)
            os.environ.update(
                PATH=f"{programs}:{os.environ['PATH']}", TERM="dumb", PYTHONPATH=str(ROOT), PS1="> "
            )
            os.execvp(command[0], command)
        self.seen = ""

    def type(self, text: str, until: str) -> None:
        """Type a text, and wait until the terminal shows what is expected from then on."""
        os.write(self._fd, text.encode())
        start, end = len(self.seen), time.monotonic() + 20
        while not re.search(until, self.seen[start:]):
            assert time.monotonic() < end, repr(self.seen[start:])
            if select.select([self._fd], [], [], 1)[0]:
                self.seen += os.read(self._fd, 65536).decode(errors="replace").replace("\a", "")

    def close(self) -> None:
        """End the shell."""
        os.close(self._fd)
        os.waitpid(self._process, 0)


@pytest.fixture(params=["bash --norc --noprofile -i", "zsh -f -i"])
def terminal(
    request: pytest.FixtureRequest, project: GitRepo, programs: Path
) -> Iterator[Terminal]:
    """A shell at work that has read its script."""
    command = str(request.param).split()
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    shell = Terminal(project, programs, *command)
    init = "autoload -Uz compinit; compinit -u -D; " if command[0] == "zsh" else ""
    shell.type(f"{init}source <(git-runs completion {command[0]}); echo rea''dy\n", "ready")
    yield shell
    shell.close()


TYPED = {
    "sho": "show ",
    "show MyF": "MyFlow/",
    "show MyFlow/": "MyFlow/1 ",
    "show 1/tr": "1/train/",
    "list --sta": "--status ",
    "list --status int": "interrupted ",
    "show @": "@latest ",
}


def test_a_tab_completes(terminal: Terminal) -> None:
    """In a real shell, a tab ends what was begun."""
    for typed, shown in TYPED.items():
        terminal.type(f"git-runs {typed}\t", rf"git-runs [^\n]*{re.escape(shown)}")
        terminal.type("\x15 echo clear''ed\n", "cleared")


def test_scripts_are_installed_where_shells_look() -> None:
    """The wheel has the script of each shell in its place, and no gap of a template is left in one."""
    files = installed_files()
    assert set(INSTALLED) == {"bash", "zsh", "fish"}
    for shell, place in INSTALLED.items():
        assert files[place] == script_for(shell)
        assert not re.search(r"@[A-Z]+@", files[place])
        for verb in VERBS:
            assert verb in files[place]
    assert files[INSTALLED["zsh"]].startswith("#compdef git-runs\n#description ")


def test_the_command_prints_the_script(repo: GitRepo) -> None:
    """`git runs completion SHELL` prints what is installed; of another shell it says which there are."""
    assert repo.call("completion", "zsh").out == script_for("zsh")
    assert repo.call("completion", "tcsh").code == 129


def test_names_of_queries_are_the_fields() -> None:
    """What is offered for a query is what every run has."""
    assert sorted(fields.FIELDS) == list(FIELDS)
