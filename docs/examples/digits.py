"""A real one: train classifiers of handwritten digits over a grid, keep the best.

The data ship with scikit-learn, so nothing is downloaded. It is imported at the top: tasks are forked, and share
what was imported before.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from gitflowrun import FlowSpec, JSONType, Parameter, step


class Digits(FlowSpec):
    """Find the support-vector machine that reads handwritten digits best."""

    test_size = Parameter("test-size", default=0.25, help="Share of images held back")
    seed = Parameter("seed", default=0, help="Seed of the split")
    grid = Parameter(
        "grid",
        type=JSONType,
        default='[{"C": 1, "gamma": 0.0001}, {"C": 1, "gamma": 0.001}, {"C": 10, "gamma": 0.001}]',
        help="Hyper-parameters to try",
    )

    @step
    def start(self):
        """Split the images in two."""
        images, labels = load_digits(return_X_y=True)
        self.x_train, self.x_test, self.y_train, self.y_test = train_test_split(
            images, labels, test_size=self.test_size, random_state=self.seed, stratify=labels
        )
        print(f"{len(self.x_train)} images to learn from, {len(self.x_test)} to judge by")
        self.next(self.train, foreach="grid")

    @step
    def train(self):
        """Fit one classifier."""
        self.params = self.input
        self.model = SVC(**self.params).fit(self.x_train, self.y_train)
        self.accuracy = float(self.model.score(self.x_test, self.y_test))
        print(f"{self.params}: {self.accuracy:.4f}")
        self.next(self.choose)

    @step
    def choose(self, inputs):
        """Keep the best classifier and everybody's score."""
        best = max(inputs, key=lambda task: task.accuracy)
        self.scores = [{**task.params, "accuracy": task.accuracy} for task in inputs]
        self.params, self.model, self.accuracy = best.params, best.model, best.accuracy
        self.merge_artifacts(inputs, include=["x_test", "y_test"])
        self.next(self.end)

    @step
    def end(self):
        """Say who won."""
        print(f"best: {self.params} with accuracy {self.accuracy:.4f}")


if __name__ == "__main__":
    Digits()
