from metaflow import FlowSpec, Parameter, step


class ParameterWrongFlow(FlowSpec):
    p = Parameter("p", separator=",", type=int)

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParameterWrongFlow()
