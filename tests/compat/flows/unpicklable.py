# differs: 0.client: Metaflow's client can't read the run
from metaflow import FlowSpec, step


class UnpicklableFlow(FlowSpec):
    @step
    def start(self):
        self.ok = 1
        self.bad = (x for x in [1])
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    UnpicklableFlow()
