# run: run
# run: run --with retry
from metaflow import FlowMutator, FlowSpec, Parameter, StepMutator, step, user_step_decorator

called = []


@user_step_decorator
def noted(step_name, flow, inputs, attributes):
    flow.notes = [*getattr(flow, "notes", []), attributes["by"]]
    yield


class OfFlow(FlowMutator):
    def init(self, tag):
        self.tag = tag

    def pre_mutate(self, flow):
        called.append(f"pre {self.tag}")
        if self.tag == "top":
            flow.add_decorator(Late)

    def mutate(self, flow):
        called.append(f"late {self.tag} {flow.end.has_decorator('retry')}")


class Late(FlowMutator):
    def pre_mutate(self, flow):
        called.append("pre Late")
        flow.add_parameter("order", Parameter("order", default=" ".join(called)))


class OfStep(StepMutator):
    def init(self, tag):
        self.tag = tag

    def pre_mutate(self, one):
        called.append(f"pre {self.tag}")

    def mutate(self, one):
        called.append(f"late {self.tag}")
        one.add_decorator(noted, deco_kwargs={"by": " ".join(called)}, duplicates=one.OVERRIDE)


@OfFlow("first")
@OfFlow("second")
class Base(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @OfStep("high")
    @OfStep("low")
    @step
    def end(self):
        pass


@OfFlow("top")
@OfFlow("near")
class MutatorsOrderFlow(Base):
    pass


if __name__ == "__main__":
    MutatorsOrderFlow()
