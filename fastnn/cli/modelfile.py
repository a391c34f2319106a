"""A model and its recipe in one file."""

from __future__ import annotations

from pathlib import Path

from fastnn.cli.table import Recipe, TableError
from fastnn.io import load_model, read_metadata, save_model
from fastnn.models import Sequential

KEY = "table"  # of the recipe among the file's metadata


def save(model: Sequential, recipe: Recipe, path: Path) -> None:
    """Write both to `path`."""
    save_model(model, path, metadata={KEY: recipe.to_dict()})


def load(path: Path) -> tuple[Sequential, Recipe]:
    """What `save` wrote.

    Raises
    ------
    TableError
        If there is no such file, it is damaged, or it was saved without a recipe.
    """
    try:
        model = load_model(path)
        metadata = read_metadata(path)
    except (OSError, ValueError) as error:
        raise TableError(str(error)) from None
    if KEY not in metadata:
        raise TableError(f"{path}: a model, but not one that `fastnn train` saved")
    try:
        recipe = Recipe.from_dict(metadata[KEY])
    except (ValueError, TypeError, LookupError) as error:
        raise TableError(f"{path}: damaged: {error}") from None
    outputs = len(recipe.classes) if recipe.task == "classification" else 1
    if (model.input_size, model.output_shape[1]) != (recipe.inputs, outputs):
        raise TableError(f"{path}: damaged: the network does not fit the columns")
    return model, recipe
