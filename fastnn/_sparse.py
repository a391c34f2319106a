"""Sparse rows as the engines take them; SciPy's matrices are turned into these."""

import sys
from typing import Any

import numpy as np

LARGEST_COLUMN = 2**31 - 1  # the engine's indices are int32


class CSR:
    """Rows of which only the non-zeros are stored, checked: an engine may read them.

    Row r has `value[z]` in column `column[z]` for `begin[r] <= z < begin[r + 1]`, in any order;
    what a column has several times is summed. The arrays may be those of the matrix it was made
    of: that is not to be changed while it is in use.

    Parameters
    ----------
    begin : ndarray (rows + 1,) of int64
    column : ndarray of int32 or int64
    value : ndarray of float32 or float64
    columns : int
    name : str
        What errors call it.

    Raises
    ------
    ValueError
        If a row ends before it begins or past the non-zeros, or a column does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> rows = CSR(np.array([0, 1, 3]), np.array([2, 0, 1]), np.array([5.0, 6.0, 7.0]), 3)
    >>> rows.shape, rows[1:].value
    ((2, 3), array([5., 6., 7.]))
    """

    __slots__ = ("begin", "column", "shape", "value")

    def __init__(
        self,
        begin: np.ndarray,
        column: np.ndarray,
        value: np.ndarray,
        columns: int,
        name: str = "x",
    ) -> None:
        if not 0 <= columns <= LARGEST_COLUMN:
            raise ValueError(f"{name}: expected at most {LARGEST_COLUMN} columns, got {columns}")
        stored = min(len(column), len(value))
        if len(begin) == 0 or begin[0] < 0 or begin[-1] > stored or (begin[1:] < begin[:-1]).any():
            raise ValueError(f"{name}: expected index pointers that rise from 0 to {stored}")
        used = column[begin[0] : begin[-1]]
        if used.size and not 0 <= used.min() <= used.max() < columns:
            wrong = used.min() if used.min() < 0 else used.max()
            raise ValueError(f"{name}: expected column indices 0 to {columns - 1}, got {wrong}")
        self._take(
            np.require(begin, np.int64, ["C", "A"]),
            np.require(column, np.int32, ["C", "A"]),
            np.require(value, value.dtype, ["C", "A"]),
            columns,
        )

    def _take(
        self, begin: np.ndarray, column: np.ndarray, value: np.ndarray, columns: int
    ) -> "CSR":
        self.begin, self.column, self.value = begin, column, value
        self.shape = (len(begin) - 1, columns)
        return self

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the values."""
        return self.value.dtype

    @property
    def nonzeros(self) -> int:
        """How many numbers the rows have."""
        return int(self.begin[-1] - self.begin[0])

    def __getitem__(self, rows: slice | np.ndarray) -> "CSR":
        """The rows of a slice of step 1, which share the numbers, or those of an index array."""
        if not isinstance(rows, slice):
            return self.take(rows)
        start, stop, step = rows.indices(len(self))
        if step != 1:
            return self.take(np.arange(start, stop, step))
        begin = self.begin[start : max(start, stop) + 1]
        return CSR.__new__(CSR)._take(begin, self.column, self.value, self.shape[1])

    def take(self, rows: np.ndarray, axis: int = 0) -> "CSR":
        """The rows of an index array, copied."""
        sizes = np.diff(self.begin)[rows]
        begin = np.concatenate(([0], np.cumsum(sizes)))
        at = np.arange(begin[-1]) + np.repeat(self.begin[:-1][rows] - begin[:-1], sizes)
        return CSR.__new__(CSR)._take(begin, self.column[at], self.value[at], self.shape[1])


def is_sparse(x: Any) -> bool:
    """Whether `x` is one of SciPy's sparse matrices or arrays; who has one has loaded SciPy."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(x))


def as_csr(x: Any, dtype: np.dtype[Any], name: str) -> CSR:
    """One of SciPy's sparse matrices, checked; what fits is not copied, and zeros are never made.

    Raises
    ------
    TypeError
        If its numbers are not real.
    ValueError
        If it is not 2-D or its indices are wrong.
    """
    if x.ndim != 2:
        raise ValueError(f"{name}: expected a 2-D array (samples, features), got shape {x.shape}")
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {x.dtype}")
    rows = x.tocsr()
    if len(rows.indptr) != x.shape[0] + 1:
        raise ValueError(
            f"{name}: expected {x.shape[0] + 1} index pointers, got {len(rows.indptr)}"
        )
    return CSR(rows.indptr, rows.indices, rows.data.astype(dtype, copy=False), x.shape[1], name)
