# run: run
# run: --config-value config '{"path": "config_include.txt"}' run
# run: --config-value config '{"path": "nope.txt"}' run
from metaflow import Config, FlowSpec, IncludeFile, step


class ConfigIncludeFlow(FlowSpec):
    config = Config("config", default_value={"path": "config_include.json"})
    file = IncludeFile("file", default=config.path)

    @step
    def start(self):
        print(repr(self.file))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigIncludeFlow()
