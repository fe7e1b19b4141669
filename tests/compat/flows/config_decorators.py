# run: run
# run: --config-value config '{"times": 0, "name": "other", "env": {"vars": {"A": "2"}}, "seconds": 30}' run
import os

from metaflow import Config, FlowSpec, config_expr, current, environment, project, retry, step, timeout

DATA = {"times": 2, "name": "demo", "env": {"vars": {"A": "1"}}, "seconds": 30}


@project(name=config_expr("config.name"))
class ConfigDecoratorsFlow(FlowSpec):
    config = Config("config", default_value=DATA)

    @retry(times=config.times, minutes_between_retries=0)
    @timeout(seconds=config.seconds)
    @environment(**config.env)
    @step
    def start(self):
        self.seen = os.environ["A"], current.project_name
        if current.retry_count < 2:
            raise ValueError("again")
        self.tries = current.retry_count
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigDecoratorsFlow()
