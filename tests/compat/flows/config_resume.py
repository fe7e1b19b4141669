# run: --config-value config '{"rate": 3}' run
# run: resume
# run: --config-value config '{"rate": 4}' resume
# run: resume start
import os

from metaflow import Config, FlowSpec, Parameter, step


class ConfigResumeFlow(FlowSpec):
    config = Config("config", default_value={"rate": 1})
    p = Parameter("p", default=config.rate)

    @step
    def start(self):
        self.seen = self.config.rate, self.p
        self.next(self.middle)

    @step
    def middle(self):
        if not os.path.exists("failed"):
            open("failed", "w").close()
            raise ValueError("the first time")
        self.again = self.config.rate
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigResumeFlow()
