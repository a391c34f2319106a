"""Layers that look vectors up, which are trained, by whole numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn._data import Shape, as_int, as_shape
from fastnn._registry import serialize
from fastnn.constraints import Constraint
from fastnn.initializers import Initializer
from fastnn.layers._base import Layer
from fastnn.layers._weighted import WeightedLayer
from fastnn.regularizers import Regularizer

# A row of inputs is of the network's dtype; float32 holds all whole numbers below this.
_MOST_IDS = {"float32": 2**24, "float64": 2**31 - 1}


class _Lookup(WeightedLayer):
    """What both layers have in common: tables, and ids that must be rows of them."""

    takes_ids = True
    embeddings_initializer: Initializer
    embeddings_regularizer: Regularizer | None
    embeddings_constraint: Constraint | None

    def _take_settings(self, initializer: Any, regularizer: Any, constraint: Any) -> None:
        self.embeddings_initializer = initializers.get(initializer, "embeddings_initializer")
        self.embeddings_regularizer = regularizers.get(regularizer, "embeddings_regularizer")
        self.embeddings_constraint = constraints.get(constraint, "embeddings_constraint")

    def _check_size(self, size: int, name: str) -> None:
        if size > (most := _MOST_IDS[self.dtype]):
            raise ValueError(
                f"{name}: expected at most {most}, what {self.dtype} can count, got {size}; "
                f'dtype="float64" can count further'
            )

    def _setting_of(self, name: str | None, kind: str) -> Any:
        return getattr(self, f"embeddings_{kind}") if name else None

    def get_config(self) -> dict[str, Any]:
        regularizer, constraint = self.embeddings_regularizer, self.embeddings_constraint
        return {
            **super().get_config(),
            "embeddings_initializer": serialize(self.embeddings_initializer),
            "embeddings_regularizer": serialize(regularizer) if regularizer else None,
            "embeddings_constraint": serialize(constraint) if constraint else None,
        }


class Embedding(_Lookup):
    """y = embeddings[x]: for each id its row of a table.

    It reads the model's inputs: only `Flatten` and `Reshape` may stand before it.

    Parameters
    ----------
    input_dim : int >= 1
        How many ids there are: 0 to input_dim - 1. Rows of inputs are of the layer's dtype, and
        float32 counts to 2**24.
    output_dim : int >= 1
        Numbers that an id stands for.
    embeddings_initializer : str or Initializer
    embeddings_regularizer : str or Regularizer, optional
        The loss is greater by this penalty on the whole table.
    embeddings_constraint : str or Constraint, optional
        What the table is brought to after every step.
    mask_zero : bool
        Only False: nothing here works on masks.
    weights : array_like (input_dim, output_dim) or list of one, optional
        The table to begin with.
    name, dtype, input_shape, input_dim, **keras
        As for every layer. The input is (samples, ids), of whole numbers of any type; ids that are
        not in the table are refused. `input_length`, which Keras ignores, is ignored.

    Raises
    ------
    ValueError
        If a number is out of range, `weights` has another shape, a name is unknown or something
        is not supported.
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> from fastnn.layers import Dense, Embedding, Flatten, Input
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Input((3,)), Embedding(10, 4), Flatten(), Dense(1)])
    >>> model.layers[0].output_shape
    (None, 3, 4)
    >>> model.predict([[1, 2, 9], [0, 0, 5]]).shape
    (2, 1)
    """

    weight_names = ("embeddings",)
    tensors = ("embeddings", None)
    weights_need_input = False
    _neutral: Mapping[str, tuple[Any, ...]] = {
        **Layer._neutral,
        "mask_zero": (False,),
        "lora_rank": (None,),
        "lora_alpha": (None,),
        "quantization_config": (None,),
    }

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_length: Any = None,
        **keras: Any,
    ) -> None:
        self.input_dim = as_int(input_dim, "input_dim", 1)
        self.output_dim = as_int(output_dim, "output_dim", 1)
        self._take_settings(embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        super().__init__(
            name=name,
            dtype=dtype,
            input_shape=input_shape,
            mask_zero=mask_zero,
            **keras,
        )
        self._check_size(self.input_dim, "input_dim")
        if weights is not None:
            one = isinstance(weights, (list, tuple)) and len(weights) == 1
            self.set_weights([weights[0] if one else weights])

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        columns = tuple(range(int(np.prod(input_shape))))
        return [("embed", self.input_dim, self.output_dim, columns)]

    def output_shape_for(self, input_shape: Shape) -> Shape:
        return as_shape((*input_shape, self.output_dim), f"outputs of layer {self.name!r}")

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [(self.input_dim, self.output_dim)]

    def check_values(self, x: np.ndarray, name: str) -> None:
        _check_ids(x, self.input_dim, f"{name}: expected ids of layer {self.name!r}")

    @property
    def embeddings(self) -> np.ndarray:
        """A copy of the table, (input_dim, output_dim)."""
        table: np.ndarray = self._weight("embeddings")
        return table

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
        }


class CategoricalEmbedding(_Lookup):
    """Of a table of data, vectors for the columns of categories, beside the other columns.

    Each column of categories has trained embeddings of its own. What comes out is first those, in
    the order of the columns, then the other columns as they are, in theirs. It reads the model's
    inputs, as `Embedding` does. Keras needs a graph of many inputs for it.

    Parameters
    ----------
    columns : dict of column to vocabulary, or to (vocabulary, dim)
        Which columns hold categories: ids 0 to vocabulary - 1. `dim` numbers stand for each; by
        default min(50, (vocabulary + 1) // 2), the rule of fast.ai's courses. A list of tuples
        (column, vocabulary) or (column, vocabulary, dim) is the same.
    embeddings_initializer : str or Initializer
        Each column draws on its own: from `seed`, `seed` + 1, ... where a seed is given.
    embeddings_regularizer : str or Regularizer, optional
        The loss is greater by this penalty on each table.
    embeddings_constraint : str or Constraint, optional
        What each table is brought to after every step.
    feature_names : sequence of str, optional
        Names of all columns, in their order, such as a data frame's: `columns` may use them.
    name, dtype, input_shape, input_dim, **keras
        As for every layer. The input is (samples, columns); ids that are not in the vocabulary are
        refused.

    Raises
    ------
    ValueError
        If there is no such column, a number is out of range or a name is unknown.
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> from fastnn.layers import CategoricalEmbedding, Dense, Input
    >>> from fastnn.models import Sequential
    >>> names = ["age", "city", "income", "weekday"]
    >>> encode = CategoricalEmbedding({"city": (300, 8), "weekday": 7}, feature_names=names)
    >>> model = Sequential([Input((4,)), encode, Dense(32, activation="relu"), Dense(1)])
    >>> encode.output_shape                                       # 8 of city, 4 of weekday, 2
    (None, 14)
    >>> model.predict([[41.0, 17, 3.5, 6]]).shape
    (1, 1)
    """

    def __init__(
        self,
        columns: Any,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        feature_names: Sequence[str] | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **keras: Any,
    ) -> None:
        self.feature_names = _checked_names(feature_names)
        self.tables = _tables(columns, self.feature_names)
        self._take_settings(embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        self.weight_names = tuple(f"embeddings_{column}" for column, *_ in self.tables)
        super().__init__(
            name=name, dtype=dtype, input_shape=input_shape, input_dim=input_dim, **keras
        )
        for column, vocabulary, _ in self.tables:
            self._check_size(vocabulary, f"columns[{column}]")

    @property
    def op_tensors(self) -> tuple[tuple[str | None, str | None], ...]:
        return tuple((name, None) for name in self.weight_names)

    def ops(self, input_shape: Shape) -> list[tuple[Any, ...]]:
        looked_up = [("embed", rows, dim, (column,)) for column, rows, dim in self.tables]
        others = self._others(input_shape)
        return [*looked_up, ("take", others)] if others else looked_up

    def _others(self, input_shape: Shape) -> tuple[int, ...]:
        """The columns that hold no categories."""
        categories = {column for column, *_ in self.tables}
        return tuple(c for c in range(input_shape[0]) if c not in categories)

    def takes_shape(self, input_shape: Shape) -> bool:
        return len(input_shape) == 1

    def check_input(self, input_shape: Shape) -> None:
        super().check_input(input_shape)
        last = self.tables[-1][0]
        if last >= input_shape[0]:
            raise ValueError(
                f"layer {self.name!r}: expected inputs with the columns of categories, got "
                f"{input_shape[0]} columns, no column {last}"
            )
        if self.feature_names and len(self.feature_names) != input_shape[0]:
            raise ValueError(
                f"layer {self.name!r}: expected {len(self.feature_names)} columns, as many as "
                f"feature_names, got {input_shape[0]}"
            )

    def output_shape_for(self, input_shape: Shape) -> Shape:
        width = sum(dim for *_, dim in self.tables) + len(self._others(input_shape))
        return as_shape((width,), f"outputs of layer {self.name!r}")

    def weight_shapes(self, input_shape: Shape) -> list[Shape]:
        return [(rows, dim) for _, rows, dim in self.tables]

    def _initializer_of(self, name: str) -> Any:
        """An initializer gives the same numbers whenever it is called: each column has its own."""
        config = self.embeddings_initializer.get_config()
        if config.get("seed") is not None:
            config["seed"] += self.weight_names.index(name)
        return type(self.embeddings_initializer).from_config(config)

    def check_values(self, x: np.ndarray, name: str) -> None:
        for column, vocabulary, _ in self.tables:
            of = f"column {column}"
            if self.feature_names:
                of += f" ({self.feature_names[column]})"
            _check_ids(x[:, column], vocabulary, f"{name}: expected ids in {of}")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "columns": [list(table) for table in self.tables],
            "feature_names": self.feature_names,
        }


def _check_ids(x: np.ndarray, size: int, expected: str) -> None:
    """Refuse what is no whole number below `size`."""
    if not x.size:
        return
    low, high = x.min(), x.max()
    if not (low >= 0 and high < size):  # NaN, too
        raise ValueError(f"{expected} from 0 to {size - 1}, got {high if low >= 0 else low:g}")
    if x.dtype.kind == "f" and (broken := np.floor(x) != x).any():
        raise ValueError(f"{expected} from 0 to {size - 1}, got {x[broken][0]:g}")


def _checked_names(names: Any) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"feature_names: expected the columns' names, got {names!r}")
    found = list(names)
    if not found or not all(isinstance(name, str) for name in found):
        raise TypeError(f"feature_names: expected strings, got {found!r}")
    if len(set(found)) < len(found):
        raise ValueError(f"feature_names: expected each name once, got {found!r}")
    return found


def _tables(columns: Any, names: list[str] | None) -> tuple[tuple[int, int, int], ...]:
    """Column, vocabulary and dim, in the order of the columns."""
    pairs = columns.items() if isinstance(columns, Mapping) else columns
    if not isinstance(columns, (Mapping, list, tuple)) or not columns:
        raise TypeError(f"columns: expected a dict such as {{3: 12, 7: (300, 8)}}, got {columns!r}")
    tables: dict[int, tuple[int, int, int]] = {}
    for entry in pairs:
        if not isinstance(entry, (list, tuple)) or not 2 <= len(entry) <= 3:
            raise TypeError(f"columns: expected tuples (column, vocabulary, dim), got {entry!r}")
        key, *sizes = entry
        if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
            sizes = list(sizes[0])
        if not 1 <= len(sizes) <= 2:
            raise ValueError(
                f"columns[{key!r}]: expected a vocabulary or (vocabulary, dim), got {entry[1]!r}"
            )
        column = _column(key, names)
        vocabulary = as_int(sizes[0], f"columns[{key!r}], the vocabulary", 1)
        dim = min(50, (vocabulary + 1) // 2)
        if len(sizes) == 2:
            dim = as_int(sizes[1], f"columns[{key!r}], the dim", 1)
        if column in tables:
            raise ValueError(f"columns: expected each column once, got {key!r} again")
        tables[column] = (column, vocabulary, dim)
    return tuple(tables[column] for column in sorted(tables))


def _column(key: Any, names: list[str] | None) -> int:
    """A column's number."""
    if not isinstance(key, str):
        return as_int(key, "columns, a column's number", 0)
    if names is None:
        raise ValueError(f"columns: expected numbers of columns, or feature_names, got {key!r}")
    if key not in names:
        raise ValueError(f"columns: expected names out of feature_names, got {key!r}")
    return names.index(key)
