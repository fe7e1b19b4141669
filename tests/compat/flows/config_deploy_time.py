# run: run
# run: --config-value value '{"rate": 7}' run
from metaflow import Config, FlowSpec, Parameter, step


def path(context):
    return f"config_{'deploy'}_time.json" if context.configs is None else "nope"


def value(context):
    return {"flow": context.flow_name, "user": context.user_name, "name": context.parameter_name, "rate": 2}


def text(context):
    return '{"a": 1}'


def compute(context):
    return context.configs["value"].rate + context.configs.file.rate


class ConfigDeployTimeFlow(FlowSpec):
    file = Config("file", default=path)
    value = Config("value", default_value=value)
    text = Config("text", default_value=text)
    p = Parameter("p", default=compute, type=int)

    @step
    def start(self):
        self.seen = self.file.rate, self.value.rate, self.text.a, self.p
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigDeployTimeFlow()
