from metaflow import FlowSpec, step, Parameter


class MovieStatsFlow(FlowSpec):
    genres = Parameter("genres", separator=",", default="a,b,c")

    @step
    def start(self):
        self.gross = {"a": [1, 5, 3], "b": [2, 2], "c": [9]}
        self.next(self.compute_statistics, foreach="genres")

    @step
    def compute_statistics(self):
        self.genre = self.input
        values = sorted(self.gross[self.genre])
        self.median = values[len(values) // 2]
        self.mean = sum(values) / len(values)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.genre_stats = {i.genre.lower(): {"median": i.median, "mean": i.mean} for i in inputs}
        self.merge_artifacts(inputs, include=["gross"])
        self.next(self.end)

    @step
    def end(self):
        print(self.genre_stats)


if __name__ == "__main__":
    MovieStatsFlow()
