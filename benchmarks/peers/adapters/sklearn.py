"""scikit-learn's MLPClassifier and MLPRegressor."""

from __future__ import annotations

from typing import Any

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from tasks import HYPER, Prediction, Training
from workloads import Array, Workload

from adapters import Adapter, Function, UnsupportedError

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def training(self, task: Training) -> Estimator:
        return Estimator(task.workload, task.epochs, *task.data())

    def prediction(self, task: Prediction) -> Function:
        if task.workload.loss != "xent":
            raise UnsupportedError("only a classifier's probabilities are measured")
        x, y = task.workload.data()
        trained = Estimator(task.workload, 1, x, y)
        trained.reset()
        rows = x[: task.rows]
        return lambda: trained.estimator.predict_proba(rows)


class Estimator:
    """`partial_fit`, one epoch a call."""

    def __init__(self, workload: Workload, epochs: int, x: Array, y: Array) -> None:
        self.x, self.y = x, y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
        self.epochs = epochs
        self.first = workload.weights()
        classifier = workload.loss == "xent"
        outputs = workload.layers[-1][0]
        self.classes = {"classes": range(outputs)} if classifier else {}
        hidden = workload.layers[:-1]
        self.estimator = (MLPClassifier if classifier else MLPRegressor)(
            hidden_layer_sizes=[units for units, _ in hidden],
            activation=ACTIVATIONS[hidden[0][1]],
            batch_size=workload.batch_size,
            alpha=0.0,
            shuffle=False,
            **optimizer(workload),
        )
        size = workload.batch_size
        self.estimator.partial_fit(self.x[:size], self.y[:size], **self.classes)

    def reset(self) -> None:
        self.estimator.coefs_ = [kernel.copy() for kernel in self.first[::2]]
        self.estimator.intercepts_ = [bias.copy() for bias in self.first[1::2]]
        del self.estimator._optimizer  # the next partial_fit makes a new one

    def run(self) -> None:
        for _ in range(self.epochs):
            self.estimator.partial_fit(self.x, self.y, **self.classes)

    def weights(self) -> list[Array]:
        pairs = zip(self.estimator.coefs_, self.estimator.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]


def optimizer(workload: Workload) -> dict[str, Any]:
    """The estimators' arguments for the workload's optimizer."""
    hyper = dict(HYPER[workload.optimizer])
    names = {"learning_rate": "learning_rate_init", "nesterov": "nesterovs_momentum"}
    return {"solver": workload.optimizer, **{names.get(key, key): hyper[key] for key in hyper}}
