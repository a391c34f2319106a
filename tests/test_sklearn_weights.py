"""Weights of scikit-learn's estimators: what a user changes, and what goes on from there."""

import copy
import threading
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.9", reason="of the sklearn extra")

from sklearn import datasets, neural_network
from sklearn.preprocessing import scale

import fastnn
from fastnn.callbacks import Callback
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def wine():
    x, y = datasets.load_wine(return_X_y=True)
    return scale(x), y


def fitted(wine, **settings):
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, **settings}
    ).fit(*wine)


def test_changed_weights_are_those_that_predict(wine):
    x, y = wine
    clf = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    before = clf.predict_proba(x[:1])
    clf.coefs_[0][:] = 0  # in place
    assert not np.array_equal(clf.predict_proba(x[:1]), before)
    assert np.ptp(clf.predict_proba(x), axis=0).max() == 0
    clf.coefs_[1] = np.zeros((8, 3))  # an item
    clf.intercepts_ = [np.zeros(8), np.array([0.0, 0.0, 5.0])]  # a list
    assert set(clf.predict(x)) == {2}
    held = clf.coefs_[0]
    clf.partial_fit(x, y)
    assert clf.coefs_[0] is held  # and follows, as in scikit-learn
    np.testing.assert_array_equal(clf._model.layers[0].kernel, held)


def test_fewer_units_may_be_kept(wine):
    x, y = wine
    clf = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    full = clf.predict_proba(x)
    clf.coefs_[1][5:] = 0
    want = clf.predict_proba(x)
    clf.coefs_ = [clf.coefs_[0][:, :5], clf.coefs_[1][:5]]
    clf.intercepts_ = [clf.intercepts_[0][:5], clf.intercepts_[1]]
    np.testing.assert_allclose(clf.predict_proba(x), want, rtol=1e-12)
    assert not np.allclose(want, full)
    clf.partial_fit(x, y)
    assert clf.coefs_[0].shape == (13, 5)


def test_scores_in_training_are_of_the_weights_in_training(wine):
    x, y = wine
    held, free = (MLPClassifier(max_iter=4, random_state=0, warm_start=True) for _ in range(2))
    for est in (held, free):
        est.fit(x, y)
    _ = held.coefs_  # lists that are out follow, and do not hold the training up
    for est in (held, free):
        est.fit(x, y, validation_data=(x, y))
    assert held.validation_scores_ == free.validation_scores_
    assert held.loss_curve_ == free.loss_curve_
    np.testing.assert_array_equal(held.coefs_[0], free.coefs_[0])


@pytest.mark.parametrize("looks", [False, True])
def test_a_training_that_fails_leaves_what_it_has_trained(wine, looks):
    x, y = wine
    clf = MLPClassifier((8,), max_iter=4, random_state=0, warm_start=True).fit(x, y)
    before = copy.deepcopy(clf)
    if looks:
        held = clf.coefs_[0]

    class Fail(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise ZeroDivisionError

    clf.set_params(callbacks=[Fail()])
    with pytest.raises(ZeroDivisionError):
        clf.fit(x, y)
    before.set_params(max_iter=2).fit(x, y)
    np.testing.assert_array_equal(clf.coefs_[0], before.coefs_[0])
    assert not looks or clf.coefs_[0] is held


# ---- what they may not be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coefs_": []}, "coefs_: expected an array for each of some layers, got 0"),
        ({"coefs_": [np.ones(13), np.ones((8, 3))]}, r"coefs_\[0\]: expected shape \(13, units\)"),
        ({"coefs_": [np.ones((12, 8)), np.ones((8, 3))]}, r"coefs_\[0\]: expected shape \(13, "),
        ({"coefs_": [np.ones((13, 8)), np.ones((7, 3))]}, r"coefs_\[1\]: expected shape \(8, "),
        ({"coefs_": [np.ones((13, 8)), np.ones((8, 2))]}, r"intercepts_\[1\]: expected shape \(2,"),
        ({"intercepts_": [np.ones(8)]}, "intercepts_: expected an array for each of 2 layers"),
        (
            {"coefs_": [np.ones((13, 3))], "intercepts_": [np.ones(2)]},
            r"intercepts_\[0\]: expected shape \(3,\), got \(2,\)",
        ),
        (
            {"coefs_": [np.ones((13, 2))], "intercepts_": [np.ones(2)]},
            r"coefs_\[0\]: expected a column for each of 3 outputs, got 2",
        ),
    ],
    ids=str,
)
def test_lists_that_do_not_fit_are_refused_by_name(wine, change, message):
    clf = fitted(wine)
    right = {name: list(getattr(clf, name)) for name in ("coefs_", "intercepts_")}
    want = clf.predict_proba(wine[0])
    for name, value in change.items():
        setattr(clf, name, value)
    for call in (clf.predict, clf.predict_proba, clf.transform):
        with pytest.raises(ValueError, match=message):
            call(wine[0])
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(*wine)
    for name, value in right.items():
        setattr(clf, name, value)
    np.testing.assert_array_equal(clf.predict_proba(wine[0]), want)


def test_what_is_no_list_of_numbers_is_refused_by_name(wine):
    clf = fitted(wine)
    for value in (None, 3, "weights"):
        with pytest.raises(TypeError, match="coefs_: expected a list of arrays"):
            clf.coefs_ = value
    clf.coefs_[1] = "weights"
    with pytest.raises((TypeError, ValueError), match=r"coefs_\[1\]"):
        clf.predict(wine[0])


@pytest.mark.parametrize("kind", ["list", "read-only", "float32"])
def test_any_item_may_be_trained_on(wine, kind):
    clf, other = fitted(wine), fitted(wine)
    kernel = clf.coefs_[0]
    item = {"list": kernel.tolist(), "float32": kernel.astype(np.float32)}.get(kind, kernel)
    if kind == "read-only":
        item.flags.writeable = False
    clf.coefs_[0] = item
    for est in (clf, other):
        est.partial_fit(*wine)
    np.testing.assert_allclose(clf.coefs_[0], other.coefs_[0], rtol=1e-5, atol=1e-7)


def test_callbacks_see_the_weights_of_the_moment_and_cannot_lose_changes(wine):
    class Look(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(clf.coefs_[0])
            np.testing.assert_array_equal(clf.coefs_[0], self.model.layers[0].kernel)
            with pytest.raises(ValueError, match="read-only"):
                clf.coefs_[0][:] = 0
            with pytest.raises(TypeError):
                clf.coefs_[0] = 0
            with pytest.raises(AttributeError, match="coefs_: read-only in training"):
                clf.coefs_ = []

    look = Look()
    clf = MLPClassifier((8,), max_iter=3, callbacks=[look], random_state=0)
    clf.fit(*wine)
    assert len({kernel.tobytes() for kernel in look.seen}) == 3
    np.testing.assert_array_equal(clf.coefs_[0], look.seen[-1])
    assert clf.coefs_[0].flags.writeable


# ---- parameters that change after a fit ---------------------------------------------------------


@pytest.mark.parametrize("goes_on", ["predict", "fit", "partial_fit"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_another_activation_counts_from_then_on_as_in_scikit_learn(wine, goes_on, solver):
    if (solver, goes_on) == ("lbfgs", "partial_fit"):
        solver = "adam"  # which alone has it
    x, y = wine
    both = [
        module.MLPClassifier(
            (8,), "relu", solver=solver, max_iter=5, random_state=0, warm_start=True, alpha=0.1
        )
        for module in (neural_network, fastnn)
    ]
    for est in both:
        est.fit(x, y)
        est.set_params(activation="tanh")
        if goes_on != "predict":
            for _ in range(3):  # of partial_fit the optimizer's means go on
                getattr(est, goes_on)(x, y)
    theirs, ours = (est.predict_proba(x) for est in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-10)


def test_layers_of_a_model_that_goes_on_follow_the_parameters(wine):
    clf = fitted(wine, warm_start=True)
    clf.set_params(dropout=0.5, batch_norm=True, dtype="float32").fit(*wine)
    kinds = [type(layer).__name__ for layer in clf.model_.layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation", "Dropout", "Dense"]
    assert clf.coefs_[0].dtype == np.float32
    assert clf.predict_proba(wine[0]).dtype == np.float32
    means = clf._model.layers[1].get_weights()[2]
    clf.set_params(activation=["tanh"]).predict(wine[0])  # keeps the rest
    np.testing.assert_array_equal(clf._model.layers[1].get_weights()[2], means)
    clf.set_params(dropout=0.0, batch_norm=False).partial_fit(*wine)
    assert [type(layer).__name__ for layer in clf.model_.layers] == ["Dense", "Dense"]


def test_another_loss_counts_from_the_next_call_on():
    x, y = datasets.load_diabetes(return_X_y=True)
    reg = MLPRegressor("squared_error", (8,), max_iter=5, random_state=0, warm_start=True)
    reg.fit(x, y / 100)
    kernel = reg.coefs_[0].copy()
    reg.set_params(loss="poisson").fit(x, y / 100)
    assert reg.out_activation_ == "exp"
    assert reg.predict(x).min() > 0
    assert not np.array_equal(reg.coefs_[0], kernel)
    steps = reg._model.iterations
    reg.set_params(loss="mae").partial_fit(x, y / 100)  # the optimizer goes on
    assert reg._model.iterations == steps + 3
    assert reg._model.loss.name == "mean_absolute_error"


def test_layers_of_other_sizes_are_refused_where_training_goes_on(wine):
    clf = fitted(wine, warm_start=True)
    want = clf.predict_proba(wine[0])
    for sizes in ((9,), (8, 8), ()):
        clf.set_params(hidden_layer_sizes=sizes)
        for call in (clf.fit, clf.partial_fit):
            with pytest.raises(ValueError, match=r"hidden_layer_sizes: expected \[8\]"):
                call(*wine)
        np.testing.assert_array_equal(clf.predict_proba(wine[0]), want)
    clf.set_params(hidden_layer_sizes=9, warm_start=False).fit(*wine)
    assert clf.coefs_[0].shape == (13, 9)


def test_other_outputs_are_refused_where_training_goes_on():
    x, y = datasets.load_diabetes(return_X_y=True)
    reg = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, warm_start=True).fit(x, y)
    with pytest.raises(ValueError, match="y: expected 1 outputs, as in the first fit, got 2"):
        reg.fit(x, np.c_[y, y])
    assert reg.n_outputs_ == 1
    assert reg.predict(x).shape == y.shape


# ---- threads ------------------------------------------------------------------------------------


def test_a_predict_in_another_thread_does_not_undo_a_training(wine, monkeypatch):
    clf = fitted(wine)
    lists = clf.coefs_  # from now on they are read again
    want = copy.deepcopy(clf).partial_fit(*wine).coefs_
    predicting = threading.Thread(target=clf.predict, args=wine[:1])
    take_over = clf._take_over

    def take_over_slowly(held):
        predicting.start()
        predicting.join(0.1)
        take_over(held)

    monkeypatch.setattr(clf, "_take_over", take_over_slowly)
    clf.partial_fit(*wine)
    predicting.join()
    for one, other in zip(lists, want, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fits_of_one_estimator_wait_for_each_other(wine):
    want = fitted(wine).coefs_
    clf = MLPClassifier()
    begun = threading.Event()

    class Begun(Callback):
        def on_epoch_end(self, epoch, logs=None):
            begun.set()
            time.sleep(0.02)

    clf.set_params(**fitted(wine).get_params()).set_params(callbacks=[Begun()])
    threads = [threading.Thread(target=clf.fit, args=wine) for _ in range(2)]
    threads[0].start()
    begun.wait()
    threads[1].start()
    for thread in threads:
        thread.join()
    assert len(clf.loss_curve_) == clf.n_iter_ == clf.max_iter
    for one, other in zip(clf.coefs_, want, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- fits that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ({"loss": "sparse_categorical_crossentropy"}, "binary"),
        ({"solver": "lbfgs", "dropout": 0.5}, None),
        ({"loss": "squared_error"}, None),
        ({"class_weight": {7: 1.0}}, None),
        ({"class_weight": {0: -1.0}}, None),
        ({"validation_fraction": 0.001, "early_stopping": True}, None),
        ({"activation": ["relu", "tanh"], "hidden_layer_sizes": (3,)}, None),
        ({"hidden_layer_sizes": (0,)}, None),
    ],
    ids=str,
)
def test_a_fit_that_cannot_begin_changes_nothing(wine, settings, data):
    x, y = wine
    clf = fitted(wine)
    want, kept = clf.predict_proba(x), {**vars(clf)}
    with pytest.raises(ValueError, match=next(iter(settings))):
        clf.set_params(**settings).fit(x, y == 1 if data else y)
    clf.set_params(**{name: kept[name] for name in settings})
    assert vars(clf) == kept
    np.testing.assert_array_equal(clf.predict_proba(x), want)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"early_stopping": True, "validation_fraction": 0.001}, {}),
        ({"callbacks": [print]}, {}),
        ({}, {"validation_data": ([[0.0] * 13], [1, 2])}),
        ({"solver": "lbfgs"}, {"validation_data": ([[0.0] * 13], [1])}),
        ({"solver": "lbfgs", "dtype": "float32"}, {"X": 1e300}),
    ],
    ids=str,
)
def test_a_refused_warm_start_keeps_the_slots_of_the_optimizer(wine, settings, more):
    x, y = wine
    refused, other = (MLPClassifier((5,), random_state=1, warm_start=True) for _ in range(2))
    for clf in (refused, other):
        clf.set_params(dtype=settings.get("dtype"))
        clf.partial_fit(x, y, classes=[0, 1, 2]).partial_fit(x, y)
    kept = refused.get_params()
    with pytest.raises((ValueError, TypeError)):
        refused.set_params(**settings).fit(
            np.full_like(x, more["X"]) if "X" in more else x,
            y,
            validation_data=more.get("validation_data"),
        )
    refused.set_params(**kept).partial_fit(x, y)
    np.testing.assert_array_equal(refused.coefs_[0], other.partial_fit(x, y).coefs_[0])
