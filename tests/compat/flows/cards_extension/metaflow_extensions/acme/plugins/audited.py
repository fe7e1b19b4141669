from metaflow.cards import Markdown
from metaflow.decorators import StepDecorator
from metaflow.metaflow_current import current


class AuditedDecorator(StepDecorator):
    """Notes on the card what the step was given."""

    name = "audited"
    defaults = {"level": "info"}

    def task_post_step(self, step_name, flow, graph, retry_count, max_user_code_retries):
        current.card["audit"].append(Markdown(f"{step_name}: {self.attributes['level']}"), id="audited")
