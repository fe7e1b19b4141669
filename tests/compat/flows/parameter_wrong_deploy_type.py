from metaflow import FlowSpec, Parameter, step


class ParameterWrongFlow(FlowSpec):
    p = Parameter("p", default=lambda c: 3, type=str)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParameterWrongFlow()
