"""`git runs list` of runs with parameters and metrics: columns, order, groups, formats, queries."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from gitflowrun.runs.query.fields import FIELDS
from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_measured_run


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """Five runs."""
    repo = make_repo(Path(tmp_path_factory.mktemp("listed"), "repo"))
    repo.commit()
    make_measured_run(
        repo, {"lr": "0.1", "seed": "1"}, {"acc": 0.8123456789, "kind": "tree"}, tags=["a b", "x"]
    )
    make_measured_run(repo, {"lr": "0.01", "seed": "1"}, {"acc": 0.9, "kind": "tree"})
    make_measured_run(repo, {"lr": "1e-3", "seed": "1"}, {"acc": math.nan, "kind": "\u20ac{x}%"})
    make_measured_run(repo, {"lr": "0.01", "seed": "1"}, {}, status=Status.FAILED)
    make_measured_run(repo, {"size": "2"}, {"acc": 1, "kind": "tree"}, flow="Other")
    return repo


def listed(repo: GitRepo, *args: str) -> list[str]:
    """The lines of a list, columns apart by one blank."""
    done = repo.call("list", *args)
    assert (done.code, done.err) == (0, "")
    return [" ".join(line.split()) for line in done.out.splitlines()]


def ids(repo: GitRepo, *args: str) -> str:
    """The ids of the runs of a list, in its order."""
    return " ".join(line.split()[0].partition("/")[2] for line in listed(repo, *args)[1:])


def test_columns_are_what_runs_differ_in(measured: GitRepo) -> None:
    """Parameters that all runs of the flow share are no column; metrics are columns."""
    heads = "RUN STATUS WHEN TOOK TASKS AUTHOR TAGS"
    assert listed(measured)[0] == f"{heads} lr acc kind"
    assert listed(measured, "-p")[0] == f"{heads} lr"
    assert listed(measured, "-m")[0] == f"{heads} acc kind"
    assert listed(measured, "-pm")[0] == f"{heads} lr acc kind"
    row = next(line for line in listed(measured, "MyFlow") if line.startswith("MyFlow/1 "))
    assert row.endswith("a b, x 0.1 0.812346 tree")
    assert listed(measured, "Other")[0] == "RUN STATUS WHEN TOOK TASKS AUTHOR acc kind"


def test_chosen_columns(measured: GitRepo) -> None:
    """Fields, metrics and parameters, with the run in front; several options are one."""
    lines = listed(measured, "-c", "acc, parameter.lr", "--columns", "status,branch", "-n", "3")
    assert lines == [
        "RUN acc parameter.lr STATUS branch", "Other/5 1 done main", "MyFlow/4 0.01 failed in end main",
        "MyFlow/3 nan 1e-3 done main",
    ]  # fmt: skip


def test_only_what_differs(measured: GitRepo) -> None:
    """Columns that say the same of all runs are left out."""
    lines = listed(
        measured, "done and flow = MyFlow", "--only-changed", "--columns", "kind,status,seed,lr"
    )
    assert lines[0] == "RUN kind lr"


@pytest.mark.parametrize(
    ("args", "order"),
    [
        (("--sort", "acc"), "1 2 5 4 3"), (("--sort", "-acc"), "5 2 1 4 3"), (("-s", "lr"), "3 4 2 1 5"),
        (("-s", "kind,-id"), "5 2 1 3 4"), (("-s", "flow", "-s", "id"), "1 2 3 4 5"),
        (("-s", "-acc", "-n", "2"), "5 2"), (("acc < 0.85",), "1"), (("failed",), "4"), (("Other", "acc = 1"), "5"),
        (("MyFlow", "-w", "acc > 0"), "2 1"), (("acc > 0", "-w", "acc < 0.85 or acc = 1"), "5 1"),
    ],
)  # fmt: skip
def test_order_and_queries(measured: GitRepo, args: tuple[str, ...], order: str) -> None:
    """What has no number comes last; the limit counts after the order; words may be a flow and a query."""
    assert ids(measured, *args) == order


def test_groups(measured: GitRepo) -> None:
    """Mean and range of each metric that is a number."""
    assert listed(measured, "MyFlow", "--group-by", "lr") == [
        "lr RUNS DONE acc (mean, least … most)", "1e-3 1 1", "0.01 2 1 0.9", "0.1 1 1 0.812346",
    ]  # fmt: skip
    done = measured.call("list", "--group-by", "kind", "--json")
    rows = {row["value"]: row for row in json.loads(done.out)}
    assert rows["tree"]["runs"] == 3
    assert rows["tree"]["metrics"]["acc"][0::2] == [0.8123456789, 1]
    assert rows[""]["done"] == 0


def test_groups_of_commits(repo: GitRepo) -> None:
    """The newest commit first, whichever was run again, with its subject; sorted by what groups have."""
    commits = []
    for subject, accs in (("one", [0.5, 0.7]), ("two", [0.9]), ("three", [0.1])):
        commits.append(repo.commit(subject)[:7])
        for acc in accs:
            make_measured_run(repo, {}, {"acc": acc})
    repo.git("switch", "-q", "--detach", commits[0])
    make_measured_run(repo, {}, {"acc": 0.6})
    rows = listed(repo, "--group-by", "code")
    assert rows == [
        "code SUBJECT RUNS DONE acc (mean, least … most)", f"{commits[2]} three 1 1 0.1",
        f"{commits[1]} two 1 1 0.9", f"{commits[0]} one 3 3 0.6 (0.5 … 0.7)",
    ]  # fmt: skip
    for key, order in (("-acc", "102"), ("acc", "201"), ("-runs", "021"), ("done", "210")):
        found = listed(repo, "--group-by", "code", "--sort", key)[1:]
        assert [row[:7] for row in found] == [commits[int(it)] for it in order]
    full = json.loads(repo.call("list", "--group-by", "code", "--json").out)
    assert [(row["value"][:7], len(row["value"])) for row in full] == [
        (it, 40) for it in commits[::-1]
    ]
    wrong = repo.call("list", "--group-by", "code", "--sort", "started")
    assert (wrong.code, "can't be sorted by 'started'" in wrong.err) == (129, True)


def test_sorted_lists_show_what_all_runs_differ_in(measured: GitRepo) -> None:
    """Though the first of them have it in common."""
    assert "lr" in listed(measured, "MyFlow", "--sort", "-acc", "-n", "1")[0].split(" ")


def test_short_hashes(measured: GitRepo) -> None:
    """In columns, and in formats that ask for them; what is no format is refused."""
    full, short = measured.call("list", "-1", "--format", "%(code) %(code:short)").out.split()
    assert full.startswith(short)
    assert (len(full), len(short)) == (40, 7)
    assert listed(measured, "-c", "code", "-1")[1].endswith(f" {short}")
    wrong = measured.call("list", "--format", "%(run:short)")
    assert (wrong.code, "'short' is no format for run" in wrong.err) == (129, True)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("%(run) %(acc)", "MyFlow/1 0.812346"), ("%(metric:acc)%09%(parameter:lr)%%", "0.812346\t0.1%"),
        ("%(id)|%(tags)|%(tag)|%(status)", "1|a b, x|a b, x|done"),
        ("{run:>10}|{acc:.2f}|{lr:.1e}", "  MyFlow/1|0.81|1.0e-01"),
        ("{{{kind}}}", "{tree}"), ("plain", "plain"), ("%(branch) %(author)", "main Ada Lovelace"),
    ],
)  # fmt: skip
def test_formats(measured: GitRepo, template: str, line: str) -> None:
    """Atoms as of `git for-each-ref`, or a template."""
    done = measured.call("list", "id = 1", "--format", template)
    assert (done.out, done.err) == (f"{line}\n", "")


def test_formats_of_what_is_missing_and_of_times(measured: GitRepo) -> None:
    """A run without a value has an empty text; times are readable, or seconds."""
    lines = measured.call("list", "--format", "%(id) %(kind)").out.splitlines()
    assert lines == ["5 tree", "4 ", "3 \u20ac{x}%", "2 tree", "1 tree"]
    times = measured.call(
        "list", "--format", "%(started) %(started:unix) %(finished:relative)", "-n1"
    ).out
    day, clock, unix, *_ = times.split()
    assert (len(day), len(clock)) == (10, 8)
    assert float(unix) > 1e9


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("%(nothing)", "parameter 'nothing'"), ("100%", "begins no atom"), ("{acc.real}", "parameter 'acc.real'"),
        ("{acc!r}", "is no name"), ("{0}", "is no name"), ("{acc:{lr}}", "is no name"), ("{acc", "can't be understood"),
        ("{acc:999999}", "too wide"), ("{acc:q}", "is no format for acc"),
    ],
)  # fmt: skip
def test_formats_that_mean_nothing(measured: GitRepo, template: str, why: str) -> None:
    """They are told, and nothing is looked up in objects."""
    done = measured.call("list", "--format", template)
    assert done.code == 129
    assert why in done.err


def test_nul(measured: GitRepo) -> None:
    """Entries for a program, whatever is in them."""
    assert measured.call("list", "-z", "-n", "2").out == "Other/5\0MyFlow/4\0"
    assert measured.call("list", "-z", "--format", "%(id)%0a", "-n1").out == "5\n\0"


def test_json_has_parameters_and_metrics(measured: GitRepo) -> None:
    """All of them, as JSON that every reader takes."""
    rows = json.loads(measured.call("list", "--json").out, parse_constant=pytest.fail)
    assert [row["metrics"].get("acc") for row in rows] == [1, None, "NaN", 0.9, 0.8123456789]
    assert rows[-1]["parameters"] == {"lr": "0.1", "seed": "1"}
    assert {row["branch"] for row in rows} == {"main"}


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--sort", "nothing"), "parameter 'nothing'"), (("--columns", "nothing"), "parameter 'nothing'"),
        (("--group-by", "nothing"), "parameter 'nothing'"), (("acc >",), "a value is missing here"),
        (("--trash", "acc > 1"), "the trash can't be asked"),
    ],
)  # fmt: skip
def test_unknown_names(measured: GitRepo, args: tuple[str, ...], why: str) -> None:
    """They are an error that names the nearest."""
    done = measured.call("list", *args)
    assert done.code == 129
    assert why in done.err


def test_what_a_stranger_has_written_commands_no_terminal(repo: GitRepo) -> None:
    """Names and texts of metrics may be anybody's."""
    make_measured_run(repo, {"p\x1b[31m": "\x1b]0;x\x07"}, {"m": 1})
    make_measured_run(repo, {"p\x1b[31m": "2"}, {"m": 1})
    assert "\x1b" not in repo.call("list").out


def test_help_names_all_fields(repo: GitRepo) -> None:
    """What may be asked of each run."""
    words = re.findall(r"\w+", repo.call("list", "-h").out)
    assert not {*FIELDS} - {*words}


def test_formats_of_other_commands(measured: GitRepo) -> None:
    """`show` writes runs in the order in which they are named, `log` those that it would show."""
    assert measured.call("show", "2", "1", "--format", "%(run) %(acc)").out == (
        "MyFlow/2 0.9\nMyFlow/1 0.812346\n"
    )
    assert measured.call("show", "MyFlow/1", "--format", "{acc:.2f}").out == "0.81\n"
    assert measured.call("show", "--format", "%(flow)").out == "Other\n"
    assert measured.call("show", "-z", "acc < 0.95").out == "MyFlow/2\0MyFlow/1\0"
    assert measured.call("log", "MyFlow", "-2", "--format", "%(id)").out == "4\n3\n"
    assert measured.call("log", "1..2", "-z").out == "MyFlow/2\0MyFlow/1\0"
    for words in (("show", "1/end"), ("show", "9"), ("show", "1")):
        wrong = measured.call(*words, "--format", "%(nosuch)")
        assert (wrong.code in {128, 129}, wrong.out) == (True, "")
