# differs: 0.client.steps.work.0.artifacts.bad: another class
from metaflow import FlowSpec, catch, step


class CatchForeachFlow(FlowSpec):
    @step
    def start(self):
        self.xs = [0, 1, 2]
        self.next(self.work, foreach="xs")

    @catch(var="bad", print_exception=False)
    @step
    def work(self):
        self.y = 6 / self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.ys = [None if i.bad else i.y for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.ys)


if __name__ == "__main__":
    CatchForeachFlow()
