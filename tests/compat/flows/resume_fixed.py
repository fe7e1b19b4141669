# run: run --p 5 --max-workers 1
# run: resume
# differs: 1.client.steps.\w+.\d+.stdout: clones here keep what their origin printed
# differs: 1.client.steps.\w+.\d+.(parents|children): of clones Metaflow tells less
# differs: 0.client.steps.work: tasks that had not begun
from metaflow import FlowSpec, step, Parameter


class ResumeFlow(FlowSpec):
    p = Parameter("p", default=3)

    @step
    def start(self):
        self.items = [0, 1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        import os
        if self.input == 1 and not os.path.exists("fixed"):
            open("fixed", "w").close()
            raise ValueError("first time")
        self.y = self.input * self.p
        self.next(self.join)

    @step
    def join(self, inputs):
        self.ys = [i.y for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.ys)


if __name__ == "__main__":
    ResumeFlow()
