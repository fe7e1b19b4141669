# run: run
import os

from metaflow import Config, FlowSpec, step

os.environ["METAFLOW_FLOW_CONFIG_VALUE"] = '{"set": {"a": "variable"}, "text": "{\\"a\\": 1}"}'
os.environ["METAFLOW_FLOW_CONFIG"] = '{"file": "config_environment.json"}'


class ConfigEnvironmentFlow(FlowSpec):
    set = Config("set", default_value={"a": "default"})
    text = Config("text", default_value={"a": "default"})
    file = Config("file", default_value={"a": "default"})
    typed = Config("typed", default_value={"a": "default"})

    @step
    def start(self):
        self.seen = self.set.a, self.text.a, self.file.a, self.typed.a
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigEnvironmentFlow()
