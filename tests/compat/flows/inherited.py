from metaflow import FlowSpec, Parameter, step


class Base(FlowSpec):
    p = Parameter("p", default=4)

    @step
    def start(self):
        self.trace = ["base"]
        self.next(self.middle)

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        print(self.trace, self.p)


class ChildFlow(Base):
    @step
    def middle(self):
        self.trace = self.trace + ["child"]
        self.next(self.end)


if __name__ == "__main__":
    ChildFlow()
