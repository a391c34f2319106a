"""The commands. Each is a page: read, do, say."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import pandas as pd
import typer
from rich.console import Console

import fastnn
from fastnn._native import core
from fastnn.cli import table
from fastnn.cli.modelfile import load, save
from fastnn.cli.table import Recipe, TableError, Task
from fastnn.models import Sequential

if TYPE_CHECKING:
    from fastnn.cli.training import Trainer

app = typer.Typer(
    name="fastnn",
    help="Train and run dense neural networks on the CPU.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=True, highlight=False, markup=False)  # results
notes = Console(soft_wrap=True, highlight=False, markup=False, stderr=True)  # what was done


class TaskChoice(StrEnum):
    auto = "auto"
    classification = "classification"
    regression = "regression"


class Missing(StrEnum):
    median = "median"
    drop = "drop"


Data = Annotated[Path, typer.Argument(help="A CSV file with a header line.", show_default=False)]
Model = Annotated[
    Path, typer.Argument(help="A model that `fastnn train` saved.", show_default=False)
]
Separator = Annotated[str, typer.Option(help="The character between two values; \\t for a tab.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to use.", show_default="as many as pay")
]


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a TableError into one line on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except TableError as error:
            notes.print(f"fastnn: {error}")
            raise typer.Exit(2) from None

    return wrapped


@app.command()
@one_line_errors
def train(
    data: Data,
    target: Annotated[str, typer.Option(help="The column to learn.", show_default=False)],
    task: Annotated[
        TaskChoice, typer.Option(help="Auto: texts and few whole numbers are classes.")
    ] = TaskChoice.auto,
    ignore: Annotated[
        str, typer.Option(help="Columns to leave out, with commas between.", show_default=False)
    ] = "",
    missing: Annotated[
        Missing, typer.Option(help="Fill missing features with the median, or drop their rows.")
    ] = Missing.median,
    hidden: Annotated[str, typer.Option(help="Units of each hidden layer.")] = "64,32",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training rows.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of one optimizer step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Of the Adam optimizer.")] = 0.001,
    test_size: Annotated[float, typer.Option(help="Share of the rows to test on.")] = 0.2,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Same seed, same split and weights.")
    ] = 0,
    threads: Threads = None,
    separator: Separator = ",",
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Do not time plain NumPy as well.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Where to save the model.")] = Path("model.fastnn"),
) -> None:
    """Train a network on a CSV file, test it, and save it."""
    from fastnn.cli.training import Settings, Trainer, report, split  # brings scikit-learn in: slow

    settings = Settings(
        hidden=_hidden(hidden),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=_positive("--learning-rate", learning_rate),
        seed=seed,
    )
    if not 0 < test_size < 1:
        raise TableError(f"--test-size: expected a share between 0 and 1, got {test_size:g}")
    _require_writable(output)
    if threads is not None:
        fastnn.set_num_threads(threads)

    frame = _read(data, separator)
    frame = table.clean(frame, target, _names(ignore), missing.value, _say)
    auto = task is TaskChoice.auto
    kind = table.choose_task(frame[target]) if auto else cast(Task, task.value)
    table.check_target(frame[target], kind)
    train_rows, test_rows = split(frame, target, kind, test_size, seed)
    recipe = Recipe.learn(train_rows, target, kind, _say)
    _say(_summary(recipe))
    x_train, x_test = recipe.encode(train_rows, _say), recipe.encode(test_rows, _say)
    y_train = recipe.encode_target(train_rows[target])
    y_test = recipe.encode_target(test_rows[target])

    _say(f"training on {len(x_train):,} rows, then testing on {len(x_test):,} others")
    trainer = Trainer(recipe, x_train, y_train, settings)
    model, seconds, loss = trainer.train(Sequential)
    if not math.isfinite(loss):
        raise TableError(f"training went astray, loss {loss}: try a smaller --learning-rate")
    trainer.restore_units(model)
    out.print(report(recipe, y_test, model.predict(x_test, verbose=0)))
    save(model, recipe, output)
    _say(f"saved {output}")
    out.print(f"fastnn trained for {epochs} epochs in {seconds:.3g} s, final loss {loss:.4g}")
    if not no_reference:
        _compare(trainer, seconds)


def _compare(trainer: Trainer, seconds: float) -> None:
    """Train once more with plain NumPy, and say how long that takes."""
    from fastnn.cli.training import NumpySequential

    _say("the same epochs in plain NumPy, for comparison (Ctrl-C or --no-reference skips it)")
    try:
        _, numpy_seconds, loss = trainer.train(NumpySequential)
    except KeyboardInterrupt:
        _say("skipped")
        return
    out.print(
        f"NumPy took {numpy_seconds:.3g} s, final loss {loss:.4g}: "
        f"fastnn is {numpy_seconds / seconds:.1f} times as fast here"
    )


@app.command()
@one_line_errors
def predict(
    model: Model,
    data: Data,
    output: Annotated[
        Path | None, typer.Option(help="Where to write.", show_default="the terminal")
    ] = None,
    threads: Threads = None,
    separator: Separator = ",",
) -> None:
    """Predict each row of a CSV file; writes a CSV with as many rows in the same order."""
    if output is not None:
        _require_writable(output)
    network, recipe = load(model)
    frame = _read(data, separator, recipe.text_columns)
    outputs = _predict(network, recipe.encode(frame, _say), threads)
    if recipe.task == "classification":
        classes = np.array(recipe.classes, dtype=object)
        columns = {
            recipe.target: classes[outputs.argmax(axis=1)],
            "probability": outputs.max(axis=1),
        }
    else:
        columns = {recipe.target: outputs[:, 0]}
    text = pd.DataFrame(columns).to_csv(index=False, float_format="%.7g", lineterminator="\n")
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="\n")
        _say(f"wrote {len(outputs):,} predictions to {output}")


@app.command()
@one_line_errors
def evaluate(
    model: Model,
    data: Data,
    target: Annotated[
        str | None,
        typer.Option(help="The column with the truth.", show_default="the one it was trained on"),
    ] = None,
    threads: Threads = None,
    separator: Separator = ",",
) -> None:
    """Compare a model's predictions with the truth in a CSV file."""
    from fastnn.cli.training import report  # brings scikit-learn in: slow

    network, recipe = load(model)
    column = target or recipe.target
    text = [column, *recipe.text_columns] if recipe.text_target else recipe.text_columns
    frame = _read(data, separator, text)
    table.require_columns(frame, [column], "--target")
    frame = table.drop_unknown(table.no_infinity(frame), column, _say)
    y = recipe.encode_target(frame[column])
    outputs = _predict(network, recipe.encode(frame, _say), threads)
    out.print(report(recipe, y, outputs))


@app.command()
@one_line_errors
def bench(
    threads: Threads = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="A file to write the results to, as JSON.")
    ] = None,
) -> None:
    """Measure fastnn beside NumPy and scikit-learn on this machine, in about a minute."""
    from fastnn.cli import bench as bench_module  # brings scikit-learn in: slow
    from fastnn.cli.workloads import blas

    if json_file is not None:
        _require_writable(json_file, "--json")
    if threads is not None:
        fastnn.set_num_threads(threads)
    count = fastnn.get_num_threads()
    results = []
    for contest in bench_module.contests(count):
        _say(f"{contest.group}: {contest.name}")
        results.append(bench_module.measure(contest, count))
    best = max(result.peak for result in results)
    out.print(bench_module.rows(results))
    out.print(
        f"{core.isa()} kernels, {count} thread{'s' * (count > 1)}, multiply-add peak "
        f"{best / 1e9:.0f} GFLOP/s in float32.\n"
        "NumPy's and scikit-learn's columns: their time over fastnn's, same work, same threads.\n"
        f"NumPy's BLAS: {blas()}.\n"
        "*: something else was running."
    )
    if json_file is not None:
        text = json.dumps(bench_module.document(results, count), indent=1)
        try:
            json_file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise TableError(f"--json: cannot write {json_file}: {error.strerror}") from None
        _say(f"wrote {json_file}")


@app.command()
def info() -> None:
    """Show the version, the instruction set and the threads in use."""
    fastnn.show_config()


# --- shared by the commands -------------------------------------------------------------------


def _say(sentence: str) -> None:
    notes.print(sentence)


def _read(data: Path, separator: str, text: list[str] | None = None) -> pd.DataFrame:
    frame = table.read_table(data, separator.replace("\\t", "\t"), text or ())
    _say(f"read {len(frame):,} rows and {frame.shape[1]:,} columns from {data}")
    return frame


def _predict(network: Sequential, x: np.ndarray, threads: int | None) -> np.ndarray:
    if threads is not None:
        fastnn.set_num_threads(threads)
    return network.predict(x, verbose=0)


def _summary(recipe: Recipe) -> str:
    into = f" into {len(recipe.classes)} classes" if recipe.task == "classification" else ""
    return f"{recipe.task} of {recipe.target!r}{into} by {recipe.inputs} inputs"


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def _hidden(text: str) -> tuple[int, ...]:
    parts = _names(text)
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise TableError(f"--hidden: expected whole numbers such as 64,32, got {text!r}")
    return tuple(int(part) for part in parts)


def _positive(option: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise TableError(f"{option}: expected a positive number, got {value:g}")
    return value


def _require_writable(path: Path, option: str = "--output") -> None:
    """Find out before the work, not after it, that its result has nowhere to go."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise TableError(f"{option}: cannot write {path}")
