from metaflow import FlowSpec, step


class GridFlow(FlowSpec):
    @step
    def start(self):
        self.grid = [(a, b) for a in (1, 2) for b in "xy"]
        self.next(self.run_one, foreach="grid")

    @step
    def run_one(self):
        self.a, self.b = self.input
        self.score = self.a * len(self.b) + self.index
        self.next(self.collect)

    @step
    def collect(self, inputs):
        self.table = [dict(a=i.a, b=i.b, score=i.score) for i in inputs]
        self.best = max(self.table, key=lambda row: row["score"])
        self.next(self.end)

    @step
    def end(self):
        print(self.best)


if __name__ == "__main__":
    GridFlow()
