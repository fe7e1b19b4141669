# run: run
# run: --branch b run
# run: --production run
# run: --production --branch b run
# run: --branch B-b run
from metaflow import FlowSpec, current, project, step


@project(name="demo")
class ProjectFlow(FlowSpec):
    @step
    def start(self):
        self.facts = (
            current.project_name,
            current.branch_name,
            current.is_production,
            current.is_user_branch,
            current.project_flow_name,
        )
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ProjectFlow()
