# differs: 0.client.steps.\w+.0.artifacts.bad: another class
from metaflow import FlowSpec, UserStepDecorator, catch, step, user_step_decorator


@user_step_decorator
def kept(step_name, flow, inputs):
    try:
        yield
    except ValueError as error:
        flow.problem = str(error)


class Keeps(UserStepDecorator):
    def post_step(self, step_name, flow, exception=None):
        flow.seen = repr(exception)
        return None, {}


class Other(UserStepDecorator):
    def post_step(self, step_name, flow, exception=None):
        return KeyError("other")


class UserExceptionsFlow(FlowSpec):
    @kept
    @step
    def start(self):
        raise ValueError("no luck")
        self.next(self.second)

    @Keeps
    @step
    def second(self):
        1 / 0
        self.next(self.third)

    @catch(var="bad", print_exception=False)
    @Other
    @step
    def third(self):
        1 / 0
        self.next(self.end)

    @Keeps
    @step
    def end(self):
        self.kind = self.bad.type


if __name__ == "__main__":
    UserExceptionsFlow()
