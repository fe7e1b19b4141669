"""The same flow with the decorators that most flows with any have, so that hooks are called in the warm-up as well."""

from __future__ import annotations

from gitflowrun.flow import step
from gitflowrun.flow.decorators.catch import catch
from gitflowrun.flow.decorators.environment import environment
from gitflowrun.flow.decorators.retry import retry
from gitflowrun.flow.decorators.timeout import timeout
from gitflowrun.runtime.worker.sample import Sample


class DecoratedSample(Sample):
    """A flow whose middle step has decorators."""

    @retry
    @catch(var="failure")  # type: ignore[untyped-decorator]
    @timeout(minutes=1)  # type: ignore[untyped-decorator]
    @environment(vars={"GITFLOWRUN_SAMPLE": "1"})  # type: ignore[untyped-decorator]
    @step
    def work(self) -> None:
        """Do what the plain one does."""
        self.x = self.input * self.factor
        self.text = "x"
        self.next(self.join)
