"""scikit-learn's estimators on fastnn: search, judge, predict intervals, and look inside.

With a folder as argument the two plots are saved there.
"""

import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn import MLPClassifier, MLPRegressor
from fastnn.losses import Quantile

# all searched networks go through the same few epochs, and are not meant to converge
warnings.simplefilter("ignore", ConvergenceWarning)

# classify: 569 tumours, 30 measurements each
cancer = load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(
    cancer.data, cancer.target_names[cancer.target], test_size=0.25, random_state=0
)
pipeline = make_pipeline(
    StandardScaler(),
    MLPClassifier((64, 32), class_weight="balanced", dtype="float32", max_iter=60, random_state=0),
)
grid = {
    "mlpclassifier__dropout": [0.0, 0.3],
    "mlpclassifier__activation": ["relu", "tanh", ["gelu", "tanh"]],
    "mlpclassifier__solver": ["adam", "adamw"],
}
with joblib.parallel_config(
    "threading"
):  # epochs hold no lock of Python's: no copies, no processes
    search = GridSearchCV(pipeline, grid, n_jobs=-1).fit(X_train, y_train)
print("best:", {name.split("__")[1]: value for name, value in search.best_params_.items()})
print(classification_report(y_test, search.predict(X_test), digits=2))

# look inside: how far each measurement, in standard deviations, moves the probabilities
scaler, best = search.best_estimator_
moved = np.abs(best.input_gradients(scaler.transform(X_test))).mean(axis=0)
print("moves most:", ", ".join(cancer.feature_names[np.argsort(-moved)[:3]]))

# regress, with intervals: the disease's progress after a year, between two quantiles
X, y = load_diabetes(return_X_y=True)
X_fit, X_new, y_fit, y_new = train_test_split(X, y, test_size=0.25, random_state=0)
scale_x, scale_y = StandardScaler().fit(X_fit), StandardScaler().fit(y_fit[:, None])


def quantile(tau):
    """A network for the quantile `tau`, stopped by data that it is not trained on."""
    network = MLPRegressor(Quantile(tau), (32,), alpha=1.0, dropout=0.2, max_iter=300, tol=0)
    network.set_params(random_state=0, learning_rate_init=0.003)
    return network.fit(scale_x.transform(X_fit), scale_y.transform(y_fit[:, None]).ravel())


low, middle, high = (
    scale_y.inverse_transform(quantile(tau).predict(scale_x.transform(X_new))[:, None]).ravel()
    for tau in (0.1, 0.5, 0.9)
)
print(f"inside of the interval: {np.mean((low <= y_new) & (y_new <= high)):.0%}")

# a training that is watched: the loss, and the score on data of one's own
watched = MLPClassifier((64, 32), dtype="float32", dropout=0.3, random_state=0, max_iter=100)
watched.fit(scaler.transform(X_train), y_train, validation_data=(scaler.transform(X_test), y_test))
print(f"after {watched.n_iter_} epochs: {watched.validation_scores_[-1]:.1%}")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    folder = Path(sys.argv[1])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(watched.loss_curve_)
    left.set(title="loss", xlabel="epoch", yscale="log")
    right.plot(watched.validation_scores_)
    right.set(title="accuracy on validation_data", xlabel="epoch")
    figure.savefig(folder / "scikit-learn-curves.svg")
    order = np.argsort(middle)
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.fill_between(range(len(order)), low[order], high[order], alpha=0.3, label="10 % to 90 %")
    axes.plot(middle[order], label="median")
    axes.plot(y_new[order], ".", label="measured")
    axes.set(xlabel="patients, by prediction", ylabel="progress of diabetes")
    axes.legend()
    figure.savefig(folder / "scikit-learn-intervals.svg")
