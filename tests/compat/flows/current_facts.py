# differs: 0.client.steps.\w+.0.artifacts.facts: tasks see all runs unless runs.namespace says otherwise; current.is_parallel is False and not absent
from metaflow import FlowSpec, Parameter, current, step


class CurrentFlow(FlowSpec):
    a = Parameter("a", default=1)

    @step
    def start(self):
        self.facts = (
            current.flow_name,
            current.step_name,
            current.retry_count,
            current.origin_run_id,
            current.username,
            current.namespace,
            sorted(current.parameter_names),
            current.is_running_flow,
            current.is_parallel if "is_parallel" in current else None,
        )
        self.same = current.pathspec == "/".join(
            [current.flow_name, current.run_id, current.step_name, current.task_id]
        )
        self.has = ("flow_name" in current, "nothing" in current, current.get("nothing", 3))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    CurrentFlow()
