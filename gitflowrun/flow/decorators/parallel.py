"""`@parallel`: a step whose tasks run at the same time and know each other, as `num_parallel` starts them."""

from __future__ import annotations

from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration


class ParallelDecorator(StepDecorator):
    """Run the step as many tasks at the same time as `self.next(..., num_parallel=N)` says."""

    name = "parallel"


parallel = StepDeclaration(ParallelDecorator)
