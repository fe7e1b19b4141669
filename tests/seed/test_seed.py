"""Every example of the document the project was made from, with gitflowrun in place of metaflow.

The examples stand here as they stand there, `metaflow` included; `adapt` changes the import lines and nothing
else. Where the document leaves something out (`load_data`, the flow's file), the test supplies it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repos import GitRepo, Output, copy_repo, make_repo

IMPORT = re.compile(r"^(\s*from |\s*import )metaflow\b", re.MULTILINE)


def adapt(example: str) -> str:
    """The example with its import lines changed."""
    return IMPORT.sub(r"\1gitflowrun", example)


def run(repo: GitRepo, example: str, before: str = "") -> Output:
    """Run an example as a program; it must succeed."""
    done = repo.flow("-c", before + adapt(example))
    assert done.code == 0, done.err
    return done


def flow_repo(path: Path, source: str, *args: str, older: bool = False) -> GitRepo:
    """A repository in which `python myflow.py run` made runs 1234 and 1235, and an older one if asked for."""
    flow = adapt(source)
    name = re.findall(r"class (\w+)\(FlowSpec\)", flow)[-1]
    repo = make_repo(
        path, files={"myflow.py": f'{flow}\n\nif __name__ == "__main__":\n    {name}()\n'}
    )
    assert repo.flow("myflow.py", "run", *args).code == 0
    first = 1233 if older else 1234
    repo.git("update-ref", f"refs/runs/{name}/{first}", f"refs/runs/{name}/1")
    repo.git("update-ref", "-d", f"refs/runs/{name}/1")
    shutil.rmtree(repo.path / ".git" / "gitflowrun")
    for number in range(first + 1, 1236):
        done = repo.flow("myflow.py", "run", *args)
        assert done.code == 0, done.err
        assert f"Run ID: {number}\n" in done.out
    return repo


MY_FLOW = """
from metaflow import FlowSpec, step, Parameter

class MyFlow(FlowSpec):

    model_version = Parameter('model-version', default='v1')
    learning_rate = Parameter('learning-rate', default=0.001)

    @step
    def start(self):
        self.accuracy = 0.9
        self.loss = 0.1
        self.next(self.end)

    @step
    def end(self):
        pass
"""

VERSIONED_FLOW = """
from metaflow import FlowSpec, step, Parameter

class VersionedFlow(FlowSpec):
    
    model_version = Parameter('model-version',
                              help='Model version to use',
                              default='v1')
    
    learning_rate = Parameter('learning-rate',
                              help='Learning rate',
                              default=0.001)
    
    @step
    def start(self):
        print(f"Using model {self.model_version}")
        print(f"Learning rate: {self.learning_rate}")
        self.next(self.end)
    
    @step
    def end(self):
        pass
"""  # noqa: W293  (as the document has it)

DATA_FLOW = """
from metaflow import FlowSpec, step

def load_data():
    return [1, 2, 3]

def train_model(data):
    return {"mean": sum(data) / len(data)}

class DataFlow(FlowSpec):
    
    @step
    def start(self):
        self.data = load_data()  # Automatically versioned
        self.model = train_model(self.data)  # Automatically versioned
        self.next(self.end)
    
    @step
    def end(self):
        pass
"""  # noqa: W293

GIT_FLOW = """
import subprocess
from metaflow import FlowSpec, step

class GitVersionedFlow(FlowSpec):
    
    @step
    def start(self):
        # Capture git information
        self.git_commit = subprocess.check_output(
            ['git', 'rev-parse', 'HEAD']
        ).decode().strip()
        
        self.git_branch = subprocess.check_output(
            ['git', 'rev-parse', '--abbrev-ref', 'HEAD']
        ).decode().strip()
        
        self.next(self.end)
    
    @step
    def end(self):
        print(f"Commit: {self.git_commit}")
        print(f"Branch: {self.git_branch}")
"""  # noqa: W293


@pytest.fixture(scope="module")
def my_flow(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with runs 1233, 1234 and 1235 of MyFlow."""
    return flow_repo(tmp_path_factory.mktemp("seed") / "my flow", MY_FLOW, older=True)


@pytest.fixture(scope="module")
def versioned_flow(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with runs 1234 and 1235 of VersionedFlow."""
    return flow_repo(tmp_path_factory.mktemp("seed") / "versioned flow", VERSIONED_FLOW)


@pytest.fixture(scope="module")
def data_flow(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with runs 1234 and 1235 of DataFlow."""
    return flow_repo(tmp_path_factory.mktemp("seed") / "data flow", DATA_FLOW)


def test_automatic_versioning(my_flow: GitRepo) -> None:
    """Each run gets a unique, sequential run id that never changes, printed as `Run ID: N`."""
    assert my_flow.git("for-each-ref", "--format=%(refname)", "refs/runs/MyFlow").split() == [
        "refs/runs/MyFlow/1233", "refs/runs/MyFlow/1234", "refs/runs/MyFlow/1235",
    ]  # fmt: skip


def test_version_information(tmp_path: Path) -> None:
    """`get_version` describes the user's repository: tag, commits since, hash, dirty."""
    repo = make_repo(tmp_path / "r")
    repo.git("tag", "-a", "2.3.0", "-m", "release")
    for number in range(5):
        repo.commit(f"change {number}")
    repo.write("README", "changed")
    example = """
from metaflow import get_version

# Get full version with git info
version = get_version(public=False)
print(version)
# Output: 2.3.0.post5-gitabc1234-dirty

# Get public version (PEP 440 compliant)
public_version = get_version(public=True)
print(public_version)
# Output: 2.3.0.post5
"""
    head = repo.git("rev-parse", "--short=7", "HEAD")
    assert run(repo, example).out.split() == [f"2.3.0.post5-git{head}-dirty", "2.3.0.post5"]


def test_accessing_run_history(my_flow: GitRepo) -> None:
    """Iterating over a flow yields its runs, newest first, with id and time."""
    example = """
from metaflow import Flow

# Get all runs
flow = Flow('MyFlow')
for run in flow:
    print(f"Run: {run.id}, Created: {run.created_at}")
"""
    lines = run(my_flow, example).out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Run: 1235", "Run: 1234", "Run: 1233"]
    assert all(re.search(r"Created: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in lines)


def test_get_specific_runs(my_flow: GitRepo) -> None:
    """Runs are reached as the latest, by id, and as the latest successful one."""
    example = """
from metaflow import Flow

# Latest run
latest = Flow('MyFlow').latest_run

# Specific run by ID
run = Flow('MyFlow')['1234']

# Latest successful run
for run in Flow('MyFlow'):
    if run.successful:
        latest_successful = run
        break
print(latest.id, Flow('MyFlow')['1234'].id, latest_successful.id)
"""
    assert run(my_flow, example).out.split() == ["1235", "1234", "1235"]


def test_filter_by_tags(my_flow: GitRepo) -> None:
    """Runs are filtered by the tags they carry."""
    tagging = """
from metaflow import Flow

run = Flow('MyFlow').latest_run
run.add_tag('production')
run.add_tag('deployed-2024-03-09')
"""
    run(my_flow, tagging)
    example = """
from metaflow import Flow

# Get runs with specific tag
tagged_runs = [run for run in Flow('MyFlow') 
               if 'production' in run.tags]
print([run.id for run in tagged_runs])
"""  # noqa: W291
    assert run(my_flow, example).out.strip() == "['1235']"
    assert "runs/MyFlow/deployed-2024-03-09/1235" in my_flow.git("tag", "-l")


def test_tracking_code_changes(my_flow: GitRepo) -> None:
    """A run's code is an archive that prints as a path and opens as a TarFile."""
    example = """
from metaflow import Flow

run = Flow('MyFlow')['1234']

# Access the code used for this run
code = run.code
print(code.tarball)  # Path to code archive
print(sorted(code.tarball.getnames()))
"""
    path, names = run(my_flow, example).out.splitlines()
    assert Path(path).is_file()
    assert names == "['myflow.py']"


def test_comparing_code_versions(versioned_flow: GitRepo, tmp_path: Path) -> None:
    """`-m gitflowrun.cmd.diff 1234 1235` shows what changed in code and parameters."""
    repo = copy_repo(versioned_flow, tmp_path / "r")
    same = repo.flow("-m", "gitflowrun.cmd.diff", "1234", "1235")
    assert same.code == 0, same.err
    source = (repo.path / "myflow.py").read_text().replace("Using model", "Model in use:")
    repo.write("myflow.py", source)
    assert repo.flow("myflow.py", "run", "--model-version", "v2").code == 0
    done = repo.flow("-m", "gitflowrun.cmd.diff", "1235", "1236")
    assert '-        print(f"Using model {self.model_version}")' in done.out, done.err
    assert '+        print(f"Model in use: {self.model_version}")' in done.out
    assert "v1" in done.out
    assert "v2" in done.out


def test_parameter_versioning(versioned_flow: GitRepo) -> None:
    """Parameters are artifacts of every run."""
    example = """
from metaflow import Flow

run = Flow('VersionedFlow')['1234']
print(f"Model version: {run.data.model_version}")
print(f"Learning rate: {run.data.learning_rate}")
"""
    assert run(versioned_flow, example).out == "Model version: v1\nLearning rate: 0.001\n"
    assert "Using model v1" in versioned_flow.git(
        "show", "runs/VersionedFlow/1234:steps/start/1/stdout"
    )


def test_artifact_versioning(data_flow: GitRepo) -> None:
    """Artifacts of any run are read back and compared."""
    example = """
from metaflow import Flow

# Get artifact from specific run
run = Flow('DataFlow')['1234']
model = run['start'].task.data.model

# Compare artifacts across runs
run1 = Flow('DataFlow')['1234']
run2 = Flow('DataFlow')['1235']

model1 = run1['start'].task.data.model
model2 = run2['start'].task.data.model
print(model, model1 == model2)
"""
    assert run(data_flow, example).out == "{'mean': 2.0} True\n"


def test_resume_failed_runs(tmp_path: Path) -> None:
    """`resume 1234` finishes a failed run with today's code and does not repeat finished tasks."""
    source = MY_FLOW.replace(
        "    def end(self):\n        pass", "    def end(self):\n        1 / 0"
    )
    path = tmp_path / "r"
    with pytest.raises(AssertionError):
        flow_repo(path, source)
    repo = GitRepo(path)
    repo.git("update-ref", "refs/runs/MyFlow/1234", "refs/runs/MyFlow/1")
    repo.write("myflow.py", (path / "myflow.py").read_text().replace("1 / 0", "pass"))
    done = repo.flow("myflow.py", "resume", "1234")
    assert done.code == 0, done.err
    resumed = re.findall(r"Run ID: (\d+)", done.out)[0]
    check = f"""
from metaflow import Flow
run = Flow('MyFlow')['{resumed}']
print(run.successful, run.origin_pathspec, run['start'].task.data.accuracy)
"""
    assert run(repo, check).out == "True MyFlow/1234 0.9\n"


def test_clone_runs(tmp_path: Path) -> None:
    """`run --clone 1234` starts again with the origin's parameters."""
    repo = flow_repo(tmp_path / "r", VERSIONED_FLOW, "--model-version", "v7")
    done = repo.flow("myflow.py", "run", "--clone", "1234")
    assert done.code == 0, done.err
    assert "Run ID: 1236\n" in done.out
    assert "Using model v7" in done.out


def test_reproduce_results(my_flow: GitRepo) -> None:
    """A run is started with the parameters that the client read from an older one."""
    example = """
from metaflow import Flow

# Get parameters from successful run
old_run = Flow('MyFlow')['1234']
params = {
    'model_version': old_run.data.model_version,
    'learning_rate': old_run.data.learning_rate
}

# Run with same parameters
import subprocess
subprocess.run([
    'python', 'myflow.py', 'run',
    '--model-version', params['model_version'],
    '--learning-rate', str(params['learning_rate'])
])
"""
    out = run(my_flow, example, before=_python_on_path()).out
    assert re.search(r"Run ID: \d+", out)


def _python_on_path() -> str:
    folder = str(Path(sys.executable).parent)
    return f"import os; os.environ['PATH'] = {folder!r} + os.pathsep + os.environ['PATH']\n"


def test_info_file(my_flow: GitRepo, tmp_path: Path) -> None:
    """The INFO of a run can be read beside it and from within it."""
    example = """
from metaflow.meta_files import read_info_file

# Read INFO file
info = read_info_file()
if info:
    print(f"Metaflow version: {info.get('metaflow_version')}")
    print(f"Flow name: {info.get('flow_name')}")
    print(f"Run ID: {info.get('run_id')}")
"""
    lines = run(my_flow, example).out.splitlines()
    assert re.fullmatch(r"Metaflow version: \d+\.\d+(\.\d+)?", lines[0])
    assert lines[1] == "Flow name: MyFlow"
    inside = "\n".join("        " + line for line in example.splitlines())
    source = MY_FLOW.replace("        self.accuracy", f"{inside}\n        self.accuracy")
    repo = flow_repo(tmp_path / "inside", source)
    text = repo.git("show", "runs/MyFlow/1235:steps/start/1/stdout").splitlines()
    assert text[1:] == ["Flow name: MyFlow", "Run ID: 1235"]


def test_environment_tracking(my_flow: GitRepo) -> None:
    """Every task says which python, user and runtime it ran with."""
    example = """
from metaflow import Flow

run = Flow('MyFlow').latest_run

# Access environment information
for step in run:
    task = step.task
    print(f"Python version: {task.metadata_dict.get('python_version')}")
    print(f"User: {task.metadata_dict.get('user')}")
    print(f"Runtime: {task.metadata_dict.get('runtime')}")
"""
    version = sys.version.split()[0]
    expected = [f"Python version: {version}", "User: ada", "Runtime: dev"] * 2
    assert run(my_flow, example).out.splitlines() == expected


def test_comparing_runs(tmp_path: Path) -> None:
    """Metrics of many runs are collected in a data frame."""
    pytest.importorskip("pandas")
    repo = flow_repo(tmp_path / "r", MY_FLOW.replace("MyFlow", "TrainingFlow"))
    example = """
from metaflow import Flow
import pandas as pd

# Collect metrics from multiple runs
metrics = []
for run in Flow('TrainingFlow'):
    if run.successful:
        end_task = run['end'].task
        metrics.append({
            'run_id': run.id,
            'timestamp': run.created_at,
            'accuracy': end_task.data.accuracy,
            'loss': end_task.data.loss,
            'model_version': run.data.model_version
        })

df = pd.DataFrame(metrics)
print(df.sort_values('timestamp'))
"""
    out = run(repo, example).out
    assert re.search(r"1234 .* 0\.9 +0\.1 +v1", out)


def test_best_practices(tmp_path: Path) -> None:
    """Version parameters, parent experiments and changelogs are artifacts like any other."""
    repo = flow_repo(
        tmp_path / "r",
        """
from metaflow import FlowSpec, step, Parameter

class ModelFlow(FlowSpec):
    model_version = Parameter('model-version',
                             default='v1.2.3')

    @step
    def start(self):
        # Reference parent experiment
        self.parent_run_id = '1234'
        self.experiment_name = 'lr-tuning-001'
        self.next(self.document)

    @step
    def document(self):
        self.changelog = {
            'version': '2.0.0',
            'breaking_changes': [
                'Changed model architecture',
                'Updated preprocessing pipeline'
            ]
        }
        self.next(self.end)

    @step
    def end(self):
        pass
""",
    )
    check = """
from metaflow import Flow
data = Flow('ModelFlow')['1235'].data
print(data.model_version, data.parent_run_id, data.experiment_name, data.changelog['version'])
"""
    assert run(repo, check).out == "v1.2.3 1234 lr-tuning-001 2.0.0\n"


def test_version_control_integration(tmp_path: Path) -> None:
    """A step may ask git about the commit and branch it runs on."""
    repo = flow_repo(tmp_path / "r", GIT_FLOW)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repo.path, text=True).strip()
    task = repo.git("ls-tree", "--name-only", "runs/GitVersionedFlow/1235:steps/end")
    out = repo.git("show", f"runs/GitVersionedFlow/1235:steps/end/{task}/stdout")
    assert out == f"Commit: {head}\nBranch: main"
