"""Data that come batch by batch: generators, PyDatasets, iterables."""

import signal
import threading
import time
import traceback

import numpy as np
import pytest

from fastnn.callbacks import Callback
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from fastnn.optimizers.schedules import CosineDecay
from fastnn.utils import PyDataset, Sequence, draw_permutation, set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 90)
WEIGHT = RNG.uniform(0.5, 2, 90).astype(np.float32)
SIZE = 20  # the last batch has 10


def classifier(**layer):
    set_random_seed(3)
    layer = layer or {"input_shape": (6,)}
    model = Sequential([Dense(8, "relu", **layer), Dense(3, "softmax")])
    model.compile(Adam(CosineDecay(0.05, 12)), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def batches(rows=90, size=SIZE, weights=False):
    for start in range(0, rows, size):
        part = slice(start, min(rows, start + size))
        yield (X[part], LABELS[part], WEIGHT[part]) if weights else (X[part], LABELS[part])


def endless():
    while True:
        yield from batches()


class Numbered(PyDataset):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.asked, self.begun, self.ended = [], 0, 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.asked.append(index)
        return list(batches())[index]

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


class Pairs:
    """Neither a PyDataset nor to be iterated over by a method of its own."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return list(batches())[index]


class Again:
    def __iter__(self):
        return batches()


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def whole():
    """Three epochs on the arrays, in order."""
    model = classifier()
    history = model.fit(X, LABELS, SIZE, epochs=3, verbose=0, shuffle=False)
    return model.get_weights(), history.history


@pytest.mark.parametrize("wait", [False, True], ids=["known input", "unknown input"])
@pytest.mark.parametrize(
    ("make", "steps"),
    [(endless, 5), (Numbered, None), (Numbered, 5), (Pairs, None), (Again, None), (Again, 5)],
)
def test_the_same_bits_as_from_arrays(whole, make, steps, wait):
    model = classifier(name="first") if wait else classifier()
    history = model.fit(make(), epochs=3, verbose=0, shuffle=False, steps_per_epoch=steps)
    assert_same(model.get_weights(), whole[0])
    assert history.history == whole[1]


def test_lists_and_tensors_are_batches(whole):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(LABELS))
    loader = torch.utils.data.DataLoader(data, SIZE)
    model = classifier()
    model.fit(loader, epochs=3, verbose=0)
    assert_same(model.get_weights(), whole[0])
    model = classifier()
    model.fit(([x.tolist(), y.tolist()] for x, y in endless()), None, None, 3, 0, steps_per_epoch=5)
    assert_same(model.get_weights(), whole[0])


@pytest.mark.parametrize("class_weight", [None, {0: 2.0, 2: 0.5}])
def test_weights_of_samples_and_classes(class_weight):
    expected, model = classifier(), classifier()
    arguments = {"class_weight": class_weight, "verbose": 0, "shuffle": False}
    expected.fit(X, LABELS, SIZE, sample_weight=WEIGHT, **arguments)
    model.fit(batches(weights=True), **arguments)
    assert_same(model.get_weights(), expected.get_weights())


def test_shuffling_is_of_batches_and_by_the_seed():
    data = Numbered()
    model = classifier()
    model.fit(data, epochs=2, verbose=0)
    first, second = data.asked[:5], data.asked[5:]
    assert sorted(first) == sorted(second) == list(range(5))
    assert first != second
    again = Numbered()
    classifier().fit(again, epochs=2, verbose=0)
    assert again.asked == data.asked
    assert (data.begun, data.ended) == (2, 2)


def test_steps_go_on_where_the_last_epoch_ended():
    data = Numbered()
    classifier().fit(data, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0)
    assert data.asked == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_a_pydataset_without_an_end():
    class Endless(Numbered):
        num_batches = None

        def __getitem__(self, index):
            self.asked.append(index)
            return X[:5], LABELS[:5]

    data = Endless()
    classifier().fit(data, epochs=2, steps_per_epoch=3, verbose=0)
    assert data.asked == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match=r"^steps: expected a number, for x without an end"):
        classifier().fit(data, verbose=0)


def test_workers_keep_the_order(whole):
    class Slow(Numbered):
        def __getitem__(self, index):
            time.sleep(0.002 * (5 - index))
            return super().__getitem__(index)

    assert Sequence is PyDataset
    data = Slow(workers=3, max_queue_size=4)
    model = classifier()
    model.fit(data, epochs=3, verbose=0, shuffle=False)
    assert_same(model.get_weights(), whole[0])


# ---- what ends early ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "epochs", "expected"), [(2, 3, [0, 1, 2]), (None, 2, [0]), (5, 2, [0])]
)
def test_an_iterator_that_ends_ends_the_training(steps, epochs, expected):
    model = classifier()
    with pytest.warns(UserWarning, match=r"fit: expected batches .* ended after 5 batches"):
        history = model.fit(batches(), epochs=epochs, steps_per_epoch=steps, verbose=0)
    assert history.epoch == expected
    assert model.iterations == 5


def test_one_epoch_on_a_whole_generator_is_no_early_end():
    assert classifier().fit(batches(), verbose=0).epoch == [0]
    assert classifier().fit(batches(), steps_per_epoch=5, verbose=0).epoch == [0]
    drawn = endless()
    classifier().fit(drawn, epochs=2, steps_per_epoch=3, verbose=0)
    np.testing.assert_array_equal(next(drawn)[0], X[20:40])  # nothing was drawn beyond six


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("fastnn batches")]


def test_a_callback_ends_it_and_the_thread():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    model = classifier()
    model.fit(endless(), steps_per_epoch=50, epochs=4, verbose=0, callbacks=[Stop()])
    assert model.iterations == 3
    assert not threads()


def test_an_error_comes_with_its_traceback():
    class Broken(Numbered):
        def __getitem__(self, index):
            if index == 3:
                return self.fails_here()
            return super().__getitem__(index)

        def fails_here(self):
            raise KeyError("the file of batch 3")

    data, model = Broken(), classifier()
    with pytest.raises(KeyError, match="the file of batch 3") as caught:
        model.fit(data, shuffle=False, verbose=0)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "fails_here" in names
    assert not threads()
    assert model.iterations == 3  # what came before it was trained on
    model.fit(batches(), verbose=0)


def test_a_stop_iteration_of_a_pydataset_is_no_end():
    class Broken(Numbered):
        def __getitem__(self, index):
            raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        classifier().fit(Broken(), verbose=0)


def test_ctrl_c_does_not_wait_for_a_source_that_hangs():
    hang = threading.Event()

    def stuck():
        yield from batches()
        hang.wait(60)

    main = threading.main_thread().ident
    timer = threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.perf_counter()
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            classifier().fit(stuck(), steps_per_epoch=50, verbose=0)
    finally:
        signal.signal(signal.SIGINT, previous)
        timer.cancel()
    assert time.perf_counter() - start < 10
    hang.set()


# ---- evaluate, predict, validation --------------------------------------------------------------


@pytest.mark.parametrize("make", [batches, Numbered, Pairs, Again])
def test_evaluate_and_predict(make):
    model = classifier()
    assert model.evaluate(make(), verbose=0) == model.evaluate(X, LABELS, verbose=0)
    np.testing.assert_array_equal(model.predict(make()), model.predict(X))
    expected = model.evaluate(X[:40], LABELS[:40], verbose=0)
    assert model.evaluate(make(), verbose=0, steps=2) == expected
    assert model.evaluate(X, LABELS, SIZE, 0, steps=2) == expected
    np.testing.assert_array_equal(model.predict(make(), steps=2), model.predict(X[:40]))
    np.testing.assert_array_equal(model.predict(X, SIZE, steps=2), model.predict(X[:40]))


@pytest.mark.parametrize("make", [batches, Numbered, Pairs, Again])
def test_more_steps_than_there_are_batches_see_each_once(make):
    model = classifier()
    np.testing.assert_array_equal(model.predict(make(), steps=9), model.predict(X))
    expected = model.evaluate(X, LABELS, verbose=0)
    if make is batches:
        with pytest.warns(UserWarning, match=r"^x: expected 9 batches"):
            assert model.evaluate(make(), verbose=0, steps=9) == expected
        return
    assert model.evaluate(make(), verbose=0, steps=9) == expected
    validation = {"validation_data": make(), "validation_steps": 6}
    history = model.fit(X, LABELS, epochs=2, verbose=0, **validation).history
    assert history["val_loss"][-1] == model.evaluate(X, LABELS, verbose=0)[0]


def test_predict_takes_x_alone_and_builds_the_model():
    model = classifier(name="first")
    out = model.predict(x for x, _ in batches())
    np.testing.assert_array_equal(out, model.predict(X))
    np.testing.assert_array_equal(model.predict((x,) for x, _ in batches()), out)


@pytest.mark.parametrize("make", [Numbered, Pairs, Again])
@pytest.mark.parametrize("steps", [None, 3])
def test_validation_begins_anew(make, steps):
    rows = 90 if steps is None else 60
    expected = classifier().fit(
        *(X, LABELS, SIZE, 3, 0), shuffle=False, validation_data=(X[:rows], LABELS[:rows])
    )
    history = classifier().fit(
        *(endless(), None, None, 3, 0),
        steps_per_epoch=5,
        validation_data=make(),
        validation_steps=steps,
    )
    assert history.history == expected.history


def test_validation_by_a_generator_goes_on():
    class Losses(Callback):
        def on_test_end(self, logs=None):
            start = 40 * self.epoch
            part = slice(start, start + 40)
            expected = self.model.evaluate(X[part], LABELS[part], verbose=0)
            assert list(logs.values()) == expected

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    arguments = {"validation_data": endless(), "validation_steps": 2, "callbacks": [Losses()]}
    classifier().fit(X, LABELS, epochs=2, verbose=0, **arguments)
    with pytest.warns(UserWarning, match=r"^validation_data: expected more batches"):
        history = classifier().fit(X, LABELS, epochs=3, verbose=0, validation_data=batches())
    assert history.validated == [0]


def test_the_order_of_random_numbers_is_that_of_the_main_thread():
    set_random_seed(1)
    expected = [draw_permutation(5).tolist(), draw_permutation(9).tolist()]
    model, data = classifier(), Numbered()
    set_random_seed(1)
    model.fit(data, verbose=0)
    assert [data.asked, draw_permutation(9).tolist()] == expected


def test_the_progress_bar_counts_batches(capsys):
    classifier().fit(Numbered(), epochs=2)
    assert "10/10" in capsys.readouterr().out
    classifier().fit(batches())
    assert "5batch" in capsys.readouterr().out


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": LABELS}, "y: expected None, as x is a source"),
        ({"batch_size": 32}, "batch_size: expected None"),
        ({"sample_weight": WEIGHT}, "sample_weight: expected None"),
        ({"validation_split": 0.1}, "validation_split: expected 0"),
        ({"class_weight": "balanced"}, "class_weight: expected a dict"),
        ({"validation_data": Ellipsis}, "validation_data: expected a tuple .* or a source"),
    ],
)
def test_what_does_not_go_with_a_source(arguments, words):
    model = classifier()
    weights = model.get_weights()
    with pytest.raises(ValueError, match=rf"^{words}"):
        model.fit(Numbered(), verbose=0, **arguments)
    assert_same(model.get_weights(), weights)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (X, r"x, batch 1: expected \(x, y\) or .*, got ndarray"),
        ((X,), r"x, batch 1: expected \(x, y\) or .*, got tuple of 1"),
        ({"x": X}, r"x, batch 1: .*got dict"),
        ((X[:, :5], LABELS), r"x, batch 1, x: expected 6 features, got shape \(90, 5\)"),
        ((X, LABELS[:4]), "x, batch 1, y: expected 90 rows"),
        ((X, LABELS + 3), "x, batch 1, y: expected class ids 0 to 2"),
        ((X, LABELS, WEIGHT[1:]), "x, batch 1, sample_weight: expected 90 rows"),
        ((X[:0], LABELS[:0]), "x, batch 1, x: expected at least one row"),
    ],
)
def test_bad_batches(batch, words):
    model = classifier()
    with pytest.raises(ValueError, match=rf"^{words}"):
        model.fit(iter([(X, LABELS), batch]), verbose=0)
    assert model.iterations == 1


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("built", [True, False])
def test_no_batches(call, built):
    class Nothing(Numbered):
        def __len__(self):
            return 0

    class NoPass:
        def __iter__(self):
            return iter(())

    for source in (Nothing(), NoPass(), iter(())):
        model = classifier() if built else classifier(name="first")
        with pytest.raises(ValueError, match=r"^x: expected at least one batch, got none"):
            getattr(model, call)(source, verbose=0)


def test_bad_settings_of_a_pydataset():
    with pytest.raises(ValueError, match=r"^use_multiprocessing: expected False"):
        PyDataset(use_multiprocessing=True)
    with pytest.raises(ValueError, match=r"^workers"):
        PyDataset(workers=-1)
    with pytest.raises(NotImplementedError, match="PyDataset: expected a __getitem__"):
        PyDataset()[0]
