"""The command line, from the CSV file to the predictions, and its one-line errors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import fastnn
from fastnn.cli.app import app
from fastnn.cli.table import Recipe, TableError, choose_task, read_table

DIGITS = Path(__file__).parent.parent / "examples" / "data" / "digits.csv"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fail(*arguments: object) -> str:
    """The one line that a refused command prints."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("fastnn: ")
    return lines[-1]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression table whose target is large, with a text column and some gaps."""
    rng = np.random.default_rng(0)
    area, rooms = rng.uniform(30, 200, 600), rng.integers(1, 7, 600)
    town = rng.choice(["Ulm", "Bonn", "Kiel"], 600)
    price = 2000 * area + 15000 * rooms + 50000 * (town == "Bonn") + rng.normal(0, 3000, 600)
    table = pd.DataFrame({"area": area, "rooms": rooms, "town": town, "price": price})
    table.loc[5:14, "area"] = np.nan
    table.loc[20:22, "town"] = None
    table.loc[30:33, "price"] = np.nan
    path = tmp_path_factory.mktemp("houses") / "houses.csv"
    table.to_csv(path, index=False)
    return path


# --- the main road ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    path = tmp_path_factory.mktemp("digits") / "digits.fastnn"
    return path, succeed("train", DIGITS, "--target", "digit", "--output", path)


def test_train_digits_reports_accuracy_and_both_times(digits_model):
    path, result = digits_model
    accuracy = next(line for line in result.stdout.splitlines() if "accuracy" in line)
    assert float(accuracy.split()[1]) >= 0.95
    assert int(accuracy.split()[2]) == 360  # a fifth of 1797 rows
    assert "fastnn trained for 20 epochs in" in result.stdout
    assert "times as fast" in result.stdout
    assert path.is_file()


def test_reference_reaches_the_same_loss(digits_model):
    """The times are comparable only if both did the same work."""
    lines = [line for line in digits_model[1].stdout.splitlines() if "final loss" in line]
    ours, theirs = (float(line.split("final loss ")[1].split(":")[0]) for line in lines)
    assert ours == pytest.approx(theirs, rel=0.01)


def test_predict_digits(digits_model, tmp_path):
    out = tmp_path / "predictions.csv"
    succeed("predict", digits_model[0], DIGITS, "--output", out)
    guess, truth = pd.read_csv(out), pd.read_csv(DIGITS)["digit"]
    assert list(guess.columns) == ["digit", "probability"]
    assert (guess["digit"] == truth).mean() > 0.97
    assert guess["probability"].between(0.1, 1).all()


def test_predict_to_the_terminal_is_the_same_csv(digits_model, tmp_path):
    out = tmp_path / "predictions.csv"
    succeed("predict", digits_model[0], DIGITS, "--output", out)
    assert succeed("predict", digits_model[0], DIGITS).stdout == out.read_text()


def test_predict_finds_columns_by_name(digits_model, tmp_path):
    shuffled = pd.read_csv(DIGITS).iloc[:9, ::-1].drop(columns="digit").assign(extra="x")
    shuffled.to_csv(tmp_path / "shuffled.csv", index=False)
    want = succeed("predict", digits_model[0], DIGITS).stdout.splitlines()[:10]
    got = succeed("predict", digits_model[0], tmp_path / "shuffled.csv").stdout.splitlines()
    assert [line.split(",")[0] for line in got] == [line.split(",")[0] for line in want]


def test_evaluate_digits(digits_model):
    result = succeed("evaluate", digits_model[0], DIGITS, "--target", "digit")
    accuracy = next(line for line in result.stdout.splitlines() if "accuracy" in line)
    assert float(accuracy.split()[1]) > 0.97
    assert int(accuracy.split()[2]) == 1797


def test_same_seed_same_model(houses, tmp_path):
    for name in ("a", "b"):
        succeed(
            "train", houses, "--target", "price", "--epochs", 2, "--no-reference",
            "--output", tmp_path / name,
        )  # fmt: skip
    first, second = (succeed("predict", tmp_path / name, houses) for name in ("a", "b"))
    assert first.stdout == second.stdout


def test_regression_in_the_units_of_the_target(houses, tmp_path):
    model, out = tmp_path / "m.fastnn", tmp_path / "p.csv"
    result = succeed(
        "train", houses, "--target", "price", "--epochs", 40, "--no-reference", "--output", model
    )
    assert "dropped 4 rows without a value of 'price'" in result.stderr
    assert "filled" in result.stderr
    assert "texts of 'town' left at zero: " in result.stderr
    scores = dict(line.split()[:2] for line in result.stdout.splitlines()[:3])
    assert float(scores["R2"]) > 0.95
    assert 1000 < float(scores["MAE"]) < 20000

    judged = succeed("evaluate", model, houses)
    assert float(judged.stdout.split()[1]) > 0.95
    succeed("predict", model, houses, "--output", out)
    truth = pd.read_csv(houses)["price"]
    assert len(pd.read_csv(out)) == len(truth)
    assert np.corrcoef(pd.read_csv(out)["price"][40:], truth[40:])[0, 1] > 0.97


def test_missing_drop(houses, tmp_path):
    result = succeed(
        "train", houses, "--target", "price", "--missing", "drop", "--epochs", 1,
        "--no-reference", "--output", tmp_path / "m",
    )  # fmt: skip
    assert "dropped 13 rows with a missing feature" in result.stderr
    assert "filled" not in result.stderr


def test_text_classes_and_a_semicolon_file(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    label = np.where(x[:, 0] > 0, "TRUE", "FALSE")
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "sunny": label})
    table.to_csv(tmp_path / "t.csv", index=False, sep=";")
    model = tmp_path / "m.fastnn"
    result = succeed(
        "train", tmp_path / "t.csv", "--target", "sunny", "--separator", ";", "--output", model,
        "--no-reference",
    )  # fmt: skip
    assert "classification of 'sunny' into 2 classes" in result.stderr
    guess = succeed("predict", model, tmp_path / "t.csv", "--separator", ";").stdout.splitlines()
    words = [line.split(",")[0] for line in guess[1:]]
    assert np.mean(np.array(words) == label) > 0.9


# -P: the fastnn that is installed, not a folder of that name where the tests were started


def test_info_names_the_instruction_set():
    result = subprocess.run(
        [sys.executable, "-P", "-m", "fastnn", "info"], capture_output=True, text=True, check=True
    )
    assert fastnn.__version__ in result.stdout
    assert any(isa in result.stdout for isa in fastnn.available_isas())


def test_without_the_extra_it_names_the_install_line():
    """A None in sys.modules is what an import of an absent package meets."""
    script = "import sys; sys.modules['typer'] = None; from fastnn.cli import main; main()"
    result = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert result.returncode == 1
    assert 'pip install "fastnn[cli]"' in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_unknown_instruction_set_is_one_line():
    result = subprocess.run(
        [sys.executable, "-P", "-m", "fastnn", "info"],
        capture_output=True,
        text=True,
        env={**os.environ, "FASTNN_ISA": "mmx"},
    )
    assert result.returncode == 1
    assert result.stderr.startswith("fastnn: FASTNN_ISA")
    assert len(result.stderr.splitlines()) == 1


# --- errors -----------------------------------------------------------------------------------

GOOD = "a,b,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(40))

BAD_FILES = {
    "empty": ("", "the file is empty"),
    "header only": ("a,b,y\n", "there is a header but no row"),
    "twice": ("a,a,y\n1,2,3\n", "names 'a' more than once"),
    "long line": ("a,b,y\n1,2,3\n1,2,3,4\n", "line 3: expected 3 values as in the header, got 4"),
    "short line": ("a,b,y\n1,2\n", "line 2: expected 3 values as in the header, got 2"),
    "no target": ("a,b,z\n1,2,3\n", "no column 'y'; the file has 'a', 'b', 'z'"),
    "constant": ("a,b,y\n1,2,3\n2,3,3\n", "'y' is 3 in every row"),
    "all missing": ("a,b,y\n1,2,\n2,3,\n", "'y' has no value in any row"),
    "only target": ("y\n1\n2\n", "no column to learn 'y' from"),
    "single class row": (GOOD + "1,1,5\n", "each class needs two rows"),
    "too large target": (
        GOOD.replace("y", "z", 1).replace("a", "y", 1) + "1e300,1,1\n",
        "too large",
    ),
    "constant but for a test row": (
        "a,b,y\n" + "".join(f"{i},{i % 7},{0.5 * (i == 22)}\n" for i in range(40)),
        "'y' is the same in all training rows",
    ),
    "too few rows": ("a,y\n1,0\n2,0\n3,1\n4,1\n", "each part needs at least 2"),
    "too many texts": (
        "a,y\n" + "".join(f"id{i},{i % 2}\n" for i in range(400)),
        "different texts",
    ),
    "too large": (GOOD.replace("\n3,", "\n1e300,"), "too large for float32"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path, case):
    content, message = BAD_FILES[case]
    path = tmp_path / "data.csv"
    path.write_text(content)
    assert message in fail("train", path, "--target", "y", "--output", tmp_path / "m")
    assert not (tmp_path / "m").exists()


BAD_OPTIONS = {
    "hidden": (["--hidden", "64,x"], "--hidden: expected whole numbers such as 64,32, got '64,x'"),
    "hidden zero": (["--hidden", "0"], "--hidden"),
    "learning rate": (["--learning-rate", "nan"], "expected a positive number, got nan"),
    "test size": (["--test-size", "1"], "expected a share between 0 and 1, got 1"),
    "ignored target": (["--ignore", "y"], "'y' is the target"),
    "ignored unknown": (["--ignore", "z"], "no column 'z'"),
    "separator": (["--separator", "--"], "expected one character"),
    "output folder": (["--output", "no/such/folder/m"], "cannot write"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(tmp_path, case):
    options, message = BAD_OPTIONS[case]
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    assert message in fail("train", path, "--target", "y", *options)


@pytest.mark.parametrize("options", [["--epochs", "0"], ["--threads", "0"], ["--task", "x"], []])
def test_bad_usage_has_exit_code_2(tmp_path, options):
    (tmp_path / "data.csv").write_text(GOOD)
    target = ["--target", "y"] if options else []
    result = run("train", tmp_path / "data.csv", *target, *options)
    assert result.exit_code == 2
    assert (options[0] if options else "--target") in result.stderr


def test_missing_file_and_other_encoding(tmp_path):
    assert "No such file" in fail("train", tmp_path / "none.csv", "--target", "y")
    (tmp_path / "latin.csv").write_bytes("a,größe\n1,2\n".encode("latin-1"))
    assert "not UTF-8" in fail("train", tmp_path / "latin.csv", "--target", "a")


def test_regression_of_texts(tmp_path):
    (tmp_path / "data.csv").write_text("a,y\n1,x\n2,z\n")
    line = fail("train", tmp_path / "data.csv", "--target", "y", "--task", "regression")
    assert "column 'y' holds texts" in line


def test_predict_refuses_what_is_no_model_and_what_does_not_fit(digits_model, houses, tmp_path):
    assert "found nothing at" in fail("predict", tmp_path / "none.fastnn", houses)
    (tmp_path / "junk").write_bytes(b"\x08" + bytes(30))
    assert str(tmp_path / "junk") in fail("predict", tmp_path / "junk", houses)
    assert "no column 'pixel_0_1'" in fail("predict", digits_model[0], houses)
    text = DIGITS.read_text().splitlines()
    (tmp_path / "text.csv").write_text(text[0] + "\n" + text[1].replace("0,0,5", "0,blot,5", 1))
    assert "'pixel_0_1': expected numbers, got 'blot'" in fail(
        "predict", digits_model[0], tmp_path / "text.csv"
    )


def test_training_that_diverges_saves_nothing(houses, tmp_path):
    model = tmp_path / "m"
    options = ["--target", "price", "--learning-rate", 1e30, "--output", model]
    assert "try a smaller --learning-rate" in fail("train", houses, *options)
    assert not model.exists()


def test_evaluate_says_when_predictions_overflow(digits_model, tmp_path):
    table = pd.read_csv(DIGITS).iloc[:3].astype(float)
    table.iloc[0, :-1] = 3e38
    table.to_csv(tmp_path / "far.csv", index=False)
    assert "predictions overflow" in fail("evaluate", digits_model[0], tmp_path / "far.csv")


def test_evaluate_refuses_unknown_classes(digits_model, tmp_path):
    text = DIGITS.read_text().splitlines()
    (tmp_path / "d.csv").write_text("\n".join([text[0], text[1][:-1] + "11"]))
    line = fail("evaluate", digits_model[0], tmp_path / "d.csv")
    assert "the model knows no class '11'" in line


# --- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([1, 2, 3] * 3, "classification"),
        ([1.0, 2.0, 2.0], "classification"),
        ([0.5, 1.0, 2.0], "regression"),
        (range(20), "classification"),
        (range(21), "regression"),
        (["a", "b"], "classification"),
    ],
)
def test_choose_task(values, task):
    assert choose_task(pd.Series(values)) == task


def test_recipe_encodes_texts_gaps_and_classes():
    frame = pd.DataFrame({"n": [1.0, 3.0, np.nan], "t": ["b", "a", None], "y": [10, 2, 10]})
    recipe = Recipe.learn(frame, "y", "classification", print)
    said: list[str] = []
    x = recipe.encode(frame, said.append)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[1, 0, 1], [3, 1, 0], [2, 0, 0]])
    assert said == ["filled 1 gap of 'n' with its median 2", "texts of 't' left at zero: 1 missing"]
    assert recipe.classes == ("2", "10")  # by size, not by alphabet
    np.testing.assert_array_equal(recipe.encode_target(frame["y"]), [1, 0, 1])
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_truth_values_stay_as_the_file_spells_them(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\nTRUE,1\nFALSE,2\n")
    assert list(read_table(tmp_path / "t.csv")["a"]) == ["TRUE", "FALSE"]


def test_a_quoted_line_break_and_a_byte_order_mark_are_fine(tmp_path):
    (tmp_path / "t.csv").write_bytes(b'\xef\xbb\xbfa,b\n"x\ny",1\n\n"z, w", 2\n')
    frame = read_table(tmp_path / "t.csv")
    assert list(frame.columns) == ["a", "b"]
    assert list(frame["a"]) == ["x\ny", "z, w"]
    assert list(frame["b"]) == [1, 2]


def test_infinity_counts_as_missing():
    frame = pd.DataFrame({"a": [1.0, 3.0, np.inf], "y": [0, 1, 0]})
    recipe = Recipe.learn(frame.iloc[:2], "y", "classification", print)
    np.testing.assert_array_equal(recipe.encode(frame, lambda _: None), [[1], [3], [2]])
    with pytest.raises(TableError, match="no column 'a'"):
        recipe.encode(frame[["y"]], lambda _: None)


def test_constant_features_are_left_out():
    frame = pd.DataFrame({"a": [1, 1, 1], "b": [2.0, np.nan, 2.0], "c": [1, 2, 3], "y": [0, 1, 0]})
    said: list[str] = []
    recipe = Recipe.learn(frame, "y", "classification", said.append)
    assert [feature.name for feature in recipe.features] == ["c"]
    assert said == ["ignored 'a', 'b': the same in every training row"]
    with pytest.raises(TableError, match="every feature is the same"):
        Recipe.learn(frame[["a", "b", "y"]], "y", "classification", print)
