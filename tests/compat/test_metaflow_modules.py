"""Every module of Metaflow can be imported: what this package has is there, the rest says that it is not."""

from __future__ import annotations

import json

import pytest

from tests.compat.test_drop_in import _installed
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
            print(str(error).partition(",")[0])
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
    "(DATASTORES, [it.name for it in STEP_DECORATORS if it.name == 'retry'])": "([], ['retry'])",
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
