"""Every module of Metaflow can be imported: what this package has is there, the rest says that it is not."""

from __future__ import annotations

import json

import pytest

from tests.compat.test_drop_in import _installed
from tests.helpers.flows import latest, one_task, value_of
from tests.helpers.repos import GitRepo


def test_all_modules_and_names(repo: GitRepo) -> None:
    """Each name that a module defines is there; others are not, so that programs can tell versions apart."""
    code = """
    import importlib
    from gitflowrun.compat.known_names import known_names
    for module, names in known_names().items():
        found = importlib.import_module(f"metaflow.{module}".rstrip("."))
        for name in names:
            assert getattr(found, name, None) is not None, (module, name)
        assert not hasattr(found, "nothing_of_this_name"), module
        assert not hasattr(found, "__nothing__"), module
    import metaflow
    import metaflow.datatools.s3
    assert metaflow.datatools.s3.S3 is metaflow.S3
    assert metaflow.cli.__name__ == "metaflow.cli"
    print(len(known_names()) > 300)
    """
    assert _installed(code, repo) == "True\n"


def test_names_of_its_own_machinery_say_so(repo: GitRepo) -> None:
    """Also where one is applied as a decorator: what it was applied to refuses, when it is called."""
    code = """
    from metaflow.exception import MetaflowException
    from metaflow.package import MetaflowPackage
    from metaflow.plugins.datastores.gs_storage import handle_executor_exceptions
    from metaflow.plugins.cards.card_datastore import CardDatastore
    from metaflow.plugins.kubernetes.kubernetes import Kubernetes

    @handle_executor_exceptions
    def work():
        pass

    @handle_executor_exceptions
    class Work:
        pass

    for use in (lambda: MetaflowPackage(1), work, Work, lambda: CardDatastore(), lambda: Kubernetes(work)):
        try:
            use()
        except MetaflowException as error:
            print(error.message.partition(",")[0])
    try:
        import metaflow._vendor.no_such
    except ModuleNotFoundError as error:
        print(error)
    """
    has_no = "gitflowrun has no {} of metaflow.{}: it is of Metaflow's own machinery"
    applied = has_no.format("handle_executor_exceptions", "plugins.storage_executor")
    assert _installed(code, repo).splitlines() == [
        has_no.format("MetaflowPackage", "package"),
        applied,
        applied,
        "CardDatastore is of Metaflow's store of cards",
        "Kubernetes needs the services of a cloud",
        "No module named 'metaflow._vendor.no_such': gitflowrun brings no no_such, which is not installed",
    ]


CONFIG = "CARD_NO_WARNING, DEFAULT_RUNTIME_LIMIT, S3_RETRY_COUNT, SERVICE_HEADERS, SPIN_DISALLOWED_DECORATORS, UI_URL"
# What Metaflow 2.19.39 says to the same.
UTIL = {
    "url_quote('a b/é')": "b'a%20b/%C3%A9'",
    "url_unquote(b'a%20b')": "'a b'",
    "compress_list(['abc', 'abd', 'abe'])": "'ab:c,d,e'",
    "compress_list(['a'])": "'a'",
    "compress_list([])": "''",
    "decompress_list('ab:c,d,e')": "['abc', 'abd', 'abe']",
    "decompress_list(compress_list([f'x/{i}' for i in range(300)]))[299]": "'x/299'",
    "list(dict_to_cli_options({'a_b': 1, 'c': True, 'd': False, 'e': [1, 2], 'f': None, 'decospecs': ['x y']}))": (
        """['--a-b', '1', '--c', '--e', '1', '--e', '2', '--with', "'x y'"]"""
    ),
    "to_camelcase({'a_b': {'c_d': [{'e_f': 1}]}})": "{'aB': {'cD': [{'eF': 1}]}}",
    "to_pascalcase({'a_b': {'c_d': 1}})": "{'A_b': {'C_d': 1}}",
    "to_pod({1: (2, {3}), 'x': object})": "{1: [2, [3]], 'x': 'object'}",
    "(to_bytes('é'), to_bytes(5), to_unicode(b'x'), to_unicode(5))": "(b'\\xc3\\xa9', b'5', 'x', '5')",
    "to_fileobj('x').read()": "b'x'",
    "(resolve_identity(), resolve_identity_as_tuple())": "('user:ada', ('user', 'ada'))",
    "(is_stringish(b'x'), is_stringish(1), all_equal([1, 1]), all_equal([1, 2]))": (
        "(True, False, True, False)"
    ),
    "longest_common_prefix(['abc', 'abd'])": "'ab'",
    "which('no-such-program')": "None",
}
SWITCHED_OFF = {
    "UBF_CONTROL + UBF_TASK + CONTROL_TASK_TAG": "'ubf_controlubf_taskcontrol_task'",
    "(debug.conda, debug.conda_exec('x'))": "(False, None)",
    "traced('x')(len)('abc')": "3",
    "inject_tracing_vars({'a': 'b'})": "{'a': 'b'}",
    "([it.TYPE for it in DATASTORES], [it.name for it in STEP_DECORATORS if it.name == 'retry'])": (
        "(['local'], ['retry'])"
    ),
    "MetaDatum(field='a', value='b', type='c', tags=[]).field": "'a'",
    "_local_multinode_control_task_step_func(None, {}, lambda: 7, 0, [])": "7",
    "from_conf('NO_SUCH', 3)": "3",
}


@pytest.fixture
def said(repo: GitRepo) -> dict[str, str]:
    """What the drop-in says to all of these."""
    code = f"""
    import json
    from metaflow.debug import debug
    from metaflow.metadata_provider import MetaDatum
    from metaflow.metaflow_config_funcs import from_conf
    from metaflow.plugins import DATASTORES, STEP_DECORATORS
    from metaflow.plugins.parallel_decorator import _local_multinode_control_task_step_func
    from metaflow.tracing import inject_tracing_vars, traced
    from metaflow.unbounded_foreach import CONTROL_TASK_TAG, UBF_CONTROL, UBF_TASK
    from metaflow.util import *
    asked = {[*UTIL, *SWITCHED_OFF]!r}
    print(json.dumps({{it: repr(eval(it)) for it in asked}}))
    """
    found: dict[str, str] = json.loads(_installed(code, repo, {"METAFLOW_USER": "ada"}))
    return found


def test_small_functions_that_extension_packages_use(said: dict[str, str]) -> None:
    """They give what Metaflow's give; what observes is off."""
    assert said == {**UTIL, **SWITCHED_OFF}


def test_values_of_config(repo: GitRepo) -> None:
    """All of Metaflow's have its defaults, also where other modules import them; others are not there."""
    code = """
    import metaflow.metaflow_config as config
    from metaflow.metaflow_config import {CONFIG}
    from metaflow.plugins.aws.batch.batch import DEFAULT_METADATA as imported
    from metaflow.util import get_username
    print(SPIN_DISALLOWED_DECORATORS, SERVICE_HEADERS, DEFAULT_RUNTIME_LIMIT, CARD_NO_WARNING, S3_RETRY_COUNT + 1)
    print(config.USER == get_username(), UI_URL, imported, hasattr(config, "NEW_NAME"), hasattr(config, "new_name"))
    try:
        config.MAX_ATTEMPTS
    except ValueError as error:
        print(error)
    """
    env = {"METAFLOW_MAX_ATTEMPTS": "abc", "METAFLOW_S3_RETRY_COUNT": "2"}
    code = code.replace("{CONFIG}", CONFIG)
    assert _installed(code, repo, env).splitlines() == [
        "['parallel'] {} 432000 False 3",
        "True None local False False",
        "METAFLOW_MAX_ATTEMPTS is to be a number, and is 'abc'",
    ]


def test_a_traceback_names_classes_as_metaflow_does(repo: GitRepo) -> None:
    """Those of both, in the output and in what is said of the step."""
    text = (
        DECORATED[: DECORATED.index("from metaflow.decorators")]
        + """
class F(FlowSpec):
    @step
    def start(self):
        from metaflow.exception import MetaflowNotFound
        raise MetaflowNotFound("nowhere") from KeyError("x")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""
    )
    repo.write("f.py", text)
    repo.commit()
    done = repo.flow("-m", "gitflowrun", "f.py", "run")
    assert done.code == 1
    said = done.out + done.err
    assert "] metaflow.exception.MetaflowNotFound: nowhere" in said
    assert "failed: MetaflowNotFound: nowhere" in said
    assert "gitflowrun.errors" not in said


DECORATED = """
from functools import partial
from metaflow import FlowSpec, Parameter, current, project, step
from metaflow.decorators import StepDecorator, _attach_decorators_to_step, _base_step_decorator


class Asking(StepDecorator):
    name = "asking"

    def step_init(self, flow, graph, step_name, decorators, environment, flow_datastore, logger):
        node = next(it for it in flow if it.name == step_name)
        _attach_decorators_to_step(node, ["card:type=blank,id=attached", 'environment:vars={"SET": "1"}'])
        self.seen = [environment.TYPE, flow_datastore.TYPE, flow_datastore.flow_name]
        try:
            flow_datastore._storage_impl
        except Exception as error:
            self.seen += [type(error).__name__, error.message]

    def runtime_step_cli(self, cli_args, *_):
        cli_args.entrypoint[0] = "python"

    def task_pre_step(self, step_name, datastore, metadata, run_id, task_id, flow, *_):
        flow.seen = [*self.seen, datastore.pathspec, datastore.attempt, hasattr(datastore, "save_artifacts")]
        flow.facts = [
            list(flow._flow_decorators), [(name, it.kwargs["default"]) for name, it in flow._get_parameters()],
        ]

    def task_decorate(self, function, flow, *_):
        def swallow():
            try:
                function()
            except ZeroDivisionError:
                flow._transition = (["end"], None)
        return swallow


@project(name="p")
class F(FlowSpec):
    n = Parameter("n", default=3)

    @partial(_base_step_decorator, Asking)
    @step
    def start(self):
        import os
        self.attached = [os.environ["SET"], len(current.card["attached"].components)]
        1 / 0
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""


def test_what_hooks_of_others_are_given(repo: GitRepo) -> None:
    """Datastores say what they know and that they are not there; decorators attach others, and say what follows."""
    repo.write("f.py", DECORATED)
    repo.commit()
    done = repo.flow("-m", "gitflowrun", "f.py", "run")
    assert done.code == 0, done.out + done.err
    task = one_task(latest(repo), "start")
    assert value_of(task, "seen") == [
        "local", "local", "F", "AbsentPartError",
        "gitflowrun has no datastore, of which '_storage_impl' was asked", "F/1/start/1", 0, False,
    ]  # fmt: skip
    assert value_of(task, "facts") == [["project"], [("n", 3)]]
    assert value_of(task, "attached") == ["1", 0]
