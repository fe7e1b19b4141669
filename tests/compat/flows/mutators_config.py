# run: run
# run: --config-value settings '{"parameters": {"c": 1}, "end": "x", "n": 7}' run --c 9
from metaflow import Config, FlowMutator, FlowSpec, Parameter, config_expr, step, user_step_decorator

DATA = {"parameters": {"a": 5, "b": "x"}, "end": "y", "n": 3}


@user_step_decorator
def noted(step_name, flow, inputs, attributes):
    flow.notes = sorted(attributes.items())
    yield


class FromConfig(FlowMutator):
    def pre_mutate(self, flow):
        for name, value in flow.settings.parameters.items():
            flow.add_parameter(name, Parameter(name, default=value))
        flow.end.add_decorator(noted, deco_kwargs={"by": flow.settings.end, "all": len(list(flow.configs))})


@FromConfig
class MutatorsConfigFlow(FlowSpec):
    settings = Config("settings", default_value=DATA)

    @noted(n=settings.n, next=config_expr("settings.n + 1"))
    @step
    def start(self):
        self.found = [getattr(self, name, None) for name in "abc"]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MutatorsConfigFlow()
