"""What an engine measures beside the loss: a metric or a loss by name, with its numbers."""

from collections.abc import Iterable

# the engine's word for it, or that and its numbers
Measure = str | tuple[str | float, ...]

# metrics whose number is a threshold, by default 1/2
THRESHOLDED = frozenset(
    ("threshold_match", "true_positive", "predicted_positive", "actual_positive")
)


def split_measure(measure: Measure) -> tuple[str, tuple[float, ...]]:
    """The name and the numbers of a measure.

    Examples
    --------
    >>> from fastnn._measures import split_measure
    >>> split_measure(("in_top_k", 5)), split_measure("threshold_match")
    (('in_top_k', (5.0,)), ('threshold_match', (0.5,)))
    """
    words: Iterable[str | float] = (measure,) if isinstance(measure, str) else measure
    name, *numbers = words
    if name in THRESHOLDED and not numbers:
        numbers = [0.5]
    return str(name), tuple(map(float, numbers))
