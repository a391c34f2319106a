"""What metrics of outputs are computed from: the targets and outputs of a pass."""

from typing import Any

import numpy as np

State = dict[str, Any]


class Seen:
    """Targets and outputs of the samples of a pass, kept only where a metric wants them.

    Parameters
    ----------
    model : Sequential
        Built and compiled.

    Attributes
    ----------
    wanted : bool
        Whether a metric does.
    """

    def __init__(self, model: Any) -> None:
        self.wanted: bool = model._measured().of_outputs
        self._columns, self._dtype = model._network.output_size, model._dtype
        self._targets: list[np.ndarray] = []
        self._outputs: list[np.ndarray] = []

    def room(self, y: np.ndarray) -> np.ndarray | None:
        """Memory for the outputs of the samples that come next, whose targets are `y`."""
        if not self.wanted:
            return None
        if self._targets and y.shape[1:] != self._targets[0].shape[1:]:
            raise ValueError(
                f"y: expected targets of one shape in all batches, {self._targets[0].shape[1:]} a "
                f"sample, as a metric takes them together; got {y.shape[1:]}"
            )
        self._targets.append(y)
        self._outputs.append(np.empty((len(y), self._columns), self._dtype))
        return self._outputs[-1]

    def first(self, samples: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Targets and outputs of so many samples; None and None where no metric wants them."""
        if not self._targets:
            return None, None
        y, outputs = (
            parts[0] if len(parts) == 1 else np.concatenate(parts)
            for parts in (self._targets, self._outputs)
        )
        return y[:samples], outputs[:samples]

    def get_state(self, samples: int) -> State | None:
        """What `set_state` takes, of a pass that has come so far."""
        y, outputs = self.first(samples)
        return None if y is None else {"y": y, "outputs": outputs}

    def check_state(self, state: State | None, samples: int) -> None:
        """Refuse what cannot be of so many samples of this model."""
        kept = (len(state["y"]), np.shape(state["outputs"])) if state else None
        if kept != ((samples, (samples, self._columns)) if self.wanted else None):
            raise ValueError(
                f"metrics: expected outputs of {samples} samples in the backup where a metric "
                f"wants them, and else none; got {kept}"
            )

    def set_state(self, state: State | None) -> None:
        """Go on from there, in the memory that there is for the samples, or in new."""
        if state is not None:
            room = self._outputs[0] if self._outputs else self.room(state["y"])
            room[: len(state["outputs"])] = state["outputs"]  # type: ignore[index]
