# run: --config req config_parsers.txt run
# run: --config-value req 'numpy==1.0' --config-value own 'b: 2' --config-value conda 'dependencies:' run
# run: --config-value req 'nope nope' run
# run: --config-value project '[project' run
# differs: [23]\.exit: what a parser can't read is a usage error; docs/metaflow.md
from metaflow import Config, FlowSpec, conda_environment_yml_parser, pyproject_toml_parser, requirements_txt_parser, step

TOML = '[project]\ndependencies = ["pandas>=1,<2"]\nrequires-python = ">=3.9"\n'
CONDA = "name: x\ndependencies:\n  - python=3.10\n  - numpy=1.0\n"


def own_parser(text):
    return {"lines": text.splitlines(), "pair": (1, {"deep": 2})}


class ConfigParsersFlow(FlowSpec):
    req = Config("req", default_value="", parser=requirements_txt_parser)
    project = Config("project", default_value=TOML, parser=pyproject_toml_parser)
    conda = Config("conda", default_value=CONDA, parser=conda_environment_yml_parser)
    own = Config("own", default_value="a: 1", parser=own_parser)
    dotted = Config("dotted", default_value="[1, 2]", parser="json.loads", plain=True)
    of_map = Config("of-map", default_value={"a": 1}, parser=own_parser)

    @step
    def start(self):
        print(self.own.pair[1].deep, self.req.packages, self.dotted)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigParsersFlow()
