"""scikit-learn's estimators, on fastnn's engine. Needs scikit-learn 1.9: the extra `sklearn`."""

try:
    from sklearn import __version__ as _version
except ImportError as error:
    raise ImportError(
        'fastnn.sklearn: expected scikit-learn, got none: pip install "fastnn[sklearn]"'
    ) from error
# What is derived from is not all public, and may be another in another version.
if not (1, 9) <= tuple(int(part) for part in _version.split(".")[:2]) < (1, 10):
    raise ImportError(
        f'fastnn.sklearn: expected scikit-learn 1.9, got {_version}: pip install "fastnn[sklearn]"'
    )

from fastnn.sklearn._estimators import MLPClassifier, MLPRegressor
from fastnn.sklearn._wrapped import SequentialClassifier, SequentialRegressor, from_keras_model

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "SequentialClassifier",
    "SequentialRegressor",
    "from_keras_model",
]
