# run: run
# run: --config-value config '{"rate": 1, "model": {"kind": "net", "layers": [1]}}' run
# run: --config-value config '{"rate": 1, "model": {"kind": "net", "layers": [1]}}' run --rate 7.5
# run: --config config config_file.json run
import os

from metaflow import Config, FlowSpec, Parameter, config_expr, current, environment, step


class ConfigFileFlow(FlowSpec):
    config = Config("config", default="config_file.json", help="How to train.")
    rate = Parameter("rate", default=config.rate, type=float)
    double = Parameter("double", default=config_expr("config.rate * 2"))
    layers = Parameter("layers", default=config.model.layers)

    @environment(vars={"KIND": config.model.kind})
    @step
    def start(self):
        self.seen = (self.config.rate, self.config["model"]["kind"], os.environ["KIND"])
        self.names = sorted(current.parameter_names)
        self.part = self.config.to_dict()["model"]
        self.next(self.work, foreach="layers")

    @step
    def work(self):
        self.x = self.input * self.config.rate
        self.next(self.join)

    @step
    def join(self, inputs):
        self.xs = [i.x for i in inputs]
        print(self.config, inputs[0].config == self.config)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigFileFlow()
