"""Tag the most accurate run of Digits as production, then read its model back."""

from gitflowrun import Flow, Run

flow = Flow("Digits")
winner = max((run for run in flow if run.successful), key=lambda run: run.data.accuracy)
winner.move_tag("production")  # from the run that has it

production = Run("Digits/production")
model = production.data.model
score = model.score(production.data.x_test, production.data.y_test)
print(f"{production.pathspec} is in production: {production.data.params}, accuracy {score:.4f}")
