# run: run
# run: --config-value text 'any text' --config-value number 5 run
# run: --config text config_plain.txt run
from metaflow import Config, FlowSpec, step


class ConfigPlainFlow(FlowSpec):
    text = Config("text", default_value="no JSON", plain=True)
    of_map = Config("of_map", default_value={"a": [1]}, plain=True)
    number = Config("number", default_value="3", plain=True, parser=int)
    absent = Config("absent")
    null = Config("null", default_value="null")

    @step
    def start(self):
        self.seen = self.text, self.of_map, self.number, self.absent, self.null
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigPlainFlow()
