"""fastnn's estimators: scikit-learn's numbers, and what scikit-learn does not have."""

import copy
import pickle
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.9", reason="of the sklearn extra")

from scipy import sparse
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

import fastnn
from fastnn import config, layers, losses, optimizers
from fastnn._native import core
from fastnn.callbacks import BackupAndRestore, Callback, EarlyStopping
from fastnn.models import Sequential
from fastnn.optimizers.schedules import ExponentialDecay
from fastnn.sklearn import MLPClassifier, MLPRegressor, from_keras_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LOADERS = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
}
SETTINGS = [
    {"solver": "sgd"},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.1},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 2},
    {"solver": "sgd", "nesterovs_momentum": False},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "adam"},
    {"activation": "tanh"},
    {"activation": "logistic"},
    {"activation": "identity"},
    {"early_stopping": True},
    {"alpha": 1.0, "batch_size": 33, "hidden_layer_sizes": (20, 10)},
    {"shuffle": False},
    {"learning_rate_init": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5},
]


@pytest.fixture(autouse=True)
def _calm_blas():
    """One thread for scikit-learn: several on such small products wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


def load(name):
    x, y = LOADERS[name](return_X_y=True)
    return x[:600], y[:600]


def pair(name, **settings):
    """scikit-learn's estimator and ours, with the same settings."""
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    settings = {"max_iter": 15, "random_state": 3, **settings}
    return getattr(neural_network, kind)(**settings), getattr(fastnn, kind)(**settings)


def agree(theirs, ours, x, rtol=1e-9):
    """What `fit` leaves is the same."""
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    assert ours.out_activation_ == theirs.out_activation_
    if theirs.validation_scores_ is None:
        assert ours.validation_scores_ is None
        np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=rtol)
    else:
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_)
        np.testing.assert_allclose(ours.best_validation_score_, theirs.best_validation_score_)
    predict = "predict_proba" if hasattr(theirs, "predict_proba") else "predict"
    want = getattr(theirs, predict)(x)
    np.testing.assert_allclose(getattr(ours, predict)(x), want, rtol=1e-5, atol=1e-9)
    for one, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_numbers_are_scikit_learns(name, settings):
    x, y = load(name)
    x = scale(x)
    theirs, ours = pair(name, **settings)
    agree(theirs.fit(x, y), ours.fit(x, y), x)


@pytest.mark.parametrize("name", ["breast cancer", "wine"])
def test_losses_of_saturated_outputs_are_scikit_learns(name):
    x, y = load(name)  # as they are, features up to thousands
    theirs, ours = (est.fit(x, y) for est in pair(name))
    assert max(theirs.loss_curve_) > 5
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("name", LOADERS)
def test_lbfgs_ends_where_scikit_learn_ends(name):
    x, y = load(name)
    x = scale(x)
    weight = np.random.default_rng(0).uniform(0, 2, len(x))
    theirs, ours = pair(name, solver="lbfgs", max_iter=100, alpha=0.1)
    theirs.fit(x, y, sample_weight=weight)
    ours.fit(x, y, sample_weight=weight)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=0.05)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"early_stopping": True}], ids=str)
def test_sample_weights_count_as_in_scikit_learn(name, settings):
    x, y = load(name)
    x = scale(x)
    weight = np.random.default_rng(0).uniform(0, 2, len(x))
    theirs, ours = pair(name, batch_size=40, **settings)
    agree(theirs.fit(x, y, weight), ours.fit(x, y, weight), x)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_as_in_scikit_learn(name, solver):
    x, y = load(name)
    x = scale(x)
    both = pair(name, solver=solver)
    for part in np.array_split(np.arange(len(x)), 5):
        for est in both:
            more = {} if name == "diabetes" else {"classes": np.unique(y)}
            est.partial_fit(x[part], y[part], **more)
    agree(*both, x)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_goes_on_as_in_scikit_learn(early_stopping):
    x, y = load("digits")
    both = pair("digits", warm_start=True, max_iter=4, early_stopping=early_stopping)
    for _ in range(3):
        for est in both:
            est.fit(x, y)
    agree(*both, x)


def test_a_warm_start_without_a_better_epoch_keeps_the_last_weights_as_in_scikit_learn():
    x, y = load("wine")
    x = scale(x)
    both = pair("wine", warm_start=True, early_stopping=True, max_iter=4, learning_rate_init=0.3)
    for _ in range(3):
        for est in both:
            est.fit(x, y)
    assert both[1]._best_weights is None
    agree(*both, x)


def test_several_labels_outputs_and_poisson_are_scikit_learns():
    x, y = datasets.make_multilabel_classification(200, random_state=0)
    agree(*(est.fit(x, y) for est in pair("")), x)
    x, y = datasets.make_regression(200, 10, n_targets=3, random_state=0)
    agree(*(est.fit(x, y) for est in pair("diabetes")), x)
    count = np.random.default_rng(0).poisson(2, 200)
    agree(*(est.fit(x, count) for est in pair("diabetes", loss="poisson", alpha=0.1)), x)


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_sparse_rows_are_scikit_learns(layout):
    x = sparse.random(300, 80, 0.05, random_state=0, format=layout)
    y = np.random.default_rng(0).integers(0, 3, 300)
    agree(*(est.fit(x, y) for est in pair("", early_stopping=True)), x)


def test_a_random_state_is_drawn_from_as_in_scikit_learn():
    x, y = load("wine")
    theirs, ours = (est.set_params(random_state=np.random.RandomState(5)) for est in pair("wine"))
    agree(theirs.fit(x, y), ours.fit(x, y), x, rtol=1e-6)
    assert theirs.random_state.randint(2**31) == ours.random_state.randint(2**31)


def test_texts_are_labels_and_frames_have_names():
    pd = pytest.importorskip("pandas")
    x, y = datasets.load_wine(return_X_y=True, as_frame=True)
    names = np.array(["low", "middle", "high"])[y]
    clf = MLPClassifier(max_iter=3, early_stopping=True, random_state=0).fit(x, names)
    assert clf.feature_names_in_.tolist() == list(x)
    assert set(clf.predict(x)) <= set(names)
    with pytest.warns(UserWarning, match="valid feature names"):
        clf.predict_proba(x.to_numpy())
    frame = clf.set_output(transform="pandas").transform(x)
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (len(x), 100)
    assert frame.columns[0] == "mlpclassifier0"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_type_of_x_is_kept(dtype):
    x, y = load("digits")
    clf = MLPClassifier((8,), max_iter=2).fit(x.astype(dtype), y)
    assert {w.dtype.name for w in clf.coefs_ + clf.intercepts_} == {dtype}
    assert clf.predict_proba(x.astype(dtype)).dtype == dtype
    assert clf.predict_proba(x.astype(dtype)[:1]).dtype == dtype


# ---- what scikit-learn does not have --------------------------------------------------------


def test_float32_may_be_asked_for():
    x, y = load("digits")
    clf = MLPClassifier((8,), max_iter=2, dtype="float32", random_state=0).fit(x, y)
    assert clf.coefs_[0].dtype == np.float32
    mixed = MLPClassifier((8,), max_iter=2, dtype="mixed_bfloat16", random_state=0).fit(x, y)
    assert 0 < abs(mixed.loss_ / clf.loss_ - 1) < 0.05


def test_class_weight_multiplies_the_weights_of_samples():
    x, y = load("wine")
    x = scale(x)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(x))
    of_class = {0: 3.0, 1: 1.0, 2: 0.5}
    one = MLPClassifier(max_iter=5, random_state=0, class_weight=of_class).fit(x, y, weight)
    factor = np.array([of_class[label] for label in y])
    other = MLPClassifier(max_iter=5, random_state=0).fit(x, y, weight * factor)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    rare = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:6]])
    recall = [
        np.mean(
            MLPClassifier((8,), max_iter=30, random_state=0, class_weight=chosen)
            .fit(x[rare], y[rare])
            .predict(x[y == 1])
            == 1
        )
        for chosen in (None, "balanced")
    ]
    assert recall[1] > recall[0]


def test_weights_of_classes_that_are_not_there_are_refused():
    x, y = load("wine")
    with pytest.raises(ValueError, match=r"class_weight: expected weights of \[0, 1, 2\], got"):
        MLPClassifier(class_weight={7: 2.0}).fit(x, y)
    part = y < 2  # as in a fold without the last class
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    named, more = (
        MLPClassifier((4,), class_weight=w, max_iter=3, random_state=0).fit(x[part], y[part])
        for w in ({0: 1.0, 1: 2.0}, weights)
    )
    assert named.loss_curve_ == more.loss_curve_


def test_class_weight_in_partial_fit_goes_by_all_classes():
    x, y = load("wine")
    clf = MLPClassifier((4,), class_weight={2: 3.0}, random_state=0)
    clf.partial_fit(x[y < 2], y[y < 2], classes=[0, 1, 2])
    other = MLPClassifier((4,), random_state=0).partial_fit(x[y < 2], y[y < 2], classes=[0, 1, 2])
    np.testing.assert_array_equal(clf.coefs_[0], other.coefs_[0])
    with pytest.raises(ValueError, match="class_weight: expected 'balanced' or None for several"):
        MLPClassifier(class_weight={0: 2.0}).fit(x, np.eye(3)[y])


def test_without_a_hidden_layer_the_samples_are_the_transform():
    x, y = load("wine")
    clf = MLPClassifier((), max_iter=2).fit(x, y)
    np.testing.assert_array_equal(clf.transform(x), x)
    np.testing.assert_array_equal(clf.transform(sparse.csr_matrix(x)), x)
    assert len(clf.get_feature_names_out()) == x.shape[1]


def test_layers_have_activations_of_their_own():
    x, y = load("wine")
    clf = MLPClassifier((8, 6), ["gelu", "tanh"], max_iter=2, random_state=0).fit(x, y)
    kept = [layer.activation.__name__ for layer in clf.model_.layers]
    assert kept == ["gelu", "tanh", "softmax"]
    with pytest.raises(ValueError, match="activation: expected one for each of 1 hidden layers"):
        MLPClassifier((8,), ["gelu", "tanh"]).fit(x, y)
    with pytest.raises(ValueError, match=r"activation: expected one of .* got 'nothing'"):
        MLPClassifier((8,), "nothing").fit(x, y)


def test_dropout_and_batch_norm_are_in_the_model():
    x, y = load("digits")
    settings = {"max_iter": 20, "batch_size": 20, "random_state": 0}
    clf = MLPClassifier((32, 16), dropout=0.2, batch_norm=True, **settings).fit(x, y)
    kinds = [type(layer).__name__ for layer in clf.model_.layers]
    hidden = ["Dense", "BatchNormalization", "Activation", "Dropout"]
    assert kinds == [*hidden, *hidden, "Dense"]
    assert clf.score(x, y) > 0.9
    again = clone(clf).fit(x, y)
    np.testing.assert_array_equal(again.predict_proba(x), clf.predict_proba(x))
    best = clone(clf).set_params(early_stopping=True).fit(x, y)  # restores the statistics, too
    assert best.score(x, y) > 0.9


@pytest.mark.parametrize("solver", ["rmsprop", "adamw", "lion", optimizers.Nadam(0.002)], ids=str)
def test_any_optimizer_is_a_solver(solver):
    x, y = load("wine")
    x = scale(x)
    clf = MLPClassifier(solver=solver, max_iter=40, random_state=0).fit(x, y)
    assert clf.score(x, y) > 0.95
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]
    first = clone(clf)
    for _ in range(3):
        first.partial_fit(x, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(first.loss_curve_, clf.loss_curve_[:1] + first.loss_curve_[1:])


def test_a_schedule_goes_by_steps():
    x, y = load("wine")
    rates = ExponentialDecay(0.01, 1, 0.9)
    clf = MLPClassifier(learning_rate=rates, batch_size=60, max_iter=3, random_state=0).fit(x, y)
    fixed = MLPClassifier(learning_rate_init=0.01, batch_size=60, max_iter=3, random_state=0)
    fixed.fit(x, y)
    assert clf.loss_curve_ != fixed.loss_curve_
    assert clf._model.optimizer.learning_rate == pytest.approx(0.01 * 0.9**9)


def test_any_loss_is_minimized():
    x, y = load("diabetes")
    x, y = scale(x), scale(y)
    quantile = {"learning_rate_init": 0.01, "max_iter": 200, "random_state": 0, "alpha": 0.0}
    low, high = (
        MLPRegressor(losses.Quantile(tau), (16,), **quantile).fit(x, y) for tau in (0.1, 0.9)
    )
    assert np.mean(y < low.predict(x)) < 0.25
    assert np.mean(y < high.predict(x)) > 0.75

    def squared(y_true, y_pred):
        e = y_pred - y_true
        return (e**2).mean(axis=1) / 2, e

    settings = {"max_iter": 5, "random_state": 0, "batch_size": 100, "alpha": 0.5}
    own = MLPRegressor(squared, **settings).fit(x, y)
    built_in = MLPRegressor(**settings).fit(x, y)
    np.testing.assert_allclose(own.loss_curve_, built_in.loss_curve_, rtol=1e-9)


def test_focal_loss_trains_a_classifier():
    x, y = load("breast cancer")
    x = scale(x)
    clf = MLPClassifier(loss="binary_focal_crossentropy", max_iter=50, random_state=0).fit(x, y)
    assert clf.score(x, y) > 0.95


def test_validation_data_are_scored_after_each_epoch():
    x, y = load("wine")
    x = scale(x)
    train, rest = np.arange(0, len(x), 2), np.arange(1, len(x), 2)
    clf = MLPClassifier(max_iter=6, random_state=0)
    clf.fit(x[train], y[train], validation_data=(x[rest], y[rest]))
    assert len(clf.validation_scores_) == 6
    assert clf.validation_scores_[-1] == clf.score(x[rest], y[rest])
    assert clf.best_validation_score_ is None
    stops = MLPClassifier(max_iter=200, random_state=0, early_stopping=True, n_iter_no_change=3)
    stops.fit(x[train], y[train], validation_data=(x[rest], y[rest]))
    assert stops.n_iter_ < 200
    assert stops.score(x[rest], y[rest]) == stops.best_validation_score_
    assert stops.best_validation_score_ == max(stops.validation_scores_)
    for wrong in (x[rest], (x[rest],)):
        with pytest.raises(ValueError, match="validation_data: expected a tuple"):
            clf.fit(x, y, validation_data=wrong)
    with pytest.raises(ValueError, match="validation_data: expected None with solver='lbfgs'"):
        MLPClassifier(solver="lbfgs").fit(x, y, validation_data=(x, y))


@pytest.mark.parametrize(
    ("name", "y_val"),
    [
        ("wine", lambda y: y[1:]),
        ("wine", lambda y: y.astype(str)),
        ("wine", lambda y: None),
        ("diabetes", lambda y: y * np.nan),
        ("diabetes", lambda y: np.stack([y, y], axis=1)),
    ],
)
def test_validation_data_that_cannot_be_scored_are_refused_before_training(name, y_val):
    x, y = load(name)
    _, ours = pair(name)
    with pytest.raises(ValueError, match="validation_data: expected data to be scored"):
        ours.fit(x, y, validation_data=(x, y_val(y)))
    with pytest.raises(NotFittedError):
        ours.predict(x)


def test_a_pickle_made_in_training_is_in_none():
    x, y = load("wine")
    clf = MLPClassifier(max_iter=2)
    pickles = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            copied = copy.copy(clf).set_params(callbacks=None)
            pickles.append(pickle.dumps(copied))

    clf.set_params(callbacks=[Keep()]).fit(x, y)
    one = pickle.loads(pickles[0])
    one.coefs_[0][:] = 0
    one.coefs_ = one.coefs_
    assert np.ptp(one.predict_proba(x), axis=0).max() == 0


def test_callbacks_are_called_and_may_stop():
    x, y = load("wine")
    x = scale(x)

    class Seen(Callback):
        def __init__(self):
            self.logs = []

        def on_epoch_end(self, epoch, logs=None):
            self.logs.append(logs)

    seen = Seen()
    stop = EarlyStopping(monitor="val_score", mode="max", patience=2)
    clf = MLPClassifier(max_iter=100, random_state=0, callbacks=[seen, stop])
    clf.fit(x, y, validation_data=(x, y))
    assert clf.n_iter_ == len(seen.logs) < 100
    assert [logs["loss"] for logs in seen.logs] == clf.loss_curve_
    assert [logs["val_score"] for logs in seen.logs] == clf.validation_scores_


def test_ctrl_c_ends_the_training_with_a_warning():
    x, y = load("wine")

    class Press(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    clf = MLPClassifier((8,), callbacks=[Press()])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(x, y)
    assert clf.n_iter_ == 3
    assert clf.predict(x).shape == y.shape


def test_backups_are_refused(tmp_path):
    x, y = load("wine")
    with pytest.raises(ValueError, match="callbacks: expected none that saves backups"):
        MLPClassifier(callbacks=[BackupAndRestore(tmp_path)]).fit(x, y)


def test_progress_is_a_bar(capsys):
    x, y = load("wine")
    MLPClassifier(max_iter=2, verbose="progress").fit(x, y)
    captured = capsys.readouterr()
    assert "Iteration" not in captured.out
    assert "loss" in captured.err + captured.out


def test_num_threads_do_not_change_bits():
    x, y = load("digits")
    curves = [
        MLPClassifier((64,), max_iter=3, random_state=0, num_threads=n).fit(x, y).loss_curve_
        for n in (1, 2, 3)
    ]
    assert curves[0] == curves[1] == curves[2]


def test_the_last_hidden_layer_is_the_transform():
    x, y = load("wine")
    clf = MLPClassifier((8, 6), "tanh", max_iter=3, random_state=0).fit(x, y)
    hidden = x
    for kernel, bias in zip(clf.coefs_[:-1], clf.intercepts_[:-1], strict=True):
        hidden = np.tanh(hidden @ kernel + bias)
    np.testing.assert_allclose(clf.transform(x), hidden, rtol=1e-9, atol=1e-12)
    assert clf.get_feature_names_out().tolist() == [f"mlpclassifier{i}" for i in range(6)]


@pytest.mark.parametrize("name", ["wine", "breast cancer", "diabetes"])
def test_input_gradients_are_those_of_the_outputs(name):
    x, y = load(name)
    x = scale(x)
    _, est = pair(name, activation="tanh")
    est.fit(x, y)
    outputs = est.predict if name == "diabetes" else est.predict_proba
    gradients = est.input_gradients(x[:5])
    assert gradients.shape == ((5, 3, x.shape[1]) if name == "wine" else (5, x.shape[1]))
    for feature in range(3):
        step = np.zeros(x.shape[1])
        step[feature] = 1e-6
        change = (outputs(x[:5] + step) - outputs(x[:5] - step)) / 2e-6
        change = change[:, 1] if name == "breast cancer" else change
        np.testing.assert_allclose(gradients[..., feature], change, rtol=1e-5, atol=1e-8)


# ---- copies, searches, threads ------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda est: pickle.loads(pickle.dumps(est))])
def test_copies_go_on_with_the_same_bits(how):
    x, y = load("wine")
    clf = MLPClassifier((8,), max_iter=3, random_state=0, batch_norm=True).fit(x, y)
    clf.partial_fit(x, y)
    other = how(clf)
    for est in (clf, other):
        est.partial_fit(x, y)
    np.testing.assert_array_equal(clf.predict_proba(x), other.predict_proba(x))
    assert clf.loss_curve_ == other.loss_curve_


def test_the_model_is_a_copy_that_can_be_saved(tmp_path):
    x, y = load("wine")
    clf = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    model = clf.model_
    model.save(tmp_path / "m.fastnn")
    loaded = fastnn.load_model(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(loaded.predict(x), clf.predict_proba(x))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    np.testing.assert_array_equal(loaded.predict(x), clf.predict_proba(x))


def test_few_plain_rows_take_the_short_way_with_the_same_checks():
    x, y = load("wine")
    clf = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    np.testing.assert_array_equal(clf.predict_proba(x[:1]), clf.predict_proba(x)[:1])
    np.testing.assert_array_equal(clf.predict(x[:2]), clf.predict(x)[:2])
    for bad in (np.nan, np.inf):
        wrong = x[:1].copy()
        wrong[0, 3] = bad
        with pytest.raises(ValueError, match="Input X contains"):
            clf.predict_proba(wrong)
    with pytest.raises(ValueError, match="X has 12 features"):
        clf.predict_proba(x[:1, :12])
    with pytest.raises(NotFittedError):
        MLPClassifier().predict_proba(x[:1])


# ---- searches and threads ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_grid_search_gives_the_same_in_threads_and_processes(backend):
    joblib = pytest.importorskip("joblib")
    x, y = load("wine")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=5, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__dropout": [0.0, 0.5]}
    alone = GridSearchCV(pipeline, grid, cv=2, n_jobs=1).fit(x, y)
    with joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_trainings_at_a_time_share_the_threads():
    x, y = load("digits")
    before = config.get_num_threads()
    config.set_num_threads(4)
    used = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            both.wait(20)
            used.append(self.model._network.train_threads(10**6))
            both.wait(20)

    try:
        alone = Look()
        both = threading.Barrier(1)
        MLPClassifier((8,), max_iter=1, callbacks=[alone]).fit(x, y)
        assert used == [4]
        used.clear()
        both = threading.Barrier(2)
        fits = [
            threading.Thread(
                target=lambda: MLPClassifier((8,), max_iter=1, callbacks=[Look()]).fit(x, y)
            )
            for _ in range(2)
        ]
        for fit in fits:
            fit.start()
        for fit in fits:
            fit.join()
        assert used == [2, 2]
        assert config.get_num_threads() == 4
    finally:
        config.set_num_threads(before)


# ---- a Sequential as an estimator ----------------------------------------------------------------


def wine_model(loss="sparse_categorical_crossentropy", last="softmax"):
    model = Sequential([layers.Dense(16, "relu"), layers.Dense(3, last)])
    model.compile(optimizers.Adam(0.02), loss)
    return model


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        ("sparse_categorical_crossentropy", "softmax"),
        (losses.SparseCategoricalCrossentropy(from_logits=True), None),
        ("categorical_crossentropy", "softmax"),
        ("binary_crossentropy", "sigmoid"),
        ("categorical_hinge", None),
    ],
    ids=str,
)
def test_a_compiled_model_is_a_classifier(loss, last):
    x, y = load("wine")
    names = np.array(["a", "b", "c"])[y]
    fastnn.utils.set_random_seed(0)
    clf = make_pipeline(StandardScaler(), from_keras_model(wine_model(loss, last), epochs=30))
    clf.fit(x, names)
    assert clf.score(x, names) > 0.95
    if "hinge" not in str(loss):
        proba = clf.predict_proba(x)
        assert (clf.classes_[proba.argmax(axis=1)] == clf.predict(x)).all()
        assert proba.min() >= 0
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    else:
        assert not hasattr(clf, "predict_proba")


def test_a_model_of_one_output_tells_two_classes_apart():
    x, y = load("breast cancer")
    x = scale(x)
    fastnn.utils.set_random_seed(0)
    for loss, last in (("binary_crossentropy", "sigmoid"), ("hinge", None)):
        model = Sequential([layers.Dense(8, "relu"), layers.Dense(1, last)])
        model.compile("adam", loss)
        clf = from_keras_model(model, epochs=20, class_weight="balanced")
        names = np.array(["no", "yes"])[y]
        assert clf.fit(x, names).score(x, names) > 0.93


@pytest.mark.parametrize(("loss", "classes"), [("hinge", 2), ("categorical_hinge", 3)])
def test_margins_are_a_decision_function(loss, classes):
    x, y = load("wine")
    x, y = scale(x)[y < classes], y[y < classes]
    model = Sequential([layers.Dense(1 if classes == 2 else classes, input_shape=(x.shape[1],))])
    model.compile("adam", loss)
    clf = from_keras_model(model, epochs=30).fit(x, y)
    margins = clf.decision_function(x)
    assert margins.shape == ((len(x),) if classes == 2 else (len(x), 3))
    right = margins > 0 if classes == 2 else margins.argmax(axis=1)
    np.testing.assert_array_equal(clf.predict(x), right)
    assert not hasattr(clf, "predict_proba")
    assert not hasattr(from_keras_model(wine_model()), "decision_function")


def test_a_trained_model_predicts_at_once_and_stays_as_it_is():
    x, y = load("diabetes")
    model = Sequential([layers.Dense(1, input_shape=(10,))])
    model.compile("sgd", "mse")
    reg = from_keras_model(model, epochs=2)
    np.testing.assert_array_equal(reg.predict(x), model.predict(x)[:, 0])
    before = model.get_weights()
    reg.fit(x, y, validation_data=(x, y))
    assert sorted(reg.history_) == ["loss", "val_loss"]
    assert not np.array_equal(reg.predict(x), model.predict(x)[:, 0])
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_wrapped_classifier_has_an_output_for_each_class():
    x, y = load("wine")
    few = from_keras_model(wine_model())
    with pytest.raises(ValueError, match=r"model: expected an output for each of 2 classes, got"):
        few.fit(x[y < 2], y[y < 2])
    with pytest.raises(ValueError, match="validation_data: expected labels that are among those"):
        few.fit(x, y, validation_data=(x, y + 1))
    with pytest.raises(ValueError, match="requires y to be passed"):
        few.fit(x, None)
    two = Sequential([layers.Dense(2, "softmax")])
    two.compile(optimizers.Adam(0.1), "categorical_crossentropy")
    clf = from_keras_model(two, epochs=30).fit(scale(x[y < 2]), y[y < 2])
    assert clf.score(scale(x[y < 2]), y[y < 2]) > 0.95


def test_a_wrapped_classifier_refuses_what_its_loss_cannot_tell_apart():
    x, y = load("wine")
    labels = np.eye(3, dtype=int)[y]
    with pytest.raises(ValueError, match="model: expected a loss that takes several labels"):
        from_keras_model(wine_model()).fit(x, labels)
    for loss in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        one = Sequential([layers.Dense(1, "sigmoid")])
        one.compile("sgd", loss)
        with pytest.raises(ValueError, match="model: expected an output for each of 2 classes"):
            from_keras_model(one).fit(x, y > 0)
    one.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match="y: expected two classes or more, got 1 class"):
        from_keras_model(one).fit(x, np.full(len(x), "a"))


def test_one_column_of_targets_is_warned_of_where_it_is_labels():
    x, y = load("wine")
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        clf = from_keras_model(wine_model()).fit(x, y[:, None])
    assert clf.predict(x).shape == y.shape
    model = Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    reg = from_keras_model(model).fit(scale(x), y[:, None])
    assert get_tags(reg).target_tags.multi_output
    assert reg.predict(x).shape == y.shape


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_a_wrapped_classifier_tells_several_labels(layout):
    x, y = load("wine")
    x, labels = scale(x), layout(np.eye(3, dtype=int)[y])
    fastnn.utils.set_random_seed(0)
    clf = from_keras_model(wine_model("binary_crossentropy", "sigmoid"), epochs=30)
    clf.fit(x, labels, validation_data=(x, labels))
    assert clf.history_["val_loss"][-1] < 0.1
    assert clf.score(x, labels) > 0.95


def test_validation_data_of_a_wrapped_classifier_are_two_or_three():
    x, y = load("wine")
    clf = from_keras_model(wine_model())
    clf.fit(x, y, validation_data=[x, y, np.ones(len(y))])
    for wrong in (x, (x,), (x, y, y, y)):
        with pytest.raises(ValueError, match=r"validation_data: expected a tuple \(X, y\)"):
            clf.fit(x, y, validation_data=wrong)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_copies_of_a_wrapped_model_have_its_history(how):
    x, y = load("wine")
    clf = from_keras_model(wine_model(), epochs=2)
    assert not hasattr(clf, "history_")
    other = how(clf.fit(x, y))
    assert len(clf.history_["loss"]) == 2
    assert other.history_ == clf.history_
    np.testing.assert_array_equal(other.predict_proba(x), clf.predict_proba(x))


def test_what_is_refused_leaves_a_wrapped_model_as_it_was():
    x, y = load("wine")
    model = wine_model()
    model.fit(x, y, verbose=0)
    clf = from_keras_model(model)
    want = clf.predict(x)
    with pytest.raises(ValueError, match="x: expected 13 features"):
        clf.predict(x[:, :5])
    np.testing.assert_array_equal(clf.predict(x), want)
    clf = from_keras_model(wine_model())
    want = clf.fit(x, y).predict(x)
    with pytest.raises(ValueError, match="model: expected an output for each of 2 classes"):
        clf.fit(x[:, :5], y > 0)
    assert clf.n_features_in_ == 13
    np.testing.assert_array_equal(clf.predict(x), want)


def test_a_model_that_is_set_counts_from_the_next_fit_on():
    x, y = load("wine")
    clf = from_keras_model(wine_model(losses.SparseCategoricalCrossentropy(from_logits=True), None))
    want = clf.fit(x, y).predict_proba(x)
    clf.set_params(model=wine_model("categorical_hinge", None))
    np.testing.assert_array_equal(clf.predict_proba(x), want)
    assert not hasattr(clf.fit(x, y), "predict_proba")


def test_only_compiled_models_are_wrapped():
    for wrong in (Sequential([layers.Dense(1)]), MLPClassifier()):
        with pytest.raises(TypeError, match="model: expected a Sequential compiled with a loss"):
            from_keras_model(wrong)


# ---- wrong parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"batch_norm": "yes"}, "'batch_norm' parameter"),
        ({"dtype": "float16"}, "'dtype' parameter"),
        ({"num_threads": 0}, "'num_threads' parameter"),
        ({"class_weight": "heavy"}, "'class_weight' parameter"),
        ({"solver": "nothing"}, "solver: optimizer: expected one of"),
        ({"solver": optimizers.LBFGS()}, "solver: expected 'lbfgs'"),
        ({"loss": "nothing"}, "loss: expected one of"),
        ({"loss": "poison"}, "loss: expected one of"),
        ({"class_weight": {1: -1.0}}, r"class_weight\[1\]: expected"),
        ({"class_weight": {1: float("nan")}}, r"class_weight\[1\]: expected"),
        ({"hidden_layer_sizes": (0,)}, r"hidden_layer_sizes must be > 0, got \[0\]"),
        ({"solver": "lbfgs", "batch_norm": True}, "batch_norm: expected False"),
        (
            {"solver": "lbfgs", "learning_rate": ExponentialDecay(0.1, 1, 0.9)},
            "learning_rate: expected no schedule with solver='lbfgs'",
        ),
        ({"solver": "lbfgs", "dropout": 0.5}, "dropout: expected 0"),
        ({"solver": "lbfgs", "callbacks": [Callback()]}, "callbacks: expected None"),
        ({"solver": "lbfgs", "verbose": "progress"}, "verbose: expected a number"),
        ({"solver": "LBFGS"}, "solver: expected 'lbfgs'"),
        (
            {"solver": optimizers.SGD(0.1), "learning_rate": ExponentialDecay(0.1, 1, 0.9)},
            "learning_rate: expected a schedule to be the solver's own",
        ),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(settings, message):
    x, y = load("wine")
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**settings).fit(x, y)


def test_sizes_are_integers():
    with pytest.raises(TypeError, match="hidden_layer_sizes: expected integers"):
        MLPClassifier((2.5,)).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("call", ["predict", "predict_proba", "transform", "input_gradients"])
@pytest.mark.parametrize("rows", [1, 40])
def test_numbers_that_float32_cannot_hold_are_refused(call, rows):
    x, y = load("wine")
    clf = MLPClassifier((4,), max_iter=2).fit(x.astype(np.float32), y)
    large = np.full((rows, x.shape[1]), 1e39)
    with pytest.raises(ValueError, match="too large for dtype"):
        getattr(clf, call)(large)
    with pytest.raises(ValueError, match="too large for dtype"):
        clf.partial_fit(large, y[:rows])
    assert np.isfinite(getattr(clf, call)(np.full((rows, x.shape[1]), 1e30))).all()


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_losses_of_shares_want_several_outputs(cls):
    x, y = load("breast cancer")
    with pytest.raises(ValueError, match="loss: expected one that is of a single output, too"):
        cls(loss="categorical_crossentropy").fit(x, y)


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_losses_of_class_ids_want_several_classes(cls):
    x, y = load("breast cancer")
    with pytest.raises(ValueError, match="loss: expected one that does not take class ids"):
        cls(loss="sparse_categorical_crossentropy").fit(x, y)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_targets_that_are_no_array_of_numbers_are_named(loss):
    x, y = load("diabetes")
    for wrong in (y.astype(str), sparse.csr_array(np.stack([y, y], axis=1))):
        with pytest.raises(TypeError, match="y: expected real numbers"):
            MLPRegressor(loss).fit(x, wrong)


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="y: expected numbers >= 0 for loss='poisson', got -1"):
        MLPRegressor("poisson").fit([[1.0], [2.0]], [-1.0, 2.0])


def test_a_failed_fit_leaves_what_was_fitted():
    x, y = load("wine")
    clf = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, y)
    want = clf.predict_proba(x)
    for name in ("solver", "loss", "activation"):
        right = getattr(clf, name)
        with pytest.raises(ValueError, match="nothing"):
            clf.set_params(**{name: "nothing"}).fit(x, y)
        clf.set_params(**{name: right})
        np.testing.assert_array_equal(clf.predict_proba(x), want)


def test_lbfgs_leaves_the_short_way_open():
    x, y = load("wine")
    clf = MLPClassifier((8,), solver="lbfgs", max_iter=5, random_state=0).fit(x, y)
    assert clf._lists is None
    np.testing.assert_array_equal(clf.predict_proba(x[:1]), clf.predict_proba(x)[:1])


def test_another_solver_may_go_on():
    x, y = load("wine")
    x = scale(x)
    clf = MLPClassifier(solver="lbfgs", random_state=0, alpha=10.0).fit(x, y)
    clf.set_params(solver="adam").partial_fit(x, y)
    assert len(clf.loss_curve_) == 1
    assert clf.score(x, y) > 0.9
    clf.set_params(warm_start=True, early_stopping=True, max_iter=3).fit(x, y)
    assert len(clf.validation_scores_) == 3


def test_the_end_of_the_epochs_is_warned_of():
    x, y = load("wine")
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        MLPClassifier(max_iter=2).fit(x, y)


def test_the_counter_of_trainings_comes_back():
    before = core.get_num_threads()
    with pytest.raises(KeyError), core.Training():
        raise KeyError
    assert core.get_num_threads() == before
