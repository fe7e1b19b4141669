# run: run
# run: run --epochs 2 --rate 0.5
from metaflow import FlowSpec, step, Parameter


class ModelFlow(FlowSpec):
    epochs = Parameter("epochs", default=5)
    rate = Parameter("rate", default=0.1)

    @step
    def start(self):
        self.data = [(x / 10, 3 * x / 10 + 1) for x in range(10)]
        self.seeds = [0, 1]
        self.next(self.train, foreach="seeds")

    @step
    def train(self):
        self.seed = self.input
        w, b = float(self.seed), 0.0
        for _ in range(self.epochs):
            for x, y in self.data:
                error = w * x + b - y
                w -= self.rate * error * x
                b -= self.rate * error
        self.model = {"w": round(w, 6), "b": round(b, 6)}
        self.loss = round(sum((w * x + b - y) ** 2 for x, y in self.data), 6)
        print("seed", self.seed, "loss", self.loss)
        self.next(self.choose)

    @step
    def choose(self, inputs):
        best = min(inputs, key=lambda i: i.loss)
        self.model, self.loss, self.best_seed = best.model, best.loss, best.seed
        self.next(self.end)

    @step
    def end(self):
        print("best", self.best_seed, self.model)


if __name__ == "__main__":
    ModelFlow()
