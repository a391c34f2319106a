"""Models and layers: building, weights, configs."""

import gc
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import initializers
from fastnn.layers import Activation, Dense, Input, LayerNormalization, Normalization
from fastnn.models import Model, Sequential, clone_model, model_from_json
from fastnn.optimizers import SGD
from fastnn.utils import set_random_seed, to_categorical

SHAPES = [(4, 3), (3,), (3, 2), (2,)]


def shapes_of(model: Sequential) -> list[tuple[int, ...]]:
    return [weight.shape for weight in model.get_weights()]


def two_layers() -> list[Dense]:
    return [Dense(3, activation="relu"), Dense(2)]


def test_three_ways_to_say_the_input_are_one():
    models = [
        Sequential([Input((4,)), *two_layers()]),
        Sequential([Input(shape=(4,)), *two_layers()]),
        Sequential([Dense(3, "relu", input_shape=(4,)), Dense(2)]),
        Sequential([Dense(3, "relu", input_dim=4), Dense(2)]),
    ]
    added = Sequential()
    added.add(Input((4,)))
    for layer in two_layers():
        added.add(layer)
    for model in [*models, added]:
        assert model.built
        assert shapes_of(model) == SHAPES
        assert len(model.layers) == 2
        assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
        assert model.layers[0].output_shape == model.layers[1].input_shape == (None, 3)
        assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_without_input_the_first_data_builds():
    model = Sequential(two_layers())
    assert not model.built
    assert model.get_weights() == []
    with pytest.raises(ValueError, match="built"):
        model.count_params()
    with pytest.raises(AttributeError, match="not built"):
        model.layers[0].kernel  # noqa: B018
    assert model.predict(np.ones((5, 4))).shape == (5, 2)
    assert shapes_of(model) == SHAPES
    built = Sequential(two_layers())
    built.build((None, 4))
    assert shapes_of(built) == SHAPES


def test_predict_is_what_the_weights_say():
    model = Sequential(
        [Dense(5, "tanh", input_shape=(4,)), Dense(3, use_bias=False), Activation("relu")]
    )
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    x = rng.normal(size=(7, 4)).astype(np.float32)
    expected = np.maximum(np.tanh(x @ weights[0] + weights[1]) @ weights[2], 0)
    for y in (model.predict(x), model(x), model.predict_on_batch(x), model.forward(x)):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.layers[0].kernel, weights[0])
    np.testing.assert_array_equal(model.layers[0].bias, weights[1])
    assert model.layers[1].bias is None


def test_weights_are_copies_both_ways():
    model = Sequential([Dense(2, input_shape=(3,))])
    before = model.get_weights()
    model.layers[0].kernel[:] = 7
    model.get_weights()[1][:] = 7
    given = [np.ones((3, 2), np.float32), np.ones(2, np.float32)]
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    model.layers[0].set_weights(given)
    given[0][:] = 5
    np.testing.assert_array_equal(model.layers[0].kernel, 1)
    assert not model.flat_weights.flags.writeable


def test_add_and_pop_keep_the_other_weights():
    model = Sequential([Dense(3, input_shape=(4,)), Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    head = model.pop()
    np.testing.assert_array_equal(head.get_weights()[0], before[2])
    model.add(Dense(5, name="other"))
    assert model.output_shape == (None, 5)
    for got, expected in zip(model.get_weights()[:2], before[:2], strict=True):
        np.testing.assert_array_equal(got, expected)
    model.fit(np.ones((4, 4)), np.ones((4, 5)), verbose=0)
    activation = Sequential([Dense(7, input_shape=(4,)), Activation("relu")]).pop()
    model.add(activation)  # without weights, it fits any width
    assert model.predict(np.ones((1, 4))).min() >= 0
    again = Sequential([Dense(3, input_shape=(4,)), head])
    np.testing.assert_array_equal(again.get_weights()[2], before[2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sequential([Dense(3), "relu"]), "layer"),
        (lambda: Sequential([Dense(3, name="a"), Dense(3, name="a")]), "name"),
        (lambda: Sequential([Dense(3), Dense(3, dtype="float64")]), "dtype"),
        (lambda: Sequential([Dense(3, input_shape=(4,)), Dense(3, input_shape=(4,))]), "4 inputs"),
        (lambda: Sequential([Dense(3), Input((3,))]), "first"),
        (lambda: Sequential([Input((3,)), Normalization(mean=[0, 1], variance=[1, 1])]), "inputs"),
        (lambda: Input(()), "shape"),
        (lambda: Input(3), "shape"),
        (lambda: Dense(3, input_shape=(0,)), "input_shape"),
        (lambda: Dense(3)(Input((3,))), "functional"),
        (lambda: Model(inputs=1, outputs=2), "Sequential"),
        (lambda: Sequential().pop(), "pop"),
        (lambda: Sequential().predict(np.ones((2, 2))), "at least one layer"),
        (lambda: Sequential([Input((3,))]).predict(np.ones((2, 3))), "at least one layer"),
        (lambda: Normalization(axis=0), "axis"),
        (lambda: Normalization(axis=np.ones(2)), "axis"),
        (lambda: Normalization(mean=1.0), "variance"),
        (lambda: Normalization(mean=1.0, variance=-1.0), "variance"),
        (lambda: Normalization().adapt(np.ones(3)), "data"),
        (lambda: Normalization().adapt([[1, np.nan]]), "data: expected finite"),
        (lambda: Normalization().adapt([[3e38], [-3e38]]), "expected finite"),
        (lambda: Normalization(mean=[10**400], variance=[1]), "mean"),
        (lambda: Normalization().adapt(np.ones((0, 3))), "data"),
        (lambda: Normalization(input_shape=(4,)).adapt(np.ones((5, 3))), "data"),
    ],
)
def test_models_that_do_not_fit_are_refused(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_a_layer_belongs_to_one_model_and_a_refused_model_lets_go():
    layer = Dense(3)
    with pytest.raises(TypeError):
        Sequential([layer, 3])
    model = Sequential([layer])
    with pytest.raises(ValueError, match=model.name):
        Sequential([layer])


def test_a_model_dies_with_its_last_user_and_leaves_its_layers_their_weights():
    layer = Dense(3, input_shape=(2,))
    model = Sequential([layer])
    kernel = layer.kernel
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()
    np.testing.assert_array_equal(Sequential([layer]).layers[0].kernel, kernel)


def test_a_failed_add_changes_nothing():
    model = Sequential([Dense(3, input_shape=(2,))])
    model.compile(SGD(0.1, momentum=0.9), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    before, network = model.get_weights(), model._network
    refused = Dense(3, bias_initializer="identity", name="last")
    with pytest.raises(ValueError, match=r"bias_initializer of layer 'last': .*two axes"):
        model.add(refused)
    assert (len(model.layers), refused.owner) == (1, None)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert model._network is network  # and with it the optimizer's state
    assert model.optimizer.iterations == 1


def test_a_failed_add_or_model_sets_everything_free():
    start, layer = Input((2,)), Dense(3)
    model = Sequential()
    for refused in (Dense(3, input_shape=(2,), bias_initializer="orthogonal"), Dense(3)):
        with pytest.raises((ValueError, TypeError)):
            Sequential([start, layer, refused, "relu"])
    with pytest.raises(ValueError, match="bias_initializer"):
        model.add(Dense(3, input_shape=(2,), bias_initializer="orthogonal"))
    assert model.input_size is None
    model.add(start)
    model.add(layer)
    assert model.output_shape == (None, 3)


def test_kerass_ways_to_layers_and_weights():
    model = Sequential([Normalization(name="scale", input_shape=(4,)), Dense(3, name="out")])
    assert model.get_layer("out") is model.get_layer(index=1) is model.layers[1]
    assert [w.shape for w in model.weights] == [(4,), (4,), (), (4, 3), (3,)]
    assert [w.shape for w in model.trainable_weights] == [(4, 3), (3,)]
    assert [w.shape for w in model.get_layer("out").weights] == [(4, 3), (3,)]
    assert model.trainable is model.layers[0].trainable is True


def test_normalization_standardizes_inside_the_model():
    rng = np.random.default_rng(1)
    x = rng.normal(3, 2, (50, 3)).astype(np.float32)
    x[:, 2] = 1234.567  # a constant feature becomes 0
    layer = Normalization()
    layer.adapt(x)
    model = Sequential([layer])
    expected = (x - x.mean(0)) / np.maximum(x.std(0), 1e-7)
    np.testing.assert_allclose(model.predict(x)[:, :2], expected[:, :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.predict(x)[:, 2], 0)
    np.testing.assert_allclose(layer.mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.variance[:2], x.var(0)[:2], rtol=1e-5)
    mean, variance, count = layer.get_weights()
    assert (mean.shape, variance.shape, float(count)) == ((3,), (3,), 50)
    model.layers[0].adapt(2 * x)  # also once it is in a model
    np.testing.assert_allclose(model.predict(2 * x)[:, :2], expected[:, :2], rtol=1e-4, atol=1e-5)


def test_normalization_with_given_or_no_statistics():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(Sequential([Normalization()]).predict(x), x)
    given = Sequential([Normalization(mean=[1, 2], variance=[4, 0.25])])
    np.testing.assert_allclose(given.predict(x), (x - [1, 2]) / [2, 0.5], rtol=1e-6)
    assert given.get_weights() == []
    one = Sequential([Normalization(mean=1, variance=4)])
    np.testing.assert_allclose(one.predict(x), (x - 1) / 2, rtol=1e-6)
    with pytest.raises(ValueError, match="adapt"):
        given.layers[0].adapt(x)


@pytest.mark.parametrize("statistics", [[0, -1.0, 5], [0, 1, -5], [np.nan, 1, 5], [0, np.inf, 5]])
@pytest.mark.parametrize("through_model", [True, False])
def test_normalization_refuses_weights_that_are_no_statistics(statistics, through_model):
    layer = Normalization(input_shape=(1,))
    model = Sequential([layer])
    mean, variance, count = statistics
    with pytest.raises(ValueError, match=r"^weights.*: expected"):
        (model if through_model else layer).set_weights([[mean], [variance], count])
    np.testing.assert_array_equal(model.predict([[3.0]]), [[3.0]])


def test_activations_by_their_names():
    for name in ("exponential", "exp"):
        assert Dense(3, name).get_config()["activation"] == "exponential"


def test_dtypes():
    model = Sequential([Dense(3, dtype="float64", input_shape=(2,)), Dense(1, dtype=np.float64)])
    assert {w.dtype.name for w in model.get_weights()} == {"float64"}
    assert model.predict([[1, 2]]).dtype == np.float64
    fastnn.config.set_floatx("float64")
    try:
        assert Dense(3).dtype == "float64"
    finally:
        fastnn.config.set_floatx("float32")
    for wrong in ("float16", "int32", "number", 3):
        with pytest.raises(ValueError, match="dtype"):
            fastnn.config.set_floatx(wrong)
    assert Dense(3).dtype == "float32"


def test_config_round_trip_makes_an_equal_model():
    model = Sequential(
        [
            Input((4,)),
            Normalization(mean=[0, 1, 2, 3], variance=[1, 2, 3, 4]),
            Dense(3, "swish", kernel_initializer=initializers.HeNormal(seed=3)),
            Activation("softmax"),
        ],
        name="mine",
    )
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.name == "mine"
    for got, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_summary_counts_parameters_and_memory():
    stack = [Dense(8, name="a", input_shape=(4,), trainable=False), Dense(1, name="b")]
    model = Sequential(stack)

    def lines(**arguments):
        told = []
        model.summary(print_fn=told.append, **arguments)
        return told

    assert lines()[-4:-1] == [
        "Total params: 49 (196.00 B)",
        "Trainable params: 9 (36.00 B)",
        "Non-trainable params: 40 (160.00 B)",
    ]
    model.compile("rmsprop", "mse")
    assert "Optimizer params: 49 (196.00 B)" in lines()
    model.compile("adam", "mse")
    assert "Optimizer params: 98 (392.00 B)" in lines()
    assert lines(batch_size=1024)[-1] == "Workspace for batches of 1024: about 108.00 KB"
    wide = lines(line_length=70, show_trainable=True)
    assert {len(line) for line in wide[1:4]} == {70}
    assert wide[4].startswith("a (Dense)")
    assert wide[4].split()[-1] == "N"
    assert wide[5].split()[-1] == "Y"
    unbuilt = []
    Sequential([Dense(3)]).summary(print_fn=unbuilt.append)
    assert unbuilt[4].split()[-3:] == ["?", "0", "(unbuilt)"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"line_length": 0}, "line_length"),
        ({"print_fn": "print"}, "print_fn"),
        ({"expand_nested": True}, "expand_nested: .*summary does not support"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_arguments_of_summary(arguments, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        Sequential([Dense(3)]).summary(**arguments)


def test_summary_names_every_layer():
    model = Sequential([Dense(3, input_shape=(4,), name="first"), Dense(2, name="second")])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for part in ("first (Dense)", "(None, 3)", "15", "second (Dense)", "8", "23"):
        assert part in text


@pytest.mark.parametrize("name", sorted({k for k in initializers._KNOWN if k.islower()}))
def test_initializers(name):
    shape, other = (300, 300), (40, 200)
    values = initializers.get(name)(shape)
    assert (values.shape, values.dtype) == (shape, np.float32)
    deviation = {
        "zeros": 0,
        "ones": 0,
        "constant": 0,
        "identity": np.sqrt(1 / 300),
        "orthogonal": np.sqrt(1 / 300),
        "random_normal": 0.05,
        "truncated_normal": 0.05 * 0.8796,
        "random_uniform": 0.1 / np.sqrt(12),
        "uniform": 0.1 / np.sqrt(12),
        "normal": 0.05,
        "zero": 0,
        "one": 0,
        "variance_scaling": np.sqrt(1 / 300),
    }.get(name, np.sqrt((2 if name.startswith("he") else 1) / 300))
    assert values.std() == pytest.approx(deviation, rel=0.02, abs=1e-7)
    if name not in ("zeros", "zero", "ones", "one", "constant", "identity"):
        make = initializers._KNOWN[name]
        np.testing.assert_array_equal(make(seed=3)(other), make(seed=3)(other))
        assert not np.array_equal(make(seed=3)(other), make(seed=4)(other))
        assert not np.array_equal(make()(other), make()(other))
    if name == "orthogonal":
        wide = initializers.get(name)(other, "float64")
        np.testing.assert_allclose(wide @ wide.T, np.eye(40), atol=1e-12)
    for fan in ("fan_in", "fan_out"):
        if name == "variance_scaling":
            values = initializers.VarianceScaling(2.0, fan, "uniform")(other)
            inputs = {"fan_in": 40, "fan_out": 200}[fan]
            assert values.std() == pytest.approx(np.sqrt(2 / inputs), rel=0.03)


def test_random_seed_fixes_the_weights():
    def weights() -> np.ndarray:
        set_random_seed(5)
        return Sequential([Dense(4, input_shape=(3,)), Dense(2)]).layers[1].kernel

    np.testing.assert_array_equal(weights(), weights())
    assert not np.array_equal(weights(), Dense(2).kernel_initializer((4, 2)))


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([0, 2]), [[1, 0, 0], [0, 0, 1]])
    assert to_categorical([1], 4).shape == (1, 4)
    assert to_categorical(100_000, 100_001).nonzero()[0] == 100_000  # and no 40 GB on the way
    assert to_categorical([[True], [False]]).shape == (2, 2)  # a column of ids, as in Keras
    assert to_categorical([[0, 1], [2, 0]]).shape == (2, 2, 3)
    for wrong, classes in (([-1], None), ([0.5], None), ([3], 3), ([np.nan], 3), ([np.inf], 3)):
        with pytest.raises(ValueError, match="expected"):
            to_categorical(wrong, classes)


def test_sequential_takes_keras_arguments():
    frozen = Sequential([Input((2,)), Dense(3), Dense(1)], trainable=False, name="frozen")
    assert frozen.name == "frozen"
    assert not frozen.trainable_weights
    with pytest.raises(TypeError, match="trainable: expected True or False"):
        Sequential([Dense(1)], "name")
    frozen.build()
    assert Sequential([Input(batch_shape=(None, 4)), Dense(1)]).input_shape == (None, 4)
    with pytest.raises(ValueError, match="batch_shape: expected"):
        Input(batch_shape=(32, 4))
    with pytest.raises(ValueError, match="shape, batch_shape: expected one of them"):
        Input((4,), batch_shape=(None, 4))
    with pytest.raises(ValueError, match="input_shape"):
        Sequential([Dense(1)]).build()
    same = Sequential.from_config(frozen.get_config(), custom_objects=None)
    assert same.get_config() == frozen.get_config()


def test_layer_normalization_takes_rms_scaling_at_its_default():
    layer = LayerNormalization(rms_scaling=False)
    rows = Sequential([Input((4,)), layer])([[1.0, 2.0, 3.0, 4.0]])
    want = (np.arange(1, 5) - 2.5) / np.sqrt(1.25 + 1e-3)
    np.testing.assert_allclose(rows[0], want, rtol=1e-6)
    assert "rms_scaling" not in layer.get_config()


def test_train_on_batch_weighs_classes():
    x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 1, 0])
    first = Sequential([Input((4,)), Dense(2, activation="softmax")])
    second = clone_model(first)
    for model in (first, second):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.set_weights([np.ones((4, 2)), np.zeros(2)])
    loss = first.train_on_batch(x, y, None, {0: 1.0, 1: 3.0}, True)
    assert loss == second.train_on_batch(x, y, [1.0, 3.0, 3.0, 1.0], return_dict=True)
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])


# ---- JSON ---------------------------------------------------------------------------------------


def test_layers_come_back_from_json():
    model = Sequential([Input((4,)), Dense(3, "relu", kernel_regularizer="l2"), Dense(2)])
    again = model_from_json(model.to_json(indent=2))
    assert again.get_config() == model.get_config()
    assert again.optimizer is None
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(np.eye(4)), model.predict(np.eye(4)))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"{}", TypeError, "json_string: expected a str, got bytes"),
        ("{", ValueError, "json_string: expected JSON"),
        ("[]", ValueError, "json_string: expected what Sequential.to_json returns"),
        ('{"class_name": "Dense", "config": {}}', ValueError, "expected what Sequential.to_json"),
        ('{"class_name": "Sequential", "config": {}}', ValueError, "'layers' is missing"),
    ],
)
def test_other_json_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        model_from_json(text)


def test_models_are_saved_by_function(tmp_path):
    model = Sequential([Dense(3, input_shape=(2,))])
    fastnn.saving.save_model(model, tmp_path / "model.fastnn")
    with pytest.raises(FileExistsError):
        fastnn.models.save_model(model, tmp_path / "model.fastnn", overwrite=False)
    again = fastnn.saving.load_model(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    with pytest.raises(TypeError, match="model: expected a Sequential"):
        fastnn.models.save_model(None, tmp_path / "other.fastnn")
