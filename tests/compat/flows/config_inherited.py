# run: run
# run: --config-value base '{"rate": 3}' run
# run: --config-value own '{"rate": 4}' run --q 9
import os

from metaflow import Config, FlowSpec, Parameter, config_expr, environment, step


class Base(FlowSpec):
    base = Config("base", default_value={"rate": 1})
    p = Parameter("p", default=base.rate)


class ConfigInheritedFlow(Base):
    own = Config("own", default_value={"rate": 2})
    q = Parameter("q", default=Base.base.rate)

    @environment(vars=config_expr("{'SUM': str(base.rate + own.rate)}"))
    @step
    def start(self):
        self.seen = self.base.rate, self.own.rate, self.p, self.q, os.environ["SUM"]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigInheritedFlow()
