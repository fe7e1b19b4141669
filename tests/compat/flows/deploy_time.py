# run: run
# run: run --a 9
from metaflow import FlowSpec, Parameter, step


def fa(context):
    return 7


def fb(context):
    return f"{context.flow_name}-{context.parameter_name}-{context.user_name}"


class DeployFlow(FlowSpec):
    a = Parameter("a", default=fa, type=int)
    b = Parameter("b", default=fb)

    @step
    def start(self):
        self.got = (self.a, self.b)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    DeployFlow()
