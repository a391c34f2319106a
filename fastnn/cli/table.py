"""From a CSV file to the arrays that a network takes.

A `Recipe` remembers how: which columns, what fills their gaps, which texts and classes they
hold. It is learned from the training rows alone and saved with the model, so that a later file
is read the same way.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

Task = Literal["classification", "regression"]
Say = Callable[[str], None]
Table = TypeVar("Table", pd.DataFrame, pd.Series)

MAX_TEXTS = 100  # a text column becomes one indicator column a text
MAX_AUTO_CLASSES = 20  # whole numbers with more distinct values than this are a quantity


class TableError(ValueError):
    """The file, or what was asked of it, cannot be used; the message says why in one line."""


# --- reading ----------------------------------------------------------------------------------


def read_table(path: Path, separator: str = ",", text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV with a header line, strictly: pandas alone would mend a broken one in silence.

    Parameters
    ----------
    path : Path
    separator : str
        The character between two values.
    text : sequence of str
        Columns that are read as text whatever they hold; the others as numbers where they can be.

    Raises
    ------
    TableError
        If the file is missing, empty, not UTF-8, ragged or has a name twice in its header.
    """
    if len(separator) != 1:
        raise TableError(f"--separator: expected one character, got {separator!r}")
    try:
        names = _check_shape(path, separator)
        frame = _read(path, separator, names, text)
        # pandas turns TRUE, True and true into one; kept as texts, they are what the file says
        truths = [name for name in names if pd.api.types.infer_dtype(frame[name]) == "boolean"]
        return _read(path, separator, names, [*text, *truths]) if truths else frame
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (OSError, csv.Error, pd.errors.ParserError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip()
        raise TableError(f"{path}: {reason}") from None


def _read(path: Path, separator: str, names: list[str], text: Sequence[str]) -> pd.DataFrame:
    return pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        skipinitialspace=True,
        header=0,
        names=names,
        index_col=False,
        dtype=dict.fromkeys(set(text) & set(names), str),
        low_memory=False,
    )


def _check_shape(path: Path, separator: str) -> list[str]:
    """The header's names, once every line is known to have as many values."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator, skipinitialspace=True)
        names = next((line for line in lines if line), None)
        if names is None:
            raise TableError(f"{path}: the file is empty")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise TableError(f"{path}: the header names {_listed(twice)} more than once")
        rows = 0
        for line in lines:
            # a blank line is skipped, by pandas as well
            if line and len(line) != len(names):
                raise TableError(
                    f"{path}, line {lines.line_num}: expected {len(names)} values as in the "
                    f"header, got {len(line)}"
                )
            rows += bool(line)
        if not rows:
            raise TableError(f"{path}: there is a header but no row")
    return names


# --- cleaning ---------------------------------------------------------------------------------


def clean(
    frame: pd.DataFrame, target: str, ignore: Sequence[str], missing: str, say: Say
) -> pd.DataFrame:
    """Leave out what cannot be learned from, and say what was left out.

    Parameters
    ----------
    frame : DataFrame
    target : str
        The column to learn; rows without it go.
    ignore : sequence of str
        Columns to leave out.
    missing : "median" or "drop"
        With "drop", rows with a missing feature go.
    say : callable
        Takes one sentence at a time.
    """
    require_columns(frame, [target], "--target")
    require_columns(frame, ignore, "--ignore")
    if target in ignore:
        raise TableError(f"--ignore: {target!r} is the target")
    unnamed = [name for name in frame.columns if not name.strip()]
    if unnamed:
        say("ignored a column without a name (row numbers?)")
    frame = no_infinity(frame.drop(columns=[*ignore, *unnamed]))

    frame = drop_unknown(frame, target, say)
    empty = [name for name in frame.columns if frame[name].isna().all()]
    if empty:
        say(f"ignored {_listed(empty)}: no value in any row")
        frame = frame.drop(columns=empty)

    if missing == "drop":
        whole = frame.notna().all(axis=1)
        if not whole.all():
            say(f"dropped {_count((~whole).sum(), 'row')} with a missing feature")
        frame = frame[whole]
    if not len(frame):
        raise TableError("every row misses a feature; --missing median fills the gaps")
    if frame.shape[1] < 2:
        raise TableError(f"there is no column to learn {target!r} from")
    return frame


def drop_unknown(frame: pd.DataFrame, target: str, say: Say) -> pd.DataFrame:
    """The rows whose target is known."""
    known = frame[target].notna()
    if not known.any():
        raise TableError(f"column {target!r} has no value in any row")
    if not known.all():
        say(f"dropped {_count((~known).sum(), 'row')} without a value of {target!r}")
    return frame[known]


def require_columns(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Raise TableError unless the table has all of these columns."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        have = _listed(list(frame.columns))
        raise TableError(f"{what}: no column {_listed(absent)}; the file has {have}")


def no_infinity(frame: Table) -> Table:
    """The table, or column, with infinite numbers marked as missing."""
    return frame.replace([np.inf, -np.inf], np.nan)


# --- the recipe -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feature:
    """One column and how it becomes numbers: as it is, or as an indicator column a text."""

    name: str
    median: float | None  # fills the gaps of a numeric column
    texts: tuple[str, ...] | None  # of a text column; a missing or unknown text is all zeros

    @classmethod
    def learn(cls, column: pd.Series) -> Feature:
        name, values = str(column.name), column.dropna()
        if not len(values):
            raise TableError(
                f"column {name!r} has no value in the training rows; leave it out with --ignore"
            )
        if is_numeric(column):
            return cls(name, float(values.median()), None)
        texts = tuple(sorted(set(values.astype(str))))
        if len(texts) > MAX_TEXTS:
            raise TableError(
                f"column {name!r} holds {len(texts)} different texts, such as {texts[0]!r}; at "
                f"most {MAX_TEXTS} become indicator columns; leave it out with --ignore"
            )
        return cls(name, None, texts)

    @property
    def width(self) -> int:
        return 1 if self.texts is None else len(self.texts)

    def encode(self, column: pd.Series) -> np.ndarray:
        """Float64 array (rows, width)."""
        if self.texts is not None:
            values = column.astype(str).to_numpy(dtype=object)[:, None]
            same: np.ndarray = values == np.array(self.texts, dtype=object)
            return same.astype(np.float64)
        require_numbers(column)
        return column.fillna(self.median).to_numpy(dtype=np.float64)[:, None]

    def varies(self, column: pd.Series) -> bool:
        """Whether the encoded column holds more than one number, as float32 sees it."""
        x = to_float32(self.encode(no_infinity(column)), f"column {self.name!r}")
        return bool((x != x[0]).any())

    def gaps(self, column: pd.Series) -> str | None:
        """What `encode` has to make up, in words."""
        missing = int(column.isna().sum())
        if self.texts is None and missing:
            return (
                f"filled {_count(missing, 'gap')} of {self.name!r} with its median {self.median:g}"
            )
        if self.texts is not None:
            unknown = len(column) - missing - int(column.isin(self.texts).sum())
            parts = [(missing, "missing"), (unknown, "unknown")]
            told = " and ".join(f"{n:,} {what}" for n, what in parts if n)
            return f"texts of {self.name!r} left at zero: {told}" if told else None
        return None


@dataclass(frozen=True)
class Recipe:
    """How rows of a table become the arrays of one network."""

    target: str
    task: Task
    classes: tuple[str, ...]  # in the order of the outputs; none for regression
    text_target: bool  # the classes are texts, even where they look like numbers
    features: tuple[Feature, ...]

    @classmethod
    def learn(cls, frame: pd.DataFrame, target: str, task: Task, say: Say) -> Recipe:
        """Learn from the training rows; every class must be among them."""
        if frame[target].nunique() < 2:
            raise TableError(f"column {target!r} is the same in all training rows")
        classes = class_names(frame[target]) if task == "classification" else ()
        learned = [Feature.learn(frame[name]) for name in frame.columns if name != target]
        # Standardising divides by the spread: a feature without any tells nothing in training,
        # and would drown all others in a later row where it does differ.
        features = tuple(feature for feature in learned if feature.varies(frame[feature.name]))
        constant = [feature.name for feature in learned if feature not in features]
        if not features:
            raise TableError("every feature is the same in all training rows")
        if constant:
            say(f"ignored {_listed(constant)}: the same in every training row")
        return cls(target, task, classes, not is_numeric(frame[target]), features)

    @property
    def inputs(self) -> int:
        """Columns of the array that `encode` returns."""
        return sum(feature.width for feature in self.features)

    @property
    def text_columns(self) -> list[str]:
        """Columns to read as text."""
        names = [feature.name for feature in self.features if feature.texts is not None]
        return [*names, self.target] if self.text_target else names

    def encode(self, frame: pd.DataFrame, say: Say) -> np.ndarray:
        """The features as a float32 array (rows, inputs); gaps are filled, and that is said."""
        names = [feature.name for feature in self.features]
        require_columns(frame, names, "features")
        frame = no_infinity(frame[names])
        parts = [feature.encode(frame[feature.name]) for feature in self.features]
        for gap in filter(None, (f.gaps(frame[f.name]) for f in self.features)):
            say(gap)
        columns = zip(names, parts, strict=True)
        return np.concatenate([to_float32(x, f"column {n!r}") for n, x in columns], axis=1)

    def encode_target(self, column: pd.Series) -> np.ndarray:
        """Class ids, int32 (rows,), or the numbers themselves, float64 (rows,)."""
        if self.task == "regression":
            require_numbers(column)
            to_float32(column.to_numpy(dtype=np.float64), f"column {self.target!r}")
            return column.to_numpy(dtype=np.float64)
        ids = {name: i for i, name in enumerate(self.classes)}
        labels = label_text(column)
        strangers = sorted(set(labels) - set(ids))
        if strangers:
            raise TableError(
                f"column {self.target!r}: the model knows no class {_listed(strangers)}"
            )
        return labels.map(ids).to_numpy(dtype=np.int32)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recipe:
        """The inverse of `to_dict`, also after a trip through JSON."""
        features = tuple(
            Feature(f["name"], f["median"], None if f["texts"] is None else tuple(f["texts"]))
            for f in data["features"]
        )
        return cls(
            data["target"], data["task"], tuple(data["classes"]), data["text_target"], features
        )


def choose_task(target: pd.Series) -> Task:
    """Classification for texts and for few distinct whole numbers, regression for the rest."""
    if not is_numeric(target):
        return "classification"
    values = target.unique()
    whole = bool((values == np.floor(values)).all())
    return "classification" if whole and len(values) <= MAX_AUTO_CLASSES else "regression"


def check_target(target: pd.Series, task: Task) -> None:
    """Raise TableError where there is nothing to learn."""
    name = target.name
    if task == "regression" and not is_numeric(target):
        raise TableError(f"--task regression: column {name!r} holds texts, not numbers")
    if target.nunique() < 2:
        raise TableError(f"--target: column {name!r} is {target.iloc[0]} in every row")
    if task == "regression":
        return
    counts = label_text(target).value_counts()
    rare = sorted(counts.index[counts < 2])
    if rare:
        raise TableError(
            f"--target: each class needs two rows, one to learn from and one to test on; "
            f"{_listed(rare)} of {name!r} has one (for a number to predict: --task regression)"
        )


def class_names(target: pd.Series) -> tuple[str, ...]:
    """The classes in order: numbers by size, texts by alphabet."""
    return tuple(label_text(pd.Series(sorted(target.unique()))))


def label_text(column: pd.Series) -> pd.Series:
    """Class labels as texts, a whole number without a decimal point: 3.0 is "3"."""
    if is_numeric(column) and (column == np.floor(column)).all():
        column = column.astype(np.int64)
    return column.astype(str)


def is_numeric(column: pd.Series) -> bool:
    """Whether the column was read as numbers."""
    return pd.api.types.is_numeric_dtype(column)


def require_numbers(column: pd.Series) -> None:
    """Raise TableError with the first value that is not a number."""
    if not is_numeric(column):
        values = column.dropna()
        wrong = values[pd.to_numeric(values, errors="coerce").isna()]
        got = str((wrong if len(wrong) else values).iloc[0])
        raise TableError(f"column {column.name!r}: expected numbers, got {got!r}")


def to_float32(values: np.ndarray, what: str) -> np.ndarray:
    """The numbers as float32; TableError where they are too large for it."""
    with np.errstate(over="ignore"):
        x = values.astype(np.float32)
    if not np.isfinite(x).all():
        raise TableError(f"{what}: {np.abs(values).max():g} is too large for float32")
    return x


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
