"""scikit-learn's MLPClassifier and MLPRegressor."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from tasks import Prediction, Training

from adapters import Adapter, Function, UnsupportedError
from fastnn.cli.workloads import Array, Workload, estimator


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are what they are
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)

    def versions(self) -> dict[str, str]:
        return {"scikit-learn": sklearn.__version__}

    def training(self, task: Training) -> Estimator:
        if task.dtype != "float32":
            raise UnsupportedError(f"no {task.dtype}")
        return Estimator(task.workload, task.epochs, *task.data())

    def prediction(self, task: Prediction) -> Function:
        if task.workload.loss != "xent":
            raise UnsupportedError("only a classifier's probabilities are measured")
        x = task.operand()
        every_class = np.arange(task.workload.layers[-1][0])
        trained = Estimator(
            task.workload, 1, np.resize(x, (len(every_class), x.shape[1])), every_class
        )
        trained.reset()
        return lambda: trained.model.predict_proba(x)


class Estimator:
    """One `fit` of all epochs, from the first weights."""

    def __init__(self, workload: Workload, epochs: int, x: Array, y: Array) -> None:
        self.x, self.y = x, y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
        self.first = workload.weights()
        self.model = estimator(workload, epochs)
        self.model.set_params(max_iter=1).fit(self.x, self.y)
        self.model.set_params(max_iter=epochs)

    def reset(self) -> None:
        """A new `fit` begins the optimizer anew by itself."""
        self.model.coefs_ = [kernel.copy() for kernel in self.first[::2]]
        self.model.intercepts_ = [bias.copy() for bias in self.first[1::2]]

    def run(self) -> None:
        self.model.fit(self.x, self.y)

    def weights(self) -> list[Array]:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]
