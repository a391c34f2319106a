"""The optimizer that takes all samples at once."""

from typing import Any

from fastnn._data import as_int, as_number
from fastnn.optimizers._optimizers import Optimizer


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu & Nocedal 1989): SciPy's L-BFGS-B on all samples.

    Each epoch of `fit` is an iteration: a line search along a direction that bends the gradient by
    what the last steps have shown of the curvature. It suits small data, and converges where others
    need a schedule. `fit` ends when it has converged; another `fit` begins a search of its own.
    Needs SciPy (``pip install scipy``).

    Parameters
    ----------
    history : int >= 1
        Steps that are remembered.
    gtol : float >= 0
        `fit` ends when no number of the gradient is larger in size.
    ftol : float >= 0
        `fit` ends when an iteration makes the loss smaller by no more than this part of it.
    max_line_search : int >= 1
        The most evaluations of the loss in an iteration.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or no number.

    Notes
    -----
    Random layers, `BatchNormalization`, constraints and multipliers of the learning rate are
    refused by `fit`, which takes no `batch_size` or `steps_per_epoch` then; so are
    `train_on_batch` and `apply_gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.optimizers import LBFGS
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> model = Sequential([Dense(1, input_shape=(1,))])
    >>> model.compile(LBFGS(), "mse")
    >>> losses = model.fit(x, 3 * x + 1, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < 1e-6
    True
    """

    engine_name = "sum"
    # what other optimizers have, and this one cannot be given
    weight_decay = clipnorm = clipvalue = global_clipnorm = None
    use_ema = ema_momentum = ema_overwrite_frequency = gradient_accumulation_steps = None
    learning_rate = None

    def __init__(
        self,
        history: int = 10,
        gtol: float = 1e-5,
        ftol: float = 2.220446049250313e-09,
        max_line_search: int = 20,
        *,
        name: str | None = None,
    ) -> None:
        self.history = as_int(history, "history", 1)
        self.gtol = as_number(gtol, "gtol", 0)
        self.ftol = as_number(ftol, "ftol", 0)
        self.max_line_search = as_int(max_line_search, "max_line_search", 1)
        self._begin(name)

    @property
    def options(self) -> dict[str, Any]:
        """What SciPy is told; epochs alone count iterations."""
        endless = {"maxiter": 2**31 - 1, "maxfun": 2**31 - 1}
        return {
            "maxcor": self.history,
            "gtol": self.gtol,
            "ftol": self.ftol,
            "maxls": self.max_line_search,
            **endless,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "history": self.history,
            "gtol": self.gtol,
            "ftol": self.ftol,
            "max_line_search": self.max_line_search,
        }
