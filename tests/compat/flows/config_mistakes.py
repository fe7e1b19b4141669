# run: run
# run: --config needed nope.json run
# run: --config needed config_mistakes.json --config-value needed '{}' run
# run: --config-value needed '{bad' run
# run: --config-value unknown '{}' --config-value needed '{}' run
# run: --config-value NEEDED '{}' run
# run: --config-value needed run
# run: --config-value needed '{"wrong": 1}' run
# run: --config-value needed '{"rate": "text"}' run
# run: --config-value needed '{"rate": 1}' run --config-value needed '{}'
# run: --config needed config_mistakes.json run
from metaflow import Config, FlowSpec, Parameter, step


class ConfigMistakesFlow(FlowSpec):
    needed = Config("needed", required=True)
    optional = Config("optional", default="config_mistakes.json")
    rate = Parameter("rate", default=needed.rate, type=int)

    @step
    def start(self):
        self.seen = self.needed.rate, self.optional.rate, self.rate
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigMistakesFlow()
