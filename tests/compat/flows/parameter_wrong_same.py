# differs: 0\.client: a run that can't begin is none here
from metaflow import FlowSpec, Parameter, step


class ParameterWrongFlow(FlowSpec):
    p = Parameter("p"); other = Parameter("p")

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParameterWrongFlow()
