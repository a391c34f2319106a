"""What all metrics are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import _judge
from fastnn._data import check_neutral
from fastnn._measures import Measure
from fastnn._registry import Configurable, refuse_methods
from fastnn.losses import Loss
from fastnn.losses import SparseCategoricalCrossentropy as SparseLoss

# Keras's arguments that fastnn does not support, at the values that ask for nothing
_NEUTRAL = {
    "dtype": (None,),
    "axis": (-1, 1),
    "ignore_class": (None,),
    "from_sorted_ids": (False,),
    "top_k": (None,),
    "summation_method": ("interpolation",),
    "thresholds": (None,),
    "multi_label": (False,),
    "num_labels": (None,),
    "label_weights": (None,),
}
_OWN = "the engine computes metrics; give compile a function, see fastnn.metrics.FunctionMetric"


class Metric(Configurable):
    """Base of all metrics: the mean over the samples of a value for each sample.

    `sparse` says whether targets are class ids; None takes both. `rises` says whether more is
    better; None: unknown. `reads_outputs` says that it is of all targets and predictions instead,
    computed once an epoch, not as a batch or a slice of it ends. `of_classes`: it tells outputs
    apart, which must be of one axis.

    Parameters
    ----------
    name : str, optional
    dtype, **keras
        Keras's other arguments, at the values that ask for nothing.

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredError, Metric
    >>> isinstance(MeanSquaredError(), Metric)
    True
    """

    sparse: bool | None = False
    rises: bool | None = None
    reads_outputs = False
    of_classes = False
    _name: str
    _engine_name: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_methods(cls, ("update_state",), _OWN)

    def __init__(self, name: str | None = None, dtype: None = None, **keras: Any) -> None:
        check_neutral(type(self).__name__, {"dtype": dtype, **keras}, _NEUTRAL)
        self.name = self._name if name is None else str(name)

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """The metric of predictions, as `evaluate` reports it; nothing is kept between calls.

        Parameters
        ----------
        y_true : array_like
            Class ids (samples,), or (samples, outputs), as the metric wants them.
        y_pred : array_like (samples, outputs)
            Computed in float32 if that is its dtype, else in float64.

        Raises
        ------
        ValueError, TypeError
            If an argument is no such array.
        """
        p = _judge.as_predictions(y_pred)
        outputs = p.shape[1]
        sparse = np.ndim(y_true) == 1 and outputs > 1 if self.sparse is None else self.sparse
        y = _judge.check(y_true, p, sparse, p.shape[1:])
        self.check_targets(y, "y_true")
        measures = Measures([self], SparseLoss() if sparse else None, outputs)
        loss = ("xent" if sparse else "mse", (), None)
        _, means = _judge.judge(p, y, None, loss, measures.names)
        return measures.results(means, len(p), y, p)[self.name]

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        """The engine's words for what this metric is made of on a model with so many outputs."""
        return [self._engine_name]

    def result(self, means: list[float], count: int) -> float:
        """The metric, from the means over the samples of what `engine_names` names.

        `count` is samples * outputs.
        """
        return means[0]

    def of_outputs(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """The metric of checked targets and outputs of the same samples, if it reads these."""
        raise NotImplementedError

    def check_targets(self, y: np.ndarray, name: str) -> None:
        """Refuse targets that have no such metric."""


class OutputMetric(Metric):
    """Base of metrics that are no mean of a value for each sample, whatever their settings.

    Examples
    --------
    >>> from fastnn.metrics import OutputMetric, R2Score
    >>> isinstance(R2Score(), OutputMetric)
    True
    """

    reads_outputs = True

    def engine_names(self, loss: Loss | None, outputs: int) -> list[Measure]:
        return []


class Measures:
    """What the engine is to measure for some metrics, and what they are, worked out once.

    Parameters
    ----------
    metrics : sequence of Metric
    loss : Loss or None
    outputs : int
        How many the model has.

    Attributes
    ----------
    names : list of Measure
        What the engine is to measure, each once.
    of_outputs : bool
        Whether a metric wants all outputs.

    Examples
    --------
    >>> from fastnn.metrics import F1Score, Measures, Recall
    >>> measures = Measures([F1Score(), Recall()], None, 1)
    >>> [name for name, _ in measures.names]
    ['true_positive', 'predicted_positive', 'actual_positive']
    >>> measures.results([0.25, 0.5, 0.5], 4)
    {'f1_score': 0.5, 'recall': 0.5}
    """

    def __init__(self, metrics: Sequence[Metric], loss: Loss | None, outputs: int) -> None:
        parts = [metric.engine_names(loss, outputs) for metric in metrics]
        self.names = list(dict.fromkeys(name for names in parts for name in names))
        places = [[self.names.index(name) for name in names] for names in parts]
        self._metrics = list(zip(metrics, places, strict=True))
        self._outputs = outputs
        self.of_outputs = any(metric.reads_outputs for metric in metrics)

    def results(
        self,
        means: Sequence[float],
        samples: int,
        y_true: np.ndarray | None = None,
        y_pred: np.ndarray | None = None,
    ) -> dict[str, float]:
        """The metrics by name, from the means over the samples of `names`.

        Those of outputs come from these and the targets, or are left out where there are none.
        """
        found, count = {}, samples * self._outputs
        for metric, places in self._metrics:
            if not metric.reads_outputs:
                found[metric.name] = metric.result([means[place] for place in places], count)
            elif y_true is not None and y_pred is not None:
                found[metric.name] = metric.of_outputs(y_true, y_pred)
        return found
