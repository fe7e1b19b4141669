# run: run
# run: run --added 5 --with resources
import os

from metaflow import FlowMutator, FlowSpec, Parameter, StepMutator, environment, retry, step, user_step_decorator


@user_step_decorator
def noted(step_name, flow, inputs, attributes):
    flow.notes = [*getattr(flow, "notes", []), attributes["by"]]
    yield


class OfStep(StepMutator):
    def init(self, *args, **kwargs):
        self.given = args, kwargs

    def pre_mutate(self, one):
        one.add_decorator(noted, deco_kwargs={"by": "pre"})

    def mutate(self, one):
        one.add_decorator("environment", deco_kwargs={"vars": {"A": "1"}})
        one.add_decorator('environment:vars={"A": "2"}')
        one.add_decorator(environment, deco_kwargs={"vars": {"A": "3"}}, duplicates=one.OVERRIDE)
        one.add_decorator("resources:cpu=4")
        results = [one.remove_decorator(name) for name in ("resources", "nothing")]
        names = sorted(spec[0] for spec in one.decorator_specs)
        one.flow.end.add_decorator(noted, deco_kwargs={"by": f"{names} {results} {self.given}"})


class OfFlow(FlowMutator):
    def pre_mutate(self, flow):
        flow.add_parameter("added", Parameter("added", default=3))
        flow.remove_parameter("beta")
        flow.add_parameter("changed", Parameter("changed", default="new"), overwrite=True)


@OfFlow
class MutatorsFlow(FlowSpec):
    alpha = Parameter("alpha", default=1)
    b_eta = Parameter("beta", default=1)
    changed = Parameter("changed", default=1)

    @OfStep(1, two=2)
    @retry(times=2)
    @step
    def start(self):
        self.seen = (self.added, self.alpha, self.changed, hasattr(self, "b_eta"), os.environ["A"])
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MutatorsFlow()
