from metaflow import FlowSpec, step


class SwitchInForeachFlow(FlowSpec):
    @step
    def start(self):
        self.xs = [1, 2, 3, 4]
        self.next(self.look, foreach="xs")

    @step
    def look(self):
        self.x = self.input
        self.parity = "odd" if self.x % 2 else "even"
        self.next({"odd": self.odd, "even": self.even}, condition="parity")

    @step
    def odd(self):
        self.y = -self.x
        self.next(self.after)

    @step
    def even(self):
        self.y = self.x
        self.next(self.after)

    @step
    def after(self):
        self.z = (self.index, self.y)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.zs = [i.z for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    SwitchInForeachFlow()
