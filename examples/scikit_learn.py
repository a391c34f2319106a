"""scikit-learn's tools with fastnn's estimators: a classifier, a search, and intervals.

docs/scikit-learn.md shows what it prints, and the plots that it writes into the current folder.
"""

import matplotlib
import numpy as np
from joblib import parallel_config
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn.callbacks import EarlyStopping
from fastnn.losses import Quantile
from fastnn.sklearn import MLPClassifier, MLPRegressor

matplotlib.rcParams["svg.hashsalt"] = "fastnn"  # the same results give the same file


def save(figure: Figure, name: str) -> None:
    """Write a plot."""
    figure.savefig(f"{name}.svg", metadata={"Date": None})


# 569 tumours, 30 measures of each
data = load_breast_cancer()
X, y = data.data, data.target_names[data.target]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
X_fit, X_val, y_fit, y_val = train_test_split(X_train, y_train, random_state=42)

# a missed tumour is worse than a false alarm; the weights of the best epoch are kept
scaler = StandardScaler().fit(X_fit)
best_epoch = EarlyStopping("val_score", mode="max", patience=30, restore_best_weights=True)
clf = MLPClassifier(
    hidden_layer_sizes=(64, 32),
    activation=["gelu", "tanh"],
    batch_size=32,
    dropout=0.3,
    class_weight={"malignant": 3.0, "benign": 1.0},
    callbacks=[best_epoch],
    random_state=42,
)
clf.fit(scaler.transform(X_fit), y_fit, validation_data=(scaler.transform(X_val), y_val))
print(f"{clf.n_iter_} epochs, the best with {max(clf.validation_scores_):.1%} right")
print(classification_report(y_test, clf.predict(scaler.transform(X_test))))

figure = Figure(figsize=(7, 2.6), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(clf.loss_curve_)
left.set(xlabel="epoch", ylabel="training loss")
right.plot(clf.validation_scores_, color="C1")
right.set(xlabel="epoch", ylabel="validation accuracy")
save(figure, "sklearn-curves")

# a search: its fits run in threads of this process
pipeline = make_pipeline(
    StandardScaler(), MLPClassifier(batch_size=32, max_iter=1000, random_state=42)
)
grid = {
    "mlpclassifier__hidden_layer_sizes": [(16,), (64, 32)],
    "mlpclassifier__alpha": [0.0001, 1.0],
    "mlpclassifier__dropout": [0.0, 0.3],
}
with parallel_config(backend="threading", n_jobs=-1):
    search = GridSearchCV(pipeline, grid, cv=5).fit(X_train, y_train)
for name, value in search.best_params_.items():
    print(f"{name.removeprefix('mlpclassifier__')}: {value}")
score = search.score(X_test, y_test)
print(f"{search.best_score_:.1%} right in the search, {score:.1%} of the test data\n")

# what a probability hangs on: how it changes with each measure, in standard deviations of that
scale, best = search.best_estimator_
importances = np.abs(best.input_gradients(scale.transform(X_test))).mean(axis=0)
top = importances.argsort()[-8:]

figure = Figure(figsize=(6, 2.6), layout="constrained")
ax = figure.subplots()
ax.barh(data.feature_names[top], importances[top])
ax.set(xlabel="mean |change of the probability|")
save(figure, "sklearn-importances")

# 442 patients with diabetes: a regressor for each quantile of how far it goes in a year
X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=42)
settings = {"batch_size": 32, "alpha": 1.0, "learning_rate_init": 0.01, "max_iter": 1000}
low, median, high = (
    make_pipeline(StandardScaler(), MLPRegressor(Quantile(tau), (32,), random_state=42, **settings))
    .fit(X_train, y_train)
    .predict(X_test)
    for tau in (0.1, 0.5, 0.9)
)
inside = np.mean((low <= y_test) & (y_test <= high))
print(f"{inside:.0%} of {len(y_test)} patients are between the quantiles 10 % and 90 %")

order = median.argsort()
figure = Figure(figsize=(7, 2.8), layout="constrained")
ax = figure.subplots()
ax.fill_between(range(len(order)), low[order], high[order], alpha=0.3, label="10 % to 90 %")
ax.plot(median[order], label="median")
ax.plot(y_test[order], ".", color="black", label="measured")
ax.set(xlabel="patients, by their median", ylabel="progression")
ax.legend(fontsize=8)
save(figure, "sklearn-intervals")
