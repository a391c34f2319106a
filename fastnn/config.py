"""Settings of the whole package: number type, threads, and what this build can do."""

import platform

import numpy as np

import fastnn._native.core as core
from fastnn._data import as_int
from fastnn._version import __version__

_DTYPES = ("float32", "float64")
# What layers compute in, and what their weights are kept in.
_POLICIES = {
    "float32": ("float32", "float32"),
    "float64": ("float64", "float64"),
    "mixed_bfloat16": ("bfloat16", "float32"),
}
_floatx = "float32"
_policy: "DTypePolicy | None" = None


class DTypePolicy:
    """What a layer computes in, and what its weights are kept in; after Keras's class.

    Parameters
    ----------
    name : {"float32", "float64", "mixed_bfloat16"}
        "mixed_bfloat16": the operands of `Dense`'s matrix products, forward and backward, are
        rounded to bfloat16 (8 significant bits); their sums, everything else, the weights and
        the optimizer's state are float32.

    Attributes
    ----------
    name, compute_dtype, variable_dtype : str

    Raises
    ------
    ValueError
        If `name` is another.

    Examples
    --------
    >>> from fastnn.config import DTypePolicy
    >>> DTypePolicy("mixed_bfloat16").variable_dtype
    'float32'
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or name not in _POLICIES:
            raise ValueError(f"name: expected one of {', '.join(_POLICIES)}, got {name!r}")
        self.name = name
        self.compute_dtype, self.variable_dtype = _POLICIES[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'DTypePolicy("{self.name}")'


def dtype_policy() -> DTypePolicy:
    """The policy of new layers that are given none: by default that of `floatx()`.

    Examples
    --------
    >>> from fastnn.config import dtype_policy
    >>> dtype_policy()
    DTypePolicy("float32")
    """
    return _policy or DTypePolicy(_floatx)


def set_dtype_policy(policy: "str | DTypePolicy | None") -> None:
    """Set the policy of new layers that are given none; None is again that of `floatx()`.

    Raises
    ------
    ValueError
        If `policy` is neither a `DTypePolicy` nor the name of one.

    Examples
    --------
    >>> from fastnn.config import set_dtype_policy
    >>> from fastnn.layers import Dense
    >>> set_dtype_policy("mixed_bfloat16")
    >>> Dense(3).dtype_policy
    DTypePolicy("mixed_bfloat16")
    >>> set_dtype_policy(None)
    """
    global _policy
    _policy = None if policy is None else standardize_policy(policy, "policy")


def standardize_policy(dtype: object = None, argument: str = "dtype") -> DTypePolicy:
    """The policy meant by a policy, its name, a NumPy dtype or type, or None, the default.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.config import standardize_policy
    >>> standardize_policy(np.float64)
    DTypePolicy("float64")
    """
    if dtype is None:
        return dtype_policy()
    if isinstance(dtype, DTypePolicy):
        return dtype
    if isinstance(dtype, str) and dtype in _POLICIES:
        return DTypePolicy(dtype)
    try:
        return DTypePolicy(standardize_dtype(dtype))
    except ValueError:
        known = ", ".join(_POLICIES)
        raise ValueError(f"{argument}: expected one of {known}, got {dtype!r}") from None


def floatx() -> str:
    """The number type of new layers where no policy is set, "float32" or "float64".

    Examples
    --------
    >>> from fastnn.config import floatx
    >>> floatx()
    'float32'
    """
    return _floatx


def set_floatx(value: str) -> None:
    """Set the number type of new layers where no policy is set.

    Raises
    ------
    ValueError
        If `value` is not "float32" or "float64".

    Examples
    --------
    >>> from fastnn.config import set_floatx
    >>> from fastnn.layers import Dense
    >>> set_floatx("float64")
    >>> Dense(3).dtype
    'float64'
    >>> set_floatx("float32")
    """
    global _floatx
    _floatx = standardize_dtype(value)


def epsilon() -> float:
    """What losses keep probabilities away from 0 and 1 by, as in Keras.

    Examples
    --------
    >>> from fastnn.config import epsilon
    >>> epsilon()
    1e-07
    """
    return 1e-7


def standardize_dtype(dtype: object = None) -> str:
    """The name of `dtype` (a string, a NumPy dtype or type; None means `floatx()`).

    Raises
    ------
    ValueError
        If it is neither float32 nor float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.config import standardize_dtype
    >>> standardize_dtype(np.float64)
    'float64'
    """
    if dtype is None:
        return _floatx
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = None
    if name not in _DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}")
    return str(name)


def set_num_threads(n: int) -> None:
    """Set how many threads work at most; small work is done on fewer.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1.

    Examples
    --------
    >>> from fastnn.config import get_num_threads, set_num_threads
    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    core.set_num_threads(as_int(n, "n", 1))


def get_num_threads() -> int:
    """How many threads work at most.

    Examples
    --------
    >>> from fastnn.config import get_num_threads
    >>> get_num_threads() >= 1
    True
    """
    return int(core.get_num_threads())


def available_isas() -> list[str]:
    """The instruction sets built in that this CPU can run, best last.

    Examples
    --------
    >>> from fastnn.config import available_isas
    >>> available_isas()[0]
    'scalar'
    """
    return list(core.available_isas())


def show_config() -> None:
    """Print the version, the instruction set and the threads in use.

    Examples
    --------
    >>> from fastnn.config import show_config
    >>> show_config()  # doctest: +ELLIPSIS
    fastnn: ...
    Python: ...
    """
    openmp = "yes" if core.openmp() else "no (built without OpenMP: always one thread)"
    rows = {
        "fastnn": __version__,
        "Python": f"{platform.python_version()} ({platform.machine()})",
        "NumPy": np.__version__,
        "ISA in use": core.isa(),
        "ISAs available": " ".join(core.available_isas()),
        "OpenMP": openmp,
        "threads": get_num_threads(),
        "dtype policy": dtype_policy().name,
    }
    for label, value in rows.items():
        print(f"{label + ':':<16}{value}")
