# differs: 0.client.steps.\w+.\d.(parents|children): Metaflow names all iterations, here it is who saw whose artifacts
from metaflow import FlowSpec, step


class RecursionFlow(FlowSpec):
    @step
    def start(self):
        self.count = 0
        self.next(self.loop)

    @step
    def loop(self):
        self.count += 1
        self.again = "yes" if self.count < 4 else "no"
        self.next({"yes": self.loop, "no": self.end}, condition="again")

    @step
    def end(self):
        print("rounds", self.count)


if __name__ == "__main__":
    RecursionFlow()
