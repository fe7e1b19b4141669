"""Every rule of graphs: what breaks it is named, with the line."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from gitflowrun.errors import LintError, UsageError
from gitflowrun.flow import FlowSpec, step
from gitflowrun.flow.decorators.parallel import parallel
from gitflowrun.flow.graph import FlowGraph
from gitflowrun.flow.lint import lint

if TYPE_CHECKING:
    from pathlib import Path

A, LINE, AB, JOIN, END = (
    "a: self.next(self.end)",
    "start: self.next(self.end)",
    "start: self.next(self.a, self.b)|a: self.next(self.j)|b: self.next(self.j)",
    "j inputs: self.next(self.end)",
    "end: pass",
)
SWITCH = "start: self.next({'a': self.a, 'b': self.b}, condition='x')"
LOOP = "start: self.next(self.l)|l: self.next({'a': self.l, 'b': self.end}, condition='x')"


def graph_of(rows: str, path: Path, name: str = "Linted") -> FlowGraph:
    """A graph of steps written as `name arguments: body|...`; `!` before a name leaves `@step` away."""
    lines = [f"class {name}(FlowSpec):"]
    for row in rows.split("|"):
        head, _, body = row.partition(": ")
        words = head.split()
        options = [word for word in words if "=" in word and not word.startswith("*")]
        title, *arguments = [word for word in words if word not in options]
        if title.startswith("@"):
            lines.append("    @parallel")
        if not title.startswith("!"):
            lines.append(f"    @step({', '.join(options)})" if options else "    @step")
        keyword = "async def" if "~" in title else "def"
        inner = "" if "none" in arguments else ", ".join(["self", *arguments])
        lines.append(f"    {keyword} {title.strip('!~@')}({inner}):")
        lines += textwrap.indent(body.replace("; ", "\n"), " " * 8).splitlines()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    space: dict[str, Any] = {
        "FlowSpec": FlowSpec, "step": step, "parallel": parallel, "__name__": "linted",
    }  # fmt: skip
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return FlowGraph.of(space[name])


GOOD = {
    "line": f"{LINE}|{END}",
    "branches": f"{AB}|{JOIN}|{END}",
    "three branches": (
        "start: self.next(self.a, self.b, self.c)|a: self.next(self.j)|b: self.next(self.j)"
        f"|c: self.next(self.j)|{JOIN}|{END}"
    ),
    "foreach": f"start: self.next(self.a, foreach='x')|a: self.next(self.j)|{JOIN}|{END}",
    "nested foreach": (
        "start: self.next(self.a, foreach='x')|a: self.next(self.b, foreach='y')|b: self.next(self.k)"
        f"|k inputs: self.next(self.j)|{JOIN}|{END}"
    ),
    "branch in foreach": (
        "start: self.next(self.f, foreach='x')|f: self.next(self.a, self.b)|a: self.next(self.k)"
        f"|b: self.next(self.k)|k inputs: self.next(self.j)|{JOIN}|{END}"
    ),
    "foreach in one branch": (
        "start: self.next(self.a, self.b)|a: self.next(self.c, foreach='x')|c: self.next(self.k)"
        f"|k inputs: self.next(self.j)|b: self.next(self.j)|{JOIN}|{END}"
    ),
    "two splits in a row": (
        f"{AB}|j inputs: self.next(self.s)|s: self.next(self.c, self.d)|c: self.next(self.k)"
        f"|d: self.next(self.k)|k inputs: self.next(self.end)|{END}"
    ),
    "one step": "start: pass",
    "other names": "first start=True: self.next(self.last)|last end=True: pass",
    "start that is marked": f"start start=True: self.next(self.end)|{END}",
    "switch": f"{SWITCH}|{A}|b: self.next(self.end)|{END}",
    "cases of all kinds": (
        "start: self.next({'a': self.a, 1: self.b, -2.5: self.end, False: self.a, self.cfg.k: self.a, "
        f"self.cfg['x'].y: self.b}}, condition='x')|{A}|b: self.next(self.end)|{END}"
    ),
    "one case to the end": f"start: self.next({{'a': self.a, 'b': self.end}}, condition='x')|{A}|{END}",
    "cases that meet": f"{SWITCH}|a: self.next(self.m)|b: self.next(self.m)|m: self.next(self.end)|{END}",
    "cases of other depths": (
        f"{SWITCH}|a: self.next(self.c)|c: self.next(self.m)|b: self.next(self.m)|m: self.next(self.end)|{END}"
    ),
    "switch in a case": (
        f"{SWITCH}|a: self.next({{1: self.c, 2: self.b}}, condition='y')|c: self.next(self.end)"
        f"|b: self.next(self.end)|{END}"
    ),
    "loop": f"{LOOP}|{END}",
    "loop after a loop": (
        "start: self.next(self.l)|l: self.next({'a': self.l, 'b': self.m}, condition='x')"
        f"|m: self.next({{'a': self.m, 'b': self.end}}, condition='x')|{END}"
    ),
    "switch in a foreach": (
        "start: self.next(self.s, foreach='x')|s: self.next({'a': self.a, 'b': self.b}, condition='x')"
        f"|a: self.next(self.j)|b: self.next(self.j)|{JOIN}|{END}"
    ),
    "loop in a foreach": (
        "start: self.next(self.l, foreach='x')|l: self.next({'a': self.l, 'b': self.o}, condition='x')"
        f"|o: self.next(self.j)|{JOIN}|{END}"
    ),
    "foreach in a case": (
        f"{SWITCH}|a: self.next(self.x, foreach='y')|x: self.next(self.j)|j inputs: self.next(self.b)"
        f"|b: self.next(self.end)|{END}"
    ),
    "foreaches of cases with one body": (
        f"{SWITCH}|a: self.next(self.x, foreach='y')|b: self.next(self.x, foreach='z')|x: self.next(self.j)"
        f"|{JOIN}|{END}"
    ),
    "a case that goes over into the other branch": (
        "start: self.next(self.s, self.t)|s: self.next({'a': self.a, 'b': self.t2}, condition='x')"
        f"|a: self.next(self.j)|t: self.next(self.t2)|t2: self.next(self.j)|{JOIN}|{END}"
    ),
    "one of two joins": (
        "start: self.next(self.s, foreach='x')|s: self.next({'a': self.a, 'b': self.b}, condition='x')"
        f"|a: self.next(self.j)|b: self.next(self.k)|{JOIN}|k inputs: self.next(self.end)|{END}"
    ),
    "gang": f"start: self.next(self.a, num_parallel=2)|@a: self.next(self.j)|{JOIN}|{END}",
    "gang in a foreach": (
        "start: self.next(self.f, foreach='x')|f: self.next(self.a, num_parallel=self.n)|@a: self.next(self.k)"
        f"|k inputs: self.next(self.j)|{JOIN}|{END}"
    ),
    "digits": f"start: self.next(self.s2)|s2: self.next(self.end)|{END}",
}


@pytest.mark.parametrize("rows", GOOD.values(), ids=GOOD)
def test_good_graphs_pass(rows: str, tmp_path: Path) -> None:
    """Every shape that can run is accepted, and can be written as plain data."""
    graph = graph_of(rows, tmp_path / "linted.py")
    lint(graph)
    assert graph.to_map()["graph_structure"][0] == graph.start_step


BAD = {
    "reserved": (f"start: self.next(self.cmd)|cmd: self.next(self.end)|{END}", "named 'cmd'", 6),
    **{
        f"reserved {name}": (
            f"start: self.next(self.{name})|{name}: self.next(self.end)|{END}", f"named '{name}'", 6,
        )
        for name in ("name", "next", "input", "index")
    },
    "taken": (f"start: self.next(self.end)|merge_artifacts: pass|{END}", "'merge_artifacts'", 6),
    "upper case": (f"start: self.next(self.Big)|Big: self.next(self.end)|{END}", "'Big' can't", 6),
    "unicode": (f"start: self.next(self.é)|é: self.next(self.end)|{END}", "'é' can't name", 6),
    "underscore": (f"start: self.next(self._a)|_a: self.next(self.end)|{END}", "'_a' can't", 6),
    "no start": (f"a: self.next(self.end)|{END}", "has no start step", None),
    "no end": ("start: self.next(self.a)|a: pass", "has no end step", None),
    "no steps": ("!helper: pass", "has no start step", None),
    "two starts": (
        f"a start=True: self.next(self.end)|b start=True: self.next(self.end)|{END}",
        "has 2 start steps: 'a', 'b'", 6,
    ),
    "two ends": (
        "start: self.next(self.a)|a end=True: pass|b end=True: pass", "has 2 end steps", 9,
    ),
    "start named and marked": (
        f"a start=True: self.next(self.start)|start: self.next(self.end)|{END}",
        "step 'start' is named like the start, but 'a' is marked", 6,
    ),
    "end named and marked": (
        f"start: self.next(self.z)|z end=True: pass|{END}", "step 'end' is named like the end", 9,
    ),
    "no self": (f"start none: self.next(self.end)|{END}", "'start' takes the wrong arguments", 3),
    "star": (f"{AB}|j *inputs: self.next(self.end)|{END}", "'j' takes the wrong arguments", 12),
    "three arguments": (f"start: self.next(self.a)|a x y: pass|{END}", "takes the wrong arguments", 6),
    "async": (f"~start: self.next(self.end)|{END}", "'start' is asynchronous", 3),
    "no next": (f"start: pass|{END}", "'start' has no self.next", 3),
    "next in a branch": (
        f"start: if 1:;     self.next(self.end)|{END}", "self.next is not the last statement", 5,
    ),
    "next before more": (
        f"start: self.next(self.end); x = 1|{END}", "self.next is not the last statement", 4,
    ),
    "next returned": (
        f"start: return self.next(self.end)|{END}", "self.next is not the last statement", 4,
    ),
    "end with next": (
        "start: self.next(self.end)|end: self.next(self.start)", "ends with step 'end', but", 7,
    ),
    "switch of one case": (
        f"start: self.next({{'a': self.end}}, condition='x')|{END}", "a switch with 1 case", 4,
    ),
    "switch of no case": (
        f"start: self.next({{}}, condition='x')|{END}", "a switch with 0 cases", 4,
    ),
    "switch without condition": (
        f"start: self.next({{'a': self.end}})|{END}", "goes with condition='name'", 4,
    ),
    "switch by a variable": (
        f"start: self.next({{'a': self.end, 'b': self.a}}, condition=x)|{A}|{END}",
        "goes with condition='name'", 4,
    ),
    "condition without a dictionary": (
        f"start: self.next(self.end, condition='x')|{END}", "exactly one dictionary of cases", 4,
    ),
    "two dictionaries": (
        f"start: self.next({{'a': self.a, 'b': self.end}}, {{}}, condition='x')|{A}|{END}",
        "exactly one dictionary of cases", 4,
    ),
    "case of a variable": (
        f"start: self.next({{k: self.a, 'b': self.end}}, condition='x')|{A}|{END}", "'k' can't be a case", 4,
    ),
    "case of a constant": (
        f"start: self.next({{self.K: self.a, 'b': self.end}}, condition='x')|{A}|{END}", "'self.K' can't be a case", 4,
    ),
    "case of None": (
        f"start: self.next({{None: self.a, 'b': self.end}}, condition='x')|{A}|{END}", "'None' can't be a case", 4,
    ),
    "cases of another dictionary": (
        f"start: self.next({{'a': self.a, **d}}, condition='x')|{A}|{END}", "'**' can't be a case", 4,
    ),
    "case twice": (
        f"start: self.next({{1: self.a, True: self.end}}, condition='x')|{A}|{END}", "has the case True twice", 4,
    ),
    "case to text": (
        f"start: self.next({{'a': self.a, 'b': 'end'}}, condition='x')|{A}|{END}", "the case 'b' leads to", 4,
    ),
    "case to nowhere": (
        f"start: self.next({{'a': self.a, 'b': self.off}}, condition='x')|{A}|{END}",
        "leads to 'off', which is no step", 4,
    ),
    "switch and foreach": (
        f"start: self.next({{'a': self.a, 'b': self.end}}, condition='x', foreach='y')|{A}|{END}",
        "condition and foreach can't go together", 4,
    ),
    "case into a join": (
        ("start: self.next(self.s, foreach='x')|s: self.next({'a': self.a, 'b': self.j}, condition='y')"
        f"|a: self.next(self.j)|{JOIN}|{END}"),
        "step 's' leads from a case straight into the join 'j'", 7,
    ),
    "join that is a switch": (
        f"{AB}|j inputs: self.next({{'a': self.c, 'b': self.end}}, condition='x')|c: self.next(self.end)|{END}",
        "step 'j' is a join and a split at once", 13,
    ),
    "cases that meet in a join": (
        ("start: self.next({'a': self.a, 'b': self.b}, condition='x')|a: self.next(self.j)|b: self.next(self.j)"
        f"|{JOIN}|{END}"),
        "step 'j' is a join, but nothing has split before it", 12,
    ),
    "case that leaves a foreach": (
        ("start: self.next(self.s, foreach='x')|s: self.next({'a': self.a, 'b': self.end}, condition='y')"
        f"|a: self.next(self.j)|{JOIN}|{END}"),
        "ends before the branches of 'start' are joined", 15,
    ),
    "loop of the start": (
        f"start: self.next({{'a': self.start, 'b': self.end}}, condition='x')|{END}", "leads back to the start step", 4,
    ),
    "loop without an end": (
        "start: self.next(self.l)|l: self.next({'a': self.l, 'b': self.l}, condition='x')|" + END,
        "circle: l -> l", 7,
    ),
    "loop of two steps": (
        ("start: self.next(self.l)|l: self.next(self.m)"
        f"|m: self.next({{'a': self.l, 'b': self.end}}, condition='x')|{END}"),
        "circle: l -> m -> l", 10,
    ),
    "step after itself": (f"start: self.next(self.a)|a: self.next(self.a)|{END}", "circle: a -> a", 7),
    "gang without @parallel": (
        f"start: self.next(self.a, num_parallel=2)|a: self.next(self.j)|{JOIN}|{END}",
        "runs step 'a' as a gang, which has no @parallel", 4,
    ),
    "gang of two steps": (
        f"start: self.next(self.a, self.b, num_parallel=2)|{A}|b: self.next(self.end)|{END}",
        "a num_parallel leads to exactly one step", 4,
    ),
    "gang without a join": (
        f"start: self.next(self.a, num_parallel=2)|@a: self.next(self.end)|{END}", "and no join follows it", 8,
    ),
    "gang straight into a join": (
        f"start: self.next(self.j, num_parallel=2)|{JOIN}|{END}", "splits straight into the join 'j'", 4,
    ),
    "gang that splits": (
        ("start: self.next(self.a, num_parallel=2)|@a: self.next(self.b, self.c)|b: self.next(self.j)"
        f"|c: self.next(self.j)|{JOIN}|{END}"), "and no join follows it", 8,
    ),
    "gang by foreach": (
        f"start: self.next(self.a, foreach='x')|@a: self.next(self.j)|{JOIN}|{END}",
        "leads to the @parallel step 'a' without num_parallel", 4,
    ),
    "no target": (f"start: self.next()|{END}", "self.next names no step", 4),
    "computed target": (f"start: self.next(getattr(self, 'end'))|{END}", "is no step: write", 4),
    "starred targets": (f"start: self.next(*[self.end])|{END}", "is no step: write", 4),
    "text target": (f"start: self.next('end')|{END}", "is no step: write", 4),
    "foreign target": (f"start: self.next(other.end)|{END}", "'other.end' is no step", 4),
    "unknown option": (f"start: self.next(self.end, each='x')|{END}", "no argument 'each'", 4),
    "starred options": (f"start: self.next(self.end, **{{}})|{END}", "no argument '**'", 4),
    "computed foreach": (f"start: self.next(self.a, foreach=X)|a: pass|{END}", "literal string", 4),
    "foreach of two": (
        f"start: self.next(self.a, self.b, foreach='x')|a: pass|b: pass|{END}",
        "exactly one step", 4,
    ),
    "unknown target": (f"start: self.next(self.edn)|{END}", "leads to 'edn', which is no step", 4),
    "undecorated target": (f"start: self.next(self.a)|!a: pass|{END}", "'a', which is no step", 4),
    "same target twice": (
        f"start: self.next(self.a, self.a)|a: self.next(self.j)|{JOIN}|{END}",
        "leads to the same step twice", 4,
    ),
    "end is a join": (
        ("start: self.next(self.a, self.b)|a: self.next(self.end)|b: self.next(self.end)"
        "|end inputs: pass"), "the end step 'end' is a join", 12,
    ),
    "back to the start": (
        f"start: self.next(self.a)|a: self.next(self.start)|{END}", "leads back to the start", 7,
    ),
    "circle": (
        f"start: self.next(self.a)|a: self.next(self.b)|b: self.next(self.a)|{END}",
        "the flow runs in a circle: ", 10,
    ),
    "circle of one": (
        f"start: self.next(self.a)|a: self.next(self.a)|{END}", "in a circle: a -> a", 7,
    ),
    "orphan": (f"{LINE}|lost: self.next(self.end)|{END}", "nothing leads to step 'lost'", 6),
    "unreached end": (
        f"{AB}|{JOIN.replace('end', 'x')}|x: self.next(self.y)|y: self.next(self.x)|{END}",
        "in a circle", 19,
    ),
    "join that splits": (
        (f"{AB}|j inputs: self.next(self.c, self.d)|c: self.next(self.end)|d: self.next(self.end)"
        f"|{END}"), "'j' is a join and a split at once", 13,
    ),
    "join with foreach": (
        f"{AB}|j inputs: self.next(self.c, foreach='x')|c: self.next(self.end)|{END}",
        "'j' is a join and a split at once", 13,
    ),
    "foreach into join": (
        f"start: self.next(self.j, foreach='x')|{JOIN}|{END}", "straight into the join 'j'", 4,
    ),
    "split into join": (
        f"start: self.next(self.a, self.j)|a: self.next(self.j)|{JOIN}|{END}",
        "straight into the join 'j'", 4,
    ),
    "join without split": (
        f"start: self.next(self.j)|{JOIN}|{END}", "nothing has split before it", 6,
    ),
    "second argument": (f"start k: self.next(self.end)|{END}", "nothing has split", 3),
    "end inside a split": (
        f"start: self.next(self.a, self.b)|a: self.next(self.end)|b: self.next(self.end)|{END}",
        "ends before the branches of 'start' are joined", 12,
    ),
    "end inside a foreach": (
        f"start: self.next(self.a, foreach='x')|a: self.next(self.end)|{END}",
        "ends before the branches of 'start' are joined", 9,
    ),
    "branches meet": (
        f"{AB}|j: self.next(self.end)|{END}", "branches meet in step 'j', which is no join", 12,
    ),
    "branches meet whatever a switch chooses": (
        ("start: self.next(self.s, self.t)|s: self.next({'a': self.a, 'b': self.b}, condition='x')"
        f"|a: self.next(self.c)|b: self.next(self.c)|c: self.next(self.t)|t: self.next(self.j)|{JOIN}|{END}"),
        "branches meet in step 't', which is no join", 18,
    ),
    "branches meet behind a switch of another split": (
        ("start: self.next(self.f, foreach='x')|f: self.next({'a': self.a, 'b': self.b}, condition='y')"
        "|a: self.next(self.c)|b: self.next(self.c)|c: self.next(self.k)|k inputs: self.next(self.s)"
        f"|s: self.next(self.d, self.e)|d: self.next(self.e)|e: self.next(self.j)|{JOIN}|{END}"),
        "branches meet in step 'e', which is no join", 27,
    ),
    "missing branch": (
        (f"start: self.next(self.a, self.b, self.c)|a: self.next(self.j)|b: self.next(self.j)"
        f"|c: self.next(self.k)|j inputs: self.next(self.k)|k inputs: self.next(self.end)|{END}"),
        "does not join all branches of 'start': 'c'", 15,
    ),
    "uneven": (
        ("start: self.next(self.a, self.b)|a: self.next(self.c, self.d)|c: self.next(self.j)"
        f"|d: self.next(self.j)|b: self.next(self.j)|{JOIN}|{END}"),
        "reached from branches of different splits", 18,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "message", "line"), BAD.values(), ids=BAD)
def test_bad_graphs_are_refused(rows: str, message: str, line: int | None, tmp_path: Path) -> None:
    """The first broken rule is reported with file, line and a hint."""
    path = tmp_path / "linted.py"
    with pytest.raises(LintError) as caught:
        lint(graph_of(rows, path))
    error = caught.value
    assert message in error.message
    assert error.hint
    assert error.line == line
    assert error.source == (None if line is None else str(path))
    assert error.exit_code == 1


def test_a_misspelt_target_is_guessed(tmp_path: Path) -> None:
    """The hint names the step that was meant."""
    with pytest.raises(LintError) as caught:
        lint(graph_of(f"start: self.next(self.edn)|{END}", tmp_path / "linted.py"))
    assert caught.value.hint == "did you mean end?"


def test_long_flows_are_no_matter(tmp_path: Path) -> None:
    """Two thousand steps in a row are checked without recursion."""
    steps = "|".join(f"s{n}: self.next(self.s{n + 1})" for n in range(2000))
    rows = f"start: self.next(self.s0)|{steps}|s2000: self.next(self.end)|{END}"
    lint(graph_of(rows, tmp_path / "linted.py"))


def test_flow_names_may_be_unicode_but_not_endless(tmp_path: Path) -> None:
    """A flow is named by any identifier that fits into a ref."""
    lint(graph_of(f"{LINE}|{END}", tmp_path / "one.py", "Élan"))
    with pytest.raises(UsageError, match="can't name a flow"):
        lint(graph_of(f"{LINE}|{END}", tmp_path / "two.py", "L" * 300))


def test_step_names_fit_into_a_run(tmp_path: Path) -> None:
    """A step's name of 200 characters is right; a longer one is refused before anything runs."""
    rows = "start: self.next(self.{0})|{0}: self.next(self.end)|" + END
    lint(graph_of(rows.format("s" * 200), tmp_path / "one.py"))
    with pytest.raises(LintError, match="can't name a step") as error:
        lint(graph_of(rows.format("s" * 201), tmp_path / "two.py"))
    assert (
        error.value.hint == "choose a shorter name: it has 201 characters, 200 at most are possible"
    )
