"""scikit-learn's own tests of its multi-layer perceptrons, as in its wheel, on fastnn's classes.

What computes in scikit-learn's classes is out of order meanwhile, so that the engine does it all.
"""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("sklearn", "1.9", reason="of the sklearn extra")

from sklearn import neural_network
from sklearn.neural_network import _multilayer_perceptron as theirs
from sklearn.neural_network import _stochastic_optimizers as steps
from sklearn.utils._test_common.instance_generator import (
    INIT_PARAMS,
    PER_ESTIMATOR_CHECK_PARAMS,
    _construct_instances,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("default")  # convergence is not theirs to reach everywhere

OURS = {
    neural_network.MLPClassifier: MLPClassifier,
    neural_network.MLPRegressor: MLPRegressor,
}
COMPUTE = {
    theirs.BaseMultilayerPerceptron: [
        "_forward_pass",
        "_forward_pass_fast",
        "_backprop",
        "_compute_loss_grad",
        "_loss_grad_lbfgs",
        "_fit_stochastic",
    ],
    steps.BaseOptimizer: ["update_params"],
    steps.SGDOptimizer: ["_get_updates"],
    steps.AdamOptimizer: ["_get_updates"],
}


@pytest.fixture(autouse=True)
def _out_of_order(monkeypatch):
    """Whatever multiplies matrices or moves weights in scikit-learn fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("scikit-learn computes")

    for owner, names in COMPUTE.items():
        for name in names:
            assert name in vars(owner)
            monkeypatch.setattr(owner, name, refuse)


@pytest.fixture
def global_random_seed():
    """A fixture of scikit-learn's conftest, with its default."""
    return 42


def their_tests():
    """The module of scikit-learn's tests, imported with the two classes in place of its own."""
    path = Path(neural_network.__file__).parent / "tests" / "test_mlp.py"
    spec = importlib.util.spec_from_file_location("sklearn_test_mlp", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for cls, ours in OURS.items():
            patch.setattr(neural_network, cls.__name__, ours)
        spec.loader.exec_module(module)
    return module


_module = their_tests()
assert _module.MLPClassifier is MLPClassifier
THEIRS = {name: test for name, test in vars(_module).items() if name.startswith("test_")}
globals().update(THEIRS)  # collected as if they stood here; none is left out


def test_all_of_their_tests_are_here():
    assert len(THEIRS) >= 40


def instances():
    """What scikit-learn's own run of its checks makes of its classes, made of ours."""
    for cls, ours in OURS.items():
        INIT_PARAMS[ours] = INIT_PARAMS[cls]
        PER_ESTIMATOR_CHECK_PARAMS[ours] = PER_ESTIMATOR_CHECK_PARAMS[cls]
        yield from _construct_instances(ours)


@parametrize_with_checks(list(instances()))
def test_checks(estimator, check):
    check(estimator)
