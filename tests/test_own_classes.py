"""Classes of one's own with methods that Keras calls and nothing here does are refused when they
are made: trained with, they would do nothing."""

import numpy as np
import pytest

from fastnn import activations, initializers, losses, metrics, optimizers, regularizers


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (losses.Loss, "call"),
        (losses.MeanSquaredError, "call"),
        (metrics.Metric, "update_state"),
        (regularizers.Regularizer, "__call__"),
        (regularizers.L2, "__call__"),
        (optimizers.Optimizer, "update_step"),
        (optimizers.Adam, "apply_gradients"),
    ],
)
def test_methods_that_nothing_calls_are_refused(base, method):
    with pytest.raises(TypeError, match=rf"Own: expected no {method}\(\) of its own"):
        type("Own", (base,), {method: lambda self, *arguments: 0.0})


def test_other_subclasses_go():
    class Small(regularizers.L2):
        def __init__(self):
            super().__init__(1e-6)

    assert regularizers.get(Small()).l2 == 1e-6


def test_names_in_small_letters():
    assert losses.get(losses.categorical_crossentropy).name == "categorical_crossentropy"
    np.testing.assert_array_equal(losses.mean_squared_error([[1.0]], [[2.0]]), [1.0])
    assert metrics.get(metrics.mean_absolute_error).name == "mean_absolute_error"
    assert initializers.get(initializers.glorot_uniform).get_config() == {"seed": None}
    assert activations.get(activations.swish) is activations.silu
