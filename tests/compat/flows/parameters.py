# run: run
# run: run --alpha 2 --count 5 --the-name z --flag true --data [1] --words q
# run: run --count x
# run: run --nope 1
from metaflow import FlowSpec, JSONType, Parameter, step


class ParameterFlow(FlowSpec):
    alpha = Parameter("alpha", default=0.5, help="rate")
    count = Parameter("count", default=3, type=int)
    title = Parameter("the-name", default="x y")
    flag = Parameter("flag", default=False, type=bool)
    data = Parameter("data", type=JSONType, default='{"a": [1, 2]}')
    words = Parameter("words", separator=",", default="a,b")

    @step
    def start(self):
        self.total = self.alpha * self.count
        self.kinds = [
            type(x).__name__
            for x in (self.alpha, self.count, self.title, self.flag, self.data, self.words)
        ]
        self.next(self.end)

    @step
    def end(self):
        print(self.total, self.title, self.flag, self.data, self.words)


if __name__ == "__main__":
    ParameterFlow()
