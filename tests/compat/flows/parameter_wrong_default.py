# differs: 0\.exit: what the flow declares wrongly is its mistake here, and not that of who types
from metaflow import FlowSpec, Parameter, step


class ParameterWrongFlow(FlowSpec):
    p = Parameter("p", default="x", type=int)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParameterWrongFlow()
