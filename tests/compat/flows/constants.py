from metaflow import FlowSpec, Parameter, step


class ConstantsFlow(FlowSpec):
    RATE = 0.25
    NAMES = ["a", "b"]
    p = Parameter("p", default=2)

    @step
    def start(self):
        try:
            self.RATE = 1
            self.wrote = True
        except AttributeError:
            self.wrote = False
        try:
            self.p = 1
            self.wrote_p = True
        except AttributeError:
            self.wrote_p = False
        self.next(self.end)

    @step
    def end(self):
        self.x = self.RATE * self.p


if __name__ == "__main__":
    ConstantsFlow()
