# run: run
# run: --config-value my_config '{"rate": 5, "deep": {"a": "z"}, "list": [3], "options": {"default": 1}}' run
from metaflow import Config, FlowSpec, JSONType, Parameter, config_expr, step

FACTOR = 10
DATA = {"rate": 0.5, "deep": {"a": "b"}, "list": [1, 2], "options": {"default": 3, "help": "How many."}}


def helper(value):
    return f"<{value}>"


class ConfigExpressionFlow(FlowSpec):
    config = Config("my_config", default_value=DATA)
    other = Config("other", default_value={"rate": 9})
    attribute = Parameter("attribute", default=config.rate)
    item = Parameter("item", default=config["deep"]["a"])
    mixed = Parameter("mixed", default=config.deep["a"])
    call = Parameter("call", default=config.get("rate", 1))
    expression = Parameter("expression", default=config_expr("other.rate * FACTOR + len(other)"))
    function = Parameter("function", default=config_expr("helper(other.rate)"))
    unpacked = Parameter("unpacked", **config.options)
    listed = Parameter("listed", default=config.list)
    mapped = Parameter("mapped", default=config.deep)
    json = Parameter("json", default=config.deep, type=JSONType)
    text = Parameter("text", default=config_expr("'fixed'"), help=config.deep.a)

    @step
    def start(self):
        self.kinds = [type(it).__name__ for it in (self.attribute, self.mapped, self.listed, self.unpacked, self.json)]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigExpressionFlow()
