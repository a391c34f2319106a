"""A model as a table in plain text: layers, parameters and memory."""

from math import prod
from typing import Any

_UNITS = ("B", "KB", "MB", "GB", "TB")


def summary_lines(
    model: Any, line_length: int | None, show_trainable: bool, batch_size: int
) -> list[str]:
    """The lines that `Sequential.summary` prints."""
    header = ["Layer (type)", "Output Shape", "Param #"] + ["Trainable"] * show_trainable
    rows = [header, *(_row(model, layer, show_trainable) for layer in model.layers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    spare = 0 if line_length is None else line_length - sum(widths) - 3 * (len(widths) - 1)
    widths[0] += max(0, spare)
    lines = [
        "   ".join(
            f"{cell:>{width}}" if column == 2 else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    lines = [f'Model: "{model.name}"', rule, lines[0], rule, *lines[1:], rule]
    return lines + (_totals(model, batch_size) if model.built else [])


def _row(model: Any, layer: Any, show_trainable: bool) -> list[str]:
    title = f"{layer.name} ({type(layer).__name__})"
    cells = [title, "?", "0 (unbuilt)"]
    if model.built:
        cells[1:] = [str(layer.output_shape), f"{layer.count_params():,}"]
    if show_trainable:
        cells.append(("Y" if layer.trainable else "N") if layer.weight_names else "-")
    return cells


def _totals(model: Any, batch_size: int) -> list[str]:
    """Numbers and bytes: Keras's lines, and what training takes beside them."""
    size = model._dtype.itemsize
    weights = model.count_params()
    trainable = sum(weight.size for weight in model.trainable_weights)
    state = sum(_stepped(layer) for _, _, layer in model._slots())
    counts = {
        "Total params": weights + state,
        "Trainable params": trainable,
        "Non-trainable params": weights - trainable,
    }
    if model.optimizer is not None:
        counts["Optimizer params"] = state
    lines = [f"{name}: {n:,} ({_bytes(n * size)})" for name, n in counts.items()]
    # each step's outputs, their gradients, and the targets
    widths = [model.input_size, *(prod(layer.output_shape[1:]) for layer in model.layers)]
    workspace = batch_size * (2 * sum(widths) + widths[-1]) * size
    lines.append(f"Workspace for batches of {batch_size}: about {_bytes(workspace)}")
    return lines


def _stepped(layer: Any) -> int:
    """How many numbers each of the optimizer's slots has for a layer."""
    shapes = dict(zip(layer.weight_names, layer.shapes, strict=True))
    return sum(prod(shapes[name]) for name in layer.stepped_names)


def _bytes(n: float) -> str:
    """As Keras writes it: "196.00 B", "1.50 KB"."""
    unit = 0
    while n >= 1024 and unit < len(_UNITS) - 1:
        n, unit = n / 1024, unit + 1
    return f"{n:.2f} {_UNITS[unit]}"
